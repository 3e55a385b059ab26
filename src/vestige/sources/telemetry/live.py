"""Windows made of one episode at a time, without a dataset: by the code of `prepare` and with its numbers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.engine import HERE
from vestige.errors import EvidenceError, VestigeError
from vestige.schema import Schema
from vestige.sources.base import LiveBatch
from vestige.sources.telemetry.encoder import GRID
from vestige.sources.telemetry.extract import Extracted, bounded, episodes, extract
from vestige.sources.telemetry.kernels import Grid
from vestige.sources.telemetry.manifest import FILE_NAMES, NAME
from vestige.sources.telemetry.places import places
from vestige.sources.telemetry.probe import made_up

log = logging.getLogger(__name__)
MOST = 4096
"""Windows of a batch: an episode may last a week."""
NO_SYMBOLS = pl.DataFrame({"id": []}, schema={"id": pl.String})


def windows_of(grid: Grid, length: int) -> NDArray[np.float32]:
    """Every window of stride 1 on a grid `(T, C)`: views `(T - length + 1, length, C)`."""
    if len(grid) < length:
        return np.empty((0, length, grid.shape[1]), dtype=np.float32)
    views = np.lib.stride_tricks.sliding_window_view(grid, length, axis=0)
    return np.moveaxis(views, -1, 1)


def probe(schema: Schema) -> LiveBatch:
    """Three windows of the made-up episode: the first, one in the middle, the last."""
    grid = made_up(schema.length)
    steps = windows_of(grid, schema.length)
    rows = np.array([0, len(steps) // 2, len(steps) - 1])
    ends = rows + schema.length
    return LiveBatch({GRID: steps[rows]}, NO_SYMBOLS, places(["probe"] * len(rows), ends, grid[ends - 1]))


def live(evidence: Iterable[Path], schema: Schema) -> Iterator[LiveBatch]:
    """A window for every second of every episode, in the order of their paths.

    `evidence`: stores, or folders of single episodes. Raises EvidenceError where there is no episode, or one
    by itself that is still being recorded; one that cannot be read is left out of a store with a warning, and
    an error by itself. Those of a store are read in a process of their own, which an episode may kill.
    """
    taken = 0
    for path in evidence:
        _refuse_growing(path)
        found = episodes(path).paths
        alone = len(found) == 1
        outcomes = HERE.map(partial(extract if alone else bounded, path), found, isolate=not alone)
        for outcome in outcomes:
            folder = outcome.item
            if (error := outcome.error) is not None and not alone:
                why = error.what if isinstance(error, VestigeError) else error
                log.warning("%s was left out: %s", folder, why)
                continue
            one = outcome.unwrap()
            for fault in one.faults:
                log.warning("%s: %s", folder or path.name, fault)
            taken += one.bytes
            yield from _batches(one, folder or str(path), schema.length, taken)


def _refuse_growing(path: Path) -> None:
    """Raise EvidenceError for the folder of an episode that has no manifest yet."""
    if any((path / name).exists() for name in FILE_NAMES) and not (path / NAME).exists():
        raise EvidenceError(
            f"an episode that is still being recorded or shipped: it has no {NAME} yet",
            where=path,
            remedy="score it when that is there: clocks and the beginning of its seconds are known only then",
        )


def _batches(one: Extracted, name: str, length: int, taken: int) -> Iterator[LiveBatch]:
    steps = windows_of(one.grid, length)
    for start in range(0, len(steps), MOST):
        part = steps[start : start + MOST]
        ends = np.arange(start, start + len(part)) + length
        where = places([name] * len(part), ends, one.grid[ends - 1])
        yield LiveBatch({GRID: part}, NO_SYMBOLS, where, taken=taken, t_ns=one.t_ns[ends - 1])
