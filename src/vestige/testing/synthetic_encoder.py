"""From synthetic steps to every kind of model input; vocabulary and words are fitted on training windows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.encoding import Batch, BoundEncoder
from vestige.reading.steps import Steps
from vestige.reading.windows import WindowSet
from vestige.schema import PAD, SPECIAL_TOKENS, UNK, Feature, Input, Schema

SIGNALS = ("cpu", "memory", "hypervisor")
DIRECTION = 4
"""Size of an event's vector."""


@dataclass(frozen=True)
class SyntheticEncoder:
    """Known `events` become tokens from 2 on; known `words` of a window's last event become counts."""

    declared: tuple[Input, ...]
    events: tuple[str, ...]
    words: tuple[str, ...]

    symbols = "events"

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The dataset's inputs with vocabulary and features."""
        return tuple(self._fitted(spec) for spec in self.declared)

    @property
    def longest(self) -> int:
        """Words of the longest known event."""
        return max((len(event.split()) for event in self.events), default=1)

    def bind(self, symbols: pl.DataFrame) -> BoundEncoder:
        """See `Encoder.bind`."""
        return _Bound(self, symbols["text"].to_list())

    def unseen(self, windows: WindowSet) -> dict[str, float]:
        """See `Encoder.unseen`."""
        text = windows.table(self.symbols)["text"]
        last = text.gather(windows.streams.at("event", windows.target_step))
        return {"events": float((~last.is_in(self.events)).sum() / max(1, len(last)))}

    def to_dict(self) -> dict[str, Any]:
        """See `Encoder.to_dict`."""
        schema = Schema("", 0, (), 1, 1, (), self.declared).to_dict()
        return {"inputs": schema["inputs"], "events": list(self.events), "words": list(self.words)}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """The encoder that `to_dict` wrote."""
        empty = Schema("", 0, (), 1, 1, (), ()).to_dict()
        declared = Schema.from_dict({**empty, "inputs": plain["inputs"]}).inputs
        return cls(declared, tuple(plain["events"]), tuple(plain["words"]))

    def _fitted(self, spec: Input) -> Input:
        if spec.name == "words":
            return replace(spec, vocabulary=(*SPECIAL_TOKENS, *self.words), length=self.longest)
        if spec.kind == "tokens":
            return Input(spec.name, "tokens", vocabulary=(*SPECIAL_TOKENS, *self.events))
        if spec.kind != "summary":
            return spec
        features = [Feature(f"word:{word}", "count") for word in self.words]
        features += [Feature("unknown_words", "count"), Feature("length", "chars"), Feature("words", "count")]
        features += [Feature(f"mean:{name}", "share", host_only=name == "hypervisor") for name in SIGNALS]
        return Input(spec.name, "summary", features=tuple(features))


def fit(train: WindowSet) -> SyntheticEncoder:
    """Events and words that end some training window."""
    text = train.table("events")["text"].to_list()
    used = np.unique(train.streams.at("event", train.target_step))
    events = tuple(sorted(text[row] for row in used))
    words = tuple(sorted({word for event in events for word in event.split()}))
    return SyntheticEncoder(train.schema.inputs, events, words)


class _Bound:
    def __init__(self, encoder: SyntheticEncoder, text: list[str]) -> None:
        self.encoder = encoder
        self.word = {word: number + len(SPECIAL_TOKENS) for number, word in enumerate(encoder.words)}
        token = {event: number + len(SPECIAL_TOKENS) for number, event in enumerate(encoder.events)}
        self.token = np.array([PAD if not event else token.get(event, UNK) for event in text], dtype=np.int64)
        self.word_ids = np.stack([self._ids(event) for event in text])
        self.vector = np.stack([_direction(event) for event in text])
        self.row = np.stack([self._row(event) for event in text])

    def streams(self, names: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002
        """See `BoundEncoder.streams`."""
        return ("event", "signal")

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:
        """See `BoundEncoder.encode`."""
        return {name: getattr(self, f"_{name}")(steps) for name in names}

    def _row(self, event: str) -> NDArray[np.float32]:
        words = event.split()
        known = [words.count(word) for word in self.encoder.words]
        unknown = sum(word not in self.encoder.words for word in words)
        return np.array([*known, unknown, len(event), len(words)], dtype=np.float32)

    def _ids(self, event: str) -> NDArray[np.int64]:
        ids = [self.word.get(word, UNK) for word in event.split()][: self.encoder.longest]
        return np.array(ids + [PAD] * (self.encoder.longest - len(ids)), dtype=np.int64)

    def _words(self, steps: Steps) -> NDArray[Any]:
        return self.word_ids[steps["event"][:, -1]]

    def _tokens(self, steps: Steps) -> NDArray[Any]:
        return self.token[steps["event"]]

    def _vectors(self, steps: Steps) -> NDArray[Any]:
        return self.vector[steps["event"]]

    def _tensor(self, steps: Steps) -> NDArray[Any]:
        return np.moveaxis(steps["signal"], 1, 2)

    def _summary(self, steps: Steps) -> NDArray[Any]:
        signal = steps["signal"].astype(np.float64)
        present = np.isfinite(signal)
        count = present.sum(axis=1)
        total = np.where(present, signal, 0).sum(axis=1)
        means = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        return np.hstack([self.row[steps["event"][:, -1]], means]).astype(np.float32)


def _direction(event: str) -> NDArray[np.float32]:
    digest = hashlib.sha256(event.encode()).digest()[:DIRECTION]
    return np.frombuffer(digest, dtype=np.uint8).astype(np.float32) / np.float32(128) - np.float32(1)
