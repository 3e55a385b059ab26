"""What lies in a run's directory, and which of its detectors is meant: on files that say no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evaluation.made_up import made_up_run
from vestige.dashboard.feed import Feed
from vestige.errors import CheckpointError, DatasetError, UsageError, VestigeError
from vestige.recipes import find
from vestige.runs.config import RunConfig
from vestige.runs.directory import RunDirectory
from vestige.splits import Split

BY_HOST = Split(find("host"), "recording", "ab" * 32, 0, {})


def write_run(path: Path, *detectors: str, view: str = "realistic", unfinished: tuple[str, ...] = ()) -> Path:
    """A directory as a run of these detectors leaves it, as far as names go."""
    config = RunConfig(
        source="logs", dataset="dataset", split="split.json", models=(*detectors, *unfinished), view=view
    )
    path.mkdir(parents=True)
    config.save(path)
    for name in (*detectors, *unfinished):
        (path / name).mkdir(parents=True)
        config.save(path / name)
    for name in detectors:
        (path / name / "model.json").write_text("{}")
    return path


def judge(path: Path, **reached: float) -> None:
    """Results in which each detector has this macro F1 on validation; `__` in a name stands for a slash."""
    results, _ = made_up_run()
    model = results.models[0]
    models = []
    for name, f1 in reached.items():
        own = {"name": name.replace("__", "/"), "view": name.rpartition("__")[0], "validation_macro_f1": f1}
        models.append(model.model_copy(update=own))
    update = {"detectors": [*models, *results.baselines], "comparisons": [], "pairs": []}
    results.model_copy(update=update).save(path / "metrics.json")


def test_a_run_of_many_detectors_knows_where_each_lies_and_takes_none_for_another(tmp_path: Path) -> None:
    run = RunDirectory.open(write_run(tmp_path / "run", "gbt", "gru"))
    assert run.detectors == {"gbt": tmp_path / "run" / "gbt", "gru": tmp_path / "run" / "gru"}
    assert (run.is_run, run.is_view, run.is_detector) == (True, False, False)
    with pytest.raises(UsageError, match=r"several detectors \(gbt, gru\)") as refused:
        run.detector()
    assert str(tmp_path / "run" / "gbt") in refused.value.remedy
    assert run.folder("gru").is_detector
    assert run.folder("gru").config.models == ("gbt", "gru")


def test_the_only_detector_of_a_run_is_meant(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "gru")
    assert RunDirectory.open(run).detector() == run / "gru" == RunDirectory.open(run).best()


def test_the_folder_of_a_detector_is_that_detector(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", "gbt", "gru") / "gru"
    found = RunDirectory.open(folder)
    assert found.is_detector
    assert found.detectors == {"gru": folder}
    assert found.detector() == folder == found.best()
    assert found.folder("gru").path == folder


def test_a_checkpoint_by_itself_is_a_detector_and_no_run(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.json").write_text("{}")
    found = RunDirectory.open(tmp_path / "mine")
    assert found.detector() == tmp_path / "mine"
    assert (found.results, found.view) == (None, "")
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        _ = found.dataset


def test_a_view_has_its_own_detectors_and_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run", "realistic/gbt", "oracle/gbt", "oracle/gru", view="both")
    judge(run, realistic__gbt=0.5, oracle__gbt=0.7, oracle__gru=0.9)
    monkeypatch.chdir(run / "oracle")
    for path in (run / "oracle", Path()):
        view = RunDirectory.open(path)
        assert (view.is_view, view.is_run, view.view) == (True, False, "oracle")
        assert view.home == run
        assert set(view.detectors) == {"oracle/gbt", "oracle/gru"}
        assert view.results is not None
        assert [model.name for model in view.results.models] == ["oracle/gbt", "oracle/gru"]
        assert view.best().resolve() == run / "oracle" / "gru"
        with pytest.raises(UsageError, match=r"several detectors \(gbt, gru\)"):
            view.detector()


def test_best_is_what_validation_says_of_those_that_see_what_a_deployed_one_could(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "realistic/gbt", "realistic/gru", "oracle/gbt", view="both")
    judge(run, realistic__gbt=0.5, realistic__gru=0.6, oracle__gbt=0.9)
    assert RunDirectory.open(run).best() == run / "realistic" / "gru"
    assert RunDirectory.open(run).view == "both"


def test_of_several_that_nobody_judged_none_is_the_best(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "gbt", "gru")
    with pytest.raises(UsageError, match="several detectors"):
        RunDirectory.open(run).best()


def test_a_best_detector_that_is_not_here_is_not_taken(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "gbt", unfinished=("gru",))
    judge(run, gbt=0.2, gru=0.9)
    assert RunDirectory.open(run).best() == run / "gbt"


def test_baselines_are_kept_beside_the_detectors_that_were_asked_for_and_taken_for_none_of_them(
    tmp_path: Path,
) -> None:
    run = RunDirectory(write_run(tmp_path / "run", "gru"))
    baseline = run.lay_out("logistic", run.config, BY_HOST, {})
    assert (baseline.config.models, baseline.config.view, baseline.config.hyper) == (
        ("logistic",),
        "realistic",
        {},
    )
    assert baseline.dataset == run.dataset
    assert baseline.split == run.path / "logistic" / "split.json"
    assert RunDirectory(run.path).kept == {"gru": run.path / "gru"}  # laid out is not finished
    (baseline.path / "model.json").write_text("{}")
    found = RunDirectory.open(run.path)
    assert found.detectors == {"gru": run.path / "gru"}
    assert found.kept == {"gru": run.path / "gru", "logistic": run.path / "logistic"}
    assert found.detector() == run.path / "gru"
    assert RunDirectory.open(baseline.path).detector() == baseline.path
    judge(run.path, gru=0.5, logistic=0.9)
    assert RunDirectory.open(run.path).best() == run.path / "logistic"


def test_a_view_keeps_its_own_baselines(tmp_path: Path) -> None:
    run = RunDirectory(write_run(tmp_path / "run", "realistic/gbt", "oracle/gbt", view="both"))
    baseline = run.lay_out("oracle/means", run.config, BY_HOST, {})
    (baseline.path / "model.json").write_text("{}")
    assert (baseline.config.models, baseline.config.view) == (("means",), "oracle")
    view = RunDirectory.open(run.path / "oracle")
    assert list(view.detectors) == ["oracle/gbt"]
    assert list(view.kept) == ["oracle/gbt", "oracle/means"]


def test_results_without_checkpoints_are_a_run(tmp_path: Path) -> None:
    judge(tmp_path, gru=0.5)
    run = RunDirectory.open(tmp_path)
    assert run.results is not None
    assert run.detectors == {}


def test_a_run_that_was_cut_off_says_how_to_go_on(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", unfinished=("gru",))
    for ask in (RunDirectory.open(run).detector, RunDirectory.open(run).best, lambda: Feed.open(run)):
        with pytest.raises(CheckpointError, match="ever finished") as refused:
            ask()
        assert refused.value.where == run
        assert "--resume" in refused.value.remedy


@pytest.mark.parametrize("ask", [RunDirectory.open, Feed.open])
def test_a_folder_that_merely_holds_runs_is_refused_and_names_them(
    tmp_path: Path, ask: Callable[[Path], object]
) -> None:
    write_run(tmp_path / "bgl", "gru")
    write_run(tmp_path / "hadoop", "gbt", "gru")
    write_run(tmp_path / ".bgl.123.tmp", "gru")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "config.json").write_text('{"name": "a page"}')
    with pytest.raises(UsageError, match=r"holds runs \(bgl, hadoop\)") as refused:
        ask(tmp_path)
    assert refused.value.where == tmp_path
    assert refused.value.remedy == f"name one of them: {tmp_path / 'bgl'}"


def test_a_folder_of_one_run_is_refused_too(tmp_path: Path) -> None:
    write_run(tmp_path / "bgl", "gru")
    with pytest.raises(UsageError, match=r"holds runs \(bgl\)"):
        RunDirectory.open(tmp_path)


@pytest.mark.parametrize("name", ["", "none", "file"])
def test_what_is_no_run_is_refused_with_its_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="neither a run nor a detector") as refused:
        RunDirectory.open(tmp_path / name)
    assert refused.value.where == tmp_path / name
    assert ("there is no such file" in refused.value.what) == (name == "none")
    assert refused.value.remedy


def test_damaged_results_are_refused_with_a_remedy(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "gru")
    (run / "metrics.json").write_text("{")
    with pytest.raises(DatasetError, match=r"metrics\.json") as refused:
        _ = RunDirectory.open(run).results
    assert "vestige evaluate" in refused.value.remedy


def test_detectors_that_were_never_finished_are_not_loaded(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", unfinished=("gru",))
    results, _ = made_up_run()
    assert results.models
    with pytest.raises(CheckpointError, match="never finished") as refused:
        RunDirectory.open(run).load(schema=None)  # type: ignore[arg-type] # refused before it is looked at
    assert refused.value.where == run / "gru"


def test_names_are_known_before_anything_is_written(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "new")
    files = (run.config_file, run.split_file, run.log_file, run.metrics_file, run.report_file)
    assert len({file.name for file in files}) == 5
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(VestigeError):
        _ = run.config
