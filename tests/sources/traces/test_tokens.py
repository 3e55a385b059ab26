"""Values of a recording: against an independent way from columns to values, and case by case."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.sources.traces import pt
from vestige.sources.traces import fused, tokens
from vestige.sources.traces.fused import LANES, PAGES, ROOM
from vestige.sources.traces.packets.columns import Packets, decode
from vestige.sources.traces.packets.kinds import Kind
from vestige.sources.traces.packets.quality import Quality
from vestige.sources.traces.packets.stream import feed, fresh_state
from vestige.sources.traces.regions import (
    ANONYMOUS,
    FIRST_FILE,
    KERNEL,
    KERNEL_START,
    NOWHERE,
    UNMAPPED,
    Regions,
)
from vestige.sources.traces.tokens import (
    CHUNK,
    LAST_OFFSET,
    MODULE_SHIFT,
    NOT_TAKEN,
    TAKEN,
    events,
    values,
)

Region = tuple[int, int, int, int]
"""Start, end, module, base."""
PROGRAM, LIBRARY = FIRST_FILE, FIRST_FILE + 1
MAP = [
    (0x40_1000, 0x40_2000, PROGRAM, 0x40_0000),
    (0x40_2000, 0x40_3000, ANONYMOUS, 0x40_2000),
    (0x7F00_0000_0000, 0x7F00_0010_0000, LIBRARY, 0x7F00_0000_0000),
]


def regions(rows: list[Region]) -> Regions:
    starts, ends, modules, bases = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Regions(
        np.array(starts, np.uint64),
        np.array(ends, np.uint64),
        np.array(modules, np.uint16),
        np.array(bases, np.uint64),
    )


KNOWN = regions(MAP)


def value(module: int, offset: int) -> int:
    return module << MODULE_SHIFT | offset


def run(trace: bytes, known: Regions = KNOWN, **options: Any) -> list[int]:
    return [int(one) for chunk in values([trace], known, **options) for one in chunk]


def tip(ip: int, kind: Kind = Kind.TIP) -> bytes:
    return pt.address(kind, ip)


def slowly(rows: Packets, known: list[Region], *, tip_only: bool) -> list[tuple[int, int]]:
    """The same values with their packets' offsets, a row at a time, in plain integers."""
    made, module = [], NOWHERE
    for at in range(len(rows)):
        kind, offset = rows.kind[at], int(rows.offset[at])
        if kind in {Kind.TNT_8, Kind.TNT_64} and not tip_only:
            digits = f"{int(rows.bits[at]):0{int(rows.n_bits[at])}b}"
            made += [(value(module, TAKEN if one == "1" else NOT_TAKEN), offset) for one in digits]
        elif kind == Kind.PSB:
            module = NOWHERE
        elif kind in {Kind.TIP, Kind.TIP_PGE, Kind.TIP_PGD, Kind.FUP} and int(rows.bits[at]) >> 5:
            ip = int(rows.ip[at])
            free = KERNEL if ip >= KERNEL_START else UNMAPPED
            module, base = next(((m, b) for start, end, m, b in known if start <= ip < end), (free, 0))
            if kind != Kind.FUP:
                made.append((value(module, min((ip - base) % (1 << 48), LAST_OFFSET)), offset))
    return made


@st.composite
def maps(draw: st.DrawFn) -> list[Region]:
    """Regions anywhere, some adjacent, some at the ends of the address space."""
    edges = sorted(draw(st.sets(st.integers(0, (1 << 64) - 1), max_size=8)))
    pairs = [pair for pair in pairwise(edges) if draw(st.booleans())]
    return [
        (start, end, draw(st.integers(ANONYMOUS, 65535)), draw(st.integers(0, start))) for start, end in pairs
    ]


@given(pt.damaged(), maps(), st.booleans(), st.lists(st.integers(0, 1 << 16), max_size=8))
@settings(max_examples=300)
def test_any_bytes_in_any_pieces_give_the_values_of_their_packets(
    trace: bytes, known: list[Region], tip_only: bool, places: list[int]
) -> None:
    qualities = Quality(), Quality()
    rows = decode(trace, qualities[0])
    pieces = pt.cut(trace, places)
    chunks = list(values(pieces, regions(known), tip_only=tip_only, quality=qualities[1]))
    expected = slowly(rows, known, tip_only=tip_only)
    assert [int(one) for chunk in chunks for one in chunk] == [one for one, _ in expected]
    assert qualities[0] == qualities[1]
    placed = [zip(*both, strict=True) for both in events(pieces, regions(known), tip_only=tip_only)]
    assert [(int(one), int(at)) for chunk in placed for one, at in chunk] == expected


@given(pt.damaged(), maps(), st.integers(ROOM + 1, 3 * ROOM), st.integers(1, 64))
def test_neither_the_size_of_a_chunk_nor_of_the_buffer_makes_a_difference(
    trace: bytes, known: list[Region], chunk: int, piece: int
) -> None:
    expected = slowly(decode(trace), known, tip_only=False)

    def decoded(*, placed: bool) -> list[tuple[Any, Any]]:
        decoder = tokens.Decoder(regions(known), placed=placed, chunk=chunk, piece=piece)
        return [*decoder.feed(trace), *decoder.finish()]

    found = [pair for both in decoded(placed=True) for pair in zip(*both, strict=True)]
    assert [(int(value), int(at)) for value, at in found] == expected
    assert [int(value) for part, _ in decoded(placed=False) for value in part] == [
        value for value, _ in expected
    ]


@pytest.mark.parametrize("size", range(ROOM + 1, 2 * ROOM + 1))
def test_nothing_is_written_behind_a_chunk(size: int) -> None:
    trace = pt.PSB + (pt.long("!" * 47) + pt.short("!")) * 9 + (pt.short("!" * 6) + b"\3" + tip(5)) * 99
    out, place = np.full(size + LANES, 5, np.uint64), np.full(size + LANES, 5, np.int64)
    state, counts = fresh_state(), np.zeros(len(Kind), np.int64)
    known, guess = KNOWN.partition.ravel(), np.zeros(PAGES, np.int64)

    def step(content: NDArray[np.uint8], end: int, final: bool) -> Iterator[int]:
        chunk, n = (out[:size], place[:size]), size
        while n > size - ROOM:
            n = fused.encode(content, end, final, state, counts, known, guess, False, *chunk, 0)
            yield n

    assert max(feed([trace], state, step)) <= size
    assert (out[size:] == 5).all()
    assert (place[size:] == 5).all()


def test_a_target_is_module_and_offset() -> None:
    trace = pt.PSB + tip(0x40_1234) + tip(0x7F00_0000_0042, Kind.TIP_PGE) + tip(0x40_2010, Kind.TIP_PGD)
    assert run(trace) == [value(PROGRAM, 0x1234), value(LIBRARY, 0x42), value(ANONYMOUS, 0x10)]


def test_a_region_ends_before_its_end() -> None:
    near = [0x40_0FFF, 0x40_1000, 0x40_1FFF, 0x40_2FFF, 0x40_3000, 0, (1 << 64) - 1]
    modules = [one >> MODULE_SHIFT for one in run(pt.PSB + b"".join(map(tip, near)))]
    assert modules == [UNMAPPED, PROGRAM, PROGRAM, ANONYMOUS, UNMAPPED, UNMAPPED, KERNEL]


def test_without_a_map_all_is_unmapped_and_keeps_its_address() -> None:
    assert run(pt.PSB + tip(0x40_1234), Regions.none()) == [value(UNMAPPED, 0x40_1234)]
    assert run(pt.PSB + tip(0x00FE_8000_0000_1000)) == [value(UNMAPPED, 0x8000_0000_1000)]
    assert run(pt.PSB + tip((1 << 64) - (1 << 56) - 1)) == [value(UNMAPPED, LAST_OFFSET)]


def test_the_upper_half_of_all_addresses_is_the_kernel_where_nothing_is_mapped() -> None:
    known = regions([(0xFFFF_FFFF_FF60_0000, 0xFFFF_FFFF_FF60_1000, LIBRARY, 0xFFFF_FFFF_FF60_0000)])
    assert run(pt.PSB + tip(0xFFFF_FFFF_81A0_0010), known) == [value(KERNEL, 0xFFFF_81A0_0010)]
    assert run(pt.PSB + tip(0xFFFF_FFFF_FF60_0400), known) == [value(LIBRARY, 0x400)]
    assert run(pt.PSB + tip(KERNEL_START), known) == [value(KERNEL, 0)]
    assert run(pt.PSB + tip((1 << 64) - 1)) == [value(KERNEL, LAST_OFFSET)]


def test_branches_are_in_the_module_of_the_last_address() -> None:
    trace = (
        pt.PSB
        + pt.short("!")
        + tip(0x40_1234)
        + pt.short("!.")
        + tip(0x7F00_0000_0042, Kind.FUP)
        + pt.long(".!")
        + pt.address(Kind.TIP_PGD, 0, 0)
        + pt.short(".")
        + pt.PSB
        + pt.short(".")
    )
    assert run(trace) == [
        value(NOWHERE, TAKEN),
        value(PROGRAM, 0x1234),
        *(value(PROGRAM, TAKEN), value(PROGRAM, NOT_TAKEN)),
        *(value(LIBRARY, NOT_TAKEN), value(LIBRARY, TAKEN), value(LIBRARY, NOT_TAKEN)),
        value(NOWHERE, NOT_TAKEN),
    ]
    assert run(trace, tip_only=True) == [value(PROGRAM, 0x1234)]


def test_after_an_error_the_module_is_not_known() -> None:
    trace = pt.PSB + tip(0x40_1234) + b"\x05" + pt.PSB + pt.short("!")
    assert run(trace) == [value(PROGRAM, 0x1234), value(NOWHERE, TAKEN)]


@pytest.mark.parametrize("branches", [1, 5, 6, 47])
def test_chunks_of_a_fixed_size_hold_all_the_values(branches: int) -> None:
    packet = pt.short("!" * branches) if branches <= 6 else pt.long("!" * branches)
    count = 2 * CHUNK // branches + 100
    chunks: list[NDArray[np.uint64]] = list(values([pt.PSB, packet * count], KNOWN))
    assert sum(map(len, chunks)) == branches * count
    assert all(len(chunk) <= CHUNK for chunk in chunks)
    assert all((chunk == value(NOWHERE, TAKEN)).all() for chunk in chunks)


@pytest.mark.parametrize(
    "rows",
    [
        [(2, 2, 3, 0)],
        [(2, 5, 3, 0), (4, 6, 3, 0)],
        [(5, 6, 3, 0), (2, 3, 3, 0)],
        [(2, 5, 3, 4)],
        [(2, 5, UNMAPPED, 0)],
    ],
)
def test_regions_that_make_no_sense_are_refused(rows: list[Region]) -> None:
    with pytest.raises(ValueError, match="overlap"):
        regions(rows)


def test_branches_end_a_block_of_items_and_count() -> None:
    trace = pt.PSB + b"\x02\x63\x80" + b"\x0c\1\2\3\4" + pt.short("!") + pt.short("!.")
    assert run(trace) == [value(NOWHERE, one) for one in (TAKEN, TAKEN, NOT_TAKEN)]


@given(maps())
def test_every_address_is_in_one_row_of_a_partition(rows: list[Region]) -> None:
    first, last, module, origin = regions(rows).partition.T.tolist()
    assert (first[0], last[-1]) == (0, (1 << 64) - 1)
    assert all(end + 1 == start for end, start in zip(last, first[1:], strict=False))
    found = {(start, end + 1, *rest) for start, end, *rest in zip(first, last, module, origin, strict=True)}
    assert set(rows) <= found
    for start, end, number, base in found - set(rows):
        assert base == 0
        assert number == (KERNEL if start >= KERNEL_START else UNMAPPED)
        assert start >= KERNEL_START or end <= KERNEL_START
