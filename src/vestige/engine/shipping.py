"""Files between the machine of the caller and nodes that do not see them, in chunks.

Evidence goes to a node when the first item needs it there, and stays until the map is over. What a function
leaves in files comes home through the object store, which moves to disk what does not fit its memory.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from vestige.engine.places import absolute

CHUNK = 4 << 20
"""Bytes that travel at a time."""
MOST_LINKS = 8
"""A path that a person named may be a link to a link; at most so many are followed."""
NOWHERE = "a link, which leads nowhere in a copy"


class Entry(NamedTuple):
    """Something below a path that is shipped: its relative path, what it is, its size and times (ns)."""

    path: str
    kind: str
    size: int = 0
    times: tuple[int, int] = (0, 0)
    target: str = ""


class Evidence:
    """Reads evidence on the machine of the caller, for nodes that do not see it: an actor.

    Links inside of a folder are never followed; they arrive as links that lead nowhere.
    """

    def walk(self, path: str) -> list[Entry]:
        """What a path is, and everything below it; nothing where there is nothing."""
        try:
            found = Path(path).lstat()
        except OSError:
            return []
        if stat.S_ISLNK(found.st_mode):
            target = absolute(Path(path).readlink(), Path(path).parent)
            return [Entry("", "link", target=target)]
        if not stat.S_ISDIR(found.st_mode):
            return [_entry("", found)]
        entries = [_entry("", found)]
        for folder, folders, files in os.walk(path):
            for name in sorted([*folders, *files]):
                whole = Path(folder, name)
                entries.append(_entry(str(whole.relative_to(path)), whole.lstat()))
        return entries

    def read(self, path: str, offset: int) -> bytes:
        """The next bytes of a file, at most `CHUNK`."""
        with Path(path).open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK)


def _entry(path: str, found: os.stat_result) -> Entry:
    mode, times = found.st_mode, (found.st_atime_ns, found.st_mtime_ns)
    if stat.S_ISREG(mode):
        return Entry(path, "file", found.st_size, times)
    if stat.S_ISDIR(mode):
        return Entry(path, "folder", 0, times)
    return Entry(path, "link" if stat.S_ISLNK(mode) else "other", target=NOWHERE)


def node_folder(token: str) -> Path:
    """The folder of this machine for what is shipped to it while one map runs, if anything is."""
    return Path(tempfile.gettempdir(), f"vestige-{token}")


def make_node_folder(token: str) -> None:
    """Make it so that nobody else can read it."""
    node_folder(token).mkdir(mode=0o700, exist_ok=True)


def remove_node_folder(token: str) -> None:
    """Once the map is over."""
    shutil.rmtree(node_folder(token), ignore_errors=True)


@contextmanager
def _locked(folder: str, name: str) -> Iterator[Path]:
    """One process of this machine at a time; yields the mark of what is done."""
    own = Path(folder) / "marks"
    own.mkdir(exist_ok=True)
    mark = own / hashlib.sha256(os.fsencode(name)).hexdigest()
    with mark.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield mark


def fetch(evidence: Any, path: str, copy: str, folder: str) -> int:
    """Copy what stands at `path` of the caller to `copy` of this node, unless that was done already.

    Returns how many bytes were shipped. What is not there is not there in the copy either.
    """
    with _locked(folder, path) as mark:
        if mark.exists():
            return 0
        shipped = _copy(evidence, path, copy, links=MOST_LINKS)
        mark.touch()
        return shipped


def _copy(evidence: Any, path: str, copy: str, links: int) -> int:
    import ray

    shipped = 0
    entries: list[Entry] = ray.get(evidence.walk.remote(path))
    for entry in entries:
        target = Path(copy, entry.path)
        if entry.kind == "folder":
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind == "file":
            shipped += _copy_file(evidence, str(Path(path, entry.path)), target)
            os.utime(target, ns=entry.times)
        elif entry.kind == "link" and not entry.path and links:
            # The copies of what a link leads to lie beside its own, under the same root.
            root = copy[: len(copy) - len(path)]
            target.symlink_to(root + entry.target)
            shipped += _copy(evidence, entry.target, root + entry.target, links - 1)
        elif entry.kind == "link":
            target.symlink_to(NOWHERE)
        else:
            os.mkfifo(target)
    for entry in reversed(entries):
        # Last, because writing into a folder changes its time.
        if entry.kind == "folder":
            os.utime(Path(copy, entry.path), ns=entry.times)
    return shipped


def _copy_file(evidence: Any, path: str, target: Path) -> int:
    import ray

    offset = 0
    with target.open("wb") as file:
        coming = evidence.read.remote(path, 0)
        while chunk := ray.get(coming):
            offset += len(chunk)
            # The next chunk is on its way while this one is written.
            coming = evidence.read.remote(path, offset)
            file.write(chunk)
    return offset


class ComingFile(NamedTuple):
    """A file that comes home: its path in the folder of its piece, and its chunks in the object store."""

    path: str
    chunks: list[Any]


def pack(folder: str) -> list[ComingFile]:
    """Put every file below a folder into the object store, and remove the folder."""
    import ray

    packed = []
    for root, _, files in os.walk(folder):
        for name in sorted(files):
            whole = Path(root, name)
            with whole.open("rb") as file:
                chunks = [ray.put(chunk) for chunk in iter(lambda: file.read(CHUNK), b"")]
            packed.append(ComingFile(str(whole.relative_to(folder)), chunks))
    shutil.rmtree(folder)
    return packed


def unpack(files: list[ComingFile], folder: str) -> None:
    """Write files that came from a node into a folder of the caller, chunk by chunk."""
    import ray

    for file in files:
        if not absolute(file.path, folder).startswith(folder + os.sep):
            raise ValueError(f"{file.path!r} is no path of a file in the folder of its piece")
        target = Path(folder, file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            while file.chunks:
                # Taken out of the list, so that the store can let go of it.
                out.write(ray.get(file.chunks.pop(0)))
