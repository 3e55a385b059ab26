"""From options to a receiver store, as lab hosts ship to it."""

from __future__ import annotations

import functools
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vestige.engine import LOCAL, Engine
from vestige.evidence.files import MARKER
from vestige.simulators.telemetry import draft, hosts
from vestige.simulators.telemetry.options import SimulateOptions
from vestige.simulators.telemetry.plants import PLANTS, Plant, planned
from vestige.storage import atomic_directory

ABOUT = (
    "SYNTHETIC. Written by `vestige simulate telemetry` with the options below: no machine ever ran any of "
    "this. Hosts, programs and attacks are invented; results on this store say that the program works, not "
    "how well it finds attacks. Equal options give equal files."
)
START_NS = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp()) * 10**9
CHUNK = 8
NOTHING = Plant(())


class Order(NamedTuple):
    """One episode to make: its number, host, beginning, and what is to be wrong with it (or nothing)."""

    number: int
    host: hosts.Host
    t_start_ns: int
    seconds: int
    fault: str | None


class Made(NamedTuple):
    """What was written."""

    host: str
    profile: str
    bytes: int


def simulate(
    out: Path, options: SimulateOptions, *, overwrite: bool = False, engine: Engine = LOCAL
) -> dict[str, Any]:
    """Write a store to `out`; returns (and leaves in `MARKER`) what was planted.

    `verdicts` and `reasons` are what a deep sweep must find, exactly. Raises OutputError when `out` holds
    something else, or cannot be written.
    """
    faults = planned(options.plant, options.episodes)
    with atomic_directory(out, marker=MARKER, overwrite=overwrite) as root:
        work = functools.partial(_make, root=root, seed=options.seed)
        outcomes = engine.map(work, _orders(options, faults), chunk=CHUNK)
        made = [outcome.unwrap() for outcome in outcomes]
        planted = {
            "episodes": options.episodes,
            "by_host": dict(sorted(Counter(episode.host for episode in made).items())),
            "by_profile": dict(sorted(Counter(episode.profile for episode in made).items())),
            "bytes": sum(episode.bytes for episode in made),
            **_expected(faults, options.episodes),
        }
        report = {"about": ABOUT, "options": options.model_dump(), "planted": planted}
        (root / MARKER).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return planted


def _expected(faults: dict[str, int], episodes: int) -> dict[str, Any]:
    verdicts: Counter[str] = Counter(accepted=episodes - sum(faults.values()))
    reasons: Counter[str] = Counter()
    for name, count in faults.items():
        plant = PLANTS[name]
        verdicts[plant.verdict] += count * plant.folders
        reasons.update(dict.fromkeys(plant.reasons, count * plant.folders))
    return {
        "faults": dict(sorted(faults.items())),
        "verdicts": {name: count for name, count in sorted(verdicts.items()) if count},
        "reasons": {name: count for name, count in sorted(reasons.items()) if count},
    }


def _orders(options: SimulateOptions, faults: dict[str, int]) -> list[Order]:
    """All episodes: hosts in turn, each host's one after the other, faults dealt at random."""
    rng = np.random.default_rng([options.seed, 2])
    machines = hosts.make(options.hosts, options.seed, START_NS)
    spoilt = [name for name, count in sorted(faults.items()) for _ in range(count)]
    dealt = dict(zip(rng.permutation(options.episodes)[: len(spoilt)].tolist(), spoilt, strict=True))
    lengths = np.maximum(30, options.seconds * rng.uniform(0.75, 1.25, options.episodes)).astype(int)
    each = -(-options.episodes // options.hosts)
    slot = options.days * 86_400 * 10**9 // each
    orders = []
    for number in range(options.episodes):
        turn, machine = divmod(number, options.hosts)
        late = int(rng.integers(0, max(1, slot - int(lengths[number]) * 10**9)))
        start = START_NS + turn * slot + late
        orders.append(Order(number, machines[machine], start, int(lengths[number]), dealt.get(number)))
    return orders


def _make(order: Order, root: Path, seed: int) -> Made:
    rng = np.random.default_rng([seed, 3, order.number])
    name = f"ep-{order.number:07}"
    made = draft.make(order.host, name, order.t_start_ns, order.seconds, rng)
    plant = PLANTS[order.fault] if order.fault else NOTHING
    if plant.tables:
        plant.tables(made)
    made.pack()
    if plant.files:
        plant.files(made)
    folder = made.write(root)
    if plant.disk:
        plant.disk(folder)
    return Made(made.host.id, made.profile, sum(map(len, made.files.values())))
