"""Connection records in the words of Zeek's conn.log."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.simulators.telemetry.activity import FLOW_KINDS
from vestige.simulators.telemetry.tables import Levels
from vestige.sources.telemetry.fields import FIELDS, SEQ, WALL

MOST = 200.0
"""Connections of one kind in a second, at most."""
DONE, REFUSED, UNANSWERED = 0, 1, 2
STATES = ("SF", "REJ", "S0", "OTH")


class Kind(NamedTuple):
    """One kind of connection: ports, what is carried (median bytes there and back), and how it ends."""

    ports: tuple[int, ...]
    proto: str
    service: str | None
    network: int
    peers: int
    sent: float
    received: float
    refused: float = 0.02
    unanswered: float = 0.02


KINDS = {
    "web": Kind((443, 443, 80), "tcp", "ssl", 93, 400, 1500, 20_000),
    "dns": Kind((53,), "udp", "dns", 0, 2, 45, 120),
    "lan": Kind((445, 22, 389, 5353, 123), "tcp", None, 0, 12, 700, 900),
    "beacon": Kind((443, 8443, 4444, 80), "tcp", "ssl", 185, 3, 600, 500, unanswered=0.1),
    "scan": Kind((22, 23, 80, 445, 2323, 3389, 8080, 5555), "tcp", None, 77, 60_000, 0, 0, 0.25, 0.65),
    "mail": Kind((25, 587), "tcp", "smtp", 64, 300, 6000, 700, 0.1, 0.1),
}
_KINDS = [KINDS[name] for name in FLOW_KINDS]


def _each(name: str, kind: NDArray[np.int64]) -> NDArray[Any]:
    """One attribute of the kinds, a row a connection."""
    return np.array([getattr(flow, name) for flow in _KINDS])[kind]


def table(d: Levels, t_ns: NDArray[np.int64], rng: np.random.Generator) -> pl.DataFrame:
    """The connections that begin in the seconds `t_ns` begin, by time."""
    count = rng.poisson(np.minimum([d[name] for name in FLOW_KINDS], MOST))
    count[FLOW_KINDS.index("dns"), 0] += 1  # an episode begins with a query: no network is silent throughout
    kind, second = (np.repeat(at, count.ravel()) for at in np.indices(count.shape).reshape(2, -1))
    begun = t_ns[second] + rng.integers(0, 10**9, len(second))
    order = np.argsort(begun, kind="stable")
    columns = {WALL: begun[order], SEQ: np.arange(len(order))} | _records(kind[order], rng)
    dtypes = {name: field.dtype for name, field in FIELDS["netflow"].items()}
    return pl.DataFrame(
        columns, schema={name: dtypes.get(name, pl.Int64) for name in (WALL, SEQ, *dtypes)}, nan_to_null=True
    )


def _records(kind: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
    n = len(kind)
    drawn, refused = rng.random(n), _each("refused", kind)
    ends = [drawn < refused, drawn < refused + _each("unanswered", kind)]
    state = np.select(ends, [REFUSED, UNANSWERED], DONE)
    done = state == DONE
    proto = _each("proto", kind)
    icmp = (proto == "tcp") & (state == REFUSED) & (rng.random(n) < 0.2)
    sent = (_each("sent", kind) * done * rng.lognormal(0, 0.8, n)).astype(np.int64)
    received = (_each("received", kind) * done * rng.lognormal(0, 0.8, n)).astype(np.int64)
    peers = zip(_each("network", kind).tolist(), rng.integers(0, _each("peers", kind)).tolist(), strict=True)
    ports = np.array([np.resize(flow.ports, 8) for flow in _KINDS])[kind, rng.integers(0, 8, n)]
    return {
        "uid": [f"C{uid:013x}" for uid in rng.integers(0, 16**13, n).tolist()],
        "id.orig_h": ["10.0.2.15"] * n,
        "id.orig_p": np.where(icmp, 3, rng.integers(32_768, 61_000, n)),
        "id.resp_h": [f"10.{network}.{peer // 250}.{peer % 250 + 1}" for network, peer in peers],
        "id.resp_p": np.where(icmp, 1, ports),
        "proto": np.where(icmp, "icmp", proto).tolist(),
        "service": np.where(done, _each("service", kind), np.array(None)).tolist(),
        "duration": np.where(state == UNANSWERED, np.nan, np.round(rng.exponential(0.6, n), 6)),
        "orig_bytes": sent,
        "resp_bytes": received,
        "conn_state": np.array(STATES)[np.where(icmp, 3, state)].tolist(),
        "orig_pkts": 1 + sent // 1200 + done * 3,
        "resp_pkts": received // 1200 + done * 3 + (state == REFUSED),
    }  # fmt: skip
