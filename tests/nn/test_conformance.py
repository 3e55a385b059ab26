"""The original's numbers, case by case (../shared/data/array-lstm)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.nn.layers import make

CASES = Path(__file__).resolve().parents[3] / "shared" / "data" / "array-lstm"
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}


def _cases() -> list[dict[str, Any]]:
    index = CASES / "index.json"
    found: list[dict[str, Any]] = json.loads(index.read_text())["cases"] if index.is_file() else []
    return found


if not _cases():
    pytest.skip(f"the original's numbers are not beside this checkout ({CASES})", allow_module_level=True)


@pytest.mark.parametrize("save_memory", [False, True], ids=["kept gates", "recomputed gates"])
@pytest.mark.parametrize("case", _cases(), ids=lambda case: case["file"].removesuffix(".safetensors"))
def test_a_layer_gives_the_numbers_of_the_original(
    case: dict[str, Any], save_memory: bool, step_code: str
) -> None:
    tensors = load_file(CASES / case["file"])
    kind = case["cls"] + (" max" if case["max_pooling"] else "")
    sizes = (case["input_size"], case["hidden_size"], case["k"])
    layer = make(kind, *sizes, save_memory=save_memory).to(getattr(torch, case["dtype"]))
    layer.load_state_dict(_under(tensors, "param."))
    x, states = tensors["x"].requires_grad_(), None
    if case["explicit_initial_state"]:
        states = (tensors["init_hidden"].requires_grad_(), tensors["init_state"].requires_grad_())

    outputs, (hidden, state) = layer(x, states)
    (outputs * tensors["loss_weight"]).sum().backward()

    found = {"outputs": outputs, "final_hidden": hidden, "final_state": state, "grad_x": x.grad}
    if states is not None:
        found |= {"grad_init_hidden": states[0].grad, "grad_init_state": states[1].grad}
    found |= {f"grad.{name}": parameter.grad for name, parameter in layer.named_parameters()}
    assert found.keys() == {name for name in tensors if _is_result(name)}
    tolerance = TOLERANCE[case["dtype"]]
    for name, value in found.items():
        torch.testing.assert_close(value, tensors[name], atol=tolerance, rtol=tolerance)


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _is_result(name: str) -> bool:
    return name.startswith(("grad", "final")) or name == "outputs"
