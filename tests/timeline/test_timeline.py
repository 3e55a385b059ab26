"""Timelines: the most surprising events of a recording of any length, departures, and which are alike."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from vestige import checkpoint
from vestige.cli import tables
from vestige.cli.main import app
from vestige.engine import HERE
from vestige.errors import OutputError
from vestige.models.registry import get
from vestige.pipeline.fitting import TrainingPlan
from vestige.pipeline.run import run
from vestige.runs.options import JudgeOptions, SplitOptions
from vestige.simulators.traces.options import SimulateOptions
from vestige.simulators.traces.write import simulate
from vestige.sources import registry
from vestige.sources.traces.options import TraceOptions
from vestige.timeline.clusters import clusters_of
from vestige.timeline.pieces import Piece
from vestige.timeline.run import Outcome, draw_timelines
from vestige.timeline.timeline import BINS, MOST_DEPARTURES, RARE, Place, Timeline

TABLE = pl.DataFrame(
    {
        "text": ["", "a+0x1", "a+0x2", "a taken", "<unmapped> 0x9", "<no file>+0x3", "[kernel] 0xf8"],
        "token": ["", "a+0x1", "a+0x2", "a taken", "<unmapped>", "<no file>", "[kernel]"],
        "module": ["", "a", "a", "a", "<unmapped>", "<no file>", "[kernel]"],
        "kind": [0, 1, 1, 2, 1, 1, 1],
    }
)


def _pieces(symbols: list[int], surprise: list[float], size: int) -> list[Piece]:
    symbol, how = np.array(symbols, dtype=np.int64), np.array(surprise)
    line = np.arange(1, len(symbol) + 1)
    return [
        Piece("r", "malicious", line[at : at + size], line[at : at + size] * 10, symbol[at : at + size],
              how[at : at + size], TABLE)
        for at in range(0, len(symbol), size)
    ]  # fmt: skip


def _timeline(symbols: list[int], surprise: list[float], size: int = 7) -> Timeline:
    timeline = Timeline("r")
    for piece in _pieces(symbols, surprise, size):
        timeline.add(piece)
    return timeline


def test_a_departure_says_the_last_target_within_and_where_the_run_went() -> None:
    timeline = _timeline([1, 3, 2, 3, 4, 3, 4, 1, 5], [0.0] * 9, size=2)
    told = [(one.event, one.offset, one.left, one.to) for one in timeline.departures]
    assert told == [(5, 50, "a+0x2", "<unmapped> 0x9"), (9, 90, "a+0x1", "<no file>+0x3")]
    assert timeline.times_left == 2


def test_to_enter_the_kernel_is_no_departure() -> None:
    timeline = _timeline([1, 6, 4, 6], [0.0] * 4)
    assert [(one.left, one.to) for one in timeline.departures] == [("[kernel] 0xf8", "<unmapped> 0x9")]


def test_a_departure_is_the_strangest_event_while_it_is_rare() -> None:
    once = _timeline([1, 2, 4, 1, 2], [9.0, 8.0, 3.0, 2.0, 1.0])
    assert [one.text for one in once.top(2)] == ["<unmapped> 0x9", "a+0x1"]
    assert once.highest == 9.0
    often = _timeline([1, 4] * 20, [9.0, 3.0] * 20)
    assert often.top(1)[0].text == "a+0x1"


def test_a_departure_stands_first_where_nobody_judged_it() -> None:
    nobody = float("nan")
    once = _timeline([1, 2, 4, 1, 2], [nobody, 8.0, nobody, nobody, 9.0])
    assert [one.text for one in once.top(3)] == ["<unmapped> 0x9", "a+0x2", "a+0x2"]
    assert (once.judged, once.highest) == (2, 9.0)


def test_departures_are_counted_beyond_those_that_are_kept() -> None:
    timeline = _timeline([1, 4] * 200, [0.0] * 400)
    assert timeline.times_left == 200
    assert len(timeline.departures) == MOST_DEPARTURES


@given(st.lists(st.floats(0, 30), min_size=1, max_size=4000), st.integers(1, 500))
def test_the_most_surprising_event_is_never_lost_and_memory_is_bounded(how: list[float], size: int) -> None:
    timeline = _timeline([1] * len(how), how, size)
    assert len(timeline.best) <= 2 * BINS
    assert timeline.highest == max(how)
    assert timeline.top(1)[0].event == 1 + int(np.argmax(how))
    assert timeline.mean == pytest.approx(np.mean(how))
    assert timeline.events == len(how)


def test_events_that_nobody_judged_take_no_part() -> None:
    timeline = _timeline([1, 2, 1, 2], [np.nan, 3.0, np.nan, 1.0])
    assert (timeline.judged, timeline.mean, timeline.events) == (2, 2.0, 4)


def test_runs_in_which_the_same_surprised_are_one_cluster() -> None:
    def run_of(*tokens: str) -> Timeline:
        places = {n: Place(n, n, one, one, "a", 9.0) for n, one in enumerate(tokens)}
        return Timeline("r", best=places)

    runs = [run_of("x", "y"), run_of("x", "y"), run_of("z"), Timeline("calm"), run_of("x", "y", "y")]
    assert clusters_of(runs, 5.0, eps=0.5, min_samples=2) == [0, 0, None, None, 0]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus with hijacked runs, and a run of a next-token detector on it."""
    root = tmp_path_factory.mktemp("timelines")
    simulate(root / "corpus", SimulateOptions(programs=3, recordings=6, kilobytes=4))
    plan = TrainingPlan(("next_ngram",), "next")
    run(
        registry.get("traces"),
        root / "corpus",
        root / "run",
        options=TraceOptions(sequence_len=8, tip_only=True),
        split=SplitOptions(split="random"),
        plan=plan,
        judge=JudgeOptions(resamples=100),
        engine=HERE,
    )
    return root / "corpus", root / "run"


def test_the_page_and_the_table_show_every_test_run(judged: tuple[Path, Path]) -> None:
    _, folder = judged
    found = draw_timelines(folder)
    page = found.page.read_text()
    assert "Content-Security-Policy" in page
    assert found.timelines
    for one in found.timelines:
        assert one.recording in page
        assert one.judged > 0
    benign = [one for one in found.timelines if one.truth == "benign"]
    assert benign
    assert all(one.times_left == 0 for one in benign)
    rows = list(csv.DictReader(found.places.read_text().splitlines()))
    assert {row["recording"] for row in rows} == {one.recording for one in found.timelines}
    assert sorted(-one.highest for one in found.timelines) == [-one.highest for one in found.timelines]
    with pytest.raises(OutputError, match="already exists"):
        draw_timelines(folder)
    assert checkpoint.load(folder / "next_ngram").detector.name == get("next_ngram").name


def test_raw_runs_are_drawn_as_test_runs_are(judged: tuple[Path, Path], tmp_path: Path) -> None:
    corpus, folder = judged
    tested = {one.recording: one for one in draw_timelines(folder, out=tmp_path / "test").timelines}
    raw = {one.recording: one for one in draw_timelines(folder, [corpus], tmp_path / "raw").timelines}
    assert len(raw) == 18 > len(tested) > 0
    for name, one in tested.items():
        assert raw[name].highest == one.highest
        assert raw[name].departures == one.departures
        assert raw[name].mean == pytest.approx(one.mean)
    assert any(one.times_left for one in raw.values())


def _long_names(tmp_path: Path) -> Outcome:
    timeline = _timeline([1, 3, 4], [1.0, 2.0, 3.0])
    timeline.recording, timeline.truth = "0123456789abcdef" * 4, "malicious"
    timeline.departures[0] = timeline.departures[0]._replace(left="a-browser-of-a-long-name.so.1.2+0x1234567")
    return Outcome([timeline], [0], None, tmp_path, tmp_path)


@pytest.mark.parametrize("columns", [40, 80, 120, 400])
def test_names_are_whole_however_narrow_the_terminal_is(tmp_path: Path, columns: int) -> None:
    found = _long_names(tmp_path)
    console = Console(width=columns, record=True, file=io.StringIO())
    console.print(tables.timelines(found, columns))
    cells = [line.split("│")[1:-1] for line in console.export_text().splitlines() if "│" in line]
    run, *_, where = ("".join(one).replace(" ", "") for one in zip(*cells, strict=True))
    assert run == found.timelines[0].recording
    assert where == "a-browser-of-a-long-name.so.1.2+0x1234567to<unmapped>0x9"


def test_a_pipe_gets_a_line_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    tables.show(tables.timelines(_long_names(tmp_path), tables.width()))
    (line,) = (one for one in capsys.readouterr().out.splitlines() if "malicious" in one)
    assert "a-browser-of-a-long-name.so.1.2+0x1234567 to <unmapped> 0x9" in line


def test_a_detector_of_chunks_shows_departures_it_did_not_judge(
    judged: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus, _ = judged
    run(
        registry.get("traces"),
        corpus,
        tmp_path / "run",
        options=TraceOptions(sequence_len=8, tip_only=True, sliding_window=False),
        split=SplitOptions(split="random"),
        plan=TrainingPlan(("next_ngram",), "next"),
        judge=JudgeOptions(resamples=100),
        engine=HERE,
    )
    found = draw_timelines(tmp_path / "run")
    rare = [one for one in found.timelines if 0 < one.times_left <= RARE]
    assert rare
    for one in rare:
        first = [place.event for place in one.top(one.times_left)]
        assert first == [gone.event for gone in one.departures]
    assert any(np.isnan(place.surprise) for one in rare for place in one.top(1))
    assert "not judged" in found.page.read_text()
    assert "nan" not in found.places.read_text()


def test_the_command_says_where_runs_left_all_modules(judged: tuple[Path, Path], tmp_path: Path) -> None:
    _, folder = judged
    told = CliRunner().invoke(app, ["traces", "timeline", str(folder), "-o", str(tmp_path)])
    assert told.exit_code == 0, told.output
    assert "timeline.html" in told.output.replace("\n", "")
    assert (tmp_path / "timeline.csv").is_file()


def test_the_verb_that_it_was_works_once_more_and_says_so(judged: tuple[Path, Path], tmp_path: Path) -> None:
    _, folder = judged
    told = CliRunner().invoke(app, ["traces", "strips", str(folder), "--out", str(tmp_path)])
    assert told.exit_code == 0, told.output
    assert "traces strips is now" in told.stderr
    assert "--out is now --output" in told.stderr
    assert (tmp_path / "timeline.csv").is_file()
