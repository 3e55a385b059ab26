"""perf.data: whose the processor's bytes are, in which order, with which map; what is hostile is refused."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.traces import perf_data
from tests.sources.traces.perf_data import NOBODY, PerfData, tsc
from tests.sources.traces.pt import PSB, address
from vestige.errors import EvidenceError
from vestige.evidence.defects import Defect
from vestige.reading.steps import Evidence
from vestige.sources.traces.options import TraceOptions
from vestige.sources.traces.packets.kinds import Kind
from vestige.sources.traces.perf.aux import AuxFile
from vestige.sources.traces.perf.session import Session, read_session
from vestige.sources.traces.perf.shares import shares
from vestige.sources.traces.reader import TraceReader
from vestige.testing import check_source

CODE = 0x55AA_0000_0000
LIBRARY = 0x7F11_0000_0000
Read = dict[str, list[str]]


def went(*offsets: int, base: int = CODE) -> bytes:
    """A stretch of packets: to these places in the program."""
    return PSB + b"\x02\x23" + b"".join(address(Kind.TIP, base + offset) for offset in offsets)


def program(made: PerfData, pid: int, name: str, time: int = 0) -> None:
    """A process with its file and a library."""
    made.comm(pid, name, time=time)
    made.map(pid, CODE, 0x2000, f"/usr/bin/{name}", time=time)
    made.map(pid, LIBRARY, 0x1000, "/usr/lib/libc.so.6", offset=0x1000, time=time)


def read(path: Path, told: list[Defect] | None = None, warnings: list[str] | None = None) -> Read:
    """Every recording's events as texts."""
    reader = TraceReader.of_corpus(TraceOptions())
    listing = reader.units(Evidence((path,)))
    found: Read = {}
    for unit in listing.units:
        stream = reader.open(unit)
        texts = found.setdefault(unit.id, [])
        with closing(stream):
            while not stream.ended:
                block = stream.read(1000)
                if block is not None:
                    texts += reader.text(block.values, block.symbols)
        if warnings is not None:
            warnings += stream.summary["warnings"]
        if told is not None:
            told += stream.defects
    if told is not None:
        told += listing.left_out
    return found


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def written(folder: Path, made: PerfData, name: str = "perf.data") -> Path:
    (_made(folder) / name).write_bytes(made.bytes())
    return folder / name


def moving(*, piped: bool = False) -> PerfData:
    """A process that goes from CPU 0 to CPU 1 and back, and a child of it that runs on CPU 1 meanwhile."""
    made = PerfData(piped=piped)
    made.info()
    program(made, 100, "tool", time=10)
    made.fork(200, 100, time=35)
    stretches = [(0, 100, 20, 1), (1, 100, 30, 2), (1, 200, 40, 7), (0, 100, 50, 3), (1, 200, 60, 8)]
    streams = {0: b"", 1: b""}
    for cpu, pid, time, offset in stretches:
        stretch = went(offset, offset + 0x10) + address(Kind.TIP, LIBRARY + 5)
        made.aux(len(streams[cpu]), len(stretch), (pid, pid, time, cpu))
        streams[cpu] += stretch
    for cpu, stream in streams.items():
        for start in range(0, len(stream), 29):
            made.data(cpu, stream[start : start + 29], cpu=cpu, tid=100)
    made.record(perf_data.FINISHED_ROUND)
    return made


PARENT = [text for n in (1, 2, 3) for text in (f"tool+0x{n:x}", f"tool+0x{n + 16:x}", "libc.so.6+0x1005")]
CHILD = [text for n in (7, 8) for text in (f"tool+0x{n:x}", f"tool+0x{n + 16:x}", "libc.so.6+0x1005")]


@pytest.mark.parametrize(
    "make", [moving, lambda: moving(piped=True), lambda: moving().packed()], ids=["file", "piped", "packed"]
)
def test_processes_are_recordings_in_the_order_of_time(tmp_path: Path, make: Callable[[], PerfData]) -> None:
    told: list[Defect] = []
    found = read(written(tmp_path / "run", make()), told)
    assert found == {"run/tool-100": PARENT, "run/tool-200": CHILD}
    assert told == []


def test_the_source_keeps_its_contract_on_what_perf_leaves(tmp_path: Path) -> None:
    for label, name in (("benign", "a"), ("malicious", "b")):
        written(tmp_path / "corpus" / name, moving())
        (tmp_path / "corpus" / name / "info.txt").write_text(f"tool\n{label}\n")
    for options in (TraceOptions(sequence_len=4), TraceOptions(sequence_len=4, sliding_window=False)):
        place = tmp_path / str(options.sliding_window)
        place.mkdir()
        check_source("traces", tmp_path / "corpus", place, options=options)


def test_any_name_is_read_and_one_process_has_its_folders_name(tmp_path: Path) -> None:
    made = PerfData()
    program(made, 5, "tool")
    made.data(0, went(1), cpu=0, tid=5)
    written(tmp_path / "corpus/run", made, "recorded today")
    written(tmp_path / "corpus/other/perf.data", made, "data")
    (tmp_path / "corpus/run/info.txt").write_text("tool\nmalicious\nrop\n")
    assert read(tmp_path / "corpus") == {"run": ["tool+0x1"]}  # the other has no label
    assert read(tmp_path / "corpus/other") == {"other": ["tool+0x1"]}
    assert read(tmp_path / "corpus/other/perf.data") == {"perf.data": ["tool+0x1"]}


def test_buffers_of_threads_are_their_processes(tmp_path: Path) -> None:
    made = PerfData(flags=0)
    program(made, 5, "tool")
    program(made, 6, "other")
    made.fork(5, 5, tid=7)
    for index, (tid, offset) in enumerate([(5, 1), (6, 2), (7, 3)]):
        made.data(index, went(offset), tid=tid)
    assert read(written(tmp_path / "run", made)) == {
        "run/tool-5": ["tool+0x1", "tool+0x3"],
        "run/other-6": ["other+0x2"],
    }


def test_bytes_that_fill_a_piece_up_are_no_packets(tmp_path: Path) -> None:
    made = PerfData(trailer=False)
    program(made, 5, "tool")
    stream = went(1, 2, 3, 4, 5)
    for start in range(0, len(stream), 11):
        made.data(0, stream[start : start + 11], cpu=0, tid=5)
    assert read(written(tmp_path / "run", made)) == {"run": [f"tool+0x{n}" for n in range(1, 6)]}


def whole_system(*, switches: bool, tid: int = -1) -> PerfData:
    """Two processes on one CPU, switched between at 2500 and 4500, with PSBs at every 1000."""
    made = PerfData(flags=0)
    made.info()
    program(made, 5, "one")
    program(made, 6, "two")
    stream = b""
    for number in range(1, 7):
        stream += tsc(ZERO + 1000 * number) + address(Kind.TIP, CODE + number)
    made.data(0, stream, cpu=0, tid=tid)
    if switches:
        for pid, time in ((5, 500), (6, 2500), (5, 4500)):
            made.told(perf_data.SWITCH_CPU_WIDE, struct.pack("<II", 0, 0), (pid, pid, ZERO + time, 0))
    return made


ZERO = perf_data.ZERO


@pytest.mark.parametrize("tid", [-1, 5], ids=["whole system", "command without AUX records"])
def test_switches_part_processes_and_what_lies_around_them_is_told(tmp_path: Path, tid: int) -> None:
    told: list[Defect] = []
    found = read(written(tmp_path / "run", whole_system(switches=True, tid=tid)), told)
    # Between 2000 and 3000, and between 4000 and 5000, it is not known when the switch was.
    assert found == {"run/one-5": ["one+0x1", "one+0x5", "one+0x6"], "run/two-6": ["two+0x3"]}
    (defect,) = told
    assert "bytes of CPU 0 lie around switches" in defect.why
    assert defect.why.startswith("70 of 216 ")


def test_what_comes_after_the_last_time_is_nobodys_where_more_switches_follow(tmp_path: Path) -> None:
    made = whole_system(switches=True)
    made.told(perf_data.SWITCH_CPU_WIDE, struct.pack("<II", 0, 0), (6, 6, ZERO + 9000, 0))
    found = read(written(tmp_path / "run", made))
    assert found == {"run/one-5": ["one+0x1", "one+0x5"], "run/two-6": ["two+0x3"]}


def test_without_switches_a_cpu_is_one_recording_and_that_is_told(tmp_path: Path) -> None:
    warnings: list[str] = []
    found = read(written(tmp_path / "run", whole_system(switches=False)), warnings=warnings)
    assert found == {"run": [f"one|two+0x{n}" for n in range(1, 7)]}
    assert warnings[0].startswith("no record says which process ran when (one 5, two 6)")
    assert warnings[1].endswith("one|two")


@pytest.mark.parametrize(("flag", "word"), [(1, "truncated"), (4, "partial"), (8, "collision")])
def test_what_the_kernel_lost_is_told(tmp_path: Path, flag: int, word: str) -> None:
    made = moving()
    made.aux(1 << 40, 0, (100, 100, 70, 0), flags=flag)
    made.told(perf_data.LOST, struct.pack("<QQ", 77, 3))
    told: list[Defect] = []
    read(written(tmp_path / "run", made), told)
    assert [word in defect.why for defect in told] == [True, False]
    assert told[1].why == "records of perf itself were lost, maps or switches may be missing: 3"


def test_maps_change_and_what_shared_an_address_is_told(tmp_path: Path) -> None:
    made = PerfData()
    program(made, 5, "tool")
    made.map(5, LIBRARY, 0x1000, "/opt/plugin.so", offset=0x1000, time=90)
    made.map(-1, 0xFFFF_FFFF_8100_0000, 0x1000, "[kernel.kallsyms]_text")
    made.old_map(5, 0x7F22_0000_0000, 0x1000, "/memfd:jit (deleted)")
    stream = went(1) + went(2, base=LIBRARY) + went(3, base=0x7F22_0000_0000)
    stream += went(0x400, base=0xFFFF_FFFF_FF60_0000) + went(0x10, base=0xFFFF_FFFF_8100_0000)
    made.data(0, stream, cpu=0, tid=5)
    warnings: list[str] = []
    (texts,) = read(written(tmp_path / "run", made), warnings=warnings).values()
    assert texts == [
        "tool+0x1", "libc.so.6|plugin.so+0x1002", "<no file> +0x3", "[vsyscall]+0x400",
        "[kernel] 0xffffffff81000010",
    ]  # fmt: skip
    assert [warning.endswith("libc.so.6|plugin.so") for warning in warnings] == [True]


def test_a_map_beside_it_is_believed_where_there_is_one_process(tmp_path: Path) -> None:
    made = PerfData()
    program(made, 5, "tool")
    made.data(0, went(1), cpu=0, tid=5)
    (_made(tmp_path / "run") / "mapping.txt").write_text(
        "55aa00000000-55aa00001000 r-xp 00000000 08:01 11 /usr/bin/true-name\n"
    )
    assert read(written(tmp_path / "run", made)) == {"run": ["true-name+0x1"]}
    told: list[Defect] = []
    assert len(read(written(tmp_path / "run", moving()), told)) == 2
    assert [defect.why for defect in told] == ["mapping.txt is not read: it is of one process"]
    (tmp_path / "run/info.txt").write_text("tool\nbenign\npid 200\n")
    other = [text.replace("tool", "true-name") for text in CHILD]
    other = [text.replace("libc.so.6+0x1005", "<unmapped> 0x7f1100000005") for text in other]
    assert read(tmp_path / "run/perf.data") == {"run": other}


def test_cpus_of_nobody_have_the_map_beside_them_where_there_is_no_other(tmp_path: Path) -> None:
    made = PerfData(flags=0, trailer=False)
    for cpu in range(2):
        made.data(cpu, went(cpu), cpu=cpu)
    (_made(tmp_path / "run") / "mapping.txt").write_text(
        "55aa00000000-55aa00001000 r-xp 00000000 08:01 11 /usr/bin/tool\n"
    )
    warnings: list[str] = []
    found = read(written(tmp_path / "run", made), warnings=warnings)
    assert found == {"run/cpu0": ["tool+0x0"], "run/cpu1": ["tool+0x1"]}
    assert len(warnings) == 2
    assert "no record says which process ran when (none has a map)" in warnings[0]


def test_each_process_is_of_its_own_program_whatever_the_run_was_of(tmp_path: Path) -> None:
    made = PerfData(flags=0)
    program(made, 5, "tool")
    made.fork(6, 5, time=10)
    made.comm(6, "ls", time=20)
    made.map(6, 0x5600_0000_0000, 0x1000, "/usr/bin/ls", time=20)
    made.data(0, went(1), tid=5)
    made.data(1, went(2, base=0x5600_0000_0000), tid=6)
    (_made(tmp_path / "run") / "info.txt").write_text("tool\nbenign\n")
    written(tmp_path / "run", made)
    reader = TraceReader.of_corpus(TraceOptions())
    samples = {}
    for unit in reader.units(Evidence((tmp_path,))).units:
        with closing(reader.open(unit)) as stream:
            block = stream.read(1)
            assert block is not None
            samples[unit.id] = block.recordings[0].sample
    assert samples == {"run/tool-5": "tool", "run/ls-6": "ls"}


def test_a_process_without_a_map_is_left_out(tmp_path: Path) -> None:
    made = PerfData(flags=0)
    program(made, 5, "tool")
    made.data(0, went(1), tid=5)
    made.comm(9, "kworker/0:1")
    made.data(1, went(2), tid=9)
    told: list[Defect] = []
    assert read(written(tmp_path / "run", made), told) == {"run/tool-5": ["tool+0x1"]}
    assert [(defect.file, defect.what) for defect in told] == [("run/kworker_0:1-9", "the file")]


def _other(kind: int) -> PerfData:
    made = PerfData()
    made.info(kind)
    made.data(0, bytes(64), cpu=0)
    return made


def _nothing() -> PerfData:
    made = PerfData()
    program(made, 5, "tool")
    made.record(perf_data.SAMPLE, bytes(40))
    return made


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_nothing().bytes(), "no Intel PT in this perf.data: its 4 records are of other events"),
        (_other(4).bytes(), "no Intel PT in this perf.data: it holds Arm SPE"),
        (b"2ELIFREP" + bytes(200), "big-endian"),
        (b"PERFFILE" + bytes(200), "no perf.data of today"),
        (b"PERFILE2", "no perf.data of today"),
        (b"PERFILE2" + struct.pack("<Q", 50) + bytes(200), "header has 50 bytes"),
        (moving().bytes()[:300], "no Intel PT.*is cut off"),
        (moving().bytes()[:104], "no Intel PT.*not said where the header says"),
    ],
)  # fmt: skip
def test_what_has_no_packets_in_it_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    (_made(tmp_path / "run") / "perf.data").write_bytes(content)
    with pytest.raises(EvidenceError, match=message):
        read(tmp_path / "run/perf.data")


def test_what_is_no_evidence_at_all_is_told_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "perf.data.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    with pytest.raises(EvidenceError, match=r"neither a perf\.data nor a trace_0"):
        read(tmp_path / "perf.data.gz")


@pytest.mark.parametrize("name", ["perf.data", "perf.data.gz"])
def test_a_packed_one_in_a_directory_is_told_to_be_packed(tmp_path: Path, name: str) -> None:
    (_made(tmp_path / "run") / name).write_bytes(gzip.compress(moving().bytes()))
    with pytest.raises(EvidenceError) as caught:
        read(tmp_path / "run")
    assert f"{name} is packed: unpack it" in str(caught.value)


def test_a_file_that_was_not_finished_is_read_to_its_end(tmp_path: Path) -> None:
    content = bytearray(moving().bytes())
    content[48:56] = bytes(8)
    (_made(tmp_path / "run") / "perf.data").write_bytes(bytes(content))
    told: list[Defect] = []
    assert read(tmp_path / "run/perf.data", told)["run/tool-100"] == PARENT
    assert [defect.why for defect in told] == ["perf was ended before it had finished the file"]


@pytest.mark.parametrize("size", [1 << 62, (1 << 64) - 1, 4096])
def test_sizes_beyond_the_file_end_with_it(tmp_path: Path, size: int) -> None:
    made = PerfData()
    program(made, 5, "tool")
    made.data(0, went(1), cpu=0, tid=5, size=size)
    told: list[Defect] = []
    assert read(written(tmp_path / "run", made), told) == {"run": ["tool+0x1"]}
    assert [defect.why.endswith("are cut off") for defect in told] == [True]


def test_a_record_of_no_size_ends_reading(tmp_path: Path) -> None:
    made = moving()
    made.records.append(bytes(64))
    told: list[Defect] = []
    assert read(written(tmp_path / "run", made), told)["run/tool-100"] == PARENT
    assert told[0].why.startswith("a record of 0 bytes at byte ")


Stretch = tuple[int, int, int]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=25),
    st.integers(1, 64),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_every_stretch_is_its_threads_whatever_the_schedule(
    tmp_path_factory: pytest.TempPathFactory, schedule: list[Stretch], piece: int, packed: bool
) -> None:
    made = PerfData()
    made.info()
    tasks = {0: (10, 10), 1: (10, 11), 2: (20, 20), 3: (20, 21)}
    for pid, tid in tasks.values():
        made.fork(pid, pid if tid != pid else 1, tid=tid)
    streams: dict[int, bytes] = {0: b"", 1: b"", 2: b""}
    for time, (cpu, task, n) in enumerate(schedule, 1):
        targets = [0x1000 * time + at for at in range(n)]
        stretch = went(*targets)
        made.aux(len(streams[cpu]), len(stretch), (*tasks[task], time, cpu))
        streams[cpu] += stretch
    for cpu, stream in streams.items():
        for start in range(0, len(stream), piece):
            made.data(cpu, stream[start : start + piece], cpu=cpu, tid=10)
    path = written(tmp_path_factory.mktemp("perf"), made.packed() if packed else made)
    found = {share.pid: share for share in shares(read_session(path), path)}
    assert set(found) == {tasks[task][0] for _, task, _ in schedule}
    began = {
        task: next(time for time, row in enumerate(schedule) if row[1] == task)
        for task in {row[1] for row in schedule}
    }
    for owner, share in found.items():
        own = sorted((task for task in began if tasks[task][0] == owner), key=lambda task: began[task])
        with AuxFile(path, "", None, pieces=share.pieces).open() as file:
            assert file.read() == b"".join(went(*targets) for targets in _by_stretch(schedule, own))


def _by_stretch(schedule: list[Stretch], tasks: list[int]) -> list[list[int]]:
    return [
        [0x1000 * time + at for at in range(n)]
        for task in tasks
        for time, (_, other, n) in enumerate(schedule, 1)
        if other == task
    ]


def _loaded(path: Path) -> Session | None:
    try:
        session = read_session(path)
        for share in shares(session, path):
            with AuxFile(path, "", None, pieces=share.pieces).open() as file:
                file.read()
    except EvidenceError:
        return None
    return session


@given(
    st.integers(0, 1 << 20), st.binary(min_size=1, max_size=12), st.integers(0, 5), st.integers(0, 1 << 20)
)
@settings(max_examples=300, deadline=None)
def test_damage_is_refused_or_read_around(
    tmp_path_factory: pytest.TempPathFactory, at: int, change: bytes, which: int, cut: int
) -> None:
    files = (
        moving,
        lambda: moving(piped=True),
        lambda: moving().packed(),
        lambda: whole_system(switches=True),
    )
    content = bytearray(files[which % 4]().bytes())
    at %= len(content)
    content[at : at + len(change)] = change
    if which > 3:
        content = content[: cut % (len(content) + 1)]
    path = tmp_path_factory.getbasetemp() / "damaged.data"
    path.write_bytes(bytes(content))
    found = _loaded(path)
    if found is not None:
        assert sum(buffer.size for buffer in found.buffers.values()) <= len(content)


def test_numbers_that_say_nobody_are_nobody(tmp_path: Path) -> None:
    made = PerfData()
    program(made, 5, "tool")
    stream = went(1) + went(2)
    half = len(went(1))
    made.aux(0, half, (5, 5, 10, 0))
    made.aux(half, half, (NOBODY, NOBODY, 20, 0))  # a thread that is ending
    made.data(0, stream, cpu=0, tid=5)
    assert read(written(tmp_path / "run", made)) == {"run": ["tool+0x1", "tool+0x2"]}


def test_a_raw_trace_that_is_a_container_is_left_out_by_name(tmp_path: Path) -> None:
    thread = struct.pack("<Q5I", 4242, 0, 3, 1, 40, 64) + went(1).ljust(64, b"\0")
    contents = {
        "windows": struct.pack("<HHI", 1, 1, len(thread)) + thread,
        "packed": gzip.compress(moving().bytes()),
    }
    for name, content in contents.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "mapping.txt").write_text(
            "55aa00000000-55aa00001000 r-xp 00000000 08:01 11 /bin/tool\n"
        )
        (tmp_path / name / ("trace_0.gz" if name == "packed" else "trace_0")).write_bytes(content)
    with pytest.raises(EvidenceError, match=r"WinIPT \(Windows' ipt\.sys\)"):
        read(tmp_path / "windows")
    with pytest.raises(EvidenceError, match=r"a perf\.data, and no packets"):
        read(tmp_path / "packed")


def pip(cr3: int) -> bytes:
    return b"\x02\x43" + (cr3 >> 5 << 1).to_bytes(6, "little")


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ([0x1234_6000, 0x1234_7000, 0x1234_7003], ""),
        ([0x1234_6000, 0x1234_7000, 0x5678_8000], "through 2 address spaces"),
        (list(range(0x10_0000, 0x50_0000, 0x2000)), "through more than 8 address spaces"),
    ],
)  # fmt: skip
def test_processes_that_page_tables_tell_apart_are_told(tmp_path: Path, tables: list[int], told: str) -> None:
    (tmp_path / "mapping.txt").write_text("55aa00000000-55aa00001000 r-xp 00000000 08:01 11 /bin/tool\n")
    (tmp_path / "trace_0").write_bytes(
        went(1) + b"".join(pip(cr3) + address(Kind.TIP, CODE) for cr3 in tables)
    )
    warnings: list[str] = []
    (texts,) = read(tmp_path, warnings=warnings).values()
    assert len(texts) == 1 + len(tables)
    assert len(warnings) == bool(told)
    assert told in "".join(warnings)


def test_several_snapshots_are_one_recording_and_that_they_may_overlap_is_told(tmp_path: Path) -> None:
    made = PerfData()
    made.info(snapshot=1)
    program(made, 5, "tool")
    made.data(0, went(1), cpu=0, tid=5)
    made.data(0, went(2), cpu=0, tid=5)
    made.aux(0, 8, (5, 5, 10, 0), flags=2)
    told: list[Defect] = []
    assert read(written(tmp_path / "run", made), told) == {"run": ["tool+0x1", "tool+0x2"]}
    assert [defect.why for defect in told] == ["several snapshots: what lies in two of them is read twice"]


def test_a_cpu_that_a_traced_command_and_its_child_shared_is_nobodys_without_aux_records(
    tmp_path: Path,
) -> None:
    made = PerfData(trailer=False)
    program(made, 5, "tool")
    made.fork(6, 5)
    made.data(0, went(1), cpu=0, tid=5)
    warnings: list[str] = []
    assert read(written(tmp_path / "run", made), warnings=warnings) == {"run": ["tool+0x1"]}
    assert warnings == [
        "no record says which process ran when (tool 5, tool 6): what ran there is one recording"
    ]


def test_too_many_processes_that_nobody_tells_apart_are_refused(tmp_path: Path) -> None:
    run = written(tmp_path / "run", whole_system(switches=False))
    session = read_session(run)
    with pytest.raises(
        EvidenceError, match="no record says who ran when on 1 CPUs, and there are 2 processes"
    ):
        shares(session, run, most_rows=4)


def test_children_of_children_take_no_memory_beyond_a_bound(tmp_path: Path) -> None:
    made = PerfData()
    program(made, 5, "tool")
    for pid in range(6, 20):
        made.fork(pid, pid - 1)
    made.data(0, went(1), cpu=0, tid=5)
    session = read_session(written(tmp_path / "run", made), most_inherited=10)
    assert (
        sum(row.file != "[vsyscall]" for process in session.processes.values() for row in process.rows) <= 12
    )
    assert session.defects == [
        "some processes lack what was mapped before they were forked: there are too many"
    ]
