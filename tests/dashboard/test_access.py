"""Who is answered: whoever has the token, asked for in each of the ways in which it may come."""

from __future__ import annotations

import json

import pytest

from tests.dashboard.conftest import Serve, Serving
from vestige.dashboard.access import HEADERS, MOST_BODY, Token

ADDRESSES = ("/", "/events", "/dashboard.js", "/plotly.min.js", "/openapi.json", "/incidents", "/nowhere")


def test_nothing_but_health_is_answered_without_the_token(page: Serving) -> None:
    wrong = (
        "Bearer ",
        f"Bearer {page.token[:-1]}",
        f"Basic {page.token}",
        page.token,
        f"Bearer {page.token}x",
    )
    for path in ADDRESSES:
        for header in wrong:
            answer = page.ask(path, Authorization=header)
            assert answer.status == 401, (path, header)
            assert page.token.encode() not in answer.body
            assert HEADERS.items() <= answer.headers.items()
        assert page.ask(path, Cookie=f"vestige={page.token}").status == 401
        assert page.ask(path, "POST", Authorization="").status == 401
    assert page.ask("/", Authorization="").body.startswith(b"This page needs a token")
    health = page.ask("/health", Authorization="")
    assert (health.status, json.loads(health.body)) == (200, {"status": "ok"})
    assert page.ask("/health", "POST", Authorization="").status == 405


def test_the_address_hands_the_token_over_once_and_does_not_keep_it(page: Serving) -> None:
    answer = page.ask(f"/?token={page.token}", Authorization="")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    kept = cookie.partition(";")[0]
    for path in ("/", "/dashboard.js", "/openapi.json"):
        assert page.ask(path, Cookie=kept).status == 200
    for asked in ("token=", f"token={page.token}x", f"token={page.token}&token=x", "x&" * 50, "token=%ff%00"):
        assert page.ask(f"/?{asked}", Authorization="").status == 401
    # It is asked for at the page's own address alone.
    assert page.ask(f"/dashboard.js?token={page.token}", Authorization="").status == 401


def test_every_start_has_a_token_of_its_own_and_tells_nobody_else(serve: Serve, finished: object) -> None:
    one, two = serve(finished), serve(finished)
    assert one.token != two.token
    assert one.ask("/", Authorization=two.bearer).status == 401
    assert two.ask("/").status == 200
    assert repr(Token()) == "Token(...)"
    _, said = two.end()
    assert two.token not in said


def test_another_site_changes_nothing_although_the_cookie_is_sent(page: Serving) -> None:
    cookie = page.ask(f"/?token={page.token}", Authorization="").headers["set-cookie"].partition(";")[0]
    host = f"127.0.0.1:{page.port}"
    foreign = ("http://evil.example", "null", f"http://127.0.0.1:{page.port + 1}", f"{host}", "")
    for origin in foreign:
        for method in ("GET", "POST"):
            answer = page.ask("/events", method, {}, Cookie=cookie, Origin=origin)
            assert answer.status == 403, (origin, method)
    assert page.ask("/events", "POST", {}, Cookie=cookie).status == 403
    assert page.ask("/events", "POST", {}, Cookie=cookie, Origin=f"http://{host}").status == 405
    assert page.ask("/", "POST", {}, Cookie=cookie, Sec_Fetch_Site="cross-site").status == 403


def test_a_request_that_is_too_long_is_refused_before_it_is_read(page: Serving) -> None:
    assert page.ask("/events", "POST", "x" * MOST_BODY).status == 413
    assert page.ask("/events", "POST", Transfer_Encoding="chunked").status == 411


def test_all_interfaces_keep_the_token(serve: Serve, finished: object) -> None:
    page = serve(finished, "--host", "0.0.0.0")  # noqa: S104 - that is what is tried
    assert page.ask("/", Authorization="").status == 401
    assert page.ask("/", Host="evil.example").status == 421
    assert page.ask("/").status == 200
    _, said = page.end()
    assert "there is no TLS" in " ".join(said.split())


@pytest.mark.parametrize("found", [None, "", "ä", "\ud800", "x" * 10_000])
def test_whatever_is_compared_with_the_token_is_not_it(found: str | None) -> None:
    assert not Token().is_in(found)
