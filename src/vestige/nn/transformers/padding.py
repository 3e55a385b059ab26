"""Padding: finding it, and making the amount and the place of it immaterial."""

from __future__ import annotations

import torch
from torch import Tensor

from vestige.nn.dispatch import being_traced

_WORTH_A_CALL = 512  # positions: to compute fewer costs less than a call of the model does by itself


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


def split_by_length(padding_BT: Tensor) -> tuple[Tensor, Tensor] | None:
    """Part the short rows from the long ones, so that the fewest positions are computed.

    A batch is computed at the length of its longest row, and one text of sixty tokens makes sixty of every
    text of six. The two parts, each cut to its own longest row, give the same results for less.

    Args:
        padding_BT: True at padding, in any place.

    Returns:
        The numbers of the short rows and those of the long ones, both ascending and neither empty; None where
        parting them saves too little.
    """
    lengths_B = (~padding_BT).sum(1)
    rows = len(lengths_B)
    short_rows = torch.bincount(lengths_B).cumsum(0)  # by the longest row that counts as short
    longest = len(short_rows) - 1
    positions = short_rows * torch.arange(longest + 1) + (rows - short_rows) * longest
    cut = int(positions.argmin())
    if rows * longest - int(positions[cut]) < _WORTH_A_CALL:
        return None
    return (lengths_B <= cut).nonzero()[:, 0], (lengths_B > cut).nonzero()[:, 0]


def _in_order(padding_BT: Tensor, tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
    # Counted, not sorted: exporters know no stable sort.
    real_BT = ~padding_BT
    n_real_B1 = real_BT.sum(1, keepdim=True)
    place_BT = torch.where(real_BT, real_BT.cumsum(1), n_real_B1 + padding_BT.cumsum(1)) - 1
    steps_BT = torch.arange(padding_BT.shape[1], device=padding_BT.device).expand_as(place_BT)
    order_BT = torch.zeros_like(place_BT).scatter(1, place_BT, steps_BT)
    moved = tuple(_take_positions(tensor, order_BT) for tensor in tensors)
    return moved, (steps_BT >= n_real_B1)[:, None, None]


def _take_positions(tensor_BT: Tensor, order_BT: Tensor) -> Tensor:
    """The positions of every row in the given order, whatever features (...) they have: (B, T, ...).

    Whole positions are copied: ``take_along_dim`` would look up, and check, an index for every feature.
    """
    batch, length = order_BT.shape
    starts_B1 = torch.arange(batch, device=order_BT.device).unsqueeze(1) * length
    return tensor_BT.flatten(0, 1).index_select(0, (order_BT + starts_B1).flatten()).view(tensor_BT.shape)
