import csv
from collections import Counter
from pathlib import Path

import pytest

from vestige.schema import Feature
from vestige.sources.telemetry import channels
from vestige.sources.telemetry.fields import COLLECTORS, FIELDS, SAMPLED

DESIGN = Path(__file__).parents[4] / "shared" / "design" / "telemetry" / "channels.csv"


def test_there_are_46_channels_of_four_collectors() -> None:
    found = Counter(one.collector for one in channels.CHANNELS)
    assert found == {"proc": 12, "guest": 14, "qmp": 8, "netflow": 12}
    assert len({one.name for one in channels.CHANNELS}) == 46
    assert sum(one.host_only for one in channels.CHANNELS) == 20


def test_the_channels_of_a_collector_lie_together() -> None:
    for collector in COLLECTORS:
        assert channels.CHANNELS[channels.columns(collector)] == channels.of_collector(collector)


def test_a_sampled_collector_has_a_channel_for_each_raw_column() -> None:
    for collector in SAMPLED:
        assert [one.column for one in channels.of_collector(collector)] == list(FIELDS[collector])


def test_the_units_of_rates_are_those_of_the_counters_by_the_second() -> None:
    for collector in SAMPLED:
        for one in channels.of_collector(collector):
            raw = FIELDS[collector][one.column].unit
            assert one.unit == (raw if one.kind == "gauge" else f"{raw}/s")


def test_features_and_settings_say_the_same() -> None:
    assert channels.features() == tuple(
        Feature(one["name"], one["unit"], one["host_only"]) for one in channels.settings()
    )


def test_the_registry_is_that_of_the_design() -> None:
    if not DESIGN.is_file():
        pytest.skip("the design's channels.csv is not here")
    with DESIGN.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    ours = [(c.name, c.collector, c.unit, c.kind, c.host_only) for c in channels.CHANNELS]
    theirs = [(r["name"], r["source"], r["unit"], r["kind"], r["host_only"] == "1") for r in rows]
    assert ours == theirs
    assert [int(row["index"]) for row in rows] == list(range(46))
