"""A header that lines have in common, put together part by part."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise

from vestige.reading.times import HALF
from vestige.sources.logs import clock, grammar
from vestige.sources.logs.begun import Line
from vestige.sources.logs.grammar import LEVEL_KINDS, WEAK, Part

MOST_PARTS = 10
OF_ORDER = "the dates, read as"
"""With this it is said that day and month may stand the other way round."""
_SURE, _MANY, _SOME = 0.9, 0.6, 0.2
_SHARES = {
    "level": _SOME, "letter": _SURE, "number": 0.3, "thread": 0.5, "component": _MANY, "host": 0.5,
    "again": _SURE, "module": 0.5, "of_thread": 0.5,
}  # fmt: skip
"""The share of lines that must have a part, for it to be one of the header; `_SURE` where nothing is said."""
_NAMES = {
    "level": "Level", "letter": "Level", "number": "Pid", "bare": "Pid", "thread": "Thread",
    "bracket": "Part",
    "component": "Component", "name": "Component", "stream": "Stream", "worker": "Worker", "again": "Again",
    "word": "Word", "cell": "Word", "priority": "Priority", "mark": "Level", "module": "Level",
    "of_thread": "Level", "logcat": "Component",
    "process": "Process", "count": "Pid",
}  # fmt: skip
_SHAPES = {
    "level": grammar.LEVEL, "letter": grammar.LETTER, "mark": "[A-Z]", "module": grammar.LEVEL,
    "of_thread": grammar.TRUE_LEVEL, "logcat": grammar.LOGCAT,
    "number": grammar.NUMBER, "bare": r"\d{1,10}(?!\S)", "worker": r"\d{1,10}#\d{1,10}",
    "serial": r"\d{1,12}", "priority": r"\d{1,3}", "thread": grammar.THREAD, "process": r"[\w-]{1,60}",
    "bracket": grammar.BRACKET, "component": grammar.COMPONENT,
    # What closes it may be a colon, too, which it must not take.
    "name": r"[A-Za-z_](?:[\w.$/@-]|:(?=\w)){0,120}",
    "count": r"\d{1,10}", "stream": "stdout|stderr", "cell": r"[\w .-]{1,64}",
}  # fmt: skip
_ZONE_UNDER_KEY = re.compile(
    r"(?<!\S)(?:tz|timezone|time_zone)=\"?(?![\"'\s]|(?:UTC|GMT|Z|[+-]00:?00)(?![\w:]))", re.IGNORECASE
)
"""A zone beside the time, as firewalls write it, unless it is that of UTC: a key by itself, and none within
an address (`?city=5&tz=Europe/Berlin`)."""
_THREAD = re.compile(grammar.THREAD)
_HOURS_EAST = re.compile(r"(?:[ \t](?:UTC|GMT))?[+-]\d(?![\d:])")
"""Hours from UTC without a zero: where nothing of a zone was read, or its name alone."""
_UNREAD_ZONE = re.compile(rf"[ \t]({'|'.join(clock.UNREAD)})(?![\w.:-])")
_UNREAD_HALF = re.compile(
    r"[ \t\u00a0\u202f]{0,2}([上下]午|午[前後]|오[전후]|[πμΠΜ]\.?[ \u00a0]?[μΜ](?!\w)\.?"
    r"|(?:de|du|dop|odp|ip|ap)\.|SA|CH|ÖÖ|ÖS|[صم]|[قب]\.ظ\.?|पूर्वाह्न|अपराह्न)(?![\w.-])"
)
"""Halves of the day that are told and not read, behind a clock: Chinese, Japanese, Korean, Greek, Hungarian,
Czech, Finnish, Vietnamese, Turkish, Arabic, Persian, Hindi."""
_HOUR = re.compile(r"(\d{1,2}):\d\d:\d\d")
_NUMBER_BEHIND_NAME = re.compile(r"(?<=[ \t]UTC|[ \t]GMT)[+-]\d{1,10}(?![\d:])")
"""An offset without a colon, or a process id."""
_MINUTES_EAST = re.compile(r"[+-]\d{3}(?!\d)")
"""A zone as DB2 writes it."""
PLAIN = r"[A-Za-z_][\w.$/@-]{0,120}"
"""A component without dots in its name."""
Key = tuple[str, str, str, str, str]
"""See `Part.key`."""
_VARIES = re.compile(r"[^\W_](?!.*=$)")
"""A word that another line may have otherwise, even if the first ones all have it: anything but signs and the
key of a value. A line with another word is a message all the same, and none that goes on with the last."""


@dataclass
class Header:
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


def write_prefix(header: Header, group: list[Line]) -> None:
    """Write what stands before the time."""
    for at, part in enumerate(group[0].before):
        texts = {line.before[at].text for line in group}
        header.strength -= 0.05
        if part.kind == "word" and len(texts) == 1 and not _VARIES.search(part.text):
            header.pattern += literal(f"{part.lead}{part.text}")
            continue
        name = _write(header, part, [line.before[at] for line in group], optional=False)
        if part.kind in {"word", "cell", *LEVEL_KINDS} and any(re.search("[A-Za-z]", text) for text in texts):
            header.shown.append(name)
    header.pattern += literal(group[0].opening)


def write_time(header: Header, group: list[Line], doubts: list[str], until: date | None = None) -> bool:
    """Write the time and what closes it; False where it is of no layout. `until`: as `guess` has it."""
    first = group[0]
    if first.time.kind == "clock":
        _write_clock(header, group, doubts)
        return True
    _leave_numbers(group)
    tail = first.time.layout.endswith("~")
    texts = [line.time.text for line in group]
    layout = _ordered(first.time.layout.rstrip("~"), texts, doubts, until)
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
    header.strength += 0.6 if re.search("%[YEN]", layout) else 0.5
    if fraction := _commonest(seen, "fraction:"):
        header.times["Fraction"] = f"{fraction}%f"
        header.pattern += "{<Fraction>}"
        header.strength += 0.1
    if half:
        header.times["Half"] = "%p"
        lead = _commonest(seen, "half:") or " "
        # What newer Java and browsers write there is no blank of ASCII.
        header.pattern += f"{{{' ' if lead.isascii() else lead}}}<Half>"
    else:
        _tell_halves(group, doubts)
    _write_zone(header, group, seen, doubts)
    if tail:
        header.times["Year"] = "%Y"
        header.pattern += " <Year>"
    if not _timed(header):
        return False
    _write_closing(header, group)
    return True


def _tell_halves(group: list[Line], doubts: list[str]) -> None:
    """Say where the words behind clocks look like halves of the day in a language that is not read."""
    found = [_UNREAD_HALF.match(line.text, line.time.end) for line in group]
    words = sorted({each[1] for each in found if each is not None})
    hours = [int(clock[1]) for line in group if (clock := _HOUR.search(line.time.text))]
    if 0 < len(words) <= 2 and None not in found and all(0 < hour <= 12 for hour in hours):
        doubts.append(
            f"{' and '.join(words)} behind the times is not read as a half of the day: hours are taken as "
            "those of the morning"
        )


def _leave_numbers(group: list[Line]) -> None:
    """Take what stands behind the name of a zone (`UTC-1000`) for no part of the time, where it is a process
    id: no zone's offset in some lines, or another from line to line."""
    numbers: list[str] = []
    offsets: list[Line] = []
    for line in group:
        time = line.time
        found = _NUMBER_BEHIND_NAME.search(line.text, time.end - len(time.text), time.end + 11)
        if found is None or found.start() > time.end:
            continue
        numbers.append(found[0])
        if found.end() == time.end:
            offsets.append(line)
    changes = sum(before != after for before, after in pairwise(numbers))
    strange = any(len(number) > 3 for number in numbers) and len(offsets) < len(numbers)
    if not strange and 2 * changes < len(numbers):
        return
    for line in offsets:
        time = line.time
        size = len(time.text) - max(time.text.rfind("+"), time.text.rfind("-"))
        kept = frozenset(option for option in time.options if not option.startswith("zone:"))
        line.time = replace(time, end=time.end - size, text=time.text[:-size], options=kept | {"zone: Z"})
        line.at -= size


def _write_zone(header: Header, group: list[Line], seen: Counter[str], doubts: list[str]) -> None:
    """Write the zone of a time, where the options `seen` have one."""
    if zone := _commonest(seen, "zone:"):
        header.times["Zone"] = f"%{zone[-1]}"
        header.pattern += f"{{{zone[:-1]}<Zone>}}"
        header.strength += 0.1
    elif seen["cisco"]:
        header.times["Zone"] = "%Z"
        header.pattern += "{ <Zone>}"
    several = sorted({word for line in group for word in line.time.text.split()} & clock.SEVERAL)
    if several:
        doubts.append(
            f"{', '.join(several)} is what several zones are called, and is read as "
            f"{' and '.join(f'{clock.ZONES[name] / 60:+g} hours' for name in several)} from UTC"
        )
    unread = [found[1] for line in group if (found := _UNREAD_ZONE.match(line.text, line.time.end))]
    if unread and len(unread) >= _SURE * len(group):
        names = ", ".join(sorted(set(unread)))
        doubts.append(f"{names} behind the times is not read as a zone: the times are taken as UTC")
    if any(_HOURS_EAST.match(line.text, line.time.end) for line in group):
        doubts.append("offsets in hours of one digit (UTC+8) are not read: the times are taken as UTC")
    if any(_MINUTES_EAST.match(line.text, line.time.end) for line in group):
        doubts.append("offsets of zones in minutes (+120) are not read: the times are taken as UTC")
    # A message may speak of a zone; what the time is counted in stands in every line, and no second time.
    under_key = sum(_ZONE_UNDER_KEY.search(line.text, line.time.end) is not None for line in group)
    zoned = "Zone" in header.times or seen["region"] or re.search("%[sEN]", header.times["Time"])
    if not zoned and under_key >= _SURE * len(group):
        doubts.append("zones under a key (tz=, timezone=) are not read: the times are taken as UTC")
    if seen["region"]:
        header.pattern += "{ <Region>}"
        header.shapes["Region"] = grammar.REGION
        doubts.append("zones that are called by regions, such as Europe/Berlin, are taken as UTC")


def _write_clock(header: Header, group: list[Line], doubts: list[str]) -> None:
    """Write a clock without a day, which is no time."""
    header.pattern += "<Clock>"
    header.shapes["Clock"] = rf"[\d:.,]{{7,20}}(?:[ \t]?{HALF})?"
    if any(line.time.text.count(":") == 1 for line in group):
        header.shapes["Clock"] = rf"\d{{1,2}}:\d{{2}}[ \t]?{HALF}"
    header.strength += 0.5
    doubts.append("its times name no day, so the messages have none")
    _write_closing(header, group)


def _write_closing(header: Header, group: list[Line]) -> None:
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
    header.pattern += literal(shut)
    header.strength += 0.1
    colon = all(match["colon"] for match in matches)
    if colon:
        header.pattern += ":"
    for line, match in zip(group, matches, strict=True):
        line.at = match.end() if colon or match["colon"] is None else match.end() - 1


def write_rest(header: Header, group: list[Line], *, shows_level: bool, weak: bool) -> None:
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
            elif chosen.kind == "host":
                # A header names one machine: where other lines have it, this one has no second.
                line.seen |= {chosen.kind}
        written.append((chosen, taken, len(taken) < len(group)))
        places.append([line.at for line in group])
    while written and (written[-1][0].kind in WEAK or _hides_message(written, group, places[-1])):
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


def _hides_message(
    written: list[tuple[Part, list[Part], bool]], group: list[Line], places: list[int]
) -> bool:
    """Whether the last part is one of columns between bars of which the message may be any: the rest of most
    lines, at these places, is a word or a thread, so that the message need not be the last column (it is not
    in ActiveMQ). A message of one word looks like the name of a component there, and is not to be lost. It is
    the last column where that alone holds no threads, or is of more words than the columns before it."""
    if written[-1][0].kind not in {"component", "name"} or written[-1][0].closing.strip() != "|":
        return False
    columns = [
        [each.text for each in taken]
        for part, taken, _ in written
        if part.kind == "name" and part.closing.strip() == "|"
    ]
    if not columns:
        return False
    rests = [line.text[at:].strip(" \t|") for line, at in zip(group, places, strict=True)]
    words = sum(" " not in rest or _THREAD.fullmatch(rest) is not None for rest in rests)
    if words < _MANY * len(group):
        return False
    of_threads = _are_threads(rests)
    if of_threads != any(map(_are_threads, columns)):
        return of_threads
    return len(set(rests)) <= max(len(set(column)) for column in columns)


def _are_threads(texts: list[str]) -> bool:
    """Whether at least half of these look like the names of threads; `connected` alone is a message."""
    named = (text for text in texts if text == "main" or not text.isalpha())
    return 2 * sum(_THREAD.fullmatch(text) is not None for text in named) >= len(texts)


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


def _write(header: Header, part: Part, parts: list[Part], *, optional: bool) -> str:
    """Write a part; returns the name of its field."""
    lead = literal(part.lead)
    if part.kind == "host":
        header.pattern += f"{lead}<Host> {{<Tag>}}"
        header.shapes["Tag"] = grammar.TAG
        header.host = "Host"
        return "Host"
    name = header.name(_NAMES[part.kind])
    if part.kind == "word":
        header.shapes[name] = r"\S{1,200}+"
        if any(len(each.text.split()) > 1 for each in parts):
            header.shapes[name] = rf"\[{grammar.BRACKET}\]"
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
    if part.kind == "of_thread":
        own = header.name("Thread")
        module, header.shapes[own] = f"<{own}>/", r"[^\[\]/\n]{1,60}+"
    if part.kind == "module":
        own = header.name("Module")
        module, header.shapes[own] = f"<{own}>{re.split(grammar.LEVEL, part.text)[0][-1]}", r"[\w-]{0,40}+"
    padding = ""
    if any("padded" in each.options for each in parts):
        padding = "{ }"
    if optional and padding:
        # An optional part holds no other: the field itself takes the blanks.
        padding, header.shapes[name] = "", rf"(?>{header.shapes[name]})[ \t]*+"
    text = f"{lead}{literal(part.opening)}{module}<{name}>{padding}{literal(part.closing)}"
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
            return literal(text)
        return literal(text.rstrip()) + " "
    if all(each.startswith(" ") or not rest for each, rest in zip(texts, rests, strict=True)):
        return " "
    return "{ }"


def _again(texts: list[str]) -> str:
    """The shape of a second time: digits, letters and signs as these have them."""
    return r"[\dA-Za-z:+.,/-]{6,40}" + (
        "(?:[ _][\\d:.,]{5,20})?" if any(" " in text for text in texts) else ""
    )


def _ordered(layout: str, texts: list[str], doubts: list[str], until: date | None) -> str | None:
    """The layout with day and month in their order, where the date does not show it by itself. `until`: as
    `guess` has it."""
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
        fitting.sort(key=lambda order: _unlikely(order, numbers, until))
        steady = [order for order in fitting if _steps_on(order, numbers)]
        if len(steady) == 1:
            fitting = steady
        else:
            doubts.append(
                f"{OF_ORDER} {fitting[0]}, would fit {' and '.join(fitting[1:])}, too: say `time` in "
                "a format of your own if that is what they are"
            )
    return f"{fitting[0]}{rest}"


def _sane(order: str, columns: list[tuple[int, ...]]) -> bool:
    limits = {"d": 31, "m": 12, "y": 99}
    letters = re.findall(r"%(\w)", order)
    return all(max(column) <= limits[letter] for letter, column in zip(letters, columns, strict=False))


def _unlikely(order: str, numbers: list[list[int]], until: date | None) -> tuple[bool, int]:
    """How unlikely this order of dates is: least so that of the latest year that none of them leads past
    `until`. Logs of the last years are more than those of the first, and outlive them."""
    year, month, day = max(_days(order, numbers))
    if "y" not in order:
        return False, 0
    past = until is not None and (2000 + year, month, day) > (until.year, until.month, until.day)
    return past, -year


def _days(order: str, numbers: list[list[int]]) -> list[tuple[int, int, int]]:
    """Year (of two digits; 0 where the order has none), month and day of dates."""
    letters = re.findall(r"%(\w)", order)
    named = [dict(zip(letters, row, strict=False)) for row in numbers]
    return [(each.get("y", 0), each["m"], each["d"]) for each in named]


def _steps_on(order: str, numbers: list[list[int]]) -> bool:
    """Whether the days never step back, and step on at least once by a single day."""
    days = _days(order, numbers)
    steps = pairwise(days)
    return days == sorted(days) and any(a[:2] == b[:2] and b[2] == a[2] + 1 for a, b in steps)


def _timed(header: Header) -> bool:
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


def literal(text: str) -> str:
    """Text that stands for itself in a header's pattern."""
    return _one_blank(text).replace("<", "<<").replace("{", "{{").replace("}", "}}")


def _one_blank(text: str) -> str:
    return re.sub(r"[ \t]+", " ", text)
