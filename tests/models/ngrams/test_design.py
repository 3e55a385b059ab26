"""N-grams of tokens, hashed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from vestige.models.ngrams.design import token_ngrams, unit_rows
from vestige.schema import PAD, UNK

BITS = 18
TOKENS = arrays(np.int64, st.tuples(st.integers(0, 6), st.integers(1, 7)), elements=st.integers(0, 5))


def dense(tokens: list[list[int]], orders: int) -> np.ndarray:
    return np.asarray(token_ngrams(np.array(tokens, dtype=np.int64), orders, BITS).toarray())


def test_orders_tell_apart_what_counts_cannot() -> None:
    there, back = [[2, 3, 4]], [[4, 3, 2]]
    assert np.array_equal(dense(there, 1), dense(back, 1))
    assert not np.array_equal(dense(there, 2), dense(back, 2))


def test_counts_are_damped() -> None:
    row = dense([[2, 2, 2]], 1)
    assert row[row > 0] == pytest.approx([np.log(4)])


def test_what_training_never_saw_leaves_no_trace() -> None:
    assert not dense([[UNK, UNK, UNK]], 3).any()
    assert np.array_equal(dense([[2, UNK, 3]], 3), dense([[3, UNK, 2]], 1))


def test_padding_marks_the_beginning_and_nothing_more() -> None:
    assert not dense([[PAD, PAD, PAD]], 2).any()
    assert np.array_equal(dense([[PAD, 2, 3]], 2), dense([[PAD, PAD, 2, 3]], 2))
    assert np.array_equal(dense([[PAD, 2, 3]], 3), dense([[PAD, PAD, PAD, 2, 3]], 3))
    assert not np.array_equal(dense([[PAD, 2, 3]], 2), dense([[PAD, 3, 2]], 2))


@given(TOKENS, st.integers(1, 4))
def test_a_row_does_not_depend_on_the_others(tokens: np.ndarray, orders: int) -> None:
    whole = token_ngrams(tokens, orders, BITS)
    assert whole.shape == (len(tokens), 1 << BITS)
    for at in range(len(tokens)):
        alone = token_ngrams(tokens[at : at + 1], orders, BITS)
        assert (whole[[at]] != alone).nnz == 0


@given(TOKENS)
def test_first_order_counts_every_known_token(tokens: np.ndarray) -> None:
    rows = token_ngrams(tokens, 1, BITS)
    known = (tokens != PAD) & (tokens != UNK)
    assert np.allclose(np.expm1(rows.toarray()).sum(axis=1), known.sum(axis=1))


def test_pieces_are_as_the_whole() -> None:
    tokens = np.random.default_rng(0).integers(0, 9, size=(50, 8))
    whole = token_ngrams(tokens, 3, BITS)
    assert (token_ngrams(tokens, 3, BITS, steps=16) != whole).nnz == 0


def test_unit_rows_leave_empty_rows_empty() -> None:
    rows = unit_rows(sparse.csr_array(np.array([[3.0, 4.0], [0.0, 0.0]])))
    assert rows.toarray() == pytest.approx(np.array([[0.6, 0.8], [0.0, 0.0]]))
