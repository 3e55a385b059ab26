"""The blocks of attention: within one modality, and within one and then across to the other."""

from __future__ import annotations

from torch import Tensor, nn

from vestige.nn.transformers.attention import MultiHeadAttention
from vestige.nn.transformers.config import read_config
from vestige.nn.transformers.dropout import Dropout
from vestige.nn.transformers.layer_norm import LayerNorm
from vestige.nn.transformers.layers import MLP

_NEEDED = ("hidden_size", "heads", "projection_size", "dropout_rate")


class FeedForwardNetwork(nn.Module):
    """relu(x W1' + b1) W2' + b2 at every position, ``projection_size`` wide in the middle.

    Args:
        args: with ``hidden_size``, ``projection_size`` and ``dropout_rate``.
    """

    def __init__(self, args: object) -> None:
        super().__init__()
        config = read_config(args, ("hidden_size", "projection_size", "dropout_rate"))
        self.mlp = MLP(config.hidden_size, config.projection_size, config.hidden_size, config.dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, positions, hidden_size) -> the same shape."""
        return self.mlp(x)  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """An encoder block: self-attention, then the feed-forward network, each added to its input and normed.

    Args:
        args: with ``hidden_size``, ``heads``, ``projection_size`` and ``dropout_rate``.
    """

    def __init__(self, args: object) -> None:
        super().__init__()
        config = read_config(args, _NEEDED)
        self.multi_head_attention = MultiHeadAttention(config)
        self.feed_forward = FeedForwardNetwork(config)
        self.attention_dropout = Dropout(config.dropout_rate)
        self.attention_norm = LayerNorm(config.hidden_size, as_published=config.as_published)
        self.feed_forward_dropout = Dropout(config.dropout_rate)
        self.feed_forward_norm = LayerNorm(config.hidden_size, as_published=config.as_published)

    def forward(self, y: Tensor, y_mask: Tensor | None = None) -> Tensor:
        """y (batch, positions, hidden_size), y_mask (batch, 1, 1, positions) -> the shape of y."""
        attended = self.multi_head_attention(y, y, y, y_mask)
        y = self.attention_norm(self.attention_dropout.add(y, attended))
        return self.feed_forward_norm(self.feed_forward_dropout.add(y, self.feed_forward(y)))  # type: ignore[no-any-return]


class MultiHeadImpressedAttention(nn.Module):
    """One modality, impressed by another: self-attention, attention to the other, feed-forward network, each
    added to its input and normed (CoLog, doi:10.1038/s41598-025-27693-4).

    Args:
        args: with ``hidden_size``, ``heads``, ``projection_size`` and ``dropout_rate``.
    """

    def __init__(self, args: object) -> None:
        super().__init__()
        config = read_config(args, _NEEDED)
        size, rate, published = config.hidden_size, config.dropout_rate, config.as_published
        self.multi_head_attention_1 = MultiHeadAttention(config)
        self.multi_head_attention_2 = MultiHeadAttention(config)
        self.feed_forward = FeedForwardNetwork(config)
        self.self_attention_dropout = Dropout(rate)
        self.self_attention_norm = LayerNorm(size, as_published=published)
        self.cross_attention_dropout = Dropout(rate)
        self.cross_attention_norm = LayerNorm(size, as_published=published)
        self.feed_forward_dropout = Dropout(rate)
        self.feed_forward_norm = LayerNorm(size, as_published=published)

    def forward(
        self, x: Tensor, y: Tensor, x_mask: Tensor | None = None, y_mask: Tensor | None = None
    ) -> Tensor:
        """Refine x by itself and by y.

        Args:
            x: (batch, positions of x, hidden_size).
            y: the other modality, (batch, positions of y, hidden_size).
            x_mask: (batch, 1, 1, positions of x), True at padding; None for no padding.
            y_mask: (batch, 1, 1, positions of y), likewise.

        Returns:
            The shape of x.
        """
        own = self.multi_head_attention_1(v=x, k=x, q=x, mask=x_mask)
        x = self.self_attention_norm(self.self_attention_dropout.add(x, own))
        other = self.multi_head_attention_2(v=y, k=y, q=x, mask=y_mask)
        x = self.cross_attention_norm(self.cross_attention_dropout.add(x, other))
        return self.feed_forward_norm(self.feed_forward_dropout.add(x, self.feed_forward(x)))  # type: ignore[no-any-return]
