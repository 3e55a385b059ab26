"""Compilers, exporters, autocast and function transforms, which all need plain operations."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jvp, vmap

from tests.nn.layers import make
from tests.nn.reference import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_compile_in_one_graph(kind: str) -> None:
    torch.compiler.reset()
    layer, x = make(kind, num_layers=2), torch.randn(3, 4, 5, requires_grad=True)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    out, states = compiled(x)
    expected, expected_states = layer(x)
    torch.testing.assert_close((out, states), (expected, expected_states))
    slopes = [torch.autograd.grad(result.sum(), x)[0] for result in (out, expected)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("kind", KINDS)
def test_export(kind: str) -> None:
    layer, x = make(kind).eval(), torch.randn(3, 4, 5)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=2)},))
    more = torch.randn(7, 4, 5)
    torch.testing.assert_close(program.module()(more), layer(more))


@pytest.mark.skipif(
    not (find_spec("onnx") and find_spec("onnxscript")), reason="needs onnx and onnxscript, optional packages"
)
@pytest.mark.parametrize("kind", KINDS)
def test_onnx_export(kind: str, tmp_path: Path) -> None:
    from onnx.reference import ReferenceEvaluator

    layer, x = make(kind).eval(), torch.randn(3, 4, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.onnx.export(layer, (x,), dynamo=True, verbose=False)
    assert program is not None
    file = tmp_path / "layer.onnx"
    program.save(str(file))
    model = ReferenceEvaluator(str(file))
    found = model.run(None, {model.input_names[0]: x.numpy()})
    out, (hidden, state) = layer(x)
    for ours, theirs in zip((out, hidden, state), found, strict=True):
        torch.testing.assert_close(torch.from_numpy(theirs), ours, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_multiplies_in_bfloat16_and_remembers_in_float32(kind: str) -> None:
    layer, x = make(kind), torch.randn(3, 4, 5)
    expected = layer(x)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, (_, state) = layer(x)
    assert state.dtype == torch.float32
    # On the average: a lane that wins by a hair may be another one in bfloat16.
    assert (out - expected).abs().mean() < 0.01
    assert not torch.equal(out.float(), expected)
    out.sum().backward()
    assert layer.i2h.weight.grad is not None
    assert layer.i2h.weight.grad.dtype == torch.float32


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own, inside jvp
def test_function_transforms_take_the_general_path() -> None:
    layer, x = make("ArrayLSTM"), torch.randn(3, 4, 5)
    weights: dict[str, torch.Tensor] = dict(layer.named_parameters())

    def loss(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        out, _ = functional_call(layer, weights, (x,))
        total: torch.Tensor = out.sum()
        return total

    slopes = grad(loss)(weights, x)
    layer(x)[0].sum().backward()
    for name, parameter in weights.items():
        torch.testing.assert_close(slopes[name], parameter.grad)
    per_row = vmap(lambda row: layer(row)[0])(x)
    torch.testing.assert_close(per_row, layer(x)[0])
    tangent = torch.randn_like(x)
    _, directional, *_ = jvp(lambda x: layer(x)[0], (x,), (tangent,))
    with forward_ad.dual_level():
        out = layer(forward_ad.make_dual(x, tangent))[0]
        torch.testing.assert_close(forward_ad.unpack_dual(out).tangent, directional)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_can_be_copied_and_saved(kind: str) -> None:
    layer, x = make(kind, num_layers=2, bidirectional=True), torch.randn(3, 4, 5)
    expected = layer(x)
    torch.testing.assert_close(copy.deepcopy(layer)(x), expected)
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    other = make(kind, num_layers=2, bidirectional=True)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    torch.testing.assert_close(other(x), expected)


def test_importing_the_layers_imports_no_numba() -> None:
    code = "import sys, vestige.nn; assert 'torch' in sys.modules; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_gives_the_cpus_numbers(kind: str) -> None:
    layer, x = make(kind), torch.randn(30, 7, 5)
    layer(x)[0].square().sum().backward()
    on_gpu = copy.deepcopy(layer).cuda()
    on_gpu.zero_grad()
    out, states = on_gpu(x.cuda())
    out.square().sum().backward()
    torch.testing.assert_close(
        (out.cpu(), tuple(part.cpu() for part in states)), layer(x), atol=1e-4, rtol=1e-4
    )
    for ours, theirs in zip(on_gpu.parameters(), layer.parameters(), strict=True):
        assert ours.grad is not None
        torch.testing.assert_close(ours.grad.cpu(), theirs.grad, atol=1e-3, rtol=1e-3)
