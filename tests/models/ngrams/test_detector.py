"""`ngram`: order counts, sub-words carry over, recordings weigh the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.models.conftest import MakeParts
from vestige.engine import HERE
from vestige.models.base import choose_inputs
from vestige.models.ngrams.detector import FOLDS, Ngram, _cross_fitted, _groups, _share_of_recording
from vestige.pipeline.experiment import TrainingData
from vestige.reading.encoding import EncodedWindows
from vestige.sources import registry
from vestige.splits import make

KEY = {True: "3 2", False: "2 3"}


def sessions(place: Path, n: int = 120) -> Path:
    """Sessions of two events each many times; an anomaly is in their order alone."""
    rng = np.random.default_rng(0)
    place.mkdir()
    for name, odd in (("x_train", False), ("x_test_abnormal", True)):
        lines = [
            f"{name}{i}," + " ".join([KEY[odd]] * int(rng.integers(3, 9)) + ["4"] * int(rng.integers(1, 20)))
            for i in range(n)
        ]
        (place / name).write_text("\n".join(lines) + "\n")
    return place


def training_data_of(place: Path) -> tuple[TrainingData, EncodedWindows]:
    source = registry.get("events")
    windows = source.prepare(
        sessions(place / "corpus"),
        place / "dataset",
        source.options(mapping="sessions", context=3),
        engine=HERE,
    )
    _, parts = make("random", windows, seed=0)
    data = TrainingData.of(source, parts.sealed())
    return data, data.train.over(parts.test)


def fitted(data: TrainingData, orders: int = 2) -> Ngram:
    inputs = choose_inputs(Ngram, data.schema)
    detector = Ngram.build(inputs, len(data.schema.classes), orders=orders)
    detector.fit(data.train, data.validation, seed=0)
    return detector


def right(detector: Ngram, test: EncodedWindows) -> float:
    """Share of windows with the events in question that are judged rightly."""
    batch = test.batch(names=detector.input_names)
    ends = np.isin(batch["tokens"][:, -2:], [2, 3, 4]).all(axis=1)
    return float((detector.predict(batch) == test.label)[ends].mean())


def test_order_tells_what_counts_cannot(tmp_path: Path) -> None:
    data, test = training_data_of(tmp_path)
    assert right(fitted(data), test) > right(fitted(data, orders=1), test) + 0.1


def test_recordings_weigh_the_same_where_labels_are_theirs(tmp_path: Path) -> None:
    data, _ = training_data_of(tmp_path)
    share = _share_of_recording(data.train)
    recording = data.train.windows.recording
    sums = np.bincount(recording, weights=share)[np.unique(recording)]
    assert np.allclose(sums, sums[0])
    assert np.isclose(share.sum(), len(recording))


def test_windows_weigh_the_same_where_labels_are_theirs(make_parts: MakeParts) -> None:
    assert (_share_of_recording(make_parts("tokens").train) == 1).all()


def test_history_tells_what_each_penalty_lost(make_parts: MakeParts) -> None:
    parts = make_parts("tokens", "summary", "vectors")
    inputs = choose_inputs(Ngram, parts.train.schema)
    history = Ngram.build(inputs, 2, bits=8).fit(parts.train, parts.validation)
    assert [row["C"] for row in history] == [0.1, 1.0, 10.0]
    assert all(np.isfinite(row["val_loss"]) for row in history)


def test_a_fold_judges_what_it_has_not_learnt_from(make_parts: MakeParts) -> None:
    train = make_parts("tokens").train
    detector = Ngram.build(choose_inputs(Ngram, train.schema), 2, bits=8)
    group = _groups(detector, train)
    assert np.array_equal(group, train.batch(names=("tokens",))["tokens"][:, -1])
    sides = list(_cross_fitted(train, group, seed=0))
    assert len(sides) <= FOLDS
    for learnt, judged in sides:
        assert len(learnt) + len(judged) == len(train)
        known, new = (np.unique(_groups(detector, side)) for side in (learnt, judged))
        assert not np.isin(new, known).any()


def test_the_vector_is_that_of_the_message_judged_not_of_those_after_it(make_parts: MakeParts) -> None:
    parts = make_parts("tokens", "summary", "vectors")
    detector = Ngram.build(choose_inputs(Ngram, parts.train.schema), 2, bits=8)
    detector.fit(parts.train, parts.validation)
    batch = parts.test.batch()
    later = np.random.default_rng(0).normal(size=(len(parts.test), 3, batch["vectors"].shape[2]))
    ahead = np.concatenate([batch["vectors"], later.astype(np.float32)], axis=1)
    expected = detector.predict_proba(batch)
    np.testing.assert_array_equal(detector.predict_proba({**batch, "vectors": ahead}), expected)
    other = {**batch, "vectors": -batch["vectors"]}
    assert not np.allclose(detector.predict_proba(other), expected)
