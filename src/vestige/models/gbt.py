"""Gradient-boosted trees on a window's summary (XGBoost; Chen and Guestrin, 2016)."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from vestige import log
from vestige.models import trees
from vestige.models.base import HyperParameters
from vestige.models.fitting import FitProgress, FittedDetector, class_weights, sample_kept, sources
from vestige.models.reasons import Reason, of_features
from vestige.models.rounds import Report
from vestige.models.space import Range, Space
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.schema import Kind

BATCH = 8192
"""Windows encoded at a time: 34 MB of a thousand features."""
SPARSE_BELOW = 0.25
"""Share of non-zero values under which zeros are left out: memory and time then follow the others. To the
trees they are missing then, so not where other values really are.
Measured on 100,000 windows of 1,034 features, 2% not zero: a round takes 0.013 s instead of 0.12."""
OBJECTIVE = "multi:softprob"
MIB = 1 << 20
ENTRY = 4
"""Bytes of a value that is not zero, where the others are left out."""

logger = log.get(__name__)


class GbtHyper(HyperParameters):
    """As XGBoost calls them; `patience`: rounds without a better validation loss; `threads` 0: all cores;
    `source_dropout`: share of training windows that lose one of their sources (where features name their
    sources); `memory_mb`: MiB that the binned values of all windows may take in memory, beyond which they lie
    in a file in `TMPDIR` and are read batch by batch in every round (0: any amount)."""

    rounds: int = Field(500, ge=1, le=100_000)
    patience: int = Field(30, ge=1)
    learning_rate: float = Field(0.1, gt=0, le=1)
    max_depth: int = Field(6, ge=1, le=64)
    min_child_weight: float = Field(1.0, ge=0)
    subsample: float = Field(1.0, gt=0, le=1)
    colsample_bytree: float = Field(1.0, gt=0, le=1)
    reg_lambda: float = Field(1.0, ge=0)
    max_bin: int = Field(256, ge=2, le=65_536)
    source_dropout: float = Field(0.2, ge=0, le=1)
    threads: int = Field(0, ge=0)
    memory_mb: int = Field(0, ge=0)


class GradientBoostedTrees(FittedDetector):
    """`gbt`. Each split learns from training where to send missing values; trees need no standardisation."""

    name: ClassVar[str] = "gbt"
    about: ClassVar[str] = "gradient-boosted trees (XGBoost) on the summary of a window"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("summary",),)
    imputes: ClassVar[bool] = False
    sidecar: ClassVar[str] = "booster.ubj"
    hyper_parameters: ClassVar[type[HyperParameters]] = GbtHyper
    hyper: GbtHyper
    space: ClassVar[Space] = {
        "learning_rate": Range(0.02, 0.3, log=True),
        "max_depth": Range(2, 10),
        "min_child_weight": Range(0.5, 20.0, log=True),
        "subsample": Range(0.5, 1.0),
        "colsample_bytree": Range(0.3, 1.0),
        "reg_lambda": Range(0.1, 30.0, log=True),
    }

    booster: xgb.Booster
    zero_is_missing: bool = False
    batch: int = BATCH
    sparse_below: float = SPARSE_BELOW
    memory_unit: int = MIB
    """Bytes that `memory_mb` counts in."""

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,
        *,
        seed: int = 0,
        progress: FitProgress | None = None,
    ) -> list[dict[str, Any]]:
        """See `FittedDetector.fit`. Classes weigh equally in both losses (weights of the training part);
        rows: `round`, `train_loss`, `val_loss` (mlogloss). The best round's trees are kept."""
        size = self._look_at(train, seed) * (len(train) + len(validation))
        with self._cache(size) as folder:
            return self._fitted(train, validation, seed, progress, folder)

    def _fitted(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,
        seed: int,
        progress: FitProgress | None,
        folder: Path | None,
    ) -> list[dict[str, Any]]:
        """`fit`, the binned values in files in `folder`, if there is one."""
        hyper = self.hyper
        weights = class_weights(train.label, self.n_classes)
        bins: dict[str, Any] = {"max_bin": hyper.max_bin, "nthread": self._threads}
        cache = _within(folder, "train")
        batches = _Batches(
            self,
            train,
            weights,
            source_dropout=hyper.source_dropout,
            seed=seed,
            cache=cache,
        )
        kind = xgb.ExtMemQuantileDMatrix if folder else xgb.QuantileDMatrix
        train_matrix = kind(batches, **bins)
        validation_matrix = self._validation(validation, weights, train_matrix, bins, folder)
        losses: dict[str, dict[str, list[float]]] = {}
        booster = xgb.train(
            self._parameters(seed),
            train_matrix,
            num_boost_round=hyper.rounds,
            evals=[(train_matrix, "train"), (validation_matrix, "validation")],
            early_stopping_rounds=hyper.patience,
            evals_result=losses,
            verbose_eval=False,
            callbacks=[Report(progress, hyper.rounds)] if progress else None,
        )
        self.booster = booster[: booster.best_iteration + 1]
        rows = zip(losses["train"]["mlogloss"], losses["validation"]["mlogloss"], strict=True)
        return [
            {"round": number, "train_loss": ours, "val_loss": theirs}
            for number, (ours, theirs) in enumerate(rows)
        ]

    def predict_proba(self, X: Batch) -> NDArray[np.float64]:
        """See `Detector.predict_proba`; a row's result never depends on the others."""
        values = self.select(X)[self.inputs[0].name]
        if not len(values):
            return np.empty((0, self.n_classes))
        raw = self.booster.inplace_predict(values, missing=self._missing, validate_features=False)
        proba: NDArray[np.float64] = np.asarray(raw, dtype=np.float64)
        proba /= proba.sum(axis=1, keepdims=True)
        return proba

    def reasons(self, X: Batch, most: int = 5) -> list[list[Reason]]:
        """See `Detector.reasons`: the trees' own contributions to the log-odds of the likeliest class but the
        first (TreeSHAP: Lundberg et al., 2020)."""
        spec = self.inputs[0]
        values = self.select(X)[spec.name]
        if not len(values):
            return []
        rows = xgb.DMatrix(
            self.packed(values),
            missing=self._missing,
            feature_names=self.feature_names,
            nthread=self._threads,
        )
        by_class = self.booster.predict(rows, pred_contribs=True, strict_shape=True)[:, :, :-1]
        likeliest = 1 + self.predict_proba(X)[:, 1:].argmax(axis=1)
        found = by_class[np.arange(len(values)), likeliest] - by_class[:, 0]
        return of_features(self, spec, X, found, most)

    def state_for_checkpoint(self) -> dict[str, Any]:
        """Whether zeros count as missing."""
        return {"zero_is_missing": self.zero_is_missing}

    def save_sidecar(self, path: Path) -> None:
        """Write the trees in XGBoost's UBJSON."""
        path.write_bytes(bytes(self.booster.save_raw("ubj")))

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:  # noqa: ARG002
        """See `Detector.load_sidecar`; XGBoost sees what `trees.checked_model` let pass, and nothing else."""
        self.zero_is_missing = bool(state["zero_is_missing"])
        checked = trees.checked_model(
            payload, features=self.feature_names, classes=self.n_classes, objective=OBJECTIVE
        )
        booster = xgb.Booster()
        try:
            booster.load_model(bytearray(checked))
        except xgb.core.XGBoostError as error:
            raise ValueError(f"not an XGBoost model ({str(error).splitlines()[0]})") from error
        booster.set_param({"nthread": self._threads})
        self.booster = booster

    @property
    def feature_names(self) -> list[str]:
        """Names of the kept features; characters that XGBoost does not allow are percent-encoded."""
        spec = self.inputs[0]
        mask = self.keep_mask.get(spec.name, np.ones(len(spec.features), dtype=bool))
        kept = (feature.name for feature, keep in zip(spec.features, mask, strict=True) if keep)
        return [
            re.sub(r"[\x00-\x20\[\]<>%\ud800-\udfff]", lambda m: f"%{ord(m[0]):02X}", name) for name in kept
        ]

    def packed(self, values: NDArray[np.float32]) -> NDArray[np.float32] | sparse.csr_array:
        """Selected features as the trees are grown on them: zeros left out where they count as missing."""
        if not self.zero_is_missing:
            return values
        return sparse.csr_array(values)

    @property
    def _missing(self) -> float:
        return 0.0 if self.zero_is_missing else float("nan")

    @property
    def _threads(self) -> int:
        return self.hyper.threads

    def _look_at(self, train: EncodedWindows, seed: int) -> float:
        """Whether zeros may be left out, from a sample of training windows; how many bytes the binned values
        of a window then take, about."""
        sample = sample_kept(self, train, self.inputs[0], seed=seed)
        there = np.count_nonzero(sample)
        few = there < self.sparse_below * sample.size
        self.zero_is_missing = bool(few and np.isfinite(sample).all())
        if self.zero_is_missing:
            return float(ENTRY * there / max(1, len(sample)))
        of_a_bin = 1.0 if self.hyper.max_bin <= 256 else 2.0
        return of_a_bin * int(sample.shape[1])

    @contextlib.contextmanager
    def _cache(self, size: float) -> Iterator[Path | None]:
        """A folder for `size` bytes of binned values that may not be in memory, until they are done with."""
        if not self.hyper.memory_mb or size <= self.hyper.memory_mb * self.memory_unit:
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="vestige-gbt-") as folder:
            logger.info(
                "gbt: %.0f MB of binned values lie in %s and are read in every round", size / 1e6, folder
            )
            yield Path(folder)

    def _validation(
        self,
        validation: EncodedWindows,
        weights: NDArray[np.float32],
        train_matrix: xgb.DMatrix,
        bins: dict[str, Any],
        folder: Path | None,
    ) -> xgb.DMatrix:
        """Binned as the training part; where sparse, not: XGBoost walks sparse bins ten times slower."""
        batches = _Batches(self, validation, weights, cache=_within(folder, "validation"))
        if folder:
            return xgb.ExtMemQuantileDMatrix(batches, ref=train_matrix, **bins)
        if not self.zero_is_missing:
            return xgb.QuantileDMatrix(batches, ref=train_matrix, **bins)
        name = self.inputs[0].name
        rows = sparse.vstack([self.packed(self.select(X)[name]) for _, X in batches.batches], format="csr")
        return xgb.DMatrix(
            rows,
            label=validation.label,
            weight=weights[validation.label],
            feature_names=self.feature_names,
            nthread=self._threads,
        )

    def _parameters(self, seed: int) -> dict[str, Any]:
        chosen = self.hyper.model_dump(
            exclude={"rounds", "patience", "threads", "source_dropout", "memory_mb"}
        )
        fixed = {"objective": OBJECTIVE, "eval_metric": "mlogloss", "tree_method": "hist", "verbosity": 0}
        return {**chosen, **fixed, "num_class": self.n_classes, "seed": seed, "nthread": self._threads}


def _within(folder: Path | None, name: str) -> str | None:
    return str(folder / name) if folder else None


class _Batches(xgb.DataIter):
    """Encoded windows as XGBoost asks for them: only the binned values of a corpus are ever held.

    Where those are not even held, `cache` is what the names of their files begin with.
    A share `source_dropout` of them loses a source, drawn with `seed` and the same each time it is asked.
    """

    def __init__(
        self,
        detector: GradientBoostedTrees,
        data: EncodedWindows,
        weights: NDArray[np.float32],
        *,
        source_dropout: float = 0.0,
        seed: int = 0,
        cache: str | None = None,
    ) -> None:
        self.detector, self.data, self.weights = detector, data, weights
        self.sources = sources(detector, detector.inputs[0])
        if len(self.sources) < 2:  # whoever loses the only source there is has nothing left
            source_dropout = 0.0
        self.source_dropout, self.seed = source_dropout, seed
        self.reset()
        super().__init__(cache_prefix=cache, release_data=True, on_host=False)

    def reset(self) -> None:
        """Begin again with the first batch."""
        self.batches = self.data.batches(self.detector.batch, self.detector.input_names)
        self.rng = np.random.default_rng(self.seed)

    def next(self, input_data: Callable[..., None]) -> bool:
        """Hand over the next batch; False after the last."""
        for rows, X in self.batches:
            label = self.data.label[rows]
            values = self.detector.select(X)[self.detector.inputs[0].name]
            if self.source_dropout:
                values = self._without(values)
            data = self.detector.packed(values)
            names, weight = self.detector.feature_names, self.weights[label]
            input_data(data=data, label=label, weight=weight, feature_names=names)
            return True
        return False

    def _without(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        n = len(values)
        which = self.rng.integers(len(self.sources), size=n)
        return np.where(self.sources[which] & (self.rng.random((n, 1)) < self.source_dropout), np.nan, values)
