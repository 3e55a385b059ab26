"""The decoder against the reference decoder's listings, packets made by kind, and any bytes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.traces import pt
from vestige.sources.traces.packets.columns import NOWHERE, Packets, decode, packets
from vestige.sources.traces.packets.kinds import Kind
from vestige.sources.traces.packets.listing import objects
from vestige.sources.traces.packets.quality import Quality

PLACES = st.lists(st.integers(0, 1 << 16), max_size=12)


def same(one: Packets, other: Packets) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one._columns(), other._columns(), strict=True))


def kinds(trace: bytes) -> list[Kind]:
    return [Kind(one) for one in decode(trace).kind]


def test_there_are_all_the_vectors() -> None:
    index = json.loads((pt.shared("vectors") / "index.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in sorted(index["entries"], key=lambda one: one["name"])] == pt.vectors()
    assert len(pt.vectors()) == 181


@pytest.mark.parametrize("name", pt.vectors())
def test_every_vector_lists_as_the_reference_says(name: str) -> None:
    folder = pt.shared("vectors")
    expected = (folder / f"{name}.expected.jsonl").read_text(encoding="utf-8").splitlines()
    listed = list(objects([decode((folder / f"{name}.pt").read_bytes())]))
    if name.startswith("sdm-pebs"):  # written by hand, without the digits as sent
        listed = [{k: v for k, v in one.items() if k != "raw"} for one in listed]
    assert [json.dumps(one, separators=(",", ":")) for one in listed] == expected


@pytest.mark.parametrize("name", ["x-psb-eaten", "x-psb-run-12", "x-overflow-junction", "dump-all-packets"])
def test_the_cuts_between_pieces_make_no_difference_to_a_vector(name: str) -> None:
    trace = (pt.shared("vectors") / f"{name}.pt").read_bytes()
    whole = decode(trace)
    for size in (1, 2, 3, 7, 16, 17, 40):
        pieces = [trace[start : start + size] for start in range(0, len(trace), size)]
        assert same(Packets.joined(packets(pieces)), whole)


@given(pt.packets())
def test_whatever_is_written_is_read(made: list[tuple[Kind, bytes]]) -> None:
    decoded = decode(b"".join(one for _, one in made))
    assert [Kind(one) for one in decoded.kind] == [kind for kind, _ in made]
    assert decoded.offset.tolist() == np.cumsum([0] + [len(one) for _, one in made[:-1]]).tolist()


@given(pt.damaged(), PLACES)
@settings(max_examples=300)
def test_any_bytes_in_any_pieces_decode_to_the_same(trace: bytes, places: list[int]) -> None:
    whole, in_pieces = Quality(), Quality()
    rows = decode(trace, whole)
    assert same(rows, Packets.joined(packets(pt.cut(trace, places), quality=in_pieces)))
    assert whole == in_pieces
    assert whole.n_bytes == len(trace)
    assert whole.skipped + whole.cut_off <= len(trace)
    assert (rows.offset < max(len(trace), 1)).all()
    assert whole.n_packets + whole.errors == len(rows)


@given(pt.damaged())
def test_after_an_error_decoding_goes_on_at_the_next_psb_or_nowhere(trace: bytes) -> None:
    rows = decode(trace)
    for at in np.flatnonzero(rows.kind >= Kind.UNKNOWN_OPCODE):
        if rows.value[at] == NOWHERE:
            assert at == len(rows) - 1
        else:
            assert rows.kind[at + 1] == Kind.PSB
            assert rows.offset[at + 1] == rows.value[at] > rows.offset[at] - min(rows.offset[at], 16)


@pytest.mark.parametrize(
    "trace", [b"", b"\0", pt.PSB[:15], pt.PSB[1:] + b"\x02", b"\x82\x02" * 7 + b"\x82", bytes(500)]
)
def test_without_a_psb_there_is_nothing(trace: bytes) -> None:
    quality = Quality()
    assert len(decode(trace, quality)) == 0
    assert (quality.skipped, quality.psbs, quality.errors) == (len(trace), 0, 0)


def test_branches_come_oldest_first() -> None:
    rows = decode(pt.PSB + pt.short("!..") + pt.long("." * 46 + "!"))
    assert rows.n_bits.tolist() == [0, 3, 47]
    assert rows.bits.tolist()[1:] == [0b100, 1]


@pytest.mark.parametrize(
    ("compression", "sent", "full"),
    [
        (1, 0xBEEF, 0x7FFF_1234_5678_BEEF),
        (2, 0xDEADBEEF, 0x7FFF_1234_DEAD_BEEF),
        (3, 0x8000_0000_0001, 0xFFFF_8000_0000_0001),
        (3, 0x7000_0000_0001, 0x0000_7000_0000_0001),
        (4, 0x8000_0000_0001, 0x7FFF_8000_0000_0001),
        (6, 0x8123_4567_89AB_CDEF, 0x8123_4567_89AB_CDEF),
        (0, 0, 0),
    ],
)
def test_a_compressed_address_is_completed_from_the_last(compression: int, sent: int, full: int) -> None:
    first = pt.address(Kind.FUP, 0x7FFF_1234_5678_9ABC)
    assert decode(pt.PSB + first + pt.address(Kind.TIP, sent, compression)).ip.tolist()[-1] == full


def test_a_suppressed_address_leaves_the_last_as_it_is_and_a_psb_forgets_it() -> None:
    tip = pt.address(Kind.TIP, 0xBEEF, 1)
    start = pt.PSB + pt.address(Kind.FUP, 0x1234_5678)
    assert decode(start + pt.address(Kind.TIP_PGD, 0, 0) + tip).ip[-1] == 0x1234_BEEF
    assert decode(start + pt.PSB + tip).ip[-1] == 0xBEEF


def test_a_block_of_items_ends_where_another_packet_stands() -> None:
    block = b"\x02\x63\x80" + b"\x0c\1\2\3\4" + b"\x59\0" + b"\x14\5\6\7\x08"
    assert kinds(pt.PSB + block + b"\x02\x33\x0c")[1:] == [
        *(Kind.BBP, Kind.BIP, Kind.MTC, Kind.BIP),
        *(Kind.BEP, Kind.TNT_8),
    ]
    assert kinds(pt.PSB + block + b"\x02\xf3\x0c")[-2:] == [Kind.OVF, Kind.TNT_8]


def test_the_loss_is_accounted_for() -> None:
    quality = Quality()
    decode(b"junk" + pt.PSB + b"\x02\xf3" + b"\x05garbage" + pt.PSB + b"\x19\1\2", quality)
    assert quality.to_dict() == {
        "n_bytes": 49,
        "skipped": 12,
        "cut_off": 3,
        "packets": {"psb": 2, "ovf": 1},
        "n_packets": 3,
        "errors": 1,
        "overflows": 1,
        "psbs": 2,
        "spaces": 0,
        "lost": 12 / 49,
    }


def test_offsets_count_from_the_start_of_the_trace_wherever_reading_begins() -> None:
    rows = Packets.joined(packets([b"\xff", pt.PSB, b"\x05"], base=1 << 40))
    assert rows.offset.tolist() == [(1 << 40) + 1, (1 << 40) + 17]
