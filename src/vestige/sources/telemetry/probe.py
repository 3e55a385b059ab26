"""A made-up episode in memory: do the grid and the windows on it still give the same numbers?

It holds what the numbers depend on: jitter, a lost row, a longer gap, a reset, values that could not be read,
connections in any order, seconds with none, one and several.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from vestige.sources.telemetry.channels import of_collector
from vestige.sources.telemetry.fields import SAMPLED, CollectorName, schema
from vestige.sources.telemetry.grid import Rows, grid
from vestige.sources.telemetry.kernels import SECOND_NS, Grid

START_NS = 1_780_000_000_000_000_000
EXTRA = 12
"""Seconds beyond one window's length."""
LOST = (4, 7, 8, 9)
RESET, UNREAD = 6, 2
FLOWS: tuple[dict[str, Any], ...] = (
    {"t": 0.25},
    {"t": 3.5, "id.resp_p": 53, "service": "dns", "proto": "udp", "orig_bytes": None},
    {"t": 3.125, "id.resp_h": "198.51.100.7", "conn_state": "S0", "resp_bytes": 0, "resp_pkts": 0},
    {"t": 3.75, "id.resp_h": "198.51.100.8", "conn_state": "S0", "id.resp_p": 23},
    {"t": 5.0, "proto": "icmp", "id.orig_p": 3, "id.resp_p": 3},
)
FLOW: dict[str, Any] = {
    "uid": "C0", "id.orig_h": "10.0.0.2", "id.orig_p": 40_000, "id.resp_h": "192.0.2.1", "id.resp_p": 443,
    "proto": "tcp", "service": None, "duration": 0.5, "orig_bytes": 600, "resp_bytes": 9000,
    "conn_state": "SF", "orig_pkts": 7, "resp_pkts": 9,
}  # fmt: skip


def made_up(length: int, step: int = 1) -> Grid:
    """The grid of the episode, `length + EXTRA` steps of `step` seconds long."""
    seconds = (length + EXTRA) * step
    collectors: dict[CollectorName, Rows] = {name: _samples(name, seconds) for name in SAMPLED}
    collectors["netflow"] = _flows()
    return grid(collectors, START_NS, START_NS + seconds * SECOND_NS, step)


def _samples(collector: CollectorName, seconds: int) -> Rows:
    kept = np.setdiff1d(np.arange(seconds), LOST)
    jitter = np.where(kept % 2, 40_000_000, -25_000_000)
    values: dict[str, pl.Series] = {}
    for number, channel in enumerate(of_collector(collector), 1):
        level = number * (kept + 1) ** 2 + (kept % 3) * number
        if channel.kind == "counter->rate":
            level = np.where(kept >= RESET, level - level[kept >= RESET].min(), level)
        unread = {UNREAD} if number % 4 == 0 else set()
        cells = [None if step in unread else value for step, value in zip(kept, level.tolist(), strict=True)]
        values[channel.column] = pl.Series(cells, dtype=pl.Int64).cast(schema(collector)[channel.column])
    return Rows(START_NS + kept * SECOND_NS + SECOND_NS // 2 + jitter, pl.DataFrame(values))


def _flows() -> Rows:
    t_ns = np.array([START_NS + round(own["t"] * SECOND_NS) for own in FLOWS])
    return Rows(t_ns, pl.DataFrame([{**FLOW, **own} for own in FLOWS], schema=schema("netflow")))
