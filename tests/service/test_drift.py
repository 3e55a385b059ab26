"""A promise that is kept is hardly ever told to be broken, one that is broken soon, and once."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.service.conftest import lines
from vestige.service.drift import LEVEL, Promise
from vestige.service.feedback import kept
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions

ALPHA, LENGTH = 0.01, 4


def windows(share: float, count: int, seed: int) -> NDArray[np.float64]:
    """ln of p-values, of which so many are at or below alpha, each by itself."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(count) < share, math.log(ALPHA), 0.0)


def take(promise: Promise, log_p: NDArray[np.float64], *, start: int = 0, piece: int = 1 << 20) -> list[int]:
    """Where the promise was told to be broken; each window a second after the last, in one recording."""
    found = []
    for begin in range(0, len(log_p), piece):
        part = log_p[begin : begin + piece]
        times = (start + begin + np.arange(len(part), dtype=np.int64)) * 1_000_000_000
        if promise.take(part, np.zeros(len(part), dtype=np.int64), ["app.log"], times):
            found.append(begin)
    return found


def test_a_promise_that_is_kept_is_not_told_to_be_broken() -> None:
    told = 0
    for seed in range(100):
        promise = Promise.start(ALPHA, LENGTH)
        told += len(take(promise, windows(ALPHA, 20_000, seed)))
        assert promise.block == 201
    assert told == 0


def test_the_evidence_is_on_average_no_more_than_one() -> None:
    values = []
    for seed in range(2_000):
        promise = Promise.start(ALPHA, 1)
        take(promise, windows(ALPHA, 300, seed))
        values.append(math.exp(promise.log_e))
    mean, error = np.mean(values), np.std(values) / math.sqrt(len(values))
    assert 0.5 < mean <= 1 + 4 * error
    assert error < 0.2


@pytest.mark.parametrize(("times", "most"), [(3.0, 2_500), (10.0, 300), (100.0, 100)])
def test_one_that_is_broken_is_told_soon_once_and_since_when(times: float, most: int) -> None:
    delays, off = [], []
    for seed in range(20):
        promise = Promise.start(ALPHA, LENGTH)
        assert take(promise, windows(ALPHA, 10_000, seed)) == []
        (delay,) = take(promise, windows(times * ALPHA, 8_000, 100 + seed), start=10_000, piece=50)
        delays.append(delay)
        row = promise.row("vestige learn", None)
        off.append(abs(_second(row["since"]) - 10_000))
        assert promise.log_e > -math.log(LEVEL)
    assert np.median(delays) < most
    assert np.median(off) <= 1_000


def _second(time: str) -> int:
    return int(np.datetime64(time.removesuffix("Z"), "s").astype(np.int64))


def test_rare_windows_close_together_count_once() -> None:
    promise = Promise.start(ALPHA, LENGTH)
    log_p = np.zeros(60)
    log_p[10:15] = log_p[17] = log_p[50] = math.log(ALPHA)
    take(promise, log_p)
    # 10 counts, 14 is within the four windows after it, 17 is not, nor is 50.
    assert (promise.windows, promise.rare) == (60, 3)
    # Of two recordings that take turns each counts for itself.
    two = Promise.start(ALPHA, LENGTH)
    both = np.zeros(20)
    both[[4, 5, 6, 14]] = math.log(ALPHA)
    two.take(both, np.arange(20) % 2, ["a", "b"], np.zeros(20, dtype=np.int64))
    assert two.rare == 3


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_pieces_and_a_state_between_make_no_difference(piece: int) -> None:
    log_p = windows(3 * ALPHA, 700, 1)
    whole, parted = Promise.start(ALPHA, LENGTH), Promise.start(ALPHA, LENGTH)
    take(whole, log_p)
    for begin in range(0, len(log_p), piece):
        take(parted, log_p[begin : begin + piece], start=begin)
        parted = Promise.of(json.loads(json.dumps(parted.to_dict())))
    assert parted == whole
    assert parted.rare + parted.bets[0].rare > 0


def test_what_broke_it_is_named() -> None:
    promise = Promise.start(ALPHA, LENGTH)
    for second in range(30):
        reasons = [{"look": "novelty.distance"}, {"look": "order"}][: 1 + second % 2]
        promise.remember(
            {"time": None, "host": "web", "event": f"event {second % 3 % 2}", "reasons": reasons}
        )
    (begin,) = take(promise, windows(0.3, 400, 2), piece=10)
    assert begin < 200
    row = promise.row("vestige learn logs app.log -o NEW", "2026-01-01T00:00:00Z")
    assert row["kind"] == "drift"
    assert row["looks"] == {"novelty.distance": 30, "order": 15}
    assert row["events"] == [{"event": "event 0", "alerts": 20}, {"event": "event 1", "alerts": 10}]
    assert row["hosts"] == [{"host": "web", "alerts": 30}]
    assert row["rare"] > row["expected"]
    assert row["e_value"] >= 1 / LEVEL
    assert row["reasons"][0]["says"].endswith("vestige learn logs app.log -o NEW")


def test_a_watch_tells_it_once(detector: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "app.log", tmp_path / "out.jsonl"
    log.write_text("".join(lines(200, start=3_000)))
    odd = tuple(range(3_200, 3_900, 50))
    options = WatchOptions(once=True, idle_s=0.05)
    for start in (3_200, 3_500, 3_800):
        with log.open("a") as file:
            file.writelines(lines(300, start=start, odd=odd))
        sink = make(f"jsonl:{out}", tmp_path / "state")
        Watch.start(detector, [log], [sink], state=tmp_path / "state", options=options).run()
    assert "the promise of the budget is broken" in kept(tmp_path / "state").told()[-1]
    (row,) = [row for row in map(json.loads, out.read_text().splitlines()) if row.get("kind") == "drift"]
    command = f"vestige learn --again {detector} {log} -o NEW --state {tmp_path / 'state'}"
    assert row["command"] == command
    assert row["rare"] >= 2 > row["expected"]
    assert row["hosts"] == [{"host": "web", "alerts": row["hosts"][0]["alerts"]}]
    assert "segfault" in row["events"][0]["event"]
    assert row["since"] == "2026-01-01T01:40:02.000000000Z"
    assert row["time"] > row["since"]


def test_a_damaged_state_is_refused() -> None:
    plain = Promise.start(ALPHA, LENGTH).to_dict()
    for name, value in (("alpha", 2), ("block", 0), ("told", 1), ("lately", [])):
        with pytest.raises(ValueError, match=name):
            Promise.of({**plain, name: value})
