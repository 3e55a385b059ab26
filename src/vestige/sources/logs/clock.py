"""Times of log lines: strptime-like formats to int64 Unix nanoseconds, exact, cached by the second.

Directives: `%Y %y %m %b %d %H %I %p %M %S %f %s %E %z %Z %a %%`. `%b` and `%a` are names of months and days,
short or whole, in English, German, French, Spanish, Italian, Portuguese or Dutch; `%f` is one to nine digits
at a field's end, `%s` Unix seconds, `%E` the same in ten digits, behind which more of `%f` may stand (Unix
milli-, micro- and nanoseconds), `%Z` the name of a zone. Times without a zone are taken as UTC.
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
FRAME_YEAR = 1972
"""Times without a year are read in this (leap) year, of which no log is; `Clock` moves them into theirs."""

_SECOND, _DAY = 1_000_000_000, 86_400_000_000_000
_ABSENT = 9_000_000_000
"""Seconds that no time has."""
_FRAME = tuple((date(FRAME_YEAR + n, 1, 1).toordinal() - date(1970, 1, 1).toordinal()) * _DAY for n in (0, 1))
_YEARS = range(1678, 2262)
_EPOCH = date(1970, 1, 1).toordinal()
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
_MONTH_OF = {name: month for month, names in enumerate(_MONTHS, 1) for name in names.split()}
# Three letters are tried first: that is what nearly all logs have.
_LONGER = sorted((name for name in _MONTH_OF if not re.fullmatch("[a-z]{3}", name)), key=len, reverse=True)
ZONES = {
    "UTC": 0, "GMT": 0, "UCT": 0, "WET": 0, "WEST": 60, "BST": 60, "CET": 60, "MEZ": 60, "MET": 60,
    "CEST": 120,
    "MESZ": 120, "MEST": 120, "EET": 120, "SAST": 120, "EEST": 180, "MSK": 180, "JST": 540, "KST": 540,
    "AWST": 480, "AEST": 600, "AEDT": 660, "NZST": 720, "NZDT": 780, "BRT": -180, "ART": -180, "AST": -240,
    "ADT": -180, "EST": -300, "EDT": -240, "CST": -360, "CDT": -300, "MST": -420, "MDT": -360, "PST": -480,
    "PDT": -420, "AKST": -540, "AKDT": -480, "HST": -600,
}  # fmt: skip
"""Minutes east of UTC of zones that are called by names; of a name that several have, its most common."""
_NAMES = rf"[A-Za-z]{{3}}|(?i:{'|'.join(_LONGER)})\.?|[A-Za-z]{{3}}\."
_SHAPES = {
    "Y": r"\d{4}", "y": r"\d{2}", "m": r"\d{1,2}", "b": _NAMES,
    "d": r"\d{1,2}", "H": r"\d{1,2}", "I": r"\d{1,2}", "p": r"[AaPp]\.?[Mm]\.?", "M": r"\d{1,2}",
    "S": r"\d{1,2}", "f": r"\d{1,9}", "s": r"\d{1,11}", "E": r"\d{10}", "z": r"Z|[+-]\d{2}(?::?\d{2})?",
    "Z": "|".join(sorted(ZONES, key=len, reverse=True)),
    "a": r"[A-Za-z]{3}|[A-Za-z\u00c0-\u017f]{2,13}\.?",
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
        absolute = bool({"s", "E"} & set(kinds))
        if layouts and not absolute and "d" not in kinds:
            raise ValueError("the time must give a day: %d with a month, or %s")
        if layouts and not absolute and not {"m", "b"} & set(kinds):
            raise ValueError("the time must give a month: %m or %b")
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
        if "s" in part or "E" in part:
            seconds = int(part.get("s") or part.get("E") or _ABSENT)
            if seconds >= _ABSENT:
                return BAD
            return seconds * _SECOND
        clock = [_hour(part), int(part.get("M") or 0), int(part.get("S") or 0)]
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


def month_of(name: str) -> int:
    """The number of a month by its name; 0 where it is none."""
    return _MONTH_OF.get(name.lower().rstrip("."), 0)


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
    text = (part.get("z") or "Z").replace(":", "")
    if text == "Z":
        return 0
    sign = int(text[0] + "1")
    return sign * (int(text[1:3]) * 3600 + int(text[3:5] or 0) * 60)


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
        # Messages of another format, whose times name a year, may stand between those that do not.
        framed = (good >= _FRAME[0]) & (good < _FRAME[1])
        if self.year is not None and framed.any():
            good = good.copy()
            good[framed] = self._dated(good[framed])
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
