"""One map for everything: same results however many workers, and one bad item never sinks the sweep."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest

from vestige import log
from vestige.engine import LocalEngine, WorkerDiedError, choose
from vestige.engine.dispatch import AHEAD
from vestige.errors import EvidenceError, UsageError


def square(x: int) -> int:
    return x * x


def fails_on_three(x: int) -> int:
    if x == 3:
        raise EvidenceError("three is bad", where="items.txt", row=3, remedy="leave it out")
    return x


def is_a_bug(x: int) -> int:
    return x // 0


def speaks(x: int) -> int:
    logging.getLogger("vestige.test").info("item %d", x)
    logging.getLogger("vestige.test").debug("whisper %d", x)
    return os.getpid()


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("chunk", [1, 7])
def test_results_are_the_same_whatever_the_workers(jobs: int, chunk: int) -> None:
    outcomes = LocalEngine(jobs).map(square, range(100), chunk=chunk)
    assert [outcome.unwrap() for outcome in outcomes] == [x * x for x in range(100)]


def test_unordered_results_are_all_there_once() -> None:
    outcomes = list(LocalEngine(2).map(square, range(50), ordered=False))
    assert sorted(outcome.index for outcome in outcomes) == list(range(50))
    assert all(outcome.value == outcome.index**2 for outcome in outcomes)


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_failed_item_keeps_its_error_and_the_rest_go_on(jobs: int) -> None:
    outcomes = list(LocalEngine(jobs).map(fails_on_three, range(6)))
    assert [outcome.value for outcome in outcomes] == [0, 1, 2, None, 4, 5]
    with pytest.raises(EvidenceError, match=r"items\.txt:3: three is bad") as caught:
        outcomes[3].unwrap()
    assert caught.value.remedy == "leave it out"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bug_is_not_hidden(jobs: int) -> None:
    with pytest.raises(ZeroDivisionError):
        list(LocalEngine(jobs).map(is_a_bug, [1]))


def test_an_endless_stream_of_items_is_consumed_as_results_are_taken() -> None:
    taken = itertools.count()
    results = LocalEngine(2).map(square, taken)
    assert [next(results).unwrap() for _ in range(5)] == [0, 1, 4, 9, 16]
    assert next(taken) <= 5 + 2 * AHEAD
    assert isinstance(results, Generator)
    results.close()


def test_what_workers_log_is_written_by_one_process(tmp_path: Path) -> None:
    logging.getLogger("vestige").setLevel(logging.INFO)
    with log.to_file(tmp_path / "log.jsonl"):
        pids = {outcome.unwrap() for outcome in LocalEngine(2).map(speaks, range(20))}
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert sorted(line["message"] for line in lines) == sorted(f"item {x}" for x in range(20))
    assert {line["process"] for line in lines} == pids
    assert os.getpid() not in pids


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="abacus"):
        choose("abacus")


@pytest.mark.parametrize(
    ("text", "level"), [("10", 10), ("debug", 10), ("WARNING", 30), ("50", 50), ("25", 25)]
)
def test_a_log_level_is_a_number_or_a_name(text: str, level: int) -> None:
    assert log.parse_level(text) == level


@pytest.mark.parametrize("text", ["0", "60", "loud", "", "-10"])
def test_other_log_levels_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="10 to 50"):
        log.parse_level(text)


@pytest.mark.parametrize("jobs", [0, -2])
def test_fewer_than_one_process_is_refused(jobs: int) -> None:
    with pytest.raises(UsageError, match="--jobs 1 or more"):
        LocalEngine(jobs).map(abs, [1])


def dies_once(folder: Path, x: int) -> int:
    if x == 5 and not list(folder.iterdir()):
        (folder / "death").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def kills(x: int) -> int:
    if x == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def test_an_item_is_not_blamed_for_a_death_that_it_was_not_alone_with(tmp_path: Path) -> None:
    outcomes = list(LocalEngine(2).map(partial(dies_once, tmp_path), range(8), chunk=4, isolate=True))
    assert [outcome.value for outcome in outcomes] == list(range(8))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_item_that_kills_its_process_is_the_only_one_lost(jobs: int) -> None:
    outcomes = list(LocalEngine(jobs).map(kills, range(30), chunk=4, isolate=True))
    assert [outcome.index for outcome in outcomes] == list(range(30))
    died = [outcome.index for outcome in outcomes if isinstance(outcome.error, WorkerDiedError)]
    assert died == [20]
    assert all(outcome.value == outcome.index for outcome in outcomes if outcome.index not in died)
