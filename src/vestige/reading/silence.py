"""What came steadily, and how long it was ever silent: a heartbeat, a log that is always written on.

The longest silences of a kind of event say how fast the chance of a longer one falls: as a power of its
length, an exponential tail on the logarithm (a Pareto tail, by Hill: A simple general approach to inference
about the tail of a distribution, 1975). What has no steady habit has a tail so heavy that no silence which
could be told lies within what was learnt.

Letters: N steps, K kinds of events.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.evidence.rotation import family
from vestige.reading.steps import NO_TIME
from vestige.reading.times import EARLY_NS
from vestige.reading.windows import WindowSet

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

TOP = 40
"""So many of the longest silences say how the chance falls beyond all of them."""
ENOUGH = 30
"""Silences from which on a kind, or a log, has a habit."""
LEAST_SCALE = 0.3
"""The chance of a silence falls by a factor of e no faster than with one that is e to this power longer: no
clockwork is trusted further."""
LEAST_S = 1e-3
"""Shorter silences are taken for so many seconds: clocks are no finer."""
LEAST_BY_CLOCK_S = 60.0
"""By a machine's clock no log is silent before: writers gather lines, and send them together."""
SHARE = 0.1
"""Of the share of steps that alert, silences have so much."""
WITHIN = 10.0
"""What is told must be shorter than all that was learnt from by so many times, or too few like it fit in."""
FAR_S = 3_600.0
"""A step that is so far ahead of those before and after it has a time that is none of theirs."""
PIECE = 1 << 18
"""Windows that are gone through at a time."""
MOST_KINDS, MOST_LOGS = 512, 1_024
"""Kinds and logs whose habits are kept, those that came most often."""


@dataclass
class Habit:
    """Of the silences between events that came one after the other: how many there were, their sum and the
    longest, in seconds, and the scale of the tail, in ln of seconds."""

    n: int
    sum_s: float
    longest_s: float
    scale: float

    @property
    def usual_s(self) -> float:
        """How long a silence was in the mean."""
        return self.sum_s / max(self.n, 1)

    def bound_s(self, p_value: float) -> float:
        """The silence, longer than all that were, of which there is at most this chance; infinite where that
        is more than numbers hold."""
        more = self.scale * max(-math.log(p_value) - math.log(self.n + 1), 0.0)
        return self.longest_s * math.exp(more) if more < 100 else math.inf

    def log_p(self, silence_s: float) -> float:
        """ln of the chance of a silence as long as this one, which is longer than all that were."""
        beyond = max(math.log(max(silence_s, LEAST_S) / self.longest_s), 0.0)
        return -math.log(self.n + 1) - beyond / self.scale

    def to_list(self) -> list[float]:
        """As JSON values."""
        return [self.n, self.sum_s, self.longest_s, self.scale]

    @classmethod
    def of(cls, plain: Any) -> Self:
        """The habit whose `to_list` gave `plain`. Raises ValueError or TypeError for what is none."""
        n, sum_s, longest_s, scale = plain
        return cls(
            checked.whole(n, "silences", 1, 1 << 53),
            checked.real(sum_s, "seconds", 0, 1e30),
            checked.real(longest_s, "seconds", LEAST_S, 1e30),
            checked.real(scale, "a scale", LEAST_SCALE, 1e6),
        )


@dataclass(frozen=True)
class Silences:
    """Habits of kinds of events by their number (`kinds`), of logs by their names (`logs`), and of logs that
    were never learnt (`any_log`, None where none has any); all of it was learnt from `span_s` seconds."""

    span_s: float
    kinds: Mapping[int, Habit]
    logs: Mapping[str, Habit]
    any_log: Habit | None

    @classmethod
    def fit(cls, windows: WindowSet, kind: IntArray, stream: str) -> Self:
        """Of the steps that windows judge: `kind (symbols,)` is the number of each row of the table that
        `stream` points into, negative for none. A log is all files of one name, whatever rotation added; the
        silence with which it ends counts, up to the end of everything."""
        of_kinds: dict[int, _Longest] = {}
        of_logs: dict[str, _Longest] = {}
        every = _Longest()
        seen: list[tuple[str, dict[int, float], float, float]] = []
        for name, pieces in logs_of(windows):
            last: dict[int, float] = {}
            begin, before = math.nan, None
            for rows in pieces:
                kinds, seconds = timed_kinds(windows, rows, kind, stream)
                if not len(kinds):
                    continue
                seconds = in_order(seconds, before)
                if before is None:
                    _mend_first(seconds)
                    begin = float(seconds[0])
                if rows is pieces[-1]:
                    _mend_last(seconds, begin)
                gaps = np.diff(seconds, prepend=seconds[0] if before is None else before)
                gaps = gaps[before is None :]
                every.add(gaps)
                of_logs.setdefault(name, _Longest()).add(gaps)
                _add_kinds(of_kinds, last, kinds, seconds)
                before = float(seconds[-1])
            if before is not None:
                seen.append((name, last, begin, before))
        first, end = _whole([(begin, before) for *_, begin, before in seen])
        for name, last, _, before in seen:
            # A log that ended long ago was silent since, and so was what it held: sessions are no habit.
            silence_s = max(end - before, 0.0)
            every.add(np.array([silence_s]))
            of_logs.setdefault(name, _Longest()).add(np.array([silence_s]))
            for number, at_s in last.items():
                of_kinds.setdefault(number, _Longest()).add(np.array([before - at_s + silence_s]))
        return cls(
            end - first,
            _habits(of_kinds, MOST_KINDS),
            _habits(of_logs, MOST_LOGS),
            every.habit(),
        )

    def of_log(self, name: str) -> Habit | None:
        """The habit of the log that a file of this name is part of."""
        return self.logs.get(family(name), self.any_log)

    def active_s(self, gaps_s: FloatArray, most_s: float) -> FloatArray:
        """For how long a log was active between steps that are so far apart: for no longer than `most_s`, and
        not at all where it was for longer than all that was learnt from, such as before a wrong time."""
        return np.where(gaps_s > self.span_s, 0.0, np.minimum(gaps_s, most_s))

    def bounds_s(self, alpha: float) -> dict[int, float]:
        """The shortest silence of each kind with a steady habit that is told where the share `alpha` of steps
        alerts."""
        found = {number: self.bound_s(habit, alpha) for number, habit in self.kinds.items()}
        return {number: bound for number, bound in found.items() if math.isfinite(bound)}

    def bound_s(self, habit: Habit | None, alpha: float) -> float:
        """The shortest silence that is told; infinite where there is no steady habit."""
        if habit is None:
            return math.inf
        found = habit.bound_s(SHARE * alpha)
        return found if found * WITHIN <= self.span_s else math.inf

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "span_s": self.span_s,
            "kinds": {str(number): habit.to_list() for number, habit in self.kinds.items()},
            "logs": {name: habit.to_list() for name, habit in self.logs.items()},
            "any_log": None if self.any_log is None else self.any_log.to_list(),
        }

    @classmethod
    def from_dict(cls, plain: Any, n_kinds: int) -> Self:
        """What `to_dict` gave as `plain`, of so many known kinds. Raises KeyError, ValueError or TypeError
        for anything else."""
        fields = checked.mapping(plain, "silences")
        kinds = {
            checked.whole(int(number), "a kind", 0, n_kinds - 1): Habit.of(each)
            for number, each in checked.mapping(fields["kinds"], "kinds").items()
        }
        logs = {name: Habit.of(each) for name, each in checked.mapping(fields["logs"], "logs").items()}
        if len(kinds) > MOST_KINDS or len(logs) > MOST_LOGS:
            raise ValueError("these are too many habits")
        any_log = None if fields["any_log"] is None else Habit.of(fields["any_log"])
        return cls(checked.real(fields["span_s"], "span_s", 0, 1e30), kinds, logs, any_log)


@dataclass
class _Longest:
    """Counts silences, and keeps the longest."""

    n: int = 0
    sum_s: float = 0.0
    top: FloatArray = field(default_factory=lambda: np.empty(0))

    def add(self, silence_s: FloatArray) -> None:
        self.n += len(silence_s)
        self.sum_s += float(silence_s.sum())
        if len(self.top) > TOP:
            silence_s = silence_s[silence_s > self.top[0]]
        if len(silence_s):
            self.top = np.sort(np.concatenate([self.top, silence_s]))[-(TOP + 1) :]

    def habit(self) -> Habit | None:
        if self.n < ENOUGH:
            return None
        logs = np.log(np.maximum(self.top, LEAST_S))
        scale = max(float(np.mean(logs[1:] - logs[0])), LEAST_SCALE)
        return Habit(self.n, self.sum_s, float(np.exp(logs[-1])), scale)


def _habits(found: dict[Any, _Longest], most: int) -> dict[Any, Habit]:
    often = sorted(found.items(), key=lambda item: -item[1].n)[:most]
    return {name: habit for name, each in often if (habit := each.habit()) is not None}


def in_order(seconds: FloatArray, before: float | None = None) -> FloatArray:
    """Times `(N,)`, one or more, that never go back, nor behind `before`. One that lies far ahead of those
    next to it counts as the one before: a single line from the future says nothing of the others."""
    found = seconds.astype(np.float64)
    # Two behind the first one: or one from the past would make the first one be of the future.
    follow = seconds[0] if len(seconds) < 3 else float(seconds[1:3].max())
    earlier = np.concatenate([[follow if before is None else before], seconds[:-1]])
    later = np.append(seconds[1:], np.inf)
    astray = (seconds - earlier > FAR_S) & (seconds - later > FAR_S)
    found[astray] = earlier[astray]
    found = np.maximum.accumulate(found)
    return found if before is None else np.maximum(found, before)


def _mend_first(seconds: FloatArray) -> None:
    """Take the steps with which a log begins, where a clock that was not set gave them a time before 1990,
    for ones that came with the first after them; and so a single first one that lies further back than all
    that came after it took."""
    unset = int(np.argmax(seconds >= EARLY_NS / 1e9))
    if not unset and len(seconds) > 2:
        unset = int(seconds[1] - seconds[0] > max(FAR_S, seconds[-1] - seconds[1]))
    seconds[:unset] = seconds[unset]


def _mend_last(seconds: FloatArray, begin: float) -> None:
    """Take the last step of a log, where it came later than all the log took until then, for one that came
    with the one before: nothing after it shows that its time is right."""
    if len(seconds) > 1 and seconds[-1] - seconds[-2] > max(FAR_S, seconds[-2] - begin):
        seconds[-1] = seconds[-2]


def _whole(logs: list[tuple[float, float]]) -> tuple[float, float]:
    """When all logs, of which the first and the last time are given, began and ended. A few that begin later
    than all others took are of a clock that is wrong."""
    if not logs:
        return 0.0, 0.0
    ordered = sorted(logs)
    first, end = ordered[0]
    for number, (begin, last) in enumerate(ordered):
        if begin - end > max(FAR_S, end - first) and 2 * number > len(ordered):
            break
        end = max(end, last)
    return first, end


def logs_of(windows: WindowSet) -> Iterator[tuple[str, list[slice]]]:
    """Each log, with where the windows of its files lie, the earliest file first, in pieces: whole files may
    be large."""
    names = windows.recordings["id"].to_list()
    logs: dict[str, list[slice]] = {}
    for recording, rows in windows.runs():
        logs.setdefault(family(names[recording]), []).append(rows)
    for name, pieces in logs.items():
        ordered = sorted(pieces, key=lambda rows: int(windows.t_ns[rows.start]))
        yield (
            name,
            [
                slice(start, min(start + PIECE, rows.stop))
                for rows in ordered
                for start in range(rows.start, rows.stop, PIECE)
            ],
        )


def timed_kinds(windows: WindowSet, rows: slice, kind: IntArray, stream: str) -> tuple[IntArray, FloatArray]:
    """Of the steps judged by some windows that have a time: their kinds, and their times in seconds. `kind`
    and `stream` are as `Silences.fit` takes them."""
    piece = windows.select(rows)
    known = piece.t_ns != NO_TIME
    return kind[windows.streams.at(stream, piece.target_step)[known]], piece.t_ns[known] / 1e9


def _add_kinds(
    found: dict[int, _Longest], last: dict[int, float], kind: IntArray, seconds: FloatArray
) -> None:
    """Count the silences of each kind; `last` is when each came last, before and after."""
    order = np.argsort(kind, kind="stable")
    kind, seconds = kind[order], seconds[order]
    edges = np.flatnonzero(np.r_[True, kind[1:] != kind[:-1]]).tolist()
    for start, stop in zip(edges, [*edges[1:], len(kind)], strict=True):
        number = int(kind[start])
        if number < 0:
            continue
        mine = seconds[start:stop]
        if number in last:
            mine = np.concatenate([[last[number]], mine])
        last[number] = float(mine[-1])
        found.setdefault(number, _Longest()).add(np.diff(mine))
