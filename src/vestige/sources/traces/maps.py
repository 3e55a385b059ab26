"""Memory maps: which module, if any, an address lies in, whatever the address space was randomised to.

A module is the name of its file, without its path and in lower case; where two files of a map share a name,
with as much of their paths as tells them apart. What a map says is evidence, and may be wrong or hostile:
lines that say nothing are counted and left out, and what is doubtful stands in `MemoryMap.doubts`.
"""

from __future__ import annotations

import heapq
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vestige.errors import EvidenceError
from vestige.evidence.expand import Expander
from vestige.sources.traces.corpus import decoded
from vestige.sources.traces.listings import LAST_ADDRESS, REMEDY, Row, parse
from vestige.sources.traces.regions import ANONYMOUS, KERNEL, Regions

SPECIAL = ("<nowhere>", "<unmapped>", "<no file>", "[kernel]")
"""Names of the modules NOWHERE, UNMAPPED, ANONYMOUS and KERNEL: `identity` calls no file so."""
OUTSIDE = SPECIAL[:KERNEL]
"""Names of what lies in no module."""
MODULE_BYTES = 16 << 20
"""How far a module reaches at most where the map does not say where it ends."""
MOST_BYTES, MOST_MODULES = 32 << 20, 60_000
LONGEST_NAME = 255
MOST_SHARING, MOST_NAMED = 3, 5
"""Modules that a token names where they shared an address; things that a sentence names."""
MOST_FOLDERS = 16
"""Folders of a path that are tried for telling files apart before all of it is."""
CUT_OFF = 14
"""Characters from which on a process's name may be cut off: Windows keeps 14 of them, Linux 15."""
_OURS = str.maketrans("<>|", "()_")

_ANONYMOUS = re.compile(
    r"\[(?:heap|stack|anon(?:_shmem)?)\b|//anon|anonymous mapping|/dev/zero|/dev/shm/|/run/shm/|/memfd:"
    r"|/sysv[0-9a-f]{8}|anon_inode:|/anon_hugepage"
)
_TEMPORARY = re.compile(r"/tmp/|/var/tmp/|/run/user/\d+/|/dev/|(?:.*/)?ffi[a-z0-9]{6}$")  # noqa: S108 - read of
"""Where a file that was unlinked while it was mapped is no module: its name is another in every run. `ffi`
and six characters is what libffi calls the files of its closures, wherever it may write."""
_REPLACED = re.compile(r"(?:;[0-9a-f]{8}|\.#prelink#\.\w{6}|\.dpkg-(?:new|tmp|old))\Z")
"""What rpm, prelink and dpkg put behind the name of a file that they replaced while it was mapped."""
_SYSTEM = re.compile(
    r"(?:[a-z]:|\\device\\harddiskvolume\d+|\\systemroot)?\\?(?:windows\\)?system32"
    r"|(?:/usr)?/(?:lib(?:32|64|x32)?(?:/[a-z0-9_]+-linux-[a-z0-9_]+)?|s?bin)"
)
"""The folders of a system's own files. One there keeps its plain name, whatever else has the same name: it is
what other programs, which have only that one, call so."""
_LIBRARY = re.compile(r"\.so(?:\.|$)|\.dll$|^ld-|^\[")


@dataclass(frozen=True)
class MemoryMap:
    """Where things lie in one process. `names` of the modules by number; the first of them are `SPECIAL`.

    `program`: the module that was run, as far as the map tells. `skipped`: lines that said nothing. `form`:
    what the map was read as. `doubts`: what it does not tell for certain, a sentence each.
    """

    regions: Regions
    names: tuple[str, ...]
    program: str = ""
    skipped: int = 0
    form: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """Which process a map is wanted of, as far as a person said: its `program`'s file name, its `pid`."""

    program: str = ""
    pid: int | None = None


NOBODY = Wanted()


def _path(file: str) -> tuple[str, bool]:
    """A file's path in lower case, with slashes; and whether it was deleted while it was mapped."""
    name = file.strip()
    kept = name.removesuffix("(deleted)").strip()
    deleted = kept != name
    if deleted:
        kept = _REPLACED.sub("", kept)
    return kept.casefold(), deleted


def identity(file: str, program: str = "") -> str:
    """The module that a mapped file is: its name alone, lower case; "" where it is no file, or a temporary
    one that was unlinked and is not the `program` itself. Names in angle brackets are our own (`SPECIAL`,
    tokens), and what UTF-8 has no bytes for is escaped."""
    path, deleted = _path(file)
    if not path or _ANONYMOUS.match(path):
        return ""
    folder, name = _split(path)
    if deleted and _TEMPORARY.match(path) and not (program and name == identity(program)):
        return ""
    if folder and name == SPECIAL[KERNEL]:
        name = "(kernel)"  # a file may call itself so
    return _shown(name)


def _split(path: str) -> tuple[str, str]:
    """A path's folder and the name in it."""
    *folders, name = re.split(r"[/\\]", path.rstrip("/\\"))
    return path[: len("/".join(folders))], name


def _shown(name: str) -> str:
    if "/" in name:  # with folders: the file's own name is what counts
        name = name[-LONGEST_NAME:]
    name = name[:LONGEST_NAME]
    return name.translate(_OURS).encode("utf-8", errors="backslashreplace").decode()


def read_map(path: Path, *, wanted: Wanted = NOBODY, module_bytes: int = MODULE_BYTES) -> MemoryMap:
    """The regions of a map file; true ends are taken from `ranges.json` beside it, where there is one.

    Ranges do not stand in for a map: it alone tells the program, and half a map makes strangers of modules.
    Of a map of several processes the rows of the `wanted` one count. Raises EvidenceError where either file
    cannot be read whole or is absurdly large, the map is none, or does not tell which process is wanted.
    """
    found = parse(_text(path), path)
    rows = of_process(found.rows, wanted, path)
    beside = path.parent / "ranges.json"
    if rows and os.path.lexists(beside):
        # Where both name a region, the ranges are believed: they have its end; the map has its process.
        known = {row.start: row for row in _ranges(beside)}
        process = {row.start: row.process for row in rows}
        rows = [row for row in rows if row.start not in known]
        rows += [row._replace(process=process.get(row.start, "")) for row in known.values()]
    memory = lay_out(
        rows, program=wanted.program, module_bytes=module_bytes, skipped=found.skipped, form=found.form
    )
    if not len(memory.regions.starts):
        raise EvidenceError(f"no line of {path.name} is a region of memory", where=path, remedy=REMEDY)
    return memory


def of_process(rows: list[Row], wanted: Wanted, where: Path | str = "") -> list[Row]:
    """The rows of one process: of the only one that they name, or of the `wanted` one.

    Raises EvidenceError where there are several, and it does not follow which of them is wanted.
    """
    processes: dict[int | str, list[str]] = {}
    for row in rows:
        names = processes.setdefault(_process(row), [])
        if row.process and row.process not in names and len(names) < MOST_NAMED:
            names.append(row.process)
    if len(processes) < 2:
        return rows
    chosen: list[int | str] = [key for key in processes if wanted.pid is not None and key == wanted.pid]
    chosen = chosen or [key for key in processes if str(key) == wanted.program]
    chosen = chosen or [
        key for key, names in processes.items() if any(is_of(name, wanted.program) for name in names)
    ]
    if len(chosen) != 1:
        told = _some(_called(key, processes[key]) for key in chosen or processes)
        raise EvidenceError(
            f"the map is of several processes ({told}), and info.txt names {len(chosen) or 'none'} of them",
            where=where,
            remedy="write the process's name on line 1 of info.txt, or `pid 1234` on a line of its own, or "
            "keep its rows alone",
        )
    return [row for row in rows if _process(row) == chosen[0]]


def _process(row: Row) -> int | str:
    """What tells the rows of one process from those of another."""
    if row.pid is None:
        return row.process.casefold()
    return row.pid


def _called(process: int | str, names: list[str]) -> str:
    """A process's name and number, as far as both are there."""
    if isinstance(process, int):
        return " ".join([*names[:1], str(process)])
    return "".join(names[:1])


def is_of(process: str, program: str) -> bool:
    """Whether a process, whose name may be cut off, is of this program (its path, or its file's name)."""
    process, program = process.casefold(), _split(_path(program)[0])[1]
    if not process or not program:
        return False
    cut_off = len(process) >= CUT_OFF and program.startswith(process)
    return cut_off or process.removesuffix(".exe") == program.removesuffix(".exe")


class _Piece(NamedTuple):
    start: int
    end: int
    module: int
    base: int


def lay_out(
    rows: list[Row],
    *,
    program: str = "",
    module_bytes: int = MODULE_BYTES,
    skipped: int = 0,
    form: str = "",
) -> MemoryMap:
    """Rows, the later ones of later, as regions in ascending order.

    A region without an end reaches to the next start, `module_bytes` at most. Offsets in a module count from
    where its file begins in memory: where the map does not say that, from its first neighbouring region.
    Addresses that several modules had are a module of their own, which has the names of all. `program` is
    what a person calls the program that was run.
    """
    modules, shared_names = _modules(rows, program)
    numbers = {name: at for at, name in enumerate(SPECIAL)}
    found: list[_Piece] = []
    ends = _ends(rows, module_bytes)
    ordered = sorted(range(len(rows)), key=lambda at: (rows[at].start, -(rows[at].end or 0)))
    for at in ordered:
        row = rows[at]
        if ends[at] <= row.start:
            skipped += 1
            continue
        module = ANONYMOUS
        if modules[at]:
            module = numbers.setdefault(modules[at], len(numbers))
        if len(numbers) > MOST_MODULES:
            raise EvidenceError(f"the map names more than {MOST_MODULES} modules")
        base = row.start
        if row.offset is not None and row.offset <= row.start:
            base -= row.offset
        if row.offset is None and found and found[-1].module == module:
            # Without an offset, a region that follows another of its module goes on with that.
            base = found[-1].base
        found.append(_Piece(row.start, ends[at], module, base))
    pieces, shared = _apart(found, numbers)
    doubts = [*shared_names]
    if shared:
        doubts.append(
            f"modules shared addresses over time, which the map does not tell apart: {_some(sorted(shared))}"
        )
    starts, last, module_column, bases = list(zip(*pieces, strict=True)) or [(), (), (), ()]
    regions = Regions(
        np.array(starts, dtype=np.uint64),
        np.array(last, dtype=np.uint64),
        np.array(module_column, dtype=np.uint16),
        np.array(bases, dtype=np.uint64),
    )
    return MemoryMap(regions, tuple(numbers), _program(rows, program), skipped, form, tuple(doubts))


def _ends(rows: list[Row], module_bytes: int) -> list[int]:
    """Where each row ends: where it says, or at the next start of another."""
    starts = sorted({row.start for row in rows})
    following = dict(pairwise([*starts, LAST_ADDRESS]))
    ends = []
    for row in rows:
        end = row.end
        if end is None:
            end = min(row.start + module_bytes, following[row.start])
        ends.append(min(end, LAST_ADDRESS))
    return ends


def _modules(rows: list[Row], program: str) -> tuple[list[str], list[str]]:
    """The module of each row, "" for no file; and which names several files share, a sentence at the most.

    The last folders of a path are added, as few as tell the files of one name apart. The only one in a folder
    of the system keeps its plain name, and so does what has no path, since it may be any of them.
    """
    names = [identity(row.file, program) for row in rows]
    folders: dict[str, set[str]] = {}
    for row, name in zip(rows, names, strict=True):
        folder = _split(_path(row.file)[0])[0]
        if name and folder:
            folders.setdefault(name, set()).add(folder)
    shared = {name: _suffixes(apart) for name, apart in folders.items() if len(apart) > 1}
    if not shared:
        return names, []
    for at, row in enumerate(rows):
        folder = _split(_path(row.file)[0])[0]
        if folder and shared.get(names[at], {}).get(folder):
            names[at] = _shown(f"{shared[names[at]][folder]}/{names[at]}")
    told = _some(f"{name} ({', '.join(sorted(folders[name])[:MOST_SHARING])})" for name in sorted(shared))
    return names, [f"different files have one name, and are told apart by their folders: {told}"]


def _suffixes(folders: set[str]) -> dict[str, str]:
    """Of each folder, as many of its last parts as make all of them different; nothing of the system's."""
    parts = {folder: re.split(r"[/\\]", folder) for folder in folders}
    short = {folder: folder.replace("\\", "/") for folder in folders}
    for depth in range(1, min(MOST_FOLDERS, max(map(len, parts.values())))):
        shorter = {folder: "/".join(names[-depth:]) for folder, names in parts.items()}
        if len(set(shorter.values())) == len(folders):
            short = shorter
            break
    homes = [folder for folder in folders if _SYSTEM.fullmatch(folder)]
    if len(homes) == 1:
        short[homes[0]] = ""
    return short


def _apart(found: list[_Piece], numbers: dict[str, int]) -> tuple[list[_Piece], set[str]]:
    """Pieces in order of their starts, cut so that none overlap; and the names of what shared addresses.

    Of pieces of one module that overlap, the one that begins last says where offsets count from.
    """
    names = list(numbers)
    edges = sorted({edge for piece in found for edge in (piece.start, piece.end)})
    pieces: list[_Piece] = []
    shared: set[str] = set()
    running: dict[int, int] = {}  # how many pieces of each module go over the address at hand
    ending: list[tuple[int, int]] = []
    latest: list[tuple[int, int]] = []
    at = 0
    for start, end in pairwise(edges):
        while ending and ending[0][0] <= start:
            _, gone = heapq.heappop(ending)
            running[found[gone].module] -= 1
            if not running[found[gone].module]:
                del running[found[gone].module]
        while at < len(found) and found[at].start <= start:
            running[found[at].module] = running.get(found[at].module, 0) + 1
            heapq.heappush(ending, (found[at].end, at))
            heapq.heappush(latest, (-at, at))
            at += 1
        while latest and found[latest[0][1]].end <= start:
            heapq.heappop(latest)
        if not running:
            continue
        top = found[latest[0][1]]
        module = top.module
        if len(running) > 1:
            some = sorted(names[number].translate(_OURS) for number in islice(running, MOST_SHARING))
            if len(running) > MOST_SHARING:
                some.append("...")
            name = "|".join(some)
            shared.add(name)
            module = numbers.setdefault(name, len(numbers))
            if len(numbers) > MOST_MODULES:
                raise EvidenceError(f"the map names more than {MOST_MODULES} modules")
        pieces.append(_Piece(start, end, module, min(top.base, start)))
    return pieces, shared


def _some(names: Iterable[str]) -> str:
    """The first of these names, and how many more there are."""
    every = list(names)
    told = ", ".join(every[:MOST_NAMED])
    if len(every) > MOST_NAMED:
        told += f" and {len(every) - MOST_NAMED} more"
    return told


def _program(rows: list[Row], wanted: str) -> str:
    """The module that was run: the one that a person names, or whose name begins like the process (listings
    cut it off), or the first that is no library, or the first."""
    names = [name for row in rows if (name := identity(row.file, wanted))]
    called = _split(_path(wanted)[0])[1]
    for name in names:
        if called and called in {name, name.removesuffix(".exe")}:
            return name
    for row in rows:
        process, name = row.process.casefold(), identity(row.file, wanted)
        if process and name and (name.startswith(process) or process.startswith(name)):
            return name
    own = (name for name in names if not _LIBRARY.search(name))
    return next(own, names[0] if names else "")


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


def _ranges(path: Path) -> Iterator[Row]:
    """`ranges.json`: objects with `start`, `end` (the last address) and `file`. Raises EvidenceError."""
    remedy = 'expected [{"start": first address, "end": last address, "file": name}, ...], or no such file'
    if not stat.S_ISREG(path.lstat().st_mode):
        raise EvidenceError(f"{path.name} is a link, or no regular file", where=path, remedy=remedy)
    try:
        plain: Any = json.loads(_text(path))
        for entry in plain:
            start, end, file = int(entry["start"]), int(entry["end"]), str(entry.get("file", ""))
            if not 0 <= start <= end <= LAST_ADDRESS:
                raise EvidenceError(f"no range: {start} to {end}", where=path, remedy=remedy)
            yield Row(start, end + 1, file)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise EvidenceError(f"{path.name} cannot be read ({error})", where=path, remedy=remedy) from error
