"""Values of a recording as rows of a table of unique symbols: what happened, in which module, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.sources.traces import numbering
from vestige.sources.traces.maps import OUTSIDE, SPECIAL
from vestige.sources.traces.regions import (
    ANONYMOUS,
    FIRST_FILE,
    KERNEL,
    KERNEL_START,
    MOST_MODULES,
    NOWHERE,
    UNMAPPED,
)
from vestige.sources.traces.tokens import MODULE_SHIFT, NOT_TAKEN, TAKEN

Values = NDArray[np.uint64]

KINDS = ("padding", "target", "taken", "not taken")
BRANCHES = {TAKEN: "taken", NOT_TAKEN: "not taken"}
MOST_SYMBOLS = 1 << 20
"""Symbols of a table; addresses without a module are told apart up to this many altogether, others fail."""
OWN_TOKENS = tuple(
    f"{name}{end}"
    for number, name in enumerate(OUTSIDE)
    for end in ("", *(f" {branch}" for branch in BRANCHES.values()))
    if end or number != NOWHERE
)
"""Tokens of what lies in no module: they are in every vocabulary."""

KERNEL_ADDRESSES = KERNEL_START | 0xFF << 48
"""The bits of a kernel's address above those that a value holds."""
_FEW = 1 << 10
"""Symbols that a table has room for at first."""
_SHIFT, _LOW = np.uint64(MODULE_SHIFT), np.uint64(TAKEN)


class Symbols:
    """Unique values, each with a row in the order in which they came; row 0 is padding. Memory follows the
    unique ones."""

    def __init__(self, most: int = MOST_SYMBOLS) -> None:
        self._most, self._n = most, 1
        self._mix = numbering.fresh_mix()
        self._known = np.zeros(min(_FEW, most), dtype=np.uint64)
        self._keys, self._rows = self._slots()

    def __len__(self) -> int:
        return self._n

    @property
    def values(self) -> Values:
        """The value of every row, `(rows,)`."""
        return self._known[: self._n]

    def rows(self, values: Values) -> NDArray[np.uint32]:
        """The row of each value; new ones get the next rows. Raises EvidenceError for too many of them."""
        if len(self) > self._most // 2:
            values = without_addresses(values)
        rows, at = np.empty(len(values), dtype=np.uint32), 0
        while True:
            at, self._n = numbering.number(
                values, rows, at, self._known, self._n, self._keys, self._rows, self._mix
            )
            if at == len(values):
                return rows
            self._grow()

    def _grow(self) -> None:
        if self._n == self._most:
            raise EvidenceError(
                f"more than {self._most} different targets: the map does not fit, or this is no program"
            )
        held = self.values
        self._known = np.zeros(min(2 * self._n, self._most), dtype=np.uint64)
        self._known[0] = held[0]
        self._keys, self._rows = self._slots()
        unused = np.empty(len(held), dtype=np.uint32)
        numbering.number(held, unused, 0, self._known, 1, self._keys, self._rows, self._mix)

    def _slots(self) -> tuple[Values, NDArray[np.uint32]]:
        """Twice as many as values at least."""
        size = 2 << (len(self._known) - 1).bit_length()
        return np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.uint32)


class TraceSymbols:
    """Values under one numbering of modules, as a table of symbols: see `reading.symbols.SymbolTable`."""

    def __init__(
        self, names: Sequence[str] = SPECIAL, most: int = MOST_SYMBOLS, most_modules: int = MOST_MODULES
    ) -> None:
        """`names`: of the modules, by number; `most` symbols and `most_modules` fit."""
        self.names = list(names)
        self._modules = {name: number for number, name in enumerate(self.names)}
        self._most, self._most_modules = most, most_modules
        self._symbols = Symbols(most)

    def __len__(self) -> int:
        return len(self._symbols)

    @property
    def values(self) -> Values:
        """The value of every row, `(rows,)`."""
        return self._symbols.values

    def rows(self, values: Values) -> NDArray[np.uint32]:
        """The row of each value of our own numbering of modules; see `Symbols.rows`."""
        return self._symbols.rows(values)

    def merge(self, other: TraceSymbols, start: int = 0) -> NDArray[np.uint32]:
        """See `SymbolTable.merge`. Raises EvidenceError for more modules than have a number."""
        if len(self._modules.keys() | other.names) > self._most_modules:
            raise EvidenceError(f"with it, maps name more than {self._most_modules} modules")
        for name in other.names:
            if name not in self._modules:
                self._modules[name] = len(self.names)
                self.names.append(name)
        modules = np.array([self._modules[name] for name in other.names], dtype=np.uint64)
        values = moved(other.values[start:], modules)
        if start == 0:
            values[0] = 0
        return self._symbols.rows(values)

    def pick(self, rows: NDArray[np.int64]) -> Self:
        """See `SymbolTable.pick`."""
        picked = type(self)(self.names, self._most)
        picked.rows(self.values[rows[1:]])
        return picked

    def frame(self, counts: NDArray[np.int64] | None = None) -> pl.DataFrame:  # noqa: ARG002
        """See `table`."""
        return table(self.values, self.names)

    def texts(self, rows: NDArray[Any]) -> list[str]:
        """See `SymbolTable.texts`."""
        unique, inverse = np.unique(np.append(rows, 0), return_inverse=True)
        texts = table(self.values[unique], self.names)["text"].to_list()
        return [texts[at] for at in inverse[:-1].tolist()]

    def to_json(self) -> Any:
        """See `SymbolTable.to_json`."""
        return {"names": self.names, "values": self.values.tolist()}

    def from_json(self, state: Any) -> Self:
        """See `SymbolTable.from_json`."""
        table = type(self)(state["names"], self._most)
        table.rows(np.array(state["values"][1:], dtype=np.uint64))
        return table


def without_addresses(values: Values) -> Values:
    """Targets outside all modules, whatever their address, as one value for each of the special modules."""
    module, offset = values >> _SHIFT, values & _LOW
    plain = (module < np.uint64(FIRST_FILE)) & (offset < np.uint64(NOT_TAKEN))
    return np.where(plain, module << _SHIFT, values)


def moved(values: Values, modules: NDArray[np.uint64]) -> Values:
    """The same with other numbers for the modules: `modules[old]` is the new one."""
    other: Values = modules[values >> _SHIFT] << _SHIFT | values & _LOW
    return other


def table(values: Values, names: Sequence[str]) -> pl.DataFrame:
    """What each value is, a row each: `text`, as people read it; `token`, as encoders do (whatever lies in no
    module has one); its `module` and `kind` (index into `KINDS`). Row 0 must be padding."""
    module, offset = (values >> _SHIFT).tolist(), (values & _LOW).tolist()
    texts, tokens, kinds = [""], [""], [0]
    for number, at in zip(module[1:], offset[1:], strict=True):
        name = names[number]
        if at in BRANCHES:
            texts.append(f"{name} {BRANCHES[at]}")
            tokens.append(texts[-1])
        elif number >= FIRST_FILE:
            texts.append(f"{name}+0x{at:x}")
            tokens.append(texts[-1])
        else:
            if not at:
                texts.append(name)
            elif number == ANONYMOUS:
                # An offset in its region; in no module at all it is an address instead.
                texts.append(f"{name} +0x{at:x}")
            elif number == KERNEL:
                # Values hold the low 48 bits of an address: above them are ones.
                texts.append(f"{name} 0x{KERNEL_ADDRESSES | at:x}")
            else:
                texts.append(f"{name} 0x{at:x}")
            tokens.append(name)
        kind = 1
        if at in BRANCHES:
            kind = 2 if at == TAKEN else 3
        kinds.append(kind)
    modules = [names[number] for number in module]
    return pl.DataFrame(
        {"text": texts, "token": tokens, "module": modules, "kind": kinds},
        schema={"text": pl.String(), "token": pl.String(), "module": pl.String(), "kind": pl.UInt8()},
    )


def shares(counts: NDArray[np.int64], values: Values) -> dict[str, float]:
    """Of `counts[row]` events: the share of targets, and of these the shares in no module and no file."""
    module, offset = values >> _SHIFT, values & _LOW
    target = (offset < np.uint64(NOT_TAKEN)) & (values != 0)
    targets = int(counts[target].sum())
    unmapped = int(counts[target & (module == np.uint64(UNMAPPED))].sum())
    anonymous = int(counts[target & (module == np.uint64(ANONYMOUS))].sum())
    return {
        "targets": targets / max(1, int(counts.sum())),
        "unmapped": unmapped / max(1, targets),
        "no_file": anonymous / max(1, targets),
    }
