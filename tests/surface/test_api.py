"""`import vestige`: light, with one list of names; evidence in any form, scores as a frame."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import vestige
from tests.surface.conftest import ODD, line
from vestige import TrainedDetector

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))
FIRST = ["time", "text", "score", "alert", "reasons"]


def test_importing_vestige_imports_nothing_heavy() -> None:
    heavy = ("numpy", "polars", "torch", "pydantic", "typer", "sklearn")
    code = f"import sys, vestige; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    assert len(vestige.__all__) > 8
    assert [name for name in vestige.__all__ if not hasattr(vestige, name)] == []
    assert [name for name in vestige.__all__ if f"`{name}" not in page and name != "__version__"] == [
        "Preview"
    ]
    assert dir(vestige) == sorted(vestige.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vestige.nothing  # noqa: B018


def test_lines_a_frame_and_a_file_are_scored_alike(
    detector: TrainedDetector, lines: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "new.log"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    of_lines, of_file = detector.score(lines), detector.score(str(file))
    of_frame = detector.score(pl.DataFrame({"number": range(len(lines)), "line": lines}))
    assert of_lines.columns[:5] == FIRST
    assert of_lines.schema["time"] == pl.Datetime("ns", "UTC")
    assert of_lines.height == 1500
    assert of_lines.equals(of_frame)
    same = ["time", "text", "score", "line", "offset"]
    assert of_lines.select(same).equals(of_file.select(same))
    texts = zip(of_lines["row"].to_list(), of_lines["text"].to_list(), strict=True)
    assert [row for row, text in texts if text.partition("\n")[0].split(" ")[-1] not in lines[row]] == []


def test_a_message_of_several_lines_is_one_row(detector: TrainedDetector, lines: list[str]) -> None:
    found = detector.score([*lines[:10], line(2000, ODD) + "\n   at a frame", line(2001, ODD)])
    assert found["row"].to_list()[-2:] == [10, 11]
    assert found["line"].to_list()[-2:] == [11, 13]


def test_what_was_never_there_alerts_with_reasons(detector: TrainedDetector, lines: list[str]) -> None:
    found = detector.score([*lines[-200:], line(2000, ODD)])
    alerts = found.filter("alert")
    assert ODD.partition(": ")[2] in alerts["text"].to_list()[-1]
    assert len(alerts["reasons"].to_list()[-1]) > 0
    only = detector.score([*lines[-200:], line(2000, ODD)], alerts_only=True)
    assert only.height == alerts.height


def test_a_detector_says_what_it_is(detector: TrainedDetector) -> None:
    assert (detector.name, detector.source) == ("normal", "logs")
    assert detector.learnt is not None
    assert detector.learnt.learn.windows > 500
    assert vestige.load(str(detector.path)) == detector


def test_evidence_is_read_into_a_frame(lines: list[str], tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    steps = vestige.read(file)
    assert steps.height == 1500
    assert steps["time"].is_sorted()
    assert steps["label"].is_null().all()
    looked = vestige.preview(file, limit=3)
    assert looked.steps.equals(steps.head(3))
    assert looked.summary["steps"] == 1500
    assert vestige.read(file, limit=0).columns == steps.columns


def test_a_run_and_its_detectors(tmp_path: Path) -> None:
    corpus = tmp_path / "logs"
    made = [
        sys.executable,
        "-m",
        "vestige",
        "simulate",
        "logs",
        str(corpus),
        "--messages",
        "3000",
        "--hosts",
        "5",
    ]
    subprocess.run(made, check=True, capture_output=True)
    results = vestige.run(
        corpus,
        tmp_path / "run",
        models=["gbt"],
        format="bgl",
        split="host",
        resamples=100,
        settings={"rounds": 5},
    )
    assert [model.name for model in results.models] == ["gbt"]
    again = vestige.evaluate(tmp_path / "run", resamples=200)
    assert isinstance(again, type(results))
    assert again.models[0].macro_f1.estimate == results.models[0].macro_f1.estimate
    compared = vestige.compare(tmp_path / "run", resamples=100)
    assert compared.contenders[0].figure.estimate == pytest.approx(results.models[0].macro_f1.estimate)
    best = vestige.load(tmp_path / "run")
    ranked = [found.name for found in results.ranked]
    assert (best.path.name, len(ranked) > 1) == (ranked[0], True)
    found = vestige.load(tmp_path / "run" / "gbt").score(corpus)
    assert (found.filter("alert")["reasons"].list.len() > 0).any()
    assert found.columns[:5] == FIRST
    assert found["most_probable_class"].unique().sort().to_list() == ["anomaly", "normal"]
    assert np.isin(found["alert"].to_numpy(), [True, False]).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda path: vestige.read(path, nonsense=1), "nonsense"),
        (lambda path: vestige.run(path, "x", nonsense=1), "no option 'nonsense'"),
        (lambda path: vestige.run(path, "x", batch_size=0), "batch_size"),
        (vestige.load, "neither a run nor a detector"),
        (lambda _: vestige.learn(["a"], "x", "traces"), "traces cannot be read from list"),
        (lambda _: vestige.learn([1], "x"), "line 0 is no str but int"),  # type: ignore[list-item]
        (lambda _: vestige.learn(pl.DataFrame({"a": ["x"], "b": ["y"]}), "x"), "which column"),
        (lambda _: vestige.learn([], "x"), "there are no lines"),
        (lambda _: vestige.learn(7, "x"), "evidence that is int"),  # type: ignore[arg-type]
        (lambda _: vestige.learn("", "x"), "the path is empty"),
        (lambda _: vestige.read(""), "the path is empty"),
        (lambda path: vestige.read(path, limit=-1), "at least 0"),
        (lambda path: vestige.evaluate(path, read={"format": "bgl"}), "`read` says"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(call: object, says: str, tmp_path: Path) -> None:
    assert callable(call)
    with pytest.raises(vestige.VestigeError, match=says) as refusal:
        call(tmp_path)
    assert refusal.value.remedy


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_from_its_first_cell_to_its_last(notebook: Path, tmp_path: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 3
    # What a cell shows is its last expression: the last two show what was found.
    code[-2:] = [
        piece.rsplit("\n", 1)[0] + "\nprint(len(" + piece.rsplit("\n", 1)[1] + "))" for piece in code[-2:]
    ]
    script = tmp_path / "notebook.py"
    script.write_text("\n".join(code), encoding="utf-8")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [int(shown) >= 1 for shown in done.stdout.split()] == [True, True]
