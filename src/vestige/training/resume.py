"""What a training remembers: the best weights, the history, and everything a resumed run needs."""

# ruff: noqa: ARG002 - Lightning's hooks are handed more than we need
from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from vestige.errors import CheckpointError
from vestige.training import history, random_state, state, together
from vestige.training.errors import StoppedError, TrainingError
from vestige.training.history import Report, Row
from vestige.training.interrupt import StopRequests
from vestige.training.judge import Validation
from vestige.training.network import Network
from vestige.training.state import State

log = logging.getLogger(__name__)
CHECK_EVERY = 32
"""Batches between looks at whether the loss is still a number: on a GPU each look waits for it."""


class Best:
    """The epoch with the highest score (see `Objective`; of equals, the lowest loss) and its weights."""

    def __init__(self) -> None:
        self.epoch = self.risen = 0
        """Epoch of the best weights, and the last one in which the score itself rose (from 1)."""
        self.score, self.loss = -math.inf, math.inf
        self.weights: dict[str, Tensor] = {}

    def offer(
        self, epoch: int, score: float, loss: float, module: nn.Module, *, always: bool = False
    ) -> None:
        """Keep this epoch's weights if it is better, or `always`."""
        if score > self.score:
            self.risen = epoch
        better = (score, -loss) > (self.score, -self.loss)
        if better:
            self.epoch, self.score, self.loss = epoch, score, loss
        if better or always:
            self.weights = {
                name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()
            }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the weights."""
        return {"epoch": self.epoch, "risen": self.risen, "score": self.score, "loss": self.loss}

    def load(self, plain: dict[str, Any], weights: dict[str, Tensor]) -> None:
        """Take over what `to_dict` and `weights` held."""
        self.epoch, self.risen = plain["epoch"], plain["risen"]
        self.score, self.loss = plain["score"], plain["loss"]
        self.weights = weights


class ResumeCallback(Callback):
    """Ends each epoch (validation, history, best weights, early stopping) and saves the state in time.

    A state is only taken between optimiser steps, so it holds no half-made gradient. `resumed` is what an
    earlier run saved; training then goes on with the same batch, the same dropout, the same numbers.
    """

    def __init__(
        self,
        network: Network,
        validation: Validation,
        path: Path,
        *,
        identity: dict[str, Any],
        requests: StopRequests,
        resumed: State | None,
        report: Report | None = None,
    ) -> None:
        self.network, self.validation = network, validation
        self.path, self.identity = path, identity
        self.requests, self.resumed = requests, resumed
        self.report = report
        self.best = Best()
        self.rows: list[Row] = []
        self.ranks = network.loader.ranks
        self._elapsed = 0.0
        self._since = self._saved = time.monotonic()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals, then seed everything, or go back to where the earlier run was."""
        self.requests.claim()
        self._agree_on_state()
        if self.resumed is None:
            random_state.seed_all(self.network.config.seed)
            return
        self._restore(trainer, self.resumed)
        if not len(self.network.loader):
            self._end_epoch(trainer)

    def _agree_on_state(self) -> None:
        """Raise CheckpointError where some processes go on and others begin: machines have folders each."""
        having = int(together.added(self.ranks, torch.tensor(int(self.resumed is not None))))
        if having not in {0, self.ranks.world} and not self.ranks.alone:
            raise CheckpointError(
                f"only {having} of {self.ranks.world} processes found the state to go on from",
                where=self.path,
                remedy="copy that file of the first machine to the same place on the others",
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals back from Lightning."""
        self.requests.claim()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Between optimiser steps: stop if asked to, save if it is time."""
        loader = self.network.loader
        if loader.batch % CHECK_EVERY == 0:
            self._check_loss()
        if not loader.between_steps:
            return
        due = time.monotonic() - self._saved >= 60 * self.network.config.checkpoint_minutes
        if not self.ranks.alone:
            if not self._to_agree():
                return
            stop, due = together.any_of(self.ranks, self.requests.name is not None, self.ranks.first and due)
            if stop:
                self._stop(trainer)
        self._pause(trainer)
        if due:
            self.save(trainer)

    def _to_agree(self) -> bool:
        """Whether to ask the others now: after every step, but that a GPU would have to be waited for."""
        loader = self.network.loader
        return loader.rows.device.type == "cpu" or loader.batch % CHECK_EVERY == 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate, note, keep the best, stop early."""
        self._end_epoch(trainer)

    def save(self, trainer: Trainer, *, finished: bool = False) -> None:
        """Write the whole state to `path`, atomically; of several processes the first, when all are here."""
        self._check_loss()
        net = self.network
        loss_sum, windows = self._of_all()
        if not self.ranks.first:
            self._saved = time.monotonic()
            return
        plain_random, random_tensors = random_state.capture()
        moments = {}
        if not finished:  # nothing goes on from there
            moments = trainer.optimizers[0].state_dict()["state"]
        plain = {
            "identity": self.identity,
            "finished": finished,
            "loader": net.loader.state_dict(),
            "step": net.step,
            "windows": windows,
            "elapsed": self._elapsed + time.monotonic() - self._since,
            "history": self.rows,
            "best": self.best.to_dict(),
            "random": plain_random,
            "scaler": trainer.precision_plugin.state_dict(),
        }
        tensors = state.prefixed("module", net.module.state_dict())
        for number, values in moments.items():
            tensors |= state.prefixed(f"optimizer.{number}", values)
        tensors |= state.prefixed("best", self.best.weights)
        tensors |= state.prefixed("random", random_tensors)
        tensors |= state.prefixed("epoch", {"loss_sum": loss_sum})
        state.write(self.path, State(plain, tensors))
        self._saved = time.monotonic()
        log.debug("state saved: epoch %d, batch %d", net.loader.epoch + 1, net.loader.batch)

    def _restore(self, trainer: Trainer, saved: State) -> None:
        net, plain = self.network, saved.plain
        net.loader.load_state_dict(plain["loader"])
        net.step, net.windows, self._elapsed = plain["step"], plain["windows"], plain["elapsed"]
        net.module.load_state_dict(saved.under("module"))
        net.loss_sum.copy_(saved.under("epoch")["loss_sum"])
        if not self.ranks.first:  # the first has what all had
            net.windows = 0
            net.loss_sum.zero_()
        self.rows = list(plain["history"])
        self.best.load(plain["best"], saved.under("best"))
        optimizer = trainer.optimizers[0]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in saved.under("optimizer").items():
            number, _, key = name.partition(".")
            moments.setdefault(int(number), {})[key] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
        trainer.precision_plugin.load_state_dict(plain["scaler"])
        random_state.restore(plain["random"], saved.under("random"))
        log.info("resumed in epoch %d after %d steps", net.loader.epoch + 1, net.step)

    def _end_epoch(self, trainer: Trainer) -> None:
        net, objective = self.network, self.validation.objective
        self._check_loss()
        val_loss, figure = self.validation.judge(net, lambda: self._pause(trainer))
        if not math.isfinite(val_loss):
            raise self._diverged("validation")
        loss_sum, windows = self._of_all()
        epoch = net.loader.epoch + 1
        seconds = self._elapsed + time.monotonic() - self._since
        row = {
            "epoch": epoch,
            "step": net.step,
            "train_loss": float(loss_sum) / windows,
            "val_loss": val_loss,
            objective.figure: figure,
            "learning_rate": net.learning_rate(net.step - 1),
            "seconds": round(seconds, 3),
        }
        self.rows.append(row)
        if self.ranks.first:
            history.write(self.path.parent, self.rows)
        log.info(
            "epoch %d/%d: loss %.4f, val_loss %.4f, %s %.4f, %.1f s",
            epoch, net.epochs, row["train_loss"], val_loss, objective.figure, figure, seconds,
        )  # fmt: skip
        self.best.offer(
            epoch, objective.score(val_loss, figure), val_loss, net.module,
            always=not net.config.checkpoint_best,
        )  # fmt: skip
        net.loader.next_epoch()
        net.loss_sum.zero_()
        net.windows, self._elapsed, self._since = 0, 0.0, time.monotonic()
        patience = net.config.patience_of(net.epochs)
        if patience and epoch - self.best.risen >= patience:
            log.info("no better %s since epoch %d: training stops early", objective.monitor, self.best.risen)
            trainer.should_stop = True
        if self.report is not None:
            # Last, because it may end the training by an exception.
            self.report(epoch, objective.score(val_loss, figure))

    def _pause(self, trainer: Trainer) -> None:
        if self.ranks.alone and self.requests.name is not None:
            self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        self.save(trainer)
        raise StoppedError(
            f"training was stopped by {self.requests.name or 'another process'}; its state is saved",
            where=self.path,
            remedy="repeat the command with --resume to go on",
        )

    def _check_loss(self) -> None:
        is_lost = not math.isfinite(float(self.network.loss_sum))
        if any(together.any_of(self.ranks, is_lost)):
            raise self._diverged("training")

    def _of_all(self) -> tuple[Tensor, int]:
        """The epoch's loss so far and its windows, of all processes."""
        loss_sum = together.added(self.ranks, self.network.loss_sum.clone())
        windows = together.added(self.ranks, torch.tensor(self.network.windows))
        return loss_sum, int(windows)

    def _diverged(self, part: str) -> TrainingError:
        rate = self.network.config.learning_rate
        return TrainingError(
            f"the {part} loss is no longer a finite number"
            f" (epoch {self.network.loader.epoch + 1}, step {self.network.step})",
            remedy=f"lower the learning rate (--learning-rate {rate / 10:g})",
        )
