"""Predictions know where they come from, and survive their file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.evaluation.made_up import made_up
from vestige.errors import DatasetError
from vestige.evaluation.predictions import Predictions


def test_predictions_survive_their_file(tmp_path: Path) -> None:
    before = made_up(50, classes=("benign", "dos", "scan"))
    path = tmp_path / "predictions.parquet"
    before.save(path, threshold=0.5, place=pl.DataFrame({"line": range(1, 51), "offset": range(50)}))
    after = Predictions.load(path)
    assert after.classes == before.classes
    for name in ("label", "proba", "position", "t_ns", "novel"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    for place in ("id", "host", "profile"):
        codes, names = after.groups(place)
        expected_codes, expected = before.groups(place)
        assert [names[c] for c in codes] == [expected[c] for c in expected_codes]


def test_the_file_reads_by_itself(tmp_path: Path) -> None:
    test = made_up(20)
    test.save(tmp_path / "p.parquet", threshold=0.5, place=pl.DataFrame({"line": range(1, 21)}))
    frame = pl.read_parquet(tmp_path / "p.parquet")
    assert frame.columns == [
        "window", "recording", "host", "profile", "line", "step", "t_ns", "label",
        "proba_normal", "proba_anomaly", "predicted", "alert", "novel",
    ]  # fmt: skip
    assert frame["alert"].to_list() == (test.score >= 0.5).tolist()
    assert frame["label"].to_list() == [test.classes[k] for k in test.label]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 not really"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "p.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match="evaluate the run again"):
        Predictions.load(path)


def test_a_parquet_of_something_else_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "p.parquet")
    with pytest.raises(DatasetError):
        Predictions.load(tmp_path / "p.parquet")


def test_the_score_is_what_is_not_normal() -> None:
    test = made_up(classes=("benign", "dos", "scan"))
    np.testing.assert_allclose(test.score, test.proba[:, 1:].sum(axis=1), atol=1e-12)


def test_days_are_counted_over_all_and_by_host() -> None:
    test = made_up(240, recordings=3)
    assert test.days() == pytest.approx(239 / 24)
    assert test.host_days() == pytest.approx(3 * 79 / 24)
    timeless = dataclasses.replace(test, t_ns=np.zeros(240, dtype=np.int64))
    assert (timeless.days(), timeless.host_days()) == (0.0, 0.0)


def test_shapes_and_probabilities_are_checked() -> None:
    test = made_up(10)
    with pytest.raises(ValueError, match=r"proba: expected \(10, 2\)"):
        dataclasses.replace(test, proba=test.proba[:, :1])
    with pytest.raises(ValueError, match="position"):
        dataclasses.replace(test, position=test.position[:3])
    for bad in (np.nan, 1.1, -0.1):
        with pytest.raises(ValueError, match=r"0\.\.1"):
            dataclasses.replace(test, proba=np.full((10, 2), bad))
