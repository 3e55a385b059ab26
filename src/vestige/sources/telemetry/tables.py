"""The table of one source, from a sealed Parquet file or a spool of JSON lines in Zstandard frames."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import polars as pl

from vestige.errors import EvidenceError
from vestige.escaping import visible
from vestige.sources.expand import Expander
from vestige.sources.telemetry import fields
from vestige.sources.telemetry.faults import Fault, FaultError
from vestige.sources.telemetry.fields import MONO, RATE_HZ, SAMPLED, SEQ, WALL, SourceName
from vestige.sources.telemetry.manifest import File, Manifest

MAX_FLOWS = 5_000_000
"""Rows of `netflow`; those of a sampled source are bounded by how long the episode lasted."""
MAX_TABLE = 1 << 30
"""Bytes of a table in memory: so few rows can still hold texts without end."""
MAX_SPOOL = 256 << 20
"""Bytes of a spool, unpacked."""
MOST_SPOOL_RATIO_BYTES = 16 << 20
"""From so many bytes on a spool that packs a thousandfold is taken for a bomb."""


def stamp(source: SourceName, manifest: Manifest) -> str:
    """The column in which `source` is stamped, by the clock that the manifest names."""
    return WALL if manifest.clock.sources[source] == "wall" else MONO


def read(
    data: bytes, file: File, manifest: Manifest, columns: Sequence[str] | None, where: str
) -> tuple[pl.DataFrame, list[Fault]]:
    """The stamp (`t_wall_ns` or `t_mono_ns`, ns), `seq`, and `columns` (all raw columns by default).

    `data` are the file's bytes, their digest checked. The frame's dtypes are those of `fields`; columns that
    are not known are left out. Also gives defects that leave it usable (`truncated`). Raises FaultError
    (`bomb`, `columns`, `rows`, `decode`).
    """
    source: SourceName = file.source  # type: ignore[assignment]
    most = MAX_FLOWS if source not in SAMPLED else int(2 * RATE_HZ * manifest.seconds) + 60
    if file.rows > most:
        raise FaultError(f"{file.rows:,} rows, of {most:,} at most", where=where, code="bomb", subject=source)
    known = fields.schema(source)
    dtypes: dict[str, type[pl.DataType]] = {stamp(source, manifest): pl.Int64, SEQ: pl.Int64}
    dtypes |= known if columns is None else {name: known[name] for name in columns}
    if file.path.endswith(".parquet"):
        return _parquet(data, file, dtypes, known, where), []
    return _spool(data, file, dtypes, where)


def _parquet(
    data: bytes,
    file: File,
    dtypes: dict[str, type[pl.DataType]],
    known: dict[str, type[pl.DataType]],
    where: str,
) -> pl.DataFrame:
    every = dtypes | known
    try:
        if len(dtypes) < len(every):
            _check_columns(pl.read_parquet_schema(io.BytesIO(data)), every, file, where)
        # one row more than there should be: that there are too many is known without reading them all
        some = list(dtypes) if len(dtypes) < len(every) else None
        frame = pl.read_parquet(data, columns=some, n_rows=file.rows + 1)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _undecodable(error, file, where) from error
    if some is None:
        _check_columns(frame.schema, every, file, where)
    if frame.height != file.rows:
        shown = f"{frame.height:,}" if frame.height < file.rows else "more"
        raise FaultError(f"{shown} rows, not {file.rows:,}", where=where, code="rows", subject=file.source)
    if (size := frame.estimated_size()) > MAX_TABLE:
        raise FaultError(f"{size:,} bytes, unpacked", where=where, code="bomb", subject=file.source)
    if frame.width > len(dtypes):
        frame = frame.select(*dtypes)
    coded = [name for name, dtype in dtypes.items() if dtype is pl.String and frame[name].dtype != pl.String]
    return frame.with_columns(pl.col(coded).cast(pl.String)) if coded else frame


def _check_columns(
    found: Mapping[str, pl.DataType], wanted: dict[str, type[pl.DataType]], file: File, where: str
) -> None:
    """A text may come dictionary-encoded; everything else must be of the very dtype."""
    wrong = [name for name, dtype in wanted.items() if not _is(found.get(name), dtype)]
    if wrong:
        name = wrong[0]
        what = f"{name} is {found[name]}, not {wanted[name]()}" if name in found else f"{name} is missing"
        raise FaultError(what, where=where, code="columns", subject=file.source)


def _is(found: pl.DataType | None, wanted: type[pl.DataType]) -> bool:
    return found == wanted or (wanted == pl.String and isinstance(found, pl.Categorical | pl.Enum))


def _spool(
    data: bytes, file: File, dtypes: dict[str, type[pl.DataType]], where: str
) -> tuple[pl.DataFrame, list[Fault]]:
    """Whole lines of a spool; what was cut off at its end is left out."""
    expander = Expander(io.BytesIO(data), where, bomb_bytes=MOST_SPOOL_RATIO_BYTES)
    text = bytearray()
    try:
        for piece in expander.pieces():
            text += piece
            if len(text) > MAX_SPOOL:
                raise EvidenceError(f"unpacks to more than {MAX_SPOOL:,} bytes")
    except EvidenceError as error:
        raise FaultError(error.what, where=where, code="bomb", subject=file.source) from error
    del text[text.rfind(b"\n") + 1 :]
    try:
        frame = pl.read_ndjson(bytes(text), schema=dict(dtypes))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _undecodable(error, file, where) from error
    if frame.height > file.rows:
        raise FaultError(
            f"{frame.height:,} rows, not {file.rows:,}", where=where, code="rows", subject=file.source
        )
    defects = list(expander.defects)
    if frame.height < file.rows:
        defects.append(f"{frame.height:,} of {file.rows:,} rows")
    return frame, [Fault("truncated", file.source, "; ".join(defects))] if defects else []


def _undecodable(error: BaseException, file: File, where: str) -> FaultError:
    what = visible(str(error).partition("\n")[0], 160)
    return FaultError(what, where=where, code="decode", subject=file.source)
