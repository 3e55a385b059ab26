"""Listening for log messages: syslog (RFC 5424, RFC 3164; UDP and TCP) and OTLP over HTTP, into an inbox.

A sender is answered, where its protocol has answers, once its messages are on the disk.
"""

from __future__ import annotations

import ipaddress
import math
import re
import socket
import socketserver
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from typing import Any, ClassVar
from urllib.parse import urlsplit

from vestige.errors import UsageError, VestigeError
from vestige.evidence.stream import closing_on_error
from vestige.log import get
from vestige.service import otlp
from vestige.service.inbox import Inbox
from vestige.sources.logs.received import (
    LONGEST,
    Line,
    TooManyError,
    otlp_json,
    record_lines,
    syslog_line,
)

MOST_CONNECTIONS = 64
LARGEST_REQUEST = 8 << 20
"""Bytes of a request, and of what it unpacks to."""
SYSLOG_IDLE_S, HTTP_IDLE_S = 600.0, 60.0
"""A connection over which no whole message came for so long is closed."""
RETRY_S = 5
"""When a sender is to try again."""
WAIT_S = 0.2
POLL_S = 0.1
RECEIVE_BYTES = 4 << 20
"""What the system may hold of datagrams that were not taken yet."""
COUNT_DIGITS = 9
PATH = "/v1/logs"
FORMS = "syslog://HOST:PORT[/NAME] or otlp://HOST:PORT[/NAME]"

log = get(__name__)


@dataclass(frozen=True)
class Place:
    """Where to listen for what; `name`: what the files of it are called, which is their type of log."""

    kind: str
    host: str
    port: int
    name: str

    @classmethod
    def parse(cls, spec: str) -> Place:
        """What a person wrote. Raises UsageError."""
        try:
            parts = urlsplit(spec)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"{spec!r} is no place to listen ({error})", remedy=FORMS) from error
        name = parts.path.strip("/") or parts.scheme
        clean = not parts.query and not parts.fragment and parts.username is None
        if parts.scheme not in {"syslog", "otlp"} or not host or port is None or not clean:
            raise UsageError(f"{spec!r} is no place to listen", remedy=FORMS)
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name, re.ASCII) is None:
            raise UsageError(
                f"{spec!r}: what comes is to have a name of letters, digits, - and _",
                remedy="name it as the file that the detector learnt from: syslog://127.0.0.1:5514/auth",
            )
        return cls(parts.scheme, host, port, name)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass
class Post:
    """What servers share: where messages go, and what became of those that did not come whole."""

    inbox: Inbox
    name: str
    closing: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)
    parsing: threading.Lock = field(default_factory=threading.Lock)
    """One request at a time is unpacked: it may take much memory."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, count: int = 1) -> None:
        """Count what was lost; told as often as it has grown tenfold."""
        with self._lock:
            before = self.counts[what]
            self.counts[what] += count
            after = self.counts[what]
        if not before or int(math.log10(after)) > int(math.log10(before)):
            log.warning("%s: %d %s", self.name, after, what)

    def put(self, lines: Sequence[Line], *, sync: bool = False) -> bool:
        """Into the inbox; False where it has no room. Raises OutputError where it cannot be written."""
        if self.closing.is_set() or not self.inbox.append(self.name, lines, sync=sync):
            return False
        cut = sum(line.cut for line in lines)
        if cut:
            self.note("messages were cut", cut)
        return True

    def take(self, data: bytes, sender: str) -> bool:
        """One message of syslog; False where there is no room for it."""
        line = syslog_line(data, _folded(sender), datetime.now(UTC))
        if line is None:
            return True
        try:
            return self.put([line])
        except VestigeError as error:
            self.note(f"messages could not be kept: {error.what}")
            return False


def _folded(sender: str) -> str:
    """An address without what IPv6 puts before one of IPv4, or behind one."""
    return sender.removeprefix("::ffff:").partition("%")[0]


class Listening:
    """The servers of several places: of each, at most `connections` at a time, and of syslog those over which
    something came in the last `syslog_idle_s`. Raises UsageError for a place where nobody can listen."""

    def __init__(
        self,
        specs: Sequence[str],
        inbox: Inbox,
        *,
        connections: int = MOST_CONNECTIONS,
        syslog_idle_s: float = SYSLOG_IDLE_S,
    ) -> None:
        self.inbox = inbox
        self._most, self._syslog_idle_s = connections, syslog_idle_s
        self.posts: list[Post] = []
        self._servers: list[socketserver.BaseServer] = []
        self._threads: list[threading.Thread] = []
        with closing_on_error(self):
            for spec in specs:
                self._bind(spec, Place.parse(spec))

    @property
    def ports(self) -> list[int]:
        """Where each server listens."""
        return [int(server.server_address[1]) for server in self._servers]  # type: ignore[index]

    def _bind(self, spec: str, place: Place) -> None:
        post = Post(self.inbox, place.name)
        self.posts.append(post)
        try:
            family, _, _, _, address = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0]
            if place.kind == "otlp":
                self._servers.append(_Streams(family, address, _Exports, post, HTTP_IDLE_S, self._most))
            else:
                streams = _Streams(family, address, _Messages, post, self._syslog_idle_s, self._most)
                self._servers.append(streams)
                # Of port 0, that which the system chose.
                self._servers.append(_Datagrams(family, streams.server_address, post))
        except OSError as error:
            raise UsageError(
                f"cannot listen at {spec} ({error.strerror or error})",
                remedy="choose another port, or an address of this machine",
            ) from error
        if not place.is_loopback:
            log.warning("%s: whoever reaches this address can write messages of any host", spec)

    def start(self) -> None:
        """Take what comes, from now on."""
        for server in self._servers:
            thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """Take nothing more."""
        for post in self.posts:
            post.closing.set()
        for server in self._servers:
            if self._threads:
                server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def told(self) -> list[str]:
        """What did not come whole."""
        return [f"{post.name}: {count} {what}" for post in self.posts for what, count in post.counts.items()]


class _Datagrams(socketserver.UDPServer):
    max_packet_size = LONGEST

    def __init__(self, family: int, address: Any, post: Post) -> None:
        self.address_family = family
        self.post = post
        super().__init__(address, _Datagram)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)


class _Datagram(socketserver.BaseRequestHandler):
    server: _Datagrams

    def handle(self) -> None:
        if not self.server.post.take(self.request[0], str(self.client_address[0])):
            self.server.post.note("datagrams were dropped: the inbox is full")


class _Streams(socketserver.ThreadingTCPServer):
    """At most `most` connections, each closed when no whole message came for `idle_s`."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, family: int, address: Any, handler: Any, post: Post, idle_s: float, most: int) -> None:
        self.address_family = family
        self.post, self.idle_s, self.most = post, idle_s, most
        self._heard: dict[Any, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def heard(self, request: Any) -> None:
        """A whole message came over a connection."""
        with self._lock:
            if request in self._heard:
                self._heard[request] = time.monotonic()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            room = len(self._heard) < self.most
            if room:
                self._heard[request] = time.monotonic()
        if room:
            super().process_request(request, client_address)
        else:
            self.post.note(f"connections were refused: there are {self.most} already")
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._heard.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Hang up on those of whom nothing was heard for long; their threads see the end of the stream."""
        late = time.monotonic() - self.idle_s
        with self._lock:
            idle = [request for request, heard in self._heard.items() if heard < late]
        for request in idle:
            _hang_up(request)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            requests = list(self._heard)
        for request in requests:
            _hang_up(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A connection that broke is its sender's affair."""
        log.debug("a connection of %s broke", client_address[0], exc_info=True)


def _hang_up(request: Any) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is gone already


class _Messages(socketserver.StreamRequestHandler):
    """Syslog over TCP: octet counts and lines (RFC 6587), whichever each message has."""

    server: _Streams

    def handle(self) -> None:
        post, sender = self.server.post, str(self.client_address[0])
        while True:
            try:
                found = frame(self.rfile)
            except ValueError as error:
                post.note(f"connections were closed: {error}")
                return
            if found is None:
                return
            self.server.heard(self.request)
            data, cut = found
            # The sender waits, as soon as the buffers between are full.
            while not post.take(data, sender):
                if post.closing.wait(WAIT_S):
                    return
                self.server.heard(self.request)
            if cut:
                post.note("messages were cut")


def frame(stream: BufferedIOBase) -> tuple[bytes, bool] | None:
    """The next message of a stream, and whether it was cut; None at the end. Raises ValueError for an octet
    count that cannot be one."""
    first = stream.read(1)
    if not first:
        return None
    head = first
    if b"1" <= first <= b"9":
        while (more := stream.read(1)).isdigit() and len(head) < COUNT_DIGITS:
            head += more
        if more == b" ":
            return _counted(stream, int(head))
        head += more
    if head.endswith(b"\n"):
        return head, False
    data = head + stream.readline(LONGEST - len(head))
    if data.endswith(b"\n") or len(data) < LONGEST:
        return data, False
    more, cut = stream.readline(LONGEST), False
    while more not in {b"", b"\n", b"\r\n"}:
        cut = True
        if more.endswith(b"\n"):
            break
        more = stream.readline(LONGEST)
    return data, cut


def _counted(stream: BufferedIOBase, size: int) -> tuple[bytes, bool]:
    if size > LARGEST_REQUEST:
        raise ValueError(f"a message of more than {LARGEST_REQUEST:,} bytes")
    data = stream.read(min(size, LONGEST))
    rest = size - len(data)
    while rest:
        more = stream.read(min(rest, LONGEST))
        if not more:
            break
        rest -= len(more)
    return data, len(data) < size


class _RefusedError(Exception):
    """A request that is not taken: the HTTP status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(status, why)
        self.status, self.why = status, why


class _Exports(BaseHTTPRequestHandler):
    """OTLP/HTTP (opentelemetry.io/docs/specs/otlp): POST to `/v1/logs`, JSON or protobuf, packed or not."""

    server: _Streams
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "vestige", ""
    READERS: ClassVar[dict[str, Callable[[bytes], dict[str, Any]]]] = {
        "application/json": otlp_json,
        "application/x-protobuf": otlp.read,
    }

    def do_POST(self) -> None:
        """An ExportLogsServiceRequest."""
        post = self.server.post
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        try:
            if self.path.partition("?")[0] != PATH:
                raise _RefusedError(404, f"logs are taken at {PATH}")
            reader = self.READERS.get(kind)
            if reader is None:
                raise _RefusedError(415, f"Content-Type is to be one of {', '.join(self.READERS)}")
            body = self._body()
            with post.parsing:
                lines = self._lines(reader, self._unpacked(body))
                taken = post.put(lines, sync=True)
            if post.closing.is_set() and not taken:
                raise _RefusedError(503, "watching ends")
            if not taken:
                post.note("requests were put off: the inbox is full")
                raise _RefusedError(429, "the inbox is full")
        except _RefusedError as refusal:
            if refusal.status not in {429, 503}:
                post.note(f"requests were refused: {refusal.why}"[:200])
            self._answer(refusal.status, kind, refusal.why)
            return
        except VestigeError as error:
            post.note(f"requests were put off: {error.what}")
            self._answer(503, kind, "what comes cannot be written")
            return
        self.server.heard(self.request)
        self._answer(200, kind, "")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are not told one by one."""

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"\d{1,18}", length, re.ASCII) or "Transfer-Encoding" in self.headers:
            raise _RefusedError(411, "a request is to say its Content-Length")
        if int(length) > LARGEST_REQUEST:
            raise _RefusedError(413, f"more than {LARGEST_REQUEST:,} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise _RefusedError(400, "it ends within its body")
        return body

    def _unpacked(self, body: bytes) -> bytes:
        packing = self.headers.get("Content-Encoding", "identity").strip().lower()
        if packing == "identity":
            return body
        if packing != "gzip":
            raise _RefusedError(415, "Content-Encoding is to be gzip or identity")
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            found = unpacker.decompress(body, LARGEST_REQUEST + 1)
        except zlib.error as error:
            raise _RefusedError(400, "it is no gzip") from error
        if len(found) > LARGEST_REQUEST:
            raise _RefusedError(413, f"it unpacks to more than {LARGEST_REQUEST:,} bytes")
        if not unpacker.eof or unpacker.unused_data:
            raise _RefusedError(400, "it is no whole gzip")
        return found

    def _lines(self, reader: Callable[[bytes], dict[str, Any]], body: bytes) -> list[Line]:
        sender = _folded(str(self.client_address[0]))
        try:
            return list(record_lines(reader(body), sender, datetime.now(UTC)))
        except TooManyError as error:
            raise _RefusedError(413, str(error)) from error
        except (ValueError, RecursionError) as error:
            raise _RefusedError(400, "it is no ExportLogsServiceRequest") from error

    def _answer(self, status: int, kind: str, why: str) -> None:
        """An ExportLogsServiceResponse, or the Status that says why not, as the request was written."""
        text = why.encode("ascii", errors="replace")[:127]
        body = b"\x12" + bytes([len(text)]) + text if why else b""
        if kind != "application/x-protobuf":
            kind = "application/json"
            body = b'{"message": "' + text + b'"}' if why else b"{}"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status in {429, 503}:
            self.send_header("Retry-After", str(RETRY_S))
        if status not in {200, 429, 503}:
            # What follows may be the rest of a body that was not read.
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
