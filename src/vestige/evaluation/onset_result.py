"""What is recorded of the moments around an attack's beginning."""

from __future__ import annotations

from vestige.evaluation.record import IntervalResult, Number, Record


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

    `reached_fpr`: share of the test windows without attack at or above it. `detected`: share of the attacks
    with an alert after they began; `median_s`: the median delay in seconds, where a missed attack counts as
    infinite (null: half of them or more were missed; a null bound: so it is in resamples). `within`: share of
    the attacks detected so many seconds after the beginning.
    """

    fpr: float
    threshold: float
    reached_fpr: Number
    detected: IntervalResult
    median_s: IntervalResult
    within: dict[str, float]


class OnsetResult(Record):
    """A detector around the beginning of `attacks` recordings' attacks: `classes` count as attack.

    A beginning is known as exactly as windows follow one another: it is the end of the first window of an
    attack's class. The score is the sum of these classes' probabilities.
    """

    classes: list[str]
    attacks: int
    width: float
    trust: list[TrustPoint]
    delays: list[DelayResult]
