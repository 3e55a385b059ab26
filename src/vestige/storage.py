"""Writing so that a thing is there whole or not at all: temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from vestige.errors import OutputError

NOTHING_LEFT = "; nothing was left behind"


@contextlib.contextmanager
def atomic_directory(path: Path, *, marker: str, overwrite: bool = False) -> Iterator[Path]:
    """A temporary directory beside `path` that becomes `path` when the block ends well, or else vanishes.

    Raises OutputError when `path` exists (unless `overwrite` and it holds a file `marker`, so that only
    what this program wrote is ever replaced), when another process is writing it, or when it cannot be
    written (a full disk included).
    """
    path = path.absolute()
    refuse_existing(path, marker=marker, overwrite=overwrite)
    fresh = [one for one in path.parents if not one.exists()]
    with _advice(path, NOTHING_LEFT):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        working = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent))
    try:
        with _advice(path, NOTHING_LEFT), contextlib.ExitStack() as stack:
            stack.enter_context(locked(working))
            _refuse_rivals(working, path)
            if path.is_dir():
                stack.enter_context(locked(path))
            yield working
            _sync_tree(working)
            working.chmod(0o755)
            if path.exists():
                refuse_existing(path, marker=marker, overwrite=overwrite)
                _replace_directory(working, path)
            else:
                working.rename(path)
            _sync(path.parent)
    finally:
        shutil.rmtree(working, ignore_errors=True)
        for one in fresh:
            with contextlib.suppress(OSError):
                one.rmdir()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes of this program from writing the directory `path` while the block runs.

    The lock lies on the directory itself and goes with the process that holds it, however that ends. Raises
    OutputError where another holds it. A file system without locks has none.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                "another process is writing it", where=path, remedy="let that end, or choose another output"
            ) from error
        except OSError as error:
            if error.errno not in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
                raise
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary file name beside `path` that replaces `path` when the block ends well."""
    path = path.absolute()
    with _advice(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent)
        os.close(handle)
        working = Path(name)
        try:
            yield working
            _sync(working)
            working.chmod(0o644)
            working.replace(path)
            _sync(path.parent)
        finally:
            working.unlink(missing_ok=True)


@contextlib.contextmanager
def growing_file(path: Path) -> Iterator[TextIO]:
    """A text file (UTF-8) in place of `path` that has every line as soon as it is written, and keeps it
    however the block ends. Raises OutputError when it cannot be written."""
    path = path.absolute()
    with _advice(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Buffered by line: whoever follows the file never waits for more than the line that is being made.
        with path.open("w", encoding="utf-8", buffering=1) as file:
            yield file


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_file(path) as working:
        working.write_text(text, encoding="utf-8")


def refuse_existing(path: Path, *, marker: str, overwrite: bool) -> None:
    """Raise OutputError when `path` holds something, unless `overwrite` and its `marker` shows it ours."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise OutputError("already exists", where=path, remedy="choose another output, or add --overwrite")
    if not (path / marker).is_file():
        raise OutputError(
            f"holds something that this program did not write (no {marker}); it is left alone",
            where=path,
            remedy="choose another output",
        )


def refuse_files(*paths: Path | None, overwrite: bool, remedy: str = "choose another output") -> None:
    """Raise OutputError, before anything is read, for a file to be written that is there already, unless
    `overwrite`; and for a directory in its place. Paths that nobody gave are None."""
    for path in filter(None, paths):
        if path.is_dir():
            raise OutputError("is a directory", where=path, remedy="name a file")
        if path.exists() and not overwrite:
            raise OutputError("already exists", where=path, remedy=f"{remedy}, or add --overwrite")


@contextlib.contextmanager
def _advice(path: Path, left: str = "") -> Iterator[None]:
    """Turn the operating system's refusals to write into advice; leave every other error alone."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: ("the disk is full", "free some space or choose an output on another disk"),
            errno.EDQUOT: (
                "the disk quota is used up",
                "free some space or choose an output on another disk",
            ),
            errno.EFBIG: ("a file would be larger than it may be", "choose an output on another disk"),
            errno.EROFS: ("the file system is read-only", "choose an output elsewhere"),
            errno.EACCES: ("permission denied", "choose an output that you may write"),
            errno.ENOTDIR: ("a part of the path is a file", "choose another output"),
            errno.ENOTEMPTY: ("another process wrote it meanwhile", "choose another output"),
            errno.EEXIST: ("a part of the path is a file", "choose another output"),
        }
        if error.errno not in reasons or not _concerns(path, error.filename):
            raise
        what, remedy = reasons[error.errno]
        raise OutputError(f"cannot write: {what}{left}", where=path, remedy=remedy) from error


def _concerns(path: Path, filename: object) -> bool:
    """Whether an error about `filename` (None: a file already open) is about writing `path`."""
    if filename is None:
        return True
    found = Path(str(filename)).absolute()
    return found == path or found in path.parents or path.parent in found.parents


def _prefix(path: Path) -> str:
    """Temporary names beside `path` say which process made them."""
    return f".{path.name}.{os.getpid()}."


def _sweep(path: Path) -> None:
    """Remove what processes that were killed left beside `path`; a directory that is locked is at work in
    another container, whose processes we do not see."""
    for one in path.parent.glob(f".{glob.escape(path.name)}.*.*.tmp"):
        maker = one.name.removeprefix(f".{path.name}.").partition(".")[0]
        if maker.isdecimal() and not Path(f"/proc/{maker}").exists() and Path("/proc/self").exists():
            with contextlib.suppress(OutputError, OSError):  # another user's stays where it is
                if one.is_dir():
                    with locked(one):
                        shutil.rmtree(one, ignore_errors=True)
                else:
                    one.unlink(missing_ok=True)


def _refuse_rivals(working: Path, path: Path) -> None:
    """Raise OutputError where another process is making `path`, too: its directory is locked. Each looks
    after it has locked its own, so of two at least one sees the other."""
    for one in path.parent.glob(f".{glob.escape(path.name)}.*.*.tmp"):
        if one == working or not one.is_dir():
            continue
        try:
            with locked(one):
                pass
        except OutputError as error:
            raise OutputError(error.what, where=path, remedy=error.remedy) from error
        except (FileNotFoundError, PermissionError):  # gone, or left by another user: it cannot be asked
            continue


def _replace_directory(working: Path, path: Path) -> None:
    old = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent))
    path.rename(old / "was")
    working.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _sync_tree(root: Path) -> None:
    for folder, _, names in os.walk(root):
        for name in names:
            _sync(Path(folder) / name)
        _sync(Path(folder))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
