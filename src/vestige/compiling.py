"""Compiling a function with Numba. Importing this imports Numba: only modules of kernels do so.

What Numba keeps beside a module are pickles, as trusted as the module's own bytecode: whoever can write the
one can write the other. But a power cut leaves them empty, and a disk may change them: each begins with a
digest of the rest, and one that does not fit is compiled again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
from numba.core.caching import IndexDataCacheFile
from numba.core.compiler_lock import global_compiler_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_F = TypeVar("_F", bound="Callable[..., Any]")
_HELD: set[Path] = set()
"""Locks that this process holds; only who has Numba's own lock looks at it."""


def compiled(function: _F, *, after: tuple[str, ...] = (), **options: Any) -> _F:
    """`function` compiled at its first call, without the interpreter's lock; NumPy's division by zero.

    What was compiled is kept on disk beside the module, or else in the user's cache directory, or not at all
    where neither can be written. Numba compiles it again when the module's file has changed; the other files
    that it is made of (kernels and constants that it uses) are named in `after`. Of several processes that
    need it at once, one compiles it; the others wait, and read what that has kept.
    """
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        made = numba.njit(function, cache=True, **options)
        if hasattr(made, "stats"):
            _seal(made)
            if after:
                _forget_older(made, after)
            _compile_in_turn(made)
    except (RuntimeError, OSError):  # no place for it can be written
        made = numba.njit(function, **options)
    return cast("_F", made)


class _Sealed(IndexDataCacheFile):
    """Numba's index and data files behind a digest of their content. A damaged one is as if it were not
    there; one that cannot be written is not kept."""

    def save(self, key: Any, data: Any) -> None:
        with contextlib.suppress(OSError):
            super().save(key, data)  # type: ignore[no-untyped-call]

    def _load_index(self) -> Any:
        content = _unsealed(Path(self._index_path))
        if content is None:
            return {}
        stamp, overloads = pickle.loads(content)  # noqa: S301 - its digest fits
        return overloads if stamp == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: Any) -> None:
        content = self._dump(((self._version, self._source_stamp), overloads))  # type: ignore[no-untyped-call]
        self._write(self._index_path, content)

    def _load_data(self, name: str) -> Any:
        content = _unsealed(Path(self._data_path(name)))  # type: ignore[no-untyped-call]
        if content is None:
            raise OSError("damaged")  # Numba compiles it again
        return pickle.loads(content)  # noqa: S301 - its digest fits

    def _save_data(self, name: str, data: Any) -> None:
        content = self._dump(data)  # type: ignore[no-untyped-call]
        self._write(self._data_path(name), content)  # type: ignore[no-untyped-call]

    def _write(self, path: str, content: bytes) -> None:
        with self._open_for_write(path) as file:
            file.write(_digest(content) + content)


def _seal(made: Any) -> None:
    """Let Numba keep what it compiles of `made` in sealed files."""
    cache = made._cache
    locator = cache._impl.locator
    stamp = locator.get_source_stamp()
    base = cache._impl.filename_base
    cache._cache_file = _Sealed(cache.cache_path, base, stamp)  # type: ignore[no-untyped-call]


def _unsealed(path: Path) -> bytes | None:
    """The content of a sealed file; None where there is none, or it is damaged."""
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    content = whole[_DIGEST:]
    return content if whole[:_DIGEST] == _digest(content) else None


_DIGEST = 32


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST).digest()


def _forget_older(made: Any, after: tuple[str, ...]) -> None:
    """Remove the index of what was compiled before one of these files was changed."""
    newest = max(Path(file).stat().st_mtime_ns for file in after)
    for index in Path(made.stats.cache_path).glob(f"*.{made.__qualname__}-*.nbi"):
        if index.stat().st_mtime_ns < newest:
            index.unlink(missing_ok=True)


def _compile_in_turn(made: Any) -> None:
    """Let other processes wait while one compiles `made`, beside the index of what was compiled."""
    place = Path(made.stats.cache_path) / f"{made.__module__}.{made.__qualname__}.lock"
    compile_now = made.compile

    def compile_in_turn(signature: Any) -> Any:
        # Numba's lock first: a thread that waits for another process must not be waited for by one of ours.
        with global_compiler_lock, _held(place):
            return compile_now(signature)

    made.compile = compile_in_turn


@contextlib.contextmanager
def _held(place: Path) -> Iterator[None]:
    """Hold a lock on the file `place`; without one where it cannot be written, or is held here already."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    inner = place in _HELD
    try:
        if not inner:
            fcntl.flock(handle, fcntl.LOCK_EX)
            _HELD.add(place)
        yield
    finally:
        if not inner:
            _HELD.discard(place)
        os.close(handle)
