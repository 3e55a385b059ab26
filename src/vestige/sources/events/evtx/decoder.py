"""Records of Windows event logs as JSON, parsed by a process that may die of them."""

from __future__ import annotations

import atexit
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, cast

from vestige.errors import UsageError
from vestige.sources.events.evtx import child
from vestige.sources.events.evtx.chunks import NO_RECORD, Record, mended

MEMORY = 1 << 29
"""Bytes of address space that parsing may take; a chunk needs a few MB."""
SECONDS = 1.0
"""Of processor time that parsing a chunk may take; a sound one takes some milliseconds."""


@dataclass
class Parsed:
    """What parsing a chunk came to, by where in it records lie: the JSON of those that were read, and what is
    wrong with the others. `killed`: how many of them the parser died of."""

    texts: dict[int, bytes] = field(default_factory=dict)
    wrong: dict[int, str] = field(default_factory=dict)
    killed: int = 0

    def leave_out(self, at: int, why: str, emptied: frozenset[int]) -> None:
        """The record at `at` was not read, unless it was `emptied` and nobody asked for it."""
        if at not in emptied:
            self.wrong[at] = why


def parse(data: bytes, records: tuple[Record, ...], most: int, may_die: int) -> Parsed:
    """The `records` of a chunk, in JSON of at most `most` bytes each.

    Where the parser dies of a chunk, its records are tried one by one, and those it dies of are left out;
    after `may_die` of them, all that follow.
    """
    parsed = Parsed()
    parser = _parser(os.getpid(), most)
    if not records or (may_die > 0 and not parser.parse(data, records, frozenset(), parsed)):
        return parsed
    every = frozenset(record.at for record in records)
    for record in records:
        if parsed.killed >= may_die:
            parsed.wrong[record.at] = "it was not tried, as too many records of this file stopped the parser"
        elif death := parser.parse(data, records, every - {record.at}, parsed):
            parsed.killed += 1
            parsed.wrong[record.at] = death
    return parsed


class _Parser:
    """The process that parses, started when it is first needed; it ends when its input is closed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._process: _Process | None = None
        self._one_at_a_time = threading.Lock()

    def parse(self, data: bytes, records: tuple[Record, ...], emptied: frozenset[int], parsed: Parsed) -> str:
        """Add what comes of `records`, but for the `emptied` ones, to `parsed`. Returns how the process died
        of them, nothing if it lives."""
        waiting = iter([record.at for record in records])
        with self._one_at_a_time:
            if self._process is None:
                self._process = _Process(self._most)
            try:
                self._process.send(mended(data, records, emptied))
                while (reply := self._process.receive())[0] != child.END:
                    self._take(*reply, waiting, emptied, parsed)
            except (OSError, EOFError):
                process, self._process = self._process, None
                return process.end()
        for at in waiting:
            parsed.leave_out(at, _PASSED_OVER, emptied)
        return ""

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _take(
        self, place: int, content: bytes, waiting: Iterator[int], emptied: frozenset[int], parsed: Parsed
    ) -> None:
        """A reply: they come in the order of the records, and a failure does not say of which it is."""
        if place == NO_RECORD:
            return
        if place == child.FAILED:
            parsed.leave_out(next(waiting, 0), _PREFIX.sub("", content.decode("utf-8", "replace")), emptied)
            return
        for at in waiting:
            if at == place:
                break
            parsed.leave_out(at, _PASSED_OVER, emptied)
        if place in emptied:
            return
        if content:
            parsed.texts[place] = content
        else:
            parsed.leave_out(place, f"longer than {self._most} bytes", emptied)


class _Process:
    """A process that runs `child`. Raises UsageError where it cannot be started."""

    def __init__(self, most: int) -> None:
        # -P: the directory of the program is not on the path, as its modules are called like some of others.
        program = [sys.executable, "-P", str(Path(child.__file__)), str(MEMORY), str(SECONDS), str(most)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)  # noqa: S603
        self._in, self._out = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        try:
            self.receive()
        except EOFError as error:
            self.end()
            remedy = "is the package evtx there? pip install evtx"
            raise UsageError("the parser of Windows event logs does not start", remedy=remedy) from error

    def send(self, file: bytes) -> None:
        """A file of one chunk to parse. Raises OSError where the process is dead."""
        self._in.write(struct.pack("<I", len(file)) + file)
        self._in.flush()

    def receive(self) -> tuple[int, bytes]:
        """The next reply: its head, and what it holds. Raises EOFError where the process died instead."""
        place, size = child.HEAD.unpack(self._exactly(child.HEAD.size))
        return place, self._exactly(size)

    def end(self) -> str:
        """Let go of the process, which ends with its input if it still lives; how it died."""
        self._out.close()
        with suppress(OSError):
            self._in.close()
        code = -self._process.wait()
        if code == signal.SIGPROF:
            return f"parsing it takes more than {SECONDS:g} s"
        if code > 0:
            return f"the parser crashed ({signal.Signals(code).name}), perhaps for want of memory"
        return "the parser failed"

    def _exactly(self, n: int) -> bytes:
        content = self._out.read(n)
        if len(content) < n:
            raise EOFError
        return content


_PASSED_OVER = "the parser passed over it"
_PREFIX = re.compile(
    r"\AFailed to parse record number \d+: (?:An error occurred while trying to deserialize evtx stream.: )?"
)


@cache
def _parser(pid: int, most: int) -> _Parser:  # noqa: ARG001 - a forked process must not share its parent's
    parser = _Parser(most)
    atexit.register(parser.close)
    return parser
