"""What a person meets: help at once, messages instead of tracebacks, named exit codes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.warm import vestige
from vestige import errors
from vestige.cli.main import VERBS, _asked_for, _hoist, app
from vestige.cli.options import parse_settings
from vestige.errors import UsageError


def test_help_names_every_verb_and_imports_no_torch() -> None:
    code = (
        "import sys; from vestige.cli.main import app; app(['--help'], standalone_mode=False); "
        "print([m for m in ('torch', 'polars', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    shown = vestige("--help")
    assert shown.returncode == 0
    assert len(VERBS) > 10
    assert [verb for verb in VERBS if f"  {verb} " not in shown.stdout] == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_is_called_is_looked_at_alone(verb: str) -> None:
    alone = _asked_for(["-l", "debug", "-q", verb, "train"])
    names = [each.name for each in alone.registered_commands]
    assert names + [each.name for each in alone.registered_groups] == [verb]


@pytest.mark.parametrize("arguments", [[], ["-h"], ["frobnicate", "run"], ["-l", "run"], ["--config", "run"]])
def test_where_no_verb_is_called_all_of_them_are_there(arguments: list[str]) -> None:
    assert _asked_for(arguments) is app


def test_a_verb_that_is_called_imports_no_other() -> None:
    code = (
        "import sys; from vestige.cli.main import _asked_for; _asked_for(['inspect', 'x']); "
        "print([name for name in ('dataset', 'watch', 'board') if f'vestige.cli.{name}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['dataset']\n"


def test_nobody_looks_for_garbage_while_a_command_is_imported_and_rarely_afterwards() -> None:
    code = (
        "import gc; import vestige.cli.main as main; before = gc.get_stats(); main.app; "
        "print(gc.get_stats() == before); "
        "print(gc.get_threshold()[0]); gc.collect(); print(gc.get_threshold()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "400000", "50000"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_to_paste(verb: str) -> None:
    sub = [verb, "logs"] if verb in {"preview", "learn", "run", "prepare", "simulate"} else [verb]
    shown = vestige(*sub, "--help")
    assert shown.returncode == 0
    assert f"Example: vestige {verb}" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["split", "no-such-dataset"], errors.DatasetError.exit_code, "not a prepared dataset"),
        (["score", "no-such-run", "x.log"], errors.UsageError.exit_code, "no-such-run"),
        (["evaluate", "no-such-run"], errors.CheckpointError.exit_code, "there is no such directory"),
        (["inspect", "."], errors.UsageError.exit_code, "neither a run nor a detector"),
        (["models", "-lloud"], errors.UsageError.exit_code, "unknown log level"),
        (["-l", "loud", "models"], errors.UsageError.exit_code, "unknown log level"),
        (["split", "x", "--fractions", "1,2,3"], errors.UsageError.exit_code, "--fractions: expected three"),
        (
            ["prepare", "logs", "no-such.log", "-o", "d", "--format", "bgl"],
            errors.EvidenceError.exit_code,
            "no-such",
        ),
        (["frobnicate"], 2, "No such command"),
        (["split", "x", "--task", "next"], 2, "No such option"),
        (["split"], 2, "Missing argument"),
        (["prepare", "logs", "x"], 2, "Missing option"),
        (["train", "x", "--epochs", "many"], 2, "error: --epochs: "),
        (["train", "x", "--precision", "8"], 2, "'8' is not one of 'auto', '32', '16', 'bf16'"),
        (["train", "x", "--task", "guess"], 2, "'guess' is not one of 'classify', 'next'"),
        (["train", "x", "--view", "all"], 2, "'all' is not one of 'realistic', 'oracle', 'both'"),
        (["validate", "x", "--fail-on", "bad"], 2, "error: --fail-on: 'bad' is not one of"),
        (
            ["prepare", "events", "x", "-o", "d", "--label-of", "me"],
            2,
            "'me' is not one of 'event', 'machine'",
        ),
    ],
)
def test_a_mistake_gets_advice_and_its_exit_code(
    tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    done = vestige(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback_wherever_it_stands(tmp_path: Path) -> None:
    done = vestige("split", "no-such-dataset", "--debug", cwd=tmp_path)
    assert "Traceback" in done.stderr
    assert done.returncode == errors.DatasetError.exit_code


def test_global_options_may_stand_anywhere() -> None:
    assert _hoist(["run", "logs", "x", "-l", "10", "--debug"]) == ["-l", "10", "--debug", "run", "logs", "x"]
    assert _hoist(["models", "-ldebug"]) == ["-ldebug", "models"]
    assert _hoist(["score", "--", "-l"]) == ["score", "--", "-l"]


def test_exit_codes_are_distinct() -> None:
    own = vars(errors).values()
    kinds: list[type[errors.VestigeError]] = [errors.VestigeError]
    kinds += [kind for kind in errors.VestigeError.__subclasses__() if kind in own]
    codes = [kind.exit_code for kind in kinds]
    assert len(set(codes)) == len(codes) > 8
    # A narrower error ends as the one that it is a case of.
    narrower = [(kind, case) for kind in kinds[1:] for case in kind.__subclasses__()]
    assert [case for kind, case in narrower if case.exit_code != kind.exit_code] == []


def test_settings_are_parsed_never_evaluated() -> None:
    parsed = parse_settings(["hidden=128", "gru.dropout=0.5", "wide=true", "name=__import__('os')"])
    assert parsed == {"hidden": 128, "gru.dropout": 0.5, "wide": True, "name": "__import__('os')"}
    with pytest.raises(UsageError, match="NAME=VALUE"):
        parse_settings(["hidden"])


def test_memory_that_runs_out_is_told_whichever_library_says_so() -> None:
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(1 << 60, np.uint8)
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(1 << 50)
    for raised in (of_numpy, of_torch):
        told = errors.out_of_memory(raised.value)
        assert told is not None
        assert (told.exit_code, told.what) == (12, "there is not enough memory")
    assert errors.out_of_memory(RuntimeError("shapes do not fit")) is None
    assert errors.out_of_memory(ValueError("no time in `kernel: Out of memory: killed 7`")) is None
    code = (
        "import sys; from vestige.cli import main, options\n"
        "def run_out(*_): raise MemoryError\n"
        "main.expanded = run_out; sys.argv = ['vestige', 'doctor']; main.run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "error: there is not enough memory\n  remedy" in done.stderr) == (12, True)


INTERRUPTED_EARLY = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "vestige.cli.help":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
sys.argv = ["vestige", "--version"]
from vestige.cli.start import main
main()
"""


@pytest.mark.parametrize(("ignored", "code", "said"), [(False, 130, "interrupted"), (True, 0, "")])
def test_ctrl_c_while_the_program_starts_is_answered_in_a_word(ignored: bool, code: int, said: str) -> None:
    def as_a_shell_does() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)

    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_EARLY],
        check=False, capture_output=True, text=True, preexec_fn=as_a_shell_does,
    )  # fmt: skip
    assert (done.returncode, done.stderr.strip()) == (code, said)
