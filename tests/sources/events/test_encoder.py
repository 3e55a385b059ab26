"""The encoder: vocabulary of training rows only, timeouts, and every feature against plain Python."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.events.exports import Row, dataset, table, write
from vestige.reading.encoding import EncodedWindows
from vestige.reading.windows import WindowSet
from vestige.schema import PAD, UNK
from vestige.sources.events.encoder import EventEncoder

ROWS: list[Row] = [
    (0, "a", "x", ""), (1, "a", "y", ""), (2, "a", "x", ""), (60, "a", "z", ""), (61, "a", "x", ""),
    (0, "b", "y", ""), (4000, "b", "w", ""),
]  # fmt: skip


@pytest.fixture(name="windows")
def _windows(tmp_path: Path) -> WindowSet:
    return dataset(write(tmp_path / "a.csv", table(ROWS)), tmp_path / "d", context=3, timeout=100)


def test_events_are_known_by_frequency_in_training_and_others_are_unknown(windows: WindowSet) -> None:
    fitted = EventEncoder.fit(windows.select(np.arange(4)))
    assert fitted.events == ("x", "y", "z")
    tokens = EncodedWindows.of(windows, fitted).batch(names=("tokens",))["tokens"]
    x, y, z = 2, 3, 4
    assert tokens.tolist() == [
        [PAD, PAD, PAD, x], [PAD, PAD, x, y], [PAD, x, y, x], [x, y, x, z], [y, x, z, x],
        [PAD, PAD, PAD, y], [PAD, PAD, PAD, UNK],
    ]  # fmt: skip
    assert tokens.dtype == np.int64


def test_nothing_but_training_windows_is_looked_at(windows: WindowSet) -> None:
    assert EventEncoder.fit(windows.select(windows.recording == 1)).events == ("w", "y")
    assert EventEncoder.fit(windows.select(np.array([6]))).events == ("w",)
    assert EventEncoder.fit(windows.select(np.arange(0))).events == ()


def test_an_encoder_without_any_event_still_works(windows: WindowSet) -> None:
    batch = EncodedWindows.of(windows, EventEncoder.fit(windows.select(np.arange(0)))).batch()
    assert set(batch["tokens"].ravel().tolist()) == {PAD, UNK}
    assert batch["summary"].shape == (7, 9)


def naive(window: list[tuple[int, str]], known: list[str], columns: int) -> list[float]:
    """Features of a window of (time in s, event), padding and what timed out left out; the last is judged."""
    (last_s, last), earlier = window[-1], window[:-1]
    named = known[:columns]
    unknown = [event not in known for _, event in window]
    ids = [event if event in known else "?" for _, event in window]
    span = last_s - window[0][0]
    angle = last_s % 86_400 / 86_400 * 2 * math.pi
    return [
        *(float(event == last) for event in named),
        *(float(sum(one == event for _, one in earlier)) for event in named),
        float(unknown[-1]),
        sum(one == ids[-1] for one in ids[:-1]) / max(len(earlier), 1),
        len(set(ids)),
        sum(unknown) / len(window),
        last_s - earlier[-1][0] if earlier else math.nan,
        span,
        len(window) / max(span / 3600, 1 / 3600),
        math.sin(angle),
        math.cos(angle),
    ]


STEPS = st.lists(st.tuples(st.integers(0, 90), st.sampled_from("abcdef")), min_size=1, max_size=25)


@given(STEPS, st.integers(1, 5), st.sampled_from([1 << 10, 2]))
def test_features_are_those_of_plain_python(steps: list[tuple[int, str]], context: int, columns: int) -> None:
    known = ["b", "a", "d"]
    times, events, now = [], [], 1_772_438_400
    for gap, name in steps:
        now += gap
        times.append(now)
        events.append(name)
    symbols = pl.DataFrame({"text": ["", *"abcdef"]})
    rows = symbols["text"].to_list()
    lead = [0] * context
    event = np.array([*lead, *(rows.index(one) for one in events)], dtype=np.uint32)
    t_ns = np.array([*lead, *(one * 10**9 for one in times)], dtype=np.int64)
    view = np.lib.stride_tricks.sliding_window_view
    bound = EventEncoder(tuple(known), 100.0, timed=True, most_columns=columns).bind(symbols)
    batch = bound.encode({"event": view(event, context + 1), "t_ns": view(t_ns, context + 1)}, ("summary",))
    for at, found in enumerate(batch["summary"]):
        window = [(t, e) for t, e in zip(times, events, strict=True)][max(0, at - context) : at + 1]
        window = [(t, e) for t, e in window if times[at] - t <= 100]
        np.testing.assert_allclose(found, naive(window, known, columns), rtol=1e-5, atol=1e-5)


def test_features_are_named_in_their_order(windows: WindowSet) -> None:
    fitted = EventEncoder.fit(windows)
    names = [one.name for one in fitted.inputs[1].features]
    assert names[:4] == ["word:x", "word:y", "word:w", "word:z"]
    assert names[4:8] == ["context:x", "context:y", "context:w", "context:z"]
    assert names[8:] == [
        "unknown_words", "repeats", "distinct", "unseen", "gap_s", "span_s", "rate", "hour_sin", "hour_cos",
    ]  # fmt: skip
    assert EncodedWindows.of(windows, fitted).batch()["summary"].shape == (7, len(names))


def test_sessions_have_no_features_of_time(tmp_path: Path) -> None:
    export = write(tmp_path / "x_test_abnormal", "s,1 2 1\n")
    windows = dataset(export, tmp_path / "d", mapping="sessions")
    names = [one.name for one in EventEncoder.fit(windows).inputs[1].features]
    assert names[-4:] == ["unknown_words", "repeats", "distinct", "unseen"]


def test_what_timed_out_is_no_part_of_training_either(tmp_path: Path) -> None:
    rows: list[Row] = [(0, "a", "old", ""), (200, "a", "new", ""), (201, "a", "new", "")]
    windows = dataset(write(tmp_path / "a.csv", table(rows)), tmp_path / "d", timeout=100)
    assert EventEncoder.fit(windows.select(np.array([1, 2]))).events == ("new",)


def test_the_state_survives_json(windows: WindowSet) -> None:
    fitted = EventEncoder.fit(windows)
    state = json.loads(json.dumps(fitted.to_dict(), allow_nan=False))
    assert EventEncoder.from_dict(state, windows.schema) == fitted
    with pytest.raises(KeyError):
        EventEncoder.from_dict({"events": []}, windows.schema)


def test_only_inputs_that_exist_are_encoded(windows: WindowSet) -> None:
    with pytest.raises(KeyError):
        EncodedWindows.of(windows, EventEncoder.fit(windows)).batch(names=("nope",))
