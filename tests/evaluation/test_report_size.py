"""The report stays small, and says what it leaves out for that: smaller groups, windows of most baselines."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from tests.evaluation.made_up import made_up, made_up_run
from vestige.evaluation.comparing import compare
from vestige.evaluation.figures import GroupTable, ReasonRow, WindowReasons
from vestige.evaluation.groups import MOST_SHOWN
from vestige.evaluation.judging import evaluate
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.report import FEW, TOP, Details, render, write_report
from vestige.evaluation.results import DetectorResults, RunResults

MODELS = {"gru": 4.0, "gbt": 3.5, "collaborative": 4.5}
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
    """4,000 windows of 20 hosts with three logs each, one window in seven anomalous."""
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


def large_run() -> tuple[RunResults, Details]:
    """Three models and all baselines of logs, with lines and histories as long as usual."""
    tests = {name: predictions(skill, seed=9) for name, skill in (MODELS | BASELINES).items()}
    detectors = [
        evaluate(
            name,
            predictions((MODELS | BASELINES)[name], seed=5),
            test,
            kind="model" if name in MODELS else "baseline",
            resamples=20,
        )
        for name, test in tests.items()
    ]
    results = made_up_run()[0].model_copy(
        update={
            "detectors": [with_reasons(detector) for detector in detectors],
            "comparisons": compare(detectors, tests, resamples=20),
        }
    )

    def place(rows: np.ndarray) -> pl.DataFrame:
        file = ["web-1/service-1/messages.log.gz"] * len(rows)
        return pl.DataFrame({"file": file, "line": rows, "text": [LINE] * len(rows)})

    epochs = np.arange(1, 51)
    history = pl.DataFrame({"epoch": epochs, "train_loss": 1 / epochs, "val_loss": 1.1 / epochs})
    return results, Details(tests, dict.fromkeys(MODELS, history), place, script="plotly.min.js")


def test_a_report_of_three_models_and_all_baselines_is_under_300_kb(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", *large_run())
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('"steps"') == 2 * len(MODELS)
    assert page.count(LINE) >= len(MODELS) * 2 * TOP
    assert (tmp_path / "report.html").stat().st_size < 300_000
