"""Lines that do not fit the header of their file, and yet go not on with the message above them.

What programs put between messages (`-- Reboot --`, `==> FILE <==`) is no part of one. A line with a time of
its own begins a message: of another known format, or of one guessed from the line alone; or it is not read,
and said. Every line is judged by itself, so that it does not matter where reading begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache

from vestige.reading.times import EARLY_NS
from vestige.sources.logs import grammar
from vestige.sources.logs.format import Format, shipped
from vestige.sources.logs.guess import begins_with_time, guess_line
from vestige.sources.logs.guess_records import guess_records
from vestige.sources.logs.header import fields

_MARKERS = (
    r"-- \S.{0,300}? ?--$|-- cursor: |-{4,} (?:beginning of|switch to) \S|==> .{1,4096} <==$"
    r"|#(?:Software|Version|Date|Start-Date|End-Date|Remark|Fields): ?"
    r"|#(?:separator|set_separator|empty_field|unset_field|path|open|close|fields|types)[ \t]"
    r"|Script (?:started|done) on |Attaching to \S|\S{1,200}, Version: .{1,300} started with:$"
    r"|Tcp port: \d+ |Time[ \t]+Id[ \t]+Command[ \t]+Argument$"
)
"""What journalctl, logcat, tail, loggers of W3C and Zeek, script, docker-compose and MySQL write between
messages.
"""
_TAR = r"(?:[0-7]{6,7} ?){3}(?:[0-7]{11} ?){2}[0-7]{6} ?.?ustar(?:00|  )"
"""The header of a file in a tar archive, as it is without NUL bytes: it ends where that file's first line
does."""
_FRAME = re.compile(rb"(\d{1,7}) <\d{1,3}>")
"""How a message of syslog begins that is counted in octets."""
_CONTINUED = (
    r"Traceback \(most recent call last\):|Caused by: |(?:During handling of|The above exception was) "
    r"|(?:[A-Za-z_]\w{0,60}\.){0,8}[A-Z]\w{0,80}"
    r"(?:Error|Exception|Warning|Interrupt|Exit|Throwable)(?::|$| \()"
    r"|goroutine \d+ \[|(?:panic|runtime)(?:: |\()|created by |exit status \d|\[signal |\.\.\. \d+ more$"
    r"|[\w.*/()-]{1,200}\((?:0x[0-9a-f?]+|\{|\.\.\.|\))"
    r"|# (?:User@Host|Query_time|Schema|Bytes_sent|Thread_id): "
    r"|SET timestamp=|[\])}]+[;,]?$|\*{3}|-{3,}$|={3,}$"
)
"""Lines that only go on with a message, or end one, however little they are indented: stack traces of
Python, Java and Go, what MySQL writes of a slow query, closing brackets, rules."""
_TWISTED = re.compile(r"^-$|,|#|twisted|cowrie|kippo|Factory|Protocol|Transport|Service|Server|Client")
_CLOCK = re.compile(r"\d:[0-5]\d")
_DAY = re.compile(r"\d{8}")
_EARLY_S = EARLY_NS // 10**9
"""Unix seconds; a number before that, in a header that has nothing but numbers and words, is no time."""
_RECORD_GOES_ON = re.compile(
    r"[{}\]\"]|\[\s*(?:$|[{\[\"\d-])|,\s*$|(?:-?\d[\d.eE+-]*|true|false|null),?\s*$", re.ASCII
)
"""What a line of a JSON object that lies over several lines begins with."""
CLOCK_CHARACTERS = 300
"""Where a clock must be, in a line that begins a message."""


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    """Compiled where it is asked for: many a file needs none of these."""
    return re.compile(pattern)


def is_marker(line: str) -> bool:
    """Whether a line is one that a program put between messages."""
    return _expression(_MARKERS).match(line) is not None


def is_archived(line: str) -> bool:
    """Whether the header of a file in a tar archive stands before a line."""
    return "ustar" in line and _expression(_TAR).search(line) is not None


def is_frames(sample: bytes) -> bool:
    """Whether the first bytes of a file are a message of syslog behind its length, which the next one follows
    at once."""
    first = _FRAME.match(sample)
    if first is None:
        return False
    stop = first.end(1) + 1 + int(first[1])
    return sample[stop - 1 : stop] != b"\n" and _FRAME.match(sample, stop) is not None


def goes_on(line: str) -> bool:
    """Whether a line is one that can only go on with the message above it."""
    return _expression(_CONTINUED).match(line) is not None


def plausible(chosen: Format, match: re.Match[str]) -> bool:
    """Whether what a header takes for a machine, a level or a part of a program can be one: loose headers fit
    lines that are none of theirs."""
    found = match.groupdict()
    host = chosen.host and found.get(chosen.host)
    if host and host not in {"-", "---"} and not grammar.is_host(host):
        return False
    level = found.get("Level")
    if level is not None and not re.fullmatch(rf"{grammar.LEVEL}|[A-Z]", level.strip()):
        return False
    for name, layout in chosen.time.items():
        # Whole seconds since 1970 are the only times that any number fits.
        if layout == "%s" and chosen.name in shipped() and int(found[name] or 0) < _EARLY_S:
            return False
    system = found.get("System")
    # Twisted's log names a part of a program, or `-`; programs with such headers name a level there.
    return system is None or _TWISTED.search(system) is not None


def tagged(chosen: Format, match: re.Match[str]) -> bool:
    """Whether a line of syslog has a tag, where the format has one; records of CEF and LEEF need none."""
    if chosen.host is None or "Tag" not in match.groupdict() or match["Tag"] is not None:
        return True
    return match["Content"].startswith(("CEF:", "LEEF:"))


def may_begin(line: str) -> bool:
    """Whether a line may begin a message of a shipped or a guessed format: a bracket or a day without signs
    stands first, or there is a clock in it. That is quickly seen of lines that go on with a message."""
    if line[:1] in {"[", "{", "<"} or _DAY.match(line):
        return True
    return _CLOCK.search(line, 0, CLOCK_CHARACTERS) is not None


class Foreign:
    """What a line is that does not fit the header of its file. `others`: known formats that it may have;
    `guesses`: its own may be guessed; `records`: the file's own lines are JSON objects."""

    def __init__(
        self, others: Sequence[Format], *, guesses: bool, shows_level: bool, records: bool = False
    ) -> None:
        self._others = [(other, other.compiled().match) for other in others if other.time]
        self._guesses, self._shows_level, self._records = guesses, shows_level, records
        self._own = any(other.name not in shipped() for other in others)
        self._looked = lru_cache(maxsize=256)(self._look)

    def begins(self, line: str) -> bool:
        """Whether a line does not go on with the message above it."""
        return line[:1] not in {"", " ", "\t"} and (
            is_marker(line)
            or is_archived(line)
            or self.is_no_record(line)
            or self.format(line) is not None
            or (may_begin(line) and begins_with_time(line))
        )

    def is_no_record(self, line: str) -> bool:
        """Whether a line is no part of a JSON object, in a file of such."""
        return self._records and _RECORD_GOES_ON.match(line) is None

    def format(self, line: str) -> Format | None:
        """The format in which a line begins a message; None where it begins none."""
        if not self._own and not may_begin(line):
            return None
        return self._looked(line)

    def _look(self, line: str) -> Format | None:
        for other, match in self._others:
            found = match(line)
            if found is not None and plausible(other, found) and tagged(other, found):
                return other
        if not self._guesses:
            return None
        if line.startswith("{"):
            record = guess_records([line], timed=True)
            if record is None or record.format.compiled().match(line) is None:
                return None
            return record.format
        return guess_line(line, shows_level=self._shows_level)


def level_of(chosen: Format) -> bool:
    """Whether a format's header has a level."""
    return "Level" in fields(chosen.header)
