"""One simulated episode on its way to disk: tables, then bytes and a manifest, then files."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import zstandard

from vestige.simulators.telemetry import flows, programs, tables, timeline
from vestige.simulators.telemetry.activity import MALICIOUS, PHASES
from vestige.simulators.telemetry.hosts import Host
from vestige.sources.telemetry import fields
from vestige.sources.telemetry.fields import MONO, SAMPLED, WALL, CollectorName
from vestige.sources.telemetry.manifest import LABELS, NAME, VERSION

FRAME_ROWS = 60
SECOND_NS = 10**9
DRIFT = 12e-6
"""The wall clock is slewed against the monotonic one by about this much."""


@dataclass
class Draft:
    """An episode that `plants` may still spoil. `files` are filled by `pack`."""

    host: Host
    id: str
    t_start_ns: int
    seconds: int
    profile: str
    tables: dict[CollectorName, pl.DataFrame]
    labels: list[dict[str, Any]]
    bases: dict[CollectorName, str]
    sample: str
    sealed: bool = True
    files: dict[str, bytes] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where it lies in the store."""
        return f"{self.host.id}/{datetime.fromtimestamp(self.t_start_ns // SECOND_NS, UTC).date()}/{self.id}"

    def mono(self, t_wall_ns: int) -> int:
        """The same moment on the host's monotonic clock."""
        return t_wall_ns - self.host.boot_ns + round(DRIFT * (t_wall_ns - self.t_start_ns))

    def pack(self) -> None:
        """Turn tables and labels into files, and write the manifest that goes with them."""
        for collector, table in self.tables.items():
            stamped = table
            if self.bases[collector] == "monotonic":
                stamped = _in_monotonic(table, self)
            if self.sealed:
                self.files[f"{collector}.parquet"] = parquet(stamped)
            else:
                self.files[f"{collector}.jsonl.zst"] = spool(stamped)
        lines = (json.dumps(label, separators=(",", ":")) + "\n" for label in self.labels)
        self.files[LABELS] = "".join(lines).encode()
        rows: dict[str, int] = {collector: table.height for collector, table in self.tables.items()}
        rows["labels"] = len(self.labels)
        self.manifest = self._header() | {
            "files": [entry(name, data, rows[name.partition(".")[0]]) for name, data in self.files.items()]
        }

    def _header(self) -> dict[str, Any]:
        host, end = self.host, self.t_start_ns + self.seconds * SECOND_NS
        sync = [{"t_wall_ns": t_ns, "t_mono_ns": self.mono(t_ns)} for t_ns in (self.t_start_ns, end)]
        image = hashlib.sha256(f"image {host.vcpus}".encode()).hexdigest()
        return {
            "schema_version": VERSION,
            "episode_id": self.id,
            "sealed": self.sealed,
            "host": {name: getattr(host, name) for name in ("id", "boot_id", "kernel", "qemu", "accel")},
            "guest": {"image_sha256": image, "vcpus": host.vcpus, "memory_bytes": host.memory_bytes},
            "sample": {"sha256": self.sample},
            "profile": self.profile,
            "t_start_ns": self.t_start_ns,
            "t_end_ns": end,
            "clock": {"sources": dict(self.bases), "sync": sync},
            "registry_sha256": fields.digest(),
        }

    def write(self, root: Path) -> Path:
        """Put the files into the store, the manifest last; returns the episode's folder."""
        folder = root / self.folder
        folder.mkdir(parents=True)
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        (folder / NAME).write_text(json.dumps(self.manifest, indent=1) + "\n", encoding="utf-8")
        return folder


def make(host: Host, name: str, t_start_ns: int, seconds: int, rng: np.random.Generator) -> Draft:
    """An episode without any fault."""
    program = programs.make(str(rng.choice(host.profiles)), int(rng.integers(programs.SAMPLES)))
    happened = timeline.make(host, program, seconds, rng)
    levels = tables.drivers(happened.level, host)
    t_ns = t_start_ns + np.arange(seconds, dtype=np.int64) * SECOND_NS
    made: dict[CollectorName, pl.DataFrame] = {
        collector: tables.table(collector, levels, host, t_ns, rng) for collector in SAMPLED
    }
    made["netflow"] = flows.table(levels, t_ns, rng)
    labels = [
        {
            "t_wall_ns": int(t_ns[at]),
            "label": "malicious" if PHASES[happened.phase[at]] in MALICIOUS else "benign",
            "phase": PHASES[happened.phase[at]],
        }
        for at in happened.changes
    ]
    bases: dict[CollectorName, str] = {
        collector: "monotonic" if collector in host.monotonic else "wall" for collector in fields.COLLECTORS
    }
    return Draft(host, name, t_start_ns, seconds, program.profile, made, labels, bases, program.sha256)


def entry(name: str, data: bytes, rows: int) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {
        "path": name,
        "source": name.partition(".")[0],
        "rows": rows,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def parquet(table: pl.DataFrame) -> bytes:
    """A sealed table."""
    out = io.BytesIO()
    table.write_parquet(out, compression="zstd", statistics=False)
    return out.getvalue()


def spool(table: pl.DataFrame) -> bytes:
    """A table as the host spools it: a Zstandard frame with a checksum for every 60 rows."""
    packer = zstandard.ZstdCompressor(level=3, write_checksum=True)
    parts = (table.slice(at, FRAME_ROWS) for at in range(0, table.height, FRAME_ROWS))
    return b"".join(packer.compress(part.write_ndjson().encode()) for part in parts)


def _in_monotonic(table: pl.DataFrame, draft: Draft) -> pl.DataFrame:
    stamps = table[WALL].to_numpy()
    drift = np.rint(DRIFT * (stamps - draft.t_start_ns)).astype(np.int64)
    return table.with_columns(pl.Series(WALL, stamps - draft.host.boot_ns + drift)).rename({WALL: MONO})
