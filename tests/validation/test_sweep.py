"""A verdict for every episode, whatever lies in the store, and no work done twice."""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from tests.sources.telemetry.conftest import MakeStore
from vestige.cli.main import app
from vestige.engine import HERE, LocalEngine
from vestige.errors import EvidenceError, OutputError, UsageError, VerdictError
from vestige.evidence.files import MARKER
from vestige.simulators.telemetry import draft
from vestige.sources.telemetry import index
from vestige.sources.telemetry.channels import columns
from vestige.sources.telemetry.fields import SAMPLED
from vestige.sources.telemetry.manifest import NAME
from vestige.sources.telemetry.options import TelemetryOptions
from vestige.sources.telemetry.source import TelemetrySource
from vestige.sources.telemetry.store import LINK
from vestige.validation import sweep
from vestige.validation.journal import Journal
from vestige.validation.options import ValidateOptions
from vestige.validation.sweep import Sweep, validate

DEEP = ValidateOptions(deep=True)


@pytest.fixture(name="fresh")
def _fresh(store: Path, tmp_path: Path) -> Path:
    """A store of twelve good episodes that a test may spoil."""
    return shutil.copytree(store, tmp_path / "fresh")


def episodes(store: Path) -> list[Path]:
    return sorted(store.glob("*/*/ep-*"))


def change(folder: Path, **said: object) -> None:
    """Say something else in a manifest."""
    text = json.loads((folder / NAME).read_text())
    (folder / NAME).write_text(json.dumps(text | said))


def reasons_of(found: Sweep, folder: Path) -> list[str]:
    row = found.rows.row(by_predicate=pl.col("episode_id") == folder.name, named=True)
    return [one.partition(": ")[0] for one in row["reasons"]]


def test_every_planted_fault_is_found_and_nothing_else(make_store: MakeStore) -> None:
    store = make_store(episodes=200, plant=("all=1",))
    planted = json.loads((store / MARKER).read_text())["planted"]
    found = validate(store, DEEP, engine=LocalEngine(2))
    assert found.counts() | {"in transit": found.in_transit} == planted["verdicts"]
    assert found.reasons() == planted["reasons"]
    once_more = validate(store, DEEP, engine=LocalEngine(2))
    assert_frame_equal(once_more.rows, found.rows)
    # a repeated id may be gone without a manifest changing, and two manifests may not be read
    assert once_more.known == found.rows.height - 4


def test_a_quick_sweep_sees_all_but_values(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store(episodes=20, plant=("infinite=1", "no_values=1", "few_rows=1", "wrong_dtype=1"))
    output = tmp_path / "index.parquet"
    assert validate(store, ValidateOptions(), output=output, engine=HERE).counts() == {
        "accepted": 18, "degraded": 1, "rejected": 1,
    }  # fmt: skip
    deep = validate(store, DEEP, output=output, engine=HERE)
    assert deep.known == 0
    assert deep.counts() == {"accepted": 16, "degraded": 2, "rejected": 2}
    assert validate(store, ValidateOptions(), output=output, engine=HERE).known == 20


def test_only_what_changed_is_swept_again(fresh: Path) -> None:
    first = validate(fresh, DEEP, engine=HERE)
    assert first.counts() == {"accepted": 12}
    assert first.rows.schema == pl.Schema(index.SCHEMA)
    one, two, three = episodes(fresh)[:3]
    change(one, profile="beacon")
    shutil.rmtree(two)
    (three / "proc.parquet").write_bytes(b"")  # the manifest is as it was
    second = validate(fresh, DEEP, engine=HERE)
    assert (second.known, second.rows.height) == (10, 11)
    assert second.counts() == {"accepted": 11}
    third = validate(fresh, DEEP, engine=HERE, again=True)
    assert third.known == 0
    assert reasons_of(third, three) == ["bytes:proc"]


def test_other_rules_sweep_again(fresh: Path) -> None:
    validate(fresh, ValidateOptions(), engine=HERE)
    strict = validate(fresh, ValidateOptions(gate=1.0), engine=HERE)
    assert strict.known == 0
    assert strict.counts()["degraded"] > 0
    floor = ValidateOptions(floor=("scan-and-dial=1000000",))
    scans = validate(fresh, floor, engine=HERE).rows.filter(pl.col("profile") == "scan-and-dial")
    assert scans.height > 0
    assert all("few_flows:netflow" in one[0] for one in scans["reasons"])


def slow(store: Path, pace: int) -> None:
    """Make of the store's episodes what a recorder would have written that reads every `pace` seconds."""
    for folder in episodes(store):
        manifest = json.loads((folder / NAME).read_text())
        for at, file in enumerate(manifest["files"]):
            if file["source"] in SAMPLED:
                rows = pl.read_parquet(folder / file["path"]).gather_every(pace)
                data = draft.parquet(rows.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("seq")))
                (folder / file["path"]).write_bytes(data)
                manifest["files"][at] = draft.entry(file["path"], data, rows.height)
        (folder / NAME).write_text(json.dumps(manifest))


def test_rows_slower_than_the_grid_are_rejected_with_the_option_that_takes_them(fresh: Path) -> None:
    slow(fresh, 4)
    found = validate(fresh, DEEP, engine=HERE)
    assert found.counts() == {"rejected": 12}
    assert list(found.reasons()) == ["too_slow:guest", "too_slow:proc", "too_slow:qmp"]
    assert "a row every 4 s, too few for a grid of 1 s" in found.rows["reasons"][0][0]
    assert "--grid-seconds 4" in found.rows["reasons"][0][0]
    own = validate(fresh, ValidateOptions(deep=True, grid_seconds=4), engine=HERE)
    assert (own.known, own.counts()) == (0, {"accepted": 12})
    few = validate(fresh, ValidateOptions(deep=True, grid_seconds=2), engine=HERE)
    assert few.counts() == {"degraded": 12}, "half of the steps have no row"


def test_what_a_sweep_says_of_another_grid_is_not_taken_over(fresh: Path, tmp_path: Path) -> None:
    slow(fresh, 15)
    change(episodes(fresh)[0], registry_sha256="0" * 64)
    validate(fresh, DEEP, engine=HERE)
    with pytest.raises(EvidenceError, match="no episode of it can be used"):
        TelemetrySource().prepare(fresh, tmp_path / "none", TelemetryOptions(), engine=HERE)
    options = TelemetryOptions(grid_seconds=15, length=2, stride=1)
    windows = TelemetrySource().prepare(fresh, tmp_path / "own", options, engine=HERE)
    assert windows.notes["accepted"] == windows.recordings.height == 11
    assert windows.notes["faults"] == {}
    assert windows.notes["left_out_counts"] == {"the file": 1}
    rates = windows.gather(np.arange(len(windows)))["grid"][:, 1:, columns("guest")]
    assert np.isfinite(rates).mean() > 0.9
    first = windows.recordings["t_start_ns"].to_numpy()[windows.recording]  # when the first step was over
    assert set((windows.t_ns - first).tolist()) == {15 * 10**9, 30 * 10**9, 45 * 10**9}
    second = TelemetrySource().place(windows, np.arange(len(windows)))["second"].to_numpy()
    assert np.array_equal(second, (windows.t_ns - first) // 10**9 + 15)


def test_a_sweep_that_is_stopped_goes_on_where_it_was(fresh: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate(fresh, DEEP, engine=HERE, progress=stop, part_size=3)
    assert not (fresh / index.NAME).exists()
    found = validate(fresh, DEEP, engine=HERE)
    assert (found.known, found.counts()) == (6, {"accepted": 12})
    assert [one.name for one in fresh.iterdir() if one.name.startswith(".v")] == [MARKER]


def test_two_sweeps_do_not_write_one_index(fresh: Path) -> None:
    with Journal(fresh / index.NAME), pytest.raises(UsageError, match="another sweep"):
        validate(fresh, DEEP, engine=HERE)


def test_what_is_no_plain_file_is_not_opened(fresh: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    pipe, device, link, linked = episodes(fresh)[:4]
    (pipe / "guest.parquet").unlink()
    os.mkfifo(pipe / "guest.parquet")  # opening it would wait for ever
    (device / NAME).unlink()
    (device / NAME).symlink_to("/dev/zero")
    (link / "labels.jsonl").rename(secret / "labels.jsonl")
    (link / "labels.jsonl").symlink_to(secret / "labels.jsonl")
    linked.rename(secret / linked.name)
    linked.symlink_to(secret / linked.name)
    found = validate(fresh, DEEP, engine=HERE)
    assert reasons_of(found, pipe) == ["link:guest"]
    assert reasons_of(found, device) == ["link:manifest"]
    assert reasons_of(found, link) == ["link:labels"]
    assert reasons_of(found, linked) == ["link:episode"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_an_error_that_passes(fresh: Path) -> None:
    closed = episodes(fresh)[0]
    (closed / "qmp.parquet").chmod(0)
    assert validate(fresh, DEEP, engine=HERE).counts() == {"accepted": 11, "errored": 1}
    (closed / "qmp.parquet").chmod(0o644)
    again = validate(fresh, DEEP, engine=HERE)
    assert (again.known, again.counts()) == (11, {"accepted": 12})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_host_that_may_not_be_listed_is_not_passed_over(fresh: Path) -> None:
    (fresh / "host-1").chmod(0)
    found = CliRunner().invoke(app, ["validate", str(fresh), "-j", "1"])
    (fresh / "host-1").chmod(0o755)
    assert isinstance(found.exception, VerdictError)
    assert "1 folders could not be listed" in str(found.exception)


def test_what_lies_where_episodes_should_is_left_out(fresh: Path) -> None:
    (fresh / "host-9").symlink_to(fresh / "host-1")
    (fresh / "host-1" / "notes.txt").write_text("mine")
    (fresh / "host-1" / "2026-01-01").mkdir()
    (fresh / "host-1" / "2026-01-01" / "ep\n1").mkdir()
    found = validate(fresh, DEEP, engine=HERE)
    assert found.counts() == {"accepted": 12, "rejected": 1}
    assert sorted(found.skipped) == ["host-1/2026-01-01/ep\n1", "host-1/notes.txt"]


def test_links_above_episodes_are_named_as_links_and_rejected(fresh: Path) -> None:
    elsewhere = fresh.parent / "elsewhere"
    (fresh / "host-1").rename(elsewhere)
    (fresh / "host-1").symlink_to(elsewhere)
    (fresh / "host-2" / "1999-01-01").symlink_to(elsewhere)
    found = validate(fresh, DEEP, engine=HERE)
    linked = found.rows.filter(pl.col("verdict") == "rejected")
    assert linked["path"].to_list() == ["host-1", "host-2/1999-01-01"]
    assert linked["host_id"].to_list() == ["host-1", "host-2"]
    assert [why for (why,) in linked["reasons"]] == [f"link:folder: {LINK}"] * 2
    assert found.counts()["accepted"] == len(episodes(fresh)) - 4
    assert_frame_equal(validate(fresh, DEEP, engine=HERE).rows, found.rows)


def test_a_store_of_links_alone_is_rejected_and_a_store_that_is_a_link_is_swept(fresh: Path) -> None:
    linked = fresh.parent / "linked"
    linked.mkdir()
    (linked / "host-1").symlink_to(fresh / "host-1")
    refused = CliRunner().invoke(app, ["validate", str(linked), "-j", "1"])
    assert isinstance(refused.exception, VerdictError)
    assert refused.exception.exit_code == 10
    assert "1 rejected" in str(refused.exception)
    with pytest.raises(EvidenceError, match="host-1 is a link"):
        TelemetrySource().prepare(linked, fresh.parent / "out", TelemetryOptions(), engine=HERE)
    (fresh.parent / "way").symlink_to(fresh)
    assert validate(fresh.parent / "way", DEEP, engine=HERE).counts() == {"accepted": 12}


@pytest.mark.parametrize("field", ["bytes", "rows"])
def test_numbers_that_no_file_has_spoil_their_episodes_and_not_the_sweep(fresh: Path, field: str) -> None:
    numbers: list[object] = [-1, 2**50, 2**62, 2**63, 10**19, 10**400, 1.5, 1e300, True, None, math.nan]
    spoilt = episodes(fresh)[: len(numbers)]
    assert len(spoilt) == len(numbers) < len(episodes(fresh))
    for folder, number in zip(spoilt, numbers, strict=True):
        files = json.loads((folder / NAME).read_text())["files"]
        change(folder, files=[{**files[0], field: number}, *files[1:]])
    found = validate(fresh, ValidateOptions(), engine=HERE)
    assert found.rows.height == len(episodes(fresh))
    for folder in spoilt:
        assert reasons_of(found, folder) in (["manifest:manifest"], ["json:manifest"])
    assert reasons_of(found, episodes(fresh)[-1]) == []


def test_an_id_counts_once_its_episode_is_there(fresh: Path) -> None:
    one = episodes(fresh)[0]
    copy = shutil.copytree(one, one.parents[1] / "1999-12-31" / one.name)
    (copy / NAME).rename(copy / "later")
    shipping = validate(fresh, DEEP, engine=HERE)
    assert (shipping.in_transit, shipping.counts()) == (1, {"accepted": 12})
    (copy / "later").rename(copy / NAME)
    assert validate(fresh, DEEP, engine=HERE).counts() == {"accepted": 11, "rejected": 2}
    shutil.rmtree(copy)
    assert validate(fresh, DEEP, engine=HERE).counts() == {"accepted": 12}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("by zero"), "raised:episode: ZeroDivisionError: by zero"),
        (pl.exceptions.PanicException("oh"), "raised:episode: PanicException: oh"),
        (MemoryError(), "died:episode: more memory than an episode may use"),
        (OSError(24, "Too many open files"), "io:episode: [Errno 24] Too many open files"),
    ],
)
def test_an_error_of_the_program_is_a_verdict_too(
    monkeypatch: pytest.MonkeyPatch, fresh: Path, error: BaseException, reason: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(sweep, "check", fail)
    path = str(episodes(fresh)[0].relative_to(fresh))
    work = functools.partial(sweep._look, root=fresh, options=DEEP)
    (outcome,) = HERE.map(work, [(path, None, None)])  # in this process, where `check` is replaced
    assert outcome.error is not None
    finding = sweep._lost(fresh, path, outcome.error)
    assert (finding.verdict, list(map(str, finding.faults))) == ("errored", [reason])
    assert finding.digest is not None


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_store_without_episodes_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EvidenceError):
        validate(tmp_path / name, DEEP, engine=HERE)


def test_a_stranger_in_place_of_the_index_is_left_alone(fresh: Path) -> None:
    (fresh / index.NAME).write_text("mine")
    with pytest.raises(EvidenceError, match="no index"):
        validate(fresh, DEEP, engine=HERE)
    assert (fresh / index.NAME).read_text() == "mine"
    assert not list(fresh.glob(".*.parts"))


def test_an_index_that_cannot_be_written_is_refused_before_the_sweep(fresh: Path) -> None:
    (fresh / "a file").write_text("mine")
    before = sorted(fresh.iterdir())
    for place in (fresh / "host-1", fresh / "a file" / "index.parquet"):
        with pytest.raises(OutputError) as refused:
            validate(fresh, DEEP, output=place, engine=HERE, progress=lambda *_: pytest.fail("it was swept"))
        assert "-o" in refused.value.remedy
    assert sorted(fresh.iterdir()) == before


def test_the_command_line_shows_counts_and_its_status_serves_ci(fresh: Path) -> None:
    run = CliRunner()
    good = run.invoke(app, ["validate", str(fresh), "--jobs", "1"], env={"COLUMNS": "100"})
    assert good.exit_code == 0
    assert "12 synthetic episodes" in good.output
    change(episodes(fresh)[0], sealed=False)
    change(episodes(fresh)[1], registry_sha256="0" * 64)
    bad = run.invoke(app, ["validate", str(fresh), "-j", "1"], env={"COLUMNS": "100"})
    assert isinstance(bad.exception, VerdictError)
    assert bad.exception.exit_code == 10
    assert "1 rejected" in str(bad.exception)
    assert "registry:manifest" in bad.output
    assert run.invoke(app, ["validate", str(fresh), "--fail-on", "never"]).exit_code == 0
    assert run.invoke(app, ["validate", str(fresh), "--fail-on", "errored"]).exit_code == 0
    mild = run.invoke(app, ["validate", str(fresh), "--fail-on", "degraded"])
    assert "1 degraded, 1 rejected" in str(mild.exception)
