"""Vectors kept on disk, so that no table of messages is embedded twice by a slow model.

They lie under `$XDG_CACHE_HOME/vestige/embeddings` (`~/.cache/...`), a file a table, named by the digest of
the texts and of the embedding. The folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vestige.errors import OutputError
from vestige.log import get
from vestige.sources.logs.embedding.base import Identity
from vestige.storage import atomic_file

FEWEST = 64
"""Texts that are worth a file."""

log = get(__name__)


def folder() -> Path:
    """Where vectors are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    caches = Path(base) if base else Path.home() / ".cache"
    return caches / "vestige" / "embeddings"


def through(
    identity: Identity, texts: Sequence[str], embed: Callable[[Sequence[str]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The vectors of `texts`, from disk where they lie there, else by `embed` and then to disk.

    A file that is damaged is made again; a disk that cannot be written is no error.
    """
    if len(texts) < FEWEST:
        if not len(texts):
            return np.empty((0, int(identity["size"])), np.float32)
        return embed(texts)
    path = folder() / f"{_digest(identity, texts)}.npy"
    found = _read(path, (len(texts), int(identity["size"])))
    if found is not None:
        return found
    vectors = embed(texts)
    try:
        with atomic_file(path) as working, working.open("wb") as file:
            np.save(file, vectors, allow_pickle=False)
    except (OutputError, OSError) as error:
        log.warning("the vectors of %d messages cannot be kept for the next time: %s", len(texts), error)
    return vectors


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    if not path.is_file():
        return None
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        return None
    # Whatever lies there was written by anyone: it is taken only where it is whole.
    whole = found.shape == shape and found.dtype == np.float32 and bool(np.isfinite(found).all())
    return found if whole else None


def _digest(identity: Identity, texts: Sequence[str]) -> str:
    total = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        total.update(len(encoded).to_bytes(8, "big") + encoded)
    return total.hexdigest()
