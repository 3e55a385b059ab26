"""What a task is trained for, and how well validation windows do by it: loss, and the objective's figure.

Letters: B windows of a batch, N windows of the part, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vestige.models.base import Task
from vestige.training import together
from vestige.training.history import macro_f1
from vestige.training.loader import Rows
from vestige.training.network import Network

BATCH = 1_024


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


@dataclass(frozen=True)
class Validation:
    """The validation windows, and by what they judge."""

    rows: Rows
    outputs: int
    objective: Objective

    def judge(self, network: Network, pause: Callable[[], None]) -> tuple[float, float]:
        """Mean loss, as training weighs it, and the figure; draws nothing. Calls `pause` after each batch."""
        n, ranks = len(self.rows), network.loader.ranks
        found_2N = np.zeros((2, n), dtype=np.int64)
        truth_N, predicted_N = found_2N
        total = torch.zeros((), dtype=torch.float64, device=network.loss_sum.device)
        network.module.eval()
        with torch.no_grad(), network.trainer.precision_plugin.val_step_context():
            for start in range(ranks.rank * BATCH, n, ranks.world * BATCH):
                part = np.arange(start, min(start + BATCH, n))
                inputs, target_B = self.rows.take(part)
                logits_BK = network.module(*inputs)
                total += network.loss(logits_BK, target_B)
                truth_N[part] = target_B.cpu().numpy()
                predicted_N[part] = logits_BK.argmax(dim=1).cpu().numpy()
                if ranks.alone:
                    # Several agree between steps alone: they do not judge equally many batches.
                    pause()
            total = together.added(ranks, total)
            # Every window was judged by one process, and is 0 in the others.
            together.added(ranks, torch.from_numpy(found_2N))
        network.module.train()
        return float(total) / n, self.objective.measure(truth_N, predicted_N, self.outputs)
