"""The examples in docs/collaborative.md, and the calls of CoLog's own documentation with our import line."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.nn.transformers.models import settings
from vestige.nn import FC, MLP, CollaborativeTransformer, LayerNorm, VanillaTransformer

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "collaborative.md"
README = ROOT.parent / "shared" / "reference" / "colog-neuralnetwork-readme.txt"


def test_the_examples_of_the_page_run() -> None:
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    assert names["logits"].shape == (32, 2)
    assert names["predictions"].shape == (32,)
    assert names["refined"].shape == (2, 7, 256)
    torch.testing.assert_close(names["probabilities"].sum(1), torch.ones(32))


@pytest.fixture
def documented() -> list[str]:
    """The original's examples, importing from us."""
    if not README.is_file():
        pytest.skip(f"the original's documentation is not beside this checkout ({README})")
    found = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return [
        re.sub(r"from neuralnetwork(\.components)? import", "from vestige.nn import", code) for code in found
    ]


def _run(code: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(code, str(README), "exec"), names)  # noqa: S102 - the reference this repository is built to
    return names


def _only(codes: list[str], *marks: str) -> str:
    (code,) = [code for code in codes if all(mark in code for mark in marks)]
    return code


def test_the_basic_calls_of_the_original_run_unchanged(documented: list[str]) -> None:
    names: dict[str, Any] = {"embeddings_matrix": torch.randn(50_000, 300)}
    names["embeddings"] = names["embeddings_matrix"]
    _run(_only(documented, "import VanillaTransformer", "text_input"), names)
    assert names["logits"].shape == (32, 2)
    _run(_only(documented, "import CollaborativeTransformer", "text_input"), names)
    assert names["predictions"].shape == (32,)


def test_the_components_of_the_original_run_unchanged(documented: list[str]) -> None:
    for code, size in ((_only(documented, "layer = FC("), 128), (_only(documented, "mlp = MLP("), 256)):
        assert _run(code, {"input": torch.randn(32, 256)})["output"].shape == (32, size)
    assert _run(_only(documented, "norm = LayerNorm("), {"input": torch.randn(3, 512)})["output"].shape == (
        3,
        512,
    )


def test_training_and_inference_of_the_original_run_unchanged(documented: list[str], tmp_path: Path) -> None:
    config, vocab_size = settings(n_classes=2), 30
    batches = [
        (
            torch.randint(0, 30, (8, 6)),
            torch.randn(8, 6, 12),
            torch.randn(8, 4, 10),
            torch.randint(0, 2, (8,)),
        )
    ]
    names: dict[str, Any] = {
        "CollaborativeTransformer": CollaborativeTransformer,
        "args": config,
        "vocab_size": vocab_size,
        "embeddings": torch.randn(30, 12),
        "device": "cpu",
        "num_epochs": 2,
        "train_loader": batches,
        "test_loader": batches,
        "torch": torch,
    }
    _run(_only(documented, "# Training loop"), names)
    torch.save(names["model"].state_dict(), tmp_path / "best_model.pth")
    code = _only(documented, "anomaly_scores").replace("best_model.pth", str(tmp_path / "best_model.pth"))
    assert _run(code, names)["anomaly_scores"].shape == (8,)


def test_the_custom_classes_of_the_original_run_unchanged(documented: list[str]) -> None:
    from vestige.nn import MultiHeadAttention

    names: dict[str, Any] = {"nn": nn, "MultiHeadAttention": MultiHeadAttention}
    _run(_only(documented, "class CustomTransformerBlock"), names)
    block = names["CustomTransformerBlock"](settings())
    assert block(torch.randn(2, 5, 16), torch.zeros(2, 1, 1, 5, dtype=torch.bool)).shape == (2, 5, 16)
    _run(_only(documented, "class CustomCoLog"), names)
    model = names["CustomCoLog"](settings(), 30, torch.randn(30, 12))
    assert model(torch.randint(0, 30, (2, 6)), None, torch.randn(2, 4, 10)).shape == (2, 3)


def test_the_unit_test_of_the_original_passes(documented: list[str]) -> None:
    import unittest

    names = _run(_only(documented, "unittest.TestCase"), {})
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(names["TestVanillaTransformer"]).run(result)
    assert result.testsRun == 1
    assert result.wasSuccessful(), result.failures + result.errors


def test_a_search_builds_models_from_strings(documented: list[str]) -> None:
    code = (
        _only(documented, "from ray import tune")
        .split("# Search space")[0]
        .replace("from ray import tune", "")
    )
    names = _run(code, {})
    drawn = {"hidden_size": 128, "dropout_rate": 0.25, "heads": 2, "layers": 1}
    model = names["create_model"](drawn, 100, torch.randn(100, 300))
    assert model(torch.randint(0, 100, (2, 10)), None, torch.randn(2, 5, 384)).shape == (2, 2)


@pytest.mark.parametrize("kind", [VanillaTransformer, CollaborativeTransformer])
def test_a_model_learns(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind(settings(n_classes=2, dropout_rate=0.1, layers=1), 30)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    text, sequences = torch.randint(1, 30, (128, 6)), torch.randn(128, 4, 10)
    text[:64, 0], labels = 3, torch.arange(128) // 64
    text[64:][text[64:] == 3] = 4
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(text, None, sequences), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_components_take_the_documented_arguments() -> None:
    x: Tensor = torch.randn(4, 256)
    assert FC(in_size=256, out_size=128, dropout_rate=0.1, use_relu=True)(x).min() >= 0
    assert FC(256, 128, use_relu=False)(x).min() < 0
    mlp = MLP(in_size=256, mid_size=1024, out_size=256, dropout_rate=0.1, use_relu=False)
    assert mlp(x).shape == (4, 256)
    assert LayerNorm(size=256, eps=1e-6)(x).shape == (4, 256)
    assert MLP(Namespace(size=256).size, 8, 3)(x[:0]).shape == (0, 3)
