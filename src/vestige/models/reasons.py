"""Why a detector says what it says of a window: which pieces of its inputs the judgement hangs on.

A piece is what can be taken away by itself: an event of a sequence (read as unknown instead), a channel over
a quarter of the window, or a feature (missing instead). Its contribution is how far the log-odds of the score
fall without it. This works for any detector; one that knows better (trees, linear ones, n-grams) says so.

Letters: B windows, T steps, C channels, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vestige.reading.encoding import Batch
from vestige.schema import PAD, UNK, Input

FloatArray = NDArray[np.float64]
BLOCKS, CHANNELS = 4, 4
"""Parts of a window that a channel is taken away in, and channels for which that is tried."""
FEATURES = 64
"""Features of a window that are tried: those farthest from what is usual."""
AT_A_TIME = 2_048
"""Altered windows that are judged at a time."""
NOISE = 1e-4
"""Nats below which a contribution is only how numbers are rounded in another batch."""
LEAST = 1e-12
"""Probability below which log-odds go no further."""
UNKNOWN, BEGINNING = "an event that training never saw", "the beginning of the recording"


class Explained(Protocol):
    """What is needed of a detector."""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What it reads."""

    @property
    def keep_mask(self) -> dict[str, NDArray[np.bool_]]:
        """Which features its view may see."""

    def select(self, X: Batch) -> Batch:
        """Inputs as it reads them."""

    def predict_proba(self, X: Batch) -> FloatArray:
        """Class probabilities `(B, K)`."""


@dataclass(frozen=True)
class Piece:
    """A piece of an input: the `steps` (from, to) of a sequence or of channel `feature`; of a summary only
    the feature, whose steps are (-1, -1). `instead`: what is put in the place of an event; None for whatever
    stands for an unknown one."""

    source: str
    steps: tuple[int, int]
    feature: int = -1
    instead: int | None = None


@dataclass(frozen=True)
class Reason:
    """`step`: where, as an offset from the last step of the window (0), also for what is of the whole window;
    `what`: the event, channel or feature, as people know it; `contribution`: nats of log-odds."""

    step: int
    what: str
    contribution: float
    piece: Piece

    def told(self, ahead: int = 0) -> dict[str, Any]:
        """As it is written: offsets are from the step judged, behind which `ahead` more steps stand."""
        return {
            "step": self._from_judged(ahead),
            "what": self.what,
            "contribution": round(self.contribution, 4),
        }

    def says(self, ahead: int = 0) -> str:
        """The same for people."""
        step = self._from_judged(ahead)
        where = "the step judged"
        if self._of_whole_window:
            where = "of the whole window"
        elif step:
            steps, side = "step" if abs(step) == 1 else "steps", "before" if step < 0 else "after"
            where = f"{abs(step)} {steps} {side} the one judged"
        return f"{self.what}, {where}, adds {self.contribution:.2f} nats"

    @property
    def _of_whole_window(self) -> bool:
        return self.piece.steps == (-1, -1)

    def _from_judged(self, ahead: int) -> int:
        return self.step if self._of_whole_window else self.step + ahead


def log_odds(proba: FloatArray) -> FloatArray:
    """Of any class but the first, `(B,)`, in nats."""
    normal = np.clip(proba[:, 0], LEAST, 1 - LEAST)
    return np.asarray(np.log1p(-normal) - np.log(normal), dtype=np.float64)


def strongest(reasons: Sequence[Reason], most: int) -> list[Reason]:
    """Those that raise the score most, the strongest first."""
    found = [reason for reason in reasons if reason.contribution > NOISE]
    return sorted(found, key=lambda reason: -reason.contribution)[:most]


def by_occlusion(detector: Explained, X: Batch, most: int) -> list[list[Reason]]:
    """The strongest reasons for each window's score, by taking pieces away, one at a time."""
    pieces = [_first_pieces(detector, X, row) for row in range(_rows(X))]
    falls = effects(detector, X, [[[piece] for piece in row] for row in pieces])
    for row, (mine, fell) in enumerate(zip(pieces, falls, strict=True)):
        pieces[row] = _finer(X, mine, fell)
    again = [[[piece] for piece in mine if _is_fine(piece)] for mine in pieces]
    finer = effects(detector, X, again)
    found = []
    for row, mine in enumerate(pieces):
        known = dict(zip(_first_pieces(detector, X, row), falls[row], strict=True))
        known |= {only[0]: fell for only, fell in zip(again[row], finer[row], strict=True)}
        reasons = [named(detector, X, row, piece, known[piece]) for piece in mine]
        found.append(strongest(reasons, most))
    return found


def named(detector: Explained, X: Batch, row: int, piece: Piece, contribution: float) -> Reason:
    """A piece of a window as a reason, in a name that people know."""
    spec = next(spec for spec in detector.inputs if spec.name == piece.source)
    last = X[spec.name].shape[1 if spec.kind in {"tokens", "vectors"} else -1] - 1
    if spec.kind == "summary":
        return Reason(0, spec.features[piece.feature].name, contribution, piece)
    if spec.kind == "tensor":
        return Reason(piece.steps[1] - 1 - last, spec.features[piece.feature].name, contribution, piece)
    return Reason(piece.steps[0] - last, event_at(detector, X, row, piece.steps[0]), contribution, piece)


def of_features(
    detector: Explained, spec: Input, X: Batch, contributions: NDArray[Any], most: int
) -> list[list[Reason]]:
    """Reasons from the contributions `(B, F)` of the features of a summary that are kept."""
    kept = _kept(detector, spec)
    found = []
    for row, mine in enumerate(contributions):
        best = np.argsort(-mine, kind="stable")[:most].tolist()
        pieces = [(Piece(spec.name, (-1, -1), kept[at]), float(mine[at])) for at in best]
        found.append(strongest([named(detector, X, row, piece, value) for piece, value in pieces], most))
    return found


def event_at(detector: Explained, X: Batch, row: int, step: int) -> str:
    """What the event at a step is called; "the event" where the detector reads no names."""
    spec = next((spec for spec in detector.inputs if spec.kind == "tokens"), None)
    if spec is None or X[spec.name].shape[1] <= step:
        return "the event"
    token = int(X[spec.name][row, step])
    names = spec.vocabulary or ()
    if token == PAD:
        return BEGINNING
    if token == UNK or not 0 <= token < len(names):
        return UNKNOWN
    return names[token]


def effects(detector: Explained, X: Batch, without: Sequence[Sequence[Sequence[Piece]]]) -> list[FloatArray]:
    """For each window, how far its log-odds fall without each of the given sets of pieces."""
    usual = log_odds(detector.predict_proba(X))
    flat = [(row, pieces) for row, sets in enumerate(without) for pieces in sets]
    falls = np.zeros(len(flat))
    for start in range(0, len(flat), AT_A_TIME):
        part = flat[start : start + AT_A_TIME]
        altered = {name: values[[row for row, _ in part]].copy() for name, values in X.items()}
        for at, (_, pieces) in enumerate(part):
            for piece in pieces:
                _take_away(detector, altered, at, piece)
        before = usual[[row for row, _ in part]]
        falls[start : start + len(part)] = before - log_odds(detector.predict_proba(altered))
    ends = np.cumsum([0, *(len(sets) for sets in without)]).tolist()
    return [falls[first:end] for first, end in pairwise(ends)]


def all_pieces(detector: Explained, X: Batch) -> list[list[Piece]]:
    """Every piece of each window that reasons may name, none of padding: what chance draws from."""
    found = []
    for row in range(_rows(X)):
        mine: list[Piece] = []
        for piece in _first_pieces(detector, X, row):
            mine += _parts(X, piece) if _is_channel(X, piece) else [piece]
        found.append(mine)
    return found


def _take_away(detector: Explained, X: Batch, row: int, piece: Piece) -> None:
    spec = next(spec for spec in detector.inputs if spec.name == piece.source)
    first, end = piece.steps
    values = X[spec.name]
    if spec.kind == "tokens":
        # What is unknown already cannot be made so: it is left out.
        instead = np.where(values[row, first:end] == UNK, PAD, UNK)
        values[row, first:end] = instead if piece.instead is None else piece.instead
        for other in detector.inputs:
            if other.kind == "vectors":
                X[other.name][row, first:end] = 0
    elif spec.kind == "vectors":
        values[row, first:end] = 0
    elif spec.kind == "tensor":
        values[row, piece.feature, first:end] = np.nan
    else:
        values[row, piece.feature] = np.nan


def _rows(X: Batch) -> int:
    return len(next(iter(X.values())))


def _first_pieces(detector: Explained, X: Batch, row: int) -> list[Piece]:
    """Events, whole channels, and the features farthest from what is usual."""
    found: list[Piece] = []
    sequence = any(spec.kind == "tokens" for spec in detector.inputs)
    for spec in detector.inputs:
        values = X[spec.name][row]
        if spec.kind == "tokens":
            found += [Piece(spec.name, (t, t + 1)) for t in np.flatnonzero(values != PAD).tolist()]
        elif spec.kind == "vectors":
            if sequence:
                continue  # an event goes with its vector
            there = np.flatnonzero((values != 0).any(axis=-1)).tolist()
            found += [Piece(spec.name, (t, t + 1)) for t in there]
        elif spec.kind == "tensor":
            found += [Piece(spec.name, (0, values.shape[-1]), c) for c in _kept(detector, spec)]
        else:
            found += [Piece(spec.name, (-1, -1), f) for f in _far(detector, spec, X, row)]
    return found


def _kept(detector: Explained, spec: Input) -> list[int]:
    mask = detector.keep_mask.get(spec.name, np.ones(len(spec.features), dtype=np.bool_))
    found: list[int] = np.flatnonzero(mask).tolist()
    return found


def _far(detector: Explained, spec: Input, X: Batch, row: int) -> list[int]:
    kept = np.array(_kept(detector, spec), dtype=np.int64)
    window = {other.name: X[other.name][row : row + 1] for other in detector.inputs}
    far = np.abs(np.nan_to_num(detector.select(window)[spec.name][0].astype(np.float64)))
    order = np.argsort(-far, kind="stable")[:FEATURES]
    found: list[int] = kept[order[far[order] > 0]].tolist()
    return found


def _is_channel(X: Batch, piece: Piece) -> bool:
    return (
        piece.feature >= 0
        and piece.steps != (-1, -1)
        and piece.steps[1] - piece.steps[0] == _length(X, piece)
    )


def _is_fine(piece: Piece) -> bool:
    return piece.feature >= 0 and piece.steps != (-1, -1)


def _length(X: Batch, piece: Piece) -> int:
    return int(X[piece.source].shape[-1])


def _parts(X: Batch, piece: Piece) -> list[Piece]:
    """A channel in `BLOCKS` parts, fewer where the window has fewer steps."""
    edges = np.unique(np.linspace(0, _length(X, piece), BLOCKS + 1).astype(int))
    pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return [Piece(piece.source, pair, piece.feature) for pair in pairs]


def _finer(X: Batch, pieces: list[Piece], fell: FloatArray) -> list[Piece]:
    """The channels that matter most in parts, and no other channels; all other pieces as they are."""
    channels = [at for at, piece in enumerate(pieces) if _is_channel(X, piece)]
    chosen = sorted(channels, key=lambda at: -fell[at])[:CHANNELS]
    others = [piece for at, piece in enumerate(pieces) if at not in set(channels)]
    return [*others, *(part for at in chosen for part in _parts(X, pieces[at]))]
