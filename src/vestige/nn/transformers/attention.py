"""Multi-head attention (Vaswani et al., arXiv:1706.03762).

B: batch, H: heads, Q: queries, K: keys, D: features of one head. Masks are (B, 1, 1, K), True at padding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vestige.nn.transformers import dense
from vestige.nn.transformers.config import read_config
from vestige.nn.transformers.dropout import Dropout


class MultiHeadAttention(nn.Module):
    """softmax(Q K' / sqrt(D)) V in ``heads`` parts, each of ``hidden_size / heads`` features.

    Where every key of a row is padding, the row gets nothing: zeros enter the output projection, and no slope
    comes back. With ``as_published`` it gets the plain mean of its values.

    Args:
        args: with ``hidden_size``, ``heads`` and ``dropout_rate`` (of the attention weights).
    """

    def __init__(self, args: object) -> None:
        super().__init__()
        config = read_config(args, ("hidden_size", "heads", "dropout_rate"))
        self.args = args
        self.hidden_size = size = config.hidden_size
        self.heads = config.heads
        self.as_published = config.as_published
        self.value_projection = nn.Linear(size, size)
        self.key_projection = nn.Linear(size, size)
        self.query_projection = nn.Linear(size, size)
        self.output_projection = nn.Linear(size, size)
        self.dropout = Dropout(config.dropout_rate)

    def forward(self, v: Tensor, k: Tensor, q: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            v: values, (batch, keys, hidden_size).
            k: keys, (batch, keys, hidden_size).
            q: queries, (batch, queries, hidden_size).
            mask: (batch, 1, 1, keys), True at padding; None for no padding.

        Returns:
            (batch, queries, hidden_size).
        """
        for name, given in (("v", v), ("k", k), ("q", q)):
            if given.dim() != 3 or given.shape[-1] != self.hidden_size:
                raise ValueError(
                    f"{name} has shape {tuple(given.shape)}, attention expects (batch, positions,"
                    f" hidden_size={self.hidden_size})"
                )
        attended = self._attend(*self._project(v, k, q), mask)
        return dense.apply_linear(attended.transpose(1, 2).flatten(2), self.output_projection)

    def _project(self, v: Tensor, k: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """query_BHQD, key_BHKD, value_BHKD; maps of the same tensor are one product."""
        to_q, to_k, to_v = self.query_projection, self.key_projection, self.value_projection
        if q is k is v:
            query, key, value = self._split(dense.apply_linear(q, to_q, to_k, to_v), 3)
            return query, key, value
        (query,) = self._split(dense.apply_linear(q, to_q), 1)
        if k is v:
            key, value = self._split(dense.apply_linear(k, to_k, to_v), 2)
            return query, key, value
        (key,) = self._split(dense.apply_linear(k, to_k), 1)
        (value,) = self._split(dense.apply_linear(v, to_v), 1)
        return query, key, value

    def _split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(B, T, parts * H * D) -> as many (B, H, T, D)."""
        heads = x.view(*x.shape[:2], parts, self.heads, self.hidden_size // self.heads)
        return heads.permute(2, 0, 3, 1, 4).unbind(0)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """query_BHQD, key_BHKD, value_BHKD -> (B, H, Q, D)."""
        bias = empty = None
        if mask is not None:
            # Softmax over a row of padding alone would send slopes into its queries and keys, or be NaN: such
            # a row is left unmasked, and its queries are zeroed.
            empty = mask.all(-1, keepdim=True)
            query = query.masked_fill(empty, 0)
            hidden = mask & ~empty
            bias = torch.zeros_like(hidden, dtype=query.dtype).masked_fill(
                hidden, torch.finfo(query.dtype).min
            )
        attended = self._weigh(query, key, value, bias)
        if empty is not None and not self.as_published:
            attended = attended.masked_fill(empty, 0)
        return attended

    def _weigh(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        if not (self.training and self.dropout.p > 0):
            return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        # The fused kernel cannot drop weights on the CPU; its stand-in draws them the slow way.
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        if bias is not None:
            scores = scores + bias
        return self.dropout(scores.softmax(-1)) @ value  # type: ignore[no-any-return]
