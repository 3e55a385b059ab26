"""The table of unique masked messages of a dataset, as it grows."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.sources.logs.parse import Messages
from vestige.sources.logs.templates import Matcher, fit_templates

COLUMNS: dict[str, pl.DataType] = {
    "text": pl.String(),
    "type": pl.String(),
    "group": pl.UInt32(),
    "count": pl.Int64(),
}


class Symbols:
    """Rows of unique masked messages, each of one type of log; row 0, the empty text, is padding."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, int]] = {}
        self.texts: list[str] = [""]
        self.types: list[str] = [""]
        self.counts: list[int] = [0]

    def __len__(self) -> int:
        return len(self.texts) - 1

    def merge(self, messages: Messages, kind: str) -> NDArray[np.uint32]:
        """The table rows of a block's messages, all of the type `kind`."""
        here = np.empty(len(messages.texts), dtype=np.uint32)
        often = np.bincount(messages.text, minlength=len(here)).tolist()
        rows = self._rows.setdefault(kind, {})
        for at, text in enumerate(messages.texts):
            row = rows.setdefault(text, len(self.texts))
            if row == len(self.texts):
                self.texts.append(text)
                self.types.append(kind)
                self.counts.append(0)
            self.counts[row] += often[at]
            here[at] = row
        return here[messages.text]

    def table(self) -> pl.DataFrame:
        """`text`, `type`, `group` and `count` of every row."""
        columns = {"text": self.texts, "type": self.types, "group": self._groups(), "count": self.counts}
        return pl.DataFrame(columns, schema=COLUMNS)

    def _groups(self) -> NDArray[np.int64]:
        """Template of every row over the whole corpus: for splitting only, no model ever sees it.

        Types have no part in it: a line that `kern.log` and `messages` both hold must not be on two sides.
        """
        unique = dict.fromkeys(self.texts[1:], 0)
        for text, count in zip(self.texts[1:], self.counts[1:], strict=True):
            unique[text] += count
        templates = fit_templates(list(unique), list(unique.values()))
        matched = Matcher(templates).match(list(unique))
        own = len(templates) + np.cumsum(matched < 0)
        group = dict(zip(unique, np.where(matched < 0, own, matched + 1).tolist(), strict=True))
        return np.array([0, *(group[text] for text in self.texts[1:])])


def live_table(texts: list[str], kind: str, count: NDArray[np.int64]) -> pl.DataFrame:
    """The same columns for messages of one type whose templates nobody groups: row 0 is padding."""
    types = ["", *[kind] * (len(texts) - 1)]
    return pl.DataFrame(
        {"text": texts, "type": types, "group": np.zeros(len(texts)), "count": count}, schema=COLUMNS
    )
