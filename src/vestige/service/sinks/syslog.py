"""Ways to a syslog server: UDP (RFC 5426), TCP (RFC 6587) and TLS (RFC 5425)."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import socket
import ssl
import termios
from collections.abc import Callable

from vestige.service.sinks.sender import Outlet, RefusedError

CONNECT_S, SEND_S = 5.0, 10.0
"""How long a connection, and a message, may take."""
SETTLE_S = 1.0
"""A message counts as taken when the connection held for so long after it: syslog has no answers."""
DEAD_MS = 30_000
"""How long a machine may leave bytes unacknowledged."""


def counted(message: bytes) -> bytes:
    """Octet counting (RFC 6587, section 3.4.1; RFC 5425, section 4.3)."""
    return b"%d %s" % (len(message), message)


def by_line(message: bytes) -> bytes:
    """A message that ends with its line (RFC 6587, section 3.4.2), which is what receivers of CEF expect."""
    return message + b"\n"


class Datagrams(Outlet):
    """Each message a datagram. A machine that refuses them is noticed; one that loses them is not."""

    def __init__(self, name: str, host: str, port: int, *, settle_s: float = SETTLE_S / 2) -> None:
        self.name, self.settle_s = name, settle_s
        self._where = host, port
        self._socket: socket.socket | None = None

    def send(self, payload: bytes, key: str) -> None:  # noqa: ARG002 - syslog has no keys
        """One datagram."""
        if self._socket is None:
            self._socket = self._connected()
        try:
            self._socket.send(payload)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise RefusedError("longer than a datagram may be") from error
            raise

    def check(self) -> None:
        """Raise what the other machine answered (ICMP), such as that nobody listens."""
        if self._socket is not None:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))

    def disconnect(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        family, kind, protocol, _, address = socket.getaddrinfo(*self._where, type=socket.SOCK_DGRAM)[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(SEND_S)
            # Connected, so that a refusal comes back to us.
            made.connect(address)
        except OSError:
            made.close()
            raise
        return made


class Stream(Outlet):
    """Messages over one connection, framed by `frame`, encrypted by `context` where there is one."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        frame: Callable[[bytes], bytes],
        context: ssl.SSLContext | None = None,
        *,
        settle_s: float = SETTLE_S,
    ) -> None:
        self.name, self.settle_s = name, settle_s
        self._where = host, port
        self._frame, self._context = frame, context
        self._socket: socket.socket | None = None

    def send(self, payload: bytes, key: str) -> None:  # noqa: ARG002 - syslog has no keys
        """One message."""
        if self._socket is None:
            self._socket = self._connected()
        self._socket.sendall(self._frame(payload))

    def check(self) -> None:
        """Raise OSError where the other side has closed or reset the connection."""
        if self._socket is None:
            raise ConnectionResetError("there is no connection any more")
        self._socket.settimeout(0)
        try:
            if not self._socket.recv(4096):
                raise ConnectionResetError("the other side closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        finally:
            self._socket.settimeout(SEND_S)

    def settled(self) -> bool:
        """Whether the other machine has acknowledged every byte."""
        if self._socket is None:
            return False
        left = array.array("i", [0])
        with contextlib.suppress(OSError):  # A platform that cannot tell has the time of settling only.
            fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, left)
        return left[0] == 0

    def disconnect(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def abort(self) -> None:
        """End the connection, from another thread."""
        held = self._socket
        if held is not None:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> socket.socket:
        made = socket.create_connection(self._where, CONNECT_S)
        try:
            made.settimeout(SEND_S)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_MS)
            if self._context is not None:
                return self._context.wrap_socket(made, server_hostname=self._where[0])
        except OSError:
            made.close()
            raise
        return made
