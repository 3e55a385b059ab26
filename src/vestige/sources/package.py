"""A source whose parts lie in its own folder, each imported when it is needed.

    sources/NAME/options.py    how to read a corpus
    sources/NAME/prepare.py    prepare(corpus, out, options, *, engine, overwrite, progress)
    sources/NAME/encoder.py    a class with fit(train) and from_dict(state, schema)
    sources/NAME/live.py       live(evidence, schema), probe(schema)

`vestige --help` imports none of what they do not use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.engine import LOCAL, Engine
from vestige.reading.encoding import Encoder
from vestige.reading.windows import WindowSet
from vestige.recipes import Recipe
from vestige.schema import Schema
from vestige.sources.base import LiveBatch, Progress


class PackageSource(ABC):
    """Abstract: `sources.base.Source` over the parts of a folder. A subclass names itself, its options and
    the class of its encoder, and says where windows lie."""

    name: str
    options: type[BaseModel]
    encoder: ClassVar[str]
    recipes: tuple[Recipe, ...] = ()

    def prepare(
        self,
        corpus: Path,
        out: Path,
        options: BaseModel,
        *,
        engine: Engine = LOCAL,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> WindowSet:
        """See `Source.prepare`."""
        self._part("prepare").prepare(
            corpus, out, options, engine=engine, overwrite=overwrite, progress=progress
        )
        return WindowSet.open(out)

    def fit_encoder(self, train: WindowSet) -> Encoder:
        """See `Source.fit_encoder`."""
        return cast("Encoder", self._encoder.fit(train))

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> Encoder:
        """See `Source.load_encoder`."""
        return cast("Encoder", self._encoder.from_dict(state, schema))

    def live(self, evidence: Iterable[Path], schema: Schema) -> Iterator[LiveBatch]:
        """See `Source.live`."""
        return cast("Iterator[LiveBatch]", self._part("live").live(evidence, schema))

    def probe(self, schema: Schema) -> LiveBatch:
        """See `Source.probe`."""
        return cast("LiveBatch", self._part("live").probe(schema))

    @abstractmethod
    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """See `Source.place`."""

    @property
    def _encoder(self) -> Any:
        return getattr(self._part("encoder"), self.encoder)

    def _part(self, name: str) -> Any:
        return import_module(f"vestige.sources.{self.name}.{name}")
