"""The report stays small, and says what it leaves out for that: smaller groups, windows of most baselines."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.evaluation.made_up import made_up, made_up_run
from vestige.evaluation.comparing import compare
from vestige.evaluation.figures import GroupTable, ReasonRow, WindowReasons
from vestige.evaluation.groups import MOST_SHOWN
from vestige.evaluation.judging import evaluate
from vestige.evaluation.pairs import compare_pairs
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.report import FEW, IN_FULL, TOP, Details, render, write_report
from vestige.evaluation.results import DetectorResults, RunResults

MODELS = {"gru": 4.0, "gbt": 3.5, "collaborative": 4.5}
TWELVE = {f"model_{n}": 2.6 + n / 10 for n in range(12)}
BASELINES = {"majority": 0.0, "new_token": 2.0, "lookup": 2.5, "length": 0.5, "counts": 3.0, "logistic": 3.2}
LINE = "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.15"


def rows_of(page: str, heading: str) -> list[str]:
    """Rows of the first table after a heading, as text."""
    table = page.partition(heading)[2].partition("<tbody>")[2].partition("</tbody>")[0]
    return [" ".join(re.sub("<[^>]+>", " ", row).split()) for row in table.split("</tr>")[:-1]]


def test_each_group_shows_what_every_detector_makes_of_it() -> None:
    results, details = made_up_run()
    rows = rows_of(render(results, details).partition('id="groups"')[2], "By host (3)")
    assert len(rows) == 3
    shown = results.models + results.baselines
    for row, group in zip(rows, shown[0].per_host.rows, strict=True):
        assert row.startswith(f"{group.name} {group.windows} ")
        said = []
        for detector in shown:
            (found,) = [known for known in detector.per_host.rows if known.name == group.name]
            said.append(f"{found.macro_f1:.3f} {found.recall:.0%} / {found.fpr:.2%}".replace("%", ""))
        assert row.endswith(" ".join(said))


def test_the_largest_groups_are_shown_and_where_the_others_are_is_said() -> None:
    results, details = made_up_run()
    row = results.detectors[0].per_recording.rows[0]
    rows = [row.model_copy(update={"name": f"recording {n}"}) for n in range(200)]
    many = [
        detector.model_copy(update={"per_recording": GroupTable(rows=rows, omitted=1_034)})
        for detector in results.detectors
    ]
    page = render(results.model_copy(update={"detectors": many}), details)
    assert len(rows_of(page, "By recording (1,234)")) == MOST_SHOWN
    assert f"The {MOST_SHOWN} largest of 1,234; metrics.json has the 200 largest." in page
    assert "largest of" not in render(results, details)


def test_hosts_that_are_recordings_are_shown_once() -> None:
    results, details = made_up_run()
    same = [
        detector.model_copy(update={"per_recording": detector.per_host}) for detector in results.detectors
    ]
    page = render(results.model_copy(update={"detectors": same}), details)
    assert "By host, each one recording (3)" in page
    assert "By recording" not in page


def test_the_best_baseline_is_shown_like_a_model_and_of_others_the_first_windows() -> None:
    results, details = made_up_run()
    page = render(results, details).partition('<h2 id="baselines">')[2]
    assert "template, best on validation, is shown like a model." in page
    _, best, other = re.split("<summary>(?:template|majority)</summary>", page)
    template, majority = results.baselines
    assert len(rows_of(best, "Top alerts")) == min(TOP, template.alerting.tp + template.alerting.fp)
    assert "By host (3)" in best
    assert majority.alerting.fn > FEW
    assert len(rows_of(other, f"first ({FEW} of {majority.alerting.fn})")) == FEW
    assert "By host" not in other


def predictions(skill: float, *, seed: int) -> Predictions:
    """4,000 windows of 20 hosts with three logs each, one window in seven of an anomalous class."""
    names = pl.DataFrame(
        {
            "id": [f"web-{host}/service-{log}/messages.log.gz" for host in range(20) for log in range(3)],
            "host": [f"web-{host}" for host in range(20) for _ in range(3)],
            "profile": ["auth", "kernel", "service"] * 20,
        }
    )
    return replace(made_up(4_000, seed=seed, skill=skill, recordings=60, share=0.15), recordings=names)


def with_reasons(detector: DetectorResults) -> DetectorResults:
    """As a real detector gives them: five for a window."""
    why = [ReasonRow(step=-n, what=f"a token {n} of a message", contribution=0.5 / (n + 1)) for n in range(5)]
    told = [WindowReasons(position=position, reasons=why) for position in range(4_000)]
    return detector.model_copy(update={"reasons": told})


def large_run(models: dict[str, float]) -> tuple[RunResults, Details]:
    """Models, by their skill, and all baselines of logs, with lines and histories as long as usual."""
    tests = {name: predictions(skill, seed=9) for name, skill in (models | BASELINES).items()}
    detectors = [
        evaluate(
            name,
            predictions((models | BASELINES)[name], seed=5),
            test,
            kind="model" if name in models else "baseline",
            resamples=20,
        )
        for name, test in tests.items()
    ]
    results = made_up_run()[0].model_copy(
        update={
            "detectors": [with_reasons(detector) for detector in detectors],
            "comparisons": compare(detectors, tests, resamples=20),
            "pairs": compare_pairs(detectors, tests, resamples=20),
        }
    )

    def place(rows: np.ndarray) -> pl.DataFrame:
        file = ["web-1/service-1/messages.log.gz"] * len(rows)
        return pl.DataFrame({"file": file, "line": rows, "text": [LINE] * len(rows)})

    epochs = np.arange(1, 51)
    history = pl.DataFrame({"epoch": epochs, "train_loss": 1 / epochs, "val_loss": 1.1 / epochs})
    return results, Details(tests, dict.fromkeys(models, history), place, script="plotly.min.js")


@pytest.fixture(scope="module")
def twelve() -> tuple[RunResults, Details]:
    """Twelve models, each with a report of its own."""
    results, details = large_run(TWELVE)
    return results, replace(details, reports={name: f"{name}/report.html" for name in TWELVE})


def test_a_report_of_three_models_and_all_baselines_is_under_300_kb(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", *large_run(MODELS))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('"steps"') == 2 * len(MODELS)
    assert page.count(LINE) >= len(MODELS) * 2 * TOP
    assert (tmp_path / "report.html").stat().st_size < 300_000


def test_a_report_of_twelve_models_is_under_300_kb_and_leads_to_what_it_leaves_out(
    twelve: tuple[RunResults, Details], tmp_path: Path
) -> None:
    results, details = twelve
    write_report(tmp_path / "report.html", results, details)
    assert (tmp_path / "report.html").stat().st_size < 300_000
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    led = re.findall(r'<a href="\./([^"]+)">\1</a>', page)
    in_full = [name for name in TWELVE if details.reports[name] not in led]
    assert len(in_full) == IN_FULL
    assert len(led) == len(TWELVE) - IN_FULL
    # Those that were best on validation, which is what the skill was.
    assert {model.name for model in results.ranked[:IN_FULL]} == set(in_full)
    assert f"Of 12 models, {', '.join(in_full)} are shown in full on this page" in page
    assert page.count("Score along time") == IN_FULL
    for name in TWELVE:
        assert f">{name}</h2>" in page
    alone = results.model_copy(update={"detectors": results.models})
    assert "metrics.json has all of their figures" in page
    assert "metrics.json has all of their figures" not in render(alone, details)


def test_without_reports_of_their_own_all_models_are_shown_in_full(
    twelve: tuple[RunResults, Details],
) -> None:
    results, details = twelve
    page = render(results, replace(details, reports={}))
    assert page.count("Score along time") == len(TWELVE)
    assert "shown in full on this page" not in page


def test_the_model_of_the_headline_is_shown_in_full_whatever_others_reached(
    twelve: tuple[RunResults, Details],
) -> None:
    results, details = twelve
    (compared,) = [one for one in results.comparisons if one.model == "model_0"]
    page = render(results.model_copy(update={"comparisons": [compared]}), details)
    assert "model_0/report.html" not in page
    assert page.count("Score along time") == IN_FULL


def test_where_a_report_lies_is_an_address_beside_the_page_whatever_its_name(
    twelve: tuple[RunResults, Details],
) -> None:
    results, details = twelve
    hostile = 'javascript:alert(1)//"><script>%2e?#'
    page = render(results, replace(details, reports=dict.fromkeys(TWELVE, hostile)))
    addresses = re.findall('href="([^#][^"]*)"', page)
    assert len(addresses) == len(TWELVE) - IN_FULL
    assert set(addresses) == {"./javascript%3Aalert%281%29//%22%3E%3Cscript%3E%252e%3F%23"}
    assert hostile not in page
