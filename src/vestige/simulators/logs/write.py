"""From options to a directory of log files."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast

from vestige.evidence.files import MARKER
from vestige.simulators.logs.options import SimulateOptions
from vestige.simulators.logs.render import FORMATS
from vestige.simulators.logs.stream import SERVICES, Rhythm, messages
from vestige.simulators.logs.values import Line, Values
from vestige.storage import atomic_directory

ABOUT = (
    "SYNTHETIC. Written by `vestige simulate logs` with the options below: no machine ever said any of this. "
    "Hosts, users, addresses, sentences and attacks are invented; results on this corpus say that the "
    "program works, not how well it finds attacks. Equal options give equal files."
)
BLOCK = 4096
CALM = {"app": 0.25, "auth": 0.3, "database": 0.35, "system": 0.9}
VOLUME = {"app": 0.55, "auth": 0.2, "database": 0.55, "system": 0.25}


@dataclass(frozen=True)
class LogFile:
    """A file to be written: `<host>/<service>.log`, with so many messages."""

    host: str
    service: str
    variant: int
    messages: int
    compressed: bool

    @property
    def name(self) -> str:
        """Its path inside the corpus."""
        return f"{self.host}/{self.service}.log" + (".gz" if self.compressed else "")


def simulate(out: Path, options: SimulateOptions, *, overwrite: bool = False) -> dict[str, Any]:
    """Write a corpus to `out`; returns (and leaves in `MARKER`) what was planted.

    Raises OutputError when `out` holds something else, or cannot be written.
    """
    with atomic_directory(out, marker=MARKER, overwrite=overwrite) as root:
        files = plan(options)
        kinds = {log.name: _write(root / log.name, log, options) for log in files}
        planted = _summary(files, kinds)
        report = {"about": ABOUT, "options": options.model_dump(), "planted": planted}
        (root / MARKER).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return planted


def plan(options: SimulateOptions) -> list[LogFile]:
    """Which hosts keep which logs, and how many messages each gets; they add up to what was asked for."""
    roles = ("web", "db") if options.hosts < 9 else ("web", "db", "web", "app")
    wanted: list[tuple[str, str, int, bool]] = []
    shares: list[float] = []
    number: Counter[str] = Counter()
    for index in range(options.hosts):
        role = roles[index % len(roles)]
        number[role] += 1
        host = f"{role}-{number[role]}"
        v = Values(f"{options.seed} {host}", host, 0)
        compressed = options.compress == "all" or (options.compress == "some" and index % 4 == 3)
        for service in ("auth", "database" if role == "db" else "app", "system"):
            wanted.append((host, service, (number[role] - 1) % 3, compressed))
            shares.append(VOLUME[service] * (0.75 + 0.5 * v.random()))
    total = sum(shares)
    ends = [0, *(round(options.messages * part / total) for part in accumulate(shares))]
    return [
        LogFile(host, service, variant, high - low, compressed)
        for (host, service, variant, compressed), (low, high) in zip(wanted, pairwise(ends), strict=True)
    ]


def _write(path: Path, log: LogFile, options: SimulateOptions) -> Counter[str]:
    """Write one file; returns how many messages of each kind (normal: "") it holds."""
    v = Values(f"{options.seed} {log.host} {log.service}", log.host, log.variant)
    rhythm = Rhythm(options.days, CALM[log.service])
    stream = messages(SERVICES[log.service], v, log.messages, rhythm, options)
    render = FORMATS[options.format]
    kinds: Counter[str] = Counter()
    path.parent.mkdir(exist_ok=True)
    with _open(path, log.compressed) as file:
        while block := list(islice(stream, BLOCK)):
            kinds.update(_kind(line) for _, line in block)
            text = "".join([f"{render(log.host, t, line)}\n" for t, line in block])
            file.write(text.encode("utf-8", "surrogateescape"))
    return kinds


def _kind(line: Line) -> str:
    return line.kind


@contextmanager
def _open(path: Path, compressed: bool) -> Iterator[BinaryIO]:
    """A file to write bytes to; a compressed one without name and time, so that equal content is equal."""
    with path.open("wb") as raw:
        if not compressed:
            yield raw
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=5, mtime=0) as packed:
            yield cast("BinaryIO", packed)


def _summary(files: list[LogFile], kinds: dict[str, Counter[str]]) -> dict[str, Any]:
    total = sum(kinds.values(), Counter[str]())
    hosts: dict[str, dict[str, int]] = {}
    for log in files:
        host = hosts.setdefault(log.host, {"messages": 0, "anomalies": 0})
        host["messages"] += log.messages
        host["anomalies"] += log.messages - kinds[log.name][""]
    return {
        "messages": total.total(),
        "anomalies": total.total() - total[""],
        "by_kind": {kind: n for kind, n in sorted(total.items()) if kind},
        "by_host": hosts,
        "files": {log.name: log.messages for log in files},
    }
