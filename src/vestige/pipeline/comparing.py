"""What detectors of runs say of their test parts, for a comparison; and trained again with other seeds."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from vestige import checkpoint, log
from vestige.errors import UsageError
from vestige.evaluation.clusters import held_out
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.versus import Contender, differences
from vestige.pipeline import run as whole
from vestige.pipeline.experiment import split_dataset
from vestige.pipeline.fitting import TrainingPlan
from vestige.pipeline.predicting import of_part
from vestige.reading.encoding import EncodedWindows
from vestige.reading.steps import ShowProgress, silent
from vestige.reading.windows import WindowSet
from vestige.runs import views
from vestige.runs.directory import RunDirectory
from vestige.runs.options import SplitOptions
from vestige.splits import Split

logger = log.get(__name__)
REMEDY = "compare detectors that were judged on one test part: train them by the same dataset and split"


@dataclass(frozen=True)
class TestPart:
    """A run's test part, read once for all of its detectors."""

    windows: WindowSet
    split: Split

    @classmethod
    def of(cls, dataset: Path, split: Path) -> Self:
        """From a prepared dataset and a saved split. Raises as opening them does."""
        return cls(WindowSet.open(dataset), Split.load(split))

    @cached_property
    def test(self) -> WindowSet:
        """The windows that judge."""
        return self.split.parts(self.windows).test

    @cached_property
    def units(self) -> Predictions:
        """The test windows with what the split holds out, and no predictions."""
        nothing = np.zeros((len(self.test), len(self.test.schema.classes)))
        return held_out(Predictions.of(self.test, nothing), self.split, self.test)

    def said_by(self, folder: RunDirectory, *, saved: bool = True) -> Predictions:
        """What a detector says of the test part: as it was `saved` when it was judged, or anew; pooled where
        it judges recordings."""
        if saved and folder.predictions_file.is_file():
            found = Predictions.load(folder.predictions_file)
        else:
            loaded = checkpoint.load(folder.path, schema=self.windows.schema)
            part = EncodedWindows.of(self.test, loaded.encoder)
            found = of_part(loaded.detector, part, loaded.header.notes.pooling)
        order = np.argsort(self.units.position, kind="stable")
        at = np.searchsorted(self.units.position, found.position, sorter=order)
        rows = order[np.minimum(at, len(order) - 1)]
        if not np.array_equal(self.units.position[rows], found.position):
            raise UsageError(
                "its predictions are of other windows than its test part",
                where=folder.path,
                remedy=f"judge it again: vestige evaluate {folder.path}",
            )
        unit = None if self.units.unit is None else self.units.unit[rows]
        return replace(found, unit=unit, unit_name=self.units.unit_name, reach=self.units.reach)


def contenders(
    runs: Sequence[Path],
    *,
    models: Sequence[str] = (),
    seeds: int = 1,
    splits: int = 1,
    trained: Path | None = None,
    progress: ShowProgress = silent,
) -> list[Contender]:
    """All detectors of the runs (a run, a view, or one detector's folder each), trained again where `seeds`
    or `splits` are more than one; of those named in `models` alone where any is.

    A detector that is named twice counts once. `trained`: where what is trained lies (default: beside each
    run), and is taken up again. Raises UsageError where the test parts are not the same, with how they
    differ.
    """
    found: list[Contender] = []
    named: set[Path] = set()
    for path in runs:
        run = RunDirectory.open(path)
        if run.is_detector and not run.config_file.is_file():
            raise UsageError(
                "a detector by itself, as vestige learn makes one, has no test part that others share",
                where=path,
                remedy="judge each on the same labelled evidence instead: "
                f"vestige evaluate {shlex.quote(str(path))} --on EVIDENCE",
            )
        chosen = {
            name: folder
            for name, folder in run.detectors.items()
            if not models or name in models or name.rpartition("/")[2] in models
        }
        parts: dict[tuple[Path, Path], TestPart] = {}
        more = _Retrained(run, seeds, splits, trained, progress) if seeds > 1 or splits > 1 else None
        for name, folder in chosen.items():
            if (place := folder.resolve()) in named:
                logger.warning("%s is named twice and counts once", folder)
                continue
            named.add(place)
            own = RunDirectory(folder)
            where = own.dataset, own.split
            if where not in parts:
                parts[where] = TestPart.of(*where)
            part = parts[where]
            tests = [part.said_by(own), *(more.of_seeds(name) if more else ())]
            others = tuple(more.of_splits(name)) if more else ()
            view = own.config.view
            found.append(
                Contender(_called(run, path, name, several=len(runs) > 1), view, tuple(tests), others)
            )
    if not found:
        raise UsageError(
            "no detector to compare", remedy="name runs that hold detectors, or leave out --model"
        )
    _refuse_others(found)
    return found


def _called(run: RunDirectory, path: Path, name: str, *, several: bool) -> str:
    """What a detector is called: as in its run, and by the run where there are several."""
    if not several:
        return name
    return str(path) if run.is_detector else f"{path}:{name}"


def _refuse_others(found: Sequence[Contender]) -> None:
    first = found[0]
    for other in found[1:]:
        told = differences(first.tests[0], other.tests[0])
        if told:
            raise UsageError(
                f"{first.name} and {other.name} were not judged on the same test part: {'; '.join(told)}",
                remedy=REMEDY,
            )


class _Retrained:
    """A run's detectors trained again: with other seeds on its split, and with its seed on other splits."""

    def __init__(
        self, run: RunDirectory, seeds: int, splits: int, trained: Path | None, progress: ShowProgress
    ) -> None:
        home = RunDirectory(run.home)
        if not home.config_file.is_file() or home.config.trained_elsewhere:
            raise UsageError(
                "cannot be trained again: it was not trained here, or its config is gone",
                where=run.path,
                remedy="compare it without --seeds and --splits",
            )
        self.run, self.config, self.progress = home, home.config, progress
        self.single = run.is_detector and not home.is_view
        beside = home.path.absolute()
        self.place = (trained / beside.name) if trained else beside.with_name(f"{beside.name}-trained-again")
        self.windows = WindowSet.open(home.dataset)
        base = self.config.training.seed
        self.by_seed = [
            self._train(home.split, f"seed-{seed}", seed) for seed in range(base + 1, base + seeds)
        ]
        self.by_split = [self._train(*self._deal(number), base) for number in range(1, splits)]

    def of_seeds(self, name: str) -> Iterator[Predictions]:
        part = TestPart(self.windows, Split.load(self.run.split))
        for run in self.by_seed:
            yield part.said_by(self._folder(run, name), saved=False)

    def of_splits(self, name: str) -> Iterator[Predictions]:
        for run in self.by_split:
            yield TestPart(self.windows, Split.load(run.split)).said_by(self._folder(run, name), saved=False)

    def _folder(self, run: RunDirectory, name: str) -> RunDirectory:
        # The folder of one detector is called by its model alone, whatever the run calls it.
        return run.folder(self.config.models[0] if self.single else name)

    def _train(self, split: Path, called: str, seed: int) -> RunDirectory:
        """Train all detectors with another seed, or by another split; one that is finished stays."""
        models = tuple(dict.fromkeys(views.parts(name, self.config.view)[1] for name in self.config.models))
        plan = TrainingPlan(
            models,
            self.config.task,
            self.config.view,
            dict(self.config.hyper),
            self.config.training.model_copy(update={"seed": seed}),
            self.config.command,
        )
        with self.progress(f"training {called}", ""):
            whole.train(
                self.run.dataset, split, self.place / called, plan=plan, judge=self.config.judge, resume=True
            )
        return RunDirectory(self.place / called)

    def _deal(self, number: int) -> tuple[Path, str]:
        """Another deal of the same recipe, as a file, and what it is called. Raises UsageError where there is
        but one."""
        then = Split.load(self.run.split)
        asked = self.config.split_options
        if not self.config.corpus:
            # Split by a verb of its own, which keeps its recipe and seed, and not its shares.
            asked = SplitOptions(split=then.recipe.name)
        options = asked.model_copy(update={"split_seed": then.seed + number, "split": then.recipe.name})
        made, _ = split_dataset(self.windows, options)
        if made.assignment == then.assignment:
            raise UsageError(
                f"--splits: a {then.recipe} split of this dataset is the same whatever its seed",
                where=self.run.path,
                remedy="leave out --splits, or compare runs that were split by host, sample or at random",
            )
        called = f"split-{made.seed}"
        file = self.place / f"{called}.json"
        made.save(file)
        return file, called
