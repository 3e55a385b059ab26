"""Expressions as programs match what `re` matches, at every place of every text."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vestige.sources.logs.format import every
from vestige.sources.logs.kernel.machine import DEPTH, NO_MATCH, TOO_DEEP, match
from vestige.sources.logs.kernel.program import Program, UnsupportedError
from vestige.sources.logs.masks import SHARED

OWN = [
    r"a(b|bc|c)*+d?", r"(?:ab|a)(?:b|c)", r"(?>a+?)b", r"(a)(?=b|c)\w", r"x(?!yz|.1)\S{1,3}",
    r"(?<!ab|cd)\d", r"(?<=(?:a|b)1)2", r"([ab])(\d)\2\1", r"(a|b)?\1c|d", r"^\w+?$", r"\b\d+\b", r"\B1",
    r"a{2,3}?b", r"(?:a1){2,}", r"(?:ab?){1,3}+b", r"[^ab]{2,3}+1", r".+\Z", r"\A(?:a|b)", r"(?!a)\w*?1",
    r"(?:(?=(a+))\1b)", r"a(?=.*\n)\s", r"(?i:[A-BX]c|[^y])(?-i:D)?z?",
]  # fmt: skip
"""Every kind of piece that an expression may have."""
PATTERNS = [
    *SHARED.values(),
    *(pattern for _, chosen in every() for pattern in chosen.mask.values()),
    *(f"(?>{pattern})x?y" for _, chosen in every() for pattern in chosen.field.values()),
    *OWN,
]
TEXTS = st.one_of(
    st.text(st.sampled_from("abcdxyz012 1\n"), max_size=16),
    st.text(st.sampled_from("aA0f19xZ -./:_@,\"'=k\\<>[]()"), max_size=40),
    st.lists(
        st.sampled_from(
            ["10.1.2.3", ":80", "0x", "1f", "/var/", "a.b.c", "12:30:01", "2005-06-12", "12 ", "KB", "user=",
             "rhost=", "http://", "@", "0a1b2c3d", "-", "com.", "blk_", "lifetime <1 sec", "\"", " 200 "]
        ),
        max_size=8,
    ).map("".join),
)  # fmt: skip


def matched(
    program: Program, data: NDArray[np.uint8], at: int, spans: NDArray[np.int64], entry: int = 0
) -> int:
    code, sets = program.arrays()
    spots, chances = np.array([at]), np.ones(1, np.uint64)
    stack = np.zeros(4 * DEPTH, np.int64)
    given = (code.reshape(-1), sets, entry, data, 0, len(data), spots, chances, np.uint64(1), 0, 1)
    spot, end = match(*given, spans, stack)
    assert spot == (end == NO_MATCH)
    return end


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=60)
@given(text=TEXTS)
def test_a_program_matches_what_its_expression_matches(pattern: str, text: str) -> None:
    if _may_be_empty(pattern):
        pattern += "(?:)"
    program = Program()
    groups = frozenset(re.compile(pattern).groupindex)
    expression = program.add(pattern, groups)
    data = np.frombuffer(bytearray(text.encode()), np.uint8)
    for at in range(len(text) + 1):
        spans = np.full(2 * program.n_groups, -1, np.int64)
        end = matched(program, data, at, spans, entry=expression.entry)
        # `re.match(text, at)` would let `^` match at `at`.
        found = re.compile(f"(?s:.{{{at}}})(?P<here>{_numbered(pattern)})", re.ASCII).match(text)
        if pattern.startswith(("^", r"\A")):
            found = re.compile(f"(?P<here>{_numbered(pattern)})", re.ASCII).match(text) if at == 0 else None
        assert end == (NO_MATCH if found is None else found.end("here"))
        if end != NO_MATCH:
            assert end - at >= expression.least
            assert at == len(text) or ord(text[at]) in expression.first or not expression.least
            assert (ord(text[at - 1]) if at else 0) in expression.after
            assert all(chr(character) in text for character in expression.needs)


def _may_be_empty(pattern: str) -> bool:
    return re.compile(pattern).match("") is not None


def _numbered(pattern: str) -> str:
    """The expression within a group: what it refers to is called by one more."""
    return re.sub(r"\\([1-8])", lambda found: f"\\{int(found[1]) + 1}", pattern)


def test_groups_are_told_and_set_right_again() -> None:
    program = Program()
    expression = program.add(r"(?:(?P<a>x+)y|(?P<b>x)xz)(?P<c>\d)?", frozenset("abc"))
    data = np.frombuffer(bytearray(b"xxz7"), np.uint8)
    spans = np.full(2 * program.n_groups, -1, np.int64)
    assert matched(program, data, 0, spans) == 4
    told = {name: tuple(spans[2 * number : 2 * number + 2]) for name, number in expression.groups.items()}
    assert told == {"a": (-1, -1), "b": (0, 1), "c": (3, 4)}


@pytest.mark.parametrize(
    "pattern", ["(?s:.)a", r"(?i:(a)\1)", "(a)?(?(1)b|c)", "(?:a*)*", "(?:a?b?)+", "a{5000}(?:ab){4000}"]
)
def test_what_no_program_has_is_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedError):
        Program().add(pattern)


def test_a_stack_without_room_is_told() -> None:
    program = Program()
    program.add(r"(?:ab|a.)*c")
    data = np.frombuffer(bytearray(b"ab" * 5000), np.uint8)
    spans = np.full(2 * program.n_groups, -1, np.int64)
    assert matched(program, data, 0, spans) == TOO_DEEP
