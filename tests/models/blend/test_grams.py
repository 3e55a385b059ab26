"""n-grams have numbers of their own, and are counted alike at once and in pieces."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vestige.models.blend.grams import GramTally, codes_of, columns_of, read_columns, sublinear, table

SIZE = 7
RECORDINGS = [[2, 3, 2, 3, 2], [4], [], [2, 3, 4, 2, 3, 4, 6], [6, 2, 3]]
TOKENS = np.array([token for tokens in RECORDINGS for token in tokens], dtype=np.int64)
BOUNDS = np.cumsum([0, *map(len, RECORDINGS)])


def number(*gram: int) -> int:
    code = 0
    for token in gram:
        code = code * SIZE + token
    return code


def counted(tokens: list[int]) -> Counter[int]:
    return Counter(
        number(*tokens[end - order : end])
        for end in range(1, len(tokens) + 1)
        for order in (1, 2, 3)
        if order <= end
    )


def test_every_gram_of_a_recording_is_found_and_none_reaches_over_its_end() -> None:
    codes, unit = codes_of(TOKENS, BOUNDS, SIZE)
    found = [Counter(codes[unit == at].tolist()) for at in range(len(RECORDINGS))]
    assert found == [counted(tokens) for tokens in RECORDINGS]


def test_only_what_two_recordings_have_gets_a_column() -> None:
    columns = columns_of(*codes_of(TOKENS, BOUNDS, SIZE))
    holding = Counter(code for tokens in RECORDINGS for code in counted(tokens))
    assert columns.tolist() == sorted(code for code, n in holding.items() if n >= 2)
    assert number(2, 3) in columns
    assert number(3, 2, 3) not in columns


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_a_recording_is_counted_alike_at_once_and_in_pieces(pieces: int) -> None:
    codes, unit = codes_of(TOKENS, BOUNDS, SIZE)
    columns = columns_of(codes, unit)
    whole = table(columns, codes, unit, len(RECORDINGS)).toarray()
    for at, tokens in enumerate(RECORDINGS):
        tally = GramTally(columns, SIZE)
        for piece in np.array_split(np.array(tokens, dtype=np.int64), pieces):
            tally.add(piece)
        row = np.zeros(len(columns))
        row[tally.place] = 1 + np.log(tally.counts)
        assert np.allclose(row, whole[at])


def test_counts_are_damped() -> None:
    codes, unit = codes_of(np.full(100, 2), np.array([0, 100]), SIZE)
    assert table(np.array([2]), codes, unit, 1).toarray() == pytest.approx(1 + np.log(100))
    assert sublinear(table(np.array([2]), codes[:0], unit[:0], 1)).nnz == 0


@pytest.mark.parametrize(
    "codes",
    [np.array([3, 2]), np.array([0, 2]), np.array([SIZE**3]), np.array([2.0]), np.array([[2, 3]])],
)
def test_damaged_columns_are_refused(codes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="n-grams"):
        read_columns(codes, SIZE)
