"""What tools write of a process's memory: every form is read by its header, and which process is told."""

# ruff: noqa: E501, S108 - listings are as wide, and files lie where, tools write and put them
from __future__ import annotations

import json
from pathlib import Path

import pytest

from vestige.errors import EvidenceError
from vestige.sources.traces.listings import Row, parse
from vestige.sources.traces.maps import MemoryMap, Wanted, identity, lay_out, read_map

NARROW = """\
Volatility Foundation Volatility Framework 2.6.1
Pid      Process              Base       InLoad InInit InMem MappedPath
-------- -------------------- ---------- ------ ------ ----- ----------
     912 viewer.exe           0x00400000 True   False  True  \\Apps\\My Viewer\\viewer.exe
     912 viewer.exe           0x77d30000 True   True   True  \\WINDOWS\\system32\\User32.DLL
     912 viewer.exe           0x00030000 False  False  False
"""
DLLLIST = """\
************************************************************************
System pid:      4
Unable to read PEB for task.
************************************************************************
viewer.exe pid:    912
Command line : "C:\\Apps\\viewer.exe"
Service Pack 1

Base                             Size          LoadCount LoadTime                       Path
------------------ ------------------ ------------------ ------------------------------ ----
0x000000013fd20000            0x65000             0xffff 1970-01-01 00:00:00 UTC+0000   C:\\Apps\\viewer.exe
0x0000000076fe0000           0x1aa000             0xffff 1970-01-01 00:00:00 UTC+0000   C:\\Windows\\SYSTEM32\\ntdll.dll
"""
TABBED = """\
Volatility 3 Framework 2.5.0
\rProgress:   33.01\t\tScanning layer\rProgress:  100.00\t\tPDB scanning finished

PID\tProcess\tBase\tSize\tName\tPath\tLoadTime\tFile output

912\tviewer.exe\t0x13fd20000\t0x65000\tviewer.exe\tC:\\Apps\\viewer.exe\t2024-01-01 00:00:00.000000 UTC\tDisabled
912\tviewer.exe\t0x76fe0000\t0x1aa000\tntdll.dll\t-\tN/A\tDisabled
"""
LINUX = """\
PID\tProcess\tStart\tEnd\tFlags\tPgOff\tMajor\tMinor\tInode\tFile Path\tFile output

77\ttool\t0x55aa00001000\t0x55aa00003000\tr-x\t0x1000\t8\t1\t11\t/usr/bin/tool\tDisabled
77\ttool\t0x7f0000000000\t0x7f0000001000\trwx\t0x0\t0\t0\t0\tAnonymous Mapping\tDisabled
78\tcron\t0x560000000000\t0x560000001000\tr-x\t0x0\t8\t1\t12\t/usr/sbin/cron\tDisabled
"""
EVENTS = """\
            perf  4242 [001] 99.000000: PERF_RECORD_COMM exec: tool:4242/4242
            tool  4242 [000] 99.000001: PERF_RECORD_MMAP2 4242/4242: [0x55aa00000000(0x2000) @ 0x1000 08:01 11 0]: r-xp /usr/bin/tool
            tool  4242 99.000002: PERF_RECORD_MMAP2 4242/4242: [0x7f1100000000(0x1000) @ 0 <0123456789abcdef>]: r-xp /lib/my lib.so
            tool  4242 [000] 99.000003:          1   intel_pt//u:  55aa00000010 main+0x0 (/usr/bin/tool)
         swapper     0 [000]  0.000000: PERF_RECORD_MMAP -1/0: [0xffffffff81000000(0xc00000) @ 0xffffffff81000000]: x [kernel.kallsyms]_text
"""
TWO = "7f0000000000-7f0000002000 r-xp 00000000 08:01 1 /a/one.so\n7f0000001000-7f0000003000 r-xp 00000000 08:01 2 /b/two.so\n"
PROGRAM = "55aa00000000-55aa00002000 r-xp 00000000 08:01 11 /usr/bin/tool\n"


def _regions(found: MemoryMap) -> list[tuple[int, int, str]]:
    regions = found.regions
    columns = (regions.starts.tolist(), regions.ends.tolist(), regions.modules.tolist())
    return [(start, end, found.names[module]) for start, end, module in zip(*columns, strict=True)]


def test_a_narrow_listing_is_cut_by_its_dashes() -> None:
    rows = parse(NARROW).rows
    assert [(row.start, row.process, row.pid) for row in rows] == [
        (0x400000, "viewer.exe", 912), (0x77D30000, "viewer.exe", 912), (0x30000, "viewer.exe", 912),
    ]  # fmt: skip
    assert [identity(row.file) for row in rows] == ["viewer.exe", "user32.dll", ""]


def test_sections_of_processes_give_their_names_to_rows(tmp_path: Path) -> None:
    found = parse(DLLLIST)
    assert found.form == "Volatility's dlllist"
    assert [(row.start, row.end, row.process, row.pid) for row in found.rows] == [
        (0x13FD20000, 0x13FD85000, "viewer.exe", 912), (0x76FE0000, 0x7718A000, "viewer.exe", 912),
    ]  # fmt: skip


def test_tabs_with_a_progress_bar_before_the_header() -> None:
    found = parse(TABBED)
    assert found.skipped <= 2
    assert [(row.end, row.file) for row in found.rows] == [
        (0x13FD85000, "C:\\Apps\\viewer.exe"),
        (0x7718A000, "ntdll.dll"),
    ]


@pytest.mark.parametrize("by", [",", "|", ";"])
def test_the_same_table_cut_otherwise(by: str) -> None:
    lines = ["TreeDepth\t" + TABBED.splitlines()[-4], *("0\t" + line for line in TABBED.splitlines()[-2:])]
    assert parse("\n".join(line.replace("\t", by) for line in lines)).rows == parse(TABBED).rows


@pytest.mark.parametrize("shape", ["list", "lines", "columns"])
def test_json_of_a_table(shape: str) -> None:
    entry = {
        "PID": 912,
        "Process": "viewer.exe",
        "Base": 4194304,
        "MappedPath": "\\Apps\\viewer.exe",
        "__children": [],
    }
    text = {
        "list": "Volatility 3 Framework 2.5.0\n" + json.dumps([entry], indent=2),
        "lines": json.dumps(entry) + "\n" + json.dumps(entry | {"Base": 8388608, "MappedPath": None}),
        "columns": json.dumps({"columns": list(entry), "rows": [list(entry.values())]}),
    }[shape]
    rows = parse(text).rows
    assert rows[0] == Row(0x400000, None, "\\Apps\\viewer.exe", "viewer.exe", pid=912)
    assert [row.file for row in rows[1:]] == ([""] if shape == "lines" else [])


def test_regions_of_linux_keep_offsets_and_the_wanted_process(tmp_path: Path) -> None:
    (tmp_path / "mapping.txt").write_text(LINUX)
    found = read_map(tmp_path / "mapping.txt", wanted=Wanted("tool"))
    assert found.form == "Volatility's linux.proc.Maps"
    assert _regions(found) == [
        (0x55AA00001000, 0x55AA00003000, "tool"),
        (0x7F0000000000, 0x7F0000001000, "<no file>"),
    ]
    assert int(found.regions.bases[0]) == 0x55AA00000000
    assert read_map(tmp_path / "mapping.txt", wanted=Wanted("a.pdf", pid=78)).program == "cron"


def test_old_regions_of_linux_have_the_process_in_a_column_called_name() -> None:
    text = """\
Offset             Pid      Name                 Start              End                Flags               Pgoff Major  Minor  Inode      File Path
------------------ -------- -------------------- ------------------ ------------------ ------ ------------------ ------ ------ ---------- ---------
0xffff88003d2dc240     1234 bash                 0x0000000000400000 0x00000000004f1000 r-x                0x1000      8      1     390914 /bin/bash
0xffff88003d2dc240     1234 bash                 0x00007f0000000000 0x00007f0000001000 rw-                   0x0      0      0          0 [heap]
"""
    assert parse(text).rows == [
        Row(0x400000, 0x4F1000, "/bin/bash", "bash", 0x1000, 1234),
        Row(0x7F0000000000, 0x7F0000001000, "[heap]", "bash", 0, 1234),
    ]


def test_mappings_that_gdb_prints() -> None:
    text = """\
process 1234
Mapped address spaces:

          Start Addr           End Addr       Size     Offset  Perms  objfile
            0x400000           0x401000     0x1000        0x0  r-xp   /usr/bin/my tool
      0x7ffff7ffa000     0x7ffff7ffc000     0x2000        0x0  r-xp   [vdso]
"""
    assert parse(text).rows == [
        Row(0x400000, 0x401000, "/usr/bin/my tool"),
        Row(0x7FFFF7FFA000, 0x7FFFF7FFC000, "[vdso]"),
    ]


def test_bars_frame_a_table() -> None:
    text = "  |  PID |    Process |     Base | MappedPath\n* |  912 | viewer.exe | 0x400000 | \\a b\\viewer.exe\n"
    assert parse(text).rows == [Row(0x400000, None, "\\a b\\viewer.exe", "viewer.exe", pid=912)]


def test_last_pages_are_within_their_region() -> None:
    text = (
        "PID\tProcess\tOffset\tStart VPN\tEnd VPN\tTag\tFile\n9\ta.exe\t0xff\t0x1000\t0x1fff\tVad \t\\a.exe\n"
    )
    assert parse(text).rows == [Row(0x1000, 0x2000, "\\a.exe", "a.exe", pid=9)]


@pytest.mark.parametrize("program", ["", "a.pdf", "svchost.exe"])
def test_of_several_processes_one_is_asked_for(tmp_path: Path, program: str) -> None:
    head, dashes, *_ = NARROW.splitlines()[1:]
    rows = [f"{pid:8} {'svchost.exe':20} 0x00400000 True   True   True  \\svchost.exe" for pid in (5, 6)]
    rows.append(f"{7:8} {'smss.exe':20} 0x00400000 True   True   True  \\smss.exe")
    path = tmp_path / "mapping.txt"
    path.write_text("\n".join([head, dashes, *rows]))
    with pytest.raises(EvidenceError, match=r"several processes \(svchost\.exe 5, svchost\.exe 6") as caught:
        read_map(path, wanted=Wanted(program))
    assert "pid 1234" in caught.value.remedy
    assert read_map(path, wanted=Wanted(program, pid=6)).program == "svchost.exe"
    assert read_map(path, wanted=Wanted("SMSS.exe")).program == "smss.exe"


def test_a_name_that_the_system_cut_off_is_the_process(tmp_path: Path) -> None:
    (tmp_path / "mapping.txt").write_text(
        "Pid\tProcess\tBase\tMappedPath\n5\tverylongprogra\t0x400000\t\\verylongprogram.exe\n6\tvery\t0x400000\t\\very.exe\n"
    )
    assert (
        read_map(tmp_path / "mapping.txt", wanted=Wanted("VeryLongProgram.exe")).program
        == "verylongprogram.exe"
    )


def test_events_of_perf_are_a_map_and_the_kernels_are_not() -> None:
    found = parse(EVENTS)
    assert found.rows == [
        Row(0x55AA00000000, 0x55AA00002000, "/usr/bin/tool", "tool", 0x1000, 4242),
        Row(0x7F1100000000, 0x7F1100001000, "/lib/my lib.so", "tool", 0, 4242),
    ]
    assert found.skipped == 0


@pytest.mark.parametrize(
    "text",
    [
        "TreeDepth,Pid,Process,Where\n0,644,reader.exe,0x7ff6cee90000\n",
        "Nr,Id,Name\n0,644,reader.exe\n",
        "a\tb\tc\n1\t2\tx\n",
        "Volatility 3 Framework 2.5.0\n\nPID\tPPID\tImageFileName\n644\t4\treader.exe\n",
        "Volatility Foundation Volatility Framework 2.6\nPid    Vads\n------ ----\n   644 0x1000\n",
        '[{"Pid": 1, "Where": 4096}]',
    ],
)
def test_a_header_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError, match="not understood"):
        list(parse(text).rows)


@pytest.mark.parametrize("header", ["start,end,file\n", ""])
@pytest.mark.parametrize("second", ["7f0000000000,7f0000100000,/usr/lib/libc.so.6\n", ""])
def test_hexadecimal_addresses_without_0x_are_refused(header: str, second: str) -> None:
    with pytest.raises(EvidenceError, match="are hexadecimal, and have no 0x") as caught:
        parse(f"{header}400000,402000,/usr/bin/tool\n{second}")
    assert caught.value.remedy == "write 0x before the addresses"


def test_decimal_addresses_are_read() -> None:
    rows = parse("start,end,file\n4194304,4202496,/usr/bin/tool\n400001,400002,x\n").rows
    assert [row.start for row in rows] == [0x400000, 400001]


def test_two_leading_numbers_are_no_map() -> None:
    assert parse("0,644,reader.exe,0x7ff6cee90000,True\n0,645,other.exe,0x1000,True\n").rows == []


def test_two_modules_at_one_address_are_told_and_have_a_name_of_both() -> None:
    found = lay_out(parse(PROGRAM + TWO).rows)
    assert _regions(found)[1:] == [
        (0x7F0000000000, 0x7F0000001000, "one.so"),
        (0x7F0000001000, 0x7F0000002000, "one.so|two.so"),
        (0x7F0000002000, 0x7F0000003000, "two.so"),
    ]
    assert found.doubts == (
        "modules shared addresses over time, which the map does not tell apart: one.so|two.so",
    )


def test_a_module_mapped_twice_over_itself_is_no_doubt() -> None:
    found = lay_out(parse(PROGRAM + "55aa00001000-55aa00001800 r-xp 00001000 08:01 11 /usr/bin/tool\n").rows)
    assert {name for _, _, name in _regions(found)} == {"tool"}
    assert _regions(found)[-1][1] == 0x55AA00002000
    assert found.doubts == ()


def test_files_of_one_name_are_told_apart_by_their_folders_but_for_the_systems() -> None:
    rows = [
        Row(0x1000, 0x2000, "/x/lib/a/fast.so"), Row(0x3000, 0x4000, "/x/lib/b/fast.so"),
        Row(0x5000, 0x6000, "/usr/lib/x86_64-linux-gnu/libz.so.1"), Row(0x7000, 0x8000, "/opt/lib/libz.so.1"),
        Row(0x9000, 0xA000, "C:\\Windows\\System32\\ntdll.dll"), Row(0xB000, 0xC000, "C:\\Windows\\SysWOW64\\ntdll.dll"),
        Row(0xD000, 0xE000, "/p/a/same/x"), Row(0xF000, 0x10000, "/p/b/same/x"), Row(0x11000, 0x12000, "/p/a/same/x"),
    ]  # fmt: skip
    found = lay_out(rows)
    assert [name for _, _, name in _regions(found)] == [
        "a/fast.so", "b/fast.so", "libz.so.1", "lib/libz.so.1", "ntdll.dll", "syswow64/ntdll.dll",
        "a/same/x", "b/same/x", "a/same/x",
    ]  # fmt: skip
    assert len(found.doubts) == 1
    assert "fast.so (/x/lib/a, /x/lib/b)" in found.doubts[0]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/tmp/ffiQ2xYzw (deleted)", ""),
        ("/home/u/ffiQ2xYzw (deleted)", ""),
        ("/var/tmp/x (deleted)", ""),
        ("/dev/shm/pool", ""),
        ("/run/user/1000/jit-1 (deleted)", ""),
        ("/memfd:jit-cache (deleted)", ""),
        ("Anonymous Mapping", ""),
        ("/tmp/plugin.so", "plugin.so"),
        ("/usr/lib/old.so (deleted)", "old.so"),
        ("/home/u/ffiQ2xYzw", "ffiq2xyzw"),
        ("/tmp/[kernel]", "(kernel)"),
        ("a|b.so", "a_b.so"),
    ],
)
def test_unlinked_temporary_files_are_no_module(file: str, name: str) -> None:
    assert identity(file) == name


def test_a_program_that_deleted_itself_is_still_the_program() -> None:
    found = lay_out([Row(0x1000, 0x2000, "/tmp/evil (deleted)")], program="Evil")
    assert found.program == "evil"


@pytest.mark.parametrize(
    ("program", "files", "expected"),
    [
        ("tool.exe", ["/opt/wine64-preloader", "C:\\tool.exe"], "tool.exe"),
        ("tool", ["/opt/wine64-preloader", "C:\\Tool.exe"], "tool.exe"),
        ("a.pdf", ["/lib/libc.so.6", "/lib/ld-2.27.so", "/bin/viewer"], "viewer"),
        ("", ["/lib/libc.so.6"], "libc.so.6"),
        ("libc.so.6", ["/bin/viewer", "/lib/libc.so.6"], "libc.so.6"),
    ],
)
def test_the_program_is_what_a_person_calls_it_or_no_library(
    program: str, files: list[str], expected: str
) -> None:
    rows = [Row(at * 0x1000, (at + 1) * 0x1000, file) for at, file in enumerate(files, 1)]
    assert lay_out(rows, program=program).program == expected
