"""Mappings: what a person writes, and the advice for what is wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sources.events.exports import write
from vestige.errors import UsageError
from vestige.sources.events.mapping import Mapping, chosen, load
from vestige.sources.events.options import EventOptions
from vestige.sources.events.parse import Rules
from vestige.sources.events.schema import rules_for, schema_for

GOOD = 'timestamp = ["t"]\nmachine = ["m"]\nevent = ["e"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("machine = ['m']\nevent = ['e']\n", r"own.toml: .*`timestamp = \[...\]` is missing"),
        (GOOD.replace('"m"', '"m+"'), "machine: 'm\\+' names no field"),
        (GOOD + 'kind = "xml"\n', "kind: "),
        (GOOD + "colour = 1\n", "colour: there is nothing of this name"),
        (GOOD.replace('["e"]', "[]"), "event: "),
        ("= nonsense", "not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){message}"):
        load(str(write(tmp_path / "own.toml", text)))


def test_binary_is_no_mapping(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        load(str(write(tmp_path / "own.toml", b"\xff\xfe")))


def test_options_override_what_the_mapping_says() -> None:
    (mapping,) = chosen(EventOptions(mapping="ecs", event="my.code", negatives="Fine, OK", time_unit="ms"))
    assert mapping.event == ("my.code",)
    assert mapping.negatives == ("fine", "ok")
    assert mapping.time_unit == "ms"
    assert mapping.machine == load("ecs").machine


def test_whatever_changes_numbers_changes_the_schema() -> None:
    ways: list[dict[str, Any]] = [
        {}, {"mapping": "jsonl"}, {"event": "x"}, {"time_unit": "ms"}, {"timeout": 5}, {"context": 3},
        {"negatives": "x"}, {"label_of": "machine"}, {"max_record_bytes": 2048}, {"where": "exists x"},
        {"machine_name": "a"},
        {"time_format": "%d/%m/%Y"}, {"mapping": "csv"}, {"mapping": "csv", "where": "exists x"},
        {"mapping": "sessions"},
    ]  # fmt: skip
    made = [EventOptions(**one) for one in ways]
    assert len({schema_for(rules_for(one), one).digest for one in made}) == len(ways)


def test_settings_give_the_rules_back() -> None:
    rules = Rules(Mapping(timestamp=("t",), machine=("m",), event=("a+b",)), 4096)
    assert Rules.from_settings(rules.settings()) == rules
