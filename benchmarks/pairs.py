"""One frame for every benchmark: two ways of doing a thing, timed in turns A B A B on both clocks.

A script has a function `rows(asked)` that yields a `Pair` for each thing it compares; `run.py` measures them,
keeps what came out, and writes the tables. A ratio is always the other's time over ours: above 1, ours is
faster. The bound is the least that any program could take for the work, such as one pass over the bytes or
the products of matrices alone; it runs in the same turns (A B C A B C).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

FOLDER = Path(__file__).resolve().parent
PEERS = FOLDER / ".peers"
"""The virtual environment of the peers: see peers.txt."""
CHUNK = 1 << 20
PR_SET_CHILD_SUBREAPER = 36
Took = tuple[float, float]
"""Wall and processor time, in seconds."""
Way = Callable[[], Took]
"""Does the work once, and says what it took."""
CLOCKS = ("wall", "processor")
SERVE = """
import json as _json, sys as _sys, time as _time
for _line in _sys.stdin:
    _began = _time.perf_counter(), _time.process_time()
    for _ in range(int(_line)):
        work()
    _took = _time.perf_counter() - _began[0], _time.process_time() - _began[1]
    print(_json.dumps([one / int(_line) for one in _took]), flush=True)
"""


@dataclass(frozen=True)
class Asked:
    """How a script is to be run: `quick` is small sizes, to see that it works; `before` is another checkout
    of this project, for the scripts that compare with one."""

    quick: bool = False
    pairs: int = 5
    before: Path | None = None

    def size(self, whole: int, quick: int) -> int:
        """One or the other."""
        return quick if self.quick else whole


@dataclass(frozen=True)
class Pair:
    """One thing that is compared. `missing` says why it cannot be; `burner`: also beside a process that never
    rests. `ours` and `other` are words for the table."""

    name: str
    ours: str
    other: str
    run_ours: Way | None = None
    run_other: Way | None = None
    bound: str = ""
    run_bound: Way | None = None
    burner: bool = False
    note: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Clock:
    """Seconds (medians) of ours and of the other, and the ratios other/ours: median, least and most. `bound`
    is the median of ours over the bound, where there is one."""

    ours: float
    other: float
    ratio: float
    low: float
    high: float
    bound: float | None = None


@dataclass(frozen=True)
class Row:
    """What came out. `load` is `idle` or `burner`; `machine` is the load average when it began."""

    name: str
    ours: str
    other: str
    load: str
    pairs: int = 0
    wall: Clock | None = None
    processor: Clock | None = None
    bound: str = ""
    note: str = ""
    missing: str = ""
    machine: float = field(default_factory=lambda: round(os.getloadavg()[0], 1))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        """The inverse."""
        clocks = {name: Clock(**saved[name]) if saved[name] else None for name in CLOCKS}
        return cls(**(saved | clocks))


def measure(pair: Pair, pairs: int) -> Iterator[Row]:
    """A row of the idle machine, and one beside a burner where the pair asks for it."""
    if pair.missing or pair.run_ours is None or pair.run_other is None:
        yield Row(pair.name, pair.ours, pair.other, "idle", note=pair.note, missing=pair.missing)
        return
    ways = [way for way in (pair.run_ours, pair.run_other, pair.run_bound) if way is not None]
    for way in ways:  # imports, compiled kernels, the page cache
        way()
    for load in ("idle", "burner")[: 1 + pair.burner]:
        begun = round(os.getloadavg()[0], 1)
        with burner() if load == "burner" else contextlib.nullcontext():
            runs = [[way() for way in ways] for _ in range(pairs)]
        clocks = [_clock([[took[at] for took in run] for run in runs]) for at in (0, 1)]
        words = (pair.name, pair.ours, pair.other, load)
        yield Row(*words, pairs, *clocks, bound=pair.bound, note=pair.note, machine=begun)


def _clock(runs: list[list[float]]) -> Clock:
    least = 1e-9  # a clock that did not move divides nothing
    ours, other, *_ = (statistics.median(column) for column in zip(*runs, strict=True))
    ratios = [run[1] / max(run[0], least) for run in runs]
    over = statistics.median(run[0] / max(run[2], least) for run in runs) if len(runs[0]) > 2 else None
    return Clock(ours, other, statistics.median(ratios), min(ratios), max(ratios), over)


def here(work: Callable[[], object], loops: int = 1) -> Way:
    """In this process; processor time is that of all its threads, and of the children that have ended. Times
    are means of `loops` calls."""

    def way() -> Took:
        began = _clocks()
        for _ in range(loops):
            work()
        wall, processor = ((after - before) / loops for before, after in zip(began, _clocks(), strict=True))
        return wall, processor

    return way


def _clocks() -> Took:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime


def environment() -> dict[str, str]:
    """Ours, in which Python keeps bytecode, as it lies beside the modules of an installed package."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def command(
    *arguments: object,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    after: Callable[[], object] | None = None,
) -> Way:
    """A process of its own, with all that it starts, the servers that outlive it for a moment included;
    `after` clears away what it made. Raises RuntimeError with what was said where it fails."""
    _be_parent_of_orphans()

    def way() -> Took:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(one) for one in arguments],
            cwd=cwd, env=environment() | (env or {}), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            said = process.communicate()[1]
        except BaseException:  # time is up: the process has a session of its own, and would go on
            os.killpg(process.pid, signal.SIGKILL)
            raise
        wall = time.perf_counter() - began
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-process.pid, 0)
        if process.returncode:
            raise RuntimeError(f"{arguments[0]} ended with {process.returncode}: {said[-2000:]}")
        done = resource.getrusage(resource.RUSAGE_CHILDREN)
        if after is not None:
            after()
        return wall, done.ru_utime + done.ru_stime - before.ru_utime - before.ru_stime

    return way


@cache
def _be_parent_of_orphans() -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextlib.contextmanager
def served(script: str, *arguments: object, python: Path | None = None, loops: int = 1) -> Iterator[Way]:
    """A script that defines `work()`, in a process that waits for its turn: imports and set-up are not timed.
    Times are means of `loops` calls. Python is that of the peers unless another is given."""
    program = [str(python or peers_python()), "-c", script + SERVE, *map(str, arguments)]
    with answering(program) as ask:

        def way() -> Took:
            wall, processor = ask(loops)
            return wall, processor

        yield way


@contextlib.contextmanager
def answering(
    program: Sequence[object], env: Mapping[str, str] | None = None
) -> Iterator[Callable[[object], Any]]:
    """A process that waits for its turn, and answers each line with a line of JSON. Asking raises
    RuntimeError where it has ended."""
    process = subprocess.Popen(
        [str(part) for part in program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert process.stdin is not None
    assert process.stdout is not None
    into, out = process.stdin, process.stdout

    def ask(what: object) -> Any:
        print(what, file=into, flush=True)
        line = out.readline()
        if not line:
            raise RuntimeError(f"the other process ended with {process.wait()}; what it said stands above")
        return json.loads(line)

    try:
        yield ask
    finally:
        into.close()
        process.wait()
        out.close()


def peers_python() -> Path:
    """The interpreter of the peers."""
    return PEERS / "bin" / "python"


def why_missing(module: str) -> str:
    """Why a peer cannot run; empty where it can."""
    if not peers_python().is_file():
        return "the peers are not installed (make bench-peers)"
    if not any(PEERS.glob(f"lib/python*/site-packages/{module}")):
        return f"{module} is not among the installed peers (make bench-peers)"
    return ""


def see_peers() -> None:
    """Lets this process import the peers that are plain Python over the project's own PyTorch: what the
    project has comes first."""
    for folder in PEERS.glob("lib/python*/site-packages"):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def pass_over(path: Path) -> Way:
    """One pass over the bytes of a file, in the page cache: the bound of every reader."""

    def work() -> None:
        buffer = bytearray(CHUNK)
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass

    return here(work)


@contextlib.contextmanager
def burner() -> Iterator[None]:
    """A process of nice 10 that never rests."""
    process = multiprocessing.get_context("spawn").Process(target=_burn, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _burn() -> None:
    os.nice(10)
    while True:
        pass
