"""What a watch remembers between two lives: one file, written whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vestige import checked
from vestige.checkpoint import HEADER, is_single_file
from vestige.errors import CheckpointError, UsageError
from vestige.storage import atomic_file

FILE = "state.json"
FORMAT = "vestige-watch/2"
REMEDY = "take another --state, or remove it: watching then begins anew"


def detector_digest(detector: Path) -> str:
    """SHA-256 (hex) of a detector's header, which holds that of its weights."""
    file = detector if is_single_file(detector) else detector / HEADER
    return hashlib.sha256(file.read_bytes()).hexdigest()


def save(directory: Path, digest: str, parts: dict[str, Any]) -> None:
    """Write the state, in place of the one before. Raises OutputError where it cannot be written."""
    text = json.dumps({"format": FORMAT, "detector": digest, **parts}, separators=(",", ":"))
    with atomic_file(directory / FILE) as working:
        working.write_text(text + "\n", encoding="ascii")


def load(directory: Path, digest: str | None = None) -> dict[str, Any] | None:
    """The state that was saved last; None where there is none. Raises CheckpointError for a damaged one,
    UsageError for one of another detector than that of `digest`, where it is given."""
    path = directory / FILE
    if not path.is_file():
        return None
    try:
        plain = checked.load(checked.read(path))
        found, of = plain["format"], plain["detector"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CheckpointError(
            f"cannot be read ({checked.reason(error)})", where=path, remedy=REMEDY
        ) from error
    if found != FORMAT:
        raise CheckpointError(f"is of format {checked.shown(found)}", where=path, remedy=REMEDY)
    if digest is not None and of != digest:
        raise UsageError(
            "is the state of another detector",
            where=path,
            remedy=f"{REMEDY}; --after {path.parent}, with another --state, takes over what people said",
        )
    return dict(plain)
