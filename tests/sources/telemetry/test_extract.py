"""One episode's folder becomes a grid; a collector is lost loudly or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.sources.telemetry.conftest import MakeStore
from vestige.errors import EvidenceError
from vestige.sources.telemetry.channels import columns
from vestige.sources.telemetry.extract import Extracted, episodes, extract
from vestige.sources.telemetry.faults import FaultError
from vestige.sources.telemetry.fields import CollectorName
from vestige.sources.telemetry.layout import CLASSES

PHASES = CLASSES["phase"]


def every(store: Path) -> list[Extracted]:
    return [extract(store, one, PHASES) for one in episodes(store).paths]


def spoilt(make_store: MakeStore, fault: str) -> Extracted:
    """The only episode of twelve that has this fault."""
    found = every(make_store(episodes=12, plant=(f"{fault}=1",)))
    (one,) = [one for one in found if one.faults]
    return one


def test_an_accepted_episode_has_every_collector(store: Path) -> None:
    found = list(every(store))
    assert len(found) > 1
    for one in found:
        assert one.verdict == "accepted"
        assert one.grid.dtype == np.float32
        assert one.grid.shape == ((one.manifest.t_end_ns - one.manifest.t_start_ns) // 10**9, 46)
        assert one.label is not None
        assert len(one.label) == len(one.t_ns) == len(one.grid)
        assert one.t_ns[-1] <= one.manifest.t_end_ns
        assert np.isfinite(one.grid[2:, columns("guest")]).mean() > 0.95


def test_all_flows_of_a_monotonic_netflow_are_kept(make_store: MakeStore) -> None:
    """The bug that this guards against dropped every one of them, and said nothing."""
    store, mapped = make_store(episodes=30, hosts=6, seed=3), 0
    for folder in episodes(store).paths:
        one = extract(store, folder)
        flows = pl.read_parquet(store / folder / "netflow.parquet")
        if one.manifest.clock.sources["netflow"] == "wall":
            continue
        mapped += 1
        assert "t_wall_ns" not in flows.columns
        assert flows["t_mono_ns"].to_numpy().max() < 10**17
        assert one.grid[:, columns("netflow").start].sum() == flows.height > 0
        assert one.verdict == "accepted"
    assert mapped > 0, "the simulator gave no host a monotonic netflow"


@pytest.mark.parametrize("fault", ["no_anchors", "bad_anchors", "wrong_base"])
def test_a_netflow_that_cannot_be_mapped_is_named_and_missing(make_store: MakeStore, fault: str) -> None:
    one = spoilt(make_store, fault)
    assert one.verdict == "degraded"
    assert [(fault.code, fault.subject) for fault in one.faults] == [("clock_base", "netflow")]
    assert np.isnan(one.grid[:, columns("netflow")]).all(), "missing, never an idle network"
    assert np.isfinite(one.grid[2:, columns("guest")]).mean() > 0.95


@pytest.mark.parametrize("collector", ["guest", "qmp", "netflow"])
def test_a_collector_without_file_is_named(make_store: MakeStore, collector: CollectorName) -> None:
    one = spoilt(make_store, f"missing_{collector}")
    assert [str(fault) for fault in one.faults] == [f"missing:{collector}"]
    assert np.isnan(one.grid[:, columns(collector)]).all()


def test_a_network_without_connections_is_silent_not_missing(make_store: MakeStore) -> None:
    store = make_store(episodes=12, plant=("no_flows=1",))
    silent = [one for one in every(store) if not one.grid[:, 34].any()]
    assert len(silent) == 1
    assert (silent[0].grid[:, 34:44] == 0).all()


def test_an_unsealed_spool_gives_the_numbers_of_the_sealed_table(make_store: MakeStore) -> None:
    sealed, spooled = make_store(episodes=12), make_store(episodes=12, plant=("unsealed=12",))
    for ours, theirs in zip(every(sealed), every(spooled), strict=True):
        assert np.array_equal(ours.grid, theirs.grid, equal_nan=True)
        assert [one.code for one in theirs.faults] == ["unsealed"]


@pytest.mark.parametrize(
    "fault",
    [
        "flipped_byte",
        "no_labels",
        "unsorted_rows",
        "linked_file",
        "garbage",
        "other_registry",
        "other_host",
    ],
)
def test_what_must_be_rejected_is_refused(make_store: MakeStore, fault: str) -> None:
    store = make_store(episodes=12, plant=(f"{fault}=1",))
    refused = []
    for folder in episodes(store).paths:
        try:
            extract(store, folder, PHASES)
        except FaultError as error:
            refused.append(error)
    assert len(refused) == 1


def test_labels_change_where_the_lab_says(store: Path) -> None:
    paths = episodes(store).paths
    assert len(paths) > 1
    for folder in paths:
        one = extract(store, folder, PHASES)
        lines = (store / folder / "labels.jsonl").read_text().splitlines()
        held = json.loads(lines[0])["phase"]
        changes = {json.loads(line)["t_wall_ns"]: json.loads(line)["phase"] for line in lines}
        assert one.label is not None
        for over, code in zip(one.t_ns.tolist(), one.label.tolist(), strict=True):
            held = changes.get(over - 10**9, held)
            assert PHASES[code] == held


def test_an_episode_by_itself_gives_what_it_gives_in_its_store(store: Path, tmp_path: Path) -> None:
    folder = episodes(store).paths[3]
    shutil.copytree(store / folder, tmp_path / "alone")
    assert episodes(tmp_path / "alone").paths == [""]
    ours, theirs = extract(store, folder), extract(tmp_path / "alone", "")
    assert np.array_equal(ours.grid, theirs.grid, equal_nan=True)
    assert ours.digest == theirs.digest


def test_where_there_is_no_episode_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="holds no episodes"):
        episodes(tmp_path)
    with pytest.raises(EvidenceError, match="cannot be read"):
        episodes(tmp_path / "nowhere")


def test_linked_hosts_and_days_are_not_entered(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    before = episodes(tmp_path / "store").paths
    (tmp_path / "store" / "host-x").symlink_to(store / "host-1")
    (tmp_path / "store" / "host-1" / "1999-01-01").symlink_to(store / "host-1")
    assert episodes(tmp_path / "store").paths == before
