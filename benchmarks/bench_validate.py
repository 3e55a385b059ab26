"""Sweeping a store, beside hashing and decoding the same files by themselves; pairs in turn, every core.

    .venv/bin/python benchmarks/bench_validate.py                  # 400 episodes of ten minutes, 7 pairs
    .venv/bin/python benchmarks/bench_validate.py 2000 7 300       # episodes, pairs, seconds an episode

Both sides start their worker processes from the same warm server, with the same chunks. `by itself` reads
every file of every episode, takes its SHA-256 and decodes it: JSON by the standard library, Parquet by
Polars, for the quick sweep its stamps and row numbers alone. It checks nothing and writes nothing.
Processor time is that of this process and its workers: on a machine with other work to do it says more than
the wall's.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from pairs import Asked, Pair
from vestige.engine import LOCAL
from vestige.simulators.telemetry.options import SimulateOptions
from vestige.simulators.telemetry.write import simulate
from vestige.validation.options import ValidateOptions
from vestige.validation.sweep import CHUNK, validate

REAL = 76_660
"""Episodes of the real store."""
STAMPS = {"t_wall_ns", "t_mono_ns", "seq"}


def read(folder: str, *, deep: bool) -> int:
    """Hash and decode the files of one episode."""
    rows = 0
    for file in os.scandir(folder):
        data = Path(file.path).read_bytes()
        hashlib.sha256(data).hexdigest()
        if file.name.endswith(".parquet"):
            some = (
                None if deep else [one for one in pl.read_parquet_schema(io.BytesIO(data)) if one in STAMPS]
            )
            rows += pl.read_parquet(data, columns=some).height
        else:
            rows += len(
                [json.loads(line) for line in data.splitlines()] if file.name[0] == "l" else json.loads(data)
            )
    return rows


def by_itself(root: Path, *, deep: bool) -> int:
    """All episodes, on every core."""
    work = functools.partial(read, deep=deep)
    folders = sorted(map(str, root.glob("*/*/*")))
    return sum(one.unwrap() for one in LOCAL.map(work, folders, chunk=CHUNK, isolate=True))


def sweep(root: Path, *, deep: bool) -> int:
    """The same with a verdict for each, and an index."""
    found = validate(root, ValidateOptions(deep=deep), again=True)
    assert found.counts() == {"accepted": found.rows.height}
    return found.rows.height


def processes() -> list[Path]:
    """This process and its children, in /proc: one of them is the server that forks the workers."""
    own = str(os.getpid())
    every = [one for one in Path("/proc").iterdir() if one.name.isdecimal()]
    return [one for one in every if one.name == own or _field(one, 1) == own]


def _field(process: Path, number: int) -> str:
    """A field of /proc/PID/stat, counted from the state (0)."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[number]
    except OSError:
        return "0"


def processor_s() -> float:
    """Seconds that this process, its children, and the workers that these have seen end have had so far."""
    ticks = sum(int(_field(process, number)) for process in processes() for number in range(11, 15))
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_mb() -> int:
    """The most memory that this process ever held, without its workers."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) // 1024


def timed(work: Callable[..., int], root: Path, deep: bool) -> tuple[float, float]:
    wall, busy = time.perf_counter(), processor_s()
    work(root, deep=deep)
    return time.perf_counter() - wall, processor_s() - busy


def hashed(folder: str) -> int:
    """The SHA-256 of the files of one episode, and no more."""
    return len([hashlib.sha256(Path(file.path).read_bytes()).hexdigest() for file in os.scandir(folder)])


def only_hashed(root: Path, *, deep: bool) -> int:  # noqa: ARG001 - the same for both
    """All episodes, on every core."""
    folders = sorted(map(str, root.glob("*/*/*")))
    return sum(one.unwrap() for one in LOCAL.map(hashed, folders, chunk=CHUNK, isolate=True))


def rows(asked: Asked) -> Iterator[Pair]:
    """Both sweeps beside hashing and decoding by themselves."""
    with tempfile.TemporaryDirectory() as folder:
        root, episodes = Path(folder) / "store", asked.size(60, 4)
        simulate(root, SimulateOptions(episodes=episodes, seconds=asked.size(600, 60), plant=("none=0",)))
        (root / ".vestige-simulated.json").unlink()
        for deep in (False, True):
            ours, theirs, bound = (
                functools.partial(timed, work, root, deep) for work in (sweep, by_itself, only_hashed)
            )
            yield Pair(
                f"a store of {episodes} episodes, {'deep' if deep else 'quick'} sweep",
                "validate, every core",
                "hashing and decoding alone",
                ours,
                theirs,
                "SHA-256 alone",
                bound,
                burner=deep,
            )


def main() -> None:
    episodes, pairs, seconds = (*map(int, sys.argv[1:]), *(400, 7, 600)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        planted = simulate(root, SimulateOptions(episodes=episodes, seconds=seconds, plant=("none=0",)))
        (root / ".vestige-simulated.json").unlink()
        print(
            f"{episodes} episodes of {seconds} s, {planted['bytes'] / episodes / 1e3:.0f} kB each, "
            f"load {os.getloadavg()[0]:.1f}"
        )
        print(
            "sweep  pairs  ratio of wall s (min-max)   ratio of processor s (min-max)  ms an episode  "
            "76,660 episodes"
        )
        for deep in (False, True):
            by_itself(root, deep=deep), sweep(root, deep=deep)
            runs = [(timed(by_itself, root, deep), timed(sweep, root, deep)) for _ in range(pairs)]
            wall, busy = ([ours[at] / theirs[at] for theirs, ours in runs] for at in (0, 1))
            took, cpu = (statistics.median(ours[at] for _, ours in runs) / episodes for at in (0, 1))
            print(
                f"{'deep' if deep else 'quick':<6} {pairs:<6} {_spread(wall):<27} {_spread(busy):<31} "
                f"{took * 1e3:<5.1f} (cpu {cpu * 1e3:.1f})  {took * REAL / 60:.1f} min "
                f"(on two idle cores {cpu * REAL / 120:.1f})"
            )
        print(f"peak MB of the process that asks: {peak_mb()}")


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


if __name__ == "__main__":
    main()
