"""Activations that are computed again give the same slopes, and are not kept meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.nn.transformers.models import FEATURES, KINDS, TOKENS, VECTORS, VOCABULARY, make
from vestige.models.transformer import TransformerHyper, TransformerNetwork


def inputs(rows: int = 8) -> tuple[Tensor, None, Tensor]:
    generator = torch.Generator().manual_seed(1)
    text = torch.randint(1, VOCABULARY, (rows, TOKENS), generator=generator)
    text[: rows // 2, -2:] = 0
    return text, None, torch.randn(rows, VECTORS, FEATURES, generator=generator)


def slopes(model: nn.Module, *given: Any) -> dict[str, Tensor]:
    """Of every weight, with dropout drawn from one seed; and how much was kept for them."""
    model.train()
    torch.manual_seed(3)
    model(*given).square().sum().backward()
    return {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


def kept(model: nn.Module, *given: Any) -> int:
    """Numbers that the forward pass keeps for the slopes."""
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    own = {one.untyped_storage().data_ptr() for one in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = model(*given)
    assert out.requires_grad
    return sum(size for place, size in found.items() if place not in own)


@pytest.mark.parametrize("as_published", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_slopes_are_the_same(kind: str, as_published: bool) -> None:
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = make(kind, checkpointing=checkpointing, dropout_rate=0.3, layers=3, as_published=as_published)
        found.append(slopes(model, *inputs()))
    assert len(found[0]) > 20
    assert found[0].keys() == found[1].keys()
    for name, slope in found[0].items():
        torch.testing.assert_close(found[1][name], slope, msg=name)


@pytest.mark.parametrize("tokens", [True, False])
def test_slopes_of_the_encoder_are_the_same(tokens: bool) -> None:
    given = inputs()[0] if tokens else torch.randn(8, 5, 12, generator=torch.Generator().manual_seed(1))
    found, models = [], []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        hyper = TransformerHyper(
            size=16, heads=2, layers=3, feedforward=32, dropout=0.3, checkpointing=checkpointing
        )
        models.append(TransformerNetwork(VOCABULARY if tokens else 5, 2, hyper, tokens=tokens))
        found.append(slopes(models[-1], given))
    assert len(found[0]) > 20
    for name, slope in found[0].items():
        torch.testing.assert_close(found[1][name], slope, msg=name)
    with torch.no_grad():
        torch.testing.assert_close(models[1].eval()(given), models[0].eval()(given))


@pytest.mark.parametrize("kind", KINDS)
def test_less_is_kept(kind: str) -> None:
    plain, frugal = (
        make(kind, checkpointing=checkpointing, layers=8).train() for checkpointing in (False, True)
    )
    assert kept(frugal, *inputs(64)) < 0.5 * kept(plain, *inputs(64))


def test_nothing_is_computed_twice_where_nothing_is_learnt() -> None:
    model = make("vanilla", checkpointing=True, layers=2).eval()
    calls = []
    model.encoder_blocks[0].register_forward_hook(lambda *_: calls.append(1))
    model(*inputs()).sum().backward()
    assert len(calls) == 1
