"""Fuzzing the readers of logs, events and manifests, and what artifacts are read with: no traceback, no hang.

    .venv/bin/python benchmarks/fuzz_evidence.py                    # one minute
    .venv/bin/python benchmarks/fuzz_evidence.py --seconds 600 --seed 7
    .venv/bin/python benchmarks/fuzz_evidence.py --only zeek --only guess

Examples of every shipped log format, of records as JSON and of programs whose format is guessed, simulated
exports, tables of Zeek, real event logs of Windows where they lie beside the project, and manifests are
mutated: bytes and lines changed, cut, doubled and spliced, quotes and brackets put in. What is refused must
be refused as evidence; an input that does anything else ends the run and is kept. A hang ends it by a signal
(20 s of processor time, or ten minutes in which something is waited for), which shows where, and leaves the
input in the folder for temporary files; memory is bounded by the process's limit.
Raw traces and perf.data have fuzzers of their own (`fuzz_traces.py`, `fuzz_perf.py`).
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from vestige import log
from vestige.errors import VestigeError
from vestige.reading.steps import Evidence
from vestige.simulators.events.options import SimulateOptions
from vestige.simulators.events.write import simulate as write_events
from vestige.sources import registry
from vestige.sources.logs import format as formats
from vestige.sources.telemetry import manifest
from vestige.sources.telemetry.faults import FaultError

LONGEST_SECONDS, LONGEST_WAIT, MOST_MEMORY, MOST_BYTES = 20, 600, 8 << 30, 1 << 16
NAMES = ("logs", "events", "zeek", "json", "guess", "evtx", "manifest")
ROOT = Path(__file__).resolve().parents[1]
WINDOWS = ROOT.parent / "shared/data/evtx"
PROGRAMS = ROOT / "tests/sources/logs/guessed.txt"
PIECES = (
    b'"', b"'", b"{", b"[", b"}", b"\\", b"\n", b"\r", b"\0", b"\xff\xfe", b"\x1b]0;x\x07",
    b"=cmd|' /C calc'!A1",
    b"9" * 40, b"1e999", b"NaN", b"-", b",,,,", b"\t", "\u202e".encode(), b"\xed\xa0\x80",
    b"[" * 200, b'{"a":' * 80,
    b"../../etc/passwd", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"ElfFile\0",
)  # fmt: skip


def mutated(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    """A few changes; now and then the end of another file behind the beginning of this one."""
    data = bytearray(seed)
    for _ in range(rng.choice((1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            data[at:at] = rng.choice(PIECES)
        elif kind == 2:
            del data[at : at + rng.choice((1, 8, 200))]
        elif kind == 3:
            data[at:at] = data[at : at + rng.choice((10, 300))] * rng.choice((1, 3))
        else:
            data[at:] = other[rng.randrange(len(other) + 1) :]
    return bytes(data[: max(MOST_BYTES, len(seed))])


def read_all(source: str) -> Callable[[Path], object]:
    """Reads a file to its end as that source does; whatever it cannot read it says as evidence."""
    kind = registry.get(source)

    def read(path: Path) -> object:
        reader = kind.corpus_reader(path, kind.options())
        steps = 0
        for unit in reader.units(Evidence((path,))).units:
            stream = reader.open(unit)
            while not stream.ended:
                block = stream.read(4096)
                if block is None:
                    break
                steps += len(block)
        return steps

    return read


def parse_manifest(path: Path) -> object:
    """The manifest of an episode."""
    return manifest.parse(path.read_bytes(), "manifest.json")


def seeds(place: Path) -> dict[str, tuple[list[bytes], Callable[[Path], object]]]:
    """By parser: files that it reads, and how."""
    logs = [("\n".join(chosen.example) + "\n").encode() * 20 for _, chosen in formats.every()]
    exports = []
    for kind in ("csv", "jsonl"):
        out = place / kind
        write_events(out, SimulateOptions(events=1000, machines=3, campaigns=1, seed=1, format=kind))
        exports += [file.read_bytes()[: 1 << 14] for file in sorted(out.glob("events*"))]
    exports.append(
        b"type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e syscall=2 success=no exit=-13\n" * 20
    )
    exports.append(b'1364481363.243 openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3 <0.000010>\n' * 20)
    zeek = (
        b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
        b"#fields\tts\tuid\tid.orig_h\tid.resp_h\tproto\tservice\tconn_state\n"
        b"#types\ttime\tstring\taddr\taddr\tenum\tstring\tstring\n"
        + b"1714979289.123456\tC1\t10.0.0.1\t8.8.8.8\tudp\tdns\tSF\n1714979290.1\tC2\t::1\t-\ttcp\t-\tS0\n"
        * 9
        + b"#close\t2024-05-06-08-00-00\n"
    )
    records = [
        b'{"@timestamp":"2024-05-06T07:08:09.123Z","log.level":"WARN","message":"x","host":{"name":"h"}}\n'
        * 9,
        b'{"log":"one ","stream":"stdout","time":"2024-05-06T07:08:09.1Z"}\n' * 9,
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1714979289000000000","body":'
        b'{"stringValue":"x"}}]}]}]}\n' * 5,
        b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1581292800000001\nMESSAGE\n\x05\0\0\0\0\0\0\0a\nb\nc\n\n" * 9,
    ]
    programs = [part.split("\n= ")[0].encode() + b"\n" for part in PROGRAMS.read_text().split("## ")[1:]]
    windows = [file.read_bytes() for file in sorted(WINDOWS.glob("*.evtx")) if file.stat().st_size < 1 << 18]
    told = {
        "schema_version": "episode/1.0",
        "episode_id": "e",
        "sealed": True,
        "files": [],
        "host": {"id": "h"},
    }
    return {
        "logs": (logs, read_all("logs")),
        "events": (exports, read_all("events")),
        "zeek": ([zeek], read_all("events")),
        "json": (records, read_all("logs")),
        "guess": (programs, read_all("logs")),
        **({"evtx": (windows, read_all("events"))} if windows else {}),
        "manifest": ([json.dumps(told).encode()], parse_manifest),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--inputs", type=int, default=10**9, help="end after so many, if not before")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--only", action="append", help="one of these parsers alone: " + ", ".join(NAMES))
    asked = arguments.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    log.configure(50)
    for sign in (signal.SIGPROF, signal.SIGALRM):
        faulthandler.register(sign, chain=True)
    rng, counts = random.Random(asked.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        parsers = seeds(place)
        file = place / "fuzzed.log"
        until = time.monotonic() + asked.seconds
        while time.monotonic() < until and counts.total() < asked.inputs:
            name = rng.choice(asked.only or list(parsers))
            files, read = parsers[name]
            data = mutated(rng.choice(files), rng.choice(files), rng)
            file.write_bytes(data)
            # On a busy machine seconds by the clock say nothing about an input.
            signal.setitimer(signal.ITIMER_PROF, LONGEST_SECONDS)
            signal.alarm(LONGEST_WAIT)
            try:
                read(file)
                counts[f"{name}: read"] += 1
            except (VestigeError, FaultError):
                counts[f"{name}: refused"] += 1
            except BaseException:
                kept = Path.cwd() / f"fuzzed-{name}-{asked.seed}.bin"
                kept.write_bytes(data)
                print(f"{name} broke; the input is in {kept}", file=sys.stderr)
                raise
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.alarm(0)
    for told in sorted(counts):
        print(f"{told} {counts[told]:,}")


if __name__ == "__main__":
    main()
