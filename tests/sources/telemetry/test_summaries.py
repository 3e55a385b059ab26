import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vestige.schema import Feature
from vestige.sources.telemetry import channels
from vestige.sources.telemetry.summaries import STATISTICS, features, summary

S = len(STATISTICS)
VALUES = st.one_of(
    st.floats(-1e6, 1e6, width=32), st.sampled_from([float("nan"), float("inf"), -float("inf")])
)


def by_numpy(window_TC: np.ndarray) -> np.ndarray:
    """The same statistics, a channel at a time."""
    rows = []
    for column in window_TC.T.astype(np.float64):
        t = np.flatnonzero(np.isfinite(column))
        x = column[t]
        if not len(x):
            rows.append([np.nan] * S)
            continue
        slope = np.polyfit(t, x, 1)[0] if len(x) > 1 else np.nan
        rows.append([x.mean(), x.std(), x.min(), x.max(), x[-1], slope])
    return np.array(rows).ravel()


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, (3, 10, 2), elements=VALUES))
def test_statistics_are_those_of_numpy(steps_BTC: np.ndarray) -> None:
    expected = np.stack([by_numpy(window) for window in steps_BTC])
    scale = np.abs(steps_BTC[np.isfinite(steps_BTC)]).max(initial=0) + 1
    np.testing.assert_allclose(summary(steps_BTC), expected, rtol=1e-4, atol=1e-5 * scale, equal_nan=True)


def test_a_window_does_not_depend_on_its_batch() -> None:
    steps_BTC = np.random.default_rng(0).normal(size=(50, 10, 46)).astype(np.float32)
    steps_BTC[::3, ::4] = np.nan
    whole = summary(steps_BTC)
    alone = np.concatenate([summary(steps_BTC[row : row + 1]) for row in range(50)])
    assert np.array_equal(whole, alone, equal_nan=True)
    assert summary(steps_BTC[:0]).shape == (0, 46 * S)


def test_views_give_the_numbers_of_copies() -> None:
    grid_TC = np.random.default_rng(1).normal(size=(60, 46)).astype(np.float32)
    views_BTC = np.moveaxis(np.lib.stride_tricks.sliding_window_view(grid_TC, 10, axis=0), -1, 1)[::5]
    assert np.array_equal(summary(views_BTC), summary(views_BTC.copy()))


def test_features_are_named_by_channel_and_statistic() -> None:
    found = features(channels.features())
    assert len(found) == 46 * S
    assert found[0] == Feature("proc.process.cpu.time.user:mean", "s/s", host_only=True)
    assert found[12 * S + 5] == Feature("guest.system.cpu.time.user:slope", "s/s/s", host_only=False)
    assert sum(one.host_only for one in found) == 20 * S


def test_a_slope_is_a_second_s_however_long_a_step_lasts() -> None:
    steps_BTC = np.arange(10, dtype=np.float32).reshape(1, 10, 1) * 30
    plain, coarse = summary(steps_BTC)[0], summary(steps_BTC, 15)[0]
    assert (plain[5], coarse[5]) == (30, 2)
    assert np.array_equal(plain[:5], coarse[:5])
