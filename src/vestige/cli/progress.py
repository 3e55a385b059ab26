"""Progress on standard error, silent when nobody watches."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from vestige.escaping import visible


@contextlib.contextmanager
def bar(
    title: str, unit: str = "", *, beside_output: bool = False
) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar while the block runs; yields `update(done, total)`.

    `beside_output`: the block writes to standard output, so there is no bar where both are terminals.
    """
    console = Console(stderr=True)
    if not console.is_terminal or (beside_output and sys.stdout.isatty()):
        yield lambda done, total: None  # noqa: ARG005
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(escape(visible(title)), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
