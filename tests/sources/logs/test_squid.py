"""Squid's access.log: models see the answer, the method and the shape of the address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sources.logs.rows import rows

BEFORE = "1714979289.250    120 2001:db8::7 "
BEHIND = "frank%20b HIER_DIRECT/203.0.113.9 text/html"


def seen(tmp_path: Path, *lines: str, **options: Any) -> list[str]:
    """What models see of lines, by the format that their file is found to have."""
    path = tmp_path / "access.log"
    path.write_text("".join(f"{line}\n" for line in lines))
    summary: dict[str, Any] = {}
    out = rows(path, summary=summary, **options)
    assert summary["formats"] == {"squid": 1}
    assert {moment for moment, _ in out} == {"2024-05-06T07:08:09.25"}
    return [text for _, text in out]


@pytest.mark.parametrize(
    ("request_line", "text"),
    [
        (f"TCP_MISS/200 2326 GET http://shop.example/item/17?page=2&q=shoes {BEHIND}",
         "<ok> GET http://shop.example/item/<number>?page=<value>&q=<value>"),
        (f"TCP_DENIED/403 39 GET http://shop.example/admin {BEHIND}",
         "<forbidden> GET http://shop.example/admin"),
        ("TCP_TUNNEL/200 39 CONNECT 203.0.113.10:4444 - HIER_DIRECT/2001:db8::9 -",
         "<ok> CONNECT <ip>:4444"),
        (f"TCP_REFRESH_UNMODIFIED/304 9 GET http://shop.example/js/app.min.js?v=3 {BEHIND}",
         "<not_modified> GET http://shop.example/js/<file>.js?v=<value>"),
        ("NONE_NONE/400 3500 NONE error:invalid-request - HIER_NONE/- text/html",
         "<bad_request> NONE error:invalid-request"),
        ("NONE_NONE/000 0 - error:transaction-end-before-headers - HIER_NONE/- -",
         "000 - error:transaction-end-before-headers"),
        (f'TCP_MISS/500 9 GET http://shop.example/a?id="1"+OR+1=1 {BEHIND}',
         '<server_error> GET http://shop.example/a?id="1"+OR+1=<value>'),
    ],
)  # fmt: skip
def test_what_models_see_of_a_request(tmp_path: Path, request_line: str, text: str) -> None:
    assert seen(tmp_path, BEFORE + request_line) == [text]


def test_a_request_that_is_cut_short_is_one_by_itself(tmp_path: Path) -> None:
    long = f"TCP_MISS/404 9 GET http://shop.example/{'a' * 500_000} {BEHIND}"
    short = f"TCP_MISS/200 9 GET http://shop.example/ {BEHIND}"
    texts = seen(tmp_path, BEFORE + short, BEFORE + long, BEFORE + short)
    assert texts[0] == texts[2] == "<ok> GET http://shop.example/"
    assert texts[1].startswith("<not_found> GET http://shop.example/aaaa")
