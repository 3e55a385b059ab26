"""Memory maps: which module an address lies in, whatever the address space was randomised to.

Read are the listing of Volatility's `ldrmodules` (starts only), the text of `/proc/PID/maps`, and CSV
`start,end,file`; each also as `.gz`. A module is the name of its file, without its path and in lower case.
What a map says is evidence, and may be wrong or hostile: lines that say nothing are counted and left out.
"""

from __future__ import annotations

import csv
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vestige.errors import EvidenceError
from vestige.evidence.expand import Expander
from vestige.sources.traces.corpus import decoded
from vestige.sources.traces.regions import ANONYMOUS, Regions

SPECIAL = ("<nowhere>", "<unmapped>", "<no file>")
"""Names of the modules NOWHERE, UNMAPPED and ANONYMOUS: `identity` calls no file so."""
MODULE_BYTES = 16 << 20
"""How far a module reaches at most where the map does not say where it ends."""
MOST_BYTES, MOST_REGIONS, MOST_MODULES = 32 << 20, 100_000, 60_000
LONGEST_NAME = 255
_LAST = (1 << 64) - 1
_OURS = str.maketrans("<>", "()")

_LDR_START, _LDR_FILE = slice(30, 48), slice(69, None)
_LDR_PROCESS = slice(9, 29)
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,16}", re.ASCII)
_PROC = re.compile(
    r"([0-9a-fA-F]{1,16})-([0-9a-fA-F]{1,16}) +[-rwxspX?]{4} +([0-9a-fA-F]{1,16}) +[0-9a-fA-F]+:[0-9a-fA-F]+"
    r" +\d+"
    r"(?: +(.*))?",
    re.ASCII,
)
_ANONYMOUS = re.compile(r"\[(?:heap|stack|anon)\b|//anon|/dev/zero|/memfd:|/sysv[0-9a-f]{8}|anon_inode:")


class Row(NamedTuple):
    """A line of a map. `end`: the first address after; `offset`: of `start` in the file; None: not said."""

    start: int
    end: int | None
    file: str
    process: str = ""
    offset: int | None = None


@dataclass(frozen=True)
class MemoryMap:
    """Where things lie in one process. `names` of the modules by number; the first three are `SPECIAL`.

    `program`: the module that was run, as far as the map tells. `skipped`: lines that said nothing.
    """

    regions: Regions
    names: tuple[str, ...]
    program: str = ""
    skipped: int = 0


def identity(file: str) -> str:
    """The module that a mapped file is: its name alone, lower case; "" where it is no file. Names in angle
    brackets are our own (`SPECIAL`, tokens), and what UTF-8 has no bytes for is escaped."""
    name = file.strip().removesuffix("(deleted)").strip().casefold()
    if not name or _ANONYMOUS.match(name):
        return ""
    name = re.split(r"[/\\]", name.rstrip("/\\"))[-1][:LONGEST_NAME]
    return name.translate(_OURS).encode("utf-8", errors="backslashreplace").decode()


def read_map(path: Path, *, module_bytes: int = MODULE_BYTES) -> MemoryMap:
    """The regions of a map file; true ends are taken from `ranges.json` beside it, where there is one.

    Ranges do not stand in for a map: it alone tells the program, and half a map makes strangers of modules.
    Raises EvidenceError where either file cannot be read whole or is absurdly large, or the map is none.
    """
    rows, skipped = parse(_text(path), path)
    beside = path.parent / "ranges.json"
    if rows and os.path.lexists(beside):
        # Where both name a region, the ranges are believed: they have its end; the map has its process.
        known = {row.start: row for row in _ranges(beside)}
        process = {row.start: row.process for row in rows}
        rows = [row for row in rows if row.start not in known]
        rows += [row._replace(process=process.get(row.start, "")) for row in known.values()]
    found = lay_out(rows, module_bytes=module_bytes, skipped=skipped)
    if not len(found.regions.starts):
        raise EvidenceError(f"no line of {path.name} is a region of memory", where=path, remedy=REMEDY)
    return found


REMEDY = "give Volatility's ldrmodules listing, /proc/PID/maps, or CSV with start,end,file"


def parse(text: str, where: Path | str = "") -> tuple[list[Row], int]:
    """The lines of a map in their order, and how many were no region. Raises EvidenceError."""
    rows: list[Row] = []
    skipped = 0
    # A name may hold any separator but the line end: splitlines would cut it at others.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    for row in _reader(lines)(lines):
        if row is None:
            skipped += 1
        else:
            rows.append(row)
            if len(rows) > MOST_REGIONS:
                raise EvidenceError(f"more than {MOST_REGIONS} regions", where=where)
    return rows, skipped


def lay_out(rows: list[Row], *, module_bytes: int = MODULE_BYTES, skipped: int = 0) -> MemoryMap:
    """Rows as regions: sorted, ends found, overlaps cut at the later start.

    A region without an end reaches to the next start, `module_bytes` at most. Offsets in a module count from
    where its file begins in memory: where the map does not say that, from its first neighbouring region.
    """
    # Of regions that begin at one address the last stays: one without an end, or else the shortest.
    ordered = sorted(rows, key=lambda row: (row.start, -(row.end or 0)))
    names = {name: at for at, name in enumerate(SPECIAL)}
    found: list[tuple[int, int, int, int]] = []
    for at, row in enumerate(ordered):
        following = _LAST
        if at + 1 < len(ordered):
            following = ordered[at + 1].start
        stated = row.end
        if stated is None:
            stated = row.start + module_bytes
        end = min(stated, following, _LAST)
        if end <= row.start:
            skipped += 1
            continue
        name = identity(row.file)
        module = ANONYMOUS
        if name:
            module = names.setdefault(name, len(names))
        if len(names) > MOST_MODULES:
            raise EvidenceError(f"the map names more than {MOST_MODULES} modules")
        base = row.start
        if row.offset is not None and row.offset <= row.start:
            base -= row.offset
        if row.offset is None and found and found[-1][2] == module:
            # Without an offset, a region that follows another of its module goes on with that.
            base = found[-1][3]
        found.append((row.start, end, module, base))
    starts, ends, modules, bases = list(zip(*found, strict=True)) or [(), (), (), ()]
    regions = Regions(
        np.array(starts, dtype=np.uint64),
        np.array(ends, dtype=np.uint64),
        np.array(modules, dtype=np.uint16),
        np.array(bases, dtype=np.uint64),
    )
    return MemoryMap(regions, tuple(names), _program(rows), skipped)


def _program(rows: list[Row]) -> str:
    """The module whose name begins like the process (listings cut it off), or the first that has a file."""
    for row in rows:
        process, name = row.process.casefold(), identity(row.file)
        if process and name and (name.startswith(process) or process.startswith(name)):
            return name
    return next((name for row in rows if (name := identity(row.file))), "")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            expander = Expander(file, str(path), bomb_bytes=MOST_BYTES)
            pieces = []
            for piece in expander.pieces():
                pieces.append(piece)
                if expander.given > MOST_BYTES:
                    raise EvidenceError(f"a map of more than {MOST_BYTES >> 20} MiB", where=path)
    except OSError as error:
        raise EvidenceError(f"{path.name} cannot be read: {error.strerror}", where=path) from error
    if expander.defects:
        raise EvidenceError(f"{path.name}: {expander.defects[0]}", where=path, remedy="pack it again")
    return decoded(b"".join(pieces))


Reader = Callable[[list[str]], Iterator[Row | None]]


def _reader(lines: list[str]) -> Reader:
    """By the first line that is a region in one of the three forms."""
    for line in lines:
        if _HEX.fullmatch(line[_LDR_START].strip()) and len(line) >= 48:
            return _ldrmodules
        if _PROC.fullmatch(line):
            return _proc_maps
        if line.count(",") >= 2 and _number(line.partition(",")[0]) is not None:
            return _csv
    return _proc_maps


def _ldrmodules(lines: list[str]) -> Iterator[Row | None]:
    for line in lines:
        start = line[_LDR_START].strip()
        if _HEX.fullmatch(start):
            yield Row(int(start, 16), None, line[_LDR_FILE], line[_LDR_PROCESS].strip())
        elif line.strip() and not line.startswith(("Pid ", "-----")):
            yield None


def _proc_maps(lines: list[str]) -> Iterator[Row | None]:
    for line in lines:
        match = _PROC.fullmatch(line)
        if match:
            file = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), match[4] or "")
            yield Row(int(match[1], 16), int(match[2], 16), file, offset=int(match[3], 16))
        elif line.strip():
            yield None


def _csv(lines: list[str]) -> Iterator[Row | None]:
    """`end` is the first address after the region. Numbers are decimal, or hexadecimal with 0x."""
    for line in filter(str.strip, lines):
        try:
            cells = next(csv.reader([line]))  # alone: an open quote ends with its line
        except csv.Error:
            cells = []
        start, end = (_number(cell) for cell in (*cells[:2], "", "")[:2])
        if start is not None and end is not None and len(cells) >= 3:
            yield Row(start, end, cells[2])
        elif [cell.strip().casefold() for cell in cells[:3]] != ["start", "end", "file"]:
            yield None


def _number(text: str) -> int | None:
    text = text.strip()
    if _HEX.fullmatch(text):
        return int(text, 16)
    if re.fullmatch(r"\d{1,20}", text, re.ASCII) and int(text) <= _LAST:
        return int(text)
    return None


def _ranges(path: Path) -> Iterator[Row]:
    """`ranges.json`: objects with `start`, `end` (the last address) and `file`. Raises EvidenceError."""
    remedy = 'expected [{"start": first address, "end": last address, "file": name}, ...], or no such file'
    if not stat.S_ISREG(path.lstat().st_mode):
        raise EvidenceError(f"{path.name} is a link, or no regular file", where=path, remedy=remedy)
    try:
        plain: Any = json.loads(_text(path))
        for entry in plain:
            start, end, file = int(entry["start"]), int(entry["end"]), str(entry.get("file", ""))
            if not 0 <= start <= end <= _LAST:
                raise EvidenceError(f"no range: {start} to {end}", where=path, remedy=remedy)
            yield Row(start, end + 1, file)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise EvidenceError(f"{path.name} cannot be read ({error})", where=path, remedy=remedy) from error
