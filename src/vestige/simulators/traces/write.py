"""From options to a corpus: `ROOT/<sample>/` with `info.txt`, `mapping.txt` and `trace_0`."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import zstandard
from numpy.typing import NDArray

from vestige.evidence.files import MARKER
from vestige.simulators.traces import walk as cpu
from vestige.simulators.traces.attacks import ATTACKS, NONE, chain
from vestige.simulators.traces.options import SimulateOptions
from vestige.simulators.traces.program import DISPATCH, Program, make_program
from vestige.storage import atomic_directory

PIECE = 1 << 20
ENDINGS = {"none": "", "gz": ".gz", "zst": ".zst"}
STACK = 0x21000
ABOUT = (
    "SYNTHETIC. Written by `vestige simulate traces` with the options below: no processor ever ran any of "
    "this. Programs, libraries and attacks are invented; results on this corpus say that the program works, "
    "not how well it finds attacks. Equal options give equal files."
)


@dataclass(frozen=True)
class Planned:
    """A recording to be written: of which program, with which choices, hijacked how (or not: ""), where its
    modules lie."""

    program: Program
    number: int
    attack: str
    size: int
    bases: NDArray[np.uint64]
    heap: int
    stack: int
    rng: np.random.Generator

    @property
    def id(self) -> str:
        """A digest for a name, as such labs call their samples."""
        return hashlib.sha256(f"{self.program.name} {self.number} {self.size}".encode()).hexdigest()[:32]


def simulate(out: Path, options: SimulateOptions, *, overwrite: bool = False) -> dict[str, Any]:
    """Write a corpus to `out`; returns what was planted, and leaves it in `MARKER` with each hijack's place.

    Raises OutputError when `out` holds something else, or cannot be written.
    """
    hijacks: dict[str, dict[str, Any]] = {}
    count: Counter[str] = Counter()
    with atomic_directory(out, marker=MARKER, overwrite=overwrite) as root:
        for planned in _planned(options):
            folder = root / planned.id
            folder.mkdir()
            _write_about(folder, planned, options)
            found = _write_trace(folder, planned, options)
            count.update(recordings=1, bytes=found["bytes"], malicious=int(bool(planned.attack)))
            if planned.attack:
                hijacks[planned.id] = found
                count[planned.attack] += 1
        planted = {"programs": options.programs, **count}
        report = {"about": ABOUT, "options": options.model_dump(), "planted": planted, "hijacks": hijacks}
        (root / MARKER).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return planted


def _planned(options: SimulateOptions) -> Iterator[Planned]:
    """Every recording of every program; the benign ones first."""
    hijacked = round(options.recordings * options.malicious)
    for number in range(options.programs):
        program = make_program(number, options.seed)
        for at in range(options.recordings):
            rng = np.random.default_rng([options.seed, number, at])
            size = int(options.kilobytes * 1024 * rng.uniform(0.5, 1.5))
            attack = str(rng.choice(ATTACKS)) if at >= options.recordings - hijacked else ""
            bases, heap, stack = _lay_out(program, rng)
            yield Planned(program, at, attack, size, bases, heap, stack, rng)


def _lay_out(program: Program, rng: np.random.Generator) -> tuple[NDArray[np.uint64], int, int]:
    """Where everything lies this time: the modules `(M,)`, heap and stack."""
    page = 4096
    main = 0x550000000000 + int(rng.integers(0, 1 << 28)) * page
    heap = main + program.modules[0].size + int(rng.integers(1, 1 << 13)) * page
    at = 0x7F0000000000 + int(rng.integers(0, 1 << 27)) * page
    bases = [main]
    for module in program.modules[1:]:
        bases.append(at)
        at += module.size + int(rng.integers(1, 512)) * page
    stack = 0x7FFC00000000 + int(rng.integers(0, 1 << 20)) * page
    return np.array(bases, dtype=np.uint64), heap, stack


def _write_about(folder: Path, planned: Planned, options: SimulateOptions) -> None:
    label = "malicious" if planned.attack else "benign"
    title = f"input-{planned.rng.integers(0, 1 << 32):08x}.doc"
    (folder / "info.txt").write_text(f"{title}\n{label}\n{planned.attack}\n", encoding="utf-8")
    starts = [int(base) for base in planned.bases]
    files = [f"/usr/lib/x86_64-linux-gnu/{module.name}" for module in planned.program.modules]
    files[0] = f"/usr/bin/{planned.program.name}"
    rows = [
        (start, start + module.size, file)
        for start, module, file in zip(starts, planned.program.modules, files, strict=True)
    ]
    if options.map == "maps":
        text = "".join(_maps_line(*row) for row in sorted([*rows, *_anonymous(planned)]))
        (folder / "mapping.txt").write_text(text, encoding="utf-8")
        return
    lines = [
        "Pid      Process              Base               InLoad InInit InMem MappedPath",
        "-------- -------------------- ------------------ ------ ------ ----- ----------",
    ]
    pid = int(planned.rng.integers(300, 32768))
    for start, _, file in rows:
        lines.append(f"{pid:8} {planned.program.name[:20]:20} 0x{start:016x} True   True   True  {file}")
    (folder / "mapping.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    ranges = [{"start": start, "end": end - 1, "file": file} for start, end, file in rows]
    (folder / "ranges.json").write_text(json.dumps(ranges, indent=0) + "\n", encoding="utf-8")


def _anonymous(planned: Planned) -> list[tuple[int, int, str]]:
    return [(planned.heap, planned.heap + STACK, "[heap]"), (planned.stack, planned.stack + STACK, "[stack]")]


def _maps_line(start: int, end: int, file: str) -> str:
    mode, inode = ("rw-p", 0) if file.startswith("[") else ("r-xp", 1000 + len(file))
    return f"{start:x}-{end:x} {mode} 00000000 08:01 {inode:<10} {file}\n"


def _write_trace(folder: Path, planned: Planned, options: SimulateOptions) -> dict[str, Any]:
    """Run the program; returns how many bytes that gave, and how and where it was hijacked."""
    program, rng = planned.program, planned.rng
    links = NONE
    if planned.attack:
        free = int(rng.choice([planned.heap, planned.stack])) + int(rng.integers(0, 0x20000))
        links = chain(planned.attack, program, planned.bases, free, rng)
    hijack_at = int(planned.size * rng.uniform(0.3, 0.85)) if planned.attack else cpu.NEVER
    s, u = _state(program, rng)
    with _packed(folder / f"trace_0{ENDINGS[options.compress]}", options.compress) as file:
        for piece in _pieces(planned, options.overflows / (1 << 20), s, u, links, hijack_at):
            file.write(piece)
    left = int(u[cpu.LEFT_AT])
    at = int(np.searchsorted(np.sort(planned.bases), np.uint64(left), side="right")) - 1
    number = int(np.argsort(planned.bases)[max(at, 0)])
    return {
        "program": program.name,
        "attack": planned.attack,
        "bytes": int(s[cpu.WRITTEN]),
        "offset": int(s[cpu.HIJACKED_AT]),
        "left": f"{program.modules[number].name}+0x{max(left - int(planned.bases[number]), 0):x}",
    }


def _state(program: Program, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    s, u = np.zeros(cpu.N_SIGNED, np.int64), np.zeros(cpu.N_UNSIGNED, np.uint64)
    s[cpu.BLOCK], s[cpu.TNT_MOST], s[cpu.HIJACKED_AT] = program.start, 6, cpu.NEVER
    u[cpu.RANDOM] = rng.integers(1, 1 << 63)
    u[cpu.TSC] = rng.integers(1 << 40, 1 << 48)
    return s, u


def _pieces(
    planned: Planned,
    overflow: float,
    s: NDArray[np.int64],
    u: NDArray[np.uint64],
    links: cpu.Chain,
    hijack_at: int,
) -> Iterator[memoryview]:
    """The trace, `PIECE` bytes at a time, until it is as long as it should be and the hijack has come."""
    code = _code(planned)
    out = np.zeros(PIECE + cpu.MARGIN, dtype=np.uint8)
    stack = np.zeros(cpu.STACK, dtype=np.int32)
    rounds = np.zeros(len(code.kind), dtype=np.int32)
    n = cpu.begin(out, s, u, code.address[planned.program.start])
    going = True
    while going:
        most = min(PIECE, max(n + 256, planned.size - int(s[cpu.WRITTEN])))
        n = cpu.walk(out, n, most, s, u, stack, rounds, code, overflow, hijack_at, links)
        going = int(s[cpu.WRITTEN]) < planned.size or (hijack_at >= 0 and s[cpu.HIJACKED_AT] < 0)
        if not going:
            s[cpu.WRITTEN] -= n
            n = cpu.finish(out, n, s, u)
            s[cpu.WRITTEN] += n
        yield out[:n].data
        n = 0


def _code(planned: Planned) -> cpu.Code:
    """The program's blocks at their addresses of this recording, its handlers used as its input has it."""
    program = planned.program
    handlers = int(program.many[program.kind == DISPATCH][0])
    mix = np.cumsum(planned.rng.dirichlet(np.full(handlers, 0.7)))
    mix[-1] = 1.0
    return cpu.Code(
        planned.bases[program.module] + program.offset, program.kind, program.follow, program.target,
        program.bias, program.first, program.many, program.choices, mix,
    )  # fmt: skip


@contextmanager
def _packed(path: Path, packing: str) -> Iterator[BinaryIO]:
    """A file to write bytes to; packed ones hold neither name nor time, so that equal content is equal."""
    with path.open("wb") as raw:
        if packing == "gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=5, mtime=0) as file:
                yield cast("BinaryIO", file)
        elif packing == "zst":
            with zstandard.ZstdCompressor(level=5).stream_writer(raw, closefd=False) as packed:
                yield cast("BinaryIO", packed)
        else:
            yield raw
