"""The trivial baselines do exactly what they say, and nothing more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

from tests.models.conftest import MakeParts
from vestige.models import registry
from vestige.models.base import choose_inputs
from vestige.models.baselines.arrays import ArrayDetector
from vestige.models.baselines.regressions import PENALTIES
from vestige.models.fitting import FittedDetector, class_weights
from vestige.schema import PAD, UNK, Kind
from vestige.testing.detectors import Parts


def fitted(name: str, parts: Parts, **hyper: Any) -> ArrayDetector:
    kind, schema = registry.get(name), parts.train.schema
    detector = kind.build(choose_inputs(kind, schema), len(schema.classes), **hyper)
    assert isinstance(detector, ArrayDetector)
    detector.fit(parts.train, parts.validation)
    return detector


def test_majority_always_says_the_shares_of_the_classes(make_parts: MakeParts) -> None:
    parts = make_parts("tokens", n_classes=3)
    proba = fitted("majority", parts).predict_proba(parts.test.batch())
    shares = np.bincount(parts.train.label, minlength=3) / len(parts.train)
    assert np.allclose(proba, shares)


def test_new_token_alerts_if_and_only_if_the_last_token_is_unknown(make_parts: MakeParts) -> None:
    parts = make_parts("tokens")
    tokens = np.array([[2, 3, UNK], [UNK, UNK, 2], [2, 2, 10**6], [PAD, PAD, 3]])
    assert fitted("new_token", parts).predict({"tokens": tokens}).tolist() == [1, 0, 1, 0]


def test_new_token_shares_its_alerts_among_the_classes_of_training(make_parts: MakeParts) -> None:
    parts = make_parts("tokens", n_classes=3)
    counts = np.bincount(parts.train.label, minlength=3)
    proba = fitted("new_token", parts).predict_proba({"tokens": np.array([[UNK]])})
    assert np.allclose(proba[0], [0, *counts[1:] / counts[1:].sum()])


def test_lookup_answers_what_a_token_was_in_training(make_parts: MakeParts) -> None:
    parts = make_parts("tokens")
    last = parts.train.batch()["tokens"][:, -1]
    prior = np.bincount(parts.train.label, minlength=2) / len(parts.train)
    for token in np.unique(last):
        mine = parts.train.label[last == token]
        expected = (np.bincount(mine, minlength=2) + prior) / (len(mine) + 1)
        proba = fitted("lookup", parts).predict_proba({"tokens": np.array([[token]])})
        assert np.allclose(proba[0], expected)


def test_lookup_knows_only_the_shares_of_classes_about_an_unknown_token(make_parts: MakeParts) -> None:
    parts = make_parts("tokens")
    prior = np.bincount(parts.train.label, minlength=2) / len(parts.train)
    proba = fitted("lookup", parts).predict_proba({"tokens": np.array([[2, UNK], [2, -7]])})
    assert np.allclose(proba, prior)


def test_length_sees_only_how_long_the_message_is(make_parts: MakeParts) -> None:
    parts = make_parts("summary")
    detector = fitted("length", parts)
    seen = np.array([one.name for one in detector.inputs[0].features])[detector.keep_mask["summary"]]
    assert seen.tolist() == ["length", "words"]


def test_length_falls_back_to_how_full_the_window_is(make_parts: MakeParts) -> None:
    parts = make_parts("tokens")
    detector = fitted("length", parts)
    full, other, half = np.full((1, 8), 2), np.full((1, 8), 3), np.array([[PAD] * 4 + [2] * 4])
    proba = [detector.predict_proba({"tokens": one}) for one in (full, other, half)]
    assert np.array_equal(proba[0], proba[1])
    assert not np.array_equal(proba[0], proba[2])


def test_counts_do_not_depend_on_the_order_of_steps(make_parts: MakeParts) -> None:
    parts = make_parts("tokens")
    detector = fitted("counts", parts)
    tokens = parts.test.batch()["tokens"]
    turned = detector.predict_proba({"tokens": tokens[:, ::-1]})
    assert np.allclose(turned, detector.predict_proba({"tokens": tokens}), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_is_scikit_learns_regression_on_tf_idf(make_parts: MakeParts, n_classes: int) -> None:
    parts = make_parts("summary", n_classes=n_classes)
    detector = fitted("logistic", parts, C=1.0)
    mask = detector.keep_mask["summary"]
    words = [part.batch()["summary"][:, mask].astype(np.float64) for part in (parts.train, parts.test)]
    scale = TfidfTransformer().fit(words[0])
    model = LogisticRegression(max_iter=1000)
    weights = class_weights(parts.train.label, n_classes)[parts.train.label]
    model.fit(scale.transform(words[0]), parts.train.label, sample_weight=weights)
    expected = model.predict_proba(scale.transform(words[1]))
    assert np.allclose(detector.predict_proba(parts.test.batch()), expected, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "kind"), [("logistic", "summary"), ("counts", "tokens"), ("tfidf", "tokens")]
)
def test_the_penalty_is_the_one_that_loses_least_on_validation(
    make_parts: MakeParts, name: str, kind: Kind
) -> None:
    parts = make_parts(kind)
    chosen = fitted(name, parts).predict_proba(parts.test.batch())
    validation = parts.validation
    weight = class_weights(validation.label, 2)[validation.label]
    losses, said = [], []
    for C in PENALTIES:
        detector = fitted(name, parts, C=C)
        said.append(detector.predict_proba(parts.test.batch()))
        own = detector.predict_proba(validation.batch())[np.arange(len(validation)), validation.label]
        losses.append(float(np.average(-np.log(own), weights=weight)))
    best = int(np.argmin(losses))
    assert np.allclose(chosen, said[best])
    assert sum(np.allclose(chosen, other) for other in said) == 1
    kept = registry.get(name).build(choose_inputs(registry.get(name), parts.train.schema), 2)
    assert isinstance(kept, FittedDetector)
    history = kept.fit(parts.train, parts.validation)
    assert [row["C"] for row in history] == list(PENALTIES)
    assert np.allclose([row["validation_loss"] for row in history], losses)


def test_a_class_that_training_never_saw_gets_no_probability(make_parts: MakeParts) -> None:
    parts = make_parts("summary", n_classes=3)
    two = parts.train.over(parts.train.windows.select(parts.train.label != 2))
    for name in ("logistic", "length"):
        detector = fitted(name, Parts(two, parts.validation, parts.test))
        assert (detector.predict_proba(parts.test.batch())[:, 2] == 0).all()


def test_one_class_alone_is_predicted_with_certainty(make_parts: MakeParts) -> None:
    parts = make_parts("summary")
    one = parts.train.over(parts.train.windows.select(parts.train.label == 0))
    detector = fitted("logistic", Parts(one, parts.validation, parts.test))
    assert (detector.predict_proba(parts.test.batch())[:, 0] == 1).all()


def test_a_message_without_a_known_word_gets_an_answer(make_parts: MakeParts) -> None:
    parts = make_parts("summary")
    detector = fitted("logistic", parts)
    empty = np.zeros_like(parts.test.batch()["summary"][:1])
    assert np.isclose(detector.predict_proba({"summary": empty}).sum(), 1)


def test_arrays_of_another_shape_are_refused(make_parts: MakeParts) -> None:
    parts = make_parts("tokens")
    lookup = fitted("lookup", parts)
    lookup.arrays = {"table": lookup.arrays["table"][1:]}
    with pytest.raises(ValueError, match="table is"):
        lookup.load_sidecar(_saved(lookup), {})
    with pytest.raises(ValueError, match="expected \\['table'\\]"):
        lookup.load_sidecar(_saved(fitted("majority", parts)), {})
    lookup.arrays = {"table": np.full(lookup.shapes()["table"], np.inf)}
    with pytest.raises(ValueError, match="no finite number"):
        lookup.load_sidecar(_saved(lookup), {})
    with pytest.raises(ValueError, match="not a safetensors file"):
        lookup.load_sidecar(b"junk", {})


def _saved(detector: ArrayDetector) -> bytes:
    import safetensors.numpy

    return safetensors.numpy.save(detector.arrays)
