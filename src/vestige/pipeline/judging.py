"""Judging: the baselines beside the trained detectors, the audit, the results, the reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vestige import log
from vestige.checkpoint import Loaded, Notes, Pooling
from vestige.evaluation.audit import audit, describe_split, enforce
from vestige.evaluation.catalogue import METRICS, columns
from vestige.evaluation.clusters import held_out
from vestige.evaluation.comparing import compare
from vestige.evaluation.explaining import deletion, told
from vestige.evaluation.figures import OnsetResult, ThresholdResult
from vestige.evaluation.judging import cluster_result, evaluate
from vestige.evaluation.onset import Attacks, onset_result
from vestige.evaluation.overlap import never_seen
from vestige.evaluation.pairs import compare_pairs
from vestige.evaluation.pooling import by_recording
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.results import (
    CheckResult,
    DetectorResults,
    LeftOutResult,
    LeftOutRow,
    RunResults,
    SymbolFinding,
)
from vestige.evaluation.symbols import symbol_finding
from vestige.evaluation.verdict import HOST_ONLY, ONE_SCORE, verdict_of
from vestige.evidence.defects import LeftOut
from vestige.models import registry
from vestige.models.base import Detector
from vestige.pipeline import model_transfer
from vestige.pipeline.experiment import Experiment
from vestige.pipeline.fitting import fit_baseline, save
from vestige.pipeline.predicting import calibrate, next_token, notes_of, of_part, pooling_of, predict
from vestige.pipeline.reporting import write
from vestige.reading.encoding import EncodedWindows
from vestige.reading.steps import ShowProgress, silent
from vestige.reading.told import warnings_of_notes
from vestige.runs import views
from vestige.runs.config import RunConfig
from vestige.runs.directory import RunDirectory
from vestige.splits import groups_of

logger = log.get(__name__)
CONTROLS = ("logistic", "means")
EXPLAINED, TESTED = 20, 32
"""Windows whose reasons the report shows, and those that reasons are tested on."""
REPORTED = 25
"""Things left out of the evidence that results name; all of them are counted."""


@dataclass(frozen=True)
class Baseline:
    """A baseline that was fitted here, with all that a checkpoint of it says."""

    name: str
    detector: Detector
    threshold: ThresholdResult
    notes: Notes


@dataclass
class Findings:
    """What was found about each detector so far, its predictions on the test part, and fitted baselines."""

    results: list[DetectorResults] = field(default_factory=list)
    tests: dict[str, Predictions] = field(default_factory=dict)
    baselines: list[Baseline] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how many seconds the block took."""
        start = time.perf_counter()
        yield
        self.timings[name] = round(time.perf_counter() - start, 3)


def judge(
    experiment: Experiment,
    out: Path,
    config: RunConfig,
    loaded: dict[str, Loaded],
    *,
    warnings: Sequence[str] = (),
    progress: ShowProgress = silent,
) -> RunResults:
    """Judge what was trained beside the baselines, and write predictions, metrics and reports into `out`.

    Baselines are fitted anew, and kept where `out` is the directory of a run: what was judged can be put to
    work. `warnings` of how it is judged stand before those of the evidence. Raises LeakageError when the
    audit fails, unless the run's config allows it.
    """
    baselines = _baselines(experiment, config)
    steps = len(baselines) + len(loaded) + 2
    with progress("judging", "steps") as update:
        checks, finding = _audited(experiment, config)
        leaking = enforce(checks, allow_leakage=config.judge.allow_leakage)
        RunDirectory(out).note_opening(config.command)
        findings = Findings()
        for done, name in enumerate([*baselines, *loaded]):
            update(done + 1, steps)
            with findings.timed(name):
                _judge(findings, experiment, config, name, loaded.get(name))
        results = _results(experiment, config, findings, checks, finding, warnings, leaking=leaking)
        run, whole = RunDirectory(out), out
        kept = {name: run.folder(name).path for name in loaded}
        if run.is_detector:
            # The folder of one detector is no place for another: the run that it lies in keeps them.
            whole = out.parent
        else:
            # All of them once all are judged: what failed leaves those of before.
            for baseline in findings.baselines:
                kept[baseline.name] = _keep(experiment, config, run, baseline)
        results = results.model_copy(update={"verdict": verdict_of(results, kept, whole)})
        update(steps - 1, steps)
        write(experiment, out, results, findings.tests, self_contained=config.judge.self_contained)
    return results


def _baselines(experiment: Experiment, config: RunConfig) -> list[str]:
    """The trivial detectors of every view of the run, but for those that were trained as models: they stand
    among the baselines as they were trained (`also_baseline`)."""
    names = views.names(registry.baselines(experiment.training_data.schema, config.task), config.view)
    return [name for name in names if name not in config.models]


def _audited(experiment: Experiment, config: RunConfig) -> tuple[list[CheckResult], SymbolFinding | None]:
    """The audit, and what the first groups of steps that the source brings say of the labels."""
    finding, groups = None, None
    for recipe in experiment.source.recipes:
        if recipe.unit == "group":
            groups = groups_of(experiment.windows, recipe)
            finding = symbol_finding(experiment.parts, groups, recipe.cluster)
            break
    checks = audit(
        experiment.parts,
        experiment.split,
        encoded=experiment.training_data.train,
        groups=groups,
        finding=finding,
        fit_and_predict=_control(experiment, config),
        seed=config.training.seed,
    )
    return [*checks, *model_transfer.check(config)], finding


def _judge(
    findings: Findings, experiment: Experiment, config: RunConfig, name: str, loaded: Loaded | None
) -> None:
    """Judge a trained detector, or (None) the baseline that is called so."""
    if loaded is not None:
        logger.info("%s: judging on %d windows", name, len(experiment.test))
        encoded = EncodedWindows.of(experiment.windows, loaded.encoder)
        pooling = loaded.header.notes.pooling
        _judge_one(findings, experiment, config, name, loaded.detector, encoded, pooling, kind="model")
        return
    data = experiment.training_data
    view, model = views.parts(name, config.view)
    detector = fit_baseline(data, model, seed=config.training.seed, view=view)
    pooling = pooling_of(detector, data.validation)
    threshold = calibrate(detector, data.validation, pooling, config.judge.threshold)
    _judge_one(findings, experiment, config, name, detector, data.train, pooling, kind="baseline")
    notes = notes_of(of_part(detector, data.validation, pooling, validation=True), pooling)
    findings.baselines.append(Baseline(name, detector, threshold, notes))


def _keep(experiment: Experiment, config: RunConfig, run: RunDirectory, baseline: Baseline) -> Path:
    """Write a baseline into its folder of the run, a detector like those that were asked for."""
    # Whatever was taken from elsewhere, this one learnt here, and nobody asked anything of it.
    here = config.model_copy(update={"trained_elsewhere": False})
    own = run.lay_out(baseline.name, here, experiment.split, {})
    save(
        own.path,
        experiment.training_data,
        baseline.detector,
        baseline.threshold,
        # Not read back from its folder: files that appear together are not there before all of them are.
        view=views.parts(baseline.name, config.view)[0],
        notes=baseline.notes,
    )
    return own.path


def _results(
    experiment: Experiment,
    config: RunConfig,
    findings: Findings,
    checks: list[CheckResult],
    finding: SymbolFinding | None,
    warnings: Sequence[str],
    *,
    leaking: bool,
) -> RunResults:
    drawing = {"seed": config.training.seed, "resamples": config.judge.resamples}
    return RunResults(
        title=f"{experiment.source.name}: {Path(config.corpus).name or Path(config.dataset).name}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=config.command,
        source=experiment.source.name,
        classes=list(experiment.training_data.schema.classes),
        split=describe_split(experiment.parts, experiment.split),
        label_origin=str(experiment.windows.notes.get("label_origin", "")),
        synthetic=bool(experiment.windows.notes.get("synthetic", False)),
        leakage_allowed=leaking,
        audit=checks,
        symbols=finding,
        clusters=cluster_result(next(iter(findings.tests.values()))),
        metrics=columns(METRICS),
        detectors=findings.results,
        comparisons=compare(findings.results, findings.tests, **drawing),
        pairs=compare_pairs(findings.results, findings.tests, **drawing),
        unseen=_unseen(experiment),
        evidence=str(experiment.windows.notes.get("decoding", "")),
        left_out=_left_out(experiment),
        warnings=[
            *warnings,
            *warnings_of_notes(experiment.windows.notes, experiment.windows.path)[:REPORTED],
        ],
        environment=config.versions,
        digests={"schema": experiment.windows.schema.digest, "dataset": experiment.split.dataset},
        timings=findings.timings,
    )


def _left_out(experiment: Experiment) -> LeftOutResult:
    """What of the evidence was not read, as the dataset's notes have it."""
    windows = experiment.windows
    found = LeftOut.of_notes(windows.notes, windows.path)
    return LeftOutResult(
        counts=found.counts, first=[LeftOutRow(**asdict(defect)) for defect in found.first[:REPORTED]]
    )


def _judge_one(
    findings: Findings,
    experiment: Experiment,
    config: RunConfig,
    name: str,
    detector: Detector,
    encoded: EncodedWindows,
    pooling: Pooling | None,
    *,
    kind: Literal["model", "baseline"],
) -> None:
    side = encoded.over(experiment.parts.test)
    windows = replace(
        predict(detector, side),
        novel=never_seen(experiment.training_data.train, experiment.test, detector.input_names),
    )
    windows = held_out(windows, experiment.split, side.windows)
    test = windows
    if pooling is not None:
        test = by_recording(windows, pooling)
    validation = of_part(detector, encoded.over(experiment.parts.validation), pooling, validation=True)
    found = evaluate(
        name,
        validation,
        test,
        kind=kind,
        policy=config.judge.threshold,
        seed=config.training.seed,
        resamples=config.judge.resamples,
    )
    findings.tests[name] = test
    view, model = views.parts(name, config.view)
    onset = None
    if pooling is None:
        # A pooled prediction is of a whole recording: it has no moment that could be early or late.
        onset = _onset(experiment, config, validation, test)
    found_reasons = _explained(detector, side, windows, found.threshold.value, config)
    more = {
        **found_reasons,
        "view": view if config.view == views.BOTH else "",
        "unusable": _unusable(detector, validation),
        "pooling": pooling,
        "also_baseline": kind == "model" and model in registry.BASELINES,
        "next_token": next_token(detector, side),
        "onset": onset,
    }
    findings.results.append(found.model_copy(update=more))


def _explained(
    detector: Detector, side: EncodedWindows, windows: Predictions, threshold: float, config: RunConfig
) -> dict[str, Any]:
    """The reasons of the alerts that the report shows, and whether reasons are any good, tested on others.

    Tested are windows at or above the threshold, drawn by chance; where few are (recordings are judged, and
    windows pooled), the highest scores.
    """
    if detector.task == "normal" or not len(windows):
        return {}
    order = np.argsort(-windows.score, kind="stable")
    shown = order[:EXPLAINED]
    alerting = np.flatnonzero(windows.score >= threshold)
    tested = order[:TESTED]
    if len(alerting) > TESTED:
        tested = np.random.default_rng(config.training.seed).choice(alerting, TESTED, replace=False)
    rows, again = np.unique(np.concatenate([shown, tested]), return_inverse=True)
    X = side.batch(rows, detector.input_names)
    reasons = detector.reasons(X)
    ahead = side.windows.schema.ahead
    at = again[len(shown) :]
    unit = windows.recording if windows.unit is None else windows.unit
    return {
        "reasons": [
            told(reasons[row], int(windows.position[rows[row]]), ahead)
            for row in again[: len(shown)].tolist()
        ],
        "deletion": deletion(
            detector,
            {name: values[at] for name, values in X.items()},
            unit[tested],
            reasons=[reasons[row] for row in at.tolist()],
            seed=config.training.seed,
            resamples=config.judge.resamples,
        ),
    }


def _unusable(detector: Detector, validation: Predictions) -> str:
    """Why nobody can put a detector to work, whatever its figures are; empty where one can."""
    if detector.reads_host_only:
        return HOST_ONLY
    if len(validation) and validation.score.min() == validation.score.max():
        return ONE_SCORE
    return ""


def _onset(
    experiment: Experiment, config: RunConfig, validation: Predictions, test: Predictions
) -> OnsetResult | None:
    """What is said around the beginnings of attacks, where the source knows them."""
    attacks = Attacks.of(experiment.windows)
    if attacks is None:
        return None
    seed, resamples = config.training.seed, config.judge.resamples
    return onset_result(validation, test, attacks, seed=seed, resamples=resamples)


def _control(
    experiment: Experiment, config: RunConfig
) -> Callable[[NDArray[np.uint8]], NDArray[np.int64]] | None:
    """What the label-shuffle control trains: a logistic regression, where the inputs allow one."""
    there_are = registry.baselines(experiment.training_data.schema)
    control = next((name for name in CONTROLS if name in there_are), None)
    if control is None:
        return None

    def fit_and_predict(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
        seed, view = config.training.seed, views.of_run(config.view)[0]
        shuffled = fit_baseline(experiment.training_data, control, seed=seed, view=view, labels=labels)
        return predict(shuffled, experiment.test).predicted

    return fit_and_predict


def _unseen(experiment: Experiment) -> dict[str, float]:
    """How much of each part training never saw, by what is counted."""
    encoder = experiment.training_data.train.encoder
    sides = (
        ("train", experiment.parts.train),
        ("validation", experiment.parts.validation),
        ("test", experiment.parts.test),
    )
    return {f"{what}, {part}": rate for part, side in sides for what, rate in encoder.unseen(side).items()}
