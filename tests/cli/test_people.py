"""The command line as people expect it: common options first, quiet when asked, JSON for programs, narrow
terminals, `NO_COLOR`, and a file of options that repeats a run."""

from __future__ import annotations

import json
import logging
import os
import pty
from pathlib import Path

import pytest
import typer
from rich.table import Table
from typer.core import TyperGroup
from typer.testing import CliRunner

from tests.cli import surface
from tests.terminal import everything
from tests.warm import Program, vestige
from vestige import log
from vestige.cli import tables
from vestige.cli.config import expanded
from vestige.cli.help import COMMON, FIRST
from vestige.cli.main import app
from vestige.errors import EvidenceError, UsageError, VestigeError
from vestige.models import registry
from vestige.runs.config import RunConfig
from vestige.sources.logs.corpora import rules_for
from vestige.sources.logs.options import LogOptions

COMMANDS = {name: command for name, command in surface.commands() if not isinstance(command, TyperGroup)}
RUN = """
source = "logs"
corpus = "raw"
output = "out"
model = ["gbt", "gru"]
batch-size = 64
class_weights = false
resume = false
set = { hidden = 8, "gru.dropout" = 0.5, wide = true }
"""


def on_a_terminal(*arguments: str, columns: int = 80, **variables: str) -> str:
    """What a command shows on a terminal, standard output and error together."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS"}}
    environment |= {"TERM": "xterm-256color", "COLUMNS": str(columns), **variables}
    with Program(arguments, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        return everything(ours)


# Help


def test_help_has_a_short_name_and_common_options_first() -> None:
    long, short = vestige("run", "logs", "--help"), vestige("run", "logs", "-h")
    assert long.returncode == 0
    assert short.stdout == long.stdout
    first = long.stdout.partition(f"{FIRST}:\n")[2].partition("\n\n")[0]
    named = [line.split()[-2 if "," in line else 0] for line in first.splitlines() if line[2:3] == "-"]
    assert 5 < len(named) <= 10
    assert "--output" in first
    assert (
        long.stdout.index(FIRST)
        < long.stdout.index("How the evidence is read")
        < long.stdout.index("--epochs")
    )


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            [],
            "triage Cluster alerts that were explained alike, so that tens are labelled, not thousands.",
        ),
        (["run"], "traces The whole job on traces: prepare, split, train, evaluate, write the report."),
        (
            ["traces"],
            "dump List the packets of a trace, errors and where decoding went on included. timeline",
        ),
    ],
)
def test_a_list_of_commands_says_of_each_in_whole_what_it_does(asked: list[str], says: str) -> None:
    told = " ".join(CliRunner(env={"COLUMNS": "80"}).invoke(app, [*asked, "-h"]).stdout.split())
    commands = told.partition("Commands:")[2]
    assert (says in commands, "..." in commands) == (True, False)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_stands_in_the_help_once_and_few_are_common(name: str) -> None:
    command = COMMANDS[name]
    context = typer.Context(command, info_name=name, terminal_width=200, max_content_width=200)
    lines = command.get_help(context).partition("ptions:\n")[2].splitlines()
    for names in surface.options(command):
        heads = [
            line.strip().partition("  ")[0].replace(",", " ").split() for line in lines if line[2:3] == "-"
        ]
        shown = [head for head in heads if names[-1] in head]
        assert len(shown) == 1, names
    assert sum(param.name in COMMON for param in command.params if param.param_type_name == "option") <= 10


# Quiet, and plain


def test_quiet_leaves_results_and_warnings(tmp_path: Path) -> None:
    made = ["simulate", "logs", str(tmp_path / "logs"), "--messages", "2000", "--hosts", "2"]
    assert vestige(*made).returncode == 0
    prepare = ["prepare", "logs", str(tmp_path / "logs"), "--label", "none", "-j", "1", "-o"]
    loud, quiet = vestige(*prepare, str(tmp_path / "a")), vestige(*prepare, str(tmp_path / "b"), "-q")
    assert loud.returncode == quiet.returncode == 0
    assert "recordings" in quiet.stdout
    assert [line for line in quiet.stderr.splitlines() if "warning: " not in line] == []


@pytest.mark.parametrize("arguments", [["models"], ["models", "-lloud"], ["doctor"], ["run", "logs", "-h"]])
def test_no_color_means_not_one_escape(arguments: list[str]) -> None:
    shown = on_a_terminal(*arguments, NO_COLOR="1")
    assert len(shown) > 50
    assert "\x1b" not in shown


def test_a_terminal_without_no_color_has_styles() -> None:
    assert "\x1b[" in on_a_terminal("models")


def test_a_log_line_is_one_line_with_a_short_time(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    logging.getLogger("vestige.test").info("word " * 40)
    logging.getLogger("vestige.test").warning("\x1b[31m [bold]red[/bold] :smile:")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("word word word ")
    assert first[8] == " "
    assert first.count(":") == 2
    assert second[8:] == " warning: \\x1b[31m [bold]red[/bold] :smile:"


# Tables


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_names_of_models_are_whole_on_narrow_terminals(columns: int) -> None:
    shown = vestige("models", env={**os.environ, "COLUMNS": str(columns)}).stdout
    assert [name for name in registry.names() if f" {name} " not in shown] == []
    assert ("a wider terminal also shows: takes" in shown) == (columns == 60)


def test_columns_go_from_the_right_and_texts_are_folded_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table()
    table.add_column("name")
    table.add_column("text", overflow="fold")
    for name in ("first", "second"):
        table.add_column(name, no_wrap=True)
    table.add_row("a" * 20, "b" * 50, "1" * 10, "2" * 10)
    monkeypatch.setenv("COLUMNS", "70")
    tables.show(table)
    assert "wider" not in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "54")
    tables.show(table)
    shown = capsys.readouterr().out
    assert "a" * 20 in shown
    assert shown.endswith("a wider terminal also shows: second\n")
    tables.show(table, least=("first",))
    assert capsys.readouterr().out.endswith("a wider terminal also shows: first\n")
    assert len(table.columns) == 4


# JSON


def test_models_and_doctor_tell_programs() -> None:
    models = json.loads(vestige("models", "--json").stdout)["models"]
    assert [row["name"] for row in models if row["baseline"]] != []
    assert sorted(row["name"] for row in models) == registry.names()
    doctor = json.loads(vestige("doctor", "--json").stdout)
    assert doctor["missing"] == []
    assert set(doctor["extras"]) >= {"neural", "dashboard"}


def test_inspect_and_evaluate_tell_programs(finished: Path) -> None:
    run = json.loads(vestige("inspect", str(finished), "--json").stdout)
    assert run["kind"] == "run"
    assert run["results"]["detectors"] != []
    detector = json.loads(vestige("inspect", str(finished / run["config"]["models"][0]), "--json").stdout)
    assert detector["kind"] == "detector"
    dataset = json.loads(vestige("inspect", str(finished / "dataset"), "--json").stdout)
    assert dataset["windows"] > 0


# A file of options


def read(text: str, folder: Path, *typed: str) -> list[str]:
    file = folder / "run.toml"
    file.write_text(text, encoding="utf-8")
    return expanded(["run", *typed, "--config", str(file)], typer.main.get_command(app))


def test_a_file_stands_for_what_would_be_typed(tmp_path: Path) -> None:
    found = read(RUN, tmp_path)
    assert found[:3] == ["run", "logs", "raw"]
    assert sorted(found[3:]) == sorted(
        ["--output=out", "--model=gbt", "--model=gru", "--batch-size=64", "--no-class-weights",
         "--set=hidden=8", "--set=gru.dropout=0.5", "--set=wide=true"]
    )  # fmt: skip


def test_what_is_typed_counts_for_more(tmp_path: Path) -> None:
    typed = ["other", "-o", "there", "--model=gbt", "-b", "8"]
    found = read(RUN, tmp_path, "logs", *typed)
    assert found[:2] == ["run", "logs"]
    assert found[-len(typed) :] == typed
    assert sorted(found[2 : -len(typed)]) == sorted(
        ["--no-class-weights", "--set=hidden=8", "--set=gru.dropout=0.5", "--set=wide=true"]
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("source = ", "is no TOML"),
        ("corpus = 'x'", "no source"),
        ("source = 'logs'\nnonsense = 1", "nonsense is no option of run logs"),
        ("source = 'logs'\nsplit = ['a', 'b']", "split: one value, not 2"),
        ("source = 'logs'\nresume = 'yes'", "resume: expected true or false"),
        ("source = 'logs'\nsplit = true", "split: True is no value"),
        ("\0", "is no TOML"),
        ("a = " + "[" * 100_000, "is no TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says) as refusal:
        read(text, tmp_path)
    assert refusal.value.where == tmp_path / "run.toml"


def test_a_file_that_is_not_there_or_stands_before_the_verb(tmp_path: Path) -> None:
    done = vestige("run", "--config", str(tmp_path / "none.toml"))
    assert done.returncode == UsageError.exit_code
    assert "No such file" in done.stderr
    done = vestige("--config", "x.toml", "run")
    assert done.returncode == UsageError.exit_code
    assert "stands after a verb" in done.stderr


def test_every_run_writes_the_file_that_repeats_it(finished: Path) -> None:
    file = finished / "run.toml"
    config = RunConfig.load(finished)
    found = expanded(["run", "--config", str(file), "-o", "x"], typer.main.get_command(app))
    assert found[:3] == ["run", config.source, config.corpus]
    asked = {word.partition("=")[0]: word.partition("=")[2] for word in found[3:]}
    assert asked["--split"] == config.split_options.split
    assert asked["--epoch-windows"] == str(config.training.epoch_windows)
    assert asked["--threshold"] == config.judge.threshold


def test_a_text_of_toml_comes_back_as_it_was(tmp_path: Path, finished: Path) -> None:
    odd = 'a "b"\\ \x1b[31m\n\u202e[x] = é'
    config = RunConfig.load(finished).model_copy(update={"corpus": odd, "options": {"format": "\udcff"}})
    text = config.to_toml(("gbt",))
    assert "\x1b" not in text
    assert read(text, tmp_path)[2] == odd
    assert "# format: not written, because it is no text" in text


# Messages


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        ('masks = ["ipv4"]', "'ipv4' is no name of a mask.*perhaps 'ip' is meant.; known are url, email"),
        ('masks = ["paht"]', "no mask 'paht' .perhaps 'path' is meant.; known are url"),
        ('masks = ["ip"]\nmask = { mine = "x+" }', "the mask 'mine' is not used"),
    ],
)
def test_masks_that_are_wrong_are_named(masks: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(f'header = "<Content>"\n{masks}\nexample = ["a"]\n', encoding="utf-8")
    with pytest.raises(VestigeError, match=says):
        rules_for(LogOptions(format=str(file)))


def test_a_shell_completes_verbs_and_options() -> None:
    words = {**os.environ, "_VESTIGE_COMPLETE": "complete_bash"}
    verb = vestige(env=words | {"COMP_WORDS": "vestige insp", "COMP_CWORD": "1"})
    assert verb.stdout.split() == ["inspect"]
    option = vestige(env=words | {"COMP_WORDS": "vestige run logs --thre", "COMP_CWORD": "3"})
    assert option.stdout.split() == ["--threads", "--threshold"]


@pytest.mark.parametrize("verb", ["audit", "tune"])
def test_required_options_come_among_the_first(verb: str) -> None:
    shown = CliRunner().invoke(app, [verb, "--help"]).output
    first, _, others = shown.partition("More options:")
    required = first.count("[required]") + others.count("[required]")
    assert required
    assert "[required]" not in others


def test_a_watch_of_nothing_that_is_there_is_no_success(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["watch", str(tmp_path), str(tmp_path / "typo"), "--once"])
    assert isinstance(done.exception, EvidenceError)
    assert "check the path" in done.exception.remedy


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["run", "logs", ".", "-o", "x", "--resamples", "50"], "--resamples: must be at least 100, not 50"),
        (
            ["run", "logs", ".", "-o", "x", "--window-size", "two"],
            "--window-size: must be a whole number, not 'two'",
        ),
        (
            ["run", "logs", ".", "-o", "x", "-m", "gbt", "--set", "rounds=0"],
            "gbt: rounds must be at least 1, not 0",
        ),
    ],
)
def test_a_value_that_an_option_does_not_take_is_told_in_words(typed: list[str], says: str) -> None:
    done = vestige(*typed)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr


def test_what_numbers_an_option_takes_is_in_its_help() -> None:
    told = " ".join(CliRunner(env={"COLUMNS": "110"}).invoke(app, ["run", "logs", "-h"]).stdout.split())
    assert "bootstrap resamples of the intervals [x>=100]" in told
    assert "[x>=0, x<1]" in told  # of --warmup
    assert "e+" not in told


def test_an_empty_argument_is_not_the_working_directory() -> None:
    done = vestige("score", "normal", "")
    assert (done.returncode, "an argument is empty" in done.stderr) == (2, True)


def test_what_may_not_be_read_is_no_question_of_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever runs the tests may be allowed to read everything.
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    done = CliRunner().invoke(app, ["preview", "logs", str(tmp_path)])
    assert isinstance(done.exception, UsageError)
    assert "is not readable" in done.exception.what
    assert "permission" in done.exception.remedy


@pytest.mark.parametrize(
    ("typed", "says", "remedy"),
    [
        ("lgos", "no kind of evidence called 'lgos'", "vestige learn logs"),
        ("network", "no kind of evidence called 'network'", "events, logs, telemetry, traces"),
        ("/var/log", "/var/log stands where the kind of evidence is named", "vestige learn logs /var/log"),
    ],
)
def test_the_kind_of_evidence_is_asked_for(typed: str, says: str, remedy: str, tmp_path: Path) -> None:
    done = vestige("learn", typed, "-o", str(tmp_path / "d"))
    assert (done.returncode, done.stdout) == (UsageError.exit_code, "")
    first, second = done.stderr.splitlines()
    assert says in first
    assert remedy in second


def test_what_is_not_there_or_holds_nothing_says_what_is_wanted(tmp_path: Path) -> None:
    missing = vestige("learn", "logs", str(tmp_path / "nowhere"), "-o", str(tmp_path / "d"))
    (tmp_path / "empty").mkdir()
    empty = vestige("learn", "logs", str(tmp_path / "empty"), "-o", str(tmp_path / "d"))
    for done in (missing, empty):
        assert done.returncode == EvidenceError.exit_code
        assert "remedy: give a file, or a directory that holds some" in done.stderr
