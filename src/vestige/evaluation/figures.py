"""Figures of one detector on the test part, as typed plain data: what `results.DetectorResults` is made of.

A measure that has no value (recall without positives, macro F1 of a group that lacks a class) is null,
never a number that only looks like one.
"""

from __future__ import annotations

from vestige.evaluation.record import IntervalResult, Number, Record

SATURATED = 1e-3
"""A threshold nearer to 1 than this is saturated."""
FEWEST_TO_TEST = 10
"""Clusters that the interval of a deletion test needs."""


class ClassRow(Record):
    """One class: `support` windows truly of it, `predicted` windows said to be of it."""

    name: str
    support: int
    predicted: int
    precision: Number
    recall: Number
    f1: Number


class Confusion(Record):
    """Counts over the union of the labels seen: row = true class, column = predicted class."""

    classes: list[str]
    counts: list[list[int]]


class Curve(Record):
    """A class against the rest, thinned for drawing (areas are exact). Anomaly score: 1 - P(first class)."""

    name: str
    positives: int
    average_precision: Number
    roc_auc: Number
    recall: list[float]
    precision: list[float]
    fpr: list[float]
    tpr: list[float]


class OperatingPoint(Record):
    """A threshold and what it gives on the test part."""

    threshold: float
    recall: Number
    fpr: Number


class FixedFpr(Record):
    """Recall at a fixed false-positive rate: threshold read off validation, and off the test part itself.

    The second looks at the answers and is an upper bound, not a result. The first is null where the
    validation part holds no normal windows.
    """

    fpr: float
    from_validation: OperatingPoint | None
    upper_bound: OperatingPoint


class ThresholdResult(Record):
    """The alert threshold (alert where score >= value), as `policy` chose it on validation."""

    policy: str
    value: float
    validation_fpr: Number
    validation_recall: Number
    validation_negatives: int
    validation_positives: int
    validation_alerts: int
    note: str = ""

    @property
    def saturated(self) -> bool:
        """Whether it lies where scores have no room left: only the last digits decide what alerts."""
        return self.value > 1 - SATURATED


class Alerting(Record):
    """What the chosen threshold alerts on in the test part, counted; the rates by day are null without times.

    Recall, precision and the like at the threshold are among the metrics.
    """

    tp: int
    fp: int
    fn: int
    tn: int
    alerts_per_day: Number
    alerts_per_host_day: Number


class CalibrationResult(Record):
    """Reliability bins of the anomaly score, Brier score and expected calibration error, with intervals."""

    score: list[float]
    share: list[float]
    count: list[int]
    brier: Number
    ece: Number
    brier_interval: IntervalResult | None = None
    ece_interval: IntervalResult | None = None


class ConformalRow(Record):
    """Of `units` of the test part that are of one class, or of one profile: the share whose own class
    conformal prediction let pass (`covered`), with exact bounds, and the share that it called unknown."""

    name: str
    units: int
    covered: IntervalResult
    unknown: Number


class OpenSetResult(Record):
    """What `--unknown LEVEL` would have said of the test part: class by class, and profile by profile.

    Promised is that no more than `level` of a class is denied it, of units that are like validation's; a
    profile that training never saw (`held_out`) is not, and the table says what became of it.
    """

    level: float
    classes: list[ConformalRow]
    profiles: list[ConformalRow]
    held_out: list[str]


class GroupRow(Record):
    """The windows of one group. `macro_f1` is null when a class of the test part is missing here."""

    name: str
    windows: int
    per_class: dict[str, int]
    macro_f1: Number
    average_precision: Number
    recall: Number
    fpr: Number
    alerts: int


class GroupTable(Record):
    """Rows by group, the largest groups first; `omitted` counts the groups left out for length."""

    rows: list[GroupRow]
    omitted: int = 0


class NextTokenResult(Record):
    """How well the next token is predicted on normal test windows.

    `mean_surprise` in nats; `top1` (5, 10): share of windows whose token was among the 1 (5, 10) most
    probable.
    """

    windows: int
    mean_surprise: float
    top1: float
    top5: float
    top10: float


class TrustPoint(Record):
    """The mean probability of the true class of the windows that ended `seconds` after the beginning (or
    up to `width` later), over so many `recordings`; `low` and `high` its 95% interval."""

    seconds: float
    recordings: int
    mean: float
    low: Number
    high: Number


class DelayResult(Record):
    """When alerts came, at the threshold that keeps to `fpr` on the validation part.

    `reached_fpr`: share of the test windows without attack at or above it. `already`: share of the attacks
    before whose beginning there was an alert in the same recording; that is no detection, whatever came
    after. `detected`: share of the attacks with an alert while they lasted and none before; `within`: share
    of them all that were so detected so many seconds after the beginning. `median_s`: the median delay in
    seconds of those without an alert before, where a missed attack counts as infinite (a null estimate: more
    than half of them were missed; a null bound: so it is in resamples); null where all had one.
    """

    fpr: float
    threshold: float
    reached_fpr: Number
    already: IntervalResult
    detected: IntervalResult
    median_s: IntervalResult | None
    within: dict[str, float]


class OnsetResult(Record):
    """A detector around the beginning of `attacks` recordings' attacks: `classes` count as attack.

    A beginning is known as exactly as windows follow one another: it is the end of the first window of an
    attack's class. A recording that begins in the middle of an attack has none. The score is the sum of these
    classes' probabilities.
    """

    classes: list[str]
    attacks: int
    width: float
    trust: list[TrustPoint]
    delays: list[DelayResult]


class ReasonRow(Record):
    """Why a window has its score: `step` from the one judged (0, and for what is of the whole window), `what`
    it is called, and the nats of log-odds that it adds."""

    step: int
    what: str
    contribution: float


class WindowReasons(Record):
    """The reasons of the window that ends at step `position` of the dataset, the strongest first."""

    position: int
    reasons: list[ReasonRow]


class DeletionResult(Record):
    """What taking away the pieces that reasons name does to the log-odds of the score of windows that alert,
    the strongest first, and what as many pieces drawn at random do: the mean fall after 1, 2, ... pieces.
    `area`: the mean difference, with its interval over `clusters`."""

    windows: int
    clusters: int
    area: IntervalResult
    named: list[float]
    random: list[float]

    @property
    def sentence(self) -> str:
        """What the test says, for people to read."""
        if self.clusters < FEWEST_TO_TEST:
            few = f"{self.clusters} clusters are too few to trust the interval"
            return f"{few} (at least {FEWEST_TO_TEST} are needed)"
        if self.area.low is not None and self.area.low > 0:
            return "the reasons name what the score hangs on"
        return "the reasons are NOT shown to name what the score hangs on"
