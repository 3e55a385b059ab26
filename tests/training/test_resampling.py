"""Classes are balanced on training windows alone, by real windows or by ones in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vestige.errors import UsageError
from vestige.models import registry
from vestige.models.base import Detector, choose_inputs
from vestige.models.fitting import FittedDetector
from vestige.reading.encoding import EncodedWindows
from vestige.testing.detectors import small_dataset
from vestige.training import TrainingConfig, train
from vestige.training.config import Resample
from vestige.training.resampling import Space, resample

KINDS = ("summary", "tokens", "tokens:words", "vectors")


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> EncodedWindows:
    return small_dataset(tmp_path_factory.mktemp("data"), KINDS).train


def detector(name: str, windows: EncodedWindows) -> Detector:
    kind = registry.get(name)
    return kind.build(choose_inputs(kind, windows.schema), 2)


def counts(windows: EncodedWindows) -> list[int]:
    return [int(one) for one in np.bincount(windows.label, minlength=2)]


@pytest.mark.parametrize("name", ["gbt", "gru", "vanilla", "collaborative"])
@pytest.mark.parametrize("how", ["over", "under", "tomek"])
def test_real_windows_are_chosen_whatever_a_detector_reads(
    windows: EncodedWindows, name: str, how: Resample
) -> None:
    made = resample(detector(name, windows), windows, how, seed=3)
    few, many = sorted(counts(windows))
    if how == "tomek":
        assert counts(made)[1] == few
        assert few < counts(made)[0] < many
    else:
        assert counts(made) == ([many, many] if how == "over" else [few, few])
    places = set(zip(windows.windows.position.tolist(), windows.label.tolist(), strict=True))
    assert set(zip(made.windows.position.tolist(), made.label.tolist(), strict=True)) <= places


def test_tomek_leaves_out_normal_windows_nearest_to_an_anomaly_alone(windows: EncodedWindows) -> None:
    gbt = detector("gbt", windows)
    values = Space.of(gbt.inputs, windows, "tomek").values.astype(np.float64)
    distance = np.square(values[:, None] - values[None]).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(axis=1)
    rows = np.arange(len(windows))
    linked = (nearest[nearest] == rows) & (windows.label != windows.label[nearest]) & (windows.label == 0)
    made = resample(gbt, windows, "tomek", seed=0)
    gone = np.setdiff1d(windows.windows.position, made.windows.position)
    assert len(gone) == linked.sum() > 0
    assert set(gone) == set(windows.windows.position[linked])


@pytest.mark.parametrize("how", ["smote", "adasyn"])
def test_made_up_windows_lie_between_real_ones_of_their_class(windows: EncodedWindows, how: Resample) -> None:
    gbt = detector("gbt", windows)
    made = resample(gbt, windows, how, seed=1)
    n = len(windows)
    assert (made.label[:n] == windows.label).all()
    assert (made.label[n:] == 1).all()
    assert abs(counts(made)[0] - counts(made)[1]) <= (0 if how == "smote" else 0.2 * n)
    real, whole = windows.batch()["summary"], made.batch()["summary"]
    assert np.array_equal(whole[:n], real, equal_nan=True)
    anomalies = real[windows.label == 1]
    low, high = np.nanmin(anomalies, axis=0), np.nanmax(anomalies, axis=0)
    assert (whole[n:] >= low - 1e-3).all()
    assert (whole[n:] <= high + 1e-3).all()
    assert len(np.unique(whole[n:], axis=0)) > 0.5 * len(whole[n:])
    again = resample(gbt, windows, how, seed=1).batch()["summary"]
    assert np.array_equal(whole, again, equal_nan=True)
    assert not np.array_equal(whole, resample(gbt, windows, how, seed=2).batch()["summary"], equal_nan=True)


def test_batches_of_made_up_windows_are_the_rows_of_the_whole(windows: EncodedWindows) -> None:
    made = resample(detector("gbt", windows), windows, "smote", seed=1)
    whole = made.batch(names=("summary",))["summary"]
    rows = np.random.default_rng(0).permutation(len(made))
    assert np.array_equal(made.batch(rows, ("summary",))["summary"], whole[rows], equal_nan=True)
    pieces = [X["summary"] for _, X in made.batches(7, ("summary",))]
    assert np.array_equal(np.concatenate(pieces), whole, equal_nan=True)


@pytest.mark.parametrize("name", ["gru", "vanilla", "collaborative"])
@pytest.mark.parametrize("how", ["smote", "adasyn"])
def test_no_token_ids_are_made_up(windows: EncodedWindows, name: str, how: Resample) -> None:
    with pytest.raises(UsageError, match=f"but {name} reads token ids") as refusal:
        resample(detector(name, windows), windows, how, seed=0)
    assert "over, under or tomek" in refusal.value.remedy


def test_what_cannot_be_balanced_is_refused(windows: EncodedWindows) -> None:
    lonely = windows.over(
        windows.windows.select(
            np.concatenate([np.flatnonzero(windows.label == 0), np.flatnonzero(windows.label)[:1]])
        )
    )
    with pytest.raises(UsageError, match="one training window"):
        resample(detector("gbt", windows), lonely, "smote", seed=0)
    with pytest.raises(UsageError, match="learns from one class"):
        resample(detector("next_gru", windows), windows, "over", seed=0)


@pytest.mark.parametrize("how", ["over", "smote"])
def test_training_leaves_validation_and_the_scale_of_inputs_alone(
    windows: EncodedWindows, how: Resample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gbt = detector("gbt", windows)
    assert isinstance(gbt, FittedDetector)
    seen: dict[str, list[int]] = {}
    fit = type(gbt).fit

    def watch(
        self: FittedDetector, train: EncodedWindows, validation: EncodedWindows, **how: Any
    ) -> list[dict[str, Any]]:
        seen.update(train=counts(train), validation=counts(validation))
        assert validation is windows
        return fit(self, train, validation, **how)

    monkeypatch.setattr(type(gbt), "fit", watch)
    config = TrainingConfig(resample=how, device="cpu", threads=1)
    train(gbt, windows, windows, config, tmp_path, progress=False)
    most = max(counts(windows))
    assert seen == {"train": [most, most], "validation": counts(windows)}
