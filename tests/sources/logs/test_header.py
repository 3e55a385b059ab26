"""Header patterns: what they mean, and that no line can make them slow."""

from __future__ import annotations

import time

import pytest

from vestige.sources.logs.format import every, load
from vestige.sources.logs.header import compile_header, fields

LOG4J = "<Date> <Time> <Level> [<Process>] <Component>: <Content>"


def groups(pattern: str, line: str, shapes: dict[str, str] | None = None) -> dict[str, str | None] | None:
    found = compile_header(pattern, shapes or {}).match(line)
    return None if found is None else found.groupdict()


def test_a_field_is_the_shortest_text_before_what_comes_next() -> None:
    found = groups(LOG4J, "2015-10-18 18:01:47,978 INFO [IPC Server handler 0] a.b.C: x: [y] z")
    assert found == {
        "Date": "2015-10-18",
        "Time": "18:01:47,978",
        "Level": "INFO",
        "Process": "IPC Server handler 0",
        "Component": "a.b.C",
        "Content": "x: [y] z",
    }


@pytest.mark.parametrize(
    ("line", "pid"), [("sshd(pam_unix)[199]: hello", "199"), ("syslogd 1.4.1: hello", None)]
)
def test_an_optional_part_may_be_absent(line: str, pid: str | None) -> None:
    found = groups("<Component>{[<Pid>]}: <Content>", line)
    assert found is not None
    assert (found["Pid"], found["Content"]) == (pid, "hello")


def test_a_blank_stands_for_any_run_of_blanks_and_before_the_content_for_the_end() -> None:
    assert groups("<A> <B>: <Content>", "x \t  y:") == {"A": "x", "B": "y", "Content": ""}


def test_doubled_signs_stand_for_themselves() -> None:
    assert groups("<<<Priority>> {{<A>}} <Content>", "<34> {a} b") == {
        "Priority": "34",
        "A": "a",
        "Content": "b",
    }


def test_a_field_with_a_shape_refuses_other_text() -> None:
    assert groups("<Date> <Content>", "Caused by: x", {"Date": r"\d{4}"}) is None


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("<A> <B>", "the last field must be <Content>"),
        ("<A><B> <Content>", "tell where it ends"),
        ("<A> <A> <Content>", "twice"),
        ("<A> {[<B>] <Content>", "never closed"),
        ("<A>} <Content>", "closes nothing"),
        ("<A> < <Content>", "begins no field"),
        ("{[{<A>}]} <Content>", "inside an optional part"),
        ("", "the last field"),
    ],
)
def test_a_mistake_in_a_pattern_is_explained(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        compile_header(pattern, {})


def test_fields_are_listed_in_order() -> None:
    assert fields("<A>{[<B>]}: <Content>") == ["A", "B", "Content"]


HOSTILE = [" ", "[", "]", "-", "a ", "[a] ", ": ", " - ", "0", "0-", "a:", "<", "a[", "- ", "|", "00:"]


@pytest.mark.parametrize("name", [name for name, _ in every()])
def test_no_line_makes_a_shipped_header_slow(name: str) -> None:
    chosen = load(name)
    header, start = chosen.compiled(), chosen.example[0]
    began = time.process_time()
    for part in HOSTILE:
        for cut in range(0, len(start), 7):
            header.match(start[:cut] + part * (65_536 // len(part)))
    assert time.process_time() - began < 4
