"""Profiles: on every side in their share as far as that is feasible, otherwise told."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.conftest import MakeWindows, Recording
from tests.splits.test_splits import fleet, labels, sides
from vestige import splits
from vestige.errors import SplitError
from vestige.splits.assign import assign
from vestige.splits.checks import Profiles, refuse_needless_lack
from vestige.splits.stratify import Table, grossly_off, improve, shortfall

FRACTIONS = (0.6, 0.2, 0.2)
QUICK = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
    max_examples=40,
    deadline=None,
)


@st.composite
def layouts(draw: st.DrawFn, most_units: int = 7) -> Table:
    """Units with any of up to five profiles, each window of a class."""
    units, profiles = draw(st.integers(3, most_units)), draw(st.integers(2, 5))
    row = st.lists(st.integers(0, 40), min_size=profiles, max_size=profiles)
    counts = np.array(draw(st.lists(row, min_size=units, max_size=units)))
    counts[counts < draw(st.integers(0, 30))] = 0
    size = counts.sum(axis=1)
    anomalies = size // draw(st.integers(2, 5))
    names = tuple(f"p{i}" for i in range(profiles))
    return Table(np.column_stack([size - anomalies, anomalies, counts]), ("normal", "anomaly"), names)


def sums_of(table: Table, codes: np.ndarray) -> np.ndarray:
    return np.stack([table.counts[codes == part].sum(axis=0) for part in range(3)])


@QUICK
@given(table=layouts(), seed=st.integers(0, 3))
def test_of_a_small_lab_no_other_assignment_is_better(table: Table, seed: int) -> None:
    """Against every assignment there is."""
    every = np.array(list(itertools.product(range(3), repeat=len(table.counts))))
    fractions = np.array(FRACTIONS)
    best = min(tuple(shortfall(table, sums_of(table, one), fractions)[0].tolist()) for one in every)
    try:
        codes = assign(table, FRACTIONS, seed, unit="host", stratify=True)
    except SplitError:
        assert best[0] > 0
        return
    assert tuple(shortfall(table, sums_of(table, codes), fractions)[0].tolist()) == best


@QUICK
@given(table=layouts(most_units=40), held=st.integers(0, 39), seed=st.integers(0, 3))
def test_exchanges_only_ever_mend_and_leave_alone_what_is_held_out(
    table: Table, held: int, seed: int
) -> None:
    fixed = [held % len(table.counts)]
    codes = np.random.default_rng(seed).integers(0, 2, len(table.counts)).astype(np.int8)
    codes[fixed] = 2
    fractions = np.array(FRACTIONS)
    after = improve(table, codes, fractions, fixed)
    assert (np.flatnonzero(after == 2) == fixed).all()
    worse, better = (
        tuple(shortfall(table, sums_of(table, one), fractions)[0].tolist()) for one in (codes, after)
    )
    assert better <= worse


def test_many_units_are_divided_in_proportion() -> None:
    """A rare profile, and one in a few large units, in a fleet of sixty."""
    rng = np.random.default_rng(5)
    counts = rng.integers(20, 60, (60, 4))
    counts[:, 2] *= rng.random(60) < 0.4
    counts[:, 3] *= 6 * (rng.random(60) < 0.5)
    half = counts.sum(axis=1) // 2
    table = Table(np.column_stack([half, counts.sum(axis=1) - half, counts]), ("n", "a"), tuple("pqrs"))
    for seed in range(2):
        sums = sums_of(table, assign(table, FRACTIONS, seed, unit="host", stratify=True))[:, 2:]
        assert (sums > 0).all()
        assert not grossly_off(sums, table.units[2:]).any()


@settings(QUICK, max_examples=12)
@given(
    has=st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=4, max_size=9),
    seed=st.integers(0, 3),
)
@pytest.mark.parametrize("recipe", ["host", "sample", "random", "time"])
def test_whatever_a_side_lacks_is_told(
    make_windows: MakeWindows, recipe: str, has: list[list[bool]], seed: int
) -> None:
    rows = [
        (f"h{host}", f"s{host}-{profile}", f"p{profile}", labels(12, 3))
        for host, row in enumerate(has)
        for profile in np.flatnonzero(row)
    ]
    assume(len(rows) >= 10)
    windows = make_windows(rows, gap_ns=12 * 10**9)
    try:
        split, parts = splits.make(recipe, windows, seed=seed)
    except SplitError as error:
        if "could go there" in error.what:
            raise
        return
    profile = windows.recordings["profile"].to_list()
    train, validation, test = ({profile[row] for row in one.recording} for one in sides(parts))
    every = train | validation | test
    if len(every) > 1:
        assert split.untested_profiles == sorted(every - test)
        assert split.unvalidated_profiles == sorted(every - validation)
        assert split.unseen_profiles == sorted((validation | test) - train)


def test_a_lab_of_four_hosts_is_told_not_refused(make_windows: MakeWindows) -> None:
    rows = [row for row in fleet(4) if not (row[0] in {"host-1", "host-3"} and row[2] == "profile-1")]
    split, _ = splits.make("host", make_windows(rows))
    lacking = [split.untested_profiles, split.unvalidated_profiles, split.unseen_profiles]
    assert sorted(lacking) == [[], [], ["profile-1"]]


def test_hosts_that_are_all_held_out_leave_nothing_to_train_on(make_windows: MakeWindows) -> None:
    for held in (("host-0", "host-1", "host-2"), ("host-0", "host-1")):
        with pytest.raises(SplitError, match="of 3 hosts are held out") as refused:
            splits.make("host", make_windows(fleet(3)), hold_out=held)
        assert "hold out 1 at most" in str(refused.value.remedy)


def test_a_profile_three_hosts_have_is_on_every_side(make_windows: MakeWindows) -> None:
    rows = [row for row in fleet(8) if row[2] != "profile-2" or row[0] in {"host-0", "host-4", "host-5"}]
    for seed in range(6):
        split, _ = splits.make("host", make_windows(rows), seed=seed)
        assert not split.untested_profiles + split.unvalidated_profiles + split.unseen_profiles


def test_a_profile_that_is_missing_without_need_is_refused(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(5, per_host=1) + [("host-9", "s", "rare", labels(60))] * 3)
    ids = windows.recordings["id"].to_list()
    split, _ = splits.make("random", make_windows(fleet(5)))
    worse = {"train": ids[:3] + ids[5:], "validation": [ids[3]], "test": [ids[4]]}
    split = replace(split, dataset=splits.dataset_digest(windows), assignment=worse)
    with pytest.raises(
        SplitError, match="no window of profile 'rare' is in validation, though rec"
    ) as refused:
        refuse_needless_lack(split, windows, ())
    assert "--split-seed" in refused.value.remedy
    refuse_needless_lack(split, windows, tuple(ids))


def test_what_someone_picked_is_told_and_not_refused(make_windows: MakeWindows, tmp_path: Path) -> None:
    windows = make_windows(fleet(6))
    split, _ = splits.make("random", windows)
    of = dict(windows.recordings.select("id", "profile").iter_rows())
    picked = {
        part: [one for one in chosen if part != "test" or of[one] != "profile-0"]
        for part, chosen in split.assignment.items()
    }
    splits.save_sets(replace(split, assignment=picked), tmp_path / "sets.json")
    again, parts = splits.make("host", windows, sets=tmp_path / "sets.json")
    assert again.untested_profiles == ["profile-0"]
    assert parts.left_out == 60 * sum(of[one] == "profile-0" for one in split.assignment["test"])
    assert parts.purged == 0


def campaign(first: int, end: int) -> list[Recording]:
    """A hundred recordings one after the other, `worm` every other one, but for some."""
    quiet = range(first, end)
    return [
        ("h", f"s{i}", "worm" if i % 2 and i not in quiet else "beacon", labels(8, 4)) for i in range(100)
    ]


def test_cuts_in_time_that_just_miss_a_profile_are_refused_with_better_ones(
    make_windows: MakeWindows,
) -> None:
    windows = make_windows(campaign(60, 81), gap_ns=8 * 10**9)
    with pytest.raises(SplitError, match=r"'worm' has 40 recordings and is missing in validation") as refused:
        splits.make("time", windows)
    named = refused.value.remedy.removeprefix("use --fractions ")
    train, validation, test = (float(one) for one in named.split(","))
    split, _ = splits.make("time", windows, fractions=(train, validation, test))
    assert split.unvalidated_profiles == []


def test_a_profile_that_no_near_cut_has_is_told(make_windows: MakeWindows) -> None:
    split, _ = splits.make("time", make_windows(campaign(50, 100), gap_ns=8 * 10**9))
    assert split.unvalidated_profiles == split.untested_profiles == ["worm"]
    few, _ = splits.make("time", make_windows(campaign(60, 80)[45:80], gap_ns=8 * 10**9))
    assert few.untested_profiles + few.unvalidated_profiles + few.unseen_profiles


def test_a_share_that_is_grossly_off_is_told(make_windows: MakeWindows) -> None:
    rows = [
        ("h", f"s{i}", "worm" if i % (2 if i < 60 else 12) == 0 else "beacon", labels(12, 3))
        for i in range(120)
    ]
    split, _ = splits.make("time", make_windows(rows, gap_ns=12 * 10**9), fractions=(0.5, 0.25, 0.25))
    assert any(note.startswith("worm is ") and "of test, but" in note for note in split.notes)


def test_without_profiles_nothing_is_said_and_nothing_changes(make_windows: MakeWindows) -> None:
    rows = [(host, sample, "", label) for host, sample, _, label in fleet(7)]
    windows = make_windows(rows)
    for recipe in ("host", "sample", "random", "time"):
        split, parts = splits.make(recipe, windows)
        assert Profiles.of(parts.counts, windows.recordings).names == ()
        assert not split.untested_profiles + split.unseen_profiles + split.unvalidated_profiles
    table = Table.of_recordings(windows, np.arange(len(rows)), len(rows))
    plain = assign(table, FRACTIONS, 3, unit="recording")
    assert np.array_equal(assign(table, FRACTIONS, 3, unit="recording", stratify=True), plain)


def test_profiles_without_number_are_told_in_time_and_memory_that_do_not_follow_them(
    make_windows: MakeWindows,
) -> None:
    rows = [("h", f"s{i}", f"p{i // 2}", labels(4, 3)) for i in range(300)]
    split, _ = splits.make("sample", make_windows(rows))
    assert len(split.untested_profiles) > 50
    assert splits.listed(split.untested_profiles).endswith(f"and {len(split.untested_profiles) - 12} more")


def test_digests_are_counted_not_listed(make_windows: MakeWindows) -> None:
    rows = [("h", f"{i:064x}", "p", labels(10, 3)) for i in range(40)]
    split, _ = splits.make("sample", make_windows(rows))
    assert len(split.notes[0]) < 200
    assert "such as 00000000..." in split.notes[0]


def test_units_of_whole_recordings_are_counted_as_their_windows_are(make_windows: MakeWindows) -> None:
    rows = [("h", f"s{n % 3}", f"p{n % 2}", np.arange(n + 1) % 2) for n in range(6)]
    windows, unit = make_windows(rows), np.arange(6) % 3
    by_recording = Table.of_recordings(windows, unit, 3)
    by_window = Table.of(windows, [(windows, unit[windows.recording])], 3)
    assert by_recording.counts.tolist() == by_window.counts.tolist()
    assert by_recording.profiles == by_window.profiles == ("p0", "p1")
