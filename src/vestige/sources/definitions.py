"""Definitions in TOML that say how evidence is read: shipped with a source, or written by users."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from vestige.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)
MAX_TOML = 1 << 20


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

        Raises UsageError naming the file and the key that is wrong.
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
            raise UsageError(f"unknown {self.called} {name!r}", remedy=remedy)
        try:
            return self.model.model_validate({"name": Path(name).stem} | tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"not TOML: {error}", where=where) from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or self.what
            message = first["msg"].removeprefix("Value error, ")
            remedy = f"{self.page} shows a {self.what}"
            raise UsageError(f"{key}: {message}", where=where, remedy=remedy) from error

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                return file.read(MAX_TOML).decode("utf-8")
        except OSError as error:
            raise UsageError(f"cannot read the {self.what}: {error.strerror}", where=path) from error
        except UnicodeDecodeError as error:
            raise UsageError(f"the {self.what} is not UTF-8 text", where=path) from error
