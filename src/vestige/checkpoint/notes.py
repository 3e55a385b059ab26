"""What a training noted about a detector beside its weights: how it is to be used, and how good it was."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vestige.reading.told import MOST_FORMS

SIZE = 32
"""Windows of a moving average: what strikes once may be new and harmless, what strikes on and on is not."""


MOST_VALUES = 2_000
"""Values of a class that a conformal prediction keeps at most: evenly spaced ones of more."""


class Pooling(BaseModel):
    """How the scores of a recording's windows become the recording's score.

    `kind`: the highest probability (`max`), the mean of the probabilities (`mean`), the mean of the log-odds
    (`mean_log_odds`; of surprise, the mean surprise), or the highest mean of the log-odds over `size` windows
    in a row (`moving_average_max`), or over the `size` windows that are least like class 0, wherever they are
    (`top_k`). `whole`: the detector judges the recording itself, nothing is pooled.
    `boundary` is the score from which on the recording is an anomaly: the probabilities are moved so that it
    comes to lie at one half.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["max", "mean", "mean_log_odds", "moving_average_max", "top_k", "whole"]
    boundary: float = 0.5
    size: int = Field(SIZE, ge=1, le=1 << 16)

    @property
    def sentence(self) -> str:
        """What a recording's score is, for people to read."""
        of_windows = {
            "max": "the highest of its windows' scores",
            "mean": "the mean of its windows' scores",
            "mean_log_odds": "the mean log-odds of its windows (of surprise: the mean surprise)",
            "moving_average_max": f"the highest mean log-odds of {self.size} windows in a row",
            "top_k": f"the mean log-odds of its {self.size} most suspicious windows",
            "whole": "what the detector says of it as a whole",
        }[self.kind]
        moved = ""
        if self.boundary != 0.5:
            moved = f"; it is moved so that {self.boundary:.3g}, which parts validation best, lies at 0.5"
        return f"A recording's score is {of_windows}{moved}."


class Calibration(BaseModel):
    """What makes a probability of a score: `sigmoid(scale * log-odds + bias)`, which keeps their order.

    Fitted on `units` of the validation part, `positives` of them anomalous.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scale: float = Field(ge=0, le=1e3)
    bias: float = Field(ge=-1e3, le=1e3)
    units: int = Field(ge=1)
    positives: int = Field(ge=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.positives >= self.units:
            raise ValueError("a calibration without normal units")
        return self


class Conformal(BaseModel):
    """How little validation's own classes liked its members: for each class, ascending values of -ln P of the
    class, of those that are truly of it (`values`), and how many these stand for (`counts`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    values: list[list[Annotated[float, Field(ge=0, le=1e4)]]]
    counts: list[Annotated[int, Field(ge=0)]]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.values) != len(self.counts):
            raise ValueError("values and counts of different classes")
        for values, count in zip(self.values, self.counts, strict=True):
            if len(values) > min(count, MOST_VALUES) or values != sorted(values):
                raise ValueError("values that are out of order, or more than they stand for")
        return self


class Notes(BaseModel):
    """What the validation part said of a detector when it had been trained.

    `pooling`: how windows are pooled into recordings; None where each window is judged by itself.
    `validation_macro_f1`: None for a detector that nobody tried on a validation part. `calibration` and
    `conformal`: None where that part could not carry them, and for detectors of before. `forms`: the formats
    in which what was learnt from is read, as `Told.forms` has them; none of a source that has no such thing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pooling: Pooling | None = None
    validation_macro_f1: float | None = None
    calibration: Calibration | None = None
    conformal: Conformal | None = None
    forms: list[dict[str, Any]] = Field(default=[], max_length=MOST_FORMS)
