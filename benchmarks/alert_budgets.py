"""Alerts in pieces of time against the promise: a threshold fixed once, and the one that keeps a budget.

    python benchmarks/alert_budgets.py [--bgl BGL_2k.log]

Of the sample of BGL (loghub), the first half is learnt from and the second half scored. The other log is
simulated: a week is learnt from; of the nine days that follow, the first third is like it, in the second
every fifth kind of message is reworded, as by a new version, and in the last every second one. Labels are
not looked at.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.budget import Budget
from vestige.pipeline.learn import learn
from vestige.scoring.budgeting import AlertBudget, Spent
from vestige.scoring.windows import judge
from vestige.simulators import registry as simulators
from vestige.sources import registry
from vestige.sources.logs.options import LogOptions

PIECES = 9
WEEK = 7
MESSAGES = 14_000
NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class Judged:
    """Windows `(N,)` in the order of time: ln of the p-value, and the host, of a detector that promised the
    share `alpha`."""

    alpha: float
    log_p: NDArray[np.float64]
    entity: NDArray[np.int64]
    names: list[str]


def judged(detector: Path, evidence: Path) -> Judged:
    loaded, batches = judge(detector, [evidence])
    names: dict[str, int] = {}
    log_p, entity, times = [], [], []
    for batch in batches:
        codes = np.array(
            [names.setdefault(name.host or name.id, len(names)) for name in batch.batch.recordings]
        )
        log_p.append(-batch.judgement.strangeness)
        entity.append(codes[batch.batch.recording])
        times.append(batch.batch.t_ns)
    order = np.argsort(np.concatenate(times), kind="stable")
    alpha = loaded.detector.state_for_checkpoint()["alpha"]
    return Judged(alpha, np.concatenate(log_p)[order], np.concatenate(entity)[order], list(names))


def table(title: str, found: Judged) -> None:
    """Alerts of each piece of time, and of all."""
    print(f"\n{title}: {len(found.log_p):,} windows, {len(found.names)} hosts, alpha {found.alpha:.4g}\n")
    print("| piece | windows | promised | fixed once | adaptive | held back |")
    print("|---|---|---|---|---|---|")
    budget = AlertBudget.start(found.alpha)
    for number, rows in enumerate(np.array_split(np.arange(len(found.log_p)), PIECES), 1):
        before = replace(budget.spent)
        budget.decide(found.log_p[rows], found.entity[rows], found.names)
        row(str(number), found.alpha, before, budget.spent)
    row("all", found.alpha, Spent(), budget.spent)


def row(name: str, alpha: float, before: Spent, after: Spent) -> None:
    """What came between two counts; a threshold fixed once alerts where a window is rare."""
    n = after.windows - before.windows
    fixed, alerts = after.rare - before.rare, after.alerts - before.alerts
    held = after.held_back - before.held_back
    shares = f"{fixed} ({fixed / n:.1%}) | {alerts} ({alerts / n:.1%})"
    print(f"| {name} | {n:,} | {alpha * n:.1f} | {shares} | {held} |")


def bgl(log: Path, folder: Path) -> None:
    lines = log.read_text().splitlines(keepends=True)
    half = len(lines) // 2
    (folder / "first.log").write_text("".join(lines[:half]))
    (folder / "second.log").write_text("".join(lines[half:]))
    logs = registry.get("logs")
    learn(logs, folder / "first.log", folder / "d", options=LogOptions(), budget=Budget.parse("1/100"))
    table("BGL, second half", judged(folder / "d", folder / "second.log"))


def reworded(line: str, share: int) -> str:
    """A line whose kind is one of every `share` in another version's words."""
    header, colon, message = line.partition(": ")
    words = message.split(" ")
    if zlib.crc32(NUMBERS.sub("0", " ".join(words[:2])).encode()) % share:
        return line
    return header + colon + " ".join(word[::-1] if word.isalpha() else word for word in words)


def simulated(folder: Path) -> None:
    simulator = simulators.get("logs")
    for name, seed in (("learnt", 1), ("drift", 2)):
        options = simulator.options(
            messages=MESSAGES if name == "learnt" else MESSAGES * 9 // 7,
            days=WEEK if name == "learnt" else 9, anomalies=0, seed=seed, format="linux", compress="none",
        )  # fmt: skip
        simulator.write(folder / name, options)
    for log in (folder / "drift").rglob("*.log"):
        lines = log.read_text(encoding="latin-1").splitlines(keepends=True)
        third = len(lines) // 3
        for at in range(third, len(lines)):
            lines[at] = reworded(lines[at], 5 if at < 2 * third else 2)
        log.write_text("".join(lines), encoding="latin-1")
    logs = registry.get("logs")
    learn(logs, folder / "learnt", folder / "d2", options=LogOptions(), budget=Budget.parse("5/day"))
    table("simulated, with drift", judged(folder / "d2", folder / "drift"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bgl", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.bgl is not None:
            bgl(asked.bgl, Path(folder))
        simulated(Path(folder))


if __name__ == "__main__":
    main()
