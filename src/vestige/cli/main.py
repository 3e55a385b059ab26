"""`vestige`: the command line. Errors become messages and exit codes here, and nowhere else."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from vestige import __version__, log, storage
from vestige.checked import refused
from vestige.cli.config import expanded
from vestige.cli.help import App, Group
from vestige.errors import INTERRUPTED, OutputError, UsageError, VestigeError, out_of_memory
from vestige.escaping import visible_lines

TERMINATED, HUNG_UP, BUG = 143, 129, 70
GLOBAL = {"-l", "--log-level"}

VERBS = {
    "preview": "preview",
    "learn": "learn",
    "run": "experiment",
    "prepare": "dataset",
    "split": "dataset",
    "train": "experiment",
    "evaluate": "experiment",
    "tune": "tune",
    "compare": "compare",
    "audit": "audit",
    "board": "board",
    "score": "scoring",
    "watch": "watch",
    "incidents": "feedback",
    "dismiss": "feedback",
    "confirm": "feedback",
    "dashboard": "dashboard",
    "triage": "triage",
    "simulate": "simulate",
    "validate": "validate",
    "inspect": "dataset",
    "traces": "traces",
    "models": "about",
    "export": "export",
    "doctor": "about",
}
"""Every verb, in the order in which one meets them, and the module that has it."""


ABOUT = "Find attacks in the traces they leave on a host: raw evidence in, an honestly judged detector out."


class CtrlCError(Exception):
    """Ctrl-C, in a form that the parser of the command line does not swallow."""


class NoReaderError(Exception):
    """Who read our output has enough, as in `vestige score ... | head`."""


class InOrder(Group):
    """Verbs in the order in which one meets them."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb; what Typer would turn into silent exits of its own comes out as our exceptions."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise CtrlCError from error
        except BrokenPipeError as error:
            raise NoReaderError from error
        except typer.BadParameter as error:
            if error.param is None or not error.message:
                raise  # something is missing: Typer shows how the command is called
            message = error.message
            if isinstance(error.__cause__, ValidationError):  # Typer has Pydantic look at values
                _, message = refused(error.__cause__)
            option = error.param.opts[-1]
            remedy = "see --help for what it takes"
            if message.endswith("is not readable."):
                remedy = "ask whoever owns it for the permission to read it"
            raise UsageError(f"{option}: {message}", remedy=remedy) from error

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs by `VERBS`."""
        order = list(VERBS)
        return sorted(super().list_commands(ctx), key=order.index)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vestige {__version__}")
        raise typer.Exit


def _globals(
    log_level: Annotated[
        str, typer.Option("-l", "--log-level", help="10..50, or debug, info, warning, error, critical")
    ] = "20",
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="show results, warnings and errors, but no progress")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="after a verb: take its options from this TOML file; what is typed counts for more",
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of an error")] = False,  # noqa: ARG001
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", help="print the version", callback=_version, is_eager=True)
    ] = False,
) -> None:
    if config is not None:
        # After a verb it was replaced by what it holds before anything was parsed.
        raise UsageError("--config stands after a verb", remedy=f"such as: vestige run --config {config}")
    level = log.parse_level(log_level)
    if quiet:
        level = max(level, log.LEVELS["warning"])
    log.configure(level)


def _application(modules: Iterable[str]) -> App:
    """An application with the verbs of these modules."""
    made = App(
        name="vestige",
        cls=InOrder,
        context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]},
        help=ABOUT,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    made.callback()(_globals)
    for module in modules:
        import_module(f"vestige.cli.{module}").register(made)
    return made


@functools.cache
def _whole() -> App:
    return _application(dict.fromkeys(VERBS.values()))


def __getattr__(name: str) -> App:
    """`app`, the application with all verbs, is made when somebody asks for it: a verb that is called needs
    no more than its own module."""
    if name == "app":
        return _whole()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def run() -> None:
    """The console script: run the command, turn what it raises into a message and an exit code."""
    _occupy_descriptors()
    if sys.stdout is None:
        _fail(
            "error: standard output is closed: what is found could not be told\n  remedy: redirect it to a "
            "file, or to /dev/null",
            OutputError.exit_code,
            debug=False,
        )
    debug = "--debug" in sys.argv[1:]
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` has it ignored
        signal.signal(signal.SIGHUP, _terminate)
    try:
        if "" in sys.argv[1:]:  # as a path it would be the working directory
            raise UsageError("an argument is empty", remedy="is a variable of the shell not set?")
        arguments = _hoist(sys.argv[1:])
        command = typer.main.get_command(_asked_for(arguments))
        flags = next((at for at, each in enumerate(arguments) if each in VERBS), len(arguments))
        command(args=arguments[:flags] + expanded(arguments[flags:], command), prog_name="vestige")
    except VestigeError as error:
        _fail(f"error: {error}", error.exit_code, debug)
    except (KeyboardInterrupt, CtrlCError):
        _fail("interrupted", INTERRUPTED, debug)
    except NoReaderError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever comes here is our own fault
        if (refused := storage.refusal(error)) is not None:  # a full disk, also as Polars tells it
            _fail(f"error: {refused}", refused.exit_code, debug)
        if (short := out_of_memory(error)) is not None:
            _fail(f"error: {short}", short.exit_code, debug)
        if isinstance(error, OSError):
            _fail(f"error: {error.filename or 'input or output'}: {error.strerror or error}", 1, debug)
        kind = type(error).__name__
        _fail(
            f"error: internal error ({kind}: {error})\n  remedy: run again with --debug and report it",
            BUG,
            debug,
        )


def _asked_for(arguments: list[str]) -> App:
    """The application with no more than the verb that is called: to import all of them, and to look at their
    options, takes longer than many a verb does. Where none is called, or something else stands there, all of
    them."""
    at = 0
    while at < len(arguments) and (arguments[at] in GLOBAL or _holds_its_value(arguments[at])):
        at += 1 + (arguments[at] in GLOBAL)
    if at >= len(arguments) or arguments[at] not in VERBS:
        return _whole()
    alone = _application([VERBS[arguments[at]]])
    alone.registered_commands = [each for each in alone.registered_commands if each.name == arguments[at]]
    alone.registered_groups = [each for each in alone.registered_groups if each.name == arguments[at]]
    return alone


def _occupy_descriptors() -> None:
    """Put /dev/null where standard input, output or errors were closed: a file that is opened later would
    take their number, and get what is meant for them."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)


def _terminate(number: int, frame: object) -> NoReturn:  # noqa: ARG001
    """Leave as if by an error, so that what is half-written is removed (training saves its state itself)."""
    with contextlib.suppress(OSError):  # of a terminal that was closed
        typer.echo("terminated", err=True)
    sys.exit(128 + number)


def _hoist(arguments: list[str]) -> list[str]:
    """Let the global options stand anywhere on the line, as people write them."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            # Whatever comes after it is no option: it stays where it is.
            rest += [argument, *waiting]
        elif argument in GLOBAL:
            front.append(argument)
            value = next(waiting, None)
            if value is not None:
                front.append(value)
        elif _holds_its_value(argument):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


def _holds_its_value(argument: str) -> bool:
    """Whether `argument` is an option of all commands that takes no value from the argument after it."""
    if argument in {"--debug", "-q", "--quiet"} or argument.startswith("--log-level="):
        return True
    return argument.startswith("-l") and argument != "-l"


def _fail(message: str, code: int, debug: bool) -> None:
    if debug:
        import traceback

        typer.echo(visible_lines(traceback.format_exc()), err=True)
    typer.echo(visible_lines(message), err=True)
    sys.exit(code)
