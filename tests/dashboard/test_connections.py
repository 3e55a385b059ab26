"""Connections: those that nobody uses end, and keep nobody out."""

from __future__ import annotations

import contextlib
import http.client
import resource
import socket
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.dashboard.conftest import Serve
from vestige.dashboard.access import Token
from vestige.dashboard.connections import MOST_CONNECTIONS, BoundedProtocol, most_connections
from vestige.dashboard.events import Recording
from vestige.dashboard.hub import Hub
from vestige.dashboard.server import serving

IDLE = 1_000
TOKEN = Token()


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process may have enough files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * IDLE
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this process may have only {hard} files open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class QuickProtocol(BoundedProtocol):
    """Waits for no one."""

    request_s = stuck_s = 0.3


class FewProtocol(BoundedProtocol):
    """Has little room."""

    most = 3


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """Where a hub of one event is served over connections of the kind asked for."""
    hub = Hub([Recording(number=1, id="one", synthetic=False)])
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        serving(hub, listener, "127.0.0.1", TOKEN, protocol=request.param),
    ):
        yield listener.getsockname()[1]


def ended(connection: socket.socket) -> bool:
    """Whether the other side has closed it, by now or within a while."""
    connection.settimeout(20)
    try:
        return connection.recv(1 << 16) == b""
    except ConnectionResetError:
        return True


def test_a_thousand_idle_connections_keep_nobody_out(finished: Path, serve: Serve, many_files: None) -> None:
    page = serve(finished)
    reading = page.events()
    assert len(list(islice(reading, 2))) == 2
    with contextlib.ExitStack() as stack:
        for number in range(IDLE):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", page.port), timeout=30))
            # Some say nothing, some begin to say something.
            if number % 2:
                idle.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert page.ask("/health").status == 200
        assert page.ask("/").status == 200
        assert next(page.events())[1]["event"] == "run"
        # Who has the token and is being answered does not give way.
        assert next(reading)[1]["event"] in {"metrics", "profiles"}
        files = len(list(Path(f"/proc/{page.process.pid}/fd").iterdir()))
        assert files < MOST_CONNECTIONS + 150
    code, said = page.end()
    assert (code, said) == (130, "interrupted\n")


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST /incidents HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: ",
    ],
)
@pytest.mark.parametrize("port", [QuickProtocol], indirect=True)
def test_a_request_that_never_comes_whole_ends_its_connection(port: int, begun: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(begun)
        stop = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.05):
                    slow.sendall(b"x")

        thread = threading.Thread(target=drip)
        if begun:
            thread.start()
        slow.settimeout(20)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := slow.recv(1 << 16):
                got += piece
        stop.set()
        if begun:
            thread.join()
    assert got.count(b" 200 OK") == begun.count(b"/health")


@pytest.mark.parametrize("port", [QuickProtocol], indirect=True)
def test_an_answer_that_nobody_reads_ends_its_connection(port: int) -> None:
    asked = f"GET /plotly.min.js HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN.text}\r\n\r\n"
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", port))
        lazy.sendall(asked.encode() * 3)
        time.sleep(1.5)
        got = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := lazy.recv(1 << 20):
                got += len(piece)
    assert got < 3_000_000


@pytest.mark.parametrize("port", [FewProtocol], indirect=True)
def test_whoever_is_idle_for_longest_gives_way(port: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN.text}"}
    reading = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    reading.request("GET", "/events", headers=headers)
    stream = reading.getresponse()
    assert stream.readline().startswith(b"id: ")
    first, second = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
    new = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    new.request("GET", "/", headers=headers)
    assert new.getresponse().status == 200
    assert ended(first)
    second.sendall(
        f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN.text}\r\n\r\n".encode()
    )
    assert second.recv(100).startswith(b"HTTP/1.1 200")
    assert stream.readline().startswith(b"data: ")
    for each in (first, second, reading, new):
        each.close()


def test_half_of_the_files_are_left_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, expected in ((1_024, MOST_CONNECTIONS), (100, 50), (1, 1), (resource.RLIM_INFINITY, 256)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert most_connections(MOST_CONNECTIONS) == expected
