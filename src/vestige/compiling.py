"""Compiling a function with Numba. Importing this imports Numba: only modules of kernels do so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

_F = TypeVar("_F", bound="Callable[..., Any]")


def compiled(function: _F, **options: Any) -> _F:
    """`function` compiled at its first call, without the interpreter's lock; NumPy's division by zero.

    What was compiled is kept on disk beside the module, or else in the user's cache directory, or not at all
    where neither can be written.
    """
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        return cast("_F", numba.njit(function, cache=True, **options))
    except RuntimeError:  # neither __pycache__ nor the user's cache directory can be written
        return cast("_F", numba.njit(function, **options))
