"""The years of logs whose times name none, from the day after which nothing was written.

A file is looked over once before it is read: how many years pass in it, and in which there is a 29 February.
Its last line is then of the last year that does not lead past that day, and everything before it follows.
"""

from __future__ import annotations

import calendar
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.evidence.files import PACKED, EvidenceFile
from vestige.evidence.stream import ByteStream
from vestige.sources.logs import header
from vestige.sources.logs.clock import BAD, FRAME_YEAR, Clock, bounded, in_frame
from vestige.sources.logs.parse import Parser, Rules

KEY_BYTES = 10
"""Lines that begin with the same bytes are of the same hour, where they begin with the time: `Feb 29 12:`."""
BATCH = 1 << 14
"""Times at a time."""
EARLIEST = 1970
"""Eight digits of a file's name that give an earlier year are no day."""
CYCLE = 8
"""Years within which there is a leap year, whichever the first one is."""
_LAST_OF_FRAME = int(np.datetime64(f"{FRAME_YEAR + 1}-01-01", "ns").astype(np.int64))
_LEADING = ("Length", "Priority")
"""Fields that may come before the time in `KEY_BYTES`."""
_NEWEST = (1, 0)
_ROTATED = re.compile(r"(?P<base>.+?)(?:\.(?P<number>\d{1,4})|-(?P<day>\d{8}))?", re.DOTALL)


@dataclass
class Extent:
    """What a log without years covers: its first time and its last in `FRAME_YEAR` (None: it has no time),
    how many years after its first message the last one is, and how many times of a 29 February each year
    after the first has. `bound`: the latest year of the first message with which none is later than the next
    line that names its year."""

    first: int | None = None
    last: int | None = None
    years: int = 0
    leap: Counter[int] = field(default_factory=Counter)
    bound: int | None = None

    def latest(self, until: date) -> int:
        """The last year of the first message with which nothing leads past `until`, and every 29 February
        exists, or as many as can."""
        if self.last is None:
            return until.year
        year = until.year - self.years
        if _day(self.last, until.year) > until:
            year -= 1
        if self.bound is not None:
            year = min(year, self.bound)
        fitting = range(year, year - CYCLE, -1)
        return max(fitting, key=lambda first: (self.existing(first), first))

    def bind(self, clock: Clock, named_ns: int) -> None:
        """Take in a time that names its year, behind those that `clock` has passed."""
        if clock.frame_ns is None or named_ns < _LAST_OF_FRAME:
            return  # nothing was before it, or its clock was not set
        # A day later, because its lines may be of another zone.
        day = datetime.fromtimestamp(named_ns // 10**9, UTC).date() + timedelta(days=1)
        latest = day.year - (_day(clock.frame_ns, day.year) > day) - bounded(clock.years)
        self.bound = latest if self.bound is None else min(self.bound, latest)

    def told(self, year: int, by: str, *, live: bool = False) -> str:
        """What is said where the first message is taken to be of `year`, `by` the day of its last one;
        `live`: a detector reads it, to which nobody can say another year."""
        shown = f"{year}"
        if self.years > 0:
            shown = f"{year} to {year + self.years}"
        if self.bound == year:
            by = "the lines behind them that name theirs"
        told = f"times name no year: {shown} is assumed, by {by}"
        if self.leap and self.existing(year):
            told += " and its 29 February"
        if missing := sum(self.leap.values()) - self.existing(year):
            told += f"; {missing:,} times of a 29 February are then of no day"
        if live:
            return f"{told} (a detector has no --year: where that is wrong, write times with their year)"
        return f"{told} (--year says otherwise)"

    def existing(self, year: int) -> int:
        """How many times of a 29 February exist where the first message is of `year`."""
        return sum(n for later, n in self.leap.items() if calendar.isleap(year + later))

    def first_day(self, year: int) -> date:
        """The day of the first message, where that is of `year`."""
        return _day(self.first or 0, year)


def extent_of(file: EvidenceFile, rules: Rules) -> Extent:
    """Look over a file, from its beginning to what is its end now. Of one that cannot be read nothing is
    known: whoever reads it says what is wrong."""
    return _known_extent(file, file.modified, json.dumps(rules.settings()))


@lru_cache(maxsize=1 << 12)
def _known_extent(file: EvidenceFile, modified: datetime, settings: str) -> Extent:  # noqa: ARG001
    """`modified`: what was known of a file that was written since is not known of it."""
    try:
        content = ByteStream(file)
    except EvidenceError:
        return Extent()
    try:
        return _extent(_pieces(content), Rules.from_settings(json.loads(settings)))
    except EvidenceError:
        return Extent()
    finally:
        content.close()


def written(file: EvidenceFile) -> tuple[date, str]:
    """The day a file was last written, of a stream today, and how that is known. A file that was rotated is
    called by the day of that, which outlives every copy."""
    day = file.modified.date()
    found = _ROTATED.fullmatch(_unpacked(file.id))
    if found is not None and found["day"]:
        try:
            named = datetime.strptime(found["day"], "%Y%m%d").replace(tzinfo=UTC).date()
        except ValueError:
            named = day
        if named < day and named.year >= EARLIEST:
            return named, f"the day in the file's name ({named})"
    return day, f"the day the file was last written ({day})"


def _unpacked(name: str) -> str:
    """A file's name without the endings of packing."""
    for ending in PACKED:
        name = name.removesuffix(ending)
    return name


def rotated(files: Sequence[EvidenceFile]) -> dict[EvidenceFile, list[EvidenceFile]]:
    """For each file of a log that was rotated (`syslog`, `syslog.1`, `syslog.2.gz`, `syslog-20150104`) all
    its files, the oldest first. Numbers alone, without the file that is being written, make no log: they may
    as well be those of machines."""
    groups: dict[tuple[str, str], list[tuple[tuple[int, int], EvidenceFile]]] = {}
    for file in files:
        folder, _, name = file.id.rpartition("/")
        found = _ROTATED.fullmatch(_unpacked(name))
        if found is None:
            continue
        # By its day, the older the lower; by its number, the older the higher; without either it is the last.
        age = (_NEWEST[0], -int(found["number"] or 0))
        if found["day"]:
            age = (0, int(found["day"]))
        groups.setdefault((folder, found["base"]), []).append((age, file))
    together = {}
    for group in groups.values():
        ages, in_order = zip(*sorted(group, key=lambda pair: pair[0]), strict=True)
        if len(group) > 1 and (ages[-1] == _NEWEST or ages[-1][0] == 0):
            together.update({file: list(in_order) for file in in_order})
    return together


def agreeing(extents: Sequence[Extent], until: Sequence[date]) -> list[int]:
    """The year of the first message of each file of a rotated log, the oldest first: each as its own day
    `until` has it, but none later than the file that was written after it begins."""
    years: list[int] = []
    latest = None
    for extent, day in zip(reversed(extents), reversed(until), strict=True):
        year = extent.latest(day if latest is None else min(day, latest))
        years.append(year)
        if extent.first is not None:
            latest = extent.first_day(year) + timedelta(days=1)
    return years[::-1]


def following(extents: Sequence[Extent], year: int) -> list[int]:
    """The same where the first message of the oldest file is of `year`."""
    years: list[int] = []
    clock = Clock(year)
    for extent in extents:
        if extent.first is None or extent.last is None:
            years.append(year)
            continue
        clock.passed(np.array([extent.first]))
        years.append(year + bounded(clock.years))
        clock.years += extent.years
        clock.frame_ns = extent.last
    return years


def of_first(first_ns: int) -> Extent:
    """What is known of a log that is read as it comes, by the first time in it."""
    extent = Extent(first_ns, first_ns)
    if _day(first_ns, FRAME_YEAR) == date(FRAME_YEAR, 2, 29):
        extent.leap[0] = 1
    return extent


def _day(frame: int, year: int) -> date:
    """The day of a time in `FRAME_YEAR`, in a year; the next one where that has no such day."""
    moment = datetime.fromtimestamp(frame // 10**9, UTC)
    if (moment.month, moment.day) == (2, 29) and not calendar.isleap(year):
        return date(year, 3, 1)
    return date(year, moment.month, moment.day)


def _pieces(content: ByteStream) -> Iterator[bytes]:
    while not content.ended:
        yield content.read() or b""


def _extent(pieces: Iterable[bytes], rules: Rules) -> Extent:
    found, clock = Extent(), Clock(0)
    begin, end = (np.datetime64(f"{FRAME_YEAR}-{day}", "ns").astype(np.int64) for day in ("02-29", "03-01"))
    for times in _times(pieces, rules):
        framed = in_frame(times)
        # Runs of times with a year and without, one after the other.
        for run in np.split(times, np.flatnonzero(np.diff(framed)) + 1):
            if not in_frame(run[:1]).any():
                found.bind(clock, int(run[0]))
                continue
            years = clock.passed(run)
            if found.first is None:
                found.first = int(run[0])
            on_leap_day = (run >= begin) & (run < end)
            found.leap.update(years[on_leap_day].tolist())
    found.last, found.years = clock.frame_ns, bounded(clock.years)
    return found


def _times(pieces: Iterable[bytes], rules: Rules) -> Iterator[NDArray[np.int64]]:
    """The times of a log's messages in `FRAME_YEAR`, but for those that begin as the line before does."""
    parser = Parser(rules)
    names = header.fields(rules.format.header)
    leading = next(name for name in names if name not in _LEADING)
    by_key = leading in rules.format.time
    times: list[int] = []
    for lines in _lines(pieces, rules.max_line, by_key=by_key):
        for line in lines:
            moment = parser.time(rules.text(line))
            if moment != BAD:
                times.append(moment)
        if len(times) >= BATCH:
            yield np.array(times, dtype=np.int64)
            times.clear()
            parser = Parser(rules)  # one keeps every text of a time that it has read
    if times:
        yield np.array(times, dtype=np.int64)


def _lines(pieces: Iterable[bytes], most: int, *, by_key: bool) -> Iterator[list[bytes]]:
    """The lines of a file, of each `most` bytes at the most; `by_key`: those alone that begin otherwise than
    the line before."""
    left, before = b"", None
    for piece in pieces:
        data = left + piece
        cut = data.rfind(b"\n") + 1
        if not cut:
            # Of an over-long line the beginning is enough.
            left = data[:most]
            continue
        data, left = data[:cut], data[cut:]
        if not by_key:
            yield [line[:most] for line in data.split(b"\n")[:-1]]
            continue
        starts, keys = _keys(data)
        fresh = np.empty(len(keys), dtype=np.bool_)
        fresh[0] = keys[0] != before
        fresh[1:] = keys[1:] != keys[:-1]
        fresh[-1] = True  # behind a priority there is no room for the whole day, and the last one decides
        before = keys[-1]
        yield [data[start : data.find(b"\n", start)][:most] for start in starts[fresh].tolist()]
    if left:
        yield [left[:most]]


def _keys(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.bytes_]]:
    """Where each line begins `(n,)`, and its first `KEY_BYTES` bytes."""
    whole = np.frombuffer(data + bytes(KEY_BYTES), dtype=np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(whole[: len(data) - 1] == 10) + 1])
    heads = whole[starts[:, None] + np.arange(KEY_BYTES)]
    return starts, np.ascontiguousarray(heads).view(f"S{KEY_BYTES}").ravel()
