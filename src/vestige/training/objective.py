"""What a task is trained for: the figure in the history, and by which the best epoch is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.models.base import Task
from vestige.training.history import macro_f1


@dataclass(frozen=True)
class Objective:
    """`figure`: a column of the history beside `val_loss`; `monitor`: the column that tells the best epoch.

    `weighs_classes`: whether the loss may weigh them; where it may not, every window counts the same.
    """

    task: Task
    figure: str
    monitor: str
    weighs_classes: bool

    def measure(self, truth: NDArray[Any], predicted: NDArray[Any], outputs: int) -> float:
        """The figure, of validation windows `(N,)`."""
        if self.task == "classify":
            return macro_f1(truth, predicted, outputs)
        return float(np.mean(truth == predicted))

    def score(self, val_loss: float, figure: float) -> float:
        """What should be as high as possible."""
        if self.monitor == "val_loss":
            return -val_loss
        return figure


OBJECTIVES: dict[Task, Objective] = {
    "classify": Objective("classify", "val_macro_f1", "val_macro_f1", weighs_classes=True),
    "next": Objective("next", "val_top1", "val_loss", weighs_classes=False),
}
