"""Sequences of system calls: traces of strace, pairs, a session a file, and those of Linux audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.events.exports import dataset, write
from vestige.errors import EvidenceError
from vestige.reading.encoding import EncodedWindows
from vestige.reading.steps import NO_TIME, Evidence, StepBlock
from vestige.sources.events.calls import about, is_anomalous, kind_of, read_calls
from vestige.sources.events.encoder import OF_TIME, EventEncoder
from vestige.sources.events.options import EventOptions
from vestige.sources.events.reader import EventReader
from vestige.sources.events.syscall_names import name_of
from vestige.testing import check_followed, check_source

TO_A_FILE = """\
4117  1772438400.000001 execve("/bin/sh", ["sh", "-c", "cat a | wc"], 0x7ffd /* 9 vars */) = 0
4117  1772438400.000203 brk(NULL)                         = 0x55d0a2c5e000
4117  1772438400.001000 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD <unfinished ...>
4118  1772438400.001100 read(3,  <unfinished ...>
4117  1772438400.001200 <... clone resumed>, child_tidptr=0x7f) = 4118
4117  1772438400.001300 wait4(-1,  <unfinished ...>
4118  1772438400.001400 <... read resumed>"root:x:0:0\\n) = 3\\n", 4096) = 12
4118  1772438400.001500 exit_group(0)                     = ?
4118  1772438400.001600 +++ exited with 0 +++
4117  1772438400.001700 <... wait4 resumed>[{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 4118
4117  1772438400.001800 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=4118, si_uid=0} ---
4117  1772438400.001900 +++ killed by SIGKILL +++
"""
ON_A_TERMINAL = """\
execve("/bin/sh", ["sh"], 0x7ffd /* 9 vars */) = 0
clone(child_stack=NULL, flags=SIGCHLD) = 4118
strace: Process 4118 attached
[pid  4117] wait4(-1,  <unfinished ...>
[pid  4118] openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3
[pid  4118] +++ exited with 0 +++
<... wait4 resumed>[{WIFEXITED(s)}], 0, NULL) = 4118
exit_group(0)                           = ?
+++ exited with 0 +++
"""


def blocks(path: Path, **options: Any) -> list[StepBlock]:
    reader = EventReader.of_corpus(EventOptions(**options))
    found = []
    for unit in reader.units(Evidence((path,))).units:
        stream = reader.open(unit)
        while not stream.ended:
            block = stream.read(1 << 20)
            if block is not None:
                found.append(block)
        stream.close()
    return found


def calls(path: Path, **options: Any) -> dict[str, list[str]]:
    """The calls of each recording."""
    found: dict[str, list[str]] = {}
    for block in blocks(path, **options):
        for row, name in zip(block.values["event"], block.recording, strict=True):
            found.setdefault(block.recordings[name].id, []).append(block.symbols.texts(np.array([row]))[0])
    return found


def test_strace_to_a_file_gives_the_calls_of_each_process_where_they_begin(tmp_path: Path) -> None:
    trace = write(tmp_path / "t.strace", TO_A_FILE)
    assert calls(trace) == {
        "t.strace:4117": ["execve", "brk", "clone", "wait4"],
        "t.strace:4118": ["read", "exit_group"],
    }
    (block,) = blocks(trace)
    assert block.t_ns.tolist()[:2] == [1_772_438_400_000_001_000, 1_772_438_400_000_203_000]
    assert block.place["line"].tolist() == [1, 2, 3, 4, 6, 8]
    assert block.label is None
    assert {info.host for info in block.recordings} == {"t.strace"}


def test_strace_on_a_terminal_names_processes_only_while_there_are_several(tmp_path: Path) -> None:
    trace = write(tmp_path / "t", ON_A_TERMINAL)
    assert calls(trace) == {"t": ["execve", "clone", "wait4", "exit_group"], "t:4118": ["openat"]}
    (block,) = blocks(trace)
    assert set(block.t_ns.tolist()) == {NO_TIME}


def test_a_message_of_strace_in_the_middle_of_a_call_breaks_nothing(tmp_path: Path) -> None:
    """As strace 6 writes to a terminal: a process is announced before the call that made it is over."""
    lines = [
        'execve("/bin/sh", ["sh"], 0x7ffd) = 0',
        "vfork(strace: Process 8 attached",
        " <unfinished ...>",
        "[pid     8] getpid() = 8",
        "[pid     7] <... vfork resumed>)        = 8",
        "[pid     8] clone(child_stack=NULL, flags=SIGCHLDstrace: Process 9 attached",
        ", child_tidptr=0x7f270bbe4a10) = 9",
        "[pid     9] getppid( <unfinished ...>",
        "[pid     7] +++ exited with 0 +++",
        "[pid     8] +++ exited with 0 +++",
        "<... getppid resumed>) = 8",
        "close(3)                                = 0",
    ]
    trace = write(tmp_path / "t", "\n".join(lines))
    assert calls(trace) == {"t": ["execve", "vfork"], "t:8": ["getpid", "clone"], "t:9": ["getppid", "close"]}
    assert dataset(trace, tmp_path / "d").notes["left_out"] == []


def test_a_process_that_survives_the_first_one_keeps_its_recording(tmp_path: Path) -> None:
    lines = [
        "clone(child_stack=NULL, flags=SIGCHLD) = 8", "strace: Process 8 attached", "[pid 8] getpid() = 8",
        "[pid 7] exit_group(0) = ?", "[pid 7] +++ exited with 0 +++", "getppid() = 1",
        "+++ exited with 0 +++",
    ]  # fmt: skip
    assert calls(write(tmp_path / "t", "\n".join(lines))) == {
        "t": ["clone", "exit_group"],
        "t:8": ["getpid", "getppid"],
    }


@pytest.mark.parametrize(
    ("front", "t_ns"),
    [
        ("", NO_TIME),
        ("09:12:03 ", NO_TIME),
        ("09:12:03.000123 ", NO_TIME),
        ("1772438400.000123 ", 1_772_438_400_000_123_000),
        ("1772438400 ", 1_772_438_400_000_000_000),
        ("1772438400.123456789 ", 1_772_438_400_123_456_789),
        ("     0.000213 ", NO_TIME),
        ("1772438400.5 (+     0.000213) ", 1_772_438_400_500_000_000),
        ("[00007f0a8f0a5e5b] ", NO_TIME),
        ("1772438400.5 [ 257] [00007f0a8f0a5e5b] ", 1_772_438_400_500_000_000),
    ],
)
@pytest.mark.parametrize("pid", ["", "12 ", "[pid    12] "])
def test_whatever_strace_writes_before_a_call(tmp_path: Path, front: str, t_ns: int, pid: str) -> None:
    line = f'{pid}{front}openat(AT_FDCWD, "a = b", O_RDONLY) = -1 ENOENT (No such file or directory)\n'
    (block,) = blocks(write(tmp_path / "t", line * 3))
    assert block.symbols.texts(block.values["event"]) == ["openat"] * 3
    assert block.t_ns.tolist() == [t_ns] * 3


def test_what_depends_on_a_time_that_nobody_knows_is_missing(tmp_path: Path) -> None:
    """A trace whose first line has no time: it is no older than the timeout, and gives no gap and no span."""
    lines = ["getpid() = 1", "1772438400.5 read(3) = 1", "1772438401.5 read(3) = 1"]
    windows = dataset(write(tmp_path / "t", "\n".join(lines)), tmp_path / "d", context=2, timeout=10)
    encoder = EventEncoder.fit(windows)
    batch = EncodedWindows.of(windows, encoder).batch()
    assert (batch["tokens"] > 0).sum(axis=1).tolist() == [1, 2, 3]
    gap, span, rate, *hour = batch["summary"][:, -len(OF_TIME) :].T
    assert np.isnan(gap).tolist() == [True, True, False]
    assert gap[2] == 1
    assert np.isnan(span).all()
    assert np.isnan(rate).all()
    assert np.isnan(hour).tolist() == [[True, False, False]] * 2


def test_what_is_no_call_is_told(tmp_path: Path) -> None:
    lines = TO_A_FILE + "hello from the program\n4117  1772438400.01 read(0, \n"
    reader = EventReader.of_corpus(EventOptions(mapping="strace"))
    (unit,) = reader.units(Evidence((write(tmp_path / "t", lines),))).units
    stream = reader.open(unit)
    while not stream.ended:
        stream.read(100)
    assert [(defect.row, defect.why) for defect in stream.defects] == [
        (13, "no line of strace"),
        (14, "no whole line of strace: '4117  1772438400.01 read(0,'"),
    ]
    (warning,) = stream.summary["warnings"]
    assert "passed over (lines: 3)" in warning


def test_a_session_a_file_has_its_label_from_its_directory(tmp_path: Path) -> None:
    write(tmp_path / "c" / "Training_Data_Master" / "UTD-0001.txt", "6 6 63 6 42")
    write(tmp_path / "c" / "Attack_Data_Master" / "Adduser_1" / "UAD-1.txt", "265 168 168\n")
    write(tmp_path / "c" / "Attack_Data_Master" / "Adduser_2" / "UAD-2.txt", "265 168 168 ")
    windows = dataset(tmp_path / "c", tmp_path / "d")
    table = windows.recordings.sort("id")
    assert table["id"].to_list() == [
        "Attack_Data_Master/Adduser_1/UAD-1.txt", "Attack_Data_Master/Adduser_2/UAD-2.txt",
        "Training_Data_Master/UTD-0001.txt",
    ]  # fmt: skip
    assert table["host"].to_list() == [
        "Attack_Data_Master/Adduser_1", "Attack_Data_Master/Adduser_2", "Training_Data_Master",
    ]  # fmt: skip
    assert table["profile"].to_list() == ["Adduser", "Adduser", "normal"]
    samples = table["sample"].to_list()
    assert samples[0] == samples[1] != samples[2]
    assert sorted(windows.label.tolist()) == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert "directories and files" in windows.notes["label_origin"]


def test_names_that_say_nothing_are_no_labels(tmp_path: Path) -> None:
    write(tmp_path / "c" / "a.txt", "6 6 63")
    write(tmp_path / "c" / "b.txt", "6 6 42")
    assert [block.label for block in blocks(tmp_path / "c")] == [None, None]
    with pytest.raises(EvidenceError, match="no file fits --anomalous-files 'x"):
        dataset(tmp_path / "c", tmp_path / "d", anomalous_files="x*")
    labels = [block.label for block in blocks(tmp_path / "c", mapping="adfa", anomalous_files="b*")]
    assert [label.tolist() for label in labels if label is not None] == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("patterns", "anomalous"),
    [
        ("attack*", True),
        ("Attack_Data_Master/*", True),
        ("adduser_*/*.txt", True),
        ("Attack_Data_Master/Hydra*", False),
        ("Master/*", False),
        ("nothing*, attack_data_master/adduser_1/*", True),
    ],
)
def test_a_pattern_with_a_slash_is_of_paths(patterns: str, anomalous: bool) -> None:
    assert is_anomalous("Attack_Data_Master/Adduser_1/UAD-1.txt", patterns) == anomalous
    assert not is_anomalous("Training_Data_Master/UTD-1.txt", patterns)


def test_a_session_may_have_a_call_a_line_and_has_a_bound(tmp_path: Path) -> None:
    assert calls(write(tmp_path / "s", "open\nread\nclose\n"), mapping="adfa") == {
        "s": ["open", "read", "close"]
    }
    assert calls(write(tmp_path / "n", "5\n3\n6\n")) == {"n": ["5", "3", "6"]}
    long = write(tmp_path / "c" / "long", "5 " * 2000)
    write(tmp_path / "c" / "short", "5 3 6")
    windows = dataset(tmp_path / "c", tmp_path / "d", max_record_bytes=2000)
    assert len(windows) == 3
    assert long.name in str(windows.notes["left_out"])


def test_text_is_no_session(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="is no system call"):
        blocks(write(tmp_path / "t", "#include <asm/unistd.h>\n"), mapping="adfa")


def test_pairs_give_the_calls_of_each_process(tmp_path: Path) -> None:
    trace = write(tmp_path / "sendmail.int", "  552 5\n  553 11\n  552 3\n\n553 6\n")
    assert calls(trace) == {"sendmail.int:552": ["5", "3"], "sendmail.int:553": ["11", "6"]}


def test_audit_names_calls_by_number_and_architecture(tmp_path: Path) -> None:
    lines = [
        'type=SYSCALL msg=audit(1772438400.123:1): arch=c000003e syscall=59 pid=7 comm="a" exe="/a"',
        "type=EOE msg=audit(1772438400.123:1): ",
        "type=USER_LOGIN msg=audit(1772438400.200:2): pid=9 uid=0 res=success",
        'type=SYSCALL msg=audit(1772438400.300:3): arch=40000003 syscall=11 success=yes pid=8 exe="/b"',
        "type=SYSCALL msg=audit(1772438400.400:4): arch=c00000b7 syscall=221 success=yes pid=7",
        "node=web type=SYSCALL msg=audit(1772438400.500:5): arch=c000003e syscall=257 pid=7 SYSCALL=openat",
    ]
    trace = write(tmp_path / "audit.log", "\n".join(lines) + "\n")
    assert calls(trace, mapping="syscalls") == {"7": ["execve", "221"], "8": ["execve"], "web/7": ["openat"]}


@pytest.mark.parametrize(
    ("number", "architecture", "name"),
    [
        ("59", "c000003e", "execve"),
        ("59", "40000003", "oldolduname"),
        ("1073741825", "c000003e", "write"),
        ("435", "x86_64", "clone3"),
        ("435", "i386", "clone3"),
        ("384", "i386", "arch_prctl"),
        ("400", "x86_64", "400"),
        ("openat", "c000003e", "openat"),
        ("59", "c00000b7", "59"),
    ],
)
def test_numbers_mean_what_their_architecture_says(number: str, architecture: str, name: str) -> None:
    assert name_of(number, architecture) == name


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        (TO_A_FILE, "strace"),
        (ON_A_TERMINAL, "strace"),
        ("strace: Process 5 attached\nread(0, ", None),
        ("6 6 63 6 42 120 6 19", "sequence"),
        ("5\n3\n6\n", "sequence"),
        ("12 5\n12 3\n", "pairs"),
        ("12 5\n12 3 4\n12 5\n", None),
        ("1772438400 login\n1772438401 logout\n", None),
        ("timestamp,machine,event\n1,a,b\n", None),
        ("foo(bar)\nbaz(qux)\n", None),
        ("", None),
    ],
)
def test_files_show_what_they_are(sample: str, kind: str | None) -> None:
    assert kind_of(sample.encode()) == kind


def test_calls_keep_the_contract_of_a_source(tmp_path: Path) -> None:
    write(tmp_path / "c" / "a.strace", TO_A_FILE)
    write(tmp_path / "c" / "b.strace", ON_A_TERMINAL)
    write(tmp_path / "c" / "c.txt", "6 6 63 6 42")
    write(tmp_path / "c" / "d.int", "7 1\n7 2\n8 1\n7 3\n")
    check_source("events", tmp_path / "c", tmp_path / "work")


@pytest.mark.parametrize(
    ("content", "mapping"),
    [
        (TO_A_FILE, "auto"),
        (ON_A_TERMINAL * 3, "strace"),
        ("7 1\n7 2\n8 1\n7 3\n", "unm"),
        ("6 6 63 6 42", "adfa"),
    ],
)
def test_a_trace_that_grows_gives_what_it_has_at_last(tmp_path: Path, content: str, mapping: str) -> None:
    reader = EventReader.of_corpus(EventOptions(mapping=mapping, context=2))
    check_followed(reader, content.encode(), tmp_path / "t", arrivals=[70, 3, 200])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([*TO_A_FILE.splitlines(), *ON_A_TERMINAL.splitlines(), "", "\x00", "[pid", "é("])
    ),
    st.data(),
)
def test_any_lines_are_calls_or_counted_and_cuts_decide_about_nothing(
    lines: list[str], data: st.DataObject
) -> None:
    records = [f"{line}\n".encode() for line in lines]
    numbers = np.arange(1, len(records) + 1)
    whole, _ = read_calls(records, numbers * 10, numbers, about("strace", "t", ""))
    at = data.draw(st.integers(0, len(records)))
    first, layout = read_calls(records[:at], numbers[:at] * 10, numbers[:at], about("strace", "t", ""))
    second, _ = read_calls(records[at:], numbers[at:] * 10, numbers[at:], layout)
    named = [
        (events.machines[m].id, events.texts[e])
        for events in (first, second)
        for m, e in zip(events.machine, events.event, strict=True)
    ]
    assert named == [
        (whole.machines[m].id, whole.texts[e]) for m, e in zip(whole.machine, whole.event, strict=True)
    ]
    assert whole.bad == first.bad + second.bad
