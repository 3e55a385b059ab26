"""A few packets and a small map: do they still give the same numbers?"""

from __future__ import annotations

MAP = """\
55aa00000000-55aa00002000 r-xp 00000000 08:01 11 /usr/bin/Probe
55aa10000000-55aa10021000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000002000 r-xp 00001000 08:01 12 /lib/libc.so.6
7f0100000000-7f0100001000 r-xp 00000000 08:01 13 /opt/a/plugin.so
7f0200000000-7f0200001000 r-xp 00000000 08:01 14 /opt/b/plugin.so
7f0300000000-7f0300001000 r-xs 00000000 08:01 15 /dev/shm/ffiaBcDeF (deleted)
"""
TRACE = bytes.fromhex(
    "0282" * 8 + "0223"  # PSB, PSBEND
    "1c"  # branches before the first address
    "7110000000aa55"  # TIP.PGE, 6 bytes: probe+0x10
    "1c5c"  # branches
    "6d34000000007f"  # TIP, 6 bytes: libc.so.6+0x1034
    "02a3150000000100"  # TNT-64
    "2d4400"  # TIP, 2 bytes: libc.so.6+0x1044
    "06"
    "6d10100000aa55"  # back
    "6d50000000105a"  # nowhere in the map
    "0d"  # no address
    "02f3"  # OVF
    "7d20000000aa55"  # FUP: probe+0x20
    "04"
    "6d08000010aa55"  # the heap
    "0c"
    "6d10000000017f6d10000000027f6d10000000037f"  # files of one name, and one that was unlinked
    "cd1000a081ffffffff"  # the kernel
    "01"
)
