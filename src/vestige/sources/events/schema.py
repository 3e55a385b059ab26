"""What a dataset of events holds."""

from __future__ import annotations

from vestige.schema import Schema, Stream
from vestige.sources.events import mapping as mappings
from vestige.sources.events.options import EventOptions, LabelOf
from vestige.sources.events.parse import Rules

VERSION = 2
CLASSES = ("normal", "anomaly")
EVENT = "event"
"""The stream of rows of the table of events."""
STREAMS = (
    Stream(EVENT, "uint32"),
    Stream("t_ns", "int64", unit="ns"),
    Stream("line", "int64"),
    Stream("offset", "int64", unit="bytes"),
    Stream("file", "uint32"),
    Stream("raw", "uint64"),
)


def rules_for(options: EventOptions) -> Rules:
    """What `options` mean. Raises UsageError for an unknown mapping."""
    mapping, *others = mappings.chosen(options)
    return Rules(mapping, options.max_record_bytes, tuple(others))


def label_of(options: EventOptions, rules: Rules) -> LabelOf:
    """Whose label a window carries."""
    if options.label_of:
        return options.label_of
    # A session without times is labelled as a whole.
    return "event" if rules.mapping.timed else "machine"


def schema_for(rules: Rules, options: EventOptions) -> Schema:
    """The schema of a dataset read by `rules`; its inputs are completed by the fitted encoder."""
    from vestige.sources.events.encoder import INPUTS

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
