"""A small source with every kind of input: what detectors are checked on, and a template for one's own.

A corpus is a directory of CSV files `HOST-NUMBER.csv`, one recording each, with the columns `t_ns`, `event`
(a short text), `cpu`, `memory`, `hypervisor` (a counter that only the host sees; empty cells are missing)
and `label` (a class number).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, Field

from vestige.engine import LOCAL, Engine
from vestige.errors import EvidenceError
from vestige.reading.dataset import DatasetWriter
from vestige.reading.encoding import Encoder
from vestige.reading.windows import Steps, WindowSet
from vestige.recipes import Recipe
from vestige.schema import KINDS, Feature, Input, Schema, Stream
from vestige.sources.base import LiveBatch, Progress
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


class SyntheticSource:
    """See the module. Implements `vestige.sources.base.Source`."""

    name = "synthetic"
    options: type[BaseModel] = SyntheticOptions
    recipes: tuple[Recipe, ...] = ()

    def prepare(
        self,
        corpus: Path,
        out: Path,
        options: BaseModel,
        *,
        engine: Engine = LOCAL,  # noqa: ARG002 - small enough for one process
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> WindowSet:
        """See `Source.prepare`."""
        chosen = SyntheticOptions.model_validate(options.model_dump())
        files = sorted(corpus.glob("*.csv"))
        if not files:
            raise EvidenceError("no .csv file", where=corpus, remedy="point at a synthetic corpus")
        events = {"": 0}
        with DatasetWriter(out, make_schema(chosen), overwrite=overwrite) as writer:
            for number, file in enumerate(files, 1):
                _add(writer, file, events)
                if progress:
                    progress(number, len(files))
            writer.table("events", pl.DataFrame({"text": list(events)}))
        return WindowSet.open(out)

    def fit_encoder(self, train: WindowSet) -> Encoder:
        """See `Source.fit_encoder`."""
        return fit(train)

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> Encoder:  # noqa: ARG002
        """See `Source.load_encoder`."""
        return SyntheticEncoder.from_dict(state)

    def live(self, evidence: Iterable[Path], schema: Schema) -> Iterator[LiveBatch]:
        """See `Source.live`; a batch a file."""
        for file in evidence:
            yield _live(file.read_bytes(), str(file), schema)

    def probe(self, schema: Schema) -> LiveBatch:
        """See `Source.probe`."""
        return _live(PROBE.encode(), "probe", schema)

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
    columns = {name: pl.Series(one).fill_nan(None) for name, one in zip(SIGNALS, signal.T, strict=True)}
    t_ns = (day * 86_400 + np.arange(n)) * 1_000_000_000
    return pl.DataFrame(
        {"t_ns": t_ns, "event": [EVENTS[k] for k in events], **columns, "label": label}
    ).cast({"label": pl.UInt8})  # fmt: skip


def _add(writer: DatasetWriter, file: Path, events: dict[str, int]) -> None:
    content = file.read_bytes()
    frame = _parse(content, str(file), writer.schema)
    writer.begin(id=file.name, host=file.stem.partition("-")[0], profile="synthetic")
    writer.extend(
        _steps(frame, events), t_ns=frame["t_ns"].to_numpy(), label=frame["label"].to_numpy()
    )  # fmt: skip
    writer.close_recording(hashlib.sha256(content).hexdigest())


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


def _steps(frame: pl.DataFrame, events: dict[str, int]) -> Steps:
    """Stream values of a recording; texts not seen before are added to `events`."""
    codes = [events.setdefault(text, len(events)) for text in frame["event"]]
    signal = frame.select(pl.col(SIGNALS).fill_null(float("nan"))).to_numpy()
    return {"event": np.array(codes, dtype=np.uint32), "signal": signal.astype(np.float32)}


def _live(content: bytes, where: str, schema: Schema) -> LiveBatch:
    frame = _parse(content, where, schema)
    events = {"": 0}
    values = _steps(frame, events)
    steps: Steps = {}
    for stream in schema.streams:
        lead = np.full((schema.length - 1, *stream.shape), stream.fill, dtype=stream.dtype)
        whole = np.concatenate([lead, values[stream.name]])
        view = np.lib.stride_tricks.sliding_window_view(whole, schema.length, axis=0)
        steps[stream.name] = np.moveaxis(view, -1, 1)
    place = pl.DataFrame({"file": [where] * len(frame), "line": np.arange(2, len(frame) + 2)})
    return LiveBatch(steps, pl.DataFrame({"text": list(events)}), place)
