"""Classical detectors that learn from normal windows alone, and call strange what is unlike them.

Labels choose the windows that they learn from and, on validation, where strange begins.

Letters: B or N windows, T steps, K classes, D columns, M trees, L nodes of a tree.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.hashing import row_hashes
from vestige.models.baselines.arrays import BATCH, ArrayDetector, FloatArray, class_prior
from vestige.models.fitting import FitProgress, benign, fit_standardize
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.schema import PAD, UNK, Kind

IntArray = NDArray[np.int64]
SAMPLE = 5_000
"""Normal windows that are kept, or learnt from, at most."""
COLUMNS = 256
"""Tokens, the most frequent ones, that have a count of their own."""
TREES, SUBSAMPLE = 100, 256
"""Of the isolation forest, as Liu, Ting and Zhou (2008) have them."""
MOST_GRAMS = 1 << 22
"""Different n-grams that are remembered at most."""
LEAST = 1e-9
"""Nothing is less strange."""


class OneClass(ArrayDetector):
    """Abstract: gives windows a strangeness s >= 0; the score is s / (s + boundary), without saturation.

    The boundary is where macro F1 is best on validation; without anomalies there, above 99% of its windows.
    Several anomalous classes share what is strange by their shares in training.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.sizes: dict[str, tuple[int, ...]] = {}

    @abstractmethod
    def learn(self, train: EncodedWindows, *, seed: int) -> dict[str, FloatArray]:
        """What is remembered of normal windows, as named arrays."""

    @abstractmethod
    def strangeness(self, X: Batch) -> FloatArray:
        """`(B,)`, 0 or more: higher is stranger."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See `ArrayDetector.shapes`; what was learnt says how much of it there is."""
        return {**self.sizes, "boundary": (1,), "novel": (self.n_classes,)}

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,
        *,
        seed: int = 0,
        progress: FitProgress | None = None,  # noqa: ARG002 - one pass
    ) -> list[dict[str, Any]]:
        """See `FittedDetector.fit`. Raises SplitError without normal windows."""
        normal = benign(train, "training")
        fit_standardize(self, normal, seed=seed)
        self.arrays = self.learn(normal, seed=seed)
        self.sizes = {name: values.shape for name, values in self.arrays.items()}
        novel = class_prior(train.label, self.n_classes)
        novel[0] = 0
        if not novel.any():
            novel[1:] = 1
        self.arrays["novel"] = novel / novel.sum()
        pieces = [np.empty(0)]
        pieces += [self.strangeness(X) for _, X in validation.batches(BATCH, self.input_names)]
        self.arrays["boundary"] = np.array([boundary(np.concatenate(pieces), validation.label > 0)])
        return []

    def predict_proba(self, X: Batch) -> FloatArray:
        """See `Detector.predict_proba`."""
        strange = np.maximum(self.strangeness(X), LEAST)
        score = strange / (strange + self.arrays["boundary"])
        proba = score[:, None] * self.arrays["novel"]
        proba[:, 0] = 1 - score
        return proba

    def state_for_checkpoint(self) -> dict[str, Any]:
        """The shapes of what was learnt."""
        return {"sizes": {name: list(size) for name, size in self.sizes.items()}}

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:
        """See `Detector.load_sidecar`."""
        sizes = checked.mapping(state.get("sizes"), "sizes")
        for name, size in sizes.items():
            if not isinstance(size, list):
                raise ValueError(f"the size of {name} is {checked.shown(size)}")
            self.sizes[name] = tuple(checked.whole(each, name, 0, MOST_GRAMS) for each in size)
        super().load_sidecar(payload, state, device=device)
        if not (self.arrays["boundary"] > 0).all() or not (self.arrays["novel"] >= 0).all():
            raise ValueError("a boundary or a share is not positive")


class Grams(OneClass):
    """The share of n-grams of the window that no normal window had, n being each of `orders`."""

    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tokens",),)
    orders: ClassVar[tuple[int, ...]]

    def learn(self, train: EncodedWindows, *, seed: int) -> dict[str, FloatArray]:  # noqa: ARG002
        """See `OneClass.learn`."""
        known = np.empty(0)
        for _, X in train.batches(BATCH, self.input_names):
            known = np.union1d(known, self._grams(X)[1])[:MOST_GRAMS]
        return {"known": known}

    def strangeness(self, X: Batch) -> FloatArray:
        """See `OneClass.strangeness`."""
        window, grams = self._grams(X)
        known = self.arrays["known"]
        at = np.minimum(np.searchsorted(known, grams), max(len(known) - 1, 0))
        new = np.ones(len(grams)) if not len(known) else (known[at] != grams).astype(np.float64)
        n = len(X[self.inputs[0].name])
        found = np.bincount(window, minlength=n)
        return np.asarray(np.bincount(window, weights=new, minlength=n) / np.maximum(found, 1))

    def _grams(self, X: Batch) -> tuple[IntArray, FloatArray]:
        """The window of each n-gram without padding, and 52 bits of its hash, which a float64 holds exactly.
        One that holds an unknown event is like no other: its hash is -1, which is never known."""
        tokens = self.select(X)[self.inputs[0].name]
        windows, hashes = [np.empty(0, dtype=np.int64)], [np.empty(0)]
        for order in self.orders:
            width = min(order, tokens.shape[1])
            grams = np.lib.stride_tricks.sliding_window_view(tokens, width, axis=1)
            row, at = np.nonzero(grams[:, :, 0] != PAD)  # padding only ever comes first
            if not len(row):
                continue
            rows = grams[row, at]
            named = np.column_stack([rows, np.full(len(rows), order)])
            numbers = (row_hashes({"gram": named}) >> np.uint64(12)).astype(np.float64)
            windows.append(row)
            hashes.append(np.where((rows == UNK).any(axis=1), -1.0, numbers))
        return np.concatenate(windows), np.concatenate(hashes)


class Stide(Grams):
    """Sequence time-delay embedding (Forrest, Hofmeyr, Somayaji, Longstaff, 1996)."""

    name: ClassVar[str] = "stide"
    about: ClassVar[str] = "share of the window's 6-grams that no normal window had (STIDE)"
    orders: ClassVar[tuple[int, ...]] = (6,)


class OovTrigrams(Grams):
    """Events and trigrams out of the vocabulary of normal windows, as LogLead's trivial detector has them."""

    name: ClassVar[str] = "oov_trigrams"
    about: ClassVar[str] = "share of the window's events and trigrams that no normal window had"
    orders: ClassVar[tuple[int, ...]] = (1, 3)


class OnColumns(OneClass):
    """Abstract: reads ln(1 + how often each token comes in the window), or means of channels."""

    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tokens",), ("summary",))
    reads: ClassVar[tuple[str, ...]] = ("*:mean", "mean:*")

    def columns(self, X: Batch) -> FloatArray:
        """`(B, D)`. Token ids are ranked by frequency: what is rarer than the first is counted together."""
        spec = self.inputs[0]
        values = self.select(X)[spec.name]
        if spec.kind == "summary":
            return np.asarray(values, dtype=np.float64)
        column = np.minimum(values, COLUMNS)
        cell = np.arange(len(values))[:, None] * (COLUMNS + 1) + column
        counts = np.bincount(cell.reshape(-1), minlength=len(values) * (COLUMNS + 1))
        known = counts.reshape(len(values), COLUMNS + 1)[:, UNK : UNK + self.n_columns]
        return np.log1p(known.astype(np.float64))

    @property
    def n_columns(self) -> int:
        """D."""
        width = self.width(self.inputs[0])
        return width if self.inputs[0].kind == "summary" else min(COLUMNS + 1, width) - UNK

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:
        """See `Detector.load_sidecar`. Raises ValueError for arrays of other columns."""
        super().load_sidecar(payload, state, device=device)
        for name in ("points", "sorted", "skew"):
            if name in self.arrays and self.arrays[name].shape[-1] != self.n_columns:
                raise ValueError(f"{name} is of other columns than the inputs have")

    def sample(self, train: EncodedWindows) -> FloatArray:
        """Columns of `SAMPLE` windows at most, evenly spread."""
        rows = np.unique(np.linspace(0, len(train) - 1, min(len(train), SAMPLE)).astype(np.int64))
        some = train.over(train.windows.select(rows))
        return np.concatenate([self.columns(X) for _, X in some.batches(BATCH, self.input_names)])


class Nearest(OnColumns):
    """The distance to the nearest normal window, as LightAD (Yu et al., 2024) has it on counts."""

    name: ClassVar[str] = "nearest"
    about: ClassVar[str] = "distance of counts (or means) to those of the nearest normal window"

    def learn(self, train: EncodedWindows, *, seed: int) -> dict[str, FloatArray]:  # noqa: ARG002
        """See `OneClass.learn`."""
        return {"points": np.unique(self.sample(train), axis=0)}

    def strangeness(self, X: Batch) -> FloatArray:
        """See `OneClass.strangeness`."""
        points = self.arrays["points"]
        lengths = (points**2).sum(axis=1)
        values = self.columns(X)
        nearest = np.empty(len(values))
        for start in range(0, len(values), 1024):
            some = values[start : start + 1024]
            # A row at a time in the matrix product would differ in its last digits: they are rounded away.
            square = (some**2).sum(axis=1)[:, None] + lengths - 2 * some @ points.T
            nearest[start : start + 1024] = np.round(np.maximum(square.min(axis=1), 0), 6)
        return np.sqrt(nearest)


class Ecod(OnColumns):
    """ECOD (Li, Zhao, Hu, Botta, Ionescu, Chen, 2022): tails of the empirical distribution of each column.

    The strangeness is the largest of three sums over columns of -ln of a tail's probability: of the left
    tails, of the right tails, and of the tail to which the column is skewed (equation 5 there).
    """

    name: ClassVar[str] = "ecod"
    about: ClassVar[str] = "how far out counts (or means) lie in their distributions on normal windows (ECOD)"

    def learn(self, train: EncodedWindows, *, seed: int) -> dict[str, FloatArray]:  # noqa: ARG002
        """See `OneClass.learn`."""
        values = self.sample(train)
        centred = values - values.mean(axis=0)
        deviation = np.maximum(centred.std(axis=0), LEAST)
        return {"sorted": np.sort(values, axis=0), "skew": ((centred / deviation) ** 3).mean(axis=0)}

    def strangeness(self, X: Batch) -> FloatArray:
        """See `OneClass.strangeness`. A value beyond all known ones counts as one of n + 1."""
        known, values = self.arrays["sorted"], self.columns(X)
        n = len(known)
        sums = np.zeros((3, len(values)))
        for column in range(values.shape[1]):
            mine = values[:, column]
            left = np.searchsorted(known[:, column], mine, side="right")
            right = n - np.searchsorted(known[:, column], mine, side="left")
            tails = -np.log((np.stack([left, right]) + 1) / (n + 1))
            skewed = tails[0] if self.arrays["skew"][column] < 0 else tails[1]
            sums += np.concatenate([tails, skewed[None]])
        return np.asarray(sums.max(axis=0))


class IsolationForest(OnColumns):
    """An isolation forest (Liu, Ting, Zhou, 2008); fitted by scikit-learn, and kept as plain arrays."""

    name: ClassVar[str] = "isolation_forest"
    about: ClassVar[str] = "isolation forest on counts (or means) of normal windows"

    def learn(self, train: EncodedWindows, *, seed: int) -> dict[str, FloatArray]:
        """See `OneClass.learn`. A row of `nodes (M, L, 4)`: column, threshold, left, right; of a leaf the
        column is -1, and the second the depth that it stands for."""
        from sklearn.ensemble import IsolationForest as Fitted

        forest = Fitted(n_estimators=TREES, max_samples="auto", random_state=seed).fit(self.sample(train))
        trees = [member.tree_ for member in forest.estimators_]
        nodes = np.zeros((len(trees), max(tree.node_count for tree in trees), 4))
        nodes[:, :, 0] = -1
        for number, tree in enumerate(trees):
            depth = np.zeros(tree.node_count)
            for node in range(tree.node_count):  # a node comes before its children
                for child in (tree.children_left[node], tree.children_right[node]):
                    if child >= 0:
                        depth[child] = depth[node] + 1
            leaf = tree.children_left < 0
            stands_for = depth + average_path(tree.n_node_samples)
            mine = nodes[number, : tree.node_count]
            mine[:, 0] = np.where(leaf, -1, tree.feature)
            mine[:, 1] = np.where(leaf, stands_for, tree.threshold)
            mine[:, 2] = np.where(leaf, 0, tree.children_left)
            mine[:, 3] = np.where(leaf, 0, tree.children_right)
        usual = float(average_path(np.array([forest.max_samples_]))[0])
        return {"nodes": nodes, "usual": np.array([max(usual, LEAST)])}

    def strangeness(self, X: Batch) -> FloatArray:
        """See `OneClass.strangeness`: 2 ** -(mean depth / usual depth), equation 2 there."""
        # scikit-learn compares float32 values with its thresholds.
        values = self.columns(X).astype(np.float32).astype(np.float64)
        rows, total = np.arange(len(values)), np.zeros(len(values))
        for tree in self.arrays["nodes"]:
            at = np.zeros(len(values), dtype=np.int64)
            for _ in range(len(tree)):
                column = tree[at, 0].astype(np.int64)
                inside = column >= 0
                if not inside.any():
                    break
                left = values[rows, np.maximum(column, 0)] <= tree[at, 1]
                below = np.where(left, tree[at, 2], tree[at, 3]).astype(np.int64)
                at = np.where(inside, below, at)
            total += tree[at, 1]
        depth = total / len(self.arrays["nodes"])
        return np.asarray(2.0 ** (-depth / self.arrays["usual"][0]))

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:
        """See `Detector.load_sidecar`. Raises ValueError for nodes that lead out of their tree."""
        super().load_sidecar(payload, state, device=device)
        nodes = self.arrays["nodes"]
        if nodes.ndim != 3 or nodes.shape[2] != 4 or not (self.arrays["usual"] > 0).all():
            raise ValueError("nodes are no trees")
        own = np.arange(nodes.shape[1])[None, :]
        inner = nodes[:, :, 0] >= 0
        for child in (nodes[:, :, 2], nodes[:, :, 3]):
            if not ((child > own) & (child < nodes.shape[1]))[inner].all():
                raise ValueError("a node leads out of its tree, or back")
        if not (nodes[:, :, 0] < self.n_columns).all():
            raise ValueError("a node asks about a column that there is not")


def average_path(n: NDArray[Any]) -> FloatArray:
    """The mean depth of an unsuccessful search among `n` points (equation 1 of Liu et al., 2008)."""
    n = np.asarray(n, dtype=np.float64)
    more = np.maximum(n - 1, 1)
    many = 2 * (np.log(more) + np.euler_gamma) - 2 * more / np.maximum(n, 1)
    return np.where(n > 2, many, np.where(n == 2, 1.0, 0.0))


def boundary(strange: FloatArray, anomalous: NDArray[np.bool_]) -> float:
    """Where macro F1 of strange against normal is best, midway between two values `(N,)`; without anomalies,
    just above 99% of them."""
    if not len(strange):
        return 1.0
    if not anomalous.any() or anomalous.all():
        return max(float(np.quantile(strange, 0.99)), LEAST) * (1 + 1e-6)
    order = np.argsort(-strange, kind="stable")
    value, positive = strange[order], anomalous[order]
    # Alerting on the strangest 0, 1, ... groups of equal values.
    alerts = np.r_[0, np.flatnonzero(np.r_[value[1:] != value[:-1], True]) + 1]
    tp = np.r_[0, np.cumsum(positive)][alerts]
    fp, fn = alerts - tp, positive.sum() - tp
    tn = len(value) - alerts - fn
    macro = tp / (2 * tp + fp + fn) + tn / np.maximum(2 * tn + fp + fn, 1)
    best = int(alerts[macro.argmax()])
    above = value[best - 1] if best else value[0] * (1 + 1e-6) + LEAST
    below = value[best] if best < len(value) else 0.0
    return max(float((above + below) / 2), LEAST)
