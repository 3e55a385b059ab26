"""A trace's packets as text: one line each, or one JSON object each.

The objects have an `offset`, a `kind`, and what the packet says, under the field's usual names. Addresses and
payloads are hexadecimal strings (64 bits do not survive every JSON reader), the rest plain numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from vestige.sources.traces.packets.columns import NOWHERE, Packets
from vestige.sources.traces.packets.kinds import CARRIES_IP, IP_BYTES, SIGN_EXTENDED, Kind

Fields = dict[str, Any]

_FIRST_EVENTS = ("intr", "iret", "smi", "rsm", "sipi", "init", "vmentry", "vmexit", "vmexit_intr", "shutdown")
EVENTS = dict(enumerate(_FIRST_EVENTS, start=1)) | {12: "uintr", 13: "uiret", 14: "swintr"}
"""CFE by type."""
WITH_VECTOR = {1, 5, 9, 12, 14}
EVENT_DATA = {0: "cr2", 1: "vmxq", 2: "vmxr"}
"""EVD by type."""
WAKES = {1: "int", 4: "st", 8: "hw"}
"""PWRX by the bit that says what woke the core."""


def objects(runs: Iterable[Packets]) -> Iterator[Fields]:
    """One object a packet, in order."""
    ip_known = False
    for run in runs:
        kinds = map(Kind, run.kind.tolist())
        rest = (run.offset, run.ip, run.bits, run.n_bits, run.value)
        cells = (column.tolist() for column in rest)
        for kind, offset, ip, bits, n_bits, value in zip(kinds, *cells, strict=True):
            fields: Fields = {"offset": offset, "kind": kind.label}
            if CARRIES_IP[kind]:
                fields |= _address(bits >> 5, ip, ip_known=ip_known)
                ip_known |= bits >> 5 != 0
            elif n_bits or kind in {Kind.TNT_8, Kind.TNT_64}:
                # As branches are written elsewhere: `!` for taken, `.` for not taken, the oldest first.
                fields["tnt"] = f"{bits:0{n_bits}b}".replace("0", ".").replace("1", "!")
            elif kind >= Kind.UNKNOWN_OPCODE:
                fields["message"] = kind.name.lower().replace("_", " ")
                fields["resync_offset"] = None if value == NOWHERE else value
                ip_known = False
            elif kind in _PAYLOADS:
                fields |= _PAYLOADS[kind](bits, value)
            yield fields


def lines(runs: Iterable[Packets], *, last_ip: bool = False) -> Iterator[str]:
    """One line a packet: offset, kind, fields; with `last_ip`, full addresses beside what was sent."""
    for fields in objects(runs):
        offset, kind = fields.pop("offset"), fields.pop("kind")
        if "ipc" in fields:
            shown = f"{fields['ipc']}: {fields['raw']}"
            if last_ip:
                shown += f"  {fields['ip'] or fields.get('ip_status')}"
        else:
            shown = "  ".join(text for name, value in fields.items() if (text := _shown(name, value)))
        yield f"{offset:016x}  {kind:9}  {shown}".rstrip()


def _shown(name: str, value: Any) -> str:
    if name in {"tnt", "message"}:
        return str(value)
    if name == "resync_offset":
        return "no further psb" if value is None else f"goes on at {value:016x}"
    if value is False or value is None:
        return ""
    if value is True:
        return name
    if isinstance(value, list):
        return " ".join(value)
    return f"{name} {value}"


def _address(compression: int, ip: int, *, ip_known: bool) -> Fields:
    digits = 2 * int(IP_BYTES[compression])
    if compression == SIGN_EXTENDED:
        # Six bytes are sent, but they settle all eight.
        digits = 16
    sent = f"{ip:016x}"[16 - digits :]
    fields: Fields = {
        "ipc": compression,
        "raw": sent.rjust(16, "?"),
        "ip": f"0x{ip:016x}" if digits else None,
    }
    if not digits:
        fields["ip_status"] = "<suppressed>" if ip_known else "<unavailable>"
    return fields


def _flags(bits: int, *names: str) -> Fields:
    return {"flags": [name for i, name in enumerate(names) if bits >> i & 1]}


def _event(_header: int, payload: int) -> Fields:
    kind, vector = payload & 0x1F, payload >> 8
    fields: Fields = {"type": kind, "ip_bit": bool(payload & 0x80), "type_name": EVENTS.get(kind)}
    if kind in WITH_VECTOR:
        fields["vector"] = vector
    return fields


def _event_data(header: int, payload: int) -> Fields:
    kind = header & 0x3F
    return {"type": kind, "payload": hex(payload), "type_name": EVENT_DATA.get(kind)}


def _trigger(_header: int, payload: int) -> Fields:
    flags = payload & 0xFF
    return {
        "trbv": payload >> 8 & 0xFF,
        "ip_bit": bool(flags & 0x80),
        "mult": bool(flags & 0x20),
        "icnt": payload >> 16 if flags & 0x40 else None,
    }


def _c_state(code: int) -> int:
    """A C-state as hints of MWAIT encode it: one less, C0 as 15."""
    return (code + 1) & 0xF


def _wake(_header: int, payload: int) -> Fields:
    names = [name for bit, name in WAKES.items() if payload >> 8 & bit]
    return {"wake": ",".join(names), "last": _c_state(payload >> 4), "deepest": _c_state(payload)}


_PAYLOADS: dict[Kind, Callable[[int, int], Fields]] = {
    Kind.MODE_EXEC: lambda _, payload: _flags(payload, "cs.l", "cs.d", "if"),
    Kind.MODE_TSX: lambda _, payload: _flags(payload, "intx", "abrt"),
    Kind.CBR: lambda _, payload: {"ratio": payload & 0xFF},
    Kind.TSC: lambda _, payload: {"tsc": payload},
    Kind.TMA: lambda _, payload: {"ctc": payload & 0xFFFF, "fc": payload >> 24},
    Kind.MTC: lambda _, payload: {"ctc": payload},
    Kind.CYC: lambda _, payload: {"value": payload},
    Kind.PIP: lambda _, payload: {"cr3": hex(payload >> 1 << 5), "nr": bool(payload & 1)},
    Kind.VMCS: lambda _, payload: {"base": hex(payload << 12)},
    Kind.MNT: lambda _, payload: {"payload": hex(payload)},
    Kind.PTW: lambda header, payload: {
        "plc": header >> 5 & 3,
        "payload": hex(payload),
        "ip_bit": bool(header & 0x80),
    },
    Kind.EXSTOP: lambda header, _: {"ip_bit": bool(header & 0x80)},
    Kind.MWAIT: lambda _, payload: {"hints": payload & 0xFF, "ext": payload >> 32 & 3},
    Kind.PWRE: lambda _, payload: {
        "cstate": _c_state(payload >> 12),
        "sub_cstate": _c_state(payload >> 8),
        "hw": bool(payload & 8),
    },
    Kind.PWRX: _wake,
    Kind.BBP: lambda _, payload: {"sz4": bool(payload & 0x80), "type": payload & 0x1F},
    Kind.BIP: lambda header, payload: {"id": header >> 3, "payload": hex(payload)},
    Kind.BEP: lambda header, _: {"ip_bit": bool(header & 0x80)},
    Kind.CFE: _event,
    Kind.EVD: _event_data,
    Kind.TRIG: _trigger,
}
