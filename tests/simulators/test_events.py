"""The simulated export: deterministic, whole or not at all, and as hard as it says."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tests.sources.events.exports import dataset, write
from vestige.errors import OutputError
from vestige.evidence.files import MARKER
from vestige.reading.windows import WindowSet
from vestige.simulators.events.options import SimulateOptions
from vestige.simulators.events.write import simulate
from vestige.splits import make


def digests(root: Path) -> dict[str, str]:
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in sorted(root.iterdir())}


@pytest.fixture(scope="module", name="windows")
def _windows(tmp_path_factory: pytest.TempPathFactory) -> WindowSet:
    root = tmp_path_factory.mktemp("simulate")
    simulate(root / "c", SimulateOptions())
    return dataset(root / "c", root / "d")


@pytest.mark.parametrize("name", ["csv", "jsonl", "ecs", "ocsf"])
@pytest.mark.parametrize("compress", ["none", "all"])
def test_every_format_is_read_back_with_what_was_planted(tmp_path: Path, name: str, compress: str) -> None:
    options = SimulateOptions(events=2000, machines=8, campaigns=6, format=name, compress=compress)
    planted = simulate(tmp_path / "c", options)
    windows = dataset(tmp_path / "c", tmp_path / "d", mapping=name)
    assert len(windows) == planted["events"] == 2000
    assert int(windows.label.sum()) == planted["anomalies"] > 0
    assert windows.table("events").height - 1 == planted["event_types"]
    assert windows.recordings["id"].to_list() == list(planted["by_machine"])
    assert windows.notes["left_out_counts"] == {}
    assert windows.notes["synthetic"] is True


def test_equal_options_give_equal_bytes_and_seeds_differ(tmp_path: Path) -> None:
    options = SimulateOptions(events=1500, machines=5, campaigns=3, compress="all")
    simulate(tmp_path / "a", options)
    simulate(tmp_path / "b", options)
    simulate(tmp_path / "c", options.model_copy(update={"seed": 1}))
    assert digests(tmp_path / "a") == digests(tmp_path / "b") != digests(tmp_path / "c")


def test_the_marker_says_that_it_is_synthetic_and_what_was_planted(tmp_path: Path) -> None:
    planted = simulate(tmp_path / "a", SimulateOptions(events=1500, machines=5, campaigns=3))
    report = json.loads((tmp_path / "a" / MARKER).read_text())
    assert report["about"].startswith("SYNTHETIC")
    assert report["planted"] == planted
    assert sum(planted["files"].values()) == 1500
    assert planted["campaigns"] == 3


def test_one_file_of_an_export_is_known_as_synthetic_too(tmp_path: Path) -> None:
    simulate(tmp_path / "a", SimulateOptions(events=1500, machines=5, campaigns=3))
    first = min(tmp_path.glob("a/*.csv"))
    assert dataset(first, tmp_path / "d").notes["synthetic"] is True
    copy = write(tmp_path / "b" / "x.csv", first.read_bytes())
    assert dataset(copy, tmp_path / "d2").notes["synthetic"] is False


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "a" / "mine", "mine")
    with pytest.raises(OutputError):
        simulate(tmp_path / "a", SimulateOptions(events=1500, machines=5, campaigns=3))
    with pytest.raises(OutputError, match="did not write"):
        simulate(tmp_path / "a", SimulateOptions(events=1500, machines=5, campaigns=3), overwrite=True)


def test_impossible_wishes_are_refused() -> None:
    with pytest.raises(ValidationError, match="need at least"):
        SimulateOptions(events=1000, machines=100)


def test_no_event_gives_the_label_away(windows: WindowSet) -> None:
    """Every event of a campaign is one of ordinary days too, in each third of the time."""
    event = windows.streams["event"][windows.last_step]
    labels = defaultdict(set)
    for one, label in zip(event.tolist(), windows.label.tolist(), strict=True):
        labels[one].add(label)
    assert {frozenset(found) for found in labels.values()} == {frozenset({0}), frozenset({0, 1})}


def test_new_events_appear_only_later(windows: WindowSet) -> None:
    names = windows.table("events")["text"].to_list()
    start, end = windows.t_ns.min(), windows.t_ns.max()
    when = (windows.t_ns - start) / (end - start)
    event = windows.streams["event"][windows.last_step]
    first = {names[one]: when[event == one].min() for one in np.unique(event)}
    assert sum(one > 0.5 for one in first.values()) >= 3
    assert first["edr.script_logged"] > 0.75


def test_a_split_by_time_has_anomalies_on_every_side(windows: WindowSet) -> None:
    _, parts = make("time", windows)
    assert all((one.label == 1).sum() > 20 for one in (parts.train, parts.validation, parts.test))


def test_campaigns_take_hours_and_nights_are_calmer(windows: WindowSet) -> None:
    hours = windows.t_ns // (3600 * 10**9) % 24
    day = ((hours >= 7) & (hours < 18)).sum() / 11
    night = (hours < 5).sum() / 5
    assert day > 1.8 * night
    attacked = windows.t_ns[windows.label == 1]
    assert (np.diff(np.sort(attacked)) > 1200 * 10**9).sum() > 20


def test_compressed_files_carry_no_time_of_writing(tmp_path: Path) -> None:
    simulate(tmp_path / "a", SimulateOptions(events=1500, machines=5, campaigns=3, compress="all"))
    file = min(tmp_path.glob("a/*.gz"))
    assert file.read_bytes()[4:8] == bytes(4)
    assert gzip.decompress(file.read_bytes()).startswith(b"timestamp,machine")
