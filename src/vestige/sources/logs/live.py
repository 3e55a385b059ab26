"""Windows made while evidence is read, in flat memory: by the parser and with the numbers of `prepare`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.schema import Schema
from vestige.sources.base import LiveBatch
from vestige.sources.corpus import find
from vestige.sources.logs.clock import Clock
from vestige.sources.logs.feed import Feed
from vestige.sources.logs.parse import Messages, Parser, Rules
from vestige.sources.logs.reader import BLOCK_BYTES, Block

MOST_STEPS = 1 << 17
"""Steps of a batch: windows times length."""

log = logging.getLogger(__name__)


def live(evidence: Iterable[Path], schema: Schema, *, size: int = BLOCK_BYTES) -> Iterator[LiveBatch]:
    """A window for every message of every file, in order. Raises EvidenceError as `prepare` does.

    A file is called by its path relative to the evidence, as in a dataset; of several pieces of evidence,
    by its whole path as given.
    """
    rules = Rules.from_settings(schema.settings)
    parser = Parser(rules)
    every = list(evidence)
    done = 0
    for path in every:
        files, skipped = find(path, "log files")
        refused: list[EvidenceError] = []
        for one in skipped:
            log.info("%s was left out: %s", one.id, one.reason)
        for file in files:
            feed = Feed(file, rules, size=size)
            try:
                feed.open()
            except EvidenceError as error:
                refused.append(error)
                if len(refused) == len(files):
                    raise refused[0] from None
                log.warning("%s was left out: %s", file.where, error.what)
                continue
            windows = Windows(schema, rules, feed.first_ns, file.where if len(every) > 1 else file.id)
            for block in feed.blocks():
                for batch in windows.over(parser.parse(block)):
                    yield replace(batch, taken=done + feed.taken)
            done += feed.taken
            for what in feed.defects:
                log.warning("%s: %s", file.where, what)


def probe(schema: Schema) -> LiveBatch:
    """The format's own example lines, as if they were a file."""
    rules = Rules.from_settings(schema.settings)
    data = "\n".join(rules.format.example).encode(rules.encoding, errors="replace") + b"\n"
    parser = Parser(rules)
    windows = Windows(schema, rules, 0, "probe")
    return next(windows.over(parser.parse(Block(data, 0, 1, final=True))))


class Windows:
    """The windows of one file, block by block; the last `length - 1` messages are carried over."""

    def __init__(self, schema: Schema, rules: Rules, first_ns: int, name: str) -> None:
        self._schema, self._name = schema, name
        year = None if rules.format.time_parser().has_year else rules.format.year
        self._clock = Clock(year, first_ns)
        lead = schema.length - 1
        self._carried: dict[str, NDArray[Any]] = {
            one.name: np.full(lead, one.fill, dtype=one.dtype) for one in schema.streams
        }
        self._texts = [""]

    def over(self, messages: Messages) -> Iterator[LiveBatch]:
        """The windows that end on the messages of the next block."""
        if not len(messages):
            return
        rows = {text: row for row, text in enumerate(self._texts)}
        here = [rows.setdefault(text, len(rows)) for text in messages.texts]
        values: dict[str, NDArray[Any]] = {
            "message": np.array(here, dtype=np.uint32)[messages.text],
            "t_ns": self._clock.set(messages.t_ns), "line": messages.line, "offset": messages.offset,
            "raw": messages.raw,
        }  # fmt: skip
        steps = {name: np.concatenate([self._carried[name], values[name]]) for name in values}
        texts = list(rows)
        count = np.bincount(steps["message"], minlength=len(texts))
        symbols = pl.DataFrame(
            {"text": texts, "group": np.zeros(len(texts)), "count": count},
            schema={"text": pl.String(), "group": pl.UInt32(), "count": pl.Int64()},
        )
        yield from self._batches(steps, symbols, len(messages))
        self._carry(steps, texts)

    def _batches(self, steps: dict[str, NDArray[Any]], symbols: pl.DataFrame, n: int) -> Iterator[LiveBatch]:
        length = self._schema.length
        most = max(1, MOST_STEPS // length)
        views = {name: sliding_window_view(values, length) for name, values in steps.items()}
        for start in range(0, n, most):
            rows = slice(start, min(start + most, n))
            gathered = {name: np.ascontiguousarray(view[rows]) for name, view in views.items()}
            place = pl.DataFrame(
                {"line": gathered["line"][:, -1], "offset": gathered["offset"][:, -1]}
            ).select(pl.lit(self._name).alias("file"), "line", "offset")
            yield LiveBatch(gathered, symbols, place)

    def _carry(self, steps: dict[str, NDArray[Any]], texts: list[str]) -> None:
        lead = self._schema.length - 1
        last = {name: values[len(values) - lead :] for name, values in steps.items()}
        kept, rows = np.unique(np.append(last["message"], 0).astype(np.uint32), return_inverse=True)
        self._texts = [texts[row] for row in kept]
        self._carried = {**last, "message": rows[:-1].astype(np.uint32)}
