"""Logs whose lines begin with no date: a level alone, pairs with a time among them, records of security
products; and lines that only go on with a message, however little they are indented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.sources.logs.kernel.test_reader import assert_equal
from tests.sources.logs.rows import rows
from vestige.errors import FormatError
from vestige.sources.logs.blocks import Block
from vestige.sources.logs.clock import TimeParser
from vestige.sources.logs.foreign import goes_on
from vestige.sources.logs.kernel.program import UnsupportedError
from vestige.sources.logs.kernel.reader import KernelParser
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.parse import Parser, Rules
from vestige.sources.logs.undated import guess_undated

TRACE = """Traceback (most recent call last):
  File "a.py", line 3, in <module>
KeyError: 'x'
"""
SHOWN = TRACE.strip().replace("line 3", "line <num>").replace("  ", " ")
FILES: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "logging.basicConfig": (
        "INFO:root:service started\nWARNING:urllib3.pool:Retrying soon\nERROR:app.db:cannot connect\n"
        f"{TRACE}INFO:root:bye\n",
        [
            ("-", "INFO service started"),
            ("-", "WARNING Retrying soon"),
            ("-", "ERROR cannot connect\n" + SHOWN),
            ("-", "INFO bye"),
        ],
    ),
    "levels": (
        "INFO  starting\nDEBUG loading\nWARN  low memory\nERROR gone\n",
        [("-", "INFO starting"), ("-", "DEBUG loading"), ("-", "WARN low memory"), ("-", "ERROR gone")],
    ),
    "levels in brackets": (
        "[INFO] Scanning\n[WARNING] deprecated\n[ERROR] build failed\n",
        [("-", "INFO Scanning"), ("-", "WARNING deprecated"), ("-", "ERROR build failed")],
    ),
    "zerolog": (
        "3:04PM INF server started\n11:59PM ERR failed to connect\n12:01AM INF rotated\n",
        [("-", "INF server started"), ("-", "ERR failed to connect"), ("-", "INF rotated")],
    ),
    "multilog": (
        "@4000000050878eb6322ee0c4 starting\n@4000000050878eb73b9ac9ff status ready\n",
        [("2012-10-24T06:46:04.841932996", "starting"), ("2012-10-24T06:46:05.999999999", "status ready")],
    ),
    "logfmt": (
        'msg="a long message here" level=info ts=1714979289.5 port=x\n'
        'level=warn ts=1714979290 msg=other\nmsg=third level=error up=yes ts=1714979291\n',
        [
            ("2024-05-06T07:08:09.5", 'msg="a long message here" level=info port=x'),
            ("2024-05-06T07:08:10", "level=warn msg=other"),
            ("2024-05-06T07:08:11", "msg=third level=error up=yes"),
        ],
    ),
    "cef with a time": (
        "CEF:0|Acme|Agent|x|a|Eicar test|y|rt=1714979289000 dvchost=h\n"
        "CEF:0|Acme|Agent|x|b|Other thing|z|dvchost=h rt=1714979290000\n",
        [
            ("2024-05-06T07:08:09", "CEF:<num>|Acme|Agent|x|a|Eicar test|y| dvchost=h"),
            ("2024-05-06T07:08:10", "CEF:<num>|Acme|Agent|x|b|Other thing|z|dvchost=h"),
        ],
    ),
    "leef": (
        "LEEF:1.0|Acme|Agent|x|a|src=h\nLEEF:2.0|Acme|Agent|x|b|^|src=h\n",
        [("-", "Acme|Agent|x|a|src=h"), ("-", "Acme|Agent|x|b|^|src=h")],
    ),
    "bind": (
        "06-May-2024 07:08:09.123 queries: info: client denied\n"
        "06-May-2024 07:08:10.5 security: error: client gone\n",
        [("2024-05-06T07:08:09.123", "info client denied"), ("2024-05-06T07:08:10.5", "error client gone")],
    ),
    "panic": (
        "2024/05/06 07:08:09 http: panic serving\ngoroutine 19 [running]:\n"
        "net/http.(*conn).serve.func1(0xc000)\n\tserver.go\nexit status 2\n2024/05/06 07:08:10 restarted\n",
        [
            (
                "2024-05-06T07:08:09",
                "http: panic serving\ngoroutine <num> [running]:\nnet/http.(*conn).serve.func1(<hex>)\n"
                "\tserver.go\nexit status <num>",
            ),
            ("2024-05-06T07:08:10", "restarted"),
        ],
    ),
    "slow queries of MariaDB": (
        "Tcp port: 3306  Unix socket: x\nTime\t\t    Id Command\tArgument\n"
        "# Time: 240506  7:08:09\n# User@Host: root[root] @ box []\nSELECT a;\n"
        "# Time: 240506 17:08:20\n# User@Host: app[app] @ box []\nDELETE FROM t;\n",
        [
            ("2024-05-06T07:08:09", "Time:\n# User@Host: root[root] @ box []\nSELECT a;"),
            ("2024-05-06T17:08:20", "Time:\n# User@Host: app[app] @ box []\nDELETE FROM t;"),
        ],
    ),
    "the console of .NET": (
        "info: Example.Hosting[14]\n      Now listening\nfail: Example.Server[13]\n      An error\n"
        "dbug: Example.Routing[1]\n      no candidates\n",
        [
            ("-", "info Example.Hosting[<num>]\n Now listening"),
            ("-", "fail Example.Server[<num>]\n An error"),
            ("-", "dbug Example.Routing[<num>]\n no candidates"),
        ],
    ),
    "slow queries": (
        "Tcp port: 3306  Unix socket: x\nTime                 Id Command    Argument\n"
        "# Time: 2024-05-06T07:08:09Z\n# User@Host: root[root] @ box []  Id:  x\nSELECT a;\n"
        "# Time: 2024-05-06T07:08:20Z\n# User@Host: app[app] @ box []  Id:  y\nuse shop;\nDELETE FROM t;\n",
        [
            ("2024-05-06T07:08:09", "Time:\n# User@Host: root[root] @ box [] Id: x\nSELECT a;"),
            ("2024-05-06T07:08:20", "Time:\n# User@Host: app[app] @ box [] Id: y\nuse shop;\nDELETE FROM t;"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_every_line_that_begins_a_message_does(tmp_path: Path, name: str) -> None:
    text, expected = FILES[name]
    (tmp_path / "app.log").write_text(text)
    found = [(moment, re.sub(" +", " ", text)) for moment, text in rows(tmp_path / "app.log")]
    assert found == expected


@pytest.mark.parametrize(
    "lines",
    [
        ["log in failed", "trace of a visitor", "note this"],
        ["error: x"],
        ["he wrote level=info and ts=2024", "and then time=never"],
    ],
)
def test_sentences_have_no_format(lines: list[str]) -> None:
    assert guess_undated(lines) is None


def test_a_level_that_is_the_label_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(FILES["logging.basicConfig"][0])
    found = rows(tmp_path / "a.log", label="level:ERROR")
    assert [text.split()[0] for _, text in found] == ["service", "Retrying", "cannot", "bye"]


@pytest.mark.parametrize("name", ["logging.basicConfig", "levels in brackets", "logfmt", "leef"])
def test_the_compiled_reader_gives_the_same(name: str) -> None:
    text = FILES[name][0] * 40
    guessed = guess_undated([line for line in text.split("\n") if line[:1].strip() and not goes_on(line)])
    assert guessed is not None
    rules = Rules(guessed.format, LabelRule("none"), guesses=True)
    try:
        compiled = KernelParser(rules, smallest=0)
    except UnsupportedError:
        return
    block = Block((text + "2024-05-06 07:08:09 INFO x\n" + text).encode(), 0, 1, final=True)
    assert_equal(compiled.parse(block), Parser(rules).parse(block))


def test_labels_of_tai64n_that_cannot_be_are_no_times() -> None:
    parser = TimeParser(["%N"])
    assert parser.parse(("400000000000000a00000001",), None) == 1
    assert parser.parse(("40000000000000093b9ac9ff",), None) < 0
    assert parser.parse(("400000000000000a3b9aca00",), None) < 0
    assert parser.parse(("4fffffffffffffff00000000",), None) < 0


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("May  6 07:08:{:02d} fw1 CEF:0|Acme|x|1|100|worm stopped|10|src=10.0.0.1", "fw1"),
        ("May  6 07:08:{:02d} PA-220 1,2024/05/06 07:08:09,0123,TRAFFIC,end,10.0.0.1", "PA-220"),
        ("May  6 07:08:{:02d} started the thing again", "messages"),
    ],
)
def test_the_machine_of_syslog_without_tags(tmp_path: Path, line: str, host: str) -> None:
    (tmp_path / "messages").write_text("".join(f"{line.format(second)}\n" for second in range(5)))
    hosts: list[str] = []
    assert len(rows(tmp_path / "messages", hosts=hosts, year="2024")) == 5
    assert hosts == [host]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ('[{"time":"2024-05-06T07:08:09Z","msg":"one"},{"time":"2024-05-06T07:08:10Z","msg":"two"}]', ".[]"),
        ('{"events":[{"timestamp":1714979289123,"message":"one"}]}', '.["events"][]'),
        ('{\n  "events": [\n    {\n      "message": "one"\n    }\n  ]\n}\n', '.["events"][]'),
    ],
)
def test_many_records_in_one_line_are_never_one_message(tmp_path: Path, text: str, query: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(FormatError) as caught:
        rows(tmp_path / "a.json")
    assert query in str(caught.value.remedy)


def test_records_without_a_message_are_refused_by_what_they_lack(tmp_path: Path) -> None:
    record = '{"kind":"Event","verb":"get","requestReceivedTimestamp":"2024-05-06T07:08:09Z"}\n'
    (tmp_path / "audit.json").write_text(record * 3)
    with pytest.raises(FormatError, match="under none of their keys") as caught:
        rows(tmp_path / "audit.json")
    assert "vestige preview events" in str(caught.value.remedy)


def test_what_the_daemon_of_syslog_says_itself_needs_no_tag(tmp_path: Path) -> None:
    lines = ["a[1]: x", "last message repeated 3 times", "-- MARK --", "message repeated 2 times: [ x]"]
    (tmp_path / "m").write_text("".join(f"May  6 07:08:09 box {line}\n" for line in lines))
    hosts: list[str] = []
    assert len(rows(tmp_path / "m", hosts=hosts, year="2024")) == 4
    assert hosts == ["box"]


@pytest.mark.parametrize(
    "lines",
    [
        [
            "2024-05-06T07:08:09.1Z stdout P one ",
            "2024-05-06T07:08:09.2Z stderr F between",
            "2024-05-06T07:08:09.3Z stdout F two",
        ],
        [
            '{"log":"one ","stream":"stdout","time":"2024-05-06T07:08:09.1Z"}',
            '{"log":"between\\n","stream":"stderr","time":"2024-05-06T07:08:09.2Z"}',
            '{"log":"two\\n","stream":"stdout","time":"2024-05-06T07:08:09.3Z"}',
        ],
    ],
)
def test_pieces_that_another_stream_parts_are_told(tmp_path: Path, lines: list[str]) -> None:
    summary: dict[str, Any] = {}
    (tmp_path / "0.log").write_text("\n".join(lines) + "\n")
    assert [text for _, text in rows(tmp_path / "0.log", summary=summary)] == ["one", "between", "two"]
    assert any(told.startswith("1 pieces of messages") for told in summary["warnings"])
    whole: dict[str, Any] = {}
    (tmp_path / "0.log").write_text("\n".join([lines[0], lines[2], lines[1]]) + "\n")
    assert len(rows(tmp_path / "0.log", summary=whole)) == 2
    assert not any("pieces" in told for told in whole["warnings"])


def test_what_was_cut_glued_or_belongs_to_nothing_is_told(tmp_path: Path) -> None:
    summary: dict[str, Any] = {}
    text = f"{TRACE}2024-05-06 07:08:09 INFO {'x ' * 40000}\nsome words\n"
    text += "2024-05-06 07:08:10 INFO y\nother words\n"
    (tmp_path / "a.log").write_text(text)
    assert len(rows(tmp_path / "a.log", summary=summary)) == 2
    told = " ".join(summary["warnings"])
    assert "belong to no message, such as those before the first one: 3" in told
    assert "up to a bound alone (--max-line-bytes): 1" in told
    assert "2 of the first 4 lines have no header" in told
    assert "line 5: 'some words'" in told


def test_a_record_within_a_logged_value_is_no_record(tmp_path: Path) -> None:
    """Whoever may log may put line ends into a message, and behind them what looks like a record."""
    value = b"x\n\n__CURSOR=s=9\n__REALTIME_TIMESTAMP=1581292899000000\nMESSAGE=forged"
    begin = b"__CURSOR=s=%d\n__REALTIME_TIMESTAMP=158129280%d000000\n_HOSTNAME=box\n"
    data = begin % (1, 1) + b"MESSAGE\n" + len(value).to_bytes(8, "little") + value + b"\n\n"
    data += begin % (2, 2) + b"MESSAGE=last\n\n"
    (tmp_path / "a.export").write_bytes(data)
    found = rows(tmp_path / "a.export")
    assert [text.split("\n")[-1] for _, text in found] == ["MESSAGE=forged", "last"]


def test_a_record_within_a_value_is_none_where_blocks_end(tmp_path: Path) -> None:
    """Forged records stand at every place, so that some of them end a block of 256 KiB."""
    forged = b"\n\n__CURSOR=s=9\n__REALTIME_TIMESTAMP=1581292899000000\nMESSAGE=forged"
    data = b""
    for number in range(200):
        value = b"x" * (number * 13 % 97) + forged * 100
        data += b"__CURSOR=s=%d\n__REALTIME_TIMESTAMP=1581292800000000\nMESSAGE\n" % number
        data += len(value).to_bytes(8, "little") + value + b"\n\n"
    (tmp_path / "a.export").write_bytes(data)
    assert len(data) > 4 << 18
    assert len(rows(tmp_path / "a.export")) == 200


def test_a_length_beyond_the_file_hides_no_record(tmp_path: Path) -> None:
    data = b"__CURSOR=s=1\nMESSAGE\n" + b"\xff" * 7 + b"\x7fab\n\n__CURSOR=s=2\nMESSAGE=last\n\n"
    (tmp_path / "a.export").write_bytes(data)
    assert rows(tmp_path / "a.export")[-1][1] == "last"
