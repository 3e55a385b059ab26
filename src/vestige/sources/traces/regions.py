"""A process's memory map as arrays: which module, if any, an address lies in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

NOWHERE = 0
"""Module of what has no address: branches before the first address of a trace."""
UNMAPPED = 1
"""Module of every address outside all regions."""
ANONYMOUS = 2
"""Module of regions without a file."""
KERNEL = 3
"""Module of the kernel's half of all addresses, where a map says no more of it."""
FIRST_FILE = 4
"""The first number that a map may give to a file."""
MOST_MODULES = 1 << 16
KERNEL_START = 0xFF << 56
"""Where the kernel's half begins: with addresses of 57 bits here (LA57), with 48 bits further up."""

FIRST, LAST, MODULE, ORIGIN = range(4)
"""Columns of `Regions.partition`."""


@dataclass(frozen=True)
class Regions:
    """`n` executable regions in ascending order, none overlapping; region `i` is `[starts[i], ends[i])`.

    `starts`, `ends` and `bases` are `(n,)` uint64, `modules` `(n,)` uint16. An address in region `i` has the
    offset `address - bases[i]`: the address at which the module begins, so that regions of one file keep
    offsets apart. Raises ValueError where the arrays do not fit together.
    """

    starts: NDArray[np.uint64]
    ends: NDArray[np.uint64]
    modules: NDArray[np.uint16]
    bases: NDArray[np.uint64]

    def __post_init__(self) -> None:
        for name, dtype in (("starts", "u8"), ("ends", "u8"), ("modules", "u2"), ("bases", "u8")):
            array = getattr(self, name)
            if array.dtype != np.dtype(dtype) or array.shape != self.starts.shape or array.ndim != 1:
                raise ValueError(f"{name}: {array.dtype} {array.shape}")
        ordered = (self.starts < self.ends).all() and (self.ends[:-1] <= self.starts[1:]).all()
        if not ordered or (self.bases > self.starts).any() or (self.modules < ANONYMOUS).any():
            raise ValueError(
                "regions overlap, are out of order, begin before their module, or have no module"
            )

    @cached_property
    def partition(self) -> NDArray[np.uint64]:
        """All addresses in ascending rows `(k, 4)`, regions and the gaps between them: the first address, the
        last, the module, and the address that offsets count from (0 in gaps). What is mapped by nothing is
        the kernel in its half of the addresses, and unmapped elsewhere."""
        rows: list[tuple[int, int, int, int]] = []
        free = 0
        columns = (self.starts, self.ends, self.modules, self.bases)
        for start, end, module, base in zip(*(column.tolist() for column in columns), strict=True):
            rows += _gap(free, start)
            rows.append((start, end - 1, module, base))
            free = end
        rows += _gap(free, 1 << 64)  # an end is at most the last address
        return np.array(rows, np.uint64)

    @classmethod
    @cache
    def none(cls) -> Regions:
        """No region at all: every address is unmapped."""
        empty = np.empty(0, np.uint64)
        return cls(empty, empty, np.empty(0, np.uint16), empty)


def _gap(start: int, end: int) -> list[tuple[int, int, int, int]]:
    """Rows of a partition for the addresses from `start` to before `end`, which nothing is mapped to."""
    parts = ((start, min(end, KERNEL_START), UNMAPPED), (max(start, KERNEL_START), end, KERNEL))
    return [(first, behind - 1, module, 0) for first, behind, module in parts if first < behind]
