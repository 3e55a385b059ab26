"""PyTorch's own switch for products in bfloat16, in the transformers: in training and in inference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tests.nn.transformers.models import KINDS, Model, inputs, make
from vestige.nn import quantize_int8
from vestige.nn.products import can_round, rounded_products

pytestmark = pytest.mark.skipif(not can_round(), reason="PyTorch does not multiply in bfloat16 here")

every_kind = pytest.mark.parametrize("kind", KINDS)
SIZES = {"embed_size": 40, "hidden_size": 64, "projection_size": 96}
"""Wide enough that PyTorch rounds: it leaves the smallest products as they are."""
BATCH = 33


def _said(model: nn.Module, text: Tensor, sequences: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(text, None, sequences)
    return logits


def _apart(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.fixture(autouse=True)
def drawn() -> Iterator[None]:
    """Numbers with which no logit lies so near to 0 that rounding has the last activation cut it off."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        yield


@every_kind
def test_inference_differs_by_a_little_and_in_float32(kind: str) -> None:
    model, (text, _, sequences) = make(kind, **SIZES), inputs(BATCH)
    exact = _said(model, text, sequences)
    with rounded_products():
        rounded = _said(model, text, sequences)
    assert rounded.dtype == torch.float32
    assert 0 < _apart(rounded, exact) < 0.02
    assert torch.equal(_said(model, text, sequences), exact), "the switch is as it was"


def _slopes(model: Model, text: Tensor, sequences: Tensor, labels: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    cross_entropy(model(text, None, sequences), labels).backward()
    found = {name: part.grad for name, part in model.named_parameters()}
    return {name: slope for name, slope in found.items() if slope is not None}


def _whole(found: dict[str, Tensor]) -> Tensor:
    return torch.cat([slope.flatten() for slope in found.values()])


@every_kind
@pytest.mark.parametrize("checkpointing", [False, True])
def test_slopes_of_a_training_step_agree_but_for_rounding(kind: str, checkpointing: bool) -> None:
    model = make(kind, **SIZES, checkpointing=checkpointing, dropout_rate=0.0).train()
    (text, _, sequences), labels = inputs(BATCH), torch.randint(0, 3, (BATCH,))
    exact = _slopes(model, text, sequences, labels)
    with rounded_products():
        rounded = _slopes(model, text, sequences, labels)
    assert exact.keys() == rounded.keys()
    assert {slope.dtype for slope in rounded.values()} == {torch.float32}
    # All slopes as one: of some, such as those of biases of keys, the true value is 0, and all is rounding.
    error = (_whole(rounded) - _whole(exact)).norm() / _whole(exact).norm()
    assert 0 < error < 0.05
    weights = [name for name, slope in exact.items() if slope.dim() == 2]
    assert len(weights) > 5
    assert all(not torch.equal(rounded[name], exact[name]) for name in weights)


@every_kind
def test_padding_counts_for_nothing_with_rounded_products_either(kind: str) -> None:
    model, (text, _, sequences) = make(kind, **SIZES), inputs(BATCH, tokens=4, vectors=3)
    longer = torch.cat([text, torch.zeros(BATCH, 2, dtype=torch.long)], dim=1)
    with rounded_products():
        expected, found = _said(model, text, sequences), _said(model, longer, sequences)
        text[1], longer[1] = 0, 0
        blank = _said(model, longer, sequences)
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0.01)
    assert blank.isfinite().all()


def test_attention_hides_padding_whatever_stands_there() -> None:
    model, (text, _, sequences) = make("collaborative", **SIZES), inputs(BATCH)
    text[:, 4:] = 0
    embeddings = model.embedding(text)
    other = embeddings.clone()
    other[:, 4:] = 7.0
    with rounded_products(), torch.no_grad():
        assert torch.equal(model(text, embeddings, sequences), model(text, other, sequences))


def test_eight_bits_stay_eight_bits() -> None:
    model, (text, _, sequences) = make("collaborative", **SIZES), inputs(BATCH)
    small = quantize_int8(model)
    exact = _said(small, text, sequences)
    with rounded_products():
        assert _apart(_said(small, text, sequences), exact) < 0.02
