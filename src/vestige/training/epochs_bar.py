"""The progress bar of the neural detectors' loop."""

# ruff: noqa: ARG002 - Lightning's hooks are handed more than we need
from __future__ import annotations

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from vestige.training.history import Row
from vestige.training.network import Network
from vestige.training.progress import bar

EVERY = 0.2
"""Seconds between updates: reading a loss waits for the device."""


class EpochsBar(Callback):
    """Batches of the whole training: epoch, loss, validation figure, windows a second, time left."""

    def __init__(self, network: Network, history: list[Row], figure: str) -> None:
        self.network, self.history, self.figure = network, history, figure
        self._last = time.monotonic()
        self._windows = 0
        self._progress = bar()
        loader = network.loader
        self._task = self._progress.add_task("", total=loader.batches * network.epochs, figures="")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Appear."""
        self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraw, now and then, and where an epoch begins."""
        self._windows += len(batch.target)
        now = time.monotonic()
        if batch_idx and now - self._last < EVERY:
            return
        net, loader = self.network, self.network.loader
        rate = self._windows / max(now - self._last, 1e-9)
        self._last, self._windows = now, 0
        figures = f"loss {float(net.loss_sum) / max(1, net.windows):.4f}"
        if self.history:
            figures += f"  {self.figure} {self.history[-1][self.figure]:.4f}"
        self._progress.update(
            self._task,
            completed=loader.epoch * loader.batches + loader.batch,
            description=f"epoch {loader.epoch + 1}/{net.epochs}",
            figures=f"{figures}  {rate:,.0f} windows/s",
        )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Vanish."""
        self._progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Vanish."""
        self._progress.stop()
