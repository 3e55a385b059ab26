"""`config.json`: everything that a run was asked to do, so that it can be repeated and judged again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from platform import python_version
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from vestige import checked
from vestige.checkpoint.header import library_versions
from vestige.errors import CheckpointError
from vestige.escaping import toml_text
from vestige.runs.options import JudgeOptions, SplitOptions
from vestige.storage import write_text
from vestige.training.config import TrainingConfig

FILE = "config.json"
REPEAT = "vestige run --config run.toml -o ANOTHER_RUN"
REMEDY = "take an undamaged copy of the run, or run it again"


class RunConfig(BaseModel):
    """What a run was asked to do. `dataset` and `split` are relative to the run where they lie beside it;
    `models`: its detectors, see `views`. `tuning`: the search that the settings
    come from, if there was one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["vestige-run/1"] = "vestige-run/1"
    source: str
    corpus: str = ""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    split_options: SplitOptions = Field(default_factory=SplitOptions)
    dataset: str
    split: str
    models: tuple[str, ...]
    task: Literal["classify", "next"] = "classify"
    view: str = "realistic"
    hyper: dict[str, int | float | bool | str] = Field(default_factory=dict)
    training: TrainingConfig = TrainingConfig()
    judge: JudgeOptions = JudgeOptions()
    trained_elsewhere: bool = False
    tuning: dict[str, JsonValue] = Field(default_factory=dict)
    command: str = ""
    created: str = ""
    versions: dict[str, str] = Field(default_factory=dict)

    def save(self, directory: Path) -> None:
        """Write `config.json` into a run's directory, atomically."""
        write_text(directory / FILE, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """What `save` wrote. Raises CheckpointError: the directory is no run, or its config is damaged."""
        file = directory / FILE
        try:
            data = checked.read(file)
            checked.load(data)  # no number is beyond what a field could hold
            return cls.model_validate_json(data)
        except (FileNotFoundError, NotADirectoryError) as error:
            lacking = "config.json is missing" if directory.is_dir() else "there is no such directory"
            raise CheckpointError(
                f"not a run: {lacking}",
                where=directory,
                remedy="give a directory that vestige run wrote",
            ) from error
        except (OSError, ValueError) as error:
            told = checked.reason(error)
            if isinstance(error, ValidationError):
                _, told = checked.refused(error)
            raise CheckpointError(f"cannot be read ({told})", where=file, remedy=REMEDY) from error

    def to_toml(self, models: tuple[str, ...]) -> str:
        """What `vestige run --config` repeats a run by: every option that has a value, but for the output,
        and for what comes from elsewhere or goes there. `models` as they were asked for."""
        asked: dict[str, Any] = {"source": self.source, "corpus": self.corpus}
        asked |= {"model": list(models), "task": self.task, "view": self.view, **self.options}
        for part in (self.split_options, self.training, self.judge):
            asked |= part.model_dump(mode="json")
        told = [f"# vestige {self.versions.get('vestige', '')}: repeat this run by", f"# {REPEAT}"]
        lines = [*told, *_toml_lines(asked), "", "[set]", *_toml_lines(self.hyper)]
        return "\n".join(lines) + "\n"

    def fixed(self) -> dict[str, Any]:
        """What a resumed run must repeat, JSON-ready: everything that its numbers depend on."""
        plain = self.model_dump(mode="json", exclude={"command", "created", "versions", "judge", "training"})
        return {**plain, "training": self.training.fixed(), "threshold": self.judge.threshold}


def _toml_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """A line for each value that there is: TOML has no null, and an empty list is an option not given."""
    for name, value in values.items():
        key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_text(name)
        if value is None or value == [] or (isinstance(value, str) and not value):
            continue
        items = value if isinstance(value, list) else [value]
        if any(isinstance(item, str) and not item.isascii() and not _is_text(item) for item in items):
            yield f"# {key}: not written, because it is no text"
            continue
        written = [toml_text(item) if isinstance(item, str) else json.dumps(item) for item in items]
        yield f"{key} = [{', '.join(written)}]" if isinstance(value, list) else f"{key} = {written[0]}"


def _is_text(value: str) -> bool:
    """Whether a path or text has no bytes in it that are no text."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_config(file: Path) -> bool:
    """Whether a file begins as the config of a run does, of whichever version: others call theirs so, too."""
    with file.open("rb") as content:
        return b'"vestige-run/' in content.read(200)


def relative(path: Path, base: Path) -> str:
    """How to find `path` from `base`: a run and its dataset can be moved together."""
    return os.path.relpath(path.absolute(), base.absolute())


def resolve(base: Path, name: str) -> Path:
    """What `relative` meant."""
    return (base / name).resolve()


def versions() -> dict[str, str]:
    """Versions of this program, Python, and the libraries that numbers depend on."""
    return {"python": python_version(), **library_versions()}
