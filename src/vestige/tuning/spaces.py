"""The space of one search: the detector's own, with what a person overrides.

hidden=64..512:log      numbers from .. to; :log where factors count
selection=soft,max      one of these
layers=2                this one alone
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from vestige.checked import in_words
from vestige.errors import UsageError
from vestige.models.base import Detector
from vestige.models.space import Choice, Parameter, Range, Space, Value
from vestige.training.config import TrainingConfig

TRAINED_BY = (
    "batch_size", "learning_rate", "warmup", "weight_decay", "clip", "accumulate", "class_weights",
    "resample", "epochs", "patience", "epoch_windows",
)  # fmt: skip
"""Settings of the training that may be searched."""
FORMS = "NAME=LOW..HIGH, NAME=LOW..HIGH:log or NAME=VALUE,VALUE,..."
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})(:log)?")


def space_of(kind: type[Detector], overrides: list[str], settings: Mapping[str, Any]) -> Space:
    """What is searched of a detector: its space with `overrides` (see above), without what `settings` fix.

    Raises UsageError for a detector that has no space and is given none, a name that cannot be searched, a
    form that is none of these, a value that the detector does not take, and a parameter that is both fixed
    and overridden; each message names the choices.
    """
    known = choices(kind)
    space: dict[str, Parameter] = {
        name: parameter for name, parameter in kind.space.items() if name not in settings
    }
    for text in overrides:
        name, parameter = parse(text, known)
        if name in settings:
            raise UsageError(
                f"--space {name} and --set {name}: one of them searches what the other one fixes",
                remedy="leave one of them out",
            )
        space[name] = _fitting(kind, name, parameter)
    if not known:
        raise UsageError(
            f"{kind.name} has no settings, so nothing of it can be searched",
            remedy=f"train it as it is: vestige train -m {kind.name}",
        )
    if not space:
        raise UsageError(
            f"{kind.name} has nothing to search" if kind.space else f"{kind.name} has no search space",
            remedy=f"give one with --space {FORMS}; of: {', '.join(known)}",
        )
    return _in_order(space)


def choices(kind: type[Detector]) -> list[str]:
    """Names that may be searched: hyper-parameters and, of a detector trained in steps, how it is trained."""
    own = list(kind.hyper_parameters.model_fields)
    # Only a detector of the training loop names settings of the training; others would not look at them.
    if any(name in TRAINED_BY and name not in own for name in kind.space):
        own += [name for name in TRAINED_BY if name not in own]
    return own


def parse(text: str, known: list[str]) -> tuple[str, Parameter]:
    """One `--space`: a name and what it may be. Raises UsageError."""
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not name or not values:
        raise UsageError(
            f"--space {text!r}: expected {FORMS}", remedy="for example --space hidden=64..512:log"
        )
    if name not in known:
        raise UsageError(f"--space {name}: there is no such parameter", remedy=f"one of: {', '.join(known)}")
    found = RANGE.fullmatch(values)
    if found is not None:
        return name, _range(text, *found.groups())
    if ".." in values or ":" in values:
        raise UsageError(f"--space {text!r}: no range of numbers", remedy=f"expected {FORMS}")
    listed = tuple(_plain(value.strip()) for value in values.split(","))
    if "" in listed:
        raise UsageError(f"--space {text!r}: an empty choice", remedy=f"expected {FORMS}")
    return name, Choice(tuple(dict.fromkeys(listed)))


def _range(text: str, low: str, high: str, log: str | None) -> Range:
    ends = [_number(low), _number(high)]
    # 0.1..1 is no range of whole numbers, though its end looks like one.
    if any(isinstance(end, float) for end in ends):
        ends = [float(end) for end in ends]
    made = Range(ends[0], ends[1], log=log is not None)
    if made.low >= made.high:
        raise UsageError(f"--space {text!r}: the range is empty", remedy="give the lower end first")
    if made.log and made.low <= 0:
        raise UsageError(f"--space {text!r}: a range of factors begins above 0", remedy="leave out :log")
    return made


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _plain(text: str) -> Value:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        return _number(text)
    except ValueError:
        return text


def _fitting(kind: type[Detector], name: str, parameter: Parameter) -> Parameter:
    """The override as the detector can take it. Raises UsageError for a value that it never takes."""
    model: type[BaseModel] = kind.hyper_parameters
    if name not in model.model_fields:
        model = TrainingConfig
    if isinstance(parameter, Range) and parameter.whole:
        low, high = float(parameter.low), float(parameter.high)
        # `0..1` of something that is no whole number means all that lies between.
        if _takes(model, name, low + 0.5) is None:
            parameter = replace(parameter, low=low, high=high)
    values = (parameter.low, parameter.high) if isinstance(parameter, Range) else parameter.values
    for value in values:
        refused = _takes(model, name, value)
        if refused is not None:
            raise UsageError(
                f"--space {name}={parameter}: {value!r} is none that {kind.name} takes ({refused.lower()})",
                remedy=f"its own space: {name}={kind.space[name]}" if name in kind.space else FORMS,
            )
    before = kind.space.get(name)
    if before is None:
        return parameter
    if isinstance(before, Range) and isinstance(parameter, Range):
        return replace(parameter, multiple_of=before.multiple_of, when=before.when)
    return replace(parameter, when=before.when)


def _takes(model: type[BaseModel], name: str, value: Any) -> str | None:
    """Why a model's field does not take a value by itself; None where it does."""
    try:
        model(**{name: value})
    except ValidationError as error:
        return next((in_words(problem) for problem in error.errors() if problem["loc"][:1] == (name,)), None)
    return None


def _in_order(space: dict[str, Parameter]) -> Space:
    """What another parameter depends on first."""
    ordered: dict[str, Parameter] = {}

    def add(name: str) -> None:
        if name in ordered or name not in space:
            return
        parameter = space[name]
        if parameter.when is not None:
            add(parameter.when[0])
        if isinstance(parameter, Range) and parameter.multiple_of:
            add(parameter.multiple_of)
        ordered[name] = parameter

    for name in space:
        add(name)
    return ordered


def to_plain(space: Space) -> dict[str, Any]:
    """JSON-ready: how each parameter is written, and what it depends on."""
    plain: dict[str, Any] = {}
    for name, parameter in space.items():
        told: dict[str, Any] = {"values": str(parameter)}
        if parameter.when is not None:
            told["when"] = {parameter.when[0]: list(parameter.when[1])}
        if isinstance(parameter, Range) and parameter.multiple_of:
            told["multiple_of"] = parameter.multiple_of
        plain[name] = told
    return plain
