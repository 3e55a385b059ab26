"""Progress as jobs report it: whoever runs them says how it is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from vestige.reading.steps import Progress

ShowProgress = Callable[[str, str], AbstractContextManager[Progress]]
"""Given a title and a unit, a context that yields `update(done, total)`."""


@contextlib.contextmanager
def silent(title: str, unit: str) -> Iterator[Progress]:  # noqa: ARG001
    """Shows nothing."""
    yield lambda done, total: None  # noqa: ARG005
