"""What each stage from evidence to alerts takes as the evidence grows: seconds, and memory at its peak.

    .venv/bin/python benchmarks/growth.py                       # 2, 20 and 200 thousand messages
    .venv/bin/python benchmarks/growth.py 10000 100000 1000000  # others
    .venv/bin/python benchmarks/growth.py --index 4000000 40000000 400000000   # split alone: windows

What is found is written into `growth.json`, of which `plot_growth.py` draws an image; sizes that it has
already, and are not measured again, stay.

Each cell is a command as a person types it, in a process of its own: processor seconds (which others on the
machine hardly change) / anonymous memory / all that was resident, MiB. Anonymous memory is what the process
itself holds; what is resident counts pages of mapped files as well, which the system takes back where it
needs them. Both are looked at 50 times a second.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_learn import write_log
from index_only import write

SIZES = (2_000, 20_000, 200_000)
ANOMALOUS = "parity"
MIB = 1 << 10
FIGURES = Path(__file__).with_name("growth.json")
Cost = tuple[float, int, int]
"""Processor seconds, MiB of anonymous memory, MiB resident."""


def spent() -> float:
    """Processor seconds of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(*arguments: str | Path) -> Cost:
    """What it takes to run `vestige` so."""
    begun = spent()
    command = [sys.executable, "-m", "vestige", *map(str, arguments)]
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        peaks = {"RssAnon": 0, "VmHWM": 0}
        while child.poll() is None:
            try:
                lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
            except ProcessLookupError:
                break
            for name, _, value in (line.partition(":") for line in lines):
                if name in peaks:
                    peaks[name] = max(peaks[name], int(value.split()[0]))
            time.sleep(0.02)
        if child.wait():
            errors.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{errors.read().decode()[-2000:]}")
    return round(spent() - begun, 1), peaks["RssAnon"] // MIB, peaks["VmHWM"] // MIB


def logs(folder: Path, messages: int) -> dict[str, Cost]:
    """Every stage over a log of so many messages."""
    log, words = folder / "daemon.log", folder / "words"
    write_log(log, messages)
    words.write_text(ANOMALOUS + "\n")
    dataset, split, run = folder / "dataset", folder / "split.json", folder / "run"
    label = f"words:{words}"
    sets = ("--set", "gbt.rounds=20", "--set", "gbt.memory_mb=1")
    return {
        "prepare": measure("prepare", "logs", log, "-o", dataset, "--label", label, "-j", "1"),
        "split": measure("split", dataset, "--split", "time", "-o", split),
        "train gbt, by batches": measure(
            "train", dataset, "--split", split, "-o", run, "-m", "gbt", *sets, "--allow-leakage"
        ),
        "train ngram": measure(
            "train", dataset, "--split", split, "-o", folder / "ngram", "-m", "ngram", "--allow-leakage"
        ),
        "evaluate": measure("evaluate", run, "--allow-leakage"),
        "score": measure("score", run / "gbt", log),
        "learn": measure("learn", "logs", log, "-o", folder / "normal"),
    }


def index(folder: Path, windows: int) -> dict[str, Cost]:
    """Splits of a dataset of so many windows."""
    dataset = folder / "dataset"
    write(dataset, windows)
    found = {}
    for recipe in ("time", "host", "random"):
        out = folder / f"{recipe}.json"
        found[f"split --split {recipe}"] = measure("split", dataset, "--split", recipe, "-o", out)
    return found


def keep(size: int, column: dict[str, Cost]) -> None:
    """Put what was measured into the file of figures."""
    figures = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
    for stage, (seconds, own, resident) in column.items():
        of_stage = figures.setdefault(stage, {"seconds": [], "mib": [], "resident": []})
        for name, value in (("seconds", seconds), ("mib", own), ("resident", resident)):
            others = [point for point in of_stage[name] if point[0] != size]
            of_stage[name] = sorted([*others, [size, value]])
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")


def main(arguments: list[str]) -> None:
    """The table."""
    of_index = arguments[:1] == ["--index"]
    sizes = [int(size) for size in arguments[of_index:]] or list(SIZES)
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found.append((index if of_index else logs)(Path(folder), size))
        print(size, found[-1], file=sys.stderr, flush=True)
        keep(size, found[-1])
    print("| stage |", " | ".join(f"{size:,}" for size in sizes), "|")
    print("|---|" + "---|" * len(sizes))
    for stage in found[0]:
        cells = (" / ".join(f"{number:g}" for number in column[stage]) for column in found)
        print(f"| {stage} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main(sys.argv[1:])
