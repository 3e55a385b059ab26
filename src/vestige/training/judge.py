"""Loss and macro F1 on validation windows.

Letters: B windows of a batch, N windows of the part, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vestige.training.history import macro_f1
from vestige.training.loader import Rows
from vestige.training.network import Network

BATCH = 1_024


@dataclass(frozen=True)
class Validation:
    """The validation windows and their labels, `label (N,)` uint8."""

    rows: Rows
    label: NDArray[np.uint8]
    n_classes: int

    def judge(self, network: Network, pause: Callable[[], None]) -> tuple[float, float]:
        """Mean weighted loss and macro F1. Draws nothing random; calls `pause` after each batch."""
        n = len(self.label)
        predicted_N = np.empty(n, dtype=np.int64)
        total = torch.zeros((), dtype=torch.float64, device=network.loss_sum.device)
        truth_N = torch.from_numpy(np.array(self.label)).to(total.device)
        network.module.eval()
        with torch.inference_mode(), network.trainer.precision_plugin.val_step_context():
            for start in range(0, n, BATCH):
                part = np.arange(start, min(start + BATCH, n))
                logits_BK = network.module(*self.rows.take(part))
                total += network.loss(logits_BK, truth_N[part[0] : part[-1] + 1].long())
                predicted_N[part] = logits_BK.argmax(dim=1).cpu().numpy()
                pause()
        network.module.train()
        return float(total) / n, macro_f1(self.label, predicted_N, self.n_classes)
