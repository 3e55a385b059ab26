"""Events as columns: what a block of records comes to."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vestige.sources.events.fields import text_of, whole
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
    unexplained: tuple[str, ...] = ()
    """Some of the labels that count as anomalies although nobody said what they mean."""
    slots: NDArray[np.uint64] | None = None
    """The values `(n, N_SLOTS)` that the mapping names, where they are kept."""

    def __len__(self) -> int:
        return len(self.t_ns)


UNLABELLED, NORMAL, ANOMALOUS, UNEXPLAINED = 0, 1, 2, 3
"""What a label means; unexplained: an anomaly, because nobody said that it is none."""
MOST_UNEXPLAINED = 8


class Codes(dict[str, int]):
    """Numbers of the texts of one column by the cells as they came: each cell is tamed once.

    -1 for a cell without text. `texts`: the tamed ones, in the order of their numbers; lone surrogates in
    them, which JSON may spell out, are replaced.
    """

    def __init__(self, mask: Callable[[str], str] | None = None) -> None:
        """`mask`: what makes a kind of a text in which something varies; by default texts stay."""
        super().__init__()
        self.texts: list[str] = []
        self._tamed: dict[str, int] = {}
        self._mask = mask

    def __missing__(self, cell: str) -> int:
        text = whole(text_of(cell))
        if self._mask is not None:
            # As of a log's message, the first line says of which kind it is.
            text = self._mask(text.partition("\n")[0]).strip()
        code = -1
        if text:
            # Cells that differ in blanks alone share the number that their text got first.
            code = self._tamed.setdefault(text, len(self.texts))
            if code == len(self.texts):
                self.texts.append(text)
        self[cell] = code
        return code


NO_LABELS = frozenset(["", "nan", "null", "none", "n/a", "na", "<na>"])
"""What stands where there is no label, as pandas, R and JSON write it."""
POSITIVES = frozenset(
    ["1", "true", "yes", "y", "anomaly", "anomalous", "abnormal", "attack", "malicious", "malware",
    "intrusion",
     "threat", "suspicious", "positive", "true positive", "tp", "bad"]
)  # fmt: skip
"""Labels that say by themselves that they mean an anomaly."""


class Labels(dict[str, int]):
    """What labels mean, by the cells as they came.

    A number is compared as a number: where `0` means normal, so do `0.0` and `-0`. `unexplained`: some of
    those of which nobody said what they mean.
    """

    def __init__(self, negatives: frozenset[str]) -> None:
        super().__init__()
        self._negatives = negatives
        self._numbers = {number for text in negatives if (number := _number(text)) is not None}
        self.unexplained: list[str] = []

    def __missing__(self, cell: str) -> int:
        text = text_of(cell).casefold()
        number = _number(text)
        label = ANOMALOUS
        if text and (text in self._negatives or number in self._numbers):
            label = NORMAL
        elif text in NO_LABELS:
            label = UNLABELLED
        elif text not in POSITIVES and number != 1.0:
            label = UNEXPLAINED
            if len(self.unexplained) < MOST_UNEXPLAINED:
                self.unexplained.append(whole(text_of(cell)))
        self[cell] = label
        return label


_NUMERAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?", re.ASCII)


def _number(text: str) -> float | None:
    """The number that a label is; None for words."""
    if len(text) < 40 and _NUMERAL.fullmatch(text):
        return float(text)
    return None


class Gathering:
    """Records of a block on their way to columns."""

    def __init__(
        self, negatives: frozenset[str] = frozenset(), mask: Callable[[str], str] | None = None
    ) -> None:
        self.machines, self.texts, self.labels = Codes(), Codes(mask), Labels(negatives)
        self.bad = self.unwanted = 0
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
