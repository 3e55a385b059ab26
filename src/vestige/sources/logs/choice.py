"""The formats of a corpus, and which of them a file has: the first of them that fits its first lines."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from vestige.errors import EvidenceError
from vestige.evidence.files import EvidenceFile
from vestige.evidence.stream import SAMPLE_LINES
from vestige.sources.logs.clock import FRAME_YEAR
from vestige.sources.logs.format import Format, every
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.parse import Rules

FIT = 0.5
"""A file whose first lines fit a header less often than this is of another format."""
WIDE = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
HALF_YEAR = 183
"""Days."""
NAMED = 8
"""Formats that a refusal names."""


@dataclass(frozen=True)
class RuleSet:
    """How the files of a corpus are read: `Rules` with several formats, of which each file has one.

    `until` (ISO 8601): the day after which nothing was written, where that tells the year of a first line.
    `mixed`: files of several formats stand beside one another in the dataset. `live`: what is read may be of
    days after `until`.
    """

    formats: tuple[Format, ...]
    label: LabelRule
    encoding: str = "utf-8"
    max_line: int = 1 << 16
    until: str | None = None
    mixed: bool = False
    live: bool = False

    def settings(self) -> dict[str, Any]:
        """JSON-ready, for the schema."""
        plain = self._rules(self.formats[0], self.label).settings()
        del plain["format"]
        return {"formats": [chosen.settings() for chosen in self.formats], "until": self.until, **plain}

    @classmethod
    def from_settings(cls, plain: dict[str, Any]) -> Self:
        """The rules that `settings` wrote down, for live evidence."""
        formats = tuple(Format.model_validate(described) for described in plain["formats"])
        label = LabelRule.from_dict(plain["label"])
        return cls(formats, label, plain["encoding"], plain["caps"]["line_bytes"], plain["until"], live=True)

    def each(self) -> list[Rules]:
        """The rules of each format."""
        return [self._rules(chosen, self.label) for chosen in self.formats]

    def year(self, rules: Rules, first_ns: int) -> int | None:
        """The year of a file's first line, whose time was read as `first_ns`, where times name none: the last
        one that does not lead past `until`; of live evidence the one that leads nearest to it. 0: no time."""
        if rules.year is None or self.until is None or not first_ns:
            return rules.year
        until = np.datetime64(f"{FRAME_YEAR}{self.until[4:10]}")
        days = int((np.datetime64(first_ns, "ns").astype("datetime64[D]") - until).astype(np.int64))
        if self.live:
            return rules.year - (days > HALF_YEAR) + (days < -HALF_YEAR)
        return rules.year - (days > 0)

    def kind(self, file: EvidenceFile, chosen: Format) -> str:
        """The type of log that a file is: its messages have templates of their own."""
        if chosen.types:
            return file.profile
        return chosen.name

    def profile(self, file: EvidenceFile, chosen: Format) -> str:
        """What the recording is called in reports: its type where formats stand beside one another."""
        if self.mixed:
            return self.kind(file, chosen)
        return file.profile

    def choose(self, sample: bytes, file: EvidenceFile) -> tuple[Rules, list[str]]:
        """The rules of a file with these first bytes, and its first lines.

        Raises EvidenceError when it is UTF-16 or no text, or when too few lines fit any header: then the
        message says how many fitted what, names the first that does not, and the formats that would.
        """
        _check_text(sample, file.where)
        candidates = [self._rules(chosen, self.label.of(self.kind(file, chosen))) for chosen in self.formats]
        text = candidates[0].text(sample.removeprefix(codecs.BOM_UTF8))
        lines = text.split("\n")[:SAMPLE_LINES]
        # An indented line goes on with the message above it, and has no header to fit.
        judged = [(row, line) for row, line in enumerate(lines, 1) if line.strip() and line[0] not in " \t"]
        if not judged:
            raise EvidenceError("no line of text at its beginning", where=file.where)
        for rules in candidates:
            misfits = sum(rules.header.match(line) is None for _, line in judged)
            if misfits <= (1 - FIT) * len(judged):
                return rules, lines
        raise _refusal(self.formats, judged, file.where)

    def _rules(self, chosen: Format, label: LabelRule) -> Rules:
        return Rules(chosen, label, self.encoding, self.max_line)


def _check_text(sample: bytes, where: str) -> None:
    """Raise EvidenceError for what is no text with line ends."""
    if not sample:
        raise EvidenceError("the file is empty", where=where)
    for mark, name in WIDE.items():
        if sample.startswith(mark):
            raise EvidenceError(
                f"the text is {name}", where=where, remedy=f"convert it: iconv -f {name} -t UTF-8 FILE"
            )
    if sample.count(b"\0", 0, 4096) > min(len(sample), 4096) // 4 and not sample.lstrip(b"\0")[:1]:
        raise EvidenceError("nothing but NUL bytes", where=where)
    if sample.count(b"\r") > 2 and b"\n" not in sample:
        raise EvidenceError(
            "lines end in carriage returns alone", where=where, remedy="convert it: tr '\\r' '\\n' < FILE"
        )


def _refusal(formats: Sequence[Format], judged: list[tuple[int, str]], where: str) -> EvidenceError:
    """What is said of a file that fits none of `formats`."""
    lines = [line for _, line in judged]
    fits = [(sum(_marks(tried, lines)), tried) for tried in formats]
    most, nearest = max(fits, key=lambda fit: fit[0])
    row, line = judged[_marks(nearest, lines).index(False)]
    shown = repr(line.strip()[:120])
    if len(formats) == 1:
        what = (
            f"{len(lines) - most} of the first {len(lines)} lines do not fit the header {nearest.header!r}; "
            f"the first of them: {shown}"
        )
    else:
        told = ", ".join(f"{tried.name} {count}" for count, tried in fits)
        what = (
            f"of the first {len(lines)} lines too few fit any format ({told}); "
            f"the first that does not fit {nearest.name}: {shown}"
        )
    # Formats without a time take nearly any line: that such a one fits says nothing.
    shares = [(sum(_marks(known, lines)) / len(lines), name) for name, known in every() if known.time]
    fitting = [name for share, name in sorted(shares, key=lambda pair: -pair[0]) if share >= FIT]
    remedy = "none of the shipped formats fits either: describe your own (docs/logs.md), or use plain"
    if fitting:
        remedy = f"formats that would fit: {', '.join(fitting[:NAMED])}"
    return EvidenceError(what, where=where, row=row, remedy=remedy)


def _marks(tried: Format, lines: list[str]) -> list[bool]:
    """Which lines have the format's header."""
    match = tried.compiled().match
    return [match(line) is not None for line in lines]
