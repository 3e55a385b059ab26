"""Zeek's own tables (ASCII writer, tab-separated): lines of comments say what the columns are, and may come
again.

    #separator \x09
    #set_separator	,
    #empty_field	(empty)
    #unset_field	-
    #path	conn
    #fields	ts	uid	id.orig_h	...
    #types	time	string	addr	...

No cell is quoted. The name of the log, `#path`, is a field called `_path`, as Zeek's JSON streams call it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from vestige.sources.events import fields
from vestige.sources.events.json_lines import BadRecordError
from vestige.sources.events.layout import Layout
from vestige.sources.events.mapping import FIELDS, Mapping

PATH = "_path"
MOST_COLUMNS = 4096
_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})", re.ASCII)


def is_zeek(sample: bytes) -> bool:
    """Whether a file begins with the comments of a Zeek log."""
    start = sample.removeprefix(codecs.BOM_UTF8).lstrip()
    return start.startswith((b"#separator ", b"#fields\t", b"#set_separator"))


def after_comment(layout: Layout, line: str, mapping: Mapping) -> Layout:
    """What `line`, which begins with a hash, makes of a layout."""
    line = line.rstrip("\r\n").removeprefix("\ufeff")
    if line.startswith("#separator"):
        separator = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), line[len("#separator") :].strip(" "))
        return replace(layout, delimiter=separator[:8] or "\t")
    name, *cells = line.split(layout.delimiter)
    if name == "#unset_field" and cells:
        return replace(layout, unset=(cells[0][:64], *layout.unset[1:]))
    if name == "#empty_field" and cells:
        return replace(layout, unset=(*layout.unset[:1], cells[0][:64]))
    if name == "#path" and cells:
        return _with_columns(replace(layout, split=cells[0][:255]), mapping)
    if name == "#fields" and cells:
        header = layout.delimiter.join(cells[:MOST_COLUMNS])
        return _with_columns(replace(layout, header=header, columns=len(cells)), mapping)
    return layout


def names(layout: Layout) -> list[str]:
    """The columns of a log, with that of its name behind them."""
    return [*layout.header.split(layout.delimiter), PATH]


def _with_columns(layout: Layout, mapping: Mapping) -> Layout:
    header = names(layout)
    places = tuple(fields.columns(getattr(mapping, name), header) for name in FIELDS)
    return replace(layout, places=places)


class ZeekRows:
    """Takes a log's rows apart; `layout` is what its comments say so far."""

    def __init__(self, layout: Layout, mapping: Mapping) -> None:
        if not layout.delimiter:
            # No comment was read: Zeek's defaults.
            layout = replace(layout, delimiter="\t", unset=("-", "(empty)"))
        self.layout = layout
        self._mapping = mapping
        self._pick: Callable[[Sequence[str]], tuple[str, ...]] | None = None

    def cells(self, text: str) -> list[str]:
        """The cells of a row with the log's name behind them, empty where they are unset; none of a comment.

        Raises BadRecordError for a row with more or fewer cells than the header.
        """
        if text.startswith(("#", "\ufeff#")):
            self.layout = after_comment(self.layout, text, self._mapping)
            self._pick = None
            return []
        row = text.rstrip("\r\n")
        if not row:
            return []
        cells = row.split(self.layout.delimiter)
        if len(cells) != self.layout.columns:
            raise BadRecordError(f"{len(cells)} cells, the header (#fields) has {self.layout.columns}")
        unset = self.layout.unset
        return [*("" if cell in unset else cell for cell in cells), self.layout.split]

    def take(self, text: str) -> tuple[str, ...]:
        """Time, machine, event and label of a row; empty ones of a comment."""
        cells = self.cells(text)
        if not cells:
            return ("", "", "", "")
        return self.pick(cells)

    def pick(self, cells: Sequence[str]) -> tuple[str, ...]:
        """Time, machine, event and label among the cells of a row."""
        if self._pick is None:
            self._pick = fields.of_row(self.layout.places)
        return self._pick(cells)

    @property
    def names(self) -> list[str]:
        """What the cells are called."""
        return names(self.layout)
