"""`vestige board` on two tiny sets and one that is not there: cells are runs, and what is finished stays."""

from __future__ import annotations

import random
import shlex
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.pipeline.conftest import succeed
from vestige.board import evidence, page
from vestige.board.cells import Cell, SetPlace, asked, cells_of
from vestige.board.fill import check, fill
from vestige.board.page import Gain
from vestige.board.sets import LabelledSet, chosen, load
from vestige.errors import DatasetError, EvidenceError, UsageError
from vestige.evaluation.record import IntervalResult
from vestige.evaluation.results import PairResult, RunResults
from vestige.models.baselines.one_class import Stide
from vestige.runs.directory import RunDirectory
from vestige.runs.options import SplitOptions

MODELS = ("ecod", "next_ngram")
LISTING = """
[[set]]
name = "sessions"
about = "sessions of a toy"
source = "events"
evidence = "toy.zip"
options = { mapping = "sessions" }
splits = [{ split = "sample" }]

[[set.published]]
detector = "theirs"
figure = "F1"
value = 91.5
split = "at random"
source = "a paper"
note = "It may not be compared | at all."

[[set]]
name = "table"
about = "the same as a table"
source = "events"
evidence = "events.parquet"
labels = "labels.parquet"
joined_on = "machine"
options = { mapping = "csv", label_of = "machine" }
splits = [{ split = "sample" }]

[[set]]
name = "elsewhere"
about = "nobody has it"
source = "logs"
evidence = "nowhere.log"
splits = [{ split = "time" }]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of sessions, the same as Parquet tables, and the list of sets."""
    folder = tmp_path_factory.mktemp("data")
    draw = random.Random(0)
    lines: dict[str, list[str]] = {"toy_train": [], "toy_test_abnormal": []}
    rows, labels = [], []
    for number in range(42):
        bad = number % 3 == 0
        events = [draw.choice("abcd") for _ in range(14)]
        if bad:
            events[draw.randrange(4, 12)] = draw.choice("xyz")
        lines["toy_test_abnormal" if bad else "toy_train"].append(f"s{number},{' '.join(events)}\n")
        labels.append((f"s{number}", bad))
        rows += [(f"s{number}", 1_700_000_000 + number * 100 + at, name) for at, name in enumerate(events)]
    with zipfile.ZipFile(folder / "toy.zip", "w") as archive:
        for name, text in lines.items():
            archive.writestr(f"toy/{name}", "".join(text))
    columns = ["machine", "time", "event"]
    pl.DataFrame(rows, schema=columns, orient="row").write_parquet(folder / "events.parquet")
    pl.DataFrame(labels, schema=["machine", "label"], orient="row").write_parquet(folder / "labels.parquet")
    (folder / "sets.toml").write_text(LISTING, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def sets(data: Path) -> tuple[LabelledSet, ...]:
    return load(data / "sets.toml")


FILL = """
import sys
from pathlib import Path
from vestige.board.fill import fill
from vestige.board.sets import load

data, out, *models = sys.argv[1:]
fill(Path(out), load(Path(data) / "sets.toml")[:1], models, data=Path(data))
"""


@pytest.fixture(scope="module")
def killed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Path, int]]:
    """A board that was killed once its first run was judged; when results were written then."""
    out = tmp_path_factory.mktemp("board") / "out"
    folder = out / "cells" / "sessions" / "sample"
    words = [sys.executable, "-c", FILL, str(data), str(out), *MODELS]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as begun:
        deadline = time.monotonic() + 1_500
        while not list(folder.glob("*/metrics.json")) and time.monotonic() < deadline:
            if begun.poll() is not None:
                break
            time.sleep(0.01)
        begun.kill()
    return out, {file: file.stat().st_mtime_ns for file in folder.glob("*/metrics.json")}


@pytest.fixture(scope="module")
def filled(data: Path, sets: tuple[LabelledSet, ...], killed: tuple[Path, dict[Path, int]]) -> Path:
    """The same one after the call was repeated."""
    assert fill(killed[0], sets[:1], MODELS, data=data) == 0
    assert fill(killed[0], sets, MODELS[:1], data=data) == 0
    return killed[0]


def the_cells(out: Path, sets: tuple[LabelledSet, ...]) -> list[Cell]:
    first, second = (SetPlace(out, one) for one in sets[:2])
    return [*cells_of(first, MODELS), *cells_of(second, MODELS[:1])]


def run_of(cell: Cell) -> Path:
    assert cell.record is not None
    return cell.folder / cell.record.run


def test_every_cell_lies_in_a_run_that_its_commands_make_again(
    filled: Path, sets: tuple[LabelledSet, ...], tmp_path: Path
) -> None:
    cells = the_cells(filled, sets)
    assert len(cells) == 3
    for cell in cells:
        record, results = cell.record, RunDirectory(run_of(cell)).results
        assert record is not None
        assert results is not None
        assert record.status == "done"
        assert [one.name for one in results.models] == [cell.model]
        assert RunDirectory(run_of(cell)).openings == 1
    first, again = cells[0], tmp_path / "again"
    assert first.record is not None
    assert len(first.record.commands) == 2
    for command in first.record.commands:
        words = shlex.split(command.replace(str(run_of(first)), str(again)))
        succeed(*words[1:])
    then, now = (RunResults.load(run / "metrics.json") for run in (run_of(first), again))
    assert [one.metrics for one in then.detectors] == [one.metrics for one in now.detectors]


def test_the_same_call_computes_nothing_again(
    filled: Path, sets: tuple[LabelledSet, ...], data: Path
) -> None:
    files = [run_of(cell) / "metrics.json" for cell in the_cells(filled, sets)]
    before = [file.stat().st_mtime_ns for file in files]
    assert fill(filled, sets, MODELS[:1], data=data) == 0
    assert [file.stat().st_mtime_ns for file in files] == before


def test_the_page_has_every_row_as_the_runs_have_it(
    filled: Path, sets: tuple[LabelledSet, ...], data: Path
) -> None:
    board = page.read(filled, sets, MODELS, data=data, command="vestige board")
    assert (board.done, board.wanted) == (3, 4)
    assert board.absent == [("elsewhere", "nowhere.log is not in the folder of the data")]
    first = board.splits[0]
    names = {row.name: row for row in first.rows}
    assert {"ecod", "next_ngram", "majority", "counts", "next_frequency"} <= set(names)
    assert (names["ecod"].learns, names["counts"].learns, names["next_ngram"].learns) == (
        "normals", "labels", "normals",
    )  # fmt: skip
    results = RunDirectory(run_of(the_cells(filled, sets)[0])).results
    assert results is not None
    ap = results.models[0].metrics["average_precision"]
    assert names["ecod"].figures[1].startswith(f"{ap.estimate:.3f}")
    marked = [row.name for row in first.rows if row.chosen]
    assert len(marked) == 1
    assert marked != ["majority"]
    files = page.write(board, filled)
    markdown, html = (file.read_text(encoding="utf-8") for file in files)
    assert "It may not be compared \\| at all." in markdown
    for text in (markdown, html):
        assert "vestige train" in text
        assert "elsewhere is not here" in text
        assert names["ecod"].figures[0] in text
    assert "<script" not in html


def test_the_page_tells_what_it_took_and_how_often_a_test_part_was_opened(
    filled: Path, sets: tuple[LabelledSet, ...], data: Path
) -> None:
    board = page.read(filled, sets, MODELS, data=data, command="it")
    spent = {cell.folder / cell.record.run: cell.record.processor_seconds for cell in the_cells(filled, sets)
             if cell.record is not None}  # fmt: skip
    assert len(spent) == 3
    assert all(seconds > 0 for seconds in spent.values())
    assert board.processor_seconds == pytest.approx(sum(spent.values()))
    assert "of 3 cells the processor time is known: 0.0" in page.markdown(board)
    for run in spent:
        (run / "openings.jsonl").write_text('{"command": "one"}\n{"command": "two"}\n')
    again = page.read(filled, sets, MODELS, data=data, command="it")
    assert [fact for fact in again.splits[0].facts if "opened" in fact] == [
        "test part of the run `classify`: opened 2 times", "test part of the run `next`: opened 2 times",
    ]  # fmt: skip


def interval(estimate: float, low: float, high: float) -> IntervalResult:
    return IntervalResult(estimate=estimate, low=low, high=high, resamples=1000)


@pytest.mark.parametrize(
    ("gap", "trusted", "told"),
    [
        (interval(0.1, 0.04, 0.2), True, Gain("gbt", "ecod", "+0.100 [+0.040, +0.200]", "+0.060", "yes")),
        (
            interval(0.1, 0.04, 0.2),
            False,
            Gain("gbt", "ecod", "+0.100 [+0.040, +0.200]", "+0.060", "no: too few clusters"),
        ),
        (interval(0.1, -0.02, 0.2), True, Gain("gbt", "ecod", "+0.100 [-0.020, +0.200]", "+0.120", "no")),
    ],
)
@pytest.mark.parametrize("mirrored", [False, True])
def test_ours_is_set_beside_what_was_best_on_validation_and_is_not_ours(
    filled: Path,
    sets: tuple[LabelledSet, ...],
    gap: IntervalResult,
    trusted: bool,
    told: Gain,
    mirrored: bool,
) -> None:
    results = RunDirectory(run_of(the_cells(filled, sets)[0])).results
    assert results is not None
    (ecod,) = results.models
    ours = ecod.model_copy(update={"name": "gbt", "validation_macro_f1": 0.8})
    other = ecod.model_copy(update={"validation_macro_f1": 0.9})
    names, between = ("gbt", "ecod"), gap
    if mirrored:
        assert gap.estimate is not None
        assert gap.low is not None
        assert gap.high is not None
        names, between = ("ecod", "gbt"), interval(-gap.estimate, -gap.high, -gap.low)
    pair = PairResult(first=names[0], second=names[1], gap=between, p=None, p_adjusted=None, kind="models")
    clusters = results.clusters.model_copy(update={"trusted": trusted})
    judged = [other, ours]
    run = results.model_copy(update={"pairs": [pair], "clusters": clusters, "detectors": judged})
    assert page.gain_of([(other, run), (ours, run)]) == told
    # What was better on validation in another run is told, and nothing is beyond doubt then.
    tfidf = ecod.model_copy(update={"name": "tfidf", "validation_macro_f1": 0.95})
    apart = page.gain_of([(tfidf, results), (other, run), (ours, run)])
    assert apart is not None
    assert apart.trivial == f"ecod; tfidf, of another run, reached {tfidf.macro_f1.estimate:.3f}"
    assert apart.shown == "no"


def test_ours_of_a_later_run_is_set_beside_the_baselines_of_that_run(
    filled: Path, sets: tuple[LabelledSet, ...]
) -> None:
    results = RunDirectory(run_of(the_cells(filled, sets)[0])).results
    assert results is not None
    (ecod,) = results.models
    ours = ecod.model_copy(update={"name": "gbt", "validation_macro_f1": 0.8})
    best, *_ = sorted(results.baselines, key=lambda each: -(each.validation_macro_f1 or 0.0))
    gain = results.comparisons[0].model_copy(
        update={"model": "gbt", "baseline": best.name, "gain": interval(0.1, 0.04, 0.2)}
    )
    clusters = results.clusters.model_copy(update={"trusted": True})
    later = {"detectors": [*results.baselines, ours], "comparisons": [gain], "clusters": clusters}
    run = results.model_copy(update=later)
    # All that is not ours was judged by the first run: the best of the second is not among it.
    first = best.model_copy(update={"validation_macro_f1": 0.7})
    told = Gain("gbt", best.name, "+0.100 [+0.040, +0.200]", "+0.060", "yes")
    assert page.gain_of([(ours, run), (first, results)]) == told
    classical = page.gain_of([(ecod, results), (ours, run), (first, results)])
    assert classical is not None
    assert classical.trivial.startswith(f"{best.name}; ecod, of another run, reached")
    assert classical.shown == "no"
    alone = results.model_copy(update={"detectors": [ours]})
    assert page.gain_of([(ours, alone), (first, results)]) is None


def test_detectors_of_a_split_are_judged_once_together_and_later_ones_by_themselves(
    sets: tuple[LabelledSet, ...], data: Path, tmp_path: Path
) -> None:
    assert fill(tmp_path / "out", sets[:1], ("ecod", "stide"), data=data) == 0
    assert fill(tmp_path / "out", sets[:1], ("ecod", "stide", "nearest"), data=data) == 0
    cells = cells_of(SetPlace(tmp_path / "out", sets[0]), ("ecod", "stide", "nearest"))
    assert [run_of(cell).name for cell in cells] == ["classify", "classify", "classify-2"]
    assert [RunDirectory(run_of(cell)).openings for cell in cells] == [1, 1, 1]
    board = page.read(tmp_path / "out", sets[:1], ("ecod", "stide", "nearest"), data=data, command="it")
    assert sum("vestige train" in command for command in board.splits[0].commands) == 2
    assert {"ecod", "stide", "nearest"} <= {row.name for row in board.splits[0].rows}


def test_one_that_fails_takes_none_of_the_others_with_it(
    sets: tuple[LabelledSet, ...], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Stide, *_: Any, **__: Any) -> None:
        raise DatasetError(f"{self.name} will not", remedy="none")

    with monkeypatch.context() as changed:
        changed.setattr(Stide, "fit", refuse)
        assert fill(tmp_path / "out", sets[:1], ("ecod", "stide"), data=data) == 1
    done, failed = cells_of(SetPlace(tmp_path / "out", sets[0]), ("ecod", "stide"))
    assert done.record is not None
    assert failed.record is not None
    assert (done.record.status, failed.record.status) == ("done", "failed")
    assert "stide will not" in failed.record.why
    assert fill(tmp_path / "out", sets[:1], ("ecod", "stide"), data=data) == 0


def test_a_run_whose_config_is_damaged_is_left_alone_and_the_others_get_one_of_their_own(
    sets: tuple[LabelledSet, ...], data: Path, tmp_path: Path
) -> None:
    assert fill(tmp_path / "out", sets[:1], ("ecod",), data=data) == 0
    cells = cells_of(SetPlace(tmp_path / "out", sets[0]), ("ecod", "stide"))
    config = run_of(cells[0]) / "config.json"
    config.write_text("{", encoding="utf-8")
    assert fill(tmp_path / "out", sets[:1], ("ecod", "stide"), data=data) == 0
    assert [run_of(cell).name for cell in cells] == ["classify", "classify-2"]
    assert config.read_text(encoding="utf-8") == "{"


def test_a_cell_of_an_earlier_version_is_told_once_and_computed_again(
    sets: tuple[LabelledSet, ...], data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cells = cells_of(SetPlace(tmp_path, sets[0]), ("ecod", "next_ngram"))
    for cell in cells:
        cell.folder.mkdir(parents=True, exist_ok=True)
        cell.note.write_text('{"format": "vestige-board-cell/1", "status": "done", "commands": ["it"]}')
    board = page.read(tmp_path, sets[:1], ("ecod", "next_ngram"), data=data, command="it")
    assert board.splits[0].missing == ["still to be computed: ecod, next_ngram"]
    assert fill(tmp_path, sets[:1], ("ecod",), data=data) == 0
    assert fill(tmp_path, sets[:1], ("ecod",), data=data) == 0
    assert run_of(cells[0]).name == "classify"
    assert caplog.text.count("cells of an earlier version of the board are computed again: 1") == 1
    cells[1].note.write_text('{"format": "vestige-board-cell/9", "status": "done", "commands": []}')
    with pytest.raises(DatasetError, match="cannot be read"):
        page.read(tmp_path, sets[:1], ("next_ngram",), data=data, command="it")


def test_a_split_that_fails_is_told_and_tried_again(
    sets: tuple[LabelledSet, ...], data: Path, tmp_path: Path
) -> None:
    one = sets[0].model_copy(update={"splits": (SplitOptions(split="host"),)})
    assert fill(tmp_path / "out", [one], ("ecod",), data=data) == 1
    board = page.read(tmp_path / "out", [one], ("ecod",), data=data, command="vestige board")
    assert (board.done, board.wanted) == (0, 1)
    assert "needs at least 3" in board.splits[0].missing[0]
    assert fill(tmp_path / "out", [one], ("ecod",), data=data) == 1


def test_no_cell_begins_after_the_hours(sets: tuple[LabelledSet, ...], data: Path, tmp_path: Path) -> None:
    assert fill(tmp_path / "out", sets, MODELS, data=data, hours=0) == 4
    assert not (tmp_path / "out" / "cells").exists()


def test_other_options_under_the_same_name_are_refused(
    filled: Path, sets: tuple[LabelledSet, ...], data: Path
) -> None:
    other = sets[0].model_copy(update={"options": {"mapping": "sessions", "context": 3}})
    with pytest.raises(UsageError, match="another sessions"):
        fill(filled, [other], ("ecod", "stide"), data=data)


def test_a_board_that_is_killed_goes_on_where_it_stood(
    killed: tuple[Path, dict[Path, int]], filled: Path
) -> None:
    _, before = killed
    assert len(before) == 1
    assert {file: file.stat().st_mtime_ns for file in before} == before
    results = list((filled / "cells" / "sessions" / "sample").glob("*/metrics.json"))
    assert len(results) == len(MODELS)


def test_the_verb_tells_what_is_there_and_writes_both_pages(data: Path, tmp_path: Path) -> None:
    told = succeed(
        "board", "--data", data, "--list", data / "sets.toml", "--sets", "elsewhere", "-o", tmp_path / "out"
    )
    assert "elsewhere is not here: nowhere.log" in told
    assert "0 of 0 cells are computed" in told
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"board.md", "board.html"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('split = "sample"', 'split = "random"'), "holds out"),
        (('source = "events"\nevidence = "toy.zip"', 'source = "events"'), "simulated"),
        (('name = "table"', 'name = "sessions"'), "two sets are called sessions"),
        (('name = "table"', 'name = "../table"'), "name"),
        (("[[set]]", "[[set"), "TOML"),
    ],
)
def test_a_list_that_is_wrong_is_refused(change: tuple[str, str], told: str, tmp_path: Path) -> None:
    file = tmp_path / "sets.toml"
    file.write_text(LISTING.replace(*change), encoding="utf-8")
    with pytest.raises(UsageError, match=told):
        load(file)


def test_names_that_nothing_has_are_refused(sets: tuple[LabelledSet, ...]) -> None:
    with pytest.raises(UsageError, match="nonsense"):
        chosen(sets, ("nonsense",))
    with pytest.raises(UsageError, match="nonsense"):
        asked(("nonsense",))
    with pytest.raises(UsageError, match="contxt"):
        check([sets[0].model_copy(update={"options": {"contxt": 3}})])


def test_the_list_that_is_shipped_can_be_read_by_its_sources() -> None:
    shipped = load()
    assert len(shipped) >= 10
    check(shipped)


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a\\..\\out.txt"])
def test_a_zip_that_leads_outside_is_refused(
    name: str, sets: tuple[LabelledSet, ...], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "toy.zip", "w") as archive:
        archive.writestr(name, "s1,a b c\n")
    with pytest.raises(EvidenceError, match="outside"):
        evidence.at_hand(sets[0], tmp_path, tmp_path / "place")
    assert not (tmp_path / "place").exists()
