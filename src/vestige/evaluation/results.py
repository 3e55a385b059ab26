"""The schema of `metrics.json`: what is known about a run's detectors, as typed plain data.

A measure that has no value (recall without positives, macro F1 of a group that lacks a class) is null,
never a number that only looks like one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from vestige import checked
from vestige.checkpoint.notes import Pooling
from vestige.errors import DatasetError
from vestige.evaluation.figures import (
    Alerting,
    CalibrationResult,
    ClassRow,
    Confusion,
    Curve,
    DeletionResult,
    FixedFpr,
    GroupRow,
    GroupTable,
    NextTokenResult,
    OnsetResult,
    OpenSetResult,
    ThresholdResult,
    WindowReasons,
)
from vestige.evaluation.record import IntervalResult, Number, Record, complaint
from vestige.storage import write_text

FORMAT: Literal["vestige-metrics/3"] = "vestige-metrics/3"

SEES_EVERYTHING = "oracle"
"""The view of what no deployed detector could see."""


Place = Literal["terminal", "report", "page"]
"""Where figures are shown in columns: the terminal's table, the report, the dashboard's page."""


class MetricColumn(Record):
    """How a metric is shown: see `catalogue.Metric`."""

    name: str
    title: str
    short: str
    form: str
    higher_is_better: bool
    at_threshold: bool
    places: list[Place]

    @property
    def hint(self) -> str:
        """Which direction is better, for people to read."""
        if self.higher_is_better:
            return "higher is better"
        return "lower is better"


class ClusterResult(Record):
    """What the bootstrap draws, and whether there are enough of them to trust the intervals."""

    unit: str
    count: int
    description: str
    trusted: bool
    reason: str = ""


class DetectorResults(Record):
    """Everything measured about one detector on the test part.

    `pooling`: how windows became recordings where each recording was judged; None where each window was.
    `view`: what it may see, where the run has both views; its name then begins with it (`oracle/gru`).
    `also_baseline`: a trained model that is one of the trivial baselines, too, and stands among both.
    `unusable`: why nobody can put it to work, whatever its figures are; empty where one can.
    """

    name: str
    kind: Literal["model", "baseline"]
    also_baseline: bool = False
    view: str = ""
    unusable: str = ""
    pooling: Pooling | None = None
    next_token: NextTokenResult | None = None
    windows: int
    validation_macro_f1: Number
    metrics: dict[str, IntervalResult]
    """By name; `RunResults.metrics` says how each is shown."""
    per_class: list[ClassRow]
    confusion: Confusion
    curves: list[Curve]
    fixed_fpr: list[FixedFpr]
    threshold: ThresholdResult
    alerting: Alerting
    calibration: CalibrationResult
    calibrated: CalibrationResult | None = None
    """The same of the probability that validation made of the score; None where it could not."""
    open_set: OpenSetResult | None = None
    seen: GroupRow | None = None
    novel: GroupRow | None = None
    per_profile: GroupTable
    per_host: GroupTable
    per_recording: GroupTable
    onset: OnsetResult | None = None
    reasons: list[WindowReasons] = Field(default_factory=list)
    deletion: DeletionResult | None = None

    @property
    def macro_f1(self) -> IntervalResult:
        """The metric by which detectors are compared."""
        return self.metrics["macro_f1"]

    @property
    def is_baseline(self) -> bool:
        """Whether it is one of the trivial baselines, trained as a model or not."""
        return self.kind == "baseline" or self.also_baseline

    @property
    def usable(self) -> bool:
        """Whether it can be put to work. Of results from before `unusable` the view alone says so."""
        return not self.unusable and self.view != SEES_EVERYTHING

    @property
    def role(self) -> str:
        """What it is, for people to read."""
        if self.also_baseline:
            return "model and baseline"
        return self.kind

    @property
    def bare_name(self) -> str:
        """Its name without the view."""
        return self.name.removeprefix(f"{self.view}/")


class Comparison(Record):
    """A model against the baseline that was best on validation, on the same resamples.

    `share_not_better`: resamples in which the model gains nothing. `hindsight_*`: the same against the
    baseline that turned out best on the test part. `outcome`: better only where both gains are.
    """

    model: str
    baseline: str
    gain: IntervalResult
    share_not_better: Number
    hindsight_baseline: str
    hindsight_gain: IntervalResult
    outcome: Literal["better", "unclear", "not better"]
    sentence: str


class PairResult(Record):
    """Two models on the same resamples: `gap` is the macro F1 of `first` less that of `second`.

    `p`: two-sided, from the resamples; `p_adjusted`: by Holm's step-down method over all pairs of the run.
    Both None where the resamples cannot be trusted.
    `kind`: two models of one view, or one model in two views.
    """

    first: str
    second: str
    kind: Literal["models", "views"]
    gap: IntervalResult
    p: Number
    p_adjusted: Number


class Verdict(Record):
    """Whether a detector of a run is to be put to work, in an operator's words; see `evaluation.verdict`.

    `title`: the verdict in one sentence. `detector`: the best on validation of those that can be put to work,
    also where the advice is to use none; empty where there is none. `score`: the command that puts it to
    work; empty where it was not kept. `why`: sentences. `next_step` says in words what to do, and `commands`
    what to type for that, each an alternative.
    """

    outcome: Literal["use", "none"]
    title: str
    detector: str = ""
    score: str = ""
    why: list[str]
    next_step: str
    commands: list[str]

    @property
    def all_the_same(self) -> bool:
        """Whether there is a detector to look at, although the advice is to use none."""
        return self.outcome == "none" and bool(self.score)


class CheckResult(Record):
    """One check of the audit."""

    name: str
    status: Literal["pass", "warn", "fail", "not_applicable"]
    figure: Number = None
    detail: str


class PartCounts(Record):
    """Size of one part of the split."""

    windows: int
    recordings: int
    hosts: int
    per_class: dict[str, int]
    per_profile: dict[str, int] = Field(default_factory=dict)
    """Windows by profile; empty where the dataset has not at least two of them."""


class SplitResult(Record):
    """What the split holds out, and what it therefore cannot test. `promises`: names of the checks of the
    audit that its recipe must pass."""

    recipe: str
    unit: str
    promises: list[str] = Field(default_factory=list)
    in_distribution: bool
    parts: dict[str, PartCounts]
    purged: int = 0
    left_out: int = 0
    untested_profiles: list[str] = Field(default_factory=list)
    unseen_profiles: list[str] = Field(default_factory=list)
    unvalidated_profiles: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


class LeftOutRow(Record):
    """Something of the evidence that was not read: see `evidence.defects.Defect`."""

    file: str
    row: int | None
    what: str
    why: str


class LeftOutResult(Record):
    """What of the evidence was not read: counts of all by what was left out, and the first of them."""

    counts: dict[str, int] = Field(default_factory=dict)
    first: list[LeftOutRow] = Field(default_factory=list)

    @property
    def total(self) -> int:
        """How much was left out in all."""
        return sum(self.counts.values())


class SymbolFinding(Record):
    """Whether the label follows from the last step's symbol (a log message's template) alone.

    `agreement`: share of windows that carry their symbol's usual label. `lookup_*`: macro F1 of a look-up
    table (each symbol's majority label in training; the overall majority for a symbol never seen), on all
    test windows, and on those whose symbol training knew or did not.
    """

    unit: str
    symbols: int
    mixed: int
    agreement: Number
    lookup_macro_f1: Number
    windows_known: int
    windows_unknown: int
    lookup_macro_f1_known: Number
    lookup_macro_f1_unknown: Number
    sentence: str


class RunResults(Record):
    """A run: its split, its audit, its detectors, and the gain over the best baseline."""

    format: Literal["vestige-metrics/3"] = FORMAT
    title: str
    created: str
    command: str = ""
    source: str = ""
    classes: list[str]
    split: SplitResult
    label_origin: str = ""
    synthetic: bool = False
    leakage_allowed: bool = False
    audit: list[CheckResult]
    symbols: SymbolFinding | None = None
    clusters: ClusterResult
    metrics: list[MetricColumn]
    """What was measured of every detector, in the order of columns, and how it is shown."""
    detectors: list[DetectorResults]
    comparisons: list[Comparison] = Field(default_factory=list)
    pairs: list[PairResult] = Field(default_factory=list)
    unseen: dict[str, float] = Field(default_factory=dict)
    evidence: str = ""
    """What reading the evidence lost, where its source knows."""
    left_out: LeftOutResult = Field(default_factory=LeftOutResult)
    warnings: list[str] = Field(default_factory=list)
    """What is doubtful about how the evidence was read, and how the detectors computed."""
    environment: dict[str, str] = Field(default_factory=dict)
    digests: dict[str, str] = Field(default_factory=dict)
    timings: dict[str, float] = Field(default_factory=dict)
    verdict: Verdict | None = None
    """None in results of before there were verdicts."""

    @property
    def models(self) -> list[DetectorResults]:
        """The trained detectors."""
        return [detector for detector in self.detectors if detector.kind == "model"]

    @property
    def baselines(self) -> list[DetectorResults]:
        """The trivial ones."""
        return [detector for detector in self.detectors if detector.kind == "baseline"]

    @property
    def policy(self) -> str:
        """The policy that chose the alert thresholds; empty without detectors."""
        return next((detector.threshold.policy for detector in self.detectors), "")

    def columns(self, place: Place) -> list[MetricColumn]:
        """The metrics that have a column in a place."""
        return [metric for metric in self.metrics if place in metric.places]

    @property
    def ranked(self) -> list[DetectorResults]:
        """All detectors, the best on validation first: this alone says which detector is the best.

        Of equals the one judged first, and so the simplest, comes first; what cannot be put to work, last.
        """
        return sorted(
            self.detectors, key=lambda detector: (not detector.usable, -(detector.validation_macro_f1 or 0.0))
        )

    @property
    def headline(self) -> Comparison | None:
        """The comparison of the model that was best on validation, of those that can be put to work.

        A model that is a baseline, too, has the headline only where all models are: what a run says of its
        other models does not hang on whether a baseline was named beside them.
        """
        by_name = {comparison.model: comparison for comparison in self.comparisons}
        ranked = sorted(self.ranked, key=lambda model: (not model.usable, model.also_baseline))
        return next((by_name[model.name] for model in ranked if model.name in by_name), None)

    def only(self, model: str) -> Self:
        """The results of one model and the baselines: what its own run directory holds.

        Other models that are baselines, too, are baselines alone there.
        """
        as_baseline = {"kind": "baseline", "also_baseline": False}
        detectors = []
        for detector in self.detectors:
            if detector.name == model:
                detectors.append(detector)
            elif detector.is_baseline:
                detectors.append(detector.model_copy(update=as_baseline))
        return self.model_copy(
            update={
                "detectors": detectors,
                "comparisons": [comparison for comparison in self.comparisons if comparison.model == model],
                "pairs": [pair for pair in self.pairs if model in {pair.first, pair.second}],
            }
        )

    def save(self, path: Path) -> None:
        """Write `metrics.json` atomically."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote. Raises DatasetError when the file is missing, damaged or of another version."""
        try:
            data = checked.read(path)
            checked.load(data)  # no number is beyond what a field could hold
            return cls.model_validate_json(data)
        except (OSError, ValueError) as error:
            remedy = "evaluate the run again: vestige evaluate RUN"
            raise DatasetError(complaint(error, FORMAT), where=path, remedy=remedy) from error
