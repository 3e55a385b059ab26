# ruff: noqa: S101 - assertions are what this file is for
"""The contract of a detector."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.models import registry
from vestige.models.base import Detector, choose_inputs, parse_hyper
from vestige.models.next_token import NextToken
from vestige.models.space import Choice, Parameter, Value, draw
from vestige.reading.encoding import Batch, EncodedWindows, Encoder
from vestige.reading.looks import LOOKS, NormalEncoder
from vestige.schema import PAD, UNK
from vestige.testing.synthetic import SyntheticOptions, SyntheticSimulation, SyntheticSource
from vestige.training import TrainingConfig, train

OF_LOOKS = f"summary:{LOOKS}"
CLOSE = 1e-6
"""How far probabilities may move with a batch's size and order."""
BRIEF = TrainingConfig(epochs=2, batch_size=32, learning_rate=1e-2, device="cpu", threads=1)

DRAWS = 50
"""Draws from a search space that are tried."""

How = tuple[dict[str, Any], TrainingConfig]
"""Hyper-parameters, and settings of the training."""


@dataclass(frozen=True)
class Parts:
    """A small dataset with train, validation and test parts."""

    train: EncodedWindows
    validation: EncodedWindows
    test: EncodedWindows


def check_detector(
    kind: type[Detector] | str,
    directory: Path,
    *,
    hyper: dict[str, Any] | None = None,
    config: TrainingConfig = BRIEF,
) -> None:
    """Assert that a detector (or the registered one of that name) keeps the contract.

    For two and for three classes, and for every combination of inputs it accepts, it is trained briefly on
    a synthetic corpus under `directory` and must: give probabilities that sum to 1, the same whatever the
    batch's size and order; predict the most probable class; not see what its view masks; stay finite
    on NaN, infinity and unknown tokens; leave the batch it is given alone; come out the same twice
    under a seed; and be the same after saving and loading. One of the task next must moreover give finite
    surprise and ranks within the vocabulary, be surprised most by UNK, be 0.5 sure at its threshold, and
    share an explanation among the tokens of the context. Reasons must be named, raise the score and stand in
    order; whatever is drawn from its search space must be settings that it takes. One of the task normal must
    give p-values that
    fall as scores rise. What `judge` says must be what the other methods say. Raises AssertionError that says
    what fails.
    """
    chosen = registry.get(kind) if isinstance(kind, str) else kind
    _check_space(chosen)
    for n_classes in (2, 3):
        for combination in chosen.accepts:
            place = directory / f"{n_classes}-{'-'.join(combination).replace(':', '-')}"
            parts = small_dataset(place, combination, n_classes)
            where = f"{chosen.name} on {'+'.join(combination)}, {n_classes} classes"
            _check_one(chosen, parts, place, where, (hyper or {}, config))


def _check_space(kind: type[Detector]) -> None:
    """What a search may draw must be settings that the detector, or its training, takes."""
    rng = np.random.default_rng(0)

    def ask(_name: str, parameter: Parameter) -> Value:
        if isinstance(parameter, Choice):
            return parameter.values[rng.integers(len(parameter.values))]
        ends: tuple[Value, ...] = (parameter.low, parameter.high)
        if rng.random() < 0.5:  # the ends are where a range does not fit
            return ends[rng.integers(2)]
        if parameter.whole:
            return int(rng.integers(int(parameter.low), int(parameter.high) + 1))
        return float(rng.uniform(parameter.low, parameter.high))

    defaults = kind.hyper_parameters().model_dump()
    for _ in range(DRAWS):
        drawn = draw(kind.space, ask, defaults)
        own = {name: value for name, value in drawn.items() if name in defaults}
        parse_hyper(kind, own)
        others = {name: value for name, value in drawn.items() if name not in defaults}
        unknown = sorted(set(others) - set(TrainingConfig.model_fields))
        assert not unknown, f"{kind.name}: its space names what nobody has: {', '.join(unknown)}"
        TrainingConfig(**others)


def small_dataset(directory: Path, kinds: tuple[str, ...], n_classes: int = 2, length: int = 8) -> Parts:
    """A synthetic dataset that offers these inputs, in windows of `length` steps: two recordings to train on,
    one a part after."""
    source = SyntheticSource()
    source.simulate(directory / "corpus", SyntheticSimulation(classes=n_classes, steps=50))
    # What the encoder of detectors without labels adds is in no dataset.
    declared = tuple(kind for kind in kinds if kind != OF_LOOKS)
    options = SyntheticOptions(kinds=declared, classes=n_classes, length=length)
    windows = source.prepare(directory / "corpus", directory / "dataset", options)
    sides = [windows.select(np.isin(windows.recording, which)) for which in ([0, 1], [2], [3])]
    encoder: Encoder = source.fit_encoder(sides[0])
    if declared != kinds:
        encoder = NormalEncoder.fit(encoder, sides[0], timed=True)
    return Parts(*(EncodedWindows.of(side, encoder) for side in sides))


def _check_one(kind: type[Detector], parts: Parts, place: Path, where: str, how: How) -> None:
    detector = _trained(kind, parts, place / "first", how)
    batch = parts.test.batch(names=detector.input_names)
    given = {name: values.copy() for name, values in batch.items()}
    proba = detector.predict_proba(given)
    for name, values in batch.items():
        same = np.array_equal(values, given[name], equal_nan=values.dtype.kind == "f")
        assert same, f"{where}: predict_proba changed the batch it was given ({name})"
    _check_probabilities(detector, proba, batch, parts, where)
    _check_company(detector, proba, batch, where)
    _check_masks(detector, proba, batch, where)
    _check_bad_numbers(detector, batch, where)
    other = _trained(kind, parts, place / "second", how)
    if detector.task == "next":
        assert isinstance(detector, NextToken), f"{where}: of the task next, and no NextToken"
        assert isinstance(other, NextToken), f"{where}: of the task next, and no NextToken"
        proba = _check_next(detector, batch, where)
        other.center(detector.shift)
    _check_judgement(detector, proba, batch, where)
    _check_reasons(detector, batch, where)
    again = other.predict_proba(batch)
    assert np.array_equal(proba, again), f"{where}: the same seed gave another detector"
    restored = _reloaded(kind, detector, parts, place)
    assert np.array_equal(proba, restored.predict_proba(batch)), f"{where}: saved and loaded, it differs"


def _trained(kind: type[Detector], parts: Parts, directory: Path, how: How) -> Detector:
    hyper, config = how
    directory.mkdir()
    schema = parts.train.schema
    inputs = choose_inputs(kind, schema)
    detector = kind.build(inputs, len(schema.classes), view="realistic", seed=config.seed, **hyper)
    train(detector, parts.train, parts.validation, config, directory, progress=False)
    return detector


def _check_probabilities(
    detector: Detector, proba: NDArray[np.float64], batch: Batch, parts: Parts, where: str
) -> None:
    expected = (len(parts.test), detector.n_classes)
    assert proba.shape == expected, f"{where}: probabilities are {proba.shape}, expected {expected}"
    assert proba.dtype == np.float64, f"{where}: probabilities are {proba.dtype}, expected float64"
    assert np.isfinite(proba).all(), f"{where}: a probability is not finite"
    assert ((proba >= 0) & (proba <= 1)).all(), f"{where}: a probability is outside 0..1"
    assert np.allclose(proba.sum(axis=1), 1, rtol=0, atol=1e-9), f"{where}: probabilities do not sum to 1"
    predicted = detector.predict(batch)
    assert np.array_equal(predicted, proba.argmax(axis=1)), f"{where}: predict is not the most probable class"


def _check_judgement(detector: Detector, proba: NDArray[np.float64], batch: Batch, where: str) -> None:
    """A judgement must say what the other methods say."""
    judgement = detector.judge(batch)
    assert np.array_equal(judgement.proba, proba), f"{where}: judge gives other probabilities"
    assert np.array_equal(judgement.score, 1.0 - proba[:, 0]), f"{where}: judge gives other scores"
    if detector.task == "normal":
        assert judgement.p_value is not None, f"{where}: judge gives no p-value"
        inside = (judgement.p_value > 0) & (judgement.p_value <= 1)
        assert inside.all(), f"{where}: a p-value is outside 0..1"
        lower = np.diff(judgement.score[np.argsort(judgement.p_value)]) <= 0
        assert lower.all(), f"{where}: what is rarer has no higher score"
    if not isinstance(detector, NextToken):
        assert judgement.surprise is None, f"{where}: a classifier gives a surprise"
        assert judgement.rank is None, f"{where}: a classifier gives a rank"
        assert detector.alert_surprise is None, f"{where}: a classifier has a threshold in nats"
        return
    surprise, rank = detector.surprise_and_rank(batch)
    assert judgement.surprise is not None, f"{where}: judge gives no surprise"
    assert judgement.rank is not None, f"{where}: judge gives no rank"
    assert np.array_equal(judgement.surprise, surprise), f"{where}: judge gives another surprise"
    assert np.array_equal(judgement.rank, rank), f"{where}: judge gives another rank"


def _check_reasons(detector: Detector, batch: Batch, where: str) -> None:
    """Reasons must be named, raise the score, stand in order, and be the same in any company."""
    few = _rows(batch, np.arange(min(6, len(next(iter(batch.values()))))))
    given = {name: values.copy() for name, values in few.items()}
    found = detector.reasons(given, 3)
    for name, values in few.items():
        same = np.array_equal(values, given[name], equal_nan=values.dtype.kind == "f")
        assert same, f"{where}: reasons changed the batch they were given ({name})"
    assert len(found) == len(next(iter(few.values()))), f"{where}: reasons are not those of every window"
    for row, mine in enumerate(found):
        weights = [reason.contribution for reason in mine]
        assert len(mine) <= 3, f"{where}: more reasons than were asked for"
        assert all(np.isfinite(weights)), f"{where}: a contribution is not finite"
        assert all(weight > 0 for weight in weights), f"{where}: a reason does not raise the score"
        assert weights == sorted(weights, reverse=True), f"{where}: reasons are not in order"
        assert all(reason.what and reason.step <= 0 for reason in mine), (
            f"{where}: a reason has no name or place"
        )
        alone = detector.reasons(_rows(few, np.arange(row, row + 1)), 3)[0]
        # Beyond what is rounded otherwise in another batch, and may stand on either side of the least.
        padded = [*(reason.contribution for reason in alone), 0.0, 0.0, 0.0][:3]
        close = np.allclose(padded, [*weights, 0.0, 0.0, 0.0][:3], rtol=1e-3, atol=1e-3)
        assert close, f"{where}: a window alone has other reasons"


def _check_company(detector: Detector, proba: NDArray[np.float64], batch: Batch, where: str) -> None:
    """A window's result must not depend on what else is in its batch."""
    n = len(proba)
    assert detector.predict_proba(_rows(batch, np.arange(0))).shape == (0, detector.n_classes), (
        f"{where}: an empty batch does not give an empty result"
    )
    for size in (1, 7, n):
        pieces = [
            detector.predict_proba(_rows(batch, np.arange(n)[at : at + size])) for at in range(0, n, size)
        ]
        worst = np.abs(np.concatenate(pieces) - proba).max()
        assert worst <= CLOSE, f"{where}: batches of {size} move a probability by {worst:.1e}"
    order = np.random.default_rng(0).permutation(n)
    worst = np.abs(detector.predict_proba(_rows(batch, order)) - proba[order]).max()
    assert worst <= CLOSE, f"{where}: another order moves a probability by {worst:.1e}"


def _check_masks(detector: Detector, proba: NDArray[np.float64], batch: Batch, where: str) -> None:
    for spec in detector.inputs:
        hidden = np.array([feature.host_only for feature in spec.features], dtype=bool)
        if not hidden.any():
            continue
        for value in (0.0, 1e6, np.nan):
            changed = {**batch, spec.name: batch[spec.name].copy()}
            changed[spec.name][:, hidden] = value
            assert np.array_equal(detector.predict_proba(changed), proba), (
                f"{where}: a feature of {spec.name} that its view must not see changes the result"
            )


def _check_bad_numbers(detector: Detector, batch: Batch, where: str) -> None:
    kinds = {spec.name: spec.kind for spec in detector.inputs}
    for value in (np.nan, np.inf, -np.inf, 3e38, -3e38):
        bad = {name: X if kinds[name] == "tokens" else np.full_like(X, value) for name, X in batch.items()}
        assert np.isfinite(detector.predict_proba(bad)).all(), f"{where}: {value} as input is not survived"
        half = {name: np.where(np.arange(X.shape[-1]) % 2, X, bad[name]) for name, X in batch.items()}
        assert np.isfinite(detector.predict_proba(half)).all(), (
            f"{where}: {value} in an input is not survived"
        )
    for token in (-(2**40), -1, 2**40):
        bad = {name: np.full_like(X, token) if kinds[name] == "tokens" else X for name, X in batch.items()}
        assert np.isfinite(detector.predict_proba(bad)).all(), f"{where}: token {token} is not survived"


def _check_next(detector: NextToken, batch: Batch, where: str) -> NDArray[np.float64]:
    """Returns the probabilities after a threshold was set."""
    name = detector.inputs[0].name
    tokens, size = batch[name], detector.width(detector.inputs[0])
    surprise, rank = detector.surprise(batch), detector.rank(batch)
    n = len(tokens)
    assert surprise.shape == (n,), f"{where}: surprise is {surprise.shape}, expected {(n,)}"
    assert surprise.dtype == np.float64, f"{where}: surprise is {surprise.dtype}, expected float64"
    assert np.isfinite(surprise).all(), f"{where}: a surprise is not finite"
    assert (surprise >= 0).all(), f"{where}: a surprise is negative"
    assert rank.dtype == np.int64, f"{where}: ranks are {rank.dtype}, expected int64"
    assert ((rank >= 0) & (rank <= size)).all(), f"{where}: a rank is outside the vocabulary"
    assert (rank[tokens[:, -1] != UNK] < size).all(), f"{where}: a known token has the rank of UNK"
    _check_new_token(detector, tokens, where)
    _check_explanation(detector, tokens, where)
    threshold = float(np.median(surprise))
    detector.center(threshold)
    proba = detector.predict_proba(batch)
    sure = proba[:, 1] >= 0.5
    clear = np.abs(surprise - threshold) > CLOSE
    assert np.array_equal(sure[clear], surprise[clear] > threshold), f"{where}: 0.5 is not the threshold"
    return proba


def _check_new_token(detector: NextToken, tokens: NDArray[np.int64], where: str) -> None:
    name, size = detector.inputs[0].name, detector.width(detector.inputs[0])
    new = tokens.copy()
    new[:, -1] = UNK
    surprise, rank = detector.surprise({name: new}), detector.rank({name: new})
    assert (rank == size).all(), f"{where}: the rank of an unknown token is not the size of the vocabulary"
    for token in range(UNK + 1, size):
        known = tokens.copy()
        known[:, -1] = token
        worst = (detector.surprise({name: known}) - surprise).max()
        assert worst <= CLOSE, f"{where}: token {token} surprises by {worst:.1e} more than an unknown one"


def _check_explanation(detector: NextToken, tokens: NDArray[np.int64], where: str) -> None:
    name = detector.inputs[0].name
    shares, context = detector.explain({name: tokens}), tokens[:, :-1]
    assert shares.shape == context.shape, f"{where}: explain is {shares.shape}, expected {context.shape}"
    assert ((shares >= 0) & (shares <= 1)).all(), f"{where}: a share of an explanation is outside 0..1"
    assert not shares[context == PAD].any(), f"{where}: padding has a share in an explanation"
    real = (context != PAD).any(axis=1)
    assert np.allclose(shares.sum(axis=1), real), f"{where}: shares of an explanation do not sum to 1"
    again = detector.explain({name: tokens})
    assert np.array_equal(shares, again), f"{where}: the same window is explained otherwise"


def _reloaded(kind: type[Detector], detector: Detector, parts: Parts, place: Path) -> Detector:
    weights = place / kind.sidecar
    detector.save_sidecar(weights)
    header = {"model": detector.header(), "schema": parts.train.schema.to_dict()}
    return kind.from_checkpoint(json.loads(json.dumps(header, allow_nan=False)), weights.read_bytes())


def _rows(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    return {name: values[rows] for name, values in batch.items()}
