"""Windows event logs: sound ones, damaged ones, and ones made to harm whoever reads them."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.events.evtx_files import (
    BINARY_XML,
    CHUNK,
    HEADER,
    SECURITY,
    SYSMON,
    Chunk,
    Event,
    chunk,
    evtx,
    log,
)
from tests.sources.events.exports import dataset, texts, write
from vestige.errors import EvidenceError
from vestige.evidence.defects import DETAIL, REST
from vestige.reading.steps import Evidence
from vestige.sources.events.evtx import decoder
from vestige.sources.events.evtx.chunks import file_header, read_chunk
from vestige.sources.events.evtx.reader import EvtxReader, is_evtx
from vestige.sources.events.options import EventOptions
from vestige.sources.events.reader import EventReader
from vestige.sources.events.records import Block
from vestige.testing import check_followed, check_source

START = 17_724_384_000_000_000
"""2026-03-02T08:00:00Z, in 100 ns."""


def events(n: int) -> list[Event]:
    return [
        Event(START + at * 10**7 + at, 1 + at % 3, data=(("Image", f"C:\\{at}.exe"), ("User", "ä")))
        for at in range(n)
    ]


def read(content: bytes, piece: int = 1 << 18, **options: Any) -> tuple[EvtxReader, list[Block]]:
    reader = EvtxReader(**options)
    blocks: list[Block] = []
    for at in range(0, len(content), piece):
        reader.feed(content[at : at + piece])
        blocks += reader.take()
    return reader, [*blocks, *reader.finish()]


def records(blocks: list[Block]) -> list[dict[str, Any]]:
    found = []
    for block in blocks:
        starts = block.starts or ()
        for start, end in zip(starts, [*starts[1:], len(block.data)], strict=True):
            found.append(json.loads(block.data[start:end], strict=False))
    return found


def places(blocks: list[Block]) -> list[tuple[int, int]]:
    return [place for block in blocks for place in block.origins or ()]


def images(blocks: list[Block]) -> list[str]:
    return [record["Event"]["EventData"]["Image"] for record in records(blocks)]


def test_records_come_with_their_numbers_and_bytes_and_times_to_100_ns() -> None:
    content = evtx(events(20))
    assert is_evtx(content)
    reader, blocks = read(content)
    assert images(blocks) == [f"C:\\{at}.exe" for at in range(20)]
    assert [number for _, number in places(blocks)] == list(range(1, 21))
    assert all(content[at : at + 4] == b"**\0\0" for at, _ in places(blocks))
    system = records(blocks)[7]["Event"]["System"]
    assert system["TimeCreated"]["#attributes"]["SystemTime"] == "2026-03-02T08:00:07.0000007Z"
    assert (system["EventID"], system["Computer"]) == (2, "ws1.corp")
    assert len(blocks) == 3
    assert (reader.bad, reader.told, reader.warnings) == (0, [], [])
    assert reader.n_bytes == len(content)


@pytest.mark.parametrize("piece", [1000, 4096, 65_537])
def test_pieces_decide_about_nothing(piece: int) -> None:
    content = evtx(events(20))
    assert read(content, piece)[1] == read(content)[1]


def test_reading_goes_on_before_every_block() -> None:
    content = evtx(events(20))
    _, whole = read(content)
    for number, block in enumerate(whole):
        again = EvtxReader()
        again.resume(json.loads(json.dumps(again.state_at(block))))
        again.feed(content[block.offset :])
        assert [found.data for found in [*again.take(), *again.finish()]] == [b.data for b in whole[number:]]
        assert again.told == []


def damaged(content: bytes, number: int, at: int, value: bytes) -> bytes:
    """With other bytes at byte `at` of the record of that number."""
    _, blocks = read(content)
    begin = {number: at for at, number in places(blocks)}[number]
    return content[: begin + at] + value + content[begin + at + len(value) :]


def test_a_damaged_record_costs_itself_alone() -> None:
    content = damaged(evtx(events(8)), 4, 0, b"XX")
    reader, blocks = read(content)
    assert [number for _, number in places(blocks)] == [1, 2, 3, 5, 6, 7, 8]
    assert reader.bad == 1
    assert reader.faults[0][0] == 4
    assert "hold no record" in reader.faults[0][1]
    assert reader.told[0][0] == DETAIL
    assert "checksum" in reader.told[0][1]


def test_binary_xml_that_is_none_costs_its_record_alone() -> None:
    reader, blocks = read(damaged(evtx(events(8)), 4, 28, b"\xff\xff"))
    assert [number for _, number in places(blocks)] == [1, 2, 3, 5, 6, 7, 8]
    assert [number for number, _ in reader.faults] == [4]
    assert "cannot be read" in reader.faults[0][1]


def test_a_first_record_that_is_damaged_costs_itself_alone() -> None:
    reader, blocks = read(damaged(evtx(events(8)), 1, 4, b"\xff\xff\xff\xff"))
    assert [number for _, number in places(blocks)] == [2, 3, 4, 5, 6, 7, 8]
    assert reader.bad == 1


def test_a_chunk_whose_header_is_lost_is_read_by_its_records() -> None:
    content = bytearray(evtx(events(20)))
    content[HEADER + CHUNK : HEADER + CHUNK + 512] = bytes(512)
    reader, blocks = read(bytes(content))
    assert images(blocks) == [f"C:\\{at}.exe" for at in range(20)]
    assert [what for what, _ in reader.told] == [DETAIL]
    assert "chunk 2" in reader.told[0][1]


@pytest.mark.parametrize("begin", [bytes(HEADER), b""])
def test_a_log_without_its_header_is_read_by_its_chunks(begin: bytes) -> None:
    content = begin + evtx(events(20))[HEADER:]
    assert is_evtx(content)
    reader, blocks = read(content, 5000)
    assert images(blocks) == [f"C:\\{at}.exe" for at in range(20)]
    assert [what for what, _ in reader.told] == [DETAIL] * bool(begin)


def test_a_chunk_of_noughts_is_room_set_aside() -> None:
    reader, blocks = read(log(chunk(events(3)), bytes(CHUNK), counted=1))
    assert len(records(blocks)) == 3
    assert reader.told == []


def test_what_an_older_round_left_behind_the_used_part_is_not_read() -> None:
    older, newer = chunk(events(9), 1), chunk(events(3), 101)
    used = struct.unpack_from("<I", newer, 48)[0]
    reader, blocks = read(log(newer[:used] + older[used:]))
    assert [number for _, number in places(blocks)] == [101, 102, 103]
    assert reader.bad == 0
    (warning,) = reader.warnings
    assert "6 of them are not read" in warning


def test_records_that_windows_had_no_time_to_count_are_read() -> None:
    few, more = chunk(events(3)), chunk(events(5))
    content = log(few[:512] + more[512:], dirty=True, counted=1)
    reader, blocks = read(content)
    assert [number for _, number in places(blocks)] == [1, 2, 3, 4, 5]
    assert "dirty" in reader.warnings[0]


@pytest.mark.parametrize("cut", [100, HEADER, HEADER + 300, HEADER + CHUNK + 1500, HEADER + 2 * CHUNK])
def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes(cut: int) -> None:
    content = evtx(events(20))
    reader, blocks = read(content[:cut])
    whole = read(content)[1]
    ends = [at + struct.unpack_from("<I", content, at + 4)[0] for at, _ in places(whole)]
    assert len(records(blocks)) == sum(end <= cut for end in ends)
    assert any(what == REST for what, _ in reader.told)


def test_json_of_a_record_has_a_bound() -> None:
    long = Event(START, data=(("Image", "x" * 5000),))
    reader, blocks = read(evtx([*events(2), long]), max_record=2000)
    assert [number for _, number in places(blocks)] == [1, 2]
    assert "longer than 2000 bytes" in reader.faults[0][1]


def bomb(depth: int, width: int) -> bytes:
    """A chunk with a record that unpacks to `width ** depth` elements, between two that are sound."""
    made = Chunk(1)
    made.add(events(1)[0])
    made.begin(START)
    nested(made, depth, width)
    made.end()
    made.add(events(2)[1])
    return made.written()


def nested(made: Chunk, depth: int, width: int) -> None:
    """A template that shows its only value `width` times; the value is another one of the kind."""

    def many() -> None:
        for _ in range(width):
            made.substitution(0, BINARY_XML)

    made.template(("bomb", str(depth)), lambda: made.element("E", many), [(BINARY_XML, b"")])
    size_at = len(made.body) - 4
    begin = len(made.body)
    if depth > 1:
        nested(made, depth - 1, width)
    else:
        made.body += b"\x0f\x01\x01\x00\x00"
    struct.pack_into("<H", made.body, size_at, len(made.body) - begin)


def test_a_record_that_unpacks_without_end_costs_itself_alone() -> None:
    reader, blocks = read(log(bomb(8, 300), chunk(events(2), 4)))
    assert [number for _, number in places(blocks)] == [1, 3, 4, 5]
    assert reader.faults[0][0] == 2
    assert "parsing it takes" in reader.faults[0][1] or "crashed" in reader.faults[0][1]


def test_after_some_records_that_kill_the_parser_the_others_are_not_tried() -> None:
    data = chunk(events(3))
    parsed = decoder.parse(data, read_chunk(data).records, 1 << 20, 0)
    assert parsed.texts == {}
    assert ["not tried" in why for why in parsed.wrong.values()] == [True, True, True]


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_whatever_the_bytes_are_every_record_is_read_or_counted(data: st.DataObject) -> None:
    content = bytearray(evtx(events(12), a_chunk=6))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(HEADER, HEADER + 5000))
        content[at] = data.draw(st.sampled_from([0, 1, 6, 12, 33, 129, 255]))
    reader, blocks = read(bytes(content[: data.draw(st.integers(HEADER, len(content)))]))
    for record, (at, _) in zip(records(blocks), places(blocks), strict=True):
        assert record
        assert content[at : at + 4] == b"**\0\0"
    assert all(isinstance(number, int) and why for number, why in reader.faults)


def test_the_header_of_a_file_says_what_it_knows() -> None:
    head = file_header(log(dirty=True, counted=7))
    assert (head.begins, head.chunks, head.dirty, head.sound) == (HEADER, 7, True, True)
    head = file_header(bytes(HEADER))
    assert (head.begins, head.chunks, head.sound) == (HEADER, None, False)


def test_a_log_is_known_by_its_content_and_read_without_any_option(tmp_path: Path) -> None:
    security = Event(
        START + 5,
        4624,
        "dc1.corp",
        SECURITY,
        "Security",
        data=(("TargetUserName", "eve"), ("LogonType", "3")),
    )
    write(tmp_path / "c" / "a.evtx", evtx(events(3)))
    write(tmp_path / "c" / "b", gzip.compress(evtx([security])))
    windows = dataset(tmp_path / "c", tmp_path / "d", context=1)
    assert windows.recordings["id"].to_list() == ["dc1.corp", "ws1.corp"]
    assert [names[-1] for names in texts(windows)] == ["Security/4624", "1", "2", "3"]
    assert windows.t_ns.tolist() == [(START + 5) * 100, *(event.t_100ns * 100 for event in events(3))]
    assert windows.notes["left_out"] == []


def test_fields_are_paths_of_the_event(tmp_path: Path) -> None:
    content = evtx([Event(START, 7, data=(("User", "eve"), ("Verdict", "bad")))] * 2)
    windows = dataset(
        write(tmp_path / "a", content),
        tmp_path / "d",
        mapping="windows",
        machine="Event.EventData.User",
        event="Event.System.Provider.Name+Event.System.EventID",
        label="Event.EventData.Verdict",
    )
    assert windows.recordings["id"].to_list() == ["eve"]
    assert texts(windows)[0][-1] == f"{SYSMON}/7"
    assert windows.label.tolist() == [1, 1]


def test_what_is_wrong_with_a_log_is_told(tmp_path: Path) -> None:
    content = damaged(evtx(events(20)), 12, 0, b"XX")[: HEADER + 2 * CHUNK + 600]
    windows = dataset(write(tmp_path / "a.evtx", content), tmp_path / "d")
    left_out = {(entry["what"], entry["row"]): entry["why"] for entry in windows.notes["left_out"]}
    assert "hold no record" in left_out["a record", 12]
    assert "chunk 2, at byte 69632" in left_out["a detail", None]
    assert (
        "cut off" in left_out["the rest of the file", None]
        or "chunks" in left_out["the rest of the file", None]
    )
    assert len(windows) == 15


@pytest.mark.parametrize(
    ("content", "options", "why"),
    [
        (log(bytes(CHUNK), counted=1), {}, "without any record"),
        (evtx(events(2)), {"mapping": "csv"}, "Windows event log, which is not read by the mapping 'csv'"),
        (evtx(events(2)), {"mapping": "windows", "machine": "Event.EventData.Nothing"}, "no machine"),
        (log(bomb(8, 300)[:512] + b"**\0\0"), {}, "records cannot be read"),
    ],
)
def test_a_log_that_cannot_be_used_says_why(
    tmp_path: Path, content: bytes, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(EvidenceError, match=why):
        dataset(write(tmp_path / "a.evtx", content), tmp_path / "d", **options)


def test_a_dirty_log_is_doubtful(tmp_path: Path) -> None:
    reader = EventReader.of_corpus(EventOptions())
    (unit,) = reader.units(Evidence((write(tmp_path / "a.evtx", log(chunk(events(2)), dirty=True)),))).units
    stream = reader.open(unit)
    assert stream.read(10) is not None
    (warning,) = stream.summary["warnings"]
    assert "dirty" in warning


def test_logs_of_windows_keep_the_contract_of_a_source(tmp_path: Path) -> None:
    write(tmp_path / "c" / "a.evtx", evtx(events(20)))
    others = [Event(START + at * 10**7, 4624 + at, "dc1.corp", SECURITY, "Security") for at in range(9)]
    write(tmp_path / "c" / "b.evtx", evtx(others, a_chunk=4))
    check_source("events", tmp_path / "c", tmp_path / "work")


def test_a_log_that_grows_gives_what_it_has_at_last(tmp_path: Path) -> None:
    reader = EventReader.of_corpus(EventOptions())
    check_followed(reader, evtx(events(20)), tmp_path / "a.evtx", arrivals=[30_000, 70_000])
