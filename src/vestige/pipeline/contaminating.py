"""Anomalies planted into what is learnt from, to see what becomes of a detector that took them for normal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.plants import Plant, Plants
from vestige.reading.digests import Streams
from vestige.reading.steps import NO_TIME
from vestige.reading.windows import WindowSet

IntArray = NDArray[np.int64]

USUAL = 20
"""Windows that a plant has, about: so many plants are made that there are enough of them."""


@dataclass(frozen=True)
class GrownSet(WindowSet):
    """Windows whose tables of symbols have rows that the dataset does not, `grown` by name."""

    grown: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def table(self, name: str) -> pl.DataFrame:
        """See `WindowSet.table`."""
        found = self.grown.get(name)
        if found is not None:
            return found
        return super().table(name)


def how_many(windows: int, share: float, kinds: int) -> int:
    """How many plants of each of so many `kinds` and strengths make up the `share` of all windows."""
    wanted = windows * share / (1 - share)
    return max(1, -(-int(wanted) // (USUAL * kinds)) + 1)


def contaminate(plants: Plants, share: float, symbols: str, *, seed: int = 0) -> tuple[WindowSet, float]:
    """The windows that `plants` were planted into, and so many of the plants' own, drawn by `seed`, that they
    are about the `share` of all; and the share that they are.

    The table of symbols is called `symbols`. Nothing is taken away; streams are copied into memory.
    """
    windows = plants.windows
    wanted = windows_of(len(windows), share)
    chosen: list[Plant] = []
    count = 0
    for number in np.random.default_rng(seed).permutation(len(plants)).tolist():
        plant = plants.plants[number]
        # One that would exceed the share by more than it falls short without it is left out.
        if not chosen or count + len(plant.judged) / 2 <= wanted:
            chosen.append(plant)
            count += len(plant.judged)
    grown = _grown(plants, chosen, {symbols: plants.table} if symbols else {})
    return grown, (len(grown) - len(windows)) / len(grown)


def windows_of(windows: int, share: float) -> int:
    """How many windows, added to `windows`, are the `share` of all."""
    return round(windows * share / (1 - share))


def _grown(plants: Plants, chosen: list[Plant], tables: dict[str, pl.DataFrame]) -> GrownSet:
    windows, schema = plants.windows, plants.windows.schema
    whole = {name: windows.streams[name] for name in windows.streams}
    n_steps = len(next(iter(whole.values())))
    begin = n_steps + np.cumsum([0, *(len(plant.step) for plant in chosen)])
    streams = {
        name: np.concatenate([values, *(plants.values(plant, name) for plant in chosen)])
        for name, values in whole.items()
    }
    judged = np.concatenate(
        [np.empty(0, dtype=np.int64), *(at + plant.judged for at, plant in zip(begin, chosen, strict=False))]
    ).astype(np.int64)
    t_ns = np.full(len(judged), NO_TIME, dtype=np.int64)
    if (windows.t_ns != NO_TIME).any() and "t_ns" in streams:
        t_ns = streams["t_ns"][judged].astype(np.int64)
    first = windows.recordings["first_step"].to_numpy()
    sizes = [len(plant.judged) for plant in chosen]
    of = [int(np.searchsorted(first, plant.step[-1], side="right")) - 1 for plant in chosen]
    kept: dict[str, Any] = {each.name: getattr(windows, each.name) for each in fields(WindowSet)}
    kept |= {
        "streams": Streams(streams),
        "recording": np.r_[windows.recording, np.repeat(of, sizes).astype(windows.recording.dtype)],
        "position": np.r_[windows.position, judged - schema.before],
        "label": np.zeros(len(windows) + len(judged), dtype=np.uint8),
        "t_ns": np.r_[windows.t_ns, t_ns],
    }
    return GrownSet(**kept, grown=tables)
