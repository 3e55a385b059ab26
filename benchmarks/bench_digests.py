"""What digests cost: writing a dataset with them and without, reading an epoch with the check and without.

    .venv/bin/python benchmarks/bench_digests.py            # 256 MiB of streams, 7 pairs
    .venv/bin/python benchmarks/bench_digests.py 1024 11    # others

Pairs are run A B A B; a line shows medians, and of the ratios the median, the least and the most. Without:
a digest costs nothing when writing, and arrays have none when reading. An epoch gathers every window once, in
random order and batches of 256, and does nothing with it; in the first one every block is checked, in a later
one none. Files are in the page cache. On a machine that is not idle, look at the ratios.
"""

from __future__ import annotations

import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from pairs import Asked, Pair, Way, here
from vestige.reading import digests
from vestige.reading.dataset import DatasetWriter
from vestige.reading.digests import Streams
from vestige.reading.windows import WindowSet
from vestige.schema import Input, Schema, Stream

PIECE, BATCH, LENGTH = 1 << 16, 256, 32
STEP_BYTES = 20
SCHEMA = Schema(
    "benchmark", 1, ("normal", "anomaly"), LENGTH, LENGTH // 4,
    (Stream("symbol", "uint32"), Stream("t_ns", "int64"), Stream("offset", "int64")),
    (Input("tokens", "tokens"),),
)  # fmt: skip


class Nothing:
    """A digest that costs nothing."""

    def update(self, data: object) -> None:
        """Take in nothing."""

    def hexdigest(self) -> str:
        """No digest."""
        return "0" * 64


def write(path: Path, mib: int) -> None:
    """A dataset of so many MiB of streams, written piece by piece."""
    rng = np.random.default_rng(0)
    symbol, t_ns = rng.integers(0, 1000, PIECE), np.arange(PIECE)
    label = (symbol == 0).astype(np.uint8)
    with DatasetWriter(path, SCHEMA, overwrite=True) as writer:
        writer.begin(id="r", host="h")
        for _ in range(max(1, (mib << 20) // (PIECE * STEP_BYTES))):
            writer.extend({"symbol": symbol, "t_ns": t_ns, "offset": t_ns}, t_ns=t_ns, label=label)


def epoch(windows: WindowSet) -> None:
    """Gather every window once."""
    order = np.random.default_rng(1).permutation(len(windows))
    for start in range(0, len(order), BATCH):
        windows.gather(order[start : start + BATCH])


def seconds(run: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def without(run: Callable[[], object]) -> float:
    """How long it takes where digests cost nothing."""
    real, digests.blake3 = digests.blake3, lambda *_: Nothing()  # type: ignore[assignment,misc]
    try:
        return seconds(run)
    finally:
        digests.blake3 = real  # type: ignore[misc]


def rows(asked: Asked) -> Iterator[Pair]:
    """Writing with digests and without, and the first epoch checked and unchecked."""
    mib = asked.size(64, 4)
    with tempfile.TemporaryDirectory() as folder:
        path, bare = Path(folder) / "dataset", Path(folder) / "bare"
        write(path, mib)
        plain = unchecked(WindowSet.open(path))
        size = sum(file.stat().st_size for file in path.rglob("*.npy"))
        data = np.zeros(size, dtype=np.uint8)
        yield Pair(
            f"writing {size / 2**20:.0f} MiB of streams",
            "with digests",
            "without",
            here(lambda: write(path, mib)),
            _without(lambda: write(bare, mib)),
            "memory copied",
            here(data.copy),
        )
        yield Pair(
            f"the first epoch of {size / 2**20:.0f} MiB",
            "checked",
            "unchecked",
            here(lambda: epoch(WindowSet.open(path))),
            here(lambda: epoch(plain)),
            "memory copied",
            here(data.copy),
            burner=True,
        )


def _without(run: Callable[[], object]) -> Way:
    way = here(run)

    def bare() -> tuple[float, float]:
        real, digests.blake3 = digests.blake3, lambda *_: Nothing()  # type: ignore[assignment,misc]
        try:
            return way()
        finally:
            digests.blake3 = real  # type: ignore[misc]

    return bare


def show(what: str, pairs: list[tuple[float, float]]) -> None:
    """Medians and spread of pairs (with, without)."""
    ratios = sorted(a / b for a, b in pairs)
    a, b = (statistics.median(side) for side in zip(*pairs, strict=True))
    spread = f"{statistics.median(ratios):.3f} ({ratios[0]:.3f}..{ratios[-1]:.3f})"
    print(f"{what:<16} {a:7.3f} s with, {b:7.3f} s without: {spread}")


def unchecked(windows: WindowSet) -> WindowSet:
    """The same windows over arrays that nobody checks."""
    return replace(windows, streams=Streams({name: windows.streams[name] for name in windows.streams}))


def main() -> None:
    mib, count = [int(given) for given in sys.argv[1:]] or [256, 7]
    with tempfile.TemporaryDirectory() as folder:
        path, bare = Path(folder) / "dataset", Path(folder) / "bare"
        write(path, mib)
        plain = unchecked(WindowSet.open(path))
        epoch(plain)
        size = sum(file.stat().st_size for file in path.rglob("*.npy"))
        data = np.zeros(size, dtype=np.uint8)
        took = seconds(lambda: digests.blake3(data).digest())
        print(f"{size / 2**20:.0f} MiB of arrays; BLAKE3 of as many bytes {took:.3f} s")
        writing = [
            (seconds(lambda: write(path, mib)), without(lambda: write(bare, mib))) for _ in range(count)
        ]
        first, later, opening = [], [], []
        for _ in range(count):
            opening.append(seconds(lambda: WindowSet.open(path)))
            fresh = WindowSet.open(path)
            read = functools.partial(epoch, fresh)
            first.append((seconds(read), seconds(lambda: epoch(plain))))
            later.append((seconds(read), seconds(lambda: epoch(plain))))
        show("writing", writing)
        show("the first epoch", first)
        show("a later epoch", later)
        index = sum(file.stat().st_size for file in (path / "index").iterdir())
        print(f"{'opening':<16} {statistics.median(opening):7.3f} s ({index / 2**20:.0f} MiB of index)")
        whole = [seconds(lambda: WindowSet.open(path).verify()) for _ in range(count)]
        print(f"{'inspecting':<16} {statistics.median(whole):7.3f} s (every byte)")


if __name__ == "__main__":
    main()
