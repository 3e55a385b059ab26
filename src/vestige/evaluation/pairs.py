"""Models against one another, and a model's two views: differences in macro F1, paired on the same resamples.

Letters: R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

from vestige.evaluation import bootstrap
from vestige.evaluation.bootstrap import interval_result
from vestige.evaluation.clusters import Clusters
from vestige.evaluation.comparing import common_clusters, macro_f1_samples
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.results import DetectorResults, PairResult

FEWEST_RESAMPLES, BUDGET = 10_000, 100_000_000
"""Resamples at least: with a thousand no pair of thirty-six could pass Holm's adjustment. `BUDGET`: resamples
times clusters that are drawn at most."""


def compare_pairs(
    results: Sequence[DetectorResults],
    tests: Mapping[str, Predictions],
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> list[PairResult]:
    """Every two models of a view, and every model that was trained in two views.

    `tests` holds the test predictions by detector name. Raises ValueError when two models were not tested on
    the same windows. The p of a pair is two-sided: twice the share of resamples in which the difference is
    not of its sign, with one added to both counts; `p_adjusted` is Holm's (1979) over all pairs. Neither is
    told where the resamples cannot be trusted: of one host all are alike, and any gap would be significant.
    """
    models = [detector for detector in results if detector.kind == "model"]
    if len(models) < 2:
        return []
    drawn = common_clusters([tests[model.name] for model in models])
    enough = max(resamples, min(FEWEST_RESAMPLES, BUDGET // drawn.count))
    weights = bootstrap.draw(drawn.count, enough, seed)
    samples = {model.name: macro_f1_samples(tests[model.name], drawn, weights) for model in models}
    found = [
        _pair(a, b, samples[a.name] - samples[b.name], drawn, weights)
        for a, b in combinations(models, 2)
        if _meet(a, b)
    ]
    adjusted = holm([pair.p for pair in found])
    return [pair.model_copy(update={"p_adjusted": p}) for pair, p in zip(found, adjusted, strict=True)]


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment of p-values; None stays None and does not count."""
    known = sorted((p, row) for row, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, row) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[row] = highest
    return adjusted


def _meet(a: DetectorResults, b: DetectorResults) -> bool:
    return a.view == b.view or a.bare_name == b.bare_name


def _pair(
    a: DetectorResults,
    b: DetectorResults,
    gaps: bootstrap.FloatArray,
    drawn: Clusters,
    weights: bootstrap.FloatArray,
) -> PairResult:
    kind: Literal["models", "views"] = "models" if a.view == b.view else "views"
    ours, theirs = a.macro_f1.estimate, b.macro_f1.estimate
    gap = float("nan") if ours is None or theirs is None else ours - theirs
    p = bootstrap.two_sided_p(gaps) if drawn.trusted else None
    return PairResult(
        first=a.name, second=b.name, kind=kind, gap=interval_result(gap, gaps, weights), p=p, p_adjusted=p
    )
