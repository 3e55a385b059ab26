"""Which files a corpus consists of, and what each is called.

A corpus is a directory (read recursively, in the order of the paths' bytes), a file, or `-` for standard
input.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from vestige.errors import EvidenceError
from vestige.evidence.defects import FILE, Defect
from vestige.log import get

log = get(__name__)

STDIN = Path("-")
MARKER = ".vestige-simulated.json"
"""Lies in a simulated corpus, says so, and holds what was planted. Hidden: nothing is read from it."""
PACKED = (".gz", ".zst", ".zstd")
EMPTY, SHIPPING = "empty", "it has no manifest (yet)"
"""Why something is left out that a later look may find to be more."""
LINK = "a link: links are not followed within a corpus"
GIVE = "give a file, or a directory that holds some, or - for what comes through a pipe"
FOLLOWED = "links are not followed: give the directory that they lead to, or the files themselves"


@dataclass(frozen=True)
class EvidenceFile:
    """One file of evidence. `id`: its path relative to the corpus; `directory`: found in one, not named.
    `upto`: where it is followed, the byte up to which: what is written behind that is left for later."""

    path: Path
    id: str
    size: int | None
    in_directory: bool = False
    upto: int | None = None

    @property
    def where(self) -> str:
        """Its path as a person gave it: what errors name."""
        if self.path == STDIN:
            return self.id
        return _text(str(self.path))

    @property
    def stem(self) -> str:
        """The file's name without its endings of packing and kind."""
        return stem_of(self.id)

    @property
    def host(self) -> str | None:
        """The first directory of the path, if it lies in one."""
        first, slash, _ = self.id.partition("/")
        if not slash:
            return None
        return first

    @property
    def profile(self) -> str:
        """The log's type: the name up to the first dot, underscore, hyphen or digit."""
        return re.split(r"[._\-0-9]", self.stem, maxsplit=1)[0] or self.stem

    @property
    def modified(self) -> datetime:
        """When it was last written (UTC); of a stream now."""
        try:
            if self.path != STDIN:
                return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)
        except (OSError, OverflowError, ValueError):
            pass  # whoever opens it will say what is wrong
        return datetime.now(UTC)

    def open(self) -> BinaryIO:
        """Its bytes as they lie there; EvidenceError when the system refuses."""
        # Polars installs a handler that resumes system calls: Ctrl-C would wait for a pipe's next bytes.
        signal.siginterrupt(signal.SIGINT, True)
        if self.path == STDIN:
            if sys.stdin is None:
                raise EvidenceError(
                    "standard input is closed", where=self.where, remedy="give a file, or a pipe to read from"
                )
            return sys.stdin.buffer
        try:
            if self.in_directory:
                return _regular(self.path)
            if self.path.is_fifo():
                log.info("%s is a pipe: it is read once somebody writes to it", self.where)
            return self.path.open("rb")
        except OSError as error:
            why = LINK if error.errno == errno.ELOOP else f"cannot be read: {error.strerror}"
            remedy = "" if self.in_directory else "give a file that is there, and that you may read"
            raise EvidenceError(why, where=self.where, remedy=remedy) from error


def _regular(path: Path) -> BinaryIO:
    """A file that was a regular one when its directory was read. Raises OSError where a link lies there now,
    or what would be waited for: whoever writes evidence may put it there meanwhile."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file any more", str(path))
    return os.fdopen(handle, "rb")


def is_binary(start: bytes) -> bool:
    """Whether a file begins like none of text: beside letters of older encodings, which are no UTF-8 either,
    there are control characters in it. NULs do not count: a power cut leaves them in the middle of a log."""
    start = start.replace(b"\0", b"")
    control = len(start) - len(start.translate(None, _CONTROL))
    foreign = start.decode("utf-8", errors="replace").count("\ufffd")
    return control > len(start) // 20 and control + foreign > len(start) // 4


_CONTROL = bytes(each for each in range(32) if each not in b"\t\n\r\f\x1b")


def stem_of(name: str) -> str:
    """A path's last part without its endings of packing and kind."""
    last = name.rpartition("/")[2]
    for ending in PACKED:
        last = last.removesuffix(ending)
    return last.partition(".")[0] or last


def stdin() -> EvidenceFile:
    """Standard input."""
    return EvidenceFile(STDIN, "stdin", None)


def find(evidence: Path, what: str = "files") -> tuple[list[EvidenceFile], list[Defect]]:
    """The files of a corpus in order, and what was left out.

    Raises EvidenceError where there is none; `what` they are called then.
    """
    if evidence == STDIN:
        return [stdin()], []
    try:
        mode = evidence.stat().st_mode
    except OSError as error:
        remedy = GIVE if isinstance(error, FileNotFoundError) else ""
        raise EvidenceError(f"cannot be read: {error.strerror}", where=evidence, remedy=remedy) from error
    if not stat.S_ISDIR(mode):
        size = None
        if stat.S_ISREG(mode):
            # Only of a regular file: how much a pipe will give is not known.
            size = evidence.stat().st_size
        return [EvidenceFile(evidence, _text(evidence.name), size)], []
    files: list[EvidenceFile] = []
    skipped: list[Defect] = []
    for path in sorted(
        _walk(evidence, skipped), key=lambda path: os.fsencode(path.relative_to(evidence).as_posix())
    ):
        _sort_in(path, _text(path.relative_to(evidence).as_posix()), files, skipped)
    if not files:
        lacking, remedy = f"no {what} in this directory", GIVE
        if skipped:
            lacking += f" ({len(skipped)} left out)"
            remedy = f"left out: {skipped[0].file} ({skipped[0].why})"
            if all(defect.why == LINK for defect in skipped):
                lacking, remedy = f"nothing but links in this directory ({len(skipped)})", FOLLOWED
        raise EvidenceError(lacking, where=evidence, remedy=remedy)
    return files, skipped


def holds_bytes(evidence: Path) -> bool:
    """Whether something stands in a file, or in any file below a directory. A pipe has no size and counts as
    empty; what may not be looked at counts as not."""
    try:
        if evidence.is_dir():
            return any(path.is_file() and path.stat().st_size for path in evidence.rglob("*"))
        return evidence.exists() and evidence.stat().st_size > 0
    except OSError:
        return True


def _walk(root: Path, skipped: list[Defect]) -> Iterable[Path]:
    """Every entry that is no real directory; links to directories are entries, and never entered."""
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            skipped.append(
                Defect(_text(folder.relative_to(root).as_posix()), None, FILE, f"{error.strerror}")
            )
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                pending.append(Path(entry.path))
            else:
                yield Path(entry.path)


def _sort_in(path: Path, name: str, files: list[EvidenceFile], skipped: list[Defect]) -> None:
    if path.name == MARKER:
        return  # it is our own, and no evidence
    try:
        found = path.lstat()
    except OSError as error:
        skipped.append(Defect(name, None, FILE, f"{error.strerror}"))
        return
    if path.name.startswith("."):
        skipped.append(Defect(name, None, FILE, "hidden"))
    elif stat.S_ISLNK(found.st_mode):
        skipped.append(Defect(name, None, FILE, LINK))
    elif not stat.S_ISREG(found.st_mode):
        skipped.append(Defect(name, None, FILE, "not a regular file"))
    elif found.st_size == 0:
        skipped.append(Defect(name, None, FILE, EMPTY))
    else:
        files.append(EvidenceFile(path, name, found.st_size, in_directory=True))


def _text(name: str) -> str:
    """A path as text whatever its bytes."""
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")
