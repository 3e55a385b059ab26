"""Whether a file that is new is a copy of one that is known, packed or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from vestige.evidence.files import STDIN
from vestige.evidence.rotation import family
from vestige.reading.files import FileUnit
from vestige.service.identity import HEAD_BYTES, Identity

MOST_COMPARED = 64
"""Files that begin alike, and are compared in whole with a new one that does."""


def original(
    unit: FileUnit,
    identity: Identity,
    done: Iterable[tuple[str, Identity]],
    now: Mapping[str, Identity],
    files: Mapping[str, FileUnit],
    *,
    grown: bool,
) -> str | None:
    """What a file is a copy of, by name; None where it is one of its own.

    `done` and `now` are what was read, and what is being read; `files` all that there is. Where one that
    begins alike lies there still, their contents say it, else how both begin. `grown`: the file was passed
    over already, and went on.
    """
    mine = family(unit.id)
    alike = [(name, each) for name, each in (*done, *now.items()) if each.is_alike(identity)]
    mother = now.get(mine)
    if mother is not None and mother.head_bytes < HEAD_BYTES and mother.begins_like(unit.file):
        # Of a short one a copy shows only with the name that rotation gives it.
        alike.append((mine, mother))
    alike = [(name, each) for name, each in alike if each.place != identity.place]
    if not alike:
        return None
    alike.sort(key=lambda each: family(each[0]) != mine)
    by_place: dict[Any, FileUnit] = {}
    away, differs = [], False
    for name, each in alike[:MOST_COMPARED]:
        there = files.get(name)
        if there is None or not each.is_of(there.file):
            # Most lie where they lay: not all files are looked at for the few that do not.
            by_place = by_place or {place_of(found): found for found in files.values()}
            there = by_place.get(each.place)
        copied = None if there is None else each.is_copied(there.file, unit.file)
        if copied:
            return name
        if copied is None:
            away.append(name)
        else:
            differs = True
    for name in away:
        # What is open was just cut short. Of others how they begin says little where it was wrong once; a
        # packed file holds what was read in any case.
        doubtful = (differs and unit.mode != "live") or (grown and family(name) != mine)
        if name in now or not doubtful:
            return name
    return None


def place_of(unit: Any) -> Any:
    """By which something is known at another look: a file by its device and inode, wherever it lies."""
    if isinstance(unit, FileUnit) and unit.file.path != STDIN:
        with suppress(OSError):
            found = unit.file.path.stat()
            return found.st_dev, found.st_ino
    return unit.id
