"""Which messages are anomalies."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestige.errors import UsageError
from vestige.sources.logs.labels import LabelRule

FIELDS = ["Label", "Level", "Content"]


@pytest.mark.parametrize(
    ("rule", "value", "label"),
    [
        ("column", "-", 0),
        ("column", "KERNDTLB", 1),
        ("column", None, 0),
        ("column:0,normal", "normal", 0),
        ("column:0,normal", "-", 1),
        ("level:WARN, ERROR", "ERROR", 1),
        ("level:WARN,ERROR", "INFO", 0),
        ("level:WARN", None, 0),
    ],
)
def test_a_field_decides(rule: str, value: str | None, label: int) -> None:
    assert LabelRule.parse(rule, FIELDS).by_field()(value) == label


def test_a_word_of_the_list_anywhere_in_small_letters_decides(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("Invalid user\n\n(oops)\nfailed\nfail safe\n")
    decide = LabelRule.parse(f"words:{words}", FIELDS).by_text()
    texts = ["INVALID USER bob", "an (oops)", "nothing", "xfailedx", "fail", "failsafe", ""]
    assert [decide(text) for text in texts] == [1, 1, 0, 1, 0, 0, 0]


def test_a_rule_survives_json() -> None:
    rule = LabelRule.parse("level:WARN,ERROR", FIELDS)
    assert LabelRule.from_dict(rule.to_dict()) == rule


@pytest.mark.parametrize("rule", ["", "level", "level:", "words:", "colour", "words:/nowhere/at/all"])
def test_a_rule_that_is_none_is_refused(rule: str) -> None:
    with pytest.raises(UsageError):
        LabelRule.parse(rule, FIELDS)


def test_a_rule_needs_its_field() -> None:
    with pytest.raises(UsageError, match="needs a field <Level>"):
        LabelRule.parse("level:WARN", ["Content"])


def test_a_list_of_words_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_bytes("Fehler\r\nlöschen\r\n".encode("utf-8-sig"))
    assert LabelRule.parse(f"words:{words}", FIELDS).values == ("fehler", "löschen")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("failed\n".encode("utf-16"), "no UTF-8"),
        ("löschen\n".encode("latin-1"), "no UTF-8"),
        (b"failed login\n" * (1 << 17), "more than 1 MiB"),
    ],
)
def test_a_list_of_words_is_read_whole_or_refused(tmp_path: Path, content: bytes, what: str) -> None:
    words = tmp_path / "words.txt"
    words.write_bytes(content)
    with pytest.raises(UsageError, match=what):
        LabelRule.parse(f"words:{words}", FIELDS)


def test_an_empty_list_of_words_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n \n")
    with pytest.raises(UsageError, match="empty"):
        LabelRule.parse(f"words:{tmp_path / 'empty'}", FIELDS)


def test_a_directory_has_a_list_for_each_type(tmp_path: Path) -> None:
    (tmp_path / "auth.txt").write_text("Failed\n")
    (tmp_path / "kern.txt").write_text("oops\n")
    (tmp_path / "README").write_text("not a list\n")
    rule = LabelRule.parse(f"words:{tmp_path}", FIELDS)
    assert LabelRule.from_dict(rule.to_dict()) == rule
    decide = {kind: rule.of(kind).by_text() for kind in ("auth", "kern", "web")}
    found = {kind: [one("it FAILED"), one("Oops")] for kind, one in decide.items()}
    assert found == {"auth": [1, 0], "kern": [0, 1], "web": [0, 0]}
    assert rule.origin.startswith("Labels are a keyword rule over the message: this score measures spelling")
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="no list of words"):
        LabelRule.parse(f"words:{tmp_path / 'none'}", FIELDS)
