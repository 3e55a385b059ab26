"""One log for the whole program: to the terminal, and as JSON lines into the run's directory.

Only the main process writes. Worker processes collect their records, and the engine brings them home
with the results (`capture` and `replay`), so no two processes ever write to one file.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vestige.errors import UsageError
from vestige.escaping import visible_lines

if TYPE_CHECKING:
    from rich.console import Console

ROOT = "vestige"
MOST_EARLY = 1000
"""Records kept for a file that may yet be opened; some verbs never open one."""
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def get(name: str) -> logging.Logger:
    """The logger of one package, such as `vestige.training`."""
    return logging.getLogger(name)


def parse_level(text: str) -> int:
    """A level from 10 to 50, by number or by name. Raises UsageError for anything else."""
    number = LEVELS.get(text.lower(), int(text) if text.isdecimal() else -1)
    if not LEVELS["debug"] <= number <= LEVELS["critical"]:
        raise UsageError(f"unknown log level {text!r}", remedy=f"10 to 50, or one of: {', '.join(LEVELS)}")
    return number


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A terminal to print to. With `NO_COLOR` nothing that it prints has an escape sequence, be it of colour,
    bold, or of where the cursor goes."""
    from rich.console import Console

    if os.environ.get("NO_COLOR"):
        return Console(stderr=stderr, width=width, color_system=None, force_interactive=False)
    return Console(stderr=stderr, width=width)


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Nothing on standard error while the block runs, whatever native code writes there."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def shows_progress(to: Console) -> bool:
    """Whether a terminal can show a bar that moves, and its owner wants one: who says nothing of the level
    has not asked for silence."""
    own = logging.getLogger(ROOT).level
    return to.is_interactive and (own == logging.NOTSET or own < LEVELS["warning"])


def configure(level: int = LEVELS["info"]) -> None:
    """Write records of `level` and above to the terminal (standard error)."""
    root = logging.getLogger(ROOT)
    root.setLevel(level)
    root.propagate = False
    for old in [handler for handler in root.handlers if isinstance(handler, ToTerminal)]:
        root.removeHandler(old)
    root.addHandler(ToTerminal())
    root.addHandler(_early)


def level() -> int:
    """The level below which nothing is recorded."""
    return logging.getLogger(ROOT).getEffectiveLevel()


@contextlib.contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Also append records to `path`, one JSON object a line, while the block runs.

    The first file also gets what was logged before it: a run's directory exists only once there is
    something to put into it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(JsonLines())
    root = logging.getLogger(ROOT)
    root.removeHandler(_early)
    for record in _early.taken():
        handler.handle(record)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


class ToTerminal(logging.Handler):
    """Writes records to standard error: the time of day, the level of a warning or worse, the message.

    A message is one line, which the terminal breaks where it ends; nothing in it can steer the terminal.
    """

    STYLES: ClassVar = {"WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red", "DEBUG": "dim"}

    def __init__(self) -> None:
        super().__init__()
        self.console = console(stderr=True)
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a bar that is shown stays below it."""
        from rich.text import Text

        try:
            line = Text(f"{datetime.fromtimestamp(record.created).astimezone():%H:%M:%S} ", style="dim")
            text: Any = Text(visible_lines(self.format(record)), style="default")
            if record.levelname in self.STYLES:
                line.append(f"{record.levelname.lower()}: ", style=f"not dim {self.STYLES[record.levelname]}")
            self.console.print(Text.assemble(line, text), soft_wrap=True, highlight=False)
        except Exception:  # noqa: BLE001 - as every handler of logging: a log never ends what it tells of
            self.handleError(record)


class JsonLines(logging.Formatter):
    """A record as one line of JSON: `time` (UTC, ISO 8601), `level`, `logger`, `message`, `process`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; whatever a message holds is escaped."""
        return json.dumps(
            {
                "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": record.getMessage(),
                "process": record.process,
            }
        )


class _Collect(logging.Handler):
    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.most = most
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self.records.append(record)
        if self.most is not None:
            del self.records[: -self.most]

    def taken(self) -> list[logging.LogRecord]:
        records, self.records = self.records, []
        return records


_early = _Collect(MOST_EARLY)


@contextlib.contextmanager
def capture(level: int) -> Iterator[list[logging.LogRecord]]:
    """Collect the records of this process instead of writing them."""
    root = logging.getLogger(ROOT)
    root.setLevel(level)
    root.propagate = False
    handler = _Collect()
    root.addHandler(handler)
    try:
        yield handler.records
    finally:
        root.removeHandler(handler)


def replay(records: Iterable[logging.LogRecord]) -> None:
    """Hand records that came from elsewhere to this process's handlers."""
    for record in records:
        logging.getLogger(record.name).handle(record)
