"""Telling that clocks went back."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from vestige.reading.windower import RecordingName, WindowBatch
from vestige.service.clocks import MOST_RECORDINGS, Clocks


def test_that_more_clocks_go_back_than_are_told_of_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks(told={f"{number}.log" for number in range(MOST_RECORDINGS - 1)})
    for name in ("a.log", "b.log", "c.log"):
        t_ns = np.array([10**15, 10**9], dtype=np.int64)
        place = pl.DataFrame({"file": [name] * 2, "line": [1, 2]})
        number = np.zeros(2, dtype=np.int64)
        batch = WindowBatch(
            {}, pl.DataFrame(), place, t_ns, list, recordings=(RecordingName(name),), recording=number
        )
        clocks.take(batch)
    told = [record.getMessage() for record in caplog.records]
    assert [text.partition(" goes back")[0] for text in told] == [
        "a.log: its time",
        f"the times of more than {MOST_RECORDINGS} recordings go back: of no other one it is told",
    ]
