"""The program at a terminal of its own: what a person sees there."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
from collections.abc import Mapping, Sequence

from tests.warm import Program

HIDES = "\x1b[?25l"
"""The cursor is hidden: a bar begins."""


def on_terminal(arguments: Sequence[object], env: Mapping[str, str] | None = None) -> str:
    """What a command, which must end well, wrote to its terminal (standard error), escapes and all."""
    ours, theirs = pty.openpty()
    told = {**(os.environ if env is None else env), "TERM": "xterm", "COLUMNS": "200"}
    running = Program(arguments, stdout=subprocess.DEVNULL, stderr=theirs, env=told)
    os.close(theirs)
    written = everything(ours)
    assert running.wait(60) == 0, written
    return written


def plain(written: str) -> str:
    """The same without what colours it and moves the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)


def everything(terminal: int) -> str:
    """What is written to a terminal until nobody holds it: who does not read lets the writer wait."""
    parts = []
    # An OSError is how Linux says that nobody writes any more.
    with os.fdopen(terminal, "rb", buffering=0) as file, contextlib.suppress(OSError):
        while part := file.read(1 << 16):
            parts.append(part)
    return b"".join(parts).decode()
