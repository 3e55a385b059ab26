"""Learning again: what would change with a detector that learnt from newer evidence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.test_learn import SECOND_NS, START_NS, learn_logs, messages, ordinary, write
from vestige import checkpoint
from vestige.errors import EvidenceError, UsageError
from vestige.evaluation.again import Difference, FoundOf
from vestige.evaluation.learnt import FILE, Learnt
from vestige.pipeline.again import Said, learn_again, ns_of
from vestige.reading.looks import NormalEncoder

FENCE, KEY = "painted the fence", "stole the key"
ATTACKED = range(300, 306)


def newer() -> list[str]:
    """What came later: the same, with a new message now and then, and a few that are an attack."""
    texts = ordinary(1_000, seed=1)
    texts[7::23] = [FENCE] * len(texts[7::23])
    for at in ATTACKED:
        texts[at] = KEY
    return texts


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("earlier")
    learn_logs(write(place / "app.log", ordinary(500)), place / "normal", seed=3, hyper={"n": 4})
    return place / "normal"


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It begins when the earlier one ended."""
    path = tmp_path_factory.mktemp("newer") / "app.log"
    path.write_text(messages([*ordinary(500), *newer()]).split("\n", 500)[-1])
    return path


def said(*, confirmed: bool, entity: str = "app.log", at: range = ATTACKED) -> Said:
    first, last = (START_NS + (500 + step) * SECOND_NS for step in (at[0], at[-1]))
    return Said(entity, first, last, confirmed)


def known(detector: Path) -> str:
    encoder = checkpoint.load(detector).encoder
    assert isinstance(encoder, NormalEncoder)
    return " ".join(encoder.vocabulary)


def test_what_has_become_normal_alerts_no_more(earlier: Path, evidence: Path, tmp_path: Path) -> None:
    before = (earlier / FILE).read_bytes()
    learnt = learn_again(earlier, evidence, tmp_path / "new", plants=10)
    again = learnt.again
    assert again is not None
    assert again.check == learnt.check
    assert again.after == learnt.came
    assert again.before.alerts > again.after.alerts
    assert again.vanish.alerts > 0
    assert {FENCE in stretch.text for stretch in again.vanished} == {True}
    assert again.difference.low <= again.difference.more < 0
    assert again.found
    assert all(each.before.of == each.after.of >= 10 for each in again.found)
    assert again.doubts == []
    # As the earlier one was learnt, which stays as it is.
    assert learnt.seed == 3
    assert checkpoint.load(tmp_path / "new").detector.hyper.n == 4  # type: ignore[attr-defined]
    assert (earlier / FILE).read_bytes() == before
    assert Learnt.load(tmp_path / "new" / FILE).again == again
    assert f"In place of {earlier}" in (tmp_path / "new" / "report.html").read_text()


def test_what_was_confirmed_is_not_learnt_from(earlier: Path, evidence: Path, tmp_path: Path) -> None:
    plain = learn_again(earlier, evidence, tmp_path / "plain", plants=0)
    assert KEY in known(tmp_path / "plain")
    incidents = [
        said(confirmed=True),
        said(confirmed=True, entity="other.log"),
        said(confirmed=False, at=range(7, 8)),
        said(confirmed=False, at=range(950, 990)),
        Said("app.log", None, None, confirmed=False),
    ]
    learnt = learn_again(earlier, evidence, tmp_path / "new", plants=0, said=incidents)
    again = learnt.again
    assert again is not None
    assert KEY not in known(tmp_path / "new")
    confirmed, dismissed = again.confirmed, again.dismissed
    assert confirmed is not None
    assert dismissed is not None
    length = checkpoint.load(earlier).schema.length
    assert confirmed.windows == len(ATTACKED) + length - 1
    assert (confirmed.total, confirmed.checked, confirmed.absent) == (2, 1, 1)
    assert (confirmed.before, confirmed.after) == (1, 1)
    assert (dismissed.total, dismissed.learnt, dismissed.checked, dismissed.absent) == (3, 1, 1, 1)
    total = sum(part.windows for part in (learnt.learn, learnt.calibrate, learnt.check))
    assert total == 1_000 - confirmed.windows
    assert plain.check.windows == 200
    assert len(again.doubts) == 1
    assert again.doubts[0].startswith("1 incidents have no times")


def test_what_cannot_be_compared_is_refused(earlier: Path, evidence: Path, tmp_path: Path) -> None:
    every = Said("app.log", START_NS, START_NS + 2_000 * SECOND_NS, confirmed=True)
    with pytest.raises(EvidenceError, match="100% of its windows show confirmed incidents"):
        learn_again(earlier, evidence, tmp_path / "new", said=[every])
    (tmp_path / "other").mkdir()
    for name in ("model.json", "weights.safetensors"):
        (tmp_path / "other" / name).write_bytes((earlier / name).read_bytes())
    with pytest.raises(UsageError, match="that vestige learn did not make"):
        learn_again(tmp_path / "other", evidence, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]


def test_evidence_that_the_earlier_one_knows_is_told(earlier: Path, tmp_path: Path) -> None:
    known_already = write(tmp_path / "app.log", ordinary(450))
    again = learn_again(earlier, known_already, tmp_path / "new", plants=0).again
    assert again is not None
    assert len(again.doubts) == 1
    assert "it looks better than it is" in again.doubts[0]


def test_older_figures_can_be_read(earlier: Path) -> None:
    plain = json.loads((earlier / FILE).read_text())
    del plain["again"], plain["seed"]
    assert Learnt.model_validate(plain).seed == 0


def test_differences_are_bounded() -> None:
    nothing = Difference.of((0.0, 0.0, 3.7), (0.0, 0.0, 3.7))
    assert nothing.more == 0
    assert nothing.low == -nothing.high == pytest.approx(-3.7)
    before, after = (np.arange(100) < n for n in (20, 60))
    found = FoundOf.of("bursts", before, after)
    assert found.difference.more == pytest.approx(0.4)
    # Newcombe's bounds (1998) for 40 gained and none lost of 100 are .300 and .495.
    assert found.difference.low == pytest.approx(0.30, abs=0.02)
    assert found.difference.high == pytest.approx(0.50, abs=0.02)


def test_times_are_read_to_the_nanosecond() -> None:
    assert ns_of("2026-01-01T00:00:00.000000001Z") == START_NS + 1
    assert ns_of(None) is None
