"""Times of events to int64 Unix nanoseconds, exact: ISO 8601 in its variants, epoch numbers, and what exports
write instead: `/Date(ms)/` (.NET), clocks of twelve hours, names of months, Kibana's and audit's layouts.

Times without a zone are taken as UTC. Anything before 1970 or after 2261 is no time of an event. Whether a
date such as 3/4/2023 begins with its day or its month nobody can see: that is said from outside, and where it
is not, only dates that tell by themselves are times (`Dates` counts what was met).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vestige.reading.times import FIRST_TICKS, HALF, LAST_TICKS, OFFSET, TICKS_1970, offset_seconds
from vestige.sources.events.options import TimeUnit
from vestige.sources.events.strptime import (
    NONE,
    TimeFormat,
    fraction_ns,
    hour_of_day,
    month_number,
    seconds_of,
    year_of,
)

BAD = -1
"""Stands for a text that names no time."""

_END = 9_200_000_000 * 10**9
_DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}
_MAGNITUDES = ((10**11, 9), (10**14, 6), (10**17, 3))
"""A number below so much counts seconds, milliseconds, microseconds: until the year 5138 each."""

_COARSE = 9
"""Digits of nanoseconds: a time in scientific notation that lacks more (`1.718E+12` ms) tells no second."""

_HEAD = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[Tt ]\s?(\d\d):?(\d\d)(?::?(\d\d))?)?", re.ASCII)
_TAIL = re.compile(
    rf"(?:[.,](\d{{1,400}}))?\s?(Z|z|UTC|GMT|{OFFSET})?(?:\[[A-Za-z0-9_/+-]{{1,40}}\])?", re.ASCII
)
_NUMBER = re.compile(r"(\d{1,20})(?:\.(\d{0,400}))?(?:[eE]([+-]?\d{1,2}))?", re.ASCII)
_STAMP = re.compile(r"(?:audit\()?(\d{1,11})\.(\d{1,9}):\d{1,20}\)?", re.ASCII)
"""How the kernel's audit records name themselves: seconds, and a number behind a colon."""
_DOTNET = re.compile(r"\\?/Date\((\d{1,20})(?:[+-]\d{4})?\)\\?/", re.ASCII)
"""Milliseconds; the offset only says where they were written (MS-NRTP, `DataContractJsonSerializer`)."""

_GAP = "[,\\sT\u00a0\u202f]{1,8}"
_CLOCK = (
    "(?P<H>\\d{1,2}):(?P<M>\\d\\d)(?::(?P<S>\\d\\d)(?:[.,:](?P<f>\\d{1,400}))?)?"
    f"(?:[\\s\u00a0\u202f]{{0,3}}(?P<p>{HALF}))?"
)
_ZONE = f"(?:[\\s\u00a0\u202f]{{0,3}}(?P<z>Z|UTC|GMT|{OFFSET}))?"
_DAY_NAME = "(?:[A-Za-z]{3,9}\\.?,?\\s{1,3})?"
_MONTH = "(?P<b>[A-Za-z]{3,9})\\.?"
_OTHERS = [
    re.compile(pattern, re.ASCII)
    for pattern in (
        # 7/28/2023, 8:07:14 PM; 28.07.2023 20:07:14
        rf"(?P<one>\d{{1,2}})(?P<mark>[/.-])(?P<two>\d{{1,2}})(?P=mark)(?P<Y>\d{{4}}|\d\d)(?:{_GAP}{_CLOCK}{_ZONE})?",
        # 2023/07/28 20:07:14; 2023-07-28 8:07:14 PM
        rf"(?P<Y>\d{{4}})(?P<mark>[/.-])(?P<m>\d{{1,2}})(?P=mark)(?P<d>\d{{1,2}})(?:{_GAP}{_CLOCK}{_ZONE})?",
        # 28/Jul/2023:20:07:14 +0000; Fri, 28 Jul 2023 20:07:14 GMT
        rf"{_DAY_NAME}(?P<d>\d{{1,2}})[/\s.-]{{1,2}}{_MONTH}[/\s,-]{{1,2}}(?P<Y>\d{{4}})(?:(?::|{_GAP}){_CLOCK}{_ZONE})?",
        # July 28, 2023 8:07:14 PM; Jul 28, 2023 @ 20:07:14.000
        rf"{_DAY_NAME}{_MONTH}\s{{1,3}}(?P<d>\d{{1,2}}),?\s{{1,3}}(?P<Y>\d{{4}})(?:{_GAP}(?:(?:@|at)\s{{1,3}})?{_CLOCK}{_ZONE})?",
        # Fri Jul 28 20:07:14 2023, and with a zone before or behind the year
        rf"{_DAY_NAME}{_MONTH}\s{{1,3}}(?P<d>\d{{1,2}})\s{{1,3}}{_CLOCK}{_ZONE}\s{{1,3}}(?P<Y>\d{{4}})(?:\s(?P<z2>UTC|GMT|[+-]\d{{4}}))?",
    )
]  # fmt: skip


@dataclass
class Dates:
    """How many dates of numbers alone began with more than 12 (so with their day), had more than 12 in the
    second place (so began with their month), or could be either."""

    day_first: int = 0
    month_first: int = 0
    either: int = 0
    example: str = ""


class TimeReader:
    """Reads times written in one unit, or in the layouts of `formats`; equal seconds are read once.

    `day_first`: how dates such as 3/4/2023 begin; None where that is to be found out: then `dates` counts.
    `rounded`: how many numbers were written with an exponent, and so few digits that they tell no second.
    """

    def __init__(
        self, unit: TimeUnit = "auto", formats: tuple[str, ...] = (), *, day_first: bool | None = None
    ) -> None:
        self._iso = unit in {"auto", "iso"} and not formats
        self._digits = None if unit == "auto" else _DIGITS.get(unit)
        self._numeric = unit != "iso" and not formats
        self._formats = [TimeFormat(layout) for layout in formats]
        self._day_first = day_first
        self.dates = Dates()
        self.rounded = 0
        self._seconds: dict[str, int] = {}
        self._rests: dict[str, int] = {}

    def read(self, text: str) -> int:
        """Nanoseconds since 1970, or BAD."""
        text = text.strip()
        if self._iso and text[4:5] == "-":
            found = self._read_iso(text)
        elif self._numeric and text[:1].isdecimal() and (number := _NUMBER.fullmatch(text)):
            found = self._read_number(number)
        elif self._iso:
            found = self._read_iso(text)
        else:
            found = max((layout.read(text) for layout in self._formats), default=BAD)
        if 0 <= found < _END:
            return found
        return BAD

    def forget(self) -> None:
        """Drop what was remembered: called between blocks, so that it never grows."""
        self._seconds.clear()
        self._rests.clear()

    def _read_iso(self, text: str) -> int:
        head, tail = text[:19], text[19:]
        seconds = self._seconds.get(head)
        if seconds is None:
            match = _HEAD.match(text)
            if match is None:
                return self._read_other(text)
            if match.end() != 19:
                head, tail = text[: match.end()], text[match.end() :]
            seconds = seconds_of(*(int(part or 0) for part in match.groups()))
            if match.end() == 19:
                self._seconds[head] = seconds
        rest = self._rests.get(tail)
        if rest is None:
            rest = _rest(tail)
            if rest == _NO_REST:
                return self._read_other(text)
            self._rests[tail] = rest
        return seconds * 10**9 + rest

    def _read_number(self, match: re.Match[str]) -> int:
        whole, fraction, exponent = match.groups()
        fraction = fraction or ""
        shift = int(exponent or 0)
        digits = self._digits
        if digits is None:
            size = int(whole) * 10**shift
            if FIRST_TICKS <= size < LAST_TICKS:
                return int(size - TICKS_1970) * 100
            digits = next((digits for limit, digits in _MAGNITUDES if size < limit), 0)
        power = digits + shift - len(fraction)
        self.rounded += exponent is not None and power > _COARSE
        value = int(whole + fraction)
        if power >= 0:
            return value * int(10**power)
        return value // int(10**-power)

    def _read_other(self, text: str) -> int:
        """Layouts that are neither ISO nor a number."""
        if found := _DOTNET.fullmatch(text):
            return int(found[1]) * 10**6
        if found := _STAMP.fullmatch(text):
            return int(found[1]) * 10**9 + fraction_ns(found[2])
        for pattern in _OTHERS:
            if found := pattern.fullmatch(text):
                return self._read_parts(found.groupdict(), text)
        return BAD

    def _read_parts(self, part: dict[str, str | None], text: str) -> int:
        day, month = int(part.get("d") or 0), int(part.get("m") or 0)
        if name := part.get("b"):
            month = month_number(name)
        if one := part.get("one"):
            day, month = self._day_and_month(int(one), int(part["two"] or 0), part["mark"] or "", text)
        hour = int(part["H"] or 0)
        if half := part["p"]:
            hour = hour_of_day(hour, half)
        seconds = seconds_of(
            year_of(part["Y"] or ""), month, day, hour, int(part["M"] or 0), int(part["S"] or 0)
        )
        return (seconds - offset_seconds(part["z"] or part.get("z2"))) * 10**9 + fraction_ns(part["f"])

    def _day_and_month(self, first: int, second: int, mark: str, text: str) -> tuple[int, int]:
        # With dots, dates begin with their day wherever they are written so.
        if mark == "." or self._day_first:
            return first, second
        if self._day_first is not None:
            return second, first
        if first > 12:
            self.dates.day_first += 1
            return first, second
        if second > 12:
            self.dates.month_first += 1
        elif first != second:
            self.dates.either += 1
            self.dates.example = self.dates.example or text
            return 0, 0
        return second, first


_NO_REST = NONE * 10**9


def _rest(tail: str) -> int:
    """Nanoseconds to add for what follows the seconds: fraction and zone."""
    match = _TAIL.fullmatch(tail)
    if match is None:
        return _NO_REST
    fraction, zone = match.groups()
    return fraction_ns(fraction) - offset_seconds(zone) * 10**9
