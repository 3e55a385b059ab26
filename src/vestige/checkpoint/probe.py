"""What an extractor makes of a fixed piece of evidence: tells whether its numbers mean what they meant."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from vestige.reading.encoding import Batch, Encoder
from vestige.reading.live import probe_windows
from vestige.schema import Input, Schema
from vestige.sources.base import Source

TOLERANCE = 1e-5
"""Relative above 1, absolute below: another processor's rounding is no change of meaning."""


class Probe(BaseModel):
    """One input's array: integers are compared exactly; missing floats are null, infinite ones words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    dtype: str
    values: list[int | float | Literal["inf", "-inf"] | None]


def take(
    source: Source[Any], encoder: Encoder, schema: Schema, names: tuple[str, ...] | None = None
) -> dict[str, Probe]:
    """The probe of the inputs called `names`, or of all that `encoder` produces."""
    live = probe_windows(source.reader(schema))
    names = tuple(spec.name for spec in encoder.inputs) if names is None else names
    batch: Batch = encoder.bind(live.symbols).encode(live.steps, names)
    return {name: _of(batch[name]) for name in names}


def first_difference(spec: Input, was: Probe, now: Probe) -> str | None:
    """Where two probes of an input differ first, in words; None where they agree."""
    if was.shape != now.shape or np.dtype(was.dtype).kind != np.dtype(now.dtype).kind:
        return f"{was.dtype}{list(was.shape)} -> {now.dtype}{list(now.shape)}"
    for index, (a, b) in enumerate(zip(was.values, now.values, strict=True)):
        if not _equal(a, b):
            place = np.unravel_index(index, was.shape)
            return f"{_name(spec, place)}: {_word(a)} -> {_word(b)}"
    return None


def _of(values: NDArray[Any]) -> Probe:
    flat = values.ravel().tolist()
    if values.dtype.kind == "f":
        flat = [_plain(value) for value in flat]
    return Probe(shape=values.shape, dtype=str(values.dtype), values=flat)


def _plain(value: float) -> float | str | None:
    """As JSON takes it, which knows neither NaN (missing: null) nor infinities ("inf")."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def _equal(a: float | str | None, b: float | str | None) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= TOLERANCE * max(1.0, abs(a))
    return a == b


def _name(spec: Input, place: tuple[Any, ...]) -> str:
    window = f"window {int(place[0])}"
    if spec.features:
        feature = f"{spec.features[int(place[1])].name} of {window}"
        if spec.kind == "summary":
            return feature
        return f"{feature}, step {int(place[2])}"
    return ", ".join([window, *(f"step {int(step)}" for step in place[1:2])])


def _word(value: float | str | None) -> str:
    return "missing" if value is None else str(value)
