"""Recurrent layers with arrays of memory (Rocki, *Recurrent Memory Array Structures*, arXiv:1607.03085).

Drop-in for the ``array-lstm`` package: the same constructors, methods, attributes and weights.
"""

from vestige.nn.array_lstm import ArrayLSTM
from vestige.nn.attention import AttentionArrayLSTM
from vestige.nn.lstm import LSTM
from vestige.nn.stochastic import StochasticArrayLSTM
from vestige.nn.workspace import release_workspace

__all__ = ["LSTM", "ArrayLSTM", "AttentionArrayLSTM", "StochasticArrayLSTM", "release_workspace"]
