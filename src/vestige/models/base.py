"""The interface behind which every detector stands.

Letters in names of arrays: B windows, F features, C channels, T steps, S vectors, E vector size, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from vestige.checked import refused
from vestige.errors import ComputationError, UsageError
from vestige.models.reasons import Piece, Reason, all_pieces, by_occlusion
from vestige.models.space import Space
from vestige.reading.encoding import Batch
from vestige.schema import UNK, Feature, Input, Schema

FloatArray = NDArray[np.float32]
TINY = 1e-6
"""A standard deviation below this is taken as 1: a constant column stays zero instead of exploding."""
VIEWS = ("realistic", "oracle")
Task = Literal["classify", "next", "normal"]
"""Window -> class, window -> its last token from those before (see `next_token`), or window -> how rare it is
among what is mostly normal, learnt without labels (see `normal`)."""


@dataclass(frozen=True)
class StandardizeStats:
    """Medians (for imputation), means and standard deviations of each kept feature or channel, float32."""

    medians: FloatArray
    means: FloatArray
    stds: FloatArray

    @classmethod
    def fit(cls, X: NDArray[Any], *, axis: int | tuple[int, ...] = 0) -> Self:
        """Statistics over `axis` of training data: 0 for `(N, F)`, `(0, 2)` for `(N, C, T)`.

        Anything not finite counts as missing and takes its column's median (0 where a column has none).
        """
        axes = (axis,) if isinstance(axis, int) else tuple(axis)
        values = np.where(np.isfinite(X), X, np.nan).astype(np.float64)
        kept = [size for dim, size in enumerate(values.shape) if dim not in axes]
        columns = np.moveaxis(values, axes, range(len(axes))).reshape(-1, *kept)
        present = np.isfinite(columns)
        medians = np.zeros(columns.shape[1:])
        known = present.any(axis=0)
        if known.any():
            medians[known] = np.nanmedian(columns[:, known], axis=0)
        filled = np.where(present, columns, medians)
        means, stds = medians, np.ones_like(medians)
        if len(filled):
            means, stds = filled.mean(axis=0), filled.std(axis=0)
        stds = np.where(stds < TINY, 1.0, stds)
        return cls(*(statistic.astype(np.float32) for statistic in (medians, means, stds)))

    def apply(self, X: NDArray[Any], *, channel_axis: int, impute: bool = True) -> FloatArray:
        """Impute and standardise along `channel_axis`; every value that comes out is finite, but for missing
        ones that are not to be imputed: they are NaN."""
        shape = [1] * X.ndim
        shape[channel_axis] = -1
        medians, means, stds = (part.reshape(shape) for part in (self.medians, self.means, self.stds))
        with np.errstate(over="ignore", invalid="ignore"):
            values: FloatArray = np.array(X, dtype=np.float32)
            missing = ~np.isfinite(values)
            if missing.any():
                if impute:
                    np.copyto(values, medians, where=missing)
                else:
                    # NaN alone marks what is missing from here on: an infinity was no value either.
                    values[missing] = np.nan
            values -= means
            values /= stds
        # What is infinite now left the range of float32 on the way; so did a NaN, if none was to be left.
        outside = np.isinf(values)
        if impute:
            outside = ~np.isfinite(values)
        if outside.any():
            values[outside] = 0
        return values

    def to_dict(self) -> dict[str, list[float]]:
        """JSON-ready; float32 survives the way through JSON exactly."""
        return {name: getattr(self, name).tolist() for name in ("medians", "means", "stds")}

    @classmethod
    def from_dict(cls, plain: dict[str, list[float]]) -> Self:
        """The statistics that `to_dict` wrote."""
        wide = [np.asarray(plain[name], dtype=np.float64) for name in ("medians", "means", "stds")]
        if any((np.abs(figures) > np.finfo(np.float32).max).any() for figures in wide):
            raise ValueError("a median, mean or deviation is beyond all numbers of its type")
        return cls(*(figures.astype(np.float32) for figures in wide))


@dataclass(frozen=True)
class Judgement:
    """What a detector says of B windows: arrays `(B, ...)`, a row a window.

    `proba (B, K)` float64: class probabilities, rows summing to 1. `score (B,)` float64: how suspicious a
    window is, 1 - P(first class). `p_value (B,)` float64: the share of normal windows that are at least as
    suspicious, and `looks (B, L)` float64 how strange each of its looks finds a window, the higher the
    stranger; of a detector of the task normal. Of one of the task next, `surprise (B,)` float64 is -ln P of
    the event that came, in nats, and `rank (B,)` int64 says how many events were more probable. What a
    detector does not have is None.
    """

    proba: NDArray[np.float64]
    score: NDArray[np.float64]
    p_value: NDArray[np.float64] | None = None
    surprise: NDArray[np.float64] | None = None
    rank: NDArray[np.int64] | None = None
    looks: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        proba: NDArray[np.float64],
        *,
        surprise: NDArray[np.float64] | None = None,
        rank: NDArray[np.int64] | None = None,
    ) -> Self:
        """The judgement whose scores follow from its probabilities."""
        return cls(proba, 1.0 - proba[:, 0], surprise=surprise, rank=rank)

    def __len__(self) -> int:
        return len(self.score)

    @property
    def strangeness(self) -> NDArray[np.float64]:
        """The finest measure that there is, `(B,)`: the surprise, how rare (-ln p), or else the score."""
        if self.surprise is not None:
            return self.surprise
        if self.p_value is not None:
            return -np.log(self.p_value)
        return self.score


class RecordingSoFar(Protocol):
    """What a detector keeps of a recording while its windows go by."""

    def add(self, X: Batch) -> None:
        """Take in its next windows, in their order."""


@dataclass(frozen=True)
class RecordingVerdict:
    """What a detector says of a whole recording: `score`, the higher the more suspicious; `p_value`, of how
    many normal recordings are as suspicious; whether that is an `alert`; and `reasons`, the strangest first,
    each with its `look`, the `p_value` of that, and what it `says`. `held_back`: as rare as an alert, but
    more are so than the promise allows, and others are stranger."""

    score: float
    p_value: float
    alert: bool
    reasons: list[dict[str, Any]]
    held_back: bool = False


CLIP = 1e4
"""Standard deviations beyond which a float input of a network is cut off: sums inside a layer stay finite."""


def log_scaled(values: NDArray[Any]) -> NDArray[np.float32]:
    """`sign(x) ln(1 + |x|)`: bytes a second reach from none to gigabytes, and a mean and a standard deviation
    say nothing of them as they are. Networks read summaries and tensors so."""
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = np.asarray(values, dtype=np.float32)
        return np.copysign(np.log1p(np.abs(narrow)), narrow)


class HyperParameters(BaseModel):
    """A detector's hyper-parameters: every field can be set with `--set name=value`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Detector(ABC):
    """Windows in, probabilities out.

    A subclass says in `accepts` which combinations of inputs it can work on, best first; the first that a
    dataset offers is chosen. An input is wanted by kind (`tokens`: the dataset's first of this kind) or by
    kind and name (`tokens:words`). Where it `reads` certain features of a summary only (patterns), the
    summary must hold one of them and the others are masked. `keep_mask` (by input name) selects the
    features or channels that its view may see; `standardize` (by input name) holds statistics of the
    kept ones.
    """

    name: ClassVar[str]
    task: ClassVar[Task] = "classify"
    about: ClassVar[str]
    """One line for `vestige models`."""
    accepts: ClassVar[tuple[tuple[str, ...], ...]]
    reads: ClassVar[tuple[str, ...]] = ()
    imputes: ClassVar[bool] = True
    """Whether `select` puts something in the place of missing values; one that does not is handed NaN."""
    sidecar: ClassVar[str] = "weights.safetensors"
    hyper_parameters: ClassVar[type[HyperParameters]] = HyperParameters
    hyper: HyperParameters
    """An instance of `hyper_parameters`: a class that names its own says so here, too."""
    space: ClassVar[Space] = {}
    """What `vestige tune` tries: hyper-parameters and settings of the training (see `models.space`)."""

    def __init__(
        self,
        inputs: tuple[Input, ...],
        n_classes: int,
        *,
        hyper: HyperParameters | None = None,
        keep_mask: Mapping[str, NDArray[np.bool_]] | None = None,
        seed: int = 0,
    ) -> None:
        self.inputs = inputs
        self.n_classes = n_classes
        self.hyper = self.hyper_parameters() if hyper is None else hyper
        self.keep_mask: dict[str, NDArray[np.bool_]] = dict(keep_mask or {})
        self.standardize: dict[str, StandardizeStats] = {}
        self.seed = seed

    @classmethod
    def build(
        cls,
        inputs: tuple[Input, ...],
        n_classes: int,
        *,
        view: str = "realistic",
        seed: int = 0,
        **hyper: Any,
    ) -> Self:
        """An untrained detector on `inputs` (see `choose_inputs`) as far as `view` may see them.

        `seed` decides its first weights. Raises UsageError for a hyper-parameter that there is not, or a
        value out of range, and where the view leaves an input without a single feature.
        """
        masks = keep_masks(inputs, view, only=cls.reads)
        return cls(inputs, n_classes, hyper=parse_hyper(cls, hyper), keep_mask=masks, seed=seed)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs to gather for this detector."""
        return tuple(spec.name for spec in self.inputs)

    @property
    def reads_host_only(self) -> bool:
        """Whether it reads any feature that no deployed agent could see."""
        for spec in self.inputs:
            kept = self.keep_mask.get(spec.name, np.ones(len(spec.features), dtype=bool))
            if any(feature.host_only for feature, keep in zip(spec.features, kept, strict=True) if keep):
                return True
        return False

    def width(self, spec: Input) -> int:
        """How many features, channels, token ids or vector elements of an input the detector sees."""
        if spec.kind == "tokens":
            return len(spec.vocabulary or ())
        mask = self.keep_mask.get(spec.name)
        if mask is not None:
            return int(mask.sum())
        return len(spec.features) or spec.size

    def select(self, X: Batch) -> Batch:
        """Mask, impute, standardise. `summary` and `tensor` come out float32 and finite (where the detector
        does not impute, missing values are NaN), `tokens` int64 (an id outside the vocabulary becomes UNK),
        `vectors` float32 and finite."""
        return {spec.name: self._select(spec, X[spec.name]) for spec in self.inputs}

    def scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        """The scale on which a summary or tensor is standardised; as it is, unless overridden."""
        return values

    def _select(self, spec: Input, X: NDArray[Any]) -> NDArray[Any]:
        if spec.kind == "tokens":
            size = len(spec.vocabulary or ())
            inside: NDArray[np.bool_] = (X >= 0) & (size > X)
            ids: NDArray[np.int64] = np.where(inside, X, UNK).astype(np.int64, copy=False)
            return ids
        axis = -2 if spec.kind == "tensor" else -1
        mask = self.keep_mask.get(spec.name)
        values = X
        if mask is not None:
            values = np.compress(mask, X, axis=axis)
        if spec.kind in ("summary", "tensor"):
            values = self.scaled(values)
        stats = self.standardize.get(spec.name)
        impute = self.imputes or spec.kind == "vectors"
        if stats is not None:
            return stats.apply(values, channel_axis=axis, impute=impute)
        with np.errstate(over="ignore"):
            narrow = np.asarray(values, dtype=np.float32)
        instead = np.float32(0 if impute else np.nan)
        return np.where(np.isfinite(narrow), narrow, instead)

    def targets(self, X: Batch, label: NDArray[Any]) -> NDArray[np.int64]:  # noqa: ARG002
        """What training must predict of a batch, `(B,)`: its labels, unless the task is another."""
        return label.astype(np.int64)

    @abstractmethod
    def predict_proba(self, X: Batch) -> NDArray[np.float64]:
        """Class probabilities `(B, K)` float64, rows summing to 1, whatever the batch's size and order."""

    def predict(self, X: Batch) -> NDArray[np.int64]:
        """Most probable class `(B,)` int64."""
        best: NDArray[np.int64] = self.predict_proba(X).argmax(axis=1)
        return best

    def judge(self, X: Batch) -> Judgement:
        """All that the detector has to say of a batch, whatever the batch's size and order."""
        return Judgement.of(self.predict_proba(X))

    def begin_recording(self) -> RecordingSoFar | None:
        """What takes in a recording that is to be judged as a whole; None for a detector that judges windows
        alone."""
        return None

    def judge_recordings(self, recordings: Sequence[RecordingSoFar]) -> list[RecordingVerdict]:  # noqa: ARG002
        """Judge recordings that were taken in as wholes."""
        return []

    def recordings_proba(
        self,
        recordings: Sequence[RecordingSoFar],  # noqa: ARG002
        *,
        validation: bool = False,  # noqa: ARG002
    ) -> NDArray[np.float64] | None:
        """Class probabilities `(N, K)` of recordings that were taken in as wholes, rows summing to 1; None of
        a detector that tells no classes apart, or judges windows alone.

        `validation`: of recordings of its validation part, what was said by models that had not learnt from
        them, where the detector has learnt from that part, too.
        """
        return None

    @property
    def alert_surprise(self) -> float | None:
        """The alert threshold in nats; None for a detector that gives no surprise."""
        return None

    def move_boundary(self, score: float) -> bool:  # noqa: ARG002
        """Move the scale of the scores so that what has `score` now has one half from now on.

        Returns whether there is such a scale: a classifier's probabilities stay as they were learnt.
        """
        return False

    def explain(self, X: Batch) -> NDArray[np.float64]:  # noqa: ARG002
        """How much each step of the context bears on the judgement, `(B, T - 1)`: shares that sum to 1.

        Raises UsageError for a detector that cannot say.
        """
        raise UsageError(f"{self.name} explains nothing", remedy="use a detector of the task next")

    def reasons(self, X: Batch, most: int = 5) -> list[list[Reason]]:
        """Why each window has its score, the strongest reasons first: those that raise it, `most` of them.

        By taking pieces away, unless a detector knows better (`models.reasons`).
        """
        return by_occlusion(self, X, most)

    def pieces(self, X: Batch) -> list[list[Piece]]:
        """All that reasons for each window may name, taken away by `models.reasons.effects`."""
        return all_pieces(self, X)

    def quantize(self) -> None:
        """Compute in 8-bit integers from now on, on the CPU; there is no way back. Raises ComputationError
        where a detector has no such form."""
        raise ComputationError(f"{self.name} has no 8-bit form", remedy="leave --quantize out")

    def round_products(self) -> None:
        """Multiply numbers rounded to bfloat16 when scoring from now on, on the CPU, and sum in float32.

        The weights stay as they are. Raises ComputationError where a detector has no network, or what it
        learnt of that network's numbers holds for float32 alone, and where the processor would not be faster
        by it.
        """
        raise ComputationError(
            f"{self.name} has no network whose products could be rounded (--precision bf16)",
            remedy="leave --precision out, or name the folder of a network",
        )

    @abstractmethod
    def state_for_checkpoint(self) -> dict[str, Any]:
        """JSON-ready state beside the hyper-parameters for the header; the weights go to `save_sidecar`."""

    @abstractmethod
    def save_sidecar(self, path: Path) -> None:
        """Write the weights to `path`, in a format whose loading runs no code."""

    @abstractmethod
    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:
        """Take over the weights that `save_sidecar` wrote, with what `state_for_checkpoint` returned.

        Raises ValueError when they are no such weights, or weights of another shape.
        """

    def header(self) -> dict[str, Any]:
        """The detector's part of a checkpoint's header, JSON-ready."""
        return {
            "name": self.name,
            "hyper": self.hyper.model_dump(mode="json"),
            "state": self.state_for_checkpoint(),
            "inputs": list(self.input_names),
            "keep_mask": {name: mask.tolist() for name, mask in self.keep_mask.items()},
            "standardize": {name: stats.to_dict() for name, stats in self.standardize.items()},
        }

    @classmethod
    def from_checkpoint(cls, header: dict[str, Any], payload: bytes, *, device: str = "cpu") -> Self:
        """Restore from a checkpoint: its `model` (see `header`), its fitted `schema`, and its weights.

        The bytes are those whose digest was checked: nothing is read from disk a second time. Raises
        ValueError, KeyError or TypeError when the parts do not fit together; `checkpoint.load` explains.
        """
        model, schema = header["model"], Schema.from_dict(header["schema"])
        detector = cls(
            tuple(schema.input(name) for name in model["inputs"]),
            len(schema.classes),
            hyper=cls.hyper_parameters(**model["hyper"]),
            keep_mask={name: np.asarray(mask, dtype=bool) for name, mask in model["keep_mask"].items()},
        )
        detector.standardize = {
            name: StandardizeStats.from_dict(stats) for name, stats in model["standardize"].items()
        }
        _check_shapes(detector)
        detector.load_sidecar(payload, model["state"], device=device)
        return detector


def choose_inputs(kind: type[Detector], schema: Schema) -> tuple[Input, ...]:
    """The inputs of `schema` that a detector of this kind works on: its first combination that fits.

    Raises UsageError where none does; the message lists what the detector takes and the dataset has.
    """
    fitting = [spec for spec in schema.inputs if spec.kind != "summary" or _readable(kind, spec)]
    for combination in kind.accepts:
        candidates = ([spec for spec in fitting if _is(spec, wanted)] for wanted in combination)
        chosen = tuple(matching[0] for matching in candidates if matching)
        if len(chosen) == len(combination):
            return chosen
    takes = " or ".join("+".join(combination) for combination in kind.accepts)
    if kind.reads:
        takes += f" (a summary with {' or '.join(kind.reads)})"
    has = ", ".join(map(_called, schema.inputs))
    raise UsageError(
        f"{kind.name} takes {takes}; this {schema.source} dataset has {has}",
        remedy="vestige models lists which models fit which inputs",
    )


def _called(spec: Input) -> str:
    """`kind`, or `kind:name` where the name says more."""
    if spec.name == spec.kind:
        return spec.kind
    return f"{spec.kind}:{spec.name}"


def keep_masks(
    inputs: tuple[Input, ...], view: str, *, only: tuple[str, ...] = ()
) -> dict[str, NDArray[np.bool_]]:
    """Which features and channels a view may see: `realistic` leaves host-only ones out, `oracle` none.

    `only`: patterns of the features of a summary that are read at all. Raises UsageError for another
    view, and where nothing of an input is left.
    """
    if view not in VIEWS:
        raise UsageError(f"unknown view {view!r}", remedy=f"one of: {', '.join(VIEWS)}")
    masks = {}
    for spec in inputs:
        patterns = only if spec.kind == "summary" and only else ("*",)
        mask = np.array([_is_kept(feature, view, patterns) for feature in spec.features])
        if mask.size and not mask.any():
            raise UsageError(f"the {view} view leaves no feature of {spec.name}", remedy="try --view oracle")
        if not mask.all():
            masks[spec.name] = mask
    return masks


def _is_kept(feature: Feature, view: str, patterns: tuple[str, ...]) -> bool:
    if feature.host_only and view != "oracle":
        return False
    return _among(feature, patterns)


def parse_hyper(kind: type[Detector], hyper: Mapping[str, Any]) -> HyperParameters:
    """Hyper-parameters from plain values. Raises UsageError for a name or a value that there is not."""
    known = kind.hyper_parameters.model_fields
    try:
        return kind.hyper_parameters(**hyper)
    except ValidationError as error:
        name, told = refused(error)
        if not name:  # values that do not go together
            raise UsageError(f"{kind.name}: {told}") from error
        problem = f"{kind.name} has no hyper-parameter {name!r}"
        if name in known:
            problem = f"{kind.name}: {name} {told}"
        raise UsageError(problem, remedy=f"it has: {', '.join(known) or 'none'}") from error


def _is(spec: Input, wanted: str) -> bool:
    """Whether an input is the one wanted, by `kind` or `kind:name`."""
    kind, named, name = wanted.partition(":")
    return spec.kind == kind and (not named or spec.name == name)


def _readable(kind: type[Detector], spec: Input) -> bool:
    """Features that are not known before an encoder is fitted count as there."""
    return (
        not kind.reads or not spec.features or any(_among(feature, kind.reads) for feature in spec.features)
    )


def _among(feature: Feature, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(feature.name, pattern) for pattern in patterns)


def _check_shapes(detector: Detector) -> None:
    """ValueError where masks or statistics are not those of the inputs."""
    for spec in detector.inputs:
        mask = detector.keep_mask.get(spec.name)
        if mask is not None and mask.shape != (len(spec.features),):
            raise ValueError(
                f"the mask of {spec.name} has {mask.size} entries for {len(spec.features)} features"
            )
        stats = detector.standardize.get(spec.name)
        if stats is None:
            continue
        for name, values in (("medians", stats.medians), ("means", stats.means), ("stds", stats.stds)):
            if values.shape != (detector.width(spec),) or not np.isfinite(values).all():
                raise ValueError(f"the {name} of {spec.name} are not {detector.width(spec)} finite numbers")
