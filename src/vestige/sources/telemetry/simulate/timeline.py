"""One episode second by second: its phases, and the level of each driver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vestige.sources.telemetry.simulate.activity import (
    BEFORE_AND_AFTER,
    DRIVERS,
    IDLE,
    PHASES,
    PROFILES,
    WORK,
    levels,
)
from vestige.sources.telemetry.simulate.hosts import Host

FAILS = 0.12
"""Share of episodes in which the sample never runs: armed to the end."""
STAYS = 0.35
"""Share of the others that never fall dormant."""
RUN_S, PAUSE_S = 25.0, 9.0
"""How long on average a running sample works, and how long it then waits."""
WORK_S = 35.0


@dataclass(frozen=True)
class Timeline:
    """`level (seconds, drivers)`; `phase (seconds,)` as positions in `PHASES`."""

    profile: str
    phase: NDArray[np.int64]
    level: NDArray[np.float64]

    @property
    def changes(self) -> NDArray[np.int64]:
        """Seconds at which a phase begins, the first (0) included."""
        return np.concatenate([[0], np.flatnonzero(np.diff(self.phase)) + 1])


def make(host: Host, seconds: int, rng: np.random.Generator) -> Timeline:
    """An episode of `seconds` on `host`."""
    profile = str(rng.choice(host.profiles))
    phase = _phases(seconds, rng)
    level = np.tile(levels(IDLE), (seconds, 1))
    _add_work(level, host, rng)
    for name, named in BEFORE_AND_AFTER.items():
        level += np.outer(phase == PHASES.index(name), levels(named) * rng.lognormal(0, 0.5))
    intensity = rng.lognormal(-0.2, 0.6, len(DRIVERS)) * rng.lognormal(0, 0.3)
    running = (phase == PHASES.index("infected_running")) & _switching(seconds, RUN_S, PAUSE_S, rng)
    level += np.outer(running, levels(PROFILES[profile]) * intensity)
    # a second's level is its own and a little of the last ones': nothing starts or stops at once
    level = 0.6 * level + 0.4 * np.vstack([level[:1], level[:-1]])
    noise = rng.gamma(host.shape, 1 / host.shape, level.shape)
    noise[:, DRIVERS.index("memory")] = 1.0
    return Timeline(profile, phase, level * noise * host.scale)


def _phases(seconds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Lengths differ from episode to episode; some end early, and some never begin."""
    shares = rng.dirichlet([5.0, 1.5, 1.5, 7.0, 3.0])
    if rng.random() < FAILS:
        shares[1:] = [shares[1:].sum(), 0, 0, 0]
    elif rng.random() < STAYS:
        shares[3:] = [shares[3:].sum(), 0]
    ends = np.round(np.cumsum(shares) * seconds)
    return np.searchsorted(ends[:-1], np.arange(seconds), side="right").astype(np.int64)


def _add_work(level: NDArray[np.float64], host: Host, rng: np.random.Generator) -> None:
    """Ordinary work comes and goes, on clean machines and on infected ones; now and then two at a time."""
    seconds = len(level)
    kinds = [levels(one) for one in WORK.values()]
    for busy in (host.busy, host.busy / 3):
        at = 0.0
        while at < seconds:
            length = rng.exponential(WORK_S)
            if rng.random() < busy:
                kind = kinds[int(rng.choice(len(kinds), p=host.taste))]
                level[int(at) : int(at + length) + 1] += kind * rng.lognormal(0, 0.5)
            at += length


def _switching(seconds: int, on_s: float, off_s: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """On and off in turns of random length, beginning with on."""
    pairs = int(seconds / (on_s + off_s)) * 3 + 8
    turns = rng.exponential([on_s, off_s], (pairs, 2)).ravel()
    turn = np.searchsorted(np.cumsum(turns), np.arange(seconds), side="right")
    on: NDArray[np.bool_] = turn % 2 == 0
    return on
