"""`vanilla` and `collaborative`: what they read, what padding is to them, and their 8-bit form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vestige.errors import UsageError
from vestige.models import registry
from vestige.models.base import choose_inputs
from vestige.models.neural import NeuralDetector
from vestige.schema import PAD, UNK, Input, Schema
from vestige.testing.detectors import Parts, small_dataset
from vestige.training import TrainingConfig, train

pytestmark = pytest.mark.usefixtures("one_thread")
HYPER = {"hidden": 16, "embedding": 8, "projection": 16, "heads": 2}
INPUTS = ("tokens", "tokens:words", "vectors")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return small_dataset(tmp_path_factory.mktemp("parts"), INPUTS)


def build(parts: Parts, name: str, **hyper: int) -> NeuralDetector:
    kind = registry.get(name)
    detector = kind.build(
        choose_inputs(kind, parts.train.schema), 2, seed=0, view="realistic", **{**HYPER, **hyper}
    )
    assert isinstance(detector, NeuralDetector)
    return detector


def test_words_are_asked_for_by_name_and_tokens_stay_the_first_of_their_kind(parts: Parts) -> None:
    assert build(parts, "vanilla").input_names == ("words",)
    assert build(parts, "collaborative").input_names == ("words", "vectors")
    gru = registry.get("gru")
    assert [one.name for one in choose_inputs(gru, parts.train.schema)] == ["tokens"]


def test_a_dataset_without_words_is_refused_with_what_is_missing() -> None:
    schema = Schema("made-up", 1, ("normal", "anomaly"), 4, 1, (), (Input("tokens", "tokens"),))
    with pytest.raises(UsageError, match=r"takes tokens:words\+vectors; this made-up dataset has tokens"):
        choose_inputs(registry.get("collaborative"), schema)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", ["vanilla", "collaborative"])
def test_padding_changes_nothing_and_an_unknown_word_does(parts: Parts, name: str, layers: int) -> None:
    detector = build(parts, name, layers=layers)
    batch = parts.test.batch(names=detector.input_names)
    proba = detector.predict_proba(batch)
    wider = {**batch, "words": np.pad(batch["words"], ((0, 0), (0, 9)), constant_values=PAD)}
    np.testing.assert_allclose(detector.predict_proba(wider), proba, atol=1e-6)
    unknown = {**batch, "words": np.where(batch["words"] == PAD, PAD, UNK)}
    assert np.abs(detector.predict_proba(unknown) - proba).max() > 1e-4


@pytest.mark.parametrize("name", ["vanilla", "collaborative"])
def test_long_messages_are_read_apart_with_the_same_result(parts: Parts, name: str) -> None:
    detector = build(parts, name)
    batch = parts.test.batch(slice(0, 50), names=detector.input_names)
    words = np.full((50, 80), PAD)
    words[:, : batch["words"].shape[1]] = batch["words"]
    words[7] = words[41] = UNK
    read: list[int] = []
    reader = detector.module.get_submodule("transformer")
    reader.register_forward_pre_hook(lambda _, inputs: read.append(len(inputs[0])))
    together = detector.predict_proba({**batch, "words": words})
    assert read == [48, 2]
    for row in (0, 7, 8, 41, 49):
        alone = {one: values[row : row + 1] for one, values in {**batch, "words": words}.items()}
        np.testing.assert_allclose(detector.predict_proba(alone)[0], together[row], atol=1e-6)


@pytest.mark.parametrize("name", ["vanilla", "collaborative"])
def test_as_published_all_messages_are_padded_alike(parts: Parts, name: str) -> None:
    detector = build(parts, name, as_published=True)
    batch = parts.test.batch(slice(0, 50), names=detector.input_names)
    words = np.pad(batch["words"], ((0, 0), (0, 80 - batch["words"].shape[1])), constant_values=PAD)
    words[7] = UNK
    read: list[int] = []
    reader = detector.module.get_submodule("transformer")
    reader.register_forward_pre_hook(lambda _, inputs: read.append(len(inputs[0])))
    detector.predict_proba({**batch, "words": words})
    assert read == [50]


def test_vectors_matter_to_collaborative_alone(parts: Parts) -> None:
    detector = build(parts, "collaborative")
    batch = parts.test.batch(names=detector.input_names)
    other = {**batch, "vectors": np.zeros_like(batch["vectors"])}
    assert np.abs(detector.predict_proba(other) - detector.predict_proba(batch)).max() > 1e-4


@pytest.mark.parametrize("name", ["vanilla", "collaborative"])
def test_eight_bits_decide_alike(parts: Parts, name: str, tmp_path: Path) -> None:
    detector = build(parts, name)
    config = TrainingConfig(epochs=15, batch_size=16, learning_rate=3e-3, device="cpu", threads=1)
    train(detector, parts.train, parts.validation, config, tmp_path, progress=False)
    batch = parts.test.batch(names=detector.input_names)
    proba = detector.predict_proba(batch)
    detector.quantize()
    small = detector.predict_proba(batch)
    assert 0 < np.abs(small - proba).max() < 0.05
    sure = np.abs(proba[:, 0] - 0.5) > 0.05
    assert sure.mean() > 0.5
    assert (small.argmax(axis=1) == proba.argmax(axis=1))[sure].all()


def test_what_has_no_eight_bit_form_says_so(parts: Parts) -> None:
    kind = registry.get("gru")
    detector = kind.build(choose_inputs(kind, parts.train.schema), 2)
    with pytest.raises(UsageError, match="gru has no 8-bit form"):
        detector.quantize()


def test_sizes_that_do_not_go_together_are_refused_with_advice(parts: Parts) -> None:
    with pytest.raises(UsageError, match="not divisible by heads=3: change hidden_size to 15 or 18"):
        build(parts, "vanilla", heads=3)
