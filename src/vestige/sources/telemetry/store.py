"""Which episodes a receiver store holds: `store/<host>/<day>/<episode>/`."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from vestige import log
from vestige.errors import EvidenceError
from vestige.escaping import visible
from vestige.sources.telemetry import manifest

logger = log.get("vestige.telemetry")
LINK = "a link, which is never followed; move the folder here, or name it as a store of its own"


@dataclass
class Listing:
    """Folders of episodes, as paths in the store, sorted; `repeated`: those that share an id with another."""

    paths: list[str] = field(default_factory=list)
    repeated: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    """Links where hosts or days should be: whatever episodes they lead to are not in `paths`."""
    skipped: list[str] = field(default_factory=list)
    """What lies where hosts, days or episodes should, and is none."""
    unreadable: list[str] = field(default_factory=list)
    """Folders of hosts or days that the system will not let us list."""


def find(store: Path) -> Listing:
    """The episodes of `store`. Links are listed wherever they lie, and never entered; `store` may be one.

    Raises EvidenceError where there is neither an episode nor a link.
    """
    found = Listing()
    try:
        hosts = _folders(store, "", found, links=False)
    except OSError as error:
        raise EvidenceError(
            f"cannot be read: {error.strerror}", where=store, remedy="give the folder of a receiver store"
        ) from error
    for host in hosts:
        for day in _folders_or_skip(store, host, found, links=False):
            found.paths += _folders_or_skip(store, day, found, links=True)
    if not found.paths and not found.links:
        raise EvidenceError(
            "holds no episodes", where=store, remedy="give the folder that holds <host>/<day>/<episode>/"
        )
    found.paths.sort()
    found.links.sort()
    found.repeated = _repeated(store, found.paths)
    for path in found.skipped:
        logger.warning("%s is left out: no folder that an episode could be in", visible(path))
    for path in found.links:
        logger.warning("%s is left out: %s", visible(path), LINK)
    return found


def _folders_or_skip(store: Path, inside: str, found: Listing, *, links: bool) -> list[str]:
    try:
        return _folders(store, inside, found, links=links)
    except OSError as error:
        logger.error("%s cannot be read: %s", visible(inside), error.strerror)
        found.unreadable.append(inside)
        return []


def _folders(store: Path, inside: str, found: Listing, *, links: bool) -> list[str]:
    """Entries of a folder that may be episodes' or hold such; hidden ones are nobody's business."""
    paths = []
    with os.scandir(store / inside) as entries:
        for entry in entries:
            path = entry.name
            if inside:
                path = f"{inside}/{entry.name}"
            if entry.name.startswith("."):
                continue
            linked = entry.is_symlink()
            if linked and not links:
                found.links.append(path)
            elif (linked or entry.is_dir(follow_symlinks=False)) and entry.name.isprintable():
                paths.append(path)
            elif inside:
                found.skipped.append(path)
    return paths


def _repeated(store: Path, paths: list[str]) -> dict[str, str]:
    """By path of an episode, that of another with its id; folders still being shipped do not count."""
    by_id: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_id[manifest.same_name(path.rpartition("/")[2])].append(path)
    found: dict[str, str] = {}
    for several in by_id.values():
        if len(several) > 1:
            there = [path for path in several if os.path.lexists(store / path / manifest.NAME)]
            if len(there) > 1:
                # Each names another with its id: the first, and the first names the second.
                for path in there:
                    found[path] = there[1] if path == there[0] else there[0]
    return found
