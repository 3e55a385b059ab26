"""Layers: recurrent ones with arrays of memory, and transformers for logs.

Memory arrays: Rocki, *Recurrent Memory Array Structures* (arXiv:1607.03085). Drop-in for the ``array-lstm``
package: the same constructors, methods, attributes and weights.

Transformers: CoLog (Scientific Reports 2025, doi:10.1038/s41598-025-27693-4). Drop-in for its
``neuralnetwork`` package and the components of it.
"""

from vestige.nn.array_lstm import ArrayLSTM
from vestige.nn.attention import AttentionArrayLSTM
from vestige.nn.lstm import LSTM
from vestige.nn.stochastic import StochasticArrayLSTM
from vestige.nn.transformers import (
    FC,
    MLP,
    AttentionFlatten,
    CollaborativeBlock,
    CollaborativeTransformer,
    CollaborativeTransformerTunable,
    FeedForwardNetwork,
    LayerNorm,
    ModalityAdaptationLayer,
    MultiHeadAttention,
    MultiHeadImpressedAttention,
    SelfAttention,
    TransformerConfig,
    VanillaTransformer,
    create_padding_mask,
    quantize_int8,
)
from vestige.nn.workspace import release_workspace

__all__ = [
    "FC",
    "LSTM",
    "MLP",
    "ArrayLSTM",
    "AttentionArrayLSTM",
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
    "StochasticArrayLSTM",
    "TransformerConfig",
    "VanillaTransformer",
    "create_padding_mask",
    "quantize_int8",
    "release_workspace",
]
