"""The protocol behind which every kind of raw evidence stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.engine import LOCAL, Engine
from vestige.reading.encoding import Encoder
from vestige.reading.windows import Steps, WindowSet
from vestige.recipes import Recipe
from vestige.schema import Schema

Progress = Callable[[int, int | None], None]
"""Called with how much is done and how much there is (bytes of evidence; None where nobody knows)."""

ATTACK_CLASSES = "attack_classes"
"""Key of a schema's settings, where recordings are episodes in which an attack begins once: the names of the
classes that are the attack. Results then say what happens around its beginning."""


@dataclass(frozen=True)
class LiveBatch:
    """Windows made from raw evidence as it is read, without a dataset: for scoring and for probes.

    `steps` are gathered stream values `(B, length, ...)`; `symbols` the table they point into;
    `place` says, a row a window, where it ends in the evidence (`file`, `line`, `offset`, ...).
    """

    steps: Steps
    symbols: pl.DataFrame
    place: pl.DataFrame
    taken: int = 0
    """Bytes of evidence read so far, as they lie on disk."""
    unit: str = "file"
    """The column of `place` that names the recording: a file, a machine, an episode."""
    t_ns: NDArray[np.int64] | None = None
    """When the step that each window judges was over, Unix ns `(B,)`; 0, or None, where nobody knows."""


@dataclass(frozen=True)
class RecordingInfo:
    """What a recording says of itself beyond its windows; what it does not say is empty or None.

    Times are Unix ns. `changes`: from which moment on which class is true, in order of time; a step has the
    class that was in force when it was over.
    """

    host: str = ""
    profile: str = ""
    t_start_ns: int | None = None
    t_end_ns: int | None = None
    changes: tuple[tuple[int, str], ...] = ()


@runtime_checkable
class DescribesRecordings(Protocol):
    """What a `Source` may have besides: it can say more of a recording than its windows do."""

    def describe_recording(self, evidence: Path, recording: str, schema: Schema) -> RecordingInfo | None:
        """Of the recording that `live` calls so; None where `evidence` holds none, or it does not say."""


class Source(Protocol):
    """One kind of raw evidence."""

    name: str
    options: type[BaseModel]
    """How to read a corpus; every field becomes an option of `vestige prepare` and `run`."""
    recipes: tuple[Recipe, ...]
    """Split recipes of this source alone, such as one by the template of a log's messages."""

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
        """Read a corpus into a dataset directory at `out`, by the workers of `engine`.

        `corpus` `-` is standard input.
        """

    def fit_encoder(self, train: WindowSet) -> Encoder:
        """Fit templates and vocabularies on training windows; nothing else is looked at."""

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> Encoder:
        """The encoder whose `to_dict` gave `state`."""

    def live(self, evidence: Iterable[Path], schema: Schema) -> Iterator[LiveBatch]:
        """Read evidence as the schema's settings say and yield windows in flat memory: one for every step
        (of stride 1), or only those that a dataset of that stride would have."""

    def probe(self, schema: Schema) -> LiveBatch:
        """A fixed piece of evidence through the same code: tells whether the extractor's numbers changed."""

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """Where the windows at `rows` end in the evidence, and what stands there: `file`, ..., `text`."""
