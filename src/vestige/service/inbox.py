"""What came over the network and waits on disk, in files that are followed like any others.

So a restart, a watch that lags behind and a kill need nothing of their own: what is in a file was received,
and the state says how far it was read.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vestige.errors import UsageError
from vestige.evidence.files import EvidenceFile
from vestige.reading.steps import Reader
from vestige.service.identity import Identity
from vestige.service.sinks.files import refusals
from vestige.sources.logs.received import Line, form_of

FOLDER = "inbox"
LARGEST = 256_000_000
"""Bytes that may lie there."""
SEGMENT = 64_000_000
"""Where the files that are written hold so many bytes together, all are turned over."""
MOST_HOSTS = 256
OTHERS = "other-hosts"
"""Whose messages these are when there are more hosts."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)

_BLANK = str.maketrans("01", " \t")


class Inbox:
    """Files `HOST/NAME.FORM.log` in `folder`; used by several threads. One that was turned over is called
    `NAME.FORM.TIME.log`, and deleted once it was read.

    Raises OutputError where the folder cannot be written.
    """

    def __init__(self, folder: Path, *, largest: int = LARGEST, segment: int = SEGMENT) -> None:
        self.folder, self.largest, self.segment = folder, largest, segment
        self._lock = threading.Lock()
        self._sizes: dict[Path, int] = {}
        with refusals(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in folder.glob("*/*.log"):
                if form_of(path) is None or not path.is_file():
                    continue
                self._sizes[path] = path.stat().st_size
                if not is_old(path):
                    self._end_line(path)
        self._hosts = {path.parent.name for path in self._sizes}

    @property
    def size(self) -> int:
        """Bytes that lie there."""
        return sum(self._sizes.values())

    def append(self, name: str, lines: Iterable[Line], *, sync: bool = False) -> bool:
        """Put messages in; False, and none of them is, where there is no room. `sync`: they are on the disk
        before this returns. Raises OutputError where they cannot be written."""
        data: dict[Path, bytearray] = defaultdict(bytearray)
        with self._lock:
            for line in lines:
                path = self.folder / self._host(line.host) / f"{name}.{line.form}.log"
                data[path] += line.data + b"\n"
            if self.size + sum(map(len, data.values())) > self.largest:
                return False
            with refusals(self.folder):
                if sum(size for path, size in self._sizes.items() if not is_old(path)) >= self.segment:
                    self._turn_over()
                for path, content in data.items():
                    self._write(path, bytes(content), sync=sync)
        return True

    def sweep(self, follower: dict[str, Any]) -> None:
        """Delete what was turned over and, by a follower's state that was saved, read to its end."""
        reading = {each.place for each in _known(follower["open"])}
        with self._lock:
            old = [path for path in self._sizes if is_old(path)]
            if not old:
                return
            done = _known(follower["done"])
            for path in old:
                with contextlib.suppress(OSError):
                    found = path.stat()
                    if (found.st_dev, found.st_ino) in reading:
                        continue
                    file = EvidenceFile(path, path.name, found.st_size)
                    if any(each.is_inode_of(found) and each.begins_like(file) for each in done):
                        path.unlink()
                        del self._sizes[path]

    def _host(self, host: str) -> str:
        """The folder of a host: what a sender wrote is no path."""
        name = re.sub(r"[^A-Za-z0-9._-]", "-", host[:100], flags=re.ASCII)
        if _NAME.fullmatch(name) is None:
            name = OTHERS
        if name not in self._hosts and len(self._hosts) >= MOST_HOSTS:
            return OTHERS
        self._hosts.add(name)
        return name

    def _turn_over(self) -> None:
        for path in [path for path in self._sizes if not is_old(path)]:
            old = path.with_name(f"{path.stem}.{time.time_ns()}.log")
            path.rename(old)
            self._sizes[old] = self._sizes.pop(path)

    def _write(self, path: Path, data: bytes, *, sync: bool) -> None:
        path.parent.mkdir(exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(path, flags, 0o600)
        try:
            before = os.fstat(file).st_size
            if not before:
                # A file is known again by how it begins, which no sender may say: the same messages again
                # would pass for a file that was read. A number of blanks and tabs is an empty line to
                # the reader.
                data = f"{uuid.uuid4().int:0128b}\n".translate(_BLANK).encode() + data
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(file, view) :]
                if sync:
                    os.fsync(file)
            except OSError:
                os.ftruncate(file, before)
                raise
            self._sizes[path] = before + len(data)
        finally:
            os.close(file)

    def _end_line(self, path: Path) -> None:
        """A kill within a write leaves half a line: the next message begins a line of its own."""
        with path.open("rb+") as file:
            if not file.seek(0, os.SEEK_END):
                return
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
                self._sizes[path] += 1


def is_old(path: Path) -> bool:
    """Whether a file was turned over."""
    return path.name.count(".") > 2


def _known(entries: list[dict[str, Any]]) -> list[Identity]:
    """What the files among these entries of a follower's state are."""
    known = (Identity.from_plain(each["identity"]) for each in entries)
    return [each for each in known if each is not None]


def inbox_of(reader: Reader[Any], state: Path | None, listen: Sequence[str]) -> Inbox | None:
    """Where messages that come over the network lie: also when nobody listens any more, and some are there.
    Raises UsageError where a detector can make nothing of them."""
    if state is None:
        if listen:
            raise UsageError(
                "what comes over the network has nowhere to lie until it is judged",
                remedy="add --state DIR: it waits there, also for the next watch",
            )
        return None
    folder = state / FOLDER
    if not listen and not folder.is_dir():
        return None
    if not reader.receive(folder):
        if not listen:
            return None
        raise UsageError(
            f"a detector of {reader.schema.source} cannot listen: what comes over syslog and OTLP are "
            "messages of logs",
            remedy="learn one from logs: vestige learn logs, or give the evidence as files",
        )
    return Inbox(folder)
