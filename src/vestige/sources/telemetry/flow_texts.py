"""Connections as Zeek and nfdump write them: `conn.log` (TSV or JSON lines) and nfdump's CSV.

What a file is, is told by its content. Columns are called as ours are (see `fields`), and one that the
format does not have is no column of the table: what is made of it is then missing, and never 0.

- Zeek, https://docs.zeek.org/en/master/logs/conn.html and .../log-formats.html: lines that begin with `#`
  name the fields and how unset ones are written. As JSON, addresses and ports may be called `id.orig_h`,
  `id_orig_h`, or lie in an object `id`; times are seconds, milliseconds or ISO 8601.
- nfdump, nfdump(1), `-o csv`: up to 1.7.4 with columns `ts,te,td,sa,da,sp,dp,pr,...`, since then `firstSeen,
  duration,proto,srcAddr,...` or whatever was asked for, and `-o csv-fast`. The initiator is the source. Times
  are local ones, without a zone: they are read as UTC. An ICMP message has its type and code in the
  destination's port, as `3.1` or as 256 times the type more than the code; Zeek has the type in the
  originator's port, and so do we. Neither services nor states are known. Where no flow has anything that
  came back, replies are flows of their own, or were not recorded: that is not known, either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl
from pydantic_core import from_json

from vestige.escaping import visible
from vestige.sources.telemetry import fields
from vestige.sources.telemetry.faults import FaultError
from vestige.sources.telemetry.fields import SEQ, WALL

STAMP, ROW, LINE = "ts", "row", "line"
NETFLOW = fields.schema("netflow")
MOST_FIELDS = 500
"""Columns of a file: no format has so many."""
MOST_CELLS = 1 << 26
"""Of a file: each takes 16 bytes of memory and more."""
MOST_HEADERS = 100
"""Times that a log may name other fields than before."""
IDS = ("orig_h", "orig_p", "resp_h", "resp_p")
ALWAYS = (STAMP, "uid", *(f"id.{name}" for name in IDS), "proto", "conn_state")
"""What every connection of a log has."""
JSON: Mapping[str, pl.DataType] = {
    STAMP: pl.String(),
    "id": pl.Struct(dict.fromkeys(IDS, pl.String())),
    **{f"id_{name}": pl.String() for name in IDS},
    **dict.fromkeys(NETFLOW, pl.String()),
}
"""Fields of a connection in JSON; all of them are taken as the texts that they are."""
NFDUMP: Mapping[str, str] = {
    "ts": STAMP, "firstSeen": STAMP,
    "td": "duration", "duration": "duration",
    "sa": "id.orig_h", "srcAddr": "id.orig_h", "sp": "id.orig_p", "srcPort": "id.orig_p",
    "da": "id.resp_h", "dstAddr": "id.resp_h", "dp": "id.resp_p", "dstPort": "id.resp_p",
    "pr": "proto", "proto": "proto",
    "ipkt": "orig_pkts", "packets": "orig_pkts", "inPackets": "orig_pkts",
    "ibyt": "orig_bytes", "bytes": "orig_bytes", "inBytes": "orig_bytes",
    "opkt": "resp_pkts", "outPackets": "resp_pkts", "obyt": "resp_bytes", "outBytes": "resp_bytes",
}  # fmt: skip
"""Columns of nfdump's CSV, of 1.6 and of 1.7, by what they are called here."""
PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmp6"}
"""Names of protocols by their numbers (IANA)."""
SECONDS, ISO = r"^\d{1,19}(\.\d*)?$", r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?$"
MILLISECONDS = 10**11
"""From so many on, seconds since 1970 are milliseconds: as seconds they were of the year 5138."""


AMOUNTS = ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts")
USED = ("id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "conn_state", *AMOUNTS)
"""The columns of connections that channels are made of."""


class Flows(NamedTuple):
    """Connections as texts: what wrote them, and a row each, with `row`, where it stands in the file."""

    writer: str
    cells: pl.DataFrame
    cut: bool
    """Whether the last line is not whole; then it is no row."""
    assumed: str = ""
    """What was taken for granted."""


def read(text: str, where: str) -> Flows:
    """The connections in `text`, with those of our columns that it has, still as texts.

    Raises FaultError: `columns` where it is of no format that is known here, `decode` where a line does not
    fit the others.
    """
    begin = text[:4096].lstrip()
    if begin.startswith("#") and "#fields" in text:
        return _zeek(text, where)
    if begin.startswith("{"):
        return _json(text, where)
    header = begin.partition("\n")[0].rstrip("\r").split(",")
    if STAMP in {NFDUMP.get(name) for name in header} and {"sa", "srcAddr"} & set(header):
        return _nfdump(text, header, where)
    what = f"neither Zeek's conn.log nor nfdump's CSV: it begins with {visible(begin[:40])!r}"
    raise _fault("columns", what, where)


def typed(flows: Flows, where: str) -> pl.DataFrame:
    """`t_wall_ns` (Unix ns), `seq`, and our columns that the file has, sorted by beginning as when sealed.

    Raises FaultError `columns` for a text that is not what its column holds, with the row.
    """
    cells = flows.cells
    columns = [_unix_ns(cells, where)]
    for name, dtype in NETFLOW.items():
        if name in cells.columns:
            columns.append(_cast(cells, name, dtype, where))
    frame = pl.DataFrame(columns).sort(WALL, maintain_order=True)
    return frame.insert_column(1, pl.Series(SEQ, range(len(frame)), dtype=pl.Int64))


def _zeek(text: str, where: str) -> Flows:
    """A log as lines of cells, by the fields that the last header before them names."""
    lines = _lines(text)
    comment = pl.col(LINE).str.starts_with("#")
    headers = lines.filter(pl.col(LINE).str.starts_with("#fields"))
    # Logs that were rotated and joined name the same fields again and again.
    headers = headers.filter(pl.col(LINE).ne_missing(pl.col(LINE).shift(1)))
    if not len(headers):
        raise _fault("columns", "no line begins with #fields", where)
    if len(headers) > MOST_HEADERS:
        raise _fault("decode", f"{len(headers):,} lines that name other fields", where)
    separator, unset, empty = "\t", "-", "(empty)"
    for line in lines.filter(comment).head(20)[LINE].to_list():
        if line.startswith("#separator "):
            separator = _unescaped(line.removeprefix("#separator ").strip()) or separator
        word, _, value = line.partition(separator)
        if word == "#unset_field":
            unset = value
        elif word == "#empty_field":
            empty = value
    rows = lines.filter(~comment)
    parts, cut = [], False
    starts = headers[ROW].to_list()
    for at, (row, header) in enumerate(headers.iter_rows()):
        names = header.split(separator)[1:]
        until = starts[at + 1] if at + 1 < len(starts) else len(lines) + 1
        block = rows.filter(pl.col(ROW).is_between(row, until, closed="none"))
        part, torn = _cells(block, separator, names, whole=text.endswith("\n"), last=len(lines), where=where)
        parts.append(part)
        cut = cut or torn
    cells = pl.concat(parts, how="diagonal")
    nothing = [pl.col(name).replace({unset: None, empty: None}) for name in cells.columns if name != ROW]
    return Flows("Zeek's conn.log", _needed(cells.with_columns(nothing), where), cut)


def _json(text: str, where: str) -> Flows:
    """A log of JSON lines. Its last line may not be whole."""
    cut = not text.endswith("\n")
    whole = text if not cut else text[: text.rfind("\n") + 1]
    try:
        found = pl.read_ndjson(whole.encode(), schema=JSON)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _fault("decode", _no_object(whole) or str(error).partition("\n")[0], where) from error
    ids = [
        pl.coalesce(f"id.{name}", f"id_{name}", pl.col("id").struct.field(name)).alias(f"id.{name}")
        for name in IDS
    ]
    cells = found.with_columns(ids).drop("id", *(f"id_{name}" for name in IDS))
    # JSON leaves out what is not set. Unknown is what every connection has, and none has here.
    unknown = [name for name in ALWAYS if len(cells) and cells[name].null_count() == len(cells)]
    cells = cells.drop(unknown).with_row_index(ROW, offset=1)
    return Flows("Zeek's conn.log", _needed(cells, where), cut)


def _no_object(text: str) -> str:
    """Which line of a text is the first that is no JSON object; nothing where all of them are."""
    for row, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = from_json(line, allow_inf_nan=False)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            return f"row {row:,} is no JSON object"
    return ""


def _nfdump(text: str, header: list[str], where: str) -> Flows:
    lines = _lines(text).filter(pl.col(LINE).str.strip_chars().str.len_bytes() > 0)
    end = lines.filter(pl.col(LINE).str.contains(r"^(Summary|Time window|No match(?:ed|ing) flows)"))
    last = len(text)
    if len(end):
        last = end[ROW][0]
    rows = lines.filter((pl.col(ROW) < last) & (pl.col(LINE) != ",".join(header)))
    whole = text.endswith("\n") or bool(len(end))
    final = lines[ROW].max()
    cells, cut = _cells(rows, ",", header, whole=whole, last=int(str(final)), where=where)
    names = {name: ours for name, ours in NFDUMP.items() if name in header}
    if len(set(names.values())) < len(names):
        raise _fault("columns", f"two columns for one thing among {', '.join(names)}", where)
    cells = cells.select(ROW, *names).rename(names)
    cells = cells.with_columns(pl.col(*names.values()).str.strip_chars())
    if "proto" in cells.columns:
        cells = cells.with_columns(pl.col("proto").str.to_lowercase().replace(PROTOCOLS))
        cells = _icmp(cells)
    replies = [name for name in ("resp_pkts", "resp_bytes") if name in cells.columns]
    if all(cells[name].is_in(["0", ""]).all() for name in replies):
        cells = cells.drop(replies)
    cells = _needed(cells, where)
    assumed = ""
    if cells[STAMP].str.contains(" ", literal=True).any():
        assumed = "its times are read as UTC"
    return Flows("nfdump's CSV", cells, cut, assumed)


def _icmp(cells: pl.DataFrame) -> pl.DataFrame:
    """Type and code of ICMP messages where Zeek has them: in the originator's and the responder's port."""
    if not {"id.orig_p", "id.resp_p"} <= set(cells.columns):
        return cells
    port = pl.col("id.resp_p")
    icmp = pl.col("proto").is_in(["icmp", "icmp6"])
    number = port.cast(pl.Int64, strict=False)
    kind = pl.coalesce(port.str.extract(r"^(\d+)\.\d+$"), (number // 256).cast(pl.String))
    code = pl.coalesce(port.str.extract(r"^\d+\.(\d+)$"), (number % 256).cast(pl.String))
    return cells.with_columns(
        pl.when(icmp).then(kind).otherwise(pl.col("id.orig_p")).alias("id.orig_p"),
        pl.when(icmp).then(code).otherwise(port).alias("id.resp_p"),
    )


def _lines(text: str) -> pl.DataFrame:
    """`row` (from 1) and `line` of a text, without ends of lines; blank lines are none."""
    split = pl.Series(LINE, [text]).str.split("\n").explode()
    lines = split.to_frame().with_row_index(ROW, offset=1)
    lines = lines.with_columns(pl.col(LINE).str.strip_suffix("\r"))
    return lines.filter(pl.col(LINE) != "")


def _cells(
    lines: pl.DataFrame, separator: str, names: Sequence[str], *, whole: bool, last: int, where: str
) -> tuple[pl.DataFrame, bool]:
    """`row` and the cells of lines, by name, and whether the file's last line was cut off and left out."""
    if not 0 < len(names) <= MOST_FIELDS or len(set(names)) < len(names):
        raise _fault("columns", f"{len(names):,} columns, or two of one name", where)
    if len(names) * len(lines) > MOST_CELLS:
        raise _fault("bomb", f"{len(lines):,} rows of {len(names):,} columns", where)
    found = lines[LINE].str.split_exact(separator, len(names)).struct.unnest()
    found = found.rename({f"field_{at}": f"\0{at}" for at in range(len(names) + 1)})
    wrong = found[f"\0{len(names) - 1}"].is_null() | found[f"\0{len(names)}"].is_not_null()
    rows = lines[ROW].to_frame()
    cut = bool(len(wrong)) and not whole and rows[ROW][-1] == last
    if cut:
        found, rows, wrong = found[:-1], rows[:-1], wrong[:-1]
    if wrong.any():
        row = rows.filter(wrong)[ROW][0]
        raise _fault("decode", f"row {row:,} has not {len(names):,} fields, as the others have", where)
    cells = [found[f"\0{at}"].alias(name) for at, name in enumerate(names)]
    return pl.DataFrame([rows[ROW], *cells]), cut


def _needed(cells: pl.DataFrame, where: str) -> pl.DataFrame:
    """The columns that are ours. Raises FaultError `columns` where there are no times."""
    if STAMP not in cells.columns:
        raise _fault("columns", f"no column says when a connection began ({STAMP})", where)
    return cells.select(ROW, STAMP, *(name for name in NETFLOW if name in cells.columns))


def _unix_ns(cells: pl.DataFrame, where: str) -> pl.Series:
    """When each connection began: seconds or milliseconds since 1970, or a date and a time, UTC where no zone
    is named. They are taken as the decimals that they are: a float would be off by hundreds of ns."""
    time = pl.col(STAMP)
    whole = time.str.extract(r"^(\d+)").cast(pl.Int64, strict=False)
    fraction = time.str.extract(r"\.(\d{1,9})").str.pad_end(9, "0").cast(pl.Int64)
    number = whole * 10**9 + fraction.fill_null(0)
    number = (
        pl.when(whole >= MILLISECONDS).then(whole * 10**6 + fraction.fill_null(0) // 1000).otherwise(number)
    )
    zone = time.str.extract(r"([+-]\d\d:?\d\d)$").str.replace(":", "", literal=True)
    minutes = zone.str.slice(1, 2).cast(pl.Int64) * 60 + zone.str.slice(3, 2).cast(pl.Int64)
    offset = pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes).fill_null(0)
    day = time.str.slice(0, 10) + "T" + time.str.slice(11, 8)
    date = day.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ns", strict=False).cast(pl.Int64)
    date = date - offset * 60 * 10**9 + fraction.fill_null(0)
    least = pl.lit(2**62 // 10**9)  # what the nanoseconds of an int64 can count
    stamped = (
        pl.when(time.str.contains(SECONDS) & ((whole < least) | (whole >= MILLISECONDS)))
        .then(number)
        .when(time.str.contains(ISO))
        .then(date)
    )
    found = cells.select(stamped.alias(WALL)).to_series()
    _refuse_first(cells, found.is_null(), STAMP, "no time", where)
    return found


def _cast(cells: pl.DataFrame, name: str, dtype: type[pl.DataType], where: str) -> pl.Series:
    texts = cells[name]
    if dtype is pl.String:
        return texts
    found = texts.cast(dtype, strict=False)
    _refuse_first(cells, found.is_null() & texts.is_not_null(), name, f"no {dtype()}", where)
    return found


def _refuse_first(cells: pl.DataFrame, wrong: pl.Series, name: str, what: str, where: str) -> None:
    if wrong.any():
        first = cells.filter(wrong)
        shown = visible(repr(first[name][0]), 60)
        raise _fault("columns", f"row {first[ROW][0]:,}: {name} is {shown}, and {what}", where)


def _unescaped(text: str) -> str:
    r"""A separator as Zeek names it, such as `\x09`."""
    return re.sub(r"\\x([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), text)


def _fault(code: str, what: str, where: str) -> FaultError:
    return FaultError(visible(what, 200), where=where, code=code, subject="netflow")
