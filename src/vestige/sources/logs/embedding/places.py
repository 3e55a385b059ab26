"""Where embeddings lie on this machine, by the digest of their files.

A schema names an embedding by its digest alone: datasets and checkpoints come from others, and what they say
must not decide which file is opened. Where `--embedding PATH` is given, the path is noted here, in a file of
the user's own (`$XDG_DATA_HOME/vestige/embeddings.json`, or `~/.local/share/...`). On another machine the
variable `VESTIGE_EMBEDDINGS` names paths, with `:` between them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from vestige import checked
from vestige.errors import OutputError
from vestige.log import get
from vestige.storage import write_text

VARIABLE = "VESTIGE_EMBEDDINGS"
MOST = 1000
"""Embeddings that are remembered; the oldest are forgotten first."""
LARGEST = 1 << 22
"""Bytes of the file at most."""

log = get(__name__)


def file() -> Path:
    """Where the paths are noted."""
    base = os.environ.get("XDG_DATA_HOME")
    data = Path(base) if base else Path.home() / ".local" / "share"
    return data / "vestige" / "embeddings.json"


def remember(digest: str, place: Path) -> None:
    """Note that the embedding with this digest lies at `place`. A file that cannot be written is no error:
    the log says what to set instead."""
    known = _noted()
    if known.get(digest) == str(place.absolute()):
        return
    known.pop(digest, None)
    known[digest] = str(place.absolute())
    kept = dict(list(known.items())[-MOST:])
    try:
        write_text(file(), json.dumps(kept, indent=1) + "\n")
    except (OutputError, OSError) as error:
        log.warning("where the embedding lies cannot be noted (%s): set %s=%s", error, VARIABLE, place)


def candidates(digest: str) -> list[Path]:
    """Paths of this user's where the embedding with this digest may lie, the likeliest first."""
    named = [Path(path) for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
    noted = _noted().get(digest)
    return [*([Path(noted)] if noted else []), *named]


def _noted() -> dict[str, str]:
    try:
        with file().open("rb") as noted:
            plain = checked.load(noted.read(LARGEST))
        return {digest: checked.text(place, "a place") for digest, place in plain.items()}
    except (OSError, ValueError):
        return {}
