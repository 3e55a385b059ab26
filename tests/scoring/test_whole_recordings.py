"""`score --by-recording` with a detector that learnt of whole recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from vestige import checkpoint
from vestige.checkpoint import HEADER
from vestige.errors import CheckpointError
from vestige.evaluation.budget import Budget
from vestige.evaluation.learnt import FILE, Learnt
from vestige.models.normal.whole import SPARE, allowed
from vestige.pipeline.learn import learn
from vestige.scoring import score_recordings
from vestige.sources import registry


def sessions(folder: Path, count: int, seed: int, name: str = "normal") -> Path:
    """Files of one session of system calls each: from each to the next in a ring of twenty, with leaps."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        leaps = rng.random(rng.integers(15, 40)) < rng.uniform(0.0, 0.4)
        calls = (rng.integers(20) + np.cumsum(1 + leaps)) % 20 + 3
        (folder / f"{name}-{number}.txt").write_text(" ".join(map(str, calls.tolist())))
    return folder


def learnt_from(folder: Path, out: Path, mapping: str = "syscalls") -> Learnt:
    source = registry.get("events")
    options = source.options(mapping=mapping)
    with pytest.MonkeyPatch.context() as patch:
        # Planting anomalies takes most of the time, and has tests of its own.
        patch.setattr("vestige.pipeline.learn.sensitivity", lambda *_, **__: None)
        return learn(source, folder, out, options=options, budget=Budget.parse("1/100"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learnt from 100 sessions."""
    place = tmp_path_factory.mktemp("whole")
    learnt_from(sessions(place / "normals", 100, seed=0), place / "detector")
    return place / "detector"


def rows_of(detector: Path, folder: Path) -> list[dict[str, Any]]:
    return score_recordings(detector, [folder])


def test_the_strange_sessions_come_first_with_their_reasons(detector: Path, tmp_path: Path) -> None:
    new = sessions(tmp_path / "new", 30, seed=1)
    rng = np.random.default_rng(2)
    for number in range(3):
        calls = rng.permutation(np.arange(3, 23).repeat(2))
        (new / f"odd-{number}.txt").write_text(" ".join(map(str, calls.tolist())))
    rows = rows_of(detector, new)
    assert len(rows) == 33
    assert {row["recording"] for row in rows[:3]} == {f"odd-{number}.txt" for number in range(3)}
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    for row in rows[:3]:
        assert row["alert"] is True
        assert row["p_value"] == pytest.approx(10 ** -row["score"], rel=1e-5)
        p_values = [reason["p_value"] for reason in row["reasons"]]
        assert p_values == sorted(p_values)
        assert p_values[0] < 0.02
        assert {reason["look"] for reason in row["reasons"]} & {"order.quartile", "order.mean", "neighbours"}
        assert all(" in " in reason["says"] for reason in row["reasons"])
    assert sum(row["alert"] for row in rows[3:]) <= 2
    json.dumps(rows)


def test_of_many_that_are_as_rare_as_an_alert_the_strangest_alert(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new = sessions(tmp_path / "new", 30, seed=1)
    rng = np.random.default_rng(2)
    for number in range(40):
        calls = rng.permutation(np.arange(3, 23).repeat(2))
        (new / f"odd-{number}.txt").write_text(" ".join(map(str, calls.tolist())))
    rows = rows_of(detector, new)
    assert len(rows) == 70
    as_rare = [row["p_value"] <= 0.01 for row in rows]
    assert sum(as_rare) >= 40
    # Of 70, one in a hundred was promised.
    assert [row["alert"] for row in rows] == [True] * SPARE + [False] * (70 - SPARE)
    assert f"{sum(as_rare)} of 70 recordings are as rare as an alert" in caplog.text
    assert f"{sum(as_rare) - SPARE} were held back" in caplog.text


@pytest.mark.parametrize(
    ("n", "alpha", "most"), [(1, 0.01, SPARE), (723, 0.01, 14), (10_000, 0.01, 124), (10_000, 0.001, 18)]
)
def test_no_more_may_alert_than_chance_explains(n: int, alpha: float, most: int) -> None:
    assert allowed(n, alpha) == most
    # More would come more seldom than once in a hundred times.
    assert stats.binom.sf(most, n, alpha) <= 0.01


def test_what_the_check_said_is_kept(detector: Path) -> None:
    whole = Learnt.load(detector / FILE).whole
    assert whole is not None
    assert (whole.learnt, whole.checked, whole.alpha) == (80, 20, 0.01)
    assert whole.alerts <= 2
    assert whole.high is not None
    assert 0.1 < whole.high < 0.4


def test_an_order_of_files_and_what_lies_beside_change_no_score(detector: Path, tmp_path: Path) -> None:
    both = {row["recording"]: row["score"] for row in rows_of(detector, sessions(tmp_path / "a", 6, seed=3))}
    for path in (tmp_path / "a").iterdir():
        if path.name != "normal-2.txt":
            path.unlink()
    (alone,) = rows_of(detector, tmp_path / "a")
    assert alone["score"] == both["normal-2.txt"]


def test_of_few_recordings_windows_alone_are_judged(tmp_path: Path) -> None:
    learnt = learnt_from(sessions(tmp_path / "normals", 30, seed=0), tmp_path / "detector")
    assert learnt.whole is None
    rows = rows_of(tmp_path / "detector", sessions(tmp_path / "new", 5, seed=1))
    assert len(rows) == 5
    assert "reasons" not in rows[0]
    # The p-value of its rarest window.
    assert rows[0]["p_value"] == pytest.approx(10 ** -rows[0]["score"], rel=1e-5)
    assert rows[0]["score"] >= rows[-1]["score"] >= 0


def test_sessions_without_times_are_parted_as_wholes(tmp_path: Path) -> None:
    folder = sessions(tmp_path / "normals", 80, seed=0)
    lines = [
        json.dumps({"session": path.stem, "events": path.read_text().split()}) for path in folder.iterdir()
    ]
    (tmp_path / "sessions.jsonl").write_text("\n".join(lines) + "\n")
    learnt = learnt_from(tmp_path / "sessions.jsonl", tmp_path / "detector", "sessions")
    assert learnt.whole is not None
    assert (learnt.whole.learnt, learnt.whole.checked) == (64, 16)
    assert learnt.check.begin is None


def test_a_changed_state_is_refused(detector: Path, tmp_path: Path) -> None:
    other = tmp_path / "detector"
    other.mkdir()
    for path in detector.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    header = json.loads((other / HEADER).read_text())
    header["model"]["state"]["recordings"]["end"] = 0
    (other / HEADER).write_text(json.dumps(header))
    with pytest.raises(CheckpointError):
        checkpoint.load(other)
