"""Who is held out: nothing is on two sides, every class is on each, and what cannot be tested is listed."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import MakeWindows, Recording
from vestige import splits
from vestige.errors import SplitError
from vestige.reading.steps import NO_TIME
from vestige.reading.windows import WindowSet
from vestige.recipes import RECIPES, Recipe
from vestige.splits import Parts
from vestige.splits.checks import losses

FIXTURE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)


def labels(n: int, every: int = 5) -> np.ndarray:
    return np.asarray(np.arange(n) % every == 0, np.uint8)


def fleet(hosts: int, per_host: int = 3, n: int = 60) -> list[Recording]:
    return [
        (f"host-{h}", f"sample-{r}", f"profile-{r}", labels(n)) for h in range(hosts) for r in range(per_host)
    ]


def digits(count: int) -> Recipe:
    """A recipe of a source's own: steps are of one group whose numbers leave the same remainder."""
    return Recipe(
        "parity", "group", f"of_{count}", stream="value", table="remainders",
        promises=("groups_disjoint",), cluster="digit",
    )  # fmt: skip


def visible(side: WindowSet) -> set[int]:
    """Steps a side looks at, padding left out."""
    return set(side.gather()["value"].ravel().tolist()) - {0}


def sides(parts: Parts) -> list[WindowSet]:
    return [parts.train, parts.validation, parts.test]


@FIXTURE
@given(n=st.integers(150, 300), length=st.integers(1, 8), seed=st.integers(0, 5))
@pytest.mark.parametrize("target", ["last", "centre"])
@pytest.mark.parametrize("recipe", ["time", "random", "parity"])
def test_no_step_of_a_single_stream_is_seen_from_two_sides(
    make_windows: MakeWindows, recipe: str, target: str, n: int, length: int, seed: int
) -> None:
    windows = make_windows([("h", "s", "p", labels(n, 3))], length=length, target=target)
    _, parts = splits.make(recipe, windows, seed=seed, own=[digits(10)])
    train, validation, test = (visible(one) for one in sides(parts))
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert len(windows) == sum(len(one) for one in sides(parts)) + parts.purged


def test_time_leaves_a_gap_of_one_window_and_looks_only_back(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", labels(100))], length=5)
    split, parts = splits.make("time", windows)
    assert max(visible(parts.train)) == 60
    assert min(visible(parts.validation)) > 60 + 5
    assert parts.train.t_ns.max() < parts.validation.t_ns.min()
    assert parts.validation.t_ns.max() < parts.test.t_ns.min()
    assert "one stream, cut in three spans" in split.notes[0]


def test_windows_that_look_ahead_are_cut_by_the_step_they_judge_and_the_delay_is_said(
    make_windows: MakeWindows,
) -> None:
    windows = make_windows([("h", "s", "p", labels(100))], length=7, target="centre")
    split, parts = splits.make("time", windows)
    assert windows.streams["value"][parts.train.target_step].max() == 60
    assert max(visible(parts.train)) == 63
    assert min(visible(parts.validation)) > 63 + 7
    assert split.notes[-1] == "windows look 3 steps ahead: live scoring is 3 steps late"


def test_time_cuts_every_recording_at_the_same_moment(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(4, n=50), length=3)
    _, parts = splits.make("time", windows)
    assert parts.train.t_ns.max() < parts.validation.t_ns.min()
    assert set(parts.test.recording.tolist()) == set(range(12))


def test_lines_out_of_order_around_a_cut_are_purged_not_shared(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", labels(100))], length=2)
    jittered = windows.t_ns.copy()
    jittered[[59, 60, 61]] = jittered[[61, 59, 60]]
    windows = replace(windows, t_ns=jittered)
    _, parts = splits.make("time", windows)
    assert not visible(parts.train) & visible(parts.validation)


@pytest.mark.parametrize(
    ("recipe", "column"), [("host", "host"), ("sample", "sample"), ("profile", "profile")]
)
def test_whole_hosts_samples_and_profiles_are_held_out(
    make_windows: MakeWindows, recipe: str, column: str
) -> None:
    windows = make_windows(fleet(5, per_host=5))
    _, parts = splits.make(recipe, windows, seed=3)
    names = windows.recordings[column].to_list()
    on = [{names[r] for r in one.recording} for one in sides(parts)]
    assert not on[0] & on[1]
    assert not on[0] & on[2]
    assert not on[1] & on[2]
    assert all(on)


def test_named_hosts_are_the_test_part(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(4))
    _, parts = splits.make("host", windows, hold_out=("host-2",))
    assert {windows.recordings["host"][int(r)] for r in parts.test.recording} == {"host-2"}
    with pytest.raises(SplitError, match="no host called 'host-9'"):
        splits.make("host", windows, hold_out=("host-9",))


def test_a_profile_that_training_never_saw_is_said_so(make_windows: MakeWindows) -> None:
    split, parts = splits.make("profile", make_windows(fleet(4)), hold_out=("profile-1",))
    assert {parts.test.recordings["profile"][int(r)] for r in parts.test.recording} == {"profile-1"}
    held = [one for part in ("validation", "test") for one in split.assignment[part]]
    of = dict(parts.test.recordings.select("id", "profile").iter_rows())
    assert split.unseen_profiles == sorted({of[one] for one in held})
    assert "profile-1" in split.unseen_profiles
    assert any("test: profile-1" in note for note in split.notes)


def test_profiles_absent_from_the_test_host_are_listed(make_windows: MakeWindows) -> None:
    rows = [row for row in fleet(4) if not (row[0] == "host-2" and row[2] == "profile-1")]
    split, _ = splits.make("host", make_windows(rows), hold_out=("host-2",))
    assert split.untested_profiles == ["profile-1"]
    assert split.unseen_profiles == []


def test_profiles_are_on_both_sides_where_that_is_possible(make_windows: MakeWindows) -> None:
    split, _ = splits.make("random", make_windows(fleet(6)))
    assert split.unit == "recording"
    assert split.untested_profiles == []


def test_every_class_is_on_each_side_or_the_split_is_refused(make_windows: MakeWindows) -> None:
    for recipe in ("host", "sample", "random", "time"):
        _, parts = splits.make(recipe, make_windows(fleet(6)))
        assert all(set(one.label.tolist()) == {0, 1} for one in sides(parts))
    early = np.zeros(100)
    early[:5] = 1
    with pytest.raises(SplitError, match="leaves no 'anomaly' window in validation"):
        splits.make("time", make_windows([("h", "s", "p", early)]))
    quiet = [(f"h{i}", "s", "p", labels(20) if i == 0 else np.zeros(20)) for i in range(5)]
    with pytest.raises(SplitError, match="anomaly: in 1 hosts"):
        splits.make("host", make_windows(quiet))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "vestige.splits"]


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged, with the program's own switches out of the way."""
    logging.getLogger("vestige").propagate = True
    caplog.set_level(logging.WARNING, logger="vestige.splits")
    return caplog


@pytest.mark.parametrize("recipe", ["time", "host", "random"])
def test_a_class_that_the_evidence_lacks_is_asked_of_no_side(make_windows: MakeWindows, recipe: str) -> None:
    windows = make_windows(fleet(5))
    wider = replace(windows, schema=replace(windows.schema, classes=("normal", "anomaly", "never")))
    split, parts = splits.make(recipe, wider)
    assert split.assignment == splits.make(recipe, windows)[0].assignment
    assert all({0, 1} <= set(one.label.tolist()) for one in sides(parts))


def test_a_purge_of_more_than_a_tenth_is_said(
    make_windows: MakeWindows, heard: pytest.LogCaptureFixture
) -> None:
    windows = make_windows([("h", "s", "p", labels(100, 2))], length=6)
    split, parts = splits.make("time", windows)
    assert parts.purged > 10
    assert told(heard) == [f"{parts.purged} of 100 windows ({parts.purged}%) are purged around the cuts"]
    assert split.notes[1:] == told(heard)


def test_a_small_purge_is_not_worth_a_warning(
    make_windows: MakeWindows, heard: pytest.LogCaptureFixture
) -> None:
    split, parts = splits.make("time", make_windows([("h", "s", "p", labels(200, 2))], length=4))
    assert parts.purged > 0
    assert told(heard) == []
    assert len(split.notes) == 1


def test_recordings_that_vanish_whole_are_named(make_windows: MakeWindows) -> None:
    long, short = ("h", "s", "p", labels(300, 2)), ("h", "s", "p", labels(2))
    windows = make_windows([long, *[short] * 7], length=4)
    _, parts = splits.make("time", windows)
    assert losses(windows, parts.counts) == []
    gone = replace(parts, train=parts.train.select(parts.train.recording == 0))
    assert losses(windows, gone.counts) == ["7 of 8 recordings vanish whole: r1, r2, r3, r4, r5, ..."]


def test_recordings_that_were_not_asked_for_are_no_loss(
    make_windows: MakeWindows, heard: pytest.LogCaptureFixture
) -> None:
    windows = make_windows(fleet(5))
    whole, _ = splits.make("random", windows)
    split, parts = splits.make("random", windows, sizes={"train_size": 2})
    assert parts.purged == 0
    assert parts.left_out == len(windows) - sum(len(one) for one in sides(parts)) > 0
    assert told(heard) == []
    assert len(split.notes) == len(whole.notes) + 1


def test_times_out_of_order_are_named_where_the_purge_takes_a_class(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", labels(200, 10))], length=8)
    shuffled = np.random.default_rng(0).permutation(windows.t_ns)
    with pytest.raises(SplitError) as refused:
        splits.make("time", replace(windows, t_ns=shuffled))
    message = str(refused.value)
    assert re.search(r"\d+ of 200 windows \(\d\d%\) are purged around the cuts, \d+ '\w+' ones", message)
    assert "the times are out of order" in message
    assert refused.value.remedy == "sort the recordings by time, or use another --split or --fractions"


def test_a_remedy_names_only_options_that_the_recipe_uses(make_windows: MakeWindows) -> None:
    early = np.zeros(100)
    early[:5] = 1
    with pytest.raises(SplitError) as refused:
        splits.make("time", make_windows([("h", "s", "p", early)]))
    assert "purged" not in str(refused.value)
    assert refused.value.remedy == "use another --split, or other --fractions"
    late = np.zeros(100)
    late[[5, 61, 62, 90]] = 1
    with pytest.raises(SplitError, match=r"\(train: 1, validation: 0, test: 1\); .*, 2 'anomaly' ones"):
        splits.make("time", make_windows([("h", "s", "p", late)], length=4))
    with pytest.raises(SplitError) as refused:
        splits.make("random", make_windows([("h", "s", "p", early)]), seed=1)
    assert "--split-seed" in refused.value.remedy


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("host", "at least 3"),
        ("sample", "at least 3"),
        ("lunar", "one of: time, host, sample, profile, random"),
    ],
)
def test_evidence_that_does_not_allow_a_recipe_is_told_so(
    make_windows: MakeWindows, recipe: str, says: str
) -> None:
    with pytest.raises(SplitError, match=says):
        splits.make(recipe, make_windows(fleet(2, per_host=1)))


def test_only_random_is_labelled_in_distribution(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(6))
    marks = {recipe: splits.make(recipe, windows)[0].in_distribution for recipe in map(str, RECIPES)}
    assert marks == {"time": False, "host": False, "sample": False, "profile": False, "random": True}


@pytest.mark.parametrize("recipe", ["time", "host", "random", "parity"])
def test_a_split_saves_loads_and_gives_the_same_parts(
    make_windows: MakeWindows, tmp_path: Path, recipe: str
) -> None:
    windows = make_windows(fleet(4))
    split, parts = splits.make(recipe, windows, seed=1, own=[digits(7)])
    split.save(tmp_path / "split.json")
    again = splits.Split.load(tmp_path / "split.json")
    assert again == split
    for one, other in zip(sides(parts), sides(again.parts(windows)), strict=True):
        assert one.gather()["value"].tolist() == other.gather()["value"].tolist()


def test_a_split_of_another_dataset_is_refused(make_windows: MakeWindows) -> None:
    split, _ = splits.make("time", make_windows([("h", "s", "p", labels(100))]))
    with pytest.raises(SplitError, match="another dataset"):
        split.parts(make_windows([("h", "s", "p", labels(101))]))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "vestige-split/2"}', '{"format": "x"}'])
def test_a_damaged_split_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(SplitError, match=r"split\.json"):
        splits.Split.load(tmp_path / "split.json")


HOSTILE = ["-1", "1e999", "1.5", "true", "null", "NaN", "1" + "0" * 19, "9" * 5000, '"x"', "{}", "[[]]"]


@pytest.mark.parametrize("recipe", ["time", "host", "random", "parity"])
def test_no_number_of_a_saved_split_is_believed(
    make_windows: MakeWindows, tmp_path: Path, recipe: str
) -> None:
    # One recording has its steps drawn, and not whole recordings.
    windows = make_windows(fleet(4) if recipe == "host" else [("h", "s", "p", labels(100))])
    split, _ = splits.make(recipe, windows, seed=1, own=[digits(7)])
    plain = split.to_dict()
    file = tmp_path / "split.json"
    fields = ("seed", "unit", "recipe", "dataset", "notes", "assignment")
    places: list[tuple[str, ...]] = [(name,) for name in fields]
    places += [("assignment", name) for name in plain["assignment"]]
    places += [("recipe", name) for name in plain["recipe"]]
    fitting = {
        ("in_distribution", "true"), ("fallback", "null"),
        *((name, '"x"') for name in ("dataset", "name", "column", "stream", "table", "cluster", "formerly")),
    }  # fmt: skip
    refused = 0
    for place in places:
        for value in HOSTILE:
            changed = json.loads(json.dumps(plain))
            inside = changed
            for key in place[:-1]:
                inside = inside[key]
            inside[place[-1]] = "HERE"
            file.write_text(json.dumps(changed).replace('"HERE"', value))
            if (place[-1], value) in fitting:
                continue
            with pytest.raises(SplitError, match=r"(?s)cannot read the split.*make the split again"):
                splits.Split.load(file)
            refused += 1
    assert refused > 7 * len(HOSTILE)


def test_a_split_of_the_version_before_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text('{"format": "vestige-split/1", "recipe": "host"}')
    with pytest.raises(SplitError, match=r"another version \('vestige-split/1', read is vestige-split/2\)"):
        splits.Split.load(tmp_path / "split.json")


@pytest.mark.parametrize("wrong", [{"unit": "lunar"}, {"promises": 3}, {"colour": "red"}])
def test_a_split_with_a_damaged_recipe_is_refused(
    make_windows: MakeWindows, tmp_path: Path, wrong: dict[str, object]
) -> None:
    split, _ = splits.make("host", make_windows(fleet(3)))
    plain = split.to_dict()
    plain["recipe"] |= wrong
    (tmp_path / "split.json").write_text(json.dumps(plain))
    with pytest.raises(SplitError, match="cannot read the split"):
        splits.Split.load(tmp_path / "split.json")


def test_split_json_is_plain_to_read(make_windows: MakeWindows, tmp_path: Path) -> None:
    split, _ = splits.make("host", make_windows(fleet(3)))
    split.save(tmp_path / "split.json")
    plain = json.loads((tmp_path / "split.json").read_text())
    assert sorted(plain["assignment"]) == ["test", "train", "validation"]


def test_the_test_part_is_sealed(make_windows: MakeWindows) -> None:
    _, parts = splits.make("time", make_windows([("h", "s", "p", labels(100))]))
    sealed = parts.sealed()
    assert len(sealed.train) == len(parts.train)
    with pytest.raises(SplitError, match="sealed"):
        _ = sealed.test


def test_shares_come_near_to_the_fractions(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(20, per_host=1))
    for recipe in ("time", "host", "random"):
        _, parts = splits.make(recipe, windows, fractions=(0.6, 0.2, 0.2))
        shares = [len(one) / len(windows) for one in sides(parts)]
        assert np.allclose(shares, [0.6, 0.2, 0.2], atol=0.12), (recipe, shares)


def test_without_times_the_default_holds_out_samples(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(3))
    assert splits.default_recipe(windows) == "time"
    assert splits.default_recipe(replace(windows, t_ns=np.zeros_like(windows.t_ns))) == "sample"


def test_a_step_without_a_time_is_cut_where_it_stands_in_its_recording(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", labels(200)), ("g", "t", "q", labels(100))], length=1)
    t_ns = windows.t_ns.copy()
    lacking = (np.arange(len(t_ns)) % 7 == 3) & (windows.recording == 0)
    t_ns[lacking | (windows.recording == 1)] = NO_TIME
    split, parts = splits.make("time", replace(windows, t_ns=t_ns))
    order = [set(side.position[side.recording == 0].tolist()) for side in sides(parts)]
    assert max(order[0]) < min(order[1])
    assert max(order[1]) < min(order[2])
    assert sum(map(len, order)) + parts.purged == 200
    # A recording without any time has been there before all.
    assert [int((side.recording == 1).sum()) for side in sides(parts)] == [100, 0, 0]
    assert "100 windows of recordings without any time are in train" in split.notes


def test_windows_without_any_time_are_split_by_sample_and_not_by_time(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(4), length=1)
    timeless = replace(windows, t_ns=np.full(len(windows), NO_TIME))
    assert splits.default_recipe(timeless) == "sample"
    with pytest.raises(SplitError, match="the same time, or none"):
        splits.make("time", timeless)
