"""`normal`: what is strange, learnt from what is mostly normal, without labels.

Several looks at a window, each with how strange it finds it; the rank of that among windows kept for
calibration is a p-value, and the looks' p-values are summed as Fisher did. Letters: B windows, K classes,
L looks, N windows of the calibration, V token ids.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError

from vestige import extras
from vestige.errors import ComputationError, SplitError
from vestige.models.base import HyperParameters, Judgement, RecordingVerdict, Task, parse_hyper
from vestige.models.baselines.next_ngram import NextNgram
from vestige.models.fitting import FitProgress, FittedDetector
from vestige.models.next_token import NextToken
from vestige.models.normal.channels import LOOKS as OF_CHANNELS
from vestige.models.normal.channels import Channels
from vestige.models.normal.conformal import Tail, fisher, out_of_fold
from vestige.models.normal.order import Repeats
from vestige.models.normal.whole import WholeRecordings, WindowTally
from vestige.models.onnx.detectors import RUNTIME, ExportedNext
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.schema import Input

FloatArray = NDArray[np.float64]

BATCH = 8_192
"""Windows that are looked at at a time."""
ALPHA = 0.01
"""The share of normal windows that alert, until a budget says otherwise."""
OF_TOKENS = ("order", "rarity", "repeats")
"""The looks at tokens."""
LEAST_SCALE = {"order": 1.0, "rarity": 1.0, "repeats": 1.0, "novelty.distance": 0.1}
"""Of these looks a strangeness higher by so much is rarer by a factor of e at the most (nats; a distance)."""
USUAL_SCALE = 1.0
"""The same of the others, whose unit is a usual spread."""
NETWORK = "network"
"""What the weights of a network are called among the arrays of the sidecar: the bytes of their own file."""
DIGITS = 5
"""Decimals of a network's surprise that count: beyond them it tells of the size of a batch."""


class NormalHyper(HyperParameters):
    """`n`: events of a gram, the one judged included."""

    n: int = Field(5, ge=1, le=32)


class Normal(FittedDetector):
    """Looks at the order, the rarity and the repetition of tokens, at whatever strangeness the encoder tells
    beside them, or at channels; what all of them say is one p-value.

    P(normal) is p / (p + alpha): a half where p is `alpha`, the share of normal windows that is to alert.
    """

    name: ClassVar[str] = "normal"
    imputes: ClassVar[bool] = False
    task: ClassVar[Task] = "normal"
    about: ClassVar[str] = "what is strange, without labels: new, out of order, too often, out of time"
    accepts: ClassVar[tuple[tuple[str, ...], ...]] = (("tokens", "summary:looks"), ("tokens",), ("tensor",))
    hyper_parameters: ClassVar[type[HyperParameters]] = NormalHyper
    hyper: NormalHyper

    alpha: float = ALPHA
    tails: list[Tail]
    """Of each look, and last of their sum."""
    order: NextNgram | None = None
    network: NextToken | None = None
    """What says which event follows, where the n-grams of `order` are not to; trained before all else is
    learnt."""
    repeats: Repeats | None = None
    channels: Channels | None = None
    recordings: WholeRecordings | None = None
    """What is normal of whole recordings, where learning saw enough of them."""

    @property
    def looks(self) -> tuple[str, ...]:
        """What the looks are called, in their order."""
        names: list[str] = []
        for spec in self.inputs:
            if spec.kind == "tokens":
                names += OF_TOKENS
            elif spec.kind == "summary":
                names += [feature.name for feature in spec.features]
            else:
                names += OF_CHANNELS
        return tuple(names)

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,
        *,
        seed: int = 0,
        progress: FitProgress | None = None,
    ) -> list[dict[str, Any]]:
        """See `FittedDetector.fit`: `train` is learnt from, `validation` is what ranks are taken among.
        Labels are not looked at. Raises SplitError where either has no windows."""
        if not len(train) or not len(validation):
            raise SplitError(
                "there is too little to learn from and to calibrate with", remedy="give more evidence"
            )
        self._learn(train, seed)
        self.calibrate(validation, progress)
        return []

    def calibrate(self, windows: EncodedWindows, progress: FitProgress | None = None) -> None:
        """Take ranks among these windows from now on: none of them may have been learnt from."""
        strange_NL = np.empty((len(windows), len(self.looks)))
        rounds = -(-len(windows) // BATCH)
        for done, (rows, X) in enumerate(windows.batches(BATCH, self.input_names)):
            strange_NL[rows] = self.strangeness(X)
            if progress is not None:
                progress(done + 1, rounds)
        self.tails = []
        for name, look in zip(self.looks, strange_NL.T, strict=True):
            scale = LEAST_SCALE.get(name, USUAL_SCALE)
            self.tails.append(Tail.fit(look, least_scale=scale))
            # In the place of what it was made of: there is as much of it.
            look[:] = out_of_fold(look, least_scale=scale)
        self.tails.append(Tail.fit(fisher(strange_NL), least_scale=2.0))

    def strangeness(self, X: Batch) -> FloatArray:
        """How strange each look finds each window, `(B, L)`, finite: the higher, the stranger."""
        columns: list[FloatArray] = []
        for spec in self.inputs:
            if spec.kind == "tokens":
                columns += self._of_tokens(X)
            elif spec.kind == "summary":
                columns += list(self._of_looks(spec, X).T)
            elif self.channels is not None:
                columns += list(self.channels.strangeness(self._select(spec, X[spec.name])).T)
        return np.stack(columns, axis=1)

    @property
    def expects(self) -> NextToken | None:
        """What says which event follows: None where there are no tokens."""
        return self.network or self.order

    def log_p_of_looks(self, strange_BL: FloatArray) -> FloatArray:
        """ln of the p-value `(B, L)` of each look, of what `strangeness` gave."""
        found = [tail.log_p(look) for tail, look in zip(self.tails[:-1], strange_BL.T, strict=True)]
        return np.stack(found, axis=1)

    def log_p(self, X: Batch) -> FloatArray:
        """ln of the p-value `(B,)` of all looks together: of how many normal windows are as strange."""
        return self._looked_at(X)[1]

    def _looked_at(self, X: Batch) -> tuple[FloatArray, FloatArray]:
        """`strangeness` and `log_p`."""
        if not len(X[self.inputs[0].name]):
            return np.zeros((0, len(self.looks))), np.zeros(0)
        strange_BL = self.strangeness(X)
        return strange_BL, self.tails[-1].log_p(fisher(self.log_p_of_looks(strange_BL)))

    def judge(self, X: Batch) -> Judgement:
        """Probabilities, score, p-value, and how strange each look finds a window."""
        strange_BL, log_p = self._looked_at(X)
        proba = self._proba(log_p)
        return Judgement(proba, 1.0 - proba[:, 0], p_value=np.exp(log_p), looks=strange_BL)

    def predict_proba(self, X: Batch) -> FloatArray:
        """`[p / (p + alpha), alpha / (p + alpha)]`; further classes, which nobody learnt, stay 0."""
        return self._proba(self.log_p(X))

    def learn_recordings(self, windows: EncodedWindows, *, alpha: float, seed: int = 0) -> None:
        """Learn what is normal of whole recordings from all their windows; the share `alpha` of normal ones
        is to alert. Raises SplitError for too few. Without tokens there is nothing to learn."""
        for spec in self.inputs:
            if spec.kind == "tokens":
                size = self.width(spec)
                self.recordings = WholeRecordings.fit(windows, spec.name, size, alpha=alpha, seed=seed)

    def begin_recording(self) -> WindowTally | None:
        """See `Detector.begin_recording`."""
        if self.recordings is None:
            return None
        return self.recordings.begin()

    def judge_recordings(self, recordings: Sequence[Any]) -> list[RecordingVerdict]:
        """See `Detector.judge_recordings`."""
        if self.recordings is None:
            return []
        return self.recordings.judge(recordings)

    def spend(self, alpha: float) -> None:
        """Alert on the share `alpha` of normal windows. Raises ValueError for no share."""
        if not 0 < alpha < 1:
            raise ValueError(f"{alpha} is no share of windows")
        self.alpha = float(alpha)

    def round_products(self) -> None:
        """Raises ComputationError: p-values are ranks among what was said in float32 of the windows kept for
        calibration. Rounded numbers are no draw from the same, and the share that alerts is no longer kept;
        nor would a window alone be ranked as it is among others."""
        if self.network is None:
            super().round_products()
        raise ComputationError(
            f"{self.name} ranks what its network says among what that said in float32 for calibration: "
            "rounded numbers have no place among them (--precision bf16)",
            remedy="leave --precision out",
        )

    def _proba(self, log_p: FloatArray) -> FloatArray:
        odds = np.exp(np.clip(np.log(self.alpha) - log_p, -700, 700))
        proba = np.zeros((len(log_p), max(self.n_classes, 2)))
        proba[:, 0] = 1 / (1 + odds)
        proba[:, 1] = odds / (1 + odds)
        return proba

    def _learn(self, train: EncodedWindows, seed: int) -> None:
        for spec in self.inputs:
            if spec.kind == "tokens":
                self.order = self._new_order(spec)
                self.order.fit_all(train)
                length = spec.length or train.schema.length
                self.repeats = Repeats.fit(self._selected(train, spec), self.width(spec), length)
            elif spec.kind == "tensor":
                self.channels = Channels.fit(self._selected(train, spec), seed=seed)

    def _selected(self, train: EncodedWindows, spec: Input) -> Iterator[NDArray[np.int64]]:
        for _, X in train.batches(BATCH, (spec.name,)):
            yield self._select(spec, X[spec.name])

    def _new_order(self, spec: Input) -> NextNgram:
        return NextNgram((spec,), self.n_classes, hyper=parse_hyper(NextNgram, {"n": self.hyper.n}))

    def _load_network(
        self, spec: Input, header: dict[str, Any], file: NDArray[Any], device: str
    ) -> NextToken:
        kind: type[NextToken] = ExportedNext
        if header.get("runtime") != RUNTIME:
            extras.require("neural", "a detector with a network")
            from vestige.models.next_networks import NETWORKS  # they import torch

            kind = NETWORKS[header["name"]]
        if file.dtype != np.uint8:
            raise ValueError("the weights of a network are no bytes")
        network = kind((spec,), self.n_classes, hyper=kind.hyper_parameters(**header["hyper"]))
        network.load_sidecar(file.tobytes(), header["state"], device=device)
        return network

    def _of_tokens(self, X: Batch) -> list[FloatArray]:
        if self.order is None or self.repeats is None:
            raise ValueError("nothing was learnt yet")
        name = self.order.inputs[0].name
        tokens = {name: X[name]}
        selected = self.order.tokens(tokens)
        rarity = self.order.rarity(selected[:, -1])
        surprise = self.order.surprise(tokens)
        if self.network is not None:
            surprise = np.round(self.network.surprise(tokens), DIGITS)
        return [surprise, rarity, self.repeats.strangeness(selected)]

    def _of_looks(self, spec: Input, X: Batch) -> FloatArray:
        values = X[spec.name].astype(np.float64)
        return np.where(np.isfinite(values), np.clip(values, -1e12, 1e12), 0.0)

    def state_for_checkpoint(self) -> dict[str, Any]:
        """The share that alerts, and of whole recordings, and of a network, what is no array."""
        state: dict[str, Any] = {"alpha": self.alpha}
        if self.network is not None:
            state[NETWORK] = self.network.header()
        if self.recordings is not None:
            state["recordings"] = self.recordings.state()
        return state

    def save_sidecar(self, path: Path) -> None:
        """Write all that was learnt as safetensors."""
        arrays: dict[str, NDArray[Any]] = {}
        for at, tail in enumerate(self.tails):
            arrays |= {f"tail.{at}.{name}": array for name, array in tail.arrays().items()}
        if self.channels is not None:
            arrays |= {f"channels.{name}": array for name, array in self.channels.arrays().items()}
        if self.order is not None and self.repeats is not None:
            arrays |= {f"order.{name}": array for name, array in self.order.arrays().items()}
            arrays["repeats"] = self.repeats.at_least
        if self.recordings is not None:
            of_recordings = self.recordings.model.arrays()
            arrays |= {f"recordings.{name}": array for name, array in of_recordings.items()}
        if self.network is not None:
            arrays[NETWORK] = _file_of(self.network)
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        path.write_bytes(safetensors.numpy.save(whole))

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:
        """See `Detector.load_sidecar`."""
        self.spend(float(state["alpha"]))
        try:
            arrays = safetensors.numpy.load(payload)
        except SafetensorError as error:
            raise ValueError(f"not a safetensors file ({error})") from error
        self.tails = [Tail.of(_under(arrays, f"tail.{at}.")) for at in range(len(self.looks) + 1)]
        for spec in self.inputs:
            if spec.kind == "tokens":
                self.order = self._new_order(spec)
                self.order.take(_under(arrays, "order."))
                self.repeats = Repeats(_table(arrays["repeats"], self.width(spec) + 1))
                if NETWORK in state:
                    self.network = self._load_network(spec, state[NETWORK], arrays[NETWORK], device)
                if "recordings" in state:
                    self.recordings = WholeRecordings.read(
                        _under(arrays, "recordings."), state["recordings"], spec.name, self.width(spec)
                    )
            elif spec.kind == "tensor":
                self.channels = Channels.of(_under(arrays, "channels."))


def _file_of(network: NextToken) -> NDArray[np.uint8]:
    """The bytes of a network's own file of weights."""
    with tempfile.TemporaryDirectory(prefix="vestige-") as place:
        path = Path(place) / network.sidecar
        network.save_sidecar(path)
        return np.frombuffer(path.read_bytes(), dtype=np.uint8)


def _under(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin so, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _table(found: NDArray[Any], rows: int) -> FloatArray:
    if found.dtype != np.float64 or found.ndim != 2 or len(found) != rows or not np.isfinite(found).all():
        raise ValueError("the table of repeats is of another shape")
    if found.min() < 0 or not found[-1, 0] > 0:
        raise ValueError("the table of repeats holds no counts")
    return found
