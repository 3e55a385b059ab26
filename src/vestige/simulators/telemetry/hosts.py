"""Lab machines: no two alike in size, noise, taste, hypervisor or clock."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vestige.simulators.telemetry.activity import DRIVERS, PROFILES, WORK
from vestige.sources.telemetry.fields import FIELDS, SAMPLED

RARE = "scan-and-dial"
"""The profile that was never run on the last host."""


@dataclass(frozen=True)
class Host:
    """A machine. `scale (drivers,)` bends what happens, `gain` (a raw column) how much of it is seen."""

    id: str
    boot_id: str
    kernel: str
    qemu: str
    accel: str
    vcpus: int
    memory_bytes: int
    scale: NDArray[np.float64]
    gain: dict[str, float]
    busy: float
    """Share of the time in which some ordinary work goes on."""
    taste: NDArray[np.float64]
    """How often each kind of `WORK` is the one, `(kinds,)`."""
    shape: float
    """Of the gamma noise from second to second: small is noisy."""
    lost: float
    """Share of samples that are lost."""
    monotonic: tuple[str, ...]
    """Collectors that are stamped in monotonic time."""
    profiles: tuple[str, ...]
    boot_ns: int
    """When the monotonic clock was 0, in Unix nanoseconds."""


def make(count: int, seed: int, start_ns: int) -> list[Host]:
    """All hosts of a store; equal seeds, equal hosts. The last of several never ran the profile `RARE`."""
    return [_host(number, seed, start_ns, last=0 < number == count - 1) for number in range(count)]


def _host(number: int, seed: int, start_ns: int, *, last: bool) -> Host:
    rng = np.random.default_rng([seed, 1, number])
    columns = (f"{collector}.{name}" for collector in SAMPLED for name in FIELDS[collector])
    return Host(
        id=f"host-{number + 1}",
        boot_id=hashlib.blake2b(f"{seed} {number}".encode(), digest_size=16).hexdigest(),
        kernel=f"6.1.0-{18 + number}-amd64",
        qemu="7.2.22",
        accel="tcg" if number % 4 == 2 else "kvm",
        vcpus=int(rng.choice([1, 2, 2, 4])),
        memory_bytes=int(rng.choice([1, 2, 4])) << 30,
        scale=rng.lognormal(0, 0.5, len(DRIVERS)),
        gain={column: float(rng.lognormal(0, 0.4)) for column in columns},
        busy=float(rng.uniform(0.3, 0.75)),
        taste=rng.dirichlet(np.full(len(WORK), 0.7)),
        shape=float(rng.uniform(1.0, 4.0)),
        lost=float(rng.uniform(0.0, 0.012)),
        monotonic=("netflow",) if number % 2 else (),
        profiles=tuple(profile for profile in PROFILES if not (last and profile == RARE)),
        boot_ns=start_ns - int(rng.integers(10, 90)) * 86_400 * 10**9,
    )
