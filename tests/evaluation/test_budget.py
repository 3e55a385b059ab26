"""A budget of alerts as a share of windows."""

from __future__ import annotations

import pytest

from vestige.errors import UsageError
from vestige.evaluation.budget import MOST_ALPHA, UNTIMED, Budget

DAY_S = 86_400.0


@pytest.mark.parametrize("text", ["5/day", "1/hour", "20/week", "1/1000", "2.5/day"])
def test_a_budget_is_told_as_it_was_asked_for(text: str) -> None:
    assert str(Budget.parse(text)) == text
    assert Budget.parse(f" {text.replace('/', ' / ')} ") == Budget.parse(text)


@pytest.mark.parametrize("text", ["", "5", "day", "5/month", "-1/day", "0/day", "1/0", "nan/day", "1e3/day"])
def test_what_is_no_budget_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="no budget of alerts") as refused:
        Budget.parse(text)
    assert "5/day" in refused.value.remedy


def test_the_share_spends_the_budget() -> None:
    # 100,000 windows came in ten days: 10,000 a day, of which 5 are to alert.
    assert Budget.parse("5/day").alpha(100_000, 10 * DAY_S) == pytest.approx(5 / 10_000)
    assert Budget.parse("1/hour").alpha(100_000, 10 * DAY_S) == pytest.approx(24 / 10_000)
    assert Budget.parse("7/week").alpha(100_000, 10 * DAY_S) == pytest.approx(1 / 10_000)
    assert Budget.parse("1/1000").alpha(100_000, 10 * DAY_S) == 0.001


def test_without_times_a_budget_is_for_so_many_windows() -> None:
    assert Budget.parse("5/day").alpha(100, None) == 5 / UNTIMED
    assert Budget.parse("5/day").alpha(100, 0.0) == 5 / UNTIMED


def test_no_budget_lets_everything_alert() -> None:
    assert Budget.parse("1000/day").alpha(1_000, 30 * DAY_S) == MOST_ALPHA
    assert Budget.parse("1/2").alpha(1_000, None) == MOST_ALPHA
    assert Budget.parse("500/day").alpha(1_000, None) == MOST_ALPHA
