"""A format made for a file of which no format is known: its header is put together from the parts that the
first lines have in common. What comes out is an ordinary `Format`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from vestige.sources.logs import grammar
from vestige.sources.logs.begun import Line, line_of
from vestige.sources.logs.common_header import Header, literal, write_prefix, write_rest, write_time
from vestige.sources.logs.format import Format, compiled
from vestige.sources.logs.grammar import LINE_CHARACTERS, Part
from vestige.sources.logs.masks import GUESSED

NAME = "guessed"
"""What a guessed format is called."""
VERSION = 9
"""Of what is guessed: it is part of a dataset's settings, and changes with whatever changes a header."""
MASKS = (
    "url", "email", "uuid", "mac", "rhost", "user", "ip", "host", "pci", "path", "winpath", "hex", "hash",
    "size", "ctime", "date", "time", "num",
)  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """A format, of how many of the lines it is the header, how sure that is (0 to 1), and what is
    doubtful."""

    format: Format
    fits: int
    lines: int
    score: float
    doubts: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Of the lines, those that have the header."""
        return self.fits / self.lines


def guess(lines: Sequence[str], *, shows_level: bool = True, until: date | None = None) -> Guess | None:
    """The format of these lines; None where fewer than half of them begin alike with a time.

    `shows_level`: models see the level of a message; not where it is the label. `until`: the day after which
    nothing was written, by which dates are told that may be of several years.
    """
    short = [line[:LINE_CHARACTERS] for line in lines]
    group = _alike(short, weak=False)
    if 2 * len(group) < len(short):
        group = max(group, _alike(short, weak=True), key=len)
    if not group:
        return None
    tried = [
        _put_together(group, short, shows_level=shows_level, weak=weak, until=until) for weak in (False, True)
    ]
    found = [each for each in tried if each is not None]
    return max(found, key=lambda each: (each.score, each.fits), default=None)


def finished(header: Header, example: str) -> Format:
    """The format with a header that was written."""
    return Format(
        name=NAME,
        header=header.pattern,
        time=header.times,
        field=header.shapes,
        shown=header.shown,
        host=header.host,
        example=[example],
        masks=list(MASKS),
        mask=GUESSED,
        types=True,
    )


def _alike(lines: list[str], *, weak: bool) -> list[Line]:
    """The lines that begin alike, up to their time: the most there are. `weak`: see `grammar.find_time`."""
    groups: dict[tuple[object, ...], list[Line]] = {}
    for text in lines:
        line = line_of(text, weak=weak)
        if line is not None:
            before = tuple(_IN_BRACKETS if _bracketed(part) else part.key for part in line.before)
            groups.setdefault((before, line.opening, line.time.key), []).append(line)
    return _with_brackets(max(groups.values(), key=len, default=[]))


_CURSOR = re.compile(r"[ \t]\[s=[0-9a-f]{1,64};i=[0-9a-f]{1,32};b=")
"""How the place of an entry is told in the journal."""
_IN_BRACKETS = ("bracket", "[", "]")


def _bracketed(part: Part) -> bool:
    """Whether a part before the time is a word in square brackets, be it a thread or not: one program writes
    `[main]`, `[GossipStage:1]` and `[Server thread/INFO]`."""
    if part.kind == "word":
        return re.fullmatch(r"\[[^\[\]]+\]", part.text) is not None
    return part.kind in {"thread", "of_thread"} and (part.opening, part.closing) == ("[", "]")


def _with_brackets(group: list[Line]) -> list[Line]:
    """Lines that begin alike, with one kind of part where some of them have a thread in brackets, and others
    another word: a part that nobody sees where most are threads, and else a word, which is seen."""
    for at in range(len(group[0].before) if group else 0):
        parts = [line.before[at] for line in group]
        if len({part.key for part in parts}) > 1:
            hidden = 2 * sum(map(_is_thread, parts)) > len(parts)
            for line, part in zip(group, parts, strict=True):
                text, lead = part.text.strip("[]"), " " if at else ""
                own = Part("word", lead, "", "", part.end, text=f"[{text}]")
                if hidden:
                    own = Part("bracket", lead, "[", "]", part.end, text=text)
                line.before = (*line.before[:at], own, *line.before[at + 1 :])
    return group


def _is_thread(part: Part) -> bool:
    """Whether a word in brackets is called as threads are: also by a number behind a colon."""
    return part.kind != "word" or re.search(r":\d{1,10}\]$", part.text) is not None


def _put_together(
    group: list[Line], lines: list[str], *, shows_level: bool, weak: bool, until: date | None
) -> Guess | None:
    """The format of lines that begin alike. `weak`: parts that more of them have go before those that are
    more surely of a header. `until`: as `guess` has it."""
    doubts: list[str] = []
    header = Header()
    own = [replace(line) for line in group]
    if all(_CURSOR.match(line.text, line.at) for line in own):
        doubts.append(
            "these are entries of journalctl -o verbose, of which machine, unit and level are text alone: "
            "journalctl -o export, or -o json, writes them so that they are read as such"
        )
    write_prefix(header, own)
    if not write_time(header, own, doubts, until):
        return None
    write_rest(header, own, shows_level=shows_level, weak=weak)
    match = compiled(header.pattern, header.shapes, header.times).match
    fits = [text for text in lines if match(text) is not None]
    if not fits:
        return None
    made = finished(header, fits[0])
    score = len(fits) / len(lines) * min(1.0, header.strength)
    return Guess(made, len(fits), len(lines), score, tuple(doubts))


_LINE_FORMATS: dict[tuple[object, ...], tuple[Format, re.Pattern[str]]] = {}
"""What `guess_line` made, by what decides about it."""
MOST_LINE_FORMATS = 1024


def guess_line(line: str, *, shows_level: bool = True) -> Format | None:
    """The format of a line by itself, where it begins with a time: the time, and a level, or a machine and a
    tag with a process id, behind it. Lines of the same layout share it, so that a line takes little."""
    line = line[:LINE_CHARACTERS]
    if not begins_with_time(line):
        return None
    begin = re.match(_BEGIN, line)
    found = grammar.time_at(line, begin.end() if begin else 0)
    if begin is None or found is None:
        return None
    before = bool(begin["sequence"]), bool(begin["level"])
    key = (
        begin["sign"], bool(begin["priority"]), begin["version"], before, found.key, found.options,
        shows_level,
    )  # fmt: skip
    known = _LINE_FORMATS.get(key)
    if known is None:
        made = _line_format(line, begin, found, shows_level=shows_level)
        if made is None:
            return None
        known = made, made.compiled()
        if len(_LINE_FORMATS) >= MOST_LINE_FORMATS:
            _LINE_FORMATS.clear()
        _LINE_FORMATS[key] = known
    chosen, header = known
    # A layout tells nearly all of a header: what it does not tell is looked at, line by line.
    if header.match(line) is None:
        return None
    return chosen


def _line_format(line: str, begin: re.Match[str], time: Part, *, shows_level: bool) -> Format | None:
    """The format of all lines that begin like this one."""
    header = Header()
    if begin["priority"]:
        header.pattern = f"<<<Priority>>{begin['version'] or ''}"
        header.shapes["Priority"] = r"\d{1,3}"
    if begin["sequence"]:
        header.pattern += "<Sequence> "
        header.shapes["Sequence"] = _SEQUENCE
    if begin["level"]:
        header.pattern += "<Early> "
        header.shapes["Early"] = _EARLY_LEVEL
        if shows_level:
            header.shown.append("Early")
    alone = Line(line, (), begin["sign"], time, time.end)
    header.pattern += literal(begin["sign"])
    if not write_time(header, [alone], []):
        return None
    header.pattern += "{:}{ [<Level>]}{:}{ <Word>}{ <Host> <Tag>}{:}{ }<Content>"
    header.shapes |= {
        "Level": grammar.LEVEL,
        "Word": rf"{grammar.LEVEL}(?=[: \t])",
        "Host": r"[A-Za-z0-9][\w.-]{0,252}+",
        "Tag": r"[^\s:\[\]]{1,128}+\[\d{1,10}\]:(?!\S)",
    }
    if shows_level:
        header.shown += ["Level", "Word"]
    match = compiled(header.pattern, header.shapes, header.times).match
    return finished(header, line) if match(line) else None


_SEQUENCE = r"\d{1,10}:|\[\d{1,10}\]"
_EARLY_LEVEL = rf"[\[(]?{grammar.LEVEL}[\])]?:?|=[A-Z]{{3,20}} REPORT===="
"""A sequence number, or a level (Erlang's are those of reports), that stands before the time."""
_BEGIN = (
    rf"(?P<priority><\d{{1,3}}>(?P<version>\d{{1,2}} )?)?"
    rf"(?:(?:(?P<sequence>{_SEQUENCE})|(?P<level>{_EARLY_LEVEL}))[ \t]{{1,4}}+)?(?P<sign>[\[(\"*.@]?)"
)
_NEAR_DIGIT = re.compile(r"[^\n]{0,32}?\d")
_UNSURE = ("%s", "%E%f", "%m/%d", "%m-%d", "%m%d", "%y%m%d", "?/?/?")


def begins_with_time(line: str) -> bool:
    """Whether a line begins with a date and a clock of its own."""
    if not _NEAR_DIGIT.match(line):
        return False
    begin = re.match(_BEGIN, line)
    part = grammar.time_at(line[:LINE_CHARACTERS], begin.end() if begin else 0)
    return part is not None and not part.layout.startswith(_UNSURE)
