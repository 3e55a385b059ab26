"""Detectors of one or several runs side by side: paired on the same test part, over seeds and splits.

Letters: R resamples, S seeds, G clusters, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from typing import Literal

import numpy as np

from vestige.escaping import visible
from vestige.evaluation import bootstrap
from vestige.evaluation.bootstrap import FloatArray, interval_result
from vestige.evaluation.clusters import Clusters, clusters_of
from vestige.evaluation.judging import cluster_result
from vestige.evaluation.metrics import Sweep, confusion, grouped_confusion, macro_f1
from vestige.evaluation.pairs import BUDGET, FEWEST_RESAMPLES, holm
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.record import IntervalResult, Number, Record
from vestige.evaluation.results import ClusterResult

FORMAT: Literal["vestige-compare/1"] = "vestige-compare/1"
MetricName = Literal["macro_f1", "average_precision"]
TITLES = {"macro_f1": "macro F1", "average_precision": "average precision"}
RANKED = 2_000
"""Resamples of a ranking measure, each of which sorts through all windows."""
NAMED = 5


@dataclass(frozen=True)
class Contender:
    """A detector: what it says of the test part, trained with each seed (the first is the run's own), and on
    other splits' test parts, by their number."""

    name: str
    view: str
    tests: tuple[Predictions, ...]
    other_splits: tuple[Predictions, ...] = field(default=())


class ContenderResult(Record):
    """A detector's figure, mean over seeds, with its interval over clusters and seeds.

    `seed_sd`, `split_sd`: standard deviations (of a single training) over seeds on the same split, and over
    splits with the same seed; null where there is one alone.
    """

    name: str
    view: str
    figure: IntervalResult
    by_seed: tuple[Number, ...]
    by_split: tuple[Number, ...]
    seed_sd: Number
    split_sd: Number


class GapResult(Record):
    """The figure of `first` less that of `second`. `p`: two-sided, from the resamples; `p_adjusted`: Holm's
    over all pairs. `seed_sd`, `split_sd`: of the gap, over seeds and over splits."""

    first: str
    second: str
    gap: IntervalResult
    p: Number
    p_adjusted: Number
    seed_sd: Number
    split_sd: Number


class Compared(Record):
    """Everything that was compared."""

    format: Literal["vestige-compare/1"] = FORMAT
    created: str
    command: str = ""
    metric: MetricName
    windows: int
    recordings: int
    seeds: int
    splits: int
    clusters: ClusterResult
    contenders: list[ContenderResult]
    pairs: list[GapResult]
    notes: list[str]

    @property
    def title(self) -> str:
        """The metric's name for people."""
        return TITLES[self.metric]


def differences(one: Predictions, other: Predictions) -> list[str]:
    """How the test parts of two detectors differ, a sentence each; none where they are the same."""
    found = []
    if one.classes != other.classes:
        found.append(f"classes are {', '.join(one.classes)} here and {', '.join(other.classes)} there")
    ours, theirs = (set(part.recordings["id"][np.unique(part.recording)].to_list()) for part in (one, other))
    for who, alone in (("the first", ours - theirs), ("the second", theirs - ours)):
        if alone:
            named = ", ".join(visible(name, 60) for name in sorted(alone)[:NAMED])
            more = f" and {len(alone) - NAMED} more" if len(alone) > NAMED else ""
            found.append(f"{len(alone)} test recordings are of {who} alone: {named}{more}")
    if found:
        return found
    if len(one) != len(other):
        return [f"{len(one):,} test windows here, {len(other):,} there: windows are cut or pooled otherwise"]
    names = [part.recordings["id"].gather(part.recording) for part in (one, other)]
    if not (names[0].equals(names[1]) and np.array_equal(one.position, other.position)):
        found.append("the windows end at other steps")
    elif not np.array_equal(one.label, other.label):
        found.append(f"{int((one.label != other.label).sum()):,} windows have another label")
    return found


def set_side_by_side(
    contenders: Sequence[Contender],
    *,
    metric: MetricName = "macro_f1",
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
    command: str = "",
    notes: Sequence[str] = (),
) -> Compared:
    """Every detector with its interval, and every two of them paired on the same resamples.

    With several seeds a resample draws seeds, too, for each detector: its interval is of a training yet to
    be done. All test parts must be the same (`differences`); ValueError otherwise.
    """
    first = contenders[0].tests[0]
    every = [test for contender in contenders for test in contender.tests]
    if any(differences(first, test) for test in every):
        raise ValueError("detectors can only be compared on the same test windows in the same order")
    drawn = clusters_of(first)
    most = FEWEST_RESAMPLES if metric == "macro_f1" else RANKED
    weights = bootstrap.draw(drawn.count, max(resamples, min(most, BUDGET // drawn.count)), seed)
    rng = np.random.default_rng(seed + 1)
    samples = {c.name: _samples(c, metric, drawn, weights, rng) for c in contenders}
    results = [_result(c, metric, samples[c.name], weights) for c in contenders]
    gaps = [
        _gap(a, b, samples[a.name] - samples[b.name], weights, trusted=drawn.trusted)
        for a, b in combinations(results, 2)
    ]
    adjusted = holm([gap.p for gap in gaps])
    return Compared(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        metric=metric,
        windows=len(first),
        recordings=len(np.unique(first.recording)),
        seeds=max(len(c.tests) for c in contenders),
        splits=1 + max(len(c.other_splits) for c in contenders),
        clusters=cluster_result(first),
        contenders=results,
        pairs=[gap.model_copy(update={"p_adjusted": p}) for gap, p in zip(gaps, adjusted, strict=True)],
        notes=list(notes),
    )


def measure(test: Predictions, metric: MetricName) -> float:
    """The metric on a test part."""
    if metric == "average_precision":
        return Sweep.of(test.score, test.positive).average_precision
    return float(macro_f1(confusion(test.label, test.predicted, len(test.classes))))


def _samples(
    contender: Contender, metric: MetricName, drawn: Clusters, weights: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """The metric in every resample, `(R,)`: the mean over as many seeds as there are, drawn anew."""
    by_seed = np.stack([_samples_of(test, metric, drawn, weights) for test in contender.tests])
    seeds = len(by_seed)
    if seeds == 1:
        return np.asarray(by_seed[0], dtype=np.float64)
    chosen = rng.integers(0, seeds, size=(seeds, by_seed.shape[1]))
    return np.asarray(np.take_along_axis(by_seed, chosen, axis=0).mean(axis=0), dtype=np.float64)


def _samples_of(test: Predictions, metric: MetricName, drawn: Clusters, weights: FloatArray) -> FloatArray:
    if metric == "average_precision":
        found = bootstrap.ranking_samples(test.score, test.positive, drawn.ids, weights)[0]
        # Of many windows fewer resamples are sorted through; the rest says nothing.
        return np.concatenate([found, np.full(len(weights) - len(found), np.nan)])
    counts = grouped_confusion(test.label, test.predicted, drawn.ids, len(test.classes), drawn.count)
    return bootstrap.macro_f1_samples(counts, weights)


def _result(
    contender: Contender, metric: MetricName, samples: FloatArray, weights: FloatArray
) -> ContenderResult:
    by_seed = [measure(test, metric) for test in contender.tests]
    by_split = [by_seed[0], *(measure(test, metric) for test in contender.other_splits)]
    return ContenderResult(
        name=contender.name,
        view=contender.view,
        figure=interval_result(float(np.mean(by_seed)), samples, weights),
        by_seed=tuple(by_seed),
        by_split=tuple(by_split),
        seed_sd=_deviation(by_seed),
        split_sd=_deviation(by_split),
    )


def _gap(
    a: ContenderResult, b: ContenderResult, gaps: FloatArray, weights: FloatArray, *, trusted: bool
) -> GapResult:
    p = bootstrap.two_sided_p(gaps) if trusted else None
    ours, theirs = a.figure.estimate, b.figure.estimate
    estimate = float("nan") if ours is None or theirs is None else ours - theirs
    return GapResult(
        first=a.name,
        second=b.name,
        gap=interval_result(estimate, gaps, weights),
        p=p,
        p_adjusted=p,
        seed_sd=_deviation_of_gaps(a.by_seed, b.by_seed),
        split_sd=_deviation_of_gaps(a.by_split, b.by_split),
    )


def _deviation(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return float(np.std(known, ddof=1)) if len(known) > 1 else None


def _deviation_of_gaps(ours: Sequence[float | None], theirs: Sequence[float | None]) -> float | None:
    """Of the gaps training by training, where both have as many."""
    if len(ours) != len(theirs):
        return None
    pairs = zip(ours, theirs, strict=True)
    return _deviation([a - b for a, b in pairs if a is not None and b is not None])
