"""Which embedding an option or a schema means, opened; each kind is imported when it is asked for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from vestige.errors import UsageError
from vestige.sources.logs.embedding import places
from vestige.sources.logs.embedding.base import HASHING, MINILM, Embedding, Identity, digest_of


def identify(option: str) -> Identity:
    """What `--embedding option` means: `hashing`, `minilm`, a model's directory or a file of word vectors.

    Raises UsageError where it is not there or cannot be used.
    """
    if option == HASHING:
        from vestige.sources.logs.embedding.hashing import IDENTITY

        return IDENTITY
    found = _open(option).identity
    if option != MINILM:
        places.remember(str(found["digest"]), Path(option))
    return found


def load(identity: Identity) -> Embedding:
    """The embedding that a schema names. Raises UsageError where it is not there, or has changed: files are
    compared by digest before anything in them is parsed. Which files these are, the schema has no say in."""
    name = str(identity["name"])
    if name == HASHING:
        from vestige.sources.logs.embedding.hashing import IDENTITY, Hashing

        if identity != IDENTITY:
            raise UsageError(
                f"the embedding is hashing version {identity.get('version')}; here is {IDENTITY['version']}",
                remedy="use the version of vestige that wrote it, or prepare and train again",
            )
        return Hashing()
    return _same(name, str(identity.get("digest")))


@lru_cache(maxsize=2)
def _same(name: str, digest: str) -> Embedding:
    """The embedding whose files have this digest. Raises UsageError where no known one has."""
    options = [MINILM]
    if name != MINILM:
        options = [str(place) for place in places.candidates(digest) if place.exists()]
    for option in options:
        if digest_of(_files(_place(option))) == digest:
            found = _open(option)
            if found.identity["digest"] == digest:
                return found
    if options:
        raise UsageError(
            f"the embedding {name!r} is not the one that was trained with: its files have changed",
            where=None if name == MINILM else options[0],
            remedy="put the former files back, or prepare and train again",
        )
    raise UsageError(
        f"nobody knows on this machine where the embedding {name!r} lies (SHA-256 {digest[:16]}...)",
        remedy=f"say so: {places.VARIABLE}=PATH",
    )


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
