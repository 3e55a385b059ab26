"""Detectors by name. Asking for one imports that one alone: `gbt` never imports torch.

The networks need the extra `neural`. Without it they are known by name and task, and asking for one says what
adds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from vestige import extras
from vestige.errors import UsageError
from vestige.extras import plugins
from vestige.schema import Schema

if TYPE_CHECKING:
    from vestige.models.base import Detector, Task

Kinds = tuple["type[Detector]", ...]
Load = Callable[[], Kinds]
"""Imports one module, and gives the detectors that are in it."""


def _gbt() -> Kinds:
    from vestige.models.gbt import GradientBoostedTrees

    return (GradientBoostedTrees,)


def _ngram() -> Kinds:
    from vestige.models.ngrams.detector import Ngram

    return (Ngram,)


def _blend() -> Kinds:
    from vestige.models.blend.detector import Blend

    return (Blend,)


def _normal() -> Kinds:
    from vestige.models.normal.detector import Normal

    return (Normal,)


def _mlp() -> Kinds:
    from vestige.models.mlp import MlpDetector

    return (MlpDetector,)


def _cnn() -> Kinds:
    from vestige.models.cnn import CnnDetector

    return (CnnDetector,)


def _transformer() -> Kinds:
    from vestige.models.transformer import TransformerDetector

    return (TransformerDetector,)


def _recurrent() -> Kinds:
    from vestige.models import recurrent

    return (
        recurrent.GruDetector,
        recurrent.LstmDetector,
        recurrent.ArrayLstmDetector,
        recurrent.AttentionArrayLstmDetector,
        recurrent.StochasticArrayLstmDetector,
    )


def _collaborative() -> Kinds:
    from vestige.models.collaborative import CollaborativeDetector, VanillaDetector

    return VanillaDetector, CollaborativeDetector


def _next_networks() -> Kinds:
    from vestige.models import next_networks

    return (
        next_networks.NextGru,
        next_networks.NextLstm,
        next_networks.NextArrayLstm,
        next_networks.NextAttentionArrayLstm,
        next_networks.NextStochasticArrayLstm,
        next_networks.NextTransformer,
    )


def _frequencies() -> Kinds:
    from vestige.models.baselines.frequencies import Lookup, Majority, NewToken

    return Majority, NewToken, Lookup


def _regressions() -> Kinds:
    from vestige.models.baselines.regressions import Counts, Length, Logistic, Means

    return Length, Counts, Means, Logistic


def _next_frequency() -> Kinds:
    from vestige.models.baselines.next_frequency import NextFrequency

    return (NextFrequency,)


def _next_ngram() -> Kinds:
    from vestige.models.baselines.next_ngram import NextNgram

    return (NextNgram,)


def _one_class() -> Kinds:
    from vestige.models.baselines.one_class import Ecod, IsolationForest, Nearest, OovTrigrams, Stide

    return Stide, OovTrigrams, Nearest, IsolationForest, Ecod


def _tf_idf() -> Kinds:
    from vestige.models.baselines.tf_idf import TfIdf

    return (TfIdf,)


BUILT_IN: dict[str, Load] = {
    "gbt": _gbt,
    "ngram": _ngram,
    "blend": _blend,
    "normal": _normal,
    "mlp": _mlp,
    "cnn": _cnn,
    "transformer": _transformer,
    "gru": _recurrent,
    "lstm": _recurrent,
    "array_lstm": _recurrent,
    "attention_array_lstm": _recurrent,
    "stochastic_array_lstm": _recurrent,
    "vanilla": _collaborative,
    "collaborative": _collaborative,
    "next_gru": _next_networks,
    "next_lstm": _next_networks,
    "next_array_lstm": _next_networks,
    "next_attention_array_lstm": _next_networks,
    "next_stochastic_array_lstm": _next_networks,
    "next_transformer": _next_networks,
    "tfidf": _tf_idf,
    "stide": _one_class,
    "oov_trigrams": _one_class,
    "nearest": _one_class,
    "isolation_forest": _one_class,
    "ecod": _one_class,
}
CLASSICAL = ("tfidf", "stide", "oov_trigrams", "nearest", "isolation_forest", "ecod")
"""Detectors of the textbooks, which `vestige board` always has; too slow on millions of windows to stand in
every report."""
BASELINES: dict[str, Load] = {
    "majority": _frequencies,
    "new_token": _frequencies,
    "lookup": _frequencies,
    "length": _regressions,
    "counts": _regressions,
    "means": _regressions,
    "logistic": _regressions,
    "next_frequency": _next_frequency,
    "next_ngram": _next_ngram,
}
"""Trivial ones, always in the report: a model is worth what it gains over the best of them."""
NETWORKS = frozenset({_mlp, _cnn, _transformer, _recurrent, _collaborative, _next_networks})
"""What loads detectors that need the extra `neural`."""
NEURAL = "neural"
STANDARD: dict[Task, tuple[str, ...]] = {
    "classify": ("gbt", "mlp", "cnn", "gru", "lstm", "transformer"),
    "next": tuple(name for name in BUILT_IN if name.startswith("next_")),
    "normal": ("normal",),
}
"""What `--model all` means for a task, as far as they fit what a dataset offers."""
ENTRY_POINTS = "vestige.models"


@dataclass(frozen=True)
class Row:
    """A line of `vestige models`."""

    name: str
    takes: str
    about: str
    baseline: bool
    task: Task
    extra: str = ""
    """The extra that it needs and that is not installed; what it takes and is are then not known."""


def names() -> list[str]:
    """Names of the detectors there are, baselines and third parties' included."""
    return sorted({*BUILT_IN, *BASELINES, *(point.name for point in plugins(ENTRY_POINTS))})


def get(name: str) -> type[Detector]:
    """The detector called `name`. Raises UsageError for an unknown name, or where its extra is missing."""
    load = BUILT_IN.get(name) or BASELINES.get(name)
    if load is not None:
        if load in NETWORKS:
            extras.require(NEURAL, f"the model {name}")
        return next(kind for kind in load() if kind.name == name)
    for point in plugins(ENTRY_POINTS, name):
        return cast("type[Detector]", point.load())
    raise UsageError(f"unknown model {name!r}", remedy=f"one of: {', '.join(names())}")


def is_network(name: str) -> bool:
    """Whether the detector called `name` is a built-in one that needs the extra `neural`."""
    return BUILT_IN.get(name) in NETWORKS


def available(name: str) -> bool:
    """Whether all that the detector called `name` needs is installed."""
    return not is_network(name) or not extras.missing(NEURAL)


def task_of(name: str) -> Task:
    """The task of a detector, also of one whose extra is missing. Raises UsageError for an unknown name."""
    if is_network(name):
        return "next" if name.startswith("next_") else "classify"
    return get(name).task


def of_task(name: str, task: Task) -> str:
    """The detector that `name` means for a task: `lstm` is `next_lstm` for `next`.

    Raises UsageError, listing those that there are, where the task has no such detector.
    """
    there_are = names()
    for candidate in (name, f"{task}_{name}"):
        if candidate in there_are and task_of(candidate) == task:
            return candidate
    called = [other.removeprefix(f"{task}_") for other in there_are if task_of(other) == task]
    remedy = f"one of: {', '.join(called)}"
    if name in there_are:
        its_own = task_of(name)
        what_for = f"--task {its_own} is what it is for"
        if its_own == "normal":
            what_for = "vestige learn SOURCE EVIDENCE -o DETECTOR learns it, without labels"
        remedy = f"{what_for}; else {remedy}"
    raise UsageError(f"no model {name!r} for the task {task!r}", remedy=remedy)


def fitting(schema: Schema, task: Task | None = None) -> list[str]:
    """Names of the detectors that can work on what a dataset offers, of one task or of all; those whose extra
    is missing are left out."""
    return [
        name for name in names() if available(name) and task in {None, task_of(name)} and _fits(name, schema)
    ]


def baselines(schema: Schema, task: Task = "classify") -> list[str]:
    """Names of a task's trivial baselines that can work on what a dataset offers, simplest first."""
    return [name for name in BASELINES if get(name).task == task and _fits(name, schema)]


def describe() -> list[Row]:
    """What `vestige models` lists."""
    rows = []
    for name in names():
        if not available(name):
            about = f"not installed: {extras.command(NEURAL)} adds it"
            rows.append(Row(name, "", about, False, task_of(name), NEURAL))
            continue
        kind = get(name)
        takes = " or ".join("+".join(combination) for combination in kind.accepts)
        rows.append(Row(name, takes, kind.about, name in BASELINES, kind.task))
    return rows


def _fits(name: str, schema: Schema) -> bool:
    from vestige.models.base import choose_inputs

    try:
        choose_inputs(get(name), schema)
    except UsageError:
        return False
    return True
