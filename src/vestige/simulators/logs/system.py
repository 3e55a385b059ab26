"""The log of the machine itself: `system.log`."""

from __future__ import annotations

from vestige.simulators.logs.values import JOBS, PEERS, Line, Session, Values


def _started(v: Values, job: str, gap: float, kind: str = "") -> Line:
    return Line(gap, "CRON", "INFO", f"job {job} started with pid {v.between(300, 32_000)}", kind)


def _step(v: Values, job: str, number: int, kind: str = "") -> Line:
    return Line(v.soon(8), "CRON", "INFO", f"job {job} finished step {number}", kind)


def _ended(v: Values, job: str, kind: str = "") -> Line:
    return Line(v.soon(5), "CRON", "INFO", f"job {job} ended with status 0 after {v.below(900)} s", kind)


def _failed(v: Values, job: str, kind: str = "") -> Line:
    return Line(
        v.soon(5), "CRON", "ERROR", f"job {job} failed, will start again in {v.between(5, 60)} s", kind
    )


def _lookup(v: Values, gap: float, kind: str = "") -> Line:
    return Line(gap, "DNS", "INFO", f"name {v.pick(PEERS)}.example resolved in {v.ms()} ms", kind)


def job(v: Values) -> Session:
    """A batch job, step by step; now and then it fails once or twice and starts again."""
    name = v.pick(JOBS)
    lines = [_started(v, name, v.soon(9))]
    if v.chance(0.12):
        for _ in range(v.between(1, 3)):
            lines += [_failed(v, name), _started(v, name, 5 + v.soon(20))]
    lines += [_step(v, name, number + 1) for number in range(v.between(1, 5))]
    return [*lines, _ended(v, name)]


def lookup(v: Values) -> Session:
    """A name is looked up."""
    return [_lookup(v, v.soon(9))]


def kernel(v: Values) -> Session:
    """What machines say all day."""
    texts = [
        ("NET", "INFO", f"lease renewed for {v.ip()} until {v.between(1, 24)} h"),
        ("CLOCK", "INFO", f"clock moved by {v.below(90)} us towards peer {v.ip()}"),
        ("DISK", "INFO", f"disk {v.below(4)} health good, {v.below(9)} read errors since boot"),
        ("NET", "WARNING", f"packet from {v.far_ip()} port {v.port()} blocked by rule {v.below(90)}"),
        ("DISK", "WARNING", f"{v.path()} is {v.between(70, 95)} percent full"),
    ]
    if v.variant == 2:
        texts.append(("RAID", "INFO", f"array md{v.below(3)} checked, {v.below(9)} mismatches"))
    if v.release >= 2:
        texts.append(
            ("UNIT", "WARNING", f"unit mesh-{v.below(5)} uses an old setting, see note {v.below(90)}")
        )
    if v.release >= 1:
        texts.append(("UNIT", "INFO", f"unit telemetry-{v.below(5)} reloaded its settings"))
    component, level, text = v.pick(texts)
    return [Line(v.soon(9), component, level, text)]


def restart_loop(v: Values) -> Session:
    """A job that fails and starts again, over and over."""
    name, lines = v.pick(JOBS), list[Line]()
    for number in range(v.between(6, 12)):
        kind = "LOOP" if number >= 3 else ""
        lines += [_started(v, name, 5 + v.soon(20), kind), _failed(v, name, kind)]
    return lines


def beacon(v: Values) -> Session:
    """A name looked up by the clock: something calls home."""
    period = v.pick((5.0, 15.0, 60.0))
    n = v.between(7, 18)
    return [_lookup(v, period + v.random() * 0.2, "BEACON" if at > 2 else "") for at in range(n)]


def out_of_order(v: Values) -> Session:
    """A job whose steps come after its end."""
    name, late = v.pick(JOBS), v.between(1, 4)
    lines = [_started(v, name, v.soon(9)), _step(v, name, 1), _ended(v, name)]
    return [*lines, *(_step(v, name, number + 2, "ORDER") for number in range(late))]


def skipped(v: Values) -> Session:
    """Jobs that end well without having done anything."""
    lines: Session = []
    for _ in range(v.between(1, 4)):
        name = v.pick(JOBS)
        lines += [_started(v, name, v.soon(9)), _ended(v, name, "MISSING")]
    return lines


NORMAL = ((job, 0.4), (lookup, 0.2), (kernel, 0.4))
COLLECTIVE = (restart_loop, beacon, out_of_order, skipped)
