"""What marks a simulated corpus, so that whatever is found in it says so."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vestige.evidence.files import MARKER, STDIN

DEEPEST = 3
"""Folders between a corpus and its evidence: an episode lies under its host and day."""
BEGINS = b'{\n "about": "SYNTHETIC. Written by `vestige simulate '
"""How the simulators begin what they leave in the marker."""


def is_simulated(evidence: Path) -> bool:
    """Whether evidence is a simulated corpus, or lies in one; of standard input nobody knows.

    Real alerts must not pass for synthetic ones because somebody put a file beside them, or above: the marker
    is a regular file with the content that simulators write, of the same owner as the evidence.
    """
    if evidence == STDIN:
        return False
    try:
        owner = evidence.stat().st_uid
    except OSError:
        return False
    around = (evidence, *evidence.absolute().parents[:DEEPEST])
    return any(_is_marker(folder / MARKER, owner) for folder in around)


def _is_marker(path: Path, owner: int) -> bool:
    try:
        # A FIFO would be waited for, and a link leads elsewhere.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(handle)
        ours = stat.S_ISREG(found.st_mode) and found.st_uid == owner
        return ours and os.read(handle, len(BEGINS)) == BEGINS
    finally:
        os.close(handle)
