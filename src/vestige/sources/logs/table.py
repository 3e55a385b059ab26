"""Log files that came as one CSV: a row a line, in the column `raw`.

A column `file`, where there is one, says which log file the line is of; the rows of a file stand together.
Each such file is read as if it lay in a directory called like the CSV. A column `label` may say which lines
are anomalies (`--label table:NORMAL`). Lines and offsets count within those files, not within the CSV.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.evidence.files import PACKED, EvidenceFile
from vestige.sources.feed import EvidenceFeed
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.feed import Feed
from vestige.sources.logs.reader import BLOCK_BYTES

LINE, FILE, LABEL = "raw", "file", "label"
ENDINGS = (".csv", *(f".csv{ending}" for ending in PACKED))
MAX_ROW = 1 << 20
"""Characters of a row's line; a quotation mark that is never closed shall not swallow the file."""
PIECE_ROWS = 512
MAX_NAME = 255


def feeds(file: EvidenceFile, rules: RuleSet, *, size: int = BLOCK_BYTES) -> Iterator[Feed]:
    """What is to be opened and read of a file: itself, or the log files that it is a table of."""
    if not file.id.endswith(ENDINGS):
        yield Feed(file, rules, size=size)
        return
    table = Table(file, rules.encoding)
    try:
        table.open()
    except NoTableError:
        yield Feed(file, rules, size=size)
        return
    yield from table.feeds(rules, size)


class NoTableError(EvidenceError):
    """A file called `.csv` that has no column of lines: it is taken as text."""


class TableError(EvidenceError):
    """A table that is damaged: what it holds is not to be read by halves."""


class Table(EvidenceFeed):
    """A CSV being read, log file by log file."""

    def __init__(self, file: EvidenceFile, encoding: str) -> None:
        super().__init__(file)
        self._encoding = encoding
        self._row = 1

    def _begin(self, sample: bytes) -> None:
        first = sample.partition(b"\n")[0].decode(self._encoding, "replace").strip("\ufeff\r")
        self.columns = next(csv.reader([first]), [])
        if LINE not in self.columns:
            raise NoTableError(f"no column {LINE!r}", where=self.file.where)

    def feeds(self, rules: RuleSet, size: int) -> Iterator[TableFeed]:
        """One feed after the other; each must be read, or left, before the next one is asked for."""
        at = {name: index for index, name in enumerate(self.columns)}
        seen: set[str] = set()
        with self._stack:
            own = self.file.id.removesuffix(next(one for one in ENDINGS if self.file.id.endswith(one)))
            for name, rows in groupby(self._rows(), lambda row: row[at[FILE]] if FILE in at else ""):
                if name in seen:
                    what = f"the rows of the file {name[:80]!r} do not stand together"
                    raise self._error(what, "sort the table by file")
                seen.add(name)
                picked = ((row[at[LINE]], row[at[LABEL]] if LABEL in at else None) for row in rows)
                lines = self.file
                if FILE in at:
                    safe = _safe(name)
                    lines = EvidenceFile(self.file.path / safe, f"{own}/{safe}", None, in_directory=True)
                yield TableFeed(lines, rules, self, picked, size=size)

    def _rows(self) -> Iterator[list[str]]:
        """The rows below the first. Raises TableError for one that does not fit it; where the file is cut off
        there, they end."""
        reader = csv.reader(self._lines(), strict=True)
        try:
            for number, row in enumerate(reader):
                if row and len(row) != len(self.columns):
                    if self.defects:
                        return
                    raise self._error(f"{len(row)} columns where {len(self.columns)} belong")
                if row and number:
                    yield row
        except csv.Error as error:
            if self.defects:
                return
            raise self._error(f"no row of a CSV: {error}") from error

    def _lines(self) -> Iterator[str]:
        """Lines of text with their ends, every byte kept (surrogates stand for what is not text)."""
        left = b""
        for piece in self._pieces:
            *whole, left = (left + piece).split(b"\n")
            for line in whole:
                self._row += 1
                yield self._text(line + b"\n")
            if len(left) > MAX_ROW:
                raise self._error(f"a row of more than {MAX_ROW} bytes")
        if left:
            yield self._text(left)

    def _text(self, line: bytes) -> str:
        return line.decode(self._encoding, "surrogateescape")

    def _error(self, what: str, remedy: str = "") -> TableError:
        return TableError(what, where=self.file.where, row=max(1, self._row - 1), remedy=remedy)


class TableFeed(Feed):
    """The lines of one log file of a table; `labels` has the label column's value of each line so far."""

    def __init__(
        self,
        file: EvidenceFile,
        rules: RuleSet,
        table: Table,
        rows: Iterable[tuple[str, str | None]],
        *,
        size: int,
    ) -> None:
        super().__init__(file, rules, size=size)
        self._table, self._rows = table, iter(rows)
        self._normal = frozenset(rules.label.values)
        self._labels = array("B")
        self._labelled = LABEL in table.columns

    @property
    def taken(self) -> int:
        """Bytes of the table itself read so far."""
        return self._table.taken

    @property
    def defects(self) -> list[str]:
        """What was wrong with the table's packing."""
        return self._table.defects

    def open(self) -> None:
        """Read the beginning. Raises EvidenceError when it fits no format."""
        self._pieces = self._sampled(self._content())

    def labels(self, line: NDArray[np.int64]) -> NDArray[np.uint8]:
        """1 for each 1-based line that the table calls no normal one. Raises EvidenceError without labels."""
        if not self._labelled:
            return super().labels(line)
        return np.frombuffer(self._labels, np.uint8)[line - 1]

    def _content(self) -> Iterator[bytes]:
        encoding = self._ruleset.encoding
        lines: list[bytes] = []
        for raw, label in self._rows:
            self._labels.extend([label not in self._normal] * (raw.count("\n") + 1))
            lines.append(raw.encode(encoding, "surrogateescape"))
            if len(lines) == PIECE_ROWS:
                yield b"\n".join(chain(lines, [b""]))
                lines.clear()
        if lines:
            yield b"\n".join(chain(lines, [b""]))


def _safe(name: str) -> str:
    """A file's name in evidence as a relative path that leads nowhere else."""
    parts = [part for part in PurePosixPath(name[:MAX_NAME]).parts if part not in {"/", "..", "."}]
    return "/".join(parts).encode(errors="backslashreplace").decode() or "unnamed"
