"""The moments around an attack's beginning: how sure the detector is second by second, how late it alerts.

An alert that was raised before the attack began detects nothing: recordings with one are counted apart, so
that false alarms buy no early detections. Nor does one in a window of another class, once it is over.

Only where a source's recordings are episodes in which an attack begins: its schema then names the classes
that are the attack (`ATTACK_CLASSES` of its settings). What counts is when it first begins.

Letters: N windows, R resamples, G clusters, A attacks, P points in time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation import bootstrap
from vestige.evaluation.bootstrap import DEGENERATE, rate_result
from vestige.evaluation.clusters import clusters_of
from vestige.evaluation.figures import DelayResult, OnsetResult, TrustPoint
from vestige.evaluation.judging import FIXED_RATES
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.record import IntervalResult
from vestige.evaluation.threshold import choose
from vestige.reading.windows import WindowSet
from vestige.sources.base import ATTACK_CLASSES

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

WIDTH_S = 5.0
BEFORE_S, AFTER_S = 60.0, 600.0
WITHIN_S = (10, 30, 60, 300)
FEWEST = 5
"""Recordings below which a point in time is left out."""
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Attacks:
    """Which classes are the attack, and when it began: `began_ns` by recording, `NEVER` where it did not, or
    had begun before the recording did."""

    codes: tuple[int, ...]
    began_ns: IntArray

    @classmethod
    def of(cls, windows: WindowSet) -> Self | None:
        """The attacks of a dataset; None where its source has no such beginnings."""
        names = windows.schema.settings.get(ATTACK_CLASSES)
        if not names:
            return None
        codes = tuple(windows.schema.classes.index(name) for name in names)
        began = np.full(windows.recordings.height, NEVER, dtype=np.int64)
        attacked = np.isin(windows.label, codes)
        np.minimum.at(began, windows.recording[attacked], windows.placed_ns[attacked])
        calm = np.full_like(began, NEVER)
        np.minimum.at(calm, windows.recording[~attacked], windows.placed_ns[~attacked])
        return cls(codes, np.where(calm < began, began, NEVER))

    def against_all(self, part: Predictions) -> Predictions:
        """Attack or none: the attack's classes taken together."""
        score = np.clip(part.proba[:, self.codes].sum(axis=1), 0, 1)
        return replace(
            part,
            classes=("none", "attack"),
            label=np.isin(part.label, self.codes).astype(np.int64),
            proba=np.stack([1 - score, score], axis=1),
        )

    def seconds(self, part: Predictions) -> FloatArray:
        """Seconds since the beginning, `(N,)`; NaN where the part does not hold the recording's beginning."""
        began = self.began_ns[part.recording]
        known = np.unique(part.recording[part.t_ns == began])
        since = (part.t_ns - began) / 1e9
        return np.where(np.isin(part.recording, known), since, np.nan)


def onset_result(
    validation: Predictions,
    test: Predictions,
    attacks: Attacks,
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> OnsetResult | None:
    """What a detector says around the beginnings in the test part; None where it holds none.

    Thresholds come from `validation`; intervals from a bootstrap over what the split holds out.
    """
    seconds = attacks.seconds(test)
    begun = np.unique(test.recording[np.isfinite(seconds)])
    if not len(begun):
        return None
    drawn = clusters_of(test)
    weights = bootstrap.draw(drawn.count, resamples, seed)
    ours, theirs = attacks.against_all(validation), attacks.against_all(test)
    rates = FIXED_RATES if not ours.positive.all() else ()
    return OnsetResult(
        classes=[test.classes[code] for code in attacks.codes],
        attacks=len(begun),
        width=WIDTH_S,
        trust=_trust(test, seconds, drawn.ids, weights),
        delays=[_delay(choose(ours, f"fpr={rate}").value, rate, theirs, seconds, drawn.ids, weights)
                for rate in rates],
    )  # fmt: skip


def _trust(test: Predictions, seconds: FloatArray, ids: IntArray, weights: FloatArray) -> list[TrustPoint]:
    rows = np.flatnonzero((seconds >= -BEFORE_S) & (seconds < AFTER_S))
    sure = test.proba[rows, test.label[rows]]
    point = np.floor(seconds[rows] / WIDTH_S + 1e-6).astype(np.int64)
    found = []
    fewest = min(FEWEST, len(np.unique(test.recording[rows])))
    for number in np.unique(point):
        here = point == number
        recordings = len(np.unique(test.recording[rows[here]]))
        if recordings < fewest:
            continue
        above = np.bincount(ids[rows[here]], weights=sure[here], minlength=weights.shape[1])
        below = np.bincount(ids[rows[here]], minlength=weights.shape[1])
        size = weights @ below
        samples = (weights @ above)[size > 0] / size[size > 0]
        low, high = np.quantile(samples, [0.025, 0.975]) if len(samples) else (np.nan, np.nan)
        apart = high - low > bootstrap.SAME
        found.append(
            TrustPoint(
                seconds=float(number * WIDTH_S),
                recordings=recordings,
                mean=float(sure[here].mean()),
                low=float(low) if apart else None,
                high=float(high) if apart else None,
            )
        )
    return found


def _delay(
    threshold: float,
    rate: float,
    test: Predictions,
    seconds: FloatArray,
    ids: IntArray,
    weights: FloatArray,
) -> DelayResult:
    """`test`: attack or none."""
    alert = test.score >= threshold
    first = np.flatnonzero(seconds == 0)
    beginnings = test.recording[first]
    found = _first_detections(test, seconds, alert)[beginnings]
    before = _alarmed_before(test, seconds, alert)[beginnings]
    delay = np.where(before, np.inf, found)

    def share(of: NDArray[np.bool_]) -> IntervalResult:
        among, hit = np.zeros((2, len(test)), dtype=np.bool_)
        among[first], hit[first] = True, of
        return rate_result(float(of.mean()), hit, among, ids, weights)

    quiet = ~test.positive
    return DelayResult(
        fpr=rate,
        threshold=threshold,
        reached_fpr=float(alert[quiet].mean()) if quiet.any() else None,
        detected=share(np.isfinite(delay)),
        already=share(before),
        median_s=None if before.all() else _median(delay[~before], ids[first][~before], weights),
        within={str(limit): float((delay <= limit).mean()) for limit in WITHIN_S},
    )


def _first_detections(test: Predictions, seconds: FloatArray, alert: NDArray[np.bool_]) -> FloatArray:
    """Seconds from each recording's beginning to its first alert under attack, infinite without one."""
    delay = np.full(test.recordings.height, np.inf)
    rows = np.flatnonzero(alert & test.positive & (seconds >= 0))
    np.minimum.at(delay, test.recording[rows], seconds[rows])
    return delay


def _alarmed_before(test: Predictions, seconds: FloatArray, alert: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether there was an alert in a recording before its attack began."""
    found = np.zeros(test.recordings.height, dtype=np.bool_)
    found[test.recording[alert & (seconds < 0)]] = True
    return found


def _median(delay: FloatArray, ids: IntArray, weights: FloatArray) -> IntervalResult:
    """The median (the lower of two) of delays and its interval; infinite values are delays too, and become
    null. Resamples that all have one median give no interval."""
    order = np.argsort(delay, kind="stable")
    ranked = np.cumsum(weights[:, ids[order]], axis=1)
    usable = ranked[:, -1] > 0
    middle = (ranked >= ranked[:, -1:] / 2).argmax(axis=1)
    samples = delay[order][middle][usable]
    estimate = delay[order][(len(delay) - 1) // 2]
    found = IntervalResult(
        estimate=float(estimate), low=None, high=None, resamples=len(weights), void=int((~usable).sum())
    )
    if len(np.unique(samples)) < 2:
        return found.model_copy(update={"method": "none", "note": DEGENERATE})
    low, high = np.quantile(samples, [0.025, 0.975], method="inverted_cdf").tolist()
    bounds: dict[str, float | str | None] = {"low": low, "high": high}
    if not np.isfinite(low):
        bounds["low"] = None
    if not np.isfinite(high):
        bounds |= {"high": None, "note": "in resamples more than half of the attacks were missed"}
    return found.model_copy(update=bounds)
