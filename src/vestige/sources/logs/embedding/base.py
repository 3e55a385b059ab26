"""What an embedding is: its protocol, what identifies it, and what every kind of it needs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

HASHING, MINILM = "hashing", "minilm"
Identity = dict[str, Any]
"""JSON-ready, for the schema: `name`, `size` (E), and what else its numbers depend on: `version` or `digest`
(SHA-256 of its files). Never where they lie: a schema may come from anyone, and names no path to be read."""


class Embedding(Protocol):
    """Texts to vectors; the same text gives the same vector in every process and on every machine."""

    @property
    def identity(self) -> Identity:
        """What its numbers depend on."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A vector of length 1 for every text, `(len(texts), E)` float32."""


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
