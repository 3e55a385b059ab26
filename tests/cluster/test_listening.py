"""A cluster that the program starts by itself listens to this machine alone, and has no dashboard."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.cluster import need
from tests.cluster.test_commands import environment

need("ray", "vestige[ray]")
DASHBOARD = 8265
LISTENS = "0A"
"""The state of a socket in /proc/net/tcp that waits for connections."""
SCRIPT = """
import json
from tests.cluster.test_listening import below, listening
from vestige.engine import choose

for outcome in choose("ray").map(abs, range(-3, 0), reads=lambda number: []):
    if outcome.index == 1:
        processes = below()
        print(json.dumps([len(processes), list(listening(processes))]))
"""
"""Looks at its own processes while they work."""


def test_a_cluster_that_is_started_here_listens_to_this_machine_alone_and_has_no_dashboard() -> None:
    command = [sys.executable, "-c", SCRIPT]
    told = {**environment(), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=told)
    assert done.returncode == 0, done.stderr
    processes, found = json.loads(done.stdout)
    assert processes > 3  # such as its head, its node and a worker
    assert len(found) > 3
    assert {address for address, _ in found} <= {"127.0.0.1", "::1"}
    assert DASHBOARD not in {port for _, port in found}


def below(process: int | None = None) -> list[int]:
    """A process and all that it started; without one, this process."""
    own = os.getpid() if process is None else process
    found = [own]
    for children in Path(f"/proc/{own}/task").glob("*/children"):
        for child in children.read_text().split():
            found += below(int(child))
    return found


def listening(processes: list[int]) -> Iterator[tuple[str, int]]:
    """Address and port of the TCP sockets of processes that wait for connections."""
    sockets = set()
    for process in processes:
        for file in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                sockets.add(str(file.readlink()))
    for kind in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == LISTENS and f"socket:[{columns[9]}]" in sockets:
                address, port = columns[1].split(":")
                yield readable(address), int(port, 16)


def readable(hexadecimal: str) -> str:
    """An address of /proc/net/tcp, whose 32-bit words are in the machine's own order."""
    words = [hexadecimal[at : at + 8] for at in range(0, len(hexadecimal), 8)]
    packed = b"".join(struct.pack("=I", int(word, 16)) for word in words)
    address = ipaddress.ip_address(packed)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)
