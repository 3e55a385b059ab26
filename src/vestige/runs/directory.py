"""A run's directory: which detectors lie in it, which of them is meant, and what they were judged to be."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from vestige.checkpoint import HEADER, Header, Loaded, is_single_file, load, read_header_of
from vestige.errors import CheckpointError, UsageError
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.results import RunResults
from vestige.models.base import VIEWS
from vestige.reading.encoding import EncodedWindows
from vestige.reading.windows import WindowSet
from vestige.runs import config as configs
from vestige.runs import views
from vestige.runs.config import RunConfig
from vestige.schema import Schema
from vestige.splits import Split, listed
from vestige.training.history import FILE as HISTORY

CONFIG, DATASET, SPLIT, LOG = configs.FILE, "dataset", "split.json", "log.jsonl"
OPENINGS = "openings.jsonl"
REPEAT = "run.toml"
METRICS, REPORT, PREDICTIONS = "metrics.json", "report.html", "predictions.parquet"
REMEDY = "give a directory that vestige run or vestige learn wrote"


@dataclass(frozen=True)
class RunDirectory:
    """A run of many detectors, one of its views, the folder of one detector, or a checkpoint by itself.

    Nothing is read before it is asked for: what is still to be written has its paths, too. Nobody else knows
    the names of the files in it.
    """

    path: Path

    @classmethod
    def open(cls, path: Path) -> Self:
        """The run, view or detector at `path`.

        Raises UsageError where there is none of them: `path` is no directory, holds something else, or is a
        folder that merely holds runs. The message names those that it holds.
        """
        run = cls(path)
        if run.is_detector or run.is_run or run.is_view:
            return run
        inside = run._runs_inside()
        if inside:
            raise UsageError(
                f"a folder that holds runs ({listed(inside)}), and no run itself",
                where=path,
                remedy=f"name one of them: {path / inside[0]}",
            )
        if not run.detectors:
            what = "neither a run nor a detector"
            if not os.path.lexists(path):
                what = f"there is no such file or directory: {what}"
            raise UsageError(what, where=path, remedy=REMEDY)
        return run

    @property
    def is_detector(self) -> bool:
        """Whether this is the folder of one trained detector, or a detector in one file."""
        return (self.path / HEADER).is_file() or is_single_file(self.path)

    @property
    def is_run(self) -> bool:
        """Whether this is what a run wrote, finished or not: also the folder of one of its detectors."""
        return self.config_file.is_file() or self.metrics_file.is_file()

    @property
    def is_view(self) -> bool:
        """Whether this is the folder of one view in a run of both."""
        here = self.path.absolute()
        return here.name in VIEWS and here.is_dir() and not self.is_run and RunDirectory(here.parent).is_run

    @property
    def home(self) -> Path:
        """The directory of the run itself: of a view the one above it."""
        if self.is_view:
            return self.path.absolute().parent
        return self.path

    @property
    def config_file(self) -> Path:
        """What the run was asked to do."""
        return self.path / CONFIG

    @property
    def repeat_file(self) -> Path:
        """The options by which `vestige run --config` repeats the run."""
        return self.path / REPEAT

    @property
    def split_file(self) -> Path:
        """The split that a run keeps for itself."""
        return self.path / SPLIT

    @property
    def log_file(self) -> Path:
        """Everything that was said while the run was made and judged."""
        return self.path / LOG

    @property
    def metrics_file(self) -> Path:
        """What the detectors were judged to be."""
        return self.path / METRICS

    @property
    def report_file(self) -> Path:
        """The same as a page."""
        return self.path / REPORT

    @property
    def predictions_file(self) -> Path:
        """What one detector says of every window of the test part."""
        return self.path / PREDICTIONS

    @property
    def openings(self) -> int:
        """How often the run's detectors were judged on the test part."""
        file = self.path / OPENINGS
        if not file.is_file():
            return 0
        return len(file.read_bytes().splitlines())

    def note_opening(self, command: str) -> None:
        """Count one more, with its time and the command that did it."""
        told = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "command": command}
        with (self.path / OPENINGS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")

    @property
    def history_file(self) -> Path:
        """What happened in each epoch of one detector's training."""
        return self.path / HISTORY

    @cached_property
    def config(self) -> RunConfig:
        """Raises CheckpointError where there is none, or it is damaged."""
        return RunConfig.load(self.path)

    @property
    def header(self) -> Header:
        """What a detector's folder says of the detector. Raises CheckpointError where it holds none."""
        return read_header_of(self.path)

    @property
    def dataset(self) -> Path:
        """Where the dataset lies that the run's detectors learnt from."""
        return configs.resolve(self.path, self.config.dataset)

    @property
    def split(self) -> Path:
        """Where the split lies that says what they learnt from and what they are judged by."""
        return configs.resolve(self.path, self.config.split)

    @cached_property
    def results(self) -> RunResults | None:
        """What the detectors meant were judged to be, or None where nobody judged them.

        Raises DatasetError for results that cannot be read.
        """
        home = RunDirectory(self.home)
        if not home.metrics_file.is_file():
            return None
        results = RunResults.load(home.metrics_file)
        if self.is_view:
            return _of_view(results, self.path.absolute().name)
        return results

    @property
    def view(self) -> str:
        """The view of all detectors, `both` where they have both; empty where nobody says."""
        named: set[str] = set()
        if self.results is not None:
            named = {model.view for model in self.results.models}
        if len(named) > 1:
            return "both"
        asked = ""
        if self.config_file.is_file():
            asked = self.config.view
        # Results name a view only where there were both: of one view, what was asked for says which.
        return next(iter(named), "") or asked

    @cached_property
    def detectors(self) -> dict[str, Path]:
        """The folders of all finished detectors that were asked for, by what the run calls them (`gru`, or
        `oracle/gru`)."""
        asked = RunDirectory(self.home)
        if self.is_detector or not asked.config_file.is_file():
            return self.kept
        return {name: folder for name, folder in self.kept.items() if name in asked.config.models}

    @cached_property
    def kept(self) -> dict[str, Path]:
        """The same, and those of the baselines that were judged beside them: all that can be put to work."""
        here = self.path.absolute()
        if self.is_detector:
            return {here.name: self.path}
        before = f"{here.name}/" if self.is_view else ""
        headers = sorted(self.path.glob(f"*/{HEADER}"))
        if self.is_run:
            # In a run of both views, detectors lie a folder deeper.
            headers += sorted(self.path.glob(f"*/*/{HEADER}"))
        found = [header.parent for header in headers]
        return {before + folder.relative_to(self.path).as_posix(): folder for folder in found}

    def folder(self, name: str) -> RunDirectory:
        """The folder of the detector that the run calls `name`, finished or not: a run by itself."""
        if self.is_detector:
            return self
        return RunDirectory(self.path / name)

    def lay_out(self, name: str, config: RunConfig, split: Split, hyper: dict[str, Any]) -> RunDirectory:
        """Make the folder of a detector in this run, a run by itself; what it learnt is put there afterwards.

        `config` is the run's, `hyper` what was asked of this detector.
        """
        view, model = views.parts(name, config.view)
        own = RunDirectory(self.path / name)
        own.path.mkdir(parents=True, exist_ok=True)
        split.save(own.split_file)
        dataset = configs.relative(configs.resolve(self.path, config.dataset), own.path)
        update = {"models": (model,), "view": view, "dataset": dataset, "hyper": hyper}
        config.model_copy(update=update).save(own.path)
        return own

    def detector(self) -> Path:
        """The folder of the one detector that was asked for.

        Raises UsageError where there are several, CheckpointError where none was ever finished.
        """
        found = list(self.detectors.values())
        if not found:
            raise CheckpointError(
                "none of this run's detectors was ever finished",
                where=self.path,
                remedy="repeat its command with --resume",
            )
        if len(found) > 1:
            names = ", ".join(folder.relative_to(self.path).as_posix() for folder in found)
            raise UsageError(
                f"a run of several detectors ({names})",
                where=self.path,
                remedy=f"name one of them: {found[0]}",
            )
        return found[0]

    def best(self) -> Path:
        """The folder of the best detector, baselines included: see `RunResults.ranked`.

        Raises as `detector` does where several were never judged.
        """
        if self.is_detector or self.results is None:
            return self.detector()
        there = [found.name for found in self.results.ranked if found.name in self.kept]
        if not there:
            return self.detector()
        return self.kept[there[0]]

    def load(self, schema: Schema) -> dict[str, Loaded]:
        """All detectors of the run by name, from their checkpoints: what is judged is what was saved.

        `schema` is the dataset's. Raises CheckpointError for one that was never finished, or as
        `checkpoint.load` does.
        """
        folders = {name: self.folder(name) for name in self.config.models}
        for folder in folders.values():
            if not folder.is_detector:
                raise CheckpointError(
                    "this detector was never finished",
                    where=folder.path,
                    remedy="repeat its command with --resume",
                )
        return {name: load(folder.path, schema=schema) for name, folder in folders.items()}

    def test_part(self, loaded: Loaded) -> EncodedWindows:
        """The windows that the run's detectors are judged by, as `loaded` reads them.

        Raises CheckpointError where this is no run, and as opening its dataset and its split does.
        """
        windows = WindowSet.open(self.dataset)
        return EncodedWindows.of(Split.load(self.split).parts(windows).test, loaded.encoder)

    def predictions(self, name: str) -> Predictions:
        """What the detector called `name` said of the test part.

        Raises DatasetError where nobody judged it.
        """
        return Predictions.load(self.folder(name).predictions_file)

    def _runs_inside(self) -> list[str]:
        """Names of the runs that lie directly in this folder, where it holds more than detectors alone."""
        files = self.path.glob(f"*/{CONFIG}")
        folders = sorted(file.parent for file in files if not file.parent.name.startswith("."))
        runs = [folder for folder in folders if configs.is_config(folder / CONFIG)]
        if all(RunDirectory(folder).is_detector for folder in runs):
            return []
        return [folder.name for folder in runs]


def _of_view(results: RunResults, view: str) -> RunResults:
    """The results of one view, baselines included."""
    names = {found.name for found in results.detectors if found.view == view}
    return results.model_copy(
        update={
            "detectors": [found for found in results.detectors if found.name in names],
            "comparisons": [found for found in results.comparisons if found.model in names],
            "pairs": [found for found in results.pairs if {found.first, found.second} <= names],
        }
    )
