"""What was told comes again: it is counted, spends nothing, and hides nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vestige.scoring.budgeting import AlertBudget
from vestige.scoring.repeats import AGAIN_S, MOST, Asked, Candidate, Repeats, key_of

ALPHA = 0.01
RARE = math.log(ALPHA / 5)


def decided(
    budget: AlertBudget, repeats: Repeats, kinds: list[str], *, at_s: float = 0.0, corrects: bool = False
) -> tuple[list[bool], list[int]]:
    """Which of these windows alert, and which repeat; an empty kind is a normal window."""
    log_p = np.array([RARE if kind else 0.0 for kind in kinds])
    candidates = {
        row: Candidate(key_of("web", kind), at_s + row)
        for row, kind in enumerate(kinds)
        if kind and kind != "known"
    }
    asked = Asked(repeats, candidates)
    entity = np.zeros(len(kinds), dtype=np.int64)
    alert = budget.decide(log_p, entity, ["web"], corrects=corrects, asked=asked)
    return alert.tolist(), sorted(asked.found)


def test_what_comes_again_is_counted_and_spends_nothing() -> None:
    budget, repeats = AlertBudget.start(ALPHA), Repeats()
    alert, found = decided(budget, repeats, ["new"] * 50 + ["other"])
    assert alert == [True] + [False] * 49 + [True]
    assert found == list(range(1, 50))
    assert (budget.spent.alerts, budget.spent.repeats, budget.spent.held_back) == (2, 49, 0)
    # Without that memory, the second kind is held back.
    plain = AlertBudget.start(ALPHA)
    log_p = np.full(51, RARE)
    assert not plain.decide(log_p, np.zeros(51, dtype=np.int64), ["web"])[-1]


def test_events_that_are_known_are_told_each_time() -> None:
    alert, found = decided(AlertBudget.start(ALPHA), Repeats(), ["known", "known"])
    assert alert == [True, True]
    assert not found


def test_another_host_is_told_by_itself() -> None:
    assert key_of("web", "new") != key_of("db", "new")
    assert key_of("web", "1new") != key_of("web1", "new")


def test_after_a_week_without_it_it_is_told_again() -> None:
    budget, repeats = AlertBudget.start(ALPHA), Repeats()
    assert decided(budget, repeats, ["new"])[0] == [True]
    assert decided(budget, repeats, ["new"], at_s=AGAIN_S - 1)[1] == [0]
    # It came a moment ago, however long ago it was told.
    assert decided(budget, repeats, ["new"], at_s=2 * AGAIN_S - 2)[1] == [0]
    assert decided(budget, repeats, ["new"], at_s=4 * AGAIN_S)[0] == [True]


def test_pieces_make_no_difference_and_what_is_corrected_counts_once() -> None:
    kinds = ["new", "", "other", "new", "", "third", "other"] * 9
    whole, parts = (AlertBudget.start(ALPHA), Repeats()), (AlertBudget.start(ALPHA), Repeats())
    expected = decided(*whole, kinds)[0]
    found: list[bool] = []
    for start in range(0, len(kinds), 4):
        piece = kinds[start : start + 4]
        found += decided(*parts, piece, at_s=start)[0]
        # The last window comes once more, as it was: nothing may be counted twice.
        assert decided(*parts, piece[-1:], at_s=start + len(piece) - 1, corrects=True)[0] == found[-1:]
    assert found == expected
    assert parts[0].to_dict() == whole[0].to_dict()
    assert parts[1].to_dict() == whole[1].to_dict()


def test_it_is_written_down_and_read_again() -> None:
    repeats = Repeats()
    repeats.tell(Candidate("a", 7.0))
    repeats.tell(Candidate("b", None))
    assert repeats.take_repeat(Candidate("b", 9.0))
    repeats.name("a", "000001")
    again = Repeats.of(repeats.to_dict())
    assert again.to_dict() == repeats.to_dict()
    assert (again.incident_of("a"), again.incident_of("c")) == ("000001", "")
    # Once they were counted here.
    assert Repeats.of({**repeats.to_dict(), "count": 1}).to_dict() == again.to_dict()
    for wrong in ({}, {"known": [["a", "x", ""]]}, {"known": [["a", 1.0]]}):
        with pytest.raises((ValueError, KeyError, TypeError)):
            Repeats.of(wrong)


def test_an_incident_is_known_when_a_repeat_is_taken_back() -> None:
    budget, repeats = AlertBudget.start(ALPHA), Repeats()
    assert decided(budget, repeats, ["new", "new"]) == ([True, False], [1])
    # Who hears of it first knows the incident.
    repeats.name(key_of("web", "new"), "000001")
    assert decided(budget, repeats, [""], corrects=True) == ([False], [])
    assert repeats.incident_of(key_of("web", "new")) == "000001"


def test_no_more_than_so_much_is_remembered() -> None:
    repeats = Repeats()
    for number in range(MOST + 5):
        repeats.tell(Candidate(str(number), 0.0))
    assert len(repeats.known) == MOST
    assert not repeats.take_repeat(Candidate("0", 0.0))
    assert repeats.take_repeat(Candidate(str(MOST), 0.0))
