"""A sink from what a person wrote: KIND:WHERE."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

from vestige.errors import UsageError
from vestige.log import get
from vestige.service.sinks.base import Format, Sink
from vestige.service.sinks.cef import cef
from vestige.service.sinks.ecs import ecs
from vestige.service.sinks.files import FileSink, StandardOutput
from vestige.service.sinks.lines import json_line
from vestige.service.sinks.ocsf import ocsf
from vestige.service.sinks.rfc5424 import syslog
from vestige.service.sinks.sender import NetworkSink, Outlet, one_by_one
from vestige.service.sinks.spool import Spool
from vestige.service.sinks.syslog import Datagrams, Stream, by_line, counted
from vestige.service.sinks.terminal import Terminal
from vestige.service.sinks.webhook import Address, Webhook, batches

log = get(__name__)

SPOOL = "spool"
"""The directory within that of the state."""
TOKEN = "VESTIGE_WEBHOOK_TOKEN"  # noqa: S105
"""The variable of the environment that holds a webhook's secret."""
FILES: dict[str, Format] = {"jsonl": json_line, "ecs": ecs, "ocsf": ocsf}
MESSAGES: dict[str, tuple[Format, Callable[[bytes], bytes]]] = {
    "syslog": (syslog, counted),
    "cef": (cef, by_line),
}
KINDS = (
    "jsonl:PATH, ecs:PATH, ocsf:PATH (a file, or - for standard output), syslog://HOST:PORT (UDP), "
    "syslog+tcp://, syslog+tls://, cef+udp://, cef+tcp:// or cef+tls://HOST:PORT, webhook:URL, terminal"
)


def make_all(specs: Sequence[str], state: Path | None) -> list[Sink]:
    """A sink for each of `specs`; what an earlier watch left in the spool of another sink is told.

    Raises UsageError also where two would write the same.
    """
    for spec, times in Counter(specs).items():
        if times > 1:
            raise UsageError(f"the sink {spec!r} is named {times} times", remedy="name it once")
    with ExitStack() as stack:
        sinks: list[Sink] = []
        for spec in specs:
            sinks.append(make(spec, state))
            stack.callback(sinks[-1].close)
        _refuse_one_file([sink for sink in sinks if isinstance(sink, FileSink)])
        if state is not None:
            _tell_of_others(state, {_folder(spec, state).name for spec in specs})
        stack.pop_all()
        return sinks


def _refuse_one_file(sinks: Sequence[FileSink]) -> None:
    written: dict[Path, str] = {}
    for sink in sinks:
        if sink.path in written and sink.path.is_file():
            raise UsageError(
                f"{written[sink.path]!r} and {sink.spec!r} would write to one file",
                remedy="name another file for one of them",
            )
        written[sink.path] = sink.spec


def _tell_of_others(state: Path, named: set[str]) -> None:
    """Tell what waits for sinks that are not among those `named`."""
    for folder in sorted((state / SPOOL).glob("*")):
        if folder.name in named or not folder.is_dir():
            continue
        spool = Spool(folder)
        if spool.waiting:
            log.warning(
                "%d rows wait in %s for a sink that is not named now: name it again, and they are sent, or "
                "remove the folder",
                spool.waiting, folder,
            )  # fmt: skip
        spool.abandon()


def _folder(spec: str, state: Path) -> Path:
    """Where what a sink has not sent yet lies."""
    return state / SPOOL / f"{spec.partition(':')[0]}-{hashlib.sha256(spec.encode()).hexdigest()[:16]}"


def make(spec: str, state: Path | None) -> Sink:
    """The sink of `spec`. What waits for the network lies in the directory `state`; files are opened, and
    nothing else yet. Raises UsageError for a spec that makes no sense, OutputError for a file that cannot be
    written."""
    kind, _, where = spec.partition(":")
    if kind == "terminal" and not where:
        return Terminal(spec)
    if kind in FILES and where:
        if where == "-":
            return StandardOutput(spec, FILES[kind])
        return FileSink(spec, FILES[kind], Path(where))
    folder = None
    if state is not None:
        folder = _folder(spec, state)
    if kind == "webhook" and where:
        return NetworkSink(spec, webhook(where), batches, folder)
    message, _, way = kind.partition("+")
    if message in MESSAGES and where.startswith("//"):
        form, frame = MESSAGES[message]
        outlet = server(spec, way or "udp", frame)
        return NetworkSink(spec, outlet, one_by_one(form), folder)
    raise UsageError(f"there is no sink {spec!r}", remedy=f"one of: {KINDS}")


def server(spec: str, way: str, frame: Callable[[bytes], bytes]) -> Outlet:
    """The way to a syslog server. Raises UsageError."""
    parts = _split(spec)
    host, port = _host(parts), _port(spec, parts)
    if not host or port is None or parts.path.strip("/") or parts.query or parts.username is not None:
        raise UsageError(
            f"{spec!r} does not say which server",
            remedy="write it as KIND://HOST:PORT: syslog://127.0.0.1:514",
        )
    name = f"{parts.scheme}://{parts.netloc}"
    if way == "udp":
        return Datagrams(name, host, port)
    if way == "tcp":
        return Stream(name, host, port, frame)
    if way == "tls":
        return Stream(name, host, port, frame, ssl.create_default_context())
    raise UsageError(f"{spec!r}: there is no way {way!r} to a server", remedy="udp, tcp or tls")


def webhook(url: str) -> Webhook:
    """The way to a webhook. Raises UsageError for what is no address, and where a secret would be shown."""
    parts = _split(url)
    host, port = _host(parts), _port(url, parts)
    if parts.scheme not in {"http", "https"} or not host:
        raise UsageError(
            "the address of a webhook is to begin with https:// (or http://) and a host",
            remedy="write it as webhook:https://HOST/PATH",
        )
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "the address of a webhook holds a user or a password, which would be shown in lists of processes",
            remedy=f"take it out, and put a token into the environment variable {TOKEN}",
        )
    encrypted = parts.scheme == "https"
    if port is None:
        port = 443 if encrypted else 80
    token = os.environ.get(TOKEN) or None
    if token is not None:
        _refuse_token(token, encrypted=encrypted, host=host)
    # What no request line may hold is written as %XX; what is so already stays.
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    name = f"{parts.scheme}://{parts.netloc}"
    return Webhook(Address(name, host, port, path, encrypted), token)


def _refuse_token(token: str, *, encrypted: bool, host: str) -> None:
    if not token.isascii() or not token.isprintable():
        raise UsageError(
            f"{TOKEN} holds characters that no header may have",
            remedy="set it to the token alone: a line end, for example, is too much",
        )
    if not encrypted and not _is_this_machine(host):
        raise UsageError(
            f"{TOKEN} would go over the network unencrypted, to {host}",
            remedy=f"use https://, or unset {TOKEN}",
        )


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError as error:
        raise UsageError(f"{address!r} is no address ({error})", remedy=f"one of: {KINDS}") from error


def _host(parts: SplitResult) -> str:
    """The host, as resolvers take it; nothing where there is none, or none that could be."""
    try:
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    return host if all("!" <= each <= "~" for each in host) else ""


def _port(spec: str, parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError as error:
        raise UsageError(
            f"{spec!r} has no port from 1 to 65535", remedy="for example syslog://HOST:514"
        ) from error
