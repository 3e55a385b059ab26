"""Raw evidence in, one JSON object a recording out: a file, a machine, a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.checkpoint import Loaded
from vestige.checkpoint.header import VERDICT
from vestige.evaluation.recordings import Way, log_of, pooled, worst_stretch
from vestige.models.next_token import TOP
from vestige.scoring.windows import Judged, judge
from vestige.sources.base import Progress


def score_recordings(
    run: Path,
    evidence: Sequence[Path],
    *,
    device: str = "cpu",
    quantize: bool = False,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Score evidence, a dict for each recording, the most suspicious first.

    Keys: the recording by its kind (`file`, `machine`), `windows`, `score`, `class`, `alert`, `alerts`
    (windows at or above the threshold) and `worst` (where its most suspicious window ends); of a next-token
    detector also `mean_surprise` (nats), and `top1 top5 top10`: shares of windows whose last token was among
    the k most probable. Where windows share the label of their recording, its verdict is made as in
    evaluation (`recordings.Way`); else it is that of the worst window. Raises as `score` does. Memory
    holds a few numbers for each recording.
    """
    loaded, judged = judge(run, evidence, device=device, quantize=quantize, progress=progress)
    way = Way.from_dict(loaded.header.extra.get(VERDICT)) or Way("max")
    found: dict[str, Tally] = {}
    unit = "file"
    for one in judged:
        unit = one.batch.unit
        _add(found, one, loaded.threshold, way)
    rows = [{unit: name, **tally.row(loaded)} for name, tally in found.items()]
    return sorted(rows, key=lambda row: -float(row["score"]))


@dataclass
class Tally:
    """What is kept of a recording while its windows go by, on the `way` to its verdict: of its probabilities
    the `highest (K,)`, their sum `total (K,)`, the sum of their logarithms `logs (K,)`, and the means of
    these over the worst `stretch (K,)`."""

    way: Way
    highest: NDArray[np.float64]
    total: NDArray[np.float64]
    logs: NDArray[np.float64]
    windows: int = 0
    alerts: int = 0
    score: float = -1.0
    worst: dict[str, Any] = field(default_factory=dict)
    surprise: float = 0.0
    within: NDArray[np.int64] | None = None
    stretch: NDArray[np.float64] | None = None
    _last: NDArray[np.float64] | None = None

    def add(self, judged: Judged, rows: NDArray[np.int64], threshold: float | None) -> None:
        """Take in the windows at `rows`, all of them of this recording."""
        proba = judged.proba[rows]
        score = 1.0 - proba[:, 0]
        self.highest = np.maximum(self.highest, proba.max(axis=0))
        self.total += proba.sum(axis=0)
        self.logs += log_of(proba).sum(axis=0)
        self._look_for_stretch(log_of(proba))
        self.windows += len(rows)
        self.alerts += 0 if threshold is None else int((score >= threshold).sum())
        worst = int(score.argmax())
        if score[worst] > self.score:
            self.score = float(score[worst])
            self.worst = judged.batch.place.row(int(rows[worst]), named=True)
            del self.worst[judged.batch.unit]
            if judged.surprise is not None:
                self.worst["surprise"] = round(float(judged.surprise[rows[worst]]), 6)
        if judged.surprise is not None and judged.rank is not None:
            self.surprise += float(judged.surprise[rows].sum())
            within = (judged.rank[rows, None] < np.array(TOP)).sum(axis=0)
            self.within = within if self.within is None else self.within + within

    def _look_for_stretch(self, logs_BK: NDArray[np.float64]) -> None:
        """Keep the worst stretch so far, and the windows with which the next ones may make a worse one."""
        together = logs_BK if self._last is None else np.concatenate([self._last, logs_BK])
        size = self.way.size
        found = worst_stretch(together, size)
        if self.stretch is None or self.windows < size or _odds(found) > _odds(self.stretch):
            self.stretch = found
        enough = self.windows + len(logs_BK) >= size
        self._last = together[1 - size :] if enough else together

    def row(self, loaded: Loaded) -> dict[str, Any]:
        """The recording's verdict; see `score_recordings`."""
        taken = {
            "max": self.highest,
            "mean": self.total / self.windows,
            "log_odds": self.logs / self.windows,
            "stretch": self.highest if self.stretch is None else self.stretch,
        }
        proba = pooled(taken[self.way.how][None], self.way)[0]
        value, limit = float(1 - proba[0]), loaded.threshold
        row = {
            "windows": self.windows,
            "score": round(value, 6),
            "class": loaded.schema.classes[int(proba.argmax())],
            "alert": None if limit is None else value >= limit,
            "alerts": None if limit is None else self.alerts,
            "worst": self.worst,
        }
        if self.within is not None:
            row["mean_surprise"] = round(self.surprise / self.windows, 6)
            row |= {
                f"top{k}": round(float(n / self.windows), 6) for k, n in zip(TOP, self.within, strict=True)
            }
        return row


def _odds(logs_K: NDArray[np.float64]) -> float:
    """Log-odds of the likeliest class but the first against the first."""
    return float(logs_K[1:].max() - logs_K[0])


def _add(found: dict[str, Tally], judged: Judged, threshold: float | None, way: Way) -> None:
    place, classes = judged.batch.place, judged.proba.shape[1]
    numbered = place.select(judged.batch.unit).with_row_index("row")
    for (name,), part in numbered.group_by(judged.batch.unit, maintain_order=True):
        fresh = Tally(way, np.zeros(classes), np.zeros(classes), np.zeros(classes))
        tally = found.setdefault(str(name), fresh)
        tally.add(judged, part["row"].to_numpy().astype(np.int64), threshold)
