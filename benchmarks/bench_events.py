"""Reading events: events a second and peak memory of `prepare`, end to end, in processes of their own.

    .venv/bin/python benchmarks/bench_events.py                    # 20,000 and 400,000 events
    .venv/bin/python benchmarks/bench_events.py 20000 2000000      # the promise: memory flat within 10%

The export is a CSV file of seven columns, 500 machines, 300 kinds of events, one event in ten late, quotes in
one row of five hundred. Beside it runs what one would write without this program: the standard library's
csv.DictReader and datetime.fromisoformat, a dict of lists by machine, each sorted by time, and then a list
of (machine, label, the 11 last event numbers within a day) for each event. It keeps no places and no hashes,
counts no bad rows, writes nothing, and needs everything in memory. Processor time is that of all processes,
memory that of the one that writes: up to the last bytes that were read, and in all.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pairs import FOLDER, Asked, Pair, command, pass_over, peers_python, why_missing

PREPARE = """
import json, sys
from pathlib import Path
from spent import Spent, peak_mb
from vestige.engine import LocalEngine
from vestige.sources.events.options import EventOptions
from vestige.sources.events.source import EventSource
corpus, out, jobs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
peaks, spent = [0], Spent()
progress = lambda done, total: peaks.append(peak_mb())
EventSource().prepare(corpus, out, EventOptions(), engine=LocalEngine(jobs), progress=progress)
whole = peak_mb()
print(json.dumps([*spent.seconds(), peaks[-1], whole]))
"""
PLAIN = """
import csv, json, sys
from collections import defaultdict
from datetime import datetime
from spent import Spent, peak_mb
spent = Spent()
machines, names = defaultdict(list), {}
with open(sys.argv[1], newline="") as file:
    for row in csv.DictReader(file):
        t = datetime.fromisoformat(row["timestamp"]).timestamp()
        event = names.setdefault(row["event"], len(names) + 1)
        machines[row["machine"]].append((t, event, row["label"] not in ("", "normal")))
reading = peak_mb()
windows = []
for machine, events in sorted(machines.items()):
    events.sort(key=lambda event: event[0])
    for at, (t, _, label) in enumerate(events):
        context = [event if t - s <= 86400 else 0 for s, event, _ in events[max(0, at - 10) : at + 1]]
        windows.append((machine, label, [0] * (11 - len(context)) + context))
whole = peak_mb()
print(json.dumps([*spent.seconds(), reading, whole]))
"""


PANDAS = """
import sys
import pandas as pd
table = pd.read_csv(sys.argv[1])
table["t"] = pd.to_datetime(table["timestamp"], format="ISO8601")
table["event"] = pd.factorize(table["event"])[0] + 1
table = table.sort_values(["machine", "t"], kind="stable")
day, machines = pd.Timedelta(days=1), table.groupby("machine", sort=False)
for back in range(1, 11):
    late = table["t"] - machines["t"].shift(back) <= day
    table[f"before {back}"] = machines["event"].shift(back).where(late, 0).fillna(0).astype("int32")
assert len(table) == int(sys.argv[2])
"""
POLARS = """
import sys
import polars as pl
table = pl.read_csv(sys.argv[1]).with_columns(
    pl.col("timestamp").str.to_datetime(time_zone="UTC").alias("t"), pl.col("event").rank("dense")
).sort("machine", "t", maintain_order=True)
day = pl.duration(days=1)
table = table.with_columns(
    pl.when(pl.col("t") - pl.col("t").shift(back) <= day).then(pl.col("event").shift(back)).otherwise(0)
    .fill_null(0).over("machine").alias(f"before {back}")
    for back in range(1, 11)
)
assert table.height == int(sys.argv[2])
"""


def rows(asked: Asked) -> Iterator[Pair]:
    """`prepare` of a CSV export beside the standard library, pandas and Polars, whole processes."""
    with tempfile.TemporaryDirectory() as folder:
        export, count = Path(folder) / "events.csv", asked.size(500_000, 3_000)
        write(export, count)
        ours = command(
            sys.executable,
            "-c",
            PREPARE,
            export,
            Path(folder) / "out",
            1,
            cwd=FOLDER,
            after=lambda: shutil.rmtree(Path(folder) / "out"),
        )
        alone = {"POLARS_MAX_THREADS": "1", "PYTHONPATH": ""}
        others = {
            "csv.DictReader": ("", command(sys.executable, "-c", PLAIN, export, cwd=FOLDER)),
            "pandas": ("pandas", command(peers_python(), "-c", PANDAS, export, count, env=alone)),
            "polars": ("polars", command(peers_python(), "-c", POLARS, export, count, env=alone)),
        }
        for name, (module, runs) in others.items():
            yield Pair(
                f"windows of {count:,} events: {name}",
                "prepare, one job",
                name,
                ours,
                runs,
                "one pass over the file",
                pass_over(export),
                burner=name == "csv.DictReader",
                note="it keeps everything in memory, counts no bad rows and writes nothing",
                missing=why_missing(module) if module else "",
            )


def write(path: Path, events: int) -> None:
    """The export; nothing in it is drawn at random."""
    with path.open("w", encoding="utf-8") as file:
        file.write("timestamp,machine,user,event,severity,message,label\n")
        for n in range(events):
            late = n * 7919 % 600 if n % 10 == 0 else 0
            moment = datetime.fromtimestamp(1_772_438_400 + n / 4 - late, UTC)
            event, label = n * n * 31 % 300, "attack" if n % 211 == 0 else "normal"
            message = f'"said ""{event}"", again"' if n % 500 == 0 else f"detector {event} saw something"
            file.write(
                f"{moment:%Y-%m-%dT%H:%M:%S}.{n % 1000:03}Z,host-{n * 127 % 500:03},user-{n % 37},"
                f"rule.{event},{n % 5},{message},{label}\n"
            )


def measure(script: str, *arguments: str) -> list[float]:
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
    found: list[float] = json.loads(done.stdout)
    return found


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [20_000, 400_000]
    print("events     what         wall s  CPU s   events/CPU s  MB while reading  MB in all")
    for events in sizes:
        with tempfile.TemporaryDirectory() as folder:
            export = Path(folder) / "events.csv"
            write(export, events)
            runs = {"plain": (PLAIN, []), "prepare": (PREPARE, ["1"]), "prepare -j2": (PREPARE, ["2"])}
            for name, (script, more) in runs.items():
                out = str(Path(folder) / f"dataset {name}")
                wall, busy, reading, whole = measure(script, str(export), out, *more)
                print(
                    f"{events:<10} {name:<12} {wall:<7.2f} {busy:<7.2f} {events / busy:<13.0f} "
                    f"{reading:<17.0f} {whole:.0f}"
                )


if __name__ == "__main__":
    main()
