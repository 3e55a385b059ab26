"""What encoders share: an unknown event that comes again is told from a new one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.conftest import plain_schema
from vestige.reading.dataset import DatasetWriter
from vestige.reading.encoding import EncodedWindows, Encoder, mark_repeated_unknown
from vestige.reading.windows import WindowSet
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


class Sums:
    """Encodes windows of the stream `value` as its steps."""

    def streams(self, names: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002
        return ("value",)

    def encode(self, steps: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        return {names[0]: steps["value"]}


def resident_of_files() -> int:
    """Bytes of mapped files that this process holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile"))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_pass_over_all_windows_does_not_keep_the_files_resident(tmp_path: Path) -> None:
    steps = np.arange(1 << 21)
    with DatasetWriter(tmp_path / "d", plain_schema()) as writer:
        writer.begin(id="r", host="h")
        writer.extend({"value": steps, "t_ns": steps}, t_ns=steps, label=np.zeros(len(steps), dtype=np.uint8))
    encoded = EncodedWindows(WindowSet.open(tmp_path / "d"), cast("Encoder", None), cast("Any", Sums()))

    def grown(let_go_after: int) -> int:
        encoded.windows.let_go()
        before, most, seen = resident_of_files(), 0, 0
        for rows, X in encoded.batches(1 << 14, ("x",), let_go_after=let_go_after):
            most = max(most, resident_of_files() - before)
            seen += len(rows)
            assert len(X["x"]) == len(rows)
        assert seen == len(steps)
        return most

    grown(1 << 30)  # what gathers windows is imported with the first ones
    assert grown(1 << 17) < grown(1 << 30) / 3
