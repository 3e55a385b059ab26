"""What XGBoost tells between two rounds of the trees that it grows."""

from __future__ import annotations

from typing import Any

import xgboost as xgb

from vestige.models.fitting import FitProgress


class Report(xgb.callback.TrainingCallback):
    """Hands `progress` the rounds that are done, of `total`; what that raises ends the training."""

    def __init__(self, progress: FitProgress, total: int) -> None:
        super().__init__()
        self.progress, self.total = progress, total

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
        """Tell how far training has come; never stops it by itself."""
        self.progress(epoch + 1, self.total)
        return False
