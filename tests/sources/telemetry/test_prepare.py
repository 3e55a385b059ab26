"""A store becomes a dataset: usable episodes are in it, others are named, none stops it."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.sources.telemetry.conftest import MakeStore
from vestige.engine import HERE, LocalEngine
from vestige.errors import EvidenceError
from vestige.reading.windows import WindowSet
from vestige.sources.telemetry import index
from vestige.sources.telemetry.extract import episodes, extract
from vestige.sources.telemetry.layout import CLASSES
from vestige.sources.telemetry.manifest import NAME
from vestige.sources.telemetry.options import TelemetryOptions
from vestige.sources.telemetry.source import TelemetrySource
from vestige.validation.options import ValidateOptions
from vestige.validation.sweep import validate

SOURCE = TelemetrySource()


def left_out(windows: WindowSet) -> list[dict[str, Any]]:
    return [one for one in windows.notes["left_out"] if one["what"] == "the file"]


def prepare(store: Path, out: Path, **settings: object) -> WindowSet:
    return SOURCE.prepare(store, out, TelemetryOptions.model_validate(settings), engine=LocalEngine(2))


@pytest.fixture(scope="module")
def windows(store: Path, tmp_path_factory: pytest.TempPathFactory) -> WindowSet:
    return prepare(store, tmp_path_factory.mktemp("datasets") / "dataset")


def test_an_episode_is_a_recording(store: Path, windows: WindowSet) -> None:
    assert windows.recordings["id"].to_list() == episodes(store).paths
    assert windows.recordings["host"].to_list() == [one.partition("/")[0] for one in episodes(store).paths]
    assert windows.recordings["sample"].str.len_chars().unique().to_list() == [64]
    assert windows.notes["synthetic"]
    assert windows.notes["accepted"] == 12


def test_a_window_looks_at_ten_seconds_every_five(store: Path, windows: WindowSet) -> None:
    at = 0
    for number, folder in enumerate(episodes(store).paths):
        one = extract(store, folder, CLASSES["phase"])
        mine = np.flatnonzero(windows.recording == number)
        steps = windows.gather(mine)["grid"]
        starts = range(0, len(one.grid) - 9, 5)
        assert len(mine) == len(starts)
        for row, start in enumerate(starts):
            assert np.array_equal(steps[row], one.grid[start : start + 10], equal_nan=True)
        ends = np.array(starts) + 9
        assert one.label is not None
        assert np.array_equal(windows.label[mine], one.label[ends])
        assert np.array_equal(windows.t_ns[mine], one.t_ns[ends])
        at += len(mine)
    assert at == len(windows)


def test_two_classes_are_the_labels_of_the_lab(store: Path, tmp_path: Path, windows: WindowSet) -> None:
    two = prepare(store, tmp_path / "two", classes="label")
    assert two.schema.classes == ("benign", "malicious")
    assert np.array_equal(two.label == 1, windows.label >= 2)
    assert two.schema.digest != windows.schema.digest


def test_unusable_episodes_are_named_and_left_out(make_store: MakeStore, tmp_path: Path) -> None:
    plant = ("flipped_byte=2", "no_anchors=1", "missing_qmp=1", "in_transit=1", "killer=1", "repeated_id=1")
    store = make_store(episodes=12, plant=plant)
    found = prepare(store, tmp_path / "dataset")
    assert (found.notes["accepted"], found.notes["degraded"]) == (5, 2)
    assert found.notes["faults"] == {"clock_base:netflow": 1, "missing:qmp": 1}
    reasons = Counter(one["why"].partition(": ")[0] for one in left_out(found))
    assert reasons["sha256:guest"] == 2
    assert reasons["repeated_id:episode"] == 2
    assert sum(reasons.values()) == 6
    table = found.table("episodes")
    assert table["id"].to_list() == found.recordings["id"].to_list()
    assert sorted(table.filter(pl.col("verdict") == "degraded")["faults"].to_list()) == [
        ["clock_base:netflow"],
        ["missing:qmp"],
    ]


def test_what_validation_found_is_taken_over(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    paths = episodes(store).paths
    verdicts = ["rejected", "degraded", "errored"] + ["accepted"] * (len(paths) - 3)
    reasons = [["sha256:guest: no"], ["few_rows:guest: 12 of 60 rows"], ["died:episode"]] + [[]] * (
        len(paths) - 3
    )
    columns: dict[str, list[Any]] = {"path": paths, "verdict": verdicts, "reasons": reasons}
    columns["manifest_sha256"] = [extract(store, one).digest for one in paths]
    rows = [pl.Series(name, columns.get(name, [None] * 12), dtype) for name, dtype in index.SCHEMA.items()]
    pl.DataFrame(rows).write_parquet(tmp_path / "store" / index.NAME)
    found = prepare(tmp_path / "store", tmp_path / "dataset")
    assert found.recordings["id"].to_list() == [paths[1], *paths[3:]]
    assert found.table("episodes").row(0) == (paths[1], "degraded", ["few_rows:guest"])
    assert [one["why"] for one in left_out(found)] == [
        "rejected: sha256:guest",
        "errored: died:episode",
    ]


def test_an_episode_that_was_shipped_again_is_read_whatever_the_index_says(
    make_store: MakeStore, tmp_path: Path
) -> None:
    good = make_store(episodes=12)
    store = shutil.copytree(make_store(episodes=12, plant=("flipped_byte=2",)), tmp_path / "store")
    rejected = validate(store, ValidateOptions(), engine=HERE).rows.filter(pl.col("verdict") == "rejected")[
        "path"
    ]
    sent, kept = rejected.to_list()
    shutil.rmtree(store / sent)
    shutil.copytree(good / sent, store / sent)
    manifest = store / sent / NAME
    manifest.write_text(manifest.read_text() + "\n")
    found = prepare(store, tmp_path / "dataset")
    assert [one["file"] for one in left_out(found)] == [kept]
    assert (sent, "accepted", []) in found.table("episodes").rows()


def test_an_index_may_lie_elsewhere(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store(episodes=12, plant=("flipped_byte=2", "few_rows=1"))
    file = tmp_path / "swept" / "index.parquet"
    swept = validate(store, ValidateOptions(), output=file, engine=HERE).rows
    found = prepare(store, tmp_path / "dataset", index=file)
    rejected = swept.filter(pl.col("verdict") == "rejected")["path"]
    assert [one["file"] for one in left_out(found)] == rejected.sort().to_list()
    assert {one["why"] for one in left_out(found)} == {"rejected: sha256:guest"}
    assert found.notes["faults"] == {"few_rows:guest": 1}
    assert not (store / index.NAME).exists()


@pytest.mark.parametrize("other", ["no index", "other columns", "elsewhere", "the same names", "missing"])
def test_an_index_of_something_else_is_refused(
    make_store: MakeStore, store: Path, tmp_path: Path, other: str
) -> None:
    file = tmp_path / "index.parquet"
    if other == "no index":
        file.write_bytes(b"PAR1 no index PAR1")
    elif other == "other columns":
        pl.DataFrame({"path": episodes(store).paths}).write_parquet(file)
    elif other != "missing":
        validate(make_store(episodes=12, seed=7), ValidateOptions(), output=file, engine=HERE)
    if other == "elsewhere":
        pl.read_parquet(file).with_columns(path="x/" + pl.col("path")).write_parquet(file)
    store_differs = other in {"elsewhere", "the same names"}
    says = "index of another store" if store_differs else "is (no|an) index of|no such file"
    with pytest.raises(EvidenceError, match=says) as refused:
        prepare(store, tmp_path / "dataset", index=file)
    assert str(refused.value.where) == str(file)
    assert "remove it" not in str(refused.value)
    assert [one.name for one in tmp_path.iterdir()] == ([] if other == "missing" else [file.name])


def test_a_damaged_index_is_said_to_be_one(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    (tmp_path / "store" / index.NAME).write_bytes(b"PAR1 no index PAR1")
    with pytest.raises(EvidenceError, match="no index of a sweep"):
        prepare(tmp_path / "store", tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def test_a_store_without_a_usable_episode_is_refused_with_the_first_reason(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store = make_store(episodes=3, plant=("flipped_byte=3",))
    with pytest.raises(EvidenceError, match="digest"):
        prepare(store, tmp_path / "dataset")
    assert list(tmp_path.iterdir()) == []


def test_an_episode_shorter_than_a_window_gives_none(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store(episodes=3, seconds=40)
    found = prepare(store, tmp_path / "dataset", length=45)
    long = [len(extract(store, one).grid) >= 45 for one in episodes(store).paths]
    assert len(np.unique(found.recording)) == sum(long)
    assert found.recordings.height == 3
