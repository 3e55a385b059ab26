"""Which channels moved, of evidence that comes in channels.

Letters: B windows, C channels, T steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige.checkpoint import Loaded
from vestige.dashboard.events import Moved
from vestige.schema import Feature
from vestige.scoring.judged import JudgedBatch

MOST = 5
"""Channels of a window that are told."""
SLIGHT = 0.05
"""This share of a channel's middle is added to how far it strays: one that hardly ever moved does not come
first whatever it does."""


@dataclass(frozen=True)
class Channels:
    """The channels that a detector is handed: those of its input `name`, whose judged step is the `judged`-th
    of a window. Without channels `name` is empty."""

    name: str
    features: tuple[Feature, ...]
    judged: int
    threshold: float | None

    @classmethod
    def of(cls, loaded: Loaded) -> Self:
        """Of a loaded detector."""
        for each in loaded.encoder.inputs:
            if each.kind == "tensor" and each.features:
                return cls(each.name, each.features, loaded.schema.before, loaded.threshold)
        return cls("", (), 0, None)

    def moved(self, judged: JudgedBatch, told: list[dict[str, Any]] | None) -> dict[int, list[Moved]]:
        """By row of a batch, the channels that moved most: of windows that alert, and of the last one.
        `told`: the rows of a detector of what is normal, which may hold its own expectation."""
        if not self.name or not len(judged.batch) or judged.bound is None:
            return {}
        alert = np.zeros(len(judged.batch), dtype=np.bool_)
        if told is not None:
            alert |= np.array([row["alert"] for row in told])
        elif self.threshold is not None:
            alert |= judged.judgement.score >= self.threshold
        alert[-1] = True
        rows = np.flatnonzero(alert)
        steps = {name: values[rows] for name, values in judged.batch.steps.items()}
        most = self._most(judged.bound.encode(steps, (self.name,))[self.name])
        found = dict(zip(rows.tolist(), most, strict=True))
        if told is not None:
            found = {
                row: self._expected(told[row].get("expected", [])) or moved for row, moved in found.items()
            }
        return found

    def _expected(self, told: list[dict[str, Any]]) -> list[Moved]:
        """What a detector that models channels expected of them."""
        units = {feature.name: feature.unit for feature in self.features}
        return [
            Moved(
                channel=each["channel"],
                unit=units[each["channel"]],
                expected=each["expected"],
                was=each["actual"],
            )
            for each in told[:MOST]
            if each.get("channel") in units
        ]

    def _most(self, tensor_BCT: NDArray[np.float32]) -> list[list[Moved]]:
        """Those whose judged step is furthest from the steps before, by how far these stray."""
        was_BC = tensor_BCT[:, :, self.judged].astype(np.float64)
        before_BCT = np.array(tensor_BCT[:, :, : self.judged], dtype=np.float64)
        before_BCT[~np.isfinite(before_BCT)] = np.nan
        if not before_BCT.shape[2]:
            return [[] for _ in was_BC]
        # A channel without any value before has no middle, and did not move.
        unknown_BC = np.isnan(before_BCT).all(axis=2)
        before_BCT[unknown_BC] = 0.0
        middle_BC = np.nanmedian(before_BCT, axis=2)
        stray_BC = np.nanstd(before_BCT, axis=2) + SLIGHT * np.abs(middle_BC) + 1e-9
        times_BC = np.nan_to_num(np.abs(was_BC - middle_BC) / stray_BC, nan=0.0, posinf=0.0)
        times_BC[unknown_BC] = 0.0
        order_BC = np.argsort(-times_BC, axis=1, kind="stable")[:, :MOST]
        return [
            [self._one(at, middle_BC[row, at], was_BC[row, at]) for at in order if times_BC[row, at] > 0]
            for row, order in enumerate(order_BC.tolist())
        ]

    def _one(self, at: int, expected: float, was: float) -> Moved:
        feature = self.features[at]
        return Moved(channel=feature.name, unit=feature.unit, expected=_figure(expected), was=_figure(was))


def _figure(value: float) -> float | None:
    """Four digits; None of what is no number."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
