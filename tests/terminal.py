"""The program at a terminal of its own: what a person sees there."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from tests.warm import Program

HIDES = "\x1b[?25l"
"""The cursor is hidden: a bar begins."""


def on_terminal(arguments: Sequence[object], env: Mapping[str, str] | None = None) -> str:
    """What a command, which must end well, wrote to its terminal (standard error), escapes and all."""
    ours, theirs = pty.openpty()
    told = {**(os.environ if env is None else env), "TERM": "xterm", "COLUMNS": "200"}
    running = Program(arguments, stdout=subprocess.DEVNULL, stderr=theirs, env=told)
    os.close(theirs)
    written = b"".join(_chunks(ours)).decode()
    os.close(ours)
    assert running.wait(60) == 0, written
    return written


def plain(written: str) -> str:
    """The same without what colours it and moves the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)


def _chunks(terminal: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(terminal, 1 << 16):
            yield chunk
    except OSError:  # what Linux says where the other end is closed
        return
