"""The lines beside the evidence of an incident, read again where they lie.

What an incident says of its place is evidence: it names no file here. The files are those below what the
watch was told to follow, as the watch itself finds them (no links); only one whose inode the watch has
followed is opened, and only if the line of the incident stands at its place.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from vestige.errors import EvidenceError
from vestige.evidence.files import PACKED, STDIN, EvidenceFile, find
from vestige.service.inbox import FOLDER
from vestige.sources.logs.escapes import without_escapes

BESIDE = 5
"""Lines before and after."""
MOST_BYTES = 1 << 16
"""That are read before a line, and from it on."""
MOST_FILES = 20
"""Files that are tried for one line."""
KNOWN = 200
"""Characters by which a line is known again."""
UNKNOWN = "this state does not say where the evidence lies: a watch that runs says it when it saves"
GONE = "the line is not where it was read: its file was rotated away, packed, changed or removed"
NO_LINES = "what this kind of evidence holds beside the step is no line of text"


@dataclass(frozen=True)
class Neighbours:
    """Lines `before` and `after` one, or why they are not shown."""

    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    why: str = ""


@dataclass(frozen=True)
class Followed:
    """Where a watch looks for evidence, and the device and inode of each file that it has followed."""

    roots: tuple[Path, ...]
    inodes: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, state: dict[str, Any], directory: Path) -> Self:
        """By the state of a watch in a directory. Raises KeyError, TypeError or ValueError where it is no
        such thing."""
        roots = [Path(str(path)) for path in state.get("evidence", [])]
        # What came over the network lies in the state itself.
        roots.append(directory / FOLDER)
        entries = [*state["follower"]["open"], *state["follower"]["done"]]
        known = [entry["identity"] for entry in entries if entry["identity"] is not None]
        return cls(
            tuple(root for root in roots if root != STDIN),
            frozenset((int(each["device"]), int(each["inode"])) for each in known),
        )

    def beside(self, places: Sequence[dict[str, Any]]) -> list[Neighbours]:
        """The lines beside each place of an incident's evidence."""
        if len(self.roots) < 2:
            return [Neighbours(why=UNKNOWN) for _ in places]
        files = list(self._files())
        return [self._beside(place, files) for place in places]

    def _files(self) -> Iterator[EvidenceFile]:
        for root in self.roots:
            with contextlib.suppress(EvidenceError):
                yield from find(root)[0]

    def _beside(self, place: dict[str, Any], files: Sequence[EvidenceFile]) -> Neighbours:
        name, offset, text = place.get("file"), place.get("offset"), place.get("text")
        if not (isinstance(name, str) and isinstance(offset, int) and isinstance(text, str)):
            return Neighbours(why=NO_LINES)
        first = text.split("\n", 1)[0].strip()[:KNOWN]
        # A packed file is no longer as it was followed, and a name stays with what rotation puts beside it.
        alike = [file for file in files if _may_be(file, name) and not file.id.endswith(PACKED)]
        alike.sort(key=lambda file: name not in {file.id, file.where})
        for file in alike[:MOST_FILES]:
            found = self._read(file.path, offset, first)
            if found is not None:
                return found
        return Neighbours(why=GONE)

    def _read(self, path: Path, offset: int, first: str) -> Neighbours | None:
        """Of a file, if it is one that was followed, and has the line there."""
        if not 0 <= offset < 1 << 62:
            return None
        try:
            # Neither a link that was put there since, nor a pipe, which would be waited for.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            is_file = os.fstat(handle)
            if not stat.S_ISREG(is_file.st_mode) or (is_file.st_dev, is_file.st_ino) not in self.inodes:
                return None
            begin = max(0, offset - MOST_BYTES)
            before, here = os.pread(handle, offset - begin, begin), os.pread(handle, MOST_BYTES, offset)
        except OSError:
            return None
        finally:
            os.close(handle)
        return _split(before, here, first, whole=not begin)


def _may_be(file: EvidenceFile, name: str) -> bool:
    """Whether a file may hold what was read as `name`: it is called so, or as rotation calls it then."""
    last = name.rpartition("/")[2]
    return bool(last) and file.id.rpartition("/")[2].startswith(last)


def _split(before: bytes, here: bytes, first: str, *, whole: bool) -> Neighbours | None:
    """The lines around one; None where it is another. `whole`: `before` begins with the file."""
    earlier = before.decode("utf-8", errors="replace").split("\n")
    line, *later = here.decode("utf-8", errors="replace").split("\n")
    # A message is told without what steers a terminal.
    if not first or first not in without_escapes(line) or earlier[-1]:
        return None
    earlier.pop()
    if not whole and len(earlier) > 1:
        # The first one was begun before what was read.
        earlier = earlier[1:]
    if later and not later[-1]:
        later.pop()
    return Neighbours(
        [each.rstrip("\r") for each in earlier[-BESIDE:]], [each.rstrip("\r") for each in later[:BESIDE]]
    )
