"""Connections over which the page is served: bounded, and nobody holds one without using it.

Whoever reaches the port can open connections, also without the token. So there is a bound on them, and
where it is reached the one that was idle for longest gives way to a new one: idle ones never keep others out.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 256
"""Open at a time; fewer where this process may have fewer than twice as many files open."""
QUEUED = 64
"""Connections that the system keeps until they are accepted, and that are accepted at a time."""
REQUEST_S = 10.0
"""A request must be whole so many seconds after its connection was opened, or the last answer was given."""
STUCK_S = 60.0
"""So long an answer may wait for its reader to read on."""
ADMITTED = "admitted"
"""What the state of a request is called that came with the token."""


class BoundedProtocol(H11Protocol):
    """One connection, as Uvicorn serves it (HTTP/1.1 by h11), that closes itself where nothing comes."""

    most: ClassVar[int] = MOST_CONNECTIONS
    request_s: ClassVar[float] = REQUEST_S
    stuck_s: ClassVar[float] = STUCK_S

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._opened = self.loop.time()
        self._waits: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, in the place of an idle one where there are too many."""
        if len(self.connections) >= most_connections(self.most):
            self._make_room()
        super().connection_made(transport)
        if len(self.connections) > most_connections(self.most):
            transport.abort()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; once that is a whole request, it is no longer waited for."""
        super().data_received(data)
        if not self._lacks_request:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if not self.transport.is_closing() and self._lacks_request:
            self._wait()

    def pause_writing(self) -> None:
        """The reader is slower than the answer."""
        super().pause_writing()
        self._stuck = self.loop.call_later(self.stuck_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The reader has read on."""
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        if self.flow is not None:
            super().resume_writing()

    @property
    def idle(self) -> bool:
        """Whether nobody who has the token is being answered."""
        answering = self.cycle is not None and not self.cycle.response_complete
        return not (answering and self.scope.get("state", {}).get(ADMITTED, False))

    @property
    def _lacks_request(self) -> bool:
        return self.conn.their_state in {h11.IDLE, h11.SEND_BODY}

    def _make_room(self) -> None:
        idle = [each for each in self.connections if isinstance(each, BoundedProtocol) and each.idle]
        if idle:
            oldest = min(idle, key=lambda each: each._opened)
            # It is counted no longer, although the system lets go of it a moment later.
            self.connections.discard(oldest)
            oldest.transport.abort()

    def _wait(self) -> None:
        self._stop_waiting()
        self._waits = self.loop.call_later(self.request_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _give_up(self) -> None:
        if self._lacks_request:
            self.transport.abort()


def most_connections(most: int) -> int:
    """How many there may be: `most`, and no more than half of the files that this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    return max(1, min(most, soft // 2))
