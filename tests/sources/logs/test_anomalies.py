"""Labels of windows: of the message, of what is around it, and both told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import plain_schema
from vestige.sources.logs.anomalies import (
    CLASSES,
    Anomalies,
    WindowLabeller,
    anomalies_of,
    window_labels,
)

KINDS = st.sampled_from(sorted(CLASSES))
BITS = st.lists(st.integers(0, 1), max_size=40)
REACH = st.integers(0, 6)


def labels(own: str, kind: Anomalies, before: int, ahead: int) -> str:
    found = window_labels(np.array([int(one) for one in own], np.uint8), kind, before, ahead)
    return "".join(str(one) for one in found)


@pytest.mark.parametrize("kind", [None, "other", 1, ["point"], {"point": 1}])
def test_what_a_schema_says_and_is_no_kind_is_refused(kind: object) -> None:
    schema = replace(plain_schema(4, 1), settings={"anomalies": kind})
    with pytest.raises(ValueError, match="anomalies is "):
        anomalies_of(schema)
    assert anomalies_of(replace(schema, settings={"anomalies": "four"})) == "four"


@pytest.mark.parametrize(
    ("kind", "own", "before", "ahead", "expected"),
    [
        ("point", "0010010", 2, 2, "0010010"),
        ("collective", "0010000", 2, 0, "0001100"),
        ("collective", "0010000", 1, 1, "0101000"),
        ("collective", "0011000", 1, 0, "0001100"),
        ("collective", "1", 3, 3, "0"),
        ("either", "0010000", 2, 0, "0011100"),
        ("four", "0010000", 2, 0, "0012200"),
        ("four", "0011000", 1, 1, "0233200"),
        ("four", "1000001", 2, 0, "1220001"),
        ("four", "1111", 0, 0, "1111"),
    ],
)
def test_by_hand(kind: Anomalies, own: str, before: int, ahead: int, expected: str) -> None:
    assert labels(own, kind, before, ahead) == expected


@given(BITS, KINDS, REACH, REACH)
def test_as_a_plain_loop_says(own: list[int], kind: Anomalies, before: int, ahead: int) -> None:
    found = window_labels(np.array(own, np.uint8), kind, before, ahead).tolist()
    for at, label in enumerate(own):
        around = int(any(own[max(0, at - before) : at] + own[at + 1 : at + 1 + ahead]))
        meant = {"point": label, "collective": around, "either": label | around, "four": label + 2 * around}
        assert found[at] == meant[kind]


@given(st.lists(BITS, min_size=1, max_size=6), KINDS, REACH, REACH)
def test_blocks_make_no_difference(blocks: list[list[int]], kind: Anomalies, before: int, ahead: int) -> None:
    own = [label for block in blocks for label in block]
    labeller = WindowLabeller(kind, before, ahead)
    seen: list[int] = []
    judged: list[int] = []
    at = 0
    for number, block in enumerate(blocks):
        rows = np.arange(at, at + len(block))
        last = number == len(blocks) - 1
        steps, t_ns, label = labeller.add({"row": rows}, rows * 10, np.array(block, np.uint8), final=last)
        assert (t_ns == steps["row"] * 10).all()
        seen += steps["row"].tolist()
        judged += label.tolist()
        at += len(block)
    assert seen == list(range(len(own)))
    assert judged == window_labels(np.array(own, np.uint8), kind, before, ahead).tolist()
