"""Trained detectors that compute less exactly, and how far their decisions are still the same."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

from vestige import log
from vestige.checkpoint import Loaded
from vestige.errors import ComputationError
from vestige.models.base import Detector
from vestige.pipeline.experiment import Experiment
from vestige.pipeline.predicting import predict
from vestige.reading.encoding import EncodedWindows

logger = log.get(__name__)


def quantize(experiment: Experiment, loaded: dict[str, Loaded]) -> str:
    """Quantise detectors in place, and say in the log what that changes on the test part; returns what
    results of them have to warn of.

    Raises ComputationError for a detector without an 8-bit form.
    """
    _reduce(experiment, loaded, lambda detector: detector.quantize(), "in 8-bit integers")
    return _warning(loaded, "computed in 8-bit integers", "--quantize int8")


def round_products(experiment: Experiment, loaded: dict[str, Loaded]) -> str:
    """Have detectors round products to bfloat16, and say in the log what that changes on the test part;
    returns what results of them have to warn of.

    Raises ComputationError as `Detector.round_products` does.
    """
    _reduce(experiment, loaded, lambda detector: detector.round_products(), "of products rounded to bfloat16")
    return _warning(loaded, "of products rounded to bfloat16", "--precision bf16")


def _warning(loaded: dict[str, Loaded], called: str, option: str) -> str:
    return (
        f"Scores of {', '.join(loaded)} are {called} ({option}), and the thresholds shown here were chosen "
        "by such scores, not by those in float32 that the detectors give unless they are asked otherwise."
    )


def _ask(loaded: dict[str, Loaded], reduce: Callable[[Detector], None]) -> None:
    """Raise what the first detector that cannot compute so says, before anything is predicted, with the names
    of those that can."""
    refused, able = None, []
    for name, checkpoint in loaded.items():
        try:
            # A copy: the detector itself is yet to say what it says now.
            reduce(copy.copy(checkpoint.detector))
            able.append(name)
        except ComputationError as error:
            refused = refused or error
    if refused is not None:
        if able:
            refused.remedy = f"leave the option out, or name the folder of one that can: {', '.join(able)}"
        raise refused


def _reduce(
    experiment: Experiment, loaded: dict[str, Loaded], reduce: Callable[[Detector], None], called: str
) -> None:
    _ask(loaded, reduce)
    for name, checkpoint in loaded.items():
        part = EncodedWindows.of(experiment.windows, checkpoint.encoder).over(experiment.parts.test)
        before = predict(checkpoint.detector, part).proba
        reduce(checkpoint.detector)
        after = predict(checkpoint.detector, part).proba
        same = before.argmax(axis=1) == after.argmax(axis=1)
        alerts = 1.0
        threshold = checkpoint.threshold
        if threshold is not None:
            alerts = float(((1 - before[:, 0] >= threshold) == (1 - after[:, 0] >= threshold)).mean())
        logger.info(
            "%s, scores %s: the same class for %.2f%% of %d test windows, the same alert for %.2f%%; "
            "a score moves by %.4f at most",
            name,
            called,
            100 * same.mean(),
            len(same),
            100 * alerts,
            np.abs(before[:, 0] - after[:, 0]).max(initial=0),
        )
