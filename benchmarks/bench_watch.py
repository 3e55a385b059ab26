"""What watching takes: from a line to its alert, a core's share, and memory as lines go by.

    python benchmarks/bench_watch.py latency [SECONDS]  # 1,000 lines a second, one in 1,000 of them strange
    python benchmarks/bench_watch.py cold [SECONDS]     # the same where no machine code is kept yet
    python benchmarks/bench_watch.py memory [LINES]     # resident memory after so many lines

Each watch is a process of its own, with a detector of n-grams that learnt from 20,000 lines. Latency is from
the moment that a line was written whole until its alert stands in the file of alerts, looked at every 5 ms.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import vestige
from vestige.evaluation.budget import Budget
from vestige.pipeline.learn import learn
from vestige.sources import registry

ORDER = (
    "request {n} from 10.0.0.{k} begins",
    "cache looked up for request {n}",
    "request {n} answered with 200 in {k} ms",
    "connection of worker {k} closed",
    "job {k} of queue {k} took {n} ms",
)
RATE, EVERY, POLL_S = 1_000, 1_000, 0.005
TARGET_S, TARGET_CORE, TARGET_MB = 1.0, 0.05, 150


def lines(begin: int, count: int, *, odd: bool = False) -> Iterator[str]:
    """Lines a millisecond apart; `odd`: every thousandth is of no known kind."""
    rng, start = random.Random(begin), datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(begin, begin + count):
        moment = start + timedelta(milliseconds=number)
        message = ORDER[number % len(ORDER)].format(n=number, k=rng.randrange(1, 9))
        if odd and number % EVERY == EVERY - 1:
            # Alone in its kind, so that it is rarer than what the budget asks for, and no repeat.
            name = "".join("abcdefghij"[int(digit)] for digit in f"{number // EVERY:07d}")
            message = f"kernel: segfault of process {number} in {name}"
        yield f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z web app[7]: {message}\n"


def detector_in(home: Path) -> Path:
    """Learnt from 20,000 lines; it may alert on one window in 500."""
    log = home / "learn.log"
    log.write_text("".join(lines(0, 20_000)))
    source = registry.get("logs")
    learn(source, log, home / "normal", options=source.options(), budget=Budget.parse("1/500"), plants=0)
    return home / "normal"


def begin(detector: Path, log: Path, home: Path, *more: str, cold: bool = False) -> subprocess.Popen[bytes]:
    """A watch as a person types it; `cold`: by a copy of the package with which no machine code is kept."""
    program = [sys.executable, "-m", "vestige", "-l", "error", "watch", detector, log]
    environment = dict(os.environ)
    if cold:
        package = Path(vestige.__file__).parent
        shutil.copytree(package, home / "copy" / "vestige", ignore=shutil.ignore_patterns("__pycache__"))
        environment["PYTHONPATH"] = str(home / "copy")
    return subprocess.Popen([*map(str, program), "--state", str(home / "state"),
                             "--sink", f"jsonl:{home / 'out.jsonl'}", *more], env=environment)  # fmt: skip


def spent_s(process: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(process: int, name: str = "VmRSS") -> float:
    """What a process holds, or (VmHWM) ever held, in MB."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(name)) * 1024 / 1e6


def latency(home: Path, seconds: int, *, cold: bool = False) -> None:
    """Write at a steady pace, and wait for alerts."""
    detector, log, out = detector_in(home), home / "app.log", home / "out.jsonl"
    made = 20_000
    log.write_text("".join(lines(made, 2_000)))
    made += 2_000
    child = begin(detector, log, home, cold=cold)
    while not (home / "state" / "state.json").exists():
        time.sleep(0.05)
    time.sleep(5.0)  # what was there is read
    written: dict[str, float] = {}
    found: dict[str, float] = {}
    seen, busy, started = 0, spent_s(child.pid), time.perf_counter()
    end = started + seconds
    with log.open("a") as file:
        while (now := time.perf_counter()) < end + 3.0:
            due = min(int((now - started) * RATE), seconds * RATE) - (made - 22_000)
            if due > 0:
                texts = list(lines(made, due, odd=True))
                made += due
                file.writelines(texts)
                file.flush()
                moment = time.perf_counter()
                written |= {text.split("]: ", 1)[1].strip(): moment for text in texts if "segfault" in text}
            with out.open("rb") as told:
                told.seek(seen)
                data = told.read()
            whole = data.rpartition(b"\n")[0]
            seen += len(whole) + bool(whole)
            moment = time.perf_counter()
            for line in whole.splitlines():
                row = json.loads(line)
                if row.get("alert"):
                    found.setdefault(row["text"], moment)
            time.sleep(POLL_S)
    share = (spent_s(child.pid) - busy) / (time.perf_counter() - started)
    child.send_signal(signal.SIGTERM)
    child.wait()
    delays = {text: found[text] - written[text] for text in written if text in found}
    middle, slowest = statistics.median(delays.values()), max(delays, key=delays.__getitem__)
    print(
        f"{RATE:,} lines/s for {seconds} s: {len(delays)} alerts of {len(written)} strange lines; from "
        f"line to alert {middle:.2f} s (median), {delays[slowest]:.2f} s at most, after "
        f"{written[slowest] - started:.0f} s (asked: {TARGET_S:g} s); {share:.1%} of a core (asked: "
        f"{TARGET_CORE:.0%}); load {os.getloadavg()[0]:.1f}"
    )


def memory(home: Path, count: int) -> None:
    """Watch a file of so many lines, and look at what the process holds."""
    detector, log = detector_in(home), home / "app.log"
    piece = 200_000
    with log.open("w") as file:
        for start in range(0, count, piece):
            file.writelines(lines(20_000 + start, min(piece, count - start), odd=True))
    child = begin(detector, log, home)
    started, told = time.perf_counter(), 0
    state = home / "state" / "state.json"
    while told < count:
        time.sleep(1.0)
        steps = json.loads(state.read_text())["steps"] if state.exists() else 0
        if steps - told >= count / 10 or steps >= count - 1:
            rate, by_core = steps / (time.perf_counter() - started), steps / spent_s(child.pid)
            print(f"{steps:,} lines: {resident_mb(child.pid):.0f} MB resident, at most "
                  f"{resident_mb(child.pid, 'VmHWM'):.0f} MB; {rate:,.0f} lines/s, {by_core:,.0f} in a "
                  "second of processor time", flush=True)  # fmt: skip
            told = steps
        if steps >= count - 1:
            break
    child.send_signal(signal.SIGTERM)
    child.wait()
    print(f"asked: {TARGET_MB} MB")


def main() -> None:
    """Measure what is asked for."""
    what = sys.argv[1] if len(sys.argv) > 1 else "latency"
    amount = int(sys.argv[2]) if len(sys.argv) > 2 else {"memory": 10_000_000}.get(what, 60)
    with tempfile.TemporaryDirectory(prefix="vestige-watch-") as place:
        if what == "memory":
            memory(Path(place), amount)
        else:
            latency(Path(place), amount, cold=what == "cold")


if __name__ == "__main__":
    main()
