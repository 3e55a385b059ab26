"""Writing what was found: predictions, metrics and a report for the run, and for each model in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige import checkpoint, log
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.report import Details, write_report
from vestige.evaluation.results import RunResults
from vestige.pipeline.experiment import Experiment

METRICS, REPORT, PREDICTIONS, HISTORY = "metrics.json", "report.html", "predictions.parquet", "history.csv"
logger = log.get(__name__)


def write(experiment: Experiment, out: Path, results: RunResults, tests: Mapping[str, Predictions]) -> None:
    """Write into `out` and, where `out` is a run of several models, into the folder of each."""
    single = (out / checkpoint.HEADER).is_file()
    folders = {one.name: out if single else out / one.name for one in results.models}
    for one in results.models:
        folder, test = folders[one.name], tests[one.name]
        where = experiment.source.place(experiment.parts.test, _windows(experiment, test.position)).drop(
            "text"
        )
        test.save(folder / PREDICTIONS, threshold=one.threshold.value, place=where)
        if not single:
            _report(experiment, folder, results.only(one.name), tests, {one.name: folder})
    _report(experiment, out, results, tests, folders)


def _report(
    experiment: Experiment,
    folder: Path,
    results: RunResults,
    tests: Mapping[str, Predictions],
    folders: Mapping[str, Path],
) -> None:
    judged = next(iter(tests.values())).position

    def place(rows: NDArray[np.int64]) -> pl.DataFrame:
        return experiment.source.place(experiment.parts.test, _windows(experiment, judged[rows]))

    histories = {name: path / HISTORY for name, path in folders.items()}
    history = {name: pl.read_csv(path) for name, path in histories.items() if path.is_file()}
    shown = {one.name: tests[one.name] for one in results.detectors}
    results.save(folder / METRICS)
    write_report(folder / REPORT, results, Details(tests=shown, history=history, place=place))
    logger.info("wrote %s", folder / REPORT)


def _windows(experiment: Experiment, target_step: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which windows of the test part judge these steps."""
    targets = experiment.parts.test.target_step
    order = np.argsort(targets)
    return order[np.searchsorted(targets, target_step, sorter=order)]
