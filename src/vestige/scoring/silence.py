"""What should have come and did not: events with a steady habit, and logs that are always written on.

Time goes on by the evidence, and, where that falls silent, by this machine's clock: `pass_clock`. No two
machines' clocks are compared: what counts is how long ago, here, a log was heard from last.

Letters: B windows, S kinds of events with a steady habit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.evidence.rotation import family
from vestige.reading.looks import BoundNormalEncoder, NormalEncoder
from vestige.reading.silence import FAR_S, LEAST_BY_CLOCK_S, Habit, Silences, in_order
from vestige.reading.steps import NO_TIME
from vestige.reading.times import duration, rfc3339
from vestige.scoring.judged import JudgedBatch
from vestige.scoring.reasons import SHOWN

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MOST_LOGS = 4_096
"""Logs that are listened to, those heard from last."""
BACK_S = 2 * 86_400.0
"""A log all of whose next steps are so far behind had a step from the future: its clock is set back. Writers
of one log whose zones of time differ are not so far apart."""
AGAIN = 2.0
"""What was not told when it was due is asked again once it is silent for so many times as long."""


@dataclass(frozen=True)
class Silent:
    """A silence: of `event`, or of the whole log where that is None; its habit, how long it is by now, and
    where what came last, or what showed it, stands."""

    recording: str
    host: str
    event: str | None
    example: dict[str, Any]
    habit: Habit
    silence_s: float
    at_ns: int
    place: dict[str, Any]
    slot: int = -1
    """Which of the steady kinds; -1 of the log itself."""
    ended: bool = False
    """Whether it came again since."""

    @property
    def log_p(self) -> float:
        """ln of the chance of a silence as long as this."""
        return self.habit.log_p(self.silence_s)

    @property
    def about(self) -> str:
        """What it is called where it is counted."""
        if self.event is None:
            # Of two logs that a host has, each falls silent by itself.
            return f"silence of the log {self.recording}"
        return f"silence of {self.event}"

    def row(self) -> dict[str, Any]:
        """It as an alert. The place is where the line stands that was read last; the text of the alert is
        empty, since what is strange is that nothing stands there."""
        habit, what = self.habit, "anything in this log"
        if self.event is not None:
            what = f"`{self.event[:SHOWN]}`"
        says = (
            f"nothing of {what} for {duration(self.silence_s)}; it came every {duration(habit.usual_s)} in "
            f"the mean, and was never silent for longer than {duration(habit.longest_s)} in {habit.n:,} times"
        )
        p_value = float(f"{np.exp(self.log_p):.6g}")
        nearest = None if self.event is None else {"text": self.event, "distance": 0.0, **self.example}
        expected = [] if self.event is None else [{"event": self.event, "p": 1.0}]
        return {
            "time": rfc3339(np.array([self.at_ns], dtype=np.int64))[0],
            "host": self.host or None,
            "recording": self.recording,
            **self.place,
            "text": "",
            "score": float(-self.log_p / np.log(10.0)),
            "p_value": p_value,
            "alert": True,
            "event": self.about,
            "reasons": [{"look": "silence", "p_value": p_value, "says": says}],
            "expected": expected,
            "nearest": nearest,
            "silence": {"event": self.event, "seconds": round(self.silence_s, 3), "over": self.ended},
        }


@dataclass
class _Log:
    """A log that is listened to: `now_s` is when its last step came (evidence's Unix seconds), `active_s` for
    how long it was active. Longer than `most_s` between two steps it was not: what does not come while
    nothing does is not silent by itself. `last_s (S,)` is when each kind came last, in active time; `ask_s
    (S + 1,)` the silence from which on it is asked about, the whole log last, infinite once it was told."""

    host: str
    most_s: float
    now_s: float
    active_s: float
    heard: float
    place: dict[str, Any]
    last_s: FloatArray
    ask_s: FloatArray
    by: str = ""
    """The recording whose step came last, by its time: of the files of a log that are read side by side, an
    older one says nothing of the clock."""
    told_quiet: bool = False
    """Whether a kind was told since the log itself was heard from."""
    live: bool = False
    """Whether anything of it came while it was followed: what was written long ago is silent for ever."""
    early: tuple[int, float] | None = None
    """The step that came last, its kind and its time, where that lies further ahead than the log was ever
    silent: the next one says whether time went on so far, or this one's clock was wrong."""

    @property
    def newest_s(self) -> float:
        """The time of the step that came last, as far as one can tell."""
        if self.early is None or self.early[1] - self.now_s > BACK_S:
            return self.now_s
        return self.early[1]


@dataclass
class Heard:
    """Listens to logs, batch by batch. `bound_s (S + 1,)`: of each kind with a steady habit, and of a log
    that nobody learnt."""

    encoder: NormalEncoder
    silences: Silences
    alpha: float
    least_by_clock_s: float = LEAST_BY_CLOCK_S
    logs: dict[str, _Log] = field(default_factory=dict)
    _kinds: IntArray = field(init=False)
    _slot: IntArray = field(init=False)
    _bound_s: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        bounds = self.silences.bounds_s(self.alpha)
        self._kinds = np.array(sorted(bounds), dtype=np.int64)
        self._bound_s = np.array([bounds[number] for number in sorted(bounds)])
        highest = max(bounds, default=-1)
        # The last is that of what is unknown, -1 as well.
        self._slot = np.full(highest + 2, -1, dtype=np.int64)
        self._slot[self._kinds] = np.arange(len(self._kinds))

    @classmethod
    def of(cls, encoder: NormalEncoder, alpha: float) -> Heard | None:
        """None where nothing that was learnt has a steady habit."""
        if encoder.silences is None:
            return None
        found = cls(encoder, encoder.silences, alpha)
        any_log = [*encoder.silences.logs.values(), encoder.silences.any_log]
        steady = any(np.isfinite(encoder.silences.bound_s(habit, alpha)) for habit in any_log)
        return found if len(found._kinds) or steady else None

    def take(self, judged: JudgedBatch, now: float, *, live: bool) -> list[Silent]:
        """Hear the next windows, at the time `now` of a clock that never goes back; what was silent for too
        long by the times of the evidence, although its log went on. `live`: whether they were just written,
        and did not lie there before."""
        if not isinstance(judged.bound, BoundNormalEncoder):
            return []
        batch, found = judged.batch, []
        kinds = judged.bound.known_kinds(batch.steps)
        kinds = np.where(kinds < len(self._slot) - 1, kinds, -1)
        slots = self._slot[kinds]
        for number in np.unique(batch.recording).tolist():
            rows = np.flatnonzero((batch.recording == number) & (batch.t_ns != NO_TIME))
            if len(rows):
                name = batch.recordings[number]
                times = batch.t_ns[rows] / 1e9
                where = batch.place.row(int(rows[-1]), named=True)
                log = self._log(name.id, name.host, float(times[0]), where)
                log.live |= live
                log.heard, log.place = now, where
                found += self._hear(family(name.id), name.id, log, slots[rows], times)
        return found

    def pass_clock(self, now: float) -> list[Silent]:
        """What is silent for too long where nothing at all came of its log, at the time `now` of the same
        clock; of each log one thing at a time, the log itself before what it holds."""
        found = []
        for name, log in self.logs.items():
            quiet_s = max(now - log.heard, 0.0)
            now_s = log.newest_s + quiet_s
            if not log.live or quiet_s < self.least_by_clock_s:
                continue
            habit = self.silences.of_log(name)
            if habit is not None and quiet_s >= log.ask_s[-1]:
                found.append(self._silent(name, log, -1, habit, quiet_s, now_s))
                continue
            if self._is_told(name, log):
                # What it holds is silent with it.
                continue
            active_s = log.active_s + min(quiet_s, log.most_s)
            silent = self._due(name, log, active_s, now_s)
            if silent and not log.told_quiet:
                found.append(min(silent, key=lambda each: each.log_p))
        return found

    def told(self, silent: Silent, *, really: bool, shown: bool = True) -> None:
        """What was found was told; or it was not, and is asked about again when it is much longer. One that
        was not `shown`, since it is dismissed or a repeat, mutes no other."""
        log = self.logs.get(silent.recording)
        if log is None or silent.ended:
            return
        log.ask_s[silent.slot] = np.inf if really else silent.silence_s * AGAIN
        if really and shown and silent.slot >= 0 and silent.at_ns / 1e9 > log.newest_s:
            log.told_quiet = True

    def to_dict(self, now: float) -> dict[str, Any]:
        """All of it as JSON values; `quiet_s`: for how long nothing came."""
        return {
            name: {
                "host": log.host,
                "now_s": log.now_s,
                "active_s": log.active_s,
                "quiet_s": max(now - log.heard, 0.0),
                "place": log.place,
                "last_s": {str(at): float(log.last_s[at]) for at in np.flatnonzero(np.isfinite(log.last_s))},
                "told": np.flatnonzero(np.isinf(log.ask_s)).tolist(),
                "by": log.by,
                "told_quiet": log.told_quiet,
                "live": log.live,
                "early": log.early,
            }
            for name, log in self.logs.items()
        }

    def restore(self, plain: Any, now: float, *, more_s: float = 0.0, once: bool = False) -> None:
        """Go on where `to_dict` stood, the time being `now`; nobody listened for `more_s` in between. `once`:
        who listens looks now and then, and a log that was going on when it was heard from last is followed.

        Raises ValueError, KeyError or TypeError for what is no such thing.
        """
        saved = checked.mapping(plain, "heard")
        if len(saved) > MOST_LOGS:
            raise ValueError(f"these are more than {MOST_LOGS:,} logs")
        steady = len(self._kinds)
        for name, each in saved.items():
            quiet_s = checked.real(each["quiet_s"], "quiet_s", 0, 1e12)
            place = dict(checked.mapping(each["place"], "place"))
            log = self._fresh(name, checked.text(each["host"], "host"), place)
            log.now_s = checked.real(each["now_s"], "now_s", -1e12, 1e12)
            log.active_s = checked.real(each["active_s"], "active_s", 0, 1e12)
            log.heard = now - quiet_s - more_s
            log.by = checked.text(each.get("by", ""), "by")
            log.told_quiet = checked.flag(each["told_quiet"], "told_quiet")
            log.live = checked.flag(each["live"], "live")
            if each.get("early") is not None:
                slot, at_s = each["early"]
                log.early = (
                    checked.whole(slot, "a kind", -1, steady - 1),
                    checked.real(at_s, "early", -1e12, 1e12),
                )
            for at, last_s in checked.mapping(each["last_s"], "last_s").items():
                slot = checked.whole(int(at), "a kind", 0, steady - 1)
                log.last_s[slot] = checked.real(last_s, "last_s", -1e12, 1e12)
            for at in each["told"]:
                log.ask_s[checked.whole(at, "a kind", 0, steady)] = np.inf
            self.logs[name] = log
        newest = max((log.now_s for log in self.logs.values()), default=0.0)
        for log in self.logs.values() if once else ():
            # By the evidence, too: all that was read at once was just heard from.
            going_on = newest - log.now_s <= max(self.least_by_clock_s, min(log.most_s, FAR_S))
            log.live |= going_on and now - more_s - log.heard < self.least_by_clock_s

    def _hear(self, name: str, recording: str, log: _Log, slots: IntArray, times: FloatArray) -> list[Silent]:
        if log.by == recording and times.max() < log.now_s - BACK_S:
            # The clock was ahead: it was set by a line from the future, and would stand still until then.
            log.now_s = float(times[0])
        slots, times = self._without_early(name, log, slots, times)
        if not len(times):
            return []
        times = in_order(times, log.now_s)
        if times[-1] > log.now_s or not log.by:
            log.by = recording
        gaps = self.silences.active_s(np.diff(times, prepend=log.now_s), log.most_s)
        if self._is_told(name, log):
            # That nothing came was told: what the log holds is not told for the same time.
            gaps[0] = 0.0
        active_s = log.active_s + np.cumsum(gaps)
        steady = np.flatnonzero(slots >= 0)
        order = steady[np.argsort(slots[steady], kind="stable")]
        mine, at_s = slots[order], active_s[order]
        first = np.r_[True, mine[1:] != mine[:-1]][: len(mine)]
        last_s = np.where(first, log.last_s[mine], np.roll(at_s, 1))
        ask_s = np.where(first, log.ask_s[mine], self._bound_s[mine])
        # What ends a silence shows it itself where nothing else came before that was late enough.
        ended = (at_s - last_s >= ask_s) & ((active_s - gaps)[order] - last_s >= ask_s)
        found = []
        for at in np.flatnonzero(ended).tolist():
            slot, silence_s = int(mine[at]), float(at_s[at] - last_s[at])
            found.append(
                self._silent(name, log, slot, self._habit(slot), silence_s, times[order[at]], ended=True)
            )
        log.last_s[mine] = at_s  # the last of equal ones stays
        log.ask_s[mine] = self._bound_s[mine]
        log.ask_s[-1] = self._bound_of_log(name)
        log.now_s, log.active_s = float(times[-1]), float(active_s[-1])
        log.told_quiet = False
        return found + self._due(name, log, log.active_s, log.now_s)

    def _without_early(
        self, name: str, log: _Log, slots: IntArray, times: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """The next steps of a log, the one that was kept back before them; the last one is kept back where it
        lies too far ahead."""
        if log.early is not None:
            slots, times = np.r_[log.early[0], slots], np.r_[log.early[1], times]
            log.early = None
        habit = self.silences.of_log(name)
        usual_s = 0.0 if habit is None else habit.longest_s
        before = times[-2] if len(times) > 1 else log.now_s
        if times[-1] - before > max(FAR_S, usual_s):
            log.early = int(slots[-1]), float(times[-1])
            slots, times = slots[:-1], times[:-1]
        return slots, times

    def _due(self, name: str, log: _Log, active_s: float, now_s: float) -> list[Silent]:
        """Kinds that are silent for too long when the log was active for so long."""
        due = np.flatnonzero(active_s - log.last_s >= log.ask_s[:-1])
        return [
            self._silent(name, log, slot, self._habit(slot), active_s - log.last_s[slot], now_s)
            for slot in due.tolist()
        ]

    def _log(self, recording: str, host: str, now_s: float, place: dict[str, Any]) -> _Log:
        name = family(recording)
        log = self.logs.pop(name, None)
        if log is None:
            log = self._fresh(name, host, place)
            log.now_s = now_s
        self.logs[name] = log
        while len(self.logs) > MOST_LOGS:
            del self.logs[next(iter(self.logs))]
        return log

    def _fresh(self, name: str, host: str, place: dict[str, Any]) -> _Log:
        last_s, of_log = np.full(len(self._kinds), np.inf), self._bound_of_log(name)
        return _Log(host, of_log, 0.0, 0.0, 0.0, place, last_s, np.append(self._bound_s, of_log))

    def _is_told(self, name: str, log: _Log) -> bool:
        """Whether the log itself was told to be silent."""
        return bool(np.isinf(log.ask_s[-1])) and np.isfinite(self._bound_of_log(name))

    def _bound_of_log(self, name: str) -> float:
        return self.silences.bound_s(self.silences.of_log(name), self.alpha)

    def _habit(self, slot: int) -> Habit:
        return self.silences.kinds[int(self._kinds[slot])]

    def _silent(
        self,
        name: str,
        log: _Log,
        slot: int,
        habit: Habit,
        silence_s: float,
        at_s: float,
        *,
        ended: bool = False,
    ) -> Silent:
        event, example = None, {}
        if slot >= 0:
            kind = int(self._kinds[slot])
            event, example = self.encoder.name_of_kind(kind), dict(self.encoder.examples.of(kind))
        return Silent(
            name, log.host, event, example, habit, float(silence_s), int(at_s * 1e9), log.place, slot, ended
        )
