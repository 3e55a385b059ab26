"""Worker processes: none is left behind, waits for a slow item of another, or imports what it need not."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import pytest

from vestige.engine import LocalEngine, WorkerDiedError, worker

LONG = 100.0
SCRIPT = """
import sys
print("imported", flush=True)
from vestige.engine import LocalEngine
{function}
if __name__ == "__main__":
    print(sum(outcome.unwrap() for outcome in LocalEngine(2).map({name}, range(-4, 0))))
"""
LEFT = """
import sys
from tests.engine.test_local import sleeps
from vestige.engine import LocalEngine
outcomes = LocalEngine(2).map(sleeps, [0.0, 0.0, 100.0, 100.0], ordered=False)
print(next(outcomes).unwrap(), next(outcomes).unwrap(), flush=True)
{end}
"""
THREADS = """
from multiprocessing import forkserver
from pathlib import Path
from tests.engine.uses_polars import total
from vestige.engine import LocalEngine
print(sum(outcome.unwrap() for outcome in LocalEngine(2).map(total, range(4))))
server = forkserver._forkserver._forkserver_pid
maps = Path(f"/proc/{server}/maps").read_text()
print("numpy" in maps, "polars" in maps, len(list(Path(f"/proc/{server}/task").iterdir())))
"""


def frozen(_: int) -> bool:
    return gc.isenabled() and gc.get_freeze_count() > 10_000


def sleeps(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def waits_for(folder: Path, number: int) -> bool:
    """Item 0 ends when item 2 has been worked on, which was given to the same worker behind it."""
    (folder / str(number)).touch()
    deadline = time.monotonic() + LONG
    while number == 0 and not (folder / "2").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return (folder / "2").exists() or number != 0


class UnlikeItselfError(Exception):
    """An error that cannot be made again from what it keeps."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} {why}")


def raises(number: int) -> None:
    raise UnlikeItselfError("it was", f"number {number}")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def gone(pids: set[int]) -> bool:
    """Whether all of these end within seconds."""
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


def program(code: str, *, end: Callable[[subprocess.Popen[str]], None] | None = None) -> list[str]:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert running.stdout is not None
    said = [running.stdout.readline()] if end is not None else []
    if end is not None:
        end(running)
    said += running.communicate(timeout=60)[0].splitlines()
    return [line.strip() for line in said]


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@linux
def test_an_iterator_that_is_closed_early_leaves_no_worker() -> None:
    outcomes = LocalEngine(2).map(sleeps, [0.0, 0.0, LONG, LONG], ordered=False)
    pids = {next(outcomes).unwrap(), next(outcomes).unwrap()}
    begun = time.monotonic()
    assert isinstance(outcomes, Generator)
    outcomes.close()
    assert gone(pids)
    assert time.monotonic() - begun < LONG / 2


@linux
def test_an_error_of_whoever_takes_the_outcomes_leaves_no_worker() -> None:
    pids: set[int] = set()

    def take() -> None:
        for outcome in LocalEngine(2).map(sleeps, [0.0, LONG, LONG], ordered=False):
            pids.add(outcome.unwrap())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take()
    assert len(pids) == 1
    assert gone(pids)


@linux
@pytest.mark.parametrize("end", ["sys.exit()", "raise KeyboardInterrupt", "1 / 0"])
def test_a_program_that_ends_meanwhile_leaves_no_worker(end: str) -> None:
    (said,) = program(LEFT.format(end=end))
    assert gone({int(pid) for pid in said.split()})


KILLED = """
import os, signal
from tests.engine.test_local import sleeps_with_little_grace
from vestige.engine import LocalEngine
outcomes = LocalEngine(2).map(sleeps_with_little_grace, [0.0, 0.0, 100.0, 100.0], ordered=False)
print(next(outcomes).unwrap(), next(outcomes).unwrap(), flush=True)
os.kill(os.getpid(), signal.{name})
"""


def sleeps_with_little_grace(seconds: float) -> int:
    worker.GRACE = 0.1
    return sleeps(seconds)


@linux
@pytest.mark.parametrize("name", ["SIGKILL", "SIGHUP"])
def test_a_program_that_is_killed_leaves_no_worker(name: str) -> None:
    """Nobody can tell its workers; they notice that it is gone, and give up what they are at."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(name=name)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode < 0
    pids = {int(pid) for pid in done.stdout.split()}
    assert len(pids) == 2
    assert gone(pids)


def test_what_waits_behind_a_slow_item_is_taken_over(tmp_path: Path) -> None:
    outcomes = list(LocalEngine(2).map(partial(waits_for, tmp_path), range(4)))
    assert [outcome.item for outcome in outcomes] == [0, 1, 2, 3]
    assert all(outcome.unwrap() for outcome in outcomes)


def test_an_outcome_names_its_item_also_when_it_died() -> None:
    outcomes = list(LocalEngine(2).map(os._exit, [7], isolate=True))
    assert [(outcome.item, outcome.index) for outcome in outcomes] == [(7, 0)]
    assert isinstance(outcomes[0].error, WorkerDiedError)


def test_an_error_that_cannot_travel_is_told_all_the_same() -> None:
    with pytest.raises(RuntimeError, match="UnlikeItselfError: it was number 1") as caught:
        list(LocalEngine(2).map(raises, [1]))
    assert any("in raises" in note for note in caught.value.__notes__)


def test_a_function_that_cannot_be_found_in_a_worker_is_an_error_and_no_wait() -> None:
    with pytest.raises(Exception, match="lambda"):
        list(LocalEngine(2).map(lambda number: number, [1]))


@pytest.mark.parametrize(
    ("function", "name", "times"),
    [("", "abs", 1), ("def absolute(number): return abs(number)", "absolute", 3)],
)
def test_workers_import_the_script_only_for_what_comes_from_it(
    tmp_path: Path, function: str, name: str, times: int
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(function=function, name=name))
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.count("imported") == times  # two workers may say so on one line
    assert said.stdout.split()[-1] == "10"


@linux
def test_the_server_that_forks_workers_has_one_thread() -> None:
    assert program(THREADS) == ["18", "True False 1"]


def test_workers_look_for_no_garbage_in_what_they_share() -> None:
    assert [outcome.unwrap() for outcome in LocalEngine(2).map(frozen, range(2))] == [True, True]
