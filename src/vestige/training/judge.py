"""Loss and the objective's figure on validation windows.

Letters: B windows of a batch, N windows of the part, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from vestige.training.loader import Rows
from vestige.training.network import Network
from vestige.training.objective import Objective

BATCH = 1_024


@dataclass(frozen=True)
class Validation:
    """The validation windows, and by what they judge."""

    rows: Rows
    outputs: int
    objective: Objective

    def judge(self, network: Network, pause: Callable[[], None]) -> tuple[float, float]:
        """Mean loss, as training weighs it, and the figure; draws nothing. Calls `pause` after each batch."""
        n = len(self.rows)
        truth_N, predicted_N = np.empty((2, n), dtype=np.int64)
        total = torch.zeros((), dtype=torch.float64, device=network.loss_sum.device)
        network.module.eval()
        with torch.no_grad(), network.trainer.precision_plugin.val_step_context():
            for start in range(0, n, BATCH):
                part = np.arange(start, min(start + BATCH, n))
                inputs, target_B = self.rows.take(part)
                logits_BK = network.module(*inputs)
                total += network.loss(logits_BK, target_B)
                truth_N[part] = target_B.cpu().numpy()
                predicted_N[part] = logits_BK.argmax(dim=1).cpu().numpy()
                pause()
        network.module.train()
        return float(total) / n, self.objective.measure(truth_N, predicted_N, self.outputs)
