"""Which embedding an option or a schema means, opened; each kind is imported when it is asked for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from vestige.errors import UsageError
from vestige.sources.logs.embedding.base import HASHING, MINILM, Embedding, Identity, digest_of


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
