"""CoLog's architecture the plain way: a product for each map, attention by hand, a loop over glimpses. What
tests compare with, and the baseline of ``benchmarks/bench_collaborative.py``; weights have the same names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from vestige.nn import TransformerConfig


class PlainNorm(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(size))
        self.beta = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return self.gamma * centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-6) + self.beta


class PlainFC(nn.Module):
    def __init__(self, size: int, out: int, rate: float) -> None:
        super().__init__()
        self.linear = nn.Linear(size, out)
        self.dropout = nn.Dropout(rate)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dropout(torch.relu(self.linear(x)))
        return out


class PlainMLP(nn.Module):
    def __init__(self, size: int, middle: int, out: int, rate: float) -> None:
        super().__init__()
        self.fc = PlainFC(size, middle, rate)
        self.linear = nn.Linear(middle, out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.fc(x))
        return out


class PlainFeedForward(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.mlp = PlainMLP(size, config.projection_size, size, config.dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp(x)
        return out


class PlainAttention(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads = config.heads
        self.value_projection = nn.Linear(size, size)
        self.key_projection = nn.Linear(size, size)
        self.query_projection = nn.Linear(size, size)
        self.output_projection = nn.Linear(size, size)
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, v: Tensor, k: Tensor, q: Tensor, mask: Tensor | None) -> Tensor:
        batch, _, size = q.shape
        value, key, query = (
            project(x).view(batch, -1, self.heads, size // self.heads).transpose(1, 2)
            for project, x in (
                (self.value_projection, v),
                (self.key_projection, k),
                (self.query_projection, q),
            )
        )
        scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(size // self.heads)
        if mask is not None:
            scores = scores.masked_fill(mask, -1e9)
        weights = scores.softmax(-1)
        if mask is not None:
            weights = weights.masked_fill(mask, 0)
        attended = torch.matmul(self.dropout(weights), value)
        out: Tensor = self.output_projection(attended.transpose(1, 2).contiguous().view(batch, -1, size))
        return out


class PlainImpressed(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.multi_head_attention_1 = PlainAttention(config)
        self.multi_head_attention_2 = PlainAttention(config)
        self.feed_forward = PlainFeedForward(config)
        self.self_attention_dropout = nn.Dropout(config.dropout_rate)
        self.self_attention_norm = PlainNorm(config.hidden_size)
        self.cross_attention_dropout = nn.Dropout(config.dropout_rate)
        self.cross_attention_norm = PlainNorm(config.hidden_size)
        self.feed_forward_dropout = nn.Dropout(config.dropout_rate)
        self.feed_forward_norm = PlainNorm(config.hidden_size)

    def forward(self, x: Tensor, y: Tensor, x_mask: Tensor | None, y_mask: Tensor | None) -> Tensor:
        own = self.multi_head_attention_1(x, x, x, x_mask)
        x = self.self_attention_norm(x + self.self_attention_dropout(own))
        other = self.multi_head_attention_2(y, y, x, y_mask)
        x = self.cross_attention_norm(x + self.cross_attention_dropout(other))
        out: Tensor = self.feed_forward_norm(x + self.feed_forward_dropout(self.feed_forward(x)))
        return out


class PlainAdaptation(nn.Module):
    def __init__(self, config: TransformerConfig, glimpses: int, merge: bool = False) -> None:
        super().__init__()
        size = config.hidden_size
        self.glimpses, self.merge = glimpses, merge
        self.mlp = PlainMLP(size, config.projection_size, glimpses, config.dropout_rate)
        if merge:
            self.output_projection = nn.Linear(size * glimpses, 2 * size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        scores = self.mlp(x)
        if mask is not None:
            scores = scores.masked_fill(mask.squeeze(1).squeeze(1).unsqueeze(2), -1e9)
        weights = scores.softmax(1)
        if mask is not None:
            weights = weights.masked_fill(mask.squeeze(1).squeeze(1).unsqueeze(2), 0)
        seen = [(weights[:, :, g : g + 1] * x).sum(1) for g in range(self.glimpses)]
        return self.output_projection(torch.cat(seen, 1)) if self.merge else torch.stack(seen, 1)


class PlainBlock(nn.Module):
    def __init__(self, config: TransformerConfig, last: bool) -> None:
        super().__init__()
        self.last = last
        self.text_impressed_attention = PlainImpressed(config)
        self.sequence_impressed_attention = PlainImpressed(config)
        if not last:
            self.text_modality_adaptation = PlainAdaptation(config, config.len_messages)
            self.sequence_modality_adaptation = PlainAdaptation(config, config.len_sequences)
            self.text_norm = PlainNorm(config.hidden_size)
            self.sequence_norm = PlainNorm(config.hidden_size)
            self.residual_dropout = nn.Dropout(config.dropout_rate)

    def forward(
        self, x: Tensor, x_mask: Tensor | None, y: Tensor, y_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        impressed = self.text_impressed_attention(x, y, x_mask, y_mask)
        y = self.sequence_impressed_attention(y, x, y_mask, x_mask) + y
        x = impressed + x
        if self.last:
            return x, y
        seen_x = self.text_modality_adaptation(x, x_mask)
        seen_y = self.sequence_modality_adaptation(y, y_mask)
        return (
            self.text_norm(x + self.residual_dropout(seen_x)),
            self.sequence_norm(y + self.residual_dropout(seen_y)),
        )


class PlainCollaborative(nn.Module):
    """``CollaborativeTransformer`` for inputs of ``len_messages`` tokens and ``len_sequences`` vectors."""

    def __init__(self, config: TransformerConfig, vocab_size: int) -> None:
        super().__init__()
        size = config.hidden_size
        self.text_embedding = nn.ModuleDict({"embedding": nn.Embedding(vocab_size, config.embed_size)})
        self.text_lstm = nn.LSTM(config.embed_size, size, batch_first=True)
        self.sequence_adapter = nn.Linear(config.sequences_fsize, size)
        last = config.layers - 1
        self.encoder_blocks = nn.ModuleList(PlainBlock(config, i == last) for i in range(config.layers))
        self.sequence_modality_adaptation = PlainAdaptation(config, 1, merge=True)
        self.text_modality_adaptation = PlainAdaptation(config, 1, merge=True)
        self.projection_norm = PlainNorm(2 * size)
        self.classification_head = nn.Linear(2 * size, config.n_classes)
        self.activation_func = nn.PReLU()

    def forward(self, text: Tensor, embeddings: Tensor | None, sequences: Tensor) -> Tensor:
        x_mask = (text == 0)[:, None, None]
        y_mask = (sequences.abs().sum(-1) == 0)[:, None, None]
        if embeddings is None:
            embeddings = self.text_embedding["embedding"](text)
        x, _ = self.text_lstm(embeddings)
        y = self.sequence_adapter(sequences)
        for block in self.encoder_blocks:
            x, y = block(x, x_mask, y, y_mask)
        x = self.text_modality_adaptation(x, x_mask)
        y = self.sequence_modality_adaptation(y, y_mask)
        out: Tensor = self.activation_func(self.classification_head(self.projection_norm(x + y)))
        return out
