"""Log files that came as one CSV: a row a line, in the column `raw`.

A column `file`, where there is one, says which log file the line is of; the rows of a file stand together.
Each such file is read as if it lay in a directory called like the CSV. A column `label` may say which lines
are anomalies (`--label table:NORMAL`). Lines and offsets count within those files, not within the CSV.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain, groupby
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.evidence.defects import Defect
from vestige.evidence.files import PACKED, EvidenceFile
from vestige.evidence.stream import ByteStream, Mode, Sampled
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.labels import FORMS

LINE, FILE, LABEL = "raw", "file", "label"
ENDINGS = (".csv", *(f".csv{ending}" for ending in PACKED))
MAX_ROW = 1 << 20
"""Characters of a row's line; a quotation mark that is never closed shall not swallow the file."""
PIECE_ROWS = 512
MAX_NAME = 255


class Content(Protocol):
    """The bytes of one log file: of a file of evidence, or of the rows of a table."""

    file: EvidenceFile
    in_table: bool

    @property
    def ended(self) -> bool:
        """See `ByteStream.ended`."""

    @property
    def taken(self) -> int:
        """Bytes of evidence read so far."""

    @property
    def defects(self) -> list[Defect]:
        """What was wrong with the packing."""

    def sample(self) -> tuple[bytes, bool]:
        """See `ByteStream.sample`."""

    def read(self) -> bytes | None:
        """See `ByteStream.read`."""

    def wait(self, seconds: float) -> bool:
        """See `ByteStream.wait`."""

    def stop(self) -> None:
        """See `ByteStream.stop`."""

    def close(self) -> None:
        """See `ByteStream.close`."""

    def labels(self, line: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Labels of messages that begin at these lines, where the evidence holds them beside its lines.
        Raises EvidenceError where it does not."""


def is_table(file: EvidenceFile) -> bool:
    """Whether a file's name says that it may be a table of lines."""
    return file.id.endswith(ENDINGS)


def contents(
    file: EvidenceFile, rules: RuleSet, mode: Mode, *, number: int = 0, offset: int = 0
) -> Generator[Content]:
    """What is to be read of a file: itself, or the log files that it is a table of, from the one called
    `number` on, and from the decoded byte `offset` of that one on. Closing it closes the table."""
    if not is_table(file):
        # What stands behind the only one is the end.
        if not number:
            yield _File(file, mode, offset=offset)
        return
    table = Table(file, rules.encoding)
    try:
        table.open()
    except NoTableError:
        table.close()
        if not number:
            yield _File(file, mode, offset=offset)
        return
    except EvidenceError:
        table.close()
        raise
    with closing(table):
        for at, content in enumerate(table.contents(rules)):
            if at > number:
                yield content
            elif at == number:
                content.skip(offset)
                yield content
            else:
                content.skip(None)


class _File(ByteStream):
    """A file of evidence that is one log file."""

    in_table = False

    def labels(self, line: NDArray[np.int64]) -> NDArray[np.uint8]:  # noqa: ARG002
        """See `Content.labels`: a plain log has none."""
        raise EvidenceError(
            "no table with a column `label`", where=self.file.where, remedy=f"--label takes {FORMS}"
        )


class NoTableError(EvidenceError):
    """A file called `.csv` that has no column of lines: it is taken as text."""


class TableError(EvidenceError):
    """A table that is damaged: what it holds is not to be read by halves."""

    fatal = True


class Table:
    """A CSV being read, log file by log file. A table is read when it is whole: it does not grow."""

    def __init__(self, file: EvidenceFile, encoding: str) -> None:
        self.file = file
        self._encoding = encoding
        self._row = 1
        self._bytes = ByteStream(file)
        self.columns: list[str] = []

    @property
    def taken(self) -> int:
        """Bytes of the table itself read so far."""
        return self._bytes.taken

    @property
    def defects(self) -> list[Defect]:
        """What was wrong with the table's packing."""
        return self._bytes.defects

    def open(self) -> None:
        """Read the names of the columns. Raises NoTableError where there is none of lines."""
        sample, _ = self._bytes.sample()
        first = sample.partition(b"\n")[0].decode(self._encoding, "replace").strip("\ufeff\r")
        self.columns = next(csv.reader([first]), [])
        if LINE not in self.columns:
            raise NoTableError(f"no column {LINE!r}", where=self.file.where)

    def close(self) -> None:
        """Let go of the file."""
        self._bytes.close()

    def contents(self, rules: RuleSet) -> Iterator[TableContent]:
        """One log file after the other; each must be read, or left, before the next one is asked for."""
        at = {name: index for index, name in enumerate(self.columns)}
        seen: set[str] = set()
        own = self.file.id.removesuffix(next(ending for ending in ENDINGS if self.file.id.endswith(ending)))
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
            yield TableContent(lines, rules, self, picked)
        self.close()

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
            remedy = "give the log files themselves where their lines are so long"
            raise self._error(f"no row of a CSV: {error}", remedy) from error

    def _lines(self) -> Iterator[str]:
        """Lines of text with their ends, every byte kept (surrogates stand for what is not text)."""
        left = b""
        while not self._bytes.ended:
            piece = self._bytes.read() or b""
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
        """The error that ends the table: it is let go of."""
        self.close()
        return TableError(what, where=self.file.where, row=max(1, self._row - 1), remedy=remedy)


class TableContent(Sampled):
    """The lines of one log file of a table; labels are those of its column so far."""

    in_table = True

    def __init__(
        self, file: EvidenceFile, rules: RuleSet, table: Table, rows: Iterable[tuple[str, str | None]]
    ) -> None:
        self._table, self._rows = table, iter(rows)
        self._normal = frozenset(rules.label.values)
        self._encoding = rules.encoding
        self._labels = array("B")
        self._labelled = LABEL in table.columns
        super().__init__(file, self._content())

    @property
    def taken(self) -> int:
        """Bytes of the table itself read so far."""
        return self._table.taken

    @property
    def defects(self) -> list[Defect]:
        """What was wrong with the table's packing."""
        return self._table.defects

    def labels(self, line: NDArray[np.int64]) -> NDArray[np.uint8]:
        """1 for each 1-based line that the table calls no normal one. Raises EvidenceError without labels."""
        if not self._labelled:
            raise EvidenceError(
                "no table with a column `label`", where=self.file.where, remedy=f"--label takes {FORMS}"
            )
        return np.frombuffer(self._labels, np.uint8)[line - 1]

    def _content(self) -> Iterator[bytes]:
        encoding = self._encoding
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
