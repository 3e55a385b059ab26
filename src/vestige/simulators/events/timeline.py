"""Every event of the export in the order in which the SIEM received it."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, count
from random import Random
from typing import NamedTuple

from vestige.simulators.events.campaigns import campaign, starts
from vestige.simulators.events.habits import NOISE, ROLES, SHARES, Chance, Habit, Role, noisy
from vestige.simulators.events.options import SimulateOptions

START = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
"""A Monday."""
RELEASES = (0.55, 0.8)
"""After these shares of the time the site has new products, with events never seen before."""
NOISY = 0.12
"""Share of machines with a noisy detector."""
LATE, LATE_S = 0.01, 240.0
"""Share of events that the SIEM receives late, and how late on average."""


class Event(NamedTuple):
    """What a machine reports at `t` (seconds since 1970); `campaign` 0 and no `stage` for an ordinary day."""

    t: float
    machine: str
    role: str
    event: str
    stage: str = ""
    campaign: int = 0


@dataclass(frozen=True)
class Host:
    """A machine, its role, and a detector that cries wolf on it, if one does."""

    name: str
    role: Role
    wolf: Habit | None


def hosts(options: SimulateOptions) -> list[Host]:
    """The site's machines: every role comes."""
    random = Random(f"{options.seed} hosts")
    drawn = random.choices(ROLES, weights=SHARES, k=options.machines - 3)
    roles = [ROLES[0], ROLES[1], ROLES[3], *drawn]
    number = count(1)
    hosts = []
    for role in sorted(roles, key=ROLES.index):
        noise = None
        if random.random() < NOISY:
            noise = noisy(random.choice(NOISE))
        hosts.append(Host(f"{role.name}-{next(number):03}", role, noise))
    return hosts


def attacks(options: SimulateOptions, site: list[Host]) -> list[Event]:
    """The events of all campaigns, by time."""
    random = Random(f"{options.seed} campaigns")
    found: list[Event] = []
    for number, start in enumerate(starts(options.campaigns, options.days, random), 1):
        release = bisect_right(RELEASES, start / (options.days * 86_400))
        pair = random.sample(site, 2)
        t = START + start
        two = random.random() < 0.5
        for which, steps in campaign(f"{options.seed} campaign {number}", release=release, two_machines=two):
            host = pair[which]
            for step in steps:
                t += step.gap_s
                found.append(Event(t, host.name, host.role.name, step.event, step.stage, number))
    return sorted(found)


def background(options: SimulateOptions, site: list[Host], n: int) -> Iterator[Iterator[Event]]:
    """For each machine its ordinary events, by time; `n` of all machines together."""
    random = Random(f"{options.seed} volumes")
    volumes = [host.role.volume * (0.5 + random.random()) for host in site]
    ends = [0, *(round(n * part / sum(volumes)) for part in accumulate(volumes))]
    for host, low, high in zip(site, ends, ends[1:], strict=False):
        yield _ordinary(options, host, high - low)


def _ordinary(options: SimulateOptions, host: Host, n: int) -> Iterator[Event]:
    """`n` events of one machine: runs begin one after the other and may overlap."""
    c = Chance(f"{options.seed} {host.name}")
    rhythm = Rhythm(options.days, host.role.calm)
    habits, weights = zip(*host.role.habits, strict=True)
    if host.wolf is not None:
        habits, weights = (*habits, host.wolf), (*weights, max(weights) // 2 + 1)
    pending: list[Event] = []
    planned = 0
    while planned < n:
        t = rhythm.at((planned + c.random.random()) / n)
        c.release = bisect_right(RELEASES, (t - START) / (options.days * 86_400))
        while pending and pending[0].t < t:
            yield heapq.heappop(pending)
        (habit,) = c.random.choices(habits, weights)
        for step in habit(c)[: n - planned]:
            t += step.gap_s
            heapq.heappush(pending, Event(t, host.name, host.role.name, step.event))
            planned += 1
    while pending:
        yield heapq.heappop(pending)


def received(options: SimulateOptions) -> Iterator[tuple[float, Event]]:
    """All events with the moment at which the SIEM writes them down, in that order."""
    site = hosts(options)
    planted = attacks(options, site)
    streams = background(options, site, options.events - len(planted))
    random = Random(f"{options.seed} delays")
    waiting: list[tuple[float, Event]] = []
    for event in heapq.merge(iter(planted), *streams):
        while waiting and waiting[0][0] <= event.t:
            yield heapq.heappop(waiting)
        delay = 0.0
        if random.random() < LATE:
            delay = random.expovariate(1 / LATE_S)
        heapq.heappush(waiting, (event.t + delay, event))
    while waiting:
        yield heapq.heappop(waiting)


class Rhythm:
    """When things happen: busy days, calm nights and week-ends (`calm`: how calm; 1 is no difference)."""

    def __init__(self, days: float, calm: float) -> None:
        self._step = min(3600.0, days * 86_400 / 24)
        moments = [START + n * self._step for n in range(max(1, round(days * 86_400 / self._step)))]
        self._until = [0.0, *accumulate(_weight(moment, calm) for moment in moments)]

    def at(self, share: float) -> float:
        """The moment by which this share (0 to 1) of everything has happened, in seconds since 1970."""
        wanted = share * self._until[-1]
        hour = min(bisect_right(self._until, wanted), len(self._until) - 1) - 1
        low, high = self._until[hour], self._until[hour + 1]
        return START + (hour + (wanted - low) / (high - low)) * self._step


def _weight(t: float, calm: float) -> float:
    moment = datetime.fromtimestamp(t, UTC)
    return 1.0 if 7 <= moment.hour < 18 and moment.weekday() < 5 else calm
