# ruff: noqa: ARG002 - stand-ins take what the interface gives
"""The public contracts pass what keeps them and name what a detector or a source breaks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from vestige.errors import EvidenceError, OutputError
from vestige.models.baselines.arrays import ArrayDetector, FloatArray
from vestige.reading.encoding import Batch, EncodedWindows, Encoder
from vestige.reading.steps import Position, StepBlock
from vestige.reading.windows import WindowSet
from vestige.schema import Schema
from vestige.testing import check_detector, check_source
from vestige.testing.synthetic import (
    SyntheticOptions,
    SyntheticReader,
    SyntheticSimulation,
    SyntheticSource,
    SyntheticStream,
    SyntheticUnit,
)
from vestige.testing.synthetic_encoder import SyntheticEncoder


class Mean(ArrayDetector):
    """A detector that keeps the contract: compares the mean of a window's kept features with training's."""

    name = "mean"
    about = "keeps the contract"
    accepts = (("summary",),)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"mean": (1,)}

    def fit(
        self, train: EncodedWindows, validation: EncodedWindows, *, seed: int = 0, progress: Any = None
    ) -> list[dict[str, Any]]:
        self.arrays = {"mean": np.array([self.values(train.batch()).mean()])}
        return []

    def values(self, X: Batch) -> FloatArray:
        rows = np.clip(self.select(X)["summary"].astype(np.float64), -1e6, 1e6)
        return np.asarray(rows.mean(axis=1))

    def predict_proba(self, X: Batch) -> FloatArray:
        first = 1 / (1 + np.exp(np.clip(self.values(X) - self.arrays["mean"][0], -50, 50)))
        rest = np.repeat(((1 - first) / (self.n_classes - 1))[:, None], self.n_classes - 1, axis=1)
        return np.column_stack([first, rest])


class Halved(Mean):
    def predict_proba(self, X: Batch) -> FloatArray:
        return super().predict_proba(X) / 2


class Sociable(Mean):
    def values(self, X: Batch) -> FloatArray:
        found = super().values(X)
        return found - found.mean() if len(found) else found


class Curious(Mean):
    def values(self, X: Batch) -> FloatArray:
        rows = np.nan_to_num(np.clip(X["summary"].astype(np.float64), -1e6, 1e6))
        return np.asarray(rows.mean(axis=1))


class Careless(Mean):
    def predict_proba(self, X: Batch) -> FloatArray:
        proba = super().predict_proba(X)
        X["summary"][:] = 0
        return proba


class Fragile(Mean):
    def values(self, X: Batch) -> FloatArray:
        mask = self.keep_mask["summary"]
        rows = np.clip(X["summary"][:, mask].astype(np.float64), -1e6, 1e6)
        return np.asarray(rows.mean(axis=1))


class Moody(Mean):
    draws = itertools.count()

    def fit(self, train: EncodedWindows, validation: EncodedWindows, **how: Any) -> list[dict[str, Any]]:
        super().fit(train, validation, **how)
        self.arrays["mean"] += next(self.draws)
        return []


class Forgetful(Mean):
    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:
        self.arrays = {"mean": np.zeros(1)}


class Contrary(Mean):
    def predict(self, X: Batch) -> np.ndarray:
        return np.asarray(self.predict_proba(X).argmin(axis=1))


def test_a_detector_that_keeps_the_contract_passes(tmp_path: Path) -> None:
    check_detector(Mean, tmp_path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Halved, "do not sum to 1"),
        (Contrary, "predict is not the most probable class"),
        (Sociable, "batches of 1 move a probability"),
        (Careless, "changed the batch"),
        (Curious, "must not see changes the result"),
        (Fragile, "finite|not survived"),
        (Moody, "the same seed gave another detector"),
        (Forgetful, "saved and loaded, it differs"),
    ],
)
def test_a_detector_that_breaks_the_contract_is_told_how(
    kind: type[Mean], message: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=message):
        check_detector(kind, tmp_path)


# Sources


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    SyntheticSource().simulate(tmp_path / "corpus", SyntheticSimulation(steps=30))
    return tmp_path / "corpus"


class Leaky(SyntheticSource):
    """Its vocabulary comes from every event of the corpus."""

    def fit_encoder(self, train: WindowSet) -> Encoder:
        fitted = SyntheticSource.fit_encoder(self, train)
        events = tuple(sorted(set(train.table("events")["text"]) - {""}))
        return SyntheticEncoder(fitted.inputs, events, ())


class Changed(SyntheticReader):
    """Hands on other blocks than the evidence has, by `change`."""

    def __init__(self, schema: Schema, change: Callable[[StepBlock], StepBlock]) -> None:
        super().__init__(schema, labelled=False)
        self._change = change

    def open(self, unit: SyntheticUnit, *, resume: Position | None = None) -> SyntheticStream:
        stream = super().open(unit, resume=resume)
        whole = stream._next
        stream._next = lambda: self._change(whole())  # type: ignore[method-assign] # damaged on purpose
        return stream

    def probe(self) -> list[StepBlock]:
        return [self._change(block) for block in super().probe()]


class Unsteady(SyntheticSource):
    """Its probe is another one each time."""

    calls = itertools.count()

    def reader(self, schema: Schema) -> SyntheticReader:
        return Changed(schema, self.drift)

    def drift(self, block: StepBlock) -> StepBlock:
        signal = block.values["signal"] + next(self.calls)
        return replace(block, values={**block.values, "signal": signal})


class Hasty(SyntheticSource):
    """Live, it leaves the last step of a file out."""

    def reader(self, schema: Schema) -> SyntheticReader:
        return Changed(schema, lambda block: block.slice(0, max(1, len(block) - 1)))


class Scaled(SyntheticSource):
    """Live, it reads another unit."""

    def reader(self, schema: Schema) -> SyntheticReader:
        return Changed(
            schema,
            lambda block: replace(block, values={**block.values, "signal": block.values["signal"] * 100}),
        )


class Misplaced(SyntheticSource):
    """Live, it counts lines from another one on."""

    def reader(self, schema: Schema) -> SyntheticReader:
        return Changed(schema, lambda block: replace(block, place={"line": block.place["line"] + 1}))


class Restarting(SyntheticSource):
    """Taken up again, it begins anew."""

    def reader(self, schema: Schema) -> SyntheticReader:
        return Anew(schema, labelled=False)


class Anew(SyntheticReader):
    """Does not look at where a stream stood."""

    def open(self, unit: SyntheticUnit, *, resume: Position | None = None) -> SyntheticStream:
        return super().open(unit)


class Dated(SyntheticSource):
    """Each dataset notes how often it was prepared."""

    calls = itertools.count()

    def prepare(self, corpus: Path, out: Path, options: Any, **how: Any) -> WindowSet:
        windows = super().prepare(corpus, out, options, **how)
        (out / "tables/when.txt").write_text(str(next(self.calls)))
        return windows


def test_the_synthetic_source_keeps_the_contract(corpus: Path, tmp_path: Path) -> None:
    check_source(SyntheticSource(), corpus, tmp_path)


def test_a_source_may_be_checked_with_its_own_options(corpus: Path, tmp_path: Path) -> None:
    check_source(SyntheticSource(), corpus, tmp_path, options=SyntheticOptions(length=3, stride=2))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Dated, "preparing twice gave another tables/when.txt"),
        (Leaky, "depends on recordings that it was not fitted on"),
        (Unsteady, "the probe is not stable"),
        (Hasty, "read live"),
        (Scaled, "read live have another"),
        (Misplaced, "read live have another line"),
        (Restarting, "where it is taken up again"),
    ],
)
def test_a_source_that_breaks_the_contract_is_told_how(
    kind: Callable[[], SyntheticSource], message: str, corpus: Path, tmp_path: Path
) -> None:
    rare = corpus / "9-last.csv"
    rare.write_text("t_ns,event,cpu,memory,hypervisor,label\n0,seen nowhere else,0,0,0,1\n")
    with pytest.raises(AssertionError, match=message):
        check_source(kind(), corpus, tmp_path)


# The synthetic source itself refuses what it cannot read


def prepare(corpus: Path, out: Path) -> WindowSet:
    return SyntheticSource().prepare(corpus, out, SyntheticOptions())


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"no \.csv file"):
        prepare(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", "t_ns,event,cpu,memory,hypervisor,label\nx,y,0,0,0,0\n"]
)
def test_a_file_of_another_format_is_refused_by_name(content: str, corpus: Path, tmp_path: Path) -> None:
    (corpus / "bad.csv").write_text(content)
    with pytest.raises(EvidenceError, match=r"bad\.csv"):
        prepare(corpus / "bad.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_label_outside_the_classes_is_refused_by_row(corpus: Path, tmp_path: Path) -> None:
    (corpus / "bad.csv").write_text("t_ns,event,cpu,memory,hypervisor,label\n0,a,0,0,0,1\n0,a,0,0,0,7\n")
    with pytest.raises(EvidenceError, match=r"bad\.csv:3: a label"):
        prepare(corpus / "bad.csv", tmp_path / "out")
    windows = prepare(corpus, tmp_path / "out")
    (left_out,) = windows.notes["left_out"]
    assert (left_out["file"], left_out["row"]) == ("bad.csv", 3)


def test_a_dataset_is_not_overwritten_unasked(corpus: Path, tmp_path: Path) -> None:
    prepare(corpus, tmp_path / "out")
    with pytest.raises(OutputError, match="already exists"):
        prepare(corpus, tmp_path / "out")


def test_what_is_simulated_is_what_was_planted(tmp_path: Path) -> None:
    planted = SyntheticSource().simulate(tmp_path / "c", SyntheticSimulation(steps=40, share=0.5))
    labels = pl.concat([pl.read_csv(file)["label"] for file in (tmp_path / "c").iterdir()])
    assert int((labels > 0).sum()) == planted["anomalous_steps"]
