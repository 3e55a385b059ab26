"""Judging a detector on labelled evidence that it never saw: prepared, judged and forgotten again."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vestige import checkpoint
from vestige.checked import refused
from vestige.checkpoint import Loaded, Pooling
from vestige.engine import LOCAL, Engine
from vestige.errors import EvidenceError, UsageError
from vestige.evaluation import bootstrap
from vestige.evaluation.catalogue import METRICS, Material, Metric
from vestige.evaluation.clusters import Clusters, clusters_of
from vestige.evaluation.learnt import FILE, Learnt
from vestige.evaluation.pooling import by_recording
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.record import IntervalResult
from vestige.models.normal.detector import Normal
from vestige.pipeline.check_part import alerts_of, judge_recordings, p_values
from vestige.pipeline.experiment import require_labels
from vestige.pipeline.predicting import of_part
from vestige.reading.encoding import EncodedWindows
from vestige.reading.prepare import prepare
from vestige.reading.steps import Reader, ShowProgress, silent
from vestige.reading.times import rfc3339, span
from vestige.reading.windows import WindowSet
from vestige.runs.directory import RunDirectory
from vestige.schema import Schema
from vestige.scoring.windows import round_products
from vestige.sources import registry
from vestige.sources.base import Source

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class JudgedOn:
    """What a detector is worth on evidence: `metrics` by name, each as its entry of the catalogue has it.

    `unit`: what was judged, `window` or `recording`; `test`: what it said of them; `alerts`: how many of them
    alert; `doubts`: what weakens the figures, in sentences.
    """

    detector: str
    evidence: Path
    unit: str
    test: Predictions
    alerts: int
    clusters: Clusters
    metrics: dict[str, IntervalResult]
    doubts: list[str]

    def to_json(self) -> dict[str, Any]:
        """All but what was said of each window, as JSON values."""
        return {
            "detector": self.detector,
            "evidence": str(self.evidence),
            "unit": self.unit,
            "judged": len(self.test),
            "anomalous": int(self.test.positive.sum()),
            "alerts": self.alerts,
            "metrics": {name: figure.model_dump(mode="json") for name, figure in self.metrics.items()},
            "doubts": self.doubts,
        }


@dataclass(frozen=True)
class Said:
    """What a detector says of windows, or recordings (`unit`), and which of them alert `(N,)`."""

    unit: str
    test: Predictions
    alert: NDArray[np.bool_]

    def material(self, clusters: Clusters, weights: FloatArray, *, of_alerts: bool) -> Material:
        """What metrics are computed from: those of the ranking, or (`of_alerts`) those of the alerts, which
        one threshold need not tell from silence."""
        test = self.test
        if of_alerts:
            proba = np.zeros_like(test.proba)
            proba[:, 0], proba[:, 1] = ~self.alert, self.alert
            test = replace(test, proba=proba)
        return Material(test, 0.5, clusters, weights)


def judge_on(
    run: Path,
    evidence: Path,
    read: dict[str, Any],
    *,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
    rounded: bool = False,
    engine: Engine = LOCAL,
    metrics: Sequence[Metric] = METRICS,
    progress: ShowProgress = silent,
) -> JudgedOn:
    """Judge the detector in the directory `run` on labelled `evidence`, by its ranking and its alerts.

    `read`: options of the source that say how the evidence is read and where its labels are; what they do not
    say is as it was learnt. Where labels are of recordings, recordings are judged. The alerts of a detector
    of what is normal are those within its budget, its threshold being moved as scoring moves it. `rounded`:
    with products rounded to bfloat16.
    Raises UsageError for an option that there is not, and where no products could be rounded, EvidenceError
    where there are no labels, or but one class, or where it is not what the detector reads.
    """
    directory = RunDirectory.open(run).detector()
    loaded = checkpoint.load(directory)
    if rounded:
        round_products(loaded)
    source = registry.get(loaded.schema.source)
    learnt = _learnt(directory)
    options = _options(source, (learnt.options if learnt else {}) | read)
    with tempfile.TemporaryDirectory(prefix="vestige-") as place:
        labelled = _read(
            source.corpus_reader(evidence, options), evidence, Path(place) / "labels", engine, progress
        )
        _require_labels(labelled, evidence)
        reader = source.reader(Schema.from_dict(loaded.header.dataset_schema))
        reader.remember(loaded.header.notes.forms)
        windows = _labelled_by(
            _read(reader, evidence, Path(place) / "dataset", engine, progress), labelled, evidence
        )
        encoded = EncodedWindows.of(windows, loaded.encoder)
        with progress("judging", ""):
            said = _said(loaded, encoded, of_recordings=labelled.schema.target == "recording")
        drawn = clusters_of(said.test)
        weights = bootstrap.draw(drawn.count, resamples, seed)
        material = {of: said.material(drawn, weights, of_alerts=of) for of in (False, True)}
        found = {metric.name: metric.compute(material[metric.at_threshold]) for metric in metrics}
        doubts = _doubts(learnt, windows, drawn, evidence)
    return JudgedOn(
        loaded.detector.name, evidence, said.unit, said.test, int(said.alert.sum()), drawn, found, doubts
    )


def _read(
    reader: Reader[Any], evidence: Path, out: Path, engine: Engine, progress: ShowProgress
) -> WindowSet:
    """Evidence as a dataset in `out`."""
    with progress(f"reading {evidence}", "bytes") as update:
        prepare(reader, evidence, out, engine=engine, progress=update)
    return WindowSet.open(out, fresh=True)


def _require_labels(windows: WindowSet, evidence: Path) -> None:
    """Raise EvidenceError where there are no labels, or but one class."""
    try:
        require_labels(windows, evidence, what="judging")
    except EvidenceError as error:
        source = windows.schema.source
        raise EvidenceError(
            error.what,
            where=evidence,
            remedy="say where the labels are, such as --read label=column: an option of "
            f"vestige prepare {source} without its dashes (see its --help)",
        ) from error


def _labelled_by(windows: WindowSet, labelled: WindowSet, evidence: Path) -> WindowSet:
    """Windows as the detector reads them, with the labels of the same steps as a person says they are read:
    where labels are may change what is taken for text. Raises EvidenceError where the steps are others."""
    same = windows.recordings["id"].equals(labelled.recordings["id"]) and np.array_equal(
        windows.t_ns, labelled.t_ns
    )
    if not same:
        raise EvidenceError(
            f"read for its labels, it holds {len(labelled):,} windows of {labelled.recordings.height:,} "
            f"recordings, and {len(windows):,} of {windows.recordings.height:,} as the detector reads it",
            where=evidence,
            remedy="say with --read NAME=VALUE how it was read for learning",
        )
    label = labelled.label
    if len(windows.schema.classes) != len(labelled.schema.classes):
        label = np.minimum(label, 1)
    return replace(windows, label=label, notes={**windows.notes, "labelled": True})


def _said(loaded: Loaded, encoded: EncodedWindows, *, of_recordings: bool) -> Said:
    detector, pooling = loaded.detector, loaded.header.notes.pooling
    if isinstance(detector, Normal):
        return _said_of_normal(detector, encoded, of_recordings=of_recordings)
    threshold = 0.5 if loaded.threshold is None else loaded.threshold
    unit, test = "window", of_part(detector, encoded, pooling)
    if pooling is not None:
        unit = "recording"
    return Said(unit, test, test.score >= threshold)


def _said_of_normal(detector: Normal, encoded: EncodedWindows, *, of_recordings: bool) -> Said:
    windows, n_classes = encoded.windows, len(encoded.schema.classes)
    p_value = p_values(detector, encoded)
    test = Predictions.of(windows, _proba(-np.log(p_value), detector.alpha, n_classes))
    if not of_recordings:
        return Said("window", test, alerts_of(detector, windows, p_value))
    pooled = by_recording(test, Pooling(kind="max"))
    if detector.recordings is None:
        return Said("recording", pooled, pooled.score >= 0.5)
    verdicts = judge_recordings(detector, encoded)
    # Scores are powers of ten.
    rareness = np.log(10) * np.array([verdict.score for verdict in verdicts])
    whole = replace(pooled, proba=_proba(rareness, detector.recordings.alpha, n_classes))
    return Said("recording", whole, np.array([verdict.alert for verdict in verdicts]))


def _proba(rareness: FloatArray, alpha: float, n_classes: int) -> FloatArray:
    """Probabilities `(N, K)` whose order is that of the rareness -ln p `(N,)`, and which are one half where
    p is `alpha`. Those of the detector itself are all 1 far beyond it, and would tie."""
    odds = rareness / -np.log(alpha)
    proba = np.zeros((len(rareness), n_classes))
    proba[:, 1] = odds / (1 + odds)
    proba[:, 0] = 1 - proba[:, 1]
    return proba


def _learnt(directory: Path) -> Learnt | None:
    if (directory / FILE).is_file():
        return Learnt.load(directory / FILE)
    return None


def _options(source: Source[Any], given: dict[str, Any]) -> Any:
    """The options of a source. Raises UsageError, naming those that there are."""
    try:
        return source.options(**given)
    except ValidationError as error:
        name, told = refused(error)
        raise UsageError(
            f"--read {name}: {told}",
            remedy=f"NAME=VALUE, NAME being one of {', '.join(source.options.model_fields)}: see vestige "
            f"prepare {source.name} --help",
        ) from error


def _doubts(learnt: Learnt | None, windows: WindowSet, drawn: Clusters, evidence: Path) -> list[str]:
    doubts = []
    if not drawn.trusted:
        doubts.append(f"the intervals cannot be trusted: {drawn.reason}")
    if learnt is None:
        return doubts
    times, until = span(windows.t_ns), max(learnt.learn.end or "", learnt.calibrate.end or "")
    if learnt.evidence == str(evidence):
        doubts.append("this is the evidence that it learnt from: new evidence is harder")
    elif times is not None and str(rfc3339(np.array(times))[0]) <= until:
        doubts.append(
            f"some of it is from before {until}, when what it learnt from ended: it may be the same"
        )
    return doubts
