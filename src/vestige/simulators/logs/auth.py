"""The log of logins: `auth.log`."""

from __future__ import annotations

from vestige.simulators.logs.values import Line, Session, Values

STRANGERS = ("admin", "guest", "oracle", "root", "test", "ubuntu", "pi")


def _failed(v: Values, gap: float, user: str, ip: str, kind: str = "") -> Line:
    return Line(gap, "SSHD", "WARNING", f"failed password for {user} from {ip} port {v.port()}", kind)


def _connected(v: Values, gap: float, ip: str, kind: str = "") -> Line:
    return Line(gap, "SSHD", "INFO", f"connection from {ip} port {v.port()}", kind)


def _closed(v: Values, gap: float, ip: str, kind: str = "") -> Line:
    return Line(gap, "SSHD", "INFO", f"connection closed by {ip} port {v.port()}", kind)


def _accepted(v: Values, gap: float, user: str, ip: str, kind: str = "") -> Line:
    how = "publickey" if v.chance(0.7) else "password"
    return Line(gap, "SSHD", "INFO", f"accepted {how} for {user} from {ip} port {v.port()}", kind)


def _sudo(v: Values, user: str, kind: str = "") -> Line:
    return Line(v.soon(20), "SUDO", "INFO", f"user {user} ran {v.path()} as root", kind)


def login(v: Values) -> Session:
    """Somebody logs in, perhaps after a slip or two, does something as root, and leaves."""
    user, ip = v.user(), v.ip()
    lines = [_connected(v, v.soon(5), ip)]
    if v.chance(0.15):
        lines += [_failed(v, 1 + v.soon(4), user, ip) for _ in range(v.between(1, 3))]
    lines.append(_accepted(v, 0.5 + v.soon(2), user, ip))
    if v.variant == 1:
        lines.append(Line(0.1, "PAM", "INFO", f"second factor confirmed for {user}"))
    lines.append(Line(0.1, "PAM", "INFO", f"session opened for user {user} by uid {v.below(3)}"))
    if v.release >= 2:
        lines.append(Line(0.1, "PAM", "INFO", f"device {v.hex()} is trusted since {v.below(90)} days"))
    if v.release >= 1:
        lines.append(Line(0.1, "PAM", "INFO", f"session {v.hex()} recorded under policy {v.below(9)}"))
    lines += [_sudo(v, user) for _ in range(v.pick((0, 0, 1, 1, 2, 3)))]
    lines.append(Line(v.soon(60), "PAM", "INFO", f"session closed for user {user}"))
    return [*lines, _closed(v, 0.1, ip)]


def slip(v: Values) -> Session:
    """Somebody forgot the password and gave up."""
    user, ip = v.user(), v.ip()
    tries = [_failed(v, 1 + v.soon(5), user, ip) for _ in range(v.between(1, 4))]
    return [_connected(v, v.soon(5), ip), *tries, _closed(v, v.soon(3), ip)]


def scan(v: Values) -> Session:
    """The background noise of the internet."""
    ip = v.far_ip()
    asked = Line(v.soon(1), "SSHD", "WARNING", f"invalid user {v.pick(STRANGERS)} from {ip}")
    connected = _connected(v, v.soon(5), ip)
    if v.chance(0.7):
        return [connected, asked, _closed(v, v.soon(1), ip)]
    return [connected, _closed(v, v.soon(1), ip)]


def brute_force(v: Values) -> Session:
    """Passwords tried one after the other, fast or patiently; sometimes one fits."""
    ip, pace = v.far_ip(), v.pick((0.4, 2.0, 25.0))
    lines = [_connected(v, v.soon(5), ip)]
    for number in range(v.between(7, 18)):
        kind = "BRUTE" if number >= 3 else ""
        lines.append(_failed(v, v.soon(pace), v.user(), ip, kind))
        if v.chance(0.2):
            lines += [_closed(v, 0.1, ip, kind), _connected(v, v.soon(pace), ip, kind)]
    if v.chance(0.3):
        lines.append(_accepted(v, v.soon(pace), v.user(), ip, "BRUTE"))
    return [*lines, _closed(v, v.soon(3), ip, "BRUTE")]


def stolen_session(v: Values) -> Session:
    """A session that opens although nobody was accepted."""
    user = v.user()
    opened = Line(v.soon(1), "PAM", "INFO", f"session opened for user {user} by uid {v.below(3)}", "MISSING")
    acts = [_sudo(v, user, "MISSING") for _ in range(v.between(1, 4))]
    shut = Line(v.soon(9), "PAM", "INFO", f"session closed for user {user}", "MISSING")
    return [_connected(v, v.soon(5), v.ip()), opened, *acts, shut]


def after_hours(v: Values) -> Session:
    """Root commands after the session was closed."""
    lines = login(v)
    return [*lines, *(_sudo(v, v.user(), "ORDER") for _ in range(v.between(1, 3)))]


NORMAL = ((login, 0.6), (slip, 0.15), (scan, 0.25))
COLLECTIVE = (brute_force, stolen_session, after_hours)
