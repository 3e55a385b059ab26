"""Memory of sliding windows: a dataset prepared, inspected, opened and split, whatever the trace's size.

    .venv/bin/python benchmarks/bench_index.py            # traces of 16 and 256 MiB; 16 GB of disk, minutes
    .venv/bin/python benchmarks/bench_index.py 16 64      # others

The traces are the real recordings that lie beside the project, over and over; the first size comes once more
in several runs, so that there is something to split. Each line is a process of its own: the most that it had
resident, pages of mapped files included.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench_traces import MIB, RECORDINGS, trace

CHILD = """
import sys, time
from pathlib import Path
from vestige.engine import HERE
from vestige import splits
from vestige.cli import tables
from vestige.sources.traces.options import TraceOptions
from vestige.sources.traces.source import TraceSource
from vestige.reading.windows import WindowSet
what, corpus, dataset = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
begun = time.process_time()
if what == "prepare":
    TraceSource().prepare(corpus, dataset, TraceOptions(), engine=HERE)
windows = WindowSet.open(dataset)
if what == "inspect":
    tables.show(tables.dataset(windows))
if what == "split":
    made, sides = splits.plan("random", windows)
busy = time.process_time() - begun
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(f'[{len(windows)}, {busy}, {int(status["VmHWM"].split()[0]) / 1024}]')
"""
RUNS = 6


def corpus(root: Path, n_bytes: int, runs: int) -> Path:
    """So many runs of one program, every other one malicious, so many bytes altogether."""
    about = min(RECORDINGS.glob("*/*/trace_0")).parent
    for number in range(runs):
        folder = root / f"run-{number}"
        folder.mkdir(parents=True)
        trace(folder / "trace_0", n_bytes // runs)
        for name in ("mapping.txt", "ranges.json"):
            shutil.copyfile(about / name, folder / name)
        label = "malicious" if number % 2 else "benign"
        (folder / "info.txt").write_text(f"program\n{label}\n")
    return root


def measure(what: str, evidence: Path, dataset: Path) -> None:
    """Print windows, seconds of processor time, and MiB."""
    command = [sys.executable, "-c", CHILD, what, str(evidence), str(dataset)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    windows, busy, peak = json.loads(done.stdout.splitlines()[-1])
    print(f"  {what:<8} {windows:>12,} windows  {busy:>8.2f} s CPU  {peak:>6.0f} MiB", flush=True)


def main() -> None:
    sizes = [int(one) for one in sys.argv[1:]] or [16, 256]
    for mib, runs in [(one, 1) for one in sizes] + [(sizes[0], RUNS)]:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{mib} MiB in {runs} run{'s' if runs > 1 else ''}")
            evidence, dataset = corpus(Path(folder) / "corpus", mib * MIB, runs), Path(folder) / "dataset"
            for what in ("prepare", "inspect", "open", *(["split"] if runs > 1 else [])):
                measure(what, evidence, dataset)


if __name__ == "__main__":
    main()
