"""Detectors that learnt without labels, judged on evidence that has some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.test_learn import ATTACK, learn_from, messages, ordinary, write
from vestige import checkpoint, scoring
from vestige.errors import EvidenceError, UsageError
from vestige.models.normal.detector import Normal
from vestige.pipeline.on_evidence import JudgedOn, judge_on

SESSIONS = "timestamp,machine,event,label\n"


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What learnt from ordinary messages."""
    place = tmp_path_factory.mktemp("learnt")
    learn_from("logs", write(place / "app.log", ordinary(600)), place / "detector", options={})
    return place / "detector"


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days later: a message that never was, among ordinary ones; `words` label it and some others."""
    place = tmp_path_factory.mktemp("labelled")
    texts = [ATTACK[0] if at % 14 == 13 else text for at, text in enumerate(ordinary(300, seed=9))]
    (place / "new.log").write_text(messages(texts).replace("2026-01-01", "2026-01-04"))
    (place / "words").write_text(f"{ATTACK[0]}\nwound\n")
    return place / "new.log"


def words(labelled: Path) -> str:
    return f"words:{labelled.with_name('words')}"


def judge(detector: Path, evidence: Path, **read: Any) -> JudgedOn:
    return judge_on(detector, evidence, read, resamples=100)


def test_it_is_judged_with_the_metrics_of_every_detector(detector: Path, labelled: Path) -> None:
    found = judge(detector, labelled, label=words(labelled))
    assert (found.detector, found.unit, len(found.test)) == ("normal", "window", 300)
    positives = int(found.test.positive.sum())
    assert positives > 60
    for name in ("roc_auc", "average_precision"):
        figure = found.metrics[name]
        assert figure.estimate is not None
        assert figure.low is not None
        assert figure.high is not None
        assert 0.2 < figure.low < figure.estimate < figure.high < 0.9
    # The alerts are those that scoring raises.
    rows = list(scoring.score(detector, [labelled]))
    assert found.alerts == sum(row["alert"] for row in rows)
    p_value = np.array([row["p_value"] for row in rows])
    assert np.array_equal(
        np.argsort(-found.test.score, kind="stable")[:5], np.argsort(p_value, kind="stable")[:5]
    )
    right = sum(row["alert"] for row, positive in zip(rows, found.test.positive, strict=True) if positive)
    assert found.metrics["recall"].estimate == pytest.approx(right / positives)
    assert found.metrics["precision"].estimate == pytest.approx(right / found.alerts)


def test_doubts_are_told(detector: Path, labelled: Path, tmp_path: Path) -> None:
    assert not any(
        "learnt from" in doubt for doubt in judge(detector, labelled, label=words(labelled)).doubts
    )
    same = write(tmp_path / "same.log", [*ordinary(200), ATTACK[0]] * 2)
    doubts = judge(detector, same, label=words(labelled)).doubts
    assert any("it may be the same" in doubt for doubt in doubts)


def test_what_cannot_be_judged_is_refused(detector: Path, labelled: Path) -> None:
    with pytest.raises(EvidenceError, match="has no labels") as refused:
        judge(detector, labelled)
    assert "--read label=" in refused.value.remedy
    with pytest.raises(UsageError, match="--read lable") as unknown:
        judge(detector, labelled, lable="none")
    assert "label" in unknown.value.remedy
    with pytest.raises(EvidenceError, match=r"read for its labels, it holds 150 windows.* and 300"):
        judge(detector, labelled, label=words(labelled), stride=2)


def test_recordings_are_judged_where_labels_are_theirs(tmp_path: Path) -> None:
    """Sessions: what is labelled is the session as a whole."""
    drawn = np.random.default_rng(0)

    def session(name: str, bad: bool) -> str:
        events = [f"e{int(at) % 4}" for at in np.arange(12 + drawn.integers(8)) + drawn.integers(4)]
        if bad:
            drawn.shuffle(events)
        start = 1_767_225_600 + 100 * int(name[1:])
        return "".join(f"{start + at},{name},{event},{int(bad)}\n" for at, event in enumerate(events))

    path = tmp_path / "sessions.csv"
    path.write_text(SESSIONS + "".join(session(f"s{number}", False) for number in range(140)))
    options = {"mapping": "csv", "label_of": "machine", "context": 4}
    learn_from("events", path, tmp_path / "d", options=options)
    other = tmp_path / "other.csv"
    other.write_text(SESSIONS + "".join(session(f"t{number}", number % 4 == 0) for number in range(40)))
    found = judge(tmp_path / "d", other)
    assert (found.unit, len(found.test)) == ("recording", 40)
    assert found.test.positive.sum() == 10
    assert found.metrics["roc_auc"].estimate == pytest.approx(1.0, abs=0.1)
    # A probability of one half is where the p-value is the share that alerts.
    normal = checkpoint.load(tmp_path / "d").detector
    assert isinstance(normal, Normal)
    assert normal.recordings is not None
    p_values = [row["p_value"] for row in scoring.score_recordings(tmp_path / "d", [other])]
    odds = np.log(p_values) / np.log(normal.recordings.alpha)
    assert np.sort(found.test.score) == pytest.approx(np.sort(odds / (1 + odds)), rel=1e-4)
