"""Detectors made of a torch module: tensors in, logits out, softmax in float64.

Letters: B windows, C channels or features, T steps, S vectors, E vector size, K classes.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from torch import Tensor, nn

from vestige.errors import ComputationError
from vestige.models.base import CLIP, Detector, HyperParameters, log_scaled
from vestige.models.fitting import sources
from vestige.models.space import Choice, Range, Space
from vestige.nn.products import can_round, rounded_products
from vestige.reading.encoding import Batch
from vestige.schema import PAD, UNK, Input

INFERENCE_BATCH = 1024


class NumbersHyper(HyperParameters):
    """Of detectors that take a summary or a tensor. `source_dropout`: share of training windows that lose one
    of their sources, so that a source that is missing has a meaning (where features name their sources)."""

    source_dropout: float = Field(0.2, ge=0, le=1)


class NeuralDetector(Detector):
    """A detector around `module`, which takes the tensors of `to_tensors` and returns logits `(B, K)`: what
    `make_module` makes, behind `WithMissingIndicators` where an input may lack values.

    Its first weights are drawn with `seed`, whatever was drawn before; the caller's random state stays
    as it was.
    """

    imputes: ClassVar[bool] = False
    space: ClassVar[Space] = {
        "learning_rate": Range(3e-4, 1e-2, log=True),
        "weight_decay": Range(1e-4, 0.1, log=True),
        "batch_size": Choice((128, 256, 512)),
    }

    def __init__(
        self,
        inputs: tuple[Input, ...],
        n_classes: int,
        *,
        hyper: HyperParameters | None = None,
        keep_mask: Mapping[str, NDArray[np.bool_]] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(inputs, n_classes, hyper=hyper, keep_mask=keep_mask, seed=seed)
        unfitted = [spec.name for spec in inputs if spec.kind == "tokens" and not spec.vocabulary]
        if unfitted:
            raise ValueError(f"the vocabulary of {unfitted[0]} is not fitted: use an encoder's inputs")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = self._with_missing_indicators(self.make_module())
        self.device = torch.device("cpu")
        self._rounds = False

    @property
    def outputs(self) -> int:
        """Logits a window: one a class."""
        return self.n_classes

    @abstractmethod
    def make_module(self) -> nn.Module:
        """A module with fresh weights for `inputs`, `outputs` and `hyper`; no number that it is given is
        missing."""

    def _with_missing_indicators(self, module: nn.Module) -> nn.Module:
        if not any(spec.kind in ("summary", "tensor") for spec in self.inputs):
            return module
        share = self.hyper.source_dropout if isinstance(self.hyper, NumbersHyper) else 0.0
        return WithMissingIndicators([sources(self, spec) for spec in self.inputs], share, module)

    def to(self, device: str | torch.device) -> None:
        """Move the module; `predict_proba` then works there."""
        self.device = torch.device(device)
        self.module.to(self.device)

    def scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        """See `base.log_scaled`."""
        return log_scaled(values)

    def to_tensors(self, X: Batch, device: str | torch.device | None = None) -> tuple[Tensor, ...]:
        """The module's arguments on `device` (the detector's own if None): masked, standardised, NaN where a
        value is missing."""
        where = self.device if device is None else torch.device(device)
        chosen = self.select(X)
        tensors = (_tensor(chosen[spec.name]) for spec in self.inputs)
        if where.type == "cuda":
            # Only what is pinned is copied while the processor goes on with the next batch.
            return tuple(tensor.pin_memory().to(where, non_blocking=True) for tensor in tensors)
        return tuple(tensor.to(where) for tensor in tensors)

    def logits(self, X: Batch) -> Tensor:
        """Logits `(B, K)` of a batch, on the detector's device, with gradients where they are on."""
        logits_BK: Tensor = self.module(*self.to_tensors(X))
        return logits_BK

    def predict_proba(self, X: Batch) -> NDArray[np.float64]:
        """See `Detector.predict_proba`."""
        return self.scores(X, lambda logits_BK: torch.softmax(logits_BK.double(), dim=1))

    def scores(self, X: Batch, of: Callable[[Tensor], Tensor]) -> NDArray[np.float64]:
        """`of(logits)` of every window, `(B, outputs)`: in pieces of `INFERENCE_BATCH` windows, in full
        precision unless `round_products` was called, nothing drawn at random."""
        n = len(X[self.inputs[0].name])
        was_training = self.module.training
        self.module.eval()
        pieces = [np.empty((0, self.outputs))]
        # Not inference_mode: recurrent layers keep their buffers, and training writes to them later.
        with torch.no_grad(), self._precision():
            for start in range(0, n, INFERENCE_BATCH):
                part = {spec.name: X[spec.name][start : start + INFERENCE_BATCH] for spec in self.inputs}
                pieces.append(of(self.logits(part)).cpu().numpy())
        self.module.train(was_training)
        return np.concatenate(pieces)

    def round_products(self) -> None:
        """See `Detector.round_products`.

        While this detector scores, products of the whole process are rounded: of other detectors in other
        threads, too. A window that is scored alone may have a score that differs from its score among others
        by that rounding, because PyTorch does not round the smallest products.
        """
        if self.device.type != "cpu":
            raise ComputationError(
                f"scores are computed in float32 on {self.device} (--precision bf16)",
                remedy="leave out --precision, or --device",
            )
        if not can_round():
            raise ComputationError(
                "precision bf16 needs a processor whose AVX-512 BF16 or AMX PyTorch uses",
                remedy="leave --precision out",
            )
        self._rounds = True

    def _precision(self) -> contextlib.AbstractContextManager[None]:
        return rounded_products() if self._rounds else _full_precision(self.device)

    def state_for_checkpoint(self) -> dict[str, Any]:
        """Nothing beside the hyper-parameters."""
        return {}

    def save_sidecar(self, path: Path) -> None:
        """Write the module's parameters and buffers as safetensors."""
        state = {
            name: tensor.detach().cpu().contiguous() for name, tensor in self.module.state_dict().items()
        }
        path.write_bytes(safetensors.torch.save(state))

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:  # noqa: ARG002
        """See `Detector.load_sidecar`; names, shapes and dtypes must be the module's own."""
        try:
            tensors = safetensors.torch.load(payload)
        except SafetensorError as error:
            raise ValueError(f"not a safetensors file ({error})") from error
        expected = self.module.state_dict()
        if tensors.keys() != expected.keys():
            odd = sorted(tensors.keys() ^ expected.keys())
            raise ValueError(f"weights missing or unknown: {', '.join(odd[:5])}")
        for name, own in expected.items():
            found = tensors[name]
            if found.shape != own.shape or found.dtype != own.dtype:
                raise ValueError(
                    f"{name} is {tuple(found.shape)} {found.dtype}, expected {tuple(own.shape)} {own.dtype}"
                )
            if found.is_floating_point() and not bool(torch.isfinite(found).all()):
                raise ValueError(f"{name} holds a value that is no finite number")
        self.module.load_state_dict(tensors)
        self.to(device)


class WithMissingIndicators(nn.Module):
    """A `MissingIndicator` before every input that has features (`sources`: see `fitting.sources`), then
    `body`."""

    def __init__(self, sources: list[NDArray[np.bool_]], share: float, body: nn.Module) -> None:
        super().__init__()
        self.indicators = nn.ModuleList()
        for of_input in sources:
            has_features = of_input.shape[1] > 0
            self.indicators.append(MissingIndicator(of_input, share) if has_features else nn.Identity())
        self.body = body

    def forward(self, *inputs: Tensor) -> Tensor:
        logits_BK: Tensor = self.body(
            *(indicator(x) for indicator, x in zip(self.indicators, inputs, strict=True))
        )
        return logits_BK


class MissingIndicator(nn.Module):
    """Missing values `(B, C)` or `(B, C, T)` become 0, the mean; that they are missing is told beside them:

        x + W m / sqrt(C),    m = 1 where x is missing, else 0

    W starts as zero: that something is missing says nothing unless training has seen it missing. So in
    training a `share` of the windows loses one of the `sources (S, C)`, where there are two at least.
    """

    def __init__(self, sources: NDArray[np.bool_], share: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(sources.shape[1], sources.shape[1]))
        self.sources: Tensor
        self.register_buffer("sources", torch.from_numpy(sources), persistent=False)
        # Whoever loses the only source there is has nothing left to learn from.
        self.share = share if len(sources) > 1 else 0.0

    def forward(self, x: Tensor) -> Tensor:
        missing = torch.isnan(x)
        if self.training and self.share:
            lost = self._lost(len(x))
            if x.ndim == 3:  # a source is lost for all steps of a window
                lost = lost.unsqueeze(2)
            missing = missing | lost
        # Where a whole source is missing, up to C columns of W add up: divided by sqrt(C), they do so without
        # a leap at the first steps of training.
        weight = self.weight / len(self.weight) ** 0.5
        moved: Tensor = torch.einsum("cd,bd...->bc...", weight, missing.to(weight.dtype))
        return x.masked_fill(missing, 0) + moved

    def _lost(self, n: int) -> Tensor:
        device = self.sources.device
        which_B = torch.randint(len(self.sources), (n,), device=device)
        return self.sources[which_B] & (torch.rand(n, 1, device=device) < self.share)


class TokenDropout(nn.Module):
    """Token ids, each of which, but for padding, becomes UNK in training with probability `share`: so that an
    unseen token has a meaning."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, tokens_BT: Tensor) -> Tensor:
        if not (self.training and self.share):
            return tokens_BT
        hidden_BT = torch.rand(tokens_BT.shape, device=tokens_BT.device) < self.share
        return tokens_BT.masked_fill(hidden_BT & (tokens_BT != PAD), UNK)


def _full_precision(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """TF32 rounds to ten bits, differently for different batches: scores would depend on their company."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def _tensor(values: NDArray[Any]) -> Tensor:
    if values.dtype == np.int64:
        return torch.from_numpy(values)
    return torch.from_numpy(np.ascontiguousarray(values)).clamp_(-CLIP, CLIP)
