"""What an embedding is, and which one an option or a schema means."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vestige.errors import UsageError

HASHING, MINILM = "hashing", "minilm"
Identity = dict[str, Any]
"""JSON-ready, for the schema: `name`, `size` (E), and what else its numbers depend on: `version` or `digest`
(SHA-256 of its files), with their `path`."""


class Embedding(Protocol):
    """Texts to vectors; the same text gives the same vector in every process and on every machine."""

    @property
    def identity(self) -> Identity:
        """What its numbers depend on."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A vector of length 1 for every text, `(len(texts), E)` float32."""


def identify(option: str) -> Identity:
    """What `--embedding option` means: `hashing`, `minilm`, a model's directory or a file of word vectors.

    Raises UsageError where it is not there or cannot be used.
    """
    if option == HASHING:
        from vestige.sources.logs.embedding.hashing import IDENTITY

        return IDENTITY
    return _open(option).identity


def load(identity: Identity) -> Embedding:
    """The embedding that a schema names. Raises UsageError where it is not there, or has changed."""
    name = str(identity["name"])
    if name == HASHING:
        from vestige.sources.logs.embedding.hashing import IDENTITY, Hashing

        if identity != IDENTITY:
            raise UsageError(
                f"the embedding is hashing version {identity.get('version')}; here is {IDENTITY['version']}",
                remedy="use the version of vestige that wrote it, or prepare and train again",
            )
        return Hashing()
    found = _open(str(identity.get("path", name)))
    if found.identity.get("digest") != identity.get("digest"):
        raise UsageError(
            f"the embedding {name!r} is not the one that was trained with: its files have changed",
            where=identity.get("path"),
            remedy="put the former files back, or prepare and train again",
        )
    return found


@lru_cache(maxsize=2)
def _open(option: str) -> Embedding:
    if option == MINILM:
        from vestige.sources.logs.embedding.sentences import minilm

        return minilm()
    path = Path(option)
    if path.is_dir():
        from vestige.sources.logs.embedding.sentences import Sentences

        return Sentences.open(path)
    if path.is_file():
        from vestige.sources.logs.embedding.word_vectors import WordVectors

        return WordVectors.open(path)
    raise UsageError(
        f"no embedding {option!r}",
        remedy=f"{HASHING}, {MINILM}, the directory of a sentence model, or a file of word vectors",
    )


def digest_of(files: Sequence[Path]) -> str:
    """SHA-256 over files, by name and content."""
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        total.update(f"{file.name} {content}\n".encode())
    return total.hexdigest()


def unit_length(vectors_NE: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Rows scaled to length 1; zero rows stay."""
    norms_N1 = np.sqrt(np.square(vectors_NE).sum(axis=1, keepdims=True))
    return (vectors_NE / np.where(norms_N1 > 0, norms_N1, 1)).astype(np.float32)
