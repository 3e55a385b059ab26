"""What a training noted about a detector beside its weights: how it is to be used, and how good it was."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

SIZE = 32
"""Windows of a moving average: what strikes once may be new and harmless, what strikes on and on is not."""


class Pooling(BaseModel):
    """How the scores of a recording's windows become the recording's score.

    `kind`: the highest probability (`max`), the mean of the probabilities (`mean`), the mean of the log-odds
    (`mean_log_odds`; of surprise, the mean surprise), or the highest mean of the log-odds over `size` windows
    in a row (`moving_average_max`). `whole`: the detector judges the recording itself, nothing is pooled.
    `boundary` is the score from which on the recording is an anomaly: the probabilities are moved so that it
    comes to lie at one half.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["max", "mean", "mean_log_odds", "moving_average_max", "whole"]
    boundary: float = 0.5
    size: int = SIZE

    @property
    def sentence(self) -> str:
        """What a recording's score is, for people to read."""
        of_windows = {
            "max": "the highest of its windows' scores",
            "mean": "the mean of its windows' scores",
            "mean_log_odds": "the mean log-odds of its windows (of surprise: the mean surprise)",
            "moving_average_max": f"the highest mean log-odds of {self.size} windows in a row",
            "whole": "what the detector says of it as a whole",
        }[self.kind]
        moved = ""
        if self.boundary != 0.5:
            moved = f"; it is moved so that {self.boundary:.3g}, which parts validation best, lies at 0.5"
        return f"A recording's score is {of_windows}{moved}."


class Notes(BaseModel):
    """What the validation part said of a detector when it had been trained.

    `pooling`: how windows are pooled into recordings; None where each window is judged by itself.
    `validation_macro_f1`: None for a detector that nobody tried on a validation part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pooling: Pooling | None = None
    validation_macro_f1: float | None = None
