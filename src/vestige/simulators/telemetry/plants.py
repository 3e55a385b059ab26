"""Faults to plant in an episode, each with the reasons that a deep sweep must give for it."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import zstandard

from vestige.simulators.telemetry.draft import SECOND_NS, Draft, entry
from vestige.sources.telemetry.faults import FAULTS, VERDICTS
from vestige.sources.telemetry.fields import SEQ, WALL, CollectorName
from vestige.sources.telemetry.manifest import NAME

Spoil = Callable[[Draft], object]


@dataclass(frozen=True)
class Plant:
    """A fault: what it does to the tables, to the packed files and manifest, and to the folder on disk."""

    reasons: tuple[str, ...]
    tables: Spoil | None = None
    files: Spoil | None = None
    disk: Callable[[Path], object] | None = None
    folders: int = 1
    """How many folders of the store are spoilt by one such fault."""

    @property
    def verdict(self) -> str:
        """What the episode is to be called."""
        found = [FAULTS[reason.partition(":")[0]][0] for reason in self.reasons]
        return max(found, key=VERDICTS.index, default="in transit")


def _without(*collectors: CollectorName) -> Spoil:
    return lambda draft: [draft.tables.pop(collector) for collector in collectors]


def _table(collector: CollectorName, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Spoil:
    def spoil(draft: Draft) -> None:
        draft.tables[collector] = change(draft.tables[collector])

    return spoil


def _column(collector: CollectorName, change: pl.Expr) -> Spoil:
    return _table(collector, lambda table: table.with_columns(change))


def _at_half(name: str, value: Any) -> pl.Expr:
    """One value in the middle of a column."""
    return pl.when(pl.int_range(pl.len()) == pl.len() // 2).then(value).otherwise(pl.col(name)).alias(name)


def _set(*keys: str | int, to: Any) -> Spoil:
    """Change one thing in the manifest."""

    def spoil(draft: Draft) -> None:
        place: Any = draft.manifest
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to

    return spoil


def _bytes(name: str, change: Callable[[bytes], bytes], *, known: bool = False) -> Spoil:
    """Change a packed file; `known`: the manifest describes what it has become."""

    def spoil(draft: Draft) -> None:
        draft.files[name] = data = change(draft.files[name])
        for at, file in enumerate(draft.manifest["files"]):
            if known and file["path"] == name:
                draft.manifest["files"][at] = entry(name, data, file["rows"])

    return spoil


def _flip(data: bytes) -> bytes:
    half = len(data) // 2
    return data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]


def _unsealed(draft: Draft) -> None:
    draft.sealed = False


def _base(draft: Draft) -> None:
    draft.bases["netflow"] = "monotonic"


def _wrong_base(draft: Draft) -> None:
    """What the recorder of connections once did: monotonic stamps in the column of Unix nanoseconds."""
    table = draft.tables["netflow"]
    draft.tables["netflow"] = table.with_columns(pl.col(WALL) - draft.host.boot_ns)
    draft.bases["netflow"] = "wall"


def _bad_anchors(draft: Draft) -> None:
    draft.manifest["clock"]["sync"][1]["t_mono_ns"] *= 2


def _label(time_ns: Callable[[Draft], int], phase: str = "dormant") -> Spoil:
    return lambda draft: draft.labels.append(
        {"t_wall_ns": time_ns(draft), "label": "malicious", "phase": phase}
    )


def _late_labels(draft: Draft) -> None:
    draft.labels = [{**draft.labels[0], "t_wall_ns": draft.t_start_ns + 5 * SECOND_NS}]


def _no_labels(draft: Draft) -> None:
    draft.manifest["files"] = [file for file in draft.manifest["files"] if file["source"] != "labels"]


def _negative_rows(data: bytes) -> bytes:
    """Say in every page's header that it holds less than no values: Polars aborts, and its process with it.

    A data page header (field 5 of the page's, a Thrift struct, 0x2c) begins with its number of values (0x15
    and a zigzag varint): an odd varint is a negative number.
    """
    at, found = 0, bytearray(data)
    while (at := data.find(b"\x2c\x15", at)) >= 0:
        found[at + 2] |= 1
        at += 1
    return bytes(found)


@functools.cache
def _zeros() -> bytes:
    """A gigabyte, packed."""
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    piece = bytes(1 << 20)
    return b"".join([packer.compress(piece) for _ in range(1 << 10)] + [packer.flush()])


def _link(name: str) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        (folder / name).rename(folder / "elsewhere")
        (folder / name).symlink_to("elsewhere")

    return spoil


def _two_gigabytes(folder: Path) -> None:
    with (folder / NAME).open("r+b") as file:
        file.truncate(2 << 30)


def _copy(folder: Path) -> None:
    shutil.copytree(folder, folder.parent.parent / "1999-12-31" / folder.name)


PLANTS: dict[str, Plant] = {
    "in_transit": Plant((), disk=lambda folder: (folder / NAME).unlink()),
    "missing_guest": Plant(("missing:guest",), _without("guest")),
    "missing_qmp": Plant(("missing:qmp",), _without("qmp")),
    "missing_netflow": Plant(("missing:netflow",), _without("netflow")),
    "no_flows": Plant(("few_flows:netflow",), _table("netflow", pl.DataFrame.clear)),
    "few_rows": Plant(("few_rows:guest",), _table("guest", lambda rows: rows[::2])),
    "seq_gap": Plant(
        ("seq_gap:proc",), _column("proc", pl.col(SEQ) + 30 * (pl.int_range(pl.len()) > pl.len() // 2))
    ),
    "no_values": Plant(("missing_values:guest",), _column("guest", pl.lit(float("nan")).alias("load1"))),
    "no_anchors": Plant(("clock_base:netflow",), _base, _set("clock", "sync", to=[])),
    "bad_anchors": Plant(("clock_base:netflow",), _base, _bad_anchors),
    "wrong_base": Plant(("clock_base:netflow",), _wrong_base),
    "wrong_clock": Plant(("clock_base:guest",), _column("guest", pl.col(WALL) + 3600 * SECOND_NS)),
    "unsealed": Plant(("unsealed:episode",), _unsealed),
    "truncated": Plant(
        ("unsealed:episode", "truncated:proc", "few_rows:proc"),
        _unsealed,
        _bytes("proc.jsonl.zst", lambda data: data[: len(data) * 7 // 10], known=True),
    ),
    "infinite": Plant(("values:guest",), _column("guest", _at_half("load1", float("inf")))),
    "negative": Plant(("values:guest",), _column("guest", _at_half("interrupts", -1))),
    "unsorted_rows": Plant(("stamps:guest", "seq:guest"), _table("guest", pl.DataFrame.reverse)),
    "repeated_rows": Plant(("seq:qmp",), _table("qmp", lambda rows: pl.concat([rows, rows.tail(1)]))),
    "null_stamp": Plant(("stamps:proc",), _column("proc", _at_half(WALL, None))),
    "float_stamps": Plant(("columns:guest",), _column("guest", pl.col(WALL).cast(pl.Float64))),
    "wrong_dtype": Plant(("columns:guest",), _column("guest", pl.col("load1").cast(pl.String))),
    "missing_column": Plant(("columns:proc",), _table("proc", lambda rows: rows.drop("schedstat.waiting"))),
    "no_rows": Plant(("no_rows:episode", "missing:guest", "missing:proc"), _without("proc", "guest")),
    "unsorted_labels": Plant(("labels:labels",), _label(lambda draft: draft.t_start_ns)),
    "labels_outside": Plant(
        ("labels:labels",), _label(lambda draft: draft.t_start_ns + (draft.seconds + 5) * SECOND_NS)
    ),
    "unknown_phase": Plant(
        ("labels:labels",), _label(lambda draft: draft.t_start_ns + draft.seconds * SECOND_NS - 1, "asleep")
    ),
    "late_labels": Plant(("labels:labels",), _late_labels),
    "no_labels": Plant(("labels:labels",), None, _no_labels),
    "flipped_byte": Plant(("sha256:guest",), None, _bytes("guest.parquet", _flip)),
    "cut_file": Plant(("bytes:qmp",), None, _bytes("qmp.parquet", lambda data: data[:-10])),
    "wrong_rows": Plant(("rows:proc",), None, _set("files", 0, "rows", to=7)),
    "many_rows": Plant(("bomb:proc",), None, _set("files", 0, "rows", to=10**12)),
    "absent_file": Plant(("absent:qmp",), disk=lambda folder: (folder / "qmp.parquet").unlink()),
    "other_version": Plant(("manifest:manifest",), None, _set("schema_version", to="episode/2.0")),
    "float_times": Plant(("manifest:manifest",), None, _set("t_start_ns", to=1.7724384e18)),
    "other_registry": Plant(("registry:manifest",), None, _set("registry_sha256", to="0" * 64)),
    "climbing_path": Plant(("path:manifest",), None, _set("files", 0, "path", to="../../proc.parquet")),
    "absolute_path": Plant(("path:manifest",), None, _set("files", 0, "path", to="/etc/passwd")),
    "other_host": Plant(("identity:manifest",), None, _set("host", "id", to="host-0")),
    "repeated_id": Plant(("repeated_id:episode",), disk=_copy, folders=2),
    "linked_manifest": Plant(("link:manifest",), disk=_link(NAME)),
    "linked_file": Plant(("link:proc",), disk=_link("proc.parquet")),
    "huge_manifest": Plant(("size:manifest",), disk=_two_gigabytes),
    "no_json": Plant(("json:manifest",), disk=lambda folder: (folder / NAME).write_text('{"schema')),
    "deep_json": Plant(("json:manifest",), disk=lambda folder: (folder / NAME).write_text("[" * 500_000)),
    "bomb": Plant(
        ("bomb:guest", "unsealed:episode"), _unsealed,
        _bytes("guest.jsonl.zst", lambda _: _zeros(), known=True),
    ),
    "garbage": Plant(
        ("decode:qmp",), None, _bytes("qmp.parquet", lambda data: b"PAR1" + data[::-1] + b"PAR1", known=True)
    ),
    "killer": Plant(("died:episode",), None, _bytes("proc.parquet", _negative_rows, known=True)),
}  # fmt: skip
"""Every fault by name."""

COMMON = (
    "missing_guest", "missing_qmp", "no_anchors", "wrong_base", "few_rows", "flipped_byte", "unsealed",
    "truncated",
)  # fmt: skip
"""What happens in every lab."""


def planned(wishes: Iterable[str], episodes: int) -> dict[str, int]:
    """How many episodes get which fault. Raises ValueError for a wish that nobody understands."""
    found = dict.fromkeys(COMMON, episodes // 100)
    for at, wish in enumerate(wishes):
        name, _, number = wish.partition("=")
        if not number.isdecimal() or name not in {*PLANTS, "all", "none"}:
            raise ValueError(f"{wish!r} is not FAULT=EPISODES; faults: all none {' '.join(sorted(PLANTS))}")
        if at == 0:  # the first wish takes the place of what happens in every lab
            found = {}
        if name == "all":
            found |= dict.fromkeys(PLANTS, int(number))
        elif name != "none":
            found[name] = int(number)
    return {name: count for name, count in found.items() if count}
