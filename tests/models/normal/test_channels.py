"""Windows of channels are strange where they are other than what was learnt, and by the right channel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, from_dtype
from numpy.typing import NDArray

from vestige.models.normal import channels
from vestige.models.normal.channels import LOOKS, Channels, describe

STEPS = 12
BYTES, PACKETS, LOAD, BURSTS, CORES, NEVER, ENTROPY = range(7)
Windows = NDArray[np.float32]


def usual(n: int, seed: int) -> Windows:
    """Windows `(n, 7, 12)` of a quiet machine: traffic by bytes and packets, a load that moves, rare bursts,
    a constant, a channel that nobody ever read, and one that is missing half of the time."""
    random = np.random.default_rng(seed)
    X = np.empty((n, 7, STEPS))
    traffic = np.exp(random.normal(8, 1, (n, 1)) + random.normal(0, 0.3, (n, STEPS)))
    X[:, BYTES] = 900 * traffic
    X[:, PACKETS] = traffic * np.exp(random.normal(0, 0.05, (n, STEPS)))
    X[:, LOAD] = 0.5 + 0.05 * random.normal(size=(n, STEPS))
    X[:, BURSTS] = np.where(random.random((n, STEPS)) < 0.05, random.exponential(50, (n, STEPS)), 0)
    X[:, CORES] = 4
    X[:, NEVER] = np.nan
    X[:, ENTROPY] = np.where(random.random((n, STEPS)) < 0.5, np.nan, random.normal(3, 0.2, (n, STEPS)))
    return X.astype(np.float32)


@pytest.fixture(scope="module")
def learnt() -> Channels:
    return Channels.fit([usual(1_000, 0)], seed=0)


def spike(X: Windows) -> None:
    X[:, LOAD, -1] = 5


def flat(X: Windows) -> None:
    X[:, LOAD] = X[:, LOAD, :1]


def lost(X: Windows) -> None:
    X[:, PACKETS, STEPS // 2 :] = np.nan


def appears(X: Windows) -> None:
    X[:, NEVER, -1] = 1


def fewer_cores(X: Windows) -> None:
    X[:, CORES, -2:] = 2


def sawtooth(X: Windows) -> None:
    X[:, LOAD] = 0.5 + np.where(np.arange(STEPS) % 2, 0.08, -0.08)


def ramp(X: Windows) -> None:
    X[:, LOAD] = np.linspace(0.35, 0.65, STEPS)


def bytes_without_packets(X: Windows) -> None:
    X[:, BYTES], X[:, PACKETS] = 900 * np.exp(9.8), np.exp(6.2)


@pytest.mark.parametrize(
    ("plant", "channel", "look"),
    [
        (spike, LOAD, "channels.level"),
        (spike, LOAD, "channels.neighbour"),
        (flat, LOAD, "channels.neighbour"),
        (lost, PACKETS, "channels.level"),
        (appears, NEVER, "channels.level"),
        (fewer_cores, CORES, "channels.level"),
        (fewer_cores, CORES, "channels.neighbour"),
        (sawtooth, LOAD, "channels.neighbour"),
        (ramp, LOAD, "channels.neighbour"),
        (bytes_without_packets, BYTES, "channels.reconstruction"),
    ],
)
def test_what_was_planted_is_stranger_than_what_is_normal(
    learnt: Channels, plant: Callable[[Windows], None], channel: int, look: str
) -> None:
    X = usual(200, 1)
    planted = X.copy()
    plant(planted)
    column = LOOKS.index(look)
    normal, strange = learnt.strangeness(X)[:, column], learnt.strangeness(planted)[:, column]
    assert (strange[:, None] > normal).mean() > 0.9
    assert (learnt.explain(planted).channel == channel).any(axis=1).mean() > 0.8


def test_what_is_normal_has_a_usual_spread_of_one_around_zero(learnt: Channels) -> None:
    strange = learnt.strangeness(usual(500, 2))
    assert strange.shape == (500, 3)
    assert strange.dtype == np.float64
    assert np.abs(np.median(strange, axis=0)).max() < 0.5
    # 99% of a normal distribution lie below 2.33.
    assert np.abs(np.quantile(strange, 0.99, axis=0) - 2.33).max() < 1


def test_the_reason_says_what_was_expected_and_what_was_there(learnt: Channels) -> None:
    X = usual(3, 3)
    X[0, LOAD, -1] = 5
    X[1, PACKETS, -6:] = np.nan
    X[2, CORES, -1] = 64
    found = learnt.explain(X)
    assert found.channel[:, 0].tolist() == [LOAD, PACKETS, CORES]
    assert found.channel.shape == found.expected.shape == found.actual.shape == (3, 3)
    assert found.actual[0, 0] == 5
    assert np.isnan(found.actual[1, 0])
    assert found.actual[2, 0] == 64
    assert found.expected[0, 0] == pytest.approx(0.5, abs=0.2)
    # From the bytes of the same window, and from the packets before.
    assert found.expected[1, 0] == pytest.approx(X[1, PACKETS, :6].mean(), rel=0.7)
    assert found.expected[2, 0] == pytest.approx(4, abs=0.1)


def test_a_channel_that_never_was_is_missed_by_nobody(learnt: Channels) -> None:
    X = usual(200, 1)
    assert not (learnt.explain(X).channel == NEVER).any(axis=1).mean() > 0.05
    # One that is missing half of the time is no stranger when it is missing.
    strange = learnt.strangeness(X)[:, 2]
    missing = np.isnan(X[:, ENTROPY, -1])
    assert abs(np.median(strange[missing]) - np.median(strange[~missing])) < 0.5


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e9])
def test_a_channel_is_looked_at_on_its_own_scale_whatever_its_unit(unit: float) -> None:
    random = np.random.default_rng(0)
    X = (unit * (1 + 0.1 * random.normal(size=(400, 4, 8)))).astype(np.float32)
    learnt = Channels.fit([X[:300]], seed=0)
    X[300:350, 2, -1] = 2 * unit
    strange = learnt.strangeness(X[300:])
    assert strange[:50, 2].min() > strange[50:, 2].max()
    assert (learnt.explain(X[300:350]).channel[:, 0] == 2).all()


def test_a_constant_channel_that_changes_is_strange_however_little_it_is() -> None:
    X = np.zeros((300, 3, 8), np.float32)
    X[:, 1], X[:, 2] = 2_147_483_648, 1e-7
    learnt = Channels.fit([X], seed=0)
    changed = np.repeat(X[:1], 4, axis=0)
    changed[1, 0, -1], changed[2, 1, -1], changed[3, 2, -1] = 1e-3, 2_000_000_000, 1
    level = learnt.strangeness(changed)[:, 2]
    assert level[0] == 0
    assert level[1:].min() > 0
    assert learnt.explain(changed).channel[1:, 0].tolist() == [0, 1, 2]


def test_wide_windows_are_fewer() -> None:
    X = np.random.default_rng(0).normal(size=(100, 10, 8)).astype(np.float32)
    learnt = Channels.fit([X], seed=0, numbers=5_000)
    assert learnt.references.shape == (6, 10, 5)  # a sixteenth of 5,000 by 50
    whole = learnt.strangeness(X)
    assert np.array_equal(learnt.strangeness(X, numbers=200), whole)


def test_a_lost_channel_does_not_make_the_others_strange(learnt: Channels) -> None:
    X = usual(200, 1)
    without = X.copy()
    without[:, BYTES] = np.nan
    # Reconstruction: of packets, which are known from bytes, nothing is left over.
    assert np.median(learnt.strangeness(without)[:, 0]) < np.median(learnt.strangeness(X)[:, 0]) + 1


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(0, 4), st.just(7), st.just(STEPS)),
        elements=from_dtype(np.dtype(np.float32), allow_nan=True, allow_infinity=True),
    )
)
@settings(max_examples=20, deadline=None)
def test_whatever_comes_in_strangeness_is_finite(learnt: Channels, X: Windows) -> None:
    given_ = X.copy()
    strange = learnt.strangeness(X)
    assert strange.shape == (len(X), 3)
    assert np.isfinite(strange).all()
    assert np.isfinite(learnt.explain(X).expected).all()
    assert np.array_equal(X, given_, equal_nan=True)


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 9)),
        elements=from_dtype(np.dtype(np.float32), allow_nan=True, allow_infinity=True),
    )
)
@settings(max_examples=20, deadline=None)
def test_whatever_was_learnt_strangeness_is_finite_and_kept(X: Windows) -> None:
    learnt = Channels.fit([X], seed=0)
    again = Channels.of(safetensors.numpy.load(safetensors.numpy.save(learnt.arrays())))
    other = np.concatenate([X, -X, np.zeros_like(X), np.full_like(X, np.nan)])
    strange = learnt.strangeness(other)
    assert np.isfinite(strange).all()
    assert np.array_equal(again.strangeness(other), strange)
    assert np.array_equal(again.explain(other).channel, learnt.explain(other).channel)


def test_infinities_and_numbers_that_float32_does_not_have_are_missing(learnt: Channels) -> None:
    X = usual(1, 4).astype(np.float64)
    X[0, LOAD, -1] = np.nan
    for value in (np.inf, -np.inf, 1e300):
        other = X.copy()
        other[0, LOAD, -1] = value
        assert np.array_equal(learnt.strangeness(other), learnt.strangeness(X))


def test_a_score_does_not_depend_on_the_company_it_is_in(learnt: Channels) -> None:
    X = usual(300, 5)
    whole = learnt.strangeness(X)
    assert np.array_equal(np.concatenate([learnt.strangeness(X[at : at + 1]) for at in range(300)]), whole)
    order = np.random.default_rng(0).permutation(300)
    assert np.array_equal(learnt.strangeness(X[order]), whole[order])


def test_the_same_seed_learns_the_same_whatever_the_batches() -> None:
    X = usual(1_000, 6)
    whole = Channels.fit([X], seed=3, windows=200).arrays()
    parts = Channels.fit(iter([X[:10], X[10:10], X[10:600], X[600:]]), seed=3, windows=200).arrays()
    other = Channels.fit([X], seed=4, windows=200).arrays()
    assert len(whole) == 9
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    assert not np.array_equal(whole["references"], other["references"])


def test_the_sample_is_bounded_and_even() -> None:
    # A channel that says which window it is.
    X = np.tile(np.arange(4_000, dtype=np.float32)[:, None, None], (1, 1, 4))
    sample, steps = channels._sample([X[:1], X[1:]], np.random.default_rng(0), 500)
    assert steps == 4
    drawn = np.expm1(sample[:, 0, -1].astype(np.float64)).round()
    assert len(np.unique(drawn)) == len(drawn) == 500
    quarters = np.histogram(drawn, bins=4, range=(0, 4_000))[0]
    assert quarters.sum() == 500
    assert quarters.min() > 90  # 125 each, and a deviation of 9.7
    assert abs(np.corrcoef(np.arange(500), drawn)[0, 1]) < 0.2  # in no order


def test_stretches_double_backwards_and_fill_what_they_lack() -> None:
    nan = np.nan
    X = np.expm1(np.array([[[1, 2, 3, 4, 5, 6, 7, 8], [nan, nan, nan, nan, nan, 4, 2, nan]]]))
    found = describe(X)
    # One step, two, four, and the one that is left, oldest first; ln of the mean movement; the last step.
    assert found[0, 0, :4] == pytest.approx([1, 3.5, 6.5, 8])
    assert found[0, 0, 4:] == pytest.approx([np.log(1 + 1e-5), 8], abs=1e-6)
    assert found[0, 1, :5] == pytest.approx([3, 3, 3, 3, np.log(2 + 1e-5)])
    assert np.isnan(found[0, 1, 5])


def test_windows_of_another_shape_are_refused(learnt: Channels) -> None:
    with pytest.raises(ValueError, match=r"learnt were \(7, 12\)"):
        learnt.strangeness(np.zeros((2, 7, 11), np.float32))
    with pytest.raises(ValueError, match=r"learnt were \(7, 12\)"):
        learnt.explain(np.zeros((2, 6, 12), np.float32))
    with pytest.raises(ValueError, match="no window"):
        Channels.fit([np.zeros((0, 7, 12), np.float32)], seed=0)
    with pytest.raises(ValueError, match=r"and were \(2, 3\)"):
        Channels.fit([np.zeros((1, 2, 3)), np.zeros((1, 2, 4))], seed=0)


def test_arrays_that_cannot_be_those_of_channels_are_refused(learnt: Channels) -> None:
    good = learnt.arrays()
    assert np.array_equal(Channels.of(good).strangeness(usual(9, 7)), learnt.strangeness(usual(9, 7)))
    damaged = 0
    for name, array in good.items():
        poisoned = array.copy()
        poisoned.flat[0] = np.nan
        huge = array.copy()
        huge.flat[0] = 1e30
        negative = array.copy()
        negative.flat[0] = -1e30
        for other in (poisoned, huge, negative, array[..., :-1], array[None], array.astype(np.int64)):
            with pytest.raises(ValueError, match="of channels"):
                Channels.of(good | {name: other})
            damaged += 1
        with pytest.raises(ValueError, match=name):
            Channels.of({key: value for key, value in good.items() if key != name})
    assert damaged == 54
    still = good["unit"].copy()
    still[1] = 0
    with pytest.raises(ValueError, match="spread"):
        Channels.of(good | {"unit": still})
    with pytest.raises(ValueError, match="0 references"):
        Channels.of(good | {"references": good["references"][:0]})
    with pytest.raises(ValueError, match="components"):
        Channels.of(good | {"components": np.tile(good["components"], (33, 1))})
