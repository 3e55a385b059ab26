"""Write docs/cli.md from the program's own help texts. A test checks that it is current."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["COLUMNS"] = "110"
os.environ["TERM"] = "dumb"
os.environ["NO_COLOR"] = "1"

from typer.testing import CliRunner

import vestige.errors
import vestige.training.errors
from vestige.cli.main import BUG, INTERRUPTED, VERBS, app
from vestige.errors import VestigeError
from vestige.sources import registry

OF_A_SOURCE = ("run", "prepare", "simulate")
GROUPS = {"traces": ["dump"]}


def exit_codes() -> str:
    """The table of exit codes, from the classes of errors."""
    kinds = {
        kind
        for room in (vestige.errors, vestige.training.errors)
        for kind in vars(room).values()
        if isinstance(kind, type) and issubclass(kind, VestigeError)
    }
    rows = [(kind.exit_code, (kind.__doc__ or "").partition("\n")[0]) for kind in kinds - {VestigeError}]
    rows += [
        (0, "Done; or whoever reads the output has enough, such as `head`."),
        (VestigeError.exit_code, "Anything else, such as a file that the system will not let us read."),
        (BUG, "An error of the program itself."),
        (INTERRUPTED, "Ctrl-C."),
    ]
    lines = [f"| {code} | {what} |" for code, what in sorted(rows)]
    return "\n".join(["## Exit codes", "", "| code | meaning |", "|---|---|", *lines, ""])


def render() -> str:
    """The whole page."""
    calls: list[list[str]] = [[]]
    for verb in VERBS:
        names = registry.BUILT_IN if verb in OF_A_SOURCE else GROUPS.get(verb, ())
        calls += [[verb, name] for name in names] or [[verb]]
    parts = ["# The command line\n\nMade from the program's own help by `make docs`; do not edit.\n"]
    for call in calls:
        result = CliRunner().invoke(app, [*call, "--help"], prog_name="vestige", terminal_width=110)
        if result.exit_code != 0:
            raise SystemExit(result.output)
        text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        parts.append(f"## {' '.join(['vestige', *call])}\n\n```\n{text}\n```\n")
    return "\n".join([*parts, exit_codes()])


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(render(), encoding="utf-8")
