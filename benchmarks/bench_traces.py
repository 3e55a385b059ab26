"""Reading Intel PT: packets to values, windows, readers, cold start, and memory, each beside its baseline.

    .venv/bin/python benchmarks/bench_traces.py                    # all sections
    .venv/bin/python benchmarks/bench_traces.py speed pipeline     # some
    .venv/bin/python benchmarks/bench_traces.py memory --big 2048  # MiB of the large trace

The traces are the real recordings that lie beside the project (each begins with a PSB), over and over. The
baseline of `speed` is the listing tool of libipt, the reference decoder: `ptdump`, where PATH has one, and
`ptlist.c` beside this file, a quicker one of our own, where it can be compiled (`apt install libipt-dev`);
both leave out what is not wanted here: offsets, padding, timing. `pipeline` is what one writes first: such a
tool as a subprocess, its text parsed line by line in Python. Runs alternate, baseline and ours; given are
medians and the spread of the pairs' ratios.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pairs import Asked, Pair, command, here, pass_over
from vestige.engine import LocalEngine
from vestige.evidence.expand import Expander
from vestige.reading.dataset import DatasetWriter
from vestige.reading.encoding import EncodedWindows
from vestige.reading.windows import WindowSet
from vestige.schema import Schema, Stream
from vestige.sources.traces.encoder import INPUTS, TraceEncoder
from vestige.sources.traces.regions import Regions
from vestige.sources.traces.symbols import Symbols, table
from vestige.sources.traces.tokens import events, values

RECORDINGS = Path(__file__).resolve().parents[1].parent / "shared/data/intel-pt/real"
PAIRS, LENGTH, QUEUED = 7, 128, 20_000
TRAINING, JUDGING = 256, 1024
"""Windows of a batch."""
SECTIONS = ("speed", "pipeline", "windows", "readers", "cold", "memory")
MIB = 1 << 20
WHY_MISSING = {
    "ptdump": "PATH has no ptdump (Debian packages the library of libipt without its tools)",
    "ptlist": "no C compiler, or no libipt to link with (apt install libipt-dev)",
}
CHILD = """
import sys
from spent import peak_mb
from vestige.evidence.expand import Expander
from vestige.sources.traces.regions import Regions
from vestige.sources.traces.tokens import events
with open(sys.argv[1], "rb") as file:
    n = sum(len(chunk) for chunk, _ in events(Expander(file, "").pieces(), Regions.none()))
print(n, peak_mb())
"""


def known() -> Regions:
    """The ranges of the recordings' maps, as one."""
    found = [one for path in RECORDINGS.glob("*/*/ranges.json") for one in json.loads(path.read_text())]
    rows: list[tuple[int, int]] = []
    for start, end in sorted((one["start"], one["end"] + 1) for one in found):
        if not rows or start >= rows[-1][1]:
            rows.append((start, end))
    starts, ends = (np.array(one, np.uint64) for one in zip(*rows, strict=True))
    return Regions(starts, ends, np.arange(3, 3 + len(rows)).astype(np.uint16), starts)


def trace(path: Path, n_bytes: int) -> Path:
    """The real recordings, one after the other, until there are so many bytes."""
    parts = [one.read_bytes() for one in sorted(RECORDINGS.glob("*/*/trace_0"))]
    if not parts:
        sys.exit(f"no recordings under {RECORDINGS}")
    once = b"".join(parts)
    with path.open("wb") as file:
        while file.tell() < n_bytes:
            file.write(once)
    return path


def listers(folder: Path) -> Iterator[tuple[str, ...]]:
    """The commands of the listing tools on libipt that can be had."""
    if tool := shutil.which("ptdump"):
        yield (tool, "--lastip", "--no-offset", "--no-pad", "--no-timing", "--no-cyc")
    source, own = Path(__file__).with_name("ptlist.c"), folder / "ptlist"
    if compiler := shutil.which("cc"):
        built = subprocess.run(
            [compiler, "-O2", "-o", own, source, "-lipt"], capture_output=True, check=False
        )
        if built.returncode == 0:
            yield (str(own),)


def ours(path: Path, regions: Regions, *, tip_only: bool = False) -> int:
    with path.open("rb") as file:
        return sum(len(one) for one in values(Expander(file, "").pieces(), regions, tip_only=tip_only))


def plain(tool: tuple[str, ...], path: Path, regions: Regions, *, tip_only: bool) -> int:
    """A listing, parsed line by line, as values in a list; returns how many."""
    starts, ends = regions.starts.tolist(), regions.ends.tolist()
    modules = regions.modules.tolist()
    made: list[tuple[int, int | str]] = []
    module = 0
    with subprocess.Popen([*tool, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            fields = line.split()
            kind = fields[0]
            if kind.startswith("tnt") and not tip_only:
                made.extend((module, mark) for mark in fields[1])
            elif kind in {"tip", "tip.pge", "tip.pgd", "fup"} and fields[1] != "0:":
                address = int(fields[-1], 16)
                at = bisect_right(starts, address) - 1
                inside = at >= 0 and address < ends[at]
                module = modules[at] if inside else 1
                if kind != "fup":
                    made.append((module, address - starts[at] if inside else address))
            elif kind == "psb":
                module = 0
    return len(made)


def clock() -> tuple[float, float]:
    """Wall seconds, and processor seconds of this process and of the children that have ended."""
    busy = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in busy)


def beside(what: str, baseline: Callable[[], object], own: Callable[[], object], weight: float = 1.0) -> None:
    """Alternate the two and print ratios, of wall time and of processor time (which a busy machine disturbs
    less). `weight`: how much more ours does in a call."""
    own()
    spent: list[list[tuple[float, float]]] = [[], []]
    for _ in range(PAIRS):
        for run, into in zip((baseline, own), spent, strict=True):
            began = clock()
            run()
            into.append(tuple(after - before for before, after in zip(began, clock(), strict=True)))
    for at, name in enumerate(("wall", "CPU")):
        theirs, mine = ([one[at] for one in column] for column in spent)
        ratios = sorted(weight * a / b for a, b in zip(theirs, mine, strict=True))
        print(
            f"{what:42} {name:4} {weight * statistics.median(theirs):8.3f} s {statistics.median(mine):8.4f} s"
            f" {statistics.median(ratios):6.1f}x ({ratios[0]:.1f}..{ratios[-1]:.1f})"
        )


def speed(folder: Path, *, pipeline: bool) -> None:
    regions, tools = known(), list(listers(folder))
    large, small = trace(folder / "large", 48 * MIB), trace(folder / "small", 2 * MIB)
    size, share = large.stat().st_size, large.stat().st_size / small.stat().st_size
    if not tools:
        print("no ptdump and no libipt here")
    for tool, tip_only in product(tools, (False, True)):
        name = Path(tool[0]).name
        mode = f"{size / 1e6:.0f} MB, {'targets only' if tip_only else 'with branches'}"
        own = partial(ours, large, regions, tip_only=tip_only)
        if pipeline:
            call = partial(plain, tool, small, regions, tip_only=tip_only)
            assert call() == ours(small, regions, tip_only=tip_only), "the two read different things"
            beside(f"{name}, parsed, {mode}", call, own, share)
        else:
            command = [*tool, large]
            call = partial(subprocess.run, command, stdout=subprocess.DEVNULL, check=True)
            beside(f"{name}, {mode}", call, own)


def rows(asked: Asked) -> Iterator[Pair]:
    """Packets to values beside a listing by libipt, and beside one that is parsed in Python."""
    if not RECORDINGS.is_dir():
        yield Pair("packets to values", "events", "ptlist", missing=f"no recordings under {RECORDINGS}")
        return
    regions = known()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tools = {Path(tool[0]).name: tool for tool in listers(folder)}
        large = trace(folder / "large", asked.size(48, 4) * MIB)
        small = trace(folder / "small", 2 * MIB)
        for tool, tip_only in product(("ptdump", "ptlist"), (False, True)):
            missing = "" if tool in tools else WHY_MISSING[tool]
            mode = "targets only" if tip_only else "with branches"
            what = f"{large.stat().st_size / 1e6:.0f} MB of PT, {mode}"
            own = here(partial(ours, large, regions, tip_only=tip_only))
            runs = command(*tools.get(tool, (tool,)), large)
            yield Pair(
                f"{what}: {tool}",
                "values",
                f"{tool} (libipt, a listing)",
                own,
                runs,
                "one pass over the file",
                pass_over(large),
                burner=tool == "ptlist" and not tip_only,
                missing=missing,
            )
        if "ptlist" in tools:
            parsed = here(partial(plain, tools["ptlist"], small, regions, tip_only=False))
            own = here(partial(ours, small, regions))
            what = f"{small.stat().st_size / 1e6:.0f} MB of PT"
            yield Pair(f"{what}: parsed", "values", "ptlist, parsed in Python", own, parsed)


def queue_worker(
    queue: multiprocessing.Queue[list[int] | None], path: Path, regions: Regions, n: int
) -> None:
    """Slide over a trace's values and put a copy of every window on a queue."""
    everything = np.concatenate(list(values([path.read_bytes()], regions)))
    for at in range(n):
        queue.put(everything[at : at + LENGTH].tolist())
    queue.put(None)


def queued(path: Path, regions: Regions) -> float:
    """Windows a second from one worker, once it has read the trace."""
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[list[int] | None] = context.Queue(maxsize=1000)
    worker = context.Process(target=queue_worker, args=(queue, path, regions, QUEUED))
    worker.start()
    queue.get()
    began = time.perf_counter()
    while queue.get() is not None:
        pass
    spent = time.perf_counter() - began
    worker.join()
    return (QUEUED - 1) / spent


def encoded(folder: Path, path: Path, regions: Regions) -> EncodedWindows:
    """A window for every value of a trace, from a dataset on disk."""
    symbols = Symbols()
    rows = np.concatenate([symbols.rows(one) for one in values([path.read_bytes()], regions)])
    schema = Schema("traces", 1, ("benign", "malicious"), LENGTH, 1, (Stream("symbol", "uint32"),), INPUTS)
    with DatasetWriter(folder / "dataset", schema) as writer:
        writer.begin(id="run", host="")
        writer.extend(
            {"symbol": rows}, t_ns=np.zeros(len(rows), np.int64), label=np.zeros(len(rows), np.uint8)
        )
        writer.table("symbols", table(symbols.values, [f"m{i}" for i in range(1 << 16)]))
    data = WindowSet.open(folder / "dataset")
    tokens = dict.fromkeys(data.table("symbols")["token"][1:])
    return EncodedWindows.of(data, TraceEncoder(tuple(tokens)))


def windows(folder: Path) -> None:
    regions, path = known(), trace(folder / "small", 2 * MIB)
    data = encoded(folder, path, regions)
    rows = np.arange(len(data))
    shuffled = np.random.default_rng(1).permutation(rows)
    block = np.zeros((1 << 17, LENGTH), np.uint32)
    into = block.copy()

    def rate(make: Callable[[NDArray[np.int64]], object], order: NDArray[np.int64], batch: int) -> float:
        began = time.perf_counter()
        for start in range(0, len(order), batch):
            make(order[start : start + batch])
        return len(order) / (time.perf_counter() - began)

    ways: dict[str, Callable[[], float]] = {}
    for name, order, batch in (("at random", shuffled, TRAINING), ("in order", rows, JUDGING)):
        ways[f"events {name}"] = partial(rate, data.windows.gather, order, batch)
        ways[f"token ids {name}"] = partial(rate, partial(data.batch, names=("tokens",)), order, batch)
    ways["events, no more than copying memory"] = partial(
        rate, lambda _: np.copyto(into, block), into, len(into)
    )
    symbols = len(data.windows.table("symbols"))
    print(f"windows of {LENGTH} values, {len(data):,} of them over {symbols:,} symbols, a second:")
    for own in ways.values():
        own()
    rates = [[queued(path, regions), *(own() for own in ways.values())] for _ in range(PAIRS)]
    theirs, *own_rates = zip(*rates, strict=True)
    print(f"    {'worker process and queue':36} {statistics.median(theirs):13,.0f}")
    for name, mine in zip(ways, own_rates, strict=True):
        ratios = sorted(own / other for other, own in zip(theirs, mine, strict=True))
        spread = f"({ratios[0]:.0f}..{ratios[-1]:.0f})"
        print(f"    {name:36} {statistics.median(mine):13,.0f} {statistics.median(ratios):6.0f}x {spread}")


def read(path: Path) -> int:
    """One reader's work on one file, as `prepare` does it: values, and the byte of each."""
    with path.open("rb") as file:
        pieces = Expander(file, "").pieces()
        return sum(len(chunk) for chunk, _ in events(pieces, known()))


def readers(folder: Path) -> None:
    path = trace(folder / "each", 128 * MIB)

    def run(jobs: int) -> None:
        for outcome in LocalEngine(jobs).map(read, [path] * 4):
            outcome.unwrap()

    run(2)
    beside("two readers, 4 files of 128 MiB", lambda: run(1), lambda: run(2))


def cold(folder: Path) -> None:
    path = trace(folder / "cold", 4 * MIB)
    command = [sys.executable, "-c", CHILD, str(path)]
    times = []
    for number in range(PAIRS + 1):
        began, busy = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent)
        done = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = done.ru_utime + done.ru_stime - busy.ru_utime - busy.ru_stime
        if number:  # the first one may compile
            times.append((time.perf_counter() - began, spent))
    wall, cpu = (statistics.median(one) for one in zip(*times, strict=True))
    worst = max(one for one, _ in times)
    print(f"cold, 4 MiB, imports included: {wall:.2f} s (at most {worst:.2f}), {cpu:.2f} s of CPU")


def memory(folder: Path, big: int) -> None:
    peaks = []
    for size in (64, big):
        path = trace(folder / "memory", size * MIB)
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(path)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent,
        )
        count, peak = done.stdout.split()
        peaks.append(float(peak))
        spent = time.perf_counter() - began
        print(f"{size:6} MiB: {peaks[-1]:.0f} MB resident at most, {int(count):,} values, {spent:.1f} s")
        path.unlink()
    print(f"the large trace takes {peaks[1] - peaks[0]:+.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], default=[])
    parser.add_argument("--big", type=int, default=2048, help="MiB of the large trace")
    options = parser.parse_args()
    chosen = options.sections or SECTIONS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "speed" in chosen:
            speed(folder, pipeline=False)
        if "pipeline" in chosen:
            speed(folder, pipeline=True)
        for section in (windows, readers, cold):
            if section.__name__ in chosen:
                section(folder)
        if "memory" in chosen:
            memory(folder, options.big)


if __name__ == "__main__":
    main()
