"""How often the 95% interval holds the truth: a short run of `benchmarks/interval_coverage.py`."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "interval_coverage.py"


@pytest.fixture(scope="module")
def benchmark() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARK))


def test_most_intervals_hold_and_those_of_few_clusters_are_wider(benchmark: dict[str, Any]) -> None:
    """The table in docs/evaluation.md has 600 trials. Plain percentiles of six clusters hold in 85%."""
    alike = benchmark["SETTINGS"][0]
    many, narrow = benchmark["coverage"](alike, 50, trials=300, resamples=300)
    few, wide = benchmark["coverage"](alike, 6, trials=300, resamples=300)
    assert many == pytest.approx(0.935, abs=0.03)
    assert few > 0.88
    assert narrow < wide


def test_the_truth_is_that_of_all_clusters_together(benchmark: dict[str, Any]) -> None:
    import numpy as np

    from vestige.evaluation.metrics import macro_f1

    rare = benchmark["SETTINGS"][2]
    drawn = benchmark["counts"](rare, 50_000, np.random.default_rng(7)).sum(axis=0)
    assert float(macro_f1(drawn)) == pytest.approx(benchmark["truth"](rare), abs=0.01)
