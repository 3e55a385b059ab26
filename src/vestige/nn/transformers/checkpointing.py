"""Blocks whose activations are computed again for the slopes, where memory is dearer than time."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def apply_block(block: nn.Module, *inputs: Any, checkpointing: bool) -> Any:
    """What ``block`` makes of ``inputs``; with ``checkpointing`` nothing inside it is kept for the slopes.

    Dropout draws the same again: the generator is put back where it was.
    """
    if not (checkpointing and block.training and torch.is_grad_enabled()):
        return block(*inputs)
    return checkpoint(block, *inputs, use_reentrant=False)
