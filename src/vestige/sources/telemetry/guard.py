"""What one episode may do to the process that reads it: what it takes is bounded, how it fails is a fault."""

from __future__ import annotations

import contextlib
import contextvars
import faulthandler
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from vestige import log
from vestige.sources.telemetry.faults import FaultError

MEMORY = 2 << 30
"""Bytes of address space beyond what the process has already."""
SECONDS = 120.0
"""Of processor time."""
RAISED = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
    pl.exceptions.PolarsError, pl.exceptions.PanicException,
)  # fmt: skip
"""As what a fault of this program, or of a library, shows: one episode's, and none of the others'."""

_WITHIN = contextvars.ContextVar("within", default=False)


def within() -> bool:
    """Whether this is a process of its own, that may end with an episode: within `limits`."""
    return _WITHIN.get()


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """Run the block within `MEMORY` and `SECONDS`; a library that then aborts does so without a word.

    For processes of their own: the engine's, with `isolate`. On other systems than Linux it only keeps quiet.
    Raises FaultError: `died` where memory is refused and that is survived, `raised` for any of `RAISED`.
    """
    before = resource.getrlimit(resource.RLIMIT_AS)
    timer = signal.signal(signal.SIGPROF, signal.SIG_DFL)
    outside = _WITHIN.set(True)
    with _quiet():
        if (most := _address_space()) is not None:
            resource.setrlimit(resource.RLIMIT_AS, (_lower(most + MEMORY, before[1]), before[1]))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            yield
        except MemoryError as error:
            raise FaultError("more memory than an episode may use", code="died", subject="episode") from error
        except RAISED as error:
            what = f"{type(error).__name__}: {error}"
            raise FaultError(what, code="raised", subject="episode") from error
        finally:
            _WITHIN.reset(outside)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, timer)
            resource.setrlimit(resource.RLIMIT_AS, before)


def _address_space() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return None
    return pages * resource.getpagesize()


def _lower(wanted: int, hard: int) -> int:
    # No limit is the number -1, which `min` would take for the lowest.
    if hard == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, hard)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on standard error: what a dying parser prints there helps nobody."""
    traced = faulthandler.is_enabled()
    faulthandler.disable()
    try:
        with log.silent_stderr():
            yield
    finally:
        if traced:
            faulthandler.enable()
