"""Events as columns: what a block of records comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vestige.sources.events.fields import text_of
from vestige.sources.events.records import MOST_FAULTS, Fault


class Machine(NamedTuple):
    """What stands for a recording: a machine, or a session with its published `host` part and `profile`."""

    id: str
    host: str
    sample: str = ""
    profile: str = ""


@dataclass(frozen=True)
class Events:
    """The n events of a block. `machine (n,)` indexes `machines`, `event (n,)` `texts`.

    `own`: each entry of `machines` is a recording by itself, whatever it is called (sessions).
    """

    machine: NDArray[np.uint32]
    event: NDArray[np.uint32]
    t_ns: NDArray[np.int64]
    line: NDArray[np.int64]
    offset: NDArray[np.int64]
    raw: NDArray[np.uint64]
    label: NDArray[np.uint8]
    machines: list[Machine]
    texts: list[str]
    own: bool = False
    bad: int = 0
    faults: tuple[Fault, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.t_ns)


UNLABELLED, NORMAL, ANOMALOUS = 0, 1, 2


class Codes(dict[str, int]):
    """Numbers of the texts of one column by the cells as they came: each cell is tamed once.

    -1 for a cell without text. `texts`: the tamed ones, in the order of their numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._tamed: dict[str, int] = {}

    def __missing__(self, cell: str) -> int:
        text = text_of(cell)
        code = -1
        if text:
            # Cells that differ in blanks alone share the number that their text got first.
            code = self._tamed.setdefault(text, len(self.texts))
            if code == len(self.texts):
                self.texts.append(text)
        self[cell] = code
        return code


class Labels(dict[str, int]):
    """What labels mean, by the cells as they came."""

    def __init__(self, negatives: frozenset[str]) -> None:
        super().__init__()
        self._negatives = negatives

    def __missing__(self, cell: str) -> int:
        text = text_of(cell).casefold()
        label = ANOMALOUS
        if not text:
            label = UNLABELLED
        elif text in self._negatives:
            label = NORMAL
        self[cell] = label
        return label


class Gathering:
    """Records of a block on their way to columns."""

    def __init__(self, negatives: frozenset[str] = frozenset()) -> None:
        self.machines, self.texts, self.labels = Codes(), Codes(), Labels(negatives)
        self.bad = 0
        self.faults: list[Fault] = []

    def fault(self, line: int, what: str) -> None:
        """Count a bad record; the first few are remembered."""
        self.bad += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append((line, what))


def hashes(records: Sequence[bytes]) -> NDArray[np.uint64]:
    """A hash of the bytes of every record, line ends at its end left out."""
    parts = [blake2b(record.rstrip(b"\r\n"), digest_size=8).digest() for record in records]
    return np.frombuffer(b"".join(parts), dtype="<u8").astype(np.uint64)
