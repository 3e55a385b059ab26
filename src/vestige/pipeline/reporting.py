"""Writing what was found: predictions, metrics and a report for the run, and for each model in its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige import log
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.report import Details, write_report, write_script
from vestige.evaluation.results import RunResults
from vestige.pipeline.experiment import Experiment
from vestige.runs.directory import RunDirectory

logger = log.get(__name__)


def write(
    experiment: Experiment,
    out: Path,
    results: RunResults,
    tests: Mapping[str, Predictions],
    *,
    self_contained: bool = False,
) -> None:
    """Write into `out` and, where `out` is a run of several models, into the folder of each.

    Reports share one script of figures, in `out`, or in the run that a detector's folder lies in, unless each
    is to be `self_contained`; then the run's shows all models in full, which otherwise stand in their own.
    """
    run = RunDirectory(out)
    script = None
    if not self_contained:
        whole = RunDirectory(RunDirectory(out.parent).home)
        script = write_script(whole.path if run.is_detector and whole.is_run else out)
    folders = {result.name: run.folder(result.name) for result in results.models}
    for result in results.models:
        folder, test = folders[result.name], tests[result.name]
        where = experiment.source.place(experiment.parts.test, _windows(experiment, test.position)).drop(
            "text"
        )
        test.save(folder.predictions_file, threshold=result.threshold.value, place=where)
        if not run.is_detector:
            _report(experiment, folder, results.only(result.name), tests, {result.name: folder}, script)
    own = {}
    if script is not None and not run.is_detector:
        own = {name: _beside(folder.report_file, out) for name, folder in folders.items()}
    _report(experiment, run, results, tests, folders, script, own)


def _report(
    experiment: Experiment,
    folder: RunDirectory,
    results: RunResults,
    tests: Mapping[str, Predictions],
    folders: Mapping[str, RunDirectory],
    script: Path | None,
    own: Mapping[str, str] | None = None,
) -> None:
    """Write metrics and report into `folder`. `own`: where models have reports of their own."""
    judged = next(iter(tests.values())).position

    def place(rows: NDArray[np.int64]) -> pl.DataFrame:
        return experiment.source.place(experiment.parts.test, _windows(experiment, judged[rows]))

    histories = {name: where.history_file for name, where in folders.items()}
    history = {name: pl.read_csv(path) for name, path in histories.items() if path.is_file()}
    shown = {result.name: tests[result.name] for result in results.detectors}
    results.save(folder.metrics_file)
    beside = None if script is None else _beside(script, folder.path)
    details = Details(tests=shown, history=history, place=place, script=beside, reports=own or {})
    write_report(folder.report_file, results, details)
    logger.info("wrote %s", folder.report_file)


def _beside(path: Path, folder: Path) -> str:
    """A file's path as a page in `folder` names it."""
    return os.path.relpath(path, folder).replace(os.sep, "/")


def _windows(experiment: Experiment, target_step: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which windows of the test part judge these steps."""
    targets = experiment.parts.test.target_step
    order = np.argsort(targets)
    return order[np.searchsorted(targets, target_step, sorter=order)]
