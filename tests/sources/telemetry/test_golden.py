"""Windows of a small episode, frozen to text: a change here is a change of what every trained detector sees.

Where it is meant, raise `layout.VERSION` and rewrite: `python -m tests.sources.telemetry.test_golden`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from tests.reading.raw import live
from vestige.simulators.telemetry.draft import Draft
from vestige.simulators.telemetry.hosts import Host
from vestige.sources.telemetry.channels import CHANNELS
from vestige.sources.telemetry.fields import FIELDS, SAMPLED, SEQ, WALL, CollectorName
from vestige.sources.telemetry.layout import schema_for
from vestige.sources.telemetry.options import TelemetryOptions

GOLDEN = Path(__file__).with_name("golden")
SECONDS, SECOND_NS = 15, 10**9
START_NS = 1_772_438_400 * SECOND_NS
LOST = 6
"""The second in which the guest has no sample."""


def sampled(collector: CollectorName) -> pl.DataFrame:
    """Counters and gauges made of whole numbers: no two columns are alike, and none is drawn at random."""
    t = np.arange(SECONDS, dtype=np.int64)
    columns: dict[str, object] = {WALL: START_NS + t * SECOND_NS, SEQ: t}
    for number, (name, field) in enumerate(FIELDS[collector].items(), 1):
        values = number * 64 * (t + t * t // 4)
        columns[name] = pl.Series(name, values).cast(field.dtype)
    table = pl.DataFrame(columns)
    if collector == "guest":
        table = table.filter(pl.col(SEQ) != LOST)
    return table


def connections() -> pl.DataFrame:
    """Six connections to three addresses."""
    n = 6
    at = np.arange(n, dtype=np.int64)
    columns: dict[str, object] = {WALL: START_NS + at * (2 * SECOND_NS) + SECOND_NS // 2, SEQ: at}
    for name, field in FIELDS["netflow"].items():
        columns[name] = pl.Series(name, 100 + at * 8).cast(field.dtype)
    columns["uid"] = [f"C{number}" for number in range(n)]
    columns["id.orig_h"] = ["10.0.0.1"] * n
    columns["id.resp_h"] = [f"10.0.1.{number % 3}" for number in range(n)]
    columns["proto"], columns["service"] = ["tcp"] * n, ["ssl", None] * 3
    columns["conn_state"] = ["SF", "REJ", "S0"] * 2
    return pl.DataFrame(columns, schema_overrides={"service": pl.String})


def episode(place: Path) -> Path:
    """The folder of one episode."""
    none = np.zeros(0)
    host = Host(
        "host-1",
        "b007" * 8,
        "6.1.0",
        "7.2.22",
        "kvm",
        2,
        1 << 30,
        none,
        {},
        0.5,
        none,
        1.0,
        0.0,
        (),
        ("p",),
        0,
    )
    tables: dict[CollectorName, pl.DataFrame] = {collector: sampled(collector) for collector in SAMPLED}
    tables["netflow"] = connections()
    labels = [{"t_wall_ns": START_NS, "label": "benign", "phase": "clean"}]
    bases: dict[CollectorName, str] = dict.fromkeys(tables, "wall")
    draft = Draft(host, "episode-1", START_NS, SECONDS, "p", tables, labels, bases, "5a" * 32)
    draft.pack()
    return draft.write(place)


def render(place: Path) -> str:
    """Every fifth window: where it ends, and a line a channel, second by second, oldest first."""
    (batch,) = live([episode(place)], schema_for(TelemetryOptions(length=5)))
    lines = []
    for row in range(0, len(batch), 5):
        second = batch.place["second"][row]
        lines.append(f"second {second}, {batch.t_ns[row]}: {batch.text[row]}\n")
        for at, channel in enumerate(CHANNELS):
            values = " ".join(f"{value:.5g}" for value in batch.steps["grid"][row, :, at])
            lines.append(f"  {channel.name} {values}\n")
    return "".join(lines)


def test_windows_are_as_frozen(tmp_path: Path) -> None:
    assert render(tmp_path) == (GOLDEN / "episode.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        (GOLDEN / "episode.txt").write_text(render(Path(folder)), encoding="utf-8")
