"""One episode second by second: its phases, and the level of each driver.

Labels change at once, behaviour does not: it sets in late and little by little, pauses, and fades; and
ordinary work of the same look comes and goes without any label.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vestige.simulators.telemetry.activity import (
    DRIVERS,
    IDLE,
    INSTALL,
    PHASES,
    SIGNS,
    STAGES,
    WORK,
    levels,
)
from vestige.simulators.telemetry.hosts import Host
from vestige.simulators.telemetry.programs import Program

Floats = NDArray[np.float64]

BEGINS = (0.6, 0.1, 0.08, 0.14, 0.08)
"""Share of episodes that begin in each phase: the recorder was not always there from the start."""
SHARES = (0.5, 0.13, 0.13, 0.4, 0.2)
"""How much of an episode's length each phase lasts on average; lengths are exponential, so how far an episode
has come says little about what is next."""
SHORTEST_S = 4.0
FAILS = 0.12
"""Share of episodes in which the sample never runs: armed to the end."""
STAYS = 0.3
"""Share of those that never fall dormant."""
WORK_S = 35.0
RISE_S, FALL_S = 8.0, 5.0
"""How long ordinary work takes on average to set in and to cease."""
SETS_IN_S = 8.0
"""How long the signs of a phase take on average to set in."""
FADE_S = 5.0
"""How fast a program's work fades once it has fallen dormant."""


@dataclass(frozen=True)
class Timeline:
    """`level (seconds, drivers)`; `phase (seconds,)` as positions in `PHASES`."""

    phase: NDArray[np.int64]
    level: Floats

    @property
    def changes(self) -> NDArray[np.int64]:
        """Seconds at which a phase begins, the first (0) included."""
        return np.concatenate([[0], np.flatnonzero(np.diff(self.phase)) + 1])


def make(host: Host, program: Program, seconds: int, rng: np.random.Generator) -> Timeline:
    """An episode of `seconds` in which `program` is run on `host`."""
    phase = _phases(program, seconds, rng)
    level = np.tile(levels(IDLE) * rng.lognormal(0, 0.15, len(DRIVERS)), (seconds, 1))
    _add_work(level, host, rng)
    _add_attack(level, phase, program, rng)
    # a second's level is its own and a little of the last ones': nothing starts or stops at once
    level = 0.6 * level + 0.4 * np.vstack([level[:1], level[:-1]])
    noise = rng.gamma(host.shape, 1 / host.shape, level.shape)
    noise[:, DRIVERS.index("memory")] = 1.0
    return Timeline(phase, level * noise * host.scale)


def _phases(program: Program, seconds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """From the phase in which the episode begins, one after the other; a sample may wake up again."""
    fails, stays = rng.random() < FAILS, rng.random() < STAYS
    phase = int(rng.choice(len(PHASES), p=BEGINS))
    if fails:
        phase = min(phase, PHASES.index("armed"))
    out, at = np.empty(seconds, dtype=np.int64), 0.0
    while at < seconds:
        name = PHASES[phase]
        last = (
            (name == "armed" and fails)
            or (name == "infected_running" and stays)
            or (name == "dormant" and not program.wakes)
        )
        out[int(at) :] = phase
        if last:
            break
        at += SHORTEST_S + rng.exponential(SHARES[phase] * seconds)
        phase += 1
        if phase == len(PHASES):  # a dormant sample wakes up
            phase = PHASES.index("infected_running")
    return out


def _add_attack(level: Floats, phase: NDArray[np.int64], program: Program, rng: np.random.Generator) -> None:
    """What the sample does in each phase, which is at times nothing."""
    starts = [0, *(np.flatnonzero(np.diff(phase)) + 1), len(phase)]
    for begin, end in itertools.pairwise(starts):
        name, n = PHASES[phase[begin]], end - begin
        set_in = np.ones(n)
        if begin:  # what the episode begins with has set in before
            set_in = np.clip(np.arange(1, n + 1) / (1 + rng.exponential(SETS_IN_S)), 0, 1)
        level[begin:end] += np.outer(set_in, levels(SIGNS.get(name, {})) * rng.lognormal(0, 0.5))
        if name == "armed":
            level[begin:end] += 0.6 * rng.lognormal(0, 0.5) * installing(n, rng, idle=2.0)
        elif name == "infecting":
            level[begin:end] += rng.lognormal(0, 0.4) * installing(n, rng, idle=0.3)
        elif name == "infected_running":
            worked = _envelope(program, n, rng, under_way=begin == 0)
            level[begin:end] += np.outer(worked, program.level)
            fading = worked[-1] * np.exp(-np.arange(1, len(phase) - end + 1) / FADE_S)
            level[end:] += np.outer(fading, program.level)


def _envelope(program: Program, n: int, rng: np.random.Generator, *, under_way: bool) -> Floats:
    """How much of its strength the sample works with, `(n,)`, from when it is said to run."""
    lag = 0.0
    if not under_way:
        lag = program.lag_s * rng.lognormal(0, 0.4)
    ramp = max(1.0, program.ramp_s * rng.lognormal(0, 0.4))
    since = np.arange(n) - lag
    rising = np.ones(n)
    if not under_way:
        rising = program.first + (1 - program.first) * np.clip(since / ramp, 0, 1)
    return (since >= 0) * rising * _switching(n, program.work_s, program.pause_s, rng)


def installing(n: int, rng: np.random.Generator, *, idle: float) -> Floats:
    """`(n, drivers)`: something is fetched, unpacked and set up, each in about the same time; nothing happens
    before, in between and after, for `idle` times that on average."""
    # Idle, a stage, idle, a stage, ..., idle: what is at an odd place is work.
    each: Floats = np.zeros((2 * len(STAGES) + 1, len(DRIVERS)))
    each[1::2] = [levels(stage) for stage in STAGES.values()]
    weights = np.full(len(each), idle)
    weights[1::2] = 1.0
    ends = np.cumsum(rng.dirichlet(weights)) * n
    at = np.searchsorted(ends[:-1], np.arange(n), side="right")
    strength = rng.lognormal(0, 0.5, len(each))
    found: Floats = (each * strength[:, None])[at]
    return found


def _add_work(level: Floats, host: Host, rng: np.random.Generator) -> None:
    """Ordinary work comes and goes, on clean machines and on infected ones; now and then two at a time."""
    seconds = len(level)
    for busy in (host.busy, host.busy / 3):
        at = 0.0
        while at < seconds:
            length = rng.exponential(WORK_S)
            if rng.random() < busy:
                name = str(rng.choice(list(WORK), p=host.taste))
                part = level[int(at) : int(at + length) + 1]
                part += _job(name, len(part), rng) * rng.lognormal(0, 0.5)
            at += length


def _job(name: str, n: int, rng: np.random.Generator) -> Floats:
    """One piece of ordinary work, `(n, drivers)`."""
    if name == INSTALL:
        return installing(n, rng, idle=0.5)
    step = np.arange(1, n + 1)
    rise, fall = rng.exponential([RISE_S, FALL_S]) + 1
    strength = np.minimum(1, np.minimum(step / rise, (n + 1 - step) / fall))
    return np.outer(strength, levels(WORK[name]))


def _switching(seconds: int, on_s: float, off_s: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """On and off in turns of random length, beginning with on."""
    pairs = int(seconds / (on_s + off_s)) * 3 + 8
    turns = rng.exponential([on_s, off_s], (pairs, 2)).ravel()
    turn = np.searchsorted(np.cumsum(turns), np.arange(seconds), side="right")
    on: NDArray[np.bool_] = turn % 2 == 0
    return on
