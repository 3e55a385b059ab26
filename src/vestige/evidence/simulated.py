"""What marks a simulated corpus, so that whatever is found in it says so."""

from __future__ import annotations

from pathlib import Path

from vestige.evidence.files import MARKER, STDIN

DEEPEST = 3
"""Folders between a corpus and its evidence: an episode lies under its host and day."""


def is_simulated(evidence: Path) -> bool:
    """Whether evidence is a simulated corpus, or lies in one; of standard input nobody knows."""
    around = (evidence, *evidence.absolute().parents[:DEEPEST])
    return evidence != STDIN and any((folder / MARKER).is_file() for folder in around)
