"""A small problem that a GRU can learn: does token 7 occur in the window? Importable by child processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vestige.dataset import DatasetWriter
from vestige.encoding import Batch, EncodedWindows
from vestige.schema import Feature, Input, Schema, Stream
from vestige.windows import Steps, WindowSet

VOCABULARY = 20
TOKENS = Input("tokens", "tokens", vocabulary=tuple(f"t{n}" for n in range(VOCABULARY)))
SUMMARY = Input("summary", "summary", features=tuple(Feature(f"count:{n}") for n in range(VOCABULARY)))


@dataclass(frozen=True)
class ToyEncoder:
    """Tokens as they are, and their counts; `calls` notes how many windows each call encoded."""

    inputs: tuple[Input, ...] = (TOKENS, SUMMARY)
    symbols: str = "nothing"
    calls: list[int] = field(default_factory=list)

    def bind(self, symbols: pl.DataFrame) -> ToyEncoder:
        return self

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:
        token = steps["token"].astype(np.int64)
        self.calls.append(len(token))
        made: dict[str, Any] = {"tokens": token}
        if "summary" in names:
            made["summary"] = (token[:, :, None] == np.arange(VOCABULARY)).sum(axis=1).astype(np.float32)
        return {name: made[name] for name in names}

    def to_dict(self) -> dict[str, Any]:
        return {}


def write_dataset(
    path: Path, n: int, *, length: int = 6, seed: int = 0, one_class: bool = False
) -> WindowSet:
    """`n` windows of random tokens from 2 up, one a step; class 1 where token 7 is among them."""
    schema = Schema(
        source="toy", version=1, classes=("normal", "anomaly"), length=length, stride=1,
        streams=(Stream("token", "uint8"),), inputs=(TOKENS, SUMMARY),
    )  # fmt: skip
    token = np.random.default_rng(seed).integers(2, VOCABULARY, size=n).astype(np.uint8)
    if one_class:
        token[token == 7] = 8
    padded = np.concatenate([np.zeros(length - 1, np.uint8), token])
    label = (np.lib.stride_tricks.sliding_window_view(padded, length) == 7).any(axis=1).astype(np.uint8)
    with DatasetWriter(path, schema) as writer:
        writer.begin(id="r0", host="h0")
        writer.extend({"token": token}, t_ns=np.arange(n, dtype=np.int64), label=label)
        writer.close_recording(f"seed-{seed}")
        writer.table("nothing", pl.DataFrame({"text": ["nothing"]}))
    return WindowSet.open(path)


def encoded(path: Path, n: int, **settings: Any) -> EncodedWindows:
    """`write_dataset`, with an encoder; a dataset that is there already is opened."""
    windows = WindowSet.open(path) if path.exists() else write_dataset(path, n, **settings)
    return EncodedWindows.of(windows, ToyEncoder())
