"""An epoch over a dataset that is larger than memory, in a process that may not hold it.

    .venv/bin/python benchmarks/epoch_beyond_memory.py            # 20 GB of steps, 200 batches of an epoch
    .venv/bin/python benchmarks/epoch_beyond_memory.py 20 0       # 20 GB, the whole epoch

The stream is a sparse file: zeros, which take no room on the disk, but are read, checked against their
digests and gathered as any others. Windows are drawn from all over the file, as an epoch draws them. The
process may have 1.5 GB of memory of its own (`RLIMIT_DATA`, what `prlimit --data` sets): it ends where it
asks for more. Pages of mapped files are not counted by that limit; the most that was resident, with them, is
told.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from blake3 import blake3

from vestige.models.recurrent import GruDetector
from vestige.reading.dataset import DatasetWriter
from vestige.reading.digests import BLOCK
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.reading.steps import Steps
from vestige.reading.windows import MANIFEST, WindowSet
from vestige.schema import Input, Schema, Stream
from vestige.training import TrainingConfig, train

STEP = 2_048
"""Bytes of a step, which is a window."""
TAKEN = 16
"""Bytes of it that are taken for tokens."""
LIMIT = 1_500_000_000
BATCH = 256
TOKENS = Input("tokens", "tokens", vocabulary=("", "unknown", "a", "b"))
NARROW = Schema(
    source="plain", version=1, classes=("normal", "anomaly"), length=1, stride=1,
    streams=(Stream("page", "uint8"),), inputs=(TOKENS,),
)  # fmt: skip
WIDE = replace(NARROW, streams=(Stream("page", "uint8", shape=(STEP,)),))


@dataclass(frozen=True)
class FirstBytes:
    """The first bytes of a step as tokens."""

    inputs: tuple[Input, ...] = (TOKENS,)
    symbols: str = "nothing"

    def bind(self, _symbols: pl.DataFrame) -> FirstBytes:
        """There is nothing to look up."""
        return self

    def streams(self, _names: tuple[str, ...]) -> tuple[str, ...]:
        """See `BoundEncoder.streams`."""
        return ("page",)

    def encode(self, steps: Steps, _names: tuple[str, ...]) -> Batch:
        """See `BoundEncoder.encode`."""
        return {"tokens": steps["page"][:, 0, :TAKEN].astype(np.int64)}


def write(path: Path, windows: int) -> None:
    """A dataset of so many windows, whose stream is then made wide and sparse."""
    rng = np.random.default_rng(0)
    with DatasetWriter(path, NARROW) as writer:
        writer.begin(id="r0", host="h0")
        for start in range(0, windows, BLOCK):
            n = min(BLOCK, windows - start)
            label = (rng.random(n) < 0.1).astype(np.uint8)
            t_ns = np.arange(start, start + n, dtype=np.int64)
            writer.extend({"page": np.zeros(n, dtype=np.uint8)}, t_ns=t_ns, label=label)
        writer.close_recording("zeros")
        writer.table("nothing", pl.DataFrame({"text": ["nothing"]}))
    file = path / "streams" / "page.npy"
    file.unlink()
    array = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(windows, STEP))
    del array
    size = file.stat().st_size
    with file.open("rb") as opened:
        first = blake3(opened.read(BLOCK)).hexdigest()
    blocks = [first, *[blake3(bytes(BLOCK)).hexdigest()] * (size // BLOCK - 1)]
    if size % BLOCK:
        blocks.append(blake3(bytes(size % BLOCK)).hexdigest())
    manifest = json.loads((path / MANIFEST).read_text())
    manifest |= {"schema": WIDE.to_dict(), "digest": WIDE.digest}
    manifest["files"]["streams/page.npy"] = {"bytes": size, "blake3": blocks}
    (path / MANIFEST).write_text(json.dumps(manifest))


def peaks() -> str:
    """What was resident at most, and what is memory of the process itself now, in MB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    most, own = (int(status[name].split()[0]) * 1024 / 1e6 for name in ("VmHWM", "RssAnon"))
    return f"{most:,.0f} MB resident at the most, {own:,.0f} MB of them the process's own in the end"


def main(gigabytes: float, batches: int) -> None:
    """Train for an epoch, or some batches of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dataset"
        write(path, int(gigabytes * 1e9) // STEP)
        on_disk = (path / "streams" / "page.npy").stat()
        print(f"{on_disk.st_size / 1e9:.1f} GB of steps, {on_disk.st_blocks * 512 / 1e6:.0f} MB on the disk")
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
        windows = EncodedWindows.of(WindowSet.open(path), FirstBytes())
        validation = windows.over(windows.windows.select(slice(0, 1_000)))
        detector = GruDetector.build((TOKENS,), 2, hidden=8, embedding=4, dropout=0.0)
        shown = batches or -(-len(windows) // BATCH)
        config = TrainingConfig(
            epochs=1, batch_size=BATCH, epoch_windows=shown * BATCH, device="cpu", threads=1
        )
        begun, busy = time.perf_counter(), time.process_time()
        train(detector, windows, validation, config, Path(folder), progress=False)
        seconds, busy = time.perf_counter() - begun, time.process_time() - busy
        checked = windows.windows.files["streams/page.npy"].checked.mean()
        took = f"{seconds:.0f} s ({busy:.0f} s of processor time)"
        print(f"{shown:,} batches in {took}; blocks of the file that they touched: {checked:.0%}")
        print(peaks())


if __name__ == "__main__":
    given = [float(argument) for argument in sys.argv[1:]]
    main(*(given[:1] or [20.0]), int((given[1:] or [200])[0]))
