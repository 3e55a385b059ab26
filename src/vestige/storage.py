"""Writing so that a thing is there whole or not at all: temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import glob
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TextIO

from vestige.errors import OutputError

NOTHING_LEFT = "; nothing was left behind"
WAS = "was"
"""What was replaced lies under this name, where the system cannot exchange two directories at once."""
_waiting: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("waiting", default=None)
"""Files that are written and not yet in their places, see `together`."""


@contextlib.contextmanager
def atomic_directory(path: Path, *, marker: str, overwrite: bool = False) -> Iterator[Path]:
    """A temporary directory beside `path` that becomes `path` when the block ends well, or else vanishes.

    Raises OutputError when `path` exists (unless `overwrite` and it holds a file `marker`, so that only
    what this program wrote is ever replaced), when another process is writing it, or when it cannot be
    written (a full disk included).
    """
    path = path.absolute()
    with writing(path, NOTHING_LEFT):
        refuse_existing(path, marker=marker, overwrite=overwrite)
        fresh = [parent for parent in path.parents if not parent.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        working = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent))
    try:
        with writing(path, NOTHING_LEFT), contextlib.ExitStack() as stack:
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
        for parent in fresh:
            with contextlib.suppress(OSError):
                parent.rmdir()


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
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent)
        os.close(handle)
        working = Path(name)
        waiting = _waiting.get()
        try:
            yield working
            _sync(working)
            working.chmod(0o644)
            if waiting is None:
                _put(working, path)
            else:
                waiting.append((working, path))
        finally:
            if waiting is None or (working, path) not in waiting:
                working.unlink(missing_ok=True)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Files that `atomic_file` and `write_text` write within the block replace those before all at its end,
    in the order in which they were written; where the block ends with an error, none does."""
    if _waiting.get() is not None:  # the outer block's end is the end
        yield
        return
    waiting: list[tuple[Path, Path]] = []
    token = _waiting.set(waiting)
    try:
        yield
        for working, path in waiting:
            with writing(path):
                _put(working, path)
    finally:
        _waiting.reset(token)
        for working, _ in waiting:
            working.unlink(missing_ok=True)


def _put(working: Path, path: Path) -> None:
    working.replace(path)
    _sync(path.parent)


@contextlib.contextmanager
def growing_file(path: Path) -> Iterator[TextIO]:
    """A text file (UTF-8) in place of `path` that has every line as soon as it is written, and keeps it
    however the block ends. Raises OutputError when it cannot be written."""
    path = path.absolute()
    with writing(path):
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
def writing(path: Path, left: str = "") -> Iterator[None]:
    """Turn the operating system's refusals to write into advice; leave every other error alone."""
    try:
        yield
    except _refusals() as error:
        refused = refusal(error, path, left)
        if refused is None:
            raise
        raise refused from error


def refusal(error: BaseException, path: Path | None = None, left: str = "") -> OutputError | None:
    """The advice where an error says that `path` cannot be written; None for any other. Without a path only
    what no reading could end with: that there is no room, or nothing may be written at all.

    Polars wraps what the system refuses into errors of its own, which end with the number.
    """
    filename = None
    if isinstance(error, OSError):
        number, filename = error.errno, error.filename
    else:
        told = re.search(r"\(os error (\d{1,4})\)", str(error))
        number = int(told[1]) if told else None
    reasons = _NO_ROOM if path is None else _REASONS
    if number is None or number not in reasons or (path is not None and not _concerns(path, filename)):
        return None
    what, remedy = _REASONS[number]
    above = next((each for each in path.parents if each.is_file()), None) if path is not None else None
    if number in {errno.ENOTDIR, errno.EEXIST} and above is not None:
        what, remedy = f"{above} is a file, not a directory", "choose an output that is not below a file"
    return OutputError(f"cannot write: {what}{left}", where=path or filename, remedy=remedy)


def _refusals() -> tuple[type[BaseException], ...]:
    """Errors in which the system's refusals come: those of Polars, too, where it was imported."""
    polars = sys.modules.get("polars.exceptions")
    return (OSError,) if polars is None else (OSError, polars.PolarsError)


_REASONS = {
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
"""What the system says where nothing can be written, in words, and what to do."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


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
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.*.tmp"):
        maker = left.name.removeprefix(f".{path.name}.").partition(".")[0]
        if maker.isdecimal() and not Path(f"/proc/{maker}").exists() and Path("/proc/self").exists():
            with contextlib.suppress(OutputError, OSError):  # another user's stays where it is
                if left.is_dir():
                    with locked(left):
                        _put_back(left / WAS, path)
                        shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)


def _refuse_rivals(working: Path, path: Path) -> None:
    """Raise OutputError where another process is making `path`, too: its directory is locked. Each looks
    after it has locked its own, so of two at least one sees the other."""
    for rival in path.parent.glob(f".{glob.escape(path.name)}.*.*.tmp"):
        if rival == working or not rival.is_dir():
            continue
        try:
            with locked(rival):
                pass
        except OutputError as error:
            raise OutputError(error.what, where=path, remedy=error.remedy) from error
        except (FileNotFoundError, PermissionError):  # gone, or left by another user: it cannot be asked
            continue


def _put_back(was: Path, path: Path) -> None:
    """What a process that was killed had moved away to replace it is the only copy: it comes back."""
    if was.is_dir() and not path.exists():
        was.rename(path)


def _replace_directory(working: Path, path: Path) -> None:
    """Put `working` in the place of `path`. What was there lies in `working` afterwards, or is gone."""
    if exchange(working, path):
        return
    old = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".tmp", dir=path.parent))
    path.rename(old / WAS)
    working.rename(path)
    shutil.rmtree(old, ignore_errors=True)


_HERE, _EXCHANGE = -100, 2
"""`AT_FDCWD` and `RENAME_EXCHANGE` of Linux (renameat2(2))."""


def exchange(one: Path, other: Path) -> bool:
    """Let two paths change their places at once, so that neither is ever missing; False where this system,
    or this file system, cannot. Raises OSError for any other reason."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in {errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP}:
        return False
    raise OSError(number, os.strerror(number), str(other))


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
