"""What encoders share: an unknown event that comes again is told from a new one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vestige.reading.encoding import mark_repeated_unknown
from vestige.schema import UNK

SIZE = 5
SYMBOLS = arrays(np.uint32, st.tuples(st.integers(0, 6), st.integers(1, 8)), elements=st.integers(0, 9))


@given(SYMBOLS)
def test_an_unknown_event_has_a_number_of_its_own_where_the_window_showed_it_before(
    symbol_BT: NDArray[np.uint32],
) -> None:
    tokens_BT = np.where(symbol_BT < SIZE, symbol_BT, UNK).astype(np.int64)
    given_BT = tokens_BT.copy()
    told_BT = mark_repeated_unknown(tokens_BT, symbol_BT, SIZE)
    assert np.array_equal(tokens_BT, given_BT)
    for tokens, symbols, told in zip(tokens_BT.tolist(), symbol_BT.tolist(), told_BT.tolist(), strict=True):
        came = symbols[-1]
        again = tokens[-1] == UNK and came in symbols[:-1]
        pairs = zip(tokens, symbols, strict=True)
        assert told == [SIZE if again and symbol == came else token for token, symbol in pairs]
