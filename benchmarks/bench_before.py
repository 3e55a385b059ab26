"""This checkout beside another one, such as that of an earlier commit: whole commands, in pairs A B A B.

    git worktree add ../before v0.4.0
    .venv/bin/python benchmarks/bench_before.py ../before            # 5 pairs of every command
    .venv/bin/python benchmarks/bench_before.py ../before --quick    # tiny, to see that it works
    .venv/bin/python benchmarks/bench_before.py ../before --only "prepare logs"

Every run is `vestige ...` in a process of its own that sees the `src` of its side only; the evidence is made
once, by this side, and read by both. Processor time is that of all processes of a run, the servers and
workers that outlive it for a moment included. Given are medians in seconds, and of the ratios new/old the
median, the least and the most: below 1 this checkout is faster. On a machine that is not idle, look at the
ratios of processor time. `values of a trace` is the decoder alone, without imports
and what `prepare` does with its values, twenty times.

A second table: two workers against one on this side, beside two processes of plain arithmetic, which take as
long as one alone (1.0) where two cores are idle and twice as long where one is.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import bench_events
import bench_logs
from bench_engine import idle
from pairs import environment

HERE = Path(__file__).resolve().parents[1]
PR_SET_CHILD_SUBREAPER = 36
CONSOLE = "import sys; sys.argv[0] = 'vestige'; from vestige.cli.main import run; run()"
DECODE = """
import sys, time
from pathlib import Path
from vestige.sources.traces.regions import Regions
from vestige.sources.traces.tokens import events
traces = [path.read_bytes() for path in Path(sys.argv[1]).rglob("trace_0")]
def decode():
    for trace in traces:
        for _ in events([trace], Regions.none()): pass
decode()
wall, busy = time.perf_counter(), time.process_time()
for _ in range(20): decode()
print(time.perf_counter() - wall, time.process_time() - busy)
"""
Took = tuple[float, float]
"""Wall and processor time, in seconds."""


@dataclass(frozen=True)
class Sizes:
    """How much evidence there is, and how many windows a detector trains on at most."""

    lines: int = 400_000
    events: int = 200_000
    programs: int = 30
    kilobytes: int = 64
    episodes: int = 60
    seconds: int = 300
    trained_on: int = 20_000


QUICK = Sizes(lines=3_000, events=2_000, programs=4, kilobytes=8, episodes=6, seconds=60, trained_on=2_000)


@dataclass(frozen=True)
class Side:
    """A checkout, and a folder for what it writes."""

    source: Path
    folder: Path

    def run(self, *arguments: object, script: str = CONSOLE) -> Took:
        """A command with this checkout's program, or a script that prints by itself what it took; raises
        SystemExit with what was said where it fails."""
        begun, before = time.perf_counter(), processor_s()
        said = self.end(self.start(*arguments, script=script))
        wall = time.perf_counter() - begun
        _reap()
        if script != CONSOLE:
            wall, busy = map(float, said.split())
            return wall, busy
        return wall, processor_s() - before

    def start(self, *arguments: object, script: str = CONSOLE) -> subprocess.Popen[str]:
        """A command that goes on by itself, until `end`."""
        return subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=environment() | {"PYTHONPATH": str(self.source / "src")},
        )

    def end(self, running: subprocess.Popen[str]) -> str:
        """Wait for a command; what it printed. Raises SystemExit with what it said where it failed."""
        printed, said = running.communicate()
        if running.returncode:
            sys.exit(f"{self.source}: vestige {' '.join(map(str, list(running.args)[3:]))}\n{said}")
        return printed


@dataclass(frozen=True)
class Evidence:
    """What both sides read."""

    logs: Path
    small_logs: Path
    events: Path
    traces: Path
    telemetry: Path

    @classmethod
    def make(cls, folder: Path, sizes: Sizes, side: Side, traces: Path | None) -> Evidence:
        """Write it, by the simulators of `side` where there are any; `traces` instead of simulated ones."""
        names = ("bgl.log", "small.log", "events.csv", "traces", "telemetry")
        made = cls(*(folder / name for name in names))
        bench_logs.write(made.logs, sizes.lines)
        bench_logs.write(made.small_logs, sizes.trained_on)
        bench_events.write(made.events, sizes.events)
        if traces is not None:
            made = replace(made, traces=traces.resolve())
        else:
            size = ("--programs", sizes.programs, "--kilobytes", sizes.kilobytes)
            side.run("simulate", "traces", made.traces, *size)
        side.run(
            "simulate", "telemetry", made.telemetry, "--episodes", sizes.episodes,
            "--seconds", sizes.seconds, "--plant", "none=0",
        )  # fmt: skip
        return made


def processor_s() -> float:
    """Processor time of all processes that this one waited for, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _reap() -> None:
    """Wait for what a command left running: this process has been made its parent."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def commands(evidence: Evidence) -> dict[str, tuple[object, ...]]:
    """What is timed, but for the output: the arguments of `vestige`."""
    logs = ("prepare", "logs", evidence.logs, "--format", "bgl", "--jobs")
    return {
        "prepare logs": (*logs, 1),
        "prepare logs, 2 jobs": (*logs, 2),
        "prepare events": ("prepare", "events", evidence.events, "--jobs", 1),
        "prepare traces": ("prepare", "traces", evidence.traces, "--jobs", 1),
        "prepare telemetry": ("prepare", "telemetry", evidence.telemetry, "--jobs", 1),
        "values of a trace": (evidence.traces,),
        "score logs": ("score", "runs/gbt", evidence.logs),
    }


def train(side: Side, evidence: Evidence) -> None:
    """A detector of this side's own."""
    side.run("prepare", "logs", evidence.small_logs, "--format", "bgl", "-o", "small", "--jobs", 1)
    side.run("split", "small", "-o", "small.split.json")
    side.run("train", "small", "--split", "small.split.json", "-o", "runs", "--model", "gbt")


def measured(side: Side, name: str, arguments: tuple[object, ...]) -> Took:
    """One run of a command, whose output is removed afterwards."""
    if name == "values of a trace":
        return side.run(*arguments, script=DECODE)
    out = side.folder / "out"
    took = side.run(*arguments, "-o", out)
    if out.is_dir():
        shutil.rmtree(out)
    else:
        out.unlink()
    return took


def shown(name: str, before: list[Took], after: list[Took]) -> str:
    """A line of a table: medians of both, and the ratios after/before, of either clock."""
    cells = []
    for clock in (0, 1):
        ratios = sorted(new[clock] / old[clock] for old, new in zip(before, after, strict=True))
        old_s, new_s = (statistics.median(took[clock] for took in side) for side in (before, after))
        spread = f"{statistics.median(ratios):.3f} ({ratios[0]:.3f}-{ratios[-1]:.3f})"
        cells.append(f"{old_s:7.2f} {new_s:7.2f}  {spread:<21}")
    return f"{name:<22} {'  '.join(cells)}"


def beside(old: Side, new: Side, evidence: Evidence, chosen: list[str], pairs: int) -> None:
    """The first table."""
    titles = (f"{clock:>7} {'new':>7}  {'new/old':<21}" for clock in ("wall", "CPU"))
    print(f"{'':<22} {'  '.join(titles)}", flush=True)
    for name, arguments in commands(evidence).items():
        if chosen and name not in chosen:
            continue
        if name == "score logs":
            for side in (old, new):
                train(side, evidence)
        for side in (old, new):  # compiled, and in the page cache
            measured(side, name, arguments)
        runs = [[measured(side, name, arguments) for side in (old, new)] for _ in range(pairs)]
        before, after = ([run[at] for run in runs] for at in (0, 1))
        print(shown(name, before, after), flush=True)


def by_two(side: Side, evidence: Evidence, pairs: int) -> None:
    """The second table."""
    given = commands(evidence)
    print("\nprepare logs here     two cores  faster  CPU of two workers / one", flush=True)
    found: list[tuple[float, float, float]] = []
    for _ in range(pairs):
        free = idle()
        _reap()
        first, second = (
            measured(side, name, given[name]) for name in ("prepare logs", "prepare logs, 2 jobs")
        )
        found.append((free, first[0] / second[0], second[1] / first[1]))
    columns = list(zip(*found, strict=True))
    for name, choose in (("median", statistics.median), ("least", min), ("most", max)):
        free, faster, more = map(choose, columns)
        print(f"{name:<22}{free:<11.2f}{faster:<8.2f}{more:.3f}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path, nargs="?", help="another checkout of this project")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], help="names of rows of the first table")
    parser.add_argument("--traces", type=Path, help="a corpus of traces, instead of a simulated one")
    parser.add_argument("--quick", action="store_true", help="tiny evidence and one pair")
    given = parser.parse_args()
    if given.old is None:
        print("skipped: name another checkout of this project")
        return
    sizes, pairs = Sizes(), given.pairs
    if given.quick:
        sizes, pairs = QUICK, 1
    if not (given.old / "src" / "vestige").is_dir():
        parser.error(f"{given.old} is no checkout: it has no src/vestige")
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        old, new = Side(given.old.resolve(), root / "old"), Side(HERE, root / "new")
        for side in (old, new):
            side.folder.mkdir()
        evidence = Evidence.make(root, sizes, new, given.traces)
        beside(old, new, evidence, given.only, pairs)
        if not given.only:
            by_two(new, evidence, pairs)


if __name__ == "__main__":
    main()
