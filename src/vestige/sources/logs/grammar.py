"""The parts of which headers of log lines are made: times in every common layout, levels, process ids,
threads, components, hosts. `next_part` says what stands at a place of a line; `guess` puts headers together
from it.

Every expression here is bounded or possessive, and looks at the first `LINE_CHARACTERS` of a line only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from vestige.reading.times import HALF, OFFSET
from vestige.sources.logs import clock

LINE_CHARACTERS = 512
"""Where a header must be over."""
PREFIX_CHARACTERS = 200
"""Where the time must begin."""
PREFIX_WORDS = 6
"""Words of any kind that may stand before the time."""

LEVELS = frozenset((
    "trace", "debug", "dbg", "fine", "finer", "finest", "verbose", "config", "info", "information",
    "informational", "inf", "notice", "note", "notify", "warn", "warning", "wrn", "error", "err",
    "severe", "critical", "crit", "fatal", "ftl", "alert", "emerg", "emergency", "panic", "system",
    "log", "statement", "detail", "hint", "audit", "success", "failure",
))  # fmt: skip
"""What levels are called; in capitals and small letters."""
_CONSOLE = r"(?:fail|trce|dbug)(?=:[ \t]{1,8}[A-Za-z_][\w.`+<>-]{0,120}\[-?\d{1,10}\])"
"""Levels of the console of .NET, which are words of a language elsewhere: `fail: Example.Server[13]`."""
LEVEL = rf"(?:(?i:{'|'.join(sorted(LEVELS, key=len, reverse=True))})(?![\w.-])|{_CONSOLE})"
TRUE_LEVEL = r"(?i:trace|debug|finest|finer|fine|info|warning|warn|error|severe|critical|fatal)(?![\w.-])"
"""A level that is no name of a part of a program: `audit`, `config` and `log` stand behind slashes, too."""
LETTER = r"[TVDINWECFA](?![\w.:'-])"
MODULE = rf"[\w-]{{0,40}}[.:]{LEVEL}"
"""A level behind the part of a program that wrote it: `core:error`, `app.ERROR`."""
OF_THREAD = rf"[^\[\]/\n]{{1,60}}/{TRUE_LEVEL}"
"""A level behind the thread that wrote it: `Server thread/INFO`."""
LOGCAT = r"[^\s/()][^/()\n]{0,60}\([ \t]{0,8}\d{1,10}\)"
"""A tag and a process id, as Android's logcat writes them behind the letter of a level and a slash."""
DAYS = frozenset((
    "mon", "monday", "tue", "tues", "tuesday", "wed", "wednesday", "thu", "thur", "thurs", "thursday",
    "fri", "friday", "sat", "saturday", "sun", "sunday", "mo", "montag", "di", "dienstag", "mi",
    "mittwoch", "do", "donnerstag", "fr", "freitag", "sa", "samstag", "so", "sonntag", "lun", "lundi",
    "mar", "mardi", "mer", "mercredi", "jeu", "jeudi", "ven", "vendredi", "sam", "samedi", "dim",
    "dimanche", "lunes", "martes", "mié", "mie", "miércoles", "jue", "jueves", "vie", "viernes", "sáb",
    "sab", "sábado", "dom", "domingo", "lunedì", "martedì", "mercoledì", "gio", "giovedì", "venerdì",
    "sabato", "domenica", "seg", "ter", "qua", "qui", "sex", "ma", "maandag", "dinsdag", "wo",
    "woensdag", "donderdag", "vr", "vrijdag", "za", "zaterdag", "zo", "zondag",
))  # fmt: skip
"""What days are called, in small letters, in English, German, French, Spanish, Italian, Portuguese and
Dutch."""
NO_HOSTS = frozenset({*LEVELS, "stdout", "stderr", "am", "pm", *(zone.lower() for zone in clock.ZONES)})
"""What stands behind a time and is no machine, in small letters."""
_SELECTOR = (
    r"(?:kern|user|mail|daemon|auth(?:priv)?|security|syslog|lpr|news|uucp|cron|ftp|local[0-7])"
    r"\.(?:emerg|panic|alert|crit|err(?:or)?|warn(?:ing)?|notice|info|debug)"
)
"""Facility and severity, as BusyBox writes them before a tag."""
_SECOND_TIME = re.compile(
    r"(?:19|20)\d\d-[01]\d-[0-3]\d"
    rf"|[0-2]?\d:[0-5]\d(?::[0-6]\d(?:[.,]\d{{1,9}})?(?:Z|{OFFSET})?)?"
)
"""The day or the clock of a second time, which may be a machine's name by its signs alone."""
HOST = r"[A-Za-z0-9][\w.-]{0,252}+|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.%\w]{1,60}+"
TAG = r"[^\s:\[\]]{1,128}+(?:\[[^\s\[\]]{1,64}\])?+:(?!\S)"

NUMBER = r"(?:[pt]id[ =:]?)?\d{1,10}(?:[:#.] ?(?:tid[ =:]?)?\d{1,20})?|#\d{1,10}|0x[0-9A-Fa-f]{1,16}"
THREAD = (
    r"(?=[^\])]{0,120}?[a-z])(?i:main|[^\[\]()\n]{0,60}"
    r"(?:thread|pool|exec|worker|nio|conn|timer|dispatcher|handler|scheduler)[^\[\]()\n]{0,60}"
    r"|[A-Za-z][\w.#/ -]{0,60}-\d{1,10})"
)
BRACKET = r"(?![ \t])[^\[\]\n]{1,80}"
COMPONENT = (
    r"[A-Za-z_$][\w$-]{0,80}+(?:(?:\.|::|/|\\|\$|:(?=[\w<]))[\w$<>*-]{1,80}+){1,24}+"
    r"(?:\[\w{0,20}\]|\([^\s()]{0,80}\))?+"
)
NAMED = r"[A-Za-z_][\w.$:/@-]{0,120}"

_NAMES = r"(?:[A-Za-z]{3}|[A-Za-z\u00c0-\u017f]{3,10}\.?)"
_DAY_NAME = r"(?:[A-Za-z]{2,10}|[A-Za-z\u00c0-\u017f]{2,13})\.?"
_CLOCK = r"(?P<clock>[ 0-2]?\d:[0-5]\d:[0-6]\d)"
# Three digits between commas are those that Python's logging writes; other numbers there are the next column.
_FRACTION = r"(?P<fraction>\.\d{1,9}(?!\d)|,(?:\d{3}(?=,)|\d{1,9}(?![\d,]))|:\d{3}(?!\d))?+"
_HALF = rf"(?P<half>[ \t\u00a0\u202f]?{HALF}(?![\w.]))?+"
REGION = r"[A-Z][a-z]{2,12}/[A-Za-z_]{2,30}(?:/[A-Za-z_]{2,30})?"
# What is further from UTC than any zone, or by no quarter of an hour, is a process id (PostgreSQL's `%t-%p`).
_NAMED = (
    r"[ \t](?:UTC|GMT)(?=(?:\+(?:0\d|1[0-3])|-(?:0\d|1[01]))(?::?(?:00|15|30|45))?(?![\d:])"
    r"|(?:\+14|-12)(?::?00)?(?![\d:]))"
)
_ZONE = (
    rf"(?P<zone>(?:[ \t]{{0,2}}|{_NAMED})(?:Z(?![\w.])|{OFFSET}(?![\d.-])(?!:\d))"
    rf"|[ \t](?:{'|'.join(clock.ZONES)})(?![\w.]))?+(?P<region>[ \t]{REGION})?+"
)
_TAIL = r"(?P<tail>[ \t](?:19|20)\d\d(?![\w.:/-]))?+"

# Of a date: what it looks like, and its layout. The first that matches is taken.
_DATES = (
    (r"(?:19|20)\d\d-[01]?\d-[0-3]?\d", "%Y-%m-%d"),
    (r"(?:19|20)\d\d/[01]?\d/[0-3]?\d", "%Y/%m/%d"),
    (r"(?:19|20)\d\d\.[01]?\d\.[0-3]?\d", "%Y.%m.%d"),
    (r"(?:19|20)\d\d:[01]\d:[0-3]\d", "%Y:%m:%d"),
    (rf"[0-3]?\d/{_NAMES}/(?:19|20)\d\d", "%d/%b/%Y"),
    (rf"{_NAMES}/[0-3]?\d/(?:19|20)\d\d", "%b/%d/%Y"),
    (rf"[0-3]?\d-{_NAMES}-(?:19|20)\d\d", "%d-%b-%Y"),
    (rf"[0-3]?\d\.? {_NAMES},? (?:19|20)\d\d", "%d %b %Y"),
    (rf"(?:19|20)\d\d {_NAMES} [ 0-3]?\d", "%Y %b %d"),
    (rf"(?:19|20)\d\d-{_NAMES}-[ 0-3]?\d", "%Y-%b-%d"),
    (rf"{_NAMES} [ 0-3]?\d,? (?:19|20)\d\d", "%b %d %Y"),
    (rf"{_NAMES} {{1,2}}[0-3]?\d(?![\d,])", "%b %d"),
    (rf"[0-3]?\d\.? {_NAMES}", "%d %b"),
    (r"[0-3]?\d\.[0-3]?\d\.(?:19|20)\d\d", "%d.%m.%Y"),
    (r"[0-3]?\d/[0-3]?\d/(?:19|20)\d\d", "?/?/%Y"),
    (r"[0-3]?\d-[0-3]?\d-(?:19|20)\d\d", "?-?-%Y"),
    (r"[0-3]?\d/[0-3]?\d/\d\d", "?/?/?"),
    (rf"{_NAMES}/[0-3]?\d", "%b/%d"),
    (r"(?:19|20)\d\d[01]\d[0-3]\d", "%Y%m%d"),
    (r"\d\d[01]\d[0-3]\d", "%y%m%d"),
    (r"[01]?\d/[0-3]?\d", "%m/%d"),
    (r"[01]\d-[0-3]\d", "%m-%d"),
    (r"[01]\d[0-3]\d", "%m%d"),
)
_BETWEEN = r"(?P<between>T|_|;|[ \t]{0,2}\t[ \t]{0,2}|[ ,]time=| @ |,? {1,2}(?:-{1,2} )?|,|:{1,2}|-|\|)"


@cache
def _times() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Expressions of a date and a clock, and the date's layout. Compiled where one is looked for: many a file
    needs none of them."""
    return tuple(
        (
            re.compile(
                rf"(?P<name>{_DAY_NAME},? )?(?P<date>{date}){_BETWEEN}"
                rf"{_CLOCK}{_FRACTION}{_HALF}{_ZONE}{_TAIL}(?![\w/])"
            ),
            layout,
        )
        for date, layout in _DATES
    )


# Date and clock without a sign in them, and the clocks of Blue Gene (15.42.50).
_HMS = r"(?P<clock>[0-2]\d[0-5]\d[0-6]\d)"
_H_M_S = r"(?P<clock>[0-2]\d[.-][0-5]\d[.-][0-6]\d)"
_END = rf"{_FRACTION}{_ZONE}(?![\w/])"


@cache
def _compact() -> tuple[tuple[re.Pattern[str], str, str], ...]:
    """Expressions of dates and clocks without signs in them, and the layouts of each."""
    return tuple(
        (re.compile(pattern), date, clock_layout)
        for pattern, date, clock_layout in (
            (rf"(?P<date>(?:19|20)\d\d[01]\d[0-3]\d)(?P<between>[T_:-]?){_HMS}{_END}", "%Y%m%d", "%H%M%S"),
            (rf"(?P<date>(?:19|20)\d\d-[01]\d-[0-3]\d)(?P<between>[-_ ]){_H_M_S}{_END}", "%Y-%m-%d", ""),
            (rf"(?P<date>\d\d[01]\d[0-3]\d)(?P<between> ){_HMS}(?![\w/])", "%y%m%d", "%H%M%S"),
        )
    )


_EPOCH = re.compile(
    r"(?P<seconds>1\d{9})(?P<more>\d{3}|\d{6}|\d{9})?(?P<fraction>\.\d{1,9}|,\d{3,9}(?=[\s\])]))?(?![\w.-])"
)
_UPTIME = re.compile(r"(?P<seconds>\d{1,9})(?P<fraction>\.\d{3,9})(?P<unit>s)?(?![\w.-])")
_CLOCK_ALONE = re.compile(
    rf"(?:{_CLOCK}{_FRACTION}{_HALF}|(?P<short>[01]?\d:[0-5]\d[ \t]?[AaPp][Mm]))(?![\w/:])"
)
_TAI = re.compile(r"(?<=@)4[0-9a-f]{23}(?!\w)")
"""A label of TAI64N, as multilog and svlogd write it."""
_MAYBE = re.compile(
    r"(?<![\w.:/-])(?=[\dA-Za-z\u00c0-\u017f])|(?<=\b[IWEFDV])(?=\d{4})|(?<=\d:)(?=\d{8}:\d{6})"
)
"""Where a time may begin; the last is behind the process id of Zabbix."""

CLOSING = {"[": "]", "(": ")", "{": "}", "<": ">", '"': '"', "'": "'"}
_LEAD = re.compile(r"[ \t]*(?:(?:-{1,3}|::|[|:,;>*/]|\|\|)(?:[ \t]+|(?=[\[(<\"])|(?<=[|;,])))?")
KEY = r"[A-Za-z@][\w.@-]{0,30}=\"?"


@dataclass(frozen=True)
class Part:
    """A part of a header. `lead` and `opening` stand before it, `closing` behind it; `layout`: of a time,
    that of date and clock; `options`: what else was seen of it. `end`: where in the line the next part
    begins."""

    kind: str
    lead: str
    opening: str
    closing: str
    end: int
    layout: str = ""
    options: frozenset[str] = field(default=frozenset(), compare=False)
    text: str = field(default="", compare=False)

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What parts of several lines have in common."""
        return self.kind, self.lead, self.opening, self.closing, self.layout


def find_time(line: str, *, weak: bool = False) -> tuple[int, Part] | None:
    """The first time of a line, and where it begins. `weak`: a clock without a day, or seconds since some
    start, at the line's beginning."""
    if weak:
        at = int(line[:1] in CLOSING)
        part = time_at(line, at, weak=True)
        uptime = _UPTIME.match(line, at)
        if uptime is not None:
            unit = frozenset({"unit"} if uptime["unit"] else ())
            part = Part("time", "", "", "", uptime.end(), "%s.%f", unit, uptime[0])
        return None if part is None else (at, part)
    head = line[:PREFIX_CHARACTERS]
    for place in _MAYBE.finditer(head):
        found = time_at(line, place.start())
        if found is not None:
            return place.start(), found
    return None


def time_at(line: str, at: int, *, weak: bool = False) -> Part | None:
    """The time that begins at a place of a line. `weak`: also a clock without a day."""
    if at >= len(line):
        return None
    for pattern, date_layout in _times():
        found = pattern.match(line, at)
        if found is not None and _is_date(found["date"], found["name"], date_layout):
            return _dated(found, date_layout, "%H:%M:%S")
    for pattern, date_layout, clock_layout in _compact():
        found = pattern.match(line, at)
        if found is not None:
            layout = clock_layout or f"%H{found['clock'][2]}%M{found['clock'][5]}%S"
            return _dated(found, date_layout, layout)
    counted = _counted(line, at)
    if counted is not None:
        return counted
    if weak:
        found = _CLOCK_ALONE.match(line, at)
        if found is not None:
            return Part("clock", "", "", "", found.end(), "", frozenset(), found[0])
    return None


def _counted(line: str, at: int) -> Part | None:
    """The time that is a number of seconds, or a label of TAI64N."""
    found = _EPOCH.match(line, at)
    if found is not None and not (found["more"] and found["fraction"]):
        options = {f"fraction:{found['fraction'][0]}"} if found["fraction"] else set()
        layout = "%E%f" if found["more"] else "%s"
        return Part("time", "", "", "", found.end(), layout, frozenset(options), found[0])
    found = _TAI.match(line, at)
    return None if found is None else Part("time", "", "", "", found.end(), "%N", frozenset(), found[0])


def _is_date(date: str, name: str | None, layout: str) -> bool:
    """Whether names in a date are those of a month and a day."""
    if "%b" in layout:
        words = re.findall(r"[^\W\d_]+", date)
        if not words or clock.month_of(words[0]) == 0:
            return False
    return name is None or name.strip(" ,.").lower() in DAYS


def _dated(found: re.Match[str], date_layout: str, clock_layout: str) -> Part:
    part = found.groupdict()
    layout = date_layout
    date = found["date"]
    if "%b" in date_layout or " " in date_layout:
        # Signs of this line's own date, such as `6. Mai` and `May 06, 2024`.
        if re.match(r"[0-3]?\d\. ", date):
            layout = layout.replace("%d ", "%d. ", 1)
        if "," in date:
            layout = re.sub(r" %Y$", ", %Y", layout)
    between = re.sub(r"[ \t]+", " ", found["between"])
    options = set()
    half = part.get("half")
    hours = clock_layout
    if half:
        hours = clock_layout.replace("%H", "%I")
    layout = f"{layout}{between}{hours}"
    if name := part.get("name"):
        layout = f"%a{',' if ',' in name else ''} {layout}"
    if half:
        options.add(f"half:{half[0] if half[0].isspace() else ''}")
        layout += "%p"
    if fraction := part.get("fraction"):
        options.add(f"fraction:{fraction[0]}")
    if zone := part.get("zone"):
        blank = " " if zone[0] in " \t" else ""
        kind = "Z" if zone.strip() in clock.ZONES else "z"
        # Of `UTC+02:00` the name stands for itself, and the offset behind it is the zone.
        name = zone.strip()[:3] if kind == "z" and zone.strip().startswith(("UTC", "GMT")) else ""
        options.add(f"zone:{blank}{name}{kind}")
    if part.get("region"):
        options.add("region")
    if part.get("tail"):
        layout += "~"
    return Part("time", "", "", "", found.end(), layout, frozenset(options), found[0])


def parts_at(line: str, at: int, seen: frozenset[str]) -> list[Part]:
    """The parts of a header as which what stands at a place of a line can be read, the likeliest first.
    `seen`: the kinds before it."""
    line = line[:LINE_CHARACTERS]
    lead = _LEAD.match(line, at)
    start = at
    if lead is not None:
        start = lead.end()
    return list(_readings(line, start, seen, line[at:start]))


def _readings(line: str, start: int, seen: frozenset[str], lead: str) -> Iterator[Part]:
    blank = re.sub(r"[ \t]+", " ", lead)
    for pattern, kind in _parts():
        if kind in seen and kind in _ONCE:
            continue
        if kind in _NEEDS_LEAD and not blank:
            continue
        found = pattern.match(line, start)
        if found is None:
            continue
        if kind == "host" and not _is_syslog(found, line[:start]):
            continue
        if kind in LEVEL_KINDS and seen & LEVEL_KINDS:
            continue
        opened = found["open"]
        closed = "" if kind == "host" else re.sub(r"[ \t]+", " ", found["close"])
        options = set()
        if opened and closed.startswith(" ") and closed.strip():
            options.add("padded")
            closed = closed.lstrip()
        if found["left"]:
            options.add("left")
        if kind == "host" and "[" in found["close"]:
            options.add("pid")
        if kind == "again":
            again = time_at(line, found.start("core"), weak=True)
            if again is None:
                continue
            shut = CLOSING.get(opened[-1:], "")
            if not line.startswith(shut, again.end):
                continue
            yield Part("again", blank, opened, shut, again.end + len(shut), text=again.text)
            continue
        yield Part(kind, blank, opened, closed, found.end(), "", frozenset(options), found["core"])


def _part(core: str, close: str, opens: str = "") -> re.Pattern[str]:
    return re.compile(rf"(?P<open>{opens})(?P<left>)(?P<core>{core})(?P<close>{close})")


def _bracketed(core: str, opens: str = r"[\[(<{|]") -> re.Pattern[str]:
    return re.compile(
        rf"(?P<open>{opens})(?P<left>[ \t]{{0,40}}+)(?P<core>{core})"
        r"(?P<close>[ \t]{0,16}[\])>}|](?:[ \t]?:(?!\S))?)"
    )


@cache
def _parts() -> tuple[tuple[re.Pattern[str], str], ...]:
    """What a place is tried for, in this order: expression and kind."""
    return (
        (_part(LEVEL, r"\"?(?!\S)", KEY), "level"),
        (_part(r"\d{1,12}", r"(?!\S)", r"(?:[pt]id|p|thread|tid)="), "number"),
        (_part(r"(?=[\dA-Za-z])[^\s\]\")]{6,40}", "", r"(?:[\w.@-]{1,30}=\"?)?[\[(\"]?"), "again"),
        (_bracketed(LEVEL), "level"),
        (_bracketed(MODULE, r"\["), "module"),
        (_bracketed(OF_THREAD, r"\["), "of_thread"),
        (_bracketed(LETTER), "letter"),
        (_bracketed(NUMBER, r"[\[(]"), "number"),
        (_bracketed(THREAD, r"[\[(]"), "thread"),
        (_bracketed(COMPONENT, r"[\[({]"), "component"),
        (_part(LEVEL, r"(?::(?!\S))?"), "level"),
        (_part(MODULE, r":(?!\S)"), "module"),
        (_part(r"[VDIWEFS]", r"(?=/\S)"), "mark"),
        (_part(LETTER, r"(?!\S)"), "letter"),
        (_part("stdout|stderr", r"(?!\S)"), "stream"),
        (_part(r"#?\d{1,10}", r"\]"), "number"),
        (_part(r"\d{1,10}#\d{1,10}", ":"), "worker"),
        (_part(r"[\w-]{1,60}", r"\]", "/"), "process"),
        (_part(LOGCAT, r":(?!\S)", "/"), "logcat"),
        (_part(COMPONENT, r"[ \t]{0,64}(?:\]|:|[ \t]-|[ \t]\||>)(?!\S)"), "component"),
        (_part(HOST, rf"[ \t]+{TAG}"), "host"),
        (_part(r"\d{1,10}", r"(?!\S)"), "bare"),
        (_bracketed(BRACKET, r"\["), "bracket"),
        (
            _part(NAMED, r"(?:[ \t]{0,64}:|[ \t]-|[ \t]\||(?=\[\d))(?!\S)|(?=[ \t]{0,64}\[\d{1,10}\]:)"),
            "name",
        ),
    )


_ONCE = frozenset(
    {"level", "module", "of_thread", "letter", "mark", "host", "component", "stream", "worker", "name"}
)
LEVEL_KINDS = frozenset({"level", "module", "of_thread", "letter", "mark"})
_NEEDS_LEAD = frozenset({"host", "component", "name", "bare"})
WEAK = frozenset({"bare", "bracket", "name"})
"""Parts that belong to a header only where a better one stands behind them."""


def _is_syslog(found: re.Match[str], before: str) -> bool:
    """Whether a machine and a tag behind it may be what they look like: `box sshd[1]:`, but not `PHP
    Warning:`."""
    tag = found["close"].strip(" \t:").lower()
    return is_host(found["core"]) and tag not in LEVELS and not before.rstrip(" \t").endswith("]")


def is_host(text: str) -> bool:
    """Whether a word may be the name of a machine: no level, number, stream, zone or second time."""
    low = text.lower().strip("[]():,")
    if _SECOND_TIME.fullmatch(text):
        return False
    if low in NO_HOSTS or low != text.lower() or re.fullmatch(_SELECTOR, low):
        return False
    if re.fullmatch(r"[\d.]+", text) and not re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", text):
        return False
    return re.fullmatch(rf"(?:{HOST})(?:/[\w.-]{{1,253}})?", text) is not None
