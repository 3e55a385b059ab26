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
