"""What units say of how they are read reaches whoever looks: notes, terminal, inspect, preview."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reading.toy import RECORD, ToyOptions, ToyReader, ToySource, ToyStream
from vestige.engine import LocalEngine
from vestige.errors import DatasetError
from vestige.reading.files import FileUnit
from vestige.reading.overview import Overview
from vestige.reading.prepare import prepare
from vestige.reading.preview import Preview
from vestige.reading.steps import Position
from vestige.reading.told import MOST_WARNINGS, Said, Told, warnings_of_notes
from vestige.reading.windows import WindowSet


class TellingStream(ToyStream):
    @property
    def summary(self) -> dict[str, Any]:
        return {
            "format": "toy",
            "why": "9 of 9 records are whole",
            "warnings": ["the clock is assumed to be right", f"{self._unit.id} was written by hand"],
        }


class TellingReader(ToyReader):
    def open(self, unit: FileUnit, *, resume: Position | None = None) -> ToyStream:
        return TellingStream(unit, resume)


SAID = [
    "a.toy: the clock is assumed to be right (the same of 1 more)",
    "a.toy: a.toy was written by hand",
    "b.toy: b.toy was written by hand",
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.toy").write_bytes(np.zeros(9, dtype=RECORD).tobytes())
    return folder


def reader_of(corpus: Path) -> TellingReader:
    reader = TellingReader(ToySource().corpus_reader(corpus, ToyOptions()).schema)
    reader.small = 0
    return reader


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_dataset_notes_it_and_the_terminal_says_it(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, jobs: int
) -> None:
    with caplog.at_level(logging.WARNING):
        prepare(reader_of(corpus), corpus, tmp_path / "d", engine=LocalEngine(jobs))
    notes = WindowSet.open(tmp_path / "d").notes
    assert notes["formats"] == {"toy": 2}
    assert notes["warnings"] == SAID
    assert [record.getMessage() for record in caplog.records] == SAID


def test_a_preview_says_the_same(corpus: Path) -> None:
    reader = reader_of(corpus)
    overview = Overview(reader)
    assert len(list(Preview(reader, corpus, overview).rows(None))) == 18
    summary = overview.summary()
    assert summary["formats"] == {"toy": {"files": 2, "first": "a.toy", "why": "9 of 9 records are whole"}}
    assert summary["warnings"][:3] == SAID


def test_of_one_unit_a_warning_does_not_begin_with_its_name() -> None:
    told = Told()
    told.add("a.log", {"warnings": ["it is old"]})
    assert told.warnings() == ["it is old"]
    assert told.formats == {}


def test_so_many_warnings_are_kept_and_all_are_counted() -> None:
    told = Told()
    told.add("a.log", {"warnings": [f"line {line} is odd" for line in range(MOST_WARNINGS + 30)]})
    said = told.warnings()
    assert len(said) == MOST_WARNINGS + 1
    assert said[-1] == "30 more warnings are not shown"


@pytest.mark.parametrize("damaged", [5, "text", [1], {"a": "b"}])
def test_damaged_notes_are_refused(damaged: Any) -> None:
    with pytest.raises(DatasetError, match="notes of what is doubtful are damaged"):
        warnings_of_notes({"warnings": damaged}, Path("d"))


def test_a_count_that_may_go_on_is_told_as_one_and_each_sentence_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = Said()
    with caplog.at_level(logging.WARNING):
        for count in ("1,171", "4,522"):
            said.say("a.json", {"warnings": [f"Times before 1980 ({count} events).", "A year is assumed."]})
        said.say("a.json", {"warnings": ["Events without a label: 7."]}, whole=True)
    assert [record.getMessage() for record in caplog.records] == [
        "a.json (as far as it was read): Times before 1980 (1,171 events).",
        "a.json: A year is assumed.",
        "a.json: Events without a label: 7.",
    ]
