"""The page and its events over HTTP: for a browser on this machine, unless another address is asked for.

Nothing is fetched from elsewhere and nothing on disk is named by a request: there are a few fixed
addresses, whose contents are read before the first request. No login: whoever reaches the port sees it all.
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
from fastapi import FastAPI, Header, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vestige import log
from vestige.dashboard.feed import Feed
from vestige.dashboard.hub import Hub
from vestige.dashboard.pace import Pace
from vestige.errors import OutputError, UsageError, VestigeError
from vestige.evaluation.report import PAGE as REPORT
from vestige.evaluation.report import plotly_script

PAGE = Path(__file__).parent / "page"
POLL_S = 0.05
"""How often a reader looks for new events, and the replay for readers."""
HEARTBEAT_S = 15.0
"""After so many quiet seconds a reader gets a comment: connections stay open, and lost ones are noticed."""
MOST_CONNECTIONS = 64
LEAVE_S = 3
"""Seconds that readers have to leave."""
HEADERS = {
    "content-security-policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self' 'unsafe-inline'",
            "img-src data: blob:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""Of every answer. Plotly writes its own styles; scripts are ours and Plotly's alone."""

logger = log.get(__name__)


def serve(feed: Feed, *, host: str, port: int, speed: float, announce: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; `announce` is handed the address. The replay begins when somebody looks.

    It runs in this thread, so that Ctrl-C ends whatever it waits for; the server has one of its own. Raises
    UsageError without a host, OutputError where the port cannot be had.
    """
    hub = Hub(feed.standing())
    with contextlib.closing(_listen(host, port)) as listener, serving(hub, listener, host):
        announce(_url(listener))
        if not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
            logger.warning("whoever reaches this address sees everything: there is no login")
        _wait(hub.read)
        try:
            for event in feed.replayed(Pace(speed)):
                hub.put(event)
        except (VestigeError, OSError) as error:
            logger.error("the replay ended: %s", error)
        _wait(hub.closed)


@contextlib.contextmanager
def serving(hub: Hub, listener: socket.socket, host: str) -> Iterator[None]:
    """Serve, in a thread of its own, while the block runs; then end every stream, then the server."""
    server = uvicorn.Server(
        uvicorn.Config(
            application(hub, host),
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=LEAVE_S,
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],), name="server", daemon=True)
    thread.start()
    try:
        yield
    finally:
        hub.closed.set()
        server.should_exit = True
        thread.join(2 * LEAVE_S)


def application(hub: Hub, host: str) -> ASGIApp:
    """The page, what it is made of, and `GET /events`."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for path, (kind, content) in _contents().items():
        app.add_api_route(path, _constant(kind, content), methods=["GET"])

    @app.get("/events")
    async def events(last_event_id: Annotated[str | None, Header()] = None) -> StreamingResponse:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(messages(hub, last_event_id), 200, headers, "text/event-stream")

    return Guard(app, host)


async def messages(hub: Hub, last_id: str | None) -> AsyncIterator[str]:
    """The lines behind the one with this id as server-sent events (WHATWG HTML, 9.2), until the hub closes.

    FastAPI's own EventSourceResponse (0.165) raises when a reader leaves while it is written to.
    """
    place, quiet_s = hub.resume(last_id), 0.0
    while not hub.closed.is_set():
        found, place = hub.after(place)
        if found:
            yield "".join(f"id: {hub.id(number)}\ndata: {line}\n\n" for number, line in found)
        elif quiet_s >= HEARTBEAT_S:
            yield ": still here\n\n"
        else:
            quiet_s += POLL_S
            await asyncio.sleep(POLL_S)
            continue
        quiet_s = 0.0


class Guard:
    """Answers only to an IP address, to this machine's own names and to `host`: no name that its owner could
    point here (DNS rebinding). Pages of other sites may link to `/` and ask for nothing (Fetch Metadata, as
    browsers send it to this machine). Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        own = socket.gethostname().lower()
        self._app, self._names = app, {"localhost", own, f"{own}.local", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse."""
        if scope["type"] != "http":
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        asked = Headers(scope=scope)
        named = asked.getlist("host")
        app = self._app
        if len(named) != 1 or not self._ours(named[0].lower()):
            app = PlainTextResponse("This is not a name of this machine.\n", 421)
        elif asked.get("sec-fetch-site", "none") not in {"none", "same-origin"} and scope["path"] != "/":
            app = PlainTextResponse("Another site asks.\n", 403)
        await app(scope, receive, dressed)

    def _ours(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        if not colon or not port.isdecimal():
            name = host
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True


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


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = socket.gethostname()
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{port}/"
