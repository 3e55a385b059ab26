"""Predictions made up with a known quality."""

from __future__ import annotations

import numpy as np
import polars as pl

from vestige.evaluation.predictions import Predictions

HOUR_NS = 3_600_000_000_000


def made_up(
    n: int = 600,
    *,
    seed: int = 0,
    skill: float = 2.0,
    classes: tuple[str, ...] = ("normal", "anomaly"),
    recordings: int = 12,
    share: float = 0.3,
    label: np.ndarray | None = None,
) -> Predictions:
    """Windows spread over recordings, an hour apart; `skill` shifts the score of the true class."""
    rng = np.random.default_rng(seed)
    k = len(classes)
    if label is None:
        label = np.where(rng.random(n) < share, rng.integers(1, k, n), 0)
    logits = np.random.default_rng(seed + 1).normal(size=(n, k)) + skill * np.eye(k)[label]
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    recording = np.arange(n) * recordings // n
    return Predictions(
        classes=classes,
        label=label.astype(np.int64),
        proba=proba,
        recording=recording,
        recordings=pl.DataFrame(
            {
                "id": [f"host{r % 3}/app{r}.log" for r in range(recordings)],
                "host": [f"host{r % 3}" for r in range(recordings)],
                "profile": ["app" if r % 2 else "db" for r in range(recordings)],
            }
        ),
        position=np.arange(n, dtype=np.int64),
        t_wall_ns=np.arange(n, dtype=np.int64) * HOUR_NS,
        novel=np.arange(n) % 4 == 0,
    )
