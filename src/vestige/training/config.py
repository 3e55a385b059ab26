"""How to train: plain settings, every one an option of the command line."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

EPOCHS, MIN_STEPS = 20, 1_000
"""Epochs unless told otherwise, and optimiser steps that they make at least: a corpus of a thousand windows
takes five steps an epoch, and a hundred steps teach nothing."""

Resample = Literal["none", "tomek", "smote", "adasyn", "under", "over"]


class TrainingConfig(BaseModel):
    """Settings of a training run. A resumed run must repeat all but those in `FREE`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    FREE: ClassVar[frozenset[str]] = frozenset({"checkpoint_minutes", "device", "threads", "cache_mb"})
    """Settings that a resumed run may change. Another device or number of threads adds floating-point
    numbers in another order, so the resumed run is then right, but no longer the same bit for bit."""

    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of everything random")
    epochs: int | None = Field(
        default=None,
        ge=1,
        description="maximum number of epochs [default: 20, or enough for 1,000 optimiser steps]",
    )
    epoch_windows: int = Field(
        default=300_000,
        ge=1,
        description="maximum number of windows in an epoch; where there are more, each epoch draws others",
    )
    batch_size: int = Field(default=256, ge=1, description="number of windows in a batch")
    learning_rate: float = Field(
        default=3e-3, gt=0, le=1e30, description="highest learning rate, reached after warm-up"
    )
    warmup: float = Field(
        default=0.05, ge=0, lt=1, description="share of all optimiser steps that the warm-up takes"
    )
    weight_decay: float = Field(
        default=0.01,
        ge=0,
        le=1000,
        description="weight decay of AdamW; biases, norms and embeddings are spared",
    )
    clip: float = Field(default=1.0, ge=0, description="maximum norm of the gradient; 0 turns clipping off")
    accumulate: int = Field(
        default=1, ge=1, description="number of batches whose gradients are added up for one optimiser step"
    )
    class_weights: bool = Field(
        default=True, description="weight the classes so that each counts the same in the loss"
    )
    resample: Resample = Field(
        default="none",
        description="balance the classes of training windows: leave out those on the border (tomek) or any "
        "(under), repeat (over), or make up ones in between (smote, adasyn)",
    )
    patience: int | None = Field(
        default=None,
        ge=0,
        description="epochs without a better one after which training stops; 0: never "
        "[default: a quarter of all epochs, at least 5]",
    )
    checkpoint_best: bool = Field(
        default=True, description="keep the weights of the best epoch by validation, not those of the last"
    )
    checkpoint_minutes: float = Field(
        default=5.0, ge=0, description="minutes between saved states; 0 saves one after every step"
    )
    precision: Literal["auto", "32", "16", "bf16"] = Field(
        default="auto", description="auto: mixed on CUDA, else 32; bf16 on a CPU: products alone are rounded"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: CUDA where there is one"
    )
    devices: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="processes of this machine that train a network together, a GPU or a share of the cores "
        "each; --batch-size is of each",
    )
    nodes: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="number of machines that train together, with --devices processes on each "
        "(docs/training.md)",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="threads of the CPU "
        "[default: one for each core, and at most one for every 16 windows of a batch]",
    )
    cache_mb: int = Field(
        default=1024, ge=0, description="inputs up to this size (MiB) are encoded once, in memory"
    )

    def epochs_of(self, steps: int) -> int:
        """Most epochs of a corpus that takes `steps` optimiser steps an epoch."""
        return self.epochs or max(EPOCHS, -(-MIN_STEPS // steps))

    def patience_of(self, epochs: int) -> int:
        """Epochs without a better figure after which training stops; 0: never."""
        if self.patience is None:
            return max(5, epochs // 4)
        return self.patience

    def fixed(self) -> dict[str, Any]:
        """JSON-ready: the settings that a resumed run must repeat."""
        return self.model_dump(mode="json", exclude=set(self.FREE))
