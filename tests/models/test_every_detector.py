"""Every detector that is registered keeps the public contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vestige.models import registry
from vestige.testing import check_detector

TINY = {"hidden": 8, "embedding": 4}
SMALL: dict[str, dict[str, Any]] = {
    "gbt": {"rounds": 8, "threads": 1},
    "ngram": {"bits": 8, "iterations": 20},
    "blend": {"rounds": 4, "reservoirs": 1, "iterations": 20, "threads": 1},
    "mlp": {"hidden": 8},
    "cnn": {"hidden": 8},
    "transformer": {"size": 8, "heads": 2, "layers": 1, "feedforward": 8},
    "gru": {**TINY, "layers": 2},
    "lstm": {**TINY, "layers": 2, "forget_bias": 1.0},
    "array_lstm": {**TINY, "k": 2},
    "attention_array_lstm": {**TINY, "k": 2, "recurrent_attention": True},
    "stochastic_array_lstm": {**TINY, "k": 2, "selection": "sample"},
    "vanilla": {"hidden": 8, "embedding": 4, "projection": 8, "heads": 2, "layers": 2},
    "collaborative": {"hidden": 8, "embedding": 4, "projection": 8, "heads": 2, "layers": 2},
    "next_gru": TINY,
    "next_lstm": {**TINY, "bidirectional": True},
    "next_array_lstm": {**TINY, "k": 3, "layers": 2},
    "next_attention_array_lstm": {**TINY, "k": 2, "max_pooling": True},
    "next_stochastic_array_lstm": {**TINY, "k": 2},
    "next_transformer": {"size": 8, "heads": 2, "layers": 1, "feedforward": 8},
}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", registry.names())
def test_every_registered_detector_keeps_the_contract(name: str, tmp_path: Path) -> None:
    check_detector(name, tmp_path, hyper=SMALL.get(name))
