"""Scores of a detector of what is normal: rows, reasons, and one answer however the evidence is cut."""

from __future__ import annotations

import json
import logging
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vestige import checkpoint
from vestige.evaluation.budget import Budget
from vestige.models.normal.detector import Normal
from vestige.pipeline.learn import learn
from vestige.reading import live
from vestige.reading.examples import Examples
from vestige.reading.steps import Evidence
from vestige.scoring import json_line, score, score_recordings
from vestige.scoring.normal import NormalScorer
from vestige.scoring.reasons import Window, how_rare, sentence
from vestige.scoring.windows import judge_batches
from vestige.sources import registry
from vestige.sources.logs.options import LogOptions

START = datetime(2024, 3, 1, tzinfo=UTC)
CYCLE = (
    "sshd[{n}]: Accepted password for user{u} from 10.0.0.{u} port 22",
    "sshd[{n}]: session opened for user user{u}",
    "cron[{n}]: job {u} started",
    "cron[{n}]: job {u} finished in {u} seconds",
    "sshd[{n}]: session closed for user user{u}",
)
NUMBER_OF_LINES = 900
KEYS = ["time", "host", "recording", "file", "line", "offset", "text", "score", "p_value", "alert"]


def line(moment: datetime, message: str) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}+00:00 web1 {message}\n"


def lines(n: int, *, begin: datetime = START, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    out, moment = [], begin
    for number in range(n):
        moment += timedelta(seconds=int(rng.integers(20, 40)))
        out.append(line(moment, CYCLE[number % len(CYCLE)].format(n=number, u=int(rng.integers(1, 9)))))
    return out


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("normal")
    (root / "app.log").write_text("".join(lines(NUMBER_OF_LINES)))
    learn(
        registry.get("logs"), root / "app.log", root / "d", options=LogOptions(), budget=Budget.parse("1/100")
    )
    later = lines(300, begin=START + timedelta(days=3), seed=1)
    later[150] = later[150].replace("10.0.0.", "203.0.113.").replace("for user", "for root")
    moment = START + timedelta(days=3, hours=4)
    later[100:100] = ["2024-03-04T00:50:05+00:00 web1 kernel: segfault at 7f00 ip 0041 error 4 in libc.so\n"]
    later[200:200] = [later[199].replace(later[199].split("web1")[1], later[197].split("web1")[1])]
    later.append(line(moment + timedelta(hours=9), CYCLE[0].format(n=1, u=3)))
    (root / "new.log").write_text("".join(later))
    return root


@pytest.fixture(scope="module")
def rows(place: Path) -> list[dict[str, Any]]:
    return list(score(place / "d", [place / "new.log"]))


def test_a_row_has_what_a_person_asks_for(rows: list[dict[str, Any]], place: Path) -> None:
    assert len(rows) == 303
    assert [list(row)[: len(KEYS)] for row in rows] == [KEYS] * 303
    first = rows[0]
    assert first["recording"] == first["file"] == "new.log"
    assert (first["line"], first["offset"]) == (1, 0)
    assert first["time"].startswith("2024-03-04T00:00:")
    written = (place / "new.log").read_text().splitlines()
    assert rows[42]["text"] == written[42].split(": ")[1]
    assert list(rows[42]) == KEYS, "no reasons where nothing alerts"
    json.loads(json_line(first))


def test_the_rarer_a_window_the_higher_it_scores(rows: list[dict[str, Any]]) -> None:
    by_p = sorted(rows, key=lambda row: row["p_value"])
    scores = [row["score"] for row in by_p]
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([-math.log10(row["p_value"]) for row in by_p], abs=1e-5)
    strangest = by_p[0]
    assert strangest["score"] > 12, "where 1 - P(normal) has no digits left"


def alert_at(rows: list[dict[str, Any]], number: int) -> dict[str, dict[str, Any]]:
    """The reasons of the row of a line, by the look."""
    row = rows[number - 1]
    assert row["line"] == number
    assert row["alert"]
    return {reason["look"]: reason for reason in row["reasons"]}


def test_a_message_never_seen_is_told_with_the_nearest_known_one(
    rows: list[dict[str, Any]], place: Path
) -> None:
    reasons = alert_at(rows, 101)
    assert "unlike every known event" in reasons["novelty.distance"]["says"]
    assert "rarer than anything in 180 windows of the calibration" in reasons["novelty.distance"]["says"]
    assert rows[100]["text"] == "segfault at 7f00 ip 0041 error 4 in libc.so"
    nearest = rows[100]["nearest"]
    if nearest is not None:
        assert nearest["distance"] > 0.5


def test_a_value_never_seen_in_its_place_is_told_itself(rows: list[dict[str, Any]]) -> None:
    number = next(row["line"] for row in rows if "203.0.113" in row["text"])
    says = alert_at(rows, number)["values.new"]["says"]
    assert " has `203.0.113." in says or " has `root" in says
    assert "which was never seen there: " in says


def test_an_event_out_of_order_is_told_with_what_was_expected(
    rows: list[dict[str, Any]], place: Path
) -> None:
    # Where a session should end, another begins.
    reasons = alert_at(rows, 201)
    assert " after `" in reasons["order"]["says"]
    assert reasons["order"]["p_value"] < 0.02
    expected = rows[200]["expected"]
    assert len(expected) == 3
    assert expected[0]["p"] > 0.8
    assert sum(event["p"] for event in expected) <= 1.001
    nearest = rows[200]["nearest"]
    assert nearest["distance"] == 0
    # It lies where the learn part shows it first.
    shown = (place / "app.log").read_text().splitlines()[nearest["line"] - 1]
    assert nearest["file"] == "app.log"
    assert nearest["line"] <= len(CYCLE)
    assert shown.split(": ")[1].split(" for ")[0] == rows[200]["text"].split(" for ")[0]


def test_a_silence_is_told_with_how_long_it_was_and_is_usual(rows: list[dict[str, Any]]) -> None:
    says = alert_at(rows, 303)["pace.gap"]["says"]
    assert says.startswith("nothing for 11 h before `")
    assert " s is usual: rarer than anything in 180 windows" in says


def test_alerts_alone_are_the_same_rows(rows: list[dict[str, Any]], place: Path) -> None:
    alone = list(score(place / "d", [place / "new.log"], alerts_only=True))
    assert alone == [row for row in rows if row["alert"]]
    assert 3 <= len(alone) < 30


@pytest.mark.parametrize("most", [5, 64])
def test_however_the_evidence_is_cut_the_rows_are_the_same(
    rows: list[dict[str, Any]], place: Path, most: int
) -> None:
    loaded = checkpoint.load(place / "d")
    scorer = NormalScorer.of(loaded)
    assert scorer is not None
    reader = registry.get("logs").reader(loaded.schema)
    evidence = Evidence((place / "new.log",), "live")
    batches = live.read_windows(reader, evidence, most=most)
    found = [row for judged in judge_batches(loaded, batches) for row in scorer.rows(judged)]
    assert found == rows


def test_a_judgement_keeps_how_strange_each_look_found_a_window(place: Path) -> None:
    loaded = checkpoint.load(place / "d")
    detector = loaded.detector
    assert isinstance(detector, Normal)
    evidence = Evidence((place / "new.log",), "live")
    for judged in judge_batches(loaded, live.read_windows(loaded.reader(), evidence, most=64)):
        judgement, n = judged.judgement, len(judged.batch)
        assert judgement.looks is not None
        assert judgement.p_value is not None
        assert judged.bound is not None
        assert judgement.looks.shape == (n, len(detector.looks))
        for row in (0, n - 1):
            # As if it had come alone.
            one = {name: values[row : row + 1] for name, values in judged.batch.steps.items()}
            X = judged.bound.encode(one, detector.input_names)
            assert judgement.looks[row : row + 1].tolist() == detector.strangeness(X).tolist()
            assert judgement.p_value[row] == np.exp(detector.log_p(X)[0])
    nothing = detector.judge({name: values[:0] for name, values in X.items()})
    assert len(nothing) == 0
    assert nothing.looks is not None
    assert nothing.looks.shape == (0, len(detector.looks))


def test_what_came_of_the_promise_is_told(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    new = place / "other.log"
    strange = (f"app[{n}]: {'abcdefgh'[n % 8] * (1 + n % 5)} {n}" for n in range(400))
    new.write_text("".join(line(START + timedelta(seconds=n), text) for n, text in enumerate(strange)))
    with caplog.at_level(logging.INFO):
        rows = list(score(place / "d", [new], alerts_only=True))
    told = caplog.text
    assert "400 windows: 4 alerts were promised (one in 100 windows)" in told
    assert f"{len(rows)} came" in told
    assert "were held back" in told
    assert "the promise does not hold for this evidence" in told
    assert len(rows) < 40


NEVER = (np.nan, np.nan)


@pytest.mark.parametrize(
    ("look", "window", "says"),
    [
        ("order", Window("c", ["`a`", "`a`", "`b`"], 1, 9, NEVER, NEVER),
         "`c` after 2 times `a`, `b` is rare"),
        ("order", Window("c", [], 1, 9, NEVER, NEVER), "`c` is rare at the beginning"),
        ("repeats", Window("c", [], 7, 10, NEVER, NEVER), "`c` comes 7 times among 10 events"),
        ("pace.gap", Window("c", [], 1, 9, (1e4, 600), NEVER),
         "nothing for 2.8 h before `c`, where 10 min is usual"),
        ("pace.burst", Window("c", [], 1, 10, NEVER, (0.04, 300)),
         "10 events in 40 ms up to `c`, where 5 min is usual"),
        ("pace.burst", Window("c", [], 1, 10, NEVER, NEVER),
         "10 events in an unknown time up to `c`, where an unknown time is usual"),
        ("values.new", Window("c\nd", [], 1, 9, NEVER, NEVER),
         "`c d` has a value, which was never seen there"),
        ("values.range", Window("c", [], 1, 9, NEVER, NEVER, beyond="`99`"),
         "`c` has `99`, which is out of its usual range"),
        ("another", Window("c", [], 1, 9, NEVER, NEVER), "unusual by another"),
    ],
)  # fmt: skip
def test_looks_are_told_in_words(look: str, window: Window, says: str) -> None:
    assert sentence(look, window) == says


def test_how_rare_is_counted_in_windows_of_the_calibration() -> None:
    assert how_rare(1, 4_100) == "once in 4,100 windows of the calibration"
    assert how_rare(0, 4_100) == "rarer than anything in 4,100 windows of the calibration"
    assert how_rare(41, 4_100) == "once in 100 windows of the calibration"
    assert how_rare(4_100, 4_100) == "as in every one of 4,100 windows of the calibration"


def test_places_of_examples_that_cannot_be_are_refused() -> None:
    good = [{"file": "a.log", "line": 3}, None]
    assert Examples.from_list(good).of(0) == good[0]
    assert Examples.from_list(good).of(1) == Examples.from_list(good).of(7) == {}
    refused: list[Any] = [{}, [1], [{"line": 1.5}], [{"line": 2**63}], [None] * 5_001]
    for bad in refused:
        with pytest.raises(ValueError, match=r"example|object|whole"):
            Examples.from_list(bad)


@pytest.mark.parametrize("by_recording", [False, True])
def test_evidence_of_something_else_is_told_to_be(
    place: Path, caplog: pytest.LogCaptureFixture, by_recording: bool
) -> None:
    def told(path: Path) -> bool:
        caplog.clear()
        list(score_recordings(place / "d", [path]) if by_recording else score(place / "d", [path]))
        return "were never learnt: the evidence is of something else" in caplog.text

    assert not told(place / "new.log")
    other = place / "kernel.log"
    other.write_text("".join(line(START, f"kernel[1]: {'uvwxyz'[n % 6] * 9} is {n}") for n in range(50)))
    assert told(other)
