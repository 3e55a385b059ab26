"""Memory maps in their three forms, true and hostile."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestige.errors import EvidenceError
from vestige.sources.traces.listings import Row, parse
from vestige.sources.traces.maps import (
    MODULE_BYTES,
    SPECIAL,
    MemoryMap,
    identity,
    lay_out,
    read_map,
)
from vestige.sources.traces.regions import ANONYMOUS, FIRST_FILE

LDR = """\
Pid      Process              Base               InLoad InInit InMem MappedPath
-------- -------------------- ------------------ ------ ------ ----- ----------
   31663 Program1             0x000055d5c0613000 True   True   True  /home/lab/bin/Program1
   31663 Program1             0x00007fe6ab28c000 True   True   True  /usr/lib/ld-2.28.so
   31663 Program1             0x00007fe6ab0de000 True   True   True  /usr/lib/libc-2.28.so
   31663 Program1             0x00007fff49c8a000 True   True   True  [vdso]
"""
PROC = """\
55aa00000000-55aa00001000 r--p 00000000 08:01 11 /usr/bin/my\\040tool
55aa00001000-55aa00003000 r-xp 00001000 08:01 11 /usr/bin/my\\040tool
55aa10000000-55aa10021000 rw-p 00000000 00:00 0  [heap]
7f0000000000-7f0000002000 r-xp 00026000 08:01 12 /lib/libc.so.6 (deleted)
7f0000003000-7f0000004000 rwxp 00000000 00:00 0
7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0  [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]
"""
SHARED = Path(__file__).parents[4] / "shared/data/intel-pt/real"


def _read(path: Path, text: str) -> MemoryMap:
    path.write_text(text)
    return read_map(path)


def test_a_listing_has_starts_only_so_ends_are_capped(tmp_path: Path) -> None:
    found = _read(tmp_path / "mapping.txt", LDR)
    assert found.names[FIRST_FILE:] == ("program1", "libc-2.28.so", "ld-2.28.so", "[vdso]")
    assert found.program == "program1"
    sizes = found.regions.ends - found.regions.starts
    assert sizes.tolist() == [MODULE_BYTES, 0x1AE000, MODULE_BYTES, MODULE_BYTES]
    assert found.skipped == 0


def test_true_ends_come_from_ranges_beside_the_listing(tmp_path: Path) -> None:
    start = 0x55D5C0613000
    ranges = [{"start": start, "end": start + 0xFFF, "file": "/home/lab/bin/Program1"}]
    (tmp_path / "ranges.json").write_text(json.dumps(ranges))
    found = _read(tmp_path / "mapping.txt", LDR)
    assert int(found.regions.ends[0]) == start + 0x1000
    assert found.program == "program1"


def test_proc_maps_give_offsets_in_the_file_and_unescape_names(tmp_path: Path) -> None:
    found = _read(tmp_path / "maps", PROC)
    assert found.names[FIRST_FILE:] == ("my tool", "libc.so.6", "[vdso]", "[vsyscall]")
    offsets = (found.regions.starts - found.regions.bases).tolist()
    assert offsets == [0, 0x1000, 0, 0x26000, 0, 0, 0]
    assert found.regions.modules.tolist() == [4, 4, ANONYMOUS, 5, ANONYMOUS, 6, 7]


def test_csv_may_be_packed_quoted_and_of_either_base(tmp_path: Path) -> None:
    path = tmp_path / "mapping.csv.gz"
    path.write_bytes(gzip.compress(b'start,end,file\n0x1000,8192,"C:\\Tools\\a,b.DLL"\r\n12288,0x4000,\n'))
    found = read_map(path)
    assert found.names[FIRST_FILE:] == ("a,b.dll",)
    assert found.regions.starts.tolist() == [0x1000, 0x3000]
    assert found.regions.modules.tolist() == [FIRST_FILE, ANONYMOUS]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/usr/lib/LibC.so.6", "libc.so.6"),
        ("\\Windows\\System32\\ntdll.DLL", "ntdll.dll"),
        ("/opt/gone (deleted)", "gone"),
        ("/usr/lib64/libc-2.17.so;5f3b2a1c (deleted)", "libc-2.17.so"),
        ("/lib64/libm-2.5.so.#prelink#.aBcD12 (deleted)", "libm-2.5.so"),
        ("/usr/lib/libz.so.1.dpkg-new (deleted)", "libz.so.1"),
        ("/usr/lib/libz.so.1.dpkg-new", "libz.so.1.dpkg-new"),
        ("/opt/a;5f3b2a1c", "a;5f3b2a1c"),
        ("[stack]", ""),
        ("[anon_shmem:jit]", ""),
        ("[anon:scudo:primary]", ""),
        ("/memfd:code", ""),
        ("", ""),
        ("[vdso]", "[vdso]"),
        ("/opt/<unmapped>", "(unmapped)"),
        ("/opt/a\ud800", "a\\ud800"),
    ],
)
def test_a_module_is_the_name_of_its_file(file: str, name: str) -> None:
    assert identity(file) == name


def test_what_is_no_region_is_counted(tmp_path: Path) -> None:
    hostile = LDR + "rubbish\n" + " " * 30 + "0xZZ\n" + " " * 30 + "-0x1000\n"
    assert _read(tmp_path / "mapping.txt", hostile).skipped == 3
    proc = "2000-1000 r-xp 00000000 08:01 11 /backwards\n" + PROC
    assert _read(tmp_path / "maps", proc).skipped == 1


@pytest.mark.parametrize("text", ["", "nothing\n", "\0\0\0\n", "1000-2000\n", "start,end,file\n-1,5,x\n"])
def test_a_file_without_regions_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(EvidenceError, match="region"):
        _read(tmp_path / "mapping.txt", text)


@pytest.mark.parametrize(
    "text",
    ["{", "[1]", '[{"start": -1, "end": 5}]', '[{"start": 1, "end": 1e999}]', '{"a": 1}', "[" * 100_000],
)
def test_ranges_that_cannot_be_true_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "ranges.json").write_text(text)
    with pytest.raises(EvidenceError, match="range"):
        _read(tmp_path / "mapping.txt", LDR)


@pytest.mark.parametrize("line", ['1,2,"open', "9" * 200_000 + ",2,x", '"' + "x" * 200_000])
def test_an_odd_line_takes_no_other_with_it(tmp_path: Path, line: str) -> None:
    found = _read(tmp_path / "mapping.csv", f"start,end,file\n{line}\n0x1000,0x2000,/bin/a\n")
    assert found.names[-1] == "a"


@pytest.mark.parametrize("name", SPECIAL)
def test_no_file_has_a_name_of_ours(tmp_path: Path, name: str) -> None:
    found = _read(tmp_path / "maps", f"1000-2000 r-xp 00000000 08:01 5 /opt/{name}\n")
    assert found.regions.modules.tolist() == [FIRST_FILE]


@pytest.mark.parametrize("text", ["", "nothing\n", "\0" * 50])
def test_ranges_do_not_stand_in_for_a_map(tmp_path: Path, text: str) -> None:
    (tmp_path / "ranges.json").write_text('[{"start": 4096, "end": 8191, "file": "/bin/a"}]')
    with pytest.raises(EvidenceError, match=r"no line of mapping\.txt is a region"):
        _read(tmp_path / "mapping.txt", text)


@pytest.mark.parametrize("make", [Path.mkdir, lambda one: one.symlink_to("absent")], ids=["folder", "link"])
def test_ranges_that_are_no_regular_file_are_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "ranges.json")
    with pytest.raises(EvidenceError, match=r"ranges\.json is a link, or no regular file"):
        _read(tmp_path / "mapping.txt", LDR)


def test_half_a_map_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mapping.txt.gz").write_bytes(gzip.compress(LDR.encode())[:-12])
    with pytest.raises(EvidenceError, match=r"mapping\.txt\.gz: the gzip data are cut off"):
        read_map(tmp_path / "mapping.txt.gz")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", [LDR, PROC])
def test_maps_as_windows_writes_them(tmp_path: Path, text: str, encoding: str) -> None:
    plain = _read(tmp_path / "plain", text)
    (tmp_path / "mapping.txt").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    found = read_map(tmp_path / "mapping.txt")
    assert (found.names, found.program, found.skipped) == (plain.names, plain.program, 0)
    assert found.regions.ends.tolist() == plain.regions.ends.tolist()


def test_too_many_modules_are_refused() -> None:
    rows = [Row(at * 4096, at * 4096 + 4096, f"/lib/{at}") for at in range(60_010)]
    with pytest.raises(EvidenceError, match="modules"):
        lay_out(rows)


addresses = st.integers(0, (1 << 64) - 1)
files = st.sampled_from(["", "/a", "/b/a", "[heap]"])
rows = st.builds(
    Row, addresses, st.none() | addresses, files, process=st.just(""), offset=st.none() | addresses
)


@given(st.lists(rows, max_size=30))
def test_whatever_a_map_says_regions_are_sorted_and_apart(given_rows: list[Row]) -> None:
    regions = lay_out(given_rows).regions
    assert (regions.starts < regions.ends).all()
    assert (regions.ends[:-1] <= regions.starts[1:]).all()
    assert (regions.bases <= regions.starts).all()


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except EvidenceError as error:
        assert "not understood" in str(error)  # noqa: PT017 - most texts are no map, and say so otherwise
    else:
        assert len(found.rows) + found.skipped <= text.count("\n") + 1


def test_real_maps_are_read_whole() -> None:
    files = sorted(SHARED.glob("*/*/mapping.txt*"))
    if not files:
        pytest.skip(f"no real recordings: {SHARED} is absent")
    for file in files:
        found = read_map(file)
        assert found.skipped == 0
        assert found.program
        assert int(np.max(found.regions.ends - found.regions.starts)) <= 1 << 26
