"""A detector of a small log of an application, and lines of the same kind."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vestige.evaluation.budget import Budget
from vestige.pipeline.learn import learn
from vestige.sources import registry

ORDER = (
    "request {n} from 10.0.0.{k} begins",
    "cache looked up for request {n}",
    "request {n} answered with 200 in {k} ms",
    "connection of worker {k} closed",
)
ODD = "kernel: segfault at 0 in libc of process {n}"


def lines(count: int, *, start: int = 0, seed: int = 0, odd: tuple[int, ...] = ()) -> Iterator[str]:
    """Lines that come in an order, now and then out of it; those numbered in `odd` are of no known kind."""
    rng = random.Random(seed)
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=2 * start)
    for number in range(start, start + count):
        now += timedelta(seconds=rng.choice((1, 2, 3)))
        kind = number % len(ORDER) if rng.random() > 0.02 else rng.randrange(len(ORDER))
        text = ODD if number in odd else ORDER[kind]
        message = text.format(n=number, k=rng.randrange(1, 9))
        yield f"{now:%Y-%m-%dT%H:%M:%S}Z web app[7]: {message}\n"


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learnt from 1,500 lines."""
    home = tmp_path_factory.mktemp("watch")
    log = home / "app.log"
    log.write_text("".join(lines(1_500)))
    source = registry.get("logs")
    learn(source, log, home / "normal", options=source.options(), budget=Budget.parse("5/day"))
    return home / "normal"
