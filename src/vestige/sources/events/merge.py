"""Parsed blocks, in the order in which they were read, to records on disk and tables of what they name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evidence.files import EvidenceFile
from vestige.sources.events.columns import Events, Machine
from vestige.sources.events.records import Fault
from vestige.sources.events.sorting import RECORD

MOST_FAULTS = 20


class Growing:
    """An array by number of something, as long as the largest number asked for."""

    def __init__(self, dtype: str, fill: int) -> None:
        self._values = np.full(1024, fill, dtype=dtype)
        self._fill = fill

    def upto(self, n: int) -> NDArray[Any]:
        """The values of the first n, to be changed in place."""
        while len(self._values) < n:
            more = np.full(len(self._values), self._fill, dtype=self._values.dtype)
            self._values = np.concatenate([self._values, more])
        return self._values[:n]


class Merge:
    """Numbers for machines, events and files; everything else goes to the file of records.

    `count`, `anomalous` by machine; `out_of_order`: events earlier than the one of their machine before them.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.machines: list[Machine] = []
        self.files: list[str] = []
        self.texts: dict[str, int] = {"": 0}
        self.counts: Counter[str] = Counter()
        self.faults: list[dict[str, Any]] = []
        self.bad = self.out_of_order = self.total = self.twice = 0
        self._rows: dict[str, int] = {}
        self._event_counts = Growing("int64", 0)
        self._machine_counts = Growing("int64", 0)
        self._anomalous = Growing("uint8", 0)
        self._last_ns = Growing("int64", -1)

    def add(self, file: EvidenceFile, events: Events) -> None:
        """The next block of `file`."""
        if not self.files or self.files[-1] != file.id:
            self.files.append(file.id)
        self.fault(file, events.bad, events.faults)
        self.counts.update(events.counts)
        if not len(events):
            return
        records = np.empty(len(events), dtype=RECORD)
        for name in ("t_ns", "line", "offset", "raw", "label"):
            records[name] = getattr(events, name)
        number_of = self._own if events.own else self._shared
        records["machine"] = np.array([number_of(one) for one in events.machines])[events.machine]
        named = [self.texts.setdefault(text, len(self.texts)) for text in events.texts]
        records["event"] = np.array(named)[events.event]
        records["file"] = len(self.files) - 1
        self._count(records)
        self._file.write(records.tobytes())

    def fault(self, file: EvidenceFile, n: int, faults: list[Fault] | tuple[Fault, ...]) -> None:
        """Note bad records of a file, and the places of the first few."""
        self.bad += n
        room = MOST_FAULTS - len(self.faults)
        self.faults += [{"file": file.id, "row": row, "what": what} for row, what in faults[:room]]

    def close(self) -> None:
        """Every record is on disk."""
        self._file.close()

    @property
    def count(self) -> NDArray[np.int64]:
        """Events by machine."""
        return self._machine_counts.upto(len(self.machines))

    @property
    def anomalous(self) -> NDArray[np.uint8]:
        """1 for a machine with a labelled event."""
        return self._anomalous.upto(len(self.machines))

    def table(self) -> pl.DataFrame:
        """`text` and `count` of every event; row 0 is padding."""
        return pl.DataFrame(
            {"text": list(self.texts), "count": self._event_counts.upto(len(self.texts))},
            schema={"text": pl.String(), "count": pl.Int64()},
        )

    def _shared(self, machine: Machine) -> int:
        row = self._rows.setdefault(machine.id, len(self.machines))
        if row == len(self.machines):
            self.machines.append(machine)
        return row

    def _own(self, machine: Machine) -> int:
        """A session, under a name of its own: the second of a name is `name#2`."""
        name, n = machine.id, 1
        while name in self._rows:
            n += 1
            name = f"{machine.id}#{n}"
        self.twice += n > 1
        self._rows[name] = len(self.machines)
        self.machines.append(machine._replace(id=name))
        return len(self.machines) - 1

    def _count(self, records: NDArray[Any]) -> None:
        machine, t_ns = records["machine"], records["t_ns"]
        self.total += len(records)
        np.add.at(self._event_counts.upto(len(self.texts)), records["event"], 1)
        np.add.at(self.count, machine, 1)
        np.maximum.at(self.anomalous, machine, records["label"])
        order = np.argsort(machine, kind="stable")
        machine, t_ns = machine[order], t_ns[order]
        first = np.r_[True, machine[1:] != machine[:-1]]
        last_ns = self._last_ns.upto(len(self.machines))
        before = np.where(first, last_ns[machine], np.r_[0, t_ns[:-1]])
        self.out_of_order += int((t_ns < before).sum())
        last = np.r_[first[1:], True]
        last_ns[machine[last]] = t_ns[last]
