"""What a person sees of a training: progress bars on a terminal's standard error and nothing elsewhere, and
Lightning without its tips, advertisements and hints."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from vestige import log

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

LOGGERS = ("pytorch_lightning", "lightning_fabric", "lightning")
MODULES = r"(pytorch_lightning|lightning_fabric|lightning_utilities|torchmetrics)(\..*)?$"


def bar() -> Progress:
    """One line: description, bar, how many of how many, `figures`, time taken and time left. All bars of the
    program are made here."""
    from rich.progress import (  # nobody looks at most commands
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console(), refresh_per_second=5, transient=True)


def console() -> Console:
    """That of vestige's log where there is one: then messages appear above the bar, not across it."""
    for handler in logging.getLogger("vestige").handlers:
        if isinstance(handler, log.ToTerminal):
            return handler.console
    return log.console(stderr=True)


def on_terminal() -> bool:
    """Whether there is anyone to show a bar to."""
    return log.shows_progress(console())


@contextlib.contextmanager
def rounds(name: str, *, show: bool) -> Iterator[Callable[[int, int], None] | None]:
    """What a fitted detector reports its rounds to; None where nobody looks."""
    if not (show and on_terminal()):
        yield None
        return
    with bar() as lines:
        task = lines.add_task(name, total=None, figures="rounds")
        yield lambda done, total: lines.update(task, completed=done, total=total)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """While it lasts, only Lightning's errors are heard; vestige's own messages and warnings stay."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=MODULES)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
