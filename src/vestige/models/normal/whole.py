"""Recordings as wholes, from the windows that a detector is handed: of each window, the steps new in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.models.base import RecordingVerdict
from vestige.models.normal.conformal import LEAST
from vestige.models.normal.habits import RecordingTally
from vestige.models.normal.recordings import LOOKS, RecordingModel
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.reading.times import tells_apart
from vestige.schema import PAD, UNK, Schema

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BATCH = 8_192
"""Windows that are encoded at a time."""
STRIKING = 0.05
"""A look is a reason where no more than this share of normal recordings is as strange to it."""
SAID = {
    "neighbours": "no known recordings have the events, pairs and threes of events that it has",
    "rarity.events": "it is made of events that are rare",
    "rarity.recordings": "it is made of events that few recordings have",
    "order.quartile": "a quarter of its events hardly ever follow those before them",
    "order.lowest": "no stretch of it goes as usual",
    "order.mean": "its events come in an order that is unexpected on the whole",
}
"""What a look found."""
MOST_ALPHA = 0.01
"""The share of normal recordings that alert at most."""
CHANCE = 0.01
"""Of recordings that are judged together, no more alert than chance alone gives with this probability."""
SPARE = 10
"""So many always may."""


@dataclass(frozen=True)
class NewSteps:
    """Which tokens of windows are new, so that those of all windows are those of the recording: of the input
    `name`, from step `first` to before `end`; what is not below `size` is unknown."""

    name: str
    size: int
    first: int
    end: int

    @classmethod
    def of(cls, schema: Schema, name: str, size: int) -> Self:
        """For windows as `schema` says they are made."""
        end = schema.before + 1
        return cls(name, size, max(0, end - schema.stride), end)

    def take(self, X: Batch) -> IntArray:
        """Of windows `(B, T)`, the new steps `(B, S)`."""
        new_BS = X[self.name][:, self.first : self.end]
        return np.where((new_BS >= 0) & (new_BS < self.size), new_BS, UNK).astype(np.int64)


@dataclass(frozen=True)
class WholeRecordings:
    """A model of whole recordings, and the share `alpha` of normal ones that alerts."""

    model: RecordingModel
    alpha: float
    steps: NewSteps

    @classmethod
    def fit(cls, windows: EncodedWindows, name: str, size: int, *, alpha: float, seed: int = 0) -> Self:
        """Of all windows of whole recordings, those of each one after the other, whose tokens, below `size`,
        are the input `name`. Raises SplitError for too few."""
        steps = NewSteps.of(windows.schema, name, size)
        new = [steps.take(X).astype(np.int32) for _, X in windows.batches(BATCH, (name,))]
        new_BS = np.concatenate([np.empty((0, steps.end - steps.first), dtype=np.int32), *new])
        first = np.flatnonzero(np.diff(windows.windows.recording.astype(np.int64), prepend=-1))
        parts = [_events(part) for part in np.split(new_BS, first[1:])]
        begin_ns = windows.windows.t_ns[first]
        # By chance they were drawn where times say nothing, and by chance they are dealt.
        in_time = tells_apart(begin_ns)
        if in_time:
            parts = [parts[row] for row in np.argsort(begin_ns, kind="stable").tolist()]
        model = RecordingModel.fit(parts, size, seed=seed, in_time=in_time)
        return cls(model, min(alpha, MOST_ALPHA), steps)

    def begin(self) -> WindowTally:
        """For a recording whose windows go by."""
        return WindowTally(self.model.tally(), self.steps)

    def judge(self, tallies: Sequence[WindowTally]) -> list[RecordingVerdict]:
        """What is said of recordings that are judged together; see `RecordingModel.judge_tallies`. Where more
        are as rare as an alert than is promised of so many, the strangest alert and the others are held back:
        what is unlike all that was learnt from would be nothing but alerts."""
        judged = self.model.judge_tallies([tally.kept for tally in tallies])
        p_of_looks = np.maximum(np.exp(-judged.rareness_of_looks), LEAST)
        # In powers of ten, as the scores of windows.
        scores = (judged.rareness / np.log(10)).tolist()
        is_rare = judged.p_value <= self.alpha
        may_alert = np.zeros(len(scores), dtype=np.bool_)
        may_alert[np.argsort(-judged.rareness, kind="stable")[: allowed(len(scores), self.alpha)]] = True
        rows = zip(
            scores, judged.p_value.tolist(), (is_rare & may_alert).tolist(), p_of_looks,
            (is_rare & ~may_alert).tolist(), strict=True,
        )  # fmt: skip
        return [
            RecordingVerdict(score, p_value, alert, self._reasons(looks), held_back)
            for score, p_value, alert, looks, held_back in rows
        ]

    def _reasons(self, p_of_looks: FloatArray) -> list[dict[str, Any]]:
        """The looks that no more than `STRIKING` normal recordings are as strange to, strangest first; that
        is one anyway."""
        found: list[dict[str, Any]] = []
        for at in np.argsort(p_of_looks, kind="stable").tolist():
            p_value = float(p_of_looks[at])
            if found and p_value > STRIKING:
                break
            rare = f"once in {1 / p_value:,.0f} recordings"
            if p_value * (self.model.n + 1) < 1:
                rare = f"rarer than anything in {self.model.n:,} recordings"
            look = LOOKS[at]
            found.append({"look": look, "p_value": float(f"{p_value:.6g}"), "says": f"{SAID[look]}: {rare}"})
        return found

    def state(self) -> dict[str, Any]:
        """What `read` takes beside the model's arrays, JSON-ready."""
        return {
            **self.model.state(),
            "alpha": self.alpha,
            "first": self.steps.first,
            "end": self.steps.end,
        }

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any], name: str, size: int) -> Self:
        """The one whose arrays and state these are, for an input of `size` tokens. Raises ValueError."""
        model = RecordingModel.read(dict(arrays), dict(state))
        if model.habits.size != size:
            raise ValueError(f"whole recordings of {model.habits.size} kinds of events, not {size}")
        alpha = checked.real(state.get("alpha"), "alpha", 0.0, 1.0)
        end = checked.whole(state.get("end"), "end", 1, 2**31)
        first = checked.whole(state.get("first"), "first", 0, end - 1)
        return cls(model, alpha, NewSteps(name, size, first, end))


def allowed(n: int, alpha: float) -> int:
    """How many of `n` recordings that are judged together may alert, where the share `alpha` is promised."""
    from scipy import stats

    return max(SPARE, int(stats.binom.isf(CHANCE, n, alpha)))


@dataclass
class WindowTally:
    """What is kept of a recording while its windows go by; see `RecordingTally`."""

    kept: RecordingTally
    steps: NewSteps

    def add(self, X: Batch) -> None:
        """Take in its next windows."""
        self.kept.add(_events(self.steps.take(X)))


def _events(new_BS: NDArray[Any]) -> IntArray:
    """The steps of windows one after the other, without padding, `(T,)`."""
    events: IntArray = new_BS.reshape(-1).astype(np.int64)
    present: IntArray = events[events != PAD]
    return present
