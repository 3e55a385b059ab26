import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestige.errors import EvidenceError
from vestige.sources.telemetry import clock

WALL, MONO = 1_780_000_000_123_456_789, 86_400_000_000_001
SPAN = 600 * 10**9


def mapped(t_mono_ns: list[int], *anchors: tuple[int, int]) -> list[int]:
    found: list[int] = clock.wall_times(np.array(t_mono_ns, dtype=np.int64), anchors).tolist()
    return found


def test_anchors_map_to_the_nanosecond() -> None:
    anchors = (WALL, MONO), (WALL + SPAN, MONO + SPAN)
    times = [MONO - 7, MONO, MONO + 1, MONO + SPAN - 1, MONO + SPAN + 3]
    assert mapped(times, *anchors) == [one - MONO + WALL for one in times]


@given(since=st.integers(-(10**9), SPAN + 10**9), drift=st.integers(-(10**9), 10**9))
def test_drift_is_spread_evenly(since: int, drift: int) -> None:
    found = mapped([MONO + since], (WALL, MONO), (WALL + SPAN + drift, MONO + SPAN))[0]
    assert abs((found - WALL) * SPAN - since * (SPAN + drift)) <= SPAN, "within a nanosecond of the exact"


def test_a_step_of_the_wall_clock_stays_between_its_anchors() -> None:
    step = 10**9
    anchors = (WALL, MONO), (WALL + SPAN, MONO + SPAN), (WALL + 2 * SPAN + step, MONO + 2 * SPAN)
    assert mapped([MONO + SPAN // 2], *anchors) == [WALL + SPAN // 2]
    assert mapped([MONO + 3 * SPAN // 2], *anchors) == [WALL + 3 * SPAN // 2 + step // 2]


@pytest.mark.parametrize(
    "anchors",
    [
        (),
        ((WALL, MONO),),
        ((WALL, MONO), (WALL, MONO)),
        ((WALL, MONO), (WALL - SPAN, MONO + SPAN)),
        ((WALL, MONO), (WALL + 2 * SPAN, MONO + SPAN)),
        ((MONO, MONO), (MONO + SPAN, MONO + SPAN)),
    ],
)
def test_anchors_that_cannot_be_are_refused(anchors: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(EvidenceError, match=r"anchor|Unix"):
        clock.wall_times(np.array([MONO]), anchors)


@pytest.mark.parametrize("far", [2**63 - 1, -(2**63) + 1])
def test_a_stamp_that_no_clock_could_have_is_refused_and_wraps_nowhere(far: int) -> None:
    with pytest.raises(EvidenceError, match="not in Unix nanoseconds"):
        mapped([MONO, far], (WALL, MONO), (WALL + SPAN, MONO + SPAN))


def test_magnitude_only_raises_an_error() -> None:
    clock.refuse_other_base(np.array([WALL]))
    clock.refuse_other_base(np.array([], dtype=np.int64))
    with pytest.raises(EvidenceError, match="not in Unix nanoseconds"):
        clock.refuse_other_base(np.array([WALL, MONO]))


def test_how_much_lies_inside_the_episode() -> None:
    t = np.array([WALL - 10**9, WALL, WALL + SPAN, WALL + SPAN + 10**9 + 1])
    assert clock.inside(t, WALL, WALL + SPAN) == 0.75
    assert clock.inside(np.array([MONO, MONO]), WALL, WALL + SPAN) == 0
    assert clock.inside(np.array([], dtype=np.int64), WALL, WALL + SPAN) == 1
