"""The log of a shop's web application: `app.log`."""

from __future__ import annotations

from vestige.simulators.logs.values import PAGES, PEERS, Line, Session, Values


def _request(v: Values, gap: float, kind: str = "") -> Line:
    return Line(gap, "HTTP", "INFO", f"request {v.hex()} GET {v.pick(PAGES)} from {v.ip()}", kind)


def _token(v: Values) -> Line:
    return Line(0.01 + v.soon(0.05), "AUTH", "INFO", f"token checked for user {v.user()} in {v.ms()} ms")


def _fetch(v: Values, kind: str = "") -> Session:
    if v.chance(0.6):
        return [Line(v.soon(0.02), "CACHE", "INFO", f"cache hit for key {v.hex()}", kind)]
    return [
        Line(v.soon(0.02), "CACHE", "INFO", f"cache miss for key {v.hex()}", kind),
        Line(v.soon(0.2), "STORE", "INFO", f"query returned {v.below(500)} rows in {v.ms()} ms", kind),
    ]


def _response(v: Values, kind: str = "") -> Line:
    status = v.pick((200, 200, 200, 200, 304, 302, 404, 500))
    level = "ERROR" if status == 500 else "INFO"
    return Line(
        v.soon(0.1), "HTTP", level, f"response {status} in {v.ms()} ms, {v.below(90_000)} bytes", kind
    )


def _timeout(v: Values, gap: float, kind: str = "") -> Line:
    text = f"upstream {v.pick(PEERS)} timed out after {v.between(500, 3000)} ms, trying again"
    return Line(gap, "PROXY", "ERROR", text, kind)


def request(v: Values) -> Session:
    """A page is asked for, the caller's token checked, the page put together and sent."""
    lines = [_request(v, v.soon(5)), _token(v)]
    if v.variant == 2:
        lines.append(Line(0.01, "CACHE", "INFO", f"shard {v.below(16)} chosen by hash {v.hex()}"))
    if v.release >= 1:
        lines.append(Line(0.01, "HTTP", "INFO", f"trace {v.hex()} attached, sampled at {v.below(100)} %"))
    if v.release >= 2 and v.chance(0.3):
        lines.append(Line(0.01, "FLAGS", "INFO", f"flag faster-{v.pick(PEERS)} is on for {v.user()}"))
    lines += _fetch(v)
    if v.chance(0.06):
        lines += [_timeout(v, 0.5 + v.soon(1)) for _ in range(v.between(1, 4))]
        lines.append(Line(v.soon(1), "PROXY", "INFO", f"upstream {v.pick(PEERS)} answered again"))
    return [*lines, _response(v)]


def _order(v: Values) -> tuple[Line, Line, Line, Line, Line]:
    """A purchase: opened, stock reserved, paid, committed, receipt sent."""
    number, user = v.between(10_000, 99_999), v.user()
    return (
        Line(v.soon(5), "ORDER", "INFO", f"order {number} opened by user {user}"),
        Line(v.soon(0.5), "STOCK", "INFO", f"stock reserved for order {number} in depot {v.below(9)}"),
        Line(v.soon(2), "PAY", "INFO", f"payment of {v.between(3, 900)}.{v.between(10, 99)} authorised"),
        Line(v.soon(0.5), "ORDER", "INFO", f"order {number} committed"),
        Line(v.soon(1), "MAIL", "INFO", f"receipt for order {number} sent to user {user}"),
    )


def order(v: Values) -> Session:
    """A purchase, now and then declined and rolled back."""
    opened, reserved, paid, committed, receipt = _order(v)
    if v.chance(0.12):
        declined = Line(v.soon(2), "PAY", "WARNING", f"payment declined by bank with code {v.below(99)}")
        undone = Line(
            v.soon(0.5), "ORDER", "WARNING", f"order rolled back, {v.below(5)} items returned to stock"
        )
        return [opened, reserved, declined, undone]
    lines = [opened, reserved, paid, committed, receipt]
    if v.release >= 1 and v.chance(0.5):
        lines.insert(2, Line(v.soon(0.5), "RISK", "INFO", f"risk score {v.below(100)} below limit"))
    return lines


def pixel(v: Values) -> Session:
    """Somebody's monitor looks whether the shop is up."""
    return [Line(v.soon(9), "HTTP", "INFO", f"probe from {v.far_ip()} answered in {v.ms()} ms")]


def out_of_order(v: Values) -> Session:
    """An order that is committed, or whose receipt goes out, before it is paid."""
    opened, reserved, paid, committed, receipt = _order(v)
    turned = (
        (opened, reserved, committed, paid, receipt),
        (opened, committed, reserved, paid, receipt),
        (opened, reserved, receipt, paid, committed),
    )[v.below(3)]
    wrong = next(at for at, line in enumerate(turned) if line in (committed, receipt))
    return [line._replace(kind="ORDER") if at >= wrong else line for at, line in enumerate(turned)]


def unpaid(v: Values) -> Session:
    """An order that is never paid and yet committed."""
    opened, reserved, _, committed, receipt = _order(v)
    return [opened, reserved, committed._replace(kind="MISSING"), receipt._replace(kind="MISSING")]


def unchecked(v: Values) -> Session:
    """Pages served although no token was checked, a few in a row."""
    lines: Session = []
    for _ in range(v.between(1, 4)):
        lines += [_request(v, v.soon(4)), *_fetch(v, "MISSING"), _response(v, "MISSING")]
    return lines


def retry_storm(v: Values) -> Session:
    """An upstream that does not come back, and a client that never gives up."""
    n = v.between(9, 20)
    return [_request(v, v.soon(5)), *(_timeout(v, v.soon(2), "STORM" if at > 4 else "") for at in range(n))]


def beacon(v: Values) -> Session:
    """A probe that comes by the clock, far more often than monitors do."""
    ip, period = v.far_ip(), v.pick((5.0, 10.0, 30.0))
    return [
        Line(period + v.random() * 0.2, "HTTP", "INFO", f"probe from {ip} answered in {v.ms()} ms",
             "BEACON" if at > 2 else "")
        for at in range(v.between(7, 16))
    ]  # fmt: skip


NORMAL = ((request, 0.6), (order, 0.25), (pixel, 0.15))
COLLECTIVE = (out_of_order, unpaid, unchecked, retry_storm, beacon)
