"""Filling the board: cell by cell, each a run; what is finished stays, and what was cut off is taken up."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from vestige import log
from vestige.board import evidence
from vestige.board.cells import Cell, SetPlace, cells_of
from vestige.board.sets import LabelledSet
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

logger = log.get(__name__)


def check(sets: Sequence[LabelledSet]) -> None:
    """Raise UsageError for what can be known to be wrong with sets before any is read."""
    for one in sets:
        source = sources.get(one.source)
        _options(one)
        for split in one.splits:
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

    No cell is begun after `hours`. A cell that fails is noted with its reason and tried again by the next
    call. Raises OutputError where nothing can be written, and UsageError where `out` holds another set of one
    of the names.
    """
    begun = time.monotonic()
    left = 0
    for one in sets:
        missing = evidence.absent(one, data)
        if missing:
            logger.warning("%s: left out, because %s", one.name, missing)
            continue
        place = SetPlace(out, one)
        todo = [cell for cell in cells_of(place, models) if not _settled(cell)]
        if not todo:
            continue
        late = hours is not None and time.monotonic() - begun > hours * 3600
        if late or not _ready(place, data, todo, engine, progress):
            left += len(todo)
            continue
        for cell in todo:
            if hours is not None and time.monotonic() - begun > hours * 3600:
                left += 1
                continue
            logger.info("%s", cell.name)
            left += not _compute(cell, progress)
    return left


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
        logger.warning("%s: %s", place.set.name, error)
        for cell in todo:
            cell.noted("failed", " ".join(str(error).split()))
        return False
    return True


def _compute(cell: Cell, progress: ShowProgress) -> bool:
    """Train and judge one; returns whether it is settled."""
    begun = time.monotonic()
    try:
        windows = WindowSet.open(cell.place.dataset)
        if cell.model not in registry.fitting(windows.schema):
            cell.noted("unfit", "the set has no input that it reads, or a package that it needs is missing")
            return True
        split = cell.place.split(cell.options)
        if not split.is_file():
            split_dataset(windows, cell.options)[0].save(split)
        plan = TrainingPlan((cell.model,), cell.task, "realistic", {}, TrainingConfig(), cell.train_command)
        whole.train(cell.place.dataset, split, cell.run, plan=plan, judge=JudgeOptions(), resume=True)
        # The test part is opened once: results appear whole, and those of a call that was cut off stay.
        if RunDirectory(cell.run).results is None:
            whole.evaluate(cell.run, {}, cell.evaluate_command, progress=progress)
    except OutputError:
        raise
    except VestigeError as error:
        logger.warning("%s: %s", cell.name, error)
        cell.noted("failed", " ".join(str(error).split()))
        return False
    cell.noted("done", seconds=time.monotonic() - begun)
    return True


def _options(one: LabelledSet) -> BaseModel:
    """How the source is to read a set. Raises UsageError for an option that it does not know."""
    kind: Any = sources.get(one.source).options
    try:
        made: BaseModel = kind(**one.options)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"set {one.name}: option {'.'.join(map(str, first['loc']))}: {first['msg']}",
            remedy=f"see {shlex.join(['vestige', 'prepare', one.source, '--help'])}",
        ) from error
    return made
