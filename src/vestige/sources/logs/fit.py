"""How well a format fits the first lines of a file, and whether what it takes for machines are some."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vestige.sources.logs.foreign import plausible, tagged
from vestige.sources.logs.format import Format
from vestige.sources.logs.grammar import LEVEL
from vestige.sources.logs.guess import Guess

FIT = 0.5
"""A file whose first lines fit a header less often than this is of another format."""
MOSTLY = 0.8
"""The share of lines of several machines that have tags, in syslog."""
_UNTAGGED = re.compile(r"-- MARK --|(?:last )?message repeated \d+ times?.*")
"""What daemons of syslog write themselves."""
_ACCESS = re.compile(r"\S{1,64} \S{1,64} \[\d{1,2}/[A-Z][a-z]{2}/\d{4}:")
"""A web access log behind the client: two names and the time."""
_RELEASE = re.compile(r"v\d{1,8}(?:\.\d{1,8}){1,3}")
"""The version of a program: no machine, where no tag stands behind it."""
_UUID = re.compile(r"(?i:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})")
_LEVEL = re.compile(rf"[\[(]?{LEVEL}")
_NO_WORD = re.compile(r"[\d.-]")


@dataclass(frozen=True)
class Fit:
    """How many of n lines have the header of a format (`loose`), and how many are likely to be of it
    (`likely`): loose headers fit lines of other programs."""

    format: Format
    n: int
    loose: int
    likely: int

    @classmethod
    def of(cls, known: Format, lines: list[str]) -> Fit:
        """How a format fits these lines."""
        matches = [match for match in map(known.compiled().match, lines) if match is not None]
        likely = [match for match in matches if plausible(known, match)]
        if not _are_machines(known, likely) or _are_requests(known, likely):
            likely = []
        return cls(known, len(lines), len(matches), len(likely))

    @property
    def share(self) -> float:
        """Of the lines, those that have the header."""
        return self.loose / self.n

    @property
    def strict(self) -> float:
        """Of the lines, those that are likely to be of the format."""
        return self.likely / self.n

    def told(self, fits: Sequence[Fit], guessed: Guess | None = None) -> str:
        """Why it is this format."""
        text = f"{self.loose} of the first {self.n} lines have its header {self.format.header!r}"
        others = [fit for fit in fits if fit.format.name != self.format.name and fit.format.time]
        best = max(others, key=lambda fit: fit.strict, default=None)
        if best is not None:
            text += next_best(best)
        if guessed is not None and guessed.fits < self.n:
            text += f"; of {guessed.format.header!r}, which would be guessed, {guessed.fits}"
        return text


def _are_machines(known: Format, matches: list[re.Match[str]]) -> bool:
    """Whether the words that a header of syslog takes for machines are some: tags stand behind them, and
    where there are several, nearly always, with process ids, or the words come again and again."""
    if known.host is None or not known.has_tags:
        return True
    # The first word of a web access log, behind the time of its receipt, is a client. A single request among
    # messages of machines is one that somebody logged, and behind a tag it is the message of that program.
    requests = sum(_ACCESS.match(match["Content"]) is not None and not match["Tag"] for match in matches)
    if 2 * requests > len(matches):
        return False
    # What a daemon writes to show that it is there has no tag, and may be most of a quiet day's log.
    matches = [match for match in matches if not _UNTAGGED.fullmatch(match["Content"].strip())] or matches
    tags = [match["Tag"] for match in matches if tagged(known, match)]
    names = {match[known.host] for match in matches}
    machines = len(names)
    if machines < 2:
        # Firewalls write no tags; what every line has there, and is no word of a language, is the machine.
        steady = len(matches) > 1 and all(
            _NO_WORD.search(name) and not _RELEASE.fullmatch(name) for name in names
        )
        return steady or len(tags) >= FIT * len(matches)
    numbered = sum("[" in (tag or "") for tag in tags)
    return len(tags) >= MOSTLY * len(matches) and (numbered > 0 or 2 * machines <= len(matches))


def _are_requests(known: Format, matches: list[re.Match[str]]) -> bool:
    """Whether what stands where machines would are numbers of requests (AWS Lambda): UUIDs with a level
    behind them. A virtual machine may be called by a UUID, too."""
    if known.host is None or not known.has_tags or not matches:
        return False
    if any(tagged(known, match) or not _UUID.fullmatch(match[known.host]) for match in matches):
        return False
    levels = sum(_LEVEL.match(match["Content"].strip()) is not None for match in matches)
    return 2 * levels > len(matches)


def next_best(best: Fit) -> str:
    """How many lines the next best format would have."""
    if not best.loose:
        return "; no other known format has one"
    text = f"; of {best.format.name}, the next best, {best.likely}"
    if best.loose > best.likely:
        text += f" ({best.loose} have its header, but hold no machine, level or tag where it has them)"
    return text
