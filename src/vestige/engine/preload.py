"""What the server that forks workers imports in their place: the modules of the function that they run
and of what is bound to it.

A fork copies one thread alone, with the locks as the others held them, so the server must have no others.
BLAS is told not to start any. A module that needs a library which starts some when it is imported is left to
the workers.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

MODULES = "VESTIGE_PRELOAD"
"""Variable of the environment that names the modules, with commas."""
STARTS_THREADS = frozenset({"polars"})


class StartsThreads(BaseException):
    """A library was asked for that starts threads. No Exception: nobody on the way may go on without it."""


class _Refuse(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:  # noqa: ARG002
        if name.partition(".")[0] in STARTS_THREADS:
            raise StartsThreads(name)


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Import nothing that starts threads, nor what needs it."""
    finder = _Refuse()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def preload(modules: str) -> None:
    """Import `vestige.engine.worker` and `modules`, as far as that is safe."""
    # What is imported stays: nobody looks for garbage in it, here or, writing to pages that all share, in the
    # workers.
    gc.disable()
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    importlib.import_module("vestige.engine.worker")
    # a module that only the calling process can find is imported by the workers, who are told its path
    for module in modules.split(","):
        with refused(), contextlib.suppress(StartsThreads, ImportError):
            importlib.import_module(module)
    gc.freeze()
    gc.enable()


if MODULES in os.environ:  # in the server alone
    preload(os.environ.pop(MODULES))
