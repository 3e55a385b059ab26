"""A detector that was learnt without labels: what its check found, and how it replays."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.service.conftest import lines
from vestige import checkpoint
from vestige.dashboard.events import LearntCheck, Run, Score
from vestige.dashboard.feed import Feed
from vestige.dashboard.pace import Pace
from vestige.dashboard.producers.moved import MOST, Channels
from vestige.evaluation.budget import Budget
from vestige.evaluation.learnt import FILE, Learnt
from vestige.models.normal.detector import Normal
from vestige.pipeline.learn import learn
from vestige.reading.looks import BoundNormalEncoder
from vestige.scoring import score
from vestige.scoring.smallest import SmallestChange
from vestige.scoring.windows import judge
from vestige.sources import registry


@pytest.fixture(scope="module")
def of_channels(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is normal of episodes of telemetry."""
    out = tmp_path_factory.mktemp("channels") / "normal"
    source = registry.get("telemetry")
    learn(source, store, out, options=source.options(), budget=Budget.parse("1/200"))
    return out


def scores(detector: Path, evidence: Path) -> list[Score]:
    return [one for one in Feed.open(detector, [evidence]).replayed(Pace(0)) if isinstance(one, Score)]


def test_what_its_check_found_is_told(learnt: Path) -> None:
    run, check = Feed.open(learnt).standing()
    found = Learnt.load(learnt / FILE)
    assert isinstance(run, Run)
    assert isinstance(check, LearntCheck)
    assert found.sensitivity is not None
    assert len(check.planted) == len(found.sensitivity.rows) > 5
    for told, row in zip(check.planted, found.sensitivity.rows, strict=True):
        own = next(iter(row.by.values()))
        assert (told.what, told.of, told.found, told.low) == (row.what, row.of, own.found, own.low)
    assert "were promised" in check.sentences[0]
    assert (check.budget, check.warning) == ("5/day", found.sensitivity.warning)


def test_it_alerts_by_its_budget_as_score_does(learnt: Path, tmp_path: Path) -> None:
    log = tmp_path / "new.log"
    # So much at once that the budget holds most of it back.
    log.write_text("".join(lines(600, start=1_500, seed=5, odd=tuple(range(1_700, 1_800)))))
    expected, found = list(score(learnt, [log])), scores(learnt, log)
    assert len(found) == len(expected) == 600
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.alert, ours.p_value) == (theirs["alert"], theirs["p_value"])
        assert ours.score == pytest.approx(theirs["score"], abs=1e-6)
        assert ours.reasons == [reason["says"] for reason in theirs.get("reasons", [])]
        assert bool(ours.reasons) == ours.alert
    rare = sum(one.p_value is not None and one.p_value <= 1e-3 for one in found)
    assert 0 < sum(bool(one.alert) for one in found) < rare
    run = next(iter(Feed.open(learnt, [log]).standing()))
    assert isinstance(run, Run)
    assert run.player is not None
    assert run.player.alpha == checkpoint.load(learnt).detector.alpha  # type: ignore[attr-defined]
    assert run.player.budget.startswith("one window in ")


def test_the_channels_that_moved_come_with_alerts(both: Path, store: Path) -> None:
    found = scores(both / "realistic" / "gbt", store)
    channels = Channels.of(checkpoint.load(both / "realistic" / "gbt"))
    names = {feature.name for feature in channels.features}
    alerts = [one for one in found if one.alert]
    assert len(alerts) > 0
    assert all(one.moved for one in alerts)
    quiet = [one for one in found if not one.alert and one.moved]
    assert len(quiet) < len(found) / 2
    for one in alerts:
        assert len(one.moved) <= MOST
        assert {moved.channel for moved in one.moved} <= names
        assert all(moved.expected != moved.was for moved in one.moved)


def test_a_learnt_detector_tells_what_it_expected_of_channels(of_channels: Path, store: Path) -> None:
    alerts = [one for one in scores(of_channels, store) if one.alert]
    expected = [row["expected"] for row in score(of_channels, [store]) if row["alert"]]
    assert len(alerts) == len(expected) > 0
    for one, told in zip(alerts, expected, strict=True):
        assert [(each.channel, each.expected, each.was) for each in one.moved] == [
            (each["channel"], each["expected"], each["actual"]) for each in told
        ]


def test_it_tells_which_channels_would_have_made_it_normal(of_channels: Path, store: Path) -> None:
    loaded, batches = judge(of_channels, [store])
    detector = loaded.detector
    assert isinstance(detector, Normal)
    assert detector.channels is not None
    smallest = SmallestChange(detector, loaded.encoder, loaded.schema)  # type: ignore[arg-type]
    (spec,) = (spec for spec in detector.inputs if spec.kind == "tensor")
    names = [feature.name for feature in spec.features]
    batch = next(iter(batches))
    assert isinstance(batch.bound, BoundNormalEncoder)
    # A window that is normal, once with each of its channels far from where it was.
    row = int(np.argmin(batch.judgement.strangeness))
    stream = next(name for name, values in batch.batch.steps.items() if values.ndim == 3)
    channels = batch.batch.steps[stream].shape[2]
    steps = {
        name: np.repeat(values[row : row + 1], channels, axis=0) for name, values in batch.batch.steps.items()
    }
    for channel in range(channels):
        steps[stream][channel, -2:, channel] += 1e6
    X = batch.bound.encode(steps, detector.input_names)
    worst = detector.channels.explain(detector.select(X)[spec.name])
    mask = detector.keep_mask.get(spec.name, np.ones(len(names), dtype=np.bool_))
    kept = np.flatnonzero(mask).tolist()
    mended = 0
    for row, found in enumerate(smallest.find(steps, batch.bound, batch.batch.symbols)):
        assert (found["tried"], found["steps"]) == (7, [])
        assert found["says"]
        assert bool(found["channels"]) == (found["p_value"] is not None)
        if not found["channels"]:
            continue
        mended += len(found["channels"]) == 1
        once = {name: values[row : row + 1].copy() for name, values in X.items()}
        for channel, expected in zip(worst.channel[row], worst.expected[row], strict=True):
            if names[kept[channel]] in found["channels"]:
                once[spec.name][0, kept[channel]] = expected
        p_value = float(np.exp(detector.log_p(once)[0]))
        assert p_value == pytest.approx(found["p_value"], rel=0.01)
        assert p_value > 3 * detector.alpha
    assert mended > channels / 2


def test_most_moved_is_what_strays_most_from_the_steps_before(both: Path, store: Path) -> None:
    loaded, batches = judge(both / "realistic" / "gbt", [store])
    judged = next(batches)
    channels = Channels.of(loaded)
    assert judged.bound is not None
    tensor = judged.bound.encode(judged.batch.steps, (channels.name,))[channels.name].copy()[:1]
    tensor[:] = 10.0
    tensor[:, 3, channels.judged] = 50.0
    tensor[:, 7] = np.nan
    tensor[:, 7, channels.judged] = 1.0
    tensor[:, 9, : channels.judged : 2] = np.nan
    tensor[:, 9, channels.judged] = math.inf
    (moved,) = channels._most(tensor)
    assert [(one.channel, one.expected, one.was) for one in moved] == [
        (channels.features[3].name, 10.0, 50.0)
    ]
    assert Channels("", (), 0, None).moved(judged, None) == {}
