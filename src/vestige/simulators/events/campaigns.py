"""Attacks that unfold over hours, on one machine or two, out of events that ordinary days have too."""

from __future__ import annotations

from random import Random

from vestige.simulators.events.habits import Chance, Run, Step

STAGES: dict[str, tuple[tuple[str, int, int], ...]] = {
    "recon": (("net.port_scan", 0, 3), ("auth.logon_failed", 3, 10)),
    "entry": (("auth.logon", 0, 1), ("mail.attachment_opened", 0, 1), ("proc.office_child", 1, 1)),
    "foothold": (("proc.script_host", 1, 4), ("task.created", 0, 2), ("service.installed", 0, 1)),
    "discovery": (("account.listed", 1, 4), ("share.listed", 1, 4), ("net.port_scan", 0, 2)),
    "movement": (("auth.logon_remote", 1, 4), ("service.installed", 1, 2), ("account.changed", 0, 1)),
    "theft": (("share.mounted", 0, 2), ("file.archive_created", 1, 4), ("net.large_upload", 1, 4)),
    "cover": (("av.stopped", 0, 1), ("log.cleared", 0, 1), ("auth.logoff", 0, 1)),
}
"""What each stage consists of: an event, and how often it comes at least and at most."""

WITHIN_S = 45.0
BETWEEN_S = 4_000.0
SECOND_MACHINE = ("movement", "theft", "cover")
"""Stages that lie on the second machine, where the campaign has one."""


def campaign(seed: str, *, release: int, two_machines: bool) -> list[tuple[int, Run]]:
    """The stages in their order, each on machine 0 or 1; its first event waits for the stage before."""
    c = Chance(seed)
    c.release = release
    stages: list[tuple[int, Run]] = []
    for name, parts in STAGES.items():
        if name not in {"entry", "foothold"} and c.random.random() < 0.3:
            continue
        steps = [Step(planned.gap_s, planned.event, name) for planned in _stage(c, parts)]
        if name == "foothold" and release >= 2:
            steps.append(Step(20.0, "edr.script_logged", name))
        if steps:
            pause = 60 + c.random.expovariate(1 / BETWEEN_S)
            steps[0] = steps[0]._replace(gap_s=pause)
            stages.append((int(two_machines and name in SECOND_MACHINE), steps))
    return stages


def _stage(c: Chance, parts: tuple[tuple[str, int, int], ...]) -> Run:
    """The stage's events; now and then two neighbours come the other way round."""
    steps = [step for event, low, high in parts for step in c.some(event, low, high, WITHIN_S)]
    if len(steps) > 1 and c.random.random() < 0.4:
        at = c.random.randrange(len(steps) - 1)
        steps[at], steps[at + 1] = steps[at + 1], steps[at]
    return steps


def starts(n: int, days: float, random: Random) -> list[float]:
    """When the campaigns begin, in seconds: spread over all of the export, the last well before its end."""
    return sorted((at + random.random()) / max(n, 1) * days * 86_400 * 0.97 for at in range(n))
