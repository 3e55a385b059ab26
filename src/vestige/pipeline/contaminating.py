"""Anomalies planted into what is learnt from, to see what becomes of a detector that took them for normal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.learnt import Contaminated
from vestige.evaluation.parts import AlertRate
from vestige.evaluation.plants import Plant, Plants, detected
from vestige.models.normal.detector import Normal
from vestige.pipeline.check_part import alerts_of, p_values, seconds_of
from vestige.pipeline.recipe import DetectorRecipe, encoder_of
from vestige.pipeline.self_check import lowest_of, planted
from vestige.reading.digests import Streams
from vestige.reading.encoding import EncodedWindows, Encoder
from vestige.reading.steps import NO_TIME
from vestige.reading.windows import WindowSet
from vestige.sources.base import Source
from vestige.splits import stages

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

USUAL = 20
"""Windows that a plant has, about: so many plants are made that there are enough of them."""


@dataclass(frozen=True)
class GrownSet(WindowSet):
    """Windows whose tables of symbols have rows that the dataset does not, `grown` by name."""

    grown: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def table(self, name: str) -> pl.DataFrame:
        """See `WindowSet.table`."""
        found = self.grown.get(name)
        if found is not None:
            return found
        return super().table(name)


def how_many(windows: int, share: float, kinds: int) -> int:
    """How many plants of each of so many `kinds` and strengths make up the `share` of all windows."""
    wanted = windows * share / (1 - share)
    return max(1, -(-int(wanted) // (USUAL * kinds)) + 1)


def contaminate(plants: Plants, share: float, symbols: str, *, seed: int = 0) -> tuple[WindowSet, float]:
    """The windows that `plants` were planted into, and so many of the plants' own, drawn by `seed`, that they
    are about the `share` of all; and the share that they are.

    The table of symbols is called `symbols`. Nothing is taken away; streams are copied into memory.
    """
    windows = plants.windows
    wanted = windows_of(len(windows), share)
    chosen: list[Plant] = []
    count = 0
    for number in np.random.default_rng(seed).permutation(len(plants)).tolist():
        plant = plants.plants[number]
        # One that would exceed the share by more than it falls short without it is left out.
        if not chosen or count + len(plant.judged) / 2 <= wanted:
            chosen.append(plant)
            count += len(plant.judged)
    grown = _grown(plants, chosen, {symbols: plants.table} if symbols else {})
    return grown, (len(grown) - len(windows)) / len(grown)


def windows_of(windows: int, share: float) -> int:
    """How many windows, added to `windows`, are the `share` of all."""
    return round(windows * share / (1 - share))


def _grown(plants: Plants, chosen: list[Plant], tables: dict[str, pl.DataFrame]) -> GrownSet:
    windows, schema = plants.windows, plants.windows.schema
    whole = {name: windows.streams[name] for name in windows.streams}
    n_steps = len(next(iter(whole.values())))
    begin = n_steps + np.cumsum([0, *(len(plant.step) for plant in chosen)])
    streams = {
        name: np.concatenate([values, *(plants.values(plant, name) for plant in chosen)])
        for name, values in whole.items()
    }
    judged = np.concatenate(
        [np.empty(0, dtype=np.int64), *(at + plant.judged for at, plant in zip(begin, chosen, strict=False))]
    ).astype(np.int64)
    t_ns = np.full(len(judged), NO_TIME, dtype=np.int64)
    if (windows.t_ns != NO_TIME).any() and "t_ns" in streams:
        t_ns = streams["t_ns"][judged].astype(np.int64)
    first = windows.recordings["first_step"].to_numpy()
    sizes = [len(plant.judged) for plant in chosen]
    of = [int(np.searchsorted(first, plant.step[-1], side="right")) - 1 for plant in chosen]
    kept: dict[str, Any] = {each.name: getattr(windows, each.name) for each in fields(WindowSet)}
    kept |= {
        "streams": Streams(streams),
        "recording": np.r_[windows.recording, np.repeat(of, sizes).astype(windows.recording.dtype)],
        "position": np.r_[windows.position, judged - schema.before],
        "label": np.zeros(len(windows) + len(judged), dtype=np.uint8),
        "t_ns": np.r_[windows.t_ns, t_ns],
    }
    return GrownSet(**kept, grown=tables)


OF_ATTACK = 12
"""Foreign texts of an attack that is learnt from: the strongest plants show ten different ones."""


def contaminated(
    source: Source[Any],
    recipe: DetectorRecipe,
    detector: Normal,
    learn_from: EncodedWindows,
    parts: stages.Stages,
    p_value: FloatArray,
    shares: Sequence[float],
    *,
    n: int,
) -> list[Contaminated]:
    """The check of `detector`, and of detectors that learnt the same way where each of the `shares` of what
    they learnt from was planted: anomalies of the same kinds as those in the check, elsewhere, with the same
    few foreign texts, as of one attack that went on. `p_value`: what `detector` says of the check; `n`:
    plants of a kind and strength in it."""
    seed, symbols = recipe.training.seed, learn_from.encoder.symbols
    in_check = planted(source, parts.check, symbols, seed=seed, n=n, texts=OF_ATTACK)
    seconds = seconds_of(parts.check)

    def figures(share: float, judged: Normal, encoder: Encoder, found: FloatArray) -> Contaminated:
        table = detected(in_check, lowest_of(judged, encoder, in_check), judged.alpha)
        alerts = int(alerts_of(judged, parts.check, found).sum())
        came = AlertRate.of(alerts, len(parts.check), seconds)
        return Contaminated.of(share, came, table, in_check.kinds)

    rows = [figures(0.0, detector, learn_from.encoder, p_value)]
    for share in shares:
        amount = how_many(len(parts.learn), share, max(len(in_check.sentences), 1))
        into = planted(source, parts.learn, symbols, seed=seed, n=amount, texts=OF_ATTACK)
        grown, reached = contaminate(into, share, symbols, seed=seed)
        encoded = EncodedWindows.of(grown, encoder_of(source, grown, with_examples=False))
        other = recipe.fitted(encoded, encoded.over(parts.calibrate))
        other.spend(detector.alpha)
        found = p_values(other, encoded.over(parts.check))
        rows.append(figures(reached, other, encoded.encoder, found))
    return rows
