"""Reasons: additive where a detector knows its own parts, by occlusion elsewhere, and put to the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vestige.evaluation.explaining import MOST_REASONS, deletion, told
from vestige.models import registry
from vestige.models.base import Detector, choose_inputs
from vestige.models.next_token import NextToken
from vestige.models.reasons import Piece, Reason, effects, log_odds
from vestige.reading.encoding import Batch
from vestige.schema import PAD, UNK, Feature, Input
from vestige.testing.detectors import Parts, small_dataset
from vestige.training import TrainingConfig, train

VOCABULARY = ("<pad>", "<unk>", "login", "read", "write", "delete")


class Hangs(Detector):
    """A detector of a plug-in that says nothing of reasons: it hangs on `delete`, three steps at most before
    the end, and on a channel's later half."""

    name = "hangs"
    about = "for tests"
    accepts = (("tokens",), ("tensor",))

    def predict_proba(self, X: Batch) -> NDArray[np.float64]:
        """See `Detector.predict_proba`."""
        spec = self.inputs[0]
        values = self.select(X)[spec.name]
        if spec.kind == "tokens":
            found = 3.0 * (values[:, -4:] == 5).sum(axis=1) - 1.0
        else:
            found = values[:, 1, -4:].mean(axis=1).astype(np.float64)
        score = 1 / (1 + np.exp(-found))
        return np.stack([1 - score, score], axis=1)

    def state_for_checkpoint(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def save_sidecar(self, path: Path) -> None:
        """Nothing."""

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:
        """Nothing."""


def on_tokens() -> Hangs:
    return Hangs((Input("tokens", "tokens", vocabulary=VOCABULARY, length=8),), 2)


def events(n: int = 40, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(2, 5, size=(n, 8))
    tokens[:, 0] = PAD
    tokens[np.arange(n), 4 + rng.integers(0, 4, n)] = 5
    return {"tokens": tokens}


def test_a_plug_in_gets_reasons_by_occlusion_in_the_names_of_its_vocabulary() -> None:
    detector, X = on_tokens(), events()
    for row, mine in enumerate(detector.reasons(X)):
        at = int(np.flatnonzero(X["tokens"][row] == 5)[0])
        assert [(one.step, one.what) for one in mine] == [(at - 7, "delete")]
        assert mine[0].contribution == pytest.approx(3.0)
        assert mine[0].told() == {"step": at - 7, "what": "delete", "contribution": 3.0}
        where = {0: "the step judged", -1: "1 step before the one judged"}
        told = where.get(at - 7, f"{7 - at} steps before the one judged")
        assert mine[0].says() == f"delete, {told}, adds 3.00 nats"
        # Where the window looks two steps ahead, the third step from the end is the one judged.
        assert mine[0].told(2)["step"] == at - 5


def test_an_unknown_event_is_called_so_and_can_be_taken_away() -> None:
    class OnUnknown(Hangs):
        """Hangs on what training never saw."""

        def predict_proba(self, X: Batch) -> NDArray[np.float64]:
            """See `Detector.predict_proba`."""
            score = np.where((X["tokens"] == UNK).any(axis=1), 0.9, 0.1)
            return np.stack([1 - score, score], axis=1)

    X = events(1)
    X["tokens"][0, 6] = UNK
    (found,) = OnUnknown((Input("tokens", "tokens", vocabulary=VOCABULARY, length=8),), 2).reasons(X)
    assert [(one.step, one.what) for one in found] == [(-1, "an event that training never saw")]


def test_a_channel_is_named_with_the_part_of_the_window_that_matters() -> None:
    features = (Feature("cpu", "share"), Feature("writes", "1/s"), Feature("idle"))
    detector = Hangs((Input("tensor", "tensor", features=features, length=8),), 2)
    X = {"tensor": np.ones((3, 3, 8), dtype=np.float32)}
    for mine in detector.reasons(X):
        assert [(one.step, one.what) for one in mine] == [(-2, "writes"), (0, "writes")]
        assert sum(one.contribution for one in mine) == pytest.approx(1.0, abs=1e-6)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return small_dataset(tmp_path_factory.mktemp("reasons"), ("summary", "tokens"))


def fitted(name: str, parts: Parts, place: Path, **hyper: Any) -> Detector:
    kind = registry.get(name)
    detector = kind.build(choose_inputs(kind, parts.train.schema), 2, **hyper)
    train(detector, parts.train, parts.validation, TrainingConfig(device="cpu"), place, progress=False)
    return detector


def test_contributions_of_trees_are_those_of_the_log_odds(parts: Parts, tmp_path: Path) -> None:
    detector = fitted("gbt", parts, tmp_path, rounds=5)
    X = parts.test.batch(slice(0, 10), detector.input_names)
    missing = {name: np.full_like(values, np.nan) for name, values in X.items()}
    every = detector.reasons(X, 10_000)
    margin = log_odds(detector.predict_proba(X))
    assert np.isfinite(log_odds(detector.predict_proba(missing))).all()
    names = {feature.name for feature in detector.inputs[0].features}
    assert len(every) == 10
    assert {one.what for mine in every for one in mine} <= names
    # What raises the score, less what lowers it, and the bias, are the margin: where nothing lowers it, the
    # windows with a higher margin have more.
    totals = np.array([sum(one.contribution for one in mine) for mine in every])
    assert np.corrcoef(totals, margin)[0, 1] > 0.8


def test_an_ngram_s_reasons_are_its_surprise_in_parts(parts: Parts, tmp_path: Path) -> None:
    detector = fitted("next_ngram", parts, tmp_path)
    assert isinstance(detector, NextToken)
    X = parts.test.batch(slice(0, 40), detector.input_names)
    known = X[detector.inputs[0].name][:, -1] != UNK
    surprise = detector.surprise(X)
    whole = 0
    for row, mine in enumerate(detector.reasons(X, 10_000)):
        assert all(one.step > -3 for one in mine)
        total = sum(one.contribution for one in mine)
        if known[row]:
            assert total >= surprise[row] - 1e-9  # parts that lower it are left out
            whole += total == pytest.approx(surprise[row])
    assert known.any()
    assert whole


def test_good_reasons_pass_the_deletion_test_and_reasons_by_chance_do_not() -> None:
    detector, X = on_tokens(), events(60)
    clusters = np.arange(60) // 3
    good = detector.reasons(X)
    found = deletion(detector, X, clusters, reasons=good)
    assert found is not None
    assert found.area.low is not None
    assert found.area.low > 1
    assert found.named[0] == pytest.approx(3.0)
    assert len(found.named) == len(found.random) == MOST_REASONS
    assert (found.windows, found.clusters) == (60, 20)
    assert found.sentence == "the reasons name what the score hangs on"
    few = deletion(detector, X, np.arange(60) // 10, reasons=good)
    assert few is not None
    assert "6 clusters are too few" in few.sentence
    rng = np.random.default_rng(1)
    chance = [
        [Reason(0, "x", 1.0, mine[at]) for at in rng.permutation(len(mine))[:5]]
        for mine in detector.pieces(X)
    ]
    other = deletion(detector, X, clusters, reasons=chance)
    assert other is not None
    assert other.area.low is not None
    assert other.area.low < 0 < (other.area.high or 0)
    assert "NOT shown" in other.sentence


def test_too_few_windows_are_not_tested() -> None:
    detector, X = on_tokens(), events(5)
    assert deletion(detector, X, np.arange(5), reasons=detector.reasons(X)) is None


def test_effects_of_sets_of_pieces_are_of_each_window_by_itself() -> None:
    detector, X = on_tokens(), events(2)
    at = [int(np.flatnonzero(row == 5)[0]) for row in X["tokens"]]
    mine = [Piece("tokens", (step, step + 1)) for step in at]
    nothing = Piece("tokens", (1, 2))
    found = effects(detector, X, [[[mine[0]], [nothing]], [[nothing, mine[1]]]])
    assert [one.round(6).tolist() for one in found] == [[3.0, 0.0], [3.0]]
    assert told([], 7, 0).position == 7
