"""What processes that train together tell one another; one that trains alone talks to nobody."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from vestige.training.ranks import Ranks


def added(ranks: Ranks, values: Tensor) -> Tensor:
    """The sum over all processes, in place; the tensor itself."""
    if ranks.alone:
        return values
    return _reduced(values, dist.ReduceOp.SUM)


def any_of(ranks: Ranks, *flags: bool) -> tuple[bool, ...]:
    """For each flag, whether any process says so."""
    if ranks.alone:
        return flags
    told = _reduced(torch.tensor([int(flag) for flag in flags]), dist.ReduceOp.MAX)
    return tuple(bool(flag) for flag in told.tolist())


def part() -> None:
    """Leave the group, if there is one: the next training makes its own."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _reduced(values: Tensor, how: dist.ReduceOp.RedOpType) -> Tensor:
    """In place. What lies on the CPU goes over the GPU where only GPUs talk to one another."""
    if dist.get_backend() == "nccl" and values.device.type == "cpu":
        moved = values.cuda()
        dist.all_reduce(moved, op=how)
        values.copy_(moved)
    else:
        dist.all_reduce(values, op=how)
    return values
