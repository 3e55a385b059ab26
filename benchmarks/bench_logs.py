"""Reading logs: lines a second and peak memory of `prepare`, end to end, in processes of their own.

    .venv/bin/python benchmarks/bench_logs.py                    # 20,000 and 400,000 lines
    .venv/bin/python benchmarks/bench_logs.py 20000 2000000      # the promise: memory flat within 10%

The lines are those of the real BGL sample, over and over, where it lies beside the project; else our own.
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
import json, resource, sys, time
from pathlib import Path
from vestige.engine import LocalEngine
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.prepare import Merge, prepare
megabytes = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
finish = Merge.finish
def measured(self, *rest):
    global reading
    reading = megabytes()
    finish(self, *rest)
Merge.finish = measured
wall, busy = time.perf_counter(), time.process_time()
prepare(Path(sys.argv[1]), Path(sys.argv[2]), LogOptions(format="bgl"), engine=LocalEngine(int(sys.argv[3])))
print(json.dumps([time.perf_counter() - wall, time.process_time() - busy, reading, megabytes()]))
"""


def write(path: Path, lines: int) -> None:
    """So many lines of the sample, or of the format's own examples."""
    text = SAMPLE.read_bytes().splitlines() if SAMPLE.is_file() else [s.encode() for s in load("bgl").example]
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in islice(cycle(text), lines))


def main() -> None:
    sizes = [int(one) for one in sys.argv[1:]] or [20_000, 400_000]
    print("lines      jobs  wall s  lines/s  CPU s  peak MB while reading  peak MB in all")
    for lines in sizes:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "bgl.log"
            write(log, lines)
            for jobs in (1, 2):
                out = Path(folder) / f"dataset-{jobs}"
                command = [sys.executable, "-c", CHILD, str(log), str(out), str(jobs)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                wall, busy, reading, whole = json.loads(done.stdout)
                print(
                    f"{lines:<10} {jobs:<5} {wall:<7.2f} {lines / wall:<8.0f} {busy:<6.2f} {reading:<22.0f} "
                    f"{whole:.0f}"
                )


if __name__ == "__main__":
    main()
