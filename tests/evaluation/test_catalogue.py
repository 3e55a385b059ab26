"""A metric is one entry: whoever adds one finds it in every place where figures are shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evaluation.made_up import made_up_run
from vestige.dashboard.producers.metrics import metrics
from vestige.evaluation.catalogue import METRICS, Material, Metric
from vestige.evaluation.record import IntervalResult
from vestige.evaluation.report import Details, render
from vestige.evaluation.results import RunResults
from vestige.evaluation.table import results_table


def silent_share(of: Material) -> IntervalResult:
    """The share of windows without an alert, with made-up bounds that no other figure has."""
    share = float((~of.alert).mean())
    return IntervalResult(estimate=share, low=0.1234, high=0.9876, resamples=100)


TOY = Metric("silence", "silent share", silent_share, higher_is_better=False, form=".1%", at_threshold=True)


@pytest.fixture(scope="module")
def results() -> RunResults:
    return made_up_run(metrics=(*METRICS, TOY))[0]


def shares(results: RunResults) -> list[str]:
    """What the toy metric has to be, of every detector in the order of rows."""
    found = []
    for detector in (*results.models, *results.baselines):
        counts = detector.alerting
        found.append(f"{(counts.fn + counts.tn) / detector.windows:.1%}")
    assert len(found) == 4
    return found


def test_a_metric_is_in_the_terminals_table(results: RunResults) -> None:
    column = results_table(results).columns[-1]
    assert str(column.header) == "silent share at\nfpr=0.01"
    assert [str(cell) for cell in column.cells] == [f"{share}\n12.3%-98.8%" for share in shares(results)]


def test_a_metric_is_in_the_report(results: RunResults) -> None:
    page = render(results, Details())
    assert '<th class="n" title="lower is better">silent share at fpr=0.01</th>' in page
    for share in shares(results):
        assert f'<td class="n">{share}<small>12.3% to 98.8%</small></td>' in page


def test_a_metric_is_in_the_file_of_metrics(results: RunResults, tmp_path: Path) -> None:
    results.save(tmp_path / "metrics.json")
    plain = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert plain["metrics"][-1] == {
        "name": "silence", "title": "silent share", "short": "silent share", "form": ".1%",
        "higher_is_better": False, "at_threshold": True, "places": ["terminal", "report", "page"],
    }  # fmt: skip
    found = [f"{one['metrics']['silence']['estimate']:.1%}" for one in plain["detectors"]]
    assert found == shares(results)
    assert RunResults.load(tmp_path / "metrics.json") == results


def test_a_metric_is_on_the_dashboards_page(results: RunResults) -> None:
    shown = [event.figures[-1] for event in metrics(results)]
    assert [f"{figure.found.estimate:.1%}" for figure in shown] == shares(results)
    assert {figure.column.title for figure in shown} == {"silent share"}


def test_a_metric_without_a_place_is_in_the_file_alone() -> None:
    hidden = Metric("silence", "silent share", silent_share, places=())
    results = made_up_run(metrics=(*METRICS, hidden))[0]
    assert all("silence" in one.metrics for one in results.detectors)
    assert "silent share" not in render(results, Details())
    assert not any("silent" in str(column.header) for column in results_table(results).columns)


def test_every_metric_has_its_own_name() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
