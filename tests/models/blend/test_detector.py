"""`blend`: whole recordings, learnt from train and validation, with verdicts that are out of fold."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vestige.engine import HERE
from vestige.models.base import choose_inputs
from vestige.models.blend.detector import Blend
from vestige.models.blend.gathering import FOLDS, Recordings, choose_recordings, folds
from vestige.models.blend.units import WholeTally
from vestige.pipeline.experiment import TrainingData
from vestige.pipeline.predicting import predict
from vestige.reading.encoding import EncodedWindows
from vestige.sources import registry
from vestige.splits import make

QUICK: dict[str, Any] = {"rounds": 15, "reservoirs": 1, "iterations": 50, "threads": 1}


def corpus(place: Path) -> Path:
    """Files of calls: an attack has the same calls as a normal session, in another order, in a few places."""
    rng = np.random.default_rng(0)
    for number in range(160):
        attack = number % 4 == 0
        calls = rng.integers(3, 9, int(rng.integers(30, 60))).tolist()
        for at in rng.integers(0, len(calls) - 2, 6).tolist():
            calls[at : at + 3] = [5, 4, 3] if attack else [3, 4, 5]
        folder = f"Attack_{number % 5}" if attack else "Normal"
        (place / folder).mkdir(parents=True, exist_ok=True)
        (place / folder / f"{number}.txt").write_text(" ".join(map(str, calls)))
    return place


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Blend, TrainingData, EncodedWindows]:
    place = tmp_path_factory.mktemp("blend")
    source = registry.get("events")
    options = source.options(mapping="syscalls", anomalous_files="attack_*", context=3)
    windows = source.prepare(corpus(place / "corpus"), place / "dataset", options, engine=HERE)
    _, parts = make("sample", windows, seed=0)
    data = TrainingData.of(source, parts.sealed())
    detector = Blend.build(choose_inputs(Blend, data.schema), len(data.schema.classes), **QUICK)
    rows = detector.fit(data.train, data.validation, seed=0)
    assert [row["C"] for row in rows[:4]] == [0.1, 1.0, 10.0, 100.0]
    return detector, data, data.train.over(parts.test)


def test_recordings_are_ranked_as_wholes(learnt: tuple[Blend, TrainingData, EncodedWindows]) -> None:
    detector, _, test = learnt
    found = predict(detector, test)
    _, first = np.unique(found.recording, return_index=True)
    assert len(first) > 20
    assert average_precision_score(found.positive[first], found.score[first]) > 0.9
    for recording in np.unique(found.recording):
        assert len(np.unique(found.score[found.recording == recording])) == 1


def test_progress_hears_of_every_round_and_may_end_the_training(
    learnt: tuple[Blend, TrainingData, EncodedWindows],
) -> None:
    _, data, _ = learnt
    heard: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        heard.append((done, total))
        if done == QUICK["rounds"] + 2:
            raise InterruptedError

    detector = Blend.build(choose_inputs(Blend, data.schema), len(data.schema.classes), **QUICK)
    with pytest.raises(InterruptedError):
        detector.fit(data.train, data.validation, progress=tell)
    assert heard == [(done, (FOLDS + 1) * QUICK["rounds"]) for done in range(1, QUICK["rounds"] + 3)]


def test_it_makes_no_difference_how_a_recording_is_cut(
    learnt: tuple[Blend, TrainingData, EncodedWindows],
) -> None:
    detector, _, test = learnt
    one = test.over(test.windows.select(test.windows.recording == test.windows.recording[0]))
    at_once, in_pieces, nothing = (detector.begin_recording() for _ in range(3))
    assert isinstance(at_once, WholeTally)
    assert isinstance(in_pieces, WholeTally)
    assert isinstance(nothing, WholeTally)
    at_once.add(one.batch(names=detector.input_names))
    for _, X in one.batches(1, detector.input_names):
        in_pieces.add(X)
    # Tallies come home from other processes.
    came_home = pickle.loads(pickle.dumps(in_pieces))  # noqa: S301 - made in the line itself
    assert came_home.key == at_once.key != nothing.key
    proba = detector.recordings_proba([at_once, came_home, nothing])
    assert np.array_equal(proba[0], proba[1])
    assert np.isfinite(proba[2]).all()


def test_validation_is_judged_by_models_that_have_not_learnt_from_it(
    learnt: tuple[Blend, TrainingData, EncodedWindows],
) -> None:
    detector, data, test = learnt
    told, fitted = predict(detector, data.validation, validation=True), predict(detector, data.validation)
    assert (told.score != fitted.score).mean() > 0.9
    # What was learnt from is known better than what was not.
    assert np.abs(told.positive - told.score).mean() > np.abs(fitted.positive - fitted.score).mean()
    assert np.array_equal(predict(detector, test, validation=True).score, predict(detector, test).score)


def test_a_checkpoint_says_the_same_and_a_damaged_one_is_refused(
    learnt: tuple[Blend, TrainingData, EncodedWindows], tmp_path: Path
) -> None:
    detector, data, _ = learnt
    detector.save_sidecar(tmp_path / "weights")
    payload = (tmp_path / "weights").read_bytes()
    header = json.loads(json.dumps({"model": detector.header(), "schema": data.schema.to_dict()}))
    restored = Blend.from_checkpoint(header, payload)
    for validation in (False, True):
        before = predict(detector, data.validation, validation=validation).proba
        assert np.array_equal(before, predict(restored, data.validation, validation=validation).proba)
    bad: list[tuple[str, Any]] = [
        ("share", 1.5), ("spread", [1.0, 0.0]), ("whole", 1), ("end", 0),
        ("together", {"scale": 1, "bias": [0], "loss": 0}),
        ("alone", {"scale": -1, "bias": [0, 0], "loss": 0}),
    ]  # fmt: skip
    for name, value in bad:
        state = {**detector.state_for_checkpoint(), name: value}
        with pytest.raises(ValueError, match=name):
            detector.load_sidecar(payload, state)
    with pytest.raises(ValueError, match="safetensors"):
        detector.load_sidecar(payload[:100], detector.state_for_checkpoint())


def recordings(hosts: list[str], labels: list[int]) -> Recordings:
    tokens = [np.array([2, 3, 4 + number]) for number in range(len(hosts))]
    return Recordings(tokens, np.array(labels, dtype=np.uint8), hosts)


def test_recordings_of_a_host_are_held_out_together_unless_it_has_too_many() -> None:
    hosts = [f"attack_{number % 8}" for number in range(16)] + ["normal"] * 40
    labels = [1] * 16 + [0] * 40
    chosen = choose_recordings(recordings(hosts, labels), seed=0)
    pairs = list(folds(chosen.group, chosen.label, seed=0))
    assert len(pairs) == FOLDS
    for outside, inside in pairs:
        held = {hosts[row] for row in chosen.rows[inside]} - {"normal"}
        assert len(held) == 2
        assert held.isdisjoint({hosts[row] for row in chosen.rows[outside]})
    assert sorted(np.concatenate([inside for _, inside in pairs]).tolist()) == list(range(56))


def test_copies_are_learnt_from_once_and_count_as_often_as_they_came() -> None:
    given = recordings(["a", "b", "c", "d"], [0, 0, 1, 1])
    copied = Recordings(
        [*given.tokens, given.tokens[1], given.tokens[1]],
        np.append(given.label, [0, 1]),
        [*given.host, "b", "b"],
    )
    chosen = choose_recordings(copied, seed=0)
    assert chosen.rows.tolist() == [0, 1, 2, 3, 5]
    assert chosen.weight.tolist() == [1, 2, 1, 1, 1]
