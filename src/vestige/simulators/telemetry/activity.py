"""What goes on in a virtual machine, as levels of a few drivers: ordinary work, and six kinds of attack.

CPU in cores, disk and network in MB/s, memory in GiB, everything else in events a second; for a machine of
average size and taste (`hosts.py` bends them).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DRIVERS = (
    "user", "system", "read", "write", "receive", "send", "forks", "memory", "operations",
    "web", "dns", "lan", "beacon", "scan", "mail",
)  # fmt: skip
"""Columns of every matrix of levels."""
FLOW_KINDS = DRIVERS[9:]
"""Drivers that are connections a second."""

IDLE = {
    "user": 0.03, "system": 0.02, "read": 0.02, "write": 0.05, "receive": 0.002, "send": 0.002, "forks": 0.3,
    "memory": 0.6, "operations": 1.0, "web": 0.03, "dns": 0.04, "lan": 0.05, "beacon": 0.012, "scan": 0.004,
}  # fmt: skip

WORK: dict[str, dict[str, float]] = {
    "browse": {"user": 0.25, "system": 0.08, "read": 0.3, "write": 0.2, "receive": 0.5, "send": 0.05,
               "forks": 0.5, "memory": 0.3, "web": 0.8, "dns": 0.6},
    "update": {"user": 0.5, "system": 0.2, "read": 2.0, "write": 5.0, "receive": 2.5, "send": 0.05,
               "forks": 4.0, "memory": 0.2, "operations": 20.0, "web": 0.2, "dns": 0.2},
    "backup": {"user": 0.2, "system": 0.25, "read": 9.0, "write": 0.3, "send": 4.0, "memory": 0.1,
               "operations": 40.0, "lan": 0.3},
    "build": {"user": 1.0, "system": 0.25, "read": 1.0, "write": 3.0, "forks": 12.0, "memory": 0.5,
              "operations": 10.0},
    "index": {"user": 0.4, "system": 0.15, "read": 8.0, "write": 4.0, "operations": 60.0, "memory": 0.2},
    "discovery": {"user": 0.06, "system": 0.06, "scan": 3.0, "lan": 0.6, "dns": 0.4},
    "newsletter": {"user": 0.08, "system": 0.05, "send": 0.2, "mail": 1.2, "dns": 1.2},
    "monitoring": {"user": 0.03, "system": 0.03, "send": 0.01, "beacon": 0.12, "dns": 0.08, "lan": 0.1},
    "computing": {"user": 0.9, "system": 0.04, "memory": 0.4},
    "archiving": {"user": 0.5, "system": 0.15, "read": 5.0, "write": 3.5, "operations": 40.0, "memory": 0.05},
    "upload": {"user": 0.15, "system": 0.1, "read": 2.5, "send": 2.0, "operations": 12.0, "web": 0.15,
               "dns": 0.1},
    "install": {},
}  # fmt: skip
"""Ordinary work: for every attack there is some that looks like it from one side at least."""

PROFILES: dict[str, dict[str, float]] = {
    "scan-and-dial": {"user": 0.12, "system": 0.15, "scan": 7.0, "dns": 0.4, "beacon": 0.1, "forks": 0.4},
    "coin-miner": {"user": 1.1, "system": 0.03, "memory": 0.4, "beacon": 0.06},
    "file-encryptor": {"user": 0.5, "system": 0.2, "read": 7.0, "write": 7.0, "operations": 60.0},
    "exfiltrator": {"user": 0.2, "system": 0.12, "read": 5.0, "send": 3.0, "operations": 25.0, "web": 0.1,
                    "dns": 0.15},
    "beacon": {"user": 0.02, "system": 0.02, "beacon": 0.15, "dns": 0.12, "send": 0.01},
    "mail-relay": {"user": 0.1, "system": 0.06, "send": 0.25, "mail": 2.0, "dns": 1.6},
}  # fmt: skip
"""What the sample does once it runs."""

PHASES = ("clean", "armed", "infecting", "infected_running", "dormant")
MALICIOUS = frozenset({"infecting", "infected_running", "dormant"})
"""Phases whose label is `malicious`; before the sample runs it is `benign`."""

SIGNS: dict[str, dict[str, float]] = {
    "armed": {"read": 0.15, "write": 0.2, "forks": 0.4, "operations": 1.5, "memory": 0.05},
    "infecting": {"user": 0.15, "system": 0.1, "write": 0.4, "forks": 1.0, "operations": 3.0, "memory": 0.1},
    "infected_running": {"memory": 0.08},
    "dormant": {"beacon": 0.05, "dns": 0.04, "memory": 0.08},
}
"""What a phase shows throughout once it has set in, however quiet the sample is."""

INSTALL = "install"
STAGES: dict[str, dict[str, float]] = {
    "fetch": {"user": 0.1, "system": 0.1, "write": 1.5, "receive": 1.2, "forks": 0.5, "web": 0.25,
              "dns": 0.3},
    "unpack": {"user": 0.5, "system": 0.2, "read": 1.5, "write": 2.5, "operations": 12.0, "memory": 0.15},
    "set up": {"user": 0.3, "system": 0.25, "read": 0.8, "write": 0.6, "forks": 4.0, "operations": 8.0},
}  # fmt: skip
"""How programs get onto a machine, wanted (`INSTALL`, a kind of work) or not."""


def levels(named: dict[str, float]) -> NDArray[np.float64]:
    """The levels of all drivers, `(drivers,)`; those that are not named are 0."""
    return np.array([named.get(driver, 0.0) for driver in DRIVERS])
