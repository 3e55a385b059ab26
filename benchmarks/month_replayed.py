"""A month replayed: what a watch tells of evidence that drifts, with campaigns planted into it.

    python benchmarks/month_replayed.py [MESSAGES] [SEED]

A simulated corpus of 44 days, whose software has new releases on the way, is parted: of the first 14 days a
detector learns (what is labelled is left out), 30 are watched, a day at a time, with one state. One host
comes in the middle of the month, two are nearly silent on a holiday of four days. What is labelled in the
month is left out, but for campaigns: all of it on one host within six hours. It is watched three times: once
nobody says anything; once a person looks at the new incidents of each evening, confirms those with an alert
in a campaign, and dismisses the others (`--scope both`); once that person also learns again, from the last 14
days, on the evening on which the line about drift came, and watches on with the new detector.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vestige.evaluation.budget import Budget
from vestige.pipeline.again import Said, learn_again
from vestige.pipeline.learn import learn
from vestige.service import feedback
from vestige.service.incidents import seconds_of
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions
from vestige.simulators import registry as simulators
from vestige.sources import registry

LEARN, MONTH, DAY_S = 14, 30, 86_400.0
BUDGET = "5/day"
CAMPAIGNS, CAMPAIGN_S, FEWEST = 12, 6 * 3_600.0, 3
LATE_HOST, LATE_DAY = "web-3", LEARN + 15
HOLIDAY, ON_HOLIDAY = range(LEARN + 20, LEARN + 24), ("web-1", "web-2")
WATCHED = (
    ("nobody says anything", False, False),
    ("a person says, each evening", True, False),
    ("and learns again where drift is told", True, True),
)
AFTER_S = 600.0
"""An alert so long after the last line of a campaign is still taken to be of it."""


@dataclass(frozen=True)
class Line:
    """A line of `file`, on a host, `at_s` (Unix); labelled or not."""

    at_s: float
    host: str
    file: str
    text: str
    labelled: bool


@dataclass
class Campaign:
    """Labelled lines of one host."""

    host: str
    first_s: float
    last_s: float
    lines: int

    def has(self, host: str, at_s: float) -> bool:
        """Whether an alert is taken to be of it."""
        return host == self.host and self.first_s <= at_s <= self.last_s + AFTER_S


@dataclass
class Watched:
    """What came of a month: alerts (host, time), incidents opened a day, and what was hidden."""

    alerts: list[tuple[str, float]]
    opened: list[int]
    hidden: int
    looked_at: int
    drift: int
    dismissed: int = 0
    confirmed: int = 0
    learnt: int = 0
    said: Counter[str] = field(default_factory=Counter)


def read(corpus: Path) -> list[Line]:
    """All lines of a corpus in BGL's format, by time: a label, then seconds, in each."""
    lines = []
    for path in sorted(corpus.glob("*/*.log")):
        for text in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            label, _, rest = text.partition(" ")
            second = rest.partition(" ")[0]
            if not second.isdigit():
                # It goes on with the message above it.
                lines[-1] = replace(lines[-1], text=f"{lines[-1].text}\n{text}")
                continue
            name = f"{path.parent.name}/{path.name}"
            lines.append(Line(float(second), path.parent.name, name, text, label != "-"))
    return sorted(lines, key=lambda line: line.at_s)


def campaigns_of(lines: list[Line], begin: float, rng: random.Random) -> list[Campaign]:
    """Spans of hosts that hold enough labelled lines, none of them of another one's host and day."""
    labelled = [line for line in lines if line.labelled and line.at_s >= begin + LEARN * DAY_S]
    rng.shuffle(labelled)
    found: list[Campaign] = []
    for line in labelled:
        mine = [
            other.at_s
            for other in labelled
            if other.host == line.host and line.at_s <= other.at_s < line.at_s + CAMPAIGN_S
        ]
        apart = all(each.host != line.host or abs(each.first_s - line.at_s) > 2 * DAY_S for each in found)
        late = line.host != LATE_HOST or line.at_s >= begin + LATE_DAY * DAY_S
        if len(mine) >= FEWEST and apart and late:
            found.append(Campaign(line.host, min(mine), max(mine), len(mine)))
        if len(found) == CAMPAIGNS:
            break
    return found


def days_of(
    lines: list[Line], begin: float, campaigns: list[Campaign], rng: random.Random
) -> Iterator[list[Line]]:
    """The lines of each day, as the month has them."""
    days: list[list[Line]] = [[] for _ in range(LEARN + MONTH)]
    for line in lines:
        day = min(int((line.at_s - begin) // DAY_S), LEARN + MONTH - 1)
        if line.host == LATE_HOST and day < LATE_DAY:
            continue
        if day in HOLIDAY and line.host in ON_HOLIDAY and "/app.log" in line.file and rng.random() < 0.9:
            continue
        if line.labelled and not any(
            each.host == line.host and each.first_s <= line.at_s <= each.last_s for each in campaigns
        ):
            continue
        days[day].append(line)
    yield from days


def append(logs: Path, lines: list[Line]) -> None:
    """Write lines to their files."""
    by_file: dict[str, list[str]] = {}
    for line in lines:
        by_file.setdefault(line.file, []).append(line.text)
    for name, texts in by_file.items():
        (logs / name).parent.mkdir(parents=True, exist_ok=True)
        with (logs / name).open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join(texts) + "\n")


@dataclass
class Life:
    """A detector at work: what it follows, its state, and the file of what it tells."""

    detector: Path
    home: Path
    seen: int = 0

    @property
    def logs(self) -> Path:
        """What is followed."""
        return self.home / "logs"

    @property
    def state(self) -> Path:
        """What is remembered."""
        return self.home / "state"

    def watch(self, day: list[Line]) -> list[dict[str, Any]]:
        """Watch another day; what was told of it."""
        append(self.logs, day)
        sink = make(f"jsonl:{self.home / 'out.jsonl'}", self.state)
        options = WatchOptions(once=True, idle_s=0.0)
        Watch.start(self.detector, [self.logs], [sink], state=self.state, options=options).run()
        rows = rows_of(self.home / "out.jsonl")
        new, self.seen = rows[self.seen :], len(rows)
        return new

    def hidden(self) -> int:
        """Alerts that exceptions have hidden."""
        return sum(json.loads((self.state / "state.json").read_text())["dismissed"].values())

    def again(self, home: Path, days: list[list[Line]]) -> Life:
        """A life with a detector that learnt from these days: what was dismissed on them it takes for normal,
        and nothing else of what was said goes with it. A new detector begins with a state of its own."""
        for day in days:
            append(home / "learn", day)
        kept = feedback.kept(self.state)
        said = []
        for name, row in kept.rows.items():
            if (what := kept.said(name)) is not None:
                said.append(Said.of(row, what))
        learn_again(self.detector, home / "learn", home / "normal", said=said, plants=0)
        life = Life(home / "normal", home)
        life.logs.mkdir(parents=True)
        return life


def watch_month(
    detector: Path,
    home: Path,
    days: list[list[Line]],
    campaigns: list[Campaign],
    *,
    says: bool,
    learns: bool,
) -> Watched:
    """Watch it, a day at a time; `days` are those of before, too."""
    life = Life(detector, home / "0")
    life.logs.mkdir(parents=True)
    opened, rows, said, hidden = [], list[dict[str, Any]](), Counter[str](), 0
    for number in range(LEARN, len(days)):
        new = life.watch(days[number])
        rows += new
        ids = [row["id"] for row in new if row.get("kind") == "incident" and row["state"] == "opened"]
        opened.append(len(ids))
        if says:
            say(life.state, rows_of(life.home / "out.jsonl"), ids, campaigns, said)
        if learns and number + 1 < len(days) and any(row.get("kind") == "drift" for row in new):
            said["learnt"] += 1
            hidden += life.hidden()
            life = life.again(home / str(said["learnt"]), days[number + 1 - LEARN : number + 1])
    alerts = [row for row in rows if row.get("alert")]
    return Watched(
        [(row["host"], seconds_of(row["time"]) or 0.0) for row in alerts],
        opened,
        hidden + life.hidden(),
        sum(opened),
        sum(row.get("kind") == "drift" for row in rows),
        said["dismissed"],
        said["confirmed"],
        said["learnt"],
    )


def say(
    state: Path, rows: list[dict[str, Any]], new: list[str], campaigns: list[Campaign], said: Counter[str]
) -> None:
    """What a person says of the day's new incidents."""
    for incident in new:
        mine = [row for row in rows if row.get("incident") == incident]
        true = any(
            each.has(row["host"], seconds_of(row["time"]) or 0.0) for row in mine for each in campaigns
        )
        if true:
            feedback.confirm(state, incident, "a campaign")
            said["confirmed"] += 1
        else:
            feedback.dismiss(state, incident, "looked at, and fine")
            said["dismissed"] += 1


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(name: str, found: Watched, campaigns: list[Campaign]) -> str:
    """A row of the table."""
    delays = []
    for each in campaigns:
        mine = [at_s - each.first_s for host, at_s in found.alerts if each.has(host, at_s)]
        if mine:
            delays.append(min(mine))
    # The same spans three days earlier or later, where nothing was planted: what is found there is chance.
    chance = 0
    for each in campaigns:
        for shift in (-3 * DAY_S, 3 * DAY_S):
            moved = Campaign(each.host, each.first_s + shift, each.last_s + shift, each.lines)
            chance += any(moved.has(host, at_s) for host, at_s in found.alerts)
    delay = f"{statistics.median(delays) / 60:.0f} min" if delays else "-"
    return (
        f"| {name} | {len(found.alerts) / MONTH:.1f} | {sum(found.opened) / MONTH:.1f} "
        f"| {max(found.opened)} | {len(delays)} of {len(campaigns)} | {chance / 2:g} of {len(campaigns)} "
        f"| {delay} | {found.hidden} | {found.dismissed}, {found.confirmed} | {found.drift} "
        f"| {found.learnt} |"
    )


def main() -> None:
    """Simulate, learn, watch three times, tell."""
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory(prefix="vestige-month-") as place:
        home, simulator, source = Path(place), simulators.get("logs"), registry.get("logs")
        simulator.write(
            home / "corpus",
            simulator.options(
                messages=messages, days=LEARN + MONTH, hosts=6, anomalies=0.05, seed=seed, compress="none",
                multiline=0.0,
            ),
        )  # fmt: skip
        lines, rng = read(home / "corpus"), random.Random(seed)
        begin = lines[0].at_s
        campaigns = campaigns_of(lines, begin, rng)
        days = list(days_of(lines, begin, campaigns, rng))
        for day in days[:LEARN]:
            append(home / "learn", day)
        options = source.options(format="bgl")
        learnt = learn(
            source, home / "learn", home / "normal", options=options, budget=Budget.parse(BUDGET), plants=0
        )
        print(
            f"{sum(map(len, days[:LEARN])):,} messages learnt from, {sum(map(len, days[LEARN:])):,} watched, "
            f"{len(campaigns)} campaigns of {sum(each.lines for each in campaigns)} messages; budget "
            f"{BUDGET}, {learnt.came.rate:.1f} alerts a day in the check"
        )
        print("| | alerts a day | incidents a day | most on a day | campaigns found | by chance | delay "
              "| alerts hidden | dismissed, confirmed | drift told | learnt again |")  # fmt: skip
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        for name, says, learns in WATCHED:
            mine = home / f"{says}-{learns}"
            found = watch_month(home / "normal", mine, days, campaigns, says=says, learns=learns)
            print(told(name, found, campaigns), flush=True)


if __name__ == "__main__":
    main()
