"""Who is answered: whoever has the token, by a name of this machine, and no page of another site.

The token is made anew at each start and printed with the address. A browser hands it over once, in the
address, and gets a cookie; others send it as `Authorization: Bearer TOKEN`. Only `/health` needs none.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from http import HTTPStatus
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vestige.dashboard.connections import ADMITTED

OPEN = "/health"
"""The address that needs no token."""
MOST_BODY = 65_536
"""Bytes of a request's body."""
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
LOCKED = (
    "This page needs a token. Open the address that vestige dashboard printed when it started: it ends in "
    "/?token=... Other programs send the header Authorization: Bearer TOKEN.\n"
)


class Token:
    """The secret of one start: 256 random bits."""

    def __init__(self) -> None:
        self.text = secrets.token_urlsafe(32)
        # Cookies know no ports: several pages of one machine must not take one another's away.
        self.cookie = f"vestige-{hashlib.sha256(self.text.encode()).hexdigest()[:8]}"

    def __repr__(self) -> str:
        return "Token(...)"

    def is_in(self, found: str | None) -> bool:
        """Whether a text is the token, in a time that does not depend on how much of it is right."""
        return hmac.compare_digest((found or "").encode("utf-8", "replace"), self.text.encode())

    def in_address(self, scope: Scope) -> bool:
        """Whether the address asked for holds the token."""
        try:
            asked = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20)
        except ValueError:
            return False  # of more parts than anybody needs
        return len(asked.get("token", [])) == 1 and self.is_in(asked["token"][0])

    def in_header(self, asked: Headers) -> bool:
        """Whether it came as a bearer token."""
        kind, _, rest = asked.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self.is_in(rest.strip())

    def in_cookie(self, asked: Headers) -> bool:
        """Whether it came in the cookie."""
        return self.is_in(cookie_parser(asked.get("cookie", "")).get(self.cookie))


class Guard:
    """Answers only to an IP address, to this machine's own names and to `host`: no name that its owner could
    point here (DNS rebinding). Pages of other sites may link to `/` and ask for nothing (Fetch Metadata and
    Origin, as browsers send them). All but `OPEN` needs the token. Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp, host: str, token: Token) -> None:
        own = socket.gethostname().lower()
        self._app, self._token = app, token
        self._names = {"localhost", own, f"{own}.local", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse."""
        if scope["type"] != "http":
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        answer = self._instead(scope, Headers(scope=scope))
        if answer is None:
            scope.setdefault("state", {})[ADMITTED] = scope["path"] != OPEN
        await (answer or self._app)(scope, receive, dressed)

    def _instead(self, scope: Scope, asked: Headers) -> Response | None:
        """What is answered instead; None where the request is served."""
        named = asked.getlist("host")
        if len(named) != 1 or not self._ours(named[0].lower()):
            return _refused("This is not a name of this machine.\n", HTTPStatus.MISDIRECTED_REQUEST)
        if self._foreign(scope, asked):
            return _refused("Another site asks.\n", HTTPStatus.FORBIDDEN)
        if scope["path"] == OPEN:
            return None
        if scope["path"] == "/" and self._token.in_address(scope):
            return self._welcome()
        return self._without_token(scope, asked)

    def _without_token(self, scope: Scope, asked: Headers) -> Response | None:
        by_header = self._token.in_header(asked)
        if not by_header and not self._token.in_cookie(asked):
            return _refused(LOCKED, HTTPStatus.UNAUTHORIZED, {"www-authenticate": "Bearer"})
        if scope["method"] in {"GET", "HEAD"}:
            return None
        # A cookie comes with whatever page asks; of a change, browsers say which page that is.
        if not by_header and "origin" not in asked:
            return _refused("A change needs the header Origin, or the token.\n", HTTPStatus.FORBIDDEN)
        return _too_large(asked)

    def _welcome(self) -> Response:
        """The cookie, and the address without the token: neither history nor Referer keeps it."""
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER, {"cache-control": "no-store"})
        answer.set_cookie(self._token.cookie, self._token.text, httponly=True, samesite="lax")
        return answer

    def _foreign(self, scope: Scope, asked: Headers) -> bool:
        """Whether a browser says that the page of another site asks; a link to `/` is let in."""
        if asked.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            return scope["path"] != "/" or scope["method"] not in {"GET", "HEAD"}
        origin = asked.get("origin")
        if origin is None:
            return False
        return origin.lower() not in {f"{kind}://{asked['host'].lower()}" for kind in ("http", "https")}

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


def _too_large(asked: Headers) -> Response | None:
    if "transfer-encoding" in asked:
        return _refused("How long a request is must be said beforehand.\n", HTTPStatus.LENGTH_REQUIRED)
    # Uvicorn has refused what is no number.
    if int(asked.get("content-length", "0")) > MOST_BODY:
        return _refused(
            f"No request is longer than {MOST_BODY:,} bytes.\n", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        )
    return None


def _refused(text: str, status: HTTPStatus, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text, status, {"cache-control": "no-store", **(headers or {})})
