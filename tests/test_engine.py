"""One map for everything: same results however many workers, and one bad item never sinks the sweep."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from vestige import engine, log
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
def test_results_are_the_same_whatever_the_workers(jobs, chunk):
    outcomes = engine.map(square, range(100), jobs=jobs, chunk=chunk)
    assert [one.unwrap() for one in outcomes] == [x * x for x in range(100)]


def test_unordered_results_are_all_there_once():
    outcomes = list(engine.map(square, range(50), jobs=2, ordered=False))
    assert sorted(one.index for one in outcomes) == list(range(50))
    assert all(one.value == one.index**2 for one in outcomes)


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_failed_item_keeps_its_error_and_the_rest_go_on(jobs):
    outcomes = list(engine.map(fails_on_three, range(6), jobs=jobs))
    assert [one.value for one in outcomes] == [0, 1, 2, None, 4, 5]
    with pytest.raises(EvidenceError, match=r"items\.txt:3: three is bad") as caught:
        outcomes[3].unwrap()
    assert caught.value.remedy == "leave it out"


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bug_is_not_hidden(jobs):
    with pytest.raises(ZeroDivisionError):
        list(engine.map(is_a_bug, [1], jobs=jobs))


# a generator left in the middle of a round may have joblib complain while it is collected
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::UserWarning")
def test_an_endless_stream_of_items_is_consumed_as_results_are_taken():
    taken = itertools.count()
    results = engine.map(square, taken, jobs=2)
    assert [next(results).unwrap() for _ in range(5)] == [0, 1, 4, 9, 16]
    assert next(taken) <= 2 * engine.ROUND * 2 + 1
    results.close()


def test_what_workers_log_is_written_by_one_process(tmp_path):
    logging.getLogger("vestige").setLevel(logging.INFO)
    with log.to_file(tmp_path / "log.jsonl"):
        pids = {one.unwrap() for one in engine.map(speaks, range(20), jobs=2)}
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert sorted(line["message"] for line in lines) == sorted(f"item {x}" for x in range(20))
    assert {line["process"] for line in lines} == pids
    assert os.getpid() not in pids


def test_an_unknown_engine_is_refused():
    with pytest.raises(UsageError, match="abacus"):
        list(engine.map(square, [1], engine="abacus"))


@pytest.mark.parametrize(
    ("text", "level"), [("10", 10), ("debug", 10), ("WARNING", 30), ("50", 50), ("25", 25)]
)
def test_a_log_level_is_a_number_or_a_name(text, level):
    assert log.parse_level(text) == level


@pytest.mark.parametrize("text", ["0", "60", "loud", "", "-10"])
def test_other_log_levels_are_refused(text):
    with pytest.raises(UsageError, match="10 to 50"):
        log.parse_level(text)


@pytest.mark.parametrize("jobs", [0, -2])
def test_fewer_than_one_process_is_refused(jobs: int) -> None:
    with pytest.raises(UsageError, match="--jobs 1 or more"):
        engine.map(abs, [1], jobs=jobs)


def dies_twice(folder: Path, x: int) -> int:
    deaths = len(list(folder.iterdir()))
    if x == 5 and deaths < 2:
        (folder / str(deaths)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def kills(x: int) -> int:
    if x == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def test_an_item_is_blamed_for_the_second_death_that_it_is_alone_with(tmp_path):
    """On a busy machine the last killer's death is told of when the next item is at work already."""
    outcomes = list(engine.map(partial(dies_twice, tmp_path), range(8), jobs=2, chunk=4, isolate=True))
    assert [one.value for one in outcomes] == list(range(8))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_item_that_kills_its_process_is_the_only_one_lost(jobs):
    outcomes = list(engine.map(kills, range(30), jobs=jobs, chunk=4, isolate=True))
    assert [one.index for one in outcomes] == list(range(30))
    died = [one.index for one in outcomes if isinstance(one.error, engine.WorkerDiedError)]
    assert died == [20]
    assert all(one.value == one.index for one in outcomes if one.index not in died)
