"""Recordings on disk: `ROOT/<sample>/` with `info.txt`, `mapping.txt[.gz]`, `trace_0[.gz|.zst]`; or what
`perf record` left, which holds maps and traces of all its processes."""

from __future__ import annotations

import codecs
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from vestige.errors import EvidenceError
from vestige.evidence.defects import DETAIL, FILE, Defect
from vestige.evidence.expand import is_packed
from vestige.evidence.files import STDIN, EvidenceFile
from vestige.sources.traces.containers import is_perf
from vestige.sources.traces.listings import Row
from vestige.sources.traces.perf.aux import AuxFile

TRACES = ("trace_0", "trace_0.gz", "trace_0.zst", "trace_0.zstd")
MAPS = ("mapping.txt", "mapping.txt.gz", "maps", "maps.gz", "mapping.csv", "mapping.csv.gz")
CLASSES = ("benign", "malicious")
PERF_DIRECTORY = "perf.data"
"""What `perf record --kcore` writes as a directory: its `data` is the file."""
PID = re.compile(r"pid[ :=]*(\d{1,9})", re.ASCII | re.IGNORECASE)
MOST_SHOWN = 5
"""Files that a message names."""
ANY_TRACE = re.compile(r"trace_\d+(?:\.gz|\.zstd?)?", re.ASCII)
MOST_INFO, LONGEST_LINE, LONGEST_LABEL = 64 << 10, 1000, 40


@dataclass(frozen=True)
class Recording:
    """One recording. `id`: its directory's name; `title`: what was run or opened; `label`: None where not
    said, `unlabelled` says why; `profile`: how it behaved, where `info.txt` has a third line, else the label;
    `defects`: what is wrong with the folder otherwise, a sentence each; `pid`: which process it was, where
    that is said; `rows`: its memory, where no `map` tells it; `doubts`: what is not certain."""

    id: str
    trace: EvidenceFile
    map: Path | None
    title: str
    label: str | None
    profile: str
    unlabelled: str = ""
    defects: tuple[str, ...] = ()
    pid: int | None = None
    rows: tuple[Row, ...] = ()
    doubts: tuple[str, ...] = ()


def find_recordings(root: Path) -> tuple[list[Recording], list[Defect]]:
    """The recordings under `root` in the order of their names' bytes, and what is incomplete, and why.

    `root` may be a corpus, one recording's directory, or its trace. Raises EvidenceError where there is no
    complete recording at all.
    """
    if root == STDIN:
        raise EvidenceError("traces are a directory of recordings, not a stream", where="stdin")
    recordings: list[Recording] = []
    skipped: list[Defect] = []
    if root.is_file():
        if is_perf(root):
            folder = root.absolute().parent
            alone = _perf_files(folder) == [folder / root.name]
            name = _text(folder)
            if not alone:
                name = f"{name}/{_text(root)}"
            return _of_perf(root, folder, name, skipped), skipped
        if root.name not in TRACES:
            raise EvidenceError(
                "neither a perf.data nor a trace_0",
                where=root,
                remedy="give a perf.data, unpacked, or the directory that holds trace_0 and mapping.txt",
            )
        root = root.parent
    alone = _has_trace(root)
    folders = [root] if alone else _folders(root, skipped)
    if not alone and _perf_files(root):
        others = [folder for folder in folders if folder.name != PERF_DIRECTORY]
        folders = [root, *(folder for folder in others if _has_trace(folder) or _perf_files(folder))]
    for folder in folders:
        try:
            recordings += _of_folder(folder, skipped)
        except EvidenceError as error:
            if folders == [root]:
                raise
            skipped.append(Defect(_text(folder), None, FILE, error.reason))
    if not recordings:
        told = _instead(root)
        if skipped:
            told = f"; left out: {skipped[0].file} ({skipped[0].why})"
        raise EvidenceError(
            f"no recording in this directory ({len(skipped)} left out)",
            where=root,
            remedy=f"expected SAMPLE/info.txt, SAMPLE/mapping.txt, SAMPLE/trace_0, or a perf.data{told}",
        )
    return recordings, skipped


def _of_folder(folder: Path, skipped: list[Defect]) -> list[Recording]:
    """The recordings in a directory; what it lacks is added to `skipped`."""
    trace = _first(folder, TRACES)
    files: list[Path] = []
    if trace is None:
        files = _perf_files(folder)
    elif is_perf(trace):
        files = [trace]
    if not files:
        found = _of_trace(folder)
        if isinstance(found, Recording):
            return [found]
        skipped.append(Defect(_text(folder), None, FILE, found))
        return []
    recordings = []
    for file in files:
        name = _text(folder)
        if len(files) > 1:
            name = f"{name}/{_text(file)}"
        recordings += _of_perf(file, folder, name, skipped)
    return recordings


def _of_perf(path: Path, folder: Path, name: str, skipped: list[Defect]) -> list[Recording]:
    """The processes in a perf.data, with the label and, where there is one process, the map that lie beside
    it. Raises EvidenceError where it cannot be read, or holds no Intel PT."""
    from vestige.sources.traces.perf.session import read_session
    from vestige.sources.traces.perf.shares import shares

    session = read_session(path)
    found = shares(session, path)
    info = _info(folder / "info.txt")
    if info.pid is not None:
        found = [share for share in found if share.pid == info.pid]
    if not found:
        raise EvidenceError(f"process {info.pid}, which info.txt names, was not traced", where=path)
    skipped += [Defect(name, None, DETAIL, why) for why in session.defects]
    map_file = _first(folder, MAPS)
    processes = sum(share.pid is not None for share in found)
    has_maps = any(share.rows for share in found)
    if map_file is not None and (processes > 1 or (has_maps and len(found) > 1)):
        skipped.append(Defect(name, None, DETAIL, f"{map_file.name} is not read: it is of one process"))
        map_file = None
    recordings = []
    for share in found:
        own = name
        if len(found) > 1:
            own = f"{name}/{share.name.replace('/', '_')}"
            if share.pid is not None:
                own += f"-{share.pid}"
        if map_file is None and not share.rows:
            skipped.append(
                Defect(own, None, FILE, f"no map of {share.name} in it: its modules are not known")
            )
            continue
        size = int(share.pieces[:, 1].sum())
        file = AuxFile(path, f"{own}/{_text(path)}", size, in_directory=True, pieces=share.pieces)
        recordings.append(
            Recording(
                own, file, map_file, info.title, info.label, info.profile, info.unlabelled,
                pid=share.pid, rows=tuple(share.rows), doubts=tuple(share.doubts),
            )
        )  # fmt: skip
    return recordings


def _perf_files(folder: Path) -> list[Path]:
    """Files in a directory that begin as a perf.data does, whatever they are called; and the one within what
    perf writes as a directory."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    except OSError:
        return []
    found = [folder / name for name in sorted(names) if is_perf(folder / name)]
    within = folder / PERF_DIRECTORY / "data"
    if (
        within.parent.is_dir()
        and not within.parent.is_symlink()
        and not within.is_symlink()
        and is_perf(within)
    ):
        found.append(within)
    return found


def _of_trace(folder: Path) -> Recording | str:
    """The recording in a directory, or what it lacks. Links are not followed."""
    trace, map_file = (_first(folder, names) for names in (TRACES, MAPS))
    if trace is None:
        return f"no {_odd(folder, TRACES)}{_instead(folder)}"
    if map_file is None:
        return f"no {_odd(folder, MAPS)}{_instead(folder)}"
    size = trace.stat().st_size
    if not size:
        return f"{trace.name} is empty"
    info = _info(folder / "info.txt")
    name = _text(folder)
    file = EvidenceFile(trace, f"{name}/{trace.name}", size, in_directory=True)
    return Recording(
        name, file, map_file, info.title, info.label, info.profile, info.unlabelled, _others(trace), info.pid
    )


def _has_trace(folder: Path) -> bool:
    return _first(folder, TRACES) is not None


def _folders(root: Path, skipped: list[Defect]) -> list[Path]:
    try:
        entries = sorted(os.scandir(root), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        remedy = "give a perf.data, or the folder of a recording or of several"
        raise EvidenceError(f"cannot be read: {error.strerror}", where=root, remedy=remedy) from error
    found = []
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            skipped.append(
                Defect(_text(Path(entry.path)), None, FILE, "a link: links are not followed within a corpus")
            )
        elif entry.is_dir():
            found.append(Path(entry.path))
    return found


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The first of these that is a regular file, no link; one that is not empty, where there is any."""
    found = None
    for name in names:
        try:
            there = (folder / name).lstat()
        except OSError:
            continue
        if stat.S_ISREG(there.st_mode):
            found = found or folder / name
            if there.st_size:
                return folder / name
    return found


def _others(trace: Path) -> tuple[str, ...]:
    """That traces beside this one are not read: of other processors, packed otherwise, or perf's."""
    try:
        names = {file.name for file in trace.parent.iterdir() if ANY_TRACE.fullmatch(file.name)}
    except OSError:
        return ()
    names |= {_text(file) for file in _perf_files(trace.parent)}
    others = sorted(names - {trace.name})
    if not others:
        return ()
    return (f"only {trace.name} is read, not {', '.join(others)}",)


def _odd(folder: Path, names: tuple[str, ...]) -> str:
    """What is missing, and what stands in its place."""
    there = [name for name in names if os.path.lexists(folder / name)]
    if there:
        return f"{names[0]}: {there[0]} is a link, or no regular file"
    return names[0]


def _instead(folder: Path) -> str:
    """Which other files lie there: names of other tools, which the message should show beside ours."""
    ours = {*TRACES, *MAPS, "info.txt", "ranges.json"}
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    except OSError:
        return ""
    others = [name for name in names if name not in ours]
    if not others:
        return ""
    packed = next((name for name in sorted(others) if "perf" in name and _is_packed(folder / name)), None)
    if packed is not None:
        return f"; {_text(Path(packed))} is packed: unpack it (gunzip, zstd -d), and give the perf.data"
    shown = [_text(Path(name)) for name in sorted(others)[:MOST_SHOWN]]
    if len(others) > MOST_SHOWN:
        shown[-1] += f" and {len(others) - MOST_SHOWN} more"
    return (
        f"; it holds {', '.join(shown)}: the packets of one logical processor are wanted as trace_0, "
        "and the memory map as mapping.txt"
    )


def _is_packed(path: Path) -> bool:
    """Whether a regular file is packed."""
    try:
        with path.open("rb") as file:
            return is_packed(file)
    except OSError:
        return False


@dataclass(frozen=True)
class Info:
    """What `info.txt` says: see `Recording`."""

    title: str
    label: str | None
    profile: str
    unlabelled: str
    pid: int | None


def _info(path: Path) -> Info:
    """Line 1 the original file name, line 2 the label, line 3 how it behaved; any line may be `pid 1234`."""
    lines, fault = _info_lines(path)
    pids = [match[1] for line in lines if (match := PID.fullmatch(line))]
    lines = [line for line in lines if not PID.fullmatch(line)]
    title, label, profile = (*lines, "", "", "")[:3]
    known, unlabelled = None, ""
    if label.casefold() in CLASSES:
        known = label.casefold()
    elif fault:
        unlabelled = fault
    elif label:
        unlabelled = f"line 2 of info.txt is no label: {label[:LONGEST_LABEL]!r}"
    else:
        unlabelled = "no label in info.txt"
    return Info(title, known, profile or known or "", unlabelled, int(pids[0]) if pids else None)


def _info_lines(path: Path) -> tuple[list[str], str]:
    """The lines of `info.txt`, or why there are none."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return [], "info.txt is a link, or no regular file"
        with path.open("rb") as file:
            text = decoded(file.read(MOST_INFO))
    except FileNotFoundError:
        return [], "no info.txt"
    except OSError as error:
        return [], f"info.txt cannot be read: {error.strerror}"
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line.strip()[:LONGEST_LINE] for line in lines], ""


def decoded(raw: bytes) -> str:
    """Text in UTF-8, or in UTF-16 where it begins with its mark, as some shells of Windows write it; bytes
    that are neither stay visible."""
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if wide else "utf-8-sig"
    return raw.decode(encoding, errors="backslashreplace")


def _text(path: Path) -> str:
    return os.fsencode(path.name or path.resolve().name).decode("utf-8", errors="backslashreplace")
