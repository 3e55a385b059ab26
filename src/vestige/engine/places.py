"""Where what a function reads and writes lies on a node of a cluster that may not see the caller's files.

Every path is pickled by its name, and stands on the other side for the place where its content is there: for
itself, where the node sees what the caller sees, else for a copy.
"""

from __future__ import annotations

import io
import os
import pickle
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, NamedTuple

PROTOCOL = 5


class Sight(NamedTuple):
    """A path as its owner sees it: by size and time of change a node tells whether it sees the same."""

    path: str
    """Absolute."""
    given: str
    folder: bool = False
    size: int = -1
    mtime_ns: int = -1
    """Both are -1 where there is nothing."""


def absolute(path: str | Path, cwd: str | Path | None = None) -> str:
    """A path from the root on, without any `..`; links in it stay."""
    return os.path.normpath(Path.cwd() / path if cwd is None else Path(cwd) / path)


def look(path: Path, given: str | None = None) -> Sight:
    """What stands at a path now."""
    whole, told = absolute(path), str(path) if given is None else given
    try:
        found = Path(whole).stat()
    except OSError:
        return Sight(whole, told)
    folder = stat.S_ISDIR(found.st_mode)
    # Of a folder the size is the file system's own affair.
    return Sight(whole, told, folder, 0 if folder else found.st_size, found.st_mtime_ns)


@dataclass
class Places:
    """Of one piece of work on a node.

    `cwd` is the caller's working directory. `copies`: the root below which copies of the paths in `copied`
    lie, each under its absolute path. `attempt`: the folder of this process alone, which stands for `home`,
    the one that the caller will find it as, inside of `writes`.
    """

    cwd: str
    copies: str
    copied: list[Sight] = field(default_factory=list)
    writes: str | None = None
    attempt: str = ""
    home: str = ""

    def here(self, text: str) -> Path:
        """Where on this node the content of the caller's path lies."""
        whole = absolute(text, self.cwd)
        if self.writes is not None and _within(whole, self.writes):
            return Path(self.attempt + whole[len(self.writes) :])
        if any(_within(whole, sight.path) or _within(sight.path, whole) for sight in self.copied):
            return Path(self.copy_of(whole))
        return Path(text if str(Path.cwd()) == self.cwd else whole)

    def copy_of(self, whole: str) -> str:
        """The path of a copy."""
        return self.copies + whole

    def named_at_home(self, text: str) -> str:
        """A text that may name places of this node, as the caller would have it."""
        if self.attempt and self.attempt != self.home:
            text = text.replace(self.attempt, self.home)
        if self.copies not in text:
            return text
        for sight in self.copied:
            text = text.replace(self.copy_of(sight.path), sight.given)
        return text.replace(self.copies + os.sep, os.sep)

    @property
    def same_names(self) -> bool:
        """Whether everything is called here what the caller calls it."""
        return not self.copied and self.attempt == self.home


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, named: Callable[[str], str] | None) -> None:
        super().__init__(file, PROTOCOL)
        self._named = named

    def persistent_id(self, value: Any) -> str | None:
        if isinstance(value, PurePath):
            return str(value) if self._named is None else self._named(str(value))
        return None


class _Texts(_Pickler):
    """Also texts, such as those of errors and records of a log, are told with the caller's paths."""

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, str) and self._named is not None and (told := self._named(value)) != value:
            return (told,)
        return super().persistent_id(value)


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, placed: Callable[[str], Path]) -> None:
        super().__init__(io.BytesIO(data))
        self._placed = placed
        self.found: dict[str, Path] = {}

    def persistent_load(self, told: Any) -> Any:
        if isinstance(told, tuple):
            return told[0]
        return self.found.setdefault(told, self._placed(told))


@dataclass
class Kept:
    """What was unpickled last, for as long as its paths stand for the same places."""

    key: str = ""
    value: Any = None
    placed: dict[str, Path] = field(default_factory=dict)

    def loads(self, key: str, data: bytes, places: Places) -> Any:
        """As `loads`; `key` says which data these are."""
        if key != self.key or any(places.here(text) != path for text, path in self.placed.items()):
            unpickler = _Unpickler(data, places.here)
            self.value, self.placed, self.key = unpickler.load(), unpickler.found, key
        return self.value


def dumps(value: Any, places: Places | None = None) -> bytes:
    """Pickle a value whose paths are told by their names; `places`: those of the caller, from a node."""
    file = io.BytesIO()
    if places is None:
        _Pickler(file, None).dump(value)
    elif places.same_names:
        _Pickler(file, places.named_at_home).dump(value)
    else:
        _Texts(file, places.named_at_home).dump(value)
    return file.getvalue()


def dumps_function(fn: Callable[..., Any]) -> bytes:
    """Pickle a function, also one that only the caller's main module has, as `dumps` does."""
    from ray import cloudpickle

    class Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
        def persistent_id(self, value: Any) -> str | None:
            return str(value) if isinstance(value, PurePath) else None

    file = io.BytesIO()
    Pickler(file, PROTOCOL).dump(fn)
    return file.getvalue()


def loads(data: bytes, placed: Callable[[str], Path] = Path) -> Any:
    """What was pickled by `dumps`, its paths where their content is."""
    return _Unpickler(data, placed).load()
