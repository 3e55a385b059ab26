"""Memory maps as text: what the tools that people have write of a process's memory, as rows.

Read are `/proc/PID/maps`; tables with a header that names their columns (Volatility 2 and 3, CSV), whether
cut by tabs, commas, bars or blanks; JSON of the same tables; and `perf script --show-mmap-events`. A table is
understood by the names of its columns alone: where these say nothing, no number in it is taken for an
address.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from vestige.errors import EvidenceError

MOST_REGIONS = 100_000
REMEDY = (
    "give /proc/PID/maps, Volatility's ldrmodules, dlllist or linux.proc.Maps, CSV with the header "
    "start,end,file, or perf script --show-mmap-events"
)
LAST_ADDRESS = (1 << 64) - 1


class Row(NamedTuple):
    """A line of a map. `end`: the first address after; `offset`: of `start` in the file; None: not said."""

    start: int
    end: int | None
    file: str
    process: str = ""
    offset: int | None = None
    pid: int | None = None


@dataclass(frozen=True)
class Map:
    """The rows of a map in their order; `skipped` lines were no region; `form` is what it was read as."""

    rows: list[Row]
    skipped: int
    form: str


Rows = Iterator[Row | None]
"""A row for each line that is a region, None for each that is none."""

_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,16}", re.ASCII)
_BARE = re.compile(r"(?=[0-9a-fA-F]{0,15}[a-fA-F])(?=[a-fA-F]{0,15}\d)[0-9a-fA-F]{5,16}", re.ASCII)
PAGE = 4096
"""Where regions of memory begin, a multiple of this."""
_PROC = re.compile(
    r"([0-9a-fA-F]{1,16})-([0-9a-fA-F]{1,16}) +[-rwxspX?]{4} +([0-9a-fA-F]{1,16}) +[0-9a-fA-F]+:[0-9a-fA-F]+"
    r" +\d+"
    r"(?: +(.*))?",
    re.ASCII,
)
_PERF = re.compile(
    r"(?:\s*(?P<comm>\S.{0,40}?)\s+-?\d+(?:/-?\d+)?\s+(?:\[\d+\]\s+)?[\d.]+:\s+)?.{0,80}?"
    r"PERF_RECORD_MMAP2? (?P<pid>-?\d+)/-?\d+: \[(?P<start>0x[0-9a-f]{1,16})\((?P<size>0x[0-9a-f]{1,16})\)"
    r" @ (?P<offset>(?:0x)?[0-9a-f]{1,16})[^\]]*\]: \S+ (?P<file>.*)",
    re.ASCII,
)
_DASHES = re.compile(r" *-{2,}(?: +-{2,})+ *")
_LISTED_PROCESS = re.compile(r"(\S.*?) +pid: +(\d+) *", re.ASCII)
_FIXED_START, _FIXED_PROCESS, _FIXED_FILE = slice(30, 48), slice(9, 29), slice(69, None)
"""Columns of Volatility 2's `ldrmodules` of a 64-bit machine, for a listing whose header was cut away."""
MOST_LINES_BEFORE, LONGEST_HEADER = 100, 4096
"""Lines of a file within which its header is, and how long it is at most."""
MOST_JSON_STARTS = 8
"""Lines of a file at which JSON may begin: all after them is looked at each time."""
MISSING = frozenset({"", "-", "n/a", "none"})
"""How tables say that a cell has no value."""
STARTS = ("start", "base", "startvpn", "loadaddress", "baseaddress", "startaddress", "startaddr")
ENDS, LASTS, SIZES = ("end", "endaddress", "endaddr"), ("endvpn",), ("size",)
FILES = ("mappedpath", "filepath", "path", "file", "mapname", "objfile")
PROCESSES, PIDS, OFFSETS = ("process", "processname"), ("pid", "processid"), ("pgoff",)
_PAIRS = re.compile(
    r"\b(file|start|end|map|load|base) (path|output|vpn|name|count|time|address|addr)\b", re.IGNORECASE
)


class _BareError(ValueError):
    """A hexadecimal address without 0x."""


def parse(text: str, where: Path | str = "") -> Map:
    """The rows of a map. Raises EvidenceError for a table with a header that is not understood, and for more
    than `MOST_REGIONS` regions."""
    rows: list[Row] = []
    skipped = 0
    form, found = _reader(text, where)
    try:
        for row in found:
            if row is None:
                skipped += 1
            else:
                rows.append(row)
                if len(rows) > MOST_REGIONS:
                    raise EvidenceError(f"more than {MOST_REGIONS} regions", where=where)
        if rows and all(row.start % PAGE and _is_page(str(row.start)) for row in rows):
            raise _BareError(str(rows[0].start))
    except _BareError as error:
        raise EvidenceError(
            f"addresses such as {error} are hexadecimal, and have no 0x: numbers without are decimal",
            where=where,
            remedy="write 0x before the addresses",
        ) from error
    return Map(rows, skipped, form)


def _is_page(text: str) -> bool:
    """Whether digits, taken as hexadecimal, are where a page begins."""
    return int(text, 16) % PAGE == 0


def _address(text: str) -> int | None:
    """The address at which a region begins; None where this is no number. Raises _BareError for a hexadecimal
    one without 0x."""
    if _BARE.fullmatch(text.strip()):
        raise _BareError(text.strip())
    return number(text)


def number(text: Any) -> int | None:
    """A decimal number, or a hexadecimal one with 0x, that fits 64 bits."""
    text = str(text).strip()
    if _HEX.fullmatch(text):
        return int(text, 16)
    if re.fullmatch(r"\d{1,20}", text, re.ASCII) and int(text) <= LAST_ADDRESS:
        return int(text)
    return None


def _reader(text: str, where: Path | str) -> tuple[str, Rows]:
    """What the map is, by its first line that says so."""
    # A name may hold any separator but the line end: splitlines would cut it at others.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    json_starts = headers = 0
    for at, line in enumerate(lines):
        if not line:
            continue
        if _PROC.fullmatch(line):
            return "/proc/PID/maps", _proc_maps(lines)
        if "PERF_RECORD_MMAP" in line:
            return "perf script's mmap events", _perf_events(lines)
        if line.startswith(("[", "{")) and json_starts < MOST_JSON_STARTS:
            json_starts += 1
            objects = _objects(lines[at:])
            if objects is not None:
                return "a table in JSON", _json_table(objects, where)
        if headers < MOST_LINES_BEFORE and line.strip():
            headers += 1
            table = _header(line, lines[at + 1] if at + 1 < len(lines) else "")
            if table is not None:
                return table.form, _table(table, lines, at)
    return _headless(lines, where)


def _headless(lines: list[str], where: Path | str) -> tuple[str, Rows]:
    """A map without a header, told by its first line."""
    first = next((line for line in lines if line.strip()), "")
    if len(first) >= _FIXED_START.stop and _HEX.fullmatch(first[_FIXED_START].strip()):
        return "Volatility's ldrmodules", _fixed(lines)
    cells = _cells(first)
    if len(cells) == 3 and all(number(cell) is not None for cell in cells[:2]):
        return "CSV of start, end and file", _plain_csv(lines)
    for line, following in pairwise([*lines[:MOST_LINES_BEFORE], ""]):
        if _looks_like_a_header(line, following):
            raise EvidenceError(
                f"its header is not understood: {line.strip()[:120]!r}", where=where, remedy=REMEDY
            )
    return "no map", (None for line in lines if line.strip())


def _looks_like_a_header(line: str, following: str) -> bool:
    """Whether a line names columns: several cells, none of which is a number; or with dashes below it."""
    line, following = line[:LONGEST_HEADER], following[:LONGEST_HEADER]
    if line.strip() and _DASHES.fullmatch(following):
        return True
    for delimiter in ("\t", ",", "|", ";"):
        cells = [cell.strip() for cell in line.split(delimiter)]
        if len(cells) > 2:
            return not any(number(cell) is not None for cell in cells)
    return False


def _proc_maps(lines: list[str]) -> Rows:
    for line in lines:
        match = _PROC.fullmatch(line)
        if match:
            file = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), match[4] or "")
            yield Row(int(match[1], 16), int(match[2], 16), file, offset=int(match[3], 16))
        elif line.strip():
            yield None


def _perf_events(lines: list[str]) -> Rows:
    """Lines of other events are no part of the map; those of pid -1 and 0 are the kernel's own."""
    for line in lines:
        if "PERF_RECORD_MMAP" not in line:
            continue
        match = _PERF.match(line)
        if match is None:
            yield None
        elif int(match["pid"]) > 0:
            start, size = int(match["start"], 16), int(match["size"], 16)
            comm = (match["comm"] or "").strip()
            yield Row(start, start + size, match["file"], comm, int(match["offset"], 16), int(match["pid"]))


def _fixed(lines: list[str]) -> Rows:
    for line in lines:
        start = line[_FIXED_START].strip()
        if _HEX.fullmatch(start):
            process = line[_FIXED_PROCESS].strip()
            yield Row(
                int(start, 16), None, line[_FIXED_FILE], process, pid=number(line[: _FIXED_PROCESS.start])
            )
        elif line.strip():
            yield None


def _plain_csv(lines: list[str]) -> Rows:
    """`end` is the first address after the region. Numbers are decimal, or hexadecimal with 0x."""
    for line in filter(str.strip, lines):
        start, end, file = (*_cells(line), "", "", "")[:3]
        first, behind = _address(start), number(end)
        if first is None or behind is None or line.count(",") < 2:
            yield None
        else:
            yield Row(first, behind, file)


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])  # alone: an open quote ends with its line
    except csv.Error:
        return []


def _split(line: str, by: str) -> list[str]:
    if by == ",":
        return _cells(line)
    return line.split(by)


Cut = Callable[[str], Sequence[Any]]


@dataclass(frozen=True)
class _Table:
    """How the rows of a table are cut into cells, and which cell is what: places in `names`; -1 for none."""

    cut: Cut
    names: tuple[str, ...]

    def at(self, names: tuple[str, ...]) -> int:
        """The first column of any of these names."""
        return next((self.names.index(name) for name in names if name in self.names), -1)

    @property
    def understood(self) -> bool:
        """Whether it says where regions begin, and which file they are."""
        return self.at(STARTS) >= 0 and self.at((*FILES, "name")) >= 0

    @property
    def form(self) -> str:
        """What people call such a table, by the columns that only it has."""
        tools = {
            "mappedpath": "Volatility's ldrmodules",
            "loadcount": "Volatility's dlllist",
            "loadtime": "Volatility's dlllist",
            "pgoff": "Volatility's linux.proc.Maps",
        }
        named = (tool for column, tool in tools.items() if column in self.names)
        columns = [self.names[self.at(names)] for names in (STARTS, (*FILES, "name"))]
        return next(named, f"a table with the columns {' and '.join(columns)}")

    def row(self, cells: Sequence[Any]) -> Row | None:
        """A row of the table as a region; None where it is none."""
        values = ["" if _is_missing(cell) else str(cell).strip() for cell in cells]
        values += [""] * (len(self.names) - len(values))

        def value(names: tuple[str, ...]) -> str:
            column = self.at(names)
            return values[column] if column >= 0 else ""

        start = _address(value(STARTS))
        if start is None:
            return None
        end, last, size = number(value(ENDS)), number(value(LASTS)), number(value(SIZES))
        if end is None and last is not None:
            end = last + 1
        if end is None and size:
            end = start + size
        file, process = value(FILES), value(PROCESSES)
        if "name" in self.names:
            # In some tables the name of the process, in others that of the module beside its path.
            if self.at(PROCESSES) < 0 and self.at(FILES) >= 0:
                process = value(("name",))
            else:
                file = file or value(("name",))
        return Row(start, end, file, process, number(value(OFFSETS)), number(value(PIDS)))


def _is_missing(cell: Any) -> bool:
    return cell is None or str(cell).strip().casefold() in MISSING


def _names(cells: Iterable[Any]) -> tuple[str, ...]:
    return tuple(re.sub(r"[ _]", "", str(cell)).casefold() for cell in cells)


def _header(line: str, following: str) -> _Table | None:
    """The table that begins with this header, if it is one that says where regions begin; `following` is the
    line after it, in some tables dashes that show the columns' widths."""
    line = line.rpartition("\r")[2]  # a progress bar may stand before it
    if len(line) > LONGEST_HEADER:
        return None
    if len(following) <= LONGEST_HEADER and _DASHES.fullmatch(following):
        spans = [match.span() for match in re.finditer(r"-+", following)]
        columns = [slice(start, end) for start, end in spans[:-1]] + [slice(spans[-1][0], None)]
        widths = _Table(lambda row: [row[column] for column in columns], _names(line[c] for c in columns))
        if widths.understood:
            return widths
    for delimiter in ("\t", ",", "|", ";"):
        cut: Cut = partial(_split, by=delimiter)
        table = _Table(cut, _names(cut(line)))
        if table.understood:
            return table
    joined = _PAIRS.sub(r"\1\2", line)
    words = _names(joined.split())
    table = _Table(lambda row: row.split(maxsplit=len(words) - 1), words)
    if table.understood and len(words) > 2 and words[0] in {*PIDS, *STARTS, *PROCESSES, "name", "offset"}:
        return table
    return None


def _table(table: _Table, lines: list[str], header: int) -> Rows:
    """Regions of a table; of a listing of several processes, each under its name, with that name and pid."""
    process, pid = "", None
    seen = lines[header]
    for at, line in enumerate(lines):
        named = _LISTED_PROCESS.fullmatch(line)
        if named is not None:
            process, pid = named[1], number(named[2])
        elif at > header and line.strip() and line != seen and not re.fullmatch(r"[-*| +]+", line):
            row = table.row(table.cut(line))
            if row is not None and row.pid is None:
                row = row._replace(process=row.process or process, pid=pid)
            if row is None and line.startswith(("Command line", "Service Pack", "Unable to read PEB")):
                continue
            yield row


def _objects(lines: list[str]) -> list[Any] | None:
    """The objects of a list in JSON, or of a line each; None where this is no JSON."""
    try:
        found = json.loads("\n".join(lines))
    except (ValueError, RecursionError):
        found = _json_lines(lines)
    if isinstance(found, dict) and isinstance(found.get("columns"), list):
        names = found["columns"]
        rows = found.get("rows")
        if not isinstance(rows, list):
            rows = []
        return [dict(zip(map(str, names), row, strict=False)) for row in rows if isinstance(row, list)]
    if isinstance(found, dict):
        return [found]
    if isinstance(found, list):
        return found
    return None


def _json_lines(lines: list[str]) -> list[Any] | None:
    try:
        return [json.loads(line) for line in lines if line.strip()]
    except (ValueError, RecursionError):
        return None


def _json_table(objects: list[Any], where: Path | str) -> Rows:
    for entry in objects:
        if not isinstance(entry, dict):
            yield None
            continue
        table = _Table(lambda row: row, _names(entry))
        if not table.understood:
            raise EvidenceError(
                f"its fields are not understood: {', '.join(map(str, entry))[:120]!r}",
                where=where,
                remedy=REMEDY,
            )
        yield table.row(list(entry.values()))
