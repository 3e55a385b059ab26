"""What a person types: a change of a name is seen in review, and one thing is called one way everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli import surface
from vestige.cli.main import app
from vestige.cli.renamed import POSITIONAL, RenamedOptions, current_names
from vestige.errors import DatasetError, UsageError, VestigeError

COMMANDS = dict(surface.commands())
OLD = {"--out": "--output", "--evidence": POSITIONAL}


def test_no_name_changes_unseen() -> None:
    said = "after a change that is meant: python -m tests.cli.surface"
    assert surface.render() == surface.GOLDEN.read_text(encoding="utf-8"), said


def test_the_tree_goes_down_to_the_sources_and_the_traces() -> None:
    assert {"vestige", "vestige run logs", "vestige traces timeline", "vestige doctor"} <= set(COMMANDS)
    assert len(COMMANDS) > 25


def test_an_output_is_called_the_same_everywhere() -> None:
    named = {name: names for name, command in COMMANDS.items() for names in surface.options(command)
             if {"-o", "--out", "--output"} & set(names)}  # fmt: skip
    assert len(named) >= 12
    assert {name: names for name, names in named.items() if names != ["-o", "--output"]} == {}


def test_evidence_has_no_name_anywhere() -> None:
    taking = [name for name, command in COMMANDS.items() if "evidence" in surface.arguments(command)]
    of_sources = [
        f"vestige {verb} {source}"
        for verb in ("preview", "learn")
        for source in ("logs", "events", "telemetry", "traces")
    ]
    others = [
        "vestige learn --again",
        "vestige score",
        "vestige watch",
        "vestige dashboard",
        "vestige triage",
        "vestige traces timeline",
    ]
    assert sorted(taking) == sorted([*of_sources, *others])
    named = [names for command in COMMANDS.values() for names in surface.options(command)]
    assert len(named) > 100
    assert [names for names in named if "--evidence" in names] == []


@pytest.mark.parametrize(
    ("given", "meant", "told"),
    [
        (["a", "--out", "b"], ["a", "--output", "b"], 1),
        (["a", "--out=b", "--outer"], ["a", "--output=b", "--outer"], 1),
        (["--evidence", "-", "run", "--evidence=-b", "-o", "x"], ["run", "-o", "x", "--", "-", "-b"], 2),
        (["run", "--evidence", "a", "--", "--out"], ["run", "--", "--out", "a"], 1),
        (["run", "a", "-o", "x"], ["run", "a", "-o", "x"], 0),
    ],
)
def test_old_names_mean_the_new_ones(
    given: list[str], meant: list[str], told: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert current_names(given, OLD) == meant
    assert capsys.readouterr().err.count("deprecated: ") == told


def test_a_value_that_is_missing_is_told() -> None:
    with pytest.raises(UsageError, match="--evidence: a value is missing"):
        current_names(["run", "--evidence"], OLD)


@pytest.mark.parametrize(
    ("asked", "refusal", "what"),
    [
        (["split", "none", "--out", "x.json"], DatasetError, ""),
        (["train", "none", "--split", "x.json", "--out", "x"], VestigeError, ""),
        (["triage", "--evidence", "x.log", "none"], UsageError, "neither a run nor a detector"),
        (["traces", "strips", "none", "--out", "x"], UsageError, "neither a run nor a detector"),
    ],
)
def test_a_command_with_an_old_name_goes_as_far_as_with_the_new_one(
    asked: list[str], refusal: type[VestigeError], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, asked)
    assert isinstance(done.exception, refusal), done.output
    assert what in str(done.exception)
    assert "deprecated: " in done.stderr


def test_old_names_are_not_shown() -> None:
    renamed = {name: command for name, command in COMMANDS.items() if isinstance(command, RenamedOptions)}
    assert len(renamed) >= 12
    for name in renamed:
        shown = CliRunner().invoke(app, [*name.split()[1:], "--help"]).output.split()
        assert "--help" in shown
        assert not {"--out", "--evidence"} & set(shown)
    assert "strips" not in CliRunner().invoke(app, ["traces", "--help"]).output


@pytest.mark.parametrize(("source", "own"), [("logs", "or template"), ("events", "or event")])
def test_the_help_of_a_source_names_the_recipes_that_it_alone_has(source: str, own: str) -> None:
    shown = " ".join(CliRunner().invoke(app, ["run", source, "--help"]).output.split())
    assert f"recipe: time, host, sample, profile, random, {own} (default" in shown
