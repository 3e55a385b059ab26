"""The detector's module as Lightning sees it: loss, optimiser, learning rate.

Letters: B windows, K classes.
"""

# ruff: noqa: ARG002 - Lightning's hooks are handed more than we need
from __future__ import annotations

import math

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer

from vestige.training import random_state
from vestige.training.config import TrainingConfig
from vestige.training.loader import Loader, TrainingBatch


class Network(LightningModule):
    """Weighted cross-entropy under AdamW; the learning rate is a function of the step alone.

    `weight` has an entry a logit; `epochs` is how often the windows are gone through at most. `step` counts
    optimiser steps; `loss_sum` and `windows` add up this epoch's training loss.
    """

    weight: Tensor

    def __init__(self, module: nn.Module, weight: Tensor, loader: Loader, config: TrainingConfig) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("loss_sum", torch.zeros((), dtype=torch.float64), persistent=False)
        self.loss_sum: Tensor
        self.windows = self.step = 0
        self.loader = loader
        self.config = config
        self.epochs = config.epochs_of(loader.steps)
        self.total_steps = self.epochs * loader.steps

    def train_dataloader(self) -> Loader:
        """Asked for anew in every epoch, so that its length is what is left of it."""
        return self.loader

    def loss(self, logits_BK: Tensor, target_B: Tensor) -> Tensor:
        """Sum over the batch of the weighted cross-entropy, in float32."""
        return cross_entropy(logits_BK.float(), target_B, weight=self.weight, reduction="sum")

    def training_step(self, batch: TrainingBatch) -> Tensor:
        """The batch's part of its optimiser step's mean loss (Lightning divides by `accumulate`)."""
        if not self.loader.ranks.alone:
            self._draw_by_place()
        loss = self.loss(self.module(*batch.inputs), batch.target)
        if batch.share:
            self.loss_sum += loss.detach()
            self.windows += len(batch.target)
        return loss * (batch.share * self.config.accumulate / len(batch.target))

    def _draw_by_place(self) -> None:
        """Draw by (seed, epoch, batch, rank): processes differ, and none needs its state to be resumed."""
        loader = self.loader
        place = [self.config.seed, loader.epoch, loader.batch, loader.ranks.rank]
        random_state.seed_all(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def configure_optimizers(self) -> Optimizer:
        """Weight decay on matrices alone: not on biases, norms and embeddings."""
        embeddings = {id(m.weight) for m in self.module.modules() if isinstance(m, nn.Embedding)}
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for parameter in self.module.parameters():
            if parameter.ndim > 1 and id(parameter) not in embeddings:
                matrices.append(parameter)
            else:
                others.append(parameter)
        groups = [
            {"params": matrices, "weight_decay": self.config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return AdamW(groups, lr=self.config.learning_rate, fused=self._fused() or None)

    def _fused(self) -> bool:
        """Whether one kernel takes the step: on a GPU, unless it would undo a loss scale before clipping."""
        on_gpu = self.loader.rows.device.type == "cuda"
        return on_gpu and not (self.config.clip and self.trainer.precision == "16-mixed")

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Set this step's learning rate."""
        rate = self.learning_rate(self.step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        self.step += 1

    def learning_rate(self, step: int) -> float:
        """Linear warm-up over the first share of all steps, then half a cosine down to zero."""
        warmup = int(self.config.warmup * self.total_steps)
        if step < warmup:
            return self.config.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, self.total_steps - warmup)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    def on_before_batch_transfer(self, batch: TrainingBatch, dataloader_idx: int) -> TrainingBatch:
        """Nothing to do: the loader's tensors are on the device already."""
        return batch

    def transfer_batch_to_device(
        self, batch: TrainingBatch, device: torch.device, dataloader_idx: int
    ) -> TrainingBatch:
        """Nothing to do: the loader's tensors are on the device already."""
        return batch
