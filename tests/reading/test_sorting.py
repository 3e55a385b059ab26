"""The external sort: the order of an in-memory sort, whatever the memory allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.events.exports import START, dataset, table, write
from vestige.reading import sorting
from vestige.reading.sorting import by_recording

RECORD = np.dtype([("t_ns", "<i8"), ("line", "<i8"), ("recording", "<u4")])


def records(machines: list[int], times: list[int]) -> np.ndarray:
    made = np.zeros(len(machines), dtype=RECORD)
    made["recording"], made["t_ns"], made["line"] = machines, times, np.arange(len(machines))
    return made


def sort(made: np.ndarray, file: Path, **limits: int) -> list[tuple[int, list[int]]]:
    made.tofile(file)
    order = np.unique(made["recording"]).astype(np.int64)[::-1]
    counts = np.array([(made["recording"] == one).sum() for one in order])
    return [
        (machine, np.concatenate([piece["line"] for piece in pieces]).tolist())
        for machine, pieces in by_recording(file, RECORD, order, counts, **limits)
    ]


EVENTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5)), min_size=1, max_size=120)


@given(EVENTS, st.integers(1, 40), st.integers(2, 5))
def test_little_memory_gives_the_order_of_much(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[int, int]], budget: int, fan_out: int
) -> None:
    folder = tmp_path_factory.mktemp("sort")
    made = records(*map(list, zip(*events, strict=True)))
    whole = sort(made, folder / "a", budget=1 << 20, fan_out=64)
    assert sort(made, folder / "b", budget=budget, fan_out=fan_out) == whole
    for machine, lines in whole:
        mine = [at for at, (one, _) in enumerate(events) if one == machine]
        assert lines == sorted(mine, key=lambda at: events[at][1])
    assert not list(folder.iterdir())


def test_several_levels_and_a_giant_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[int] = []
    real = sorting._distribute

    def counting(file: Path, *rest: Any) -> object:
        levels.append(file.name.count("."))
        return real(file, *rest)

    monkeypatch.setattr(sorting, "_distribute", counting)
    rng = np.random.default_rng(0)
    machines = np.r_[np.arange(40).repeat(25), np.full(3000, 7)]
    made = records(rng.permutation(machines).tolist(), rng.integers(0, 99, len(machines)).tolist())
    assert sort(made, tmp_path / "b", budget=50, fan_out=3) == sort(made, tmp_path / "a")
    assert max(levels) >= 2


def test_a_dataset_is_the_same_bytes_whatever_the_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [
        (float(rng.integers(0, 500)), f"m{rng.integers(0, 30)}", f"e{rng.integers(0, 9)}", "")
        for _ in range(2000)
    ]
    rows += [(float(at % 97), "giant", "e1", "x") for at in range(900)]
    export = write(tmp_path / "all.csv", table(rows))
    dataset(export, tmp_path / "much")
    dataset(export, tmp_path / "little", budget=60, fan_out=2)
    files = sorted(one for one in (tmp_path / "much").rglob("*") if one.is_file())
    assert len(files) > 8
    for file in files:
        assert file.read_bytes() == (tmp_path / "little" / file.relative_to(tmp_path / "much")).read_bytes()


def test_equal_times_keep_the_order_of_the_evidence(tmp_path: Path) -> None:
    rows = [(0.0, "m", f"e{at}", "") for at in range(50)]
    windows = dataset(write(tmp_path / "a.csv", table(rows)), tmp_path / "d", budget=7)
    assert windows.streams["line"][10:].tolist() == list(range(2, 52))
    assert set(windows.t_ns.tolist()) == {START * 10**9}
