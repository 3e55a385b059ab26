"""Detectors by name. Asking for one imports that one alone: `gbt` never imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from vestige.errors import UsageError
from vestige.schema import Schema

if TYPE_CHECKING:
    from vestige.models.base import Detector

BUILT_IN = {
    "gbt": "vestige.models.gbt:GradientBoostedTrees",
    "gru": "vestige.models.gru:GruDetector",
}
BASELINES = {
    "majority": "vestige.models.baselines.frequencies:Majority",
    "new_token": "vestige.models.baselines.frequencies:NewToken",
    "lookup": "vestige.models.baselines.frequencies:Lookup",
    "length": "vestige.models.baselines.regressions:Length",
    "counts": "vestige.models.baselines.regressions:Counts",
    "logistic": "vestige.models.baselines.regressions:Logistic",
}
"""Trivial ones, always in the report: a model is worth what it gains over the best of them."""
ENTRY_POINTS = "vestige.models"


@dataclass(frozen=True)
class Row:
    """A line of `vestige models`."""

    name: str
    takes: str
    about: str
    baseline: bool


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


def fitting(schema: Schema) -> list[str]:
    """Names of the detectors that can work on what a dataset offers."""
    return [name for name in names() if _fits(name, schema)]


def baselines(schema: Schema) -> list[str]:
    """Names of the trivial baselines that can work on what a dataset offers, simplest first."""
    return [name for name in BASELINES if _fits(name, schema)]


def describe() -> list[Row]:
    """What `vestige models` lists."""
    rows = []
    for name in names():
        kind = get(name)
        takes = " or ".join("+".join(one) for one in kind.accepts)
        rows.append(Row(name, takes, kind.about, name in BASELINES))
    return rows


def _fits(name: str, schema: Schema) -> bool:
    from vestige.models.base import choose_inputs

    try:
        choose_inputs(get(name), schema)
    except UsageError:
        return False
    return True
