"""Learning what is normal, on small simulated corpora of every source, and what cannot be learnt from."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vestige import checkpoint, scoring
from vestige.errors import (
    CheckpointError,
    EvidenceError,
    OutputError,
    SplitError,
    UsageError,
    VestigeError,
)
from vestige.evaluation.budget import Budget
from vestige.evaluation.learnt import FILE, Learnt
from vestige.models.normal.detector import Normal
from vestige.pipeline.learn import learn
from vestige.reading.times import rfc3339
from vestige.simulators import registry as simulators
from vestige.sources import registry as sources
from vestige.training import TrainingConfig

START_NS = 1_767_225_600 * 10**9
SECOND_NS = 10**9
WEIGHTS = "weights.safetensors"
SIMULATED: dict[str, dict[str, Any]] = {
    "logs": {"messages": 1500, "hosts": 2, "days": 2, "anomalies": 0, "seed": 1},
    "events": {"machines": 4, "events": 1500, "days": 2, "campaigns": 0, "seed": 1},
    "telemetry": {"hosts": 1, "episodes": 8, "seconds": 60, "plant": ("none=0",), "seed": 1},
    "traces": {"programs": 2, "recordings": 3, "kilobytes": 4, "malicious": 0, "seed": 1},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "logs": {"format": "bgl"},
    "traces": {"sequence_len": 8, "sliding_window": False},
}


def simulate(source: str, out: Path, **changes: Any) -> Path:
    simulator = simulators.get(source)
    simulator.write(out, simulator.options(**SIMULATED[source] | changes))
    return out


def learn_from(source: str, evidence: Path, out: Path, *, budget: str = "1/100", **more: Any) -> Learnt:
    """Learn without planting anything, which has tests of its own."""
    found = sources.get(source)
    options = found.options(**more.pop("options", OPTIONS.get(source, {})))
    return learn(found, evidence, out, options=options, budget=Budget.parse(budget), **{"plants": 0} | more)


def rows_of(detector: Path, *evidence: Path) -> list[dict[str, Any]]:
    return list(scoring.score(detector, evidence))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The simulated corpus of a source, made once."""
    made: dict[str, Path] = {}

    def of(source: str) -> Path:
        if source not in made:
            made[source] = simulate(source, tmp_path_factory.mktemp(source) / "corpus")
        return made[source]

    return of


Learn = Callable[[str], tuple[Path, Learnt]]


@pytest.fixture(scope="module")
def learnt(corpus: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Learn:
    """A detector of each source, and what it says of itself, made once."""
    made: dict[str, tuple[Path, Learnt]] = {}

    def of(source: str) -> tuple[Path, Learnt]:
        if source not in made:
            out = tmp_path_factory.mktemp(source) / "detector"
            made[source] = out, learn_from(source, corpus(source), out)
        return made[source]

    return of


@pytest.mark.parametrize("source", SIMULATED)
def test_every_source_is_learnt_from_and_scored(
    source: str, corpus: Callable[[str], Path], learnt: Learn
) -> None:
    detector, found = learnt(source)
    assert {path.name for path in detector.iterdir()} == {"model.json", WEIGHTS, FILE, "report.html"}
    assert Learnt.load(detector / FILE) == found
    sizes = np.array([part.windows for part in (found.learn, found.calibrate, found.check)])
    assert np.allclose(sizes / sizes.sum(), [0.6, 0.2, 0.2], atol=0.15)
    assert found.alpha == 0.01
    assert found.promised.alerts == pytest.approx(0.01 * found.check.windows)
    rows = rows_of(detector, corpus(source))
    # Learning and scoring judge the same windows: a budget that is learnt for the ones holds for the others.
    assert len(rows) == sizes.sum()
    rare = [row for row in rows if row["p_value"] <= 0.01]
    assert len(rare) < 0.2 * len(rows)


def test_an_odd_message_is_strange_and_the_ordinary_is_not(
    corpus: Callable[[str], Path], learnt: Learn, tmp_path: Path
) -> None:
    lines = min(corpus("logs").rglob("system.log")).read_text().splitlines()[-40:]
    header = lines[-1].split(" ", 9)[:9]
    odd = [
        " ".join([*header, f"segfault at 7f{n:04x} ip 00cc rip {n} in libevil.so rm -rf"]) for n in range(9)
    ]
    (tmp_path / "new.log").write_text("\n".join([*lines, *odd, ""]))
    rows = rows_of(learnt("logs")[0], tmp_path / "new.log")
    ordinary, strange = rows[: len(lines)], rows[len(lines) :]
    assert len(strange) == len(odd)
    assert min(row["p_value"] for row in strange) < 0.01
    assert any(row["alert"] for row in strange)
    assert not any(row["alert"] for row in ordinary)


def test_an_odd_event_is_strange_and_the_ordinary_is_not(
    corpus: Callable[[str], Path], learnt: Learn, tmp_path: Path
) -> None:
    with max(corpus("events").glob("*.csv")).open() as file:
        rows = list(csv.DictReader(file))[-60:]
    machine = rows[-1]["machine"]
    odd = [rows[-1] | {"event": f"ransom.note_{n}", "message": "pay"} for n in range(6)]
    path = tmp_path / "new.csv"
    with path.open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([*rows, *odd])
    scored = rows_of(learnt("events")[0], path)
    assert len(scored) == 66
    strange = [row for row in scored if row["machine"] == machine][-6:]
    ordinary = [row for row in scored if row not in strange]
    assert min(row["p_value"] for row in strange) < 0.01
    assert np.mean([row["p_value"] <= 0.01 for row in ordinary]) < 0.1


def test_a_hijacked_program_is_stranger_than_the_ordinary(learnt: Learn, tmp_path: Path) -> None:
    attacked = simulate("traces", tmp_path / "attacked", malicious=0.5)
    rows = rows_of(learnt("traces")[0], attacked)
    hijacked = {path.parent.name for path in attacked.glob("*/info.txt") if "malicious" in path.read_text()}
    assert 0 < len(hijacked) < 6
    bad, good = (
        [row["p_value"] for row in rows if (row["recording"] in hijacked) is side] for side in (True, False)
    )
    assert np.mean(np.array(bad) <= 0.01) > 2 * np.mean(np.array(good) <= 0.01)


def messages(texts: Iterable[str], *, timed: bool = True) -> str:
    """Lines of a log, a second apart."""
    lines = []
    for at, text in enumerate(texts):
        time = ""
        if timed:
            time = f"{str(rfc3339(np.array([START_NS + at * SECOND_NS]))[0])[:19]}Z INFO "
        lines.append(f"{time}{text}\n")
    return "".join(lines)


DRAWN = np.random.default_rng(0)
WORDS = ("opened the door", "closed the window", "fed the cat", "wound the clock", "lit the lamp")


def ordinary(n: int, seed: int = 0) -> list[str]:
    """Messages that come in much the same order."""
    skipped = np.random.default_rng(seed).random(2 * n) < 0.1
    return [WORDS[at % 5] for at in np.flatnonzero(~skipped)[:n].tolist()]


def write(path: Path, texts: Iterable[str], *, timed: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(messages(texts, timed=timed))
    return path


def learn_logs(evidence: Path, out: Path, **more: Any) -> Learnt:
    return learn_from("logs", evidence, out, **{"options": {}} | more)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file of ordinary messages, and a detector that learnt from it."""
    place = tmp_path_factory.mktemp("plain")
    evidence = write(place / "app.log", ordinary(400))
    learn_logs(evidence, place / "detector")
    return evidence, place / "detector"


def test_equal_seeds_give_equal_bytes(plain: tuple[Path, Path], tmp_path: Path) -> None:
    evidence, detector = plain
    learn_logs(evidence, tmp_path / "again")
    for name in (WEIGHTS, FILE):
        assert (tmp_path / "again" / name).read_bytes() == (detector / name).read_bytes()
    first, second = (json.loads((path / "model.json").read_text()) for path in (detector, tmp_path / "again"))
    for name in ("created", "digest"):
        first.pop(name), second.pop(name)
    assert first == second


@pytest.mark.parametrize("source", ["logs", "events"])
def test_labels_are_not_looked_at(
    source: str,
    corpus: Callable[[str], Path],
    learnt: Learn,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    relabelled = tmp_path / "relabelled"
    shutil.copytree(corpus(source), relabelled)
    for path in sorted(relabelled.rglob("*.log" if source == "logs" else "*.csv")):
        if source == "logs":
            lines = path.read_text().splitlines(keepends=True)
            labelled = [f"FATAL {line[2:]}" if line.startswith("- ") else line for line in lines]
            assert labelled != lines
            path.write_text("".join(labelled))
        else:
            text = path.read_text()
            assert ",normal\n" in text
            path.write_text(text.replace(",normal\n", ",attack\n"))
    found = learn_from(source, relabelled, tmp_path / "detector")
    detector, before = learnt(source)
    assert (tmp_path / "detector" / WEIGHTS).read_bytes() == (detector / WEIGHTS).read_bytes()
    assert found.came == before.came
    assert "--label" not in caplog.text


def test_evidence_without_times(tmp_path: Path) -> None:
    evidence = write(tmp_path / "app.log", ordinary(400), timed=False)
    found = learn_logs(evidence, tmp_path / "one", options={"format": "plain"}, budget="5/day")
    assert found.parted.startswith("each recording in three")
    assert found.came.unit == "1,000 windows"
    assert "pace.gap" not in found.looks
    for number in range(15):
        write(tmp_path / "many" / f"{number}.log", ordinary(30, number), timed=False)
    found = learn_logs(tmp_path / "many", tmp_path / "whole", options={"format": "plain"})
    assert found.parted.startswith("by whole recordings")
    assert [part.recordings for part in (found.learn, found.calibrate, found.check)] == [9, 3, 3]


def test_values_and_times_are_looked_at_where_there_are_any(plain: tuple[Path, Path]) -> None:
    found = Learnt.load(plain[1] / FILE)
    assert found.parted == "by time"
    assert found.looks[:4] == ["order", "rarity", "repeats", "novelty.distance"]
    assert {"pace.gap", "values.new"} <= set(found.looks)
    assert found.check.begin is not None
    assert found.learn.end is not None
    assert found.learn.end < found.check.begin


def test_windows_that_look_ahead_are_judged_by_what_came_before(
    plain: tuple[Path, Path], tmp_path: Path
) -> None:
    evidence, detector = plain
    options = {"sequence_type": "context", "window_size": 9}
    found = learn_logs(evidence, tmp_path / "d", options=options)
    assert found.looks == Learnt.load(detector / FILE).looks
    assert found.came == Learnt.load(detector / FILE).came
    # Order, rarity, values and pace of the step judged are those of a window that ends on it.
    p_value, other = (
        [row["p_value"] for row in rows_of(path, evidence)] for path in (tmp_path / "d", detector)
    )
    assert len(p_value) == 400
    assert p_value == pytest.approx(other, rel=1e-6)


ATTACK = ("dumped the lot", "sent it abroad", "wiped the disk", "paid the piper", "broke the lock")
REFUSED: dict[str, tuple[list[str], type[VestigeError], str, str]] = {
    "too little": (ordinary(90), SplitError, "90 windows .recordings: 1., and.*needs 200", "more evidence"),
    "one event": (["the same again"] * 300, EvidenceError, "every event .* the same", "more kinds of events"),
    "two programs": (
        [*ordinary(240), *(ATTACK[at % 5] for at in range(160))],
        EvidenceError, "100% of the later events are unlike all earlier ones, and repeat", "an attack",
    ),
    "all lines different": (
        [f"{word * 3} {word[::-1]}" for word in map("".join, DRAWN.choice(list("abcdefghijk"), (300, 7)))],
        EvidenceError, "later events are unlike all earlier ones", "--format",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_learnt_from_is_refused(case: str, tmp_path: Path) -> None:
    texts, kind, message, remedy = REFUSED[case]
    evidence = write(tmp_path / "app.log", texts)
    with pytest.raises(kind, match=message) as refused:
        learn_logs(evidence, tmp_path / "out" / "detector")
    assert refused.value.where == evidence
    assert remedy in refused.value.remedy
    assert not (tmp_path / "out").exists()


def test_evidence_of_another_source_is_refused(
    plain: tuple[Path, Path], corpus: Callable[[str], Path]
) -> None:
    for source in ("traces", "telemetry"):
        with pytest.raises(EvidenceError):
            rows_of(plain[1], corpus(source))


def test_damaged_weights_are_refused(plain: tuple[Path, Path], tmp_path: Path) -> None:
    evidence, detector = plain
    shutil.copytree(detector, tmp_path / "damaged")
    weights = tmp_path / "damaged" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError):
        rows_of(tmp_path / "damaged", evidence)


def test_a_directory_of_something_else_is_left_alone(plain: tuple[Path, Path], tmp_path: Path) -> None:
    evidence, detector = plain
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    for overwrite in (False, True):
        with pytest.raises(OutputError):
            learn_logs(evidence, tmp_path / "photos", overwrite=overwrite)
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]
    shutil.copytree(detector, tmp_path / "old")
    with pytest.raises(OutputError, match="exists"):
        learn_logs(evidence, tmp_path / "old")
    learn_logs(evidence, tmp_path / "old", overwrite=True, budget="1/200")
    assert Learnt.load(tmp_path / "old" / FILE).budget == "1/200"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "photos"]


def test_a_part_that_is_all_attack_is_told(tmp_path: Path) -> None:
    usual = ordinary(500)
    # In the part that ranks are taken among, known messages come in no order.
    drawn = np.random.default_rng(0).integers(5, size=100).tolist()
    disorder = [*usual[:300], *(WORDS[at] for at in drawn), *WORDS * 20]
    found = learn_logs(write(tmp_path / "disorder.log", disorder), tmp_path / "disorder")
    assert found.came.alerts == 0
    assert "is unlike what came after it. Perhaps it is an attack" in " ".join(found.warnings)
    found = learn_logs(
        write(tmp_path / "last.log", [*usual[:400], *(ATTACK[at % 5] for at in range(100))]),
        tmp_path / "last",
    )
    assert not found.kept
    assert "what came last is unlike what came before it" in " ".join(found.warnings)
    assert found.strangest
    assert found.warnings[0] in (tmp_path / "last" / "report.html").read_text()
    mixed = [*usual[:300], *(ATTACK[at % 5] if at % 3 == 0 else usual[300 + at] for at in range(200))]
    found = learn_logs(write(tmp_path / "mixed.log", mixed), tmp_path / "mixed")
    assert "of the events to calibrate with are unlike all that were learnt from" in found.warnings[0]
    found = learn_logs(write(tmp_path / "usual.log", usual), tmp_path / "usual")
    assert found.warnings == []


BRIEF = TrainingConfig(epochs=1, device="cpu", threads=1)


def test_a_network_says_which_event_follows(plain: tuple[Path, Path], tmp_path: Path) -> None:
    evidence, by_grams = plain
    learn_logs(evidence, tmp_path / "first", model="gru", training=BRIEF)
    learn_logs(evidence, tmp_path / "second", model="next_gru", training=BRIEF)
    names = {path.name for path in (tmp_path / "first").iterdir()}
    assert names == {"model.json", WEIGHTS, FILE, "report.html"}
    assert (tmp_path / "first" / WEIGHTS).read_bytes() == (tmp_path / "second" / WEIGHTS).read_bytes()
    found, other = (checkpoint.load(path).detector for path in (tmp_path / "first", by_grams))
    assert isinstance(found, Normal)
    assert isinstance(other, Normal)
    assert found.looks == other.looks
    assert other.network is None
    assert found.network is not None
    assert found.network.name == "next_gru"
    tokens = np.array([[3, 4, 5, 6, 7, 3, 4, 5, 6, 7], [3, 4, 5, 6, 7, 3, 4, 5, 6, 3]])
    batch = {"tokens": tokens, "looks": np.zeros((2, len(found.looks) - 3), dtype=np.float32)}
    surprise = found.network.surprise({"tokens": tokens})
    assert found.strangeness(batch)[:, 0] == pytest.approx(surprise, abs=1e-4)
    assert (found.strangeness(batch)[:, 0] != other.strangeness(batch)[:, 0]).all()
    assert (found.strangeness(batch)[:, 1:] == other.strangeness(batch)[:, 1:]).all()
    rows = rows_of(tmp_path / "first", evidence)
    assert len(rows) == 400
    assert np.mean([row["p_value"] <= 0.01 for row in rows]) < 0.05
    with pytest.raises(UsageError, match=r"ranks what its network says.*float32.*\n.*leave --precision out"):
        found.round_products()
    with pytest.raises(UsageError, match="normal has no network"):
        other.round_products()


def test_what_is_no_model_of_what_follows_is_refused(
    plain: tuple[Path, Path], corpus: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no model 'gbt' for the task 'next'"):
        learn_logs(plain[0], tmp_path / "out", model="gbt")
    with pytest.raises(UsageError, match="next_gru"):
        learn_from("telemetry", corpus("telemetry"), tmp_path / "out", model="gru")
    assert list(tmp_path.iterdir()) == []


def test_an_attack_that_was_learnt_from_is_found_less(
    corpus: Callable[[str], Path], learnt: Learn, tmp_path: Path
) -> None:
    detector, before = learnt("logs")
    shares = (0.01, 0.2)
    found = learn_from("logs", corpus("logs"), tmp_path / "d", plants=10, contamination=shares)
    # What is kept learnt from none of it.
    assert (tmp_path / "d" / WEIGHTS).read_bytes() == (detector / WEIGHTS).read_bytes()
    clean, little, much = found.contamination
    assert (clean.share, clean.came) == (0, before.came)
    assert little.share == pytest.approx(0.01, abs=0.02)
    assert much.share == pytest.approx(0.2, abs=0.02)
    assert list(clean.found) == list(little.found) == list(much.found)
    never = "messages never seen"
    assert clean.found[never].of == 30
    assert much.found[never].found < clean.found[never].found
    assert (
        found.contamination
        == learn_from(
            "logs", corpus("logs"), tmp_path / "again", plants=10, contamination=shares
        ).contamination
    )
    headline = "Where some of what it learnt from was an attack"
    assert headline in (tmp_path / "d" / "report.html").read_text()
    assert headline not in (detector / "report.html").read_text()


@pytest.mark.parametrize("source", ["telemetry", "traces"])
def test_every_source_can_be_contaminated(source: str, corpus: Callable[[str], Path], tmp_path: Path) -> None:
    found = learn_from(source, corpus(source), tmp_path / "d", plants=10, contamination=(0.05,))
    clean, planted = found.contamination
    assert clean.came == found.came
    assert planted.share == pytest.approx(0.05, abs=0.04)
    assert set(planted.found) == set(clean.found)
    assert planted.found
