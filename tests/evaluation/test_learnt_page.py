"""The page of a detector that was learnt without labels: what to expect of it, whole and harmless."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import polars as pl
import pytest

from vestige.evaluation.budget import Budget
from vestige.evaluation.learnt import FILE, Learnt, WholeRecordings
from vestige.evaluation.learnt_page import PAGE_FILE, render, sentences, short, times, write_page
from vestige.evaluation.parts import AlertRate, PartOf, Stretch
from vestige.evaluation.plants import COLUMNS
from vestige.evaluation.sensitivity import WARNING, Sensitivity
from vestige.evaluation.trivial import Beside

HOSTILE = "<script>alert(1)</script>\u202e"
DAY = 86_400.0


def found(*shares: float) -> pl.DataFrame:
    what = ("one message never seen", "3 messages never seen", "silence of one minute")
    rows = [
        ("foreign" if number < 2 else "silence", number + 1, what[number], int(100 * share), 100, share,
         max(0.0, share - 0.1), min(1.0, share + 0.1), 0.05)
        for number, share in enumerate(shares)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def learnt(*, came: int = 12, evidence: str = "app.log") -> Learnt:
    part = PartOf(windows=20_000, recordings=2, begin="2026-01-01T00:00:00Z", end="2026-01-03T00:00:00Z")
    kinds = ("messages never seen", "", "", "", "", "silences", *[""] * 7)
    return Learnt(
        source="logs", evidence=evidence, command="vestige learn logs app.log", budget="5/day", alpha=0.0005,
        parted="by time", learn=part, calibrate=part, check=part, looks=["order", "pace.gap"],
        promised=AlertRate.promised(Budget.parse("5/day"), 20_000, 2 * DAY),
        expected=AlertRate.expected(0.0005, 20_000, 2 * DAY),
        beyond=AlertRate.of(came, 20_000, 2 * DAY), came=AlertRate.of(came, 20_000, 2 * DAY),
        stretches=AlertRate.of(came // 2, 20_000, 2 * DAY),
        strangest=[Stretch(p_value=1e-7, time=None, place={"file": evidence, "line": 7}, text=evidence)],
        warnings=[f"times name no year {evidence}"], left_out={"rest of the file": 3},
        sensitivity=Sensitivity.of(
            "normal", found(0.97, 0.98, 0.02), found(1.0, 1.0, 0.3),
            {"new template": Beside("what was never seen", found(1.0, 1.0, 0.0), 0.001)},
            share=0.0005, kinds=kinds,
            left_out={"bursts": "no step has a time"},
        ),
    )  # fmt: skip


def text(page: str) -> str:
    """What a person reads."""
    body = page.split("</style>")[1]
    return " ".join(re.sub("<[^>]+>", " ", body).split())


def test_the_page_says_what_to_expect() -> None:
    page = text(render(learnt()))
    for sentence in (
        "About 6 alerts a day came on the check part, between 3.1 and 10.5 (95%, exact where alerts do not "
        "depend on one another); no more than 5 were promised.",
        "Alerts that share steps counted as one, these were 3 stretches a day, between 1.1 and 6.53",
        "Of planted anomalies, it would catch at least 8 of 10 messages never seen; would miss most silences",
        "one message never seen 100 97% 87% to 100% 5% alert anyway 100% 90% to 100% 5% alert anyway 100%",
        "silence of one minute 100 2% 0% to 12% 5% alert anyway 30% 20% to 40% 5% alert anyway 0%",
        WARNING,
        "planted plants normal normal, 10 times the budget new template 2 times the alerts",
        "new template finds strange what was never seen",
        "bursts no step has a time",
        "1e+07",
        "rest of the file 3",
        "times name no year app.log",
        "an attack that went on through it all is normal, too",
        "Command: vestige learn logs app.log",
    ):
        assert sentence in page
    assert "The promise was not kept" not in page
    assert "The promise was not kept" in text(render(learnt(came=100)))


def test_figures_are_short() -> None:
    assert [times(factor) for factor in (1.234, 12.34, 412.3, 0.5)] == ["1.2", "12", "410", "0.5"]
    assert short("2026-03-06T22:58:45.356000000Z") == "2026-03-06T22:58:45Z"
    assert short(None) == "–"


def test_the_page_is_whole_and_runs_nothing() -> None:
    page = render(learnt(evidence=HOSTILE))
    assert "<script" not in page
    assert "script-src 'none'" in unescape(page)
    assert "\u202e" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert len(page) < 60_000


@pytest.mark.parametrize(("alerts", "low", "broken"), [(3, 0.002, False), (30, 0.069, True)])
def test_a_promise_about_recordings_that_does_not_hold_is_said(alerts: int, low: float, broken: bool) -> None:
    whole = WholeRecordings(
        learnt=900, left_out={}, alpha=0.01, looks=["neighbours"], checked=300, alerts=alerts, low=low,
        high=0.2,
    )  # fmt: skip
    said = " ".join(sentences(learnt().model_copy(update={"whole": whole})))
    assert f"of the 300 in the check part {alerts} were as rare as an alert, 1.00% being promised" in said
    assert ("the promise does not hold" in said) is broken
    assert "where what is scored is of another kind, the strangest alert" in said


def test_what_was_learnt_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    whole = learnt()
    (tmp_path / FILE).write_text(whole.to_json())
    assert Learnt.load(tmp_path / FILE) == whole
    write_page(tmp_path / PAGE_FILE, whole)
    assert (tmp_path / PAGE_FILE).read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("part", ["sensitivity", "stretches"])
def test_a_page_can_do_without_plants(part: str) -> None:
    less = learnt().model_copy(update={part: None})
    assert "About 6 alerts a day" in text(render(less))
    assert len(sentences(less)) == 2
