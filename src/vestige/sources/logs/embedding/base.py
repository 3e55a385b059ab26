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
    """The embedding that a schema names. Raises UsageError where it is not there, or has changed: files are
    compared by digest before anything in them is parsed."""
    name = str(identity["name"])
    if name == HASHING:
        from vestige.sources.logs.embedding.hashing import IDENTITY, Hashing

        if identity != IDENTITY:
            raise UsageError(
                f"the embedding is hashing version {identity.get('version')}; here is {IDENTITY['version']}",
                remedy="use the version of vestige that wrote it, or prepare and train again",
            )
        return Hashing()
    return _same(str(identity.get("path", name)), str(identity.get("digest")))


@lru_cache(maxsize=2)
def _same(option: str, digest: str) -> Embedding:
    """The embedding whose files have this digest. Raises UsageError where they have another one."""
    found = _open(option) if digest_of(_files(_place(option))) == digest else None
    if found is None or found.identity["digest"] != digest:
        raise UsageError(
            f"the embedding {option!r} is not the one that was trained with: its files have changed",
            where=None if option == MINILM else option,
            remedy="put the former files back, or prepare and train again",
        )
    return found


def _place(option: str) -> Path:
    """Where an embedding lies. Raises UsageError where there is none."""
    if option == MINILM:
        from vestige.sources.logs.embedding.sentences import minilm

        return minilm()
    path = Path(option)
    if path.is_dir() or path.is_file():
        return path
    raise UsageError(
        f"no embedding {option!r}",
        remedy=f"{HASHING}, {MINILM}, the directory of a sentence model, or a file of word vectors",
    )


def _files(place: Path) -> list[Path]:
    """What an embedding consists of. Raises UsageError where something is missing."""
    from vestige.sources.logs.embedding import sentences, word_vectors

    return sentences.files(place) if place.is_dir() else word_vectors.files(place)


@lru_cache(maxsize=2)
def _open(option: str) -> Embedding:
    from vestige.sources.logs.embedding.sentences import Sentences
    from vestige.sources.logs.embedding.word_vectors import WordVectors

    place = _place(option)
    if place.is_dir():
        return Sentences.open(place, MINILM if option == MINILM else "")
    return WordVectors.open(place)


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
