"""What each stage from evidence to alerts takes as the evidence grows: seconds, and memory at its peak.

    .venv/bin/python benchmarks/growth.py                       # 2, 20 and 200 thousand messages
    .venv/bin/python benchmarks/growth.py 10000 100000 1000000  # others
    .venv/bin/python benchmarks/growth.py --of index 4000000 40000000 400000000     # split alone: windows
    .venv/bin/python benchmarks/growth.py 100000000 --only prepare learn "score, learnt"     # 30 GB in TMPDIR
    .venv/bin/python benchmarks/growth.py 100000000 --of events
    .venv/bin/python benchmarks/growth.py 100 1000 10000 --of telemetry             # episodes of a minute
    .venv/bin/python benchmarks/growth.py 20 200 2000 --of traces                   # recordings of 128 KiB

What is found is written into `growth.json`, of which `plot_growth.py` draws an image; sizes that it has
already, and are not measured again, stay.

Each cell is a command as a person types it, in a process of its own: processor seconds (which others on the
machine hardly change) / anonymous memory / all that was resident, MiB. Anonymous memory is what the process
itself holds; what is resident counts pages of mapped files as well, which the system takes back where it
needs them. Both are looked at 50 times a second.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_events import write as write_events
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


Command = tuple[str | Path, ...]


def logs(folder: Path, messages: int) -> dict[str, Command]:
    """Every stage over a log of so many messages."""
    log, words = folder / "daemon.log", folder / "words"
    write_log(log, messages)
    words.write_text(ANOMALOUS + "\n")
    dataset, split, run, learnt = folder / "dataset", folder / "split.json", folder / "run", folder / "normal"
    label = f"words:{words}"
    sets = ("--set", "gbt.rounds=20", "--set", "gbt.memory_mb=1")
    train = ("train", dataset, "--split", split, "--allow-leakage")
    return {
        "prepare": ("prepare", "logs", log, "-o", dataset, "--label", label, "-j", "1"),
        "split": ("split", dataset, "--split", "time", "-o", split),
        "train gbt, by batches": (*train, "-o", run, "-m", "gbt", *sets),
        "train ngram": (*train, "-o", folder / "ngram", "-m", "ngram"),
        "train gru, an epoch": (*train, "-o", folder / "gru", "-m", "gru", "--epochs", "1", "-t", "1"),
        "evaluate": ("evaluate", run, "--allow-leakage"),
        "score": ("score", run / "gbt", log),
        "learn": ("learn", "logs", log, "-o", learnt, "-j", "1"),
        "score, learnt": ("score", learnt, log, "--alerts-only"),
        "triage, learnt": ("triage", learnt, log, "-o", folder / "triage"),
    }


def events(folder: Path, count: int) -> dict[str, Command]:
    """What a stream of so many events goes through, in one file of CSV."""
    export, dataset, learnt = folder / "events.csv", folder / "dataset", folder / "normal"
    write_events(export, count)
    return {
        "prepare events": ("prepare", "events", export, "-o", dataset, "-j", "1"),
        "learn events": ("learn", "events", export, "-o", learnt, "-j", "1"),
        "score events, learnt": ("score", learnt, export, "--alerts-only"),
    }


def telemetry(folder: Path, episodes: int) -> dict[str, Command]:
    """What a store of so many recordings of a minute goes through."""
    store, dataset, split = folder / "store", folder / "dataset", folder / "split.json"
    simulate("telemetry", store, "--hosts", "20", "--episodes", episodes, "--seconds", "60")
    train = ("train", dataset, "--split", split, "-o", folder / "run", "-m", "gbt")
    return {
        "validate telemetry": ("validate", store, "--fail-on", "never"),
        "prepare telemetry": ("prepare", "telemetry", store, "-o", dataset, "-j", "1"),
        "split telemetry": ("split", dataset, "--split", "host", "-o", split),
        "train gbt, telemetry": (*train, "--set", "gbt.rounds=20", "--set", "gbt.threads=1"),
        "evaluate telemetry": ("evaluate", folder / "run"),
    }


def traces(folder: Path, recordings: int) -> dict[str, Command]:
    """Recordings of 128 KiB of Intel PT each, of twenty programs, and the windows of their values."""
    corpus, dataset = folder / "corpus", folder / "dataset"
    each = -(-recordings // 20)
    simulate("traces", corpus, "--programs", "20", "--recordings", each, "--kilobytes", "128")
    return {"prepare traces": ("prepare", "traces", corpus, "-o", dataset, "-j", "1")}


def simulate(*arguments: str | int | Path) -> None:
    """Make evidence, which is not measured."""
    command = [sys.executable, "-m", "vestige", "simulate", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def index(folder: Path, windows: int) -> dict[str, Command]:
    """Splits of a dataset of so many windows."""
    dataset = folder / "dataset"
    write(dataset, windows)
    return {
        f"split --split {recipe}": ("split", dataset, "--split", recipe, "-o", folder / f"{recipe}.json")
        for recipe in ("time", "host", "random")
    }


OF = {"logs": logs, "events": events, "telemetry": telemetry, "traces": traces, "index": index}


def keep(size: int, stage: str, cost: Cost) -> None:
    """Put what was measured into the file of figures."""
    figures = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
    of_stage = figures.setdefault(stage, {"seconds": [], "mib": [], "resident": []})
    for name, value in zip(("seconds", "mib", "resident"), cost, strict=True):
        others = [point for point in of_stage[name] if point[0] != size]
        of_stage[name] = sorted([*others, [size, value]])
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sizes", type=int, nargs="*", default=list(SIZES), help="messages, events, recordings or windows"
    )
    parser.add_argument("--of", choices=list(OF), default="logs")
    parser.add_argument("--only", nargs="+", help="stages (default: all)")
    given = parser.parse_args()
    found: dict[str, list[str]] = {}
    for size in given.sizes:
        with tempfile.TemporaryDirectory() as folder:
            for stage, command in OF[given.of](Path(folder), size).items():
                if given.only and stage not in given.only:
                    continue
                cost = measure(*command)
                print(f"{size:,} {stage}: {cost}", file=sys.stderr, flush=True)
                keep(size, stage, cost)
                found.setdefault(stage, []).append(" / ".join(f"{number:g}" for number in cost))
    print("| stage |", " | ".join(f"{size:,}" for size in given.sizes), "|")
    print("|---|" + "---|" * len(given.sizes))
    for stage, cells in found.items():
        print(f"| {stage} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
