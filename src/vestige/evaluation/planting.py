"""How anomalies are planted into copies of steps: what each kind changes, and where that can be seen.

Letters: M judged steps of a part (rows of a `Region`), k steps of one change, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.plant_kinds import SPANS
from vestige.reading.looks import SLOTS
from vestige.reading.steps import NO_TIME
from vestige.reading.values import NOT_A_NUMBER
from vestige.reading.windows import WindowSet
from vestige.schema import Feature, Schema

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Changes = dict[str, tuple[IntArray, NDArray[Any]]]
"""By stream: which steps of a sequence have other values, and which."""

BASE = 10
"""Steps that a burst repeats."""
RARE = 0.1
"""Of the different sequences of three events, so many count as rare: those that came least often."""
TOO_HIGH = 10.0
"""A spike is so many standard deviations above a channel's mean; a number, so many times the largest."""
SAMPLE = 100_000
"""Steps by which channels and usual gaps are measured."""
UNITS_S = (60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)
"""Units of a silence: a minute to a day."""
STEPS_MISSED = 3
"""On average a silence of one unit misses so many steps at least."""


class NotApplicableError(Exception):
    """Why a kind cannot be planted into this evidence."""


class Draft(NamedTuple):
    """A change of one stretch: the judged steps from row `start` of a region to before row `stop` give way to
    the steps at the places `middle (k,)`, of which `changes` (counted from the first of them on) have other
    values; what comes after is `later_ns` later."""

    start: int
    stop: int
    middle: IntArray
    changes: Changes
    later_ns: int = 0


@dataclass(frozen=True)
class Region:
    """The steps that the windows of a part judge, in their order, and what is known of each `(M,)`.

    `place`: where it lies in the (sub-)stream; `begin` and `end`: first row of its run of neighbours, and the
    row after its last; `name`: a number for what it is called, `t_ns` its time. What the evidence does not
    have is empty.
    """

    place: IntArray
    begin: IntArray
    end: IntArray
    name: IntArray
    t_ns: IntArray

    @classmethod
    def of(cls, windows: WindowSet, table: pl.DataFrame, stream: str, *, timed: bool = True) -> Region:
        """Of all windows; `stream` holds rows of `table` ("" where there is none); `timed`: whether the
        stream `t_ns` holds times."""
        stride = windows.schema.stride
        target = windows.position + windows.schema.before
        fresh = np.ones(len(target), dtype=np.bool_)
        fresh[1:] = (np.diff(target) != stride) | (windows.recording[1:] != windows.recording[:-1])
        first, last = target[fresh], target[np.r_[fresh[1:], True][: len(target)]]
        size = last - first + 1
        row = np.concatenate([[0], np.cumsum(size)])
        begin, end = np.repeat(row[:-1], size), np.repeat(row[1:], size)
        place = np.repeat(first, size) + np.arange(row[-1]) - begin
        step = place if windows.order is None else windows.order[place]
        name = t_ns = np.empty(0, dtype=np.int64)
        if stream:
            name = _names(table)[windows.streams.at(stream, step)]
        if timed and "t_ns" in windows.streams:
            t_ns = windows.streams.at("t_ns", step).astype(np.int64)
        return cls(place, begin, end, name, t_ns)

    def __len__(self) -> int:
        return len(self.place)

    def starts(self, back: int, on: int) -> BoolArray:
        """Which rows have `back` rows of their run before them, and are the first of `on` rows of it."""
        row = np.arange(len(self))
        return np.asarray((row - self.begin >= back) & (self.end - row >= on))

    def differs(self, by: int) -> BoolArray:
        """Which steps are called otherwise than that `by` rows after them; those without one are."""
        out = np.ones(len(self), dtype=np.bool_)
        if by < len(self):
            out[: len(self) - by] = self.name[:-by] != self.name[by:]
        return out


def _names(table: pl.DataFrame) -> IntArray:
    """A number for each row of a table of symbols: equal ones where a person would call them the same (the
    template of a message over the whole evidence, the token of a target)."""
    for column in ("group", "token", "text"):
        if column in table.columns and table[column].n_unique() > 1:
            return np.asarray(table[column].rank("dense").cast(pl.Int64).to_numpy())
    return np.arange(len(table), dtype=np.int64)


@dataclass(frozen=True)
class Channels:
    """Channels of a part: streams of floats, their names, which a detector may see, and their usual values.

    `streams` are one stream `(n, C)`, or C streams `(n,)`; `mean (C,)`, `scale (C,)` (0 where a channel never
    moves); `usable (C,)`: rows of channels that are seen and move.
    """

    streams: tuple[str, ...]
    features: tuple[Feature, ...]
    mean: FloatArray
    scale: FloatArray
    seen: IntArray

    @classmethod
    def of(cls, windows: WindowSet, region: Region, view: str) -> Channels | None:
        """Measured on the part itself; None where the evidence has no channels. `view`: whose eyes."""
        found = _streams(windows.schema)
        if found is None:
            return None
        streams, features = found
        seen = [at for at, feature in enumerate(features) if view == "oracle" or not feature.host_only]
        blank = cls(streams, features, np.empty(0), np.empty(0), np.array(seen, dtype=np.int64))
        rows = np.linspace(0, len(region) - 1, min(len(region), SAMPLE)).astype(np.int64)
        values = blank.read(windows, region.place[rows])
        present = np.isfinite(values)
        n = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, values, 0).sum(axis=0) / n
        scale = np.sqrt((np.where(present, values - mean, 0) ** 2).sum(axis=0) / n)
        return cls(streams, features, mean, scale, blank.seen)

    @property
    def usable(self) -> IntArray:
        """Channels that are seen and move."""
        return self.seen[self.scale[self.seen] > 0]

    @property
    def collectors(self) -> list[IntArray]:
        """Channels that are seen, by the collector that their names begin with."""
        groups: dict[str, list[int]] = {}
        for at in self.seen.tolist():
            groups.setdefault(self.features[at].name.partition(".")[0], []).append(at)
        return [np.array(group, dtype=np.int64) for group in groups.values()]

    def read(self, windows: WindowSet, place: IntArray) -> FloatArray:
        """The values at these places, `(k, C)`."""
        step = place if windows.order is None else windows.order[place]
        columns = [windows.streams.at(name, step).astype(np.float64) for name in self.streams]
        if columns[0].ndim == 2:
            return columns[0]
        return np.stack(columns, axis=1)

    def changes(self, values: FloatArray) -> Changes:
        """`values (k, C)` as changes of the first k steps."""
        at = np.arange(len(values))
        if len(self.streams) == 1:
            return {self.streams[0]: (at, values)}
        return {name: (at, values[:, column]) for column, name in enumerate(self.streams)}


def _streams(schema: Schema) -> tuple[tuple[str, ...], tuple[Feature, ...]] | None:
    """The streams behind the schema's tensor, and its channels."""
    tensors = [spec for spec in schema.inputs if spec.kind == "tensor"]
    if not tensors:
        return None
    features = tensors[0].features
    floats = {stream.name: stream for stream in schema.streams if stream.dtype.startswith("float")}
    for stream in floats.values():
        if stream.shape == (len(features),):
            return (stream.name,), features
    if len(features) > 1 and all(feature.name in floats for feature in features):
        return tuple(feature.name for feature in features), features
    return None


@dataclass
class Foreign:
    """Rows that are appended to a table of symbols: texts that the evidence never shows."""

    table: pl.DataFrame
    texts: Sequence[str]
    _rows: dict[tuple[str, str], int] = field(default_factory=dict)
    _added: list[dict[str, Any]] = field(default_factory=list)

    def row(self, text: str, like: int) -> int:
        """The row of `text`, a symbol of the same kind as that in the row `like`."""
        kind = ""
        if "type" in self.table.columns:
            kind = str(self.table["type"][like])
        known = self._rows.get((text, kind))
        if known is None:
            known = self._rows[text, kind] = self.table.height + len(self._added)
            told: dict[str, Any] = {
                "text": text,
                "token": text,
                "module": text.rpartition("+0x")[0],
                "type": kind,
            }
            # A plain target; how often it came, and a template of the whole evidence, are nobody's input.
            told |= {"kind": 1, "count": 1, "group": 0}
            columns = self.table.columns
            self._added.append({name: told.get(name) for name in columns})
        return known

    def appended(self) -> pl.DataFrame:
        """The table with the new rows."""
        if not self._added:
            return self.table
        return pl.concat([self.table, pl.DataFrame(self._added, schema=self.table.schema)])


@dataclass(frozen=True)
class Field:
    """What plants are drawn from: the windows of a part, the steps that they judge, what is known of them."""

    windows: WindowSet
    region: Region
    stream: str
    foreign: Foreign
    channels: Channels | None
    rng: np.random.Generator

    def steps(self, place: IntArray) -> IntArray:
        """Rows of the streams."""
        return place if self.windows.order is None else self.windows.order[place]

    @property
    def ahead(self) -> int:
        """Rows that a change needs before it: windows that look ahead see it from there."""
        return self.windows.schema.ahead

    def drawn(self, allowed: BoolArray, n: int) -> IntArray:
        """`n` different rows among those allowed (fewer where there are not so many)."""
        rows = np.flatnonzero(allowed)
        if len(rows) > n:
            rows = self.rng.choice(rows, size=n, replace=False, shuffle=False)
        return np.sort(rows)

    def need_symbols(self) -> None:
        """Raises NotApplicableError where steps are called nothing."""
        if not self.stream:
            raise NotApplicableError("its steps are numbers, not events")

    def need_times(self) -> IntArray:
        """Times of the judged steps. Raises NotApplicableError where there are none."""
        t_ns = self.region.t_ns
        if not len(t_ns) or not (t_ns != NO_TIME).any():
            raise NotApplicableError("no step has a time")
        return t_ns

    def need_channels(self) -> Channels:
        """The channels. Raises NotApplicableError where there are none that move."""
        if self.channels is None:
            raise NotApplicableError("it has no channels of numbers")
        if not len(self.channels.usable):
            raise NotApplicableError("no channel that the detector sees ever moves")
        return self.channels

    @cached_property
    def rare(self) -> IntArray:
        """Rows at which a sequence of three events begins that came rarely. Raises NotApplicableError where
        there is none."""
        region = self.region
        whole = np.flatnonzero(region.starts(0, 3))
        if not len(whole):
            raise NotApplicableError("no recording has three steps in this part")
        name = region.name
        size = int(name.max()) + 1
        _, pair = np.unique(name[whole] * size + name[whole + 1], return_inverse=True)
        _, of, often = np.unique(pair * size + name[whole + 2], return_inverse=True, return_counts=True)
        if len(often) < 2:
            raise NotApplicableError("it holds one sequence of three events only")
        limit = np.sort(often)[int(RARE * (len(often) - 1))]
        return np.asarray(whole[often[of] <= limit])

    @cached_property
    def largest(self) -> FloatArray:
        """The largest number in each slot, whatever its sign. Raises NotApplicableError where no step has a
        value."""
        found: FloatArray = np.zeros(1)
        filled = False
        for start in range(0, len(self.region), SAMPLE):
            slots = self.windows.streams.at(SLOTS, self.steps(self.region.place[start : start + SAMPLE]))
            filled |= bool(slots.any())
            found = np.maximum(
                found, np.where(is_number(slots), np.abs(slots.view(np.float64)), 0).max(axis=0)
            )
        if not filled:
            raise NotApplicableError("no step has a value")
        return np.asarray(found)

    @cached_property
    def usual_gap_ns(self) -> float:
        """Mean time from one step to the next within a run; NaN where nobody knows."""
        t_ns, begin = self.region.t_ns, self.region.begin
        gap = np.diff(t_ns)
        known = (t_ns[1:] != NO_TIME) & (t_ns[:-1] != NO_TIME) & (begin[1:] == begin[:-1])
        gap = gap[known]
        if not len(gap):
            return float("nan")
        return float(np.maximum(gap, 0).mean())


def spans_ns(field: Field) -> tuple[int, ...]:
    """How long silences last. Raises NotApplicableError without times."""
    field.need_times()
    usual = field.usual_gap_ns
    if not usual > 0:
        raise NotApplicableError("its times do not tell steps apart")
    least = STEPS_MISSED * usual / 1e9
    unit = next((unit for unit in UNITS_S if unit >= least), UNITS_S[-1] * math.ceil(least / UNITS_S[-1]))
    return tuple(unit * 10**9 * span for span in SPANS)


def foreign(field: Field, amount: int, n: int) -> list[Draft]:
    """`amount` messages never seen come before a step, when that one does."""
    field.need_symbols()
    texts = field.foreign.texts
    if len(texts) < amount:
        raise NotApplicableError("nothing at hand is foreign to it")
    drafts = []
    for row in field.drawn(field.region.starts(field.ahead, 1), n).tolist():
        place = field.region.place[row : row + 1]
        like = int(field.windows.streams.at(field.stream, field.steps(place))[0])
        chosen = field.rng.choice(len(texts), size=amount, replace=False)
        rows = np.array([field.foreign.row(texts[at], like) for at in chosen.tolist()])
        at = np.arange(amount)
        changes: Changes = {field.stream: (at, rows)}
        if SLOTS in field.windows.streams:
            width = field.windows.streams.at(SLOTS, field.steps(place)).shape[1:]
            changes[SLOTS] = (at, np.zeros((amount, *width), dtype=np.uint64))
        drafts.append(Draft(row, row, np.repeat(place, amount), changes))
    return drafts


def dropped(field: Field, amount: int, n: int) -> list[Draft]:
    """`amount` steps are missing. The step that comes instead of the first of them is another one, so that it
    can be seen: a run of equal steps that is shorter is no anomaly."""
    field.need_symbols()
    allowed = field.region.starts(field.ahead, amount + 1) & field.region.differs(amount)
    nothing = np.empty(0, dtype=np.int64)
    return [Draft(row, row + amount, nothing, {}) for row in field.drawn(allowed, n).tolist()]


def doubled(field: Field, amount: int, n: int) -> list[Draft]:
    """`amount` steps in a row come twice each; the first is unlike its neighbours."""
    field.need_symbols()
    differs = field.region.differs(1)
    allowed = field.region.starts(max(field.ahead, 1), amount + 1) & differs & np.roll(differs, 1)
    place = field.region.place
    return [
        Draft(row, row + amount, np.repeat(place[row : row + amount], 2), {})
        for row in field.drawn(allowed, n).tolist()
    ]


def swapped(field: Field, amount: int, n: int) -> list[Draft]:
    """`amount` pairs of neighbours change places, the first of them unlike ones; the times stay in order."""
    field.need_symbols()
    allowed = field.region.starts(field.ahead, 2 * amount) & field.region.differs(1)
    other = np.arange(2 * amount) ^ 1
    drafts = []
    for row in field.drawn(allowed, n).tolist():
        rows = slice(row, row + 2 * amount)
        changes: Changes = {}
        if len(field.region.t_ns):
            changes["t_ns"] = (np.arange(2 * amount), field.region.t_ns[rows])
        drafts.append(Draft(row, row + 2 * amount, field.region.place[rows][other], changes))
    return drafts


def burst(field: Field, amount: int, n: int) -> list[Draft]:
    """`BASE` steps come `amount` times, one round after the other, in the time in which they came once."""
    field.need_symbols()
    t_ns = field.need_times()
    allowed = field.region.starts(field.ahead, BASE)
    last = np.minimum(np.arange(len(t_ns)) + BASE - 1, len(t_ns) - 1)
    allowed &= (t_ns != NO_TIME) & (t_ns[last] != NO_TIME) & (t_ns[last] > t_ns)
    drafts = []
    for row in field.drawn(allowed, n).tolist():
        times = np.linspace(0, t_ns[row + BASE - 1] - t_ns[row], amount * BASE).astype(np.int64) + t_ns[row]
        middle = np.tile(field.region.place[row : row + BASE], amount)
        drafts.append(Draft(row, row + BASE, middle, {"t_ns": (np.arange(len(middle)), times)}))
    return drafts


def silence(field: Field, amount: int, n: int) -> list[Draft]:
    """All steps of a span of time are missing, one at least, and another one comes after it."""
    field.need_symbols()
    t_ns = field.need_times()
    span = spans_ns(field)[SPANS.index(amount)]
    allowed = field.region.starts(max(field.ahead, 1), 2)
    known = t_ns != NO_TIME
    before = np.maximum(np.arange(len(t_ns)) - 1, 0)
    # Steps that come at one moment with the one before are rarely where a silence begins, but may be.
    allowed &= known & known[before]
    drafts: list[Draft] = []
    nothing = np.empty(0, dtype=np.int64)
    for row in field.rng.permutation(field.drawn(allowed, 20 * n)).tolist():
        if len(drafts) == n:
            break
        stop = _later(t_ns, row, int(field.region.end[row]), int(t_ns[row - 1]) + span)
        if row < stop < field.region.end[row]:
            drafts.append(Draft(row, stop, nothing, {}))
    return sorted(drafts, key=lambda draft: draft.start)


def _later(t_ns: IntArray, row: int, end: int, limit: int) -> int:
    """The first row from `row` on with a time after `limit`; `end` where there is none before it. Times may
    run backwards, and some are not known."""
    size = 1024
    while row < end:
        later = t_ns[row : min(row + size, end)] > limit
        found = int(later.argmax())
        if later[found]:
            return row + found
        row += len(later)
        size *= 2
    return end


def value(field: Field, amount: int, n: int) -> list[Draft]:
    """In `amount` steps one value is another: one never seen, or a number far beyond all."""
    field.need_symbols()
    if SLOTS not in field.windows.streams:
        raise NotApplicableError("its values were not kept")
    region = field.region
    largest = field.largest
    drafts: list[Draft] = []
    for row in field.rng.permutation(field.drawn(region.starts(field.ahead, amount), 20 * n)).tolist():
        if len(drafts) == n:
            break
        near = slice(row, min(int(region.end[row]), row + 4 * amount))
        slots = field.windows.streams.at(SLOTS, field.steps(region.place[near]))
        at = np.flatnonzero((slots != 0).any(axis=1))[:amount]
        if len(at) < amount or at[0]:
            continue
        new = slots[at]
        for step, filled in enumerate(new != 0):
            slot = int(field.rng.choice(np.flatnonzero(filled)))
            new[step, slot] = _other_value(int(new[step, slot]), largest[slot], field.rng)
        stop = row + int(at[-1]) + 1
        drafts.append(Draft(row, stop, region.place[row:stop], {SLOTS: (at, new)}))
    return sorted(drafts, key=lambda draft: draft.start)


def is_number(slots: NDArray[np.uint64]) -> BoolArray:
    """Which values are numbers: the bits of a finite float64. What is none has the bits of a NaN, with a hash
    in those that are free; 0 is no value."""
    return np.asarray(np.isfinite(slots.view(np.float64)) & (slots != 0))


def _other_value(bits: int, largest: float, rng: np.random.Generator) -> int:
    if is_number(np.array([bits], dtype=np.uint64))[0]:
        return int(np.array([TOO_HIGH * max(largest, 1.0)]).view(np.uint64)[0])
    return NOT_A_NUMBER | int(rng.integers(1, 1 << 52))


def frequent(field: Field, amount: int, n: int) -> list[Draft]:
    """A sequence of three events that came rarely comes `amount` times, at the usual pace; what follows is as
    much later."""
    field.need_symbols()
    region, rare = field.region, field.rare
    gap = 0
    if len(region.t_ns) and field.usual_gap_ns > 0:
        gap = round(field.usual_gap_ns)
    drafts = []
    for row in field.drawn(region.starts(field.ahead, 1), n).tolist():
        chosen = int(field.rng.choice(rare))
        middle = np.tile(region.place[chosen : chosen + 3], amount)
        changes: Changes = {}
        later = 0
        if len(region.t_ns) and region.t_ns[row] != NO_TIME:
            changes["t_ns"] = (np.arange(len(middle)), region.t_ns[row] + gap * np.arange(len(middle)))
            later = gap * len(middle)
        drafts.append(Draft(row, row, middle, changes, later))
    return drafts


def _of_channels(
    field: Field, length: int, n: int, change: Callable[[Channels, FloatArray], FloatArray | None]
) -> list[Draft]:
    """Drafts in which `change` gives other values of `length` steps `(k, C)`; None where it changes none."""
    channels = field.need_channels()
    drafts: list[Draft] = []
    region = field.region
    for row in field.rng.permutation(field.drawn(region.starts(field.ahead, length), 4 * n)).tolist():
        if len(drafts) == n:
            break
        place = region.place[row : row + length]
        new = change(channels, channels.read(field.windows, place))
        if new is not None:
            drafts.append(Draft(row, row + length, place, channels.changes(new)))
    return sorted(drafts, key=lambda draft: draft.start)


def spike(field: Field, amount: int, n: int) -> list[Draft]:
    """One channel is far too high in `amount` steps."""

    def change(channels: Channels, values: FloatArray) -> FloatArray:
        at = field.rng.choice(channels.usable)
        values[:, at] = channels.mean[at] + TOO_HIGH * channels.scale[at]
        return values

    return _of_channels(field, amount, n, change)


def shift(field: Field, amount: int, n: int) -> list[Draft]:
    """One channel is `amount` standard deviations higher for as long as a window is."""

    def change(channels: Channels, values: FloatArray) -> FloatArray | None:
        at = field.rng.choice(channels.usable)
        if not np.isfinite(values[:, at]).any():
            return None
        values[:, at] += amount * channels.scale[at]
        return values

    return _of_channels(field, field.windows.schema.length, n, change)


def flat(field: Field, amount: int, n: int) -> list[Draft]:
    """One channel keeps the value of a step for `amount` steps, in half of which it had another one."""

    def change(channels: Channels, values: FloatArray) -> FloatArray | None:
        moves = np.isfinite(values[0]) & ((values != values[0]).mean(axis=0) >= 0.5)
        usable = channels.usable[moves[channels.usable]]
        if not len(usable):
            return None
        at = field.rng.choice(usable)
        values[:, at] = values[0, at]
        return values

    return _of_channels(field, amount, n, change)


def exchanged(field: Field, amount: int, n: int) -> list[Draft]:
    """`amount` pairs of channels have each other's values for as long as a window is."""
    if len(field.need_channels().usable) < 2 * amount:
        raise NotApplicableError(f"it has no {2 * amount} channels that move")

    def change(channels: Channels, values: FloatArray) -> FloatArray | None:
        at = field.rng.choice(channels.usable, size=2 * amount, replace=False)
        new = values.copy()
        new[:, at] = values[:, at.reshape(-1, 2)[:, ::-1].reshape(-1)]
        if np.array_equal(new, values, equal_nan=True):
            return None
        return new

    return _of_channels(field, field.windows.schema.length, n, change)


def lost(field: Field, amount: int, n: int) -> list[Draft]:
    """All channels of one collector are missing for `amount` steps."""

    def change(channels: Channels, values: FloatArray) -> FloatArray | None:
        groups = [group for group in channels.collectors if np.isfinite(values[:, group]).any(axis=1).all()]
        if not groups:
            return None
        values[:, groups[int(field.rng.integers(len(groups)))]] = np.nan
        return values

    return _of_channels(field, amount, n, change)


Maker = Callable[[Field, int, int], list[Draft]]
MAKERS: Mapping[str, Maker] = {
    maker.__name__: maker
    for maker in (
        foreign, dropped, doubled, swapped, burst, silence, value, frequent, spike, shift, flat, exchanged,
        lost,
    )
}  # fmt: skip
