"""Pydantic models as options: a field's name, type, default and description become an option's."""

from __future__ import annotations

import functools
import inspect
import re
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from vestige.checked import refused
from vestige.cli.help import HEADINGS
from vestige.errors import UsageError

if TYPE_CHECKING:
    from vestige.engine import Engine

FLAGS = {
    "batch_size": ("-b", "--batch-size"),
    "checkpoint_minutes": ("--checkpoint",),
    "patience": ("--patience", "--checkpoint-early-stop"),
    "threads": ("-t", "--threads"),
}
"""Fields whose option is called otherwise than the field."""
UNMET = 1e9
"""A bound of a number that is there for safety alone."""

Quantize = Literal["none", "int8"]
"""What `--quantize` takes."""
Precision = Annotated[
    Literal["32", "bf16"],
    typer.Option(
        "--precision",
        help="bf16: a network multiplies numbers rounded to bfloat16, on a CPU with AMX or AVX-512 BF16",
    ),
]
EngineName = Annotated[
    str,
    typer.Option("--engine", help="who reads: local (processes of this machine) or ray (a Ray cluster)"),
]
ScoringEngine = Annotated[
    str,
    typer.Option(
        "--engine",
        help="who judges: local (this process), or ray (the nodes of a Ray cluster, file by file)",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="of the Ray cluster: HOST:PORT of its head, or auto for the one that this machine is a node of "
        "(default: one that is started on this machine alone)",
    ),
]


def with_options(command: Callable[..., None], **models: type[BaseModel]) -> Callable[..., None]:
    """`command` with its parameters named in `models` replaced by one option for each field of the model.

    The wrapper builds the models from the options and passes them on. A value that a model refuses becomes
    a UsageError that names the option.
    """
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in signature.parameters.items()
        if name not in models
    ]
    added: list[inspect.Parameter] = []
    for kind, model in models.items():
        added += [_parameter(name, field, HEADINGS.get(kind)) for name, field in model.model_fields.items()]

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        built = {name: _build(model, given) for name, model in models.items()}
        command(**{parameter.name: given[parameter.name] for parameter in own}, **built)

    every = sorted([*own, *added], key=lambda parameter: not _is_argument(parameter))
    keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in every]
    wrapper.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword}
    # What leads back to `command`, whose signature would be read instead of this one.
    del wrapper.__wrapped__
    return wrapper


def flag_of(name: str) -> str:
    """What the option for a model's field called `name` is called, in full."""
    return FLAGS.get(name, (f"--{name.replace('_', '-')}",))[-1]


def arguments_of(options: BaseModel, *, without: str = "") -> list[str]:
    """What a person writes for the fields that are not as by default, but for the field `without`."""
    written: list[str] = []
    for name, value in options.model_dump(mode="json", exclude_defaults=True).items():
        flag = flag_of(name)
        if name == without:
            continue
        if isinstance(value, bool):
            written.append(flag if value else f"--no-{flag.removeprefix('--')}")
        else:
            for item in value if isinstance(value, list) else [value]:
                written += [flag, str(item)]
    return written


def _is_argument(parameter: inspect.Parameter) -> bool:
    notes = getattr(parameter.annotation, "__metadata__", ())
    return any(type(note).__name__ == "ArgumentInfo" for note in notes)


def _parameter(name: str, field: FieldInfo, heading: str | None) -> inspect.Parameter:
    flags = FLAGS.get(name, (flag_of(name),))
    annotation = _option_type(field.annotation)
    if annotation is bool:
        flags = (f"{flags[-1]}/--no-{flags[-1].removeprefix('--')}",)
    default = field.get_default()
    if isinstance(field.default, tuple) and not field.default:
        default = []
    if field.is_required():
        default = ...
    told = f"{field.description or ''}{_range(field)}"
    option = typer.Option(default, *flags, help=told, rich_help_panel=heading)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation)


def _range(field: FieldInfo) -> str:
    """What numbers a field takes, as Typer tells it of its own options, without bounds that nobody meets."""
    signs = {"gt": "x>", "ge": "x>=", "lt": "x<", "le": "x<="}
    found = [
        f"{sign}{bound:g}"
        for name, sign in signs.items()
        for each in field.metadata
        if (bound := getattr(each, name, None)) is not None and bound < UNMET
    ]
    return f"  [{', '.join(found)}]" if found else ""


def _option_type(annotation: Any) -> Any:
    """What the command line can parse: tuples become lists, `X | None` becomes optional X; of a literal,
    which stays as it is, the help shows the choices."""
    origin = get_origin(annotation)
    if origin in {Union, types.UnionType}:
        inner = [part for part in get_args(annotation) if part is not type(None)]
        return _option_type(inner[0]) | None
    if origin in {tuple, list}:
        return types.GenericAlias(list, (_option_type(get_args(annotation)[0]),))
    return annotation


def _build(model: type[BaseModel], given: dict[str, Any]) -> BaseModel:
    values = {name: given[name] for name in model.model_fields if name in given}
    try:
        return model(**values)
    except ValidationError as error:
        name, message = refused(error)
        if name:
            message = f"{flag_of(name.partition('.')[0])}: {message}"
        raise UsageError(message, remedy="see --help for what it takes") from error


def scoring_engine(name: str, address: str | None, device: str) -> Engine | None:
    """Whose workers judge; None: this process does. Raises UsageError where they cannot."""
    from vestige.engine import choose

    if name == "local" and address is None:
        return None
    if device != "cpu":
        raise UsageError("the workers of an engine compute on CPUs", remedy="leave out --device, or --engine")
    return choose(name, address=address)


def is_rounded(precision: str, *, runtime: str = "own", quantize: str = "none") -> bool:
    """Whether products are to be rounded. Raises UsageError together with other ways to compute them."""
    if precision != "bf16":
        return False
    if runtime != "own":
        raise UsageError(
            "an export computes in float32 (--precision bf16)", remedy="leave out --runtime, or --precision"
        )
    if quantize != "none":
        raise UsageError(
            "products are of 8-bit integers (--quantize) or rounded to bfloat16 (--precision), not both",
            remedy="leave out one of them",
        )
    return True


UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def parse_duration(option: str, text: str) -> float:
    """`500ms`, `2s`, `1m`, `7d` as seconds. Raises UsageError for anything else."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)(ms|s|m|h|d)", text.strip())
    if found is None:
        raise UsageError(
            f"{option}: {text!r} is no duration", remedy="a number with ms, s, m, h or d: 2s, 7d"
        )
    return float(found[1]) * UNITS_S[found[2]]


def parse_settings(settings: list[str]) -> dict[str, int | float | bool | str]:
    """`--set hidden=128` as a dict; numbers and booleans are recognised, nothing is evaluated."""
    parsed: dict[str, int | float | bool | str] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {setting!r}: expected NAME=VALUE", remedy="for example --set hidden=128")
        parsed[name.strip()] = _plain(text.strip())
    return parsed


def _plain(text: str) -> int | float | bool | str:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
