"""The property that carries everything: prepared = scored = read in blocks of any size = followed in any
chunks = stopped anywhere and taken up again, step for step and window for window."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from vestige.reading.live import read_windows
from vestige.reading.steps import Evidence, Reader, Steps
from vestige.reading.windows import WindowSet
from vestige.simulators.traces.options import SimulateOptions as Programs
from vestige.simulators.traces.write import simulate as simulate_programs
from vestige.sources.base import Source
from vestige.sources.events.options import EventOptions
from vestige.sources.events.source import EventSource
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.source import LogSource
from vestige.sources.telemetry.options import TelemetryOptions
from vestige.sources.telemetry.source import TelemetrySource
from vestige.sources.traces.options import TraceOptions
from vestige.sources.traces.source import TraceSource
from vestige.testing.sources import check_followed, check_reader

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=4)
STOPS = st.lists(st.integers(1, 6), min_size=1, max_size=3)
ARRIVALS = st.lists(st.integers(1, 90) | st.integers(90, 700), min_size=1, max_size=5)


def windows_of(steps: Steps, t_ns: Any, place: pl.DataFrame, texts: list[str], symbol: str) -> list[Any]:
    """Windows in the order of their places: place, time, and the values of streams, symbols by their text."""
    columns = [name for name in ("line", "offset", "second", "event") if name in place.columns]
    found = []
    for row, where in enumerate(place.select("file", *columns).iter_rows()):
        values = {name: np.ascontiguousarray(column[row]).tobytes() for name, column in steps.items()}
        values.pop("file", None)
        if symbol:
            values[symbol] = "|".join(texts[at] for at in steps[symbol][row]).encode()
        found.append((where, int(t_ns[row]), sorted(values.items())))
    return sorted(found)


def check_prepared(source: Source[Any], corpus: Path, options: BaseModel) -> Reader[Any]:
    """Prepare a corpus, and compare it with the steps that its own reader reads and the windows that scoring
    reads; returns the reader that scores."""
    with tempfile.TemporaryDirectory() as place:
        windows = source.prepare(corpus, Path(place) / "d", options)
        reader = source.reader(windows.schema)
        ours = _prepared(source, windows, reader.symbol_stream)
    theirs: list[Any] = []
    for batch in read_windows(reader, Evidence((corpus,), "live"), windows.schema):
        texts: list[str] = []
        if reader.symbol_stream:
            texts = batch.symbols["text"].to_list()
        theirs += windows_of(batch.steps, batch.t_ns, batch.place, texts, reader.symbol_stream)
    assert sorted(theirs) == ours
    return reader


def _prepared(source: Source[Any], windows: WindowSet, symbol: str) -> list[Any]:
    place = source.place(windows, np.arange(len(windows)))
    texts: list[str] = []
    if symbol:
        encoder = source.fit_encoder(windows)
        texts = windows.table(encoder.symbols)["text"].to_list()
    return windows_of(windows.gather(), windows.t_ns, place, texts, symbol)


def check_labels(source: Source[Any], corpus: Path, options: BaseModel, cuts: list[int]) -> None:
    """The steps of a corpus, labels included, in blocks and taken up again."""
    check_reader(source.corpus_reader(corpus, options), [corpus], cuts=cuts)


# Logs


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """A log in Hadoop's format: messages of some lines, with what may come before the first of them."""
    lines = ["\tat a.B.c(B.java:7)\n" for _ in range(draw(st.integers(0, 2)))]
    for n in range(draw(st.integers(3, 40))):
        level = draw(st.sampled_from(["INFO", "ERROR"]))
        what = draw(st.sampled_from(["did 1", "lost <x> \u00e9\u20ac", "", "x" * 300, "a \r b"]))
        lines.append(f"2015-10-18 18:{n // 60:02}:{n % 60:02},{n:03} {level} [m] a.B: {what}\n")
        lines += ["\tat a.B.c(B.java:7)\n"] * draw(st.sampled_from([0, 0, 0, 1, 3]))
    content = "".join(lines).encode()
    return content[: len(content) - draw(st.integers(0, 1))]


@pytest.mark.parametrize(("around", "stride"), [("background", 2), ("context", 1)])
@given(content=logs(), arrivals=ARRIVALS, cuts=CUTS, stops=STOPS, release=st.booleans())
@QUICK
def test_logs(
    around: str,
    stride: int,
    content: bytes,
    arrivals: list[int],
    cuts: list[int],
    stops: list[int],
    release: bool,
) -> None:
    said = {"format": "hadoop", "window_size": 3, "sequence_type": around, "stride": stride}
    options = LogOptions.model_validate(said)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "app.log"
        file.write_bytes(content)
        check_labels(LogSource(), file, options, cuts)
        reader = check_prepared(LogSource(), file, options)
        check_followed(reader, content, file, arrivals=arrivals, cuts=cuts, stops=stops, release=release)


# Events

NAMES = ["logon", "scan", 'say ""hi""', "two\nlines", "a,b", "\u00e9\u20ac"]


def _moments(draw: st.DrawFn) -> Iterator[float]:
    at = 0
    for _ in range(draw(st.integers(3, 40))):
        at += draw(st.sampled_from([0, 1, 250, 4000]))
        yield 1_772_438_400 + at / 1000


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A CSV export with quoted cells, and now and then a bad record."""
    lines = ["timestamp,machine,event,label\n"]
    for at in _moments(draw):
        machine, name = draw(st.sampled_from("abc")), draw(st.sampled_from(NAMES))
        lines.append(f'{at:.3f},{machine},"{name}",{draw(st.sampled_from(["normal", "attack"]))}\n')
        lines += draw(st.sampled_from([[], [], [], [], [], ["broken\n"]]))
    content = "".join(lines).encode()
    return content[: len(content) - draw(st.integers(0, 1))]


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """JSON lines."""
    lines = []
    for at in _moments(draw):
        machine, name = draw(st.sampled_from("abc")), draw(st.sampled_from(["logon", "\u00e9\u20ac", "a b"]))
        label = draw(st.sampled_from(["normal", "attack"]))
        lines.append(f'{{"timestamp":{at:.3f},"machine":"{machine}","event":"{name}","label":"{label}"}}\n')
        lines += draw(st.sampled_from([[], [], [], [], [], ["not json\n"]]))
    content = "".join(lines).encode()
    return content[: len(content) - draw(st.integers(0, 1))]


@st.composite
def published(draw: st.DrawFn) -> bytes:
    """Sessions, a line each, of which some are called alike."""
    lines = []
    for n in range(draw(st.integers(2, 12))):
        codes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=12))
        lines.append(f"s{n % draw(st.integers(1, 9))},{' '.join(map(str, codes))}\n")
    return "".join(lines).encode()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "sessions"])
@given(data=st.data(), arrivals=ARRIVALS, cuts=CUTS, stops=STOPS)
@QUICK
def test_events(
    kind: str, data: st.DataObject, arrivals: list[int], cuts: list[int], stops: list[int]
) -> None:
    content = data.draw({"csv": tables(), "jsonl": objects(), "sessions": published()}[kind])
    options = EventOptions(mapping=kind, context=3)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "runs_test_abnormal_loop.txt"
        file.write_bytes(content)
        check_labels(EventSource(), file, options, cuts)
        reader = check_prepared(EventSource(), file, options)
        check_followed(reader, content, file, arrivals=arrivals, cuts=cuts, stops=stops)


# Telemetry and traces


def test_telemetry(make_store: Any) -> None:
    store = make_store(episodes=2, seconds=30)
    options = TelemetryOptions(stride=2)
    check_labels(TelemetrySource(), store, options, [1, 7, 64])
    reader = check_prepared(TelemetrySource(), store, options)

    @given(cuts=CUTS)
    @FEW
    def in_any_blocks(cuts: list[int]) -> None:
        check_reader(reader, [store], cuts=cuts)

    in_any_blocks()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus of traces."""
    corpus = tmp_path_factory.mktemp("programs") / "corpus"
    simulate_programs(corpus, Programs(programs=1, recordings=2, malicious=0.5, kilobytes=4, overflows=100))
    return corpus


@pytest.mark.parametrize("sliding", [True, False])
def test_traces(programs: Path, sliding: bool) -> None:
    options = TraceOptions(sequence_len=16, sliding_window=sliding)
    check_labels(TraceSource(), programs, options, [90, 500])
    reader = check_prepared(TraceSource(), programs, options)

    @given(cuts=st.lists(st.integers(200, 900), min_size=1, max_size=3))
    @FEW
    def in_any_blocks(cuts: list[int]) -> None:
        check_reader(reader, [programs], cuts=cuts)

    in_any_blocks()
