"""The collaborative transformer for hyper-parameter searches, whose settings may be strings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from vestige.nn.transformers.collaborative import NEEDED, CollaborativeModel
from vestige.nn.transformers.config import read_config
from vestige.nn.transformers.inputs import make_embedding

if TYPE_CHECKING:
    from vestige.nn.transformers.collaborative import Table


class CollaborativeTransformerTunable(CollaborativeModel):
    """``CollaborativeTransformer`` with settings that may be strings, ``hidden_size="256"``.

    Strings are read as Python literals, never evaluated. The weights are named as those of the original's
    class (``embedding`` in place of ``text_embedding.embedding``).

    Args:
        config: what the search passes around; kept, and not looked at.
        args: as ``CollaborativeTransformer``'s, and so all else.
    """

    def __init__(
        self,
        config: object,
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
        self.config = config
        self.args = args

    def _add_embedding(self, vocab_size: int, pretrained: Table | None) -> None:
        self.embedding = make_embedding(vocab_size, self.settings.embed_size, pretrained)
        self.embedding.weight.requires_grad = pretrained is None

    def _table(self) -> nn.Embedding:
        return self.embedding

    def forward(self, text: Tensor, embeddings: Tensor | None, sequences: Tensor | None = None) -> Tensor:
        """Logits, as ``CollaborativeTransformer.forward``; (text, sequences) will do, as in the original."""
        if sequences is not None:
            return self._logits(text, embeddings, sequences)
        if embeddings is None:
            raise TypeError("sequences is missing: pass (text, embeddings, sequences) or (text, sequences)")
        return self._logits(text, None, embeddings)
