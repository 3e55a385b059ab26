"""Errors say what was wrong and which argument to change."""

from __future__ import annotations

from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.nn.transformers.models import FEATURES, KINDS, inputs, make, settings
from vestige.nn import (
    FC,
    MLP,
    CollaborativeBlock,
    CollaborativeTransformer,
    CollaborativeTransformerTunable,
    LayerNorm,
    ModalityAdaptationLayer,
    MultiHeadAttention,
    TransformerConfig,
    VanillaTransformer,
)
from vestige.nn.transformers.config import read_config


def test_heads_that_do_not_divide_the_hidden_size_are_told_what_would() -> None:
    with pytest.raises(
        ValueError, match=r"hidden_size=250 .* heads=4: .* 248 or 252, or heads .* 1, 2, 5, 10"
    ):
        TransformerConfig(hidden_size=250)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"layers": 0}, r"layers=0 must be a whole number of at least 1"),
        ({"embed_size": 1.5}, r"embed_size=1\.5 must be a whole number"),
        ({"dropout_rate": 1.0}, r"dropout_rate=1\.0 must be .* below 1"),
        ({"n_classes": True}, r"n_classes=True"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        settings(**changes)


def test_what_args_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="args lacks projection_size, n_classes"):
        VanillaTransformer(Namespace(embed_size=8, hidden_size=8, dropout_rate=0.1, heads=2, layers=1), 10)


def test_the_names_of_the_originals_code_are_taken_too() -> None:
    args = SimpleNamespace(embedding_size=8, num_classes=4, hidden_size=np.int64(8))
    config = read_config(args, ("embed_size", "n_classes", "hidden_size"))
    assert (config.embed_size, config.n_classes, config.hidden_size) == (8, 4, 8)


def test_strings_are_literals() -> None:
    args = Namespace(hidden_size="32", dropout_rate=" 0.3", heads="4", layers="1", **_REST)
    model = CollaborativeTransformerTunable({"any": "thing"}, args, 10)
    assert model.sequence_adapter.out_features == 32
    assert model.settings.dropout_rate == 0.3


_REST = {
    "projection_size": 20,
    "embed_size": 8,
    "sequences_fsize": FEATURES,
    "len_messages": 4,
    "len_sequences": 3,
    "n_classes": 2,
}


@pytest.mark.parametrize(
    "text", ["config['hidden_size']", "__import__('os').getpid()", "2**5", "print(1)", ""]
)
def test_strings_are_never_evaluated(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = Namespace(hidden_size=text, dropout_rate="0.3", heads="4", layers="1", **_REST)
    with pytest.raises(ValueError, match="read as literals, never evaluated"):
        CollaborativeTransformerTunable({"hidden_size": 32}, args, 10)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", KINDS)
def test_token_ids_beyond_the_vocabulary(kind: str) -> None:
    model, (text, _, sequences) = make(kind), inputs()
    text[0, 0] = 30
    with pytest.raises(ValueError, match="token id 30, the model vocab_size=30: raise vocab_size"):
        model(text, None, sequences)
    text[0, 0] = -1
    with pytest.raises(ValueError, match="token id -1"):
        model(text, None, sequences)


@pytest.mark.parametrize("kind", KINDS)
def test_text_of_a_wrong_shape_or_dtype(kind: str) -> None:
    model, (text, _, sequences) = make(kind), inputs()
    with pytest.raises(ValueError, match=r"text has shape \(3, 6, 1\)"):
        model(text.unsqueeze(2), None, sequences)
    with pytest.raises(ValueError, match=r"text has shape \(3, 0\)"):
        model(text[:, :0], None, sequences)
    with pytest.raises(TypeError, match="token ids are integers"):
        model(text.float(), None, sequences)


def test_sequences_and_embeddings_of_a_wrong_shape() -> None:
    model, (text, _, sequences) = make("collaborative"), inputs()
    with pytest.raises(ValueError, match=f"sequences_fsize={FEATURES}"):
        model(text, None, sequences[..., 1:])
    with pytest.raises(ValueError, match="batch=3"):
        model(text, None, sequences[:2])
    with pytest.raises(TypeError, match="sequences is missing"):
        model(text, None, None)
    with pytest.raises(TypeError, match="sequences is missing"):
        make("tunable")(text, None)
    with pytest.raises(ValueError, match=r"embed_size\) = \(3, 6, 12\).* None to have it computed"):
        model(text, torch.zeros(3, 6, 11), sequences)
    with pytest.raises(TypeError, match=r"sequences\.to\(torch\.float32\) or model\.to\(torch\.float64\)"):
        model(text, None, sequences.double())


def test_a_message_longer_than_len_messages_is_told_so() -> None:
    model, (text, _, sequences) = make("collaborative", len_messages=5), inputs(tokens=6)
    with pytest.raises(ValueError, match=r"text has 6 positions .* len_messages=5: .* raise len_messages"):
        model(text, None, sequences)
    model, (text, _, sequences) = make("collaborative", len_sequences=3), inputs(vectors=4)
    with pytest.raises(ValueError, match=r"sequences has 4 positions .* raise len_sequences"):
        model(text, None, sequences)
    assert make("collaborative", len_messages=1, len_sequences=1, layers=1)(text, None, sequences).shape == (
        3,
        3,
    )


def test_the_mode_of_the_original_needs_exactly_len_messages_with_two_layers() -> None:
    text, _, sequences = inputs(tokens=5)
    with pytest.raises(ValueError, match="exactly len_messages=6"):
        make("collaborative", as_published=True)(text, None, sequences)
    assert make("collaborative", as_published=True, layers=1)(text, None, sequences).shape == (3, 3)


def test_pretrained_embeddings_of_a_wrong_shape() -> None:
    with pytest.raises(ValueError, match=r"shape \(10, 7\): expected \(vocab_size=10, embed_size=12\)"):
        CollaborativeTransformer(settings(), 10, np.zeros((10, 7)))
    with pytest.raises(ValueError, match="vocab_size=0"):
        VanillaTransformer(settings(), 0)


def test_components_name_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="in_size=0"):
        FC(0, 3)
    with pytest.raises(ValueError, match="mid_size=-1"):
        MLP(3, -1, 3)
    with pytest.raises(ValueError, match="dropout_rate=1"):
        FC(3, 3, 1)
    with pytest.raises(ValueError, match="eps=0"):
        LayerNorm(3, 0)
    with pytest.raises(ValueError, match="4 features, this LayerNorm has size=3"):
        LayerNorm(3)(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="num_glimpses=0"):
        ModalityAdaptationLayer(settings(), 0)
    with pytest.raises(ValueError, match="i counts from 0"):
        CollaborativeBlock(settings(), 2)
    with pytest.raises(ValueError, match=r"k has shape .* hidden_size=16"):
        MultiHeadAttention(settings())(torch.zeros(1, 2, 16), torch.zeros(1, 2, 15), torch.zeros(1, 2, 16))
