"""How often the 95% interval of the cluster bootstrap holds the true figure: by simulation, as it comes out.

Clusters (hosts, recordings) are drawn from a population whose macro F1 is known: each has its own size, share
of anomalies, recall and false-positive rate. For so many test clusters, intervals are taken as a report takes
them (`evaluation.bootstrap`), and counted where they hold the truth.

    python benchmarks/interval_coverage.py            # the table of docs/evaluation.md
    python benchmarks/interval_coverage.py --trials 200 --clusters 50
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation import bootstrap
from vestige.evaluation.metrics import macro_f1

CLUSTERS = (6, 8, 10, 12, 16, 20, 24, 32, 50, 100)
POPULATION = 400_000


@dataclass(frozen=True)
class Setting:
    """A population: windows a cluster (median), mean share of anomalies, deviations of the clusters' own
    share, recall and false-positive rate (in log-odds)."""

    name: str
    windows: int = 100
    share: float = 0.2
    spread_of_share: float = 0.5
    spread_of_rates: float = 0.5
    recall: float = 0.8
    fpr: float = 0.05


SETTINGS = (
    Setting("alike"),
    Setting("unlike", spread_of_share=1.5, spread_of_rates=1.0),
    Setting("rare", share=0.02, spread_of_share=1.5, spread_of_rates=1.0),
)


def counts(setting: Setting, clusters: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Confusion counts of so many clusters, `(G, 2, 2)`."""
    windows = np.maximum(2, np.exp(rng.normal(np.log(setting.windows), 0.5, clusters))).astype(np.int64)
    positives = rng.binomial(windows, _around(setting.share, setting.spread_of_share, clusters, rng))
    found = rng.binomial(positives, _around(setting.recall, setting.spread_of_rates, clusters, rng))
    false = rng.binomial(windows - positives, _around(setting.fpr, setting.spread_of_rates, clusters, rng))
    rows = [windows - positives - false, false, positives - found, found]
    return np.stack(rows, axis=1).reshape(-1, 2, 2)


def _around(mean: float, spread: float, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-(np.log(mean / (1 - mean)) + rng.normal(0, spread, n))))


def truth(setting: Setting) -> float:
    """Macro F1 of the whole population."""
    return float(macro_f1(counts(setting, POPULATION, np.random.default_rng(1)).sum(axis=0)))


def coverage(
    setting: Setting, clusters: int, *, trials: int, resamples: int, seed: int = 0
) -> tuple[float, float]:
    """Share of the intervals that hold the truth, and their mean width. Void ones hold nothing."""
    rng, true = np.random.default_rng((seed, clusters)), truth(setting)
    held, widths = 0, []
    for trial in range(trials):
        drawn = counts(setting, clusters, rng)
        weights = bootstrap.draw(clusters, resamples, seed=trial)
        samples = bootstrap.macro_f1_samples(drawn, weights)
        found = bootstrap.interval(float(macro_f1(drawn.sum(axis=0))), samples, weights=weights)
        if np.isfinite(found.low):
            held += found.low <= true <= found.high
            widths.append(found.high - found.low)
    return held / trials, float(np.mean(widths))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--resamples", type=int, default=1_000)
    parser.add_argument("--clusters", type=int, nargs="*", default=CLUSTERS)
    asked = parser.parse_args()
    names = [f"{setting.name} | width" for setting in SETTINGS]
    print("| clusters | " + " | ".join(names) + " |")
    print("|---|" + "---|---|" * len(SETTINGS))
    for number in asked.clusters:
        cells = []
        for setting in SETTINGS:
            share, width = coverage(setting, number, trials=asked.trials, resamples=asked.resamples)
            cells.append(f"{share:.1%} | {width:.3f}")
        print(f"| {number} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
