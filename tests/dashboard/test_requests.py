"""Requests of any kind against what the page says of itself in its OpenAPI: each is served or refused,
none is a server error, and nothing is written."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dashboard.conftest import Serving

MEANT = {200, 401, 403, 404, 405, 409, 411, 413, 422}
"""What may be answered: 400 is for what is no HTTP or no JSON."""

NO_JSON = (
    b"{", b"\xff", b"[" * 60_000, b'{"because": NaN}', b'{"because": "\\ud800"}', b'"x"', b"", b"1e999",
    b'{"expires_days": 1e999, "because": 3}', b'{"because": "x", "because": 3}', b"null,",
)  # fmt: skip

texts = st.text(max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def served(learnt: Path, watched: Path) -> Iterator[Serving]:
    one = Serving(learnt, "--state", watched)
    yield one
    code, said = one.end()
    assert (code, said) == (130, "interrupted\n")


def parameters(operation: dict[str, Any]) -> st.SearchStrategy[dict[str, str]]:
    """Queries of an operation: its own names, with values that may be right, and others."""
    names = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
    usual = st.sampled_from(["", "web", "open", "5", "2026-01-01", "2026-01-01T00:00:00+23:59", "9999-12-31"])
    own = st.dictionaries(st.sampled_from(names), usual | texts, max_size=4) if names else st.just({})
    return own | st.dictionaries(texts, texts, max_size=3)


def bodies(openapi: dict[str, Any], operation: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Bodies of an operation: its own fields, with anything in them, but for the one that has it written."""
    if "requestBody" not in operation:
        return st.just(None)
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    fields = sorted(openapi["components"]["schemas"][name]["properties"])
    fields = [field for field in fields if field != "preview"]
    usual = values | st.sampled_from(["a reason", "both", "entity", 30, 0.5, None])
    return values | st.dictionaries(st.sampled_from(fields), usual, max_size=4)


def operation_of(path: str, openapi: dict[str, Any]) -> str:
    """The one method by which an address is asked, as it is written there."""
    (method,) = openapi["paths"][path]
    return str(method)


def test_health_and_incidents_are_described(served: Serving) -> None:
    openapi = json.loads(served.ask("/openapi.json").body)
    assert set(openapi["paths"]) == {
        "/health", "/events", "/incidents", "/incidents/{incident}", "/incidents/{incident}/dismiss",
        "/incidents/{incident}/confirm",
    }  # fmt: skip


def test_no_request_is_a_server_error(served: Serving, watched: Path) -> None:
    openapi = json.loads(served.ask("/openapi.json").body)
    operations = [
        (path, method, operation)
        for path, each in openapi["paths"].items()
        for method, operation in each.items()
        # Those that write are asked for incidents that are not there.
        if path != "/events"
    ]
    assert len(operations) == 5
    methods = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "X"])

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        path, method, operation = data.draw(st.sampled_from(operations))
        incident = data.draw(st.sampled_from(["999999", "0", "1" * 12, "1" * 13]) | texts)
        query = data.draw(parameters(operation))
        if data.draw(st.integers(0, 4)) == 0:
            method = data.draw(methods)
        encoded = urlencode(
            [(k.encode(errors="replace"), v.encode(errors="replace")) for k, v in query.items()]
        )
        target = path.replace("{incident}", quote(incident.encode(errors="replace"), safe=""))
        answer = served.ask(f"{target}?{encoded}", method.upper(), data.draw(bodies(openapi, operation)))
        assert answer.status in MEANT, (method, target, answer.status, answer.body)
        if answer.body and answer.headers["content-type"] == "application/json":
            found = json.loads(answer.body)
            # What is asked as described is answered as described, refusals included.
            described = operation["responses"].get(str(answer.status))
            reached = "{incident}" not in path or (incident.isascii() and incident.isdigit())
            if reached and method == operation_of(path, openapi) and answer.status not in {400, 405, 413}:
                assert described is not None, (target, answer.status)
                if answer.status != 200:
                    name = described["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                    assert set(openapi["components"]["schemas"][name]["required"]) == set(found)
                    assert isinstance(found["detail"], str)

    ask()
    assert not (watched / "exceptions.toml").exists()
    assert not (watched / "confirmed.jsonl").exists()


def test_what_is_no_json_is_refused(served: Serving, watched: Path) -> None:
    for body in NO_JSON:
        for what in ("dismiss", "confirm"):
            connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
            headers = {"Authorization": served.bearer, "Content-Type": "application/json"}
            connection.request("POST", f"/incidents/1/{what}", body, headers)
            answer = connection.getresponse()
            told = answer.read()
            assert answer.status in {400, 422}, (what, body[:30], told)
            assert isinstance(json.loads(told)["detail"], str)
            connection.close()
    assert not (watched / "exceptions.toml").exists()
    assert not (watched / "confirmed.jsonl").exists()
