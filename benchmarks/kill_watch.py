"""Kill `vestige watch` again and again over a log that is written on and rotated, and compare line by line.

    python benchmarks/kill_watch.py [KILLS] [SEED]

A child watches a directory; a writer appends to its log, renames it now and then, or copies it and cuts it
short, while the child runs and while it does not. The child is killed (SIGKILL) after a random time; the
next one goes on with the same state. At the end one more watch reads what is left. Each line must have been
judged once, with the p-value that one run over each file gives it; incidents must be told once.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vestige import scoring
from vestige.evaluation.budget import Budget
from vestige.pipeline.learn import learn
from vestige.service.feedback import INCIDENTS
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions
from vestige.sources import registry

ORDER = (
    "request {n} from 10.0.0.{k} begins",
    "cache looked up for request {n}",
    "request {n} answered with 200 in {k} ms",
    "connection of worker {k} closed",
)
LIFE = """
import sys
from pathlib import Path
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions
detector, evidence, home = map(Path, sys.argv[1:])
sink = make(f"jsonl:{home / 'out.jsonl'}", home / "state")
options = WatchOptions(every=True, idle_s=600.0, save_s=0.05)
Watch.start(detector, [evidence], [sink], state=home / "state", options=options).run()
"""


class Writer:
    """Appends lines to a log, and rotates it; `made` were written, `rotated` counts by how."""

    def __init__(self, log: Path, seed: int) -> None:
        self.log, self.made, self.old = log, 0, 0
        self.rotated: Counter[str] = Counter()
        self._rng = random.Random(seed)
        log.touch()

    def lines(self, count: int) -> Iterator[str]:
        """The next lines, one in 61 of them of no known kind."""
        for number in range(self.made, self.made + count):
            moment = datetime(2026, 2, 1, tzinfo=UTC) + timedelta(seconds=2 * number)
            kind = ORDER[number % 4] if number % 61 else "kernel: segfault at 0 in libc of process {n}"
            message = kind.format(n=number, k=self._rng.randrange(1, 9))
            yield f"{moment:%Y-%m-%dT%H:%M:%S}Z web app[7]: {message}\n"
        self.made += count

    def append(self, most: int) -> None:
        """Write some lines, which may be cut off in the middle for a moment."""
        text = "".join(self.lines(self._rng.randrange(1, most)))
        cut = self._rng.randrange(len(text))
        for part in (text[:cut], text[cut:]):
            with self.log.open("a") as file:
                file.write(part)

    def rotate(self) -> None:
        """By renaming it."""
        self.old += 1
        self.log.rename(self.log.with_name(f"app.log.{self.old}"))
        self.log.write_text("".join(self.lines(60)))
        self.rotated["renamed"] += 1

    def cut_short(self) -> None:
        """By copying it, and beginning it anew: while nobody reads, as what is written in between is lost by
        whoever rotates, not by whoever reads."""
        self.old += 1
        shutil.copy(self.log, self.log.with_name(f"app.log.{self.old}"))
        self.log.write_text("".join(self.lines(60)))
        self.rotated["copied and cut short"] += 1


def detector_in(home: Path) -> Path:
    """Learnt from lines as they are written."""
    log = home / "learn" / "app.log"
    log.parent.mkdir()
    writer = Writer(log, 1)
    log.write_text("".join(line for line in writer.lines(3_000) if "segfault" not in line))
    source = registry.get("logs")
    learn(source, log, home / "normal", options=source.options(), budget=Budget.parse("5/day"), plants=0)
    return home / "normal"


def kill_again_and_again(detector: Path, home: Path, kills: int, seed: int) -> Writer:
    """The lives of `kills` watches, each of which ends with a kill."""
    rng = random.Random(seed)
    logs, state = home / "logs", home / "state" / "state.json"
    logs.mkdir()
    writer = Writer(logs / "app.log", seed)
    for life in range(kills):
        saved = state.stat().st_mtime_ns if state.exists() else 0
        child = subprocess.Popen([sys.executable, "-c", LIFE, detector, logs, home])
        # It saves its state when it begins: from then on it reads and writes.
        while not state.exists() or state.stat().st_mtime_ns == saved:
            if child.poll() is not None:
                raise SystemExit(f"life {life} ended by itself")
            time.sleep(0.005)
        until = time.monotonic() + rng.uniform(0.0, 0.8)
        while time.monotonic() < until:
            writer.append(40)
            if rng.random() < 0.03:
                writer.rotate()
            time.sleep(0.02)
        child.kill()
        child.wait()
        drawn = rng.random()
        if drawn < 0.2:
            writer.append(40)
            writer.rotate()
        elif drawn < 0.3:
            writer.cut_short()
    return writer


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def judged(rows: list[dict[str, Any]]) -> Counter[tuple[str, float]]:
    """Which message had which p-value."""
    return Counter((row["text"], row["p_value"]) for row in rows)


def main() -> None:
    """Kill, compare, tell."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory(prefix="vestige-kill-") as place:
        home = Path(place)
        detector = detector_in(home)
        writer = kill_again_and_again(detector, home, kills, seed)
        sink = make(f"jsonl:{home / 'out.jsonl'}", home / "state")
        options = WatchOptions(once=True, every=True, idle_s=0.05)
        Watch.start(detector, [home / "logs"], [sink], state=home / "state", options=options).run()
        told = rows_of(home / "out.jsonl")
        found = [row for row in told if "kind" not in row]
        wanted = judged(
            [row for file in sorted((home / "logs").iterdir()) for row in scoring.score(detector, [file])]
        )
        missing, twice = wanted - judged(found), judged(found) - wanted
        kept = rows_of(home / "state" / INCIDENTS)
        incidents = [row for row in told if row.get("kind") == "incident"]
        repeated = len(incidents) - len({(row["id"], row["state"], row["alerts"]) for row in incidents})
        print(
            f"{kills} kills, {writer.made:,} lines, rotations {dict(writer.rotated)}: "
            f"{sum(missing.values())} lines missing or of another p-value, {sum(twice.values())} too many; "
            f"{len(incidents)} lines about incidents, {repeated} of them twice; kept alike: "
            f"{kept == incidents}"
        )
        if missing or twice:
            for row in found:
                if (row["text"], row["p_value"]) in twice:
                    print("too many", row["recording"], row["line"], row["text"], row["p_value"])
            for text, p_value in missing:
                print("missing", text, p_value)
            raise SystemExit(1)


if __name__ == "__main__":
    main()
