"""Times of events to int64 Unix nanoseconds, exact: ISO 8601 in its variants, and epoch numbers.

Times without a zone are taken as UTC. Anything before 1970 or after 2261 is no time of an event.
"""

from __future__ import annotations

import re
from datetime import date

from vestige.sources.events.options import TimeUnit

BAD = -1
"""Stands for a text that names no time."""

_END = 9_200_000_000 * 10**9
_DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}
_MAGNITUDES = ((10**11, 9), (10**14, 6), (10**17, 3))
"""A number below so much counts seconds, milliseconds, microseconds: until the year 5138 each."""

_HEAD = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ]\s?(\d\d):?(\d\d)(?::?(\d\d))?)?", re.ASCII)
_TAIL = re.compile(r"(?:[.,](\d{1,12}))?\s?(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?", re.ASCII)
_KIBANA = re.compile(r"([A-Z][a-z]{2}) (\d{1,2}), (\d{4}) @ (\d\d):(\d\d):(\d\d)\.(\d{1,9})", re.ASCII)
_NUMBER = re.compile(r"(\d{1,20})(?:\.(\d{0,20}))?(?:[eE]\+?(\d{1,2}))?", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = date(1970, 1, 1).toordinal()
_NEVER = -(10**12)
"""Seconds that stand for no time: far enough from any that a zone may move into our years."""


class TimeReader:
    """Reads times written in one unit; equal seconds are read once."""

    def __init__(self, unit: TimeUnit = "auto") -> None:
        self._iso = unit in {"auto", "iso"}
        self._digits = None if unit == "auto" else _DIGITS.get(unit)
        self._numeric = unit != "iso"
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
            found = BAD
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
                return _kibana(text)
            if match.end() != 19:
                head, tail = text[: match.end()], text[match.end() :]
            seconds = _seconds(*(int(part or 0) for part in match.groups()))
            if match.end() == 19:
                self._seconds[head] = seconds
        rest = self._rests.get(tail)
        if rest is None:
            rest = self._rests[tail] = _rest(tail)
        return seconds * 10**9 + rest

    def _read_number(self, match: re.Match[str]) -> int:
        whole, fraction, exponent = match.groups()
        fraction = fraction or ""
        shift = int(exponent or 0)
        digits = self._digits
        if digits is None:
            size = int(whole) * 10**shift
            digits = next((digits for limit, digits in _MAGNITUDES if size < limit), 0)
        power = digits + shift - len(fraction)
        value = int(whole + fraction)
        if power >= 0:
            return value * int(10**power)
        return value // int(10**-power)


def _seconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    if hour > 23 or minute > 59 or second > 60:
        return _NEVER
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return _NEVER
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def _rest(tail: str) -> int:
    """Nanoseconds to add for what follows the seconds: fraction and zone."""
    match = _TAIL.fullmatch(tail)
    if match is None:
        return _NEVER * 10**9
    fraction, zone = match.groups()
    nanoseconds = 0
    if fraction:
        # Filled up with noughts to nine digits, or cut there: a fraction of any length in nanoseconds.
        nanoseconds = int(f"{fraction:0<9.9}")
    return nanoseconds - _zone(zone) * 10**9


def _zone(text: str | None) -> int:
    """Seconds east of UTC."""
    if text is None or text in {"Z", "z", "UTC"}:
        return 0
    hours, minutes = int(text[1:3]), 0
    if len(text) > 3:
        minutes = int(text[-2:])
    seconds = hours * 3600 + minutes * 60
    if text[0] == "-":
        seconds = -seconds
    return seconds


def _kibana(text: str) -> int:
    """The layout of Kibana's CSV export: `Mar 2, 2026 @ 08:00:00.000`."""
    match = _KIBANA.fullmatch(text)
    if match is None or match[1] not in _MONTHS:
        return BAD
    parts = (int(match[n]) for n in (4, 5, 6))
    seconds = _seconds(int(match[3]), _MONTHS.index(match[1]) + 1, int(match[2]), *parts)
    return seconds * 10**9 + int(f"{match[7]:0<9}")
