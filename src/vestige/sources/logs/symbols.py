"""The table of unique masked messages, each of one type of log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vestige.reading.symbols import TextSymbols

if TYPE_CHECKING:
    import polars as pl


class LogSymbols(TextSymbols):
    """Unique masked messages; the kind of each is its type of log."""

    def frame(self, counts: NDArray[np.int64] | None = None) -> pl.DataFrame:
        """`text`, `type`, `group` and `count` of every row; nobody has grouped them yet."""
        import polars as pl

        none = [0] * len(self)
        # Of an array, Polars asks what imports all of masked arrays.
        count = none if counts is None else counts.tolist()
        columns: dict[str, Any] = {"text": self.names, "type": self.kinds, "group": none, "count": count}
        schema = {"text": pl.String(), "type": pl.String(), "group": pl.UInt32(), "count": pl.Int64()}
        return pl.DataFrame(columns, schema=schema)

    def grouped(self, counts: NDArray[np.int64]) -> pl.DataFrame:
        """The table of a dataset. `group` is the template of every row over the whole corpus: it serves
        splitting only, no model ever sees it.

        Types have no part in it: a line that `kern.log` and `messages` both hold must not be on two sides.
        """
        import polars as pl

        from vestige.sources.logs.templates import Matcher, fit_templates

        unique = dict.fromkeys(self.names[1:], 0)
        for text, count in zip(self.names[1:], counts[1:].tolist(), strict=True):
            unique[text] += count
        templates = fit_templates(list(unique), list(unique.values()))
        matched = Matcher(templates).match(list(unique))
        own = len(templates) + np.cumsum(matched < 0)
        group = dict(zip(unique, np.where(matched < 0, own, matched + 1).tolist(), strict=True))
        groups = pl.Series("group", [0, *(group[text] for text in self.names[1:])], dtype=pl.UInt32())
        return self.frame(counts).with_columns(groups)
