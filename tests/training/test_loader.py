"""Batches are whole index slices; a loader's state is where it stands."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.training.conftest import MakeParts, Parts
from vestige.training.loader import CachedRows, GatheredRows, Loader, Tensors, rows_of
from vestige.training.shuffling import Shuffled

from .toy import ToyEncoder, gru

CPU = torch.device("cpu")


def loader_of(
    parts: Parts, *, size: int = 64, accumulate: int = 1, seed: int = 0, most: int | None = None
) -> Loader:
    train, _ = parts
    rows = rows_of(gru(), train, CPU, 1 << 30)
    return Loader(rows, size=size, accumulate=accumulate, seed=seed, most=most)


def test_an_epoch_shows_every_window_once_with_its_label(make_parts: MakeParts) -> None:
    parts = make_parts()
    train, _ = parts
    batches = list(loader_of(parts))
    shown = np.concatenate([one.inputs[0].numpy() for one in batches])
    label = np.concatenate([one.target.numpy() for one in batches])
    expected = np.column_stack([train.batch()["tokens"], train.label])
    got = np.column_stack([shown, label])
    assert [len(one.target) for one in batches] == [64, 64, 64, 64, 44]
    np.testing.assert_array_equal(got[np.lexsort(got.T)], expected[np.lexsort(expected.T)])


def test_every_epoch_is_shuffled_otherwise_and_always_alike_under_a_seed(make_parts: MakeParts) -> None:
    parts = make_parts()

    def epochs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        loader = loader_of(parts, seed=seed)
        first = torch.cat([one.inputs[0] for one in loader])
        loader.next_epoch()
        return first, torch.cat([one.inputs[0] for one in loader])

    (a1, a2), (b1, b2), (other, _) = epochs(0), epochs(0), epochs(1)
    assert torch.equal(a1, b1)
    assert torch.equal(a2, b2)
    assert not torch.equal(a1, a2)
    assert not torch.equal(a1, other)


def test_an_epoch_of_many_windows_draws_some_and_the_next_one_others(make_parts: MakeParts) -> None:
    parts = make_parts()
    rows = rows_of(gru(), parts[0], CPU, 1 << 30)
    all_of_them = {tuple(one) for one in rows.take(np.arange(len(rows)))[0][0].tolist()}
    loader = loader_of(parts, size=30, accumulate=2, most=100)
    assert (loader.batches, loader.steps) == (4, 2)
    epochs = []
    for _ in range(2):
        batches = list(loader)
        assert [len(one.target) for one in batches] == [30, 30, 30, 10]
        assert [one.share for one in batches] == [0.5, 0.5, 0.75, 0.25]
        epochs.append([tuple(row) for one in batches for row in one.inputs[0].tolist()])
        assert set(epochs[-1]) <= all_of_them
        loader.next_epoch()
    assert set(epochs[0]) != set(epochs[1])
    again = loader_of(parts, size=30, accumulate=2, most=100)
    assert [tuple(row) for one in again for row in one.inputs[0].tolist()] == epochs[0]


def test_a_loader_goes_on_with_the_same_next_batch(make_parts: MakeParts) -> None:
    parts = make_parts()
    one = loader_of(parts)
    one.next_epoch()
    batches = iter(one)
    next(batches), next(batches)
    other = loader_of(parts)
    other.load_state_dict(one.state_dict())
    assert len(other) == len(one) == 3
    rest, resumed = list(batches), list(other)
    assert len(rest) == len(resumed) == 3
    for a, b in zip(rest, resumed, strict=True):
        assert torch.equal(a.inputs[0], b.inputs[0])
        assert torch.equal(a.target, b.target)


def test_shares_of_a_step_add_up_to_one_even_in_a_short_last_step(make_parts: MakeParts) -> None:
    shares = [one.share for one in loader_of(make_parts(), accumulate=3)]
    np.testing.assert_allclose([sum(shares[:3]), sum(shares[3:])], 1)
    np.testing.assert_allclose(shares[3:], [64 / 108, 44 / 108])


def test_what_fits_in_memory_is_encoded_once_and_the_rest_batch_by_batch_with_the_same_numbers(
    make_parts: MakeParts,
) -> None:
    train, _ = make_parts()
    detector = gru()
    size = 300 * (6 + 1) * 8  # tokens and target
    cached = rows_of(detector, train, CPU, size)
    gathered = rows_of(detector, train, CPU, size - 1)
    assert isinstance(cached, CachedRows)
    assert isinstance(gathered, GatheredRows)
    rows = np.random.default_rng(0).permutation(300)[:64]
    assert isinstance(train.encoder, ToyEncoder)
    calls = len(train.encoder.calls)
    ((a,), target), ((b,), same) = cached.take(rows), gathered.take(rows)
    assert torch.equal(a, b)
    assert torch.equal(target, same)
    assert train.encoder.calls[calls:] == [64], "one call for a whole batch, none for what is cached"


@dataclass
class Numbers:
    """So many windows, of which the inputs are their row numbers."""

    n: int
    device: torch.device = CPU
    nbytes: int = 0

    def __len__(self) -> int:
        return self.n

    def take(self, rows: NDArray[np.int64]) -> tuple[Tensors, torch.Tensor]:
        tensor = torch.from_numpy(rows)
        return (tensor,), tensor


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 1000, 70_001])
def test_an_order_that_is_computed_has_every_row_once(n: int) -> None:
    order = Shuffled(n, seed=3, epoch=1).rows(0, n)
    assert np.array_equal(np.sort(order), np.arange(n))
    assert np.array_equal(Shuffled(n, seed=3, epoch=1).rows(n // 2, n), order[n // 2 :])


def test_an_order_that_is_computed_looks_drawn() -> None:
    n = 40_000
    order = Shuffled(n, seed=0, epoch=0).rows(0, n)
    others = [Shuffled(n, seed, epoch).rows(0, n) for seed, epoch in ((0, 1), (1, 0))]
    # The correlation of two independent orders has a standard deviation of 1 / sqrt(n), here 0.005.
    for other in (np.arange(n), np.roll(order, 1), *others):
        assert abs(np.corrcoef(order, other)[0, 1]) < 0.025
    quarters = np.histogram2d(np.arange(n), order, bins=4)[0]
    assert abs(quarters - n / 16).max() < 5 * (n / 16) ** 0.5


def test_an_epoch_of_very_many_windows_goes_on_with_the_same_batch_and_holds_no_order() -> None:
    n = 400_000_000
    tracemalloc.start()
    loader = Loader(Numbers(n), size=256, accumulate=1, seed=5)
    batches = iter(loader)
    first = [next(batches).target for _ in range(20)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # listed, the order would take 3.2 GB
    assert len(loader) == -(-n // 256) - 20
    assert len(torch.cat(first).unique()) == 20 * 256
    other = Loader(Numbers(n), size=256, accumulate=1, seed=5)
    other.load_state_dict(loader.state_dict())
    assert torch.equal(next(iter(other)).target, next(batches).target)


def test_some_of_many_windows_are_drawn_without_one_twice() -> None:
    loader = Loader(Numbers(1000), size=64, accumulate=1, seed=5, most=300, listed=100)
    epochs = []
    for _ in range(2):
        shown = torch.cat([one.target for one in loader])
        assert len(shown) == len(shown.unique()) == 300
        epochs.append(set(shown.tolist()))
        loader.next_epoch()
    assert epochs[0] != epochs[1]
