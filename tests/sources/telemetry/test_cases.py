"""Stores made after public bug reports, `../shared/cases/telemetry`, each with its right value."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vestige.engine import HERE
from vestige.sources.telemetry.channels import CHANNELS
from vestige.sources.telemetry.extract import episodes, extract
from vestige.sources.telemetry.faults import FaultError
from vestige.validation.options import ValidateOptions
from vestige.validation.sweep import Sweep, validate

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases" / "telemetry"
LINK_BYTES = 60
"""Where links cannot be kept, a small file holds the name that one leads to."""

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"the cases are not there: {CASES}")


@pytest.fixture(name="case")
def _case(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a case, which may be written to, with links where it has links."""
    copy: Path = shutil.copytree(CASES / request.param, tmp_path / request.param)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755)
        if path.is_file() and not path.suffix and path.stat().st_size < LINK_BYTES:
            target = path.read_text().strip()
            path.unlink()
            path.symlink_to(target)
    return copy


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [name], indirect=True)


def sweep(store: Path, tmp_path: Path, *, deep: bool = True) -> Sweep:
    return validate(
        store, ValidateOptions(deep=deep), output=tmp_path / f"{store.name}-{deep}.parquet", engine=HERE
    )


def accepted(store: Path, tmp_path: Path) -> None:
    for deep in (False, True):
        rows = sweep(store, tmp_path, deep=deep).rows
        assert rows["verdict"].to_list() == ["accepted"], rows["reasons"].to_list()


def reasons(store: Path, tmp_path: Path, verdict: str) -> str:
    """The reasons of a store's only episode, which quick and deep sweeps give alike."""
    said = []
    for deep in (False, True):
        rows = sweep(store, tmp_path, deep=deep).rows
        assert rows["verdict"].to_list() == [verdict], rows["reasons"].to_list()
        said.append("; ".join(rows["reasons"][0]))
    assert said[0] == said[1]
    return said[0]


def channel(store: Path, name: str) -> list[float]:
    (folder,) = episodes(store).paths
    at = [one.name for one in CHANNELS].index(name)
    values: list[float] = extract(store, folder).grid[:, at].tolist()
    return values


@of("T01")
def test_iowait_that_falls_by_a_hundredth_is_missing_for_a_second(case: Path, tmp_path: Path) -> None:
    accepted(case / "store", tmp_path)
    values = channel(case / "store", "guest.system.cpu.time.iowait")
    assert math.isnan(values[15])
    np.testing.assert_allclose(values[1:15] + values[16:], 0.25, atol=1e-6)


@of("T02")
def test_a_counter_that_reads_zero_once_leaps_nowhere(case: Path, tmp_path: Path) -> None:
    accepted(case / "store", tmp_path)
    values = channel(case / "store", "guest.system.network.io.receive")
    assert math.isnan(values[15])
    assert math.isnan(values[16]) or values[16] == 110
    assert set(values[1:15] + values[17:]) == {110.0}


@of("T17")
def test_two_rows_with_one_stamp_keep_the_total(case: Path, tmp_path: Path) -> None:
    accepted(case / "store", tmp_path)
    user = channel(case / "store", "proc.process.cpu.time.user")
    assert not np.isinf(user).any()
    assert user[16] == pytest.approx(0.25)
    assert set(channel(case / "store", "proc.process.paging.faults.minor")[16:]) == {50.0}


@of("T03")
def test_a_counter_of_32_bits_wraps(case: Path, tmp_path: Path) -> None:
    accepted(case / "store", tmp_path)
    values = channel(case / "store", "guest.system.network.io.receive")
    wrapped = [at for at, value in enumerate(values) if math.isnan(value)]
    assert len(wrapped) == 2
    assert wrapped[0] == 0
    assert set(values) - {values[0], values[wrapped[1]]} == {1_100_000.0}


@of("T04")
def test_the_largest_number_of_64_bits_names_its_column(case: Path, tmp_path: Path) -> None:
    for store in (case / "store", case / "store2"):
        said = reasons(store, tmp_path, "rejected")
        assert "qmp" in said
        assert "blockstats.wr_operations" in said


@of("T07")
def test_texts_may_be_dictionaries(case: Path, tmp_path: Path) -> None:
    accepted(case / "store", tmp_path)
    for name, value in {"conn_count": 2, "dns_queries": 1, "uniq_resp_h": 2}.items():
        assert set(channel(case / "store", f"netflow.{name}")) == {value}


@of("T09")
def test_an_index_column_is_ignored(case: Path, tmp_path: Path) -> None:
    accepted(case / "store", tmp_path)


@of("T10")
def test_whole_numbers_that_became_floats_are_refused_by_name(case: Path, tmp_path: Path) -> None:
    assert "orig_bytes is Float64, not Int64" in reasons(case / "store", tmp_path, "rejected")


@of("T11")
def test_stamps_of_another_type_are_refused_by_name(case: Path, tmp_path: Path) -> None:
    said = reasons(case / "store", tmp_path, "rejected")
    assert "t_wall_ns is Datetime" in said


@of("T14")
def test_digests_in_upper_case_are_the_same(case: Path, tmp_path: Path) -> None:
    accepted(case / "store", tmp_path)


@of("T15")
def test_a_byte_order_mark_is_no_text(case: Path, tmp_path: Path) -> None:
    for store in ("store", "store2", "store3"):
        accepted(case / store, tmp_path)


@of("T16")
def test_rounded_times_name_their_field(case: Path, tmp_path: Path) -> None:
    said = reasons(case / "store", tmp_path, "rejected")
    assert said.startswith("manifest:manifest: t_start_ns: ")
    assert "whole number of nanoseconds" in said


@of("T19")
def test_a_host_that_slept_is_followed_piece_by_piece(case: Path) -> None:
    values = channel(case / "store", "netflow.conn_count")
    assert values == [2.0] * 20 + [0.0] * 60 + [2.0] * 20


@of("T20")
def test_a_host_is_one_however_its_letters_are_composed(case: Path, tmp_path: Path) -> None:
    hosts = set()
    for store in ("store", "store2"):
        accepted(case / store, tmp_path)
        hosts.update(sweep(case / store, tmp_path).rows["host_id"].to_list())
    assert len(hosts) == 1


@of("T21")
def test_links_are_named_as_links(case: Path, tmp_path: Path) -> None:
    accepted(case / "link", tmp_path)
    for store, path in {
        "store2": "host-1",
        "mixed-host": "host-1",
        "mixed-day": "host-2/2026-03-04",
        "mixed-episode": "host-2/2026-03-03/ep-1",
    }.items():
        rows = sweep(case / store, tmp_path).rows
        (linked,) = rows.filter(pl.col("verdict") == "rejected").iter_rows(named=True)
        assert linked["path"] == path
        assert linked["reasons"][0].startswith("link:")
        assert "a link" in linked["reasons"][0]


@of("T22")
def test_icmpv6_has_its_own_numbers(case: Path, tmp_path: Path) -> None:
    accepted(case / "store", tmp_path)
    values = channel(case / "store", "netflow.icmp_unreachable")
    assert [at for at, value in enumerate(values) if value == 1] == [5, 10]
    assert sum(values) == 2


@of("T27")
def test_stamps_in_milliseconds_lose_the_collector_and_say_so(case: Path, tmp_path: Path) -> None:
    said = reasons(case / "store", tmp_path, "degraded")
    assert said.startswith("clock_base:netflow: 80 of 80 stamps")
    assert "1970" in said
    assert "milliseconds" in said
    assert np.isnan(channel(case / "store", "netflow.conn_count")).all()


@of("T28")
def test_a_store_may_lie_where_nothing_can_be_written(case: Path, tmp_path: Path) -> None:
    before = sorted(case.rglob("*"))
    accepted(case / "store", tmp_path)
    assert sorted(case.rglob("*")) == before


@of("T04")
def test_what_is_rejected_is_not_read(case: Path) -> None:
    for store in ("store", "store2"):
        (folder,) = episodes(case / store).paths
        with pytest.raises(FaultError, match=r"blockstats\.wr_operations"):
            extract(case / store, folder)
