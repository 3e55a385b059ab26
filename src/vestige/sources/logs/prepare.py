"""Reading a corpus of logs into a dataset: blocks are parsed by worker processes, merged here in order."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.engine import LOCAL, Engine
from vestige.errors import EvidenceError
from vestige.evidence.simulated import is_simulated
from vestige.reading.dataset import DatasetWriter
from vestige.schema import Schema, Stream, Target
from vestige.sources.base import Progress
from vestige.sources.logs.anomalies import CLASSES, Anomalies, Labeller, meaning
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.clock import Clock
from vestige.sources.logs.corpora import corpora, together
from vestige.sources.logs.embedding.base import HASHING, identify
from vestige.sources.logs.encoder import inputs_with
from vestige.sources.logs.feed import Feed
from vestige.sources.logs.labels import FORMS
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.parse import Messages, parse
from vestige.sources.logs.reading import Reading, Work
from vestige.sources.logs.symbols import Symbols

VERSION = 2
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
    found = identify(embedding)
    settings = {**rules.settings(), "embedding": found, "anomalies": anomalies}
    inputs, classes = inputs_with(found), CLASSES[anomalies]
    return Schema("logs", VERSION, classes, length, stride, STREAMS, inputs, target, settings=settings)


def prepare(
    corpus: Path,
    out: Path,
    options: LogOptions,
    *,
    engine: Engine = LOCAL,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the dataset. Raises EvidenceError, UsageError or OutputError and then leaves nothing behind."""
    parts = corpora(corpus, options)
    rules = together(parts)
    schema = schema_for(
        rules,
        length=options.length,
        stride=options.stride,
        target=options.target,
        embedding=options.embedding,
        anomalies=options.anomalies,
    )
    reading = Reading(parts)
    small = reading.total is not None and reading.total < SMALL
    with DatasetWriter(out, schema, overwrite=overwrite) as writer:
        merge = Merge(writer, assumes=options.year is None)
        for outcome in engine.map(_parse, reading.blocks(), small=small):
            feed, done = reading.sources.popleft()
            merge.add(feed, outcome.unwrap())
            if progress is not None:
                progress(done, reading.total)
        merge.finish(corpus, reading)


def _parse(work: Work) -> Messages:
    return parse(*work)


class Merge:
    """Parsed blocks, in order, into a dataset. `assumes`: nobody said of which year times without one are."""

    def __init__(self, writer: DatasetWriter, *, assumes: bool) -> None:
        self._writer, self._assumes = writer, assumes
        self._yearless: set[str] = set()
        self._formats: Counter[str] = Counter()
        self._symbols = Symbols()
        self._current: Feed | None = None
        self._counts: Counter[str] = Counter()
        self._schema = writer.schema
        self._labels = np.zeros(len(self._schema.classes), dtype=np.int64)
        self._defects: list[dict[str, str]] = []

    def add(self, feed: Feed, messages: Messages) -> None:
        """The next block of `feed`."""
        if feed is not self._current:
            self._begin(feed)
        rows = self._symbols.merge(messages, feed.kind)
        t_ns = self._clock.set(messages.t_ns)
        steps: dict[str, NDArray[Any]] = {
            "message": rows, "t_ns": t_ns, "line": messages.line, "offset": messages.offset,
            "raw": messages.raw,
        }  # fmt: skip
        own = feed.labels(messages.line) if feed.rules.label.kind == "table" else messages.label
        steps, t_ns, label = self._labeller.add(steps, t_ns, own, final=messages.final)
        self._writer.extend(steps, t_ns=t_ns, label=label)
        self._counts.update(messages.counts)
        self._labels += np.bincount(label, minlength=len(self._labels))
        if messages.final:
            self._end(feed)

    def _begin(self, feed: Feed) -> None:
        self._current = feed
        self._formats[feed.rules.format.name] += 1
        if feed.rules.label.kind == "words" and not feed.rules.label.values:
            self._wordless(feed.kind)
        if self._assumes and feed.year is not None:
            self._assume(feed.rules.format.name, feed.year)
        self._clock = Clock(feed.year, feed.first_ns)
        kind: Anomalies = self._schema.settings["anomalies"]
        self._labeller = Labeller(kind, self._schema.before, self._schema.ahead)
        self._writer.begin(id=feed.file.id, host=feed.host, profile=feed.profile)

    def _wordless(self, kind: str) -> None:
        """Say once of a type, and note, that no list of words is there for it."""
        known: list[str] = self._writer.notes.setdefault("types_without_words", [])
        if kind not in known:
            log.warning("no list of words for the type %s: all its messages count as normal", kind)
            known.append(kind)

    def _assume(self, name: str, year: int) -> None:
        """Say once of a format, and note, which year nobody gave: neither the lines nor the person."""
        if name not in self._yearless:
            log.warning(
                "times of the format %s name no year: the first line of each file is taken to be of %d "
                "(--year says otherwise)",
                name,
                year,
            )
        self._yearless.add(name)
        self._writer.notes.setdefault("assumed_year", year)

    def _end(self, feed: Feed) -> None:
        self._writer.close_recording(feed.digest)
        self._defects.extend({"file": feed.file.id, "what": what} for what in feed.defects)
        self._counts.update(files=1, bytes=feed.n_bytes, over_long=feed.over_long, bad_times=self._clock.bad)
        for what in feed.defects:
            log.warning("%s: %s", feed.file.id, what)

    def finish(self, corpus: Path, reading: Reading) -> None:
        """Table and notes. Raises EvidenceError where messages or one of the classes are missing."""
        total = int(self._labels.sum())
        if not total:
            raise reading.refused or EvidenceError("nothing to read: it is empty", where=corpus)
        labels = dict(zip(self._schema.classes, self._labels.tolist(), strict=True))
        _check_classes(labels, corpus)
        origins = [part.rules.label.origin for part in reading.parts]
        origins.append(meaning(self._schema.settings["anomalies"]))
        self._writer.table("messages", self._symbols.table())
        self._writer.notes.update(
            {name: self._counts[name] for name in sorted(self._counts)},
            messages=total,
            label_origin=" ".join(filter(None, dict.fromkeys(origins))),
            synthetic=any(is_simulated(part.path) for part in reading.parts),
            formats=dict(sorted(self._formats.items())),
            unique_messages=len(self._symbols),
            labels=labels,
            skipped=[{"file": one.id, "reason": one.reason} for one in reading.skipped[:MOST_NOTES]],
            skipped_files=len(reading.skipped),
            defects=self._defects[:MOST_NOTES],
        )


def _check_classes(labels: dict[str, int], corpus: Path) -> None:
    """Raise EvidenceError where a class has no messages."""
    found = [name for name, count in labels.items() if count]
    if len(found) == 1:
        raise EvidenceError(
            f"one class only: all {labels[found[0]]} messages are labelled {found[0]}",
            where=corpus,
            remedy=f"say which messages are anomalies: --label {FORMS}",
        )
    if len(found) < len(labels):
        missing = next(name for name in labels if name not in found)
        counts = ", ".join(f"{name}: {count}" for name, count in labels.items())
        raise EvidenceError(
            f"no message is of the class {missing!r} ({counts})",
            where=corpus,
            remedy="use another --anomalies, or other windows (--window-size)",
        )
