"""Several processes that train together: the same result as one with the whole batch, also after a stop."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from vestige.errors import UsageError, VestigeError
from vestige.models.recurrent import GruDetector
from vestige.reading.encoding import EncodedWindows
from vestige.training import StoppedError, TrainingConfig, TrainingError, ranks, train
from vestige.training.history import Row
from vestige.training.loader import Loader, TrainingBatch
from vestige.training.ranks import Ranks, started

from .conftest import assert_same_weights, weights, without_seconds
from .toy import encoded, gru

TWO = TrainingConfig(
    epochs=3, batch_size=32, learning_rate=0.02, accumulate=2, threads=1, cache_mb=0, device="cpu", devices=2
)
NODES = TWO.model_copy(update={"devices": 1, "nodes": 2})
WHOLE = TWO.model_copy(update={"batch_size": 64, "devices": 1})
Trip = Callable[[int], None]


def parts(place: Path, trip: Trip | None = None) -> tuple[EncodedWindows, EncodedWindows]:
    """300 windows make four batches of 64 and one of 44."""
    return encoded(place / "train", 300, noise=0.2, trip=trip), encoded(place / "validation", 200, seed=1)


def beside(place: Path, out: Path, config: TrainingConfig, dropout: float, resume: bool, _local: int) -> None:
    """What the other process does."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(VestigeError):
        train(gru(dropout=dropout, token_dropout=dropout), *parts(place), config, out, resume=resume)


def die(place: Path, out: Path, config: TrainingConfig, _local: int) -> None:
    def trip(call: int) -> None:
        if call == 4:
            os._exit(9)

    train(gru(), *parts(place, trip), config, out)


def together(
    place: Path, out: Path, dropout: float, *, resume: bool = False, trip: Trip | None = None
) -> tuple[GruDetector, list[Row]]:
    parts(place)  # written before the other one looks for them
    detector = gru(dropout=dropout, token_dropout=dropout)
    with started(TWO, partial(beside, place, out, TWO, dropout, resume)):
        rows = train(detector, *parts(place, trip), TWO, out, resume=resume)
    return detector, without_seconds(rows)


def test_two_processes_give_what_one_gives_with_twice_the_batch(tmp_path: Path) -> None:
    ours, rows = together(tmp_path, tmp_path / "two", 0.0)
    whole = gru(dropout=0.0, token_dropout=0.0)
    expected = without_seconds(train(whole, *parts(tmp_path), WHOLE, tmp_path / "one"))
    assert len(rows) == len(expected) == 3
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-4)
    theirs = weights(whole)
    start = weights(gru(dropout=0.0, token_dropout=0.0))
    assert any(np.abs(theirs[name] - values).max() > 0.02 for name, values in start.items())
    for name, values in weights(ours).items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-4, atol=1e-5, err_msg=name)
    assert (tmp_path / "two" / "history.csv").read_text().count("\n") == 4


def second_node(place: Path, out: Path, port: str) -> None:
    """What a person types on another machine."""
    os.environ.update({ranks.NODE: "1", ranks.ADDRESS: "127.0.0.1", ranks.PORT: port})
    with started(NODES, print):
        train(gru(dropout=0.0, token_dropout=0.0), *parts(place), NODES, out)


def test_two_nodes_give_what_one_gives_with_twice_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    parts(tmp_path)
    place = (tmp_path, tmp_path / "second", port)
    other = multiprocessing.get_context("spawn").Process(target=second_node, args=place)
    other.start()
    for name, value in {ranks.NODE: "0", ranks.ADDRESS: "127.0.0.1", ranks.PORT: port}.items():
        monkeypatch.setenv(name, value)
    ours = gru(dropout=0.0, token_dropout=0.0)
    with started(NODES, print):
        rows = train(ours, *parts(tmp_path), NODES, tmp_path / "first")
    other.join(60)
    assert other.exitcode == 0
    assert len(rows) == 3
    assert (tmp_path / "first" / "history.csv").is_file()
    assert not (tmp_path / "second" / "history.csv").exists()
    whole = gru(dropout=0.0, token_dropout=0.0)
    train(whole, *parts(tmp_path), WHOLE, tmp_path / "one")
    theirs = weights(whole)
    for name, values in weights(ours).items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_stopped_and_resumed_they_end_as_if_they_had_not_been(tmp_path: Path) -> None:
    whole, expected = together(tmp_path, tmp_path / "whole", 0.3)

    def stop(call: int) -> None:
        if call == 7:  # one call looks at sizes, five batches make an epoch: in the second
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError, match="stopped by SIGTERM; its state is saved"):
        together(tmp_path, tmp_path / "run", 0.3, trip=stop)
    resumed, rows = together(tmp_path, tmp_path / "run", 0.3, resume=True)
    assert rows == expected
    assert_same_weights(weights(resumed), weights(whole))
    assert ranks.LOCAL not in os.environ


def test_a_neighbour_that_dies_is_told(tmp_path: Path) -> None:
    parts(tmp_path)
    with (
        pytest.raises(TrainingError, match="1 of the 2 processes that train together died"),
        started(TWO, partial(die, tmp_path, tmp_path / "run", TWO)),
    ):
        train(gru(), *parts(tmp_path), TWO, tmp_path / "run")


class Numbers:
    """Windows that are their own numbers."""

    device = torch.device("cpu")
    nbytes = 0

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def take(self, rows: np.ndarray) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        index = torch.from_numpy(rows)
        return (index,), index


def batches(n: int, size: int, world: int, rank: int) -> Iterator[TrainingBatch]:
    return iter(Loader(Numbers(n), size=size, accumulate=2, seed=3, ranks=Ranks(rank, world)))


@pytest.mark.parametrize(("n", "world"), [(100, 2), (97, 3), (33, 4), (17, 2)])
def test_the_parts_of_a_batch_are_the_batch(n: int, world: int) -> None:
    whole = list(batches(n, 4 * world, 1, 0))
    of_each = [list(batches(n, 4, world, rank)) for rank in range(world)]
    assert {len(own) for own in of_each} == {len(whole)}
    for number, batch in enumerate(whole):
        counted = [own[number] for own in of_each if own[number].share]
        assert sorted(torch.cat([own.target for own in counted]).tolist()) == sorted(batch.target.tolist())
        assert all(len(own[number].target) > 0 for own in of_each), "nobody may be left without a window"
        assert sum(own.share for own in counted) / world == pytest.approx(batch.share)


def test_nobody_said_which_process_this_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ranks.LOCAL, raising=False)
    with pytest.raises(UsageError, match="LOCAL_RANK is not set"):
        train(gru(), *parts(tmp_path), TWO, tmp_path / "run")


def test_several_machines_are_told_where_the_first_is(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TWO.model_copy(update={"nodes": 2})
    monkeypatch.setenv(ranks.LOCAL, "1")
    monkeypatch.delenv(ranks.NODE, raising=False)
    with pytest.raises(UsageError, match="the environment lacks NODE_RANK") as raised:
        ranks.own(config)
    assert "start the same command on every node" in str(raised.value)
    for name, value in ((ranks.NODE, "1"), (ranks.ADDRESS, "198.51.100.1"), (ranks.PORT, "29500")):
        monkeypatch.setenv(name, value)
    assert ranks.own(config) == Ranks(rank=3, world=4, local=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("precision", ["32", "bf16", "16"])
@pytest.mark.parametrize("cache_mb", [0, 64])
def test_a_gpu_learns_as_a_cpu_does(tmp_path: Path, precision: str, cache_mb: int) -> None:
    changed = {"device": "cuda", "precision": precision, "cache_mb": cache_mb, "epochs": 10}
    detector = gru(dropout=0.0, token_dropout=0.0)
    rows = train(detector, *parts(tmp_path), WHOLE.model_copy(update=changed), tmp_path / "run")
    assert detector.device.type == "cuda"
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two CUDA devices here")
def test_two_gpus_give_what_one_gives_with_twice_the_batch(tmp_path: Path) -> None:
    config = TWO.model_copy(update={"device": "cuda", "precision": "32"})
    parts(tmp_path)
    ours, whole = gru(dropout=0.0, token_dropout=0.0), gru(dropout=0.0, token_dropout=0.0)
    with started(config, partial(beside, tmp_path, tmp_path / "two", config, 0.0, False)):
        train(ours, *parts(tmp_path), config, tmp_path / "two")
    one = config.model_copy(update={"batch_size": 64, "devices": 1})
    train(whole, *parts(tmp_path), one, tmp_path / "one")
    for name, values in ours.module.state_dict().items():
        torch.testing.assert_close(values, whole.module.state_dict()[name], rtol=1e-3, atol=1e-4)
