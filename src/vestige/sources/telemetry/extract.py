"""One episode's folder as a grid: what `prepare` does to each, and what scoring does to the one at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.sources.telemetry import guard, stamps
from vestige.sources.telemetry.episode import Episode
from vestige.sources.telemetry.faults import FAULTS, Fault, FaultError, Verdict, verdict
from vestige.sources.telemetry.fields import COLLECTORS, SAMPLED, CollectorName
from vestige.sources.telemetry.flow_texts import USED
from vestige.sources.telemetry.grid import Rows, ends, grid, on_grid
from vestige.sources.telemetry.kernels import Grid
from vestige.sources.telemetry.manifest import NAME, Manifest
from vestige.sources.telemetry.store import Listing, find
from vestige.sources.telemetry.tables import Table

Codes = NDArray[np.uint8]
COLUMNS = {collector: None if collector in SAMPLED else USED for collector in COLLECTORS}
"""The raw columns that the grid is made of; None: all of a collector."""


@dataclass(frozen=True)
class Extracted:
    """An episode: its `grid (T, 46)`, a row a step, what is wrong with it, and what it says of itself.

    `faults` are those that leave it usable: a collector that is lost is named there, and missing in the grid.
    `label (T,)`: class of every step by its code, None where labels were not asked for.
    """

    folder: str
    manifest: Manifest
    digest: str
    grid: Grid
    faults: tuple[Fault, ...]
    label: Codes | None = None
    seconds: int = 1
    """How long a step lasts."""
    forgotten: Mapping[str, int] = field(default_factory=dict)
    """By channel, how many readings of a counter were taken for none."""

    @property
    def verdict(self) -> Verdict:
        """`accepted` or `degraded`, by what extraction met with."""
        return verdict(self.faults)

    @property
    def bytes(self) -> int:
        """Size of its files, as the manifest has it."""
        return sum(file.bytes for file in self.manifest.files)

    @property
    def t_ns(self) -> NDArray[np.int64]:
        """When each step was over, Unix ns `(T,)`."""
        return ends(self.manifest.t_start_ns, len(self.grid), self.seconds)


def extract(
    root: Path, folder: str, classes: tuple[str, ...] | None = None, by: str = "phase", seconds: int = 1
) -> Extracted:
    """The episode in `folder` of the store `root` (or `root` itself, for an empty `folder`).

    `seconds`: how long a step of the grid lasts.

    `classes`: what the column `by` of the labels may hold, the code of each being its place; None: labels are
    not read. Raises FaultError, a VestigeError, for an episode that cannot be used.
    """
    with Episode(root, folder) as episode:
        manifest, faults = episode.manifest, []
        _refuse_rejected(episode.strangers(), episode.path)
        collectors: dict[CollectorName, Rows] = {}
        tables = episode.tables(COLUMNS)
        for collector in COLLECTORS:
            rows, defects = _rows(tables.get(collector), collector, episode, seconds)
            faults += defects
            if rows is not None:
                collectors[collector] = rows
        if "proc" not in collectors and "guest" not in collectors:
            raise FaultError("neither proc nor guest has a row", where=episode.path, code="no_rows")
        if not manifest.sealed:
            faults.append(Fault("unsealed", "episode"))
        forgotten: dict[str, int] = {}
        found = _grid(collectors, episode, seconds, forgotten)
        label = None
        if classes is not None:
            label = _codes(episode.labels(), classes, by, manifest, len(found), seconds)
        return Extracted(folder, manifest, episode.digest, found, tuple(faults), label, seconds, forgotten)


def bounded(
    root: Path, folder: str, classes: tuple[str, ...] | None = None, by: str = "phase", seconds: int = 1
) -> Extracted:
    """`extract`, within the limits of one episode: for processes of their own, so that no other is lost."""
    with guard.limits():
        return extract(root, folder, classes, by, seconds)


def episodes(root: Path) -> Listing:
    """The episodes of a store, or the one that `root` itself is. Raises EvidenceError where there is none."""
    if (root / NAME).is_file():
        return Listing([""])
    return find(root)


def _rows(
    table: Table | None, collector: CollectorName, episode: Episode, seconds: int
) -> tuple[Rows | None, list[Fault]]:
    """A source's rows, None where they are lost. Raises FaultError where that is the end of the episode."""
    if table is None or (not table[0].height and collector in SAMPLED):
        return None, [Fault("missing", collector)]
    rows, faults = table
    faults = faults + stamps.faults(rows, collector, episode.manifest)
    _refuse_rejected(faults, episode.path)
    try:
        t_ns = stamps.unix_ns(rows, collector, episode.manifest, str(episode.path))
    except FaultError as error:
        return None, [error.fault]
    _refuse_rejected(stamps.too_slow(t_ns, rows, collector, seconds), episode.path)
    return Rows(t_ns, rows), faults


def _refuse_rejected(faults: list[Fault], where: Path) -> None:
    for fault in faults:
        if FAULTS[fault.code][0] == "rejected":
            what = f"{FAULTS[fault.code][1]}: {fault.detail}"
            raise FaultError(what, where=where, code=fault.code, subject=fault.subject)


def _grid(
    collectors: dict[CollectorName, Rows], episode: Episode, seconds: int, forgotten: dict[str, int]
) -> Grid:
    start_ns, end_ns = episode.manifest.t_start_ns, episode.manifest.t_end_ns
    try:
        return grid(collectors, start_ns, end_ns, seconds, forgotten)
    except EvidenceError as error:
        raise FaultError(error.what, where=episode.path, remedy=error.remedy, code="clock_base") from error


def _codes(
    labels: pl.DataFrame, classes: tuple[str, ...], by: str, manifest: Manifest, n: int, seconds: int
) -> Codes:
    code = {name: number for number, name in enumerate(classes)}
    names = labels[by].to_list()
    unknown = set(names) - code.keys()
    if unknown:
        what = f"{by} {min(unknown)!r} is none of {', '.join(classes)}"
        raise FaultError(what, where=manifest.episode_id, code="labels", subject="labels")
    codes = np.array([code[name] for name in names], dtype=np.uint8)
    held: Codes = on_grid(labels["t_wall_ns"].to_numpy(), codes, manifest.t_start_ns, n, seconds)
    return held
