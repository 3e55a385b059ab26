"""Reading logs: lines a second and peak memory of `prepare`, end to end, in processes of their own.

    .venv/bin/python benchmarks/bench_logs.py                    # 20,000 and 400,000 lines
    .venv/bin/python benchmarks/bench_logs.py 20000 2000000      # the promise: memory flat within 10%

Processor time is that of all processes; memory that of the one that writes, up to the last bytes that were
read, and in all. The lines are those of the real BGL sample, over and over, where it lies beside the project;
else our own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

from vestige.sources.logs.format import load

SAMPLE = Path(__file__).resolve().parents[1].parent / "shared/data/loghub/BGL/BGL_2k.log"
CHILD = """
import json, sys
from pathlib import Path
from spent import Spent, peak_mb
from vestige.engine import LocalEngine
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.source import LogSource
corpus, out, jobs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
peaks, spent = [0], Spent()
progress = lambda done, total: peaks.append(peak_mb())
LogSource().prepare(corpus, out, LogOptions(format="bgl"), engine=LocalEngine(jobs), progress=progress)
whole = peak_mb()
print(json.dumps([*spent.seconds(), peaks[-1], whole]))
"""


def write(path: Path, lines: int) -> None:
    """So many lines of the sample, or of the format's own examples."""
    text = SAMPLE.read_bytes().splitlines() if SAMPLE.is_file() else [s.encode() for s in load("bgl").example]
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in islice(cycle(text), lines))


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [20_000, 400_000]
    print("lines      jobs  wall s  lines/s  CPU s  peak MB while reading  peak MB in all")
    for lines in sizes:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "bgl.log"
            write(log, lines)
            for jobs in (1, 2):
                out = Path(folder) / f"dataset-{jobs}"
                command = [sys.executable, "-c", CHILD, str(log), str(out), str(jobs)]
                done = subprocess.run(
                    command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
                )
                wall, busy, reading, whole = json.loads(done.stdout)
                print(
                    f"{lines:<10} {jobs:<5} {wall:<7.2f} {lines / wall:<8.0f} {busy:<6.2f} {reading:<22.0f} "
                    f"{whole:.0f}"
                )


if __name__ == "__main__":
    main()
