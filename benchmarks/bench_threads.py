"""Training steps with one thread and with every core's, alone and beside a process that never rests.

    python benchmarks/bench_threads.py [--pairs 5] [--seconds 2] [--batch 256] [--spin]
        [--detectors gru collaborative transformer]

Each detector takes training steps (batches of the simulated logs of `make demo`) in a process of its own for
each number of threads. Runs go in turns, A B A B: alone, then beside a burner of nice 10. In the same turns
as many processes of plain arithmetic as there are threads do a fixed amount of work, alone and beside the
same burner: how much slower they become is what the lost share of the processor explains. A line of the first
table has medians over the pairs, with the smallest and the largest in brackets:

    alone, beside   milliseconds of wall time a step
    slower          beside / alone
    arithmetic      the same of the plain processes
    excess          slower / arithmetic, of medians; asked for: at most 1.5

The second table has the wall time with one thread over that with every core's, pair by pair: above 1, more
threads are faster. `vestige.training.loop.threads_for` is to be judged by it, with ``--batch 32`` and 256.
``--spin`` gives OpenMP the count of spins that it has where nobody sets the wait policy: the program as it
was before it set it. The machine has to be quiet: whatever else is at work makes "alone" untrue.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import vestige.cli  # noqa: F401 - sets the wait policy, as the program does

WARM_UP = 3
ASKED = 1.5
SPINS = "300000"
"""What libgomp takes where neither the policy nor the count is set."""
TARGETS = ("gru", "collaborative", "transformer")


class Trainer:
    """A process that takes training steps when it is told to; see `work`."""

    def __init__(
        self, dataset: Path, split: Path, detector: str, threads: int, *, batch: int, spin: bool
    ) -> None:
        job = [str(dataset), str(split), detector, str(threads), str(batch)]
        command = [sys.executable, __file__, "--work", *job]
        spins = {"GOMP_SPINCOUNT": SPINS} if spin else {}
        self.process = subprocess.Popen(
            command, env={**os.environ, **spins}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.detector, self.threads = detector, threads
        self.steps = 1
        self.milliseconds(1)

    def milliseconds(self, steps: int | None = None) -> float:
        """Wall time of a step, over `steps` of them."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        count = steps or self.steps
        print(count, file=self.process.stdin, flush=True)
        seconds: float = json.loads(self.process.stdout.readline())
        return 1e3 * seconds / count

    def fill(self, seconds: float) -> None:
        """Take as many steps a run as `seconds` hold."""
        self.steps = max(1, round(1e3 * seconds / self.milliseconds(WARM_UP)))

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def work(dataset: Path, split: Path, name: str, threads: int, batch: int) -> None:
    """Read numbers of steps from standard input; answer each with the seconds that they took."""
    import numpy as np
    import torch
    from torch.nn.functional import cross_entropy

    from vestige.models import registry
    from vestige.models.base import choose_inputs
    from vestige.models.neural import NeuralDetector
    from vestige.pipeline.experiment import Experiment
    from vestige.training.loader import rows_of

    torch.set_num_threads(threads)
    windows = Experiment.open(dataset, split).training_data.train
    kind = registry.get(name)
    detector = kind.build(choose_inputs(kind, windows.schema), len(windows.schema.classes))
    assert isinstance(detector, NeuralDetector)
    rows = rows_of(detector, windows, torch.device("cpu"), 1 << 30)
    module = detector.module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(int(line)):
            inputs, target = rows.take(rng.integers(0, len(rows), batch))
            optimizer.zero_grad()
            cross_entropy(module(*inputs), target).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
        print(json.dumps(time.perf_counter() - began), flush=True)


def burn() -> None:
    """Never rest, politely."""
    os.nice(10)
    while True:
        pass


@contextmanager
def burner() -> Iterator[None]:
    process = multiprocessing.Process(target=burn, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def arithmetic(rounds: int) -> None:
    total = 0
    for number in range(rounds):
        total += number * number


def plain_seconds(processes: int, rounds: int) -> float:
    """Until the last of so many processes of plain arithmetic has finished."""
    workers = [multiprocessing.Process(target=arithmetic, args=(rounds,)) for _ in range(processes)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - began


@dataclass
class Times:
    """Of one detector and number of threads, or of plain arithmetic; an entry a pair."""

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    @property
    def slower(self) -> list[float]:
        return [beside / alone for alone, beside in zip(self.alone, self.beside, strict=True)]


def spread(values: list[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


Found = dict[tuple[str, int], Times]


def measure(trainers: list[Trainer], pairs: int, rounds: int) -> tuple[Found, dict[int, Times]]:
    found = {(one.detector, one.threads): Times() for one in trainers}
    plain = {one.threads: Times() for one in trainers}
    for number in range(pairs):
        for threads, times in plain.items():
            times.alone.append(plain_seconds(threads, rounds))
            with burner():
                times.beside.append(plain_seconds(threads, rounds))
        for trainer in trainers:
            times = found[trainer.detector, trainer.threads]
            times.alone.append(trainer.milliseconds())
            with burner():
                times.beside.append(trainer.milliseconds())
        print(f"pair {number + 1} of {pairs} is done", file=sys.stderr, flush=True)
    return found, plain


def report(found: Found, plain: dict[int, Times]) -> bool:
    """Print both tables; whether the excess is as asked for."""
    print(f"{'detector':14} threads  {'alone':22} {'beside':22} {'slower':17} arithmetic  excess")
    worst = 0.0
    for (detector, threads), times in found.items():
        explained = statistics.median(plain[threads].slower)
        excess = statistics.median(times.slower) / explained
        worst = max(worst, excess)
        print(
            f"{detector:14} {threads:7}  {spread(times.alone, 1):22} {spread(times.beside, 1):22}"
            f" {spread(times.slower, 2):17} {explained:10.2f}  {excess:6.2f}"
        )
    most = max(plain)
    if most > 1:
        print(f"\none thread / {most} threads   alone             beside")
    for detector in dict.fromkeys(name for name, _ in found) if most > 1 else ():
        single, several = found[detector, 1], found[detector, most]
        columns = [
            spread([a / b for a, b in zip(one, other, strict=True)], 2)
            for one, other in ((single.alone, several.alone), (single.beside, several.beside))
        ]
        print(f"{detector:24} {columns[0]:17} {columns[1]}")
    print(f"\nlargest excess {worst:.2f}, asked for at most {ASKED}")
    return worst <= ASKED


def prepared(root: Path) -> tuple[Path, Path]:
    """The demo's logs as a dataset, and their split by host."""
    corpus, dataset = root / "logs", root / "dataset"
    for command in (
        f"simulate logs {corpus} --hosts 20 --seed 7",
        f"prepare logs {corpus} --format bgl -o {dataset}",
        f"split {dataset} --split host -o {root / 'split.json'}",
    ):
        code = "from vestige.cli.main import run; run()"
        subprocess.run([sys.executable, "-c", code, *command.split()], check=True, stdout=subprocess.DEVNULL)
    return dataset, root / "split.json"


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2)
    options.add_argument("--detectors", nargs="+", default=TARGETS)
    options.add_argument("--batch", type=int, default=256)
    options.add_argument("--spin", action="store_true")
    options.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.work:
        dataset, split, detector, threads, batch = chosen.work
        work(Path(dataset), Path(split), detector, int(threads), int(batch))
        return 0
    counts = sorted({1, len(os.sched_getaffinity(0))})
    rounds = round(1e6 * chosen.seconds / (plain_seconds(1, 1_000_000)))
    with tempfile.TemporaryDirectory() as name:
        made = prepared(Path(name))
        trainers = [
            Trainer(*made, detector, threads, batch=chosen.batch, spin=chosen.spin)
            for detector in chosen.detectors
            for threads in counts
        ]
        for trainer in trainers:
            trainer.fill(chosen.seconds)
        found, plain = measure(trainers, chosen.pairs, rounds)
        for trainer in trainers:
            trainer.close()
    return 0 if report(found, plain) else 1


if __name__ == "__main__":
    sys.exit(main())
