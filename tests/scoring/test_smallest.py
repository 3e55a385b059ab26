"""The smallest change that makes an alert normal: scored again on evidence from which it was really made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scoring.test_normal import START, line, lines, place
from vestige import checkpoint
from vestige.scoring import score
from vestige.scoring.budgeting import HIGHEST
from vestige.scoring.smallest import parts_of

__all__ = ["place"]
ODD = "kernel: segfault at 7f00 ip 0041 error 4 in libc.so"


def score_lines(place: Path, name: str, text: Iterable[str]) -> list[dict[str, Any]]:
    (place / name).write_text("".join(text))
    return list(score(place / "d", [place / name]))


@pytest.fixture(scope="module")
def evidence(place: Path) -> list[str]:
    """Ordinary lines, and a strange one among them."""
    later = lines(300, begin=START.replace(day=4), seed=1)
    later[100] = line(START.replace(day=4, hour=1), ODD)
    return later


def test_without_it_the_evidence_is_normal(place: Path, evidence: list[str]) -> None:
    limit = HIGHEST * checkpoint.load(place / "d").detector.alpha  # type: ignore[attr-defined]
    rows = score_lines(place, "changed.log", evidence)
    alerts = [row for row in rows if row["alert"] and row["smallest"]["steps"]]
    assert len(alerts) >= 2
    earlier = 0
    for row in alerts:
        found = row["smallest"]
        assert found["says"]
        assert len(found["events"]) == len(found["steps"])
        gone = {row["line"] + step for step in found["steps"]}
        again = score_lines(
            place, "without.log", (text for n, text in enumerate(evidence, 1) if n not in gone)
        )
        last = row["line"] - sum(step == 0 for step in found["steps"])
        judged = again[last - len([number for number in gone if number <= last]) - 1]
        assert judged["text"] == rows[last - 1]["text"]
        # What lies before the window is there now, which it is not where the change is looked for.
        assert judged["p_value"] > limit / 2
        earlier += 0 not in found["steps"]
    assert earlier, "of some alerts a line before is to blame"
    (odd,) = [row for row in alerts if "segfault" in row["text"]]
    assert odd["smallest"]["steps"] == [0]
    assert odd["smallest"]["events"] == [odd["event"]]


def test_where_nothing_helps_that_is_told(place: Path) -> None:
    strange = [line(START.replace(day=5), f"app[1]: {'xyzuvw'[n % 6] * (3 + n)}") for n in range(40)]
    rows = [row for row in score_lines(place, "strange.log", strange) if row["alert"]]
    none = [row["smallest"] for row in rows if not row["smallest"]["steps"]]
    assert none
    for found in none:
        assert found["p_value"] is None
        assert found["says"].startswith(f"none of {found['tried']} parts")


def test_the_smallest_and_latest_are_tried_first_and_never_all() -> None:
    real = np.array([2, 3, 4, 5])
    assert parts_of(real, 5) == [(5,), (4,), (3,), (2,), (4, 5), (3, 4), (2, 3), (3, 4, 5), (2, 3, 4)]
    assert parts_of(real, 4) == [(4,), (3,), (2,), (3, 4), (2, 3)]
    assert parts_of(real, 5, most=3) == [(5,), (4,), (3,)]
    assert parts_of(np.array([7]), 7) == []
