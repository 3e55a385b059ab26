"""Whole recordings: sessions, runs, files, each judged as one thing by what is normal for its like.

Looks at a recording: how far its nearest neighbours are (1- and 2-grams of its events, TF-IDF, cosine), how
rare its events are, among events and among recordings, and how unexpected their order is, in the mean and
throughout. Each becomes a p-value by its rank among recordings that were compared with a model which did not
learn from them, and Fisher's sum of these is ranked again.

Letters: N recordings, D different ones, L looks, V token ids, C columns (n-grams), R references, T events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from vestige import checked
from vestige.errors import SplitError
from vestige.models.baselines.next_ngram import (
    Level,
    count_levels,
    interpolated,
    level_arrays,
    read_levels,
)
from vestige.models.normal.conformal import FOLDS, LEAST, Tail
from vestige.schema import PAD

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Arrays = dict[str, NDArray[Any]]

LOOKS = ("neighbours", "rarity.events", "rarity.recordings", "order.quartile", "order.mean", "order.lowest")
"""What the looks are called. Their strangeness is a mean distance (0..1), and five times nats an event.
Models of before have the first five."""
FEWEST_LOOKS = 5
LEAST_SCALE = (0.02, 0.05, 0.05, 0.05, 0.05, 0.05)
"""A strangeness higher by so much is rarer by a factor of e at the most."""
LEAST_RECORDINGS = 60
"""Of fewer recordings nothing can be said of which are rare."""
ORDER = 7
"""Events of a gram of the order's surprise, the one that came included."""
QUANTILE = 0.75
"""Of the surprises of a recording, the one that a quarter of them exceed: what is unexpected throughout, and
not in a few places."""
STRETCH = 100
"""Events of the stretch whose mean surprise is the lowest: a normal session has one that is wholly usual,
what is strange all over has none."""
COUNTED_IF_SHORT = LOOKS[:FEWEST_LOOKS]
COUNTED_IF_LONG = ("rarity.recordings", "order.quartile", "order.lowest")
"""The looks that make the sum, where half of what was learnt from is shorter than a stretch, and where it is
longer: of what is long, the order says more than what it is made of. The others are told as reasons."""
NEIGHBOURS = 3
"""Nearest neighbours whose mean distance counts: what is rare has few, also where it was learnt from."""
STRANGE = 0.1
"""The share of learning, the strangest, that nobody is compared with: it may have been an attack."""
MOST_RECORDINGS = 20_000
"""Different recordings that are learnt from at most, drawn by chance."""
MOST_EVENTS = 1 << 21
"""Events of all recordings that are learnt from at most."""
MOST_OF_ONE = 1 << 17
"""Events of a single recording that are learnt from at most: its first."""
MOST_REFERENCES = 5_000
"""Recordings that others are compared with at most, drawn by chance."""
MOST_ENTRIES = 1_500_000
"""n-grams of all references together at most."""
MOST_COLUMNS = 1 << 17
"""Different n-grams of references that are told apart: those of the most recordings."""
MOST_GRAMS = 1_000_000
"""Grams of all lengths of the order together at most: contexts get no longer than that allows."""
MOST_DISTINCT = 5_000
"""Different n-grams that are kept of a recording: its first."""
MOST_SURPRISES = 1 << 14
"""Surprises that are kept of a recording: every second one where there are more, then every fourth, ..."""
MOST_PIECES = 64
"""Pieces of surprises that are kept apart at most."""
PIECE = 1 << 16
"""Events that are looked at at a time."""
ROWS = 512
"""Recordings that are compared at a time."""
UNIT = 2.0**-30
"""Nats of the whole numbers in which sums are kept: they are the same however a recording is cut."""
LARGEST_VOCABULARY = 1 << 24


@dataclass(frozen=True)
class Habits:
    """Which events are usual, and after which others.

    `levels`: what came after up to `ORDER - 1` events. `events (V,)`, `recordings (V,)` int64: how rare an
    event is among all events, and how rare a recording that has it, -ln of the share in `UNIT`.
    """

    size: int
    levels: list[Level]
    events: IntArray
    recordings: IntArray

    @classmethod
    def fit(cls, recordings: Sequence[IntArray], weight: IntArray, size: int) -> Self:
        """Of recordings, the tokens `(T,)` of each, which are below `size`; of each there were `weight (N,)`
        copies."""
        tails, times = [], []
        often, holding = np.zeros(size), np.zeros(size)
        for tokens, copies in zip(recordings, weight.tolist(), strict=True):
            tails.append(_tails(tokens, np.full(ORDER - 1, PAD)))
            times.append(np.full(len(tokens), copies))
            present, counts = np.unique(tokens, return_counts=True)
            often[present] += counts * copies
            holding[present] += copies
        levels = count_levels(np.concatenate(tails), np.concatenate(times), size, MOST_GRAMS)
        share_of_events = (often + 0.5) / (often.sum() + 0.5 * size)
        share_of_recordings = (holding + 0.5) / (weight.sum() + 1)
        return cls(size, levels, _fixed(-np.log(share_of_events)), _fixed(-np.log(share_of_recordings)))

    def surprise(self, tokens: IntArray, before: IntArray) -> IntArray:
        """-ln P `(T,)` in `UNIT` of each of `tokens (T,)` after those that came before it, of which the first
        had `before (ORDER - 1,)`."""
        tails = _tails(tokens, before)[:, -len(self.levels) :]
        return _fixed(-np.log(interpolated(self.levels, tails, self.size)))


@dataclass
class RecordingTally:
    """What is kept of a recording while its events go by, in bounded memory, the same however it is cut in
    pieces: its first `MOST_DISTINCT` different n-grams, and what the looks take of rarity and surprise."""

    habits: Habits
    length: int = 0
    codes: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Of its n-grams `(U,)`, ascending: the token, or V + V * the one before + the token."""
    counts: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    left_out: int = 0
    """n-grams that there was no room for."""
    _before: IntArray = field(default_factory=lambda: np.full(ORDER - 1, PAD, dtype=np.int64))
    _rarity: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, dtype=np.int64))
    _total: int = 0
    _last: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _lowest: int | None = None
    _kept: list[IntArray] = field(default_factory=list)
    _n_kept: int = 0
    _stride: int = 1

    def add(self, tokens: IntArray) -> None:
        """Take in the next events `(T,)` int64. Raises ValueError for what is no token."""
        if tokens.ndim != 1 or (len(tokens) and not 0 <= tokens.min() <= tokens.max() < self.habits.size):
            raise ValueError(f"events that are no token ids below {self.habits.size}")
        for start in range(0, len(tokens), PIECE):
            piece = tokens[start : start + PIECE]
            self.take(piece, self.habits.surprise(piece, self._before))

    def take(self, tokens: IntArray, surprise: IntArray) -> None:
        """Take in the next events `(T,)`, whose surprise is known."""
        self._count(tokens)
        self._rarity += [self.habits.events[tokens].sum(), self.habits.recordings[tokens].sum()]
        self._total += int(surprise.sum())
        self._look_for_lowest(surprise)
        self._keep(surprise)
        self._before = np.concatenate([self._before, tokens])[-(ORDER - 1) :]
        self.length += len(tokens)

    def looks(self) -> FloatArray:
        """The strangeness by all looks but the first, `(L - 1,)`; zeros of a recording without events."""
        if not self.length:
            return np.zeros(len(LOOKS) - 1)
        quartile = np.quantile(np.concatenate(self._kept), QUANTILE)
        means = np.array([*self._rarity, self._total]) / self.length
        lowest = means[2]
        if self._lowest is not None:
            lowest = self._lowest / STRETCH
        found: FloatArray = np.array([*means[:2], quartile, means[2], lowest]) * UNIT
        return found

    def _look_for_lowest(self, surprise: IntArray) -> None:
        together = np.concatenate([self._last, surprise])
        sums = np.cumsum(np.concatenate([[0], together]))
        if len(together) >= STRETCH:
            found = int((sums[STRETCH:] - sums[:-STRETCH]).min())
            self._lowest = found if self._lowest is None else min(found, self._lowest)
        self._last = together[1 - STRETCH :]

    def _count(self, tokens: IntArray) -> None:
        size = self.habits.size
        pairs = size + size * np.concatenate([self._before[-1:], tokens[:-1]]) + tokens
        # In the order in which they end, whatever the pieces; before the first event there is none.
        grams = np.stack([pairs, tokens], axis=1).reshape(-1)[int(not self.length) :]
        codes, first, counts = np.unique(grams, return_index=True, return_counts=True)
        is_new = ~np.isin(codes, self.codes)
        room = MOST_DISTINCT - len(self.codes)
        if is_new.sum() > room:
            without = is_new & (first >= np.sort(first[is_new])[room])
            self.left_out += int(counts[without].sum())
            codes, counts = codes[~without], counts[~without]
        self.codes, where = np.unique(np.concatenate([self.codes, codes]), return_inverse=True)
        together = np.zeros(len(self.codes), dtype=np.int64)
        np.add.at(together, where, np.concatenate([self.counts, counts]))
        self.counts = together

    def _keep(self, surprise: IntArray) -> None:
        self._kept.append(surprise[-self.length % self._stride :: self._stride].copy())
        self._n_kept += len(self._kept[-1])
        if self._n_kept > MOST_SURPRISES or len(self._kept) > MOST_PIECES:
            together = np.concatenate(self._kept)
            while len(together) > MOST_SURPRISES:
                together = together[::2].copy()
                self._stride *= 2
            self._kept, self._n_kept = [together], len(together)


@dataclass(frozen=True)
class References:
    """Recordings that others are compared with.

    `codes (C,)` int64 ascend: the n-grams that are told apart. `holding (C,)` int64: of `n` recordings, how
    many have each. `counts (R, C)`: how often each reference has them.
    """

    codes: IntArray
    holding: IntArray
    n: int
    counts: sparse.csr_array
    weighted: sparse.csr_array
    """The counts times how rare the n-gram is, every row of length 1, `(C, R)`."""

    @classmethod
    def of(cls, codes: IntArray, holding: IntArray, n: int, counts: sparse.csr_array) -> Self:
        """With weights."""
        rarity = _inverse_frequency(holding, n)
        return cls(codes, holding, n, counts, _unit_rows(counts, rarity, 0.0).T.tocsr())

    @classmethod
    def fit(cls, grams: Grams, weight: IntArray, rng: np.random.Generator) -> Self:
        """Of different recordings, each of which the learnt evidence had `weight (N,)` times."""
        present, where = np.unique(grams.codes, return_inverse=True)
        holding = np.zeros(len(present), dtype=np.int64)
        np.add.at(holding, where, weight[grams.rows])
        known = np.sort(np.argsort(-holding, kind="stable")[:MOST_COLUMNS])
        codes, holding = present[known], holding[known]
        drawn = rng.permutation(len(weight))[:MOST_REFERENCES]
        entries = np.cumsum(np.diff(grams.bounds)[drawn])
        drawn = np.sort(drawn[: max(1, int((entries <= MOST_ENTRIES).sum()))])
        counts, _ = grams.select(drawn).table(codes)
        return cls.of(codes, holding, int(weight.sum()), counts)

    def distance(self, grams: Grams) -> FloatArray:
        """The mean cosine distance `(N,)` of recordings to their nearest neighbours."""
        found = np.empty(len(grams))
        k = min(NEIGHBOURS, self.weighted.shape[1])
        rarity, unknown = _inverse_frequency(self.holding, self.n), _inverse_frequency(np.zeros(1), self.n)[0]
        for start in range(0, len(grams), ROWS):
            rows = np.arange(start, min(start + ROWS, len(grams)))
            table, new = grams.select(rows).table(self.codes)
            likeness = (_unit_rows(table, rarity, new * unknown**2) @ self.weighted).toarray()
            nearest = -np.partition(-likeness, k - 1, axis=1)[:, :k]
            found[rows] = 1.0 - nearest.mean(axis=1)
        return np.clip(found, 0.0, 1.0)


@dataclass(frozen=True)
class Grams:
    """n-grams of N recordings, `codes` and `counts`: of recording i from `bounds[i]` to `bounds[i + 1]`."""

    codes: IntArray
    counts: IntArray
    bounds: IntArray

    @classmethod
    def of(cls, tallies: Sequence[RecordingTally]) -> Self:
        """Those that tallies hold."""
        none = np.empty(0, dtype=np.int64)
        bounds = np.cumsum([0, *(len(tally.codes) for tally in tallies)])
        codes = np.concatenate([none, *(tally.codes for tally in tallies)])
        return cls(codes, np.concatenate([none, *(tally.counts for tally in tallies)]), bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def rows(self) -> IntArray:
        """The recording of each n-gram."""
        return np.repeat(np.arange(len(self)), np.diff(self.bounds))

    def select(self, rows: IntArray) -> Self:
        """Only these recordings, in this order."""
        many = np.diff(self.bounds)[rows]
        bounds = np.concatenate([[0], np.cumsum(many)])
        at = np.arange(bounds[-1]) + np.repeat(self.bounds[rows] - bounds[:-1], many)
        return type(self)(self.codes[at], self.counts[at], bounds)

    def table(self, codes: IntArray) -> tuple[sparse.csr_array, FloatArray]:
        """Counts in the columns of `codes (C,)`, `(N, C)`, and the sum of squares of all others, `(N,)`."""
        place = np.minimum(np.searchsorted(codes, self.codes), len(codes) - 1)
        is_known = codes[place] == self.codes
        counts = self.counts.astype(np.float64)
        rows = self.rows
        new: FloatArray = np.bincount(rows[~is_known], counts[~is_known] ** 2, len(self)).astype(np.float64)
        shape = (len(self), len(codes))
        return sparse.csr_array((counts[is_known], (rows[is_known], place[is_known])), shape=shape), new


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
    def fit(cls, recordings: Sequence[IntArray], size: int, *, seed: int = 0) -> Self:
        """Of the tokens `(T,)` of recordings that are normal for the most part; tokens are below `size`.

        Each is compared with a model that did not learn from it, nor from any copy of it: three times, two
        thirds of the different recordings are learnt from, and the last third is judged. So the p-value of
        what is normal but stands nowhere verbatim is honest, and that of a copy is higher than it need be.
        Raises SplitError for fewer than `LEAST_RECORDINGS`, or for hardly any different ones.
        """
        present = [tokens for tokens in recordings if len(tokens)]
        rng = np.random.default_rng(seed)
        different, weight, left_out = _bounded(present, rng)
        if len(present) < LEAST_RECORDINGS or len(different) < 2 * FOLDS:
            raise SplitError(
                f"{len(present)} recordings with events, {len(different)} of them different, are too few to "
                "say which are rare",
                remedy=f"give {LEAST_RECORDINGS} at the least",
            )
        fold = rng.permutation(len(different)) % FOLDS
        strange_DL = np.empty((len(different), len(LOOKS)))
        for number in range(FOLDS):
            inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
            habits = Habits.fit([different[row] for row in outside], weight[outside], size)
            tallies = _tallied(habits, [different[row] for row in inside])
            strange_DL[inside, 1:] = [tally.looks() for tally in tallies]
        habits = Habits.fit(different, weight, size)
        grams = Grams.of(_tallied(habits, different))
        everyone = np.ones(len(different), dtype=np.bool_)
        strange_DL[:, 0] = _compared(grams, weight, fold, everyone, rng)
        # What is strange itself makes nothing else normal: it is judged, but nobody is compared with it.
        counted = COUNTED_IF_SHORT
        if np.median(np.repeat([len(tokens) for tokens in different], weight)) >= STRETCH:
            counted = COUNTED_IF_LONG
        total = _summed(strange_DL, _tails_of(strange_DL, weight), counted)
        usual = total <= np.quantile(np.repeat(total, weight), 1 - STRANGE)
        strange_DL[:, 0] = _compared(grams, weight, fold, usual, rng)
        rows = np.flatnonzero(usual)
        references = References.fit(grams.select(rows), weight[rows], rng)
        tails = _tails_of(strange_DL, weight)
        tails.append(_tail(_summed(strange_DL, tails, counted), weight, 2.0))
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
        return self.judge_tallies(_tallied(self.habits, given))

    def judge_tallies(self, tallies: Sequence[RecordingTally]) -> RecordingJudgement:
        """Judge recordings by what was kept of them. One without events is as normal as can be."""
        n_looks = len(self.tails) - 1
        strange_NL = np.zeros((len(tallies), n_looks))
        if tallies:
            strange_NL[:, 1:] = [tally.looks()[: n_looks - 1] for tally in tallies]
            strange_NL[:, 0] = self.references.distance(Grams.of(tallies))
        looks = zip(self.tails[:-1], strange_NL.T, strict=True)
        rare_NL = np.stack([rareness(tail, look) for tail, look in looks], axis=1)
        rare_NL[[not tally.length for tally in tallies]] = 0.0
        total = rareness(self.tails[-1], 2.0 * rare_NL[:, _columns(self.counted)].sum(axis=1))
        total[[not tally.length for tally in tallies]] = 0.0
        left_out = np.array([tally.left_out for tally in tallies], dtype=np.int64)
        return RecordingJudgement(strange_NL, rare_NL, total, left_out)

    def state(self) -> dict[str, Any]:
        """What `read` takes beside the arrays, JSON-ready."""
        return {
            "size": self.habits.size,
            "n": self.n,
            "left_out": self.left_out,
            "looks": len(self.tails) - 1,
            "counted": list(self.counted),
        }

    def arrays(self) -> Arrays:
        """What `read` takes, for a file of arrays."""
        counts = self.references.counts
        arrays: Arrays = {
            "events": self.habits.events,
            "recordings": self.habits.recordings,
            "codes": self.references.codes,
            "holding": self.references.holding,
            "n": np.array([self.references.n]),
            "counts.data": counts.data,
            "counts.indices": counts.indices.astype(np.int32),
            "counts.indptr": counts.indptr.astype(np.int64),
        }
        arrays |= {f"order.{name}": array for name, array in level_arrays(self.habits.levels).items()}
        for at, tail in enumerate(self.tails):
            arrays |= {f"tail.{at}.{name}": array for name, array in tail.arrays().items()}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    @classmethod
    def read(cls, arrays: Arrays, state: dict[str, Any]) -> Self:
        """The model whose `arrays` and `state` these are. Raises ValueError where they are damaged."""
        size = checked.whole(state.get("size"), "size", 1, LARGEST_VOCABULARY)
        n = checked.whole(state.get("n"), "n", 1, 2**53)
        left_out = {
            name: checked.whole(count, name, 0, 2**53)
            for name, count in checked.mapping(state.get("left_out"), "left_out").items()
        }
        events, recordings = (_whole(arrays, name, size) for name in ("events", "recordings"))
        levels = read_levels(_under(arrays, "order."), ORDER, size)
        habits = Habits(size, levels, events, recordings)
        n_looks = checked.whole(state.get("looks", FEWEST_LOOKS), "looks", FEWEST_LOOKS, len(LOOKS))
        tails = tuple(_read_tail(_under(arrays, f"tail.{at}.")) for at in range(n_looks + 1))
        counted = tuple(checked.texts(state.get("counted", list(COUNTED_IF_SHORT)), "counted"))
        if not counted or len(set(counted)) < len(counted) or not set(counted) <= set(LOOKS[:n_looks]):
            raise ValueError(f"counted names looks that there are not: {checked.shown(list(counted))}")
        return cls(habits, _read_references(arrays), tails, n, left_out, counted)


def rareness(tail: Tail, values: FloatArray) -> FloatArray:
    """-ln p `(N,)` of strangenesses, at least 0, without an upper bound and without steps: between two values
    of the calibration it lies between theirs, and so never above what their rank says."""
    by_rank = np.interp(values, tail.values, np.log((tail.n + 1) / (tail.reached + 1)))
    by_tail = np.log((tail.n + 1) / (tail.beyond + 1)) + (values - tail.begin) / tail.scale
    found: FloatArray = np.where(values > tail.begin, np.maximum(by_tail, by_rank), by_rank)
    return np.maximum(found, 0.0)


def _tallied(habits: Habits, recordings: Sequence[IntArray]) -> list[RecordingTally]:
    """A tally of each recording; many short ones have their surprise worked out together."""
    tallies = [RecordingTally(habits) for _ in recordings]
    bounds = np.cumsum([0, *map(len, recordings)])
    # Groups of recordings that together are about a piece long.
    edges = np.flatnonzero(np.diff(bounds[:-1] // PIECE, prepend=-1)).tolist()
    for first, last in pairwise([*edges, len(recordings)]):
        group = recordings[first:last]
        short = [tokens for tokens in group if len(tokens) <= PIECE]
        surprises = iter(_surprises(habits, short))
        for tally, tokens in zip(tallies[first:last], group, strict=True):
            if len(tokens) > PIECE:
                tally.add(tokens)
            elif len(tokens):
                tally.take(tokens, next(surprises))
            else:
                next(surprises)
    return tallies


def _surprises(habits: Habits, recordings: Sequence[IntArray]) -> list[IntArray]:
    if not recordings:
        return []
    start = np.full(ORDER - 1, PAD)
    tails = np.concatenate([_tails(tokens, start) for tokens in recordings])[:, -len(habits.levels) :]
    surprise = _fixed(-np.log(interpolated(habits.levels, tails, habits.size)))
    return np.split(surprise, np.cumsum([len(tokens) for tokens in recordings])[:-1])


def _tails(tokens: IntArray, before: IntArray) -> IntArray:
    """Each of `tokens (T,)` with the `ORDER - 1` before it, `(T, ORDER)`."""
    if not len(tokens):
        return np.empty((0, ORDER), dtype=np.int64)
    whole = np.concatenate([before, tokens]).astype(np.int64)
    return np.lib.stride_tricks.sliding_window_view(whole, ORDER)


def _fixed(nats: FloatArray) -> IntArray:
    return np.rint(nats / UNIT).astype(np.int64)


def _bounded(
    recordings: Sequence[IntArray], rng: np.random.Generator
) -> tuple[list[IntArray], IntArray, dict[str, int]]:
    """The different recordings that are learnt from, how many copies of each there are, and what there was no
    room for."""
    copies: dict[bytes, int] = {}
    for tokens in recordings:
        content = tokens[:MOST_OF_ONE].astype(np.int64).tobytes()
        copies[content] = copies.get(content, 0) + 1
    cut = sum(max(0, len(tokens) - MOST_OF_ONE) for tokens in recordings)
    contents = [np.frombuffer(content, dtype=np.int64) for content in copies]
    weight = np.array(list(copies.values()), dtype=np.int64)
    order = rng.permutation(len(contents))[:MOST_RECORDINGS]
    events = np.cumsum([len(contents[row]) for row in order])
    chosen = np.sort(order[: max(1, int((events <= MOST_EVENTS).sum()))])
    left_out = {"recordings": int(weight.sum() - weight[chosen].sum()), "events of long recordings": cut}
    return [contents[row] for row in chosen], weight[chosen], left_out


def _compared(
    grams: Grams, weight: IntArray, fold: IntArray, usual: NDArray[np.bool_], rng: np.random.Generator
) -> FloatArray:
    """The distance `(D,)` of each recording to the usual ones of the other folds."""
    found = np.empty(len(grams))
    for number in range(FOLDS):
        inside = np.flatnonzero(fold == number)
        others = np.flatnonzero((fold != number) & usual)
        found[inside] = References.fit(grams.select(others), weight[others], rng).distance(
            grams.select(inside)
        )
    return found


def _summed(strange_DL: FloatArray, tails: Sequence[Tail], counted: Sequence[str]) -> FloatArray:
    """Fisher's sum of -2 ln p over the looks that count, `(D,)`."""
    looks = (rareness(tails[at], strange_DL[:, at]) for at in _columns(counted))
    total: FloatArray = 2.0 * np.sum(list(looks), axis=0)
    return total


def _columns(counted: Sequence[str]) -> list[int]:
    return [LOOKS.index(look) for look in counted]


def _tails_of(strange_DL: FloatArray, weight: IntArray) -> list[Tail]:
    return [_tail(look, weight, scale) for look, scale in zip(strange_DL.T, LEAST_SCALE, strict=True)]


def _tail(values: FloatArray, weight: IntArray, scale: float) -> Tail:
    return Tail.fit(np.repeat(values, weight), least_scale=scale)


def _inverse_frequency(holding: NDArray[Any], n: int) -> FloatArray:
    """How much an n-gram counts that `holding` of n recordings have."""
    found: FloatArray = np.log((1 + n) / (1 + holding)) + 1
    return found


def _unit_rows(counts: sparse.csr_array, rarity: FloatArray, beside: FloatArray | float) -> sparse.csr_array:
    """Counts `(N, C)` times rarity `(C,)`, every row of length 1; `beside (N,)` is the square of what a row
    has in none of the columns."""
    data = counts.data * rarity[counts.indices]
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    square = np.bincount(rows, weights=data**2, minlength=counts.shape[0]) + beside
    norm = np.sqrt(np.where(square > 0, square, 1.0))
    return sparse.csr_array((data / norm[rows], counts.indices, counts.indptr), shape=counts.shape)


def _under(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _read_tail(arrays: Arrays) -> Tail:
    if arrays.keys() != {"values", "reached", "tail"}:
        raise ValueError("a calibration is missing")
    return Tail.of(arrays)


def _whole(arrays: Arrays, name: str, size: int | None) -> IntArray:
    """The array of whole numbers, none below 0, that is called so."""
    found = arrays.get(name)
    if found is None or found.dtype not in (np.int64, np.int32) or found.ndim != 1 or not len(found):
        raise ValueError(f"{name} is missing or holds no whole numbers")
    if (size is not None and len(found) != size) or found.min() < 0:
        raise ValueError(f"{name} is of another length or range")
    return found.astype(np.int64)


def _read_references(arrays: Arrays) -> References:
    codes, holding = _whole(arrays, "codes", None), _whole(arrays, "holding", None)
    indices, indptr = _whole(arrays, "counts.indices", None), _whole(arrays, "counts.indptr", None)
    n, data = _whole(arrays, "n", 1), arrays.get("counts.data")
    if (np.diff(codes) <= 0).any() or len(holding) != len(codes) or holding.max() > n[0]:
        raise ValueError("n-grams of references are out of order")
    if data is None or data.dtype != np.float64 or data.shape != indices.shape or not (data > 0).all():
        raise ValueError("counts of references are missing or no counts")
    sound = indptr[0] == 0 and indptr[-1] == len(indices) and len(indptr) > 1 and (np.diff(indptr) >= 0).all()
    if not sound or indices.max() >= len(codes) or not np.isfinite(data).all():
        raise ValueError("counts of references do not fit together")
    counts = sparse.csr_array((data, indices, indptr), shape=(len(indptr) - 1, len(codes)))
    return References.of(codes, holding, int(n[0]), counts)
