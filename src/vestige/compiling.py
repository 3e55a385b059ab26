"""Compiling a function with Numba. Importing this imports Numba: only modules of kernels do so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

_F = TypeVar("_F", bound="Callable[..., Any]")


def compiled(function: _F, *, after: tuple[str, ...] = (), **options: Any) -> _F:
    """`function` compiled at its first call, without the interpreter's lock; NumPy's division by zero.

    What was compiled is kept on disk beside the module, or else in the user's cache directory, or not at all
    where neither can be written. Numba compiles it again when the module's file has changed; the other files
    that it is made of (kernels and constants that it uses) are named in `after`.
    """
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        made = numba.njit(function, cache=True, **options)
        if after and hasattr(made, "stats"):
            _forget_older(made, after)
    except (RuntimeError, OSError):  # no place for it can be written
        made = numba.njit(function, **options)
    return cast("_F", made)


def _forget_older(made: Any, after: tuple[str, ...]) -> None:
    """Remove the index of what was compiled before one of these files was changed."""
    newest = max(Path(one).stat().st_mtime_ns for one in after)
    for index in Path(made.stats.cache_path).glob(f"*.{made.__qualname__}-*.nbi"):
        if index.stat().st_mtime_ns < newest:
            index.unlink(missing_ok=True)
