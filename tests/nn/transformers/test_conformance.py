"""The original's numbers, case by case (../shared/data/colog)."""

from __future__ import annotations

import json
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.nn.transformers.models import Model
from vestige.nn import CollaborativeTransformer, CollaborativeTransformerTunable, VanillaTransformer

CASES = Path(__file__).resolve().parents[4] / "shared" / "data" / "colog"


def _cases() -> list[dict[str, Any]]:
    index = CASES / "index.json"
    found: list[dict[str, Any]] = json.loads(index.read_text())["cases"] if index.is_file() else []
    return found


if not _cases():
    pytest.skip(f"the original's numbers are not beside this checkout ({CASES})", allow_module_level=True)

every_case = pytest.mark.parametrize("case", _cases(), ids=lambda case: case["name"])


def _build(case: dict[str, Any], tensors: dict[str, Tensor]) -> Model:
    args = Namespace(
        embed_size=case["emb"],
        hidden_size=case["hidden"],
        projection_size=case["proj"],
        dropout_rate=0.1,
        heads=case["heads"],
        layers=case["layers"],
        len_messages=case["L"],
        n_classes=case["classes"],
        sequences_fsize=case["fsize"],
        len_sequences=case["S"] or 1,
    )
    table = torch.zeros(case["vocab"], case["emb"])
    if case["model"] == "tunable":
        for name in ("hidden_size", "heads", "layers", "dropout_rate"):
            setattr(args, name, str(getattr(args, name)))
        model: Model = CollaborativeTransformerTunable(None, args, case["vocab"], table, as_published=True)
    else:
        kind = VanillaTransformer if case["model"] == "vanilla" else CollaborativeTransformer
        model = kind(args, case["vocab"], table, as_published=True)
    model.load_state_dict({name[3:]: value for name, value in tensors.items() if name.startswith("sd.")})
    return model.eval()


def _inputs(tensors: dict[str, Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor | None, Tensor | None]:
    vectors = {
        name: tensors[f"in.{name}"].to(dtype).requires_grad_()
        for name in ("embedding", "sequences")
        if f"in.{name}" in tensors
    }
    return tensors["in.tokens"], vectors.get("embedding"), vectors.get("sequences")


@every_case
def test_a_model_gives_the_numbers_of_the_original(case: dict[str, Any]) -> None:
    tensors = load_file(CASES / case["file"])
    model = _build(case, tensors)
    text, embeddings, sequences = _inputs(tensors, torch.float32)

    logits = model(text, embeddings, sequences)
    loss = nn.functional.cross_entropy(logits, tensors["in.labels"], reduction="sum")
    loss.backward()

    found = {f"grad.{name}": part.grad for name, part in model.named_parameters() if part.grad is not None}
    found |= {"out.logits": logits, "out.loss": loss.view(1)}
    for name, given in (("embedding", embeddings), ("sequences", sequences)):
        if given is not None:
            assert given.grad is not None
            found[f"grad_in.{name}"] = given.grad
    expected = {name for name in tensors if name.startswith(("grad", "out."))}
    assert found.keys() == expected - {"out.features", "out.logits64"}
    for name, value in found.items():
        assert value is not None
        torch.testing.assert_close(
            value, tensors[name], atol=1e-5, rtol=1e-5, msg=partial("{}: {}".format, name)
        )


@every_case
def test_features_before_the_head_are_those_of_the_original(case: dict[str, Any]) -> None:
    tensors = load_file(CASES / case["file"])
    if "out.features" not in tensors:
        pytest.skip("the original's tunable class has no forward_features")
    model = _build(case, tensors)
    text, embeddings, sequences = _inputs(tensors, torch.float32)
    if isinstance(model, VanillaTransformer):
        features = model.forward_features(text)
    else:
        assert isinstance(model, CollaborativeTransformer)
        assert sequences is not None
        features = model.forward_features(text, embeddings, sequences)
    torch.testing.assert_close(features, tensors["out.features"], atol=1e-5, rtol=1e-5)


@every_case
def test_float64_agrees_with_the_original_in_float64(case: dict[str, Any]) -> None:
    tensors = load_file(CASES / case["file"])
    model = _build(case, tensors).double()
    with torch.no_grad():
        logits = model(*_inputs(tensors, torch.float64))
    torch.testing.assert_close(logits, tensors["out.logits64"], atol=1e-12, rtol=1e-12)
