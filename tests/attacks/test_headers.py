"""Whatever stands in a checkpoint, a split, results: it comes back, or is refused in words. Nothing else."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.effort import EFFORT
from tests.attacks.hostile import changed, places, sealed, unsealed
from vestige import checkpoint
from vestige.checkpoint import HEADER
from vestige.errors import VestigeError
from vestige.evaluation.results import RunResults
from vestige.reading.windows import WindowSet
from vestige.runs.config import RunConfig
from vestige.splits.sets import load_sets
from vestige.splits.split import Split

PATIENCE = 20.0
"""Seconds after which something hangs; loading any of these takes well under one."""


@contextmanager
def in_time(told: object) -> Iterator[None]:
    """Fail where the block hangs, saying what it was given."""

    def hangs(*_: object) -> None:
        pytest.fail(f"hangs over {told}")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(load: Callable[[], object], told: object) -> bool:
    """Whether it was loaded; a clear refusal names a file. Anything else fails the test."""
    refusal: VestigeError | None = None
    with in_time(told):
        try:
            load()
        except VestigeError as error:
            refusal = error
    if refusal is None:
        return True
    assert refusal.where is not None, (refusal, told)
    assert refusal.remedy, (refusal, told)
    return False


def test_no_value_of_a_checkpoint_is_believed(attacked: Path) -> None:
    directory = attacked / "run" / "gbt"
    header = unsealed(directory / HEADER)
    chosen, rng = list(places(header)), random.Random(23)
    assert len(chosen) > 200
    loaded = refused = 0
    for _ in range(60 * EFFORT):
        hostile = changed(header, rng, chosen)
        (directory / HEADER).write_text(sealed(hostile))
        if outcome(lambda: checkpoint.load(directory), hostile):
            loaded += 1
        else:
            refused += 1
    assert loaded + refused == 60 * EFFORT
    assert refused > loaded


KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "split": ("run/split.json", lambda place: Split.load(place / "run/split.json")),
    "metrics": ("run/metrics.json", lambda place: RunResults.load(place / "run/metrics.json")),
    "config": ("run/config.json", lambda place: RunConfig.load(place / "run")),
    "dataset": ("run/dataset/schema.json", lambda place: WindowSet.open(place / "run/dataset").verify()),
    "sets": (
        "sets.json",
        lambda place: load_sets(place / "sets.json", WindowSet.open(place / "run/dataset")),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_value_of_a_json_file_is_believed(kind: str, attacked: Path) -> None:
    name, load = KINDS[kind]
    whole: dict[str, Any] = json.loads((attacked / name).read_text())
    chosen, rng = list(places(whole)), random.Random(29)
    refused = 0
    for _ in range(100 * EFFORT):
        hostile = changed(whole, rng, chosen)
        (attacked / name).write_text(json.dumps(hostile))
        refused += not outcome(lambda: load(attacked), hostile)
    assert refused > 20 * EFFORT


NONSENSE = (
    b"", b"\0", b"[]", b"null", b"3", b'"x"', b"{}", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{}",
    b'{"format": NaN}', b'{"format": 1e999}', b'{"seed": ' + b"9" * 100_000 + b"}",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_json_that_is_no_such_file_is_refused(kind: str, attacked: Path) -> None:
    name, load = KINDS[kind]
    for content in NONSENSE:
        (attacked / name).write_bytes(content)
        assert not outcome(lambda: load(attacked), content[:40])


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_and_flipped_bit_is_refused_or_told(kind: str, attacked: Path) -> None:
    name, load = KINDS[kind]
    whole = (attacked / name).read_bytes()
    step = max(1, len(whole) // (40 * EFFORT))
    for length in range(0, len(whole.rstrip()), step):
        (attacked / name).write_bytes(whole[:length])
        assert not outcome(lambda: load(attacked), f"{length} bytes")
    for at in range(0, len(whole), step):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << (at % 8)
        (attacked / name).write_bytes(flipped)
        outcome(lambda: load(attacked), f"bit {at % 8} of byte {at}")


@pytest.mark.parametrize("kind", KINDS)
def test_what_would_be_waited_for_is_refused(kind: str, attacked: Path) -> None:
    name, load = KINDS[kind]
    (attacked / name).unlink()
    os.mkfifo(attacked / name)
    assert not outcome(lambda: load(attacked), "a pipe")
    (attacked / name).unlink()
    (attacked / name).symlink_to("/dev/zero")
    assert not outcome(lambda: load(attacked), "a device")
    (attacked / name).unlink()
    (attacked / name).mkdir()
    assert not outcome(lambda: load(attacked), "a directory")
