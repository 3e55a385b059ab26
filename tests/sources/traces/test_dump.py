"""`vestige traces dump`: files of any packing, any place to begin, and what is said of the loss."""

from __future__ import annotations

import gzip
import json
import re
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard
from typer.testing import CliRunner, Result

from tests.sources.traces import pt
from vestige.cli.main import app
from vestige.errors import EvidenceError, UsageError
from vestige.evidence import expand
from vestige.sources.traces.packets.kinds import Kind

TRACE = (
    b"\0\0"
    + pt.PSB
    + pt.address(Kind.FUP, 0x40_1000, 3)
    + b"\x02\x23"
    + pt.short("!..!")
    + b"\x99\x01"
    + pt.address(Kind.TIP, 0xBEEF, 1)
    + b"\x05"
    + pt.PSB
    + pt.address(Kind.TIP_PGD, 0, 0)
    + b"\x02\xf3"
)
LISTED = """\
0000000000000002  psb
0000000000000012  fup        3: 0000000000401000
0000000000000019  psbend
000000000000001b  tnt.8      !..!
000000000000001c  mode.exec  cs.l
000000000000001e  tip        1: ????????????beef
0000000000000021  error      unknown opcode  goes on at 0000000000000022
0000000000000022  psb
0000000000000032  tip.pgd    0: ????????????????
0000000000000033  ovf
"""


def dump(*arguments: object, **options: Any) -> Result:
    result = CliRunner().invoke(app, ["traces", "dump", *map(str, arguments)], **options)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_a_trace_is_listed_whatever_its_packing(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "trace_0").write_bytes(pack(TRACE))
    result = dump(tmp_path / "trace_0")
    assert result.stdout == LISTED
    assert "9 packets, 2 PSBs, 1 errors, 1 overflows; 3 of 53 bytes skipped" in result.stderr


def test_addresses_can_be_shown_in_full(tmp_path: Path) -> None:
    (tmp_path / "trace_0").write_bytes(TRACE)
    listed = dump(tmp_path / "trace_0", "--lastip").stdout
    assert "tip        1: ????????????beef  0x000000000040beef\n" in listed
    assert "tip.pgd    0: ????????????????  <unavailable>\n" in listed


def test_json_is_one_object_a_line(tmp_path: Path) -> None:
    (tmp_path / "trace_0").write_bytes(TRACE)
    rows = [json.loads(line) for line in dump(tmp_path / "trace_0", "--json").stdout.splitlines()]
    assert rows[6] == {"offset": 0x21, "kind": "error", "message": "unknown opcode", "resync_offset": 0x22}
    assert [row["kind"] for row in rows] == [line.split()[1] for line in LISTED.splitlines()]


@pytest.mark.parametrize("start", ["0x10", "16"])
def test_it_begins_at_the_first_psb_from_an_offset_on(tmp_path: Path, start: str) -> None:
    (tmp_path / "trace_0").write_bytes(TRACE)
    result = dump(tmp_path / "trace_0", "--from", start)
    assert result.stdout == "".join(LISTED.splitlines(True)[7:])
    assert "18 of 37 bytes skipped" in result.stderr


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dump("-", input=TRACE).stdout == LISTED


def test_a_cut_off_archive_is_listed_as_far_as_it_goes_and_said_so(tmp_path: Path) -> None:
    (tmp_path / "trace_0.gz").write_bytes(gzip.compress(TRACE * 2000)[:-20])
    result = dump(tmp_path / "trace_0.gz")
    assert result.stdout.startswith(LISTED)
    assert "cut off after" in result.stderr


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "Expander", partial(expand.Expander, bomb_bytes=1 << 20))
    (tmp_path / "trace_0.zst").write_bytes(zstandard.compress(bytes(4 << 20)))
    with pytest.raises(EvidenceError, match="bomb"):
        dump(tmp_path / "trace_0.zst")


def test_what_is_no_trace_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(b"no Intel PT at all, by far")
    result = dump(tmp_path / "notes")
    assert result.stdout == ""
    assert re.search("no PSB in 26 bytes", result.stderr)


@pytest.mark.parametrize("start", ["-1", "one", "0xg", str(1 << 63)])
def test_an_offset_that_is_none_is_refused(tmp_path: Path, start: str) -> None:
    with pytest.raises(UsageError, match="--from"):
        dump(tmp_path, "--from", start)


def test_an_offset_behind_the_end_and_a_directory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "trace_0").write_bytes(TRACE)
    with pytest.raises(EvidenceError, match="has 53 bytes, none from 53 on"):
        dump(tmp_path / "trace_0", "--from", "53")
    with pytest.raises(EvidenceError, match=r"(?s)directory.*give a file"):
        dump(tmp_path)
    with pytest.raises(EvidenceError, match=r"(?s)No such file.*give a file"):
        dump(tmp_path / "missing")


WINDOWS_THREAD = struct.pack("<Q5I", 4242, 0, 3, 1, 40, 80) + bytes(64)


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (WINDOWS_THREAD, "WinIPT"),
        (struct.pack("<HHI", 1, 1, len(WINDOWS_THREAD)) + WINDOWS_THREAD, "WinIPT"),
        (b"PERFILE2" + bytes(64), "a perf.data"),
    ],
)
def test_containers_are_refused_by_name(tmp_path: Path, start: bytes, name: str) -> None:
    (tmp_path / "trace_0").write_bytes(start + pt.PSB)
    with pytest.raises(EvidenceError, match=name):
        dump(tmp_path / "trace_0")


@pytest.mark.parametrize(
    "before", [b"", bytes(40), b"\x04" + bytes(23), b"\x04" + bytes(11), b"\x01\x00\x01" + bytes(5)]
)
def test_packets_are_taken_for_no_container(tmp_path: Path, before: bytes) -> None:
    (tmp_path / "trace_0").write_bytes(before + pt.PSB + pt.short("!") * 40)
    assert dump(tmp_path / "trace_0").stdout.count("tnt.8") == 40
