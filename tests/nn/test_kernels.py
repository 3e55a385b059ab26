"""The compiled kernels by themselves, and the products beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vestige.nn import products, steps_torch
from vestige.nn.plan import Kind, Plan
from vestige.nn.tape import new_tapes

pytest.importorskip("numba", reason="the kernels need Numba")
from vestige.nn import steps_numba
from vestige.nn.kernels import elementwise


def test_the_exponential_and_its_kin_are_good_to_a_few_units_in_the_last_place() -> None:
    x = np.concatenate([np.linspace(-86, 87, 20001), np.logspace(-20, 1, 2001), [0.0]]).astype(np.float32)
    exact = x.astype(np.float64)
    with np.errstate(over="ignore"):
        wanted = (np.exp(exact), 1 / (1 + np.exp(-exact)), np.tanh(exact))
    for function, value in zip((elementwise.exp, elementwise.sigmoid, elementwise.tanh), wanted, strict=True):
        found = np.array([function(number) for number in x], dtype=np.float64)
        np.testing.assert_allclose(found, value, rtol=5e-7, atol=0)


def test_the_ends_of_the_scale_are_finite_and_a_nan_is_one() -> None:
    for number in map(np.float32, (-1e30, -np.inf, 1e30, np.inf)):
        assert np.isfinite(elementwise.exp(number))
        assert elementwise.sigmoid(number) == pytest.approx(float(number > 0), abs=1e-30)
        assert elementwise.tanh(number) == np.sign(number)
    for function in (elementwise.exp, elementwise.sigmoid, elementwise.tanh):
        assert np.isnan(function(np.float32(np.nan)))


@pytest.mark.parametrize("t", [1, 3])
@pytest.mark.parametrize("kind", ["sum", "top", "attention", "pooled"])
def test_kernels_and_tensor_operations_agree_on_one_step(kind: Kind, t: int) -> None:
    rows, lanes, hidden = 5, 3, 37
    pre, old = torch.randn(rows, lanes, 4 * hidden), torch.randn(rows, lanes, hidden)
    sig_pre = torch.randn(rows, lanes, hidden) if kind in {"attention", "pooled"} else None
    x, d_out = torch.randn(rows, 4, 2), torch.randn(rows, 4, hidden)
    d_h, d_cell = torch.randn(rows, hidden + 3), torch.randn_like(old)
    found = []
    for steps in (steps_numba, steps_torch):
        plan = Plan(kind, rows, 4, 2, hidden, lanes)
        _, (tape,) = new_tapes(plan, [slice(0, rows)], x, keep=True)
        out, carried = torch.zeros(rows, 4, hidden), d_cell.clone()
        tape.operand[:] = 0
        tape.cell[t] = old
        flat = None if sig_pre is None else sig_pre.flatten(1)
        steps.forward(kind, pre.flatten(1), flat, tape, (x, out), t)
        gates, sig, _, new, operand = tape.step(t, rows)
        assert torch.equal(out[:, t], operand[:, :hidden])
        assert torch.equal(operand[:, hidden : hidden + 2], x[:, t + 1] if t < 3 else torch.zeros(rows, 2))
        after = [gates.clone(), new, out, None if sig is None else sig.clone()]
        steps.backward(kind, gates, sig, tape, (d_h.clone(), d_out, carried), t)
        found.append([*after, gates, sig, carried])
    torch.testing.assert_close(found[0], found[1], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("onednn", [True, False])
def test_products_are_full_precision_by_either_library(onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not onednn:
        monkeypatch.setattr(products, "_onednn_linear", lambda: None)
    left, right = torch.randn(40, 30), torch.randn(50, 30)
    exact = (left.double() @ right.double().t()).float()
    torch.testing.assert_close(products.times_transposed(left, right), exact, atol=1e-5, rtol=1e-5)
    turned = products.times_transposed(left.t().contiguous().t(), right.t().contiguous().t())
    torch.testing.assert_close(turned, exact, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("intel", [True, False])
def test_products_are_summed_in_the_memory_of_the_sum(intel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_is_intel", lambda: intel)
    left, right = torch.randn(40, 30), torch.randn(50, 30)
    exact = (left.double() @ right.double().t()).float()
    total = products.add_product(None, left, right)
    torch.testing.assert_close(total, exact, atol=1e-5, rtol=1e-5)
    assert products.add_product(total, left, right) is total
    torch.testing.assert_close(total, 2 * exact, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("onednn", [True, False])
def test_a_factor_serves_any_number_of_rows_at_full_precision(
    onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not onednn:
        monkeypatch.setattr(products, "_onednn_linear", lambda: None)
    wide = torch.randn(37, 50)
    for right in (wide, wide.t().contiguous().t(), wide[:, 3:41]):
        factor = products.Factor.of(right, rows=16)
        for rows in (1, 16, 100):
            left = torch.randn(rows, 60)[:, 5 : 5 + right.shape[1]]
            exact = (left.double() @ right.double().t()).float()
            torch.testing.assert_close(factor.after(left), exact, atol=1e-5, rtol=1e-5)


def test_kernels_compile_where_no_cache_can_be_written() -> None:
    """Numba refuses ``cache=True`` where it finds no directory to write; the kernels then do without."""
    code = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
from vestige.nn.kernels import elementwise
import numpy
assert abs(elementwise.exp(numpy.float32(1)) - 2.7182817) < 1e-6
"""
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_the_layers_work_where_numba_is_missing(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("raise ImportError('hidden for a test')")
    code = f"""
import sys
import time
sys.path.insert(0, {str(tmp_path)!r})
import torch, vestige.nn as nn
out, _ = nn.ArrayLSTM(3, 4, 2)(torch.randn(2, 5, 3))
out.sum().backward()
assert "vestige.nn.steps_torch" in sys.modules
"""
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
