"""Predictions made up with a known quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from vestige.evaluation.catalogue import METRICS, Metric, columns
from vestige.evaluation.comparing import compare
from vestige.evaluation.judging import cluster_result, evaluate
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.report import Details
from vestige.evaluation.results import (
    CheckResult,
    LeftOutResult,
    LeftOutRow,
    PartCounts,
    RunResults,
    SplitResult,
)

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
        t_ns=np.arange(n, dtype=np.int64) * HOUR_NS,
        novel=np.arange(n) % 4 == 0,
    )


def made_up_run(
    *, hostile: str = "", metrics: Sequence[Metric] = METRICS, **flags: Any
) -> tuple[RunResults, Details]:
    """A run of two models and two baselines; `hostile` goes wherever a name or a text from outside can go."""
    skills = {f"gru{hostile}": 2.0, "gbt": 1.8, f"template{hostile}": 1.5, "majority": 0.0}
    tests = {name: made_up(seed=9, skill=skill) for name, skill in skills.items()}
    if hostile:
        names = tests["gbt"].recordings.with_columns(pl.col("id", "host", "profile") + hostile)
        tests = {name: replace(test, recordings=names) for name, test in tests.items()}
        classes = (f"normal{hostile}", f"anomaly{hostile}")
        tests = {name: replace(test, classes=classes) for name, test in tests.items()}
    detectors = [
        evaluate(
            name,
            replace(made_up(seed=5, skill=skill), classes=tests[name].classes),
            tests[name],
            kind="model" if name.startswith("g") else "baseline",
            metrics=metrics,
            resamples=100,
        )
        for name, skill in skills.items()
    ]
    part = PartCounts(
        windows=600, recordings=12, hosts=3, per_class=dict.fromkeys(tests["gbt"].classes, 300),
        per_profile={f"auth{hostile}": 587, f"kernel{hostile}": 0},
    )  # fmt: skip
    results = RunResults(
        title=f"bgl{hostile}",
        created="2026-11-22T12:00:00Z",
        command=f"vestige run logs {hostile}",
        source="logs",
        classes=list(tests["gbt"].classes),
        split=SplitResult(
            recipe="time", unit="span", in_distribution=bool(flags.pop("in_distribution", False)),
            parts={"train": part, "validation": part, "test": part}, purged=15, left_out=9,
            untested_profiles=[f"kernel{hostile}"], unvalidated_profiles=[f"kernel{hostile}"],
            notes=[f"one stream, cut in three spans{hostile}"],
        ),
        label_origin=f"the file's own label column{hostile}",
        audit=[
            CheckResult(name="time_order", status="pass", figure=0.0, detail="training lies before test"),
            CheckResult(name="repeated_inputs", status="warn", figure=0.93, detail=f"93% by tokens{hostile}"),
            CheckResult(name="hosts_disjoint", status="not_applicable", detail="not promised"),
        ],
        clusters=cluster_result(tests["gbt"]),
        metrics=columns(metrics),
        detectors=detectors,
        comparisons=compare(detectors, tests, resamples=100),
        unseen={"templates": 0.021},
        left_out=LeftOutResult(
            counts={"a record": 1200, "the file": 1},
            first=[
                LeftOutRow(file=f"host0/broken{hostile}.log", row=None, what="the file", why=f"no{hostile}"),
                LeftOutRow(file=f"host1/app{hostile}.log", row=1207, what="a record", why="no time"),
            ],
        ),
        environment={"vestige": "0.1", "python": "3.11"},
        digests={"dataset": "ab" * 32},
        timings={"prepare": 1.2, "train": 30.4},
        **flags,
    )  # fmt: skip

    def place(rows: np.ndarray) -> pl.DataFrame:
        text = [f"machine check interrupt (bit=0x{row:x}): L2 dcache unit read return parity error{hostile}"
                for row in rows]  # fmt: skip
        return pl.DataFrame({"file": [f"BGL{hostile}.log"] * len(rows), "line": rows + 1, "text": text})

    epochs = np.arange(1, 9)
    history = pl.DataFrame(
        {
            "epoch": epochs,
            "train_loss": 1 / epochs,
            "val_loss": 1.1 / epochs,
            "val_macro_f1": 1 - 0.6 / epochs,
        }
    )
    return results, Details(tests, {f"gru{hostile}": history}, place)
