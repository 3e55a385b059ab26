"""Tables of unique symbols (messages, event names, addresses) that streams hold rows of; row 0 is padding.

Workers read with these tables, and Polars starts threads when it is imported: so it is imported where a
frame is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl


class SymbolTable(Protocol):
    """Unique symbols in the order in which they first came."""

    def __len__(self) -> int:
        """Rows, that of padding included."""

    def merge(self, other: Any, start: int = 0) -> NDArray[np.uint32]:
        """The row here of each row of another such table from `start` on, `(len(other) - start,)`; new
        symbols get the next rows. Raises EvidenceError, before anything is kept, for more of them than
        fit."""

    def pick(self, rows: NDArray[np.int64]) -> Self:
        """A table of the symbols in these rows, in their order; the first must be that of padding, 0."""

    def frame(self, counts: NDArray[np.int64] | None = None) -> pl.DataFrame:
        """The table as encoders read it; `counts (len(self),)`: how often each symbol came."""

    def texts(self, rows: NDArray[Any]) -> list[str]:
        """What the symbols in these rows are called, for a person to read."""

    def to_json(self) -> Any:
        """The table as JSON values."""

    def from_json(self, state: Any) -> Self:
        """The table that `to_json` wrote."""


class RowMap:
    """Rows of one table by those of others, of which the last one may still grow: each of its symbols is
    merged once."""

    def __init__(self, table: SymbolTable) -> None:
        self.table = table
        self._of: SymbolTable | None = None
        self._rows = np.zeros(0, dtype=np.uint32)
        self._same = True

    def over(self, symbols: SymbolTable, column: NDArray[Any]) -> NDArray[Any]:
        """A column of rows of `symbols` as rows of our table; itself, where both tables begin alike."""
        rows = self.rows(symbols)
        if not self._same:
            column = rows[column]
        return column.astype(np.uint32, copy=False)

    def rows(self, symbols: SymbolTable) -> NDArray[np.uint32]:
        """The row in our table of each row of `symbols`, `(len(symbols),)`."""
        if symbols is not self._of:
            self._of, self._rows, self._same = symbols, np.zeros(0, dtype=np.uint32), True
        known = len(self._rows)
        if known < len(symbols):
            self._rows = np.concatenate([self._rows, self.table.merge(symbols, known)])
            self._same = self._same and np.array_equal(self._rows[known:], np.arange(known, len(symbols)))
        return self._rows


class TextSymbols:
    """Symbols that are texts, each of a kind (of one type of log; "" where there are no kinds)."""

    def __init__(self, texts: Sequence[str] = (), kind: str = "") -> None:
        """`texts`: the first symbols after padding, different ones, all of the kind `kind`."""
        self.names = ["", *texts]
        self.kinds = [""] + [kind] * len(texts)
        self._rows: dict[str, dict[str, int]] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def merge(self, other: TextSymbols, start: int = 0) -> NDArray[np.uint32]:
        """See `SymbolTable.merge`."""
        by_kind = self._index()
        found = np.zeros(len(other) - start, dtype=np.uint32)
        kind, rows = "", by_kind.setdefault("", {})
        for at in range(max(1, start), len(other.names)):
            if other.kinds[at] != kind:
                kind = other.kinds[at]
                rows = by_kind.setdefault(kind, {})
            name = other.names[at]
            row = rows.get(name)
            if row is None:
                row = rows[name] = len(self.names)
                self.names.append(name)
                self.kinds.append(kind)
            found[at - start] = row
        return found

    def pick(self, rows: NDArray[np.int64]) -> Self:
        """See `SymbolTable.pick`."""
        picked = type(self)()
        picked.names = [self.names[row] for row in rows.tolist()]
        picked.kinds = [self.kinds[row] for row in rows.tolist()]
        return picked

    def frame(self, counts: NDArray[np.int64] | None = None) -> pl.DataFrame:
        """`text` and, where they are given, `count`."""
        import polars as pl

        columns: dict[str, Any] = {"text": self.names}
        if counts is not None:
            columns["count"] = counts
        schema = {"text": pl.String(), "count": pl.Int64()}
        return pl.DataFrame(columns, schema={name: schema[name] for name in columns})

    def texts(self, rows: NDArray[Any]) -> list[str]:
        """See `SymbolTable.texts`."""
        return [self.names[row] for row in rows.tolist()]

    def to_json(self) -> Any:
        """See `SymbolTable.to_json`."""
        return {"texts": self.names, "kinds": self.kinds}

    def from_json(self, state: Any) -> Self:
        """See `SymbolTable.from_json`."""
        table = type(self)()
        table.names, table.kinds = list(state["texts"]), list(state["kinds"])
        return table

    def _index(self) -> dict[str, dict[str, int]]:
        """Rows by kind and text, built when they are first asked for: most tables are only read."""
        if self._rows is None:
            self._rows = {}
            for row in range(1, len(self.names)):
                self._rows.setdefault(self.kinds[row], {})[self.names[row]] = row
        return self._rows


class NoSymbols:
    """The table of a source whose streams hold plain numbers."""

    def __len__(self) -> int:
        return 1

    def merge(self, other: NoSymbols, start: int = 0) -> NDArray[np.uint32]:
        """See `SymbolTable.merge`."""
        return np.zeros(len(other) - start, dtype=np.uint32)

    def pick(self, rows: NDArray[np.int64]) -> Self:  # noqa: ARG002
        """See `SymbolTable.pick`."""
        return self

    def frame(self, counts: NDArray[np.int64] | None = None) -> pl.DataFrame:  # noqa: ARG002
        """No row."""
        import polars as pl

        return pl.DataFrame({"id": []}, schema={"id": pl.String})

    def texts(self, rows: NDArray[Any]) -> list[str]:
        """Nothing of each."""
        return [""] * len(rows)

    def to_json(self) -> Any:
        """See `SymbolTable.to_json`."""
        return None

    def from_json(self, state: Any) -> Self:  # noqa: ARG002
        """See `SymbolTable.from_json`."""
        return self
