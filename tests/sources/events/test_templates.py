"""Events that are messages: masked while they are read, templates fitted to training windows alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.sources.events.exports import START, Row, dataset, objects, table, texts, write
from vestige.errors import UsageError
from vestige.reading.encoding import EncodedWindows
from vestige.schema import UNK
from vestige.sources.events.encoder import EventEncoder
from vestige.sources.events.mapping import chosen
from vestige.sources.events.options import EventOptions
from vestige.testing import check_source

USERS = ("ann", "bob", "cy", "dora", "eve", "finn", "gus", "hal", "ida", "joe", "kim", "leo")


def message(at: int) -> str:
    user, address = USERS[at % len(USERS)], f"10.0.{at % 7}.{at}"
    kinds = (
        f"Failed password for {user} from {address} port {40000 + at} ssh2",
        f"Accepted publickey for {user} from {address} port {40000 + at} ssh2",
        f"Connection closed by {address} [preauth]\nsecond line {at}",
    )
    return kinds[at % 3]


def records(n: int, machine: str = "web") -> str:
    return objects([{"timestamp": START + at, "host": machine, "message": message(at)} for at in range(n)])


def test_many_names_become_the_few_kinds_they_are(tmp_path: Path) -> None:
    export = write(tmp_path / "a.jsonl", records(600))
    names = dataset(export, tmp_path / "names", event="message")
    assert len(names.table("events")) - 1 == 600
    windows = dataset(export, tmp_path / "d", template="message", context=2)
    assert windows.notes["unique_events"] == 9
    assert texts(windows)[2] == [
        "Failed password for ann from <ip> port <num> ssh2",
        "Accepted publickey for bob from <ip> port <num> ssh2",
        "Connection closed by <ip> [preauth]",
    ]
    encoder = EventEncoder.fit(windows)
    assert sorted(encoder.events) == [
        "Accepted publickey for <*> from <ip> port <num> ssh2",
        "Connection closed by <ip> [preauth]",
        "Failed password for <*> from <ip> port <num> ssh2",
    ]
    tokens = EncodedWindows.of(windows, encoder).batch(names=("tokens",))["tokens"]
    assert len(set(tokens[:, -1].tolist())) == 3
    assert UNK not in tokens


def test_templates_are_those_of_training_windows(tmp_path: Path) -> None:
    write(tmp_path / "c" / "a.jsonl", records(90))
    slow = [(START + at, f"slow query {at} of {user}") for at, user in enumerate(USERS)]
    other = [{"timestamp": at, "host": "db", "message": text} for at, text in slow]
    write(tmp_path / "c" / "b.jsonl", objects(other))
    windows = dataset(tmp_path / "c", tmp_path / "d", template="message", context=2)
    web = windows.recordings["id"].to_list().index("web")
    encoder = EventEncoder.fit(windows.select(windows.recording == web))
    assert not [event for event in encoder.events if event.startswith("slow")]
    tokens = EncodedWindows.of(windows, encoder).batch(names=("tokens",))["tokens"]
    assert set(tokens[windows.recording != web, -1].tolist()) == {UNK}
    state = json.loads(json.dumps(encoder.to_dict()))
    assert EventEncoder.from_dict(state, windows.schema) == encoder
    again = EventEncoder.fit(windows.select(np.flatnonzero(windows.recording == web)))
    assert again == encoder


def test_templates_keep_the_contract_of_a_source(tmp_path: Path) -> None:
    write(tmp_path / "c" / "a.jsonl", records(40, "web"))
    write(tmp_path / "c" / "b.jsonl", records(30, "db"))
    check_source("events", tmp_path / "c", tmp_path / "work", options=EventOptions(template="message"))


def test_columns_of_a_table_and_joined_fields_are_templated_too(tmp_path: Path) -> None:
    rows: list[Row] = [(at, "a", f"user logged {name} on", "") for at, name in enumerate(USERS)]
    windows = dataset(write(tmp_path / "a.csv", table(rows)), tmp_path / "d", template="machine+event")
    assert EventEncoder.fit(windows).events == ("a/user logged <*> on",)


def test_masks_are_of_the_schema_only_where_they_are_used(tmp_path: Path) -> None:
    export = write(tmp_path / "a.jsonl", records(5))
    assert "templated" not in dataset(export, tmp_path / "d", event="message").schema.settings
    assert dataset(export, tmp_path / "t", template="message").schema.settings["templated"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"template": "message", "event": "rule"}, "--template names the field"),
        ({"template": "message", "mapping": "sessions"}, "have no message"),
        ({"template": "message", "mapping": "strace"}, "have no message"),
    ],
)
def test_what_has_no_message_is_refused(options: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        chosen(EventOptions.model_validate(options))
