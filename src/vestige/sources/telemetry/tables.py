"""The tables of an episode: sealed Parquet files, spools of JSON lines in Zstandard frames, and connections
as other programs write them."""

from __future__ import annotations

import codecs
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl
from pydantic_core import from_json

from vestige import parquet_headers
from vestige.errors import EvidenceError
from vestige.escaping import visible
from vestige.evidence.expand import Expander
from vestige.sources.telemetry import fields, flow_texts, guard
from vestige.sources.telemetry.faults import Fault, FaultError
from vestige.sources.telemetry.fields import MONO, RATE_HZ, SAMPLED, SEQ, WALL, CollectorName
from vestige.sources.telemetry.manifest import FLOW_TEXTS, File, Manifest

MAX_FLOWS = 5_000_000
"""Rows of `netflow`; those of a sampled collector are bounded by how long the episode lasted."""
MAX_TABLE = 1 << 30
"""Bytes of a table in memory: so few rows can still hold texts without end."""
MAX_SPOOL = 256 << 20
"""Bytes of a spool, unpacked."""
MOST_SPOOL_RATIO_BYTES = 16 << 20
"""From so many bytes on a spool that packs a thousandfold is taken for a bomb."""

Dtypes = Mapping[str, type[pl.DataType]]
Table = tuple[pl.DataFrame, list[Fault]]
"""Rows of a collector, and the defects that leave them usable (`truncated`)."""
_UNDECODABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


class Raw(NamedTuple):
    """A source's file: its content, the digest checked, and the columns that are `wanted`."""

    collector: CollectorName
    file: File
    data: bytes
    wanted: Dtypes

    @property
    def sealed(self) -> bool:
        """Parquet, and no spool."""
        return self.file.path.endswith(".parquet")


def stamp(collector: CollectorName, manifest: Manifest) -> str:
    """The column in which `collector` is stamped, by the clock that the manifest names."""
    if manifest.clock.sources[collector] == "wall":
        return WALL
    return MONO


def dtypes(collector: CollectorName, columns: Sequence[str] | None, manifest: Manifest) -> Dtypes:
    """The stamp (`t_wall_ns` or `t_mono_ns`, ns), `seq`, and those raw columns; all of them for None."""
    known = fields.schema(collector)
    if columns is not None:
        known = {name: known[name] for name in columns}
    return {stamp(collector, manifest): pl.Int64, SEQ: pl.Int64, **known}


def read(raws: Sequence[Raw], manifest: Manifest, where: str, *, most_bytes: int = MAX_TABLE) -> list[Table]:
    """The tables of some files of one episode, with the columns that are wanted, in that order.

    Sealed files are decoded in one query: of an episode's size, a file takes longer to ask for than to
    decode. A table of more than `most_bytes` in memory is a bomb.
    Raises FaultError (`bomb`, `columns`, `rows`, `decode`).
    """
    for collector, file, *_ in raws:
        most = MAX_FLOWS
        if collector in SAMPLED:
            # Twice as many as a collector that keeps its rate would take, and a minute's worth more.
            most = int(2 * RATE_HZ * manifest.seconds) + 60
        if file.rows > most:
            what = f"{file.rows:,} rows, of {most:,} at most"
            raise FaultError(what, where=where, code="bomb", subject=collector)
    # All sealed files are read in one go; what comes back is in their order.
    frames = iter(_parquet([raw for raw in raws if raw.sealed], where, most_bytes))
    tables: list[Table] = []
    for raw in raws:
        if raw.sealed:
            tables.append((next(frames), []))
        elif raw.file.path in FLOW_TEXTS:
            tables.append(_flow_text(raw, where))
        else:
            tables.append(_spool(raw, where))
    return tables


def _parquet(raws: Sequence[Raw], where: str, most_bytes: int) -> list[pl.DataFrame]:
    scans = [_scan(raw, where) for raw in raws]
    try:
        frames = pl.collect_all(scans)
    except _UNDECODABLE as error:
        if len(raws) == 1:
            raise _undecodable(error, raws[0].collector, where) from error
        return [
            frame for raw in raws for frame in _parquet([raw], where, most_bytes)
        ]  # which of them was it?
    return [_checked(frame, raw, where, most_bytes) for frame, raw in zip(frames, raws, strict=True)]


def _scan(raw: Raw, where: str) -> pl.LazyFrame:
    """What is to be read of a file. Of the columns that are not, the dtypes are checked here.

    Raises FaultError: `columns`, or `decode`, also for headers that would end the process.
    """
    # Where a process is there for the episode it may end; looking at headers takes as long as decoding them.
    if not guard.within():
        try:
            parquet_headers.check(raw.data, MAX_FLOWS)
        except ValueError as error:
            raise _undecodable(error, raw.collector, where) from error
    # one row more than there should be: that there are too many is known without reading them all
    rows = pl.scan_parquet(raw.data, n_rows=raw.file.rows + 1)
    every = {**raw.wanted, **fields.schema(raw.collector)}
    if len(every) == len(raw.wanted):
        return rows
    try:
        _check_columns(rows.collect_schema(), every, raw.collector, where)
    except _UNDECODABLE as error:
        raise _undecodable(error, raw.collector, where) from error
    return rows.select(*raw.wanted)


def _checked(frame: pl.DataFrame, raw: Raw, where: str, most_bytes: int) -> pl.DataFrame:
    """The columns that are wanted, once dtypes, rows and size are what they must be."""
    collector, rows = raw.collector, raw.file.rows
    coded = _check_columns(dict(zip(frame.columns, frame.dtypes, strict=True)), raw.wanted, collector, where)
    if frame.height != rows:
        # One row more than there should be was asked for, so of too many only that is known.
        shown = f"{frame.height:,}" if frame.height < rows else "more"
        raise FaultError(f"{shown} rows, not {rows:,}", where=where, code="rows", subject=collector)
    if (size := frame.estimated_size()) > most_bytes:
        raise FaultError(f"{size:,} bytes, unpacked", where=where, code="bomb", subject=collector)
    if frame.columns != list(raw.wanted):
        frame = frame.select(*raw.wanted)
    if coded:
        frame = frame.with_columns(pl.col(name).cast(raw.wanted[name]) for name in coded)
    return frame


def _check_columns(
    found: Mapping[str, pl.DataType], wanted: Dtypes, collector: CollectorName, where: str
) -> list[str]:
    """Which texts come dictionary-encoded, and which columns without any value, and so without a dtype
    (pandas), as they may; everything else must be of the very dtype."""
    coded = []
    for name, dtype in wanted.items():
        there = found.get(name)
        if there == dtype:
            continue
        if isinstance(there, pl.Null) and name in fields.schema(collector):
            coded.append(name)
            continue
        if dtype is not pl.String or not isinstance(there, pl.Categorical | pl.Enum):
            what = f"{name} is missing"
            if there is not None:
                what = f"{name} is {there}, not {dtype()}"
                if there.is_temporal() and dtype is pl.Int64:
                    what += " (nanoseconds as whole numbers)"
            raise FaultError(what, where=where, code="columns", subject=collector)
        coded.append(name)
    return coded


def expanded(raw: Raw, where: str) -> tuple[bytes, list[str]]:
    """The text of a packed or plain file, less a byte order mark, and what was wrong with its packing.

    Raises FaultError: `bomb`, or `decode` for a packing that is not read.
    """
    expander = Expander(io.BytesIO(raw.data), where, bomb_bytes=MOST_SPOOL_RATIO_BYTES)
    text = bytearray()
    try:
        for piece in expander.pieces():
            text += piece
            if len(text) > MAX_SPOOL:
                what = f"unpacks to more than {MAX_SPOOL:,} bytes"
                raise FaultError(what, where=where, code="bomb", subject=raw.collector)
    except EvidenceError as error:
        if isinstance(error, FaultError):
            raise
        code = "decode"
        if expander.given > MOST_SPOOL_RATIO_BYTES:
            code = "bomb"
        raise FaultError(error.what, where=where, code=code, subject=raw.collector) from error
    return bytes(text).removeprefix(codecs.BOM_UTF8), list(expander.defects)


def counted(frame: pl.DataFrame, defects: list[str], raw: Raw, where: str) -> Table:
    """Rows of a text, of which there may be fewer than the manifest says: then it was cut off.

    Raises FaultError `rows` where there are more.
    """
    rows = raw.file.rows
    if frame.height > rows:
        what = f"{frame.height:,} rows, not {rows:,}"
        raise FaultError(what, where=where, code="rows", subject=raw.collector)
    if frame.height < rows:
        defects = [*defects, f"{frame.height:,} of {rows:,} rows"]
    if not defects:
        return frame, []
    return frame, [Fault("truncated", raw.collector, "; ".join(defects))]


def _spool(raw: Raw, where: str) -> Table:
    """Whole lines of a spool; what was cut off at its end is left out."""
    text, defects = expanded(raw, where)
    lines = text[: text.rfind(b"\n") + 1]
    # Columns that are not wanted are decoded, too: one that cannot be is found however little is asked for.
    every = {**raw.wanted, **fields.schema(raw.collector)}
    try:
        frame = pl.read_ndjson(lines, schema=every)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _misfit(lines, every, raw.collector, where) or _undecodable(
            error, raw.collector, where
        ) from error
    return counted(frame.select(*raw.wanted), defects, raw, where)


def _flow_text(raw: Raw, where: str) -> Table:
    """Connections as Zeek or nfdump wrote them, with those of the wanted columns that they have."""
    text, defects = expanded(raw, where)
    if WALL not in raw.wanted:
        what = f"{raw.file.path} is stamped in Unix time: clock.sources must say wall"
        raise FaultError(what, where=where, code="columns", subject=raw.collector)
    flows = flow_texts.read(text.decode("utf-8", "replace"), where)
    table = flow_texts.typed(flows, where)
    if flows.cut:
        defects.append("the last line is cut off")
    frame, faults = counted(
        table.select(name for name in raw.wanted if name in table.columns), defects, raw, where
    )
    if unknown := [name for name in flow_texts.USED if name not in table.columns]:
        what = f"{flows.writer} does not say {', '.join(unknown)}: what is made of them is missing"
        if flows.assumed:
            what += f"; {flows.assumed}"
        faults.append(Fault("missing_fields", raw.collector, what))
    return frame, faults


def _misfit(lines: bytes, dtypes: Dtypes, collector: CollectorName, where: str) -> FaultError | None:
    """The first of JSON lines that is none, or whose value a column cannot hold; None where there is none."""
    for row, line in enumerate(lines.split(b"\n"), 1):
        try:
            record = from_json(line or b"{}")
        except ValueError:
            what = f"row {row:,} is no JSON: {visible(line.decode(errors='replace'), 60)}"
            return FaultError(what, where=where, code="decode", subject=collector)
        if not isinstance(record, dict):
            what = f"row {row:,} is no JSON object"
            return FaultError(what, where=where, code="decode", subject=collector)
        for name, dtype in dtypes.items():
            if (found := _unfit(record.get(name), dtype)) is not None:
                code, why = found
                what = f"row {row:,}: {name} is {visible(repr(record[name]), 60)}, {why}"
                return FaultError(what, where=where, code=code, subject=collector)
    return None


def _unfit(value: Any, dtype: type[pl.DataType]) -> tuple[str, str] | None:
    """The code and the reason why a column of `dtype` cannot hold `value`, None where it can."""
    if value is None or dtype is pl.String:
        return None
    if dtype is pl.Int64 and type(value) is int:
        if -(2**63) <= value < 2**63:
            return None
        return "values", "beyond a signed integer of 64 bits; write what could not be read as null"
    if type(value) is float and not math.isfinite(value):
        return "decode", "which is no JSON; write what could not be read as null"
    if dtype is pl.Float64 and type(value) in {int, float}:
        return None
    return "columns", f"and no {dtype()}"


def _undecodable(error: BaseException, collector: CollectorName, where: str) -> FaultError:
    what = visible(str(error).partition("\n")[0], 160)
    return FaultError(what, where=where, code="decode", subject=collector)
