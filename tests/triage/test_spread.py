"""Workers of an engine judge for a triage as one process does: the same table, and the same members."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.engine.fake import FakeEngine
from tests.scoring.test_spread import detector, evidence
from tests.triage.conftest import invoke, refuse
from vestige.engine import Engine
from vestige.errors import UsageError
from vestige.triage import spread
from vestige.triage.options import TriageOptions
from vestige.triage.run import Outcome, triage

__all__ = ["detector", "evidence"]


@pytest.fixture(scope="module")
def following(evidence: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of the task next, of logs."""
    folder = tmp_path_factory.mktemp("following")
    data, split = folder / "dataset", folder / "split.json"
    invoke("prepare", "logs", evidence, "--format", "bgl", "-j", 1, "-o", data)
    invoke("split", data, "--split", "host", "-o", split)
    invoke("train", data, "--split", split, "--task", "next", "-m", "next_ngram", "-o", folder / "run")
    return folder / "run" / "next_ngram"


def same(found: Outcome, expected: Outcome) -> None:
    assert (found.looked_at, found.alerts) == (expected.looked_at, expected.alerts)
    assert found.table.read_bytes() == expected.table.read_bytes()
    assert_frame_equal(pl.read_parquet(found.members), pl.read_parquet(expected.members))


def both(run: Path, out: Path, engine: Engine, evidence: list[Path], *, every: bool) -> Outcome:
    """Of one process, once workers have come to the same."""
    judged = partial(triage, run, options=TriageOptions(), evidence=evidence, every=every)
    here = judged(out / "here")
    same(judged(out / "there", engine=engine), here)
    return here


@pytest.mark.parametrize("every", [False, True])
def test_incidents_and_what_is_usual_are_those_of_one_process(
    evidence: Path, detector: Path, every: bool, tmp_path: Path
) -> None:
    found = both(detector, tmp_path, FakeEngine(), [evidence], every=every)
    assert found.looked_at == 2_000
    assert (found.alerts == 2_000) == every
    assert {cluster.kind for cluster in found.clusters} == ({"incident", "usual"} if every else {"incident"})


def test_explanations_of_evidence_are_those_of_one_process(
    evidence: Path, following: Path, tmp_path: Path
) -> None:
    found = both(following, tmp_path, FakeEngine(), [evidence], every=True)
    assert found.alerts == 2_000
    assert len(found.clusters) > 5


def test_a_test_part_is_judged_in_pieces(following: Path, tmp_path: Path) -> None:
    engine = FakeEngine()
    found = both(following, tmp_path, engine, [], every=True)
    assert engine.mapped == spread.PARTS * engine.workers
    assert found.looked_at == found.alerts > engine.mapped
    assert pl.read_parquet(found.members)["truth"].null_count() == 0


def test_workers_of_an_engine_have_no_other_device(evidence: Path, detector: Path, tmp_path: Path) -> None:
    error = refuse(
        "triage", detector, evidence, "--engine", "ray", "--device", "cuda", "-o", tmp_path / "out"
    )
    assert isinstance(error, UsageError)
    assert not (tmp_path / "out").exists()
