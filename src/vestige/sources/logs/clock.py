"""Times of log lines: strptime-like formats to int64 Unix nanoseconds, exact, cached by the second.

Directives: `%Y %y %m %b %d %H %M %S %f %s %z %a %%` (`%b` and `%a` are English names, `%f` one to nine digits
at a field's end, `%s` Unix seconds). Times without a zone are taken as UTC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

BAD = np.iinfo(np.int64).min
"""Stands for a time that could not be read, until `Clock` puts the previous time in its place."""
FRAME_YEAR = 2000
"""Times without a year are read in this (leap) year; `Clock` moves them into theirs."""

_SECOND, _DAY = 1_000_000_000, 86_400_000_000_000
_ABSENT = 9_000_000_000
"""Seconds that no time has."""
_YEARS = range(1678, 2262)
_EPOCH = date(1970, 1, 1).toordinal()
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SHAPES = {
    "Y": r"\d{4}", "y": r"\d{2}", "m": r"\d{1,2}", "b": r"[A-Za-z]{3}", "d": r"\d{1,2}", "H": r"\d{1,2}",
    "M": r"\d{1,2}", "S": r"\d{1,2}", "f": r"\d{1,9}", "s": r"\d{1,11}", "z": r"Z|[+-]\d{2}:?\d{2}",
    "a": r"[A-Za-z]{3}",
}  # fmt: skip
_DIRECTIVE = re.compile(r"%(.?)| +")


def exact(layout: str) -> bool:
    """Whether a time field ends in a fraction of a second."""
    return layout.endswith("%f") and not layout.endswith("%%f")


def shape(layout: str) -> str:
    """The regex of a time field; where it ends in `%f`, with groups `head` and `fraction`.

    Raises ValueError for an unknown directive.
    """
    if exact(layout):
        return f"(?P<head>{shape(layout[:-2])})(?P<fraction>{_SHAPES['f']})"
    out, at = [], 0
    for found in _DIRECTIVE.finditer(layout):
        out.append(re.escape(layout[at : found.start()]))
        at = found.end()
        kind = found[1]
        if kind is None:
            out.append(r"[ \t]{1,8}+")
        elif kind == "%":
            out.append("%")
        elif kind == "f":
            raise ValueError("%f must stand at the end of its field")
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
        if layouts and "s" not in kinds and "d" not in kinds:
            raise ValueError("the time must give a day: %d with a month, or %s")
        if layouts and "s" not in kinds and not {"m", "b"} & set(kinds):
            raise ValueError("the time must give a month: %m or %b")
        self.has_year = not layouts or bool({"Y", "y", "s"} & set(kinds))
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
        return whole + int(fraction) * int(10 ** (9 - len(fraction)))

    def forget(self) -> None:
        """Drop the cache: called between blocks, so that it never grows."""
        self._cache.clear()

    def _read(self, texts: tuple[str | None, ...]) -> int:
        try:
            found = self._whole.fullmatch("\n".join(texts))  # type: ignore[arg-type]
        except TypeError:
            found = self._partial.fullmatch("\n".join([text or "" for text in texts]))
        if found is None:
            return BAD
        part = found.groupdict()
        if "s" in part:
            seconds = int(part["s"] or _ABSENT)
            if seconds >= _ABSENT:
                return BAD
            return seconds * _SECOND
        clock = [int(part.get(letter) or 0) for letter in "HMS"]
        year, month = _year(part), _month(part)
        if year not in _YEARS or clock[0] > 23 or clock[1] > 59 or clock[2] > 60:
            return BAD
        try:
            days = date(year, month, int(part["d"] or 0)).toordinal() - _EPOCH
        except ValueError:
            return BAD
        return (((days * 24 + clock[0]) * 60 + clock[1]) * 60 + clock[2] - _zone(part)) * _SECOND


def _grouped(layout: str) -> str:
    """Like `shape`, each directive a named group; the fraction, read apart, is left out."""
    pieces = re.split(r"%(.)", layout)
    out = [_blanks(pieces[0])]
    for kind, text in zip(pieces[1::2], pieces[2::2], strict=True):
        if kind == "%":
            out.append("%")
        elif kind == "a":
            out.append(_SHAPES[kind])
        elif kind != "f":
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


def _month(part: dict[str, str | None]) -> int:
    if name := part.get("b"):
        if name.lower() not in _MONTHS:
            return 0
        return _MONTHS.index(name.lower()) + 1
    return int(part.get("m") or 0)


def _zone(part: dict[str, str | None]) -> int:
    """Seconds east of UTC."""
    text = (part.get("z") or "Z").replace(":", "")
    if text == "Z":
        return 0
    sign = int(text[0] + "1")
    return sign * (int(text[1:3]) * 3600 + int(text[3:5]) * 60)


@dataclass
class Clock:
    """One file's run of time: bad times take the previous one's, times without a year get theirs.

    A step back of more than half a year means that a New Year has passed; a step forward of more than
    eleven months, that a straggler of the old year came after it.
    """

    year: int | None
    last_ns: int = 0
    bad: int = 0
    frame_ns: int | None = None
    years: int = 0

    def to_dict(self) -> dict[str, int | None]:
        """JSON-ready: `Clock(**plain)` goes on from there."""
        return asdict(self)

    def set(self, t_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The final times `(n,)` of the next messages of the file."""
        wrong = t_ns == BAD
        self.bad += int(wrong.sum())
        good = t_ns[~wrong]
        if self.year is not None and len(good):
            good = self._dated(good)
        out: NDArray[np.int64] = good
        if wrong.any():
            known = np.concatenate([[self.last_ns], good])
            out = known[np.cumsum(~wrong)].astype(np.int64)
        if len(out):
            self.last_ns = int(out[-1])
        return out

    def _dated(self, frame: NDArray[np.int64]) -> NDArray[np.int64]:
        before = self.frame_ns
        if before is None:
            before = frame[0]
        step = np.diff(frame, prepend=before)
        # Half a year back is the turn of the year; nearly a year ahead, a straggler from before that turn.
        turns = np.cumsum((step < -183 * _DAY).astype(np.int64) - (step > 335 * _DAY))
        years = self.years + turns
        self.frame_ns, self.years = int(frame[-1]), int(years[-1])
        moment = frame.view("datetime64[ns]")
        month = moment.astype("datetime64[M]")
        within = moment - month.astype("datetime64[ns]")
        shift = ((self.year or FRAME_YEAR) - FRAME_YEAR + np.clip(years, -100, 60)) * 12
        moved = (month + shift.astype("timedelta64[M]")).astype("datetime64[ns]") + within
        dated: NDArray[np.int64] = moved.astype(np.int64)
        return dated
