"""An epoch of `vestige.training` against a bare PyTorch loop over the same index tensor.

    python benchmarks/bench_epoch.py [--pairs 7] [--epochs 3] [--threads 1]

Both train the same GRU (64 units, embedding 32) with the same AdamW, weighted cross-entropy, clipping
and learning rates on 50,000 windows of 10 steps gathered from a memory-mapped stream, in batches of
256, and both validate after each epoch on 5,000 windows. Ours has the progress bar (drawn to a
pseudo-terminal that is read and thrown away), the history and its metrics, and the timed state on.
Measured is the wall time of a whole call of `train` (encoding, Lightning's set-up, epochs, the final state)
against the bare loop's (encoding, epochs); imports come before. The difference between a long and a
short training, per epoch, is the epoch itself without the set-up.
"""

from __future__ import annotations

import argparse
import math
import os
import pty
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.training.toy import TOKENS, encoded

from pairs import Asked, Pair, here
from vestige.models.fitting import class_weights
from vestige.models.recurrent import GruDetector
from vestige.reading.encoding import EncodedWindows
from vestige.training import TrainingConfig, train

WINDOWS, LENGTH, VALIDATION, BATCH = 50_000, 10, 5_000, 256
TARGET = 1.15


def detector() -> GruDetector:
    return GruDetector.build((TOKENS,), 2, hidden=64, embedding=32, dropout=0.0)


Parts = tuple[EncodedWindows, EncodedWindows]


def timed(run: Callable[[], None]) -> np.ndarray:
    """Wall and processor seconds (of every thread of this process)."""
    began = np.array([time.perf_counter(), time.process_time()])
    run()
    return np.array([time.perf_counter(), time.process_time()]) - began


def ours(parts: Parts, epochs: int, directory: Path) -> None:
    config = TrainingConfig(epochs=epochs, batch_size=BATCH, patience=0)
    train(detector(), *parts, config, directory / "run")


def bare(parts: Parts, epochs: int) -> None:
    learner = detector()
    module = learner.module.train()
    (x,), (xv,) = (learner.to_tensors(one.batch(names=learner.input_names)) for one in parts)
    y, yv = (torch.from_numpy(one.label.astype(np.int64)) for one in parts)
    weight = torch.from_numpy(class_weights(parts[0].label, 2))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.01)
    batches = -(-len(x) // BATCH)
    for epoch in range(epochs):
        order = torch.from_numpy(np.random.default_rng([0, epoch]).permutation(len(x)))
        for number in range(batches):
            rows = order[number * BATCH : (number + 1) * BATCH]
            loss = cross_entropy(module(x[rows]), y[rows], weight=weight, reduction="sum") / len(rows)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            share = (epoch * batches + number) / (epochs * batches)
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * share))
            optimizer.step()
        validate(module, xv, yv)


def validate(module: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.inference_mode():
        module.eval()
        predicted = torch.cat([module(part).argmax(dim=1) for part in x.split(1024)])
        module.train()
    return float(f1_score(y.numpy(), predicted.numpy(), average="macro"))


def rows(asked: Asked) -> Iterator[Pair]:
    """Whole trainings of two epochs, on one thread."""
    torch.set_num_threads(1)
    n, few = asked.size(20_000, 1_000), asked.size(2_000, 200)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        parts = encoded(root / "train", n, length=LENGTH), encoded(root / "val", few, length=LENGTH, seed=1)
        yield Pair(
            f"training a GRU, 2 epochs of {n:,} windows: bare loop",
            "training.train",
            "a bare PyTorch loop",
            here(lambda: ours(parts, 2, root)),
            here(lambda: bare(parts, 2)),
            "forward and backward alone",
            here(lambda: products(parts[0], 2)),
            burner=True,
            note="ours keeps history, metrics and a state to resume from; no progress bar is drawn here",
        )


def products(part: EncodedWindows, epochs: int) -> None:
    """Forward and backward passes over the batches of so many epochs, and no more."""
    learner = detector()
    module = learner.module.train()
    (x,) = learner.to_tensors(part.batch(names=learner.input_names))
    y = torch.from_numpy(part.label.astype(np.int64))
    for _ in range(epochs):
        for rows_, labels in zip(x.split(BATCH), y.split(BATCH), strict=True):
            module.zero_grad()
            cross_entropy(module(rows_), labels).backward()


def on_pseudo_terminal() -> Callable[[], int]:
    """Standard error becomes a terminal; the returned function tells how many bytes were drawn."""
    master, slave = pty.openpty()
    drawn = [0]

    def drain() -> None:
        while data := os.read(master, 65_536):
            drawn[0] += len(data)

    threading.Thread(target=drain, daemon=True).start()
    os.dup2(slave, 2)
    return lambda: drawn[0]


def spread(name: str, ratios: list[float]) -> float:
    middle = statistics.median(ratios)
    print(f"{name}: {middle:.3f}x  (lowest {min(ratios):.3f}, highest {max(ratios):.3f}, n={len(ratios)})")
    return middle


def measure(parts: Parts, pairs: int, epochs: int, directory: Path) -> tuple[list[np.ndarray], ...]:
    """Ratios (wall, processor) of whole trainings of `epochs` + 1 epochs, and of one epoch more or less."""
    whole, epoch = [], []
    for _ in range(pairs):
        a1, b1 = timed(lambda: ours(parts, 1, directory)), timed(lambda: bare(parts, 1))
        a = timed(lambda: ours(parts, 1 + epochs, directory))
        b = timed(lambda: bare(parts, 1 + epochs))
        whole.append(a / b)
        epoch.append((a - a1) / (b - b1))
        print(f"ours {a[0]:.2f} s, bare {b[0]:.2f} s for {1 + epochs} epochs", flush=True)
    return whole, epoch


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--pairs", type=int, default=7)
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    drawn = on_pseudo_terminal()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        parts = (
            encoded(root / "train", WINDOWS, length=LENGTH),
            encoded(root / "validation", VALIDATION, length=LENGTH, seed=1),
        )
        ours(parts, 1, root)  # imports and warm-up
        bare(parts, 1)
        whole, epoch = measure(parts, chosen.pairs, chosen.epochs, root)
    print(f"bytes drawn by the progress bar: {drawn():,}")
    for number, clock in enumerate(("wall time", "processor time")):
        spread(f"whole training, {clock}", [one[number] for one in whole])
        middle = spread(f"one epoch, {clock}", [one[number] for one in epoch])
    print(f"target: an epoch within {TARGET}x (processor time: others work here too)")
    return 0 if middle <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
