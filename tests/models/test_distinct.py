"""Equal labelled rows collapse into one weighted row."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from vestige.models.baselines.distinct import DistinctRows, WeightedRows

ROWS = arrays(np.float64, (24, 3), elements=st.sampled_from([0.0, 1.0, 2.5]))
LABELS = arrays(np.uint8, 24, elements=st.integers(0, 2))


def collapsed(rows: np.ndarray, label: np.ndarray, *, batch: int = 24, cap: int = 100) -> WeightedRows:
    distinct = DistinctRows(rows.shape[1], seed=0, cap=cap)
    for start in range(0, len(rows), batch):
        piece = slice(start, start + batch)
        distinct.add(sparse.csr_array(rows[piece]), label[piece])
    return distinct.result()


def counted(kept: WeightedRows) -> Counter[tuple[int, ...]]:
    rows = map(tuple, np.column_stack([kept.rows.toarray(), kept.label]).tolist())
    return Counter(dict(zip(rows, kept.weight.tolist(), strict=True)))


@given(ROWS, LABELS, st.integers(1, 24))
def test_every_distinct_row_is_there_once_with_its_count(
    rows: np.ndarray, label: np.ndarray, batch: int
) -> None:
    expected = Counter(map(tuple, np.column_stack([rows, label]).tolist()))
    assert counted(collapsed(rows, label, batch=batch)) == expected


@given(ROWS, LABELS, st.randoms(use_true_random=False))
def test_the_order_in_which_rows_come_does_not_matter(
    rows: np.ndarray, label: np.ndarray, random: Random
) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)
    ours, theirs = collapsed(rows, label, cap=5), collapsed(rows[order], label[order], cap=5, batch=7)
    assert np.array_equal(ours.rows.toarray(), theirs.rows.toarray())
    assert ours.weight.tolist() == theirs.weight.tolist()


def test_above_the_cap_a_uniform_sample_of_distinct_rows_is_kept_with_full_counts() -> None:
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(1.0, 1001.0), 3)[:, None]
    rng.shuffle(rows)
    kept = collapsed(rows, np.zeros(3000, dtype=np.uint8), batch=100, cap=200)
    assert len(kept.label) == 200
    assert set(kept.weight.tolist()) == {3.0}
    assert abs(kept.rows.toarray().mean() - 500) < 80
