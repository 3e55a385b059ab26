"""Workers of an engine score as one process does: the same rows in the same order, the same alerts."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import pytest

from tests.engine.fake import FakeEngine
from vestige import scoring
from vestige.checkpoint import load
from vestige.errors import EvidenceError, UsageError
from vestige.evaluation.budget import Budget
from vestige.pipeline.learn import learn
from vestige.reading.steps import Evidence
from vestige.scoring import spread
from vestige.simulators.logs.options import SimulateOptions
from vestige.simulators.logs.write import simulate
from vestige.sources import registry as sources


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("spread") / "logs"
    simulate(root, SimulateOptions(hosts=3, messages=2_000, seed=3))
    return root


@pytest.fixture(scope="module")
def detector(evidence: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("learnt") / "normal"
    source = sources.get("logs")
    learn(source, evidence, out, options=source.options(format="bgl"), budget=Budget.parse("1/50"))
    return out


@pytest.mark.parametrize("alerts_only", [False, True])
def test_rows_alerts_and_reasons_are_those_of_one_process(
    evidence: Path, detector: Path, alerts_only: bool, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("vestige").propagate = True
    caplog.set_level(logging.INFO, logger="vestige")
    here = list(scoring.score(detector, [evidence], alerts_only=alerts_only))
    said = [message for message in caplog.messages if "were promised" in message]
    caplog.clear()
    there = list(spread.score(detector, [evidence], FakeEngine(), alerts_only=alerts_only))
    assert len(here) > 10
    assert any(row["alert"] for row in here)
    assert there == here
    assert [message for message in caplog.messages if "were promised" in message] == said
    assert len(said) == 1


def test_recordings_are_those_of_one_process(evidence: Path, detector: Path) -> None:
    here = scoring.score_recordings(detector, [evidence])
    assert len(here) > 3
    assert spread.score_recordings(detector, [evidence], FakeEngine()) == here


def test_a_unit_that_kills_its_worker_is_left_out_and_told(
    evidence: Path, detector: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("vestige").propagate = True
    every = {row["file"] for row in scoring.score(detector, [evidence])}
    found = {row["file"] for row in spread.score(detector, [evidence], FakeEngine(kills={1}))}
    (lost,) = every - found
    assert f"{lost} was left out: the machine that worked on it is gone" in caplog.text


def size_of(strange: Path, item: spread.Numbered) -> int:
    """What a worker does that cannot be told how to read one of the units."""
    if item.unit.paths[0] == strange:
        raise UsageError("the parser does not start", remedy="install it")
    return int(item.unit.size)


def test_a_file_that_options_do_not_fit_is_left_out_and_told(
    evidence: Path, detector: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("vestige").propagate = True
    units = load(detector).reader().units(Evidence((evidence,), "live")).units
    strange, *others = units
    work = partial(size_of, strange.paths[0])
    found = list(spread.of_units(detector, [evidence], FakeEngine(), work, None))
    assert found == [unit.size for unit in others]
    assert f"{strange.name} was left out: the parser does not start" in caplog.text
    with pytest.raises(UsageError, match="does not start"):
        list(spread.of_units(detector, [strange.paths[0]], FakeEngine(), work, None))


def test_a_file_that_a_person_named_is_an_error(evidence: Path, detector: Path) -> None:
    file = next(path for path in sorted(evidence.rglob("*.log")))
    empty = evidence.parent / "empty.log"
    empty.write_bytes(b"")
    with pytest.raises(EvidenceError):
        list(scoring.score(detector, [file, empty]))
    with pytest.raises(EvidenceError):
        list(spread.score(detector, [file, empty], FakeEngine()))


def test_what_comes_bit_by_bit_is_scored_where_it_comes(detector: Path) -> None:
    with pytest.raises(UsageError, match="bit by bit"):
        list(spread.score(detector, [Path("-")], FakeEngine()))
