"""The page and its events over HTTP: for a browser on this machine, unless another address is asked for.

Nothing is fetched from elsewhere and nothing on disk is named by a request: there are a few fixed
addresses, whose contents are read before the first request. Whoever has the token sees it all (`access`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp

from vestige import log
from vestige.dashboard.access import OPEN, Guard, Token
from vestige.dashboard.api import incident_routes
from vestige.dashboard.connections import QUEUED, BoundedProtocol
from vestige.dashboard.feed import Feed
from vestige.dashboard.hub import Hub
from vestige.dashboard.incidents import WatchState
from vestige.dashboard.pace import Pace
from vestige.errors import OutputError, UsageError, VestigeError
from vestige.escaping import visible
from vestige.evaluation.report import PAGE as REPORT
from vestige.evaluation.report import plotly_script

PAGE = Path(__file__).parent / "page"
POLL_S = 0.05
"""How often a reader looks for new events, and the replay for readers."""
HEARTBEAT_S = 15.0
"""After so many quiet seconds a reader gets a comment: connections stay open, and lost ones are noticed."""
MOST_READERS = 64
"""Of the stream, at a time."""
LEAVE_S = 3
"""Seconds that readers have to leave."""
logger = log.get(__name__)


def serve(feed: Feed, *, host: str, port: int, speed: float, announce: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; `announce` is handed the address, which holds the token. The replay begins when
    somebody looks.

    It runs in this thread, so that Ctrl-C ends whatever it waits for; the server has one of its own, and so
    has whoever looks whether a watch has found something. Raises UsageError without a host, OutputError
    where the port cannot be had.
    """
    hub, token = Hub(feed.standing()), Token()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(_listen(host, port)))
        stack.enter_context(serving(hub, listener, host, token, feed.watched))
        if not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
            logger.warning(
                "whoever reaches this address and has the token sees everything, and the token and the page "
                "go over the network as they are: there is no TLS"
            )
        announce(_url(listener, token))
        _wait(hub.read)
        try:
            for event in feed.replayed(Pace(speed)):
                hub.put(event)
        except (VestigeError, OSError) as error:
            logger.error("the replay ended: %s", error)
        _wait(hub.closed)


@contextlib.contextmanager
def serving(
    hub: Hub,
    listener: socket.socket,
    host: str,
    token: Token,
    watched: WatchState | None = None,
    *,
    protocol: type[BoundedProtocol] = BoundedProtocol,
) -> Iterator[None]:
    """Serve, in a thread of its own, while the block runs; then end every stream, then the server."""
    server = uvicorn.Server(
        uvicorn.Config(
            application(hub, host, token, watched),
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            http=protocol,
            loop="asyncio",
            # An address is what the connection says; no header of a request says another.
            proxy_headers=False,
            backlog=QUEUED,
            timeout_graceful_shutdown=LEAVE_S,
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],), name="server", daemon=True)
    thread.start()
    if watched is not None:
        threading.Thread(target=_look, args=(watched, hub), name="state", daemon=True).start()
    try:
        yield
    finally:
        hub.closed.set()
        server.should_exit = True
        thread.join(2 * LEAVE_S)


def _look(watched: WatchState, hub: Hub) -> None:
    """Tell of what a watch finds, until the hub closes."""
    while not hub.closed.wait(POLL_S):
        event = watched.look()
        if event is not None:
            hub.put(event)


def application(hub: Hub, host: str, token: Token, watched: WatchState | None = None) -> ASGIApp:
    """The page, what it is made of, `GET /events`, `GET /health`, and the incidents of a watch."""
    app = FastAPI(
        title="vestige dashboard", docs_url=None, redoc_url=None, redirect_slashes=False,
        exception_handlers={RequestValidationError: _invalid},
    )  # fmt: skip
    for path, (kind, content) in _contents().items():
        app.add_api_route(path, _constant(kind, content), methods=["GET"], include_in_schema=False)
    readers: set[object] = set()

    @app.get(OPEN)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/events", response_class=StreamingResponse)
    async def events(last_event_id: Annotated[str | None, Header()] = None) -> Response:
        if len(readers) >= MOST_READERS:
            return PlainTextResponse(f"{MOST_READERS} others are reading.\n", 503, {"retry-after": "10"})
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        lines = _counted(messages(hub, last_event_id), readers)
        return StreamingResponse(lines, 200, headers, "text/event-stream")

    if watched is not None:
        app.include_router(incident_routes(watched, hub))
    return Guard(app, host, token)


async def _counted(lines: AsyncIterator[str], readers: set[object]) -> AsyncIterator[str]:
    """The same lines; while they are read, a reader more is counted."""
    mark = object()
    readers.add(mark)
    try:
        async for line in lines:
            yield line
    finally:
        readers.discard(mark)


async def _invalid(_request: Request, error: Exception) -> Response:
    """What of a request is wrong, without repeating it: not all that was sent can be written as JSON."""
    found: list[str] = []
    if isinstance(error, RequestValidationError):
        found = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return JSONResponse({"detail": visible("; ".join(found))}, 422)


async def messages(hub: Hub, last_id: str | None, *, heartbeat_s: float = HEARTBEAT_S) -> AsyncIterator[str]:
    """The lines behind the one with this id as server-sent events (WHATWG HTML, 9.2), until the hub closes.

    FastAPI's own EventSourceResponse (0.165) raises when a reader leaves while it is written to.
    """
    place, quiet_s = hub.resume(last_id), 0.0
    while not hub.closed.is_set():
        found, place, missed = hub.after(place)
        if missed:
            # Of no id: whoever comes back goes on behind the last event that it got.
            yield f"event: missed\ndata: {missed}\n\n"
        if found:
            yield "".join(f"id: {hub.id(number)}\ndata: {line}\n\n" for number, line in found)
        elif quiet_s >= heartbeat_s:
            yield ": still here\n\n"
        else:
            quiet_s += POLL_S
            await asyncio.sleep(POLL_S)
            continue
        quiet_s = 0.0


def _contents() -> dict[str, tuple[str, bytes]]:
    """What there is besides the events, by address: its type and its bytes."""
    style = (REPORT / "report.css").read_bytes() + (PAGE / "dashboard.css").read_bytes()
    scripts = {f"/{file.name}": ("text/javascript", file.read_bytes()) for file in sorted(PAGE.glob("*.js"))}
    return {
        "/": ("text/html", (PAGE / "dashboard.html").read_bytes()),
        "/dashboard.css": ("text/css", style),
        "/plotly.min.js": ("text/javascript", plotly_script().encode()),
        **scripts,
    }


def _constant(kind: str, content: bytes) -> Callable[[], Awaitable[Response]]:
    async def answer() -> Response:
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})

    return answer


def _wait(event: threading.Event) -> None:
    """In naps, for Polars' handler of SIGINT resumes system calls: Ctrl-C would not end one long wait."""
    while not event.is_set():
        time.sleep(POLL_S)


def _listen(host: str, port: int) -> socket.socket:
    if not host:
        raise UsageError("--host is empty", remedy="give an address; 0.0.0.0 is all of this machine's")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OutputError(
            f"cannot listen: {str(error.strerror).partition(' (while')[0]}",
            where=f"{host}:{port}",
            remedy="another --port (0: any that is free), or an address of this machine as --host",
        ) from error


def _url(listener: socket.socket, token: Token) -> str:
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = socket.gethostname()
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{port}/?token={token.text}"
