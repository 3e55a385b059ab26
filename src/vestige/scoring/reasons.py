"""Why a window alerts: what the looks of a detector of the task normal found, in words for people.

Letters: A windows that alert, L looks, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.models.normal.channels import Channels
from vestige.models.normal.detector import Normal
from vestige.reading.encoding import Batch
from vestige.reading.looks import BoundNormalEncoder, NormalEncoder
from vestige.reading.pace import gap_and_span, hour_of
from vestige.reading.steps import Reader, Steps
from vestige.reading.times import duration
from vestige.schema import PAD, SPECIAL_TOKENS, UNK

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

STRIKING = 0.05
"""A look is a reason where no more than this share of normal windows is as strange to it; the strangest look
is one anyway."""
WILDCARD = "<*>"
"""Stands in the names of templates for a word that varies."""
LIKELIEST = 3
"""Events that are told to have been expected, at most."""
SHOWN_BEFORE = 3
"""Events before the one judged that are told, at most."""
SHOWN = 80
"""Characters of an event's name that a sentence shows."""
MOST_AT_A_TIME = 64
"""Windows for which the chances of all events are worked out at a time."""
SAID = {
    "order": "{event} after {before} is rare",
    "order at the beginning": "{event} is rare at the beginning",
    "rarity": "{event} is rare, whatever comes before it",
    "repeats": "{event} comes {times:,} times among {of:,} events",
    "novelty.distance": "{event} is unlike every known event",
    "values.new": "{event} has {new}, which was never seen there",
    "values.range": "{event} has {beyond}, which is out of its usual range",
    "pace.gap": "nothing for {gap} before {event}, where {usual_gap} is usual",
    "pace.burst": "{of:,} events in {span} up to {event}, where {usual_span} is usual",
    "channels.reconstruction": "the channels do not move together as they used to",
    "channels.neighbour": "the channels moved as they never did before",
    "channels.level": "a channel is at an unusual level",
}
"""What a look found."""


@dataclass(frozen=True)
class Window:
    """What sentences are made of: the event that a window judges, the names of those before it, how often the
    window shows it among how many, and seconds (NaN: unknown): from the event before, and from the first to
    the last, each with what is usual."""

    event: str
    before: list[str]
    times: int
    of: int
    gap_s: tuple[float, float]
    span_s: tuple[float, float]
    new: str = "a value"
    beyond: str = "a number"


@dataclass(frozen=True)
class Explainer:
    """Explains windows that alert, with the detector that found them, its encoder, and what reads."""

    detector: Normal
    encoder: NormalEncoder
    reader: Reader[Any]

    def explain(
        self,
        steps: Steps,
        bound: BoundNormalEncoder,
        strange_AL: FloatArray,
        texts: list[str],
        raw: list[str],
    ) -> list[dict[str, Any]]:
        """`reasons`, `expected` and `nearest` of windows `(A, T, ...)` that are so strange to each look, and
        whose judged steps are called `texts` and stand in the evidence as `raw`."""
        X = bound.encode(steps, self.detector.input_names)
        expected: list[list[dict[str, Any]]] = [[] for _ in texts]
        nearest: list[dict[str, Any] | None] = [None for _ in texts]
        windows = [Window(text, [], 0, 0, (np.nan, np.nan), (np.nan, np.nan)) for text in texts]
        if self.encoder.tokens:
            tokens_AT = X[self.encoder.tokens]
            expected = self._expected(X)
            nearest = bound.nearest_examples(steps)
            windows = self._windows(steps, tokens_AT, texts)
            windows = self._with_values(windows, steps, bound, nearest, raw)
        elif self.detector.channels is not None:
            expected = self._of_channels(X, self.detector.channels)
        reasons = self._reasons(strange_AL, windows)
        return [
            {"reasons": why, "expected": instead, "nearest": example}
            for why, instead, example in zip(reasons, expected, nearest, strict=True)
        ]

    def raised(self, steps: Steps, bound: BoundNormalEncoder, strange_AL: FloatArray) -> list[dict[str, Any]]:
        """The `reasons` (`look p_value`) and `nearest` of windows `(A, T, ...)` as `explain` has them, but
        without words: what decides whether somebody said that they are fine."""
        nearest: list[dict[str, Any] | None] = [None] * len(strange_AL)
        if self.encoder.tokens:
            nearest = bound.nearest_examples(steps)
        looks, striking = self.detector.looks, _striking(self.detector.log_p_of_looks(strange_AL))
        return [
            {"reasons": [{"look": looks[at], "p_value": p_value} for at, p_value in row], "nearest": example}
            for row, example in zip(striking, nearest, strict=True)
        ]

    def _reasons(self, strange_AL: FloatArray, windows: list[Window]) -> list[list[dict[str, Any]]]:
        looks, tails = self.detector.looks, self.detector.tails
        striking = _striking(self.detector.log_p_of_looks(strange_AL))
        found: list[list[dict[str, Any]]] = []
        for row, window in enumerate(windows):
            why: list[dict[str, Any]] = []
            for at, p_value in striking[row]:
                reached = float(tails[at].at_least(strange_AL[row, at : at + 1])[0])
                says = f"{sentence(looks[at], window)}: {how_rare(reached, tails[at].n)}"
                why.append({"look": looks[at], "p_value": p_value, "says": says})
            found.append(why)
        return found

    def _expected(self, X: Batch) -> list[list[dict[str, Any]]]:
        """The likeliest events after those before the one judged, with their probabilities."""
        order = self.detector.expects
        if order is None:
            return [[] for _ in X[self.encoder.tokens]]
        name, names = order.inputs[0].name, self.encoder.vocabulary
        found = []
        for start in range(0, len(X[name]), MOST_AT_A_TIME):
            log_p_AV = order.log_proba({name: X[name][start : start + MOST_AT_A_TIME]})
            # Padding and what is unknown are no events that one could name.
            known = np.exp(log_p_AV[:, len(SPECIAL_TOKENS) : len(names)])
            best = np.argsort(-known, axis=1, kind="stable")[:, :LIKELIEST]
            for row, at in enumerate(best.tolist()):
                found.append(
                    [
                        {"event": names[len(SPECIAL_TOKENS) + token], "p": float(f"{known[row, token]:.3g}")}
                        for token in at
                    ]
                )
        return found

    def _of_channels(self, X: Batch, channels: Channels) -> list[list[dict[str, Any]]]:
        """The strangest channels at the last step of each window, with what was expected of them."""
        (spec,) = (spec for spec in self.detector.inputs if spec.kind == "tensor")
        mask = self.detector.keep_mask.get(spec.name, np.ones(len(spec.features), dtype=np.bool_))
        names = [feature.name for feature, kept in zip(spec.features, mask.tolist(), strict=True) if kept]
        found = channels.explain(self.detector.select(X)[spec.name])
        rows = zip(found.channel.tolist(), found.expected.tolist(), found.actual.tolist(), strict=True)
        return [
            [
                {"channel": names[channel], "expected": _figure(expected), "actual": _figure(actual)}
                for channel, expected, actual in zip(*row, strict=True)
            ]
            for row in rows
        ]

    def _windows(self, steps: Steps, tokens_AT: IntArray, texts: list[str]) -> list[Window]:
        names = self.encoder.vocabulary
        gap, span = np.full((2, len(texts), 2), np.nan)
        pace = self.encoder.pace
        if pace is not None:
            times = steps["t_ns"][:, : self.encoder.judged + 1]
            usual = pace.usual(tokens_AT[:, -1], hour_of(times[:, -1]))
            was = gap_and_span(times, tokens_AT != PAD)
            gap, span = (np.exp(np.stack([was[at], usual[:, at]], axis=1)) for at in range(2))
        found = []
        for row, text in enumerate(texts):
            before = [token for token in tokens_AT[row, :-1].tolist() if token != PAD]
            shown = [_named(names[token]) if UNK < token < len(names) else "an unknown event"
                     for token in before[-SHOWN_BEFORE:]]  # fmt: skip
            found.append(
                Window(
                    text,
                    shown,
                    int((tokens_AT[row] == tokens_AT[row, -1]).sum()),
                    len(before) + 1,
                    (float(gap[row, 0]), float(gap[row, 1])),
                    (float(span[row, 0]), float(span[row, 1])),
                )
            )
        return found

    def _with_values(
        self,
        windows: list[Window],
        steps: Steps,
        bound: BoundNormalEncoder,
        nearest: list[dict[str, Any] | None],
        raw: list[str],
    ) -> list[Window]:
        """The windows with what is strange of their values."""
        found = []
        for window, example, text, slots in zip(
            windows, nearest, raw, bound.strange_slots(steps), strict=True
        ):
            template = "" if example is None else example["text"]
            new, beyond = (self._value(slot, bound.n_slots, window.event, text, template) for slot in slots)
            found.append(replace(window, new=new or window.new, beyond=beyond or window.beyond))
        return found

    def _value(self, slot: int, n_slots: int, called: str, raw: str, template: str) -> str:
        """What stands in a slot of a step; nothing where that has no number."""
        if slot < 0:
            return ""
        if slot < n_slots:
            return self.reader.slot(slot, raw, called)
        return _varying_word(slot - n_slots, called, template)


def _striking(log_p_AL: FloatArray) -> list[list[tuple[int, float]]]:
    """Of each window the looks that are reasons, the strangest first, with their p-values of six digits."""
    found = []
    for log_p_L in log_p_AL:
        order = np.argsort(log_p_L, kind="stable").tolist()
        p_values = [(at, float(f"{float(np.exp(log_p_L[at])):.6g}")) for at in order]
        found.append(p_values[:1] + [pair for pair in p_values[1:] if pair[1] <= STRIKING])
    return found


def _varying_word(number: int, text: str, template: str) -> str:
    """The word of a text that stands where its template has a wildcard."""
    words, pattern = text.split(), template.split()
    places = [at for at, word in enumerate(pattern) if word == WILDCARD]
    if len(words) != len(pattern) or number >= len(places):
        return "a word"
    return _named(words[places[number]])


def sentence(look: str, window: Window) -> str:
    """What a look found, in words."""
    kind = look
    if look == "order" and not window.before:
        kind = "order at the beginning"
    gap, usual_gap = map(duration, window.gap_s)
    span, usual_span = map(duration, window.span_s)
    return SAID.get(kind, "unusual by {look}").format(
        look=look,
        event=_named(window.event),
        before=_in_turn(window.before),
        times=window.times,
        of=window.of,
        gap=gap,
        usual_gap=usual_gap,
        span=span,
        usual_span=usual_span,
        new=window.new,
        beyond=window.beyond,
    )


def how_rare(reached: float, n: int) -> str:
    """How rare it is that so many of the `n` windows of a calibration were as strange."""
    if reached < 1:
        return f"rarer than anything in {n:,} windows of the calibration"
    if reached >= n:
        return f"as in every one of {n:,} windows of the calibration"
    return f"once in {n / reached:,.0f} windows of the calibration"


def _figure(value: float) -> float | None:
    """A number of four digits; None where there is none."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def _in_turn(names: list[str]) -> str:
    """Names in their order; one that comes several times in a row is said once."""
    runs = [(name, len(list(same))) for name, same in groupby(names)]
    return ", ".join(name if times == 1 else f"{times} times {name}" for name, times in runs)


def _named(event: str) -> str:
    """An event's name within a sentence."""
    line = event.replace("\n", " ")
    if len(line) > SHOWN:
        line = line[: SHOWN - 1] + "…"
    return f"`{line}`"
