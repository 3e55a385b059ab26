"""The members of `blend`: a linear model on n-grams and words, and trees on pooled states.

Letters: N units, C n-grams, W words, E vector size, D columns of the linear model, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from vestige.models import trees
from vestige.models.baselines.distinct import WeightedRows
from vestige.models.baselines.regressions import idf_of, solve
from vestige.models.blend.units import Units
from vestige.models.fitting import FitProgress, part_of
from vestige.models.ngrams.design import side_by_side, unit_rows
from vestige.models.onnx.graph import Graph

if TYPE_CHECKING:
    import xgboost as xgb

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

OBJECTIVE = "multi:softprob"
TREES, GRAPHS = "trees", "graph"
"""What the trees of a reservoir are called in a file, before its number: those of XGBoost, and graphs."""
STATES = "states"
"""What a graph calls the pooled states that it takes."""
WIDEST = 60.0
"""Log-odds beyond this say nothing more."""
LEAST_UNITS = 2
"""Training units that an n-gram must be in."""


@dataclass(frozen=True)
class Taught:
    """What is learnt from: units, `label (N,)`, and how much each counts, `weight (N,)`."""

    units: Units
    label: NDArray[np.uint8]
    weight: FloatArray

    def select(self, rows: NDArray[Any]) -> Self:
        """Only these units."""
        return type(self)(self.units.select(rows), self.label[rows], self.weight[rows])


@dataclass(frozen=True)
class Linear:
    """Logistic regression on TF-IDF of n-grams, on that of words, and on vectors.

    `coef (D, K)`, `intercept (K,)`; `idf (C + W,)`, which is 0 for an n-gram that training had too rarely.
    """

    coef: FloatArray
    intercept: FloatArray
    idf: FloatArray

    @classmethod
    def path(
        cls, taught: Taught, n_classes: int, strengths: tuple[float, ...], iterations: int
    ) -> list[Self]:
        """What is learnt under each penalty."""
        idf = np.concatenate(
            [
                _idf(taught.units.grams, taught, least=min(LEAST_UNITS, len(taught.units))),
                _idf(taught.units.words, taught, least=1),
            ]
        )
        rows = _design(taught.units, idf)
        used = np.unique(rows.indices)
        narrow, found = rows[:, used], []
        for C in strengths:
            some, intercept = solve(narrow, taught.label, taught.weight, n_classes, C, iterations)
            coef = np.zeros((rows.shape[1], n_classes))
            coef[used] = some
            found.append(cls(coef, intercept, idf))
        return found

    def logits(self, units: Units) -> FloatArray:
        """`(N, K)`, the highest of each row 0."""
        return bounded(_design(units, self.idf) @ self.coef + self.intercept)


def _idf(counts: sparse.csr_array, taught: Taught, *, least: int) -> FloatArray:
    idf = idf_of(WeightedRows(counts, taught.label, taught.weight))
    holding = np.bincount(counts.indices, minlength=counts.shape[1])
    return np.where(holding >= least, idf, 0.0)


def _design(units: Units, idf: FloatArray) -> sparse.csr_array:
    """Each block of a row has length 1, `(N, D)`."""
    C = units.grams.shape[1]
    grams = unit_rows(_times(units.grams, idf[:C]))
    words = unit_rows(_times(units.words, idf[C:]))
    return side_by_side([grams, words, units.vectors])


def _times(counts: sparse.csr_array, idf: FloatArray) -> sparse.csr_array:
    weighed = sparse.csr_array(
        (counts.data * idf[counts.indices], counts.indices, counts.indptr), counts.shape
    )
    weighed.eliminate_zeros()
    return weighed


class Forest(Protocol):
    """Gradient-boosted trees on the pooled states of each reservoir; their log-odds are averaged."""

    def logits(self, units: Units) -> FloatArray:
        """`(N, K)`, the highest of each row 0."""

    def files(self) -> dict[str, NDArray[np.uint8]]:
        """The trees of each reservoir as bytes, by the name that `read_forest` knows them by."""


@dataclass(frozen=True)
class GrownForest:
    """Trees of XGBoost, which grows them."""

    boosters: tuple[xgb.Booster, ...]
    n_classes: int

    @classmethod
    def fit(
        cls,
        taught: Taught,
        n_classes: int,
        settings: Mapping[str, Any],
        *,
        seed: int,
        progress: FitProgress | None = None,
    ) -> Self:
        """`settings`: `rounds`, `depth`, `threads`. `progress` hears of every round, of those on all
        reservoirs."""
        import xgboost as xgb

        from vestige.models.rounds import Report

        fixed = {
            "objective": OBJECTIVE,
            "num_class": n_classes,
            "tree_method": "hist",
            "max_bin": 64,
            "learning_rate": 0.1,
            "subsample": 0.8,
            "colsample_bytree": 0.5,
            "verbosity": 0,
            "max_depth": settings["depth"],
            "nthread": settings["threads"],
        }
        weight = taught.weight * len(taught.label) / taught.weight.sum()
        rounds, boosters = settings["rounds"], []
        for number, states in enumerate(taught.units.states):
            callbacks = []
            if progress:
                here = part_of(progress, number, len(taught.units.states))
                callbacks.append(Report(here, rounds))
            matrix = xgb.DMatrix(
                states,
                taught.label,
                weight=weight,
                feature_names=_names(states.shape[1]),
                nthread=settings["threads"],
            )
            parameters = {**fixed, "seed": seed + number}
            boosters.append(xgb.train(parameters, matrix, num_boost_round=rounds, callbacks=callbacks))
        return cls(tuple(boosters), n_classes)

    @classmethod
    def read(cls, files: Mapping[str, NDArray[Any]], widths: list[int], n_classes: int, threads: int) -> Self:
        """Those whose `files` these are, on so many columns each. Raises ValueError for damaged ones."""
        import xgboost as xgb

        boosters = []
        for number, width in enumerate(widths):
            booster = xgb.Booster()
            checked = trees.checked_model(
                _bytes_of(files, f"{TREES}.{number}"),
                features=_names(width),
                classes=n_classes,
                objective=OBJECTIVE,
            )
            try:
                booster.load_model(bytearray(checked))
            except xgb.core.XGBoostError as error:
                raise ValueError(f"not an XGBoost model ({str(error).splitlines()[0]})") from error
            booster.set_param({"nthread": threads})
            boosters.append(booster)
        return cls(tuple(boosters), n_classes)

    def logits(self, units: Units) -> FloatArray:
        """See `Forest.logits`."""
        margins = [
            np.asarray(
                booster.inplace_predict(states, predict_type="margin", validate_features=False),
                dtype=np.float64,
            ).reshape(len(units), self.n_classes)
            for booster, states in zip(self.boosters, units.states, strict=True)
        ]
        return bounded(np.mean(margins, axis=0))

    def files(self) -> dict[str, NDArray[np.uint8]]:
        """In XGBoost's UBJSON."""
        return {
            f"{TREES}.{number}": np.frombuffer(bytes(booster.save_raw("ubj")), dtype=np.uint8)
            for number, booster in enumerate(self.boosters)
        }


@dataclass(frozen=True)
class ExportedForest:
    """The same trees as graphs of ONNX that give log-odds: they need no XGBoost."""

    payloads: tuple[bytes, ...]
    graphs: tuple[Graph, ...]

    @classmethod
    def of(cls, payloads: Sequence[bytes], widths: Sequence[int], n_classes: int) -> Self:
        """On so many columns each. Raises ValueError for what is no such graph."""
        graphs = [Graph(payload, [(STATES, "summary")], n_classes) for payload in payloads]
        for graph, width in zip(graphs, widths, strict=True):
            if graph.width != width:
                raise ValueError(f"the trees were grown on {graph.width} columns, expected {width}")
        return cls(tuple(payloads), tuple(graphs))

    def logits(self, units: Units) -> FloatArray:
        """See `Forest.logits`."""
        margins = [
            graph.run([np.ascontiguousarray(states)]).astype(np.float64)
            for graph, states in zip(self.graphs, units.states, strict=True)
        ]
        return bounded(np.mean(margins, axis=0))

    def files(self) -> dict[str, NDArray[np.uint8]]:
        """The graphs."""
        return {
            f"{GRAPHS}.{number}": np.frombuffer(payload, dtype=np.uint8)
            for number, payload in enumerate(self.payloads)
        }


def read_forest(files: Mapping[str, NDArray[Any]], widths: list[int], n_classes: int, threads: int) -> Forest:
    """The trees whose `files` these are, on so many columns each: graphs where there are some. Raises
    ValueError for damaged ones."""
    if f"{GRAPHS}.0" in files:
        payloads = [_bytes_of(files, f"{GRAPHS}.{number}") for number in range(len(widths))]
        return ExportedForest.of(payloads, widths, n_classes)
    return GrownForest.read(files, widths, n_classes, threads)


def _bytes_of(files: Mapping[str, NDArray[Any]], name: str) -> bytes:
    file = files.get(name)
    if file is None or file.dtype != np.uint8:
        raise ValueError(f"{name} is missing")
    return file.tobytes()


def _names(width: int) -> list[str]:
    return [f"f{number}" for number in range(width)]


def bounded(logits_NK: FloatArray) -> FloatArray:
    """The same log-odds, the highest of each row 0 and none below -`WIDEST`."""
    found: FloatArray = np.maximum(logits_NK - logits_NK.max(axis=1, keepdims=True, initial=-np.inf), -WIDEST)
    return found
