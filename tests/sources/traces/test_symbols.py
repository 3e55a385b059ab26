"""Values as rows of a table: each unique one once, whatever their order, and never too many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestige.errors import EvidenceError
from vestige.sources.traces.regions import ANONYMOUS, FIRST_FILE, NOWHERE, UNMAPPED
from vestige.sources.traces.symbols import OWN_TOKENS, Symbols, moved, shares, table
from vestige.sources.traces.tokens import LAST_OFFSET, MODULE_SHIFT, NOT_TAKEN, TAKEN

NAMES = ("<nowhere>", "<unmapped>", "<no file>", "[kernel]", "a.so", "b.so")
A, B = FIRST_FILE, FIRST_FILE + 1


def value(module: int, offset: int) -> int:
    return module << MODULE_SHIFT | offset


@given(st.lists(st.lists(st.integers(1, 40), max_size=30), max_size=6))
def test_rows_lead_back_to_their_values(chunks: list[list[int]]) -> None:
    symbols = Symbols()
    for chunk in chunks:
        values = np.array(chunk, dtype=np.uint64)
        rows = symbols.rows(values)
        assert (symbols.values[rows] == values).all()
    every = [one for chunk in chunks for one in chunk]
    assert symbols.values.tolist() == list(dict.fromkeys([0, *every]))


def test_a_table_grows_with_what_is_in_it() -> None:
    values = np.random.default_rng(0).integers(1, 1 << 16, 100_000).astype(np.uint64) << np.uint64(40)
    symbols = Symbols()
    rows = [symbols.rows(part) for part in np.array_split(values, 7)]
    assert (symbols.values[np.concatenate(rows)] == values).all()
    assert len(symbols) == len(np.unique(values)) + 1
    assert symbols.rows(np.zeros(1, dtype=np.uint64)).tolist() == [0]


def test_what_every_value_is() -> None:
    values = [
        0, value(A, 0x10), value(A, TAKEN), value(B, NOT_TAKEN), value(UNMAPPED, 0xDEAD),
        value(ANONYMOUS, 0x20), value(NOWHERE, TAKEN), value(UNMAPPED, NOT_TAKEN), value(B, LAST_OFFSET),
    ]  # fmt: skip
    found = table(np.array(values, dtype=np.uint64), NAMES)
    assert found["text"].to_list() == [
        "", "a.so+0x10", "a.so taken", "b.so not taken", "<unmapped> 0xdead", "<no file> +0x20",
        "<nowhere> taken", "<unmapped> not taken", f"b.so+0x{LAST_OFFSET:x}",
    ]  # fmt: skip
    outside = found["token"].to_list()[4:8]
    assert outside == ["<unmapped>", "<no file>", "<nowhere> taken", "<unmapped> not taken"]
    assert set(outside) <= set(OWN_TOKENS)
    assert found["kind"].to_list() == [0, 1, 2, 3, 1, 1, 2, 3, 1]


def test_addresses_without_a_module_never_fill_the_table() -> None:
    symbols = Symbols(most=64)
    wild = np.array([value(UNMAPPED, at) for at in range(1, 31)], dtype=np.uint64)
    symbols.rows(wild)
    symbols.rows(np.array([value(FIRST_FILE, at) for at in range(5)], dtype=np.uint64))
    more = np.array([value(UNMAPPED, at) for at in range(1000, 9000)], dtype=np.uint64)
    assert len(np.unique(symbols.rows(more))) == 1
    with pytest.raises(EvidenceError, match="different targets"):
        symbols.rows(np.array([value(FIRST_FILE, at) for at in range(100)], dtype=np.uint64))


def test_modules_are_renumbered_and_nothing_else() -> None:
    values = np.array([value(A, 7), value(B, TAKEN), value(UNMAPPED, 9)], dtype=np.uint64)
    numbers = np.array([0, 1, 2, 3, 9, 8], dtype=np.uint64)
    assert moved(values, numbers).tolist() == [value(9, 7), value(8, TAKEN), value(UNMAPPED, 9)]


def test_shares_are_of_events_and_of_targets() -> None:
    values = np.array(
        [0, value(A, 1), value(A, TAKEN), value(UNMAPPED, 5), value(ANONYMOUS, 5)], dtype=np.uint64
    )
    found = shares(np.array([0, 6, 10, 3, 1]), values)
    assert found == {"targets": 0.5, "unmapped": 0.3, "no_file": 0.1}
