"""Self-judgement without labels: anomalies planted into copies of evidence, and how many of them are found.

Each plant changes a copy of a few steps of one recording (`planting`), with what stood before and after them.
Of its windows those count in which the change can be seen: from the first changed step to `FOLLOWED` steps
after the last (a window's length at most). It is found where one of them alerts and none of the same stretch
without the plant does, so that what alerts anyway is no success.

That says how sensitive a detector is to each kind. It says nothing of which of two detectors finds more
attacks: in a prototype the mean detection of plants ranked 23 detectors as true labels did with a correlation
(Spearman) of -.17 to +.24. Nothing is chosen by it.

Letters: P plants, B windows, T steps of a window.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.bootstrap import exact_bounds
from vestige.evaluation.plant_kinds import KINDS, Kind
from vestige.evaluation.planting import (
    MAKERS,
    Changes,
    Channels,
    Draft,
    Field,
    Foreign,
    NotApplicableError,
    Region,
    spans_ns,
)
from vestige.reading.steps import NO_TIME, Steps
from vestige.reading.windows import WindowSet

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Score = Callable[[Steps], FloatArray]
"""How strange windows are, `(B,)`: the lower the stranger, as p-values are."""

N = 100
"""Plants of a kind and strength."""
FEWEST = 10
"""With fewer places for it a kind is left out: a share of so few says nothing."""
FOLLOWED = 31
"""Steps after a change in whose windows it may still be found."""
MOST_STEPS = 1 << 17
"""Steps of a batch: windows times length."""
WORK = 1 << 27
"""Steps of all windows, beyond which fewer plants are made."""
WORDS = {"logs": "message", "events": "event", "traces": "branch"}
"""What a step is called, by source."""
PLURALS = {"branch": "branches"}
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class Plant:
    """One planted anomaly: of `KINDS[kind]` with strength 0, 1 or 2.

    The steps at `step (n,)` of the streams, of which `changes` have other values and those from `later_from`
    on are `later_ns` later, have windows that judge the steps at `judged` of them; as they were, windows
    judged those at the places `untouched` of the (sub-)stream.
    """

    kind: int
    strength: int
    step: IntArray
    judged: IntArray
    untouched: IntArray
    changes: Changes
    later_from: int = 0
    later_ns: int = 0


@dataclass(frozen=True)
class PlantedWindows:
    """Windows of plants, `(B, T, ...)` each stream; `plant (B,)` int64 whose; `planted (B,)` bool whether
    with it, or as they were without."""

    steps: Steps
    plant: IntArray
    planted: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.plant)


@dataclass(frozen=True)
class Plants:
    """The same plants for every detector.

    `table`: the table of symbols with those that were never seen; `sentences`: by kind and strength, for
    people; `kinds`: of every kind, in the plural; `left_out`: why a kind, or a strength of one, is missing.
    """

    windows: WindowSet
    table: pl.DataFrame
    plants: tuple[Plant, ...]
    sentences: dict[tuple[int, int], str]
    kinds: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.plants)

    def batches(self, names: tuple[str, ...] | None = None) -> Iterator[PlantedWindows]:
        """All windows that count, plant by plant; the streams called `names` (all by default)."""
        wanted = tuple(self.windows.streams) if names is None else names
        size = max(1, MOST_STEPS // self.windows.schema.length)
        waiting: list[PlantedWindows] = []
        held = 0
        for number in range(len(self.plants)):
            for some in self._windows(number, wanted):
                waiting.append(some)
                held += len(some)
            if held >= size:
                yield _joined(waiting)
                waiting, held = [], 0
        if waiting:
            yield _joined(waiting)

    def values(self, plant: Plant, name: str) -> NDArray[Any]:
        """The stream called `name` under the steps of a plant, with its changes, `(n, ...)`."""
        values = self.windows.streams.at(name, plant.step)
        if plant.later_ns and name == "t_ns":
            late = np.arange(len(values)) >= plant.later_from
            values = np.where(late & (values != NO_TIME), values + plant.later_ns, values)
        if name in plant.changes:
            at, new = plant.changes[name]
            values = values.copy()
            values[at] = new.astype(values.dtype)
        return values

    def _windows(self, number: int, names: tuple[str, ...]) -> Iterator[PlantedWindows]:
        plant, schema, streams = self.plants[number], self.windows.schema, self.windows.streams
        offset = np.arange(schema.length) - schema.before
        under = plant.judged[:, None] + offset
        changed = {name: self.values(plant, name)[under] for name in names}
        yield PlantedWindows(changed, np.full(len(under), number), np.ones(len(under), dtype=np.bool_))
        index = plant.untouched[:, None] + offset
        if self.windows.order is not None:
            index = self.windows.order[index]
        usual = {name: streams.under(name, index, 1)[index] for name in names}
        yield PlantedWindows(usual, np.full(len(index), number), np.zeros(len(index), dtype=np.bool_))


def _joined(batches: Sequence[PlantedWindows]) -> PlantedWindows:
    steps = {name: np.concatenate([some.steps[name] for some in batches]) for name in batches[0].steps}
    plant = np.concatenate([some.plant for some in batches])
    return PlantedWindows(steps, plant, np.concatenate([some.planted for some in batches]))


def plant_all(
    windows: WindowSet,
    table: pl.DataFrame,
    foreign: Sequence[str],
    *,
    stream: str,
    timed: bool = True,
    seed: int = 0,
    n: int = N,
    view: str = "realistic",
) -> Plants:
    """Plants of every kind that applies, `n` of each strength where the part has as many places.

    `windows`: the part to plant into, copies of it: nothing is written. `table`: its table of symbols, which
    `stream` holds rows of ("" where there is none); `foreign`: texts that the evidence never shows (see
    `foreign_texts`); `timed`: whether the stream `t_ns` holds times; `view`: whose eyes see the channels.
    Equal arguments give equal plants.
    """
    region = Region.of(windows, table, stream, timed=timed)
    channels = None
    if len(region):
        channels = Channels.of(windows, region, view)
    added = Foreign(table, tuple(dict.fromkeys(foreign)))
    ground = Field(windows, region, stream, added, channels, np.random.default_rng(seed))
    # About as many windows as a plant of middling size has, each with it and without.
    cost = 4 * FOLLOWED * windows.schema.length * sum(len(kind.amounts) for kind in KINDS)
    n = min(n, max(2 * FEWEST, WORK // cost))
    plants: list[Plant] = []
    sentences: dict[tuple[int, int], str] = {}
    left_out: dict[str, str] = {}
    words = _words(windows.schema.source)
    kinds = tuple(kind.of.format(**words) for kind in KINDS)
    for number, kind in enumerate(KINDS):
        spans = zip(kind.sentences, _spans(ground, kind), strict=True)
        told = [sentence.format(span=span, **words) for sentence, span in spans]
        why: list[str] = []
        for strength, what in enumerate(told):
            try:
                plants += _made(ground, number, strength, n)
                sentences[number, strength] = what
            except NotApplicableError as error:
                why.append(str(error))
                left_out[what] = why[-1]
        if len(why) == len(told) and len(set(why)) == 1:
            # One sentence does for all strengths.
            for what in told:
                left_out.pop(what, None)
            left_out[kinds[number]] = why[0]
    return Plants(windows, added.appended(), tuple(plants), sentences, kinds, left_out)


def _made(ground: Field, number: int, strength: int, n: int) -> list[Plant]:
    """Plants of one kind and strength. Raises NotApplicableError where there are none, or too few."""
    if not len(ground.region):
        raise NotApplicableError("this part has no windows")
    kind = KINDS[number]
    drafts = MAKERS[kind.name](ground, kind.amounts[strength], n)
    plants = [_plant(ground, number, strength, draft) for draft in drafts]
    plants = [plant for plant in plants if len(plant.judged)]
    if len(plants) < min(FEWEST, n):
        raise NotApplicableError(f"{len(plants)} places for it in this part, of {min(FEWEST, n)} at least")
    return plants


def _words(source: str) -> dict[str, str]:
    step = WORDS.get(source, "step")
    return {"step": step, "steps": PLURALS.get(step, f"{step}s")}


def _spans(ground: Field, kind: Kind) -> tuple[str, ...]:
    """How long silences last, in words; nothing for other kinds, and where there are no times."""
    if kind.name == "silence":
        with contextlib.suppress(NotApplicableError):
            return tuple(duration(span) for span in spans_ns(ground))
    return ("",) * len(kind.amounts)


def duration(ns: int) -> str:
    """A span of time in words: `90 seconds`, `10 minutes`, `one hour`."""
    seconds = round(ns / 1e9)
    for size, unit in UNITS:
        if seconds >= size and not seconds % size:
            count = seconds // size
            if count == 1:
                return f"one {unit}"
            return f"{count:,} {unit}s"
    return f"{ns / 1e9:g} seconds"


def _plant(ground: Field, kind: int, strength: int, draft: Draft) -> Plant:
    """A draft with what stands before and after it, and the windows that count: those on the part's own
    stride, as the changed stretch has them."""
    region, schema = ground.region, ground.windows.schema
    stride, ahead, before = schema.stride, schema.ahead, schema.before
    start, stop, end = draft.start, draft.stop, int(region.end[draft.start])
    followed = min(before, max(FOLLOWED, stride))
    last = min(stop + followed, end) if stop < end else stop
    # Rows from `start - ahead` on; what windows look at besides lies around them in the stream.
    origin = int(region.place[start]) - ahead - before
    head = np.arange(origin, int(region.place[start]))
    tail = np.empty(0, dtype=np.int64)
    if stop < end:
        tail = np.arange(int(region.place[stop]), int(region.place[last - 1]) + 1 + ahead)
    elif ahead:
        tail = np.arange(int(region.place[stop - 1]) + 1, int(region.place[stop - 1]) + 1 + ahead)
    place = np.concatenate([head, draft.middle, tail])
    judged = np.arange(before, len(place) - ahead)
    grid = (origin + judged - int(region.place[region.begin[start]])) % stride == 0
    rows = np.arange(start - ahead, last)
    if not len(draft.middle):  # what is missing has no windows that could be silent
        rows = rows[(rows < start) | (rows >= stop)]
    untouched = region.place[rows]
    own = (untouched - int(region.place[region.begin[start]])) % stride == 0
    changes = {name: (at + len(head), new) for name, (at, new) in draft.changes.items()}
    return Plant(
        kind, strength, ground.steps(place), judged[grid], untouched[own], changes,
        later_from=len(head) + len(draft.middle), later_ns=draft.later_ns,
    )  # fmt: skip


@dataclass(frozen=True)
class Lowest:
    """The lowest score among the windows of each plant `(P,)`: with it, and `without` it."""

    planted: FloatArray
    without: FloatArray


def judge(plants: Plants, score: Score, names: tuple[str, ...] | None = None) -> Lowest:
    """Score all windows of the plants. `score` sees rows of `plants.table` in the stream of symbols: bind an
    encoder to that table. `names`: the streams that it needs (all by default)."""
    return judge_all(plants, lambda steps: {"": score(steps)}, ("",), names)[""]


def judge_all(
    plants: Plants,
    scores: Callable[[Steps], Mapping[str, FloatArray]],
    detectors: Sequence[str],
    names: tuple[str, ...] | None = None,
) -> dict[str, Lowest]:
    """The same for several `detectors`, whose `scores` come by name."""
    n = len(plants)
    lowest = {name: Lowest(np.full(n, np.inf), np.full(n, np.inf)) for name in detectors}
    for batch in plants.batches(names):
        for name, score in scores(batch.steps).items():
            found = np.nan_to_num(np.asarray(score, dtype=np.float64), nan=np.inf, posinf=np.inf)
            for into, rows in ((lowest[name].planted, batch.planted), (lowest[name].without, ~batch.planted)):
                np.minimum.at(into, batch.plant[rows], found[rows])
    return lowest


def detected(plants: Plants, lowest: Lowest, threshold: float) -> pl.DataFrame:
    """How many plants a detector finds that alerts where its score is at or below `threshold`.

    A row a kind and strength: `kind`, `strength` (1..3), `what` (a sentence's part), `found`, `of`, `share`
    with the bounds `low` and `high` (Clopper and Pearson, 95%, as if places were drawn anew: they say nothing
    of other evidence), and `anyway`, the share of stretches that alert without a plant: none of these is
    found.
    """
    alerts, anyway = lowest.planted <= threshold, lowest.without <= threshold
    of = np.array([(plant.kind, plant.strength) for plant in plants.plants]).reshape(-1, 2)
    rows = []
    for (kind, strength), what in plants.sentences.items():
        mine = (of[:, 0] == kind) & (of[:, 1] == strength)
        n = int(mine.sum())
        found = int((alerts & ~anyway & mine).sum())
        low, high = exact_bounds(found / n, n)
        rows.append(
            {
                "kind": KINDS[kind].name, "strength": strength + 1, "what": what, "found": found, "of": n,
                "share": found / n, "low": low, "high": high, "anyway": float(anyway[mine].mean()),
            }
        )  # fmt: skip
    return pl.DataFrame(rows, schema=COLUMNS)


COLUMNS: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "strength": pl.Int64(),
    "what": pl.String(),
    "found": pl.Int64(),
    "of": pl.Int64(),
    "share": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "anyway": pl.Float64(),
}
