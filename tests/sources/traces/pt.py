"""Bytes of Intel PT for tests: the shared vectors and recordings, and packets made by hand or at random."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import strategies as st

from vestige.sources.traces.packets.kinds import Kind

SHARED = Path(__file__).resolve().parents[3].parent / "shared/data/intel-pt"
PSB = b"\x02\x82" * 8


def shared(part: str) -> Path:
    """A folder of the shared traces; skips the test where they are absent."""
    if not (SHARED / part).is_dir():
        pytest.skip(f"{SHARED / part} is not there: the shared Intel PT traces lie beside the project")
    return SHARED / part


def vectors() -> list[str]:
    """Names of the shared conformance vectors."""
    return sorted(path.stem for path in (SHARED / "vectors").glob("*.pt"))


def short(branches: str) -> bytes:
    """A TNT-8 of up to six branches, such as `!..`."""
    bits = branches.replace("!", "1").replace(".", "0")
    return bytes([int("1" + bits, 2) << 1])


def long(branches: str) -> bytes:
    """A TNT-64 of up to 47 branches."""
    bits = branches.replace("!", "1").replace(".", "0")
    return b"\x02\xa3" + int("1" + bits, 2).to_bytes(6, "little")


def address(kind: Kind, ip: int, compression: int = 6) -> bytes:
    """An IP packet."""
    low = {Kind.TIP: 0x0D, Kind.TIP_PGE: 0x11, Kind.TIP_PGD: 0x01, Kind.FUP: 0x1D}[kind]
    size = (0, 2, 4, 6, 6, 0, 8)[compression]
    return bytes([compression << 5 | low]) + (ip % (1 << 8 * size)).to_bytes(size, "little")


def _payload(header: bytes, size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size).map(lambda rest: header + rest)


def _packets() -> dict[Kind, st.SearchStrategy[bytes]]:
    """Every kind with every payload, but for BIPs, which need a block."""
    extended = [
        *[(Kind.PSBEND, 0x23, 0), (Kind.OVF, 0xF3, 0), (Kind.STOP, 0x83, 0), (Kind.CBR, 0x03, 2)],
        *[(Kind.PIP, 0x43, 6), (Kind.VMCS, 0xC8, 5), (Kind.EXSTOP, 0xE2, 0), (Kind.MWAIT, 0xC2, 8)],
        *[(Kind.PWRE, 0x22, 2), (Kind.PWRX, 0xA2, 5), (Kind.BEP, 0xB3, 0), (Kind.CFE, 0x13, 2)],
        *[(Kind.EVD, 0x53, 9), (Kind.PTW, 0xB2, 8)],
    ]
    made = {kind: _payload(bytes([2, second]), size) for kind, second, size in extended}
    ips = st.integers(0, (1 << 64) - 1)
    for kind in (Kind.TIP, Kind.TIP_PGE, Kind.TIP_PGD, Kind.FUP):
        made[kind] = st.builds(address, st.just(kind), ips, st.sampled_from([0, 1, 2, 3, 4, 6]))
    made |= {
        Kind.PAD: st.just(b"\0"),
        Kind.PSB: st.just(PSB),
        Kind.TNT_8: st.text("!.", min_size=1, max_size=6).map(short),
        Kind.TNT_64: st.text("!.", min_size=1, max_size=47).map(long),
        Kind.TSC: _payload(b"\x19", 7),
        Kind.MTC: _payload(b"\x59", 1),
        Kind.MNT: _payload(b"\x02\xc3\x88", 8),
        Kind.MODE_EXEC: st.integers(0, 31).map(lambda bits: bytes([0x99, bits])),
        Kind.MODE_TSX: st.integers(0x20, 0x3F).map(lambda bits: bytes([0x99, bits])),
        Kind.TMA: st.binary(min_size=3, max_size=3).map(
            lambda b: b"\x02\x73" + b[:2] + b"\0" + b[2:] + b"\1"
        ),
        Kind.CYC: st.lists(st.integers(0, 127), max_size=8).map(
            lambda more: bytes(
                [0x03 | 4 * bool(more)] + [one * 2 | (i < len(more) - 1) for i, one in enumerate(more)]
            )
        ),
        Kind.TRIG: st.sampled_from([b"\xd9\x20\xa1", b"\xd9\x40\xa1\x17\x00"]),
    }
    return made


PACKETS = _packets()


def packets() -> st.SearchStrategy[list[tuple[Kind, bytes]]]:
    """A trace: a PSB, its end (of two PSBs in a row the decoder takes the second), then any packets."""
    one = st.sampled_from(sorted(PACKETS)).flatmap(lambda kind: st.tuples(st.just(kind), PACKETS[kind]))
    return st.lists(one, max_size=40).map(lambda rest: [(Kind.PSB, PSB), (Kind.PSBEND, b"\x02\x23"), *rest])


def damaged() -> st.SearchStrategy[bytes]:
    """Pieces of traces between and within pieces of anything."""
    whole = packets().map(lambda made: b"".join(bytes_ for _, bytes_ in made))
    tricky = st.sampled_from(
        [PSB, PSB[:-1], PSB[1:], PSB + b"\x02\x82", b"\x19\x01" + PSB, b"\x02\x63\x81\x1c"]
    )
    pieces = st.one_of(st.binary(max_size=40), whole, tricky)
    return st.lists(st.tuples(pieces, st.integers(0, 200)), max_size=8).map(
        lambda parts: b"".join(
            piece[cut % (len(piece) + 1) :] if cut % 3 == 0 else piece for piece, cut in parts
        )
    )


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, some of them empty."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]
