"""Fields: nested, dotted, mixed; lists, nulls and joined alternatives."""

from __future__ import annotations

from typing import Any

import pytest

from vestige.sources.events.fields import TEXT_CHARACTERS, columns, look_up, of_object, of_row, text_of


@pytest.mark.parametrize(
    "record",
    [
        {"a": {"b": {"c": "x"}}},
        {"a.b.c": "x"},
        {"a.b": {"c": "x"}},
        {"a": {"b.c": "x"}},
        {"a": None, "a.b": None, "a.b.c": "x"},
        {"a": {"b": None}, "a.b": {"c": "x"}},
        {"a": "text", "a.b.c": "x"},
    ],
)
def test_keys_may_be_nested_or_dotted(record: dict[str, Any]) -> None:
    assert look_up(record, "a.b.c") == "x"
    assert look_up(record, "a.b.d") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" x ", "x"), (None, ""), (True, "true"), (False, "false"), ({"a": "b"}, ""),
        (["a", " ", "b"], "a,b"),
        ([["deep"]], ""), ("a\0b", "ab"), ("y" * 5000, "y" * TEXT_CHARACTERS), (["z" * 900] * 3, None),
    ],
)  # fmt: skip
def test_values_become_short_plain_text(value: Any, text: str | None) -> None:
    found = text_of(value)
    assert len(found) <= TEXT_CHARACTERS
    assert text is None or found == text


def test_the_first_alternative_that_is_there_counts() -> None:
    pick = of_object(["rule.id+event.action", "event.code"])
    assert pick({"rule": {"id": "7"}, "event": {"action": "deny"}}) == "7/deny"
    assert pick({"rule": {"id": "7"}, "event": {"code": "9"}}) == "7"
    assert pick({"rule": {"id": " "}, "event": {"code": "9"}}) == "9"
    assert pick({}) == ""


def test_rows_pick_by_the_header() -> None:
    header = ["code", "rule", "action", "rule"]
    places = columns(["rule+action", "missing+code", "code"], header)
    assert places == ((1, 2), (0,))
    pick = of_row([places, columns(["code"], header), ()])
    assert pick(["c", "r", "a", "other"]) == ("r/a", "c", "")
    assert pick(["c", "", "a", "other"]) == ("c", "c", "")
    assert of_row([columns([one], header) for one in ("code", "rule")])(["c", "r", "a", "x"]) == ("c", "r")
