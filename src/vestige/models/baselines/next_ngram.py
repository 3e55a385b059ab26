"""n-grams: what came next after the last n - 1 tokens, and after fewer where that says little.

Letters: N windows, U distinct contexts, V token ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError

from vestige.models.base import HyperParameters
from vestige.models.baselines.arrays import BATCH, FloatArray
from vestige.models.fitting import FitProgress, FittedDetector, benign
from vestige.models.next_token import NextToken
from vestige.models.reasons import Piece, Reason, event_at, strongest
from vestige.models.space import Range, Space
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.schema import UNK

IntArray = NDArray[np.int64]
MOST_WAITING = 1 << 20
"""Windows whose tails are held until equal ones are counted together."""


class NgramHyper(HyperParameters):
    """`n`: tokens of a gram, the predicted one included."""

    n: int = Field(3, ge=1, le=32)


@dataclass(frozen=True)
class Level:
    """Contexts of one length and what came after them.

    A context is a row of `contexts`, sorted codes `row of its shorter self * V + the token before that`: no
    code outgrows an int64, however long the context. `grams` are sorted codes `row of context * V + next
    token`, seen `counts` times. A context was seen `totals` times, before `kinds` different tokens.
    """

    contexts: IntArray
    grams: IntArray
    counts: IntArray
    totals: IntArray
    kinds: IntArray

    @classmethod
    def of(cls, contexts: IntArray, grams: IntArray, counts: IntArray, size: int) -> Self:
        """With totals and kinds, for a vocabulary of `size` tokens."""
        owner = grams // size
        totals = np.zeros(len(contexts), dtype=np.int64)
        np.add.at(totals, owner, counts)
        return cls(contexts, grams, counts, totals, np.bincount(owner, minlength=len(contexts)))


class NextNgram(NextToken, FittedDetector):
    """Interpolated n-grams (Witten and Bell, 1991), counted on benign training windows:

        P(w | h) = (count(h w) + kinds(h) P(w | h without its oldest token)) / (count(h) + kinds(h))

    down to the uniform distribution; a context never seen passes its shorter self's answer on.
    """

    name: ClassVar[str] = "next_ngram"
    about: ClassVar[str] = "expects what followed the last n - 1 events in training"
    hyper_parameters: ClassVar[type[HyperParameters]] = NgramHyper
    hyper: NgramHyper
    space: ClassVar[Space] = {"n": Range(2, 12)}

    levels: list[Level]

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,  # noqa: ARG002 - nothing to stop
        *,
        seed: int = 0,  # noqa: ARG002 - nothing is drawn
        progress: FitProgress | None = None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """See `FittedDetector.fit`. Raises SplitError without benign windows."""
        self.fit_all(benign(train, "training"))
        return []

    def fit_all(self, train: EncodedWindows) -> None:
        """Count every window, whatever its label."""
        self.levels = count_levels(*self._distinct_tails(train), self._size)

    def _distinct_tails(self, train: EncodedWindows) -> tuple[IntArray, IntArray]:
        """The different last n tokens of windows, `(U, n)`, and how many windows end on each: memory follows
        how many there are, not how many windows."""
        held: list[IntArray] = []
        waiting, n_waiting = [], 0
        for _, X in train.batches(BATCH, self.input_names):
            waiting.append(self.tokens(X)[:, -self.hyper.n :].astype(np.int32))
            n_waiting += len(waiting[-1])
            if n_waiting >= MOST_WAITING:
                held, waiting, n_waiting = [_merged([*held, *map(_once, waiting)])], [], 0
        table = _merged([*held, *map(_once, waiting)])
        return table[:, :-1], table[:, -1]

    def log_proba(self, X: Batch) -> FloatArray:
        """See `NextToken.log_proba`; each distinct context is worked out once."""
        context = self.tokens(X)[:, -len(self.levels) : -1]
        if not len(context):
            return np.empty((0, self._size))
        distinct, row = np.unique(context, axis=0, return_inverse=True)
        log_p_NV: FloatArray = np.log(self._distributions(distinct))[row.reshape(-1)]
        return log_p_NV

    def surprise(self, X: Batch) -> FloatArray:
        """See `NextToken.surprise`; looks up one gram a window instead of whole distributions."""
        tokens = self.tokens(X)
        observed = tokens[:, -1]
        result: FloatArray = -np.log(interpolated(self.levels, tokens, self._size))
        new = np.flatnonzero(observed == UNK)
        if len(new):
            name = self.inputs[0].name
            result[new] = super().surprise({name: X[name][new]})
        return result

    def reasons(self, X: Batch, most: int = 5) -> list[list[Reason]]:
        """See `Detector.reasons`: the surprise in its parts. The event itself has -ln P of it whatever came
        before, and each event before it what the surprise grows by when it is taken into account: together
        they are the whole. An unknown event is explained as by any other detector of the task."""
        tokens = self.tokens(X)
        last = tokens.shape[1] - 1
        unknown = np.flatnonzero(tokens[:, -1] == UNK)
        others = super().reasons({self.inputs[0].name: X[self.inputs[0].name][unknown]}, most)
        by_length = [
            -np.log(interpolated(self.levels[: length + 1], tokens, self._size))
            for length in range(min(len(self.levels), last + 1))
        ]
        name, found = self.inputs[0].name, []
        for row, all_of_it in enumerate(self.pieces(X)):
            # Padding counts here: to stand at the beginning of a recording is a context, too.
            before = [Piece(name, (last - k, last - k + 1)) for k in range(1, len(by_length))]
            parts = [
                by_length[0][row],
                *(longer[row] - shorter[row] for shorter, longer in pairwise(by_length)),
            ]
            reasons = [
                Reason(-k, event_at(self, X, row, last - k), float(part), piece)
                for k, (part, piece) in enumerate(zip(parts, [all_of_it[-1], *before], strict=True))
            ]
            found.append(strongest(reasons, most))
        for row, reasons in zip(unknown.tolist(), others, strict=True):
            found[row] = reasons
        return found

    def rarity(self, tokens: IntArray) -> FloatArray:
        """-ln P `(N,)` of each token whatever came before it, in nats."""
        level = self.levels[0]
        place, found = _find(level.grams, tokens)
        count = np.where(found, level.counts[place], 0)
        total, kinds = level.totals[0], level.kinds[0]
        rare: FloatArray = -np.log((count + kinds / self._size) / (total + kinds))
        return rare

    def state_for_checkpoint(self) -> dict[str, Any]:
        """The shift that `center` set."""
        return {"shift": self.shift}

    def arrays(self) -> dict[str, IntArray]:
        """The counts of every length of context."""
        return level_arrays(self.levels)

    def save_sidecar(self, path: Path) -> None:
        """Write the counts of every length of context as safetensors."""
        path.write_bytes(safetensors.numpy.save(self.arrays()))

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:  # noqa: ARG002
        """See `Detector.load_sidecar`."""
        self.center(float(state["shift"]))
        try:
            arrays = safetensors.numpy.load(payload)
        except SafetensorError as error:
            raise ValueError(f"not a safetensors file ({error})") from error
        self.take(arrays)

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `arrays` gave. Raises ValueError where it is of another vocabulary, or damaged."""
        self.levels = read_levels(arrays, self.hyper.n, self._size)

    @property
    def _size(self) -> int:
        return self.width(self.inputs[0])

    def _distributions(self, context: IntArray) -> FloatArray:
        """P `(U, V)` after each context `(U, T)`."""
        size = self._size
        p_UV = np.full((len(context), size), 1 / size)
        for level, rows, node in _walk(self.levels, context, size):
            total, kinds = level.totals[node], level.kinds[node]
            first = np.searchsorted(level.grams, node * size)
            many = np.searchsorted(level.grams, (node + 1) * size) - first
            offset = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
            gram = np.repeat(first, many) + offset
            p_UV[rows] *= kinds[:, None]
            p_UV[np.repeat(rows, many), level.grams[gram] % size] += level.counts[gram]
            p_UV[rows] /= (total + kinds)[:, None]
        return p_UV


def count_levels(tail: IntArray, weight: IntArray, size: int, most: int | None = None) -> list[Level]:
    """Contexts of every length in rows `tail (N, n)`, which end on the token that came and stand for
    `weight (N,)` steps each, of a vocabulary of `size`. Contexts get no longer once all lengths together
    would hold more than `most` grams."""
    node, contexts = np.zeros(len(tail), dtype=np.int64), np.zeros(1, dtype=np.int64)
    levels: list[Level] = []
    held = 0
    for length in range(tail.shape[1]):
        if length:
            contexts, node = np.unique(node * size + tail[:, -1 - length], return_inverse=True)
        grams, row = np.unique(node * size + tail[:, -1], return_inverse=True)
        held += len(grams)
        if length and most is not None and held > most:
            break
        counts = np.zeros(len(grams), dtype=np.int64)
        np.add.at(counts, row, weight)
        levels.append(Level.of(contexts, grams, counts, size))
    return levels


def interpolated(levels: list[Level], tokens: IntArray, size: int) -> FloatArray:
    """P `(N,)` of the last token of each row of `tokens (N, T)` after those before it."""
    p = np.full(len(tokens), 1 / size)
    observed = tokens[:, -1]
    for level, rows, node in _walk(levels, tokens[:, :-1], size):
        place, found = _find(level.grams, node * size + observed[rows])
        count = np.where(found, level.counts[place], 0)
        total, kinds = level.totals[node], level.kinds[node]
        p[rows] = (count + kinds * p[rows]) / (total + kinds)
    return p


def level_arrays(levels: list[Level]) -> dict[str, IntArray]:
    """What `read_levels` takes, for a file of arrays."""
    return {
        f"{length}.{name}": np.ascontiguousarray(getattr(level, name), dtype=np.int64)
        for length, level in enumerate(levels)
        for name in ("contexts", "grams", "counts")
    }


def read_levels(arrays: Mapping[str, NDArray[Any]], n: int, size: int) -> list[Level]:
    """The levels, at most `n`, whose `level_arrays` these are. Raises ValueError where they are of another
    vocabulary, or damaged."""
    n_levels = len(arrays) // 3
    if not 1 <= n_levels <= n:
        raise ValueError(f"holds contexts of {n_levels} lengths")
    levels: list[Level] = []
    above = 1
    for length in range(n_levels):
        parts = [arrays.get(f"{length}.{name}") for name in ("contexts", "grams", "counts")]
        contexts, grams, counts = (_whole(part, f"level {length}") for part in parts)
        _check_codes(contexts, above * size if length else 1, length)  # the empty context is one
        _check_codes(grams, len(contexts) * size, length)
        if len(counts) != len(grams) or counts.min() < 1:
            raise ValueError(f"the counts of level {length} are not those of its grams")
        levels.append(Level.of(contexts, grams, counts, size))
        above = len(contexts)
    return levels


def _walk(levels: list[Level], context: IntArray, size: int) -> list[tuple[Level, IntArray, IntArray]]:
    """Level by level: which rows of `context (N, T)` it knows, and the context each of them is."""
    rows, node = np.arange(len(context)), np.zeros(len(context), dtype=np.int64)
    steps = [(levels[0], rows, node)]
    for length, level in enumerate(levels[1 : context.shape[1] + 1], 1):
        place, found = _find(level.contexts, node * size + context[rows, -length])
        rows, node = rows[found], place[found]
        steps.append((level, rows, node))
    return steps


def _once(tail: NDArray[np.int32]) -> IntArray:
    """Rows with how often each came in a column behind them."""
    return np.concatenate([tail, np.ones((len(tail), 1), dtype=np.int32)], axis=1)


def _merged(tables: list[IntArray]) -> IntArray:
    """Tables of rows with their counts as one, each row once."""
    table = np.concatenate(tables)
    order = np.lexsort(table[:, :-1].T)
    table = table[order].astype(np.int64)
    is_new = np.r_[True, (table[1:, :-1] != table[:-1, :-1]).any(axis=1)]
    first = np.flatnonzero(is_new)
    merged = table[first]
    merged[:, -1] = np.add.reduceat(table[:, -1], first)
    return merged


def _find(codes: IntArray, wanted: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
    """Where each of `wanted` is in sorted `codes`, and whether it is there."""
    place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    return place, codes[place] == wanted


def _whole(part: NDArray[Any] | None, where: str) -> IntArray:
    if part is None or part.dtype != np.int64 or part.ndim != 1 or not len(part):
        raise ValueError(f"{where} is missing or holds no whole numbers")
    return part


def _check_codes(codes: IntArray, below: int, length: int) -> None:
    if codes[0] < 0 or codes[-1] >= below or not (np.diff(codes) > 0).all():
        raise ValueError(f"codes of level {length} are out of order or range: another vocabulary?")
