"""A source that lies outside the package does all that the others do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.reading.toy import RECORD, ToyOptions, ToyReader, ToySource
from vestige.engine import LocalEngine
from vestige.models.base import choose_inputs
from vestige.models.fitting import FittedDetector
from vestige.models.registry import get
from vestige.pipeline.experiment import TrainingData
from vestige.reading.live import read_windows
from vestige.reading.prepare import prepare
from vestige.reading.steps import Evidence
from vestige.reading.windower import Windower
from vestige.reading.windows import WindowSet
from vestige.splits import make
from vestige.testing import check_source


def records(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = np.zeros(n, dtype=RECORD)
    made["t_ns"] = np.arange(n) * 10**9
    made["label"] = rng.random(n) < 0.1
    made["code"] = np.where(made["label"], 7, rng.integers(0, 4, n))
    return made


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for seed in range(9):
        (folder / f"host{seed}-a.toy").write_bytes(records(200, seed).tobytes())
    return folder


def test_it_keeps_the_contract(corpus: Path, tmp_path: Path) -> None:
    check_source(ToySource(), corpus, tmp_path / "checked")


def test_it_is_prepared_by_workers_and_a_cut_off_end_is_told(corpus: Path, tmp_path: Path) -> None:
    with (corpus / "host0-a.toy").open("ab") as file:
        file.write(b"abc")
    for jobs in (1, 2):
        reader = ToySource().corpus_reader(corpus, ToyOptions())
        reader.small = 0
        prepare(reader, corpus, tmp_path / str(jobs), engine=LocalEngine(jobs))
    one, two = (WindowSet.open(tmp_path / name) for name in ("1", "2"))
    assert one.notes == two.notes
    assert one.notes["left_out_counts"] == {"the rest of the file": 1}
    assert np.array_equal(one.gather()["code"], two.gather()["code"])


def test_it_is_followed_as_it_grows(tmp_path: Path) -> None:
    data = records(50, 3).tobytes()
    growing = tmp_path / "a.toy"
    growing.write_bytes(data[:100])
    reader = ToyReader(ToySource().corpus_reader(tmp_path, ToyOptions()).schema)
    (unit,) = reader.units(Evidence((growing,), "follow")).units
    stream, windower = reader.open(unit), Windower(reader)
    seen: list[tuple[int, ...]] = []

    def take() -> None:
        while (block := stream.read(7)) is not None:
            for batch in windower.push(block):
                seen.extend(tuple(row) for row in batch.steps["offset"].tolist())

    take()
    assert len(seen) == 100 // RECORD.itemsize
    assert not stream.ended
    for start in range(100, len(data), 33):
        with growing.open("ab") as file:
            file.write(data[start : start + 33])
        position = json.loads(json.dumps(stream.position))
        stream.close()
        stream = reader.open(unit, resume=position)
        take()
    stream.stop()
    take()
    assert stream.ended
    whole = read_windows(reader, Evidence((growing,)))
    assert seen == [tuple(row) for batch in whole for row in batch.steps["offset"].tolist()]


def test_a_detector_learns_from_it(corpus: Path, tmp_path: Path) -> None:
    windows = ToySource().prepare(corpus, tmp_path / "d", ToyOptions())
    _, parts = make("host", windows, seed=0, fractions=(0.6, 0.2, 0.2))
    data = TrainingData.of(ToySource(), parts.sealed())
    kind = get("gbt")
    detector = kind.build(choose_inputs(kind, data.schema), 2)
    assert isinstance(detector, FittedDetector)
    detector.fit(data.train, data.validation, seed=0)
    test = data.train.over(parts.test)
    proba = detector.judge(test.batch(names=detector.input_names)).proba
    assert len(proba) > 100
    assert ((proba[:, 1] > 0.5) == (test.label == 1)).mean() > 0.99
