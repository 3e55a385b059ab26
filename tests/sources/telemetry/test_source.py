"""The source keeps the public contract; live and batch are one code."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.reading.raw import live
from tests.sources.telemetry.conftest import MakeStore
from vestige.checkpoint.probe import first_difference, take
from vestige.errors import EvidenceError
from vestige.evaluation.onset import NEVER, Attacks
from vestige.reading.steps import Evidence
from vestige.service.follow import Follower
from vestige.simulators.telemetry import draft
from vestige.sources import registry
from vestige.sources.telemetry import grid as grids
from vestige.sources.telemetry import kernels, summaries
from vestige.sources.telemetry.channels import CHANNELS
from vestige.sources.telemetry.encoder import TelemetryEncoder
from vestige.sources.telemetry.extract import episodes
from vestige.sources.telemetry.layout import schema_for
from vestige.sources.telemetry.manifest import NAME
from vestige.sources.telemetry.options import TelemetryOptions
from vestige.testing import check_source

SOURCE = registry.get("telemetry")


@pytest.mark.parametrize(
    "settings",
    [{"stride": 1}, {"length": 7, "stride": 3, "classes": "label"}, {"grid_seconds": 3, "length": 5}],
)
def test_the_contract(store: Path, tmp_path: Path, settings: dict[str, object]) -> None:
    some = tmp_path / "some"
    for folder in episodes(store).paths[::2]:
        shutil.copytree(store / folder, some / folder)
    options = TelemetryOptions.model_validate(settings)
    check_source("telemetry", store, tmp_path / "checked", options=options, evidence=[store], part=some)


def test_an_episode_that_lands_is_waited_for_until_its_manifest_is_there(store: Path, tmp_path: Path) -> None:
    home, here = tmp_path / "store", episodes(store).paths
    for folder in here[:2]:
        shutil.copytree(store / folder, home / folder)
    manifest = home / here[1] / NAME
    whole = manifest.rename(tmp_path / NAME)
    follower = Follower(SOURCE.reader(schema_for(TelemetryOptions())), [home])
    follower.scan()
    assert list(follower.open) == [here[0]]
    whole.rename(manifest)
    follower.scan()
    assert sorted(follower.open) == sorted(here[:2])
    follower.close()


def test_places_of_a_dataset_are_those_of_live_reading(store: Path, tmp_path: Path) -> None:
    windows = SOURCE.prepare(store, tmp_path / "dataset", TelemetryOptions(stride=1))
    ours = SOURCE.place(windows, np.arange(len(windows)))
    at = 0
    for batch in live([store], windows.schema):
        assert batch.place.equals(ours[at : at + batch.place.height])
        at += batch.place.height
    assert at == len(windows)
    assert ours["second"].min() == 10


def test_long_episodes_come_in_pieces(store: Path) -> None:
    schema = schema_for(TelemetryOptions())
    folder = episodes(store).paths[0]
    (whole,) = live([store / folder], schema)
    pieces = list(live([store / folder], schema, most=20))
    assert len(pieces) > 2
    joined = np.concatenate([piece.steps["grid"] for piece in pieces])
    assert np.array_equal(joined, whole.steps["grid"], equal_nan=True)
    assert pl.concat([piece.place for piece in pieces]).equals(whole.place)


def test_an_episode_that_cannot_be_read_is_an_error_alone_and_a_warning_among_others(
    make_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(episodes=12, plant=("flipped_byte=1", "killer=1"))
    schema = schema_for(TelemetryOptions())
    assert len(list(live([store], schema))) == 10
    killed, warning = sorted(
        (one for one in caplog.messages if "left out" in one), key=lambda one: "died" not in one
    )
    assert "died" in killed
    bad = warning.partition(" ")[0]
    with pytest.raises(EvidenceError, match="digest"):
        list(live([store / bad], schema))


def test_an_episode_that_is_still_being_recorded_is_told_so(store: Path, tmp_path: Path) -> None:
    growing = shutil.copytree(store / episodes(store).paths[0], tmp_path / "episode")
    (growing / NAME).unlink()
    with pytest.raises(EvidenceError, match=r"no manifest\.json yet"):
        list(live([growing], schema_for(TelemetryOptions())))


def test_of_an_episode_without_a_manifest_that_is_said(store: Path, tmp_path: Path) -> None:
    followed = shutil.copytree(store, tmp_path / "store")
    growing = episodes(followed).paths[0]
    (followed / growing / NAME).unlink()
    listing = SOURCE.reader(schema_for(TelemetryOptions())).units(Evidence((followed,), "follow"))
    assert [(defect.file, defect.why) for defect in listing.left_out] == [
        (growing, "it has no manifest (yet)")
    ]


def changed(monkeypatch: pytest.MonkeyPatch, target: object, name: str, value: object) -> list[str]:
    """Which inputs' probes a change of the feature code is seen in."""
    schema = schema_for(TelemetryOptions())
    before = take(SOURCE, TelemetryEncoder(), schema)
    monkeypatch.setattr(target, name, value)
    after = take(SOURCE, TelemetryEncoder(), schema)
    return [one.name for one in schema.inputs if first_difference(one, before[one.name], after[one.name])]


def test_the_probe_sees_every_change_of_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed(monkeypatch, grids, "STALE_NS", 2 * 10**9) == ["summary", "tensor"]
    assert changed(monkeypatch, grids, "GAP_NS", 10**9) == ["summary", "tensor"]
    real = kernels.summarise

    def scaled(steps: np.ndarray, out: np.ndarray) -> None:
        real(steps, out)
        out[:, :, 1] *= 1.001

    assert changed(monkeypatch, summaries, "summarise", scaled) == ["summary"]


def test_the_schema_names_what_the_numbers_depend_on() -> None:
    schema = schema_for(TelemetryOptions())
    assert [one.name for one in schema.inputs] == ["summary", "tensor"]
    assert schema.settings["grid"] == grids.settings(1)
    assert len(schema.settings["channels"]) == 46
    moved = [*schema.settings["channels"][1:], schema.settings["channels"][0]]
    assert replace(schema, settings={**schema.settings, "channels": moved}).digest != schema.digest


def test_a_beginning_is_known_where_the_episode_holds_what_came_before(
    make_store: MakeStore, tmp_path: Path
) -> None:
    windows = SOURCE.prepare(make_store(episodes=60), tmp_path / "dataset", TelemetryOptions())
    found = Attacks.of(windows)
    assert found is not None
    under_way = begun = 0
    for number in range(windows.recordings.height):
        mine = windows.recording == number
        attacked = np.isin(windows.label[mine], found.codes)
        if attacked[0] or not attacked.any():
            assert found.began_ns[number] == NEVER
            under_way += bool(attacked[0])
        else:
            assert found.began_ns[number] == windows.t_ns[mine][attacked.argmax()]
            begun += 1
    assert under_way > 5
    assert begun > 5


def test_what_was_taken_for_no_reading_is_told(store: Path, tmp_path: Path) -> None:
    folder = min(store.glob("host-1/*/*"))
    copy = shutil.copytree(folder, tmp_path / folder.relative_to(store))
    table = pl.read_parquet(copy / "guest.parquet")
    once = pl.when(pl.int_range(pl.len()) == 30).then(0).otherwise(pl.col("interrupts"))
    data = draft.parquet(table.with_columns(once.alias("interrupts")))
    manifest = json.loads((copy / "manifest.json").read_text())
    for at, file in enumerate(manifest["files"]):
        if file["source"] == "guest":
            manifest["files"][at] = draft.entry("guest.parquet", data, table.height)
    (copy / "guest.parquet").write_bytes(data)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    reader = SOURCE.reader(schema_for(TelemetryOptions()))
    (unit,) = reader.units(Evidence((tmp_path,))).units
    stream = reader.open(unit)
    block = stream.read(1_000)
    assert block is not None
    (warning,) = stream.summary["warnings"]
    assert warning.startswith("guest.interrupts: 1 of its readings are taken for none")
    assert stream.summary["format"] == "episode/1.0, steps of 1 s"
    rate = block.values["grid"][:, [one.name for one in CHANNELS].index("guest.interrupts")]
    assert np.isnan(rate[29:32]).any()
    assert np.nanmax(rate) < 1e6
