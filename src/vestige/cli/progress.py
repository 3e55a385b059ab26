"""Progress on standard error, silent when nobody watches."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.markup import escape

from vestige.escaping import visible
from vestige.training import progress


@contextlib.contextmanager
def bar(
    title: str, unit: str = "", *, beside_output: bool = False
) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar while the block runs; yields `update(done, total)`.

    `beside_output`: the block writes to standard output, so there is no bar where both are terminals.
    """
    if not progress.on_terminal() or (beside_output and sys.stdout.isatty()):
        yield lambda done, total: None  # noqa: ARG005
        return
    with progress.bar() as shown:
        task = shown.add_task(escape(visible(title)), total=None, figures=unit)
        yield lambda done, total: shown.update(task, completed=done, total=total)
