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


def test_a_sleep_between_anchors_is_followed_piece_by_piece() -> None:
    """CLOCK_MONOTONIC stood still for an hour: what was stamped before and after keeps its place."""
    slept = 3600 * 10**9
    before = (WALL, MONO), (WALL + SPAN, MONO + SPAN)
    for stood in (0, 1_000):  # the clock may tick on a little between the two readings
        awake = WALL + SPAN + slept, MONO + SPAN + stood
        anchors = (*before, awake, (awake[0] + SPAN, awake[1] + SPAN))
        assert mapped([MONO + 5, MONO + SPAN - 5], *anchors) == [WALL + 5, WALL + SPAN - 5]
        assert mapped([awake[1] + 5, awake[1] + SPAN + 7], *anchors) == [awake[0] + 5, awake[0] + SPAN + 7]
        with pytest.raises(EvidenceError, match="Unix time goes on by 3600"):
            clock.wall_times(np.array([MONO]), anchors, stands_in_sleep=False)


def test_a_sleep_without_anchors_on_both_sides_lies_anywhere() -> None:
    slept = WALL + SPAN + 3600 * 10**9, MONO + SPAN
    for anchors in (
        ((WALL, MONO), slept),
        ((WALL, MONO), slept, (slept[0] + SPAN, slept[1] + SPAN)),
        ((WALL, MONO), (WALL + SPAN, MONO + SPAN), (slept[0] + SPAN, slept[1] + SPAN)),
    ):
        with pytest.raises(EvidenceError, match="contradict") as caught:
            clock.wall_times(np.array([MONO]), anchors)
        assert "two anchors before and two after" in caught.value.remedy


@pytest.mark.parametrize(
    ("scale", "name"), [(10**3, "microseconds"), (10**6, "milliseconds"), (10**9, "seconds")]
)
def test_stamps_in_another_unit_are_named_and_never_taken(scale: int, name: str) -> None:
    episode = WALL, WALL + SPAN
    stamps = np.array([WALL // scale, (WALL + SPAN) // scale])
    with pytest.raises(EvidenceError, match=f"2 of 2 stamps .*1970.*; as {name} since 1970") as caught:
        clock.refuse_other_base(stamps, episode)
    assert "clock.sources" in caught.value.remedy
    with pytest.raises(EvidenceError) as other:
        clock.refuse_other_base(stamps * 2, episode)
    assert "they would lie" not in other.value.what


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
