"""Gradient-boosted trees: batches, early stopping, names, and files that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from tests.models.conftest import MakeParts
from vestige.models.base import choose_inputs
from vestige.models.gbt import BATCH, MIB, SPARSE_BELOW, GradientBoostedTrees
from vestige.schema import Feature, Input
from vestige.testing.detectors import Parts


def built(parts: Parts, **hyper: Any) -> GradientBoostedTrees:
    schema = parts.train.schema
    inputs = choose_inputs(GradientBoostedTrees, schema)
    return GradientBoostedTrees.build(inputs, len(schema.classes), **{"rounds": 12, "threads": 1, **hyper})


def fitted(
    parts: Parts,
    *,
    batch: int = BATCH,
    sparse_below: float = SPARSE_BELOW,
    memory_unit: int = MIB,
    **hyper: Any,
) -> GradientBoostedTrees:
    detector = built(parts, **hyper)
    detector.batch, detector.sparse_below, detector.memory_unit = batch, sparse_below, memory_unit
    detector.fit(parts.train, parts.validation)
    return detector


def test_windows_reach_the_trees_in_batches_with_the_same_result(make_parts: MakeParts) -> None:
    parts = make_parts("summary")
    whole = fitted(parts).predict_proba(parts.test.batch())
    assert np.allclose(fitted(parts, batch=16).predict_proba(parts.test.batch()), whole, atol=1e-6)


def test_the_number_of_threads_does_not_change_the_trees(make_parts: MakeParts) -> None:
    parts = make_parts("summary")
    one, two = (fitted(parts, threads=threads, subsample=0.7) for threads in (1, 2))
    assert np.array_equal(one.predict_proba(parts.test.batch()), two.predict_proba(parts.test.batch()))


def test_training_stops_by_the_validation_loss_and_keeps_the_best_round(make_parts: MakeParts) -> None:
    parts = make_parts("summary")
    detector = built(parts, rounds=400, patience=5, learning_rate=0.5)
    seen: list[tuple[int, int]] = []
    history = detector.fit(parts.train, parts.validation, progress=lambda *at: seen.append(at))
    losses = [row["val_loss"] for row in history]
    assert len(history) < 400
    assert detector.booster.num_boosted_rounds() == int(np.argmin(losses)) + 1
    assert seen[-1] == (len(history), 400)
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_names_of_features_travel_with_the_trees(make_parts: MakeParts) -> None:
    detector = fitted(make_parts("summary"))
    assert "mean:cpu" in (detector.booster.feature_names or [])
    assert "mean:hypervisor" not in (detector.booster.feature_names or [])


def test_names_that_xgboost_forbids_are_encoded_apart() -> None:
    names = ("word:[a]", "word:<*>", "word:%5B", "word:\udcff", "word:x y")
    spec = Input("s", "summary", features=tuple(Feature(name) for name in names))
    encoded = GradientBoostedTrees.build((spec,), 2).feature_names
    assert encoded == ["word:%5Ba%5D", "word:%3C*%3E", "word:%255B", "word:%DCFF", "word:x%20y"]


def test_a_mostly_empty_summary_is_stored_sparsely_and_learnt_as_well(make_parts: MakeParts) -> None:
    parts = make_parts("summary")
    batch, label = parts.test.batch(), parts.test.label
    full = fitted(parts)
    sparse = fitted(parts, sparse_below=1.01)
    states = [one.state_for_checkpoint() for one in (full, sparse)]
    assert states == [{"zero_is_missing": False}, {"zero_is_missing": True}]
    right = [(one.predict(batch) == label).mean() for one in (full, sparse)]
    assert right[1] >= right[0] - 0.02
    back = built(parts)
    back.standardize = sparse.standardize
    back.load_sidecar(bytes(sparse.booster.save_raw("ubj")), states[1])
    assert np.array_equal(back.predict_proba(batch), sparse.predict_proba(batch))


def test_trees_of_other_features_or_classes_are_refused(make_parts: MakeParts) -> None:
    parts, three = make_parts("summary"), make_parts("summary", n_classes=3)
    detector = fitted(parts)
    state = detector.state_for_checkpoint()
    payload = bytes(fitted(three).booster.save_raw("ubj"))
    with pytest.raises(ValueError, match=r"other features|3 classes"):
        detector.load_sidecar(payload, state)
    renamed = detector.booster
    renamed.feature_names = [*(renamed.feature_names or [])[:-1], "mean:disk"]
    with pytest.raises(ValueError, match="other features"):
        built(parts).load_sidecar(bytes(renamed.save_raw("ubj")), state)


@pytest.mark.parametrize("payload", [b"", b"{", b"binf" + b"\0" * 64, b"no trees here"])
def test_bytes_that_are_no_trees_are_refused(payload: bytes, make_parts: MakeParts) -> None:
    with pytest.raises(ValueError, match="not an XGBoost model"):
        built(make_parts("summary")).load_sidecar(payload, {"zero_is_missing": False})


def test_the_file_is_xgboosts_own(make_parts: MakeParts, tmp_path: Path) -> None:
    detector = fitted(make_parts("summary"))
    detector.save_sidecar(tmp_path / "booster.ubj")
    assert xgb.Booster(model_file=tmp_path / "booster.ubj").num_features() == detector.width(
        detector.inputs[0]
    )


@pytest.mark.parametrize("sparse", [False, True])
def test_values_beyond_the_memory_allowed_lie_in_a_file_with_the_same_result(
    make_parts: MakeParts,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    sparse: bool,
) -> None:
    parts = make_parts("summary")
    bounds: dict[str, Any] = {"batch": 32, "sparse_below": 1.01 if sparse else 0.0}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    whole = fitted(parts, subsample=0.7, **bounds)
    assert "lie in" not in caplog.text
    with caplog.at_level("INFO", "vestige"):
        by_batches = fitted(parts, subsample=0.7, memory_mb=1, memory_unit=1, **bounds)
    assert f"lie in {tmp_path}" in caplog.text
    assert list(tmp_path.iterdir()) == []
    batch = parts.test.batch()
    assert (
        by_batches.zero_is_missing
        == whole.zero_is_missing
        == (sparse and not np.isnan(batch["summary"]).any())
    )
    assert np.allclose(by_batches.predict_proba(batch), whole.predict_proba(batch), atol=1e-5)
