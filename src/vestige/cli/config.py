"""`--config FILE`: options of a command from a TOML file, such as the `run.toml` that every run writes.

A key is the name of an option (`batch-size` or `batch_size`) or of an argument (`source`, `corpus`). Lists
are for options that may be repeated, and the table `set` for hyper-parameters. What is typed counts for more
than the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from vestige.errors import UsageError

OPTION = "--config"
SOURCE = "source"
LARGEST = 1 << 20


def expanded(arguments: list[str], root: Any) -> list[str]:
    """The line as if everything that its `--config FILE` holds had been typed; as it is without one.

    `root` is the command line's group. Raises UsageError, naming the file and the key, for what no option is.
    """
    file, typed = _taken(arguments)
    if file is None:
        return arguments
    if not typed or typed[0].startswith("-"):
        raise UsageError(f"{OPTION} stands after a verb", remedy=f"such as: vestige run {OPTION} {file}")
    given = _read(file)
    verb, *rest = typed
    words = [verb]
    context = typer.Context(root)
    command = root.get_command(context, verb)
    if command is None:
        return typed  # what is no verb is told by whoever looks for it
    if hasattr(command, "list_commands"):
        source = given.pop(SOURCE, None)
        if rest and not rest[0].startswith("-"):
            source = rest.pop(0)
        if not isinstance(source, str):
            raise UsageError(f"no {SOURCE}", where=file, remedy=f'add a line such as {SOURCE} = "logs"')
        words.append(source)
        command = command.get_command(context, source)
        if command is None:
            return [*words, *rest]
    return [*words, *_from_file(command, given, rest, file, " ".join(words)), *rest]


def _from_file(command: Any, given: dict[str, Any], rest: list[str], file: Path, called: str) -> list[str]:
    """The arguments and options that a file gives to a command, but for those that are typed (`rest`)."""
    by_name = _parameters(command)
    unknown = [name for name in given if name.replace("-", "_") not in by_name]
    if unknown:
        names = ", ".join(sorted({param.name for param in by_name.values()}))
        raise UsageError(f"{unknown[0]} is no option of {called}", where=file, remedy=f"one of: {names}")
    wanted = {by_name[name.replace("-", "_")].name: value for name, value in given.items()}
    positional, options = [], []
    for param in command.params:
        if param.name not in wanted:
            continue
        value = wanted[param.name]
        if param.param_type_name != "argument":
            if not _is_typed(param, rest):
                options += list(_written(param, value, file))
        elif not rest or rest[0].startswith("-"):
            positional += [str(item) for item in (value if isinstance(value, list) else [value])]
    return [*positional, *options]


def _taken(arguments: list[str]) -> tuple[Path | None, list[str]]:
    """The file that `--config` names, and the line without it."""
    typed: list[str] = []
    file = None
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if argument == "--":
            typed += [argument, *waiting]
        elif name == OPTION:
            named = value if equals else next(waiting, None)
            if not named:
                raise UsageError(f"{OPTION}: a file is missing", remedy=f"{OPTION} run.toml")
            file = Path(named)
        else:
            typed.append(argument)
    return file, typed


def _read(file: Path) -> dict[str, Any]:
    """What a TOML file holds. Raises UsageError where it cannot be read."""
    try:
        with file.open("rb") as content:
            data = content.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise UsageError(f"is larger than any list of options ({LARGEST >> 20} MiB)", where=file)
        return tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot be read ({error.strerror})",
            where=file,
            remedy="give a file of options, such as the run.toml that every run writes",
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(
            f"is no TOML ({error})", where=file, remedy='lines such as split = "host", model = ["gbt"]'
        ) from error


def _parameters(command: Any) -> dict[str, Any]:
    """The parameters of a command by every name that a file may call them."""
    found: dict[str, Any] = {}
    for param in command.params:
        for name in (param.name, *(opt.lstrip("-") for opt in param.opts if opt.startswith("--"))):
            found[name.replace("-", "_")] = param
    return found


def _is_typed(param: Any, typed: list[str]) -> bool:
    """Whether a line names an option, so that the file's value does not count."""
    for word in typed:
        if word == "--":
            return False
        for name in (*param.opts, *param.secondary_opts):
            short = not name.startswith("--") and word.startswith(name)
            if word == name or word.startswith(f"{name}=") or short:
                return True
    return False


def _written(param: Any, value: Any, file: Path) -> Iterator[str]:
    """An option as it is typed. Raises UsageError for a value that it cannot have."""
    flag = max(param.opts, key=len)
    if isinstance(value, dict) and flag == "--set":
        value = [f"{name}={_plain(item)}" for name, item in _flat(value)]
    if param.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{param.name}: expected true or false, not {value!r}", where=file)
        if value:
            yield flag
        elif param.secondary_opts:
            yield param.secondary_opts[0]
        return
    items = value if isinstance(value, list) else [value]
    if len(items) > 1 and not param.multiple:
        raise UsageError(f"{param.name}: one value, not {len(items)}", where=file)
    for item in items:
        if isinstance(item, bool | dict | list):
            raise UsageError(f"{param.name}: {item!r} is no value for it", where=file)
        yield f"{flag}={item}"


def _flat(table: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """`[set.gru] hidden = 8` and `"gru.hidden" = 8` alike."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
