"""A format made for a file of which no format is known: its header is put together from the parts that the
first lines have in common. What comes out is an ordinary `Format`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from vestige.sources.logs import clock, grammar, records
from vestige.sources.logs.format import Format, compiled
from vestige.sources.logs.grammar import LEVEL_KINDS, LINE_CHARACTERS, PREFIX_WORDS, WEAK, Part
from vestige.sources.logs.masks import GUESSED

RECORDS = "records"
"""What a format of JSON objects is called."""
NAME = "guessed"
"""What a guessed format is called."""
VERSION = 2
"""Of what is guessed: it is part of a dataset's settings, and changes with whatever changes a header."""
MASKS = (
    "url", "email", "uuid", "mac", "rhost", "user", "ip", "host", "pci", "path", "winpath", "hex", "hash",
    "size", "ctime", "date", "time", "num",
)  # fmt: skip
MOST_PARTS = 10
_SURE, _MANY, _SOME = 0.9, 0.6, 0.2
_BEFORE = frozenset({*LEVEL_KINDS, "number", "thread", "stream", "bare"})
"""Parts that are known as such before the time, too."""
_SHARES = {
    "level": _SOME, "letter": _SURE, "number": 0.3, "thread": 0.5, "component": _MANY, "host": 0.5,
    "again": _SURE, "module": 0.5,
}  # fmt: skip
"""The share of lines that must have a part, for it to be one of the header; `_SURE` where nothing is said."""
_NAMES = {
    "level": "Level", "letter": "Level", "number": "Pid", "bare": "Pid", "thread": "Thread",
    "bracket": "Part",
    "component": "Component", "name": "Component", "stream": "Stream", "worker": "Worker", "again": "Again",
    "word": "Word", "cell": "Word", "priority": "Priority", "mark": "Level", "module": "Level",
    "process": "Process",
}  # fmt: skip
_SHAPES = {
    "level": grammar.LEVEL, "letter": grammar.LETTER, "mark": "[A-Z]", "module": grammar.LEVEL,
    "number": grammar.NUMBER, "bare": r"\d{1,10}(?!\S)", "worker": r"\d{1,10}#\d{1,10}",
    "serial": r"\d{1,12}", "priority": r"\d{1,3}", "thread": grammar.THREAD, "process": r"[\w-]{1,60}",
    "bracket": grammar.BRACKET, "component": grammar.COMPONENT, "name": grammar.NAMED,
    "stream": "stdout|stderr", "cell": r"[\w .-]{1,64}",
}  # fmt: skip


START, START_OF_ARRAY = r"(?=\{)", r"(?=[\[\x1e]?\{)"
"""Where a record begins: one of an array behind its bracket, of a JSON text sequence (RFC 7464) behind RS."""
PLAIN = r"[A-Za-z_][\w.$/@-]{0,120}"
"""A component without dots in its name."""
Key = tuple[str, str, str, str, str]
"""See `Part.key`."""


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


@dataclass
class _Line:
    """A line whose header is being read: up to where, and which kinds of parts were seen."""

    text: str
    before: tuple[Part, ...]
    opening: str
    time: Part
    at: int
    seen: frozenset[str] = frozenset({"time"})


@dataclass
class _Header:
    """A header being written."""

    pattern: str = ""
    times: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, str] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    strength: float = 0.0
    host: str | None = None

    def name(self, wanted: str) -> str:
        """A name that no field has yet."""
        taken = {*self.times, *self.shapes}
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}{number}"
        return name


def guess(lines: Sequence[str], *, shows_level: bool = True) -> Guess | None:
    """The format of these lines; None where fewer than half of them begin alike with a time.

    `shows_level`: models see the level of a message; not where it is the label.
    """
    short = [line[:LINE_CHARACTERS] for line in lines]
    group = _alike(short, weak=False)
    if 2 * len(group) < len(short):
        group = max(group, _alike(short, weak=True), key=len)
    if not group:
        return None
    tried = [_put_together(group, short, shows_level=shows_level, weak=weak) for weak in (False, True)]
    found = [each for each in tried if each is not None]
    return max(found, key=lambda each: (each.score, each.fits), default=None)


def _finished(header: _Header, example: str) -> Format:
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


def guess_records(lines: Sequence[str], *, timed: bool = False) -> Guess | None:
    """The format of lines that are JSON objects, or journald's export form; None where they are not, for the
    most part, or hold no message. `timed`: not where they have no time, either."""
    if any(line.startswith(records.EXPORT) for line in lines):
        n = len(lines)
        return _of_records(f"{records.EXPORT}<Content>", {}, records.JOURNALD, n, n, lines)
    found, whole = records.sample(lines)
    if not found or whole < records.FIT * len(lines):
        return None
    each = [inner for record in found for inner in records.records_of(record)]
    keys = records.find_keys(each)
    if keys is None or (timed and "time" not in keys):
        return None
    start = START
    if not all(line.startswith("{") for line in lines if records.load(line) is not None):
        start = START_OF_ARRAY
    return _of_records("<Start><Content>", {"Start": start}, keys, whole, len(lines), lines)


def _of_records(
    header: str, shapes: dict[str, str], keys: dict[str, str], fits: int, n: int, lines: Sequence[str]
) -> Guess | None:
    """The format of records; None where none of the lines has its header, as damaged ones may not."""
    key = (header, *shapes.items(), *keys.items())
    made = _RECORD_FORMATS.get(key)
    if made is None:
        match = compiled(header, shapes, {}).match
        example = next((line for line in lines if match(line)), None)
        if example is None:
            return None
        docker = keys.get("message") == "log" and header.startswith("<")
        made = Format(
            name=RECORDS,
            header=header,
            field=shapes,
            keys=keys,
            partial=records.DOCKER if docker else "",
            example=[example],
            masks=list(MASKS),
            mask=GUESSED,
            types=True,
        )
        if len(_RECORD_FORMATS) >= MOST_LINE_FORMATS:
            _RECORD_FORMATS.clear()
        _RECORD_FORMATS[key] = made
    doubts = (
        ()
        if "time" in keys
        else ("its records have no time that is known as such, so the messages have none",)
    )
    return Guess(made, fits, n, fits / n, doubts)


_RECORD_FORMATS: dict[tuple[object, ...], Format] = {}
"""What `_of_records` made, by header and keys."""


def _alike(lines: list[str], *, weak: bool) -> list[_Line]:
    """The lines that begin alike, up to their time: the most there are. `weak`: see `grammar.find_time`."""
    groups: dict[tuple[object, ...], list[_Line]] = {}
    for text in lines:
        line = _line(text, weak=weak)
        if line is not None:
            key = (tuple(part.key for part in line.before), line.opening, line.time.key)
            groups.setdefault(key, []).append(line)
    return max(groups.values(), key=len, default=[])


def _put_together(group: list[_Line], lines: list[str], *, shows_level: bool, weak: bool) -> Guess | None:
    """The format of lines that begin alike. `weak`: parts that more of them have go before those that are
    more surely of a header."""
    doubts: list[str] = []
    header = _Header()
    own = [replace(line) for line in group]
    _write_prefix(header, own)
    if not _write_time(header, own, doubts):
        return None
    _write_rest(header, own, shows_level=shows_level, weak=weak)
    match = compiled(header.pattern, header.shapes, header.times).match
    fits = [text for text in lines if match(text) is not None]
    if not fits:
        return None
    made = _finished(header, fits[0])
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
    header = _Header()
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
    alone = _Line(line, (), begin["sign"], time, time.end)
    header.pattern += _literal(begin["sign"])
    if not _write_time(header, [alone], []):
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
    return _finished(header, line) if match(line) else None


_SEQUENCE = r"\d{1,10}:|\[\d{1,10}\]"
_EARLY_LEVEL = rf"[\[(]?{grammar.LEVEL}[\])]?:?|=[A-Z]{{3,20}} REPORT===="
"""A sequence number, or a level (Erlang's are those of reports), that stands before the time."""
_BEGIN = (
    rf"(?P<priority><\d{{1,3}}>(?P<version>\d{{1,2}} )?)?"
    rf"(?:(?:(?P<sequence>{_SEQUENCE})|(?P<level>{_EARLY_LEVEL}))[ \t]{{1,4}}+)?(?P<sign>[\[(\"*.]?)"
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


def _line(text: str, *, weak: bool) -> _Line | None:
    found = grammar.find_time(text, weak=weak)
    if found is None:
        return None
    at, time = found
    stop = max(text.rfind(" ", 0, at), text.rfind("\t", 0, at)) + 1
    before = _words(text, stop)
    if before is None:
        return None
    opening = text[stop:at]
    if numbered := _NUMBERED.fullmatch(text, 0, at):
        before = []
        if numbered["priority"]:
            before.append(Part("priority", "", "<", ">", at, text=numbered["priority"]))
        opening = ""
        time = replace(time, options=time.options | {"cisco"})
    elif number := re.fullmatch(r"<(\d{1,3})>|(\d{1,10})([,;:|])", opening):
        if number[1]:
            before.append(Part("priority", _blank(before), "<", ">", at, text=number[1]))
        else:
            before.append(Part("number", _blank(before), "", number[3], at, text=number[2]))
        opening = ""
    elif listed := _LISTED.fullmatch(opening):
        before.append(Part("cell", _blank(before), listed[1], listed[3], at, text=listed[2]))
        opening = ""
    elif re.fullmatch("[IWEFDVC]", opening):
        before.append(Part("mark", _blank(before), "", "", at, text=opening))
        opening = ""
    elif re.search(r"\d", opening) or len(opening) > 24:
        return None
    elif opening in {"*", "."}:
        opening = " " if stop else ""
        time = replace(time, options=time.options | {"star"})
    elif stop:
        opening = f" {opening}"
    return _Line(text, tuple(before), opening, time, time.end)


_LISTED = re.compile(r"(\"?)([A-Za-z](?:[\w .-]{0,60}\w)?)(\"?[,;|]\"?)")
"""A cell of a list that stands before the time: `Information,2025-11-12 08:01:00`."""
_VARIES = re.compile(r"[^\W_](?!.*=$)")
"""A word that another line may have otherwise, even if the first ones all have it: anything but signs and the
key of a value. A line with another word is a message all the same, and none that goes on with the last."""
_NUMBERED = re.compile(r"(?:<(?P<priority>\d{1,3})>)?(?=[\d*.])(?:\d{1,10}: {1,4})?[*.]?")
"""What Cisco's IOS writes before a time: a sequence number, and a mark of a clock that was not set."""


def _blank(before: list[Part]) -> str:
    return " " if before else ""


def _words(text: str, stop: int) -> list[Part] | None:
    """What stands before the time: parts of a header, or words of any kind."""
    parts: list[Part] = []
    seen: frozenset[str] = frozenset()
    at = 0
    while at < stop and text[at:stop].strip(" \t"):
        if len(parts) == PREFIX_WORDS:
            return None
        found = grammar.parts_at(text, at, seen)
        whole = [
            part
            for part in found
            if part.kind in _BEFORE
            and (part.kind != "level" or part.opening or part.text.isupper())
            and part.end <= stop
            and (part.end == stop or text[part.end] in " \t")
        ]
        if whole:
            part = whole[0]
        else:
            word = re.compile(r"([ \t]*)(\S+)").match(text, at, stop)
            if word is None:
                return None
            part = Part("word", " " if word[1] else "", "", "", word.end(), text=word[2])
        parts.append(part)
        seen |= {part.kind}
        at = part.end
    return parts


def _write_prefix(header: _Header, group: list[_Line]) -> None:
    for at, part in enumerate(group[0].before):
        texts = {line.before[at].text for line in group}
        header.strength -= 0.05
        if part.kind == "word" and len(texts) == 1 and not _VARIES.search(part.text):
            header.pattern += _literal(f"{part.lead}{part.text}")
            continue
        _write(header, part, [line.before[at] for line in group], optional=False)
        name = list(header.shapes)[-1]
        if part.kind in {"word", "cell", *LEVEL_KINDS} and any(re.search("[A-Za-z]", text) for text in texts):
            header.shown.append(name)
    header.pattern += _literal(group[0].opening)


def _write_time(header: _Header, group: list[_Line], doubts: list[str]) -> bool:
    """Write the time and what closes it; False where it is of no layout."""
    first = group[0]
    if first.time.kind == "clock":
        header.pattern += "<Clock>"
        header.shapes["Clock"] = r"[\d:.,]{7,20}(?:[ \t]?[AaPp]\.?[Mm]\.?)?"
        header.strength += 0.5
        doubts.append("its times name no day, so the messages have none")
        _write_closing(header, group)
        return True
    tail = first.time.layout.endswith("~")
    layout = _ordered(first.time.layout.rstrip("~"), [line.time.text for line in group], doubts)
    if layout is None:
        return False
    seen = Counter(option for line in group for option in line.time.options)
    if seen["cisco"]:
        header.pattern += "{<Sequence>: }{<Star>}"
        header.shapes |= {"Sequence": r"\d{1,10}", "Star": "[*.]"}
    elif seen["star"]:
        header.pattern += "{<Star>}"
        header.shapes["Star"] = "[*.]"
    half = "%p" in layout
    header.times["Time"] = layout.replace("%p", "")
    header.pattern += "<Time>"
    if seen["unit"]:
        header.pattern += "s"
    header.strength += 0.6 if "%Y" in layout or "%E" in layout else 0.5
    if fraction := _commonest(seen, "fraction:"):
        header.times["Fraction"] = f"{fraction}%f"
        header.pattern += "{<Fraction>}"
        header.strength += 0.1
    if half:
        header.times["Half"] = "%p"
        header.pattern += "{ }<Half>"
    if zone := _commonest(seen, "zone:"):
        header.times["Zone"] = f"%{zone[-1]}"
        header.pattern += "{ <Zone>}" if zone[0] == " " else "{<Zone>}"
        header.strength += 0.1
    elif seen["cisco"]:
        header.times["Zone"] = "%Z"
        header.pattern += "{ <Zone>}"
    if seen["region"]:
        header.pattern += "{ <Region>}"
        header.shapes["Region"] = grammar.REGION
        doubts.append("zones that are called by regions, such as Europe/Berlin, are taken as UTC")
    if tail:
        header.times["Year"] = "%Y"
        header.pattern += " <Year>"
    if not _timed(header):
        return False
    _write_closing(header, group)
    return True


def _write_closing(header: _Header, group: list[_Line]) -> None:
    """What closes the time, where all lines have it: a bracket, or the number of an event and a bracket."""
    shut = grammar.CLOSING.get(group[0].opening[-1:])
    if shut is None:
        return
    closing = re.compile(
        rf"(?:(?P<serial>:\d{{1,12}})|(?P<blank>[ \t]+))?{re.escape(shut)}(?P<colon>:(?!\S))?"
    )
    found = [closing.match(line.text, line.at) for line in group]
    matches = [match for match in found if match is not None]
    if len(matches) < len(group):
        return
    if all(match["serial"] for match in matches):
        header.pattern += ":<Serial>"
        header.shapes["Serial"] = _SHAPES["serial"]
    elif any(match["serial"] for match in matches):
        return
    if any(match["blank"] for match in matches):
        header.pattern += "{ }"
    header.pattern += _literal(shut)
    header.strength += 0.1
    colon = all(match["colon"] for match in matches)
    if colon:
        header.pattern += ":"
    for line, match in zip(group, matches, strict=True):
        line.at = match.end() if colon or match["colon"] is None else match.end() - 1


def _write_rest(header: _Header, group: list[_Line], *, shows_level: bool, weak: bool) -> None:
    """The parts behind the time, for as long as the lines have them in common, and where the content
    begins."""
    written: list[tuple[Part, list[Part], bool]] = []
    places = [[line.at for line in group]]
    while len(written) < MOST_PARTS:
        readings = [grammar.parts_at(line.text, line.at, line.seen) for line in group]
        chosen = _elected(readings, weak=weak)
        if chosen is None:
            break
        taken = []
        found = [_as_chosen(parts, chosen) for parts in readings]
        if chosen.closing == ":" and None in found:
            # With a colon many a message begins: only where all lines have it, it is that of a component.
            found = [next((part for part in parts if part.key == chosen.key), None) for parts in readings]
        for line, part in zip(group, found, strict=True):
            if part is not None:
                taken.append(part)
                line.at, line.seen = part.end, line.seen | {chosen.kind}
        written.append((chosen, taken, len(taken) < len(group)))
        places.append([line.at for line in group])
    while written and (written[-1][0].kind in WEAK):
        written.pop()
        places.pop()
    for part, taken, optional in written:
        shown = _write(header, part, taken, optional=optional)
        if part.kind in LEVEL_KINDS and shows_level:
            header.shown.append(shown)
        header.strength += 0.15
    if written and written[-1][0].kind == "host":
        header.pattern += "{ }<Content>"
        return
    rests = [line.text[at:] for line, at in zip(group, places[-1], strict=True)]
    header.pattern += _before_content(rests) + "<Content>"


def _as_chosen(parts: list[Part], chosen: Part) -> Part | None:
    """Of the parts as which a place can be read, the one that was chosen; for a component with dots in its
    name (`app.db`) also one without (`app`, `root`) between the same signs."""
    same = next((part for part in parts if part.key == chosen.key), None)
    if same is not None or chosen.kind != "component" or not chosen.closing.strip():
        return same
    plain = (part for part in parts if part.kind in {"name", "bracket"} and part.key[1:] == chosen.key[1:])
    return next(plain, None)


def _elected(readings: list[list[Part]], *, weak: bool) -> Part | None:
    """The part that enough lines have at their places; None where the messages begin."""
    votes = Counter(key for parts in readings for key in {part.key for part in parts})
    first: dict[Key, Part] = {}
    rank: Counter[Key] = Counter()
    for parts in readings:
        for at, part in enumerate(parts):
            first.setdefault(part.key, part)
            rank[part.key] -= at
    enough = [
        key
        for key, count in votes.items()
        if count >= _share(key) * len(readings) and (key[0] != "host" or _are_hosts(readings))
    ]
    if not enough:
        return None
    if weak:
        return first[max(enough, key=lambda key: (votes[key], rank[key] / votes[key]))]
    return first[max(enough, key=lambda key: (key[0] not in WEAK, votes[key], rank[key] / votes[key]))]


def _are_hosts(readings: list[list[Part]]) -> bool:
    """Whether the words that may be machines are some: tags behind them have process ids, or it is always the
    same machine."""
    hosts = [part for parts in readings for part in parts if part.kind == "host"]
    numbered = sum("pid" in part.options for part in hosts)
    return numbered >= 0.3 * len(hosts) or (len(hosts) > 2 and len({part.text for part in hosts}) == 1)


def _share(key: Key) -> float:
    """The share of lines that must have a part."""
    kind, _, opening, *_ = key
    if opening.endswith("=") and kind not in LEVEL_KINDS:
        return _SURE
    return _SHARES.get(kind, _SURE)


def _write(header: _Header, part: Part, parts: list[Part], *, optional: bool) -> str:
    """Write a part; returns the name of its field."""
    lead = _literal(part.lead)
    if part.kind == "host":
        header.pattern += f"{lead}<Host> {{<Tag>}}"
        header.shapes["Tag"] = grammar.TAG
        header.host = "Host"
        return "Host"
    name = header.name(_NAMES[part.kind])
    if part.kind == "word":
        header.shapes[name] = r"\S{1,200}+"
    elif part.kind == "again":
        header.shapes[name] = _again([each.text for each in parts])
    else:
        header.shapes[name] = _SHAPES[part.kind]
    if part.kind == "component" and (part.closing.strip() not in {"", ":"} or not optional):
        # Names without dots stand there, too: `root`, or `app` of which `app.db` is a part.
        header.shapes[name] = rf"{grammar.COMPONENT}|{PLAIN}"
    shape = header.shapes[name]
    if any("left" in each.options for each in parts):
        shape = header.shapes[name] = rf"[ \t]*+(?:{shape})"
    module = ""
    if part.kind == "module":
        own = header.name("Module")
        module, header.shapes[own] = f"<{own}>{re.split(grammar.LEVEL, part.text)[0][-1]}", r"[\w-]{0,40}+"
    padding = ""
    if any("padded" in each.options for each in parts):
        padding = "{ }"
    if optional and padding:
        # An optional part holds no other: the field itself takes the blanks.
        padding, header.shapes[name] = "", rf"(?>{header.shapes[name]})[ \t]*+"
    text = f"{lead}{_literal(part.opening)}{module}<{name}>{padding}{_literal(part.closing)}"
    if optional:
        text = f"{{{text}}}"
    header.pattern += text
    return name


def _before_content(rests: list[str]) -> str:
    """What stands between the last part and the content."""
    leads = [re.match(r"[ \t]*(?:(?:-{1,3}|[|:,;>.])(?!\S)|[|,;])?[ \t]*", rest) for rest in rests]
    texts = [_one_blank(lead[0]) if lead else "" for lead in leads]
    text, count = Counter(texts).most_common(1)[0]
    if count == len(texts) and text.strip():
        if not text.endswith(" ") and all(re.match(r"[ \t]*[|,;]\S", rest) for rest in rests):
            return _literal(text)
        return _literal(text.rstrip()) + " "
    if all(each.startswith(" ") or not rest for each, rest in zip(texts, rests, strict=True)):
        return " "
    return "{ }"


def _again(texts: list[str]) -> str:
    """The shape of a second time: digits, letters and signs as these have them."""
    return r"[\dA-Za-z:+.,/-]{6,40}" + (
        "(?:[ _][\\d:.,]{5,20})?" if any(" " in text for text in texts) else ""
    )


def _ordered(layout: str, texts: list[str], doubts: list[str]) -> str | None:
    """The layout with day and month in their order, where the date does not show it by itself."""
    if "?" not in layout:
        return layout
    numbers = [[int(n) for n in re.findall(r"\d+", text)[:3]] for text in texts]
    columns = list(zip(*numbers, strict=False))
    if layout.startswith("?/?/?"):
        orders = ["%y/%m/%d", "%m/%d/%y", "%d/%m/%y"]
        rest = layout.removeprefix("?/?/?")
    else:
        sign = layout[layout.index("?") + 1]
        orders = [f"%m{sign}%d", f"%d{sign}%m"]
        if sign == "-":
            orders.reverse()
        rest = layout.removeprefix(f"?{sign}?")
    fitting = [order for order in orders if _sane(order, columns)]
    if not fitting:
        return None
    if len(fitting) > 1:
        steady = [order for order in fitting if _steps_on(order, numbers)]
        if len(steady) == 1:
            fitting = steady
        else:
            doubts.append(
                f"the dates, read as {fitting[0]}, would fit {' and '.join(fitting[1:])}, too: say `time` in "
                "a format of your own if that is what they are"
            )
    return f"{fitting[0]}{rest}"


def _sane(order: str, columns: list[tuple[int, ...]]) -> bool:
    limits = {"d": 31, "m": 12, "y": 99}
    letters = re.findall(r"%(\w)", order)
    return all(max(column) <= limits[letter] for letter, column in zip(letters, columns, strict=False))


def _steps_on(order: str, numbers: list[list[int]]) -> bool:
    """Whether the days never step back, and step on at least once by a single day."""
    letters = re.findall(r"%(\w)", order)
    days = []
    for row in numbers:
        named = dict(zip(letters, row, strict=False))
        days.append((named.get("y", 0), named["m"], named["d"]))
    steps = pairwise(days)
    return days == sorted(days) and any(a[:2] == b[:2] and b[2] == a[2] + 1 for a, b in steps)


def _timed(header: _Header) -> bool:
    """Whether the layouts are those of a time."""
    try:
        clock.TimeParser(list(header.times.values()))
    except ValueError:
        return False
    return True


def _commonest(seen: Counter[str], kind: str) -> str:
    """The commonest option of a kind; empty where no line has one."""
    found = [(count, option) for option, count in seen.items() if option.startswith(kind)]
    return max(found)[1].removeprefix(kind) if found else ""


def _literal(text: str) -> str:
    """Text that stands for itself in a header's pattern."""
    return _one_blank(text).replace("<", "<<").replace("{", "{{").replace("}", "}}")


def _one_blank(text: str) -> str:
    return re.sub(r"[ \t]+", " ", text)
