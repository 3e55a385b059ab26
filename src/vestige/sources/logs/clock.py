"""Times of log lines: strptime-like formats to int64 Unix nanoseconds, exact, cached by the second.

Directives: `%Y %y %m %b %d %H %I %p %M %S %f %L %s %E %N %z %Z %a %%`. `%b` and `%a` are names of months and
days, short or whole, in English, German, French, Spanish, Italian, Portuguese or Dutch; `%f` is one to nine
digits at a field's end, `%L` there milliseconds without leading zeros (`:9` is 9 ms); `%s` is Unix seconds,
`%E` the same in ten digits, behind which more of `%f` may stand (Unix milli-, micro- and nanoseconds), `%N`
a label of TAI64N (24 hexadecimal digits, as multilog writes them), `%Z` the name of a zone. Times without a
zone are taken as UTC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from vestige.evidence.defects import DETAIL, Defect
from vestige.reading.steps import NO_TIME
from vestige.reading.times import HALF, OFFSET, offset_seconds

BAD = NO_TIME
"""Stands for a time that could not be read."""
MOST_NAMED = 20
"""Messages of a unit that are named because their times cannot be read."""
UNTIMED = "its time cannot be read, so the message has none"
NO_LEAP_YEAR = "a 29 February in no leap year, so the message has no time (--year says which year it is)"
FRAME_YEAR = 1972
"""Times without a year are read in this (leap) year, of which no log is; `Clock` moves them into theirs."""

_SECOND, _DAY = 1_000_000_000, 86_400_000_000_000
_JUMP = 31 * _DAY
_DAYS_TO_1970 = date(1970, 1, 1).toordinal() - 1
"""A step of no more than this passes no New Year unseen."""
_HALF_YEAR, _STRAGGLER, _NEAR = 183 * _DAY, 330 * _DAY, _DAY
MOST_YEARS = 60
_CENTURIES = 1 << 62
_TAI_1970 = (1 << 62) + 10
"""The second of TAI64 at which 1970 begins, for what writes logs."""
_ABSENT = 9_000_000_000
"""Seconds that no time has."""
_FRAME = tuple((date(FRAME_YEAR + n, 1, 1).toordinal() - date(1970, 1, 1).toordinal()) * _DAY for n in (0, 1))
_YEARS = range(1678, 2262)
_EPOCH = date(1970, 1, 1).toordinal()


def _in_frame(month: int, day: int, hours: int = 0) -> int:
    """A moment of `FRAME_YEAR`, Unix ns."""
    return (date(FRAME_YEAR, month, day).toordinal() - _EPOCH) * _DAY + hours * 3600 * _SECOND


_LEAP_DAY = _in_frame(2, 29)
_BOOT_ENDS, _BOOT_BEGINS = _in_frame(1, 8), _in_frame(12, 31, 12)
"""A clock that nobody set shows times before the one, for a week, or, west of Greenwich, after the other."""
_NOVEMBER, _DECEMBER = _in_frame(11, 1), _in_frame(12, 1)
_MONTHS = (
    "jan january januar jänner jän janv janvier ene enero gen gennaio janeiro januari",
    "feb february februar févr fevr fév février febrero febbraio fev fevereiro februari",
    "mar march mär märz mrz mars marzo março mrt maart",
    "apr april avr avril abr abril aprile",
    "may mai mayo mag maggio maio mei",
    "jun june juni juin junio giu giugno junho",
    "jul july juli juil juillet julio lug luglio julho",
    "aug august août aout ago agosto augustus",
    "sep september sept septembre septiembre set settembre setembro",
    "oct october okt oktober octobre octubre ott ottobre out outubro",
    "nov november novembre noviembre novembro",
    "dec december dez dezember déc décembre dic diciembre dicembre dezembro",
)
"""What the months are called."""
MONTH_OF = {name: month for month, names in enumerate(_MONTHS, 1) for name in names.split()}
# Three letters are tried first: that is what nearly all logs have.
_LONGER = sorted((name for name in MONTH_OF if not re.fullmatch("[a-z]{3}", name)), key=len, reverse=True)
ZONES = {
    "UTC": 0, "GMT": 0, "UCT": 0, "WET": 0, "WEST": 60, "BST": 60, "CET": 60, "MEZ": 60, "MET": 60,
    "CEST": 120,
    "MESZ": 120, "MEST": 120, "EET": 120, "SAST": 120, "EEST": 180, "MSK": 180, "JST": 540, "KST": 540,
    "AWST": 480, "AEST": 600, "AEDT": 660, "NZST": 720, "NZDT": 780, "BRT": -180, "ART": -180, "AST": -240,
    "ADT": -180, "EST": -300, "EDT": -240, "CST": -360, "CDT": -300, "MST": -420, "MDT": -360, "PST": -480,
    "PDT": -420, "AKST": -540, "AKDT": -480, "HST": -600,
}  # fmt: skip
"""Minutes east of UTC of zones that are called by names; of a name that several have, its most common."""
SEVERAL = frozenset({"CST", "BST", "AST"})
"""Names that several zones have (the middle of America and China): it is told."""
UNREAD = (
    "ACDT", "ACST", "HKT", "ICT", "IDT", "IRST", "IST", "MYT", "NPT", "PHT", "PKT", "SGT", "TRT", "WIB",
)  # fmt: skip
"""Names of zones that are told and not read: as often they are machines, or the first word of a message."""
_NAMES = rf"[A-Za-z]{{3}}|(?i:{'|'.join(_LONGER)})\.?|[A-Za-z]{{3}}\."
_SHAPES = {
    "Y": r"\d{4}", "y": r"\d{2}", "m": r"\d{1,2}", "b": _NAMES,
    "d": r"\d{1,2}", "H": r"\d{1,2}", "I": r"\d{1,2}", "p": HALF, "M": r"\d{1,2}",
    "S": r"\d{1,2}", "f": r"\d{1,9}", "L": r"\d{1,3}", "s": r"\d{1,11}", "E": r"\d{10}",
    "N": r"[0-9a-f]{24}",
    "z": f"Z|{OFFSET}",
    "Z": "|".join(sorted(ZONES, key=len, reverse=True)),
    "a": r"[A-Za-z]{3}|[A-Za-z\u00c0-\u017f]{2,13}\.?",
}  # fmt: skip
_DIRECTIVE = re.compile(r"%(.?)| +")
_FRACTION = re.compile(r"(?<!%)(?:%%)*%[fL]\Z")


def exact(layout: str) -> bool:
    """Whether a time field ends in a fraction of a second."""
    return _FRACTION.search(layout) is not None


def shape(layout: str) -> str:
    """The regex of a time field; where it ends in a fraction, with groups `head` and `fraction`.

    Raises ValueError for an unknown directive.
    """
    if exact(layout):
        return f"(?P<head>{shape(layout[:-2])})(?P<fraction>{_SHAPES[layout[-1]]})"
    out, at = [], 0
    for found in _DIRECTIVE.finditer(layout):
        out.append(re.escape(layout[at : found.start()]))
        at = found.end()
        kind = found[1]
        if kind is None:
            out.append(r"[ \t]{1,8}+")
        elif kind == "%":
            out.append("%")
        elif kind in {"f", "L"}:
            raise ValueError(f"%{kind} must stand at the end of its field")
        elif kind not in _SHAPES:
            raise ValueError(f"unknown directive %{kind}; known are {' '.join('%' + k for k in _SHAPES)}")
        else:
            out.append(f"(?:{_SHAPES[kind]})")
    return "".join([*out, re.escape(layout[at:])])


class TimeParser:
    """Texts of the time fields (without the fraction) to nanoseconds; equal texts are read once."""

    def __init__(self, layouts: Sequence[str]) -> None:
        """Raises ValueError for an unknown directive, or where day or month are missing. Without any
        layout no line has a time."""
        for layout in layouts:
            shape(layout)
        kinds = [kind for kind in re.findall(r"%(.)", "\n".join(layouts)) if kind not in "%a"]
        if len(set(kinds)) != len(kinds):
            raise ValueError("a directive occurs twice")
        absolute = bool({"s", "E", "N"} & set(kinds))
        if layouts and not absolute and "d" not in kinds:
            raise ValueError("the time must give a day: %d with a month, or %s")
        if layouts and not absolute and not {"m", "b"} & set(kinds):
            raise ValueError("the time must give a month: %m or %b")
        # Of milliseconds 9 is the same as 009; the digits of a fraction begin behind the point.
        self._milliseconds = "L" in kinds
        # What most logs have is read without looking for the rest.
        self._numbers_only = {*kinds} - {"f", "L"} == {*"YmdHMS"}
        self.has_year = not layouts or absolute or bool({"Y", "y"} & set(kinds))
        parts = [_grouped(layout) for layout in layouts]
        self._whole = re.compile("\n".join(parts) or "(?!)", re.ASCII)
        self._partial = re.compile("\n".join(f"(?:{part})?" for part in parts) or "(?!)", re.ASCII)
        self._cache: dict[tuple[str | None, ...], int] = {}

    def parse(self, texts: tuple[str | None, ...], fraction: str | None) -> int:
        """Nanoseconds since 1970 of one line's time fields, in their order; BAD where they name no time.

        A field in an optional part of the header may be None.
        """
        whole = self._cache.get(texts)
        if whole is None:
            whole = self._cache[texts] = self._read(texts)
        if fraction is None or whole == BAD:
            return whole
        if self._milliseconds:
            return whole + int(fraction) * 1_000_000
        return whole + int(fraction) * int(10 ** (9 - len(fraction)))

    def forget(self) -> None:
        """Drop the cache: called between blocks, so that it never grows."""
        self._cache.clear()

    def _read(self, texts: tuple[str | None, ...]) -> int:  # noqa: PLR0911 - as many ways to be no time
        try:
            found = self._whole.fullmatch("\n".join(texts))  # type: ignore[arg-type]
            if self._numbers_only and found is not None:
                return _from_numbers(*map(int, found.group(*"YmdHMS")))
        except TypeError:
            found = self._partial.fullmatch("\n".join([text or "" for text in texts]))
        if found is None:
            return BAD
        part = found.groupdict()
        if "s" in part or "E" in part:
            seconds = int(part.get("s") or part.get("E") or _ABSENT)
            if seconds >= _ABSENT:
                return BAD
            return seconds * _SECOND
        if "N" in part:
            return _from_label(part["N"])
        clock = [_hour(part), int(part.get("M") or 0), int(part.get("S") or 0)]
        year, month = _year(part), _month(part)
        if year not in _YEARS or clock[0] > 23 or clock[1] > 59 or clock[2] > 60:
            return BAD
        try:
            days = date(year, month, int(part["d"] or 0)).toordinal() - _EPOCH
        except ValueError:
            return BAD
        return (((days * 24 + clock[0]) * 60 + clock[1]) * 60 + clock[2] - _zone(part)) * _SECOND


@dataclass
class Untimed:
    """Messages whose times cannot be read: `count` of them, of which the first are named."""

    count: int = 0
    named: int = 0

    def note(
        self, file: str, read: NDArray[np.int64], t_ns: NDArray[np.int64], line: NDArray[np.int64]
    ) -> list[Defect]:
        """Take in the next messages of a file, `(n,)`: their times as they were read, as `Clock.set` dated
        them, and their 1-based lines. Returns what is said of them."""
        rows = np.flatnonzero(t_ns == BAD)
        named = rows[: MOST_NAMED - self.named]
        self.count += len(rows)
        self.named += len(named)
        told = zip(line[named].tolist(), (read[named] == BAD).tolist(), strict=True)
        return [Defect(file, row, DETAIL, UNTIMED if unread else NO_LEAP_YEAR) for row, unread in told]

    @property
    def more(self) -> dict[str, int]:
        """How many there were beyond those named, as `LeftOut.add` takes it."""
        return {DETAIL: self.count - self.named}


def _from_numbers(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Nanoseconds since 1970, UTC; BAD for what is no time."""
    if year not in _YEARS or hour > 23 or minute > 59 or second > 60:
        return BAD
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return BAD
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * _SECOND


def _from_label(label: str) -> int:
    """Nanoseconds since 1970 of a label of TAI64N: 2^62 and ten seconds are put before Unix seconds by what
    writes logs (daemontools, runit, s6), whatever the leap seconds; `BAD` for what is no such time."""
    seconds, rest = int(label[:16], 16) - _TAI_1970, int(label[16:], 16)
    if not 0 <= seconds < _ABSENT or rest >= _SECOND:
        return BAD
    return seconds * _SECOND + rest


def _grouped(layout: str) -> str:
    """Like `shape`, each directive a named group; the fraction, read apart, is left out."""
    pieces = re.split(r"%(.)", layout)
    out = [_blanks(pieces[0])]
    for kind, text in zip(pieces[1::2], pieces[2::2], strict=True):
        if kind == "%":
            out.append("%")
        elif kind == "a":
            out.append(_SHAPES[kind])
        elif kind not in {"f", "L"}:
            out.append(f"(?P<{kind}>{_SHAPES[kind]})")
        out.append(_blanks(text))
    return "".join(out)


def _blanks(text: str) -> str:
    return r"[ \t]+".join(re.escape(word) for word in re.split(" +", text))


def _year(part: dict[str, str | None]) -> int:
    if full := part.get("Y"):
        return int(full)
    if short := part.get("y"):
        # The year 69 is 1969, as POSIX has it.
        if int(short) < 69:
            return int(short) + 2000
        return int(short) + 1900
    return FRAME_YEAR


def month_of(name: str) -> int:
    """The number of a month by its name; 0 where it is none."""
    return MONTH_OF.get(name.lower().rstrip("."), 0)


def _month(part: dict[str, str | None]) -> int:
    if name := part.get("b"):
        return month_of(name)
    return int(part.get("m") or 0)


def _hour(part: dict[str, str | None]) -> int:
    half = part.get("p")
    hour = int(part.get("H") or part.get("I") or 0)
    if half is None:
        return hour
    if hour > 12:
        return _ABSENT
    # 12 AM is midnight, 12 PM noon.
    return hour % 12 + 12 * (half[0] in "pP")


def _zone(part: dict[str, str | None]) -> int:
    """Seconds east of UTC."""
    if name := part.get("Z"):
        return ZONES[name] * 60
    return offset_seconds(part.get("z"))


@dataclass
class Clock:
    """One file's run of time: times without a year get theirs, and messages without a time a place.

    `year`: that of the first message; None where times name theirs. A step back of more than half a year
    means that a New Year has passed; a step ahead of more than eleven months, that a straggler of the old
    year came after it. Both are counted from `frame_ns`, the last time (in `FRAME_YEAR`) that was believed,
    `years` after the first.

    A machine without a clock begins at 1 January 1970 whenever it starts (in its own zone, which may make it
    31 December) and jumps back once it is told the time: a jump there from the middle of a year is no New
    Year, and nothing is counted from such times (`booting`). Where a file begins so, the first jump away is
    no straggler, however far it leads, until there was another time (`settled`).

    Where a New Year seems to have passed and the times then jump back to where they were (`left_ns`), it was
    none: two clocks write into one file, one of them months behind. Those of the `other_ns` one count nothing
    from then on, as long as it is met again before the first has gone on for a month (`met_ns`).
    """

    year: int | None
    last_ns: int = 0
    frame_ns: int | None = None
    years: int = 0
    booting: bool = False
    settled: bool = False
    left_ns: int | None = None
    came_ns: int = 0
    other_ns: int | None = None
    met_ns: int = 0

    def to_dict(self) -> dict[str, int | None]:
        """JSON-ready: `Clock(**plain)` goes on from there."""
        return dict(vars(self))

    def set(self, t_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The final times `(n,)` of the next messages of the file. A 29 February has none in a year that is
        no leap year."""
        # Messages of another format, whose times name a year, may stand between those that do not.
        framed = in_frame(t_ns)
        if not framed.any():
            return t_ns
        frame = t_ns[framed]
        if self.year is None:
            self._begin_after(t_ns[: framed.argmax()], int(frame[0]))
        if self.year is None:
            return t_ns
        out = t_ns.copy()
        out[framed] = dated(frame, self.year + self.passed(frame))
        return out

    def place(self, t_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the next messages `(n,)` stand in time: one without a time, where the one before it does."""
        known = t_ns != BAD
        placed = t_ns
        if not known.all():
            held = np.concatenate([[self.last_ns], t_ns[known]])
            placed = held[np.cumsum(known)]
        if len(placed):
            self.last_ns = int(placed[-1])
        return placed

    def _begin_after(self, before: NDArray[np.int64], first: int) -> None:
        """Times without a year begin in a file whose times have one: nearest to the last of those."""
        known = before[before != BAD]
        last = self.last_ns
        if len(known):
            last = int(known[-1])
        # Seconds since a start are in that year, too, where they are some years; before them are no dates.
        if last >= _FRAME[1]:
            year = np.datetime64(last, "ns").astype("datetime64[Y]").astype(int) + 1970
            near = np.arange(year - 1, year + 2)
            then = dated(np.full(3, first), near)
            apart = np.where(then == BAD, _CENTURIES, np.abs(np.where(then == BAD, 0, then) - last))
            self.year = int(near[apart.argmin()])

    def passed(self, frame: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many years after the first message's each of the next is, `(n,)`, by its time in
        `FRAME_YEAR`."""
        steps = np.diff(frame, prepend=frame[0] if self.frame_ns is None else self.frame_ns)
        at_boot = (frame < _BOOT_ENDS) | (frame >= _BOOT_BEGINS)
        jumps = np.abs(steps) > _JUMP
        if not self.booting and not jumps.any():
            self.frame_ns = int(frame[-1])
            self.settled |= not at_boot.all()
            return np.full(len(frame), bounded(self.years))
        jumps[0] = True
        jumps[1:] |= at_boot[1:] != at_boot[:-1]
        starts = np.flatnonzero(jumps).tolist()
        years = np.empty(len(frame), dtype=np.int64)
        for start, stop in zip(starts, [*starts[1:], len(frame)], strict=True):
            of_run = self._run(int(frame[start]), int(frame[stop - 1]), at_boot=bool(at_boot[start]))
            years[start:stop] = bounded(of_run)
        return years

    def _run(self, first: int, last: int, *, at_boot: bool) -> int:
        """The year of some messages between whose times there is no jump."""
        if self.frame_ns is None:
            self.frame_ns = first
        before = self.frame_ns
        self.booting = at_boot and (self.booting or _leads_to_boot(before, first))
        if self.booting:
            return self.years - (first >= _BOOT_BEGINS)
        if self._is_of_other(before, first):
            self.other_ns, self.met_ns = last, before
            return self.years
        if self._returns(before, first):
            self.other_ns, self.met_ns, self.left_ns = before, first, None
            self.years -= 1
        elif first - before < -_HALF_YEAR:
            # The turn of the year.
            self.left_ns, self.came_ns = before, first
            self.years += 1
        elif first - before > _STRAGGLER and (self.settled or first >= _BOOT_BEGINS):
            # Nearly a year ahead: a straggler from before that turn.
            self.years -= 1
        self.frame_ns = last
        self.settled |= not at_boot
        return self.years

    def _is_of_other(self, before: int, first: int) -> bool:
        """Whether a jump leads to the other clock of the file."""
        if self.other_ns is None or abs(before - self.met_ns) > _JUMP:
            return False
        return abs(first - before) > _JUMP and abs(first - self.other_ns) <= _NEAR

    def _returns(self, before: int, first: int) -> bool:
        """Whether a jump ahead leads back to where the last New Year seemed to pass, in no month for that."""
        if self.left_ns is None or self.left_ns >= _NOVEMBER or abs(before - self.came_ns) > _JUMP:
            return False
        return first - before > _JUMP and abs(first - self.left_ns) <= _NEAR


def bounded(years: int) -> int:
    """Years that may pass in a file: who writes one New Year after the other gets no other times than 64
    bits hold."""
    return min(max(years, -MOST_YEARS), MOST_YEARS)


def in_frame(t_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which times `(n,)` name no year."""
    framed: NDArray[np.bool_] = (t_ns >= _FRAME[0]) & (t_ns < _FRAME[1])
    return framed


def _leads_to_boot(before: int, first: int) -> bool:
    """Whether a step to where clocks begin is a jump, from where no year ends."""
    latest = _NOVEMBER
    if first < _BOOT_ENDS:
        latest = _DECEMBER
    return _BOOT_ENDS <= before < latest and abs(first - before) > _JUMP


def dated(frame: NDArray[np.int64], year: NDArray[np.int64]) -> NDArray[np.int64]:
    """Times of `FRAME_YEAR` moved into their years, `(n,)`; BAD where that year has no such day."""
    if len(year) and (year[0] == year).all():
        year = year[:1]  # as it nearly always is
    before = year - 1
    start = (365 * before + before // 4 - before // 100 + before // 400 - _DAYS_TO_1970) * _DAY
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    times = frame + (start - _FRAME[0])
    if leap.all():
        return times
    # `FRAME_YEAR` is a leap year: behind its 29 February all days of another year are one earlier.
    later = ~leap & (frame >= _LEAP_DAY + _DAY)
    times -= later * _DAY
    return np.where(~leap & ~later & (frame >= _LEAP_DAY), BAD, times)
