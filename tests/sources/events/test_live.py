"""Live windows: the numbers of `prepare` for evidence in order, in flat memory; and the probe."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from threading import Timer
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reading.raw import live, probe, refuse_to_open
from tests.sources.events.exports import Row, dataset, table, write
from vestige.errors import EvidenceError
from vestige.evidence.files import STDIN
from vestige.reading.live import read_blocks
from vestige.reading.steps import Evidence
from vestige.reading.windower import WindowBatch, Windower
from vestige.reading.windows import WindowSet
from vestige.schema import Schema
from vestige.sources.events import records
from vestige.sources.events.mapping import shipped
from vestige.sources.events.options import EventOptions
from vestige.sources.events.reader import EventReader
from vestige.sources.events.schema import rules_for, schema_for

Seen = list[tuple[str, int, list[str], list[int]]]
"""Machine, line, event names and times of every window."""


def read(batches: list[WindowBatch]) -> Seen:
    found: Seen = []
    for batch in batches:
        names = batch.symbols["text"].to_list()
        for row, place in enumerate(batch.place.iter_rows(named=True)):
            events = [names[one] for one in batch.steps["event"][row].tolist()]
            assert place["text"] == events[-1]
            found.append((place["machine"], place["line"], events, batch.steps["t_ns"][row].tolist()))
    return found


def prepared(windows: WindowSet) -> Seen:
    steps = windows.gather()
    names = windows.table("events")["text"].to_list()
    ids = windows.recordings["id"].to_list()
    return [
        (ids[recording], line[-1], [names[one] for one in event], t_ns)
        for recording, line, event, t_ns in zip(
            windows.recording.tolist(), steps["line"].tolist(), steps["event"].tolist(),
            steps["t_ns"].tolist(), strict=True,
        )
    ]  # fmt: skip


def in_order(seen: Seen) -> Seen:
    return sorted(seen, key=lambda one: (one[0], one[1]))


ROWS = [(float(at), f"m{at * at % 7}", f"e{at % 5}", "") for at in range(900)]


@pytest.mark.parametrize("most", [1, 10, 500, 1 << 18])
def test_live_windows_equal_those_of_the_dataset_for_any_block_size(tmp_path: Path, most: int) -> None:
    export = write(tmp_path / "a.csv", table(ROWS))
    windows = dataset(export, tmp_path / "d", context=4)
    seen = read(list(live([export], windows.schema, most=most)))
    assert [line for _, line, _, _ in seen] == list(range(2, 902))
    assert in_order(seen) == in_order(prepared(windows))


def test_a_pipe_is_scored_as_it_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = dataset(write(tmp_path / "a.csv", table(ROWS)), tmp_path / "d", context=4)
    lines = table(ROWS[:9]).encode().splitlines(keepends=True)
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as reader, os.fdopen(theirs, "wb", buffering=0) as writer:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=reader))
        too_late = Timer(20, writer.close)
        too_late.start()
        scored = live([STDIN], windows.schema)
        writer.write(b"".join(lines[:4]))
        first = next(scored)
        writer.write(b"".join(lines[4:]))
        too_late.cancel()
        writer.close()
        batches = [first, *scored]
    assert 1 <= len(first.place) <= 3
    assert [line for _, line, _, _ in read(batches)] == list(range(2, 11))


def test_contexts_go_on_from_file_to_file(tmp_path: Path) -> None:
    write(tmp_path / "c" / "1.csv", table(ROWS[:450]))
    write(tmp_path / "c" / "2.csv", table(ROWS[450:]))
    windows = dataset(tmp_path / "c", tmp_path / "d", context=4)
    seen = read(list(live([tmp_path / "c"], windows.schema)))
    ours = sorted((machine, events, times) for machine, _, events, times in seen)
    assert ours == sorted((machine, events, times) for machine, _, events, times in prepared(windows))


EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60)


@given(EVENTS, st.integers(1, 6), st.integers(1, 4), st.integers(1, 200))
def test_only_the_machines_heard_from_last_are_remembered(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[tuple[int, int]],
    machines: int,
    context: int,
    most: int,
) -> None:
    folder = tmp_path_factory.mktemp("live")
    rows: list[Row] = [(float(at), f"m{m}", f"e{e}", "") for at, (m, e) in enumerate(events)]
    export = write(folder / "a.csv", table(rows))
    schema = schema_for(rules_for(EventOptions()), EventOptions(context=context))
    seen = read(list(live([export], schema, remembered=machines, most=most)))
    whole = read(list(live([export], schema)))
    for ours, theirs in zip(seen, whole, strict=True):
        kept = [one for one in ours[2] if one]
        assert theirs[2][context + 1 - len(kept) :] == kept
        assert ours[:2] == theirs[:2]
    if machines == 6:
        assert seen == whole


def test_events_out_of_order_are_taken_as_they_come_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    export = write(tmp_path / "a.csv", table([(5, "m", "x", ""), (3, "m", "y", ""), (4, "m", "z", "")]))
    schema = schema_for(rules_for(EventOptions()), EventOptions(context=2))
    with caplog.at_level(logging.WARNING):
        seen = read(list(live([export], schema)))
    assert [events for _, _, events, _ in seen] == [["", "", "x"], ["", "x", "y"], ["x", "y", "z"]]
    assert "1 events came earlier" in caplog.text


@pytest.mark.parametrize("most", [1, 3, 100])
def test_sessions_never_continue_one_another(tmp_path: Path, most: int) -> None:
    export = write(tmp_path / "x_abnormal", "a,1 2 3 4 5\na,6 7\nb,8\n")
    windows = dataset(export, tmp_path / "d", mapping="sessions", context=3)
    seen = read(list(live([export], windows.schema, most=most)))
    assert [events for _, _, events, _ in seen] == [events for _, _, events, _ in prepared(windows)]


def test_names_that_no_context_holds_are_dropped(tmp_path: Path) -> None:
    rows: list[Row] = [(float(at), f"m{at % 3}", f"e{at}", "") for at in range(500)]
    for number in range(50):
        write(tmp_path / "c" / f"{number:02}.csv", table(rows[10 * number : 10 * number + 10]))
    schema = schema_for(rules_for(EventOptions()), EventOptions(context=2))
    reader = EventReader(schema)
    windower = Windower(reader, most_symbols=20)
    batches: list[WindowBatch] = []
    for block, _ in read_blocks(reader, reader.units(Evidence((tmp_path / "c",)))):
        batches += windower.push(block)
        assert len(windower._symbols) < 50
    assert [events for _, _, events, _ in read(batches)][-1] == ["e493", "e496", "e499"]


def test_live_needs_nothing_but_the_schema_and_no_labels(tmp_path: Path) -> None:
    own = write(tmp_path / "own.toml", 'timestamp = ["t"]\nmachine = ["m"]\nevent = ["e"]\nlabel = ["l"]\n')
    options = EventOptions(mapping=str(own), label="l")
    schema = Schema.from_dict(schema_for(rules_for(options), options).to_dict())
    own.unlink()
    export = write(tmp_path / "a.csv", "e,m,t\nx,y,1772438400\n")
    assert len(read(list(live([export], schema)))) == 1


def test_evidence_of_another_kind_is_refused(tmp_path: Path) -> None:
    schema = schema_for(rules_for(EventOptions()), EventOptions())
    with pytest.raises(EvidenceError, match="no column for the timestamp"):
        list(live([write(tmp_path / "a.csv", "a,b\n1,2\n")], schema))
    write(tmp_path / "b.csv", "a,b\n1,2\n")
    with pytest.raises(EvidenceError, match="no column for the timestamp"):
        list(live([tmp_path], schema))
    write(tmp_path / "c.csv", table(ROWS[:3]))
    assert len(read(list(live([tmp_path], schema)))) == 3


@pytest.mark.parametrize("unit", ["auto", "iso", "s", "ms", "us", "ns"])
@pytest.mark.parametrize("name", shipped())
def test_the_probe_works_for_every_mapping(name: str, unit: str) -> None:
    options = EventOptions(mapping=name, time_unit=unit, context=2)
    schema = schema_for(rules_for(options), options)
    first, second = (probe(schema) for _ in range(2))
    assert isinstance(first.symbols, pl.DataFrame)
    assert all((first.steps[one] == second.steps[one]).all() for one in first.steps)
    assert first.steps["event"].shape == ((8 if name == "sessions" else 5), 3)
    assert len(np.unique(first.steps["event"])) > 2


@pytest.mark.parametrize("names", [{"event": "rule+action"}, {"machine": "a.b", "timestamp": "when"}])
def test_the_probe_follows_named_fields(names: dict[str, str]) -> None:
    options = EventOptions(mapping="csv", **names)
    assert len(probe(schema_for(rules_for(options), options)).place) == 5


def test_a_file_that_cannot_be_opened_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.csv", "b.csv"):
        write(tmp_path / "c" / name, table(ROWS[:20]))
    refuse_to_open(monkeypatch, "a.csv")
    rest = dataset(tmp_path / "c", tmp_path / "d")
    assert rest.notes["left_out_counts"] == {"the file": 1}
    assert rest.notes["left_out"][0]["file"] == "a.csv"
    batches = list(live([tmp_path / "c"], rest.schema))
    assert {name for batch in batches for name in batch.place["file"]} == {"b.csv"}
    assert sum(map(len, batches)) == len(rest) == 20
    assert "a.csv was left out: cannot be read: Permission denied" in caplog.text


HEADER = b"timestamp,machine,event,label\n"


def of_pieces(pieces: list[bytes], monkeypatch: pytest.MonkeyPatch, schema: Schema) -> tuple[Seen, list[str]]:
    """The windows of a pipe that brings these pieces, one after the other, and the defects that were told."""
    ours, theirs = os.pipe()
    found: list[WindowBatch] = []
    with os.fdopen(ours, "rb") as reader, os.fdopen(theirs, "wb", buffering=0) as writer:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=reader))
        event_reader = EventReader(schema)
        (unit,) = event_reader.units(Evidence((STDIN,), "live")).units
        stream, windower = event_reader.open(unit), Windower(event_reader)
        for piece in pieces:
            writer.write(piece)
            while (block := stream.read(1 << 17)) is not None:
                found += windower.push(block)
        while (block := stream.release()) is not None:
            found += windower.push(block)
        writer.close()
        while not stream.ended:
            last = stream.read(1 << 17)
            if last is not None:
                found += windower.push(last)
        found += windower.flush()
        return read(found), [str(defect) for defect in stream.defects]


def test_a_long_quoted_cell_that_arrives_in_crumbs_is_looked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []
    go_on = records._Scan.go_on

    def counted(scan: records._Scan, buffer: bytearray, delimiter: str) -> int:
        before = scan.at
        end = go_on(scan, buffer, delimiter)
        looked_at.append(max(scan.at, end) - before)
        return end

    monkeypatch.setattr(records._Scan, "go_on", counted)
    matched = []
    pattern = records.row_pattern

    def counted_pattern(delimiter: str, max_record: int) -> SimpleNamespace:
        def match(buffer: bytearray, at: int, end: int) -> re.Match[bytes] | None:
            matched.append(min(end, len(buffer)) - at)
            return pattern(delimiter, max_record).match(buffer, at, end)

        return SimpleNamespace(match=match)

    monkeypatch.setattr(records, "row_pattern", counted_pattern)
    # Ordinary records first: how a file lies is found out from its first 200 lines.
    first = b"".join(f"{1_772_438_400 + n},m,e{n % 5},\n".encode() for n in range(250))
    lines = 320_000 // 7
    cell = b'"' + b"a line\n" * lines + b'"'
    content = HEADER + first + b"1772439000,m," + cell + b",\n" + b"1772439001,m,after,\n" * 3
    pieces = [content[at : at + 64] for at in range(0, len(content), 64)]
    schema = schema_for(rules_for(EventOptions()), EventOptions(context=1))
    seen, defects = of_pieces(pieces, monkeypatch, schema)
    assert [line for _, line, _, _ in seen] == [*range(2, 253), *(252 + lines + n for n in (1, 2, 3))]
    assert [events[-1] for _, _, events, _ in seen[-3:]] == ["after"] * 3
    assert not defects
    assert len(looked_at) > 1000, "it came in crumbs"
    assert sum(looked_at) + sum(matched) < 4 * len(content)


def test_events_behind_an_unclosed_quote_are_scored_after_the_quiet_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [f"{1_772_438_400 + n},m,e{n % 5},\n".encode() for n in range(4000)]
    pieces = [HEADER, *rows[:300], b'1772438700,m,"never closed,\n', *rows[300:]]
    schema = schema_for(rules_for(EventOptions()), EventOptions(context=1))
    seen, defects = of_pieces(pieces, monkeypatch, schema)
    lines = [line for _, line, _, _ in seen]
    assert lines == [*range(2, 302), *range(303, 4003)]
    assert defects == ["stdin:302: a quote is not closed"]
