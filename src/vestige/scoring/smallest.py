"""The smallest change that would have made an alert normal: which steps to take away from what was seen, or,
of telemetry, which channels should have been as expected.

Every part that may be taken away is tried: the window is judged again without its steps, the ones before them
moving up, as if the recording had begun with the window. Of channels each set of the strangest ones is tried.

Letters: A windows that alert, C parts that are tried, T steps.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.models.normal.detector import Normal
from vestige.reading.encoding import Batch
from vestige.reading.looks import TEXT, BoundNormalEncoder, NormalEncoder
from vestige.reading.steps import Steps
from vestige.schema import PAD, Schema
from vestige.scoring.budgeting import HIGHEST

MOST_TRIED = 128
"""Parts that are tried of a window, the smallest first."""
MOST_NAMED = 3
"""Steps that a sentence names."""
SHOWN = 80
"""Characters of an event's name in a sentence."""

BATCH = 4_096
"""Windows that are judged at a time."""

Part = tuple[int, ...]
"""Places within a window, ascending."""


@dataclass(frozen=True)
class SmallestChange:
    """Finds it for a detector that reads tokens, or channels."""

    detector: Normal
    encoder: NormalEncoder
    schema: Schema

    def find(self, steps: Steps, bound: BoundNormalEncoder, symbols: pl.DataFrame) -> list[dict[str, Any]]:
        """Of each window of `steps (A, T, ...)`, which point into the table `symbols`: the smallest part
        without which it never alerts, whatever is left of the budget.

        Keys: `steps`, how far before the step judged each one lies that is taken away (0: that step itself);
        `events`, what they are called; `p_value` of what is left; `tried`, how many parts were; and `says`.
        Where none does, `steps` and `events` are empty and `p_value` is None. Of channels, `channels` are the
        names of those that should have been at what was expected of them.
        """
        if not self.encoder.tokens:
            return self._of_channels(bound.encode(steps, self.detector.input_names))
        name = self.encoder.tokens
        padding_AT = bound.encode(steps, (name,))[name] == PAD
        symbol_AT = steps[bound.streams((name,))[0]]
        parts = [
            _parts(tuple(np.flatnonzero(~padding).tolist()), self.encoder.judged) for padding in padding_AT
        ]
        log_p = self._log_p_without(steps, parts, bound)
        return [
            self._told(symbol_AT[row], some, some_log_p, symbols)
            for row, (some, some_log_p) in enumerate(zip(parts, log_p, strict=True))
        ]

    def _of_channels(self, X: Batch) -> list[dict[str, Any]]:
        """Of each window the fewest of its strangest channels that make it normal, where they are at what was
        expected of them throughout the window."""
        count, channels = len(next(iter(X.values()))), self.detector.channels
        (spec,) = (spec for spec in self.detector.inputs if spec.kind == "tensor")
        if channels is None or spec.name in self.detector.standardize:
            return [{} for _ in range(count)]
        worst = channels.explain(self.detector.select(X)[spec.name])
        kept = np.flatnonzero(self.detector.keep_mask.get(spec.name, np.ones(len(spec.features), np.bool_)))
        width = worst.channel.shape[1]
        sets = list(chain.from_iterable(combinations(range(width), size + 1) for size in range(width)))
        changed = {name: np.repeat(values, len(sets), axis=0) for name, values in X.items()}
        for row, number in np.ndindex(count, len(sets)):
            chosen = list(sets[number])
            at = row * len(sets) + number, kept[worst.channel[row, chosen]]
            changed[spec.name][at] = worst.expected[row, chosen, None]
        log_p_AC = self.detector.log_p(changed).reshape(count, len(sets))
        found = []
        for row in range(count):
            best = min(self._normal(log_p_AC[row]), key=lambda at: len(sets[at]), default=None)
            if best is None:
                says = f"none of {len(sets):,} sets of its strangest channels, as expected, makes it normal"
                told: dict[str, Any] = {"channels": [], "p_value": None}
            else:
                p_value = float(f"{np.exp(log_p_AC[row, best]):.3g}")
                names = [spec.features[kept[worst.channel[row, at]]].name for at in sets[best]]
                says = f"with {', '.join(names)} as expected, {_rest(p_value)}"
                told = {"channels": names, "p_value": p_value}
            found.append({"steps": [], "events": [], **told, "tried": len(sets), "says": says})
        return found

    def _normal(self, log_p_C: NDArray[np.float64]) -> list[int]:
        """Which of these would never alert, whatever is left of the budget, the most normal first."""
        limit = np.log(min(HIGHEST * self.detector.alpha, 1.0))
        order = np.argsort(-log_p_C, kind="stable")
        return [at for at in order.tolist() if log_p_C[at] > limit]

    def _log_p_without(
        self, steps: Steps, parts: list[tuple[Part, ...]], bound: BoundNormalEncoder
    ) -> list[NDArray[np.float64]]:
        """ln of the p-value of each window without each of its parts. What came before what is taken away
        moves up to it, behind the padding that stands before recordings."""
        length, sizes = self.schema.length, [len(some) for some in parts]
        if not sum(sizes):
            return [np.zeros(0) for _ in parts]
        rows = np.concatenate([_left(some, length) for some in parts])
        window = np.repeat(np.arange(len(parts)), sizes)
        fill = {stream.name: stream.fill for stream in self.schema.streams}
        changed = {}
        for name, values in steps.items():
            taken = values[window[:, None], rows]
            taken[rows < 0] = np.array(fill[name]).astype(values.dtype)
            changed[name] = taken
        log_p = np.concatenate(
            [
                self.detector.log_p(
                    bound.encode(
                        {name: values[start : start + BATCH] for name, values in changed.items()},
                        self.detector.input_names,
                    )
                )
                for start in range(0, len(rows), BATCH)
            ]
        )
        return np.split(log_p, np.cumsum(sizes)[:-1])

    def _told(
        self,
        symbol_T: NDArray[Any],
        parts: tuple[Part, ...],
        log_p_C: NDArray[np.float64],
        symbols: pl.DataFrame,
    ) -> dict[str, Any]:
        """What is told of a window, by what is left of it without each of its parts."""
        judged = self.encoder.judged
        # Of equally small ones the step judged is the last to be blamed, and what is left is most normal.
        best = min(
            self._normal(log_p_C),
            key=lambda at: (len(parts[at]), judged in parts[at], -log_p_C[at]),
            default=None,
        )
        if best is None:
            says = f"none of {len(parts):,} parts of what was seen, taken away, makes it normal"
            return {"steps": [], "events": [], "p_value": None, "tried": len(parts), "says": says}
        part, p_value = parts[best], float(f"{np.exp(log_p_C[best]):.3g}")
        texts = symbols[TEXT][symbol_T[list(part)].astype(np.int64)].to_list()
        return {
            "steps": [place - judged for place in part],
            "events": texts,
            "p_value": p_value,
            "tried": len(parts),
            "says": _sentence(part, judged, texts, p_value),
        }


@functools.lru_cache(maxsize=256)
def _parts(real: tuple[int, ...], judged: int) -> tuple[Part, ...]:
    return tuple(parts_of(np.array(real, dtype=np.int64), judged))


@functools.lru_cache(maxsize=256)
def _left(parts: tuple[Part, ...], length: int) -> NDArray[np.int64]:
    """The places `(C, T)` of a window that are left without each part, -1 where padding comes instead."""
    rows_CT = np.full((len(parts), length), -1, dtype=np.int64)
    for at, part in enumerate(parts):
        left = np.setdiff1d(np.arange(length), part)
        rows_CT[at, length - len(left) :] = left
    return rows_CT


def parts_of(real: NDArray[np.int64], judged: int, most: int = MOST_TRIED) -> list[Part]:
    """Parts of a window that may be taken away, whose steps lie at the places `real` and of which the one at
    `judged` is judged: each step up to that one, then runs of two, of three, and so on, the latest first; no
    more than `most`, and never all that there is."""
    before = [int(place) for place in real if place <= judged]
    parts: list[Part] = []
    for size in range(1, len(before)):
        for end in range(len(before), size - 1, -1):
            parts.append(tuple(before[end - size : end]))
            if len(parts) == most:
                return parts
    return parts


def _sentence(part: Part, judged: int, texts: list[str], p_value: float) -> str:
    rest = _rest(p_value)
    if part == (judged,):
        return f"it is this step alone: without it, {rest}"
    shown = ", ".join(_named(text) for text in texts[:MOST_NAMED])
    if len(texts) > MOST_NAMED:
        shown += f" and {len(texts) - MOST_NAMED:,} more"
    behind = judged - part[-1]
    where = f"{behind:,} before it" if behind else "the last of which is judged"
    if len(part) == 1:
        return f"without {shown}, {where}, {rest}"
    return f"without these {len(part):,} steps, {where}, {rest}: {shown}"


def _rest(p_value: float) -> str:
    return f"what is left is as strange as one normal window in {float(f'{1 / p_value:.2g}'):,g}"


def _named(text: str) -> str:
    line = text.replace("\n", " ")
    if len(line) > SHOWN:
        line = line[: SHOWN - 1] + "…"
    return f"`{line}`"
