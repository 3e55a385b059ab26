"""One simulated log file: sessions that begin one after the other, run side by side, and end."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, count

from vestige.simulators.logs import app, auth, database, phrases, system
from vestige.simulators.logs.options import SimulateOptions
from vestige.simulators.logs.values import Line, Session, Values

Maker = Callable[[Values], Session]

START = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
"""A Monday."""
RELEASES = (0.6, 0.82)
"""When, as shares of a file's messages, new releases bring messages never seen before."""
BURSTS = 0.35
"""How many sessions begin right after another one."""
ROOM = 60
"""No session is longer: an anomaly that begins so many messages before the end is there whole."""
TYPICAL = 5
"""Messages of an anomaly, about."""
NEVER = 1 << 50
LATE = (0.86, 0.94)
"""Every file has an anomaly between these shares of its messages, whatever else chance plants."""


@dataclass(frozen=True)
class Service:
    """What writes a log: its normal sessions with their shares, and its collective anomalies."""

    normal: Sequence[tuple[Maker, float]]
    collective: Sequence[Maker]

    def session(self, v: Values) -> Session:
        """A normal session, or one of the messages that come up anywhere."""
        at = v.random()
        if at < 0.05:
            return (phrases.rare, phrases.rare, phrases.scary)[v.below(3)](v)
        at = (at - 0.05) / 0.95
        for maker, share in self.normal:
            at -= share
            if at < 0:
                return maker(v)
        return self.normal[0][0](v)

    def incident(self, v: Values, room: int) -> Session:
        """An anomaly. Near the end of a file (`room` messages are left) only one that surely fits."""
        kind = v.random()
        if kind < 0.36 or room <= ROOM:
            return phrases.fault(v)
        if kind < 0.55:
            return phrases.quiet(v)
        return v.pick(self.collective)(v)


SERVICES = {
    "app": Service(app.NORMAL, app.COLLECTIVE),
    "auth": Service(auth.NORMAL, auth.COLLECTIVE),
    "database": Service(database.NORMAL, database.COLLECTIVE),
    "system": Service(system.NORMAL, system.COLLECTIVE),
}


class Rhythm:
    """When things happen: busy days, calm nights and week-ends (`calm`: how calm, 1 = no difference)."""

    def __init__(self, days: float, calm: float) -> None:
        self._step = min(3600.0, days * 86_400 / 24)
        hours = [START + n * self._step for n in range(max(1, round(days * 86_400 / self._step)))]
        weights = [self._weight(datetime.fromtimestamp(t, UTC), calm) for t in hours]
        total = sum(weights)
        self._share = [0.0, *(part / total for part in accumulate(weights))]

    @staticmethod
    def _weight(moment: datetime, calm: float) -> float:
        busy = 8 <= moment.hour < 19 and moment.weekday() < 5
        return 1.0 if busy else calm

    def at(self, share: float) -> float:
        """The moment by which this share (0 to 1) of everything has happened, in seconds since 1970."""
        hour = min(bisect_right(self._share, share), len(self._share) - 1) - 1
        low, high = self._share[hour], self._share[hour + 1]
        return START + (hour + (share - low) / (high - low)) * self._step


class Incidents:
    """Decides when the next anomaly is due, so that the share of anomalous messages comes out about right."""

    def __init__(self, v: Values, share: float, n: int) -> None:
        self._v, self._share = v, share
        self._next = self._after(0, TYPICAL)
        late = int(n * (LATE[0] + v.random() * (LATE[1] - LATE[0])))
        self._late = min(late, n - ROOM) if share else NEVER

    def due(self, planned: int) -> bool:
        """Whether the session that begins after `planned` messages should be an anomaly."""
        if planned >= self._late:
            self._late = self._next = NEVER
            return True
        return planned >= self._next

    def planted(self, session: Session, planned: int) -> None:
        """Plan the next one by how much this one holds."""
        if self._late != NEVER:
            self._next = self._after(planned, sum(1 for line in session if line.kind))

    def _after(self, planned: int, wrong: int) -> int:
        if self._share * NEVER < wrong:
            return NEVER
        return planned + int(wrong / self._share * (0.5 + self._v.random()))


def messages(
    service: Service, v: Values, n: int, rhythm: Rhythm, options: SimulateOptions
) -> Iterator[tuple[float, Line]]:
    """Exactly `n` messages with their times, in order; memory holds only the sessions under way."""
    under_way: list[tuple[float, int, Line]] = []
    number = count()
    incidents = Incidents(v, options.anomalies, n)
    planned, traces, garbled, start = 0, 0, 0, START
    while planned < n:
        start = _next_start(v, start, rhythm, planned, n)
        while under_way and under_way[0][0] <= start:
            t, _, line = heapq.heappop(under_way)
            yield t, line
        v.release = bisect_right(RELEASES, planned / n)
        if incidents.due(planned):
            session = service.incident(v, n - planned)
            incidents.planted(session, planned)
        elif traces < planned * options.multiline and v.chance(0.5):
            session, traces = phrases.trace(v), traces + 1
        elif garbled < (planned + 500) // 1000 and v.chance(0.1):
            session, garbled = phrases.garbled(v), garbled + 1
        else:
            session = service.session(v)
        planned += len(session := session[: n - planned])
        t = start
        for line in session:
            t += line.gap
            heapq.heappush(under_way, (t, next(number), line))
    while under_way:
        t, _, line = heapq.heappop(under_way)
        yield t, line


def _next_start(v: Values, before: float, rhythm: Rhythm, planned: int, n: int) -> float:
    """When the next session begins: often on the heels of the one before, so that they mix."""
    if v.chance(BURSTS):
        return before + v.soon(1.0)
    return max(before, rhythm.at(min(planned + v.below(20), n - 1) / n))
