"""Classes, clocks and names of columns, in the spellings that people use: none of them is an accusation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.evaluation.tables import cheats
from tests.evaluation.tables.test_as_exported import labelled, sliding
from tests.evaluation.tables.test_audit import WINDOWS, audited, check
from vestige.errors import EvidenceError


@pytest.mark.parametrize(
    ("normal", "attack"), [("False", "True"), ("false", "true"), ("0.0", "1.0"), ("0", "1")]
)
def test_classes_are_named_in_any_spelling(tmp_path: Path, normal: str, attack: str) -> None:
    said = pl.when(pl.col("label") == "attack").then(pl.lit("True")).otherwise(pl.lit("False"))
    if normal[0] == "0":
        said = pl.when(pl.col("label") == "attack").then(1).otherwise(0)
    train, test = (part.with_columns(label=said) for part in cheats.parted(cheats.features(400)))
    scores = cheats.scores(test.with_columns(pl.col("label").cast(pl.String)))
    predictions = scores.select(
        (1 - pl.col("score")).alias(f"proba_{normal}"),
        pl.col("score").alias(f"proba_{attack}"),
        pl.when(pl.col("score") > 0.5).then(pl.lit(attack)).otherwise(pl.lit(normal)).alias("predicted"),
    )
    audit = audited(tmp_path, (train, test), normal=normal, predictions=predictions)
    assert audit.classes[0] == {"F": "false", "f": "false", "0": "0"}[normal[0]]
    with pytest.raises(EvidenceError, match="no row is of class"):
        audited(tmp_path, (train, test), normal="benign")


def test_ids_are_not_rewritten(tmp_path: Path) -> None:
    train, test = cheats.parted(cheats.features(200))
    ids = pl.int_range(pl.len()).cast(pl.String)
    pair = train.with_columns(id=pl.lit("v") + ids), test.with_columns(id=pl.lit("w") + ids)
    pair[0][0, "id"], pair[1][0, "id"] = "7", "7.0"
    assert check(audited(tmp_path, pair), "ids_disjoint").status == "pass"


def test_a_clock_that_starts_at_zero_has_one_unit(tmp_path: Path) -> None:
    train, test = cheats.parted(cheats.features(400))
    # Nanoseconds, of which those of the test alone look like milliseconds since 1970.
    pair = (
        train.with_columns(t=pl.Series(np.linspace(0, 1e11, train.height).astype(np.int64))),
        test.with_columns(t=pl.Series(np.linspace(1.01e11, 3e11, test.height).astype(np.int64))),
    )
    assert check(audited(tmp_path / "ordered", pair), "time_order").status == "pass"
    assert check(audited(tmp_path / "turned", (pair[1], pair[0])), "time_order").status == "warn"


@pytest.mark.parametrize("name", ["key_{}", "key-{}", "flag_{}", "event-{}", "feedback_{}", "diagonal{}"])
@pytest.mark.parametrize("judged", [0, 9])
def test_numbered_columns_run_forwards_unless_a_whole_word_says_otherwise(
    tmp_path: Path, name: str, judged: int
) -> None:
    windows = sliding(10)
    label = np.where(windows[:, judged] % 7 == 3, "1", "0")
    frame = pl.DataFrame({name.format(step): windows[:, step] for step in range(10)})
    pair = cheats.parted(frame.with_columns(label=pl.Series(label)), gap=10)
    found = check(audited(tmp_path, pair, WINDOWS), "future_context")
    assert found.status == ("pass" if judged == 9 else "warn"), found.detail


@pytest.mark.parametrize("name", ["lag_{}", "lag{}", "x_lag_{}", "var1(t-{})", "t-{}", "x_t-{}", "prev {}"])
def test_numbered_columns_that_count_back_in_time_run_backwards(tmp_path: Path, name: str) -> None:
    windows = sliding(10)
    frame = labelled(pl.DataFrame({name.format(9 - step): windows[:, step] for step in range(10)}), windows)
    assert check(audited(tmp_path, cheats.parted(frame, gap=10), WINDOWS), "future_context").status == "pass"


@pytest.mark.parametrize("variables", [1, 2, 3, 4])
def test_a_supervised_series_of_several_variables_is_found(tmp_path: Path, variables: int) -> None:
    values = np.random.default_rng(0).normal(size=(3_000, variables)).cumsum(axis=0)
    columns = {}
    for lag in (3, 2, 1, 0):
        when = f"t-{lag}" if lag else "t"
        for variable in range(variables):
            columns[f"var{variable + 1}({when})"] = values[3 - lag : 3_000 - lag, variable]
    frame = pl.DataFrame(columns).with_columns(
        label=pl.Series(np.where(np.random.default_rng(1).random(2_997) < 0.1, "1", "0"))
    )
    shuffled = audited(tmp_path / "cheat", cheats.parted(frame, shuffled=True), WINDOWS)
    assert check(shuffled, "overlapping_windows").status == "fail", shuffled.windows
    clean = audited(tmp_path / "clean", cheats.parted(frame, gap=4), WINDOWS)
    assert check(clean, "overlapping_windows").status == "pass"


@pytest.mark.parametrize("late", ["size", "content-length", "last_bytes", "flags", "elastic"])
def test_a_column_that_repeats_a_later_row_is_doubted_whatever_the_other_is_called(
    tmp_path: Path, late: str
) -> None:
    frame = cheats.features(1_200).drop("value_b", "value_c").rename({"value_a": late})
    frame = frame.with_columns(q=pl.col(late).shift(-1).over("host").fill_null(0.0))
    found = check(audited(tmp_path, cheats.parted(frame)), "future_context")
    assert found.status == "warn", found.detail


@pytest.mark.parametrize("late", ["q_lag1", "x_lagged", "x(t-1)", "prev x", "previous"])
def test_a_column_whose_name_says_that_it_is_late_is_not_doubted(tmp_path: Path, late: str) -> None:
    frame = cheats.features(1_200).drop("value_b", "value_c").rename({"value_a": "now"})
    frame = frame.with_columns(pl.col("now").shift(1).over("host").fill_null(0.0).alias(late))
    assert check(audited(tmp_path, cheats.parted(frame)), "future_context").status == "pass"
