"""Cells of the board: which there are, where each lies, and what became of it.

OUT/sets/SET/          evidence (where it had to be made), dataset, and a file for each split
OUT/cells/SET/SPLIT/   a run for each detector, and beside it what became of it: MODEL.json
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import ValidationError

import vestige
from vestige.board.sets import LabelledSet, split_name
from vestige.errors import DatasetError
from vestige.evaluation.record import Record
from vestige.models import registry
from vestige.models.base import Task
from vestige.runs.directory import DATASET
from vestige.runs.options import SplitOptions
from vestige.storage import write_text

FORMAT: Literal["vestige-board-cell/1"] = "vestige-board-cell/1"
DETECTORS = (*registry.CLASSICAL, "next_ngram", "gbt", "ngram", "blend")
"""Asked for where nobody names others. The trivial baselines stand in every run."""
ALWAYS = (*registry.CLASSICAL, "next_ngram")
"""Asked for beside whatever is named."""


class CellRecord(Record):
    """What became of a cell: `done`, `failed` or `unfit` (the set has no input that the detector reads), and
    `why`. `code`: digest of the program that computed it; `split`: digest of the split's file; `seconds` that
    the attempt took which finished it."""

    format: Literal["vestige-board-cell/1"] = FORMAT
    status: Literal["done", "failed", "unfit"]
    why: str = ""
    commands: list[str]
    seconds: float = 0.0
    version: str = vestige.__version__
    code: str = ""
    split: str = ""

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """What was noted; None where nothing was. Raises DatasetError for a file that is damaged."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise DatasetError(
                "cannot be read", where=path, remedy="remove it, and repeat the command of the board"
            ) from error


@dataclass(frozen=True)
class SetPlace:
    """Where a set lies on the board that is at `out`."""

    out: Path
    set: LabelledSet

    @property
    def folder(self) -> Path:
        """All of the set but its cells."""
        return self.out / "sets" / self.set.name

    @property
    def evidence(self) -> Path:
        """Evidence that had to be made."""
        return self.folder / "evidence"

    @property
    def request(self) -> Path:
        """What its dataset was made from."""
        return self.folder / "set.json"

    @property
    def dataset(self) -> Path:
        """What was read."""
        return self.folder / DATASET

    def split(self, options: SplitOptions) -> Path:
        """The file of a split."""
        return self.folder / f"{split_name(options)}.json"

    def read_command(self, evidence: Path) -> str:
        """What reads the set by itself."""
        words = ["vestige", "prepare", self.set.source, str(evidence), *_arguments(self.set.options.items())]
        return shlex.join([*words, "-o", str(self.dataset)])

    @property
    def simulate_command(self) -> str:
        """What writes the evidence of a simulated set by itself."""
        words = ["vestige", "simulate", self.set.source, str(self.evidence)]
        return shlex.join([*words, *_arguments(self.set.simulate.items())])

    def split_command(self, options: SplitOptions) -> str:
        """What splits it by itself."""
        given = options.model_dump(mode="json", exclude_defaults=True).items()
        words = ["vestige", "split", str(self.dataset), *_arguments(given)]
        return shlex.join([*words, "-o", str(self.split(options))])


@dataclass(frozen=True)
class Cell:
    """A set, a split, a detector."""

    place: SetPlace
    options: SplitOptions
    model: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.place.set.name} / {split_name(self.options)} / {self.model}"

    @property
    def task(self) -> Task:
        """Of the detector."""
        return registry.task_of(self.model)

    @property
    def run(self) -> Path:
        """The run."""
        folder = self.place.out / "cells" / self.place.set.name / split_name(self.options)
        return folder / self.model

    @property
    def note(self) -> Path:
        """What became of it."""
        return self.run.with_name(f"{self.model}.json")

    @property
    def record(self) -> CellRecord | None:
        """See `CellRecord.load`."""
        return CellRecord.load(self.note)

    @property
    def train_command(self) -> str:
        """What trains it."""
        words = ["vestige", "train", str(self.place.dataset), "--split", str(self.place.split(self.options))]
        return shlex.join([*words, "--task", self.task, "-m", self.model, "-o", str(self.run)])

    @property
    def evaluate_command(self) -> str:
        """What judges it."""
        return shlex.join(["vestige", "evaluate", str(self.run)])

    def noted(self, status: Literal["done", "failed", "unfit"], why: str = "", seconds: float = 0) -> None:
        """Write down what became of it."""
        split = self.place.split(self.options)
        digest = hashlib.sha256(split.read_bytes()).hexdigest() if split.is_file() else ""
        record = CellRecord(
            status=status,
            why=why,
            commands=[self.train_command, self.evaluate_command],
            seconds=round(seconds, 1),
            code=code_digest(),
            split=digest,
        )
        self.note.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.note, record.model_dump_json(indent=1) + "\n")


def cells_of(place: SetPlace, models: Iterable[str]) -> list[Cell]:
    """All cells of a set, split by split."""
    return [Cell(place, options, model) for options in place.set.splits for model in models]


def asked(models: tuple[str, ...]) -> tuple[str, ...]:
    """The detectors of the board: those named with the classical ones, or the usual ones.

    Raises UsageError for a name that no detector has, and for one that no split can judge.
    """
    for name in models:
        registry.of_task(name, "next" if registry.task_of(name) == "next" else "classify")
    return tuple(dict.fromkeys((*ALWAYS, *models))) if models else DETECTORS


@cache
def code_digest() -> str:
    """Of all modules of the program, by name and content."""
    root = Path(vestige.__file__).parent
    total = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        total.update(f"{file.relative_to(root).as_posix()}\0".encode())
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _arguments(given: Iterable[tuple[str, object]]) -> Iterable[str]:
    """Options as a person types them."""
    for name, value in given:
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
        elif isinstance(value, list):
            yield from (word for item in value for word in (f"--{flag}", str(item)))
        else:
            yield from (f"--{flag}", str(value))
