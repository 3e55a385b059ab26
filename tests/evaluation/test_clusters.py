"""What is drawn is what the split holds out, and too few of it is said so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.evaluation.made_up import made_up
from vestige import splits
from vestige.checkpoint import Pooling
from vestige.errors import SplitError
from vestige.evaluation.clusters import clusters_of, held_out
from vestige.evaluation.pooling import by_recording
from vestige.evaluation.predictions import Predictions
from vestige.reading.digests import Streams
from vestige.reading.windows import WindowSet
from vestige.recipes import Recipe

MINUTE_NS = 60_000_000_000


def stream(n: int, *, reach: int = 1, order: np.ndarray | None = None) -> Predictions:
    """Windows of a single recording, a minute apart; every other one is anomalous."""
    made = made_up(n, recordings=1, label=np.arange(n) % 2)
    position = np.arange(n) if order is None else order
    return replace(made, position=position, t_ns=np.arange(n) * MINUTE_NS, reach=reach)


def test_recordings_are_the_clusters_where_nothing_else_is_known() -> None:
    found = clusters_of(made_up(recordings=12))
    assert (found.unit, found.count, found.trusted) == ("recording", 12, True)
    assert found.description == "12 recordings"


def test_a_single_stream_is_cut_into_contiguous_blocks_in_order_of_position() -> None:
    position = np.random.default_rng(0).permutation(3_000)
    made = stream(3_000, order=position)
    found = clusters_of(replace(made, label=(position % 2).astype(np.int64)))
    assert (found.unit, found.count, found.trusted) == ("block", 30, True)
    assert found.description == (
        "30 contiguous blocks of about 100 windows of a single recording, about 1.7 hours each"
    )
    np.testing.assert_array_equal(found.ids[np.argsort(position)], np.arange(3_000) // 100)


@pytest.mark.parametrize(
    ("n", "reach", "count"),
    [(5, 1, 2), (400, 1, 20), (400, 8, 10), (400, 10, 8), (100_000, 1, 50), (100_000, 1_000, 20), (1, 9, 1)],
)
def test_there_are_20_to_50_blocks_where_each_can_last_five_window_lengths(
    n: int, reach: int, count: int
) -> None:
    found = clusters_of(stream(n, reach=reach))
    sizes = np.bincount(found.ids, minlength=count)
    assert found.count == count
    assert sizes.min() >= (5 * reach if count > 2 else 1)
    assert found.trusted == (count >= 10)


def test_a_stream_too_short_for_ten_long_blocks_is_not_trusted_and_says_why() -> None:
    found = clusters_of(stream(381, reach=10))
    assert found.reason == (
        "a single recording of 381 test windows gives only 7 blocks of 5 window lengths or more "
        "(at least 10 are needed)"
    )


def test_few_recordings_are_not_trusted() -> None:
    found = clusters_of(made_up(recordings=9))
    assert not found.trusted
    assert found.reason == "only 9 recordings (at least 10 are needed)"


def test_few_recordings_with_anomalies_are_not_trusted() -> None:
    recording = np.arange(200) // 10
    made = made_up(200, recordings=20, label=(recording < 4).astype(int))
    assert clusters_of(made).reason == "only 4 of 20 recordings hold anomalies (at least 5 are needed)"
    turned = made_up(200, recordings=20, label=(recording >= 4).astype(int))
    reason = clusters_of(turned).reason
    assert reason == "only 4 of 20 recordings hold normal windows (at least 5 are needed)"


def on(windows: WindowSet, recipe: str, own: tuple[Recipe, ...] = ()) -> Predictions:
    """Certain predictions on the test part of a split, knowing what it holds out."""
    split, parts = splits.make(recipe, windows, own=own)
    made = Predictions.of(parts.test, np.eye(2)[parts.test.label])
    return held_out(made, split, parts.test)


@pytest.fixture
def fleet(make_windows: Callable[..., WindowSet]) -> WindowSet:
    """Five hosts with twelve recordings each; two recordings share a sample."""
    label = (np.arange(30) % 3 == 0).astype(np.uint8)
    return make_windows([(f"h{r % 5}", f"s{r // 2}", "p", label) for r in range(60)], length=2)


def test_a_split_by_host_draws_hosts_not_their_files(fleet: WindowSet) -> None:
    test = on(fleet, "host")
    found = clusters_of(test)
    assert len(np.unique(test.recording)) == 12
    assert (found.unit, found.count, found.trusted) == ("host", 1, False)
    assert (found.description, found.reason) == ("1 host", "one test host")


def test_a_split_by_sample_draws_samples(fleet: WindowSet) -> None:
    test = on(fleet, "sample")
    found = clusters_of(test)
    assert found.unit == "sample"
    assert found.count == len(np.unique(test.recording)) / 2


def test_a_split_by_template_draws_templates(fleet: WindowSet) -> None:
    symbol = np.where(fleet.padding, 0, np.arange(len(fleet.padding)) % 60 + 1)
    fleet = replace(fleet, streams=Streams({**fleet.streams, "symbol": symbol}))
    recipe = Recipe("template", "group", stream="symbol", cluster="template")
    found = clusters_of(on(fleet, "template", (recipe,)))
    assert (found.unit, found.description) == ("template", f"{found.count} templates")
    assert 10 <= found.count <= 14


def test_a_dataset_without_the_groups_of_a_recipe_is_refused(fleet: WindowSet) -> None:
    recipe = Recipe("template", "group", stream="symbol", cluster="template")
    with pytest.raises(SplitError, match="no groups of steps for a template split"):
        splits.make("template", fleet, own=[recipe])


@pytest.mark.parametrize("recipe", ["time", "random"])
def test_any_other_split_draws_recordings(fleet: WindowSet, recipe: str) -> None:
    found = clusters_of(on(fleet, recipe))
    assert found.unit == "recording"
    assert found.count >= 12


def test_a_single_recording_is_cut_in_blocks_only_where_the_split_cuts_within_it(
    make_windows: Callable[..., WindowSet],
) -> None:
    label = (np.arange(2_000) % 5 == 0).astype(np.uint8)
    found = clusters_of(on(make_windows([("h", "s", "p", label)], length=4), "time"))
    assert (found.unit, found.count, found.trusted) == ("block", 19, True)
    three = make_windows([(f"h{r}", f"s{r}", "p", label[:40]) for r in range(3)])
    found = clusters_of(on(three, "sample"))
    assert (found.unit, found.trusted, found.reason) == ("sample", False, "one test sample")


def test_the_unit_outlives_the_step_from_windows_to_recordings() -> None:
    made = made_up(recordings=12)
    test = replace(made, unit=made.recording % 3, unit_name="host")
    assert clusters_of(by_recording(test, Pooling(kind="max"))).count == 3
    assert clusters_of(test.select(made.recording % 3 == 0)).reason == "one test host"


def test_windows_say_how_many_in_a_row_share_steps(make_windows: Callable[..., WindowSet]) -> None:
    windows = make_windows([("h", "s", "p", np.arange(40) % 2)], length=10, stride=4)
    assert Predictions.of(windows, np.eye(2)[windows.label]).reach == 3
    with pytest.raises(ValueError, match="unit"):
        replace(made_up(), unit=np.zeros(3, dtype=np.int64))
    assert isinstance(windows.recordings, pl.DataFrame)
