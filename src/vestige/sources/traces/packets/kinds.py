"""The packets of Intel PT, and how each is told by its first bytes.

Intel SDM volume 3, chapter "Intel Processor Trace", section "Packet Definitions". TRIG is of later processors
than the rest.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Kind(IntEnum):
    """What a row of `Packets` is. The last two are no packets: bytes that are none."""

    PAD = 0
    TNT_8 = 1
    TNT_64 = 2
    TIP = 3
    TIP_PGE = 4
    TIP_PGD = 5
    FUP = 6
    MODE_EXEC = 7
    MODE_TSX = 8
    CBR = 9
    TSC = 10
    TMA = 11
    MTC = 12
    CYC = 13
    PSB = 14
    PSBEND = 15
    OVF = 16
    PIP = 17
    VMCS = 18
    MNT = 19
    STOP = 20
    PTW = 21
    EXSTOP = 22
    MWAIT = 23
    PWRE = 24
    PWRX = 25
    BBP = 26
    BIP = 27
    BEP = 28
    CFE = 29
    EVD = 30
    TRIG = 31
    UNKNOWN_OPCODE = 32
    UNKNOWN_PACKET = 33

    @property
    def label(self) -> str:
        """Its name in listings: `tip.pge`, `tnt.8`; `error` for what is no packet."""
        if self >= Kind.UNKNOWN_OPCODE:
            return "error"
        family, _, rest = self.name.lower().partition("_")
        if not rest:
            return family
        return f"{family}.{rest}"


LONGEST = 16
"""Bytes of the longest packet, PSB."""
EXTENDED = 0x02
"""First byte of the packets that are told by their second one."""
IP_BYTES = np.array([0, 2, 4, 6, 6, 0, 8, 0])
"""Bytes of an IP by its compression; 5 and 7 are reserved."""
SIGN_EXTENDED = 3
"""The compression whose IP is sign-extended from 48 bits."""
CARRIES_IP = np.array([kind in {Kind.TIP, Kind.TIP_PGE, Kind.TIP_PGD, Kind.FUP} for kind in Kind])

_WITHIN_BLOCKS = {
    *(Kind.PAD, Kind.TSC, Kind.TMA, Kind.MTC, Kind.CYC, Kind.CBR, Kind.MNT),
    *(Kind.FUP, Kind.EXSTOP, Kind.PWRE, Kind.PWRX, Kind.BIP),
}
KEEPS_BLOCK = np.array([kind in _WITHIN_BLOCKS for kind in Kind])
"""Packets that may stand in a block of BIPs; any other one ends it."""


def _first_bytes() -> tuple[np.ndarray, np.ndarray]:
    """Kind and size by the first byte; size 0: more than that byte tells it."""
    kinds = np.full(256, Kind.UNKNOWN_OPCODE)
    sizes = np.ones(256, int)
    for byte in range(256):
        if byte % 2 == 0:
            kinds[byte] = Kind.TNT_8
        elif byte % 4 == 3:
            kinds[byte], sizes[byte] = Kind.CYC, 0
    kinds[0x00] = Kind.PAD
    kinds[EXTENDED], sizes[EXTENDED] = Kind.UNKNOWN_OPCODE, 0
    for low, kind in ((0x0D, Kind.TIP), (0x11, Kind.TIP_PGE), (0x01, Kind.TIP_PGD), (0x1D, Kind.FUP)):
        for compression in range(8):
            reserved = compression in {5, 7}
            kinds[compression << 5 | low] = Kind.UNKNOWN_PACKET if reserved else kind
            sizes[compression << 5 | low] = 1 + IP_BYTES[compression]
    for byte, kind, size in ((0x99, Kind.MODE_EXEC, 0), (0x19, Kind.TSC, 8), (0x59, Kind.MTC, 2)):
        kinds[byte], sizes[byte] = kind, size
    kinds[0xD9], sizes[0xD9] = Kind.TRIG, 0
    return kinds, sizes


def _second_bytes() -> tuple[np.ndarray, np.ndarray]:
    """Kind and size of an extended packet by its second byte."""
    kinds = np.full(256, Kind.UNKNOWN_OPCODE)
    sizes = np.full(256, 2)
    for byte, kind, size in (
        *((0x82, Kind.PSB, 16), (0x23, Kind.PSBEND, 2), (0xF3, Kind.OVF, 2), (0x83, Kind.STOP, 2)),
        *((0x03, Kind.CBR, 4), (0x43, Kind.PIP, 8), (0xC8, Kind.VMCS, 7), (0xA3, Kind.TNT_64, 8)),
        *((0x73, Kind.TMA, 7), (0xC3, Kind.MNT, 0), (0x62, Kind.EXSTOP, 2), (0xE2, Kind.EXSTOP, 2)),
        *((0xC2, Kind.MWAIT, 10), (0x22, Kind.PWRE, 4), (0xA2, Kind.PWRX, 7), (0x63, Kind.BBP, 3)),
        *((0x33, Kind.BEP, 2), (0xB3, Kind.BEP, 2), (0x13, Kind.CFE, 4), (0x53, Kind.EVD, 11)),
        *((ip | 0x12, Kind.PTW, 6) for ip in (0x00, 0x80)),
        *((ip | 0x32, Kind.PTW, 10) for ip in (0x00, 0x80)),
        *((ip | 0x52, Kind.UNKNOWN_PACKET, 2) for ip in (0x00, 0x80)),
        *((ip | 0x72, Kind.UNKNOWN_PACKET, 2) for ip in (0x00, 0x80)),
    ):
        kinds[byte], sizes[byte] = kind, size
    return kinds, sizes


FIRST_KIND, FIRST_SIZE = _first_bytes()
SECOND_KIND, SECOND_SIZE = _second_bytes()

ADDRESS_SIZE = np.where(CARRIES_IP[FIRST_KIND] & (FIRST_SIZE > 1), FIRST_SIZE, 0)
"""By the first byte: the size of a packet that carries an address, 0 for all others."""
