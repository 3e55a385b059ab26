"""A dataset of as many windows as one likes, of which nothing but the index is large.

    .venv/bin/python benchmarks/index_only.py 400000000 DIRECTORY

40 recordings of 20 hosts, in classes of nine to one; a window a step, of one step of one byte. What goes over
all windows of a dataset, and what it takes, shows on it without evidence of that size.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from vestige.reading.dataset import DatasetWriter
from vestige.schema import Input, Schema, Stream

RECORDINGS, HOSTS = 40, 20
PIECE = 1 << 20
SCHEMA = Schema(
    source="events",
    version=1,
    classes=("normal", "class-1"),
    length=1,
    stride=1,
    streams=(Stream("event", "uint8"),),
    inputs=(Input("tokens", "tokens"),),
)


def write(path: Path, windows: int) -> None:
    """A dataset of at least `windows` windows at `path`."""
    rng = np.random.default_rng(0)
    each = -(-windows // RECORDINGS)
    with DatasetWriter(path, SCHEMA) as writer:
        for number in range(RECORDINGS):
            writer.begin(id=f"r{number}", host=f"h{number % HOSTS}")
            for start in range(0, each, PIECE):
                at = np.arange(start, min(start + PIECE, each))
                label = (rng.random(len(at)) < 0.1).astype(np.uint8)
                t_ns = at * 1_000_000 + number
                writer.extend({"event": np.zeros(len(at), dtype=np.uint8)}, t_ns=t_ns, label=label)
            writer.close_recording(f"{number:064x}")


if __name__ == "__main__":
    write(Path(sys.argv[2]), int(sys.argv[1]))
