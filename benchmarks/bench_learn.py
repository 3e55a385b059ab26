"""What learning without labels takes as the evidence grows: time, memory, and the size of the detector.

    .venv/bin/python benchmarks/bench_learn.py                          # 100 thousand, 1 million messages
    .venv/bin/python benchmarks/bench_learn.py 100000 1000000 10000000  # and ten: a file of 1.3 GB

A log in the manner of a cluster's is written first: sessions of many kinds of messages, each with values of
its own, in an order that repeats with exceptions. `vestige learn` is then run as a person types it, in a
process of its own, with both cores. It checks itself on plants and draws its page in that time.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from spent import Spent

SIZES = (100_000, 1_000_000)
KINDS = 120
WORDS = [
    "cache",
    "memory",
    "torus",
    "link",
    "node",
    "kernel",
    "parity",
    "error",
    "corrected",
    "job",
    "session",
    "opened",
    "closed",
    "request",
    "reply",
    "user",
    "scheduler",
    "timeout",
    "retry",
    "packet",
    "queue",
    "worker",
    "disk",
    "sector",
    "mount",
    "volume",
    "lease",
    "token",
    "renewed",
    "expired",
]
BEGIN = 1_700_000_000


def write_log(path: Path, messages: int) -> None:
    """`messages` lines, about 130 bytes each."""
    rng = random.Random(5)
    kinds = [" ".join(rng.choices(WORDS, k=rng.randint(3, 8))) for _ in range(KINDS)]
    sessions = [[rng.randrange(KINDS) for _ in range(rng.randint(4, 30))] for _ in range(40)]
    now, written = float(BEGIN), 0
    with path.open("w", encoding="ascii") as file:
        while written < messages:
            host = f"node-{rng.randrange(64):02d}"
            for usual in rng.choice(sessions):
                kind = rng.randrange(KINDS) if rng.random() < 0.01 else usual
                now += rng.expovariate(20.0)
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
                head = f"{stamp}.{int(now % 1 * 1e6):06d}Z {host} daemon[{rng.randrange(300, 900)}]:"
                values = f"{rng.randrange(1 << 16)} at 0x{rng.getrandbits(32):08x}"
                file.write(f"{head} {kinds[kind]} {values} from 10.0.{rng.randrange(8)}.7\n")
                written += 1


def measure(log: Path, out: Path) -> str:
    """One row of the table."""
    command = [sys.executable, __file__, "--one", str(log), str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    size = sum(file.stat().st_size for file in out.iterdir())
    wall, busy, peak = map(float, done.stdout.split()[-3:])
    return f"{wall:9.1f} {busy:9.1f} {peak:9.0f} {size / 1e6:9.1f}"


def one(log: Path, out: Path) -> None:
    """Learn in this process, and print wall time, processor time (s) and peak memory (MiB)."""
    spent = Spent()
    from spent import peak_mb
    from vestige.engine import choose
    from vestige.evaluation.budget import Budget
    from vestige.pipeline.learn import learn
    from vestige.sources import registry

    source = registry.get("logs")
    learn(source, log, out, options=source.options(), budget=Budget.parse("5/day"), engine=choose())
    wall, busy = spent.seconds()
    print(wall, busy, peak_mb())


def main(sizes: list[int]) -> None:
    """The table."""
    print(" messages   wall s    busy s  peak MiB  detector MB")
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            log = Path(folder) / "daemon.log"
            write_log(log, size)
            print(f"{size:9,} {measure(log, Path(folder) / f'learnt-{size}')}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main([int(size) for size in sys.argv[1:]] or list(SIZES))
