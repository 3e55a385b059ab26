"""Real servers on loopback that a test can stop and start again."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Syslog:
    """What reached a syslog server: `messages`. It drops a connection after `most` messages."""

    port: int
    messages: list[bytes] = field(default_factory=list)
    most: int | None = None
    by_line: bool = False

    @contextlib.contextmanager
    def udp(self) -> Iterator[None]:
        messages = self.messages

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                messages.append(self.request[0])

        with serving(socketserver.UDPServer(("127.0.0.1", self.port), Handler)):
            yield

    @contextlib.contextmanager
    def tcp(self, context: ssl.SSLContext | None = None) -> Iterator[None]:
        keeper = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                keeper.read(self.rfile)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False
            held: list[socket.socket]

            def get_request(self) -> tuple[socket.socket, Any]:
                made, address = super().get_request()
                if context is not None:
                    made = context.wrap_socket(made, server_side=True)
                self.held.append(made)
                return made, address

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # connections are cut on purpose

            def server_close(self) -> None:
                super().server_close()
                for made in self.held:
                    with contextlib.suppress(OSError):
                        made.shutdown(socket.SHUT_RDWR)
                    made.close()

        server = Server(("127.0.0.1", self.port), Handler)
        server.held = []
        with serving(server):
            yield

    def read(self, file: Any) -> None:
        """Messages of one connection: counted octets, or lines."""
        count = 0
        while self.most is None or count < self.most:
            if self.by_line:
                message = file.readline()
                if not message.endswith(b"\n"):
                    return
                message = message[:-1]
            else:
                length = b""
                while not length.endswith(b" "):
                    digit = file.read(1)
                    if not digit:
                        return
                    length += digit
                message = file.read(int(length))
                if len(message) < int(length):
                    return
            self.messages.append(message)
            count += 1


@dataclass
class Web:
    """What reached a web server: batches of rows with their keys and headers. `answers` are given first, each
    once; then 204."""

    port: int
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    requests: list[tuple[dict[str, str], list[dict[str, Any]], int]] = field(default_factory=list)

    @property
    def taken(self) -> list[dict[str, Any]]:
        """The rows that were answered with a 2xx, in their order."""
        return [row for _, rows, status in self.requests if 200 <= status < 300 for row in rows]

    @property
    def keys(self) -> list[str]:
        return [headers["Idempotency-Key"] for headers, _, _ in self.requests]

    @contextlib.contextmanager
    def http(self) -> Iterator[None]:
        keeper = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers = keeper.answers.pop(0) if keeper.answers else (204, {})
                keeper.requests.append((dict(self.headers), rows, status))
                if status == 0:  # no answer at all
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        with serving(cast("socketserver.BaseServer", server)):
            yield
