"""What a dataset of traces holds."""

from __future__ import annotations

from vestige.schema import Schema, Stream
from vestige.sources.traces.corpus import CLASSES
from vestige.sources.traces.encoder import INPUTS
from vestige.sources.traces.options import TraceOptions

VERSION = 2
SYMBOL = "symbol"
"""The stream of rows of the table of symbols."""
STREAMS = (Stream(SYMBOL, "uint32"), Stream("offset", "int64", unit="bytes"))


def schema_for(options: TraceOptions) -> Schema:
    """The schema of a dataset read by `options`; its inputs are completed by the fitted encoder."""
    length = options.sequence_len
    settings = options.model_dump(include={"tip_only", "vocabulary", "own_code", "module_mib"})
    sliding = options.sliding_window
    # Windows that do not slide stand side by side: each begins where the one before it ends.
    stride = 1 if sliding else length
    return Schema(
        "traces", VERSION, CLASSES, length, stride, STREAMS, INPUTS,
        target="recording", padded=sliding, settings=settings,
    )  # fmt: skip
