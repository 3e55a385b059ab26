"""A Ray cluster of three nodes on this machine does what local processes do, and loses nothing with one."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.cluster import NODE, NODES, need
from tests.engine.test_engine import fails_on_three, is_a_bug, speaks, square
from tests.engine.test_seam import corpora, dataset, store
from tests.scoring.test_spread import detector, evidence
from tests.triage.test_spread import both
from vestige import log, scoring
from vestige.engine import ClusterError, LocalEngine, WorkerDiedError, choose
from vestige.engine.cluster import RayEngine
from vestige.errors import EvidenceError, UsageError
from vestige.scoring import spread
from vestige.sources import registry as sources
from vestige.validation.options import ValidateOptions
from vestige.validation.sweep import validate

need("ray", "vestige[ray]")
__all__ = ["corpora", "detector", "evidence", "store"]


@pytest.mark.parametrize("chunk", [1, 7])
def test_results_are_in_order_each_once(engine: RayEngine, chunk: int) -> None:
    assert engine.workers == NODES
    outcomes = list(engine.map(square, range(60), chunk=chunk))
    assert [(one.index, one.item, one.unwrap()) for one in outcomes] == [(x, x, x * x) for x in range(60)]
    anyhow = engine.map(square, range(60), chunk=chunk, ordered=False)
    assert sorted(one.unwrap() for one in anyhow) == [x * x for x in range(60)]


def test_one_failed_item_keeps_its_error_and_a_bug_is_not_hidden(engine: RayEngine) -> None:
    outcomes = list(engine.map(fails_on_three, range(6), chunk=2))
    assert [outcome.value for outcome in outcomes] == [0, 1, 2, None, 4, 5]
    with pytest.raises(EvidenceError, match=r"items\.txt:3: three is bad") as caught:
        outcomes[3].unwrap()
    assert caught.value.remedy == "leave it out"
    with pytest.raises(ZeroDivisionError) as bug:
        list(engine.map(is_a_bug, [1]))
    assert "in is_a_bug" in bug.value.__notes__[0]


def test_what_nodes_log_comes_home(engine: RayEngine, tmp_path: Path) -> None:
    logging.getLogger("vestige").setLevel(logging.INFO)
    with log.to_file(tmp_path / "log.jsonl"):
        pids = {outcome.unwrap() for outcome in engine.map(speaks, range(12))}
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["message"] for line in lines] == [f"item {x}" for x in range(12)]
    assert {line["process"] for line in lines} == pids
    assert os.getpid() not in pids


def test_a_bounded_number_of_items_is_drawn_ahead(engine: RayEngine) -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10_000):
            drawn.append(number)
            yield number

    outcomes = engine.map(square, items())
    assert [next(outcomes).unwrap() for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(drawn) <= 5 + 4 * NODES
    del outcomes


def dies(x: int) -> int:
    if x == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.parametrize("isolate", [False, True])
def test_an_item_that_kills_its_process_is_the_only_one_lost(
    engine: RayEngine, isolate: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    outcomes = list(engine.map(dies, range(9), chunk=3, isolate=isolate))
    assert [one.index for one in outcomes if isinstance(one.error, WorkerDiedError)] == [5]
    assert [one.value for one in outcomes if one.error is None] == [0, 1, 2, 3, 4, 6, 7, 8]
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def leaves_a_file(folder: Path, x: int) -> Path:
    made = folder / f"{x}.txt"
    made.write_text(str(x) * 1_000_000)
    return made


@pytest.mark.parametrize("which", ["engine", "blind"])
def test_files_come_home_to_where_values_say(
    which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    chosen: RayEngine = request.getfixturevalue(which)
    (tmp_path / "out").mkdir()
    found = [
        one.unwrap()
        for one in chosen.map(partial(leaves_a_file, tmp_path / "out"), range(6), writes=tmp_path / "out")
    ]
    assert [path.read_text()[:1] for path in found] == list("012345")
    assert all(path.stat().st_size == 1_000_000 and tmp_path in path.parents for path in found)


@pytest.mark.parametrize("name", ["events", "logs", "telemetry", "traces"])
def test_a_dataset_is_the_same_as_of_local_processes(
    name: str, engine: RayEngine, blind: RayEngine, corpora: dict[str, Path], tmp_path: Path
) -> None:
    source = sources.get(name)
    here = dataset(source, corpora[name], tmp_path / "here", LocalEngine(1))
    assert dataset(source, corpora[name], tmp_path / "seen", engine) == here
    assert dataset(source, corpora[name], tmp_path / "shipped", blind) == here


def test_a_sweep_finds_the_same_where_episodes_are_shipped(
    store: Path, blind: RayEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deep = ValidateOptions(deep=True)
    logging.getLogger("vestige").propagate = True
    caplog.set_level(logging.INFO, logger="vestige")
    here = validate(store, deep, output=tmp_path / "here.parquet", engine=LocalEngine(1))
    found = validate(store, deep, output=tmp_path / "ray.parquet", engine=blind)
    assert_frame_equal(found.rows, here.rows)
    assert found.rows.filter(pl.col("verdict") == "accepted").height
    assert "evidence is shipped to it" in caplog.text
    assert "MB of evidence were shipped" in caplog.text


def test_scores_are_the_same_where_detector_and_evidence_are_shipped(
    evidence: Path, detector: Path, blind: RayEngine
) -> None:
    here = list(scoring.score(detector, [evidence]))
    assert len(here) > 10
    assert list(spread.score(detector, [evidence], blind)) == here
    assert spread.score_recordings(detector, [evidence], blind) == scoring.score_recordings(
        detector, [evidence]
    )


def test_a_triage_is_the_same_where_detector_and_evidence_are_shipped(
    evidence: Path, detector: Path, blind: RayEngine, tmp_path: Path
) -> None:
    assert both(detector, tmp_path, blind, [evidence], every=True).looked_at == 2_000


def test_a_unit_that_is_not_there_is_told_by_the_callers_path(blind: RayEngine, tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("5")
    files = [tmp_path / "there.txt", tmp_path / "missing.txt"]
    there, missing = blind.map(Path.read_text, files, reads=lambda path: [path])
    assert there.unwrap() == "5"
    assert isinstance(missing.error, FileNotFoundError)
    assert missing.error.filename == str(tmp_path / "missing.txt")


def slow(folder: Path, x: int) -> tuple[int, int]:
    (folder / f"{x}-{os.getpid()}").touch()
    time.sleep(0.1)
    return x, os.getpid()


def test_a_node_that_dies_in_the_middle_loses_nothing(
    cluster: Any, engine: RayEngine, tmp_path: Path
) -> None:
    node = cluster.list_all_nodes()[-1]
    outcomes = engine.map(partial(slow, tmp_path), range(40))
    done = [next(outcomes) for _ in range(5)]
    cluster.remove_node(node, allow_graceful=False)
    try:
        done += outcomes
    finally:
        cluster.add_node(**NODE)
    assert [(one.index, one.unwrap()[0]) for one in done] == [(x, x) for x in range(40)]
    # What was lost with the node was begun twice, and came home once.
    assert len(list(tmp_path.iterdir())) >= len(done)


def test_without_ray_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="not installed") as caught:
        list(choose("ray").map(square, [1]))
    assert caught.value.remedy == "pip install 'vestige[ray]'"


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:0", "head:99999", ":6379"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--address"):
        choose("ray", address=address)


def test_an_address_is_for_a_cluster() -> None:
    with pytest.raises(UsageError, match="--engine ray"):
        choose("local", address="auto")


def test_an_address_at_which_nothing_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ClusterError, match=r"nothing answers at 127\.0\.0\.1:1:"):
        list(choose("ray", address="127.0.0.1:1").map(square, [1]))
