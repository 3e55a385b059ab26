"""Word vectors of one's own: a message is the mean of its words' vectors.

`NAME.txt` or `NAME.vec`: a word and its numbers a line, blanks between them; a first line of two numbers
(words, size) is skipped. `NAME.npy` or `NAME.safetensors`: a matrix of floats, whose words stand in
`NAME.txt` beside it, one a line.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vestige.errors import UsageError
from vestige.sources.logs.embedding.base import Identity, digest_of, unit_length
from vestige.sources.logs.words import words_of

LARGEST = 4 << 30
"""Bytes of a file of word vectors at most."""
MATRICES = {".npy", ".safetensors"}


@dataclass(frozen=True)
class WordVectors:
    """An embedding by word vectors `(words, E)`. A message without a known word has the mean of them all."""

    identity: Identity
    rows: dict[str, int]
    vectors: NDArray[np.float32]

    @classmethod
    def open(cls, path: Path) -> WordVectors:
        """Read a file. Raises UsageError naming the file and the row that is wrong."""
        if path.stat().st_size > LARGEST:
            raise UsageError(f"is larger than {LARGEST >> 30} GiB", where=path, remedy="leave out rare words")
        if path.suffix in MATRICES:
            words, vectors = _words(files(path)[1]), _matrix(path)
            if vectors.ndim != 2 or len(words) != len(vectors) or not vectors.size:
                found = f"{len(words)} words for an array of shape {vectors.shape}"
                raise UsageError(found, where=path, remedy="one row a word, one word a line of the .txt file")
        else:
            words, vectors = _text(path)
        if not np.isfinite(vectors).all():
            raise UsageError("holds a value that is no finite number", where=path)
        rows: dict[str, int] = {}
        for row, word in enumerate(words):
            rows.setdefault(word.lower(), row)
        identity: Identity = {
            "name": path.stem,
            "size": vectors.shape[1],
            "digest": digest_of(files(path)),
        }
        return cls(identity, rows, vectors)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedding.embed`."""
        out_NE = np.tile(self.vectors.mean(axis=0), (len(texts), 1))
        for row, text in enumerate(texts):
            known = [at for word in words_of(text) if (at := self.rows.get(word)) is not None]
            if known:
                out_NE[row] = self.vectors[known].mean(axis=0)
        return unit_length(out_NE)


def files(path: Path) -> list[Path]:
    """What vectors in `path` depend on. Raises UsageError where the words of a matrix are missing."""
    if path.suffix not in MATRICES:
        return [path]
    words = path.with_suffix(".txt")
    if not words.is_file():
        raise UsageError("the words of the vectors are missing", where=words, remedy="write them, one a line")
    return [path, words]


def _text(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    words: list[str] = []
    rows: list[NDArray[np.float32]] = []
    for number, line in enumerate(_lines(path), 1):
        word, *numbers = line.split()
        if number == 1 and len(numbers) == 1:
            continue
        try:
            rows.append(np.array([float(number_text) for number_text in numbers], dtype=np.float32))
        except ValueError as error:
            raise _no_vector(path, number, line) from error
        if not numbers:
            raise _no_vector(path, number, line)
        if len(rows[-1]) != len(rows[0]):
            found = f"{len(numbers)} numbers, the first word has {len(rows[0])}"
            raise UsageError(found, where=path, row=number)
        words.append(word)
    if not rows:
        raise UsageError("holds no word vectors", where=path, remedy="a word and its numbers a line")
    return words, np.stack(rows)


def _no_vector(path: Path, number: int, line: str) -> UsageError:
    remedy = "a text file of a word and its numbers a line; a matrix is called .npy or .safetensors"
    return UsageError(f"not a word and its numbers: {line[:80]!r}", where=path, row=number, remedy=remedy)


def _words(path: Path) -> list[str]:
    return [line.strip() for line in _lines(path)]


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.strip():
                yield line.rstrip("\n")


def _matrix(path: Path) -> NDArray[np.float32]:
    if path.suffix == ".npy":
        try:
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
        except (ValueError, EOFError, OSError, struct.error) as error:
            raise UsageError(f"is no array of numbers ({error})", where=path) from error
    import safetensors.numpy
    from safetensors import SafetensorError

    try:
        found = safetensors.numpy.load_file(path)
    except SafetensorError as error:
        raise UsageError(f"is no safetensors file ({error})", where=path) from error
    if len(found) != 1:
        raise UsageError(f"holds {len(found)} tensors: expected one, a row a word", where=path)
    return np.asarray(next(iter(found.values())), dtype=np.float32)
