"""Times by a layout that a person gives: `--time-format '%d/%m/%Y %I:%M:%S %p'`, exact to the nanosecond.

Directives are those of strptime (POSIX) that name a moment: `%Y %y %m %b %B %d %e %H %I %p %M %S %f %s %z %Z
%a %A %T %D %F %%`. `%f` takes a fraction of any length, `%Z` only `UTC`, `GMT` and `Z`: what another name
means depends on who wrote it. Blanks stand for any number of them. Times without a zone are taken as UTC.
"""

from __future__ import annotations

import re
from datetime import date

from vestige.reading.times import HALF, OFFSET, offset_seconds

EPOCH = date(1970, 1, 1).toordinal()
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
NONE = -(10**12)
"""Seconds that stand for no time: far enough from any that a zone may move into our years."""

_SHAPES = {
    "Y": r"\d{4}", "y": r"\d{2}", "m": r"\d{1,2}", "b": r"[A-Za-z]{3,9}\.?", "B": r"[A-Za-z]{3,9}\.?",
    "d": r"\d{1,2}", "e": r"\d{1,2}", "H": r"\d{1,2}", "I": r"\d{1,2}", "p": HALF,
    "M": r"\d{1,2}", "S": r"\d{1,2}", "f": r"\d{1,400}", "s": r"\d{1,11}", "z": f"[Zz]|{OFFSET}",
    "Z": r"UTC|GMT|Z", "a": r"[A-Za-z]{2,9}\.?", "A": r"[A-Za-z]{2,9}\.?",
}  # fmt: skip
_SHORT = {"T": "%H:%M:%S", "D": "%m/%d/%y", "F": "%Y-%m-%d"}
_ALIKE = {"B": "b", "e": "d", "A": "a"}
_PIECES = re.compile(r"%(.?)|([ \t]+)", re.DOTALL)


class TimeFormat:
    """Reads times of one layout."""

    def __init__(self, layout: str) -> None:
        """Raises ValueError for an unknown directive, one that comes twice, and where day, month or year are
        missing."""
        seen: set[str] = set()
        self._pattern = re.compile(_regex(layout, seen), re.ASCII)
        lacking = [name for name, kinds in _NEEDED.items() if not kinds & seen]
        if lacking and "s" not in seen:
            raise ValueError(f"the time must give a {lacking[0]}: {_needed(lacking[0])}, or %s")
        if "I" in seen and "p" not in seen:
            raise ValueError("%I, an hour of twelve, needs %p (AM or PM)")

    def read(self, text: str) -> int:
        """Nanoseconds since 1970; negative where `text` is no such time."""
        found = self._pattern.fullmatch(text.strip())
        if found is None:
            return NONE * 10**9
        part = found.groupdict()
        if stamp := part.get("s"):
            return int(stamp) * 10**9 + fraction_ns(part.get("f"))
        hour = int(part.get("H") or part.get("I") or 0)
        if half := part.get("p"):
            hour = hour_of_day(hour, half, twelve=part.get("I") is not None)
        month = int(part.get("m") or 0)
        if name := part.get("b"):
            month = month_number(name)
        seconds = seconds_of(
            year_of(part.get("Y") or part.get("y") or ""), month, int(part["d"] or 0), hour,
            int(part.get("M") or 0), int(part.get("S") or 0),
        )  # fmt: skip
        return (seconds - offset_seconds(part.get("z"))) * 10**9 + fraction_ns(part.get("f"))


_NEEDED = {"year": {"Y", "y"}, "month": {"m", "b"}, "day": {"d"}}


def _needed(name: str) -> str:
    return " or ".join(f"%{kind}" for kind in sorted(_NEEDED[name]))


def _regex(layout: str, seen: set[str]) -> str:
    """The layout as a regular expression with a group for each directive; `seen` gathers them."""
    out, at = [], 0
    for found in _PIECES.finditer(layout):
        out.append(re.escape(layout[at : found.start()]))
        at = found.end()
        kind = found[1]
        if kind is None:
            out.append(r"[ \t]+")
        elif kind == "%":
            out.append("%")
        elif kind in _SHORT:
            out.append(_regex(_SHORT[kind], seen))
        elif kind in _SHAPES:
            name = _ALIKE.get(kind, kind)
            if name in seen:
                raise ValueError(f"%{kind} comes twice")
            seen.add(name)
            out.append(f"(?P<{name}>{_SHAPES[kind]})")
        else:
            known = " ".join(f"%{letter}" for letter in [*_SHAPES, *_SHORT, "%"])
            raise ValueError(f"unknown directive %{kind}; known are {known}")
    return "".join([*out, re.escape(layout[at:])])


def seconds_of(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Unix seconds of a moment in UTC; `NONE` where there is no such moment. Second 60 is a leap second."""
    if hour > 23 or minute > 59 or second > 60:
        return NONE
    try:
        days = date(year, month, day).toordinal() - EPOCH
    except ValueError:
        return NONE
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def hour_of_day(hour: int, half: str, *, twelve: bool = True) -> int:
    """The hour of 24 that `hour` is before (AM) or after noon (PM); 99 where there is no such hour.

    `twelve`: the clock has no other hours than 1 to 12.
    """
    if not 1 <= hour <= 12:
        # Some tools put PM behind an hour of 24; it must then be one after noon.
        return hour if not twelve and (hour >= 12) == (half[0] in "Pp") else 99
    return hour % 12 + 12 * (half[0] in "Pp")


def month_number(name: str) -> int:
    """1 to 12 of an English name or its beginning of three letters or more; 0 of anything else."""
    word = name.rstrip(".").casefold()
    # "Sept" is as common as "Sep".
    matches = [number for number, month in enumerate(MONTHS, 1) if month.startswith(word)]
    return matches[0] if len(word) >= 3 and len(matches) == 1 else 0


def year_of(text: str) -> int:
    """A year of four digits as it stands; of two, 69 is 1969 and 68 is 2068, as POSIX has it."""
    year = int(text or 0)
    if len(text) != 2:
        return year
    return year + 2000 if year < 69 else year + 1900


def fraction_ns(digits: str | None) -> int:
    """Nanoseconds of the digits behind the point: filled up with noughts to nine, or cut there."""
    return int(f"{digits:0<9.9}") if digits else 0
