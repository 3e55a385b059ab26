"""What is told of a run before anything is replayed: a whole run, a view of it, one detector."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from vestige.dashboard.events import Metrics, Player, Profiles, Run
from vestige.dashboard.feed import Feed
from vestige.errors import UsageError
from vestige.evaluation.results import RunResults


def told(path: Path, evidence: Sequence[Path] = ()) -> tuple[Run, list[Metrics], list[Profiles]]:
    run, *figures = Feed.open(path, evidence).standing()
    assert isinstance(run, Run)
    metrics = [one for one in figures if isinstance(one, Metrics)]
    profiles = [one for one in figures if isinstance(one, Profiles)]
    assert figures == [*metrics, *profiles]
    assert [one.detector for one in metrics] == [one.detector for one in profiles]
    return run, metrics, profiles


def player(path: Path, evidence: Path) -> Player:
    """The detector that replays this evidence."""
    found = told(path, [evidence])[0].player
    assert found is not None
    return found


def test_a_run_is_told_with_every_detector_as_it_was_judged(both: Path) -> None:
    run, metrics, profiles = told(both)
    results = RunResults.load(both / "metrics.json")
    assert (run.view, run.models) == ("both", ["realistic/gbt", "oracle/gbt"])
    assert run.split == "host"
    assert run.verdict == results.verdict
    assert run.verdict is not None
    assert run.verdict.detector.startswith("realistic/")
    assert [one.detector for one in metrics] == [one.name for one in (*results.models, *results.baselines)]
    for one, shown in zip((*results.models, *results.baselines), metrics, strict=True):
        assert [figure.found for figure in shown.figures] == [
            one.metrics[column.name] for column in results.columns("page")
        ]
        assert shown.figures[0].found == one.macro_f1
        assert shown.confusion == one.confusion
        assert bool(shown.against) == (one.kind == "model")
    for one, table in zip((*results.models, *results.baselines), profiles, strict=True):
        assert table.by_profile == one.per_profile
        assert table.untested == results.split.untested_profiles


def test_what_weakens_it_comes_with_it(both: Path) -> None:
    run, metrics, profiles = told(both)
    texts = " ".join(one.text for one in run.caveats)
    assert "Synthetic corpus" in texts
    assert "cannot be trusted: one test host" in texts
    assert profiles[0].untested
    assert all(one in texts for one in profiles[0].untested)
    assert all(one.synthetic and not one.trusted for one in metrics)
    kinds = [one.kind for one in run.caveats]
    assert kinds == sorted(kinds, key=["grave", "plain", "audit"].index)


def test_a_view_is_told_without_the_other(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(both / "oracle")
    run, metrics, _ = told(Path())
    assert run.view == "oracle"
    assert {one.view for one in metrics} == {"oracle"}
    assert {one.kind for one in metrics} == {"model", "baseline"}


def test_one_detector_is_told_beside_the_baselines(both: Path, finished: Path) -> None:
    run, metrics, _ = told(finished / "ngram")
    assert [one.detector for one in metrics if one.kind == "model"] == ["ngram"]
    assert any(one.kind == "baseline" for one in metrics)
    assert run.view == "realistic"
    assert told(both / "oracle" / "gbt")[0].models == ["oracle/gbt"]


def test_the_detector_that_was_best_on_validation_replays_unless_one_is_named(
    both: Path, finished: Path, store: Path, corpus: Path
) -> None:
    results = RunResults.load(finished / "metrics.json")
    usable = [one for one in results.detectors if one.usable]
    best = max(usable, key=lambda one: one.validation_macro_f1 or 0.0).name
    assert player(finished, corpus).name == best
    assert player(finished / "ngram", corpus).name == "ngram"
    assert player(both, store).view == "realistic"
    assert player(both / "oracle", store).view == "oracle"
    assert told(both)[0].player is None


def test_of_several_detectors_that_nobody_judged_one_must_be_named(
    finished: Path, corpus: Path, tmp_path: Path
) -> None:
    for name in ("gbt", "ngram"):
        shutil.copytree(finished / name, tmp_path / "run" / name)
    with pytest.raises(UsageError, match="gbt, ngram"):
        Feed.open(tmp_path / "run", [corpus])
    assert not told(tmp_path / "run")[0].judged


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match="neither a run nor a detector"):
            Feed.open(path)
