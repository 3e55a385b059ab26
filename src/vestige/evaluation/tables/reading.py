"""Tables of anybody's: CSV and Parquet, read in batches; whatever is wrong names file and row.

Letters: N rows.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import polars as pl

from vestige.errors import EvidenceError
from vestige.escaping import visible
from vestige.parquet import check

BATCH = 65_536
MOST_COLUMNS, MOST_ROWS = 5_000, 50_000_000
LONGEST_CELL = 131_072
"""Characters of one CSV cell (the limit of Python's reader): an unclosed quote ends there."""
Kind = Literal["number", "text", "sequence"]
Text = TypeVar("Text", pl.Expr, pl.Series)
STEP = "\x1f"
"""What stands between the steps of a sequence (the unit separator of ASCII): a step may be a message."""
UNREPEATED = 0.9
"""Share of values that differ (about: they are estimated) where none occurs twice."""
THOUSANDS = r"^[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?$"
"""Numbers whose commas part thousands. Of a column all must be so: `1,000` beside `2,5` is one."""
INDEX = re.compile(
    r"|_c0|unnamed:? ?\d*|__index_level_\d+__|level_\d|index|idx|row(_?(id|nr|no|number|index))?",
    re.IGNORECASE,
)
"""What columns are called that only number the rows, by pandas, polars and people."""
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


@dataclass(frozen=True)
class Stats:
    """A column of numbers: rows with a value, mean, variance (ddof 0), extremes, how often those are reached,
    share of zeros, whether all are whole, and about how many differ."""

    count: int
    mean: float
    variance: float
    low: float
    high: float
    at_low: int
    at_high: int
    zeros: int
    whole: bool
    distinct: int


@dataclass(frozen=True)
class Table:
    """A table that is read lazily. `kinds`: how each column is taken, by name, in the table's order.
    `commas`: columns whose numbers have commas, and whether these are decimal; else they part thousands."""

    path: Path
    rows: int
    kinds: dict[str, Kind]
    lazy: pl.LazyFrame = field(repr=False)
    notes: tuple[str, ...] = ()
    commas: Mapping[str, bool] = field(default_factory=dict)

    def batches(self, columns: Sequence[str], size: int = BATCH) -> Iterator[pl.DataFrame]:
        """The columns, in the table's order of rows: numbers as Float64, all else as String (a sequence's
        steps are parted by `STEP`)."""
        wanted = self.lazy.select([self.expression(name) for name in columns])
        try:
            yield from wanted.collect_batches(chunk_size=size, maintain_order=True)
        except _UNREADABLE as error:
            raise _unreadable(self.path, error) from error

    def expression(self, name: str) -> pl.Expr:
        """A column as it is read."""
        dtype = self.lazy.collect_schema()[name]
        return _as(self.kinds[name], name, dtype, decimal=self.commas.get(name, False))

    def stats(self, columns: Sequence[str]) -> dict[str, Stats]:
        """Figures of columns of numbers, in one pass."""
        found: dict[str, Stats] = {}
        for start in range(0, len(columns), 200):
            part = columns[start : start + 200]
            wanted = []
            for number, name in enumerate(part):
                value = self.expression(name)
                value = pl.when(value.is_finite()).then(value)
                for what, expression in (
                    ("count", value.count()), ("mean", value.mean()), ("variance", value.var(ddof=0)),
                    ("low", value.min()), ("high", value.max()),
                    ("at_low", (value == value.min()).sum()), ("at_high", (value == value.max()).sum()),
                    ("zeros", (value == 0).sum()), ("whole", (value == value.round()).all()),
                    ("distinct", value.approx_n_unique()),
                ):  # fmt: skip
                    wanted.append(expression.alias(f"{number}.{what}"))
            row = self.collect(self.lazy.select(wanted)).row(0, named=True)
            for number, name in enumerate(part):
                values = {what: row[f"{number}.{what}"] for what in Stats.__dataclass_fields__}
                if values["count"]:
                    found[name] = Stats(**values)
        return found

    def collect(self, lazy: pl.LazyFrame) -> pl.DataFrame:
        """The rows of a query on the table. Raises EvidenceError where it cannot be read."""
        try:
            return lazy.collect(engine="streaming")
        except _UNREADABLE as error:
            raise _unreadable(self.path, error) from error


def _check_headers(path: Path) -> None:
    """Raise EvidenceError where the headers of a Parquet file would end the interpreter."""
    try:
        check(path, most=1 << 31)
    except ValueError as error:
        remedy = "write the table again, as Parquet or CSV"
        raise EvidenceError(f"cannot be read as a table ({error})", where=path, remedy=remedy) from error


def open_table(path: Path) -> Table:
    """The table at `path`. A column is of numbers where every cell is one; `agree` settles it for two tables.

    Raises EvidenceError, with the row where one is at fault.
    """
    if not path.is_file():
        what = "is a directory, and no table" if path.is_dir() else "no such file"
        raise EvidenceError(what, where=path, remedy="name a CSV or Parquet file")
    try:
        with path.open("rb") as file:
            parquet = file.read(4) == b"PAR1"
        if parquet:
            _check_headers(path)
            lazy, rows, separator = pl.scan_parquet(path), 0, ","
        else:
            separator, rows = _checked_csv(path)
            lazy = pl.scan_csv(path, infer_schema=False, separator=separator)
        schema = lazy.collect_schema()
        if parquet:
            rows = int(lazy.select(pl.len()).collect(engine="streaming").item())
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    if not rows:
        raise EvidenceError("holds no rows", where=path, remedy="give a table with rows")
    if rows > MOST_ROWS or len(schema) > MOST_COLUMNS:
        raise EvidenceError(
            f"holds {rows:,} rows and {len(schema):,} columns; at most {MOST_ROWS:,} and {MOST_COLUMNS:,} "
            "are audited",
            where=path,
            remedy="give a part of it",
        )
    kinds, notes, commas = _kinds(path, lazy, schema, commas_in_cells=separator != ",")
    return Table(path, rows, kinds, lazy, tuple(notes), commas)


def agree(train: Table, test: Table, roles: Sequence[str]) -> tuple[Table, Table, list[str]]:
    """Both tables with the columns that both have, taken alike; the sentences say what is left out.

    `roles`: columns that must be there. Raises EvidenceError.
    """
    notes = []
    for table in (train, test):
        for name in roles:
            if name not in table.kinds:
                known = ", ".join(visible(other, 40) for other in list(table.kinds)[:12])
                raise EvidenceError(
                    f"has no column {visible(name, 80)!r}", where=table.path, remedy=f"it has: {known}"
                )
    shared = [name for name in train.kinds if name in test.kinds]
    for table, other in ((train, test), (test, train)):
        alone = [name for name in table.kinds if name not in other.kinds]
        if alone:
            named = ", ".join(visible(name, 40) for name in alone[:5])
            notes.append(f"{len(alone)} columns of {table.path.name} alone are left out: {named}")
    if not shared:
        raise EvidenceError("the tables share no column", where=test.path, remedy="give tables of one kind")
    kinds: dict[str, Kind] = {}
    for name in shared:
        pair = {train.kinds[name], test.kinds[name]}
        kinds[name] = pair.pop() if len(pair) == 1 else "text"
    commas = {
        name: train.commas.get(name, False) or test.commas.get(name, False)
        for name in shared
        if kinds[name] == "number" and (name in train.commas or name in test.commas)
    }
    notes += _told_of_commas(commas)
    return replace(train, kinds=kinds, commas=commas), replace(test, kinds=kinds, commas=commas), notes


def _told_of_commas(commas: Mapping[str, bool]) -> list[str]:
    told = []
    for decimal, how in (
        (True, "are decimal: 1,5 is one and a half"),
        (False, "part thousands: 1,000 is 1000"),
    ):
        names = [name for name, is_decimal in commas.items() if is_decimal == decimal]
        if names:
            listed = ", ".join(visible(name, 40) for name in names[:5])
            told.append(f"the commas in numbers of {len(names)} columns ({listed}) {how}")
    return told


def numbers_rows(name: str, train: Stats | None, test: Stats | None) -> bool:
    """Whether a column is the place of a row, as pandas writes one without being asked: whole numbers that
    hardly repeat, with such a name, or that go up one by one in each table or in both together."""
    if train is None or test is None or not (train.whole and test.whole):
        return False
    if min(part.distinct / part.count for part in (train, test)) < UNREPEATED:
        return False
    return (
        INDEX.fullmatch(name) is not None
        or _one_by_one(train, test)
        or (_one_by_one(train) and _one_by_one(test))
    )


def _one_by_one(*parts: Stats) -> bool:
    """Whether all numbers from the lowest to the highest occur once: extremes, mean and variance say it."""
    n = sum(part.count for part in parts)
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    mean = sum(part.count * part.mean for part in parts) / n
    variance = sum(part.count * (part.variance + (part.mean - mean) ** 2) for part in parts) / n
    spread = abs(variance - (n * n - 1) / 12) <= 1e-6 * variance
    return n > 2 and high - low + 1 == n and abs(mean - (low + high) / 2) <= 1e-6 * n and spread


def _as(kind: Kind, name: str, dtype: Any, *, decimal: bool = False) -> pl.Expr:
    column = pl.col(name)
    if kind == "sequence":
        return _joined(column, dtype, STEP).alias(name)
    if kind == "number":
        return _number(column, dtype, decimal=decimal).alias(name)
    if isinstance(dtype, pl.List | pl.Array):
        return _as("sequence", name, dtype)
    return column.cast(pl.String, strict=False).alias(name)


def class_name(text: Text) -> Text:
    """Names of classes in one spelling: one table may have a class as 1 and the other as 1.0 (pandas, where a
    cell is empty), as True or true; predictions and `--normal` may be spelt either way, too."""
    plain = text.str.strip_chars().str.replace(r"^(-?\d+)\.0+$", "$1")
    return plain.str.replace(r"^(?i:true)$", "true").str.replace(r"^(?i:false)$", "false")


def _number(column: pl.Expr, dtype: Any, *, decimal: bool) -> pl.Expr:
    if dtype == pl.String:
        return _figure(column.str.strip_chars(), decimal=decimal)
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        # Seconds, whatever unit a table has: pandas writes nanoseconds, others microseconds.
        return column.dt.epoch("us").cast(pl.Float64) / 1e6
    if dtype.is_temporal():
        column = column.to_physical()
    return column.cast(pl.Float64, strict=False)


def _figure(text: pl.Expr, *, decimal: bool) -> pl.Expr:
    """A text as a number: its commas are decimal, or part thousands."""
    plain = (
        text.str.replace(",", ".", literal=True) if decimal else text.str.replace_all(",", "", literal=True)
    )
    return plain.cast(pl.Float64, strict=False)


def _joined(column: pl.Expr, dtype: Any, between: str) -> pl.Expr:
    """Lists as text; the numbers of a step that is a list itself stand apart by blanks."""
    lists = column.arr.to_list() if isinstance(dtype, pl.Array) else column
    inner = dtype.inner
    step = (
        _joined(pl.element(), inner, " ") if inner.is_nested() else pl.element().cast(pl.String, strict=False)
    )
    return lists.list.eval(step.fill_null("")).list.join(between)


def _is_list(dtype: Any) -> bool:
    """Lists of plain cells, or lists of these."""
    return isinstance(dtype, pl.List | pl.Array) and (not dtype.inner.is_nested() or _is_list(dtype.inner))


def _kinds(
    path: Path, lazy: pl.LazyFrame, schema: pl.Schema, *, commas_in_cells: bool
) -> tuple[dict[str, Kind], list[str], dict[str, bool]]:
    """How columns are taken, what is said of that, and of numbers with commas whether these are decimal."""
    kinds: dict[str, Kind] = {}
    commas: dict[str, bool] = {}
    notes: list[str] = []
    texts = []
    for name, dtype in schema.items():
        if dtype.is_numeric() or dtype.is_temporal() or dtype == pl.Boolean:
            kinds[name] = "number"
        elif dtype in (pl.String, pl.Categorical, pl.Enum):
            kinds[name] = "text"
            texts.append(name)
        elif _is_list(dtype):
            kinds[name] = "sequence"
        else:
            notes.append(f"column {visible(name, 80)!r} of type {str(dtype)[:60]} is left out")
    for start in range(0, len(texts), 200):
        part = texts[start : start + 200]
        for name, found in _counted(path, lazy, part, commas_in_cells=commas_in_cells).items():
            if found["filled"] and found["numbers"] == found["filled"]:
                kinds[name] = "number"
                if found["commas"]:
                    commas[name] = found["decimal"]
                if found["odd"]:
                    notes.append(f"column {visible(name, 80)!r}: {found['odd']} cells are not finite")
            elif found["numbers"] > found["filled"] / 2:
                decimal = found["decimal"] if commas_in_cells else None
                others = found["filled"] - found["numbers"]
                notes.append(_mostly_numbers(path, lazy, name, others, decimal=decimal))
    return {name: kinds[name] for name in schema if name in kinds}, notes, commas


def _counted(
    path: Path, lazy: pl.LazyFrame, names: Sequence[str], *, commas_in_cells: bool
) -> dict[str, dict[str, Any]]:
    """Of each column of texts how many cells are filled, are numbers, and are none that is finite; whether
    any has a comma, and whether these are decimal."""
    wanted = []
    for number, name in enumerate(names):
        filled = pl.col(name).cast(pl.String).str.strip_chars()
        filled = pl.when(filled != "").then(filled)
        decimal, as_number = _decimal(filled), filled.cast(pl.Float64, strict=False)
        if commas_in_cells:
            one_and_a_half, thousands = (_figure(filled, decimal=way) for way in (True, False))
            as_number = pl.when(decimal).then(one_and_a_half).otherwise(thousands)
        wanted += [
            filled.count().alias(f"{number}.filled"),
            as_number.count().alias(f"{number}.numbers"),
            (as_number.is_infinite() | as_number.is_nan()).sum().alias(f"{number}.odd"),
            filled.str.contains(",", literal=True).any().alias(f"{number}.commas"),
            decimal.alias(f"{number}.decimal"),
        ]
    try:
        row = lazy.select(wanted).collect(engine="streaming").row(0, named=True)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    figures = ("filled", "numbers", "odd", "commas", "decimal")
    return {name: {what: row[f"{number}.{what}"] for what in figures} for number, name in enumerate(names)}


def _decimal(filled: pl.Expr) -> pl.Expr:
    """Whether a column's commas are decimal: not all part thousands. Where each cell has some, and one
    has two, they part steps (`101,102,103`): among thousands there are small numbers that have none."""
    found = filled.str.count_matches(",", literal=True)
    steps = (found.max() > 1) & (found.min() > 0)
    return ((found > 0) & ~filled.str.contains(THOUSANDS)).any() | steps.fill_null(value=False)


def _mostly_numbers(path: Path, lazy: pl.LazyFrame, name: str, others: int, *, decimal: bool | None) -> str:
    text = pl.col(name).cast(pl.String).str.strip_chars()
    figure = text.cast(pl.Float64, strict=False) if decimal is None else _figure(text, decimal=decimal)
    odd = (text != "") & figure.is_null()
    try:
        first = lazy.select(text).with_row_index("row").filter(odd).head(1).collect(engine="streaming")
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    row, cell = first.row(0)
    return (
        f"column {visible(name, 80)!r} is taken as text: {others} cells are no numbers, the first in row "
        f"{row + 2} of {path.name}: {visible(cell, 40)!r}"
    )


def _checked_csv(path: Path) -> tuple[str, int]:
    """Separator and rows of a CSV file whose rows have as many cells as its head. Raises EvidenceError."""
    remedy = "mend that row, or write the table as Parquet"
    rows, line = 0, 0
    try:
        with path.open("r", encoding="utf-8-sig", errors="strict", newline="") as file:
            head = file.readline(LONGEST_CELL)
            if head.startswith("sep="):
                raise EvidenceError(
                    "begins with Excel's line about separators",
                    where=path,
                    row=1,
                    remedy="take that line out",
                )
            separator = max(",;\t|", key=head.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=separator, strict=True)
            names = next(reader, [])
            _check_head(path, names)
            line = reader.line_num + 1
            for cells in reader:
                if len(cells) != len(names) and not (not cells and len(names) == 1):
                    what = f"{len(cells)} cells, but {len(names)} columns" if cells else "an empty row"
                    raise EvidenceError(what, where=path, row=line, remedy=remedy)
                rows += 1
                line = reader.line_num + 1
    except UnicodeDecodeError as error:
        row = _row_of_bytes(path)
        raise EvidenceError(
            f"bytes that are no UTF-8 ({error.reason})", where=path, row=row, remedy="write it as UTF-8"
        ) from error
    except csv.Error as error:
        raise EvidenceError(
            f"no CSV from here on ({error})", where=path, row=max(line, 1), remedy=remedy
        ) from error
    return separator, rows


def _check_head(path: Path, names: list[str]) -> None:
    if not names or not any(names):
        raise EvidenceError("has no head of column names", where=path, row=1, remedy="name the columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise EvidenceError(
            f"names a column twice: {visible(twice[0], 80)!r}", where=path, row=1, remedy="rename one of them"
        )


def _row_of_bytes(path: Path) -> int:
    """The first line that is no UTF-8, from 1."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1


def _unreadable(path: Path, error: BaseException) -> EvidenceError:
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return EvidenceError(
        f"cannot be read as a table ({visible(first, 200)})",
        where=path,
        remedy="write it anew as CSV or Parquet",
    )
