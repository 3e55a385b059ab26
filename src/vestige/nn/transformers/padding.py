"""Padding: finding it, and making the amount and the place of it immaterial."""

from __future__ import annotations

import torch
from torch import Tensor

from vestige.nn.dispatch import being_traced


def create_padding_mask(feature: Tensor) -> Tensor:
    """True where all features of a position are zero.

    Args:
        feature: (batch, positions, features), any dtype.

    Returns:
        bool, (batch, 1, 1, positions), to be laid over attention scores (batch, heads, queries, positions).
    """
    if feature.dim() < 2:
        raise ValueError(f"feature has shape {tuple(feature.shape)}: expected (batch, positions, features)")
    return (feature == 0).all(-1).unsqueeze(1).unsqueeze(2)


def gather_front(padding_BT: Tensor | None, *tensors: Tensor) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """Move what is not padding to the front of every row, and cut off what then is padding in all rows.

    One position is left even if all is padding. Compilers, which cannot let shapes follow the data, get the
    same without the cut.

    Args:
        padding_BT: True at padding; None for no padding.
        tensors: (B, T, ...) each.

    Returns:
        The tensors, and the mask (B, 1, 1, T) of what padding they still have, or None if none.
    """
    if padding_BT is None or not padding_BT.numel():
        return tensors, None
    if being_traced():
        return _in_order(padding_BT, tensors)
    if not bool(padding_BT.any()):
        return tensors, None
    mask: Tensor | None = padding_BT[:, None, None]
    if bool((padding_BT[:, :-1] & ~padding_BT[:, 1:]).any()):
        tensors, mask = _in_order(padding_BT, tensors)
    lengths = (~padding_BT).sum(1)
    longest = max(1, int(lengths.max()))
    if bool((lengths == longest).all()):
        mask = None
    return tuple(tensor[:, :longest] for tensor in tensors), None if mask is None else mask[..., :longest]


def _in_order(padding_BT: Tensor, tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
    padding, order = padding_BT.byte().sort(dim=1, stable=True)
    moved = tuple(torch.take_along_dim(tensor, _over(order, tensor), dim=1) for tensor in tensors)
    return moved, padding.bool()[:, None, None]


def _over(order_BT: Tensor, tensor: Tensor) -> Tensor:
    return order_BT.view(*order_BT.shape, *[1] * (tensor.dim() - 2))
