"""The text of Linux audit: lines of one serial number are one event, wherever they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.events.exports import SECOND, START, dataset, texts, write
from vestige.sources.events.audit import MOST_OPEN, AuditReader, fields_of
from vestige.sources.events.parse import cut
from vestige.testing import check_source


def event(serial: int, at: float, exe: str = "/bin/ls", *, front: str = "", end: bool = True) -> list[str]:
    """The lines of a program that was started; the path of the second file is in hexadecimal digits."""
    stamp = f"msg=audit({START + at:.3f}:{serial}):"
    lines = [
        f'{front}type=SYSCALL {stamp} arch=c000003e syscall=59 success=yes comm="x" exe="{exe}" key=(null)',
        f'{front}type=EXECVE {stamp} argc=2 a0="ls" a1=2D6C61',
        f'{front}type=PATH {stamp} item=0 name="/bin/ls"',
        f"{front}type=PATH {stamp} item=1 name=2F6F70742F6120622E7478",
        f"{front}type=PROCTITLE {stamp} proctitle=6C73002D6C61",
    ]
    return lines + [f"{front}type=EOE {stamp} "] * end


def joined(*events: list[str]) -> str:
    return "".join(f"{line}\n" for lines in events for line in lines)


def test_lines_of_one_serial_are_one_event(tmp_path: Path) -> None:
    login = [
        f"type=USER_LOGIN msg=audit({START + 2}.000:12): pid=1 uid=0 "
        'msg=\'op=login acct="root" exe="/usr/sbin/sshd" '
        "hostname=10.0.0.1 res=failed'"
    ]
    text = joined(event(10, 0.25), event(11, 1, "/bin/cat", end=False), login)
    windows = dataset(write(tmp_path / "audit.log", text), tmp_path / "d")
    assert [window[-1] for window in texts(windows)] == [
        "SYSCALL/execve//bin/ls/yes", "SYSCALL/execve//bin/cat/yes", "USER_LOGIN//usr/sbin/sshd/login/failed",
    ]  # fmt: skip
    assert (windows.t_ns - START * SECOND).tolist() == [SECOND // 4, SECOND, 2 * SECOND]
    assert windows.streams["line"][windows.target_step].tolist() == [1, 7, 12]
    assert windows.recordings["id"].to_list() == ["localhost"]
    assert "name no machine (3)" in str(windows.notes["warnings"])
    assert dataset(tmp_path / "audit.log", tmp_path / "e", machine_name="w1").recordings["id"].to_list() == [
        "w1"
    ]


def test_lines_of_several_events_may_be_mixed(tmp_path: Path) -> None:
    first, second = event(10, 0), event(11, 0, "/bin/cat")
    mixed = [line for pair in zip(first, second, strict=True) for line in pair]
    windows = dataset(write(tmp_path / "a.log", joined(mixed)), tmp_path / "d")
    assert [window[-1] for window in texts(windows)] == [
        "SYSCALL/execve//bin/ls/yes",
        "SYSCALL/execve//bin/cat/yes",
    ]
    assert windows.streams["line"][windows.target_step].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("front", "machine"),
    [
        ("node=web-1 ", "web-1"),
        ("Mar  2 08:00:00 web-2 audispd: ", "web-2"),
        ("node=web.example ", "web.example"),
    ],
)
def test_the_machine_stands_before_the_record(tmp_path: Path, front: str, machine: str) -> None:
    windows = dataset(write(tmp_path / "a.log", joined(event(1, 0, front=front))), tmp_path / "d")
    assert windows.recordings["id"].to_list() == [machine]


def test_what_ausearch_writes_is_read(tmp_path: Path) -> None:
    text = "----\ntime->Mon Mar  2 08:00:00 2026\n" + joined(event(1, 0)) + "----\n" + joined(event(2, 1))
    windows = dataset(write(tmp_path / "a.log", text), tmp_path / "d")
    assert len(windows) == 2
    assert windows.notes["left_out_counts"] == {}
    told = "type=SYSCALL msg=audit(13/03/2026 08:00:00.250:7) : syscall=execve success=yes exe=/bin/ls \n"
    windows = dataset(write(tmp_path / "b.log", told), tmp_path / "e")
    assert texts(windows)[0][-1] == "SYSCALL/execve//bin/ls/yes"
    assert windows.t_ns.tolist() == [(START + 11 * 86400) * SECOND + SECOND // 4]


def test_other_lines_and_late_ones_are_named(tmp_path: Path) -> None:
    lines = event(1, 0)
    text = joined(event(3, 0), lines, ["hello"], [lines[1]])
    notes = dataset(write(tmp_path / "a.log", text), tmp_path / "d").notes
    assert [(defect["row"], defect["why"].split(" after")[0]) for defect in notes["left_out"]] == [
        (13, "no record of audit (type=... msg=audit(...):)"), (14, f"a line of event {START}.000:1"),
    ]  # fmt: skip


def test_fields_are_found_by_name_and_by_the_type_of_their_line() -> None:
    record = fields_of(joined(event(1, 0)))
    assert record["SYSCALL"]["exe"] == record["exe"] == "/bin/ls"
    assert [path["name"] for path in record["PATH"]] == ["/bin/ls", "/opt/a b.tx"]
    assert record["proctitle"] == "ls -la"
    assert record["key"] == ""
    assert (record["type"], record["serial"], record["time"]) == ("SYSCALL", "1", f"{START}.000")


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (
            {"ID": f"{START}.250:7", "NODE": "w", "SYSCALL": {"SYSCALL": "execve", "exe": "/bin/ls"}},
            "SYSCALL/execve//bin/ls",
        ),
        (
            {"EventType": "AUOMS_EXECVE", "ProcessName": "auoms", "EventTime": START, "Computer": "w",
             "EventData": 'syscall=execve success=no exe="/bin/ls"'},
            "AUOMS_EXECVE/execve//bin/ls/no",
        ),
    ],
)  # fmt: skip
def test_audit_as_json(tmp_path: Path, record: dict[str, object], name: str) -> None:
    windows = dataset(write(tmp_path / "a.json", json.dumps(record) + "\n"), tmp_path / "d")
    assert texts(windows)[0][-1] == name
    assert windows.recordings["id"].to_list() == ["w"]


def test_audit_keeps_the_contract_of_a_source(tmp_path: Path) -> None:
    events = [event(at, at / 3, f"/bin/p{at % 5}", end=bool(at % 4)) for at in range(150)]
    write(tmp_path / "c" / "a.log", joined(*events))
    write(tmp_path / "c" / "b.log", joined(*(event(at, at, front="node=b ") for at in range(60))))
    check_source("events", tmp_path / "c", tmp_path / "work")


def read(data: bytes, piece: int, *, stop: int = 0) -> list[tuple[int, int, bytes]]:
    """Offset, line and bytes of every record; after `stop` pieces another reader goes on."""
    reader = AuditReader(size=1)
    found: list[tuple[int, int, bytes]] = []
    for number, at in enumerate(range(0, len(data), piece), 1):
        reader.feed(data[at : at + piece])
        for block in reader.take():
            records, offsets, lines = cut(block)
            found += zip(offsets.tolist(), lines.tolist(), records, strict=True)
        if number == stop:
            state = json.loads(json.dumps(reader.state))
            reader = AuditReader(size=1)
            reader.resume(state)
            return found + _rest(reader, data[state["offset"] :])
    return found + _rest(reader, b"")


def _rest(reader: AuditReader, data: bytes) -> list[tuple[int, int, bytes]]:
    reader.feed(data)
    found: list[tuple[int, int, bytes]] = []
    for block in [*reader.take(), *reader.finish()]:
        records, offsets, lines = cut(block)
        found += zip(offsets.tolist(), lines.tolist(), records, strict=True)
    return found


SOME = st.lists(
    st.tuples(
        st.integers(1, 4), st.integers(0, 4), st.sampled_from(["SYSCALL", "PATH", "EOE", "USER_AUTH", "x y"])
    ),
    max_size=20,
).map(
    lambda rows: "".join(
        f"type={kind} msg=audit({at}.5:{serial}): a=1\n" for serial, at, kind in rows
    ).encode()
)


@given(SOME | st.binary(max_size=60), st.integers(1, 50), st.integers(0, 6))
def test_nothing_depends_on_where_bytes_are_cut_or_reading_stops(data: bytes, piece: int, stop: int) -> None:
    whole = read(data, 1 << 20)
    assert read(data, piece) == whole
    assert read(data, piece, stop=stop) == whole
    for offset, line, record in whole:
        assert data[:offset].count(b"\n") + 1 == line
        assert (data + b"\n")[offset:].startswith(record[: record.find(b"\n") + 1])


def test_what_is_open_is_bounded() -> None:
    reader = AuditReader(size=1)
    for serial in range(1000):
        reader.feed(f"type=PATH msg=audit(5.000:{serial}): a=1\n".encode())
        list(reader.take())
        assert len(reader._open) <= MOST_OPEN
