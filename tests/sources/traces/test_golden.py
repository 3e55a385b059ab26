"""Windows of a small trace, frozen to text: a change here is a change of what every trained detector sees.

Where it is meant, raise the schema's version and rewrite: `python -m tests.sources.traces.test_golden`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.reading.raw import live
from tests.sources.traces.pt import PSB, address, long, short
from vestige.sources.traces.options import TraceOptions
from vestige.sources.traces.packets.kinds import Kind
from vestige.sources.traces.schema import schema_for

GOLDEN = Path(__file__).with_name("golden")
OPTIONS = {
    "sliding": TraceOptions(sequence_len=4),
    "apart": TraceOptions(sequence_len=4, sliding_window=False),
    "targets": TraceOptions(sequence_len=4, tip_only=True),
}
MAP = """\
55aa00000000-55aa00002000 r-xp 00000000 08:01 11 /usr/bin/viewer
55aa10000000-55aa10021000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000002000 r-xp 00001000 08:01 12 /lib/libc.so.6
"""
TRACE = b"".join([
    PSB, b"\x02\x23", short("!."), address(Kind.TIP_PGE, 0x55AA00000010), short("!!."),
    address(Kind.TIP, 0x7F0000000034), long("!.!!.!...!"), address(Kind.TIP, 0x44, 1), short("."),
    address(Kind.TIP, 0x55AA00001010), address(Kind.TIP, 0x5A1000000050), address(Kind.TIP, 0, 0),
    b"\x02\xf3", address(Kind.FUP, 0x55AA00000020), short("!"), address(Kind.TIP, 0x55AA10000008),
    b"\xff\xff\xff", PSB, b"\x02\x23", address(Kind.TIP_PGE, 0x7F0000000100), short(".!.!"),
    address(Kind.TIP_PGD, 0, 0),
])  # fmt: skip
"""Branches, addresses in and outside of modules, an overflow, bytes that are no packets, and a new start."""


def corpus(place: Path) -> Path:
    """One recorded program run."""
    run = place / "run"
    run.mkdir(parents=True)
    (run / "trace_0").write_bytes(TRACE)
    (run / "mapping.txt").write_text(MAP)
    (run / "info.txt").write_text("viewer\nmalicious\n")
    return place


def render(place: Path, name: str) -> str:
    """A line a window: place, and the events, oldest first."""
    lines = []
    for batch in live([corpus(place)], schema_for(OPTIONS[name])):
        texts = batch.symbols["text"].to_list()
        for row, where in enumerate(batch.place.iter_rows(named=True)):
            window = " | ".join(texts[at] for at in batch.steps["symbol"][row])
            lines.append(f"{where['file']}:{where['event']}@{where['offset']} {window}\n")
    return "".join(lines)


@pytest.mark.parametrize("name", OPTIONS)
def test_windows_are_as_frozen(name: str, tmp_path: Path) -> None:
    assert render(tmp_path, name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for kind in OPTIONS:
        with tempfile.TemporaryDirectory() as folder:
            (GOLDEN / f"{kind}.txt").write_text(render(Path(folder), kind), encoding="utf-8")
