"""A small problem that a GRU can learn: does token 7 occur in the window? Importable by child processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vestige.models.recurrent import GruDetector
from vestige.reading.dataset import DatasetWriter
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.reading.steps import Steps
from vestige.reading.windows import WindowSet
from vestige.schema import Feature, Input, Schema, Stream

VOCABULARY = 20
TOKENS = Input("tokens", "tokens", vocabulary=tuple(f"t{n}" for n in range(VOCABULARY)))
SUMMARY = Input("summary", "summary", features=tuple(Feature(f"count:{n}") for n in range(VOCABULARY)))


@dataclass(frozen=True)
class ToyEncoder:
    """Tokens as they are, and their counts. `calls` notes the size of each batch encoded; `trip`, where
    given, is handed their number: a way to interrupt a training at an exact place."""

    inputs: tuple[Input, ...] = (TOKENS, SUMMARY)
    symbols: str = "nothing"
    calls: list[int] = field(default_factory=list)
    trip: Callable[[int], None] | None = None

    def bind(self, _symbols: pl.DataFrame) -> ToyEncoder:
        return self

    def streams(self, _: tuple[str, ...]) -> tuple[str, ...]:
        return ("token",)

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:
        token = steps["token"].astype(np.int64)
        self.calls.append(len(token))
        if self.trip is not None:
            self.trip(len(self.calls))
        made: dict[str, Any] = {"tokens": token}
        if "summary" in names:
            made["summary"] = (token[:, :, None] == np.arange(VOCABULARY)).sum(axis=1).astype(np.float32)
        return {name: made[name] for name in names}

    def unseen(self, _windows: WindowSet) -> dict[str, float]:
        return {}

    def to_dict(self) -> dict[str, Any]:
        return {}


def encoded(
    path: Path,
    n: int,
    *,
    length: int = 6,
    seed: int = 0,
    noise: float = 0.0,
    one_class: bool = False,
    chain: float = 0.0,
    trip: Callable[[int], None] | None = None,
) -> EncodedWindows:
    """`n` windows of random tokens from 2 up, one a step; class 1 where token 7 is among them.

    `noise` is the share of labels turned round, `chain` that of steps one above the last. A dataset that is
    there already is opened.
    """
    if not path.exists():
        _write(path, n, length=length, seed=seed, noise=noise, one_class=one_class, chain=chain)
    return EncodedWindows.of(WindowSet.open(path), ToyEncoder(trip=trip))


def gru(**hyper: Any) -> GruDetector:
    """A small GRU with dropout, so that a resumed training must draw the same random numbers."""
    return GruDetector.build((TOKENS,), 2, **{"hidden": 8, "embedding": 4, "dropout": 0.3, **hyper})


def _write(
    path: Path, n: int, *, length: int, seed: int, noise: float, one_class: bool, chain: float
) -> None:
    schema = Schema(
        source="toy",
        version=1,
        classes=("normal", "anomaly"),
        length=length,
        stride=1,
        streams=(Stream("token", "uint8"),),
        inputs=(TOKENS, SUMMARY),
    )
    rng = np.random.default_rng(seed)
    token = rng.integers(2, VOCABULARY, size=n).astype(np.uint8)
    if chain:
        steps = np.where(rng.random(n) < chain, 1, rng.integers(0, VOCABULARY - 2, n))
        token = (2 + np.cumsum(steps) % (VOCABULARY - 2)).astype(np.uint8)
    if one_class:
        token[token == 7] = 8
    padded = np.concatenate([np.zeros(length - 1, np.uint8), token])
    label = (np.lib.stride_tricks.sliding_window_view(padded, length) == 7).any(axis=1)
    label ^= rng.random(n) < noise
    with DatasetWriter(path, schema) as writer:
        writer.begin(id="r0", host="h0")
        writer.extend({"token": token}, t_ns=np.arange(n, dtype=np.int64), label=label.astype(np.uint8))
        writer.close_recording(f"seed-{seed}")
        writer.table("nothing", pl.DataFrame({"text": ["nothing"]}))
