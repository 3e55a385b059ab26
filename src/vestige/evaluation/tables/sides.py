"""What is kept of each row of a table: hashes and codes, some 40 bytes; cells themselves are read in batches.

Letters: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.escaping import visible
from vestige.evaluation.tables.reading import Table, class_name

Hashes = NDArray[np.uint64]
MOST_CLASSES = 100
NORMAL = ("normal", "benign", "0", "-", "false", "negative", "no", "ok", "legitimate", "background")
"""What the class without anomalies is usually called."""
FORMS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.fZ",
         "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%d %b %Y %H:%M:%S",
         "%d/%b/%Y:%H:%M:%S %z")  # fmt: skip


@dataclass(frozen=True)
class Roles:
    """Which columns are a row's time, host, label and id; None where there is none."""

    time: str | None = None
    host: str | None = None
    label: str | None = None
    id: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """The columns by role."""
        every = {"time": self.time, "host": self.host, "label": self.label, "id": self.id}
        return {role: column for role, column in every.items() if column}

    @classmethod
    def of(cls, **given: str | None) -> Self:
        """The roles; an empty name is none."""
        return cls(**{role: name or None for role, name in given.items()})


@dataclass(frozen=True)
class Side:
    """One table's rows: `content (N,)` hashes of the features, `timed (N,)` of them with time and host,
    `ids`, `hosts` hashes, `times` in one unit (`in_one_unit`), `labels` indices of the classes, or None where
    there is no such column."""

    table: Table
    content: Hashes
    timed: Hashes
    ids: Hashes | None
    hosts: Hashes | None
    times: NDArray[np.float64] | None
    labels: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.content)

    def place(self, row: int) -> str:
        """A row as a person finds it: in CSV the first line is the head."""
        return f"row {row + 1}"


def classes_of(tables: Sequence[Table], label: str, normal: str | None) -> list[str]:
    """The classes of both tables; the first is the one without anomalies: `normal`, or what is usually called
    so, or the commonest in the first table. Raises EvidenceError."""
    counts: dict[str, int] = {}
    common = ""
    for table in tables:
        name = class_name(table.expression(label)).alias("name")
        found = table.collect(table.lazy.select(name).group_by("name").len().sort("len", "name"))
        if found["name"].null_count() or "" in found["name"]:
            row = table.collect(
                table.lazy.select(name)
                .with_row_index("row")
                .filter(pl.col("name").is_null() | (pl.col("name") == ""))
                .head(1)
            )["row"][0]
            raise EvidenceError(
                f"the label column {visible(label, 80)!r} is empty", where=table.path, row=row + 2,
                remedy="give every row a label, or leave --label out",
            )  # fmt: skip
        counts |= dict(zip(found["name"].to_list(), found["len"].to_list(), strict=True))
        common = common or found["name"][-1]
        if len(counts) > MOST_CLASSES:
            raise EvidenceError(
                f"the label column {visible(label, 80)!r} has more than {MOST_CLASSES} classes",
                where=table.path,
                remedy="name a column of classes",
            )
    asked = None if normal is None else class_name(pl.Series([normal]))[0]
    if asked is not None and asked not in counts:
        known = ", ".join(visible(name, 40) for name in sorted(counts)[:12])
        raise EvidenceError(
            f"no row is of class {visible(str(normal), 80)!r}",
            where=tables[0].path,
            remedy=f"there are: {known}",
        )
    usual = next((name for wanted in NORMAL for name in sorted(counts) if name.lower() == wanted), None)
    first = asked or usual or common
    return [first, *sorted(name for name in counts if name != first)]


def gather(table: Table, roles: Roles, features: Sequence[str], classes: Sequence[str]) -> Side:
    """Read all rows once. Raises EvidenceError for a time that cannot be read."""
    columns = list(dict.fromkeys([*features, *roles.named.values()]))
    pieces: dict[str, list[NDArray[Any]]] = {}
    done = 0
    codes = {name: code for code, name in enumerate(classes)}
    for batch in table.batches(columns):
        found: dict[str, NDArray[Any]] = {"content": _hashes(batch, features)}
        moments = [name for name in (roles.time, roles.host) if name]
        found["timed"] = _hashes(batch, [*features, *moments]) if moments else found["content"]
        for role, column in (("ids", roles.id), ("hosts", roles.host)):
            if column:
                found[role] = batch[column].fill_null("").hash(1).to_numpy()
        if roles.time:
            found["times"] = _seconds(table, batch[roles.time], done)
        if roles.label:
            labels = class_name(batch[roles.label]).replace_strict(codes, return_dtype=pl.Int64)
            found["labels"] = labels.to_numpy()
        for name, values in found.items():
            pieces.setdefault(name, []).append(values)
        done += batch.height
    joined = {name: np.concatenate(values) for name, values in pieces.items()}
    return Side(
        table,
        content=joined["content"],
        timed=joined["timed"],
        ids=joined.get("ids"),
        hosts=joined.get("hosts"),
        times=joined.get("times"),
        labels=joined.get("labels"),
    )


def in_one_unit(train: Side, test: Side) -> tuple[Side, Side]:
    """Both with times in seconds since 1970, where both tell their unit: one table may count seconds and the
    other milliseconds. A clock that starts at 0 has one unit in both, which nothing tells."""
    if train.times is None or test.times is None:
        return train, test
    ours, theirs = unit_of(train.times), unit_of(test.times)
    if not (ours and theirs):
        return train, test
    return replace(train, times=train.times / ours), replace(test, times=test.times / theirs)


def _hashes(batch: pl.DataFrame, columns: Sequence[str]) -> Hashes:
    if not columns:
        return np.zeros(batch.height, dtype=np.uint64)
    return batch.select(columns).hash_rows(0).to_numpy()


def _seconds(table: Table, column: pl.Series, before: int) -> NDArray[np.float64]:
    """Times in seconds: numbers in the unit that their size tells, texts as ISO 8601 has it (UTC)."""
    if column.dtype == pl.Float64:
        values = column.to_numpy().astype(np.float64)
        bad = ~np.isfinite(values)
    else:
        text = (
            column.str.strip_chars()
            .str.replace(r"^(\d{4})/(\d\d)/(\d\d)", "$1-$2-$3")
            .str.replace(r"(:\d\d),(\d+)", "$1.$2")
        )
        tries = [text.str.to_datetime(form, strict=False, time_unit="ns", time_zone="UTC") for form in FORMS]
        parsed = pl.select(pl.coalesce(tries)).to_series()
        values = parsed.dt.epoch("ns").cast(pl.Float64).to_numpy() / 1e9
        bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad))
        raise EvidenceError(
            f"no time that can be read: {visible(str(column[row]), 60)!r}",
            where=table.path,
            row=before + row + 2,
            remedy="write times as numbers or as ISO 8601, such as 2024-05-01T12:00:00Z",
        )
    return values


def unit_of(times: NDArray[np.float64]) -> float:
    """By what numbers of time are divided to give seconds since 1970, by their size; 0 for other numbers."""
    middle = float(np.median(np.abs(times))) if len(times) else 0.0
    for least, most, unit in ((1e8, 1e10, 1.0), (1e11, 1e13, 1e3), (1e14, 1e16, 1e6), (1e17, 1e19, 1e9)):
        if least <= middle < most:
            return unit
    return 0.0
