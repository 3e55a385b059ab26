"""Batches of rows as JSON, posted to an address."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from vestige import __version__
from vestige.escaping import visible
from vestige.service.sinks.base import Row
from vestige.service.sinks.lines import json_line
from vestige.service.sinks.sender import LaterError, Outlet, Packed, RefusedError, in_batches

MOST, LARGEST = 500, 1_000_000
"""Rows, and bytes, of a batch."""
ANSWER_S = 10.0
"""How long an answer may take."""
ANSWER = 65_536
"""Bytes that are read of an answer."""
LONGEST_LATER_S = 300.0
"""The longest that a `Retry-After` is heeded."""
REFUSALS = {400, 413, 415, 422}
"""Answers that say that the content itself will never be taken. All others are about the state of the other
side, or about access, which people mend."""


def batches(rows: Sequence[Row]) -> Packed:
    """Arrays of rows as they are."""
    return in_batches(map(json_line, rows), MOST, LARGEST), 0


@dataclass(frozen=True)
class Address:
    """Where to post: `path` with its query; `name` has neither, since they may hold secrets."""

    name: str
    host: str
    port: int
    path: str
    encrypted: bool


class Webhook(Outlet):
    """Posts a payload with an `Idempotency-Key`, which is the same whenever the payload is sent again."""

    def __init__(self, address: Address, token: str | None = None, *, answer_s: float = ANSWER_S) -> None:
        self.name = address.name
        self._address, self._token, self._answer_s = address, token, answer_s
        self._connection: http.client.HTTPConnection | None = None

    def send(self, payload: bytes, key: str) -> None:
        """One request, answered with 200 to 299."""
        if self._connection is None:
            self._connection = self._made()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"vestige/{__version__}",
            "Idempotency-Key": key,
        }
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            self._connection.request("POST", self._address.path, payload, headers)
            answer = self._connection.getresponse()
            answer.read(ANSWER)
        except http.client.HTTPException as error:
            # What a broken or hostile server answers is no text for a terminal.
            raise ConnectionError(f"no answer that is HTTP ({type(error).__name__})") from error
        if not answer.isclosed() or answer.will_close:
            self.disconnect()
        _judge(answer)

    def disconnect(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abort(self) -> None:
        """End what is waited for, from another thread."""
        held = self._connection
        inner = held.sock if held is not None else None
        if inner is not None:
            with contextlib.suppress(OSError):
                inner.shutdown(socket.SHUT_RDWR)

    def _made(self) -> http.client.HTTPConnection:
        host, port = self._address.host, self._address.port
        if self._address.encrypted:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self._answer_s, context=context)
        return http.client.HTTPConnection(host, port, timeout=self._answer_s)


def _judge(answer: http.client.HTTPResponse) -> None:
    """Return for an answer that says that the payload was taken; raise for every other."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    why = f"it answers {answer.status} {visible(answer.reason, 60)}".rstrip()
    if answer.status in REFUSALS:
        raise RefusedError(why)
    after = answer.getheader("Retry-After", "")
    if after.isascii() and after.isdigit():
        raise LaterError(why, min(float(after[:9]), LONGEST_LATER_S))
    raise ConnectionError(why)
