"""What is to be said of all the steps of some evidence: how many, of whom, when, and what is doubtful."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.evidence.defects import LeftOut
from vestige.reading.steps import StepBlock
from vestige.reading.times import known, rfc3339
from vestige.reading.told import Told

MOST_HOSTS = 100_000
"""Different hosts that are told apart."""
MOST_TEXTS = 50_000
"""Different texts that are told apart; each further one counts as one of its own."""
SHOWN_TEXT = 80
"""Characters of a text in a warning."""
FEW_STEPS = 50
"""Of fewer steps nothing is said of how their texts are distributed."""
NEARLY_ALL, OWN = 0.95, 0.9
"""From which share of all steps on one text is doubtful, and from which share on texts of their own are."""

LEVEL = re.compile(
    r"\W*(?:trace|debug|dbug|info|information|notice|note|warn|warning|err|error|crit|critical|fatal|severe|"
    r"alert|emerg|panic|audit|stdout|stderr|fine|finer|finest|verbose|\d{1,4})\W*",
    re.IGNORECASE,
)
"""What stands where a host was looked for, and is none: a level, a stream, a number."""


@dataclass
class Backwards:
    """Steps whose time is earlier than that of the step before: how many, the first, and by how much most."""

    count: int = 0
    first: str = ""
    most_ns: int = 0


@dataclass
class Overview:
    """Of all steps that were added, in bounded memory (but for a number a recording that has not ended)."""

    classes: tuple[str, ...]
    symbol_stream: str = ""
    steps: int = 0
    recordings: int = 0
    without_time: int = 0
    unlabelled: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    left_out: LeftOut = field(default_factory=LeftOut.nothing)
    told: Told = field(default_factory=Told)
    hosts: set[str] = field(default_factory=set)
    backwards: Backwards = field(default_factory=Backwards)

    def __post_init__(self) -> None:
        self.labels = np.zeros(len(self.classes), dtype=np.int64)
        self._last: dict[str, int | None] = {}
        self._texts: dict[int, int] = {}
        self._shown: dict[int, str] = {}
        self._further_texts = 0

    def add(self, block: StepBlock, file: str) -> None:
        """The next steps, of a file that is called so."""
        self.steps += len(block)
        for info in block.recordings:
            if info.identity not in self._last:
                self._last[info.identity] = None
                self.recordings += 1
            if info.host and len(self.hosts) < MOST_HOSTS:
                self.hosts.add(info.host)
        if len(block):
            self._add_times(block, file)
            self._add_labels(block)
            self._add_texts(block)
        for at in np.flatnonzero(block.ended).tolist():
            self._last.pop(block.recordings[at].identity, None)

    @property
    def time_range(self) -> list[str | None] | None:
        """The earliest and the latest time; None where no step has one."""
        if self.first_ns is None or self.last_ns is None:
            return None
        return rfc3339(np.array([self.first_ns, self.last_ns], dtype=np.int64))

    @property
    def has_labels(self) -> bool:
        """Whether any step has a label."""
        return self.unlabelled < self.steps

    def warnings(self) -> list[str]:
        """Whole sentences about what is doubtful: what units say of themselves, and what the steps show."""
        return [*self.told.warnings(), *self._of_times(), *self._of_hosts(), *self._of_texts(),
                *self._of_labels()]  # fmt: skip

    def summary(self) -> dict[str, Any]:
        """All of it as JSON values."""
        labels = None
        if self.has_labels:
            labels = dict(zip(self.classes, self.labels.tolist(), strict=True))
        formats = {
            name: {"files": read.units, "first": read.first, "why": read.why}
            for name, read in self.told.formats.items()
        }
        return {
            "steps": self.steps,
            "recordings": self.recordings,
            "hosts": len(self.hosts),
            "formats": formats,
            "time_range": self.time_range,
            "without_time": self.without_time,
            "labels": labels,
            "unlabelled": self.unlabelled,
            "unread": [
                {"file": defect.file, "row": defect.row, "what": defect.why, "left_out": defect.what}
                for defect in self.left_out.first
            ],
            "unread_counts": dict(sorted(self.left_out.counts.items())),
            "warnings": self.warnings(),
        }

    def _add_times(self, block: StepBlock, file: str) -> None:
        is_known = known(block.t_ns)
        self.without_time += int((~is_known).sum())
        at = np.flatnonzero(is_known)
        if not len(at):
            return
        times = block.t_ns[at]
        low, high = int(times.min()), int(times.max())
        self.first_ns = low if self.first_ns is None else min(self.first_ns, low)
        self.last_ns = high if self.last_ns is None else max(self.last_ns, high)
        order = np.argsort(block.recording[at], kind="stable")
        at, times = at[order], times[order]
        recording = block.recording[at]
        first = np.r_[True, recording[1:] != recording[:-1]]
        before = np.r_[times[:1], times[:-1]]
        for row in np.flatnonzero(first).tolist():
            last_ns = self._last[block.recordings[int(recording[row])].identity]
            before[row] = times[row] if last_ns is None else last_ns
        late = np.flatnonzero(times < before)
        if len(late):
            self._add_late(block, file, int(at[late].min()), before[late] - times[late])
        for row in np.flatnonzero(np.r_[first[1:], True]).tolist():
            self._last[block.recordings[int(recording[row])].identity] = int(times[row])

    def _add_late(self, block: StepBlock, file: str, row: int, by_ns: NDArray[np.int64]) -> None:
        if not self.backwards.count:
            self.backwards.first = file
            if "line" in block.place:
                self.backwards.first = f"{file}:{int(block.place['line'][row])}"
        self.backwards.count += len(by_ns)
        self.backwards.most_ns = max(self.backwards.most_ns, int(by_ns.max()))

    def _add_labels(self, block: StepBlock) -> None:
        if block.label is None:
            self.unlabelled += len(block)
        else:
            self.labels += np.bincount(block.label, minlength=len(self.labels))

    def _add_texts(self, block: StepBlock) -> None:
        if not self.symbol_stream:
            return
        rows, counts = np.unique(block.values[self.symbol_stream], return_counts=True)
        for text, count in zip(block.symbols.texts(rows), counts.tolist(), strict=True):
            key = hash(text)
            if key in self._texts:
                self._texts[key] += count
            elif len(self._texts) < MOST_TEXTS:
                self._texts[key] = count
                self._shown[key] = text[:SHOWN_TEXT]
            else:
                self._further_texts += 1

    def _of_times(self) -> list[str]:
        told = []
        late = self.backwards
        if late.count:
            told.append(
                f"times run backwards at {late.count:,} steps, by at most {late.most_ns / 1e9:,.9g} s; "
                f"the first: {late.first}"
            )
        if self.without_time and self.without_time < self.steps:
            told.append(f"{self.without_time:,} of {self.steps:,} steps have no time")
        return told

    def _of_hosts(self) -> list[str]:
        doubtful = sorted(host for host in self.hosts if LEVEL.fullmatch(host))
        if not doubtful:
            return []
        named = ", ".join(map(repr, doubtful[:5]))
        if len(doubtful) > 5:
            named += ", ..."
        return [f"what was taken for a host looks like a level, a stream or a number: {named}"]

    def _of_texts(self) -> list[str]:
        if self.steps < FEW_STEPS or not self._texts:
            return []
        most = max(self._texts, key=self._texts.__getitem__)
        distinct = len(self._texts) + self._further_texts
        if self._texts[most] >= NEARLY_ALL * self.steps:
            share = self._texts[most] / self.steps
            return [f"nearly all steps ({share:.1%}) have one text: {self._shown[most]!r}"]
        if distinct >= OWN * self.steps:
            return [f"nearly every step has a text of its own ({distinct:,} texts of {self.steps:,} steps)"]
        return []

    def _of_labels(self) -> list[str]:
        found = np.flatnonzero(self.labels).tolist()
        if not self.has_labels or len(found) != 1 or self.steps < 2:
            return []
        return [f"every step that has a label is {self.classes[found[0]]}: there is nothing to tell apart"]
