"""How many windows of each class and profile there are in each unit that is assigned as a whole."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vestige.reading.windows import WindowSet


@dataclass(frozen=True)
class Table:
    """How many windows of each stratum a unit has, `(units, strata)`: first one stratum for each class, then
    one for each profile."""

    counts: NDArray[np.int64]
    classes: tuple[str, ...]
    profiles: tuple[str, ...] = ()

    @functools.cached_property
    def required(self) -> NDArray[np.int64]:
        """The classes that every side must have."""
        return required(self.counts[:, : len(self.classes)].sum(axis=0))

    @functools.cached_property
    def units(self) -> NDArray[np.int64]:
        """How many units have each stratum, `(strata,)`."""
        found: NDArray[np.int64] = (self.counts > 0).sum(axis=0)
        return found

    @classmethod
    def of(cls, windows: WindowSet, unit: NDArray[np.integer], n_units: int) -> Self:
        """Count the windows whose unit is given in `unit (N,)`."""
        profiles, profile = np.unique(windows.recordings["profile"].to_numpy(), return_inverse=True)
        names = windows.schema.classes
        by_class = _count(unit, windows.label, n_units, len(names))
        by_profile = _count(unit, profile[windows.recording], n_units, len(profiles))
        return cls(np.hstack([by_class, by_profile]), names, tuple(profiles.tolist()))

    @classmethod
    def of_recordings(cls, windows: WindowSet, unit: NDArray[np.integer], n_units: int) -> Self:
        """Count the windows of units made of whole recordings, that of each given in `unit (recordings,)`."""
        profiles, profile = np.unique(windows.recordings["profile"].to_numpy(), return_inverse=True)
        names = windows.schema.classes
        counts = np.zeros((n_units, len(names) + len(profiles)), dtype=np.int64)
        np.add.at(counts[:, : len(names)], unit, windows.counts)
        np.add.at(counts, (unit, len(names) + profile), windows.counts.sum(axis=1))
        return cls(counts, names, tuple(profiles.tolist()))


def _count(rows: NDArray[np.integer], columns: NDArray[np.integer], n: int, m: int) -> NDArray[np.int64]:
    flat = np.bincount(rows.astype(np.int64) * m + columns.astype(np.int64), minlength=n * m)
    return flat.reshape(n, m)


def required(count: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes that every side must have, of windows `count (K,)`: those that occur at all, if two do."""
    there: NDArray[np.int64] = np.flatnonzero(count)
    return there if len(there) > 1 else np.arange(len(count))
