"""Compilers, autocast, dtypes, weights that come and go, quantised copies."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.func import functional_call, grad

from tests.nn.transformers.models import KINDS, VOCABULARY, inputs, make, settings, slopes
from vestige.nn import (
    CollaborativeTransformer,
    CollaborativeTransformerTunable,
    LayerNorm,
    VanillaTransformer,
    quantize_int8,
)

every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("kind", ["vanilla", "collaborative"])
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"
)  # its own
def test_compile(kind: str) -> None:
    torch.compiler.reset()
    model, (text, _, sequences) = make(kind), inputs()
    text[0, :3], text[1], sequences[2, 1:] = 0, 0, 0
    compiled = torch.compile(model, backend="aot_eager")  # in parts: torch compiles around its own LSTM
    found, expected = compiled(text, None, sequences), model(text, None, sequences)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(slopes(model, found), slopes(model, expected), atol=1e-5, rtol=1e-4)


@every_kind
@pytest.mark.filterwarnings("ignore:The tensor attributes self.*lstm:UserWarning")  # torch's own LSTM
def test_export(kind: str) -> None:
    model, given = make(kind), inputs()
    program = torch.export.export(model, given)
    torch.testing.assert_close(program.module()(*given), model(*given), atol=1e-5, rtol=1e-5)


@every_kind
def test_autocast_multiplies_in_bfloat16(kind: str) -> None:
    model, given = make(kind).train(), inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(*given)
    assert logits.isfinite().all()
    found = slopes(model, logits.float())
    assert len(found) > 0
    assert all(slope.dtype == torch.float32 and slope.isfinite().all() for slope in found.values())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close = model.eval()(*given).float()
    assert (close - model(*given)).abs().max() < 0.1
    assert not torch.equal(close, model(*given))


@every_kind
def test_autocast_with_rows_of_padding(kind: str) -> None:
    model, (text, _, sequences) = make(kind).train(), inputs()
    text[0], sequences[1], text[2, 3:] = 0, 0, 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(text, None, sequences)
    found = slopes(model, logits.float())
    assert len(found) > 0
    assert all(slope.isfinite().all() for slope in found.values())


@every_kind
def test_float64_agrees_with_float32(kind: str) -> None:
    model, (text, _, sequences) = make(kind), inputs()
    expected = model(text, None, sequences)
    found = model.double()(text, None, sequences.double())
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected, atol=1e-5, rtol=1e-5)


def test_function_transforms() -> None:
    model, (text, _, sequences) = make("collaborative"), inputs()
    weights = dict(model.named_parameters())
    found = grad(lambda given: functional_call(model, given, (text, None, sequences)).sum())(weights)
    model(text, None, sequences).sum().backward()
    for name, part in weights.items():
        assert part.grad is not None
        torch.testing.assert_close(found[name], part.grad, atol=1e-5, rtol=1e-4)


@every_kind
def test_an_empty_batch(kind: str) -> None:
    text, _, sequences = inputs()
    assert make(kind)(text[:0], None, sequences[:0]).shape == (0, 3)


@every_kind
def test_weights_survive_a_file_a_copy_and_a_pickle(kind: str, tmp_path: Path) -> None:
    model, given = make(kind), inputs()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    other = make(kind)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    for again in (other, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301 - our own
        assert torch.equal(again(*given), model(*given))


def test_the_tunable_model_is_the_collaborative_one_by_other_names() -> None:
    tunable, collaborative, (text, _, sequences) = make("tunable"), make("collaborative"), inputs()
    weights = tunable.state_dict()
    weights["text_embedding.embedding.weight"] = weights.pop("embedding.weight")
    collaborative.load_state_dict(weights)
    expected = collaborative(text, None, sequences)
    assert torch.equal(tunable(text, None, sequences), expected)
    assert torch.equal(tunable(text, sequences), expected)


def test_given_embeddings_are_the_look_up() -> None:
    model, (text, _, sequences) = make("collaborative"), inputs()
    assert torch.equal(model(text, model.embedding(text), sequences), model(text, None, sequences))
    other = torch.randn(3, 6, 12, requires_grad=True)
    model(text, other, sequences).sum().backward()
    assert other.grad is not None
    assert other.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "table", [np.ones((VOCABULARY, 12)), torch.ones(VOCABULARY, 12)], ids=["array", "tensor"]
)
def test_pretrained_embeddings_are_copied(table: np.ndarray | torch.Tensor) -> None:
    config = settings()
    vanilla = VanillaTransformer(config, VOCABULARY, table)
    collaborative = CollaborativeTransformer(config, VOCABULARY, table)
    tunable = CollaborativeTransformerTunable(None, config, VOCABULARY, table)
    for model in (vanilla, collaborative, tunable):
        assert (model.embedding.weight == 1).all()
        assert model.embedding.weight.dtype == torch.float32
    # As in the original: the collaborative models keep what was learnt elsewhere.
    assert [m.embedding.weight.requires_grad for m in (vanilla, collaborative, tunable)] == [
        True,
        False,
        False,
    ]


@every_kind
def test_embeddings_can_be_frozen(kind: str) -> None:
    model, given = make(kind), inputs()
    assert model.embedding.weight.requires_grad
    model.embedding.weight.requires_grad = False
    model(*given).sum().backward()
    assert model.embedding.weight.grad is None
    assert model.classification_head.weight.grad is not None


def test_layer_norms_of_both_modes() -> None:
    x = torch.randn(4, 8)
    plain, published = LayerNorm(8), LayerNorm(8, as_published=True)
    torch.testing.assert_close(plain(x), torch.nn.functional.layer_norm(x, (8,), eps=1e-6))
    expected = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6)
    torch.testing.assert_close(published(x), expected)
    assert repr(published) == "LayerNorm(size=8, eps=1e-06, as_published=True)"
    with torch.no_grad():
        plain.gamma.fill_(3)
    plain.reset_parameters()
    assert (plain.gamma == 1).all()


@every_kind
def test_a_quantised_copy_decides_alike(kind: str) -> None:
    model, given = make(kind, hidden_size=64, projection_size=128), inputs(batch=256)
    quantised = quantize_int8(model)
    found, expected = quantised(*given), model(*given)
    assert (found - expected).abs().mean() < 0.05 * expected.std()
    assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.97
    assert not any(part.requires_grad for part in quantised.parameters())
    assert len(list(model.parameters())) > 0
    assert all(part.requires_grad for part in model.parameters())


def test_a_quantised_copy_has_weights_a_quarter_the_size_and_survives_a_file(tmp_path: Path) -> None:
    model, given = make("collaborative"), inputs()
    quantised = quantize_int8(model)
    name = "encoder_blocks.0.text_impressed_attention.feed_forward.mlp.fc.linear.weight"
    assert quantised.state_dict()[name].dtype == torch.int8
    expected = quantised(*given)
    save_file(quantised.state_dict(), tmp_path / "int8.safetensors")
    other = quantize_int8(make("collaborative"))
    other(*given)
    other.load_state_dict(load_file(tmp_path / "int8.safetensors"))
    for again in (other, copy.deepcopy(quantised), pickle.loads(pickle.dumps(quantised))):  # noqa: S301
        assert torch.equal(again(*given), expected)


def test_a_quantised_copy_ignores_padding() -> None:
    model, (text, _, sequences) = quantize_int8(make("collaborative")), inputs(tokens=4)
    longer = torch.cat([text, torch.zeros(3, 5, dtype=torch.long)], dim=1)
    assert torch.equal(model(longer, None, sequences), model(text, None, sequences))


def test_only_float32_is_quantised() -> None:
    with pytest.raises(TypeError, match=r"call model\.float\(\) first"):
        quantize_int8(make("vanilla").double())
