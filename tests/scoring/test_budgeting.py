"""The promised share of alerts, kept while p-values change."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestige.scoring.budgeting import ENOUGH, FLOOR, GAMMA, MOST_MORE, SPARE, AlertBudget

ALPHA = 0.01
HERE = ["here"]


def decide(budget: AlertBudget, p: np.ndarray) -> np.ndarray:
    return budget.decide(np.log(p), np.zeros(len(p), dtype=np.int64), HERE)


def uniform(n: int, seed: int = 0) -> np.ndarray:
    return np.maximum(np.random.default_rng(seed).random(n), 1e-12)


def test_where_nothing_changes_the_promised_share_alerts() -> None:
    alert = decide(AlertBudget.start(ALPHA), uniform(200_000))
    assert alert.sum() == pytest.approx(2_000, rel=0.04)
    assert alert.sum() <= 2_000


@pytest.mark.parametrize("factor", [0.5, 0.1, 0.01])
def test_where_everything_has_become_rarer_the_promised_share_still_alerts(factor: float) -> None:
    p = uniform(100_000) * factor
    budget = AlertBudget.start(ALPHA)
    alert = decide(budget, p)
    assert (p <= ALPHA).mean() > 1.9 * ALPHA, "a threshold fixed once would have given more"
    assert alert.sum() == pytest.approx(1_000, rel=0.05)
    spent = budget.spent
    assert (spent.windows, spent.alerts, spent.rare) == (100_000, alert.sum(), (p <= ALPHA).sum())
    assert spent.held_back == ((p <= ALPHA) & ~alert).sum() > 0
    # The rarest of them alert: by far not as if they were drawn.
    assert np.median(p[alert]) < 0.2 * np.median(p)


def test_nothing_alerts_where_nothing_is_rare() -> None:
    budget = AlertBudget.start(ALPHA)
    assert not decide(budget, np.full(5_000, 3.1 * ALPHA)).any()
    # However long it was quiet, the threshold is three times as high at the most.
    assert decide(budget, np.array([2.9 * ALPHA])).all()


def test_the_rarest_alerts_after_a_long_noise() -> None:
    budget = AlertBudget.start(ALPHA)
    noise = decide(budget, np.full(300, 2 * FLOOR * ALPHA))
    assert 6 < noise.sum() < MOST_MORE + ALPHA * 300
    assert noise[10:].sum() <= ALPHA * 300 + 1, "the noise is held back"
    assert decide(budget, np.array([FLOOR * ALPHA / 2])).all()


def test_of_a_noise_of_the_rarest_a_bounded_number_alerts_and_the_rest_is_counted() -> None:
    budget = AlertBudget.start(ALPHA)
    alert = decide(budget, np.full(500, 1e-30))
    assert alert[:16].all()
    assert alert.sum() <= ALPHA * 500 + MOST_MORE
    assert budget.spent.held_back_floor == 500 - alert.sum()
    assert budget.own == {}
    assert budget.shared.spare == 0
    # Once it has been quiet, they are there again.
    quiet = np.log(np.r_[np.full(1_500, 0.5), ALPHA])
    budget.shared.alerts(quiet, ALPHA, np.zeros(len(quiet), dtype=np.bool_))
    assert budget.shared.spare == SPARE


P = st.lists(st.floats(1e-300, 1.0), min_size=1, max_size=300)


@given(P, st.integers(1, 5))
def test_no_evidence_whatever_takes_more_than_the_promise_and_a_constant(p: list[float], times: int) -> None:
    budget = AlertBudget.start(ALPHA)
    alert = decide(budget, np.tile(p, times))
    assert alert.sum() <= ALPHA * len(alert) + MOST_MORE


@given(P, st.lists(st.booleans(), min_size=300, max_size=300))
def test_what_is_free_spends_as_little_as_what_is_quiet(p: list[float], drawn: list[bool]) -> None:
    log_p, free = np.log(p), np.array(drawn[: len(p)])
    entity = np.zeros(len(p), dtype=np.int64)
    freely, quietly = AlertBudget.start(ALPHA), AlertBudget.start(ALPHA)
    alert = freely.decide(log_p, entity, ["a"], free=free)
    expected = quietly.decide(np.where(free, 0.0, log_p), entity, ["a"])
    assert alert[~free].tolist() == expected[~free].tolist()
    assert freely.spent == quietly.spent
    assert alert[free & (log_p <= np.log(ALPHA * FLOOR))].all(), "what is rare enough would alert"


@given(P, st.lists(st.integers(0, 2), min_size=300, max_size=300), st.integers(1, 40))
def test_in_whichever_pieces_windows_come_the_same_alert(p: list[float], of: list[int], size: int) -> None:
    log_p = np.log(p)
    entity, names = np.array(of[: len(p)]), ["a", "b", "c"]
    # A promise that is soon enough for thresholds of their own.
    whole = AlertBudget.start(0.3)
    expected = whole.decide(log_p, entity, names)
    cut = AlertBudget.start(0.3)
    found: list[bool] = []
    for start in range(0, len(p), size):
        rows = slice(start, start + size)
        # Each piece names its own, in its own order.
        present, code = np.unique(entity[rows], return_inverse=True)
        found += cut.decide(log_p[rows], code, [names[at] for at in present]).tolist()
        cut = AlertBudget.of(json.loads(json.dumps(cut.to_dict())))
    assert found == expected.tolist()
    assert cut.to_dict() == whole.to_dict()


def test_a_noisy_host_does_not_spend_what_was_promised_of_another() -> None:
    n = int(ENOUGH / ALPHA)
    budget = AlertBudget.start(ALPHA)
    quiet, noisy = uniform(4 * n, 1), uniform(4 * n, 2)
    noisy[2 * n :] = 1e-9
    log_p = np.log(np.stack([quiet, noisy], axis=1).ravel())
    entity = np.tile([0, 1], 4 * n)
    alert = budget.decide(log_p, entity, ["quiet", "noisy"]).reshape(-1, 2)
    assert set(budget.own) == {"quiet", "noisy"}
    late = alert[2 * n :]
    assert late[:, 0].sum() == pytest.approx(20, abs=8)
    assert late[:, 1].sum() <= 20 + MOST_MORE


def test_what_has_drifted_for_all_is_not_paid_for_once_for_each() -> None:
    n, hosts = int(ENOUGH / ALPHA), 8
    p = uniform(3 * n * hosts, 3) * 0.02
    entity = np.arange(len(p)) % hosts
    budget = AlertBudget.start(ALPHA)
    alert = budget.decide(np.log(p), entity, [f"host {number}" for number in range(hosts)])
    assert len(budget.own) == hosts
    # ln 50 is what the threshold has to fall; thresholds that each began at alpha would pay that eight times.
    assert alert.sum() - ALPHA * len(p) < 2 * math.log(50) / GAMMA


def test_a_host_with_two_recordings_has_one_threshold() -> None:
    log_p = np.log(uniform(4_000) * 0.05)
    once = AlertBudget.start(ALPHA)
    expected = once.decide(log_p, np.zeros(4_000, dtype=np.int64), HERE)
    twice = AlertBudget.start(ALPHA)
    found = twice.decide(log_p, np.arange(4_000) % 2, HERE * 2)
    assert found.tolist() == expected.tolist()
    assert twice.to_dict() == once.to_dict()


def test_a_correction_takes_the_place_of_the_last_window() -> None:
    log_p = np.log(uniform(500) * 0.2)
    once = AlertBudget.start(ALPHA)
    expected = once.decide(log_p, np.zeros(500, dtype=np.int64), HERE)
    again = AlertBudget.start(ALPHA)
    first = again.decide(np.r_[log_p[:99], math.log(1e-9)], np.zeros(100, dtype=np.int64), HERE)
    assert first[-1]
    rest = again.decide(log_p[99:], np.zeros(401, dtype=np.int64), HERE, corrects=True)
    assert [*first[:-1], *rest] == expected.tolist()
    assert again.to_dict() == once.to_dict()


def test_the_chance_of_so_many_alerts_is_that_of_poisson() -> None:
    budget = AlertBudget.start(ALPHA)
    decide(budget, np.full(300, 0.5))
    # 1 - e^-3 (1 + 3 + 9/2) = .5768 of three or more where three are expected.
    assert budget.chance(3) == pytest.approx(0.5768, abs=1e-4)
    assert budget.chance(0) == 1.0
    assert budget.chance(20) < 1e-9


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, math.nan])
def test_a_share_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="share"):
        AlertBudget.start(alpha)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("alpha", "0.1"),
        ("shared", {"log_alpha": 0.0, "spare": 1, "quiet": 0}),
        ("shared", {"log_alpha": -5.0, "spare": SPARE + 1, "quiet": 0}),
        ("shared", {"log_alpha": -5.0, "spare": 1, "quiet": -1}),
        ("own", {"nobody": {"log_alpha": -5.0, "spare": 1, "quiet": 0}}),
        ("seen", {"here": 1.5}),
        ("spent", {"windows": True}),
    ],
)
def test_a_state_that_cannot_be_is_refused(part: str, value: object) -> None:
    plain = AlertBudget.start(ALPHA).to_dict() | {part: value}
    with pytest.raises(ValueError, match=r"not a|never seen"):
        AlertBudget.of(plain)
