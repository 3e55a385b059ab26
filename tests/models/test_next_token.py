"""Surprise, rank, threshold and explanation; n-grams against a plain count."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from tests.models.conftest import MakeParts
from vestige.errors import SplitError
from vestige.models import registry
from vestige.models.base import Judgement
from vestige.models.baselines.next_frequency import NextFrequency
from vestige.models.baselines.next_ngram import NextNgram
from vestige.models.fitting import FittedDetector, benign
from vestige.models.next_token import NextToken
from vestige.schema import PAD, UNK, Input

pytestmark = pytest.mark.usefixtures("one_thread")


class Tokens:
    """Windows that are only their tokens: as much of `EncodedWindows` as counting needs."""

    def __init__(self, tokens: np.ndarray) -> None:
        self.tokens = tokens
        self.label = np.zeros(len(tokens), dtype=np.uint8)

    def batches(self, size: int, names: tuple[str, ...]) -> Any:  # noqa: ARG002
        for start in range(0, len(self.tokens), size):
            rows = np.arange(start, min(start + size, len(self.tokens)))
            yield rows, {"tokens": self.tokens[rows]}


def spec(size: int) -> Input:
    return Input("tokens", "tokens", vocabulary=("<pad>", "<unk>", *(f"t{n}" for n in range(2, size))))


def counted(kind: type[Any], tokens: np.ndarray, size: int, **hyper: Any) -> Any:
    detector = kind.build((spec(size),), 2, **hyper)
    detector.fit(Tokens(tokens), Tokens(tokens))
    return detector


def plain_witten_bell(tokens: np.ndarray, n: int, size: int, context: tuple[int, ...], word: int) -> float:
    """Straight from the definition, with dictionaries."""
    followers: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for row in tokens.tolist():
        for length in range(min(n, len(row))):
            followers[tuple(row[len(row) - 1 - length : -1])][row[-1]] += 1
    p = 1 / size
    for length in range(min(n, tokens.shape[1])):
        after = followers.get(context[len(context) - length :])
        if after is None:
            break
        p = (after[word] + len(after) * p) / (after.total() + len(after))
    return p


def chain(n: int, size: int, length: int, *, seed: int = 0) -> np.ndarray:
    """Windows on a sequence in which most tokens are followed by the next number, behind padding."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random(n) < 0.8, 1, rng.integers(1, size - 2, n))
    sequence = 2 + np.cumsum(steps) % (size - 2)
    padded = np.concatenate([np.full(length - 1, PAD), sequence])
    return np.lib.stride_tricks.sliding_window_view(padded, length).copy()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9])
def test_ngrams_are_witten_and_bells_to_the_last_digits(n: int) -> None:
    size = 9
    tokens = chain(200, size, 5)
    detector = counted(NextNgram, tokens, size, n=n)
    windows = np.random.default_rng(1).integers(0, size, (60, 5))
    windows[:, -1] = np.maximum(windows[:, -1], 2)
    expected = [-math.log(plain_witten_bell(tokens, n, size, tuple(row[:-1]), row[-1])) for row in windows]
    np.testing.assert_allclose(detector.surprise({"tokens": windows}), expected, rtol=1e-12)
    np.testing.assert_allclose(detector.surprise_and_rank({"tokens": windows})[0], expected, rtol=1e-12)
    assert np.allclose(np.exp(detector.log_proba({"tokens": windows})).sum(axis=1), 1)


def test_long_grams_of_a_large_vocabulary_are_told_apart() -> None:
    size = 30_000  # 30,000 ** 6 is beyond any int64
    tokens = np.random.default_rng(0).integers(2, size, (500, 6))
    detector = counted(NextNgram, tokens, size, n=6)
    seen = detector.surprise({"tokens": tokens})
    other = tokens.copy()
    other[:, -1] = np.roll(tokens[:, -1], 1)
    assert seen.max() < 1 < detector.surprise({"tokens": other}).min()


def test_a_window_shorter_than_the_gram_uses_what_there_is() -> None:
    detector = counted(NextNgram, chain(100, 9, 5), 9, n=4)
    assert np.isfinite(detector.surprise({"tokens": np.array([[2, 3]])})).all()
    assert len(counted(NextNgram, chain(100, 9, 2), 9, n=4).levels) == 2


def test_frequencies_are_counted_once_more_than_they_occurred() -> None:
    tokens = np.array([[2, 3], [2, 3], [2, 4]])
    detector = counted(NextFrequency, tokens, 5)
    batch = {"tokens": np.array([[4, 3], [2, 4], [2, 2], [2, UNK]])}
    np.testing.assert_allclose(np.exp(-detector.surprise(batch)), [3 / 8, 2 / 8, 1 / 8, 1 / 8])
    assert detector.rank(batch).tolist() == [0, 1, 2, 5]


def test_an_unknown_event_surprises_as_much_as_the_least_probable_one_and_is_ranked_last() -> None:
    detector = counted(NextNgram, chain(300, 9, 5), 9)
    context = np.array([[PAD, PAD, 2, 3]])
    batches = [{"tokens": np.column_stack([context, [token]])} for token in range(2, 9)]
    known = [detector.surprise(one)[0] for one in batches]
    new = {"tokens": np.column_stack([context, [UNK]])}
    assert detector.surprise(new)[0] >= max(known)
    assert detector.rank(new).tolist() == [9]
    assert min(detector.rank(one)[0] for one in batches) == 0


@pytest.mark.parametrize("name", ["next_ngram", "next_transformer"])
def test_an_unknown_event_that_the_window_showed_before_surprises_by_its_share(name: str) -> None:
    if name == "next_ngram":
        detector = counted(NextNgram, chain(300, 9, 5), 9)
    else:
        detector = registry.get(name).build((spec(9),), 2, size=8, heads=2, layers=1)
    again = 9  # one beyond the vocabulary
    batch = {
        "tokens": np.array([[PAD, 2, again, 3, again], [again, 2, again, 3, again], [UNK, 2, 3, 4, UNK]])
    }
    surprise, rank = detector.surprise_and_rank(batch)
    unknown = detector.surprise({"tokens": np.where(batch["tokens"] == again, UNK, batch["tokens"])})
    log_p = detector.log_proba(batch)
    np.testing.assert_allclose(surprise[:2], np.minimum([math.log(3), math.log(2)], unknown[:2]))
    np.testing.assert_allclose(surprise[2], unknown[2])
    np.testing.assert_allclose(detector.surprise(batch), surprise)
    assert rank[:2].tolist() == (log_p > -surprise[:, None]).sum(axis=1)[:2].tolist()
    assert rank[2] == 9
    assert np.array_equal(detector.tokens(batch) == UNK, np.isin(batch["tokens"], [UNK, again]))


def test_an_explanation_names_where_the_unknown_event_was_shown_before() -> None:
    detector = counted(NextNgram, chain(300, 9, 5), 9)
    assert detector.explain({"tokens": np.array([[2, 9, 4, 5, 9]])})[0].argmax() == 1


def test_ids_that_no_encoder_gives_are_unknown_and_no_more() -> None:
    detector = counted(NextNgram, chain(300, 9, 5), 9)
    odd = detector.surprise({"tokens": np.array([[-3, 2, 50, 3, 51], [PAD, PAD, PAD, PAD, 9]])})
    plain = detector.surprise({"tokens": np.array([[UNK, 2, UNK, 3, UNK], [PAD, PAD, PAD, PAD, UNK]])})
    np.testing.assert_array_equal(odd, plain)


def test_memory_is_bounded_and_pieces_change_nothing() -> None:
    detector = registry.get("next_gru").build((spec(9),), 2, hidden=8)
    assert isinstance(detector, NextToken)
    batch = {"tokens": chain(100, 9, 5)}
    surprise, rank = detector.surprise_and_rank(batch)
    in_pieces = detector.surprise_and_rank(batch, size=7)
    np.testing.assert_allclose(in_pieces[0], surprise, rtol=1e-6)
    np.testing.assert_array_equal(in_pieces[1], rank)


def test_the_threshold_is_where_the_probability_is_a_half() -> None:
    detector = counted(NextNgram, chain(300, 9, 5), 9)
    batch = {"tokens": chain(50, 9, 5, seed=3)}
    surprise = detector.surprise(batch)
    detector.center(2.5)
    proba = detector.predict_proba(batch)
    np.testing.assert_allclose(proba[:, 1], 1 / (1 + np.exp(2.5 - surprise)))
    assert np.array_equal(detector.predict(batch), (surprise > 2.5).astype(int))


def test_a_boundary_that_is_moved_gives_what_had_the_score_one_half() -> None:
    detector = counted(NextNgram, chain(300, 9, 5), 9)
    batch = {"tokens": chain(50, 9, 5, seed=3)}
    detector.center(2.5)
    score = float(np.median(detector.judge(batch).score))
    row = int(np.argmin(np.abs(detector.judge(batch).score - score)))
    score = float(detector.judge(batch).score[row])
    assert detector.move_boundary(score)
    assert detector.judge(batch).score[row] == pytest.approx(0.5)
    assert detector.alert_surprise == detector.shift != 2.5


def test_a_judgement_without_surprise_is_as_strange_as_its_score() -> None:
    plain = Judgement.of(np.array([[0.75, 0.25]]))
    assert (plain.p_value, plain.surprise, plain.rank) == (None, None, None)
    np.testing.assert_array_equal(plain.strangeness, [0.25])
    told = Judgement.of(np.array([[0.75, 0.25]]), surprise=np.array([3.0]), rank=np.array([1]))
    np.testing.assert_array_equal(told.strangeness, [3.0])
    assert len(told) == 1


def test_kinds_of_anomaly_that_surprise_cannot_tell_apart_stay_zero() -> None:
    detector = registry.get("next_frequency").build((spec(5),), 4)
    assert isinstance(detector, NextFrequency)
    detector.fit(Tokens(np.array([[2, 3]])), Tokens(np.array([[2, 3]])))  # type: ignore[arg-type] # no more is read
    proba = detector.predict_proba({"tokens": np.array([[2, 4]])})
    assert proba.shape == (1, 4)
    assert not proba[:, 2:].any()


@pytest.mark.parametrize("threshold", [math.inf, math.nan])
def test_a_threshold_that_is_no_number_is_refused(threshold: float) -> None:
    detector = registry.get("next_frequency").build((spec(5),), 2)
    assert isinstance(detector, NextFrequency)
    with pytest.raises(ValueError, match="cannot be a shift"):
        detector.center(threshold)


def test_what_led_to_the_event_has_the_largest_share() -> None:
    detector = counted(NextNgram, chain(2_000, 9, 5), 9, n=3)
    shares = detector.explain({"tokens": np.array([[2, 3, 4, 5, 6], [PAD, PAD, PAD, 5, 6]])})
    assert (shares.argmax(axis=1) == 3).all()
    assert not shares[0, :2].any(), "beyond the reach of a trigram"
    np.testing.assert_allclose(shares[1], [0, 0, 0, 1])


def test_an_explanation_without_a_context_is_empty_and_without_effect_even() -> None:
    detector = counted(NextFrequency, chain(50, 9, 5), 9)
    shares = detector.explain({"tokens": np.array([[PAD, PAD, PAD, PAD, 6], [PAD, PAD, 2, 3, 4]])})
    np.testing.assert_allclose(shares, [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]])


@pytest.mark.parametrize("name", ["next_frequency", "next_ngram"])
def test_counts_come_from_benign_windows_alone(name: str, make_parts: MakeParts) -> None:
    parts = make_parts("tokens")
    batch = parts.test.batch()
    whole, normal = (registry.get(name).build((parts.train.schema.inputs[0],), 2) for _ in range(2))
    assert isinstance(whole, FittedDetector)
    assert isinstance(normal, FittedDetector)
    whole.fit(parts.train, parts.validation)
    normal.fit(benign(parts.train, "training"), parts.validation)
    assert np.array_equal(whole.predict_proba(batch), normal.predict_proba(batch))


def test_a_part_without_benign_windows_is_refused(make_parts: MakeParts) -> None:
    train = make_parts("tokens").train
    hostile = train.over(train.windows.select(train.label > 0))
    with pytest.raises(SplitError, match="the training part has no 'normal' windows"):
        benign(hostile, "training")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"1.contexts": None}, "level 1 is missing"),
        ({"1.counts": np.zeros(3)}, "no whole numbers"),
        ({"0.counts": np.ones(1, dtype=np.int64)}, "counts of level 0"),
        ({"0.grams": np.array([3, 2])}, "out of order"),
        ({"0.grams": np.array([2, 900])}, "another vocabulary"),
        ({f"{n}.{name}": np.ones(1, int) for n in (3, 4) for name in "abc"}, "5 lengths"),
    ],
)
def test_counts_that_fit_no_such_detector_are_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    detector = counted(NextNgram, chain(100, 9, 5), 9)
    detector.save_sidecar(tmp_path / "w")
    arrays = {**safetensors.numpy.load((tmp_path / "w").read_bytes()), **change}
    payload = safetensors.numpy.save({name: one for name, one in arrays.items() if one is not None})
    with pytest.raises(ValueError, match=message):
        detector.load_sidecar(payload, {"shift": 0.0})
    with pytest.raises(ValueError, match="not a safetensors file"):
        detector.load_sidecar(b"nothing", {"shift": 0.0})
