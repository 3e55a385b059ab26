"""What a source of evidence is: how it reads, what is fitted before a model can, where its windows lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.engine import LOCAL, Engine
from vestige.reading.encoding import Encoder
from vestige.reading.steps import Progress, Reader, RecordingInfo
from vestige.reading.windows import WindowSet
from vestige.recipes import Recipe
from vestige.schema import Schema

ATTACK_CLASSES = "attack_classes"
"""Key of a schema's settings, where recordings are episodes in which an attack begins once: the names of the
classes that are the attack. Results then say what happens around its beginning."""

OptionsT = TypeVar("OptionsT", bound=BaseModel)


class Source(ABC, Generic[OptionsT]):
    """Abstract. One kind of raw evidence.

    Heavy parts are imported by the methods that need them: `vestige --help` imports none of them.
    """

    name: str
    options: type[OptionsT]
    """How to read a corpus; every field becomes an option of `vestige prepare` and `run`."""
    form_option: str = ""
    """The option that takes the definition of how records are read, where the source has one: a log's format,
    a mapping of fields."""
    recipes: tuple[Recipe, ...] = ()
    """Split recipes of this source alone, such as one by the template of a log's messages."""

    @abstractmethod
    def corpus_reader(self, corpus: Path, options: OptionsT) -> Reader[Any]:
        """Reads a corpus, with its labels, as `options` say. Raises UsageError for options that mean
        nothing, EvidenceError where there is no corpus."""

    def without_labels(self, options: OptionsT) -> OptionsT:
        """The options of a corpus whose labels nobody will look at; as they are, unless overridden."""
        return options

    @abstractmethod
    def reader(self, schema: Schema) -> Reader[Any]:
        """Reads evidence, without labels, as the settings of a dataset's schema say."""

    def form_text(self, form: dict[str, Any], about: str) -> str:
        """A definition that the summary of a stream holds (`form`), as TOML for `form_option`; `about` stands
        above it. Only of a source that has such an option."""
        raise NotImplementedError(f"{self.name} has no form for {about}: {sorted(form)}")

    @abstractmethod
    def fit_encoder(self, train: WindowSet) -> Encoder:
        """Fit templates and vocabularies on training windows; nothing else is looked at."""

    @abstractmethod
    def load_encoder(self, state: dict[str, Any], schema: Schema) -> Encoder:
        """The encoder whose `to_dict` gave `state`."""

    @abstractmethod
    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """Where the steps that the windows at `rows` judge stand in the evidence, and what stands there:
        `file`, ..., `text`."""

    def prepare(
        self,
        corpus: Path,
        out: Path,
        options: OptionsT,
        *,
        engine: Engine = LOCAL,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> WindowSet:
        """Read a corpus into a dataset directory at `out`. `corpus` `-` is standard input. Raises as
        `reading.prepare.prepare` does."""
        from vestige.reading.prepare import prepare

        reader = self.corpus_reader(corpus, options)
        prepare(reader, corpus, out, engine=engine, overwrite=overwrite, progress=progress)
        return WindowSet.open(out, fresh=True)


@runtime_checkable
class DescribesRecordings(Protocol):
    """What a `Source` may have besides: it can say more of a recording than its windows do."""

    def describe(self, evidence: Path, recording: str, schema: Schema) -> RecordingInfo | None:
        """Of the recording that scoring calls so; None where `evidence` holds none, or it does not say."""
