"""Free-form logs: headers by grammar, and which grammar a file has."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any

import pytest

from tests.reading.raw import live, probe
from vestige.engine import HERE
from vestige.errors import EvidenceError, UsageError
from vestige.reading.windows import WindowSet
from vestige.sources.logs.clock import BAD
from vestige.sources.logs.corpora import AUTO
from vestige.sources.logs.format import load
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.parse import Parser, Rules
from vestige.sources.logs.source import LogSource

FAMILIES = [*AUTO, "plain"]


def content(name: str, line: str) -> str | None:
    match = load(name).compiled().match(line)
    return None if match is None else match["Content"].strip()


def moment(name: str, line: str) -> int:
    return Parser(Rules(load(name), LabelRule("none"))).time(line)


CONTENTS = [
    ("rfc3164", "Mar  8 09:17:01 box CRON[12589]: (root) CMD (run-parts)", "(root) CMD (run-parts)"),
    ("rfc3164", "Mar  8 09:17:01 box kernel: [ 8054.702134] ip6_tables: (C) 2000", "ip6_tables: (C) 2000"),
    ("rfc3164", "Mar  8 09:17:01 box kernel:", ""),
    ("rfc3164", "Mar  8 09:17:01 box -- MARK --", "-- MARK --"),
    ("rfc3164", "Mar  8 09:17:01 box last message repeated 2 times", "last message repeated 2 times"),
    ("rfc3164", "Mar  8 09:17:01 box syslogd 1.5.0#2: restart.", "syslogd 1.5.0#2: restart."),
    ("rfc3164", "<13>Mar  8 09:17:01 box Foo::Bar: [not a time] x", "Foo::Bar: [not a time] x"),
    ("rfc3164", "Mar  8 09:17:01 box a[1]: [x] y", "[x] y"),
    ("rfc3164", "2024-03-08T09:17:01Z box a: x", None),
    ("rsyslog", "2024-03-08T09:17:01.5+01:00 box sshd[1]: Connection closed", "Connection closed"),
    ("rsyslog", "2024-03-08 09:17:01 box sshd[1]: Connection closed", None),
    (
        "rfc5424",
        "<34>1 2003-10-11T22:14:15.003Z m su - ID47 - \ufeff'su root' failed",
        "\ufeff'su root' failed",
    ),
    ("rfc5424", '<165>1 - h a 1 ID [x@1 k="a]\\"b"][y@2] msg', '[x@1 k="a]\\"b"][y@2] msg'),
    ("rfc5424", '<165>1 - h a 1 ID [x@1 k="only data"]', '[x@1 k="only data"]'),
    ("rfc5424", "<165>1 - - - - - -", ""),
    ("rfc5424", "<165>1 - - - - - -dash", "-dash"),
    ("rfc5424", "<13>Mar  8 09:17:01 box a: x", None),
    ("dmesg", "[    0.000000] Linux version 2.6", "Linux version 2.6"),
    ("dmesg", "<6>[12345.678901]  indented", "indented"),
    ("dmesg", "kern  :info  : [    0.000000] Linux version 2.6", "Linux version 2.6"),
    ("dmesg", "local0:notice: [   12.250125][    T1] up", "up"),
    ("dmesg", "authpriv:err   : [   12.250125] kern  :info  : [x", "kern  :info  : [x"),
    ("dmesg", "kern  :odd   : [    0.000000] x", None),
    ("dmesg", "[    5.250125 <    1.000125>] eth0: link down", "eth0: link down"),
    ("monotonic", "[    5.250125] box sshd[812]: Server listening", "Server listening"),
    ("monotonic", "[    5.250125] box kernel: usb 1-1: new device", "usb 1-1: new device"),
    ("monotonic", "[    5.250125 <    1.000125 >] box (udev)[12]: x", "x"),
    ("monotonic", "[    5.250125] usb 1-1: new device", None),
    ("monotonic", "[    5.250125] systemd[1]: Started", None),
    ("dmesg", "[Mon Dec 28 13:11:46 2009] x", None),
    (
        "kippo",
        "2013-06-12 08:05:33+0000 [SSHService ssh-userauth on T,1,10.0.0.1] root trying",
        "root trying",
    ),
    ("kippo", "2020-06-12T08:05:33.123456Z [-] x", "x"),
    ("kippo", "2015-10-18 18:01:47,978 INFO [main] a.B: x", None),
    ("access", '::1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 5 "-" "a" 7', "7"),
    ("access", 'h.org 10.0.0.1 - a b [10/Oct/2000:13:55:36 +0000] "\\x16\\x03" 400 -', '"\\x16\\x03" 400 -'),
    ("access", "10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] GET /", None),
    ("plain", "   x", "x"),
    ("plain", " \t ", None),
]


@pytest.mark.parametrize(("name", "line", "expected"), CONTENTS)
def test_what_follows_the_header(name: str, line: str, expected: str | None) -> None:
    assert content(name, line) == expected


@pytest.mark.parametrize(
    ("name", "line", "seconds"),
    [
        ("rsyslog", "2024-05-06T07:08:09.25+02:00 h a: x", 1714972089.25),
        ("rsyslog", "2024-05-06T07:08:09Z h a: x", 1714979289),
        ("rfc5424", "<1>1 2003-08-24T05:14:15.000003-07:00 h a 1 - - x", 1061727255.000003),
        ("dmesg", "[   12.345678] x", 12.345678),
        ("dmesg", "kern  :info  : [   12.345678] x", 12.345678),
        ("monotonic", "[   12.345678] box a[1]: x", 12.345678),
        ("kippo", "2013-06-12 08:05:33+0100 [-] x", 1371020733),
        ("access", '::1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 5', 971211336),
    ],
)
def test_times_are_exact_whatever_the_zone(name: str, line: str, seconds: float) -> None:
    assert moment(name, line) == round(seconds * 1e6) * 1000


def test_a_message_without_a_time_has_none() -> None:
    assert moment("rfc5424", "<165>1 - - - - - - x") == BAD
    assert moment("plain", "x") == BAD


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    "hostile",
    ["[" * 60_000, " " * 60_000, "<1>1 " * 12_000, "Mar  8 09:17:01 b " + "a:" * 30_000,
     "Mar  8 09:17:01 b " + "a" * 60_000, "[ 1." + "1" * 60_000, "- " * 30_000,
     '1 - - [10/Oct/2000:13:55:36 -0700] "' + '\\"' * 30_000, "login attempt [" * 4000],
    ids=str.split,
)  # fmt: skip
def test_no_line_takes_long(name: str, hostile: str) -> None:
    rules = Rules(load(name), LabelRule("none"))
    parser = Parser(rules)
    start = time.process_time()
    for line in (hostile, load(name).example[0] + hostile):
        rules.header.match(line)
        parser._mask(line[:8192])
    assert time.process_time() - start < 2


AUTH = "".join(
    f"Mar  8 09:17:{n:02} box sshd[{n}]: {'Failed password' if n % 5 == 0 else 'Accepted key'} for u{n}\n"
    for n in range(50)
)
KERN = "".join(f"[{n:5}.000001] {'failed' if n % 5 == 0 else 'usb'} {n}\n" for n in range(50))
WEB = "".join(
    f'10.0.0.{n} - - [08/Mar/2024:09:17:{n:02} +0000] "GET /{n} HTTP/1.1" 404 1\n' for n in range(50)
)


def prepare(evidence: Path, out: Path, **options: Any) -> WindowSet:
    return LogSource().prepare(evidence, out, LogOptions(**options), engine=HERE)


@pytest.fixture
def families(tmp_path: Path) -> Path:
    root = tmp_path / "logs"
    root.mkdir()
    (root / "auth.log").write_text(AUTH)
    (root / "dmesg.0.gz").write_bytes(gzip.compress(KERN.encode()))
    (root / "access.log").write_text(WEB)
    (root / "words.bin").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "words").mkdir()
    (tmp_path / "words/auth.txt").write_text("failed\n")
    (tmp_path / "words/dmesg.txt").write_text("usb\n")
    return root


def test_each_file_of_a_directory_has_the_format_that_fits_it(families: Path, tmp_path: Path) -> None:
    words = tmp_path / "words"
    windows = prepare(families, tmp_path / "d", label=f"words:{words}", year=2024)
    assert windows.notes["formats"] == {"access": 1, "dmesg": 1, "rfc3164": 1}
    assert [one["file"] for one in windows.notes["left_out"]] == ["words.bin"]
    assert windows.recordings["profile"].to_list() == ["access", "auth", "dmesg"]
    anomalies = [int(windows.label[windows.recording == row].sum()) for row in range(3)]
    assert anomalies == [0, 10, 40]
    assert windows.notes["types_without_words"] == ["access"]
    assert windows.recordings["host"].to_list() == ["access", "box", "dmesg"]
    assert "spelling, not detection" in windows.notes["label_origin"]


def test_types_have_templates_of_their_own(families: Path, tmp_path: Path) -> None:
    (families / "kern.log").write_text(AUTH.replace("sshd", "kernel"))
    windows = prepare(families, tmp_path / "d", label=f"words:{tmp_path / 'words'}", year=2024)
    table = windows.table("messages")
    same = table.filter(table["text"].str.starts_with("Failed password"))
    assert set(same["type"]) == {"auth", "kern"}
    assert same["group"].n_unique() == 1
    encoder = LogSource().fit_encoder(windows)
    vocabulary = encoder.inputs[0].vocabulary
    assert vocabulary is not None
    assert len(set(vocabulary)) == len(vocabulary)
    assert any(one.startswith("auth: ") for one in vocabulary)
    assert any(one.startswith("kern: ") for one in vocabulary)


def test_the_order_of_the_formats_decides_where_several_fit(families: Path, tmp_path: Path) -> None:
    label = f"words:{tmp_path / 'words'}"
    windows = prepare(families / "auth.log", tmp_path / "d", format="plain,rfc3164", label=label)
    assert windows.notes["formats"] == {"plain": 1}
    windows = prepare(families / "auth.log", tmp_path / "e", format="rfc3164,plain", label=label, year=2024)
    assert windows.notes["formats"] == {"rfc3164": 1}


def test_a_file_that_fits_nothing_is_told_how_well_it_fits_what(families: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.log"
    odd.write_text(AUTH[: AUTH.index("\n") + 1] + "once upon a time\n" * 9)
    with pytest.raises(EvidenceError) as caught:
        prepare(odd, tmp_path / "d")
    assert (
        "rfc5424 0, rsyslog 0, rfc3164 1, monotonic 0, dmesg 0, kippo 0, access 0, squid 0"
        in caught.value.what
    )
    assert (caught.value.where, caught.value.row) == (str(odd), 2)
    assert not (tmp_path / "d").exists()


def test_live_windows_of_several_formats_are_those_of_the_dataset(families: Path, tmp_path: Path) -> None:
    windows = prepare(families, tmp_path / "d", label=f"words:{tmp_path / 'words'}", year=2024, window_size=3)
    text = windows.table("messages")["text"].to_list()
    prepared = [[text[row] for row in rows] for rows in windows.gather()["message"]]
    scored: list[list[str]] = []
    for batch in live([families], windows.schema):
        texts = batch.symbols["text"].to_list()
        scored += [[texts[row] for row in rows] for rows in batch.steps["message"]]
    assert scored == prepared


def test_the_probe_covers_every_format(families: Path, tmp_path: Path) -> None:
    windows = prepare(families, tmp_path / "d", label=f"words:{tmp_path / 'words'}", year=2024)
    batch = probe(windows.schema)
    assert len(batch.place) >= sum(len(load(name).example) for name in AUTO) - 1
    assert set(batch.symbols["type"]) == {"", *AUTO, "guessed0", "guessed1", "guessed2", "guessed3"}
    message = batch.steps["message"]
    texts = [batch.symbols["text"][int(row)] for row in message[:, -1]]
    assert texts[-10:-7] == [
        "<ok><browser> GET /item/<number>?page=<value>",
        "<not_found> POST /login",
        "<server_error><tool> GET /img/<file>.gif?id=%27%20OR%201=<value>",
    ]
    assert texts[-7:-4] == [
        "<ok> GET http://shop.example.org/item/<number>?page=<value>",
        "<forbidden> CONNECT <ip>:4444",
        "<bad_request> NONE error:invalid-request",
    ]
    assert texts[-4:] == [
        "ERROR <num> orders of <ip> failed",
        "info [gc,heap] GC(<num>) Pause <num> ms",
        "I started <path>",
        "WARN order <num> took <num> s",
    ]


def test_formats_that_label_differently_need_a_rule(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(AUTH)
    with pytest.raises(UsageError, match=r"(?s)label differently.*--label"):
        prepare(tmp_path / "a.log", tmp_path / "d", format="hadoop,rfc3164")


@pytest.mark.parametrize("name", ["squid", "w3c"])
def test_web_logs_say_the_same_of_an_answer_and_of_a_path_in_the_same_words(name: str) -> None:
    words = [
        "ok", "success", "not_modified", "moved", "bad_request", "unauthorized", "forbidden", "not_found",
        "client_error", "server_error", "file", "value", "number",
    ]  # fmt: skip
    own, usual = load(name).mask, load("access").mask
    assert [own[word] for word in words] == [usual[word] for word in words]
