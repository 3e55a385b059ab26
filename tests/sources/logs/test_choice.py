"""Which format a file has: strictly, with a reason, or refused in a sentence; never a traceback."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.logs.rows import rows
from tests.sources.logs.test_guess import LINES
from vestige.errors import EvidenceError, FormatError
from vestige.evidence.files import EvidenceFile
from vestige.sources.logs.blocks import Block
from vestige.sources.logs.clock import UNREAD
from vestige.sources.logs.corpora import rules_for
from vestige.sources.logs.guess import VERSION
from vestige.sources.logs.head import Head
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.parse import Parser

FILE = EvidenceFile(Path("a.log"), "a.log", None, in_directory=False)


def read(path: Path, text: str, **options: Any) -> tuple[list[str], dict[str, Any], list[str]]:
    """What is read of a text: texts, what its stream says, machines."""
    path.write_text(text)
    summary: dict[str, Any] = {}
    hosts: list[str] = []
    return [each for _, each in rows(path, summary=summary, hosts=hosts, **options)], summary, hosts


@pytest.mark.parametrize(
    ("lines", "name", "hosts"),
    [
        ("Mar  8 09:17:01 box sshd[1]: open\nMar  8 09:17:02 box -- MARK --\n", "rfc3164", ["box"]),
        ("<13>Mar  8 09:17:01 box sshd[1]: open\n", "rfc3164", ["box"]),
        ("Mar  8 09:17:01 box su: open\n" + 3 * "Mar  8 09:17:02 box -- MARK --\n", "rfc3164", ["box"]),
        ("38 <13>Mar  8 09:17:01 box sshd[1]: open\n", "rfc3164", ["box"]),
        ("2021 Mar  8 09:17:01 box sshd[1]: open\n2021 Mar  8 09:17:02 box -- MARK --\n", "guessed", ["box"]),
        ("2024-03-08T09:17:01Z box sshd[1]: open\n", "rsyslog", ["box"]),
        ("<12>2024-03-08T09:17:01.5Z esx1.example.org Hostd: info\n", "rsyslog", ["esx1.example.org"]),
        ("58 <34>1 2024-03-08T09:17:01Z box su 1 ID - open\n", "rfc5424", ["box"]),
        ("2024-03-08 09:17:01+0000 [-] open\n", "kippo", ["a"]),
        ("[    1.250125] usb 1-1: open\n", "dmesg", ["a"]),
        ("[    1.250125][    T1] usb 1-1: open\n<6>[    1.250125][C12] open\n", "dmesg", ["a"]),
        ("-- Boot 3c2f --\n[    1.250125] box systemd[1]: open\n-- Reboot --\n"
         "[    1.250125] box kernel: usb 1-1: x\n", "monotonic", ["box"]),
        ("[    5.250125 <                >] box cron[9]: open\n", "monotonic", ["box"]),
        ("[    1.250125] usb 1-1: open\n[    1.500125] usb 1-2: open\n[    2.125000] systemd[1]: open\n",
         "dmesg", ["a"]),
        ("[    0.000000 <    0.000000>] usb 1-1: open\n", "dmesg", ["a"]),
        ("2024-03-08T09:17:01Z stdout F open\n", "cri", ["a"]),
        ("2015-10-18 18:01:47,978 INFO [main] a.b.C: open\n", "hadoop", ["a"]),
        ("[Mon Dec 05 10:11:12.5 2005] [core:error] [pid 7] open\n", "apache", ["a"]),
        ("2024-03-08T09:17:01Z stdout started\n2024-03-08T09:17:02Z stderr failed\n", "guessed", ["a"]),
        ("2024-03-08T09:17:01Z 0 [Note] started\n2024-03-08T09:17:02Z 0 [Note] failed\n", "guessed", ["a"]),
        ("2024-03-08T09:17:01Z Started worker\n2024-03-08T09:17:02Z Worker failed: exit\n", "guessed", ["a"]),
        ("2024-03-08 09:17:01 [main] INFO a.B - x\n2024-03-08 9:17:02 [main] INFO b - z\n", "guessed", ["a"]),
        ("2024-03-08T09:17:01Z one a[1]: x\n2024-03-08T09:17:02Z two b[2]: y\n", "rsyslog", ["one"]),
        ("Mar  8 09:17:01 box sshd[1]: open\nMar  8 09:17:02 --- last message repeated 1 time ---\n"
         "Mar  8 09:17:02 box sshd[1]: open\n", "rfc3164", ["box"]),
        ("Fri Mar  8 09:17:01 2024 auth.info su[1]: open\nFri Mar  8 09:17:02 2024 kern.err cron[2]: x\n",
         "guessed", ["a"]),
        ('2024-03-08T09:17:01Z 10.0.0.5 - - [08/Mar/2024:09:17:01 +0000] "GET / HTTP/1.1" 200 5\n', "access",
         ["a"]),
        (9 * "Mar  8 09:17:01 gw1 IN=eth0 OUT= SRC=10.0.0.1\n"
         + "Mar  8 09:17:02 gw1 10.0.0.1 bob [08/Mar/2024:x\n",
         "rfc3164", ["gw1"]),
        (9 * "Mar  8 09:17:01 web1 cron[9]: open\n"
         + 'Mar  8 09:17:02 web1 nginx: a.example 10.0.0.5 [08/Mar/2024:09:17:01 +0000] "GET / HTTP/1.1" 2\n',
         "rfc3164", ["web1"]),
        (3 * ("Mar  8 09:17:02 web1 nginx: a.example 10.0.0.5 - [08/Mar/2024:09:17:01 +0000] "
              '"GET / HTTP/1.1" 200 5\n'), "rfc3164", ["web1"]),
        (3 * 'Mar  8 09:17:02 web1 nginx: 10.0.0.5 - [08/Mar/2024:09:17:01 +0000] "GET / HTTP/1.1" 200 5\n',
         "rfc3164", ["web1"]),
        ("2024-03-08T09:17:01.5Z 2024-03-08 10:17:01,500 INFO [main] a.B - x\n"
         "2024-03-08T09:17:02.5Z 2024-03-08 10:17:02,500 INFO [main] a.B - y\n", "guessed", ["a"]),
        (2 * "2024-03-08T09:17:01.5Z\t6f1b2c3d-1111-2222-3333-444455556666\tINFO\topen\n", "guessed", ["a"]),
        (2 * "2024-03-08T09:17:01.5Z v1.20.3 open\n", "guessed", ["a"]),
        (2 * "Mar  8 09:17:01 6f1b2c3d-1111-2222-3333-444455556666 IN=eth0 open\n", "rfc3164",
         ["6f1b2c3d-1111-2222-3333-444455556666"]),
        ("2024-03-08T09:17:01.5Z 6f1b2c3d-1111-2222-3333-444455556666 begun\n"
         "2024-03-08T09:17:02.5Z 7f1b2c3d-1111-2222-3333-444455556666 begun\n", "guessed", ["a"]),
        (2 * "Mar  8 09:17:01 00:15:17:ab:cd:ef sshd[1]: open\n", "rfc3164", ["00:15:17:ab:cd:ef"]),
        (2 * "2024-03-08T09:17:01.5Z 10:17:01,500 sshd[1]: x\n", "guessed", ["a"]),
        ("2024-03-08T09:17:01Z Starting up\n2024-03-08T09:17:02Z Listening on 80\n", "guessed", ["a"]),
        ("2024-03-08 09:17:01 [info] <0.1.0> a\n2024-03-08 09:17:02 [error] <0.1.0> b\n", "guessed", ["a"]),
        ("Mar  8 09:17:01 INFO started: x\nMar  8 09:17:02 ERROR failed: x\n", "guessed", ["a"]),
        ("web_1  | 2024-03-08 09:17:01 INFO a\nweb_1  | 2024-03-08 09:17:02 INFO b\n", "guessed", ["web_1"]),
        ("[pod/web-7f/app] 2024-03-08 09:17:01 INFO a\n", "guessed", ["pod/web-7f/app"]),
        ('{"msg":"a","time":"2024-03-08T09:17:01Z"}\n', "records", ["a"]),
        ("1001 node-1 unix.hw up 1077900000 1 x\n1002 node-1 unix.hw up 1077900009 1 x\n", "hpc", ["a"]),
        ("1077900000.5 203 box TCP 12 GET x\n1077900001.5 203 box TCP 7 GET x\n", "guessed", ["a"]),
        ("1077900000500 203 box TCP 12 GET x\n1077900001500 2 box TCP 7 GET x\n", "guessed", ["a"]),
    ],
)  # fmt: skip
def test_the_format_of_a_file(tmp_path: Path, lines: str, name: str, hosts: list[str]) -> None:
    texts, summary, found = read(tmp_path / "a.log", lines, year="2024")
    assert list(summary["formats"]) == [name]
    assert found == hosts
    assert len(texts) == sum(not line.startswith(("-- Boot", "-- Reboot")) for line in lines.splitlines())


def test_records_behind_the_times_of_a_guessed_header_are_looked_into(tmp_path: Path) -> None:
    lines = [
        f'2024-03-08T09:17:0{n}.5Z {{"level":"info","ts":{n},"msg":"{"ab"[n % 2]}"}}\n' for n in range(4)
    ]
    texts, summary, _ = read(tmp_path / "a.log", "".join(lines))
    assert texts == ["info a", "info b", "info a", "info b"]
    assert summary["format"].startswith("guessed: <Time>")


def test_zones_of_regions_are_doubted_where_few_lines_begin_messages_too(tmp_path: Path) -> None:
    message = "[08-Mar-2024 09:17:01 Europe/Berlin] PHP Fatal error:  x\nStack trace:\n#0 {main}\nthrown\n"
    _, summary, _ = read(tmp_path / "a.log", 4 * message)
    assert ["only 4 of" in summary["warnings"][0], "regions" in summary["warnings"][1]] == [True, True]


def test_why_it_is_that_one_is_said(tmp_path: Path) -> None:
    lines = "2024-03-08T09:17:01Z stdout started\n2024-03-08T09:17:02Z stderr failed\n"
    _, summary, _ = read(tmp_path / "a.log", lines)
    assert summary["format"] == "guessed: <Time>{<Zone>} <Stream> <Content>"
    assert "of rsyslog, the next best, 0 (2 have its header, but hold no machine" in summary["why"]


def test_what_fits_nothing_is_refused_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"(?s)once upon a time.*plain"):
        read(tmp_path / "a.log", "once upon a time\nthere was a king\n")
    assert read(tmp_path / "b.log", "once upon a time\n", format="auto,plain")[0] == ["once upon a time"]


def test_a_line_that_has_the_form_of_a_format_alone_is_refused_for_what_it_says(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="lines have the form of rfc3164, but not its times"):
        read(tmp_path / "a.log", "and 6 07:08:10 2024 us=124 TLS: failed\n")


def test_a_label_by_level_needs_a_level(tmp_path: Path) -> None:
    texts, summary, _ = read(tmp_path / "a.log", "2024-03-08 09:17:01 ERROR a\n", label="level:ERROR")
    assert (texts, list(summary["formats"])) == (["a"], ["guessed"])
    with pytest.raises(FormatError):
        read(tmp_path / "b.log", "2024-03-08 09:17:01 a\n", label="level:ERROR")


def test_the_first_line_of_a_container_may_be_damaged(tmp_path: Path) -> None:
    good = "db_1  | 2024-03-08T09:17:0{}Z 0 [Note] started\n"
    text = "db_1  | 2024-03-08_1 | 2024-03-08T09:1x:01Z broken\n" + good.format(1) + good.format(2)
    texts, summary, hosts = read(tmp_path / "a.log", text)
    assert [each for each in texts if each == "Note started"] == 2 * ["Note started"]
    assert hosts == ["db_1"]
    assert [defect.row for defect in summary["defects"]] in ([], [1])


def test_the_first_record_of_an_array_may_be_damaged(tmp_path: Path) -> None:
    broken = '[{"time": "2023-04-17T10:11:12Z", "level": "info", "msg"nfo", "msg": "a"},\n'
    good = '{{"time": "2023-04-17T10:11:1{0}Z", "level": "info", "msg": "b"}},\n'
    texts, _, _ = read(tmp_path / "a.log", broken + "".join(good.format(second) for second in range(3, 6)))
    assert texts == 3 * ["info b"]


def test_a_thread_with_blanks_behind_it_can_be_guessed(tmp_path: Path) -> None:
    text = (
        "2023-04-17 10:11:13,124 ERROR [http-nio-8080-exec-1] o.a.c.Dispatcher - Servlet threw\n"
        "2023-04-17 10:11:12,123 INFO  [main    ] o.s.b.App - Started\n"
        "2023-04-17 10:11:14,124 ERROR [ht\n"
    )
    texts, _, _ = read(tmp_path / "a.log", text)
    assert texts[0].endswith("Servlet threw")
    assert len(texts) == 3


FRAMED = ("<34>1 2024-05-06T07:08:{:02}Z web sshd 7 - - ", "<34>May  6 07:08:{:02} web sshd: ")


@pytest.mark.parametrize("header", FRAMED)
def test_frames_without_line_ends_are_refused_and_the_remedy_reads_them(tmp_path: Path, header: str) -> None:
    messages = [(header.format(n) + f"user {'x' * n} für {n}").encode() for n in range(12)]
    file = tmp_path / "received.log"
    file.write_bytes(b"".join(b"%d %s" % (len(each), each) for each in messages))
    with pytest.raises(EvidenceError, match="RFC 6587") as refused:
        list(rows(file))
    _, _, command = refused.value.remedy.partition(": ")
    subprocess.run(["sh", "-c", command.replace("FILE", str(file))], check=True)
    assert Path(f"{file}.log").read_bytes().splitlines() == messages


@pytest.mark.parametrize("header", FRAMED)
def test_frames_with_line_ends_are_read(tmp_path: Path, header: str) -> None:
    messages = [(header.format(n) + f"user {n}").encode() for n in range(12)]
    counted = b"".join(b"%d %s\n" % (len(each) + 1, each) for each in messages)
    beside = b"".join(b"%d %s\n" % (len(each), each) for each in messages)
    for content in (counted, beside):
        (tmp_path / "received.log").write_bytes(content)
        assert len(list(rows(tmp_path / "received.log"))) == 12


def test_lines_of_two_containers_are_refused(tmp_path: Path) -> None:
    lines = "web_1  | 2024-03-08 09:17:01 a\ndb_1   | 2024-03-08 09:17:02 b\n" * 9
    with pytest.raises(FormatError, match=r"web_1, db_1(?s:.*)--no-log-prefix"):
        read(tmp_path / "a.log", lines)


def test_a_file_is_read_in_its_format_where_all_of_its_lines_are_indented(tmp_path: Path) -> None:
    lines = "".join(f"  Jan  5 10:00:{n:02} host1 sshd[12]: open\n" for n in range(30))
    for form in ("auto", "rfc3164"):
        texts, summary, hosts = read(tmp_path / "a.log", lines, year="2024", format=form)
        assert len(texts) == 30
        assert not [told for told in summary["warnings"] if "belong to no message" in told]
        assert list(summary["formats"]) == ["rfc3164"]
        assert hosts == ["host1"]


def test_dates_with_short_years_are_of_no_day_after_the_file_was_written(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"24/05/30 10:00:{n:02} main[1] got thing\n" for n in range(30)))
    written = datetime(2024, 5, 30, 12, tzinfo=UTC).timestamp()
    os.utime(log, (written, written))
    assert [moment for moment, _ in rows(log)] == [f"2024-05-30T10:00:{n:02}" for n in range(30)]


@pytest.mark.parametrize(
    ("days", "times", "name", "told"),
    [
        (("12/06/24", "13/06/24"), ("2024-06-12", "2024-06-13"), "guessed", False),
        (("06/28/24", "06/28/24"), ("2024-06-28", "2024-06-28"), "guessed", False),
        (("31/12/23", "01/01/24"), ("2031-12-23", "2001-01-24"), "spark", True),
        (("17/06/09", "17/06/09"), ("2017-06-09", "2017-06-09"), "spark", False),
        (("24/05/30", "24/05/31"), ("2024-05-30", "2024-05-31"), "spark", False),
        (("06/09/10", "06/09/10"), ("2006-09-10", "2006-09-10"), "spark", True),
    ],
)
def test_a_known_format_does_not_read_days_as_years(
    tmp_path: Path, days: tuple[str, str], times: tuple[str, str], name: str, told: bool
) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"{day} 10:00:00 INFO main: got thing\n" for day in days))
    summary: dict[str, Any] = {}
    assert [moment for moment, _ in rows(log, summary=summary)] == [f"{day}T10:00:00" for day in times]
    assert [each.partition(":")[0] for each in summary["formats"]] == [name]
    assert ("as spark has them, would fit" in str(summary)) is told


def test_a_guess_is_part_of_the_schema_and_live_evidence_is_read_alike(tmp_path: Path) -> None:
    rules = rules_for(LogOptions())
    assert rules.settings()["guess"] == VERSION
    assert "guess" not in rules_for(LogOptions(format="rfc3164,access", label="none")).settings()
    again = type(rules).from_settings(rules.settings())
    assert again.guesses
    line = b"2024-03-08 09:17:01 ERROR a\n"
    assert again.choose(line, FILE).rules.format.header == rules.choose(line, FILE).rules.format.header


@pytest.mark.parametrize("machine", [*(name.lower() for name in UNREAD), "fail", "trce", "dbug"])
@pytest.mark.parametrize(
    ("time", "name"), [("Mar  8 09:17:01", "rfc3164"), ("2024-03-08T09:17:01Z", "rsyslog")]
)
def test_a_machine_may_be_called_like_a_zone_that_is_not_read(
    tmp_path: Path, time: str, name: str, machine: str
) -> None:
    texts, summary, hosts = read(tmp_path / "a.log", 2 * f"{time} {machine} sshd[3]: open\n", year="2024")
    assert (texts, list(summary["formats"]), hosts) == (["open", "open"], [name], [machine])


def test_a_tag_is_no_machine(tmp_path: Path) -> None:
    lines = "Mar  8 09:17:01 filterlog[7]: a\nMar  8 09:17:02 gate filterlog[7]: b\n"
    texts, _, hosts = read(tmp_path / "a.log", f"{lines}Mar  8 09:17:03 gate sshd[9]: c\n", year="2024")
    assert (texts, hosts) == (["a", "b", "c"], ["gate"])


@pytest.mark.parametrize(
    ("lines", "machines"),
    [
        ('{"msg":"a","host":"web"}\n{"msg":"b","host":"db"}\n{"msg":"c","host":"web"}\n', "web, db"),
        ('{"msg":"a","host":"web"}\n{"msg":"b","host":"web"}\n{"msg":"c"}\n', ""),
        ("Mar  8 09:17:01 web a[1]: x\nMar  8 09:17:02 db a[1]: x\nMar  8 09:17:03 web a[1]: y\n", "web, db"),
        ("Mar  8 09:17:01 last message repeated 2 times\nMar  8 09:17:02 web a[1]: x\n"
         "Mar  8 09:17:03 web a[1]: y\n", ""),
        ("Mar  8 09:17:01 last message repeated 2 times\nMar  8 09:17:02 web a[1]: x\n"
         "Mar  8 09:17:03 db a[1]: y\n", "2 machines (web, db)"),
        ("Mar  8 09:17:01 web a[1]: x\nMar  8 09:17:02 localhost a[1]: x\nMar  8 09:17:03 web a[1]: y\n", ""),
        ("Mar  8 09:17:01 web a[1]: x\nMar  8 09:17:02 web.example.com a[1]: x\n"
         "Mar  8 09:17:03 web a[1]: y\n", ""),
        ("Mar  8 09:17:01 web a[1]: x\nMar  8 09:17:02 last message repeated 3 times\n"
         "Mar  8 09:17:03 web a[1]: y\n", ""),
    ],
)  # fmt: skip
def test_several_machines_in_a_file_are_told(tmp_path: Path, lines: str, machines: str) -> None:
    _, summary, hosts = read(tmp_path / "a.log", lines, year="2024")
    assert hosts == ["web"]
    told = [said for said in summary["warnings"] if "machines" in said]
    assert [machines in said and "those of web" in said for said in told] == [True] * bool(machines)


def tried(data: bytes, level: str | None) -> None:
    try:
        choice = rules_for(LogOptions(label=level)).choose(data, FILE)
    except EvidenceError:
        return
    rules = choice.rules
    # What a position holds of it gives the same rules again.
    again = type(rules).from_settings(rules.settings())
    whole = Parser(again).parse(Block(data, 0, 1, final=True))
    assert len(whole) == len(Parser(rules).parse(Block(data, 0, 1, final=True)))
    assert Head("", "", "", "", None, 0, choice.why, choice.doubts).why


@given(LINES, st.sampled_from([None, "level:ERROR"]), st.sampled_from(["", "web_1 | ", "[pod/a] "]))
def test_lines_of_all_kinds_are_read_or_refused(lines: list[str], level: str | None, before: str) -> None:
    tried("\n".join(before + line for line in lines).encode(errors="replace"), level)


@given(st.binary(max_size=300))
def test_bytes_of_all_kinds_are_read_or_refused(data: bytes) -> None:
    tried(data, None)
