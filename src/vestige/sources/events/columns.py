"""Events as columns: what a block of records comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


@dataclass
class Gathering:
    """Records of a block on their way to columns."""

    machines: dict[Any, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)
    bad: int = 0
    faults: list[Fault] = field(default_factory=list)

    def fault(self, line: int, what: str) -> None:
        """Count a bad record; the first few are remembered."""
        self.bad += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append((line, what))


def hashes(records: Sequence[bytes]) -> NDArray[np.uint64]:
    """A hash of the bytes of every record, line ends at its end left out."""
    parts = [blake2b(one.rstrip(b"\r\n"), digest_size=8).digest() for one in records]
    return np.frombuffer(b"".join(parts), dtype="<u8").astype(np.uint64)
