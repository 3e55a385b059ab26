"""How a detector without labels is learnt: with which options evidence is read, what is fitted on what, and
which share of windows spends the budget."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige import log
from vestige.errors import UsageError
from vestige.evaluation.budget import UNTIMED, Budget
from vestige.models import registry
from vestige.models.base import choose_inputs
from vestige.models.next_token import NextToken
from vestige.models.normal.detector import Normal
from vestige.reading.encoding import EncodedWindows
from vestige.reading.looks import NormalEncoder
from vestige.reading.steps import NO_TIME, repeated
from vestige.reading.times import span, tells_apart
from vestige.reading.windows import WindowSet
from vestige.sources.base import Source
from vestige.splits import stages
from vestige.training.config import TrainingConfig

logger = log.get(__name__)
FloatArray = NDArray[np.float64]

NGRAM = "ngram"
"""What says which event follows, unless a network is asked for."""
STOPPING = 10
"""One in so many windows that are learnt from says when a network's training stops."""


@dataclass(frozen=True)
class DetectorRecipe:
    """How a detector is learnt: what says which event follows (`model`), hyper-parameters, how a network is
    trained, with which seed, and a directory to work in."""

    model: str
    hyper: dict[str, Any]
    training: TrainingConfig
    working: Path

    def fitted(self, learn_from: EncodedWindows, calibrate: EncodedWindows) -> Normal:
        """A detector that learnt from these windows, and takes ranks among those."""
        seed, n_classes = self.training.seed, len(learn_from.schema.classes)
        inputs = choose_inputs(Normal, learn_from.schema)
        detector = Normal.build(inputs, n_classes, seed=seed, **self.hyper)
        if self.model != NGRAM:
            detector.network = trained(self.model, learn_from, self.training, self.working)
        detector.fit(learn_from, calibrate, seed=seed)
        return detector


def trained(model: str, learn_from: EncodedWindows, config: TrainingConfig, working: Path) -> NextToken:
    """The detector of the task next that `model` names, trained on what is learnt from, whose last tenth says
    when to stop. Raises UsageError for one that there is not, or where there are no events."""
    from vestige.models.next_networks import NETWORKS
    from vestige.training import StoppedError, train

    kind = NETWORKS.get(registry.of_task(model, "next"))
    if kind is None:
        raise UsageError(f"{model} is no network", remedy=f"ngram, or one of {', '.join(NETWORKS)}")
    detector = kind.build(
        choose_inputs(kind, learn_from.schema), len(learn_from.schema.classes), seed=config.seed
    )
    order = np.argsort(learn_from.windows.placed_ns, kind="stable")
    cut = len(order) - max(len(order) // STOPPING, 1)
    first, last = (
        learn_from.over(learn_from.windows.select(np.sort(rows))) for rows in np.split(order, [cut])
    )
    place = working / "training"
    place.mkdir()
    try:
        train(detector, first, last, config, place, progress=False)
    except StoppedError as error:
        raise StoppedError("stopped in training; nothing was kept", remedy="learn again") from error
    shutil.rmtree(place)
    return detector


def encoder_of(source: Source[Any], learn_from: WindowSet, *, with_examples: bool = True) -> NormalEncoder:
    """The encoder of the source, fitted on what is learnt from, with the looks beside it."""
    timed = source.reader(learn_from.schema).timed and tells_apart(learn_from.t_ns)
    base = source.fit_encoder(learn_from)
    place = source.place if with_examples else None
    return NormalEncoder.fit(base, learn_from, timed=timed, place=place)


def to_learn_from(source: Source[Any], options: BaseModel) -> BaseModel:
    """The options of a source as learning wants them: labels are not read."""
    chosen: BaseModel = source.without_labels(as_scored(options))
    return chosen


def as_scored(options: BaseModel) -> BaseModel:
    """The options with the values that masks replace kept, and a window that judges every step, as scoring
    does it: a budget counts the windows there."""
    fields = type(options).model_fields
    wanted = {name: value for name, value in {"values": True, "stride": 1}.items() if name in fields}
    return options.model_copy(update=wanted)


def with_known_times(source: Source[Any], windows: WindowSet) -> WindowSet:
    """The windows, without times where those only tell the order of steps within a recording: to part
    recordings by these would cut each of them in three."""
    if source.reader(windows.schema).timed:
        return windows
    return replace(windows, t_ns=repeated(np.int64(NO_TIME), len(windows)))


def alpha_of(budget: Budget, parts: stages.Stages) -> float:
    """The share of windows that spends the budget, by how many came in all the time before the check."""
    before = [span(part.t_ns) for part in (parts.learn, parts.calibrate)]
    known = [times for times in before if times is not None]
    seconds = None
    if known:
        seconds = (max(last for _, last in known) - min(first for first, _ in known)) / 1e9
    elif budget.seconds is not None:
        logger.warning(
            "nothing has a time: the budget %s is taken for %g alerts in %d windows (--budget N/WINDOWS)",
            budget, budget.alerts, UNTIMED,
        )  # fmt: skip
    return budget.alpha(len(parts.learn) + len(parts.calibrate), seconds)
