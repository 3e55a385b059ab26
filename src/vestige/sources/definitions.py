"""Definitions in TOML that say how evidence is read: shipped with a source, or written by users."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from vestige.checked import refused
from vestige.errors import DefinitionError
from vestige.escaping import visible

Model = TypeVar("Model", bound=BaseModel)
MAX_TOML = 1 << 20
SHORT = 80
"""Characters of a list that stands on one line."""


@dataclass(frozen=True)
class Definitions(Generic[Model]):
    """All definitions of one kind: `folder` of `package` holds the shipped ones, `page` explains them.

    `what` one is called (a format), and `called` where a name is unknown (a log format).
    """

    model: type[Model]
    package: str
    folder: str
    what: str
    called: str
    page: str

    def shipped(self) -> list[str]:
        """Names of those that come with vestige."""
        files = resources.files(self.package).joinpath(self.folder).iterdir()
        return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))

    def load(self, name: str) -> Model:
        """The shipped one called `name`, or that in the file `name` ending in `.toml`.

        Raises DefinitionError naming the file and the key that is wrong.
        """
        where: Path | str
        if name.endswith(".toml"):
            where = Path(name)
            text = self._read(where)
        elif name in self.shipped():
            where = f"{name}.toml"
            text = resources.files(self.package).joinpath(self.folder, where).read_text(encoding="utf-8")
        else:
            remedy = (
                f"one of: {', '.join(self.shipped())}; or the path of your own (my.toml, see {self.page})"
            )
            raise DefinitionError(f"unknown {self.called} {name!r}", remedy=remedy)
        try:
            return self.model.model_validate({"name": Path(name).stem} | tomllib.loads(text))
        except ValidationError as error:
            key, message = refused(error)
            remedy = f"{self.page} shows a {self.what}"
            raise DefinitionError(f"{key or self.what}: {message}", where=where, remedy=remedy) from error
        except (
            ValueError,
            RecursionError,
        ) as error:  # also a number of too many digits, and brackets in brackets
            remedy = f"{self.page} shows a {self.what}"
            raise DefinitionError(f"not TOML: {error}", where=where, remedy=remedy) from error

    def text(self, definition: Model, *, about: str) -> str:
        """A definition as TOML that `load` reads, each key under what it means; `about` stands above all.

        Keys that are as they are by default are left out; so is the name, which is the file's.
        """
        given = definition.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
        # TOML has no null; tables come last, because what follows one in a file is part of it.
        keys = [key for key in given if given[key] is not None]
        keys.sort(key=lambda key: isinstance(given[key], dict))
        lines = [_comment(about)]
        for key in keys:
            lines += ["", _comment(self.model.model_fields[key].description or key)]
            value = given[key]
            if isinstance(value, dict):
                lines.append(f"[{_key(key)}]")
                lines += [f"{_key(name)} = {_value(inner)}" for name, inner in value.items()]
            else:
                lines.append(f"{_key(key)} = {_value(value)}")
        return "\n".join(lines) + "\n"

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                content = file.read(MAX_TOML + 1)
            if len(content) > MAX_TOML:
                what = f"the {self.what} is larger than {MAX_TOML >> 20} MiB"
                raise DefinitionError(what, where=path, remedy=f"{self.page} shows a {self.what}")
            return content.decode("utf-8")
        except OSError as error:
            raise DefinitionError(f"cannot read the {self.what}: {error.strerror}", where=path) from error
        except UnicodeDecodeError as error:
            raise DefinitionError(f"the {self.what} is not UTF-8 text", where=path) from error


def _comment(text: str) -> str:
    """Lines of a comment; what evidence may hold becomes visible text on them."""
    return textwrap.fill(visible(text, 1_000), 110, initial_indent="# ", subsequent_indent="# ")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _string(name)


def _value(value: Any) -> str:
    """A JSON value as TOML; lists of several texts have a line for each."""
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(name)} = {_value(inner)}' for name, inner in value.items())} }}"
    if isinstance(value, list):
        items = [_value(item) for item in value]
        if sum(map(len, items)) > SHORT:
            return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
        return f"[{', '.join(items)}]"
    return json.dumps(value)


def _string(text: str) -> str:
    """A text in single quotes where these suffice, so that an expression reads as it is."""
    if "\\" in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    # TOML's escapes are JSON's, but for a surrogate that stands alone, which TOML cannot hold.
    whole = text.encode("utf-8", errors="replace").decode("utf-8")
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")
