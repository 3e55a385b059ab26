"""Recordings picked, limited in number, written down, and used again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import MakeWindows, Recording
from vestige import splits
from vestige.errors import SplitError
from vestige.reading.windows import WindowSet
from vestige.splits import PARTS, Split


def fleet(n: int, bad: int) -> list[Recording]:
    """`n` recordings of twenty steps; the first `bad` are anomalous."""
    return [
        (f"host-{i}", f"sample-{i}", "p", np.r_[np.zeros(10), np.full(10, i < bad)].astype(np.uint8))
        for i in range(n)
    ]


def sizes(split: Split, windows: WindowSet) -> dict[str, tuple[int, int]]:
    """Normal and anomalous recordings of each part."""
    anomalous = {windows.recordings["id"][int(r)] for r in windows.recording[windows.label > 0]}
    return {
        part: (
            sum(one not in anomalous for one in split.assignment[part]),
            sum(one in anomalous for one in split.assignment[part]),
        )
        for part in PARTS
    }


def test_sets_give_the_same_recordings_to_another_dataset_of_the_corpus(
    make_windows: MakeWindows, tmp_path: Path
) -> None:
    windows, longer = make_windows(fleet(20, 8)), make_windows(fleet(20, 8), length=7)
    made, _ = splits.make("random", windows, seed=5)
    splits.save_sets(made, tmp_path / "sets.json")
    again, parts = splits.make("time", longer, sets=tmp_path / "sets.json")
    assert again.assignment == made.assignment
    assert again.in_distribution
    assert again.recipe.name == "random"
    assert {longer.recordings["id"][int(r)] for r in parts.test.recording} == set(made.assignment["test"])


def test_sets_of_another_corpus_are_refused(make_windows: MakeWindows, tmp_path: Path) -> None:
    made, _ = splits.make("random", make_windows(fleet(20, 8)), seed=5)
    splits.save_sets(made, tmp_path / "sets.json")
    with pytest.raises(SplitError, match="5 of its recordings are not in the dataset: r1"):
        splits.make("random", make_windows(fleet(15, 8)), sets=tmp_path / "sets.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "vestige-sets/1"}', '{"format": "other", "train": []}']
)
def test_a_damaged_file_of_sets_is_refused(make_windows: MakeWindows, tmp_path: Path, text: str) -> None:
    (tmp_path / "sets.json").write_text(text)
    with pytest.raises(SplitError, match="sets") as caught:
        splits.make("random", make_windows(fleet(20, 8)), sets=tmp_path / "sets.json")
    assert "--output-sets" in (caught.value.remedy or "")


def test_a_split_that_divides_recordings_has_no_sets(make_windows: MakeWindows, tmp_path: Path) -> None:
    every = np.tile([0, 0, 1], 30).astype(np.uint8)
    windows = make_windows([(f"host-{i}", "s", "p", every) for i in range(5)])
    made, _ = splits.make("time", windows)
    with pytest.raises(SplitError, match="divides recordings"):
        splits.save_sets(made, tmp_path / "sets.json")
    with pytest.raises(SplitError, match="no number of recordings"):
        splits.make("time", windows, sizes={"train_size": 3})
    assert not (tmp_path / "sets.json").exists()


def test_sizes_limit_parts_and_keep_each_class_in_its_proportion(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(60, 20))
    whole, _ = splits.make("random", windows, seed=1)
    few, parts = splits.make("random", windows, seed=1, sizes={"train_size": 9, "test_size": 4})
    before, after = sizes(whole, windows), sizes(few, windows)
    assert sum(after["train"]) == 9
    assert sum(after["test"]) == 4
    assert after["validation"] == before["validation"]
    share = before["train"][1] / sum(before["train"])
    assert abs(after["train"][1] - 9 * share) <= 1
    assert all(set(few.assignment[one]) <= set(whole.assignment[one]) for one in PARTS)
    assert len(np.unique(parts.train.recording)) == 9
    assert any("train: 9 of" in note for note in few.notes)


def test_a_rare_class_survives_a_small_size(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(60, 6))
    few, _ = splits.make("random", windows, seed=1, sizes={"train_size": 2, "test_size": 2})
    assert sizes(few, windows)["train"] == (1, 1)
    assert sizes(few, windows)["test"] == (1, 1)


def test_ratio_leaves_out_normal_recordings_in_every_part(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(60, 12))
    few, _ = splits.make("random", windows, seed=1, sizes={"ratio": 1.5})
    whole, _ = splits.make("random", windows, seed=1)
    for part, (normal, bad) in sizes(few, windows).items():
        assert bad == sizes(whole, windows)[part][1]
        assert normal == int(1.5 * bad)


def test_the_same_seed_draws_the_same(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(60, 20))
    one, same, other = (
        splits.make("random", windows, seed=seed, sizes={"train_size": 9})[0] for seed in (1, 1, 2)
    )
    assert one.assignment == same.assignment != other.assignment
    assert json.loads(json.dumps(one.to_dict()))["assignment"] == one.assignment
