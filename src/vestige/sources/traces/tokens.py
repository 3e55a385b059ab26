"""A trace's packets as values of a run: where the program went, one unsigned 64-bit number an event.

A value is `module << 48 | offset`. Modules are numbered by the memory map (`regions.py`), three of them by
itself: NOWHERE (no address known yet), UNMAPPED (an address outside the map) and ANONYMOUS (a region without
a file). The offset says what happened:

- a *target*: the address less the module's base. UNMAPPED keeps the address's low 48 bits. Offsets above
  `LAST_OFFSET` become `LAST_OFFSET`.
- a conditional branch: `TAKEN` or `NOT_TAKEN`, in the module of the last IP.

Targets are TIP, TIP.PGE and those TIP.PGD that carry an address: the packets in which the processor says
where a program went. A FUP is no target (it tells where an asynchronous event struck, and repeats the current
address after every PSB, that is, by how full the buffer is), but it is an IP: the branches after it are in
its module. A PSB and an error forget the module, as they forget the last IP, so that a trace gives the same
values whichever PSB one begins at.

The value 0 is never produced: it is free for padding.
"""

from __future__ import annotations

MODULE_SHIFT = 48
TAKEN = (1 << MODULE_SHIFT) - 1
NOT_TAKEN = TAKEN - 1
LAST_OFFSET = NOT_TAKEN - 1
