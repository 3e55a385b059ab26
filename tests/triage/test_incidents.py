"""Alerts of a detector of what is normal become incidents, and what is usual is put together beside them."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from tests.triage.conftest import fill_in, invoke, read, refuse
from vestige.checkpoint import load
from vestige.errors import UsageError
from vestige.scoring.normal import NormalScorer
from vestige.scoring.windows import judge
from vestige.triage.incidents import OTHERS, Grouping, ranked
from vestige.triage.labels import OfLabel, Spread
from vestige.triage.table import LABELLED, MEMBERS, TABLE

ATTACK = ("exploit", "shell", "dump")


def events(file: Path, day: int, count: int, *, attack: bool) -> None:
    """A day of two machines that do the same over and over; on one of them an attack of twelve events."""
    draw = random.Random(day)
    rows = []
    for number in range(count):
        at, machine = number * 86_400 // count, draw.choice(["web", "db"])
        rows.append((at, machine, draw.choice(["logon", "logoff", "read", "write"]), "normal"))
    if attack:
        rows += [(40_000 + step, "web", ATTACK[step % 3], "anomaly") for step in range(12)]
    lines = [
        f"2026-03-{day:02d}T{at // 3600:02d}:{at // 60 % 60:02d}:{at % 60:02d}Z,{machine},{name},{label}"
        for at, machine, name, label in sorted(rows)
    ]
    file.write_text("timestamp,machine,event,label\n" + "\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of what is normal, beside the day to be triaged."""
    folder = tmp_path_factory.mktemp("normal")
    (folder / "ordinary").mkdir()
    for day in (1, 2, 3):
        events(folder / "ordinary" / f"day{day}.csv", day, 700, attack=False)
    events(folder / "day4.csv", 4, 400, attack=True)
    invoke("learn", "events", folder / "ordinary", "--mapping", "csv", "-o", folder / "detector")
    return folder


def test_what_is_rare_and_close_is_one_incident_with_what_the_detector_named(
    learnt: Path, tmp_path: Path
) -> None:
    shown = invoke("triage", learnt / "detector", learnt / "day4.csv", "-o", tmp_path / "out")
    members = pl.read_parquet(tmp_path / "out" / MEMBERS)
    attack = members.filter(pl.col("file").is_not_null() & pl.col("t_ns").is_between(*_of_attack()))
    assert attack.height == 12
    assert attack["cluster"].n_unique() == 1
    rows = {row["cluster"]: row for row in read(tmp_path / "out" / TABLE)}
    row = rows[attack["cluster"][0]]
    assert (row["kind"], row["size"], row["on"], row["new"]) == ("incident", "12", "web", "new")
    assert "novelty" in row["context"]
    assert any(name in row["context"] for name in ATTACK)
    assert {one["kind"] for one in rows.values()} == {"incident"}
    assert "incidents hold 100.0%" in shown
    assert "explanations" not in shown
    assert "by themselves" not in shown


def _of_attack() -> tuple[int, int]:
    begin = 1_772_582_400 + 40_000  # 2026-03-04, seconds
    return begin * 10**9, (begin + 12) * 10**9


def test_rare_is_what_is_as_rare_as_an_alert_also_where_the_budget_held_it_back(
    learnt: Path, tmp_path: Path
) -> None:
    invoke("triage", learnt / "detector", learnt / "day4.csv", "-o", tmp_path / "out")
    scored = [
        json.loads(line) for line in invoke("score", learnt / "detector", learnt / "day4.csv").splitlines()
    ]
    alpha = json.loads((learnt / "detector" / "learnt.json").read_text(encoding="utf-8"))["alpha"]
    rare = {row["line"] for row in scored if row["p_value"] <= alpha}
    assert len(rare) > sum(row["alert"] for row in scored)
    assert set(pl.read_parquet(tmp_path / "out" / MEMBERS)["line"]) == rare


def test_the_rest_is_put_together_by_machine_and_event(learnt: Path, tmp_path: Path) -> None:
    invoke("triage", learnt / "detector", learnt / "day4.csv", "--all", "-o", tmp_path / "out")
    rows = read(tmp_path / "out" / TABLE)
    assert sum(int(row["size"]) for row in rows) == 412
    usual = [row for row in rows if row["kind"] == "usual"]
    assert {(row["on"], row["event"]) for row in usual} == {
        (machine, name) for machine in ("web", "db") for name in ("logon", "logoff", "read", "write")
    }
    assert [row["kind"] for row in rows] == sorted(row["kind"] for row in rows)
    fill_in(tmp_path / "out" / TABLE, {row["cluster"]: "harmless" for row in usual})
    invoke("triage", learnt / "detector", "--labels", tmp_path / "out" / TABLE, "-o", tmp_path / "out")
    labelled = pl.read_parquet(tmp_path / "out" / LABELLED)
    assert labelled["label"].drop_nulls().len() == sum(int(row["size"]) for row in usual)


def test_where_nothing_is_rare_it_is_said_what_holds_the_rest(learnt: Path, tmp_path: Path) -> None:
    file = tmp_path / "calm.csv"
    lines = (learnt / "ordinary" / "day3.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:80]), encoding="utf-8")
    shown = " ".join(invoke("triage", learnt / "detector", file, "--all", "-o", tmp_path / "out").split())
    assert {row["kind"] for row in read(tmp_path / "out" / TABLE)} == {"usual"}
    assert "8 clusters of what is usual, by machine and event, hold 100.0%" in shown
    assert "alike" not in shown


@pytest.mark.parametrize("most", [0, 100])
def test_an_event_of_no_machine_that_is_called_like_an_incident_or_not_at_all_is_a_cluster_of_its_own(
    learnt: Path, most: int
) -> None:
    loaded = load(learnt / "detector")
    scorer = NormalScorer.of(loaded)
    assert scorer is not None
    called = {"logon": "000001", "logoff": ""}
    batches = []
    for judged in judge(learnt / "detector", [learnt / "day4.csv"])[1]:
        names = judged.batch.text.replace(called).to_list()
        place = judged.batch.place.with_columns(machine=pl.lit(""))
        batch = replace(judged.batch, place=place, tell=partial(list, names))
        batches.append(replace(judged, batch=batch))
    grouping = Grouping(scorer.detector, rest=True, most=most)
    numbers = pl.concat([kept["number"] for _, kept in grouping.add(ranked(batches, scorer))])
    clusters = grouping.clusters()
    incidents = [one for one in clusters if one.kind == "incident"]
    assert len(incidents) >= 1
    others = {one.event for one in clusters if one.kind != "incident"}
    assert others == ({"000001", "", "read", "write"} if most else {OTHERS})
    for one in clusters:
        assert one.size == (numbers == one.numbers[0]).sum()
        assert (one.kind == "incident") == (len(one.context) > 0)


def test_machines_and_events_beyond_the_bound_are_one_cluster(learnt: Path) -> None:
    loaded = load(learnt / "detector")
    scorer = NormalScorer.of(loaded)
    assert scorer is not None
    grouping = Grouping(scorer.detector, rest=True, most=2)
    batches = ranked(judge(learnt / "detector", [learnt / "day4.csv"])[1], scorer)
    seen = sum(windows for windows, _ in grouping.add(batches))
    kinds = [cluster.kind for cluster in grouping.clusters()]
    assert (kinds.count("usual"), kinds.count("rest")) == (2, 1)
    assert sum(cluster.size for cluster in grouping.clusters()) == seen == 412


def test_a_detector_without_a_test_part_asks_for_evidence(learnt: Path, tmp_path: Path) -> None:
    refused = refuse("triage", learnt / "detector", "-o", tmp_path / "out")
    assert isinstance(refused, UsageError)
    assert "no test part" in refused.what


@pytest.mark.parametrize(("agree", "worth"), [(90, False), (91, True)])
def test_labels_that_are_no_better_than_the_commonest_are_worth_nothing(agree: int, worth: bool) -> None:
    found = Spread(120, 3, [OfLabel("normal", 3, 120, 20, 100, agree)], 0.9, Path("x"))
    assert found.worth == worth
