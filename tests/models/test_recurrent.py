"""The network of all recurrent detectors: tokens that are forgotten, padding, cores, and their sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vestige.errors import UsageError
from vestige.models import registry
from vestige.models.neural import NeuralDetector
from vestige.models.recurrent import CORES, RecurrentHyper, RecurrentNetwork, hidden_for
from vestige.schema import PAD, UNK, Input

TOKENS = Input("tokens", "tokens", vocabulary=("<pad>", "<unk>", "a", "b", "c"))

pytestmark = pytest.mark.usefixtures("one_thread")


def network(**hyper: float) -> RecurrentNetwork:
    torch.manual_seed(0)
    return RecurrentNetwork(5, 2, RecurrentHyper(**hyper), tokens=True)


def test_training_reads_a_share_of_the_tokens_as_unknown_but_never_padding() -> None:
    x_BT = torch.full((200, 50), 3)
    x_BT[:, :20] = PAD
    read = network(token_dropout=0.1).token_dropout(x_BT)
    assert (read[:, :20] == PAD).all()
    assert (read[:, 20:] == UNK).float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert ((read == x_BT) | (read == UNK)).all()


def test_nothing_is_forgotten_outside_training_and_nothing_drawn() -> None:
    x_BT = torch.full((20, 50), 3)
    before = torch.get_rng_state()
    assert torch.equal(network(token_dropout=0.9).eval().token_dropout(x_BT), x_BT)
    state = torch.get_rng_state()
    assert torch.equal(network(token_dropout=0.0).train().token_dropout(x_BT), x_BT)
    torch.set_rng_state(before)
    network(token_dropout=0.9)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("unknown", "learns"), [(0.3, True), (0.0, False)])
def test_unknown_has_a_meaning_only_where_training_forgets(unknown: float, learns: bool) -> None:
    made = network(token_dropout=unknown)
    made(torch.full((64, 6), 2)).sum().backward()
    slopes = made.get_parameter("step.weight").grad
    assert slopes is not None
    assert slopes[UNK].any().item() is learns


@pytest.mark.parametrize("core", CORES)
def test_a_window_of_padding_alone_is_survived(core: str) -> None:
    detector = registry.get(core).build((TOKENS,), 2, hidden=8, embedding=4)
    proba = detector.predict_proba({"tokens": np.full((3, 6), PAD)})
    assert np.isfinite(proba).all()


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("budget", [2_000, 50_000])
def test_the_hidden_size_for_a_budget_is_the_largest_that_keeps_to_it(core: str, budget: int) -> None:
    options = {"k": 4} if "k" in CORES[core].model_fields else {}
    hidden = hidden_for(core, 4, budget, width=30, outputs=2, embedding=8)

    def size(units: int) -> int:
        made = RecurrentNetwork(30, 2, CORES[core](hidden=units, embedding=8, **options), tokens=True)
        return sum(one.numel() for one in made.parameters())

    assert size(hidden) <= budget < size(hidden + 1)


def test_more_lanes_leave_fewer_units_for_the_same_budget() -> None:
    sizes = [hidden_for("array_lstm", k, 30_000, width=50, outputs=2) for k in (1, 2, 4, 8)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == hidden_for("lstm", 4, 30_000, width=50, outputs=2)


def test_a_budget_below_one_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 10"):
        hidden_for("gru", 1, 10, width=50, outputs=2)


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("attention_array_lstm", {"max_pooling": True, "selection": "hard"}),
        ("stochastic_array_lstm", {"selection": "lane-of-two", "k": 3}),
        ("next_stochastic_array_lstm", {"selection": "lane", "evaluation": "argmax"}),
    ],
)
def test_options_that_do_not_go_together_are_refused_with_the_reason(
    name: str, hyper: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=f"{name}: [a-z]"):
        registry.get(name).build((TOKENS,), 2, **hyper)


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        *[("attention_array_lstm", {"selection": one}) for one in ("max", "semi-hard", "hard")],
        *[("stochastic_array_lstm", {"selection": one}) for one in ("sample", "lane", "lane-of-two")],
        ("lstm", {"forget_bias": 1.0}),
    ],
)
def test_the_papers_options_reach_the_layers(name: str, hyper: dict[str, Any]) -> None:
    detector = registry.get(name).build((TOKENS,), 2, hidden=8, **hyper)
    assert isinstance(detector, NeuralDetector)
    for option, value in hyper.items():
        assert getattr(detector.module.core, option) == value
    batch = {"tokens": np.full((4, 6), 2)}
    assert np.array_equal(detector.predict_proba(batch), detector.predict_proba(batch))


@pytest.mark.parametrize("core", CORES)
def test_both_directions_end_having_read_every_step(core: str) -> None:
    torch.manual_seed(0)
    hyper = CORES[core](embedding=4, hidden=6, bidirectional=True, dropout=0, token_dropout=0)
    network = RecurrentNetwork(9, 2, hyper, tokens=False).eval()
    x = torch.randn(3, 9, 5)
    assert network(x).shape == (3, 2)
    with torch.no_grad():
        network.head.weight[:, 12:] = 0  # leaves the last states, not the mean
        before = network(x)
        for half in (slice(0, 6), slice(6, 12)):
            kept = network.head.weight[:, half].clone()
            network.head.weight[:, half] = 0
            for step in (0, 4):
                moved = x.clone()
                moved[:, :, step] += 1
                assert not torch.equal(network(moved), network(x))
            network.head.weight[:, half] = kept
        assert torch.equal(network(x), before)
