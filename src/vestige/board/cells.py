"""Cells of the board: which there are, where each lies, and what became of it.

OUT/sets/SET/          evidence (where it had to be made), dataset, and a file for each split
OUT/cells/SET/SPLIT/   a run for all detectors of a task that are computed together, and MODEL.json for what
                       became of each
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ValidationError

import vestige
from vestige.board.sets import LabelledSet, split_name
from vestige.errors import CheckpointError, DatasetError
from vestige.evaluation.record import Record
from vestige.models import registry
from vestige.models.base import Task
from vestige.runs.directory import DATASET, RunDirectory
from vestige.runs.options import SplitOptions
from vestige.storage import write_text

FORMAT: Literal["vestige-board-cell/2"] = "vestige-board-cell/2"
EARLIER = ("vestige-board-cell/1",)
"""What earlier versions wrote, which do not say in which run a cell lies."""
DETECTORS = (*registry.CLASSICAL, "next_ngram", "gbt", "ngram", "blend")
"""Asked for where nobody names others. The trivial baselines stand in every run."""
ALWAYS = (*registry.CLASSICAL, "next_ngram")
"""Asked for beside whatever is named."""


class CellRecord(Record):
    """What became of a cell: `done`, `failed` or `unfit` (the set has no input that the detector reads), and
    `why`. `run`: the name of the run that it lies in, with others of its split; `seconds` that the attempt
    took which finished that run, and `processor_seconds` of all its threads (0 of earlier versions, which
    did not count them); `code`: digest of the program that computed it; `split`: digest of the split's
    file."""

    format: Literal["vestige-board-cell/2"] = FORMAT
    status: Literal["done", "failed", "unfit"]
    why: str = ""
    run: str = ""
    commands: list[str]
    seconds: float = 0.0
    processor_seconds: float = 0.0
    version: str = vestige.__version__
    code: str = ""
    split: str = ""

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """What was noted; None where nothing was, or by an earlier version: the cell is computed again then.

        Raises DatasetError for a file that is damaged.
        """
        try:
            data = path.read_bytes()
            if _format_of(data) in EARLIER:
                return None
            return cls.model_validate_json(data)
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise DatasetError(
                "cannot be read", where=path, remedy="remove it, and repeat the command of the board"
            ) from error


class _Stated(BaseModel):
    format: str


def _format_of(data: bytes) -> str:
    """The format that a note states; empty where it states none."""
    try:
        return _Stated.model_validate_json(data).format
    except ValidationError:
        return ""


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
    def task(self) -> Task:
        """Of the detector."""
        return registry.task_of(self.model)

    @property
    def folder(self) -> Path:
        """All cells of the split."""
        return self.place.out / "cells" / self.place.set.name / split_name(self.options)

    @property
    def note(self) -> Path:
        """What became of it."""
        return self.folder / f"{self.model}.json"

    @property
    def record(self) -> CellRecord | None:
        """See `CellRecord.load`."""
        return CellRecord.load(self.note)

    @property
    def is_earlier(self) -> bool:
        """Whether an earlier version of the board noted it, see `CellRecord.load`."""
        return self.note.is_file() and self.record is None

    def noted(
        self,
        status: Literal["done", "failed", "unfit"],
        why: str = "",
        *,
        computed_in: Together | None = None,
        seconds: float = 0,
        processor_seconds: float = 0,
    ) -> None:
        """Write down what became of it. `computed_in`: the cells whose run it lies in; `seconds` that the
        attempt took which finished it, and `processor_seconds` of it."""
        split = self.place.split(self.options)
        digest = hashlib.sha256(split.read_bytes()).hexdigest() if split.is_file() else ""
        record = CellRecord(
            status=status,
            why=why,
            run="" if computed_in is None else computed_in.run.name,
            commands=[] if computed_in is None else [computed_in.train_command, computed_in.evaluate_command],
            seconds=round(seconds, 1),
            processor_seconds=round(processor_seconds, 2),
            code=code_digest(),
            split=digest,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.note, record.model_dump_json(indent=1) + "\n")


@dataclass(frozen=True)
class Together:
    """Cells of one split and one task that share a run: the audit and the trivial baselines, which every run
    has, are then computed once, and the test part is opened once."""

    cells: tuple[Cell, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the detectors."""
        return tuple(cell.model for cell in self.cells)

    @property
    def task(self) -> Task:
        """Of all of them."""
        return self.cells[0].task

    @property
    def name(self) -> str:
        """For people."""
        first = self.cells[0]
        return f"{first.place.set.name} / {split_name(first.options)} / {', '.join(self.models)}"

    @cached_property
    def run(self) -> Path:
        """The run: the one that was begun with just these detectors, or a new one. A run whose config cannot
        be read is left alone, since nobody can say whose it is."""
        folder = self.cells[0].folder
        paths = (folder / (self.task if number == 1 else f"{self.task}-{number}") for number in count(1))
        return next(path for path in paths if not path.exists() or _models_of(path) == self.models)

    @property
    def split(self) -> Path:
        """The file of the split."""
        return self.cells[0].place.split(self.cells[0].options)

    @property
    def train_command(self) -> str:
        """What trains them."""
        words = ["vestige", "train", str(self.cells[0].place.dataset), "--split", str(self.split)]
        models = (word for model in self.models for word in ("-m", model))
        return shlex.join([*words, "--task", self.task, *models, "-o", str(self.run)])

    @property
    def evaluate_command(self) -> str:
        """What judges them."""
        return shlex.join(["vestige", "evaluate", str(self.run)])


def cells_of(place: SetPlace, models: Iterable[str]) -> list[Cell]:
    """All cells of a set, split by split."""
    return [Cell(place, options, model) for options in place.set.splits for model in models]


def together(cells: Sequence[Cell]) -> list[Together]:
    """Cells of a split, task by task."""
    tasks = dict.fromkeys(cell.task for cell in cells)
    return [Together(tuple(cell for cell in cells if cell.task == task)) for task in tasks]


def asked(models: tuple[str, ...]) -> tuple[str, ...]:
    """The detectors of the board: those named with the classical ones, or the usual ones.

    Raises UsageError for a name that no detector has, and for one that no split can judge.
    """
    for name in models:
        registry.of_task(name, "next" if registry.task_of(name) == "next" else "classify")
    return tuple(dict.fromkeys((*ALWAYS, *models))) if models else DETECTORS


def _models_of(run: Path) -> tuple[str, ...]:
    """The detectors that a run was begun with; none where its config is missing or damaged."""
    try:
        return RunDirectory(run).config.models
    except CheckpointError:
        return ()


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
