"""The page as it is served: a real server on a free port, asked as browsers and as others ask."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import requires
from itertools import islice
from pathlib import Path

import pytest
from typer import BadParameter

from tests.dashboard.conftest import Serve, Serving
from tests.dashboard.test_replay import HEAD
from tests.pipeline.conftest import VESTIGE
from vestige.cli.main import app
from vestige.dashboard import server
from vestige.dashboard.events import Recording, parse
from vestige.dashboard.hub import Hub
from vestige.dashboard.server import MOST_READERS
from vestige.errors import OutputError, UsageError
from vestige.scoring import score

SCRIPTS = (
    "/dashboard.js", "/elements.js", "/figures.js", "/incident.js", "/incidents.js", "/replay.js",
    "/watch.js", "/plotly.min.js",
)  # fmt: skip


def stream_request(page: Serving) -> bytes:
    """What asks for the stream."""
    return f"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: {page.bearer}\r\n\r\n".encode()


def test_the_stream_tells_everything_and_goes_on_where_a_reader_left(
    finished: Path, corpus: Path, serve: Serve
) -> None:
    log = min(corpus.rglob("*.log"))
    page = serve(finished, log, "--speed", 0)
    seen = []
    for name, event in page.events():
        seen.append((name, event))
        if event["event"] == "perf" and event["state"] == "done":
            break
    kinds = list(dict.fromkeys(event["event"] for _, event in seen if event["event"] != "perf"))
    assert kinds == ["run", "metrics", "profiles", "recording", "score"]
    assert sum(event["event"] == "score" for _, event in seen) == sum(
        1 for _ in score(finished / "gbt", [log])
    )
    for _, event in seen:
        parse(json.dumps(event))
    for at in (0, 5, len(seen) - 20):
        assert list(islice(page.events(after=seen[at][0]), 10)) == seen[at + 1 : at + 11]
    assert list(islice(page.events(after="0000.3"), 10)) == seen[:10]


def test_everything_is_its_own_and_the_policy_allows_nothing_else(page: Serving) -> None:
    for path, kind in {"/": "html", "/dashboard.css": "css", **dict.fromkeys(SCRIPTS, "javascript")}.items():
        answer = page.ask(path)
        assert answer.status == 200
        assert kind in answer.headers["content-type"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        text = answer.body.decode()
        assert "<script>" not in text or path == "/plotly.min.js"
        if path != "/plotly.min.js":
            assert "http://" not in text.replace(page.url, "")
            assert "https://" not in text
            assert "innerHTML" not in text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "[", "127.0.0.1.evil"]
)
def test_a_name_that_somebody_pointed_here_is_refused(page: Serving, host: str) -> None:
    for path in ("/", "/events"):
        answer = page.ask(path, Host=host)
        assert answer.status == 421
        assert b"vestige" not in answer.body
    for own in ("localhost", f"localhost:{page.port}", "127.0.0.1", "[::1]:80", socket.gethostname()):
        assert page.ask("/", Host=own).status == 200


def test_pages_of_other_sites_may_link_to_it_and_no_more(page: Serving) -> None:
    foreign = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    for site in ("cross-site", "same-site"):
        for path in ("/events", "/dashboard.js"):
            assert page.ask(path, **{**foreign, "Sec_Fetch_Site": site}).status == 403
    assert page.ask("/", **foreign).status == 200
    for site in ("same-origin", "none"):
        assert page.ask("/events", Sec_Fetch_Site=site).status == 200


def test_no_request_names_a_file(page: Serving) -> None:
    strange = ["/../../../../etc/passwd", "/..%2f..%2fetc/passwd", "/page/dashboard.js", "/metrics.json",
               "//etc/passwd", "/events/../metrics.json", "/docs", "/redoc", "/%00",
               "/dashboard.js/"]  # fmt: skip
    for path in strange:
        assert page.ask(path).status == 404, path
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert page.ask("/events", method).status == 405


def test_a_reader_that_stops_reading_holds_up_nobody(finished: Path, corpus: Path, serve: Serve) -> None:
    page = serve(finished / "ngram", *sorted(corpus.rglob("*.log"))[:3], "--speed", 0)
    with socket.create_connection(("127.0.0.1", page.port)) as lazy:
        lazy.sendall(stream_request(page))
        states = (event["state"] for _, event in page.events() if event["event"] == "perf")
        assert "done" in (state for state in states)


def test_readers_that_leave_in_the_middle_leave_nothing_behind(
    finished: Path, corpus: Path, serve: Serve
) -> None:
    page = serve(finished / "ngram", min(corpus.rglob("*.log")), "--speed", 0)
    for count in range(3 * MOST_READERS):
        with socket.create_connection(("127.0.0.1", page.port)) as hasty:
            hasty.sendall(stream_request(page))
            assert b" 200 " in hasty.recv(100 + count)
    assert page.ask("/").status == 200
    assert page.end() == (130, "interrupted\n")


def test_a_quiet_stream_shows_that_it_is_alive() -> None:
    hub = Hub([Recording(number=1, id="one", synthetic=False)])

    async def read() -> list[str]:
        got = []
        async for one in server.messages(hub, None, heartbeat_s=0.1):
            got.append(one)
            if len(got) == 3:
                hub.closed.set()
        return got

    first, *beats = asyncio.run(read())
    assert first.startswith(f"id: {hub.id(0)}\ndata: {{")
    assert beats == [": still here\n\n"] * 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_when_asked_though_somebody_looks_on(
    both: Path, store: Path, finished: Path, corpus: Path, serve: Serve, number: signal.Signals, code: int
) -> None:
    given = (both, store) if number == signal.SIGINT else (finished / "ngram", corpus)
    page = serve(*given, "--speed", 1)
    reading = page.events()
    assert next(one for _, one in reading if one["event"] == "score")
    ended, said = page.end(number)
    assert ended == code
    assert "Traceback" not in said
    assert len(list(reading)) < 100


def test_ctrl_c_ends_a_replay_that_waits_for_its_evidence(finished: Path, serve: Serve) -> None:
    theirs, ours = os.pipe()
    page = serve(finished / "ngram", "-", stdin=theirs)
    os.write(ours, (HEAD * 30).encode())
    assert next(one for _, one in page.events() if one["event"] == "score")
    assert page.end() == (130, "interrupted\n")
    os.close(theirs)
    os.close(ours)


def test_a_port_that_is_taken_is_an_error(finished: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(OutputError, match="cannot listen: Address already in use\n  remedy"):
            app(["dashboard", str(finished), "--port", port], standalone_mode=False)


def test_what_ends_the_replay_is_told_and_the_page_stays(
    finished: Path, tmp_path: Path, serve: Serve
) -> None:
    (tmp_path / "a.log").write_text("nothing of the kind\n" * 30)
    page = serve(finished / "ngram", tmp_path / "a.log")
    last = next(event for _, event in page.events() if event["event"] == "perf")
    assert last["state"] == "failed"
    assert "a.log:1" in last["note"]
    assert page.ask("/").status == 200
    ended, said = page.end()
    assert (ended, "Traceback" in said) == (130, False)


def test_events_alone_need_no_server_and_are_what_the_page_gets(
    finished: Path, corpus: Path, serve: Serve
) -> None:
    log = min(corpus.rglob("*.log"))
    check = (
        "import sys; from vestige.cli.main import app; "
        f"given = ['dashboard', {str(finished / 'ngram')!r}, {str(log)!r}, '--events', '--speed', '0']; "
        "app(given, standalone_mode=False); "
        "print(sorted({'fastapi', 'uvicorn', 'starlette'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
    lines = [json.loads(parse(line).line) for line in done.stdout.splitlines()]
    page = [event for _, event in islice(serve(finished / "ngram", log, "--speed", 0).events(), len(lines))]
    mine, theirs = ([one for one in events if one["event"] != "perf"] for events in (lines, page))
    assert mine[: len(theirs)] == theirs
    assert len(theirs) > 50


def test_a_reader_of_the_events_that_has_enough_ends_it_quietly(finished: Path, corpus: Path) -> None:
    log = min(corpus.rglob("*.log"))
    call = f"{VESTIGE} dashboard {finished}/ngram {log} --events --speed 0 | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=True)
    first, code = done.stdout.splitlines()
    assert json.loads(first)["event"] == "run"
    assert (code, done.stderr) == ("0", "")


@pytest.mark.parametrize(
    ("options", "error"),
    [(["--speed", "-1"], "0"), (["--host", ""], "--host is empty"), ([], "neither a run nor a detector")],
)
def test_a_speed_below_zero_an_empty_host_and_a_path_that_is_no_run_are_refused(
    finished: Path, tmp_path: Path, options: list[str], error: str
) -> None:
    path = finished if options else tmp_path
    with pytest.raises((UsageError, BadParameter), match=error) as raised:
        app(["dashboard", str(path), *options], standalone_mode=False)
    assert isinstance(raised.value, UsageError | BadParameter)
    assert raised.value.exit_code == 2


def test_help_imports_no_server_and_the_extra_brings_one() -> None:
    check = "import sys, vestige.cli.main; print({'torch', 'fastapi', 'uvicorn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    needed = [one for one in requires("vestige") or [] if "dashboard" in one]
    assert {one.split(">")[0] for one in needed} == {"fastapi", "uvicorn"}
