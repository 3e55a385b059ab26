"""Reading a corpus of logs into a dataset: blocks are parsed by worker processes, merged here in order."""

from __future__ import annotations

import json
import logging
from collections import Counter, deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige import engine
from vestige.dataset import DatasetWriter
from vestige.errors import EvidenceError
from vestige.schema import Schema, Stream
from vestige.sources.base import Progress
from vestige.sources.corpus import EvidenceFile, Skipped, find, total_size
from vestige.sources.logs import header
from vestige.sources.logs.clock import Clock
from vestige.sources.logs.embedding.base import HASHING, identify
from vestige.sources.logs.encoder import inputs_with
from vestige.sources.logs.feed import Feed
from vestige.sources.logs.format import load
from vestige.sources.logs.labels import FORMS, LabelRule
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.parse import Messages, Rules, parse
from vestige.sources.logs.reader import Block
from vestige.sources.logs.simulate.write import MARKER

VERSION = 2
CLASSES = ("normal", "anomaly")
STREAMS = (
    Stream("message", "uint32"),
    Stream("t_ns", "int64", unit="ns"),
    Stream("line", "int64"),
    Stream("offset", "int64", unit="bytes"),
    Stream("raw", "uint64"),
)
SMALL = 48 << 20
"""Below so many bytes, starting worker processes costs more than it saves."""
MOST_NOTES = 1000

log = logging.getLogger(__name__)


def rules_for(options: LogOptions) -> Rules:
    """What `options` mean. Raises UsageError for an unknown format or label rule."""
    chosen = load(options.format)
    if options.year is not None:
        chosen = chosen.model_copy(update={"year": options.year})
    label = LabelRule.parse(options.label or chosen.label, header.fields(chosen.header))
    return Rules(chosen, label, options.encoding, options.max_line_bytes)


def schema_for(rules: Rules, *, length: int, stride: int, embedding: str = HASHING) -> Schema:
    """The schema of a dataset read by `rules`; its inputs are completed by the fitted encoder.

    Raises UsageError for an embedding that is not there.
    """
    found = identify(embedding)
    settings = {**rules.settings(), "embedding": found}
    return Schema("logs", VERSION, CLASSES, length, stride, STREAMS, inputs_with(found), settings=settings)


class Symbols:
    """Rows of unique masked messages; row 0, the empty text, is padding."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {"": 0}
        self.counts: list[int] = [0]

    def merge(self, messages: Messages) -> NDArray[np.uint32]:
        """The table rows of a block's messages."""
        here = np.empty(len(messages.texts), dtype=np.uint32)
        often = np.bincount(messages.text, minlength=len(here)).tolist()
        for at, text in enumerate(messages.texts):
            row = self.rows.setdefault(text, len(self.rows))
            if row == len(self.counts):
                self.counts.append(0)
            self.counts[row] += often[at]
            here[at] = row
        return here[messages.text]

    def table(self, group: NDArray[np.int64]) -> pl.DataFrame:
        """`text`, `group` and `count` of every row."""
        return pl.DataFrame(
            {"text": list(self.rows), "group": group, "count": self.counts},
            schema={"text": pl.String(), "group": pl.UInt32(), "count": pl.Int64()},
        )

    def groups(self) -> NDArray[np.int64]:
        """Template of every row over the whole corpus: for splitting only, no model ever sees it."""
        from vestige.sources.logs.templates import Matcher, fit_templates

        texts = list(self.rows)[1:]
        templates = fit_templates(texts, self.counts[1:])
        matched = Matcher(templates).match(texts)
        own = len(templates) + np.cumsum(matched < 0)
        return np.concatenate([[0], np.where(matched < 0, own, matched + 1)])


class Reading:
    """A corpus on its way to blocks: what is read, what was skipped, how far it has come."""

    def __init__(self, files: list[EvidenceFile], skipped: list[Skipped], rules: Rules) -> None:
        self.files, self.skipped, self.rules = files, skipped, rules
        self.sources: deque[tuple[Feed, int]] = deque()
        self.refused: EvidenceError | None = None

    def blocks(self) -> Iterator[Block]:
        """Every block of every file; `sources` says, in the same order, which file each came from."""
        done = 0
        for file in self.files:
            feed = Feed(file, self.rules)
            try:
                feed.open()
            except EvidenceError as error:
                if not file.in_directory:
                    raise
                self.refused = self.refused or error
                self.skipped.append(Skipped(file.id, error.what))
                log.warning("%s was left out: %s", file.id, error.what)
                continue
            for block in feed.blocks():
                self.sources.append((feed, done + feed.taken))
                yield block
            done += feed.taken


def prepare(
    corpus: Path,
    out: Path,
    options: LogOptions,
    *,
    jobs: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the dataset. Raises EvidenceError, UsageError or OutputError and then leaves nothing behind."""
    engine.workers(jobs)
    rules = rules_for(options)
    files, skipped = find(corpus, "log files")
    total = total_size(files)
    schema = schema_for(
        rules, length=options.length, stride=options.stride, embedding=options.embedding
    )
    workers = 1 if total is not None and total < SMALL else jobs
    reading = Reading(files, skipped, rules)
    if (assumed := _assumed_year(rules, options)) is not None:
        log.warning(
            "times of the format %s name no year: the first line of each file is taken to be of %d "
            "(--year says otherwise)",
            rules.format.name,
            assumed,
        )
    with DatasetWriter(out, schema, overwrite=overwrite) as writer:
        if assumed is not None:
            writer.notes["assumed_year"] = assumed
        work = partial(parse, json.dumps(rules.settings()))
        merge = Merge(writer, rules)
        for outcome in engine.map(work, reading.blocks(), jobs=workers):
            feed, done = reading.sources.popleft()
            merge.add(feed, outcome.unwrap())
            if progress is not None:
                progress(done, total)
        merge.finish(corpus, reading)


def _assumed_year(rules: Rules, options: LogOptions) -> int | None:
    """The year that nobody gave: neither the lines nor the person."""
    if options.year is not None or rules.format.time_parser().has_year:
        return None
    return rules.format.year


class Merge:
    """Parsed blocks, in order, into a dataset."""

    def __init__(self, writer: DatasetWriter, rules: Rules) -> None:
        self._writer, self._rules = writer, rules
        self._symbols = Symbols()
        self._current: Feed | None = None
        self._counts: Counter[str] = Counter()
        self._labels = np.zeros(len(CLASSES), dtype=np.int64)
        self._defects: list[dict[str, str]] = []

    def add(self, feed: Feed, messages: Messages) -> None:
        """The next block of `feed`."""
        if feed is not self._current:
            self._begin(feed)
        rows = self._symbols.merge(messages)
        t_ns = self._clock.set(messages.t_ns)
        steps: dict[str, NDArray[Any]] = {
            "message": rows, "t_ns": t_ns, "line": messages.line, "offset": messages.offset,
            "raw": messages.raw,
        }  # fmt: skip
        self._writer.extend(steps, t_ns=t_ns, label=messages.label)
        self._counts.update(messages.counts)
        self._labels += np.bincount(messages.label, minlength=len(CLASSES))
        if messages.final:
            self._end(feed)

    def _begin(self, feed: Feed) -> None:
        self._current = feed
        year = None if self._rules.format.time_parser().has_year else self._rules.format.year
        self._clock = Clock(year, feed.first_ns)
        self._writer.begin(id=feed.file.id, host=feed.host, profile=feed.file.profile)

    def _end(self, feed: Feed) -> None:
        self._writer.close_recording(feed.digest)
        self._defects.extend({"file": feed.file.id, "what": what} for what in feed.defects)
        self._counts.update(files=1, bytes=feed.n_bytes, over_long=feed.over_long, bad_times=self._clock.bad)
        for what in feed.defects:
            log.warning("%s: %s", feed.file.id, what)

    def finish(self, corpus: Path, reading: Reading) -> None:
        """Table and notes. Raises EvidenceError for a corpus without messages or with one class only."""
        total = int(self._labels.sum())
        if not total:
            raise reading.refused or EvidenceError("nothing to read: it is empty", where=corpus)
        if not self._labels.all():
            only = CLASSES[int(self._labels.argmax())]
            raise EvidenceError(
                f"one class only: all {total} messages are labelled {only}",
                where=corpus,
                remedy=f"say which messages are anomalies: --label {FORMS}",
            )
        self._writer.table("messages", self._symbols.table(self._symbols.groups()))
        self._writer.notes.update(
            {name: self._counts[name] for name in sorted(self._counts)},
            messages=total,
            label_origin=self._rules.label.origin,
            synthetic=(corpus / MARKER).is_file(),
            unique_messages=len(self._symbols.rows) - 1,
            labels=dict(zip(CLASSES, self._labels.tolist(), strict=True)),
            skipped=[{"file": one.id, "reason": one.reason} for one in reading.skipped[:MOST_NOTES]],
            skipped_files=len(reading.skipped),
            defects=self._defects[:MOST_NOTES],
        )
