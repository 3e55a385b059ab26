"""What is to be said of all the steps of some evidence: how many, of whom, when, and what is doubtful."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.evidence.defects import LeftOut, counted
from vestige.evidence.files import stem_of
from vestige.reading.steps import Reader, StepBlock
from vestige.reading.times import EARLY_NS, duration, known, rfc3339
from vestige.reading.told import Told

MOST_HOSTS = 100_000
"""Different hosts that are told apart."""
MOST_TEXTS = 2_000
"""Different texts by which it is judged whether they are of few kinds or of many: the first ones."""
MOST_CHARACTERS = 1_000
"""Characters of a text that are looked at."""
SHOWN_TEXT = 80
"""Characters of a text in a warning."""
FEW_STEPS = 50
"""Of fewer steps nothing is said of how their texts are distributed."""
NEARLY_ALL, OWN = 0.95, 0.9
"""From which share of steps on it is doubtful that they are of one kind, and that each is of its own."""

LEVEL = re.compile(
    r"\W*(?:trace|debug|dbug|info|information|notice|note|warn|warning|err|error|crit|critical|fatal|severe|"
    r"alert|emerg|panic|audit|stdout|stderr|fine|finer|finest|verbose|\d{1,4})\W*",
    re.IGNORECASE,
)
"""What stands where a host was looked for, and is none: a level, a stream, a number."""


def present(block: StepBlock) -> list[int]:
    """Which of its recordings a block has steps of, or, without any step, the end: a slice of a longer block
    names others, too."""
    codes = np.unique(block.recording) if len(block) else np.flatnonzero(block.ended)
    return [int(code) for code in codes]


@dataclass
class Backwards:
    """Steps whose time is earlier than that of the step before: how many, the first, and by how much most."""

    count: int = 0
    first: str = ""
    most_ns: int = 0


class Overview:
    """Of all steps that a reader gave, in bounded memory but for a number a recording that has not ended."""

    def __init__(self, reader: Reader[Any]) -> None:
        self.classes = reader.schema.classes
        self.steps = self.recordings = self.without_time = self.unlabelled = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.left_out = LeftOut.nothing()
        self.told = Told()
        self.hosts: set[str] = set()
        self.backwards = Backwards()
        self.labels = np.zeros(len(self.classes), dtype=np.int64)
        self._reader = reader
        self._last: dict[str, int | None] = {}
        self._texts: dict[str, int] = {}
        self._levels: set[str] = set()
        self._early = 0

    def add(self, block: StepBlock, file: str) -> None:
        """The next steps, of a file that is called so."""
        self.steps += len(block)
        for info in (block.recordings[at] for at in present(block)):
            if info.identity not in self._last:
                self._last[info.identity] = None
                self.recordings += 1
            if info.host and len(self.hosts) < MOST_HOSTS:
                self.hosts.add(info.host)
                # Where nothing names a host, a file does: `error.log` is of no machine called error.
                by_file = self._reader.unit_column == "file" and info.host == stem_of(info.id)
                if LEVEL.fullmatch(info.host) and not by_file:
                    self._levels.add(info.host)
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
        self._early += int((times < EARLY_NS).sum())
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
        stream = self._reader.symbol_stream
        if not stream:
            return
        rows, counts = np.unique(block.values[stream], return_counts=True)
        full = len(self._texts) >= MOST_TEXTS
        for text, count in zip(block.symbols.texts(rows), counts.tolist(), strict=True):
            key = text[:MOST_CHARACTERS]
            if key in self._texts:
                self._texts[key] += count
            elif not full:
                self._texts[key] = count
                full = len(self._texts) >= MOST_TEXTS

    def _of_times(self) -> list[str]:
        told = []
        late = self.backwards
        if late.count:
            told.append(
                f"times run backwards at {counted(late.count, 'step')}, by at most "
                f"{duration(late.most_ns / 1e9)}; the first: {late.first}"
            )
        if self.without_time and self.without_time < self.steps:
            verb = "has" if self.without_time == 1 else "have"
            told.append(f"{self.without_time:,} of {self.steps:,} steps {verb} no time")
        if self._early:
            told.append(
                f"{counted(self._early, 'step')} of {self.steps:,} would be of before 1990: their clock was "
                "not set, or counts from something else than 1970, such as the start of the machine"
            )
        return told

    def _of_hosts(self) -> list[str]:
        doubtful = sorted(self._levels)
        if not doubtful:
            return []
        named = ", ".join(map(repr, doubtful[:5]))
        if len(doubtful) > 5:
            named += ", ..."
        return [f"what was taken for a host looks like a level, a stream or a number: {named}"]

    def _of_texts(self) -> list[str]:
        steps = sum(self._texts.values())
        if steps < FEW_STEPS:
            return []
        kinds: Counter[str] = Counter()
        for kind, count in zip(self._reader.kinds(list(self._texts)), self._texts.values(), strict=True):
            kinds[kind] += count
        kind, count = kinds.most_common(1)[0]
        if count >= NEARLY_ALL * steps:
            return [f"nearly all steps ({count / steps:.1%}) are of one kind: {kind[:SHOWN_TEXT]!r}"]
        if len(kinds) >= OWN * steps:
            return [f"nearly every step is of a kind of its own: {len(kinds):,} kinds in {steps:,} steps"]
        return []

    def _of_labels(self) -> list[str]:
        found = np.flatnonzero(self.labels).tolist()
        if not self.has_labels or len(found) != 1 or self.steps < 2:
            return []
        return [f"every step that has a label is {self.classes[found[0]]}: there is nothing to tell apart"]
