"""CoLog's transformer of one modality, tokens: the one to compare the collaborative with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from vestige.nn.transformers.blocks import SelfAttention
from vestige.nn.transformers.checkpointing import apply_block
from vestige.nn.transformers.config import read_config
from vestige.nn.transformers.glimpses import AttentionFlatten
from vestige.nn.transformers.inputs import check_text, make_embedding
from vestige.nn.transformers.layer_norm import LayerNorm
from vestige.nn.transformers.padding import gather_front

if TYPE_CHECKING:
    from vestige.nn.transformers.collaborative import Table

_NEEDED = ("embed_size", "hidden_size", "projection_size", "dropout_rate", "heads", "layers", "n_classes")


class VanillaTransformer(nn.Module):
    """Embeddings, an LSTM, encoder blocks, one glimpse of the whole, and a linear head with a PReLU.

    Args:
        args: a TransformerConfig, or anything with attributes of its names.
        vocab_size: token ids.
        pretrained_embeddings: (vocab_size, embed_size), array or tensor, trained further until
            ``model.embedding.weight.requires_grad = False``. None draws them.
        padding_idx: in place of ``args.padding_idx`` (0 where ``args`` has none).
        as_published: in place of ``args.as_published``: compute what the original computes, slips included.
    """

    def __init__(
        self,
        args: object,
        vocab_size: int,
        pretrained_embeddings: Table | None = None,
        *,
        padding_idx: int | None = None,
        as_published: bool | None = None,
    ) -> None:
        super().__init__()
        config = read_config(args, _NEEDED, padding_idx=padding_idx, as_published=as_published)
        self.args = args
        self.settings = config
        size = config.hidden_size
        self.embedding = make_embedding(vocab_size, config.embed_size, pretrained_embeddings)
        self.lstm = nn.LSTM(config.embed_size, size, batch_first=True)
        self.encoder_blocks = nn.ModuleList(SelfAttention(config) for _ in range(config.layers))
        self.text_attention_flatten = AttentionFlatten(config)
        self.projection_norm = LayerNorm(2 * size, as_published=config.as_published)
        self.classification_head = nn.Linear(2 * size, config.n_classes)
        self.activation_func = nn.PReLU()

    def forward_features(self, text: Tensor) -> Tensor:
        """What the classification head sees: token ids (batch, tokens) -> (batch, 2 * hidden_size)."""
        check_text(text, self.embedding.num_embeddings)
        mask: Tensor | None = None
        if self.settings.padding_idx is not None:
            padding = text == self.settings.padding_idx
            if self.settings.as_published:
                mask = padding[:, None, None]
            else:
                (text,), mask = gather_front(padding, text)
        x, _ = self.lstm(self.embedding(text))
        for block in self.encoder_blocks:
            x = apply_block(block, x, mask, checkpointing=self.settings.checkpointing)
        return self.projection_norm(self.text_attention_flatten(x, mask))  # type: ignore[no-any-return]

    def forward(
        self,
        text: Tensor,
        embeddings: Tensor | None = None,  # noqa: ARG002 - every model is called alike
        sequences: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Logits.

        Args:
            text: token ids, (batch, tokens), ``padding_idx`` where there is none, in any amount and place.
            embeddings: not looked at, as in the original; there so that every model is called alike.
            sequences: likewise.

        Returns:
            (batch, n_classes).

        Raises:
            ValueError: a shape or an id that does not fit; it names the argument to change.
            TypeError: token ids that are no integers.
        """
        return self.activation_func(self.classification_head(self.forward_features(text)))  # type: ignore[no-any-return]
