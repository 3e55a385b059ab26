"""Task `next`: which token comes last, given those before it? What surprises is anomalous.

Letters: N or B windows, T tokens of a window, V token ids, K classes.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vestige.models.base import Detector, Judgement, Task
from vestige.models.logits import sigmoid
from vestige.models.reasons import Piece, Reason, effects, event_at, strongest
from vestige.reading.encoding import Batch
from vestige.schema import PAD, UNK, Kind

FloatArray = NDArray[np.float64]
TOP = (1, 5, 10)
"""Ranks that are reported: how often the token that came was among the k most probable."""
PIECE = 1024
"""Windows whose `(B, V)` probabilities are held at a time."""
MOST = 1 - 1e-12
"""Score that still has a logit: beyond it a sigmoid has no digits left."""


class NextToken(Detector):
    """Abstract: judges a window's last token by how little the tokens before it led one to expect it.

    An observed UNK is as surprising as the least probable known token at least, and its rank is V. Where an
    encoder tells that the window showed the same unknown event before (`encoding.mark_repeated_unknown`), its
    share of the context is its probability, if that is more: what is new surprises once (a cache: Kuhn and De
    Mori, IEEE PAMI 12(6), 1990). The alert threshold in nats is `shift` (see `center`).
    """

    task: ClassVar[Task] = "next"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tokens",),)
    shift: float = 0.0

    @abstractmethod
    def log_proba(self, X: Batch) -> FloatArray:
        """ln P `(B, V)` of every token id to come last, given `tokens[:, :-1]`; finite."""

    def targets(self, X: Batch, label: NDArray[Any]) -> NDArray[np.int64]:  # noqa: ARG002
        """The last tokens, `(B,)`."""
        return np.ascontiguousarray(self.tokens(X)[:, -1])

    def tokens(self, X: Batch) -> NDArray[np.int64]:
        """Token ids `(B, T)`, all of them inside the vocabulary."""
        found: NDArray[np.int64] = self.select(X)[self.inputs[0].name]
        return found

    def surprise(self, X: Batch) -> FloatArray:
        """-ln P(last token | those before) `(N,)`, in nats."""
        return self.surprise_and_rank(X)[0]

    def rank(self, X: Batch) -> NDArray[np.int64]:
        """How many tokens were more probable than the one that came `(N,)`: 0 is the most probable."""
        return self.surprise_and_rank(X)[1]

    def surprise_and_rank(self, X: Batch, *, size: int = PIECE) -> tuple[FloatArray, NDArray[np.int64]]:
        """Both in one pass, the probabilities of `size` windows being held at a time."""
        tokens, shown = self.tokens(X), self._shown_before(X)
        n, name = len(tokens), self.inputs[0].name
        surprise, rank = np.empty(n), np.empty(n, dtype=np.int64)
        for start in range(0, n, size):
            piece = slice(start, min(start + size, n))
            observed = tokens[piece, -1]
            log_p_BV = self.log_proba({name: tokens[piece]})
            known = log_p_BV[np.arange(len(observed)), observed]
            found = np.where(observed == UNK, log_p_BV[:, UNK:].min(axis=1), known)
            found = np.maximum(found, shown[piece])
            surprise[piece] = -found
            is_new = (observed == UNK) & np.isneginf(shown[piece])
            rank[piece] = np.where(is_new, log_p_BV.shape[1], (log_p_BV > found[:, None]).sum(axis=1))
        return surprise, rank

    def _shown_before(self, X: Batch) -> FloatArray:
        """ln of the share of the context `(N,)` that is the very event that came, where that is unknown; -inf
        where it is known, or new."""
        ids, spec = X[self.inputs[0].name], self.inputs[0]
        share = np.zeros(len(ids))
        rows = np.flatnonzero(ids[:, -1] >= self.width(spec))
        context = ids[rows, :-1]
        real = np.maximum((context != PAD).sum(axis=1), 1)
        share[rows] = (context == ids[rows, -1:]).sum(axis=1) / real
        with np.errstate(divide="ignore"):
            logs: FloatArray = np.log(share)
        return logs

    def center(self, surprise: float) -> None:
        """Make `surprise` (nats) the point where `predict_proba` is 0.5: the alert threshold."""
        if not math.isfinite(surprise):
            raise ValueError(f"a threshold of {surprise} nats cannot be a shift")
        self.shift = float(surprise)

    def move_boundary(self, score: float) -> bool:
        """The scale is that of the sigmoid: what has `score` now is where `shift` lies from now on."""
        bounded = min(max(score, 1 - MOST), MOST)
        self.center(self.shift + math.log(bounded / (1 - bounded)))
        return True

    @property
    def alert_surprise(self) -> float | None:
        """`shift`."""
        return self.shift

    def judge(self, X: Batch) -> Judgement:
        """Probabilities, score, surprise and rank in one pass."""
        surprise, rank = self.surprise_and_rank(X)
        return Judgement.of(self.proba_of(surprise), surprise=surprise, rank=rank)

    def predict_proba(self, X: Batch) -> FloatArray:
        """`[1 - s, s]` with s = sigmoid(surprise - shift); further classes, which surprise cannot tell
        apart, stay 0."""
        return self.proba_of(self.surprise(X))

    def proba_of(self, surprise: FloatArray) -> FloatArray:
        """See `predict_proba`, of surprise that is known."""
        margin = surprise - self.shift
        proba = np.zeros((len(margin), max(self.n_classes, 2)))
        proba[:, 0], proba[:, 1] = sigmoid(-margin), sigmoid(margin)
        return proba

    def reasons(self, X: Batch, most: int = 5) -> list[list[Reason]]:
        """See `Detector.reasons`: the events of the context by how far the log-odds fall where each is read
        as unknown, and the event itself by how far they fall had the likeliest one come instead."""
        last = X[self.inputs[0].name].shape[1] - 1
        pieces = self.pieces(X)
        falls = effects(self, X, [[[piece] for piece in mine] for mine in pieces])
        found = []
        for row, (mine, fell) in enumerate(zip(pieces, falls, strict=True)):
            reasons = [
                Reason(piece.steps[0] - last, event_at(self, X, row, piece.steps[0]), float(value), piece)
                for piece, value in zip(mine, fell, strict=True)
            ]
            found.append(strongest(reasons, most))
        return found

    def pieces(self, X: Batch) -> list[list[Piece]]:
        """See `Detector.pieces`: events of the context, and the one that came."""
        spec, tokens = self.inputs[0], X[self.inputs[0].name]
        found = []
        for start in range(0, len(tokens), PIECE):
            log_p_BV = self.log_proba({spec.name: self.tokens(X)[start : start + PIECE]})
            likeliest = UNK + 1 + log_p_BV[:, UNK + 1 :].argmax(axis=1)
            for row, token in enumerate(likeliest.tolist(), start):
                real = np.flatnonzero(tokens[row, :-1] != PAD).tolist()
                last = Piece(spec.name, (tokens.shape[1] - 1, tokens.shape[1]), instead=token)
                found.append([*(Piece(spec.name, (t, t + 1)) for t in real), last])
        return found

    def explain(self, X: Batch) -> FloatArray:
        """How much each token of the context bears on the judgement, `(N, T - 1)`: shares that sum to 1.

        A token's weight is how far the surprise moves, either way, when it is read as UNK: training has
        taught what UNK means, so this asks about a context that the model knows how to read. Nothing is
        drawn. Padding has no share; where nothing moves, all tokens share alike. Costs T - 1 predictions.
        """
        name = self.inputs[0].name
        tokens = X[name]
        usual = self.surprise({name: tokens})
        real = tokens[:, :-1] != PAD
        moved = np.zeros(real.shape)
        for step in range(real.shape[1]):
            rows = np.flatnonzero(real[:, step])
            without = tokens[rows]
            without[:, step] = UNK
            moved[rows, step] = np.abs(self.surprise({name: without}) - usual[rows])
        still = moved.sum(axis=1) == 0
        moved[still] = real[still]
        total = moved.sum(axis=1, keepdims=True)
        shares: FloatArray = np.divide(moved, total, out=np.zeros_like(moved), where=total > 0)
        return shares
