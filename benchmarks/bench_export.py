"""A detector in one file beside the one that it was exported of: from start to end, one window, and memory.

    python benchmarks/bench_export.py             # resident memory: score, and the dashboard's replay
    python benchmarks/run.py --only export        # the times, in pairs

A `gru`, a `next_gru` and a `gbt` learn from simulated logs and are exported. From start to end is
`vestige score` over one small log, the start of Python included. One window is what a detector does with a
single one, as it comes live: from its steps to its score, encoded and judged, in a process that waits for its
turn; of `WINDOWS` windows a turn the median, and the 99th percentile. Memory is the most that a process ever
held, the dashboard with its page (read by one browser) and without.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench_watch import resident_mb
from pairs import FOLDER, Asked, Pair, Took, answering, command, environment

MODELS = {"next_gru": "torch", "gru": "torch", "gbt": "XGBoost"}
"""The detectors, and what each needs where it is not exported."""
TASKS = {"next_gru": "next"}
LINES, WINDOWS = 3_500, 300
WAYS = {"its export": "onnx", "itself": "own"}
TARGET_MB = 150
LIVE = """
import json, sys, time
from pathlib import Path
from vestige.checkpoint import load
from vestige.evaluation.distinct import judge
from vestige.scoring.windows import read_windows
loaded, count = load(Path(sys.argv[1])), int(sys.argv[3])
batch = next(iter(read_windows([Path(sys.argv[2])], loaded)))
bound = loaded.encoder.bind(batch.symbols)
windows = [
    {name: values[row : row + 1] for name, values in batch.steps.items()}
    for row in range(min(count, len(batch.t_ns)))
]
clocks = time.perf_counter, time.process_time
for _ in sys.stdin:
    took = []
    for window in windows:
        began = [clock() for clock in clocks]
        judge(loaded.detector, bound, window)
        took.append([clock() - start for clock, start in zip(clocks, began)])
    print(json.dumps(took), flush=True)
"""
HELD = """
import sys
from spent import peak_mb
from vestige.cli.main import run
try:
    run()
finally:
    print(peak_mb() * 2**20 / 1e6, file=sys.stderr)
"""


def rows(asked: Asked) -> Iterator[Pair]:
    """From start to end, then one window."""
    with tempfile.TemporaryDirectory(prefix="vestige-export-") as folder:
        detectors, log = trained(Path(folder), asked.size(6_000, 1_500))
        for model, needs in MODELS.items():
            ours, other = (
                command(*score(detectors[model], log, runtime), env={"OMP_NUM_THREADS": "1"})
                for runtime in WAYS.values()
            )
            yield Pair(f"score {LINES:,} lines, from start to end: {model}", "exported", needs, ours, other)
        for model, needs in MODELS.items():
            files = detectors[model] / "detector.onnx", detectors[model]
            with contextlib.ExitStack() as stack:
                ours, other = (
                    stack.enter_context(window_by_window(file, log, asked.size(WINDOWS, 20)))
                    for file in files
                )
                for share, called in ((0.5, "the median"), (0.99, "the 99th percentile")):
                    yield Pair(
                        f"one window, {called}: {model}",
                        "exported",
                        needs,
                        partial(ours, share),
                        partial(other, share),
                        note="encoded and judged alone, one thread",
                    )


def trained(home: Path, messages: int) -> tuple[dict[str, Path], Path]:
    """The folders of `MODELS`, each with its export in it, and a log to score."""
    vestige = (sys.executable, "-m", "vestige", "-l", "error")
    corpus, log = home / "corpus", home / "new.log"
    simulate = ("simulate", "logs", corpus, "--messages", messages, "--days", 2, "--seed")
    command(*vestige, *simulate, 1)()
    learn = ("run", "logs", corpus, "--format", "bgl", "--split", "host", "--epochs", 2, "--resamples", 200)
    detectors = {}
    for model in MODELS:
        task, run = TASKS.get(model, "classify"), home / "runs" / model
        command(*vestige, *learn, "-t", 1, "-j", 1, "--task", task, "-m", model, "-o", run)()
        command(*vestige, "export", run)()
        detectors[model] = run / model
    lines = b"".join(file.read_bytes() for file in sorted(corpus.rglob("*.log"))).splitlines(True)
    log.write_bytes(b"".join((lines * (1 + LINES // len(lines)))[:LINES]))
    return detectors, log


def score(detector: Path, log: Path, runtime: str) -> tuple[object, ...]:
    """The command that scores a log."""
    return (sys.executable, "-m", "vestige", "-l", "error", "score", detector, log, "--runtime", runtime)


@contextlib.contextmanager
def window_by_window(detector: Path, log: Path, count: int) -> Iterator[Callable[[float], Took]]:
    """A process that waits for its turn, and then judges `count` windows of a log, one at a time. Asked for a
    share, it says what so many of them took no longer than, by either clock."""
    program = (sys.executable, "-c", LIVE, detector, log, count)
    with answering(program, environment() | {"OMP_NUM_THREADS": "1"}) as ask:

        def way(share: float) -> Took:
            took = ask("once")
            at = int(share * (len(took) - 1))
            wall, busy = (sorted(clock)[at] for clock in zip(*took, strict=True))
            return wall, busy

        yield way


def most_held(*arguments: object) -> float:
    """MB that `vestige` with these arguments held at the most, all told."""
    done = subprocess.run(
        [sys.executable, "-c", HELD, *map(str, arguments)], cwd=FOLDER, check=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment() | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return float(done.stderr.splitlines()[-1])


def held_by_the_page(*arguments: object) -> float:
    """The same of a dashboard with its page, once a reader has seen the replay to its end."""
    asked = [sys.executable, "-m", "vestige", "dashboard", *map(str, arguments), "--port", "0"]
    process = subprocess.Popen(
        asked, stdout=subprocess.PIPE, text=True, env=environment() | {"OMP_NUM_THREADS": "1"}
    )
    assert process.stdout is not None
    try:
        found = re.match(r"http://([^/]+)/\?token=(\S+)", process.stdout.readline())
        assert found, "the dashboard told no address"
        with contextlib.closing(http.client.HTTPConnection(found[1], timeout=60)) as reader:
            reader.request("GET", "/events", headers={"Authorization": f"Bearer {found[2]}"})
            stream = reader.getresponse()
            while b'"state":"done"' not in (line := stream.readline()):
                assert line, "the stream ended before the replay"
        return resident_mb(process.pid, "VmHWM")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def main() -> None:
    """Memory of each detector, both ways."""
    with tempfile.TemporaryDirectory(prefix="vestige-export-") as folder:
        detectors, log = trained(Path(folder), 6_000)
        print(f"MB at the most, {LINES:,} lines (asked: {TARGET_MB}); load {os.getloadavg()[0]:.1f}")
        print(f"{'detector':<10} {'as':<11} {'runtime':<13} score  replay  replay with its page")
        for model, needs in MODELS.items():
            for called, runtime in WAYS.items():
                told = (detectors[model], log, "--runtime", runtime)
                replay = (*told, "--speed", 0)
                found = (
                    most_held("-l", "error", "score", *told),
                    most_held("-l", "error", "dashboard", *replay, "--events"),
                    held_by_the_page(*replay),
                )
                name = {"own": needs, "onnx": "ONNX Runtime"}[runtime]
                told_mb = "  ".join(f"{mb:.0f}" for mb in found)
                print(f"{model:<10} {called:<11} {name:<13} {told_mb}", flush=True)


if __name__ == "__main__":
    main()
