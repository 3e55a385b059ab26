"""A small source with every kind of input: what detectors are checked on, and a template for one's own.

A corpus is a directory of CSV files `HOST-NUMBER.csv`, one recording each, with the columns `t_ns`, `event`
(a short text), `cpu`, `memory`, `hypervisor` (a counter that only the host sees; empty cells are missing)
and `label` (a class number).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from vestige.errors import EvidenceError
from vestige.reading.dataset import DatasetWriter
from vestige.reading.encoding import Encoder
from vestige.reading.prepare import Account
from vestige.reading.steps import (
    ChunkStream,
    Evidence,
    Listing,
    Position,
    Reader,
    RecordingInfo,
    StepBlock,
    Unit,
)
from vestige.reading.symbols import TextSymbols
from vestige.reading.windows import WindowSet
from vestige.schema import KINDS, Feature, Input, Schema, Stream
from vestige.sources.base import Source
from vestige.storage import atomic_directory
from vestige.testing.synthetic_encoder import DIRECTION, SIGNALS, SyntheticEncoder, fit

COLUMNS = {
    "t_ns": pl.Int64, "event": pl.String, **dict.fromkeys(SIGNALS, pl.Float32), "label": pl.UInt8,
}  # fmt: skip
EVENTS = ("disk read ok", "disk write ok", "login ok", "login failed", "kernel panic", "cache flush")
PROBE = """t_ns,event,cpu,memory,hypervisor,label
0,disk read ok,0.5,-1.25,3,0
1000,kernel panic,,2.5,1,1
2000,an event of its own,1e30,0,0,0
"""


class SyntheticOptions(BaseModel):
    """How to cut a corpus into windows, and which kinds of input to offer."""

    length: int = Field(8, ge=1)
    stride: int = Field(1, ge=1)
    classes: int = Field(2, ge=2)
    kinds: tuple[str, ...] = KINDS
    """As a detector's `accepts` names them: `tokens:words` is there beside the plain kinds."""


class SyntheticSimulation(BaseModel):
    """How much to write. A step of class k tends to event k; `share` of the steps are not normal."""

    hosts: int = 2
    recordings: int = 4
    steps: int = 100
    classes: int = 2
    share: float = 0.3
    seed: int = 0


class SyntheticSource(Source[SyntheticOptions]):
    """See the module."""

    name = "synthetic"
    options = SyntheticOptions

    def corpus_reader(self, corpus: Path, options: SyntheticOptions) -> SyntheticReader:  # noqa: ARG002
        """See `Source.corpus_reader`."""
        return SyntheticReader(make_schema(options), labelled=True)

    def reader(self, schema: Schema) -> SyntheticReader:
        """See `Source.reader`."""
        return SyntheticReader(schema, labelled=False)

    def fit_encoder(self, train: WindowSet) -> Encoder:
        """See `Source.fit_encoder`."""
        return fit(train)

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> Encoder:  # noqa: ARG002
        """See `Source.load_encoder`."""
        return SyntheticEncoder.from_dict(state)

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """File, 1-based line, and event of the step that each window judges."""
        step = windows.target_step[rows]
        first = windows.recordings["first_step"].to_numpy()[windows.recording[rows]]
        return pl.DataFrame(
            {
                "file": windows.recordings["id"].gather(windows.recording[rows]),
                "line": step - first - windows.schema.before + 2,
                "text": windows.table("events")["text"].gather(windows.streams["event"][step]),
            }
        )

    def simulate(self, out: Path, options: BaseModel, *, overwrite: bool = False) -> dict[str, Any]:
        """Write a corpus to `out`; returns how many anomalous steps were planted."""
        chosen = SyntheticSimulation.model_validate(options.model_dump())
        rng = np.random.default_rng(chosen.seed)
        planted = 0
        with atomic_directory(out, marker="0-0.csv", overwrite=overwrite) as working:
            for number in range(chosen.recordings):
                frame = _recording(chosen, rng, day=number)
                planted += int((frame["label"] > 0).sum())
                frame.write_csv(working / f"{number % chosen.hosts}-{number}.csv")
        return {"anomalous_steps": planted}


@dataclass(frozen=True)
class SyntheticUnit(Unit):
    """A file, which is a recording."""

    path: Path = Path()


class SyntheticReader(Reader[SyntheticUnit]):
    """Reads the files of a corpus, each as a whole."""

    symbol_stream = "event"

    def __init__(self, schema: Schema, *, labelled: bool) -> None:
        self.schema = schema
        self._labelled = labelled

    def units(self, evidence: Evidence) -> Listing[SyntheticUnit]:
        """Every `.csv` file. Raises EvidenceError where there is none."""
        listing: Listing[SyntheticUnit] = Listing([])
        for path in evidence.paths:
            files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
            if not files:
                raise EvidenceError("no .csv file", where=path, remedy="point at a synthetic corpus")
            for file in files:
                size = file.stat().st_size
                listing.units.append(SyntheticUnit(file.name, file.name, size, file == path, path=file))
        return listing

    def open(self, unit: SyntheticUnit, *, resume: Position | None = None) -> SyntheticStream:
        """See `Reader.open`."""
        return SyntheticStream(unit, self.schema, labelled=self._labelled, resume=resume)

    def symbols(self) -> TextSymbols:
        """See `Reader.symbols`."""
        return TextSymbols()

    def probe(self) -> list[StepBlock]:
        """Three steps."""
        return [block_of(PROBE.encode(), "probe", self.schema, labelled=False)]

    def finish(self, account: Account, writer: DatasetWriter) -> None:
        """The table of events."""
        writer.table("events", account.symbols.frame())


class SyntheticStream(ChunkStream):
    """A file is one chunk: to go on in its middle, it is read again, and what was handed on is skipped."""

    def __init__(
        self, unit: SyntheticUnit, schema: Schema, *, labelled: bool, resume: Position | None
    ) -> None:
        super().__init__(resume)
        self._unit, self._schema, self._labelled = unit, schema, labelled
        self.taken = 0
        self.digests: dict[str, str] = {}

    def _begin(self) -> dict[str, Any]:
        return {}

    def _next(self) -> StepBlock:
        content = self._unit.path.read_bytes()
        self._ended, self.taken = True, len(content)
        self.digests[self._unit.id] = hashlib.sha256(content).hexdigest()
        return block_of(content, self._unit.id, self._schema, labelled=self._labelled)


def make_schema(options: SyntheticOptions) -> Schema:
    """The schema of a synthetic dataset: vocabulary and words are not fitted yet."""
    channels = tuple(Feature(name, "share", host_only=name == "hypervisor") for name in SIGNALS)
    offered = {
        "tokens": Input("tokens", "tokens"),
        "tokens:words": Input("words", "tokens"),
        "tensor": Input("tensor", "tensor", features=channels),
        "summary": Input("summary", "summary"),
        "vectors": Input("vectors", "vectors", size=DIRECTION, length=options.length),
    }
    return Schema(
        source="synthetic",
        version=1,
        classes=("normal", *(f"class-{k}" for k in range(1, options.classes))),
        length=options.length,
        stride=options.stride,
        streams=(
            Stream("event", "uint32"),
            Stream("signal", "float32", (len(SIGNALS),), "share"),
        ),
        inputs=tuple(offered[kind] for kind in options.kinds),
    )


def _recording(chosen: SyntheticSimulation, rng: np.random.Generator, day: int) -> pl.DataFrame:
    n = chosen.steps
    label = np.where(rng.random(n) < chosen.share, rng.integers(1, chosen.classes, n), 0)
    events = np.where(rng.random(n) < 0.8, label, rng.integers(0, len(EVENTS), n))
    signal = rng.normal(size=(n, len(SIGNALS))) + label[:, None] * np.array([2, 0, -1])
    signal[rng.random(signal.shape) < 0.05] = np.nan
    columns = {name: pl.Series(values).fill_nan(None) for name, values in zip(SIGNALS, signal.T, strict=True)}
    t_ns = (day * 86_400 + np.arange(n)) * 1_000_000_000
    return pl.DataFrame(
        {"t_ns": t_ns, "event": [EVENTS[k] for k in events], **columns, "label": label}
    ).cast({"label": pl.UInt8})  # fmt: skip


def _parse(content: bytes, where: str, schema: Schema) -> pl.DataFrame:
    try:
        frame = pl.read_csv(io.BytesIO(content), schema=COLUMNS)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise EvidenceError(f"not a synthetic recording ({reason})", where=where) from error
    outside = (frame["label"] >= len(schema.classes)).arg_max()
    if outside is not None and frame["label"][outside] >= len(schema.classes):
        raise EvidenceError("a label is not among the classes", where=where, row=outside + 2)
    return frame


def block_of(content: bytes, name: str, schema: Schema, *, labelled: bool) -> StepBlock:
    """All steps of a file."""
    frame = _parse(content, name, schema)
    texts = frame["event"].unique(maintain_order=True).to_list()
    row = {text: number for number, text in enumerate(texts, 1)}
    signal = frame.select(pl.col(SIGNALS).fill_null(float("nan"))).to_numpy()
    n = len(frame)
    return StepBlock(
        recordings=(RecordingInfo(name, host=name.partition("-")[0], profile="synthetic"),),
        recording=np.zeros(n, dtype=np.uint32),
        values={
            "event": np.array([row[text] for text in frame["event"]], dtype=np.uint32),
            "signal": signal.astype(np.float32),
        },
        t_ns=frame["t_ns"].to_numpy(),
        label=frame["label"].to_numpy() if labelled else None,
        symbols=TextSymbols(texts),
        file=name,
        place={"line": np.arange(2, n + 2)},
        ended=np.array([True]),
    )
