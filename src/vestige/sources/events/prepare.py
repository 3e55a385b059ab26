"""Reading a corpus of events into a dataset: blocks are parsed by workers, then sorted."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vestige.engine import LOCAL, Engine
from vestige.errors import EvidenceError
from vestige.evidence.files import EvidenceFile, Skipped, find, total_size
from vestige.evidence.simulated import is_simulated
from vestige.reading.dataset import DatasetWriter
from vestige.schema import Schema, Stream
from vestige.sources.base import Progress
from vestige.sources.events import mapping as mappings
from vestige.sources.events import sorting
from vestige.sources.events.encoder import INPUTS
from vestige.sources.events.feed import Feed
from vestige.sources.events.layout import Layout
from vestige.sources.events.merge import Merge
from vestige.sources.events.options import EventOptions, LabelOf
from vestige.sources.events.parse import Rules, parse
from vestige.sources.events.records import Block
from vestige.sources.events.sessions import without_unions

VERSION = 2
CLASSES = ("normal", "anomaly")
STREAMS = (
    Stream("event", "uint32"),
    Stream("t_ns", "int64", unit="ns"),
    Stream("line", "int64"),
    Stream("offset", "int64", unit="bytes"),
    Stream("file", "uint32"),
    Stream("raw", "uint64"),
)
SMALL = 48 << 20
"""Below so many bytes, starting worker processes costs more than it saves."""
MOST_NOTES = 1000

log = logging.getLogger(__name__)


def rules_for(options: EventOptions) -> Rules:
    """What `options` mean. Raises UsageError for an unknown mapping."""
    return Rules(mappings.chosen(options), options.max_record_bytes)


def label_of(options: EventOptions, rules: Rules) -> LabelOf:
    """Whose label a window carries."""
    return options.label_of or ("event" if rules.mapping.timed else "machine")


def schema_for(rules: Rules, options: EventOptions) -> Schema:
    """The schema of a dataset read by `rules`; its inputs are completed by the fitted encoder."""
    whose = label_of(options, rules)
    settings = rules.settings() | {
        "timeout_s": options.timeout,
        "timed": rules.mapping.timed,
        "label_of": whose,
        "anomalous_files": options.anomalous_files if rules.mapping.kind == "sessions" else "",
    }
    return Schema(
        "events",
        VERSION,
        CLASSES,
        options.context + 1,
        1,
        STREAMS,
        INPUTS,
        target="last" if whose == "event" else "recording",
        settings=settings,
    )


def files_of(corpus: Path, rules: Rules) -> tuple[list[EvidenceFile], list[Skipped]]:
    """What there is to read, and what is left out."""
    files, skipped = find(corpus, "event files")
    if rules.mapping.kind != "sessions":
        return files, skipped
    kept, unions = without_unions(files)
    return kept, skipped + unions


class Reading:
    """A corpus on its way to blocks: what is read, what was skipped, how far it has come."""

    def __init__(
        self, files: list[EvidenceFile], skipped: list[Skipped], rules: Rules, anomalous_files: str
    ) -> None:
        self.files, self.skipped, self.rules = files, skipped, rules
        self.sources: deque[tuple[Feed, int]] = deque()
        self.done: list[Feed] = []
        self.refused: EvidenceError | None = None
        self._anomalous_files = anomalous_files

    def blocks(self) -> Iterator[tuple[Layout, Block]]:
        """Every block of every file; `sources` says, in the same order, which file each came from."""
        done = 0
        for file in self.files:
            feed = Feed(file, self.rules, anomalous_files=self._anomalous_files)
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
            self.done.append(feed)


def prepare(
    corpus: Path,
    out: Path,
    options: EventOptions,
    *,
    engine: Engine = LOCAL,
    overwrite: bool = False,
    progress: Progress | None = None,
    budget: int = sorting.BUDGET,
    fan_out: int = sorting.FAN_OUT,
) -> None:
    """Write the dataset. Raises EvidenceError, UsageError or OutputError and then leaves nothing behind.

    `budget`: how many events are held in memory while they are sorted, over at most `fan_out` open files.
    """
    rules = rules_for(options)
    files, skipped = files_of(corpus, rules)
    total = total_size(files)
    small = total is not None and total < SMALL
    reading = Reading(files, skipped, rules, options.anomalous_files)
    with DatasetWriter(out, schema_for(rules, options), overwrite=overwrite) as writer:
        scratch = writer.root / "scratch"
        scratch.mkdir()
        merge = Merge(scratch / "events")
        work = partial(parse, json.dumps(rules.settings()))
        try:
            for outcome in engine.map(work, reading.blocks(), small=small):
                feed, done = reading.sources.popleft()
                merge.add(feed.file, outcome.unwrap())
                if progress is not None:
                    progress(done, total)
        finally:
            merge.close()
        for feed in reading.done:
            merge.fault(feed.file, feed.bad, feed.faults)
        _check(corpus, reading, merge, options)
        labels = _write(writer, merge, scratch / "events", budget, fan_out)
        shutil.rmtree(scratch)
        writer.notes.update(_notes(corpus, reading, merge, writer.schema, labels))


def _check(corpus: Path, reading: Reading, merge: Merge, options: EventOptions) -> None:
    if not merge.total:
        raise reading.refused or EvidenceError("nothing to read: it holds no event", where=corpus)
    if merge.bad > merge.total:
        first = merge.faults[0]
        raise EvidenceError(
            f"{merge.bad} of {merge.bad + merge.total} records cannot be read; the first: {first['what']}",
            where=first["file"],
            row=first["row"],
            remedy="choose another --mapping, or name the fields (docs/events.md)",
        )
    if options.label is not None and not merge.counts["labelled"]:
        raise EvidenceError(
            f"no record has a label in the field {options.label!r}",
            where=corpus,
            remedy="name another --label, or leave it out: then every event is normal",
        )
    if merge.bad:
        log.warning("%d records were left out, the first in %s", merge.bad, _place(merge.faults[0]))


def _place(fault: dict[str, Any]) -> str:
    return f"{fault['file']}:{fault['row']}: {fault['what']}"


def _write(writer: DatasetWriter, merge: Merge, file: Path, budget: int, fan_out: int) -> list[int]:
    """A recording a machine, in the order of their names; returns how many windows each class has."""
    order = np.array(sorted(range(len(merge.machines)), key=lambda at: merge.machines[at].id), dtype=np.int64)
    whole = writer.schema.target == "recording"
    labels = np.zeros(len(CLASSES), dtype=np.int64)
    for number, pieces in sorting.by_machine(file, order, merge.count[order], budget=budget, fan_out=fan_out):
        machine = merge.machines[number]
        writer.begin(id=machine.id, host=machine.host, sample=machine.sample, profile=machine.profile)
        content = hashlib.sha256()
        for records in pieces:
            steps = {one.name: records[one.name] for one in STREAMS}
            label = np.full(len(records), merge.anomalous[number]) if whole else records["label"]
            writer.extend(steps, t_ns=records["t_ns"], label=label)
            content.update(np.ascontiguousarray(records["raw"]).tobytes())
            labels += np.bincount(label, minlength=len(CLASSES))
        writer.close_recording(content.hexdigest())
    writer.table("events", merge.table())
    writer.table("files", pl.DataFrame({"file": merge.files}, schema={"file": pl.String()}))
    return [int(one) for one in labels]


def _notes(corpus: Path, reading: Reading, merge: Merge, schema: Schema, labels: list[int]) -> dict[str, Any]:
    labelled = merge.counts["labelled"] > 0
    defects = [{"file": one.file.id, "what": what} for one in reading.done for what in one.defects]
    for one in defects:
        log.warning("%s: %s", one["file"], one["what"])
    if not all(labels):
        log.warning("every window is %s", "an anomaly" if labels[1] else "normal: nothing to classify")
    return {
        "events": merge.total,
        "unique_events": len(merge.texts) - 1,
        "files": len(merge.files),
        "bytes": sum(one.n_bytes for one in reading.done),
        "labelled": labelled,
        "labels": dict(zip(CLASSES, labels, strict=True)),
        "label_origin": _origin(schema, labelled=labelled),
        "synthetic": is_simulated(corpus),
        "out_of_order": merge.out_of_order,
        "undecodable_records": merge.counts["undecodable_records"],
        "bad_records": merge.bad,
        "first_bad_records": merge.faults,
        "sessions_of_equal_name": merge.twice,
        "skipped": [{"file": one.id, "reason": one.reason} for one in reading.skipped[:MOST_NOTES]],
        "skipped_files": len(reading.skipped),
        "defects": defects[:MOST_NOTES],
    }


def _origin(schema: Schema, *, labelled: bool) -> str:
    """One sentence that says where labels come from."""
    if not schema.settings["timed"]:
        return "Labels are those of the published sessions: a whole session is an anomaly or none of it."
    if not labelled:
        return "The export has no labels: every event counts as normal."
    if schema.target == "recording":
        return "A machine counts as an anomaly where any of its events carries a label in the export."
    return "Labels are those of the events in the export, as whoever made it set them."
