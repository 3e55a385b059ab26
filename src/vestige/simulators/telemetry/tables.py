"""From levels of drivers to the raw tables of `proc`, `guest` and `qmp`: counters that grow, and gauges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.simulators.telemetry.activity import DRIVERS
from vestige.simulators.telemetry.hosts import Host
from vestige.sources.telemetry.fields import FIELDS, OPTIONAL, SEQ, WALL, CollectorName

Levels = dict[str, NDArray[np.float64]]
MB, GIB, KIB = 1e6, 1 << 30, 1 << 10
RESETS = 0.03
"""Share of episodes in which the guest starts again: its counters begin at 0 once more."""
JITTER_NS = 4_000_000


def drivers(level: NDArray[np.float64], host: Host) -> Levels:
    """Each driver by name, `(seconds,)`; CPU no more than there is."""
    found = dict(zip(DRIVERS, level.T, strict=True))
    found["user"] = np.minimum(found["user"], host.vcpus * 0.97)
    found["system"] = np.minimum(found["system"], host.vcpus * 0.4)
    found["busy"] = np.minimum(found["user"] + found["system"], host.vcpus)
    found["disk"] = found["read"] + found["write"]
    found["net"] = found["receive"] + found["send"]
    found["flows"] = level[:, DRIVERS.index("web") :].sum(axis=1)
    return found


RATES: dict[CollectorName, dict[str, Callable[[Levels], NDArray[np.float64]]]] = {
    "proc": {
        "process.cpu.time.user": lambda d: d["busy"] * 0.96 + 0.01,
        "process.cpu.time.system": lambda d: 0.015 + 0.01 * (d["disk"] + d["net"]) + 0.05 * d["system"],
        "process.cpu.time.guest": lambda d: d["busy"] * 0.93,
        "process.paging.faults.minor": lambda d: 20 + 150 * d["forks"] + 100 * d["user"],
        "process.paging.faults.major": lambda d: 0.01 + 0.02 * d["read"],
        "process.context_switches.voluntary": lambda d: 150 + 40 * d["flows"] + 30 * d["disk"]
        + 20 * d["net"] + 10 * d["operations"],
        "process.context_switches.involuntary": lambda d: 2 + 30 * d["busy"],
        "process.disk.io.read": lambda d: d["read"] * MB * 0.8,
        "process.disk.io.write": lambda d: d["write"] * MB * 1.05,
        "schedstat.waiting": lambda d: 0.002 + 0.02 * d["busy"] ** 2,
    },
    "guest": {
        "system.cpu.time.user": lambda d: d["user"],
        "system.cpu.time.system": lambda d: d["system"] + 0.004 * d["net"],
        "system.cpu.time.iowait": lambda d: 0.002 + 0.02 * d["disk"],
        "system.paging.faults.major": lambda d: 0.02 + 0.1 * d["read"],
        "context_switches": lambda d: 180 + 60 * d["flows"] + 40 * d["disk"] + 100 * d["forks"],
        "interrupts": lambda d: 120 + 50 * d["net"] + 30 * d["disk"] + 8 * d["flows"] + 250 * d["busy"],
        "system.disk.io.read": lambda d: d["read"] * MB,
        "system.disk.io.write": lambda d: d["write"] * MB,
        "system.network.io.receive": lambda d: d["receive"] * MB + 900 * d["flows"],
        "system.network.io.transmit": lambda d: d["send"] * MB + 500 * d["flows"],
        "system.process.created": lambda d: d["forks"],
    },
    "qmp": {
        "blockstats.rd_bytes": lambda d: d["read"] * MB,
        "blockstats.wr_bytes": lambda d: d["write"] * MB,
        "blockstats.rd_operations": lambda d: 0.2 + 18 * d["read"] + 0.3 * d["operations"],
        "blockstats.wr_operations": lambda d: 0.3 + 15 * d["write"] + 0.5 * d["operations"],
        "blockstats.flush_operations": lambda d: 0.05 + 0.05 * d["operations"],
        "stats.vcpu.exits": lambda d: 300 + 900 * d["busy"] + 120 * d["disk"] + 60 * d["net"],
        "stats.vcpu.halt_exits": lambda d: 150 / (0.3 + d["busy"]),
    },
}  # fmt: skip
"""What each counter grows by in a second, before the host's gain."""


def _gauges(collector: CollectorName, d: Levels, host: Host, rng: np.random.Generator) -> dict[str, Any]:
    seconds = len(d["user"])
    if collector == "proc":
        used = (0.4 + d["memory"] * host.gain["proc.process.memory.usage"]) * GIB
        noise = rng.normal(0, 2 * MB, seconds)
        return {
            "process.memory.usage": (np.minimum(used, host.memory_bytes) + noise).astype(np.int64),
            "process.thread.count": 5 + host.vcpus + rng.poisson(1 + np.minimum(d["disk"], 8)),
        }
    if collector == "guest":
        free = host.memory_bytes - d["memory"] * host.gain["guest.system.linux.memory.available"] * GIB / 2
        return {
            "system.linux.memory.available": np.maximum(free, 40 * MB).astype(np.int64),
            "load1": np.round(_load(d["busy"] + 0.02 * d["disk"]), 2),
            "system.process.count": 70 + 10 * host.vcpus + rng.poisson(2 + 3 * np.minimum(d["forks"], 60)),
        }
    return {"balloon.actual": np.full(seconds, host.memory_bytes, np.int64)}


def _load(busy: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel's one-minute average, every second."""
    keep = float(np.exp(-1 / 60))
    load, out = float(busy[:10].mean()), np.empty_like(busy)
    for at, runnable in enumerate(busy.tolist()):
        load = keep * load + (1 - keep) * runnable
        out[at] = load
    return out


def table(
    collector: CollectorName, d: Levels, host: Host, t_ns: NDArray[np.int64], rng: np.random.Generator
) -> pl.DataFrame:
    """The raw table of a sampled collector: `t_ns (seconds,)` Unix stamps, some samples lost."""
    seconds = len(t_ns)
    columns = _gauges(collector, d, host, rng)
    again = None
    if collector == "guest" and rng.random() < RESETS:
        again = int(rng.integers(1, seconds))
    for name, rate in RATES[collector].items():
        grown = rate(d) * host.gain[f"{collector}.{name}"]
        columns[name] = _counter(grown, FIELDS[collector][name].dtype is pl.Float64, again, rng)
    if host.accel == "tcg":  # QEMU has KVM's statistics from KVM alone
        for name in OPTIONAL & columns.keys():
            if name.startswith("stats."):
                columns[name] = None
    late = np.maximum.accumulate(t_ns + np.abs(rng.normal(0, JITTER_NS, seconds)).astype(np.int64))
    lost = min(int(rng.binomial(seconds, host.lost)), seconds // 20)
    kept = np.ones(seconds, dtype=np.bool_)
    kept[rng.choice(np.arange(1, seconds - 1), lost, replace=False)] = False
    every = {WALL: late, SEQ: np.arange(seconds)} | {name: columns[name] for name in FIELDS[collector]}
    dtypes = {name: field.dtype for name, field in FIELDS[collector].items()}
    return pl.DataFrame(
        {name: None if values is None else values[kept] for name, values in every.items()},
        schema={name: dtypes.get(name, pl.Int64) for name in every},
    )


def _counter(
    grown: NDArray[np.float64], seconds: bool, again: int | None, rng: np.random.Generator
) -> NDArray[Any]:
    """A counter that began long ago; at `again` it begins at 0."""
    steps: NDArray[Any] = grown
    if not seconds:
        steps = rng.poisson(grown)
    before = rng.integers(0, 10**5) * (1 if seconds else 1000)
    total = np.cumsum(steps) + before
    if again is not None:
        total[again:] -= total[again] - steps[again]
    if seconds:
        return np.round(total, 2)
    return total.astype(np.int64)
