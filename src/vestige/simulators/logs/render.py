"""Simulated messages as lines of real formats."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from vestige.simulators.logs.values import Line

Render = Callable[[str, float, Line], str]
"""Host, seconds since 1970 and message to a line (or lines) without the last line break."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Stamp(NamedTuple):
    """A second, written out in the ways that the formats want."""

    dotted: str
    dashed: str
    bgl: str
    syslog: str
    clock: str


@lru_cache(maxsize=64)
def stamp(second: int) -> Stamp:
    """A second since 1970, in UTC."""
    t = datetime.fromtimestamp(second, UTC)
    clock = f"{t.hour:02d}:{t.minute:02d}:{t.second:02d}"
    dashed = f"{t.year:04d}-{t.month:02d}-{t.day:02d}"
    return Stamp(
        dashed.replace("-", "."),
        dashed,
        f"{dashed}-{clock.replace(':', '.')}",
        f"{MONTHS[t.month - 1]} {t.day:2d} {clock}",
        clock,
    )


def bgl(host: str, t: float, line: Line) -> str:
    """`<Label> <epoch> <date> <node> <time> <node> RAS <component> <level> <content>`"""
    second = int(t)
    at = stamp(second)
    micro = int((t - second) * 1e6)
    return (
        f"{line.kind or '-'} {second} {at.dotted} {host} {at.bgl}.{micro:06d} {host} RAS "
        f"{line.component} {line.level} {line.text}"
    )


def thunderbird(host: str, t: float, line: Line) -> str:
    """`<Label> <epoch> <date> <user> <month> <day> <time> <location> <component>[<pid>]: <content>`"""
    second = int(t)
    at = stamp(second)
    syslog = " ".join(at.syslog.split())
    return (
        f"{line.kind or '-'} {second} {at.dotted} {host} {syslog} {host}/{host} "
        f"{line.component.lower()}[{_pid(line)}]: {line.text}"
    )


def hadoop(_: str, t: float, line: Line) -> str:
    """`<date> <time>,<ms> <level> [<thread>] <class>: <content>`: no label."""
    second = int(t)
    at = stamp(second)
    level = "WARN" if line.level == "WARNING" else line.level
    return (
        f"{at.dashed} {at.clock},{int((t - second) * 1000):03d} {level} [main] "
        f"shop.{line.component.lower()}.{line.component.title()}Service: {line.text}"
    )


def linux(host: str, t: float, line: Line) -> str:
    """`<month> <day> <time> <host> <component>[<pid>]: <content>`: no label, no level."""
    return f"{stamp(int(t)).syslog} {host} {line.component.lower()}[{_pid(line)}]: {line.text}"


def _pid(line: Line) -> int:
    return 300 + sum(map(ord, line.component)) * 7


FORMATS: dict[str, Render] = {"bgl": bgl, "thunderbird": thunderbird, "hadoop": hadoop, "linux": linux}
