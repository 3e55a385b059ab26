"""What the engine costs: two workers against one, on work that needs nothing but the processor.

    python benchmarks/bench_engine.py [--pairs 5] [--items 40] [--seconds 3.5] [--megabytes 1]

Each run is a program of its own, in pairs A B A B, so that what the machine does besides falls on both. An
item is pure Python, about `seconds / items` of it, and gives back an array of `megabytes`. Asked: two workers
take at most 1.1 times the processor time of one, and are at least 1.7 times as fast where two cores are idle.
Whether they are is told by two processes of plain arithmetic that run beside each other just before: with two
idle cores they take as long as one alone (1.0), with one core twice as long.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pairs import Asked, Pair, here

RATE = 1_000_000
"""Steps of the loop that are timed first, to know how many make an item."""
ARITHMETIC = "total = 0\nfor number in range(8_000_000): total += number * number % 7"
CHILD = """
import json, sys, time
from functools import partial
from multiprocessing import forkserver, resource_tracker
from vestige.engine import LocalEngine
from bench_engine import work

jobs, items, steps, cells = map(int, sys.argv[1:])
begun = time.perf_counter()
outcomes = LocalEngine(jobs).map(partial(work, steps, cells), range(items))
taken = sum(len(outcome.unwrap()) for outcome in outcomes)
wall = time.perf_counter() - begun
assert taken == items * cells
if jobs > 1:  # or the system would not count what the workers took as this program's
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()
print(json.dumps([wall]))
"""


def work(steps: int, cells: int, item: int) -> NDArray[np.int64]:
    """Pure Python for a while, then an array of `cells` numbers."""
    total = item
    for number in range(steps):
        total += number * number % 7
    return np.full(cells, total, dtype=np.int64)


def measured(command: list[str]) -> tuple[float, float]:
    """Wall time that a program tells of, and processor time of it and all of its processes."""
    before = os.times()
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parent)
    found = json.loads(told.stdout)
    after = os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return float(found[0]), busy


def rows(asked: Asked) -> Iterator[Pair]:
    """Two workers beside one."""
    items = asked.size(40, 4)
    begun = time.process_time()
    work(RATE, 1, 0)
    steps = int(RATE * asked.size(3, 1) / items / (time.process_time() - begun))
    one, two = (
        partial(measured, [sys.executable, "-c", CHILD, *map(str, (jobs, items, steps, 1 << 17))])
        for jobs in (1, 2)
    )
    yield Pair(
        f"{items} items of plain Python",
        "two workers",
        "one worker",
        two,
        one,
        "the work alone, in one process",
        here(lambda: [work(steps, 1 << 17, item) for item in range(items)]),
        burner=True,
        note="2 at best by the wall, 1 at best by the processor",
    )


def idle() -> float:
    """How much longer two processes of plain arithmetic take beside each other than one alone."""
    walls = []
    for count in (1, 2):
        begun = time.perf_counter()
        for running in [subprocess.Popen([sys.executable, "-c", ARITHMETIC]) for _ in range(count)]:
            running.wait()
        walls.append(time.perf_counter() - begun)
    return walls[1] / walls[0]


def main() -> None:
    """Print each pair, then medians and spread."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=3.5)
    parser.add_argument("--megabytes", type=float, default=1)
    given = parser.parse_args()
    begun = time.process_time()
    work(RATE, 1, 0)
    steps = int(RATE * given.seconds / given.items / (time.process_time() - begun))
    cells = int(given.megabytes * (1 << 20) / 8)
    ratios: list[tuple[float, float]] = []
    print("two cores  wall 1  wall 2  faster  CPU 1  CPU 2  CPU ratio")
    for _ in range(given.pairs):
        free = idle()
        runs = [
            measured([sys.executable, "-c", CHILD, *map(str, (jobs, given.items, steps, cells))])
            for jobs in (1, 2)
        ]
        (wall, busy), (wall_two, busy_two) = runs
        ratios.append((wall / wall_two, busy_two / busy))
        faster, more = ratios[-1]
        walls, busies = f"{wall:<6.2f}  {wall_two:<6.2f}", f"{busy:<5.2f}  {busy_two:<5.2f}"
        print(f"{free:<9.2f}  {walls}  {faster:<6.2f}  {busies}  {more:.3f}")
    for name, found in zip(("faster", "CPU ratio"), zip(*ratios, strict=True), strict=True):
        print(f"{name}: median {statistics.median(found):.3f}, from {min(found):.3f} to {max(found):.3f}")


if __name__ == "__main__":
    main()
