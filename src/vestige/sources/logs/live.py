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
from vestige.evidence.files import find
from vestige.reading.windows import Steps
from vestige.schema import Schema
from vestige.sources.base import LiveBatch
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.clock import Clock
from vestige.sources.logs.feed import Feed
from vestige.sources.logs.parse import Messages, Parser, parse
from vestige.sources.logs.reader import BLOCK_BYTES, Block
from vestige.sources.logs.symbols import live_table
from vestige.sources.logs.table import TableError, feeds

MOST_STEPS = 1 << 17
"""Steps of a batch: windows times length."""

log = logging.getLogger(__name__)


def live(evidence: Iterable[Path], schema: Schema, *, size: int = BLOCK_BYTES) -> Iterator[LiveBatch]:
    """A window for every message of every file, in order, as soon as the messages that it looks ahead at are
    read, or the file ends. Raises EvidenceError as `prepare` does.

    A file is called by its path relative to the evidence, as in a dataset; of several pieces of evidence,
    by its whole path as given.
    """
    rules = RuleSet.from_settings(schema.settings)
    every = list(evidence)
    done = 0
    for path in every:
        files, skipped = find(path, "log files")
        for one in skipped:
            log.info("%s was left out: %s", one.id, one.reason)
        refused: list[EvidenceError] = []
        feed, opened = None, False
        for file in files:
            for feed in feeds(file, rules, size=size):
                try:
                    feed.open()
                except TableError:
                    raise
                except EvidenceError as error:
                    refused.append(error)
                    continue
                opened = True
                for batch in _windows(schema, feed, whole_path=len(every) > 1):
                    yield replace(batch, taken=done + feed.taken)
            done += feed.taken if feed else 0
        if refused and not opened:
            raise refused[0]
        for misfit in refused:
            log.warning("%s was left out: %s", misfit.where, misfit.what)


def _windows(schema: Schema, feed: Feed, *, whole_path: bool) -> Iterator[LiveBatch]:
    """Every window of one file."""
    name = feed.file.where if whole_path else feed.file.id
    windows = Windows(schema, feed.kind, Clock(feed.year, feed.first_ns), name)
    for block in feed.blocks():
        yield from windows.over(parse(feed.settings, block))
    yield from windows.rest()
    for what in feed.defects:
        log.warning("%s: %s", feed.file.where, what)


def probe(schema: Schema) -> LiveBatch:
    """The formats' own example lines, each as if they were a file."""
    ruleset = RuleSet.from_settings(schema.settings)
    batches: list[LiveBatch] = []
    for rules in ruleset.each():
        data = "\n".join(rules.format.example).encode(rules.encoding, errors="replace") + b"\n"
        windows = Windows(schema, rules.format.name, Clock(rules.year, 0), "probe")
        batches.extend(windows.over(Parser(rules).parse(Block(data, 0, 1, final=True))))
        batches.extend(windows.rest())
    return _joined(batches)


def _joined(batches: list[LiveBatch]) -> LiveBatch:
    """Batches as one; the first row of every table is padding."""
    steps: list[Steps] = []
    shift = 0
    for one in batches:
        message = one.steps["message"]
        steps.append({**one.steps, "message": np.where(message, message + np.uint32(shift), message)})
        shift += len(one.symbols) - 1
    tables = [batches[0].symbols, *(one.symbols[1:] for one in batches[1:])]
    return LiveBatch(
        {name: np.concatenate([one[name] for one in steps]) for name in steps[0]},
        pl.concat(tables),
        pl.concat([one.place for one in batches]),
    )


class Windows:
    """The windows of one file, block by block; the last `length - 1` messages are carried over. A window
    comes once the messages that it looks ahead at have; `rest` gives the last ones, before padding.

    `kind` is the file's type of log, `name` what it is called.
    """

    def __init__(self, schema: Schema, kind: str, clock: Clock, name: str) -> None:
        self._schema, self._kind, self._clock, self._name = schema, kind, clock, name
        self._carried = self._padding(schema.before)
        self._texts = [""]

    def over(self, messages: Messages) -> Iterator[LiveBatch]:
        """The windows that end with the messages of the next block."""
        if not len(messages):
            return
        rows = {text: row for row, text in enumerate(self._texts)}
        here = [rows.setdefault(text, len(rows)) for text in messages.texts]
        values: dict[str, NDArray[Any]] = {
            "message": np.array(here, dtype=np.uint32)[messages.text],
            "t_ns": self._clock.set(messages.t_ns), "line": messages.line, "offset": messages.offset,
            "raw": messages.raw,
        }  # fmt: skip
        yield from self._extend(values, list(rows))

    def rest(self) -> Iterator[LiveBatch]:
        """The windows that still waited when the file ended."""
        if self._schema.ahead:
            yield from self._extend(self._padding(self._schema.ahead), self._texts)

    def _padding(self, n: int) -> dict[str, NDArray[Any]]:
        return {one.name: np.full(n, one.fill, dtype=one.dtype) for one in self._schema.streams}

    def _extend(self, values: dict[str, NDArray[Any]], texts: list[str]) -> Iterator[LiveBatch]:
        steps = {name: np.concatenate([self._carried[name], values[name]]) for name in values}
        count = np.bincount(steps["message"], minlength=len(texts))
        yield from self._batches(steps, live_table(texts, self._kind, count))
        self._carry(steps, texts)

    def _batches(self, steps: dict[str, NDArray[Any]], symbols: pl.DataFrame) -> Iterator[LiveBatch]:
        length, judged = self._schema.length, self._schema.before
        n = len(steps["message"]) - length + 1
        if n <= 0:
            return
        most = max(1, MOST_STEPS // length)
        views = {name: sliding_window_view(values, length) for name, values in steps.items()}
        for start in range(0, n, most):
            rows = slice(start, min(start + most, n))
            gathered = {name: np.ascontiguousarray(view[rows]) for name, view in views.items()}
            place = pl.DataFrame(
                {"line": gathered["line"][:, judged], "offset": gathered["offset"][:, judged]}
            ).select(pl.lit(self._name).alias("file"), "line", "offset")
            yield LiveBatch(gathered, symbols, place, t_ns=gathered["t_ns"][:, judged])

    def _carry(self, steps: dict[str, NDArray[Any]], texts: list[str]) -> None:
        first = max(0, len(steps["message"]) - (self._schema.length - 1))
        last = {name: values[first:] for name, values in steps.items()}
        kept, rows = np.unique(np.append(last["message"], 0).astype(np.uint32), return_inverse=True)
        self._texts = [texts[row] for row in kept]
        self._carried = {**last, "message": rows[:-1].astype(np.uint32)}
