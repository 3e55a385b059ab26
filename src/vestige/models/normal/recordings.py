"""Whole recordings: sessions, runs, files, each judged as one thing by what is normal for its like.

Looks at a recording: how far its nearest neighbours are (1- to 3-grams that it has, TF-IDF, cosine), how rare
its events are, among events and among recordings, and how unexpected their order is, in the mean and
throughout. Each becomes a p-value by its rank among recordings that were compared with a model which did not
learn from them, and Fisher's sum of these is ranked again.

Letters: N recordings, D different ones, L looks, V token ids, C columns (n-grams), R references, T events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.errors import SplitError
from vestige.models.baselines.next_ngram import level_arrays, read_levels
from vestige.models.normal.conformal import LEAST, Tail
from vestige.models.normal.habits import (
    MOST_GRAMS,
    OF_EVENTS,
    ORDER,
    STRETCH,
    Habits,
    RecordingTally,
    tallied,
)
from vestige.models.normal.references import MOST_REFERENCES, Grams, References, whole_numbers

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]

LOOKS = ("neighbours", *OF_EVENTS)
"""What the looks are called. Their strangeness is a mean distance (0..1), and five times nats an event."""
LEAST_SCALE = (0.02, 0.05, 0.05, 0.05, 0.05, 0.05)
"""A strangeness higher by so much is rarer by a factor of e at the most."""
LEAST_RECORDINGS = 60
"""Of fewer recordings nothing can be said of which are rare."""
COUNTED_IF_SHORT = ("neighbours", "rarity.events")
COUNTED_IF_LONG = ("neighbours", "rarity.recordings", "order.quartile", "order.lowest")
"""The looks that make the sum, where half of what was learnt from is shorter than a stretch, and where it is
longer: of what is long, the order says as much as what it is made of. The others are told as reasons."""
FOLDS = 5
"""Parts of the different recordings: each is judged by what the others taught. More parts, and what judged
the calibration is nearer to what judges later, which learnt from all of them."""
SPANS = 3
"""The parts where recordings have times, one after the other: what changes as time goes by is then as strange
to the calibration as it will be to what comes later. By chance, each part would be judged by its own days."""
STRANGE = 0.1
"""The share of learning, the strangest, that nobody is compared with: it may have been an attack."""
ROUNDS = 3
"""How often at most it is asked, of spans of time, which tenth that is: without its own kind an attack that
came within one span is stranger, and the next round knows more of it."""
LARGEST_VOCABULARY = 1 << 24


@dataclass(frozen=True)
class LearningBounds:
    """How much is learnt from at most, so that memory has a bound."""

    recordings: int = 20_000
    """Different ones, drawn by chance."""
    events: int = 1 << 21
    """Of all recordings."""
    of_one: int = 1 << 17
    """Events of a single recording: its first."""
    references: int = MOST_REFERENCES
    grams: int = MOST_GRAMS


BOUNDS = LearningBounds()


@dataclass(frozen=True)
class RecordingJudgement:
    """What is said of N recordings: `strangeness (N, L)`; -ln p as `rareness (N,)` and `rareness_of_looks
    (N, L)`, without a bound, so that nothing ties for being too strange; `left_out (N,)`, n-grams for which
    there was no room."""

    strangeness: FloatArray
    rareness_of_looks: FloatArray
    rareness: FloatArray
    left_out: IntArray

    @property
    def p_value(self) -> FloatArray:
        """Of how many normal recordings are at least as strange, `(N,)`."""
        return np.maximum(np.exp(-self.rareness), LEAST)


@dataclass(frozen=True)
class RecordingModel:
    """What is normal of whole recordings. `tails`: of each look, and last of Fisher's sum. `n`: how many
    recordings it was learnt from, `left_out`: how many more there were, or events of them."""

    habits: Habits
    references: References
    tails: tuple[Tail, ...]
    n: int
    left_out: dict[str, int]
    counted: tuple[str, ...] = COUNTED_IF_SHORT
    """The looks that make the sum."""

    @classmethod
    def fit(
        cls,
        recordings: Sequence[IntArray],
        size: int,
        *,
        seed: int = 0,
        in_time: bool = False,
        bounds: LearningBounds = BOUNDS,
    ) -> Self:
        """Of the tokens `(T,)` of recordings that are normal for the most part; tokens are below `size`.

        Each is compared with a model that did not learn from it, nor from any copy of it: the different
        recordings are dealt in `FOLDS` parts by chance, or, where they are given `in_time`, one after the
        other, in `SPANS`; each part is judged by what the others teach. So the p-value of what is normal but
        stands nowhere verbatim is honest, and that of a copy is higher than it need be.
        Raises SplitError for fewer than `LEAST_RECORDINGS`, or for hardly any different ones.
        """
        present = [tokens for tokens in recordings if len(tokens)]
        rng = np.random.default_rng(seed)
        different, weight, left_out = _bounded(present, rng, bounds)
        if len(present) < LEAST_RECORDINGS or len(different) < 2 * FOLDS:
            raise SplitError(
                f"{len(present)} recordings with events, {len(different)} of them different, are too few to "
                "say which are rare",
                remedy=f"give {LEAST_RECORDINGS} at the least",
            )
        fold = rng.permutation(len(different)) % FOLDS
        if in_time:
            fold = np.arange(len(different)) * SPANS // len(different)
        strange_DL = np.empty((len(different), len(LOOKS)))
        for inside, outside in _apart(fold):
            habits = Habits.fit(
                [different[row] for row in outside], weight[outside], size, most_grams=bounds.grams
            )
            tallies = tallied(habits, [different[row] for row in inside])
            strange_DL[inside, 1:] = [tally.looks() for tally in tallies]
        habits = Habits.fit(different, weight, size, most_grams=bounds.grams)
        grams = Grams.of(tallied(habits, different))
        counted: tuple[str, ...] = COUNTED_IF_SHORT
        if np.median(np.repeat([len(tokens) for tokens in different], weight)) >= STRETCH:
            counted = COUNTED_IF_LONG
        # What is strange itself makes nothing else normal: it is judged, but nobody is compared with it.
        usual = np.ones(len(different), dtype=np.bool_)
        strange_DL[:, 0] = _compared(grams, weight, fold, usual, rng, bounds.references)
        for _ in range(ROUNDS if in_time else 1):
            total = _summed(strange_DL, _tails_of(strange_DL, weight), counted)
            before, usual = usual, total <= np.quantile(np.repeat(total, weight), 1 - STRANGE)
            if np.array_equal(usual, before):
                break
            strange_DL[:, 0] = _compared(grams, weight, fold, usual, rng, bounds.references)
        rows = np.flatnonzero(usual)
        references = References.fit(grams.select(rows), weight[rows], rng, most=bounds.references)
        tails = _tails_of(strange_DL, weight)
        sums = np.empty(len(different))
        for inside, outside in _apart(fold):
            others = _tails_of(strange_DL[outside], weight[outside])
            # Ranked among others, as what is judged later is: among its own, nothing lies above all.
            sums[inside] = _summed(strange_DL[inside], others, counted)
        tails.append(_tail(sums, weight, 2.0))
        return cls(habits, references, tuple(tails), len(present), left_out, counted)

    def tally(self) -> RecordingTally:
        """For a new recording, whose events come in pieces."""
        return RecordingTally(self.habits)

    def judge(self, recordings: Iterable[IntArray]) -> RecordingJudgement:
        """Judge whole recordings, the tokens `(T,)` of each. Raises ValueError for what is no token."""
        given = list(recordings)
        for tokens in given:
            if len(tokens) and not 0 <= tokens.min() <= tokens.max() < self.habits.size:
                raise ValueError(f"events that are no token ids below {self.habits.size}")
        return self.judge_tallies(tallied(self.habits, given))

    def judge_tallies(self, tallies: Sequence[RecordingTally]) -> RecordingJudgement:
        """Judge recordings by what was kept of them. One without events is as normal as can be."""
        strange_NL = np.zeros((len(tallies), len(LOOKS)))
        if tallies:
            strange_NL[:, 1:] = [tally.looks() for tally in tallies]
            strange_NL[:, 0] = self.references.distance(Grams.of(tallies))
        looks = zip(self.tails[:-1], strange_NL.T, strict=True)
        rare_NL = np.stack([tail.rareness(look) for tail, look in looks], axis=1)
        rare_NL[[not tally.length for tally in tallies]] = 0.0
        sums = 2.0 * rare_NL[:, _columns(self.counted)].sum(axis=1)
        total = self.tails[-1].rareness_without_ties(sums)
        total[[not tally.length for tally in tallies]] = 0.0
        left_out = np.array([tally.left_out for tally in tallies], dtype=np.int64)
        return RecordingJudgement(strange_NL, rare_NL, total, left_out)

    def state(self) -> dict[str, Any]:
        """What `read` takes beside the arrays, JSON-ready."""
        return {
            "size": self.habits.size,
            "n": self.n,
            "left_out": self.left_out,
            "counted": list(self.counted),
        }

    def arrays(self) -> Arrays:
        """What `read` takes, for a file of arrays."""
        arrays: Arrays = {
            "events": self.habits.events,
            "recordings": self.habits.recordings,
            **self.references.arrays(),
        }
        arrays |= {f"order.{name}": array for name, array in level_arrays(self.habits.levels).items()}
        for at, tail in enumerate(self.tails):
            arrays |= {f"tail.{at}.{name}": array for name, array in tail.arrays().items()}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    @classmethod
    def read(cls, arrays: Arrays, state: dict[str, Any]) -> Self:
        """The model whose `arrays` and `state` these are. Raises ValueError where they are damaged, or were
        learnt by a version that compared recordings in another way."""
        if "counts.indices" in arrays:
            raise ValueError("whole recordings were learnt by an earlier version: learn again")
        size = checked.whole(state.get("size"), "size", 1, LARGEST_VOCABULARY)
        n = checked.whole(state.get("n"), "n", 1, 2**53)
        left_out = {
            name: checked.whole(count, name, 0, 2**53)
            for name, count in checked.mapping(state.get("left_out"), "left_out").items()
        }
        events, recordings = (whole_numbers(arrays, name, size) for name in ("events", "recordings"))
        levels = read_levels(_under(arrays, "order."), ORDER, size)
        habits = Habits(size, levels, events, recordings)
        tails = tuple(_read_tail(_under(arrays, f"tail.{at}.")) for at in range(len(LOOKS) + 1))
        counted = tuple(checked.texts(state.get("counted"), "counted"))
        if not counted or len(set(counted)) < len(counted) or not set(counted) <= set(LOOKS):
            raise ValueError(f"counted names looks that there are not: {checked.shown(list(counted))}")
        return cls(habits, References.read(arrays), tails, n, left_out, counted)


def _bounded(
    recordings: Sequence[IntArray], rng: np.random.Generator, bounds: LearningBounds
) -> tuple[list[IntArray], IntArray, dict[str, int]]:
    """The different recordings that are learnt from, how many copies of each there are, and what there was no
    room for."""
    copies: dict[bytes, int] = {}
    for tokens in recordings:
        content = tokens[: bounds.of_one].astype(np.int64).tobytes()
        copies[content] = copies.get(content, 0) + 1
    cut = sum(max(0, len(tokens) - bounds.of_one) for tokens in recordings)
    contents = [np.frombuffer(content, dtype=np.int64) for content in copies]
    weight = np.array(list(copies.values()), dtype=np.int64)
    order = rng.permutation(len(contents))[: bounds.recordings]
    events = np.cumsum([len(contents[row]) for row in order])
    chosen = np.sort(order[: max(1, int((events <= bounds.events).sum()))])
    left_out = {"recordings": int(weight.sum() - weight[chosen].sum()), "events of long recordings": cut}
    return [contents[row] for row in chosen], weight[chosen], left_out


def _apart(fold: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """The rows of each fold, and those of the others."""
    for number in range(int(fold.max()) + 1):
        yield np.flatnonzero(fold == number), np.flatnonzero(fold != number)


def _compared(
    grams: Grams,
    weight: IntArray,
    fold: IntArray,
    usual: NDArray[np.bool_],
    rng: np.random.Generator,
    most: int,
) -> FloatArray:
    """The distance `(D,)` of each recording to the usual ones of the other folds, `most` of them at most."""
    found = np.empty(len(grams))
    for inside, outside in _apart(fold):
        others = outside[usual[outside]]
        if not len(others):  # all that is usual lies in one fold
            others = outside
        references = References.fit(grams.select(others), weight[others], rng, most=most)
        found[inside] = references.distance(grams.select(inside))
    return found


def _summed(strange_DL: FloatArray, tails: Sequence[Tail], counted: Sequence[str]) -> FloatArray:
    """Fisher's sum of -2 ln p over the looks that count, `(D,)`."""
    looks = (tails[at].rareness(strange_DL[:, at]) for at in _columns(counted))
    total: FloatArray = 2.0 * np.sum(list(looks), axis=0)
    return total


def _columns(counted: Sequence[str]) -> list[int]:
    return [LOOKS.index(look) for look in counted]


def _tails_of(strange_DL: FloatArray, weight: IntArray) -> list[Tail]:
    return [_tail(look, weight, scale) for look, scale in zip(strange_DL.T, LEAST_SCALE, strict=True)]


def _tail(values: FloatArray, weight: IntArray, scale: float) -> Tail:
    return Tail.fit(np.repeat(values, weight), least_scale=scale)


def _under(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _read_tail(arrays: Arrays) -> Tail:
    if arrays.keys() != {"values", "reached", "tail"}:
        raise ValueError("a calibration is missing")
    return Tail.of(arrays)
