"""What a dataset of logs holds."""

from __future__ import annotations

from dataclasses import replace

from vestige.schema import Input, Schema, Stream, Target
from vestige.sources.logs.anomalies import CLASSES, Anomalies
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.embedding.base import HASHING, Identity
from vestige.sources.logs.embedding.hashing import SIZE
from vestige.sources.logs.slots import N_SLOTS

VERSION = 2
MESSAGE = "message"
"""The stream of rows of the table of messages."""
STREAMS = (
    Stream(MESSAGE, "uint32"),
    Stream("t_ns", "int64", unit="ns"),
    Stream("line", "int64"),
    Stream("offset", "int64", unit="bytes"),
    Stream("raw", "uint64"),
)
INPUTS = (
    Input("tokens", "tokens"),
    Input("summary", "summary"),
    Input("words", "tokens"),
    Input("vectors", "vectors", size=SIZE),
)
"""What a dataset's schema says before anything is fitted; the size of `vectors` is the embedding's."""
SLOTS = "slots"
"""The stream of the values that masks replaced, where they are kept."""


def schema_for(
    rules: RuleSet,
    *,
    length: int,
    stride: int,
    target: Target = "last",
    embedding: str = HASHING,
    anomalies: Anomalies = "point",
) -> Schema:
    """The schema of a dataset read by `rules`; its inputs are completed by the fitted encoder.

    Raises UsageError for an embedding that is not there.
    """
    from vestige.sources.logs.embedding.loading import identify

    found = identify(embedding)
    settings = {**rules.settings(), "embedding": found, "anomalies": anomalies}
    inputs, classes = _inputs_with(found), CLASSES[anomalies]
    streams: tuple[Stream, ...] = STREAMS
    if rules.values:
        streams = (*STREAMS, Stream(SLOTS, "uint64", (N_SLOTS,)))
    return Schema("logs", VERSION, classes, length, stride, streams, inputs, target, settings=settings)


def _inputs_with(embedding: Identity) -> tuple[Input, ...]:
    """`INPUTS` with vectors of that embedding."""
    *others, vectors = INPUTS
    return (*others, replace(vectors, size=int(embedding["size"])))
