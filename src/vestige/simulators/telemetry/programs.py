"""The programs that are run: a sample behaves alike in all its episodes, and like no other sample."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vestige.simulators.telemetry.activity import DRIVERS, PROFILES, levels

SAMPLES = 12
"""Of each profile: a sample is run again and again, on several hosts."""
SLEEPERS = 0.3
"""Share of samples that sleep before they work."""
WAKE = 0.6
"""Share of samples that wake up again once they have fallen dormant."""


@dataclass(frozen=True)
class Program:
    """One sample. `level (drivers,)`: what it does at full strength.

    Once it runs it waits `lag_s` seconds, begins with the share `first` of its strength and reaches all of it
    `ramp_s` later; it works `work_s` and pauses `pause_s` on average.
    """

    profile: str
    sha256: str
    level: NDArray[np.float64]
    lag_s: float
    first: float
    ramp_s: float
    work_s: float
    pause_s: float
    wakes: bool


def make(profile: str, number: int) -> Program:
    """Sample `number` of a profile: the same in every store."""
    rng = np.random.default_rng([tuple(PROFILES).index(profile), number])
    strength = rng.lognormal(-0.2, 0.5, len(DRIVERS)) * rng.lognormal(0, 0.3)
    return Program(
        profile=profile,
        sha256=hashlib.sha256(f"{profile} {number}".encode()).hexdigest(),
        level=levels(PROFILES[profile]) * strength,
        lag_s=float(rng.uniform(10, 35) if rng.random() < SLEEPERS else rng.exponential(5)),
        first=float(rng.uniform(0.05, 0.6)),
        ramp_s=float(rng.lognormal(np.log(15), 0.7)),
        work_s=float(rng.lognormal(np.log(28), 0.4)),
        pause_s=float(rng.lognormal(np.log(8), 0.4)),
        wakes=bool(rng.random() < WAKE),
    )
