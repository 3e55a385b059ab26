"""From whatever clock stamped a row to Unix nanoseconds, and whether the rows then lie in their episode.

Only `t_wall_ns` aligns the collectors of an episode. A collector stamped by another clock (monotonic or boot
time) is mapped by the anchors of the manifest: pairs of both clocks read together, at least at the start and
at the end. What base a stamp has is said by the manifest, never guessed: its magnitude can only raise an
error.

Everything is int64: at 1.8e18 ns a float64 is off by up to 128 ns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vestige.errors import EvidenceError

IntArray = NDArray[np.int64]

EARLIEST_WALL_NS = 10**17
"""March 1973: a smaller stamp is not in Unix nanoseconds."""
MARGIN_NS = 10**9
"""How far outside its episode a row may lie."""
ENOUGH_INSIDE = 0.99
"""Share of a source's rows that must lie inside the episode."""
MOST_DRIFT = 0.01
"""Relative drift between two anchors beyond which they are no reading of two clocks that both ran."""
SCALES = {"microseconds": 10**3, "milliseconds": 10**6, "seconds": 10**9}
"""What other stamps since 1970 are often counted in, in nanoseconds."""


def wall_times(
    t_mono_ns: IntArray, anchors: Sequence[tuple[int, int]], *, stands_in_sleep: bool = True
) -> IntArray:
    """Unix ns `(n,)` of stamps of another clock `(n,)`, by `anchors` of (Unix ns, the other clock's ns).

    Linear between neighbouring anchors and beyond the outermost:
    `t_wall = w0 + (t - m0) + drift * (t - m0) / (m1 - m0)`. Only the last term, a fraction of a second, is
    rounded. `stands_in_sleep`: the other clock stood still while the host slept, as CLOCK_MONOTONIC does
    (clock_gettime(2)). Raises EvidenceError where there are fewer than two anchors, where they do not rise,
    where they drift apart by more than a hundredth and no sleep between other anchors explains it, and where
    a stamp is mapped to no Unix ns.
    """
    wall, mono = _checked(anchors, stands_in_sleep)
    at = np.clip(np.searchsorted(mono, t_mono_ns, side="right") - 1, 0, len(mono) - 2)
    span = np.diff(mono)
    since = t_mono_ns - mono[at]
    drift = (np.diff(wall) - span)[at]
    correction = np.rint(drift * (since / span[at])).astype(np.int64)
    times: IntArray = wall[at] + since + correction
    refuse_other_base(times)  # a stamp so far away that its sum is beyond int64, too
    return times


def _checked(anchors: Sequence[tuple[int, int]], stands_in_sleep: bool) -> tuple[IntArray, IntArray]:
    """Both clocks of the anchors, rising; what lies between two of them is drift, or else a sleep.

    Where the host slept is known only from anchors before and after: so the first two and the last two
    must belong together.
    """
    if len(anchors) < 2:
        raise EvidenceError(f"{len(anchors)} clock anchors: two are needed to map another clock's stamps")
    wall, mono = np.array(sorted(anchors, key=lambda anchor: anchor[::-1]), dtype=np.int64).T
    refuse_other_base(wall)
    span = np.diff(mono)
    ahead = np.diff(wall) - span
    ran = (span > 0) & (np.abs(ahead) <= MOST_DRIFT * span)
    slept = (ahead > MOST_DRIFT * span) & stands_in_sleep
    if not ran[0] or not ran[-1] or not (ran | slept).all():
        between = int((~ran).argmax())
        raise EvidenceError(
            f"the clock anchors contradict one another: from number {between + 1} to the next, Unix time "
            f"goes on by {(wall[between + 1] - wall[between]) / 1e9:.3f} s and the other clock by "
            f"{span[between] / 1e9:.3f} s",
            remedy="where the host slept, give two anchors before and two after it",
        )
    return wall, mono


def refuse_other_base(t_wall_ns: IntArray, episode: tuple[int, int] | None = None) -> None:
    """Raise EvidenceError where stamps that are said to be Unix ns cannot be such.

    `episode`: its first and last Unix ns, by which it is said what the stamps could have been instead.
    """
    if not len(t_wall_ns) or int(t_wall_ns.min()) >= EARLIEST_WALL_NS:
        return
    wrong = t_wall_ns[t_wall_ns < EARLIEST_WALL_NS]
    earliest = np.datetime64(int(wrong.min()), "ns").astype("datetime64[s]")
    what = (
        f"{len(wrong):,} of {len(t_wall_ns):,} stamps are not in Unix nanoseconds: {int(wrong.min())} would "
        f"be {earliest}"
    )
    if episode is not None:
        what += _likelier(wrong, *episode)
    raise EvidenceError(what, remedy="say in the manifest (clock.sources) which clock stamped this source")


def _likelier(stamps: IntArray, t_start_ns: int, t_end_ns: int) -> str:
    """Whether stamps would lie in the episode if they were counted in something else than nanoseconds."""
    for name, scale in SCALES.items():
        fits = (stamps >= (t_start_ns - MARGIN_NS) // scale) & (stamps <= (t_end_ns + MARGIN_NS) // scale)
        if fits.all():
            return f"; as {name} since 1970 they would lie in the episode"
    return ""


def zone_that_fits(t_wall_ns: IntArray, t_start_ns: int, t_end_ns: int) -> str | None:
    """The zone, such as `+01:00`, as whose local times the stamps would lie in the episode; None: none."""
    for quarters in sorted(range(-4 * 12, 4 * 14 + 1), key=abs):
        shifted = t_wall_ns - quarters * 900 * 10**9
        if inside(shifted, t_start_ns, t_end_ns) >= ENOUGH_INSIDE:
            sign = "-" if quarters < 0 else "+"
            return f"{sign}{abs(quarters) // 4:02}:{abs(quarters) % 4 * 15:02}"
    return None


def inside(t_wall_ns: IntArray, t_start_ns: int, t_end_ns: int) -> float:
    """Share of the rows that lie in the episode, give or take `MARGIN_NS`; 1 where there are none."""
    if not len(t_wall_ns):
        return 1.0
    within = (t_wall_ns >= t_start_ns - MARGIN_NS) & (t_wall_ns <= t_end_ns + MARGIN_NS)
    return np.count_nonzero(within) / len(within)
