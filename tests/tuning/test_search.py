"""A search finds, keeps, tells and goes on; what it finds is trained as a run."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import optuna
import pytest

from tests.tuning.conftest import TREES, search
from vestige.errors import CheckpointError, OutputError, SearchError, UsageError
from vestige.pipeline.run import evaluate, verify
from vestige.runs.config import RunConfig
from vestige.runs.directory import RunDirectory
from vestige.training import TrainingConfig
from vestige.tuning import study as studies
from vestige.tuning.findings import Findings, findings_of

JOURNAL = Path("tuning") / studies.FILE


def rows(run: Path) -> list[dict[str, str]]:
    """The trials as the table has them, without how long they took."""
    with (run / "tuning" / "trials.csv").open() as file:
        found = list(csv.DictReader(file))
    return [
        {name: value for name, value in row.items() if name not in {"seconds", "number"}} for row in found
    ]


def test_the_best_is_a_run_that_is_ready_to_be_judged(trees: Path) -> None:
    config = verify(trees)
    table = rows(trees)
    assert len(table) == 5
    assert table[0]["defaults"] == "True"
    best = max(float(row["value"]) for row in table)
    assert config.models == ("gbt",)
    assert config.tuning["value"] == pytest.approx(best)
    assert config.hyper == {**TREES, **config.tuning["settings"]}  # type: ignore[dict-item]
    assert config.tuning["seed"] == 0
    assert config.tuning["space"]["max_depth"] == {"values": "2..10"}  # type: ignore[call-overload,index]
    header = RunDirectory(trees / "gbt").header
    assert header.notes.validation_macro_f1 == pytest.approx(best)
    assert header.model["hyper"]["max_depth"] == config.hyper["max_depth"]


def test_the_test_part_is_opened_by_judging_alone(trees: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trees, run)
    config = RunConfig.load(run)
    config.model_copy(update={"dataset": str(RunDirectory(trees).dataset)}).save(run)
    assert RunDirectory(run).openings == 0
    evaluate(run, {"resamples": 100}, "vestige evaluate run")
    assert RunDirectory(run).openings == 1
    assert (run / "report.html").is_file()


def test_the_same_search_finds_the_same(trees: Path, prepared: Path, tmp_path: Path) -> None:
    search(prepared, tmp_path / "run", "gbt", 5, settings=TREES)
    assert rows(tmp_path / "run") == rows(trees)


def cut(trees: Path, run: Path, share: float) -> None:
    """The run as a kill leaves it that comes when so much of the journal is written."""
    shutil.copytree(trees, run, ignore=shutil.ignore_patterns("gbt", "*.csv", "*.html", "search.json"))
    journal = run / JOURNAL
    content = journal.read_bytes()
    journal.write_bytes(content[: int(len(content) * share)])
    journal.with_name(f"{studies.FILE}.lock").touch()
    config = RunConfig.load(run)
    asked = {
        name: value for name, value in config.tuning.items() if name not in {"best", "value", "settings"}
    }
    dataset = RunDirectory(trees).dataset
    config.model_copy(update={"tuning": asked, "hyper": TREES, "dataset": str(dataset)}).save(run)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.55, 0.8, 0.97])
def test_wherever_a_search_is_killed_it_goes_on_to_the_same_end(
    trees: Path, prepared: Path, tmp_path: Path, share: float
) -> None:
    run = tmp_path / "run"
    cut(trees, run, share)
    # Beside the dataset as before, so that the same search is asked for.
    config = RunConfig.load(run)
    config.model_copy(update={"dataset": _relative(prepared, run)}).save(run)
    search(prepared, run, "gbt", 5, settings=TREES, resume=True)
    assert rows(run) == rows(trees)
    assert verify(run).tuning["settings"] == RunConfig.load(trees).tuning["settings"]


def _relative(prepared: Path, run: Path) -> str:
    from vestige.runs.config import relative

    return relative(prepared / "dataset", run)


def test_more_trials_are_no_other_search_but_another_space_is(
    trees: Path, prepared: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    cut(trees, run, 1.0)
    config = RunConfig.load(run)
    config.model_copy(update={"dataset": _relative(prepared, run)}).save(run)
    found = search(prepared, run, "gbt", 7, settings=TREES, resume=True)
    assert len(found.rows) == 7
    assert rows(run)[:5] == rows(trees)
    with pytest.raises(UsageError, match="another search than that of before") as raised:
        search(prepared, run, "gbt", 7, "max_depth=2,3", settings=TREES, resume=True)
    assert "'values': '2,3'" in str(raised.value)


def test_nothing_is_written_over(trees: Path, prepared: Path) -> None:
    with pytest.raises(OutputError, match="already exists"):
        search(prepared, trees, "gbt", 5, settings=TREES)


def test_a_journal_that_was_changed_is_refused(trees: Path, prepared: Path, tmp_path: Path) -> None:
    for number, (old, new) in enumerate([(b'{"op_code"', b'["op_code"'), (b'"op_code":', b'"op":')]):
        run = tmp_path / str(number)
        cut(trees, run, 1.0)
        config = RunConfig.load(run)
        config.model_copy(update={"dataset": _relative(prepared, run)}).save(run)
        journal = run / JOURNAL
        assert old in journal.read_bytes()
        journal.write_bytes(journal.read_bytes().replace(old, new))
        with pytest.raises(CheckpointError, match="journal"):
            search(prepared, run, "gbt", 5, settings=TREES, resume=True)


def test_the_journal_is_read_without_pickles(trees: Path) -> None:
    with studies.quiet():
        study = studies.open_study(trees / "tuning")
    backend = study._storage._backend  # type: ignore[attr-defined]
    # Only what keeps snapshots, as Redis does, is handed pickles.
    assert not hasattr(backend, "load_snapshot")
    for line in (trees / JOURNAL).read_bytes().splitlines():
        assert isinstance(json.loads(line), dict)


@pytest.fixture(scope="module")
def networks(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Findings]:
    """Nine trials of `mlp`; of its rates one is too low and one beyond all reason."""
    out = tmp_path_factory.mktemp("networks") / "run"
    rates = "learning_rate=0.01,1e-9,1e30"
    narrow = ("hidden=16..64", "layers=1", "dropout=0.1", "weight_decay=0.01", "batch_size=128")
    return out, search(prepared, out, "mlp", 16, rates, *narrow)


def test_a_trial_that_fails_is_told_and_counted_and_ends_nothing(networks: tuple[Path, Findings]) -> None:
    _, found = networks
    failed = [row for row in found.rows if row.state == "FAIL"]
    assert len(failed) >= 1
    assert all("no longer a finite number" in row.reason for row in failed)
    assert {row.settings["learning_rate"] for row in failed} == {1e30}
    assert f"{len(failed)} failed" in found.summary
    assert len(found.rows) == 16


def test_what_is_below_the_median_is_ended_early(networks: tuple[Path, Findings]) -> None:
    _, found = networks
    early = [row for row in found.rows if row.state == "PRUNED"]
    assert len(early) >= 1
    assert all(row.epochs is not None and 3 <= row.epochs < 5 for row in early)
    assert all("below the median" in row.reason for row in early)
    assert found.best is not None
    assert found.best.settings["learning_rate"] == 0.01


def test_the_final_training_is_that_of_the_best_trial(networks: tuple[Path, Findings]) -> None:
    out, found = networks
    assert found.best is not None
    header = RunDirectory(out / "mlp").header
    assert header.notes.validation_macro_f1 == found.best.value
    assert header.model["hyper"]["hidden"] == found.best.settings["hidden"]
    config = RunConfig.load(out)
    assert config.training.learning_rate == 0.01
    assert config.training.batch_size == 128


def test_the_page_holds_all_of_itself(networks: tuple[Path, Findings]) -> None:
    out, found = networks
    page = (out / "tuning" / "report.html").read_text()
    assert "default-src &#39;none&#39;" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)
    figures = json.loads(re.findall(r'id="figures">(.*?)</script>', page, re.DOTALL)[0])
    assert set(figures) == {"history", "importance", "coordinates"}
    assert len(figures["coordinates"]["traces"]) == sum(row.value is not None for row in found.rows)
    drawn = sum(len(trace["x"]) for trace in figures["history"]["traces"] if trace["mode"] == "markers")
    assert drawn == sum(row.value is not None for row in found.rows)
    best = next(trace["y"] for trace in figures["history"]["traces"] if trace["mode"] == "lines")
    assert best == sorted(best)
    assert page.count('<tr><td class="n">') == len(found.rows)
    assert found.importance["learning_rate"] == max(found.importance.values())


def test_where_every_trial_fails_the_first_reason_is_told(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"none of 2 trials ended well .* no longer a finite number"):
        search(prepared, tmp_path / "run", "mlp", 2, "learning_rate=1e30,1e29", settings={"layers": 1})
    assert not (tmp_path / "run" / "mlp" / "model.json").exists()


def test_values_that_do_not_go_together_fail_a_trial_alone(prepared: Path, tmp_path: Path) -> None:
    config = TrainingConfig(epochs=1, device="cpu", threads=1)
    found = search(
        prepared, tmp_path / "run", "transformer", 4, "size=16,18", "heads=4",
        settings={"layers": 1, "feedforward": 8}, training=config,
    )  # fmt: skip
    states = {row.settings["size"]: row.state for row in found.rows}
    assert states[16] == "COMPLETE"
    if 18 in states:
        assert states[18] == "FAIL"
        assert any("size must be a multiple of heads" in row.reason for row in found.rows)


def test_a_trial_whose_process_died_is_counted_and_one_that_was_cut_off_is_run_again(tmp_path: Path) -> None:
    studies.create(tmp_path)
    with studies.quiet():
        study = studies.open_study(tmp_path)
        dead = study.ask()
        assert studies.bury(study) == [dead.number]
        half = study.ask()
        half.suggest_int("k", 1, 8)
        half.set_user_attr(studies.SETTINGS, {"k": half.params["k"]})
        assert studies.take_up(study) == 1
        assert [studies.reason_of(study, trial) for trial in studies.counted(study)] == [studies.PROCESS_DIED]
        again = studies.open_study(tmp_path).ask()
        assert again.suggest_int("k", 1, 8) == half.params["k"]
        again.study.tell(again, 0.5)
        found = findings_of(again.study, "any", {}, "figure")
    assert [row.state for row in found.rows] == ["FAIL", "COMPLETE"]


def test_memory_that_is_not_there_fails_the_trial(
    trees: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vestige.models.gbt import GradientBoostedTrees
    from vestige.pipeline.fitting import TrainingPlan
    from vestige.tuning import trial as trials

    def greedy(self: object, *_: object, **__: object) -> list[object]:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 TB")

    monkeypatch.setattr(GradientBoostedTrees, "fit", greedy)
    from vestige.pipeline.experiment import Experiment

    data = Experiment.open(prepared / "dataset", prepared / "split.json").training_data
    studies.create(tmp_path)
    plan = TrainingPlan(("gbt",))
    task = trials.Task(tmp_path, Path(), Path(), {}, plan, GradientBoostedTrees.space, {}, 1, tmp_path)
    with studies.quiet():
        study = studies.open_study(tmp_path)
        ended = trials.run_in(task, data, study)
    assert ended.state == "FAIL"
    assert ended.reason == "there is not enough memory"


def test_without_optuna_the_command_to_install_it_is_told(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"pip install 'vestige\[tune\]'"):
        search(prepared, tmp_path / "run", "gbt", 1)
    assert not (tmp_path / "run").exists()


def test_optuna_keeps_its_own_ways_outside_of_a_search() -> None:
    before = optuna.logging.get_verbosity()
    with studies.quiet():
        assert optuna.logging.get_verbosity() != before
    assert optuna.logging.get_verbosity() == before
