"""The language of --where: what it says of records, and what is wrong in an expression; nothing is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.events.exports import START, Row, dataset, objects, table, texts, write
from vestige.errors import UsageError
from vestige.sources.events.where import WhereError, condition, named

RECORD: dict[str, Any] = {
    "event_type": "alert", "alert": {"severity": "2", "tags": ["lateral", "smb"]}, "ok": True, "empty": None,
    "resources": [{"name": "web-1"}, {"name": "web-2"}], "a b": "1.0", "@timestamp": "2026-03-02T08:00:00Z",
}  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ('event_type == "alert"', True),
        ("event_type = 'alert'", True),
        ('event_type == "Alert"', False),
        ('event_type != "alert"', False),
        ('missing != "alert"', True),
        ("alert.severity <= 2", True),
        ("alert.severity < 2", False),
        ("alert.severity == 2.0", True),
        ('alert.severity == "2.0"', False),
        ("missing < 2", False),
        ("missing >= 2", False),
        ('alert.tags == "smb"', True),
        ('alert.tags contains "later"', True),
        ('alert.tags contains "xyz"', False),
        ('resources[].name in ("web-2", "web-9")', True),
        ('resources.name not in ["web-2"]', False),
        ('resources[0].name == "web-2"', False),
        ("ok == true and empty == null", True),
        ("exists alert.severity and not exists missing", True),
        ("exists empty", False),
        ("`a b` == 1", True),
        ('@timestamp >= "2026-03-01" && @timestamp < "2026-04-01"', True),
        ('not (event_type == "alert" or ok == false)', False),
        ('event_type == "x" or event_type == "alert" and ok == true', True),
        ("alert == 2", False),
        (r'event_type == "al\ert"', True),
    ],
)
def test_an_expression_says_what_it_means(expression: str, holds: bool) -> None:
    assert condition(expression)(RECORD) is holds


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "it ends where a field should come"),
        ("event_type ==", "it ends where a value should come"),
        ("event_type", "it ends where a comparison"),
        ("event_type == alert", "'alert'.* where a value"),
        ('"a" == "b"', "'\"a\"'.* where a field"),
        ("(a == 1", r"'\)'"),
        ("a == 1 b", r"'b' \(character 8\) where nothing more"),
        ("a in 1", "a list in parentheses"),
        ("a == 1; import os", "cannot read"),
        ('a == "b', "cannot read"),
        ("(" * 60 + "a == 1" + ")" * 60, "nested more than"),
        ("a == 1 or " * 500 + "a == 1", "longer than"),
        ("__import__('os').system('x')", "cannot read"),
    ],
)
def test_mistakes_are_named(expression: str, message: str) -> None:
    with pytest.raises(WhereError, match=message):
        condition(expression)


def test_an_expression_names_its_fields() -> None:
    assert named("exists a.b and `c d` in (1, 2) and not x[].y contains 'a'") == ["a.b", "c d", "x.y"]


@given(st.text(st.sampled_from("ab.(),=<>!&|'\"`[] 01-@\\notinexists"), max_size=40) | st.text(max_size=40))
def test_any_text_is_an_expression_or_a_mistake(expression: str) -> None:
    try:
        found = condition(expression)
    except WhereError:
        return
    assert isinstance(found(RECORD), bool)


ROWS: list[Row] = [(0, "a", "x", "1"), (1, "a", "y", "0"), (2, "b", "x", ""), (3, "b", "z", "")]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_what_is_left_out_is_counted_and_told(tmp_path: Path, kind: str) -> None:
    content = table(ROWS)
    if kind == "jsonl":
        content = objects(
            [
                {"timestamp": START + at, "machine": machine, "event": event, "label": label}
                for at, machine, event, label in ROWS
            ]
        )
    windows = dataset(write(tmp_path / "a", content), tmp_path / "d", where="event == 'x' or label == 0")
    assert [window[-1] for window in texts(windows)] == ["x", "y", "x"]
    assert windows.notes["unwanted_records"] == 1
    assert windows.notes["left_out_counts"] == {}
    assert "Records that do not fulfil --where are left out: 1." in str(windows.notes["warnings"])


def test_a_wrong_expression_is_an_error_of_its_option(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)--where: it ends where a value.*for example"):
        dataset(write(tmp_path / "a", table(ROWS)), tmp_path / "d", where="a ==")
