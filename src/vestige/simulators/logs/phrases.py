"""Point anomalies, and the harmless messages that look like them.

Both are put together from the same subjects and objects. Each host knows only some of the phrases, so a
host or a week that training never saw brings new ones of both kinds.
"""

from __future__ import annotations

from vestige.simulators.logs.values import Line, Session, Values

SUBJECTS = (
    "volume manager", "session store", "page cache", "link monitor", "key ring", "quota service",
    "index builder", "message queue", "snapshot agent", "name resolver", "licence server", "thermal sensor",
)  # fmt: skip
OBJECTS = (
    "the primary segment", "a stale handle", "its write buffer", "the peer list", "the rollover file",
    "a shadow copy", "the standby node", "its lease", "the parity block", "the spare channel",
)  # fmt: skip
HARMLESS = (
    "rebuilt", "compacted", "renewed", "released", "recovered from an error in", "rescanned", "trimmed",
    "found no failed entries in", "skipped", "retried after timeout and got", "warmed up", "handed over",
    "dropped", "marked as unused",
)  # fmt: skip
HARMFUL = (
    "corrupted", "lost", "could not verify", "overwrote", "was denied", "found a broken checksum in",
    "panicked while reading", "ran out of room for", "dropped without saving", "refused to release",
    "handed a stranger", "marked as untrusted", "deadlocked on", "truncated",
)  # fmt: skip
QUIET = (
    "login shell of account {user} set to /bin/{shell}",
    "public key {hex} appended for account {user}",
    "audit rules reloaded, {zero} active",
    "listener opened on port {port} by {path}",
    "time set back by {n} s on request of {user}",
    "account {user} joined group {group}",
    "shared object {path} mapped into {n} processes",
    "retention of the journal set to {zero} days",
)
SCARY = (
    "error budget for today: {n} errors used, within limits",
    "self test finished: 0 fatal, 0 errors, {n} warnings",
    "previous failure of {subject} is resolved, closing alert {n}",
    "attack surface scan found nothing new in {n} packages",
    "crash reporter idle, last crash {n} days ago",
    "corrupted upload from {ip} rejected and asked for again",
)
FRAMES = ("dispatch", "handle", "load", "open", "parse", "retry", "run", "send", "wait", "write")


def rare(v: Values) -> Session:
    """A message seen seldom, and quite normal."""
    known = Values(f"rare {v.host}", v.host, v.variant)
    first = known.below(len(HARMLESS))
    verb = HARMLESS[(first + v.below(8)) % len(HARMLESS)]
    text = _sentence(v, verb)
    return [Line(v.soon(5), "AGENT", v.pick(("INFO", "INFO", "INFO", "WARNING", "WARNING", "ERROR")), text)]


def scary(v: Values) -> Session:
    """A normal message whose words sound bad."""
    text = v.pick(SCARY).format(n=v.between(1, 90), subject=v.pick(SUBJECTS), ip=v.ip())
    return [Line(v.soon(5), "AGENT", v.pick(("INFO", "WARNING", "ERROR")), text)]


def trace(v: Values) -> Session:
    """An exception that was handled: one message of several lines."""
    text = f"request {v.hex()} gave up waiting for {v.pick(NAMES_OF_ERRORS)}, answered from cache"
    return [Line(v.soon(5), "APP", "ERROR", text + stack(v))]


def garbled(v: Values) -> Session:
    """A normal message with bytes that are no UTF-8 (here as lone surrogates, see `surrogateescape`)."""
    text = f"ignored unreadable banner \udcff\udcfe\udc80{v.hex()[:4]} from {v.far_ip()}"
    return [Line(v.soon(5), "NET", "WARNING", text)]


def fault(v: Values) -> Session:
    """Something broke: one to three messages that should not be there."""
    known = Values(f"fault {v.host}", v.host, v.variant)
    first = known.below(len(HARMFUL))
    lines = []
    for _ in range(v.between(1, 3)):
        verb = HARMFUL[(first + v.below(6)) % len(HARMFUL)]
        text = _sentence(v, verb)
        level = v.pick(("INFO", "WARNING", "WARNING", "ERROR", "ERROR", "ERROR", "FATAL"))
        lines.append(Line(v.soon(3), "AGENT", level, text + (stack(v) if v.chance(0.2) else ""), "FAULT"))
    return lines


def quiet(v: Values) -> Session:
    """A trace of an intruder, calm in tone: nothing in its level or its words sounds bad."""
    known = Values(f"quiet {v.host}", v.host, v.variant)
    text = QUIET[(known.below(len(QUIET)) + v.below(5)) % len(QUIET)].format(
        user=v.user(), shell=v.pick(("bash", "zsh")), hex=v.hex(), zero=0, port=v.port(), path=v.path(),
        n=v.between(2, 900), group=v.pick(("wheel", "staff", "adm")),
    )  # fmt: skip
    return [Line(v.soon(5), v.pick(("AGENT", "NET", "CRON")), "INFO", text, "QUIET")]


NAMES_OF_ERRORS = ("a connection", "the search node", "a lock", "the mail relay")


def _sentence(v: Values, verb: str) -> str:
    subject, thing = v.pick(SUBJECTS), v.pick(OBJECTS)
    return f"{subject} {verb} {thing}" if v.chance(0.5) else f"{verb} {thing}: {subject}"


def stack(v: Values) -> str:
    """The lines of a stack trace."""
    head = f"\n{v.pick(('Timeout', 'State', 'Lookup'))}Exception: {v.pick(NAMES_OF_ERRORS)} not ready"
    frames = (
        f"\n\tat shop.{v.pick(FRAMES)}.{v.pick(FRAMES)}(Main.java:{v.between(10, 900)})"
        for _ in range(v.between(2, 7))
    )
    return head + "".join(frames)
