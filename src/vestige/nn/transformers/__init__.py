"""Transformers for logs, after CoLog (Scientific Reports 2025, doi:10.1038/s41598-025-27693-4)."""

from vestige.nn.transformers.attention import MultiHeadAttention
from vestige.nn.transformers.blocks import FeedForwardNetwork, MultiHeadImpressedAttention, SelfAttention
from vestige.nn.transformers.collaborative import CollaborativeBlock, CollaborativeTransformer
from vestige.nn.transformers.config import TransformerConfig
from vestige.nn.transformers.glimpses import AttentionFlatten, ModalityAdaptationLayer
from vestige.nn.transformers.layer_norm import LayerNorm
from vestige.nn.transformers.layers import FC, MLP
from vestige.nn.transformers.padding import create_padding_mask
from vestige.nn.transformers.quantize import quantize_int8
from vestige.nn.transformers.tunable import CollaborativeTransformerTunable
from vestige.nn.transformers.vanilla import VanillaTransformer

__all__ = [
    "FC",
    "MLP",
    "AttentionFlatten",
    "CollaborativeBlock",
    "CollaborativeTransformer",
    "CollaborativeTransformerTunable",
    "FeedForwardNetwork",
    "LayerNorm",
    "ModalityAdaptationLayer",
    "MultiHeadAttention",
    "MultiHeadImpressedAttention",
    "SelfAttention",
    "TransformerConfig",
    "VanillaTransformer",
    "create_padding_mask",
    "quantize_int8",
]
