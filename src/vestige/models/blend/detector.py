"""Two members that err differently, averaged; their penalty, weights and probabilities are cross-fitted.

Letters: B windows, N units (recordings where the label is theirs, else windows), T steps, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from scipy import sparse

from vestige import checked, log
from vestige.models.base import HyperParameters, RecordingSoFar
from vestige.models.blend.gathering import (
    BATCH,
    MOST_OF_ONE,
    Chosen,
    Recordings,
    choose_recordings,
    choose_windows,
    folds,
)
from vestige.models.blend.grams import MOST_TOKENS, GramTally, read_columns, sublinear
from vestige.models.blend.members import Forest, GrownForest, Linear, Taught, bounded, read_forest
from vestige.models.blend.reservoir import HIDDEN, STATISTICS, Reservoir
from vestige.models.blend.units import Sequences, Units, WholeTally, beside_length, key_of
from vestige.models.fitting import FitProgress, FittedDetector, part_of
from vestige.models.logits import softmax
from vestige.models.ngrams.calibration import Calibration, calibrate
from vestige.models.normal.whole import NewSteps
from vestige.models.space import Range, Space
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.schema import UNK, Input, Kind

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

logger = log.get(__name__)

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Inverse penalties of the linear member that are tried, the strongest penalty first."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the linear member that are tried."""
MOST_VERDICTS = 100_000
"""Out-of-fold verdicts that a calibration looks at, about: what came often stands there often."""
LEAST_SPREAD = 1e-6


class BlendHyper(HyperParameters):
    """`reservoirs`: random networks, with trees on each; `rounds`, `depth`: of the trees; `iterations`: of
    each linear fit; `threads` 0: all cores."""

    reservoirs: int = Field(3, ge=1, le=16)
    rounds: int = Field(250, ge=1, le=10_000)
    depth: int = Field(5, ge=1, le=16)
    iterations: int = Field(200, ge=1)
    threads: int = Field(0, ge=0)


class Blend(FittedDetector):
    """The mean of two log-odds, each over its out-of-fold deviation: of a logistic regression on sublinear
    TF-IDF of 1- to 3-grams (of logs also of words, and on the vector of the message judged), and of trees on
    the pooled states of random recurrent networks (of logs also on vectors).

    Where the label is the recording's, recordings are learnt from and judged as wholes; a single window of
    one is judged by the linear member alone. Those of the validation part are learnt from, too; what is told
    of them as validation is said by models that had not learnt from their group. The penalty, the share of
    the linear member, and the probabilities with their boundary (see `ngrams.calibration`) are chosen by the
    log loss of verdicts on units whose group (host, or else recording; of windows the token judged) a fold
    has not learnt from; where windows are judged, also on validation.
    """

    name: ClassVar[str] = "blend"
    about: ClassVar[str] = (
        "n-grams, and trees on a random recurrent network, averaged; judges whole recordings"
    )
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tokens", "summary", "vectors"), ("tokens",))
    reads: ClassVar[tuple[str, ...]] = ("word:*",)
    hyper_parameters: ClassVar[type[HyperParameters]] = BlendHyper
    hyper: BlendHyper
    space: ClassVar[Space] = {
        "reservoirs": Range(1, 8),
        "rounds": Range(50, 1000, log=True),
        "depth": Range(2, 8),
    }

    whole: bool = False
    """Whether recordings are judged as wholes."""
    steps: NewSteps
    columns: IntArray
    reservoirs: tuple[Reservoir, ...]
    linear: Linear
    forest: Forest
    spread: tuple[float, float] = (1.0, 1.0)
    """The deviation of each member's out-of-fold log-odds."""
    share: float = 0.5
    """Of the linear member."""
    together: Calibration
    alone: Calibration
    """Of the linear member by itself."""
    held_keys: NDArray[np.uint64]
    """The recordings that were learnt from (`units.Key`), ascending, `(R,)`."""
    held: FloatArray
    """What was said of each by models that had not learnt from it, `(R, K)`."""

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,
        *,
        seed: int = 0,
        progress: FitProgress | None = None,
    ) -> list[dict[str, Any]]:
        """See `FittedDetector.fit`; rows: `C`, `val_loss` (log loss of a calibrated verdict of the linear
        member, nats), and last that of the blend, with the linear member's `share`."""
        self._begin(train, seed)
        sides = list(self._sides(train, validation, seed))
        path: list[list[FloatArray]] = [[] for _ in STRENGTHS]
        trees = []
        for number, side in enumerate(sides):
            members = Linear.path(side.learnt, self.n_classes, STRENGTHS, self.hyper.iterations)
            self.forest = GrownForest.fit(
                side.learnt,
                self.n_classes,
                self.hyper.model_dump(),
                seed=seed,
                progress=part_of(progress, number, len(sides)) if progress else None,
            )
            for found, member in zip(path, members, strict=True):
                found.append(member.logits(side.judged))
            trees.append(self.forest.logits(side.judged))
        verdicts = _Verdicts.of(sides)
        linear, of_trees = [np.concatenate(found) for found in path], np.concatenate(trees)
        alone = [verdicts.calibrate(logits) for logits in linear]
        best = int(np.argmin([calibration.loss for calibration in alone]))
        self.linear, self.alone = members[best], alone[best]
        self._blend(linear[best], of_trees, verdicts)
        self._hold(np.concatenate([side.keys for side in sides]), self._mixed(linear[best], of_trees))
        rows = [{"C": C, "val_loss": found.loss} for C, found in zip(STRENGTHS, alone, strict=True)]
        return [*rows, {"C": STRENGTHS[best], "val_loss": self.together.loss, "share": self.share}]

    def predict_proba(self, X: Batch) -> FloatArray:
        """See `Detector.predict_proba`. A window whose label is its recording's is judged by the linear
        member alone: the trees have seen whole recordings only."""
        units = self._of_windows(X)
        logits = self.linear.logits(units)
        if self.whole:
            return self._proba(logits, self.alone)
        return self._proba(self._mixed(logits, self.forest.logits(units)), self.together)

    def begin_recording(self) -> RecordingSoFar | None:
        """See `Detector.begin_recording`."""
        if not self.whole:
            return None
        return WholeTally(self.steps, GramTally(self.columns, self.steps.size), self.reservoirs)

    def recordings_proba(self, recordings: Sequence[Any], *, validation: bool = False) -> FloatArray:
        """See `Detector.recordings_proba`."""
        units = self._of_tallies(recordings)
        mixed = self._mixed(self.linear.logits(units), self.forest.logits(units))
        if validation and len(self.held_keys):
            keys = np.array([tally.key.value for tally in recordings], dtype=np.uint64)
            place = np.minimum(np.searchsorted(self.held_keys, keys), len(self.held_keys) - 1)
            known = self.held_keys[place] == keys
            mixed[known] = self.held[place[known]]
        return self._proba(mixed, self.together)

    def state_for_checkpoint(self) -> dict[str, Any]:
        """What `load_sidecar` takes beside the arrays."""
        return {
            "whole": self.whole,
            "first": self.steps.first,
            "end": self.steps.end,
            "spread": list(self.spread),
            "share": self.share,
            "together": _plain(self.together),
            "alone": _plain(self.alone),
        }

    def save_sidecar(self, path: Path) -> None:
        """Write the members and the networks' weights as safetensors."""
        arrays: dict[str, NDArray[Any]] = {
            "columns": self.columns,
            "coef": self.linear.coef,
            "intercept": self.linear.intercept,
            "idf": self.linear.idf,
            "held.keys": self.held_keys,
            "held": self.held,
            **self.forest.files(),
        }
        for number, reservoir in enumerate(self.reservoirs):
            arrays |= {f"reservoir.{number}.{name}": part for name, part in reservoir.arrays().items()}
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        path.write_bytes(safetensors.numpy.save(whole))

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:  # noqa: ARG002
        """See `Detector.load_sidecar`."""
        try:
            arrays = safetensors.numpy.load(payload)
        except SafetensorError as error:
            raise ValueError(f"not a safetensors file ({error})") from error
        self.whole = checked.flag(state.get("whole"), "whole")
        end = checked.whole(state.get("end"), "end", 1, 2**31)
        first = checked.whole(state.get("first"), "first", 0, end - 1)
        self.steps = NewSteps(self._tokens.name, self._size, first, end)
        spread = state.get("spread")
        if not isinstance(spread, list) or len(spread) != 2:
            raise ValueError("spread is not two numbers")
        self.spread = tuple(checked.real(part, "spread", LEAST_SPREAD, 1e9) for part in spread)  # type: ignore[assignment]
        self.share = checked.real(state.get("share"), "share", 0.0, 1.0)
        self.together, self.alone = (
            _calibration(state.get(name), name, self.n_classes) for name in ("together", "alone")
        )
        self.columns = read_columns(_array(arrays, "columns", None, np.int64), self._size)
        D, K = len(self.columns) + self._n_words + self._n_vector, self.n_classes
        self.linear = Linear(
            _array(arrays, "coef", (D, K), np.float64),
            _array(arrays, "intercept", (K,), np.float64),
            _array(arrays, "idf", (len(self.columns) + self._n_words,), np.float64),
        )
        self.held_keys = _array(arrays, "held.keys", None, np.uint64)
        if self.held_keys.ndim != 1 or (self.held_keys[1:] <= self.held_keys[:-1]).any():
            raise ValueError("keys of recordings are out of order")
        self.held = _array(arrays, "held", (len(self.held_keys), K), np.float64)
        numbers = range(self.hyper.reservoirs)
        self.reservoirs = tuple(
            Reservoir.read(_under(arrays, f"reservoir.{number}."), self._size) for number in numbers
        )
        self.forest = read_forest(arrays, [self._width] * len(numbers), K, self.hyper.threads)

    @property
    def _tokens(self) -> Input:
        return next(spec for spec in self.inputs if spec.kind == "tokens")

    @property
    def _size(self) -> int:
        """Token ids that are told apart; rarer ones are unknown."""
        return min(self.width(self._tokens), MOST_TOKENS)

    @property
    def _n_words(self) -> int:
        return sum(self.width(spec) for spec in self.inputs if spec.kind == "summary" and not self.whole)

    @property
    def _n_vector(self) -> int:
        return sum(spec.size for spec in self.inputs if spec.kind == "vectors" and not self.whole)

    @property
    def _width(self) -> int:
        """Columns that the trees on one network see."""
        return len(STATISTICS) * HIDDEN + 1 + 2 * self._n_vector

    def _begin(self, train: EncodedWindows, seed: int) -> None:
        """What must be known before a unit is looked at, but for the columns."""
        self.whole = train.windows.schema.target == "recording"
        self.steps = NewSteps.of(train.schema, self._tokens.name, self._size)
        self.reservoirs = tuple(
            Reservoir.draw(self._size, seed + number) for number in range(self.hyper.reservoirs)
        )
        self.columns = np.empty(0, dtype=np.int64)

    def _sides(self, train: EncodedWindows, validation: EncodedWindows, seed: int) -> Iterator[_Side]:
        """What to learn from and what to judge by that; the last one learns from all."""
        if self.whole:
            yield from self._sides_of_recordings(train, validation, seed)
            return
        taught, chosen = self._windows_of(train, seed)
        self._tell(chosen)
        for outside, inside in folds(chosen.group, chosen.label, seed):
            yield _Side(taught.select(outside), taught.select(inside))
        yield _Side(taught, self._windows_of(validation, seed)[0])

    def _sides_of_recordings(
        self, train: EncodedWindows, validation: EncodedWindows, seed: int
    ) -> Iterator[_Side]:
        trained, held = Recordings.of(train, self.steps), Recordings.of(validation, self.steps)
        recordings = trained.beside(held)
        chosen = choose_recordings(recordings, seed)
        self._tell(chosen)
        sequences = Sequences.of([recordings.tokens[row][:MOST_OF_ONE] for row in chosen.rows])
        self.columns = sequences.columns(self._size)
        taught = Taught(self._of_sequences(sequences), chosen.label, chosen.weight)
        keys = np.array([key_of(recordings.tokens[row]) for row in chosen.rows], dtype=np.uint64)
        pairs = list(folds(chosen.group, chosen.label, seed))
        if not pairs:
            # Too few groups to hold any out: the validation part is, and learnt from at the end.
            is_held = chosen.rows >= len(trained.tokens)
            pairs = [(np.flatnonzero(~is_held), np.flatnonzero(is_held))]
        for outside, inside in pairs:
            yield _Side(taught.select(outside), taught.select(inside), keys[inside])
        yield _Side(taught, taught.select(np.empty(0, dtype=np.int64)))

    def _windows_of(self, part: EncodedWindows, seed: int) -> tuple[Taught, Chosen]:
        """The different windows of a part; those of the first part decide on the columns."""
        names = self.input_names
        chosen = choose_windows(part, names, self._tokens.name, seed)
        pieces = [chosen.rows[at : at + BATCH] for at in range(0, len(chosen.rows), BATCH)]
        if not len(self.columns):
            tokens = [self._ids(self.select(part.batch(rows, names))) for rows in pieces]
            self.columns = Sequences.of_windows(np.concatenate(tokens)).columns(self._size)
        units = Units.stacked([self._of_windows(part.batch(rows, names)) for rows in pieces])
        return Taught(units, chosen.label, chosen.weight), chosen

    def _tell(self, chosen: Chosen) -> None:
        what = "recordings" if self.whole else "windows"
        logger.info("blend: learning from %d of %d different %s", len(chosen.rows), chosen.offered, what)

    def _of_sequences(self, sequences: Sequences) -> Units:
        n = len(sequences.bounds) - 1
        empty = sparse.csr_array((n, 0))
        return Units(
            sequences.table(self.columns, self._size), empty, empty, sequences.states(self.reservoirs)
        )

    def _of_windows(self, X: Batch) -> Units:
        chosen = self.select(X)
        sequences = Sequences.of_windows(self._ids(chosen))
        if self.whole:
            return self._of_sequences(sequences)
        units = self._of_sequences(sequences)
        words, vectors, dense = units.words, units.vectors, []
        for spec in self.inputs:
            if spec.kind == "summary":
                words = sparse.csr_array(chosen[spec.name].astype(np.float64))
            elif spec.kind == "vectors":
                wide_BSE = chosen[spec.name].astype(np.float64)
                judged_BE = wide_BSE[:, self.steps.end - 1]
                norm_B1 = np.sqrt((judged_BE**2).sum(axis=1, keepdims=True))
                vectors = sparse.csr_array(judged_BE / np.maximum(norm_B1, 1))
                dense = [judged_BE, wide_BSE.mean(axis=1)]
        largest = np.finfo(np.float32).max
        states = tuple(
            np.clip(np.concatenate([part, *dense], axis=1), -largest, largest).astype(np.float32)
            for part in units.states
        )
        return Units(units.grams, words, vectors, states)

    def _of_tallies(self, tallies: Sequence[WholeTally]) -> Units:
        """Recordings whose windows have gone by."""
        n = len(tallies)
        row = np.repeat(np.arange(n), [len(tally.grams.place) for tally in tallies])
        none = np.empty(0, dtype=np.int64)
        where = (row, np.concatenate([none, *(tally.grams.place for tally in tallies)]))
        often = np.concatenate([none, *(tally.grams.counts for tally in tallies)]).astype(np.float64)
        grams = sublinear(sparse.csr_array((often, where), shape=(n, len(self.columns))))
        lengths = np.array([tally.length for tally in tallies], dtype=np.int64)
        states = []
        for number, reservoir in enumerate(self.reservoirs):
            parts = [tally.states[number] if tally.states else reservoir.fresh(1) for tally in tallies]
            states.append(beside_length(np.concatenate([reservoir.fresh(0), *parts]), lengths))
        empty = sparse.csr_array((n, 0))
        return Units(grams, empty, empty, tuple(states))

    def _ids(self, chosen: Batch) -> IntArray:
        tokens: IntArray = chosen[self._tokens.name].astype(np.int64)
        return np.where(tokens < self._size, tokens, UNK)

    def _blend(self, linear: FloatArray, trees: FloatArray, verdicts: _Verdicts) -> None:
        """Choose the linear member's share, and calibrate what comes out."""
        self.spread = (_spread(linear), _spread(trees))
        found = []
        for share in SHARES:
            self.share = share
            found.append(verdicts.calibrate(self._mixed(linear, trees)))
        # Of shares that are as good as one another, the middle one: members that err differently.
        order = sorted(range(len(SHARES)), key=lambda at: (round(found[at].loss, 9), abs(SHARES[at] - 0.5)))
        self.share, self.together = SHARES[order[0]], found[order[0]]

    def _hold(self, keys: NDArray[np.uint64], mixed: FloatArray) -> None:
        """Keep what was said out of fold of the recordings with these keys, the first ones of `mixed`."""
        self.held_keys, first = np.unique(keys, return_index=True)
        self.held = mixed[first]

    def _mixed(self, linear: FloatArray, trees: FloatArray) -> FloatArray:
        """The mean of the members' log-odds over their deviations, `(N, K)`."""
        return bounded(linear / self.spread[0] * self.share + trees / self.spread[1] * (1 - self.share))

    def _proba(self, logits: FloatArray, calibration: Calibration) -> FloatArray:
        return softmax(calibration.scale * logits + calibration.bias)


@dataclass(frozen=True)
class _Side:
    """What is learnt from, and what is judged by that: recordings with their keys."""

    learnt: Taught
    of_judged: Taught
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))

    @property
    def judged(self) -> Units:
        return self.of_judged.units


@dataclass(frozen=True)
class _Verdicts:
    """Units that a model has not learnt from: which of them a calibration looks at, as often as they came,
    and the labels of all."""

    rows: IntArray
    label: IntArray

    @classmethod
    def of(cls, sides: Sequence[_Side]) -> Self:
        weight = np.concatenate([side.of_judged.weight for side in sides])
        share = weight * min(1.0, MOST_VERDICTS / max(weight.sum(), 1.0))
        times = np.maximum(1, np.rint(share)).astype(np.int64)
        label = np.concatenate([side.of_judged.label for side in sides]).astype(np.int64)
        return cls(np.repeat(np.arange(len(label)), times), label)

    def calibrate(self, logits: FloatArray) -> Calibration:
        return calibrate(logits[self.rows], self.label[self.rows])


def _spread(logits: FloatArray) -> float:
    """The deviation of the log-odds against the first class."""
    return max(float((logits[:, 1:] - logits[:, :1]).std()), LEAST_SPREAD)


def _plain(calibration: Calibration) -> dict[str, Any]:
    return {"scale": calibration.scale, "bias": calibration.bias.tolist(), "loss": calibration.loss}


def _calibration(plain: Any, name: str, n_classes: int) -> Calibration:
    fields = checked.mapping(plain, name)
    bias = fields.get("bias")
    if not isinstance(bias, list) or len(bias) != n_classes:
        raise ValueError(f"{name}: bias is not {n_classes} numbers")
    return Calibration(
        checked.real(fields.get("scale"), f"{name}: scale", 0.0, 1e6),
        np.array([checked.real(part, f"{name}: bias", -1e6, 1e6) for part in bias]),
        checked.real(fields.get("loss"), f"{name}: loss", 0.0, 1e9),
    )


def _array(
    arrays: dict[str, NDArray[Any]], name: str, shape: tuple[int, ...] | None, kind: Any
) -> NDArray[Any]:
    found = arrays.get(name)
    if found is None or found.dtype != kind or (shape is not None and found.shape != shape):
        raise ValueError(f"{name} is missing, or not {shape} {np.dtype(kind).name}")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise ValueError(f"{name} holds a value that is no finite number")
    return found


def _under(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
