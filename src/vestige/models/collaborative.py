"""CoLog's transformers as detectors: `vanilla` reads the words of the message judged, `collaborative` also
the vectors of the messages around it, and lets each of the two refine the other (docs/collaborative.md).

Letters: B windows, L words, S vectors, E vector size, K classes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from vestige.models.base import HyperParameters
from vestige.models.neural import NeuralDetector, TokenDropout
from vestige.models.space import Choice, Range, Space
from vestige.nn import CollaborativeTransformer, TransformerConfig, VanillaTransformer, quantize_int8
from vestige.nn.dispatch import being_traced
from vestige.nn.transformers.padding import split_by_length
from vestige.schema import PAD, Input

WIDEST = 8192


class TransformerHyper(HyperParameters):
    """Sizes as in `TransformerConfig`, here for two cores of a laptop. `token_dropout`: share of words that
    training reads as UNK, so that an unseen word has a meaning; `as_published`: compute what the original
    computes, slips included; `checkpointing`: train with less memory in more time, with the same result."""

    embedding: int = Field(64, ge=1, le=WIDEST)
    hidden: int = Field(128, ge=1, le=WIDEST)
    projection: int = Field(256, ge=1, le=WIDEST)
    heads: int = Field(4, ge=1, le=256)
    layers: int = Field(1, ge=1, le=16)
    dropout: float = Field(0.1, ge=0, lt=1)
    token_dropout: float = Field(0.02, ge=0, lt=1)
    as_published: bool = False
    checkpointing: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self.config(TransformerConfig())
        return self

    def config(self, of_inputs: TransformerConfig) -> TransformerConfig:
        """These settings, with the sizes that inputs and classes give."""
        return replace(
            of_inputs,
            embed_size=self.embedding,
            hidden_size=self.hidden,
            projection_size=self.projection,
            dropout_rate=self.dropout,
            heads=self.heads,
            layers=self.layers,
            as_published=self.as_published,
            checkpointing=self.checkpointing,
            padding_idx=PAD,
        )


class Reader(nn.Module):
    """A transformer that forgets a share of the words in training, and reads long messages apart from short
    ones where that saves time (see `split_by_length`).

    Words `(B, L)` int64, and vectors `(B, S, E)` where it takes them -> logits `(B, K)`.
    """

    def __init__(
        self, transformer: VanillaTransformer | CollaborativeTransformer, token_dropout: float
    ) -> None:
        super().__init__()
        self.token_dropout, self.transformer = TokenDropout(token_dropout), transformer

    def forward(self, words: Tensor, vectors: Tensor | None = None) -> Tensor:
        words = self.token_dropout(words)
        parts = self._parts(words)
        if parts is None:
            logits_BK: Tensor = self.transformer(words, None, vectors)
            return logits_BK
        of_parts = [
            self.transformer(words[rows], None, None if vectors is None else vectors[rows]) for rows in parts
        ]
        return torch.cat(of_parts)[torch.cat(parts).argsort()]

    def _parts(self, words: Tensor) -> tuple[Tensor, Tensor] | None:
        """Rows to be computed by themselves; None for all at once: a GPU computes padding faster than it
        takes another call, and what is as published has padding in its results."""
        if words.device.type != "cpu" or self.transformer.settings.as_published or being_traced():
            return None
        return split_by_length(words == PAD)


class TransformerDetector(NeuralDetector):
    """Abstract: what the two share."""

    hyper_parameters: ClassVar[type[HyperParameters]] = TransformerHyper
    hyper: TransformerHyper
    space: ClassVar[Space] = {
        **NeuralDetector.space,
        "heads": Choice((2, 4, 8)),
        "hidden": Range(64, 512, log=True, multiple_of="heads"),
        "embedding": Range(32, 256, log=True),
        "projection": Range(128, 1024, log=True),
        "layers": Range(1, 3),
        "dropout": Range(0.0, 0.5),
    }

    def config(self, words: Input, vectors: Input | None = None) -> TransformerConfig:
        """The transformer's settings for these inputs."""
        sizes = TransformerConfig(
            len_messages=words.length or 1,
            n_classes=self.outputs,
            sequences_fsize=vectors.size if vectors else 1,
            len_sequences=(vectors.length if vectors else 0) or 1,
        )
        return self.hyper.config(sizes)

    @property
    def token_dropout(self) -> float:
        """See `TransformerHyper`."""
        return self.hyper.token_dropout

    def quantize(self) -> None:
        """See `Detector.quantize`: the linear maps but for the last; the rest stays float32."""
        self.to("cpu")
        self.module = quantize_int8(self.module)


class VanillaDetector(TransformerDetector):
    """`vanilla`: the transformer of one modality that CoLog is compared with."""

    name: ClassVar[str] = "vanilla"
    about: ClassVar[str] = "transformer on the words of the message judged"
    accepts: ClassVar[tuple[tuple[str, ...], ...]] = (("tokens:words",),)

    def make_module(self) -> nn.Module:
        """See `NeuralDetector.make_module`."""
        (words,) = self.inputs
        return Reader(VanillaTransformer(self.config(words), self.width(words)), self.token_dropout)


class CollaborativeDetector(TransformerDetector):
    """`collaborative` (CoLog, Scientific Reports 2025, doi:10.1038/s41598-025-27693-4)."""

    name: ClassVar[str] = "collaborative"
    about: ClassVar[str] = "transformer on the words of the message judged and the vectors of those around it"
    accepts: ClassVar[tuple[tuple[str, ...], ...]] = (("tokens:words", "vectors"),)

    def make_module(self) -> nn.Module:
        """See `NeuralDetector.make_module`."""
        words, vectors = self.inputs
        transformer = CollaborativeTransformer(self.config(words, vectors), self.width(words))
        return Reader(transformer, self.token_dropout)
