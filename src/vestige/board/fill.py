"""Filling the board: split by split, in runs; what is finished stays, and what was cut off is taken up."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from vestige import log
from vestige.board import evidence
from vestige.board.cells import Cell, SetPlace, Together, cells_of, together
from vestige.board.sets import LabelledSet
from vestige.checked import refused
from vestige.engine import LOCAL, Engine
from vestige.errors import OutputError, UsageError, VestigeError
from vestige.models import registry
from vestige.pipeline import run as whole
from vestige.pipeline.experiment import split_dataset
from vestige.pipeline.fitting import TrainingPlan
from vestige.reading.steps import ShowProgress, silent
from vestige.reading.windows import WindowSet
from vestige.runs.directory import RunDirectory
from vestige.runs.options import JudgeOptions
from vestige.sources import registry as sources
from vestige.storage import write_text
from vestige.training.config import TrainingConfig
from vestige.training.errors import StoppedError

TICK_S = 0.01
"""What the clock of processes counts in: 0 says that nobody counted."""
logger = log.get(__name__)


def check(sets: Sequence[LabelledSet]) -> None:
    """Raise UsageError for what can be known to be wrong with sets before any is read."""
    for chosen in sets:
        source = sources.get(chosen.source)
        _options(chosen)
        for split in chosen.splits:
            split.check(source.recipes)


def fill(
    out: Path,
    sets: Sequence[LabelledSet],
    models: Sequence[str],
    *,
    data: Path | None,
    hours: float | None = None,
    engine: Engine = LOCAL,
    progress: ShowProgress = silent,
) -> int:
    """Compute the cells of `sets` by `models` that are not done; returns how many are left.

    No split is begun after `hours`. A cell that fails is noted with its reason and tried again by the next
    call. Raises OutputError where nothing can be written, and UsageError where `out` holds another set of one
    of the names.
    """
    begun = time.monotonic()
    left = 0
    _tell_of_earlier(out, [cell for chosen in sets for cell in cells_of(SetPlace(out, chosen), models)])
    for chosen in sets:
        missing = evidence.absent(chosen, data)
        if missing:
            logger.warning("%s: left out, because %s", chosen.name, missing)
            continue
        place = SetPlace(out, chosen)
        todo = [cell for cell in cells_of(place, models) if not _settled(cell)]
        if not todo:
            continue
        late = hours is not None and time.monotonic() - begun > hours * 3600
        if late or not _ready(place, data, todo, engine, progress):
            left += len(todo)
            continue
        for options in dict.fromkeys(cell.options for cell in todo):
            if hours is not None and time.monotonic() - begun > hours * 3600:
                left += sum(cell.options == options for cell in todo)
                continue
            left += _compute_split([cell for cell in todo if cell.options == options], progress)
    return left


def _tell_of_earlier(out: Path, cells: Sequence[Cell]) -> None:
    earlier = sum(cell.is_earlier for cell in cells)
    if earlier:
        logger.warning("%s: cells of an earlier version of the board are computed again: %d", out, earlier)


def _settled(cell: Cell) -> bool:
    record = cell.record
    return record is not None and record.status != "failed"


def _ready(
    place: SetPlace, data: Path | None, todo: Sequence[Cell], engine: Engine, progress: ShowProgress
) -> bool:
    """Read a set, if that was not done before. Whatever is wrong with it is noted in all of its cells."""
    request = {**place.set.fixed, "data": "" if data is None else str(data.absolute())}
    if place.request.is_file() and json.loads(place.request.read_bytes()) != request:
        raise UsageError(
            f"holds another {place.set.name}: its evidence or its options were others",
            where=place.folder,
            remedy="choose another output, or remove that folder and the set's cells",
        )
    try:
        where = evidence.at_hand(place.set, data, place.evidence)
        if not place.dataset.exists():
            place.folder.mkdir(parents=True, exist_ok=True)
            write_text(place.request, json.dumps(request, indent=1) + "\n")
            logger.info("%s", place.read_command(where))
            with progress(f"reading {where}", "bytes") as update:
                sources.get(place.set.source).prepare(
                    where, place.dataset, _options(place.set), engine=engine, progress=update
                )
    except OutputError:
        raise
    except VestigeError as error:
        _failed(todo, error)
        return False
    return True


def _compute_split(cells: Sequence[Cell], progress: ShowProgress) -> int:
    """Compute cells of one split of a set; returns how many failed."""
    first = cells[0]
    try:
        windows = WindowSet.open(first.place.dataset)
        split = first.place.split(first.options)
        if not split.is_file():
            split_dataset(windows, first.options)[0].save(split)
    except OutputError:
        raise
    except VestigeError as error:
        return _failed(cells, error)
    fitting = registry.fitting(windows.schema)
    for cell in cells:
        if cell.model not in fitting:
            cell.noted("unfit", "the set has no input that it reads, or a package that it needs is missing")
    return sum(_compute(each, progress) for each in together([c for c in cells if c.model in fitting]))


def _compute(wanted: Together, progress: ShowProgress) -> int:
    """Train and judge detectors in one run; returns how many failed. Where one of several fails, each is
    tried in a run of its own."""
    begun, spent = time.monotonic(), _processor_seconds()
    logger.info("%s", wanted.name)
    place = wanted.cells[0].place
    try:
        command = wanted.train_command
        plan = TrainingPlan(wanted.models, wanted.task, "realistic", {}, TrainingConfig(), command)
        whole.train(place.dataset, wanted.split, wanted.run, plan=plan, judge=JudgeOptions(), resume=True)
        # The test part is opened once: results appear whole, and those of a call that was cut off stay.
        if RunDirectory(wanted.run).results is None:
            whole.evaluate(wanted.run, {}, wanted.evaluate_command, progress=progress)
    except (OutputError, StoppedError):
        raise
    except VestigeError as error:
        if len(wanted.cells) == 1:
            return _failed(wanted.cells, error)
        logger.warning("%s: %s; each is tried by itself", wanted.name, error)
        return sum(_compute(Together((cell,)), progress) for cell in wanted.cells)
    for cell in wanted.cells:
        cell.noted(
            "done",
            computed_in=wanted,
            seconds=time.monotonic() - begun,
            processor_seconds=max(_processor_seconds() - spent, TICK_S),
        )
    return 0


def _processor_seconds() -> float:
    """Of this process, of its threads, and of the processes that it began and that have ended."""
    return sum(os.times()[:4])


def _failed(cells: Sequence[Cell], error: VestigeError) -> int:
    for cell in cells:
        logger.warning("%s / %s: %s", cell.place.set.name, cell.model, error)
        cell.noted("failed", " ".join(str(error).split()))
    return len(cells)


def _options(one: LabelledSet) -> BaseModel:
    """How the source is to read a set. Raises UsageError for an option that it does not know."""
    kind: Any = sources.get(one.source).options
    try:
        made: BaseModel = kind(**one.options)
    except ValidationError as error:
        option, told = refused(error)
        raise UsageError(
            f"set {one.name}: option {option}: {told}",
            remedy=f"see {shlex.join(['vestige', 'prepare', one.source, '--help'])}",
        ) from error
    return made
