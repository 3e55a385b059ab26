"""Mappings that were met before: new files are read by them, where they fit, and it is told where not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vestige.errors import EvidenceError
from vestige.sources.events.fitting import NOT_MET, check
from vestige.sources.events.options import EventOptions
from vestige.sources.events.parse import Rules
from vestige.sources.events.reader import EventReader
from vestige.sources.events.schema import rules_for
from vestige.sources.registry import get

SURICATA = {
    "timestamp": "2026-03-02T08:00:00.000000+0000",
    "flow_id": 1,
    "event_type": "alert",
    "src_ip": "10.0.0.1",
    "host": "web",
    "alert": {"signature": "scan", "signature_id": 7, "category": "bad", "severity": 1},
}
PLAIN = {"timestamp": "2026-03-02T08:00:00Z", "host": "web", "event": "logon"}
"""What `jsonl` reads, and no narrower mapping."""
TABLE = "timestamp,host,event\n{day}/{month}/2026 08:00:00,web,logon\n"


def remembering(rules: Rules, name: str, **settled: Any) -> Rules:
    return rules.remembering([{"form": {"name": name}, "settled": settled}])


def line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def test_a_file_is_read_by_the_mapping_that_was_met() -> None:
    auto = rules_for(EventOptions())
    assert check(line(SURICATA), auto, "x").layout.mapping == "suricata"
    assert NOT_MET not in check(line(SURICATA), remembering(auto, "suricata"), "x").warnings
    fit = check(line(PLAIN), remembering(auto, "suricata"), "x")
    assert fit.layout.mapping == "jsonl"
    assert NOT_MET in fit.warnings
    assert NOT_MET not in check(line(PLAIN), auto, "x").warnings


def test_signs_of_another_kind_go_before_a_general_mapping_that_was_met() -> None:
    own = remembering(rules_for(EventOptions()), "jsonl")
    fit = check(line(SURICATA), own, "x")
    assert fit.layout.mapping == "suricata"
    assert NOT_MET in fit.warnings


def test_dates_that_tell_nothing_begin_as_those_learnt_from() -> None:
    rules = rules_for(EventOptions(mapping="csv"))
    either, told = TABLE.format(day="03", month="04").encode(), TABLE.format(day="23", month="04").encode()
    assert check(told, rules, "x").layout.day_first
    with pytest.raises(EvidenceError, match="could begin with its day or its month"):
        check(either, rules, "x")
    for day_first in (True, False):
        own = remembering(rules, "csv", day_first=day_first)
        assert check(either, own, "x").layout.day_first is day_first
        # What a file itself shows goes before.
        assert check(told, own, "x").layout.day_first


def test_what_was_settled_is_kept_where_all_files_agree(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TABLE.format(day="23", month="04"))
    (tmp_path / "b.csv").write_text(TABLE.format(day="24", month="04"))
    source = get("events")
    kept = source.prepare(tmp_path, tmp_path / "one", EventOptions())
    (form,) = kept.notes["forms"]
    assert form["form"]["name"] == "csv"
    assert form["settled"] == {"day_first": True}
    (tmp_path / "b.csv").write_text(TABLE.format(day="04", month="24"))
    mixed = source.prepare(tmp_path, tmp_path / "two", EventOptions())
    assert mixed.notes["forms"][0]["settled"] == {}


def test_what_is_no_memory_of_mappings_is_refused() -> None:
    reader = EventReader.of_corpus(EventOptions())
    wrong: dict[str, Any]
    for wrong in ({"form": {"name": "csv"}}, {"form": {"name": 7}, "settled": {}}, {"settled": {}}):
        with pytest.raises((ValueError, KeyError, TypeError)):
            reader.remember([wrong])
    with pytest.raises(ValueError, match="day_first"):
        reader.remember([{"form": {"name": "csv"}, "settled": {"day_first": "yes"}}])
