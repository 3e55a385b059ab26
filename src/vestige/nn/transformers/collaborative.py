"""CoLog's transformer of two modalities, tokens and vectors (Scientific Reports 2025,
doi:10.1038/s41598-025-27693-4).

B: batch, T: tokens, S: vectors, E: embed_size, H: hidden_size.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from vestige.nn.transformers import dense
from vestige.nn.transformers.blocks import MultiHeadImpressedAttention
from vestige.nn.transformers.checkpointing import apply_block
from vestige.nn.transformers.config import TransformerConfig, read_config
from vestige.nn.transformers.dropout import Dropout
from vestige.nn.transformers.glimpses import ModalityAdaptationLayer
from vestige.nn.transformers.inputs import (
    check_dtype,
    check_embeddings,
    check_positions,
    check_sequences,
    check_text,
    make_embedding,
)
from vestige.nn.transformers.layer_norm import LayerNorm
from vestige.nn.transformers.padding import create_padding_mask, gather_front

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Table = Tensor | NDArray[np.floating]

NEEDED = (
    *("embed_size", "hidden_size", "projection_size", "dropout_rate", "heads", "layers"),
    *("len_messages", "n_classes", "sequences_fsize", "len_sequences"),
)


class CollaborativeBlock(nn.Module):
    """Each modality impressed by the other, and added to itself; then, but for the last block, a glimpse of
    the whole modality added to each of its positions, and normed.

    Args:
        args: as the model's.
        i: which block it is, from 0; the last of ``args.layers`` has no glimpses.
    """

    def __init__(self, args: object, i: int) -> None:
        super().__init__()
        config = read_config(args, (*NEEDED[1:7], "len_sequences"))
        if not 0 <= i < config.layers:
            raise ValueError(f"block i={i} of layers={config.layers}: i counts from 0")
        self.args = args
        self.as_published = published = config.as_published
        self.is_last_layer = i == config.layers - 1
        self.text_impressed_attention = MultiHeadImpressedAttention(config)
        self.sequence_impressed_attention = MultiHeadImpressedAttention(config)
        if not self.is_last_layer:
            self.text_modality_adaptation = ModalityAdaptationLayer(config, config.len_messages)
            self.sequence_modality_adaptation = ModalityAdaptationLayer(config, config.len_sequences)
            self.text_norm = LayerNorm(config.hidden_size, as_published=published)
            self.sequence_norm = LayerNorm(config.hidden_size, as_published=published)
            self.residual_dropout = Dropout(config.dropout_rate)

    def forward(
        self, x: Tensor, x_mask: Tensor | None, y: Tensor, y_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Refine both modalities.

        Args:
            x: text, (batch, positions, hidden_size); at most ``len_messages`` positions, but for the last
                block.
            x_mask: (batch, 1, 1, positions), True at padding; None for no padding.
            y: vectors, (batch, positions, hidden_size); at most ``len_sequences``, likewise.
            y_mask: (batch, 1, 1, positions), likewise.

        Returns:
            Text and vectors, in the shapes they came in.
        """
        text = self.text_impressed_attention(x, y, x_mask, y_mask) + x
        sequence = self.sequence_impressed_attention(y, x, y_mask, x_mask) + y
        if self.is_last_layer:
            return text, sequence
        adapt_text, adapt_sequence = self.text_modality_adaptation, self.sequence_modality_adaptation
        exactly = self.as_published
        check_positions("text", "len_messages", x.shape[1], adapt_text.num_glimpses, exactly)
        check_positions("sequences", "len_sequences", y.shape[1], adapt_sequence.num_glimpses, exactly)
        seen_text = adapt_text(text, x_mask, x.shape[1])
        seen_sequence = adapt_sequence(sequence, y_mask, y.shape[1])
        return (
            self.text_norm(self.residual_dropout.add(text, seen_text)),
            self.sequence_norm(self.residual_dropout.add(sequence, seen_sequence)),
        )


class TextEmbedding(nn.Module):
    """The look-up table of the collaborative model: token ids (B, T) -> (B, T, E)."""

    def __init__(self, args: object, vocab_size: int, pretrained_embeddings: Table | None = None) -> None:
        super().__init__()
        config = read_config(args, ("embed_size",))
        self.embedding = make_embedding(vocab_size, config.embed_size, pretrained_embeddings)
        self.embedding.weight.requires_grad = pretrained_embeddings is None

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T), token ids -> (B, T, E)."""
        return self.embedding(x)  # type: ignore[no-any-return]


class CollaborativeModel(nn.Module):
    """What the collaborative models share: all but where their embeddings lie."""

    def __init__(self, config: TransformerConfig, vocab_size: int, pretrained: Table | None) -> None:
        super().__init__()
        self.settings = config
        size = config.hidden_size
        self._add_embedding(vocab_size, pretrained)
        self.text_lstm = nn.LSTM(config.embed_size, size, batch_first=True)
        self.sequence_adapter = nn.Linear(config.sequences_fsize, size)
        self.encoder_blocks = nn.ModuleList(CollaborativeBlock(config, i) for i in range(config.layers))
        self.sequence_modality_adaptation = ModalityAdaptationLayer(config, 1, merge=True)
        self.text_modality_adaptation = ModalityAdaptationLayer(config, 1, merge=True)
        self.projection_norm = LayerNorm(2 * size, as_published=config.as_published)
        self.classification_head = nn.Linear(2 * size, config.n_classes)
        self.activation_func = nn.PReLU()

    @abstractmethod
    def _add_embedding(self, vocab_size: int, pretrained: Table | None) -> None: ...

    @abstractmethod
    def _table(self) -> nn.Embedding: ...

    def forward_features(self, text: Tensor, embeddings: Tensor | None, sequences: Tensor) -> Tensor:
        """What the classification head sees, (batch, 2 * hidden_size); arguments as ``forward``'s."""
        table, settings = self._table(), self.settings
        check_text(text, table.num_embeddings)
        check_sequences(sequences, text.shape[0], settings.sequences_fsize)
        check_dtype("sequences", sequences, table.weight)
        if embeddings is not None:
            check_embeddings(embeddings, text, settings.embed_size)
            check_dtype("embeddings", embeddings, table.weight)
        if settings.as_published:
            return self._published_features(text, embeddings, sequences)
        padding = None if settings.padding_idx is None else text == settings.padding_idx
        if embeddings is None:
            (text,), x_mask = gather_front(padding, text)
            embeddings = table(text)
        else:
            (embeddings,), x_mask = gather_front(padding, embeddings)
        (sequences,), y_mask = gather_front(create_padding_mask(sequences)[:, 0, 0], sequences)
        x, y = self._encode(embeddings, sequences)
        for block in self.encoder_blocks:
            x, y = apply_block(block, x, x_mask, y, y_mask, checkpointing=settings.checkpointing)
        return self._fuse(x, x_mask, y, y_mask)

    def _published_features(self, text: Tensor, embeddings: Tensor | None, sequences: Tensor) -> Tensor:
        """As the original: masks in the first block alone, and none when pooling."""
        x_mask: Tensor | None = None
        if self.settings.padding_idx is not None:
            x_mask = (text == self.settings.padding_idx)[:, None, None]
        y_mask: Tensor | None = create_padding_mask(sequences)
        x, y = self._encode(self._table()(text) if embeddings is None else embeddings, sequences)
        for block in self.encoder_blocks:
            x, y = apply_block(block, x, x_mask, y, y_mask, checkpointing=self.settings.checkpointing)
            x_mask = y_mask = None
        return self._fuse(x, None, y, None)

    def _encode(self, embeddings_BTE: Tensor, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """Both modalities in the width of the blocks, (B, T, H) and (B, S, H)."""
        x, _ = self.text_lstm(embeddings_BTE)
        return x, dense.apply_linear(sequences, self.sequence_adapter)

    def _fuse(self, x: Tensor, x_mask: Tensor | None, y: Tensor, y_mask: Tensor | None) -> Tensor:
        text = self.text_modality_adaptation(x, x_mask)
        return self.projection_norm(text + self.sequence_modality_adaptation(y, y_mask))  # type: ignore[no-any-return]

    def _logits(self, text: Tensor, embeddings: Tensor | None, sequences: Tensor) -> Tensor:
        features = self.forward_features(text, embeddings, sequences)
        return self.activation_func(self.classification_head(features))  # type: ignore[no-any-return]


class CollaborativeTransformer(CollaborativeModel):
    """Tokens of a message and vectors around it, each refined by the other, to logits.

    Args:
        args: a TransformerConfig, or anything with attributes of its names.
        vocab_size: token ids.
        pretrained_embeddings: (vocab_size, embed_size), array or tensor; then frozen until
            ``model.embedding.weight.requires_grad = True``. None draws them, and trains them.
        num_classes: in place of ``args.n_classes``.
        padding_idx: in place of ``args.padding_idx`` (0 where ``args`` has none).
        as_published: in place of ``args.as_published``: compute what the original computes, slips included.
    """

    def __init__(
        self,
        args: object,
        vocab_size: int,
        pretrained_embeddings: Table | None = None,
        num_classes: int | None = None,
        *,
        padding_idx: int | None = None,
        as_published: bool | None = None,
    ) -> None:
        overrides = {"n_classes": num_classes, "padding_idx": padding_idx, "as_published": as_published}
        super().__init__(read_config(args, NEEDED, **overrides), vocab_size, pretrained_embeddings)
        self.args = args

    @property
    def embedding(self) -> nn.Embedding:
        """The look-up table."""
        return self.text_embedding.embedding

    def _add_embedding(self, vocab_size: int, pretrained: Table | None) -> None:
        self.text_embedding = TextEmbedding(self.settings, vocab_size, pretrained)

    def _table(self) -> nn.Embedding:
        return self.embedding

    def forward(self, text: Tensor, embeddings: Tensor | None, sequences: Tensor) -> Tensor:
        """Logits.

        Args:
            text: token ids, (batch, tokens), ``padding_idx`` where there is none, in any amount and place.
            embeddings: the caller's look-up of the same tokens, (batch, tokens, embed_size); None has it
                computed.
            sequences: (batch, vectors, sequences_fsize), all zero where there is none, likewise.

        Returns:
            (batch, n_classes).

        Raises:
            ValueError: a shape or an id that does not fit; it names the argument to change.
            TypeError: token ids that are no integers, or no sequences.
        """
        return self._logits(text, embeddings, sequences)
