"""What a dataset of events holds."""

from __future__ import annotations

from vestige.schema import Schema, Stream
from vestige.sources.events import mapping as mappings
from vestige.sources.events.calls import ATTACKS, KINDS
from vestige.sources.events.options import EventOptions, LabelOf
from vestige.sources.events.parse import Rules
from vestige.sources.events.settings import EventSettings
from vestige.sources.logs.slots import N_SLOTS

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
SLOTS = "slots"
"""The stream of the values that the mapping names, where they are kept."""


def rules_for(options: EventOptions) -> Rules:
    """What `options` mean. Raises UsageError for an unknown mapping."""
    mapping, *others = mappings.chosen(options)
    named = mapping.values or any(other.values for other in others)
    return Rules(mapping, options.max_record_bytes, tuple(others), options.values and bool(named))


def label_of(options: EventOptions, rules: Rules) -> LabelOf:
    """Whose label a window carries."""
    if options.label_of:
        return options.label_of
    # A session is labelled as a whole, as is a trace of system calls.
    return "machine" if rules.mapping.kind in {"sessions", *KINDS, "syscalls"} else "event"


def anomalous_files(options: EventOptions, rules: Rules) -> str:
    """What files with anomalies are called, where a file's name is what says so."""
    kind = rules.mapping.kind
    if kind == "sessions":
        return options.anomalous_files or "*abnormal*"
    if kind in KINDS or kind == "syscalls" or rules.others:
        return options.anomalous_files or ATTACKS
    return ""


def schema_for(rules: Rules, options: EventOptions) -> Schema:
    """The schema of a dataset read by `rules`; its inputs are completed by the fitted encoder."""
    from vestige.sources.events.encoder import INPUTS

    whose = label_of(options, rules)
    own = EventSettings(
        options.timeout,
        rules.mapping.timed,
        whose,
        anomalous_files(options, rules),
        templated=any(mapping.masks for mapping in rules.choices),
    )
    streams: tuple[Stream, ...] = STREAMS
    if rules.values:
        streams = (*STREAMS, Stream(SLOTS, "uint64", (N_SLOTS,)))
    return Schema(
        "events",
        VERSION,
        CLASSES,
        options.context + 1,
        1,
        streams,
        INPUTS,
        target="last" if whose == "event" else "recording",
        settings=rules.settings() | own.to_dict(),
    )
