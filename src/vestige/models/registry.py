"""Detectors by name. Asking for one imports that one alone: `gbt` never imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from vestige.errors import UsageError
from vestige.schema import Schema

if TYPE_CHECKING:
    from vestige.models.base import Detector, Task

BUILT_IN = {
    "gbt": "vestige.models.gbt:GradientBoostedTrees",
    "ngram": "vestige.models.ngrams.detector:Ngram",
    "mlp": "vestige.models.mlp:MlpDetector",
    "cnn": "vestige.models.cnn:CnnDetector",
    "transformer": "vestige.models.transformer:TransformerDetector",
    "gru": "vestige.models.recurrent:GruDetector",
    "lstm": "vestige.models.recurrent:LstmDetector",
    "array_lstm": "vestige.models.recurrent:ArrayLstmDetector",
    "attention_array_lstm": "vestige.models.recurrent:AttentionArrayLstmDetector",
    "stochastic_array_lstm": "vestige.models.recurrent:StochasticArrayLstmDetector",
    "vanilla": "vestige.models.collaborative:VanillaDetector",
    "collaborative": "vestige.models.collaborative:CollaborativeDetector",
    "next_gru": "vestige.models.next_networks:NextGru",
    "next_lstm": "vestige.models.next_networks:NextLstm",
    "next_array_lstm": "vestige.models.next_networks:NextArrayLstm",
    "next_attention_array_lstm": "vestige.models.next_networks:NextAttentionArrayLstm",
    "next_stochastic_array_lstm": "vestige.models.next_networks:NextStochasticArrayLstm",
    "next_transformer": "vestige.models.next_networks:NextTransformer",
}
BASELINES = {
    "majority": "vestige.models.baselines.frequencies:Majority",
    "new_token": "vestige.models.baselines.frequencies:NewToken",
    "lookup": "vestige.models.baselines.frequencies:Lookup",
    "length": "vestige.models.baselines.regressions:Length",
    "counts": "vestige.models.baselines.regressions:Counts",
    "means": "vestige.models.baselines.regressions:Means",
    "logistic": "vestige.models.baselines.regressions:Logistic",
    "next_frequency": "vestige.models.baselines.next_frequency:NextFrequency",
    "next_ngram": "vestige.models.baselines.next_ngram:NextNgram",
}
"""Trivial ones, always in the report: a model is worth what it gains over the best of them."""
STANDARD: dict[Task, tuple[str, ...]] = {
    "classify": ("gbt", "mlp", "cnn", "gru", "lstm", "transformer"),
    "next": tuple(name for name in BUILT_IN if name.startswith("next_")),
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


def names() -> list[str]:
    """Names of the detectors there are, baselines and third parties' included."""
    return sorted({*BUILT_IN, *BASELINES, *(one.name for one in entry_points(group=ENTRY_POINTS))})


def get(name: str) -> type[Detector]:
    """The detector called `name`. Raises UsageError for an unknown name."""
    target = BUILT_IN.get(name) or BASELINES.get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        return cast("type[Detector]", getattr(import_module(module), attribute))
    for one in entry_points(group=ENTRY_POINTS, name=name):
        return cast("type[Detector]", one.load())
    raise UsageError(f"unknown model {name!r}", remedy=f"one of: {', '.join(names())}")


def of_task(name: str, task: Task) -> str:
    """The detector that `name` means for a task: `lstm` is `next_lstm` for `next`.

    Raises UsageError, listing those that there are, where the task has no such detector.
    """
    there_are = names()
    for candidate in (name, f"{task}_{name}"):
        if candidate in there_are and get(candidate).task == task:
            return candidate
    remedy = f"one of: {', '.join(one for one in there_are if get(one).task == task)}"
    if name in there_are:
        remedy = f"--task {get(name).task} is what it is for; else {remedy}"
    raise UsageError(f"no model {name!r} for the task {task!r}", remedy=remedy)


def fitting(schema: Schema, task: Task | None = None) -> list[str]:
    """Names of the detectors that can work on what a dataset offers: of one task, or of all."""
    return [name for name in names() if task in {None, get(name).task} and _fits(name, schema)]


def baselines(schema: Schema, task: Task = "classify") -> list[str]:
    """Names of a task's trivial baselines that can work on what a dataset offers, simplest first."""
    return [name for name in BASELINES if get(name).task == task and _fits(name, schema)]


def describe() -> list[Row]:
    """What `vestige models` lists."""
    rows = []
    for name in names():
        kind = get(name)
        takes = " or ".join("+".join(one) for one in kind.accepts)
        rows.append(Row(name, takes, kind.about, name in BASELINES, kind.task))
    return rows


def _fits(name: str, schema: Schema) -> bool:
    from vestige.models.base import choose_inputs

    try:
        choose_inputs(get(name), schema)
    except UsageError:
        return False
    return True
