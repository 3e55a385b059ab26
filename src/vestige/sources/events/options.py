"""How a corpus of events is to be read. Field descriptions are the command line's help texts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TimeUnit = Literal["auto", "iso", "s", "ms", "us", "ns"]
LabelOf = Literal["event", "machine"]
LONGEST_TIMEOUT = 1e9
LONGEST_RECORD = 1 << 24


class EventOptions(BaseModel):
    """Options of `vestige prepare events` and `vestige run events`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mapping: str = Field(
        default="auto",
        description="what the fields are called: a tool's name (suricata, zeek, wazuh, windows, ...; see "
        "docs/events.md), csv, jsonl, sessions, the path of your own (my.toml), or auto: what fits",
    )
    timestamp: str | None = Field(default=None, description="field with the time, instead of the mapping's")
    machine: str | None = Field(default=None, description="field with the machine, instead of the mapping's")
    machine_name: str | None = Field(
        default=None,
        description="what the machine is called where records name none: for a log of one machine",
    )
    event: str | None = Field(
        default=None, description="field with the event, instead of the mapping's; a+b joins two fields"
    )
    template: str | None = Field(
        default=None,
        description="field with a message that is the event: what varies in it is masked, and templates are "
        "made of the rest, as of logs",
    )
    label: str | None = Field(default=None, description="field with the label, instead of the mapping's")
    negatives: str | None = Field(
        default=None,
        description="labels that mean normal, with commas (default: 0,-,normal,benign,false; none is normal)",
    )
    label_of: LabelOf | None = Field(
        default=None,
        description="whose label a window carries: that of its event, or its machine's (any of its events "
        "labelled); default: event, and machine for sessions",
    )
    anomalous_files: str | None = Field(
        default=None,
        description="names of the files whose sessions are anomalies (default: *abnormal*); of system calls "
        "also of their directories, or with a slash of paths; with commas (default: *attack*, ...)",
    )
    time_unit: TimeUnit | None = Field(
        default=None,
        description="how times are written: iso, s, ms, us, ns, or auto (ISO, or epoch by its magnitude)",
    )
    time_format: str | None = Field(
        default=None,
        description="layout of times, such as '%d/%m/%Y %I:%M:%S %p', for those that auto does not know or "
        "that could begin with their day or their month",
    )
    where: str | None = Field(
        default=None,
        description="records that count, such as 'event_type == \"alert\" and alert.severity <= 2'; all "
        "others are left out and counted",
    )
    context: int = Field(default=10, ge=1, le=1023, description="events before the one judged in a window")
    timeout: float = Field(
        default=86_400,
        gt=0,
        le=LONGEST_TIMEOUT,
        description="seconds after which an earlier event is out of context",
    )
    max_record_bytes: int = Field(
        default=1 << 20,
        ge=1024,
        le=LONGEST_RECORD,
        description="a longer record is counted as bad and left out",
    )
    values: bool = Field(
        default=False,
        description="keep, of every event, up to 8 values that the mapping names (numbers, and hashes of "
        "others): for detectors that look at values",
    )
