"""Write docs/cli.md from the program's own help, the schemas in docs/reference/formats.md from its types, and
docs/reference/python.md from its docstrings.

Tests check that they are current and complete.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["COLUMNS"] = "110"
os.environ["TERM"] = "dumb"
os.environ["NO_COLOR"] = "1"

import typer
from pydantic import TypeAdapter
from typer.core import TyperGroup
from typer.testing import CliRunner

import vestige.errors
import vestige.training.errors
from vestige.cli.main import BUG, HUNG_UP, INTERRUPTED, TERMINATED, app
from vestige.errors import VestigeError
from vestige.simulators import registry as simulators
from vestige.sources import registry


def exit_codes() -> str:
    """The table of exit codes, from the classes of errors."""
    kinds = {
        kind
        for module in (vestige.errors, vestige.training.errors)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, VestigeError)
    }
    rows = [(kind.exit_code, (kind.__doc__ or "").partition("\n")[0]) for kind in kinds - {VestigeError}]
    rows += [
        (0, "Done; or whoever reads the output has enough, such as `head`."),
        (VestigeError.exit_code, "Anything else, such as a file that the system will not let us read."),
        (BUG, "An error of the program itself."),
        (INTERRUPTED, "Ctrl-C."),
        (
            HUNG_UP,
            "SIGHUP (a terminal that was closed), outside of a training: what was half-written is removed.",
        ),
        (TERMINATED, "SIGTERM, outside of a training: what was half-written is removed."),
    ]
    lines = [f"| {code} | {what} |" for code, what in sorted(rows)]
    return "\n".join(["## Exit codes", "", "| code | meaning |", "|---|---|", *lines, ""])


def calls(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command below `command`, itself first.

    Sources of other distributions are left out: what is installed beside the program is none of its docs.
    """
    yield path
    if isinstance(command, TyperGroup):
        context = typer.Context(command)
        foreign = {*registry.names(), *simulators.names()} - set(registry.BUILT_IN)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if name not in foreign and not found.hidden:
                yield from calls(found, (*path, name))


def render() -> str:
    """The whole page."""
    parts = ["# The command line\n\nMade from the program's own help by `make docs`; do not edit.\n"]
    for call in calls(typer.main.get_command(app)):
        result = CliRunner().invoke(app, [*call, "--help"], prog_name="vestige", terminal_width=110)
        if result.exit_code != 0:
            raise SystemExit(result.output)
        text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        parts.append(f"## {' '.join(['vestige', *call])}\n\n```\n{text}\n```\n")
    return "\n".join([*parts, exit_codes()])


PLACE = Path(__file__).parent
BEGIN = "<!-- made by make docs; do not edit below -->\n"


def described() -> list[tuple[str, str, Any]]:
    """What files hold: a title, a sentence, and the type that reads or writes them."""
    from vestige.checkpoint.header import Header
    from vestige.checkpoint.notes import Notes
    from vestige.evaluation.learnt import Learnt
    from vestige.evaluation.results import RunResults
    from vestige.runs.config import RunConfig
    from vestige.service.exceptions import Dismissal
    from vestige.service.incidents import Incident
    from vestige.splits.split import Split

    return [
        ("The header of a checkpoint", "`DETECTOR/model.json`, beside its weights.", Header),
        ("Notes of a checkpoint", "The key `notes` of the header.", Notes),
        ("A split", "`split.json`; `format` is `vestige-split/2`.", Split),
        ("A run's configuration", "`RUN/config.json`.", RunConfig),
        ("Results", "`RUN/metrics.json`.", RunResults),
        ("What was learnt without labels", "`DETECTOR/learnt.json`.", Learnt),
        ("An exception", "An entry of `STATE/exceptions.toml`.", Dismissal),
        ("An incident", "What a state keeps of one; its rows add `kind` and `state`.", Incident),
    ]


def schemas() -> str:
    """A section for each format, with its JSON Schema."""
    parts = []
    for title, sentence, kind in described():
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        # As files have it: Pydantic's title of every field would only say its name again.
        schema = _without_titles(adapter.json_schema(mode="serialization", by_alias=True))
        text = json.dumps(schema, indent=1, ensure_ascii=False)
        parts.append(f"## {title}\n\n{sentence}\n\n```json\n{text}\n```\n")
    return "\n".join(parts)


def _without_titles(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_titles(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def formats() -> str:
    """The page of formats: what people wrote above the mark, and the schemas below it."""
    written = (PLACE / "reference/formats.md").read_text(encoding="utf-8").partition(BEGIN)[0]
    return written + BEGIN + "\n" + schemas()


def documented() -> list[tuple[str, str, dict[str, Any]]]:
    """What others may build on: a title, a sentence, and names with what they stand for."""
    import vestige.sklearn
    from vestige import nn, testing
    from vestige.evidence.defects import Defect
    from vestige.models.base import Detector
    from vestige.reading.files import FileStream
    from vestige.reading.steps import Reader, StepBlock, StepStream
    from vestige.sources.base import Source

    def public(module: Any) -> dict[str, Any]:
        return {name: getattr(module, name) for name in module.__all__ if not name.startswith("_")}

    seams = (Source, Reader, StepStream, FileStream, StepBlock, Defect, Detector)
    return [
        (
            "vestige",
            "The verbs as functions. [From Python](../api.md) shows how they are used.",
            public(vestige),
        ),
        ("vestige.sklearn", "In scikit-learn's form.", {"LogDetector": vestige.sklearn.LogDetector}),
        ("vestige.testing", "The contracts, for the tests of what you add.", public(testing)),
        (
            "What sources and detectors are made of",
            "Write [a source](../how-to/write-a-source.md), [a detector](../how-to/write-a-detector.md).",
            {f"{kind.__module__}.{kind.__name__}": kind for kind in seams},
        ),
        ("vestige.nn", "Layers for PyTorch (extra `neural`).", public(nn)),
    ]


def python() -> str:
    """The page of public names, from their signatures and docstrings."""
    parts = ["# Names of Python\n\nMade from docstrings by `make docs`; do not edit.\n"]
    for title, sentence, names in documented():
        parts.append(f"## {title}\n\n{sentence}\n")
        for name, found in names.items():
            parts.append(f"### {name}\n\n{_told(found, name.rpartition('.')[2])}")
            if inspect.isclass(found):
                parts += [f"{told}\n" for told in _methods(found)]
    return "\n".join(parts)


def _methods(kind: type) -> Iterator[str]:
    """A line for each method and property that a class has of its own, with the first paragraph about it."""
    for name, found in vars(kind).items():
        if name.startswith("_") or not (about := inspect.getdoc(found)):
            continue
        first = " ".join(about.partition("\n\n")[0].split())
        if isinstance(found, property):
            yield f"- `{name}`: {first}"
        elif inspect.isroutine(found):
            inner = found.__func__ if isinstance(found, classmethod | staticmethod) else found
            yield f"- `{name}{_signature(inner)}`: {first}"


def _told(found: Any, name: str) -> str:
    """The signature and the docstring of a function or class."""
    about = inspect.getdoc(found) or ""
    call = "" if inspect.isclass(found) and issubclass(found, Exception) else _signature(found)
    return f"```python\n{name}{call}\n```\n\n```text\n{about}\n```\n"


def _signature(found: Any) -> str:
    """As it is written: `inspect` would put every annotation between quotes."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return "(...)"
    plain = inspect.Signature.empty
    written = []
    for each in signature.parameters.values():
        if each.name == "self":
            continue
        text = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "") + each.name
        if each.annotation is not plain:
            text += f": {_written(each.annotation)}"
        if each.default is not plain:
            text += f" = {each.default!r}"
        if each.kind is each.KEYWORD_ONLY and not any(one.startswith("*") for one in written):
            written.append("*")
        written.append(text)
    gives = "" if signature.return_annotation is plain else f" -> {_written(signature.return_annotation)}"
    return f"({', '.join(written)}){gives}"


def _written(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


if __name__ == "__main__":
    (PLACE / "cli.md").write_text(render(), encoding="utf-8")
    (PLACE / "reference/formats.md").write_text(formats(), encoding="utf-8")
    (PLACE / "reference/python.md").write_text(python(), encoding="utf-8")
