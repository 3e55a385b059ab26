"""Whoever maps over an engine works with any: with one that reorders, fails and kills, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.engine.fake import FakeEngine
from vestige.engine import HERE, Engine, LocalEngine
from vestige.simulators.telemetry.options import SimulateOptions
from vestige.simulators.telemetry.write import simulate
from vestige.sources import registry as sources
from vestige.sources.base import Source
from vestige.validation.options import ValidateOptions
from vestige.validation.sweep import validate

FEW = SimulateOptions(hosts=2, episodes=12, seconds=40, plant=("few_rows=1",))
EPISODES = 12


def files(root: Path) -> dict[str, bytes]:
    """Every file below a folder and what is in it."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("seam") / "store"
    simulate(root, FEW, engine=HERE)
    return root


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory, store: Path) -> dict[str, Path]:
    """A corpus of each source."""
    from vestige.simulators.events.options import SimulateOptions as Events
    from vestige.simulators.events.write import simulate as write_events
    from vestige.simulators.logs.options import SimulateOptions as Logs
    from vestige.simulators.logs.write import simulate as write_logs
    from vestige.simulators.traces.options import SimulateOptions as Traces
    from vestige.simulators.traces.write import simulate as write_traces

    root = tmp_path_factory.mktemp("corpora")
    write_logs(root / "logs", Logs(hosts=2, messages=1000))
    write_events(root / "events", Events(events=1000, machines=4, campaigns=2))
    write_traces(root / "traces", Traces(programs=4, recordings=2, kilobytes=4))
    return {"telemetry": store, **{name: root / name for name in ("logs", "events", "traces")}}


def dataset(source: Source[Any], corpus: Path, out: Path, engine: Engine) -> dict[str, bytes]:
    settings = {"format": "bgl"} if source.name == "logs" else {}
    source.prepare(corpus, out, source.options(**settings), engine=engine)
    return files(out)


@pytest.mark.parametrize("name", ["events", "logs", "telemetry", "traces"])
def test_a_dataset_is_the_same_whoever_read_it(name: str, corpora: dict[str, Path], tmp_path: Path) -> None:
    source, fake = sources.get(name), FakeEngine()
    here = dataset(source, corpora[name], tmp_path / "here", LocalEngine(1))
    assert dataset(source, corpora[name], tmp_path / "fake", fake) == here
    assert fake.mapped >= 1


def test_a_corpus_is_the_same_whoever_wrote_it(store: Path, tmp_path: Path) -> None:
    fake = FakeEngine()
    simulate(tmp_path / "fake", FEW, engine=fake)
    assert fake.mapped == EPISODES
    assert files(tmp_path / "fake") == files(store)


def test_a_sweep_finds_the_same_whoever_looks(store: Path, tmp_path: Path) -> None:
    deep, fake = ValidateOptions(deep=True), FakeEngine()
    here = validate(store, deep, output=tmp_path / "here.parquet", engine=LocalEngine(1))
    found = validate(store, deep, output=tmp_path / "fake.parquet", engine=fake)
    assert fake.mapped == EPISODES
    assert_frame_equal(found.rows, here.rows)


def test_an_episode_that_kills_or_cannot_be_read_is_the_only_one_lost(store: Path, tmp_path: Path) -> None:
    found = validate(
        store, ValidateOptions(), output=tmp_path / "v.parquet", engine=FakeEngine(kills={3}, fails={7})
    )
    lost = found.rows.filter(pl.col("verdict") == "errored").sort("path")
    assert [reasons[0].split(":")[0] for reasons in lost["reasons"]] == ["died", "io"]
    assert lost["path"].to_list() == [found.rows.sort("path")["path"][at] for at in (3, 7)]

    source = sources.get("telemetry")
    windows = source.prepare(store, tmp_path / "d", source.options(), engine=FakeEngine(kills={3}, fails={7}))
    assert [one["file"] for one in windows.notes["left_out"] if one["what"] == "the file"] == lost[
        "path"
    ].to_list()


def test_a_recorded_run_that_kills_is_the_only_one_left_out(corpora: dict[str, Path], tmp_path: Path) -> None:
    source = sources.get("traces")
    everything = source.prepare(corpora["traces"], tmp_path / "all", source.options(), engine=FakeEngine())
    windows = source.prepare(
        corpora["traces"], tmp_path / "d", source.options(), engine=FakeEngine(kills={1})
    )
    ids = everything.recordings["id"].to_list()
    assert windows.recordings["id"].to_list() == [ids[0], *ids[2:]]
