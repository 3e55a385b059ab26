"""Lines that do not fit their file's header: another format's, between messages, or part of one."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.logs.rows import rows
from vestige.engine import LocalEngine
from vestige.evidence.defects import DETAIL, RECORD
from vestige.reading.prepare import prepare as read
from vestige.reading.windows import WindowSet
from vestige.sources.logs.blocks import Block, BlockReader
from vestige.sources.logs.corpora import rules_for
from vestige.sources.logs.foreign import is_marker
from vestige.sources.logs.format import load
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.parse import ARCHIVED, Parser, Rules
from vestige.sources.logs.reader import LogReader
from vestige.sources.logs.source import LogSource
from vestige.testing import check_source

OLD = "Mar  8 09:17:{n:02} box sshd[{n}]: {word} user{n}\n"
NEW = "2024-03-08T10:17:{n:02}.250+01:00 box sshd[{n}]: {word} user{n}\n"
APP = "2024-03-08 11:17:{n:02},125 ERROR [main] a.b.C: {word} {n}\n"
TRACE = "java.io.IOException: x\n\tat a.B.c(B.java:7)\n"
RECORD_LINE = '{{"time":"2024-03-08T12:17:{n:02}Z","level":"info","msg":"{word} {n}"}}\n'
KINDS = [
    OLD,
    NEW,
    APP,
    RECORD_LINE,
    OLD + TRACE,
    "-- Reboot --\n",
    "==> a.log <==\n",
    "\n",
    "Caused by: {word}\n",
]


def written(kinds: list[int]) -> str:
    return "".join(
        KINDS[kind].format(n=n % 60, word=("open", "failed")[n % 2]) for n, kind in enumerate(kinds)
    )


@pytest.mark.parametrize(
    ("line", "marks"),
    [
        ("-- Reboot --", True),
        ("-- Boot 5d5fa7a4c9de4c1fa3b7c0de00000001 --", True),
        ("-- Logs begin at Wed 2016-11-30 08:49:56 CET, end at Thu 2016-12-01 10:00:00 CET. --", True),
        ("-- No entries --", True),
        ("-- cursor: s=0639;i=c07", True),
        ("--------- beginning of /dev/log/main", True),
        ("--------- switch to main", True),
        ("==> /var/log/auth.log <==", True),
        ("#Fields: date time c-ip", True),
        ("#fields\tts\tuid", True),
        ("Script started on 2024-05-06 07:08:09+00:00", True),
        ("Attaching to web_1, db_1", True),
        ("--", False),
        ("-- a comment of SQL", False),
        ("==>", False),
        ("# a heading", False),
    ],
)
def test_what_programs_put_between_messages(line: str, marks: bool) -> None:
    assert is_marker(line) is marks


def test_a_file_that_changes_its_format_is_read_on_and_it_is_said(tmp_path: Path) -> None:
    log = tmp_path / "syslog"
    log.write_text(written([0] * 6 + [5] + [1] * 3 + [3, 2, 4]))
    summary: dict[str, Any] = {}
    found = rows(log, summary=summary, year="2024")
    assert [moment[:13] for moment, _ in found] == [
        *["2024-03-08T09"] * 6, *["2024-03-08T09"] * 3, "2024-03-08T12", "2024-03-08T11", "2024-03-08T09",
    ]  # fmt: skip
    assert [text for _, text in found[-3:]] == [
        "info open <num>",
        "ERROR [main] <host>: failed <num>",
        "open user12\n<host>: x\n\tat <host>(B.java:<num>)",
    ]
    assert [(told.row, told.what) for told in summary["defects"]] == [(7, DETAIL)]
    assert summary["counts"]["messages_of_other_formats"] == 5
    assert any(
        "from line 8 on there are messages of another format, rsyslog" in told for told in summary["warnings"]
    )


def test_the_header_of_an_archived_file_is_no_part_of_a_message(tmp_path: Path) -> None:
    lines = [APP.format(n=n, word="open") for n in range(30)]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("var/log/app.log")
        member.size = len("".join(lines[10:20]))
        archive.addfile(member, io.BytesIO("".join(lines[10:20]).encode()))
    whole = "".join(lines[:10]).encode() + packed.getvalue() + "".join(lines[20:]).encode()
    (tmp_path / "app.log").write_bytes(whole)
    file = tmp_path / "app.log"
    read(LogReader.of_corpus(file, LogOptions(label="none")), file, tmp_path / "out")
    windows = WindowSet.open(tmp_path / "out")
    # The first line of the archived file stands in the header's block, and is named.
    assert windows.notes["messages"] == 29
    assert "ustar" not in " ".join(windows.table("messages")["text"].to_list())
    (named,) = windows.notes["left_out"]
    assert (named["row"], named["why"]) == (11, ARCHIVED)


def test_where_one_format_is_asked_for_lines_of_others_are_named(tmp_path: Path) -> None:
    log = tmp_path / "syslog"
    log.write_text(written([0] * 150 + [1] * 30))
    summary: dict[str, Any] = {}
    found = rows(log, summary=summary, format="rfc3164", year="2024")
    assert len(found) == 150
    assert [told.row for told in summary["defects"]] == list(range(151, 171))
    assert {told.what for told in summary["defects"]} == {RECORD}
    assert summary["more_defects"] == {RECORD: 10}


def test_stack_traces_and_lines_without_times_go_on_with_the_message_above(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(
        written([2, 8]) + TRACE + "  2024-03-08 11:00:00 indented\nat 12:00:00 something\n" + written([2] * 4)
    )
    found = rows(log)
    assert len(found) == 5
    assert found[0][1].count("\n") == 5


def test_a_line_with_signs_before_its_time_begins_a_message(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(
        written([2] * 4) + "000123: *Mar  8 11:17:05.125 UTC: %SYS-5-X: one\nWARN 2024-03-08 11:17:06 two\n"
    )
    summary: dict[str, Any] = {}
    found = rows(log, summary=summary, year="2024")
    assert found[4:] == [
        ("2024-03-08T11:17:05.125", "%SYS-<num>-X: one"),
        ("2024-03-08T11:17:06", "WARN two"),
    ]
    assert summary["counts"]["messages_of_other_formats"] == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (" INFO 2024-03-08T11:17:{n:02}Z: a::b: {word}\n", "ERROR 2024-03-08T11:17:{n:02}Z: a::b: {word}\n"),
        ("  1234:20240308:1117{n:02}.000 {word}\n", " 12345:20240308:1117{n:02}.000 {word}\n"),
        ("\t2024-03-08 11:17:{n:02} [7] {word}\n", "\t2024-03-08 11:17:{n:02} [17] {word}\n"),
        (
            "      1709896622.0{n:02}   7  8 D Tag: {word}\n",
            "      1709896622.0{n:02}  17 18 E Tag: {word}\n",
        ),
    ],
)
def test_messages_may_be_indented(first: str, second: str, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join((first, second)[n % 2].format(n=n, word=f"{'ab'[n % 2]} {n}") for n in range(40)))
    found = rows(log)
    assert len(found) == 40
    assert [text.split()[-2] for _, text in found] == ["a", "b"] * 20
    assert [moment for moment, _ in found] == sorted(moment for moment, _ in found)


def test_indented_messages_among_others_are_told(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(" INFO 2024-03-08T11:17:01Z: a\nERROR 2024-03-08T11:17:01Z: b\n" * 9)
    summary: dict[str, Any] = {}
    assert len(rows(log, summary=summary)) == 18
    assert any("9 of the first 18 lines are indented" in told for told in summary["warnings"])


def test_quoted_lines_of_the_same_layout_are_no_messages(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    quoted = (
        "2024-03-08 11:17:{n:02} ERROR mail - rejected, log excerpt follows:\n"
        "    2024-03-07 23:10:{n:02} INFO smtp - connected\n    2024-03-07 23:11:{n:02} INFO smtp - left\n"
    )
    log.write_text("".join(quoted.format(n=n) for n in range(20)))
    found = rows(log)
    assert len(found) == 20
    assert {moment[:10] for moment, _ in found} == {"2024-03-08"}


def test_indented_lines_with_times_within_messages_stay_there(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    quoted = "2024-03-08 11:17:{n:02} INFO sent:\n  GET / HTTP/1.1\n  Host: a\n  2024-01-01 00:00:00 INFO x\n"
    log.write_text("".join(quoted.format(n=n) for n in range(20)))
    assert len(rows(log)) == 20


def test_a_line_that_is_no_record_is_named_and_records_may_lie_over_lines(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    spread = (
        RECORD_LINE.format(n=2, word="spread").replace("{", "{\n").replace(",", ",\n").replace("}", "\n}")
    )
    log.write_text(written([3, 3]) + "no record at all\n" + spread + written([3]))
    summary: dict[str, Any] = {}
    found = rows(log, summary=summary)
    assert [text for _, text in found] == [
        "info open <num>",
        "info failed <num>",
        "info spread <num>",
        "info open <num>",
    ]
    assert [(told.row, told.what) for told in summary["defects"]] == [(3, RECORD)]


def test_a_report_of_erlang_is_not_part_of_the_message_above(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(written([2] * 4) + "\n=CRASH REPORT==== 8-Mar-2024::11:17:06 ===\nit fell\n")
    found = rows(log)
    assert found[4:] == [("2024-03-08T11:17:06", "=CRASH REPORT==== ===\nit fell")]


def test_bytes_of_another_encoding_are_told(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(
        written([2] * 4).encode() + "2024-03-08 11:17:06,125 ERROR [main] a.B: gr\u00fcn\n".encode("latin-1")
    )
    told: dict[str, Any] = {}
    rows(log, summary=told)
    assert any("1 lines hold bytes that are no text of the encoding" in each for each in told["warnings"])
    assert rows(log, encoding="latin-1")[4][1].endswith("gr\u00fcn")


def test_long_messages_of_many_lines_are_messages_and_it_is_said(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(written([2]) + "select a\nfrom b\nwhere c\n" for _ in range(4)))
    summary: dict[str, Any] = {}
    found = rows(log, summary=summary)
    assert [text for _, text in found] == ["ERROR open <num>\nselect a\nfrom b\nwhere c"] * 4
    assert "4 of the first 16 lines begin messages" in summary["warnings"][0]


def test_escapes_are_no_text_and_offsets_are_those_of_the_file(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    colours = "\x1b[32m2024-03-08 11:17:00\x1b[0m \x1b[1;31mERROR\x1b[0m disk\x1b[K full\x1b]0;title\x07\n"
    log.write_text(
        colours + "2024-03-08 11:17:00 ERROR #033[31mdisk#033[0m full\n" + colours.replace("\x1b", "^[", 5)
    )
    summary: dict[str, Any] = {}
    found = rows(log, summary=summary)
    assert {text for _, text in found[:2]} == {"ERROR disk full"}
    assert found[2][0] == "2024-03-08T11:17:00"
    assert summary["counts"]["lines_with_escapes"] == 2
    rules = Rules(load("plain"), LabelRule("none"))
    offsets = Parser(rules).parse(Block(log.read_bytes(), 0, 1, final=True)).offset
    assert offsets[1] == len(colours.encode())


MIXED = [0, 0, 4, 1, 5, 0, 3, 0, 8, 6, 7, 0, 2, 1, 0, 4, 0, 0, 0, 0]


def test_parts_of_a_mixed_file_are_the_whole(tmp_path: Path) -> None:
    log = tmp_path / "syslog"
    log.write_text(written(MIXED * 40))
    names = []
    for jobs, part_bytes in ((1, 1 << 20), (2, 3000), (2, 700)):
        reader = LogReader.of_corpus(log, LogOptions(year="2024"))
        reader.small, reader.part_bytes = 0, part_bytes
        names.append(tmp_path / f"{jobs}-{part_bytes}")
        read(reader, log, names[-1], engine=LocalEngine(jobs))
    files = sorted(path.relative_to(names[0]) for path in names[0].rglob("*") if path.is_file())
    assert len(files) > 8
    for other in names[1:]:
        for file in files:
            assert (other / file).read_bytes() == (names[0] / file).read_bytes(), (other.name, file)
    assert WindowSet.open(names[0]).notes["lines_between_messages"] == 80


DOCKER = '{{"log":"{text}","stream":"stdout","time":"2024-03-08T12:17:{n:02}Z"}}\n'
CRI = "2024-03-08T12:17:{n:02}.000000001Z stdout {mark} {text} {n}\n"


@pytest.mark.parametrize("kind", ["mixed", "guessed", "records", "docker", "cri"])
def test_guessed_logs_keep_the_contract_of_a_source(tmp_path: Path, kind: str) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    texts = {
        "mixed": written(MIXED * 12),
        "guessed": written([2, 2, 8, 5, 2] * 40),
        "records": written([3, 3, 8, 3] * 50),
        "docker": "".join(
            DOCKER.format(n=n % 60, text=f"piece {n}" + "\\n" * (n % 3 != 1)) for n in range(200)
        ),
        "cri": "".join(
            CRI.format(n=n % 60, text="line", mark="P" if n % 3 == 1 else "F") for n in range(200)
        ),
    }
    logs = [corpus / "a.log", corpus / "b.log"]
    logs[0].write_text(texts[kind])
    logs[1].write_text(texts[kind].replace("box", "bax"))
    check_source(
        LogSource(),
        corpus,
        tmp_path / "work",
        options=LogOptions(window_size=3, year="2024", label=f"words:{_words(tmp_path)}"),
        evidence=logs,
    )


def _words(folder: Path) -> Path:
    path = folder / "words.txt"
    path.write_text("failed\n7\n")
    return path


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(0, len(KINDS) - 1), min_size=1, max_size=30),
    st.integers(1, 400),
    st.sampled_from(["rfc3164", "rsyslog", "hadoop"]),
)
def test_however_a_file_is_cut_its_messages_are_the_same(kinds: list[int], size: int, name: str) -> None:
    data = written(kinds).encode()
    ruleset = rules_for(LogOptions(format="auto"))
    others = tuple(other for other in ruleset.formats if other.name != name)
    rules = Rules(load(name), LabelRule("none"), others=others, guesses=True)
    whole = _messages(rules, [Block(data, 0, 1, final=True)])
    reader = BlockReader(rules.is_start, size=size)
    blocks = []
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
        while (block := reader.take()) is not None:
            blocks.append(block)
    last = reader.finish()
    assert _messages(rules, [*blocks, *([last] if last else [])]) == whole


def _messages(rules: Rules, blocks: list[Block]) -> list[tuple[int, int, int, int, str]]:
    parser = Parser(rules)
    out = []
    for block in blocks:
        read = parser.parse(block)
        columns = (read.line, read.offset, read.t_ns, read.raw, read.text)
        for line, offset, t_ns, raw, row in zip(*(column.tolist() for column in columns), strict=True):
            out.append((line, offset, t_ns, raw, read.texts[row]))
    return out
