"""What detectors of a run are called: by their model, and where a run has both views by view and model.

`gru` in a run of one view; `realistic/gru` and `oracle/gru` in a run of both. The name is also the detector's
folder in the run.
"""

from __future__ import annotations

from collections.abc import Iterable

from vestige.models.base import VIEWS

BOTH = "both"


def of_run(view: str) -> tuple[str, ...]:
    """The views of a run."""
    if view == BOTH:
        return VIEWS
    return (view,)


def names(models: Iterable[str], view: str) -> tuple[str, ...]:
    """What the detectors of a run are called, view by view."""
    # Gone through once for each view, which an iterator would not survive.
    chosen = tuple(models)
    found: list[str] = []
    for own in of_run(view):
        found += [named(model, own, view) for model in chosen]
    return tuple(found)


def named(model: str, own: str, view: str) -> str:
    """What a model of the view `own` is called in a run of `view`."""
    if view == BOTH:
        return f"{own}/{model}"
    return model


def parts(name: str, view: str) -> tuple[str, str]:
    """View and model of a detector in a run of `view`."""
    if view != BOTH:
        return view, name
    own, _, model = name.partition("/")
    return own, model
