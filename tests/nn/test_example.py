"""The working example in docs/array-lstm.md, as a newcomer would paste it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vestige import nn

PAGE = Path(__file__).resolve().parents[2] / "docs" / "array-lstm.md"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """The names that the page's code defines."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    return names


def test_the_documented_example_runs(example: dict[str, Any]) -> None:
    output = example["output"]
    assert output.shape == (1024, 10)
    torch.testing.assert_close(output.exp().sum(1), torch.ones(1024))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.ArrayLSTM, nn.AttentionArrayLSTM, nn.StochasticArrayLSTM])
def test_the_example_learns_with_any_of_the_layers(
    example: dict[str, Any], kind: Callable[..., nn.LSTM]
) -> None:
    net = example["MyNetwork"](10, 32, 10, 4)
    net.lstm = kind(10, 32) if kind is nn.LSTM else kind(10, 32, 4)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    starts = torch.randint(0, 10, (256, 1))
    tokens = (starts + torch.arange(7)) % 10  # the next token is the last one plus one
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.nll_loss(net(tokens[:, :-1]), tokens[:, -1])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
