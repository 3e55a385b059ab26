"""Recipes are data: one entry is enough for a new one, and what an old one assigns never changes."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import MakeWindows, Recording, plain_schema
from tests.splits.test_splits import digits, fleet, labels, sides
from vestige import splits
from vestige.errors import SplitError, UsageError
from vestige.evaluation.audit import audit, describe_split, failed
from vestige.evaluation.clusters import clusters_of, held_out
from vestige.evaluation.predictions import Predictions
from vestige.reading.dataset import DatasetWriter
from vestige.reading.windows import WindowSet
from vestige.recipes import RECIPES, Recipe, find
from vestige.runs.options import SplitOptions
from vestige.splits import Parts, Split

CONTENT = Recipe("content", "recording", "digest", promises=("digests_disjoint",), cluster="digest")
"""A toy: recordings of equal content stay together."""
PROGRAM = f"""
from vestige import recipes
recipes.RECIPES.append(recipes.Recipe.from_dict({CONTENT.to_dict()!r}))
from vestige.cli.main import run
run()
"""


def program(*words: object) -> subprocess.CompletedProcess[str]:
    """The command line of a program whose list of recipes has one entry more."""
    told = [sys.executable, "-c", PROGRAM, *map(str, words)]
    return subprocess.run(told, capture_output=True, text=True, check=False)


def copies(path: Path) -> WindowSet:
    """Forty recordings of twenty contents, as a source of this program could have made them."""
    with DatasetWriter(path, replace(plain_schema(), source="logs")) as writer:
        for number in range(40):
            t_ns = np.arange(30, dtype=np.int64) * 10**9
            writer.begin(id=f"r{number}", host=f"h{number % 3}", sample=f"s{number}", profile="p")
            value = np.arange(30) + 30 * (number % 20) + 1
            writer.extend({"value": value, "t_ns": t_ns}, t_ns=t_ns, label=labels(30))
            writer.close_recording(f"content-{number % 20}")
    return WindowSet.open(path)


@pytest.fixture
def _one_more() -> Iterator[None]:
    """The list of recipes has one entry more, as another distribution would add it."""
    RECIPES.append(CONTENT)
    yield
    RECIPES.remove(CONTENT)


@pytest.mark.usefixtures("_one_more")
def test_one_entry_is_a_recipe_for_splitting_audit_and_bootstrap(tmp_path: Path) -> None:
    windows = copies(tmp_path / "dataset")
    split, parts = splits.make("content", windows)
    digest = windows.recordings["digest"].to_list()
    train, validation, test = ({digest[row] for row in side.present} for side in sides(parts))
    assert len(train) + len(validation) + len(test) == len(train | validation | test) == 20
    assert split.notes[0].startswith("digests on each side: train:")

    checks = {check.name: check for check in audit(parts, split)}
    assert checks["digests_disjoint"].status == "pass"
    assert failed(checks.values()) == []
    assert describe_split(parts, split).promises == ["digests_disjoint"]
    mixed = replace(parts, test=parts.train)
    assert "digests_disjoint" in {check.name for check in failed(audit(mixed, split))}

    made = Predictions.of(parts.test, np.eye(2)[parts.test.label])
    clusters = clusters_of(held_out(made, split, parts.test))
    assert (clusters.unit, clusters.count) == ("digest", len(test))

    split.save(tmp_path / "split.json")
    assert splits.Split.load(tmp_path / "split.json") == split

    _, parts = splits.make("content", windows, hold_out=("content-3", "content-4"))
    assert {digest[row] for row in parts.test.present} == {"content-3", "content-4"}


def test_one_entry_is_a_recipe_for_the_command_line_and_its_help(tmp_path: Path) -> None:
    copies(tmp_path / "dataset")
    out = tmp_path / "split.json"
    done = program("split", tmp_path / "dataset", "--split", "content", "--hold-out", "content-7", "-o", out)
    assert done.returncode == 0, done.stderr
    made = splits.Split.load(out)
    assert made.recipe == CONTENT
    assert made.assignment["test"] == ["r7", "r27"]
    shown = program("split", "--help").stdout
    assert "random, content" in " ".join(shown.split())
    assert "profile or content for the test part" in " ".join(shown.split())


def test_what_no_check_looks_at_is_no_promise(make_windows: MakeWindows) -> None:
    split, parts = splits.make("host", make_windows(fleet(4)))
    split = replace(split, recipe=replace(split.recipe, promises=("moons_disjoint",)))
    with pytest.raises(ValueError, match="moons_disjoint"):
        audit(parts, split)


def test_every_promise_of_every_recipe_is_checked(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(5, per_host=5), gap_ns=10**9)
    assert len(RECIPES) == 5
    for recipe in [*RECIPES, digits(7)]:
        split, parts = splits.make(recipe.name, windows, own=[recipe])
        checks = {check.name: check.status for check in audit(parts, split)}
        assert {checks[promise] for promise in recipe.promises} <= {"pass"}


def test_a_recipe_is_the_same_after_json() -> None:
    for recipe in RECIPES:
        assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_nobody_is_named_where_nobody_is_held_out(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(4))
    with pytest.raises(SplitError, match="holds out nobody by name"):
        splits.make("random", windows, hold_out=("r1",))
    with pytest.raises(UsageError, match="--hold-out needs --split host, sample or profile"):
        SplitOptions(split="parity", hold_out=("1",)).check([digits(3)])


def test_the_old_name_of_profile_is_taken_and_told(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("vestige").propagate = True
    assert SplitOptions(split="type", hold_out=("auth",)).split == "profile"
    assert "--split type is called --split profile now" in caplog.text
    caplog.clear()
    assert SplitOptions(split="profile").split == "profile"
    assert caplog.text == ""


def test_sets_by_the_old_name_are_read(make_windows: MakeWindows, tmp_path: Path) -> None:
    windows = make_windows(fleet(6))
    made, _ = splits.make("profile", windows)
    splits.save_sets(made, tmp_path / "sets.json")
    text = (tmp_path / "sets.json").read_text()
    assert '"profile"' in text
    (tmp_path / "sets.json").write_text(text.replace('"profile"', '"type"'))
    assert splits.make("time", windows, sets=tmp_path / "sets.json")[0].recipe == find("profile")


def unlabelled(windows: WindowSet) -> WindowSet:
    """The same windows as if nobody had said what they are."""
    return replace(windows, label=np.zeros_like(windows.label), notes={**windows.notes, "labelled": False})


FLEET = [(recipe.name, fleet(5, per_host=4)) for recipe in RECIPES] + [("parity", fleet(5, per_host=4))]
STREAM = [(recipe, [("h", "s", "p", labels(300))]) for recipe in ("time", "random", "parity")]


@pytest.mark.parametrize(("recipe", "rows"), [*FLEET, *STREAM])
def test_every_recipe_splits_what_has_no_labels(
    make_windows: MakeWindows, recipe: str, rows: list[Recording]
) -> None:
    windows = unlabelled(make_windows(rows, gap_ns=7 * 10**9))
    split, parts = splits.make(recipe, windows, seed=2, own=[digits(10)])
    shares = [len(side) / len(windows) for side in sides(parts)]
    assert min(shares) > 0.05
    checks = {check.name: check for check in audit(parts, split)}
    assert failed(checks.values()) == []
    assert checks["classes_present"].detail == "the dataset has no labels"


def test_a_side_without_windows_is_refused_without_labels_too(make_windows: MakeWindows) -> None:
    windows = unlabelled(make_windows([("h", f"s{n}", "p", labels(40)) for n in range(12)]))
    of_two = windows.select(windows.recording < 2)
    with pytest.raises(SplitError, match=r"no assignment of samples leaves windows on every side \(in 2 "):
        splits.make("sample", of_two)
    late = replace(windows, t_ns=np.where(np.arange(len(windows)) < 470, 0, windows.t_ns + 1))
    with pytest.raises(SplitError, match=r"the time split leaves no window in validation \("):
        splits.make("time", late)


def test_a_ratio_of_classes_needs_labels(make_windows: MakeWindows) -> None:
    windows = unlabelled(make_windows(fleet(12)))
    few, _ = splits.make("random", windows, sizes={"train_size": 5, "test_size": 3})
    assert [len(few.assignment[part]) for part in ("train", "test")] == [5, 3]
    with pytest.raises(SplitError, match="the dataset has no labels"):
        splits.make("random", windows, sizes={"ratio": 2.0})


def uneven() -> list[Recording]:
    """Recordings of many sizes; hosts, samples and profiles of some of them."""
    rng = np.random.default_rng(11)
    rows = []
    for host in range(9):
        for number in range(int(rng.integers(1, 5))):
            n = int(rng.integers(20, 90))
            sample, profile = (host + number) % 7, (host * number) % 4
            label = (rng.random(n) < 0.25).astype(np.uint8)
            rows.append((f"host-{host}", f"sample-{sample}", f"profile-{profile}", label))
    return rows


GOLDEN = {
    ("time", 0): "e2736e3949d727c3",
    ("host", 0): "7663d68b896c9c3b",
    ("sample", 0): "bec7edece552b48f",
    ("profile", 3): "7997999b5002057d",
    ("random", 0): "de7fa71889bcb96f",
    ("random", 3): "9e4909419cb0e4e1",
    ("parity", 0): "ecdacf30e777da52",
    ("parity", 3): "75472965bf4789ce",
}
GOLDEN_STREAM = {
    ("time", 0): "a27af00bb4d86849",
    ("random", 0): "1ab6493600d6f97f",
    ("random", 3): "5344b4605ecd1568",
    ("parity", 0): "900eae4cf324cbd4",
    ("parity", 3): "c772098b03c93dc0",
}
"""What recipes assigned with which seed before they were data: of a fleet, and of a single stream."""


def digest(split: Split, parts: Parts) -> str:
    positions = [side.position.tolist() for side in sides(parts)]
    text = json.dumps(split.assignment, sort_keys=True) + json.dumps(positions)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(("recipe", "seed"), GOLDEN)
def test_a_fleet_is_split_as_ever(make_windows: MakeWindows, recipe: str, seed: int) -> None:
    windows = make_windows(uneven(), gap_ns=7 * 10**9)
    split, parts = splits.make(recipe, windows, seed=seed, own=[digits(10)])
    assert digest(split, parts) == GOLDEN[recipe, seed]


@pytest.mark.parametrize(("recipe", "seed"), GOLDEN_STREAM)
def test_a_stream_is_split_as_ever(make_windows: MakeWindows, recipe: str, seed: int) -> None:
    windows = make_windows([("h", "s", "p", labels(300, 4))])
    split, parts = splits.make(recipe, windows, seed=seed, own=[digits(10)])
    assert digest(split, parts) == GOLDEN_STREAM[recipe, seed]


def test_named_hosts_and_limits_are_drawn_as_ever(make_windows: MakeWindows) -> None:
    windows = make_windows(uneven(), gap_ns=7 * 10**9)
    few, _ = splits.make("host", windows, seed=3, hold_out=("host-2",), sizes={"train_size": 6, "ratio": 2.0})
    text = json.dumps(few.assignment, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "749af1e387bbd6f9"


def test_options_with_a_source_s_own_recipes_go_to_workers() -> None:
    own = SplitOptions.naming([digits(3)])(split="time", split_seed=3)
    again = pickle.loads(pickle.dumps(own))  # noqa: S301 - as processes are handed them
    assert type(again) is SplitOptions
    assert again.model_dump() == own.model_dump()
