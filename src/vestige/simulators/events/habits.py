"""What machines do on an ordinary day, as short runs of events: roles, their habits, and noisy detectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple


class Step(NamedTuple):
    """An event `gap_s` seconds after the one before it; `stage` of a campaign, empty for all others."""

    gap_s: float
    event: str
    stage: str = ""


Run = list[Step]


class Chance:
    """Random choices of one machine. `release` (0..2): how many new products the site has by now."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)
        self.release = 0

    def some(self, event: str, low: int, high: int, mean_gap_s: float) -> Run:
        """One event, several times in a row."""
        return [self.step(event, mean_gap_s) for _ in range(self.random.randint(low, high))]

    def step(self, event: str, mean_gap_s: float) -> Step:
        """An event after an exponential wait."""
        return Step(self.random.expovariate(1 / mean_gap_s), event)

    def maybe(self, share: float, *steps: Step) -> Run:
        """These steps, that often."""
        if self.random.random() < share:
            return list(steps)
        return []


def sign_on(c: Chance) -> Run:
    """A person comes, mistypes now and then, opens things, and may come from elsewhere."""
    failed = c.some("auth.logon_failed", 0, c.random.choice((0, 0, 1, 3, 8)), 6)
    after = c.maybe(0.3, c.step("proc.office_child", 300)) + c.maybe(0.12, c.step("proc.script_host", 60))
    new = c.maybe(0.4, c.step("cloud.token_refreshed", 90)) if c.release >= 1 else []
    mail = c.maybe(0.25, c.step("mail.attachment_opened", 400))
    return [*failed, c.step("auth.logon", 8), *new, *mail, *after, *c.maybe(0.5, c.step("web.blocked", 900))]


def antivirus(c: Chance) -> Run:
    """Definitions come, a scan ends, and sometimes something harmless is put away."""
    found = c.maybe(0.15, c.step("av.suspicious_file", 40), c.step("av.quarantine", 5))
    return [c.step("av.updated", 5), *found, c.step("av.scan_done", 600)]


def administration(c: Chance) -> Run:
    """Legitimate work that looks like an intrusion: remote, privileged, now and then at night."""
    steps = [
        c.step("auth.logon_remote", 30), c.step("account.listed", 120), c.step("proc.script_host", 60),
        c.step("task.created", 120), c.step("account.changed", 120), c.step("service.installed", 200),
        c.step("group.changed", 90), c.step("share.listed", 60), *c.maybe(0.2, c.step("log.cleared", 60)),
    ]  # fmt: skip
    kept = [step for step in steps if c.random.random() < 0.45]
    new = c.maybe(0.6, c.step("edr.script_logged", 20)) if c.release >= 2 else []
    return [*kept, *new, c.step("auth.logoff", 400)]


def patching(c: Chance) -> Run:
    """Services stop, something new is installed, and the machine starts again."""
    middle = [c.step("service.installed", 60), *c.maybe(0.5, c.step("driver.loaded", 20))]
    first = c.maybe(0.3, c.step("av.stopped", 10))
    return [*first, c.step("service.stopped", 10), *middle, c.step("system.started", 240)]


def backup(c: Chance) -> Run:
    """Archives are made and carried away: what theft looks like."""
    archives = c.some("file.archive_created", 1, 3, 120)
    return [c.step("share.mounted", 10), *archives, c.step("net.large_upload", 600)]


def scanner(c: Chance) -> Run:
    """The site's own vulnerability scan passes by."""
    return [*c.some("net.port_scan", 1, 4, 20), *c.some("auth.logon_failed", 0, 6, 3)]


def weather(c: Chance) -> Run:
    """What every network says all day long."""
    events = ["net.blocked", "web.blocked", "dns.rare_name", "auth.ticket_renewed", "fs.quota_warning"]
    if c.release >= 1:
        events.append("zerotrust.denied")
    return [c.step(c.random.choice(events), 30) for _ in range(c.random.randint(1, 3))]


Habit = Callable[[Chance], Run]


@dataclass(frozen=True)
class Role:
    """A kind of machine: how much it says, how calm its nights are (1: as its days), and its habits."""

    name: str
    volume: float
    calm: float
    habits: tuple[tuple[Habit, int], ...]


ROLES = (
    Role("ws", 1.0, 0.08, ((sign_on, 5), (antivirus, 2), (weather, 4), (administration, 1))),
    Role("web", 2.0, 0.6, ((weather, 8), (scanner, 3), (patching, 1), (administration, 1))),
    Role("db", 1.2, 0.8, ((backup, 3), (weather, 3), (administration, 2), (scanner, 1))),
    Role("dc", 3.0, 0.4, ((sign_on, 6), (administration, 3), (weather, 3), (patching, 1))),
    Role("jump", 1.5, 0.2, ((administration, 6), (sign_on, 4), (weather, 2))),
)
SHARES = (12, 4, 3, 2, 1)
"""How often the roles come among the machines."""

NOISE = ("av.suspicious_file", "net.port_scan", "proc.script_host", "file.archive_created", "dns.rare_name")


def noisy(event: str) -> Habit:
    """A detector that takes something harmless for an attack, over and over, on one machine."""
    return lambda c: c.some(event, 4, 15, 15)
