"""Whatever the simulated processor writes, the decoder reads back."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vestige.simulators.traces import packets as write
from vestige.sources.traces.packets.columns import decode
from vestige.sources.traces.packets.kinds import Kind

ADDRESS_KINDS = {
    Kind.TIP: write.TIP, Kind.TIP_PGE: write.TIP_PGE, Kind.TIP_PGD: write.TIP_PGD, Kind.FUP: write.FUP
}  # fmt: skip
near = st.integers(0, 0xFFFF).map(lambda low: 0x7FFF12340000 + low)
addresses = near | st.integers(0, (1 << 64) - 1) | st.sampled_from([0, (1 << 64) - 1, 1 << 47, (1 << 47) - 1])
branches = st.lists(st.booleans(), min_size=1, max_size=write.MOST_TNT_64)
packet = st.one_of(
    st.tuples(st.sampled_from(sorted(ADDRESS_KINDS)), addresses),
    st.tuples(st.just(Kind.TNT_8), branches),
    st.tuples(st.just(Kind.CYC), st.integers(0, (1 << 60) - 1)),
    st.tuples(st.just(Kind.TSC), st.integers(0, (1 << 56) - 1)),
    st.tuples(st.just(Kind.MTC), st.integers(0, 255)),
    st.tuples(st.just(Kind.CBR), st.integers(1, 255)),
    st.tuples(st.sampled_from([Kind.PSB, Kind.OVF, Kind.PSBEND, Kind.STOP]), st.none()),
)
EXTENDED = {Kind.OVF: 0xF3, Kind.PSBEND: 0x23, Kind.STOP: 0x83}


def _write(packets: list[tuple[Kind, Any]]) -> tuple[bytes, list[tuple[Any, ...]]]:
    """The bytes, and what the decoder should say: offset, kind, address, bits, how many, value."""
    out = np.zeros(write.ROOM * (len(packets) + 1), dtype=np.uint8)
    n, last = write.put_extended(out, write.put_psb(out, 0), EXTENDED[Kind.PSBEND]), 0
    told: list[tuple[Any, ...]] = [(0, Kind.PSB, None), (16, Kind.PSBEND, None)]
    for kind, content in packets:
        at, said = n, kind
        if kind in ADDRESS_KINDS:
            ipc = write.compression(np.uint64(content), np.uint64(last))
            n, last = write.put_ip(out, n, ADDRESS_KINDS[kind], np.uint64(content), ipc), content
        elif kind == Kind.TNT_8:
            bits = int("".join("01"[one] for one in content), 2)
            n = write.put_tnt(out, n, np.uint64(bits), len(content))
            said = Kind.TNT_8 if len(content) <= write.MOST_TNT_8 else Kind.TNT_64
        elif kind == Kind.CYC:
            n = write.put_cyc(out, n, np.uint64(content))
        elif kind == Kind.TSC:
            n = write.put_tsc(out, n, np.uint64(content))
        elif kind == Kind.MTC:
            n = write.put_mtc(out, n, content)
        elif kind == Kind.CBR:
            n = write.put_cbr(out, n, content)
        elif kind == Kind.PSB:
            n, last = write.put_psb(out, n), 0
        else:
            n = write.put_extended(out, n, EXTENDED[kind])
        told.append((at, said, content))
    return out[:n].tobytes(), told


@settings(max_examples=150, deadline=None)
@given(st.lists(packet, max_size=40))
def test_every_packet_comes_back(packets: list[tuple[Kind, Any]]) -> None:
    data, told = _write(packets)
    found = decode(data)
    assert [(int(at), Kind(kind)) for at, kind in zip(found.offset, found.kind, strict=True)] == [
        (at, kind) for at, kind, _ in told
    ]
    for row, (_, kind, content) in enumerate(told):
        if kind in ADDRESS_KINDS:
            assert int(found.ip[row]) == content
        elif kind in {Kind.TNT_8, Kind.TNT_64}:
            assert f"{int(found.bits[row]):0{int(found.n_bits[row])}b}" == "".join("01"[b] for b in content)
        elif kind in {Kind.CYC, Kind.TSC, Kind.MTC}:
            assert int(found.value[row]) == content


@given(addresses, addresses)
@settings(deadline=None)
def test_the_shortest_compression_is_chosen(ip: int, last: int) -> None:
    chosen = write.compression(np.uint64(ip), np.uint64(last))
    sign = (1 << 64) - (1 << 48) if ip >> 47 & 1 else 0
    known = {1: last >> 16 << 16, 2: last >> 32 << 32, 3: sign, 4: last >> 48 << 48, 6: 0}
    fits = {ipc: upper | ip & (1 << 8 * write.IP_BYTES[ipc]) - 1 == ip for ipc, upper in known.items()}
    assert fits[chosen]
    assert not any(fits[ipc] for ipc in fits if write.IP_BYTES[ipc] < write.IP_BYTES[chosen])
