"""What an analyst is spared: alerts put together in five ways, on the same alerts.

    .venv/bin/python benchmarks/triage_pays.py ../shared/data

AIT's alerts (Wazuh and AMiner, one scenario): three ordinary days are learnt from, the fourth is triaged,
with the alerts of the ten attack steps put into it, an hour apart from 03:00 on (as published they have no
common clock). The simulated export: four days are learnt from without what is labelled, three are triaged.

Whoever looks at a cluster looks at ten of its alerts, drawn by chance, or all of fewer. Clusters of what is
ordinary cost looks, too. An attack is taken for ordinary where none of those looked at is of an attack, and
where a way leaves an alert out. Labels spread: three alerts of a cluster are looked at, and the commonest of
their labels goes to the others.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix
from sklearn.cluster import DBSCAN
from sklearn.metrics import homogeneity_score, pairwise_distances

from vestige import api
from vestige.pipeline.fitting import TrainingPlan
from vestige.pipeline.run import train
from vestige.reading.windows import WindowSet
from vestige.runs.options import JudgeOptions
from vestige.simulators import registry as simulators
from vestige.sources import registry as sources
from vestige.splits import plan as split_plan
from vestige.triage.options import TriageOptions
from vestige.triage.run import triage
from vestige.triage.table import TABLE

STEPS = (
    "service_scan", "wpscan", "dirb", "webshell_cmd", "crack_passwords", "attacker_change_user",
    "escalated_sudo_command", "dnsteal_start", "dnsteal_active", "dnsteal_end",
)  # fmt: skip
"""In the order in which they are put into the day."""
BEGIN = datetime(2022, 1, 21, tzinfo=UTC)
LOOKED_AT, EXAMPLES = 10, 3
CLOSE_S = 120.0
BEFORE, EPS, FEWEST = 10, 0.3, 5
"""Alerts of a machine that are counted together, and the settings of DBSCAN (those of `vestige triage`)."""
DRAWS = 20
"""What is drawn by chance is drawn so often, and the mean is told."""


@dataclass(frozen=True)
class Alert:
    """`truth`: the attack step, "" where it is ordinary; `at_s`: Unix seconds."""

    at_s: float
    host: str
    kind: str
    truth: str


@dataclass(frozen=True)
class Scenario:
    """Alerts that were triaged, in the order of their lines in `file`; `learnt`: kinds and hosts of the
    ordinary days in `ordinary`. `options`: how vestige reads both."""

    name: str
    ordinary: Path
    file: Path
    alerts: list[Alert]
    learnt: set[tuple[str, str]]
    options: dict[str, Any]


def main() -> None:
    """Measure both, and print a table of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder that holds ait-alerts")
    parser.add_argument("--only", choices=["ait", "export"], help="one of the two")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for name in ("ait", "export"):
            if asked.only in {None, name}:
                here = Path(place) / name
                here.mkdir()
                print(
                    table(of_ait(asked.data / "ait-alerts", here) if name == "ait" else of_export(here), here)
                )


def of_ait(data: Path, here: Path) -> Scenario:
    """Days 0 to 2 beside day 3 with the attack steps."""

    def read(name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            gzip.decompress((data / f"russellmitchell-{name}.json.gz").read_bytes())
        )
        return found

    ordinary, days = here / "ordinary", [read(str(day)) for day in range(4)]
    ordinary.mkdir()
    for day in range(3):
        # Nothing that learns needs labels, and a split would ask for both classes.
        bare = [
            (_at(day, alert), {k: v for k, v in alert.items() if k != "event_label"}) for alert in days[day]
        ]
        _write(ordinary / f"day-{day}.json", bare)
    rows = [(_at(3, alert), alert) for alert in days[3]]
    for hour, step in enumerate(STEPS, 3):
        rows += [(_at(3, alert, hour), {**alert, "event_label": step}) for alert in read(step)]
    rows.sort(key=lambda row: row[0])
    file = here / "day-3.json"
    _write(file, rows)
    alerts = [
        Alert(
            at.timestamp(), row["host"], row["short"], "" if row["event_label"] == "-" else row["event_label"]
        )
        for at, row in rows
    ]
    learnt = {(alert["host"], alert["short"]) for day in range(3) for alert in days[day]}
    return Scenario("AIT alerts", ordinary, file, alerts, learnt, {"mapping": "aminer"})


def of_export(here: Path) -> Scenario:
    """The simulated export: the first four days beside the last three."""
    simulator = simulators.get("events")
    simulator.write(here / "made", simulator.options(seed=7), overwrite=False)
    files = sorted((here / "made").glob("*.csv"))
    ordinary, file = here / "ordinary", here / "triaged.csv"
    ordinary.mkdir()
    learnt, alerts, kept = set(), [], []
    for number, one in enumerate(files):
        with one.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        if number < 4:
            usual = [row for row in rows if row["label"] == "normal"]
            learnt |= {(row["machine"], row["event"]) for row in usual}
            bare = [{key: value for key, value in row.items() if key != "label"} for row in usual]
            _write_csv(ordinary / one.name, bare)
        else:
            kept += rows
    for row in kept:
        truth = "" if row["label"] == "normal" else row["label"]
        at = datetime.fromisoformat(row["timestamp"]).timestamp()
        alerts.append(Alert(at, row["machine"], row["event"], truth))
    _write_csv(file, kept)
    return Scenario("simulated export", ordinary, file, alerts, learnt, {"mapping": "csv"})


def _at(day: int, alert: dict[str, Any], hour: int = 0) -> datetime:
    return BEGIN + timedelta(days=day, hours=hour, seconds=alert["raw_time"])


def _write(file: Path, rows: Sequence[tuple[datetime, dict[str, Any]]]) -> None:
    with file.open("w", encoding="utf-8") as out:
        for at, row in rows:
            out.write(json.dumps({**row, "time": at.isoformat(timespec="microseconds")}) + "\n")


def _write_csv(file: Path, rows: Sequence[dict[str, str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


Clusters = list[str | None]
"""The cluster of each alert; None where it is left out as ordinary."""


def by_kind(found: Scenario) -> Clusters:
    """Kind and host."""
    return [f"{alert.host} {alert.kind}" for alert in found.alerts]


def by_new_kind(found: Scenario) -> Clusters:
    """Kind and host; what ordinary days had is left out."""
    return [
        None if (alert.host, alert.kind) in found.learnt else f"{alert.host} {alert.kind}"
        for alert in found.alerts
    ]


def by_time(found: Scenario) -> Clusters:
    """A gap of two minutes without any alert begins the next cluster."""
    clusters: Clusters = [None] * len(found.alerts)
    last, number = float("-inf"), 0
    for row in sorted(range(len(clusters)), key=lambda row: found.alerts[row].at_s):
        number += found.alerts[row].at_s - last > CLOSE_S
        last = found.alerts[row].at_s
        clusters[row] = str(number)
    return clusters


def by_counts(found: Scenario) -> Clusters:
    """DBSCAN on counts of the kinds of the last ten alerts of the machine."""
    codes = {kind: code for code, kind in enumerate(sorted({alert.kind for alert in found.alerts}))}
    before: dict[str, list[int]] = defaultdict(list)
    counts: Counter[tuple[int, ...]] = Counter()
    of_alert: list[tuple[int, ...]] = [()] * len(found.alerts)
    for row in sorted(range(len(of_alert)), key=lambda row: found.alerts[row].at_s):
        mine = before[found.alerts[row].host]
        mine.append(codes[found.alerts[row].kind])
        del mine[:-BEFORE]
        of_alert[row] = tuple(sorted(mine))
        counts[of_alert[row]] += 1
    rows = list(counts)
    at = [number for number, row in enumerate(rows) for _ in row]
    ones = (np.ones(len(at)), (at, [code for row in rows for code in row]))
    matrix = csr_matrix(ones, shape=(len(rows), len(codes)))
    distance = np.maximum(pairwise_distances(matrix, metric="cosine"), 0)
    model = DBSCAN(eps=EPS, min_samples=FEWEST, metric="precomputed")
    label = model.fit(distance, sample_weight=np.array([counts[row] for row in rows])).labels_
    names = {
        row: str(code) if code >= 0 else f"alone {number}"
        for number, (row, code) in enumerate(zip(rows, label.tolist(), strict=True))
    }
    return [names[row] for row in of_alert]


def by_explanation(found: Scenario, here: Path) -> Clusters:
    """`vestige triage --all` with `next_ngram`: what bears on the last event."""
    source = sources.get("events")
    source.prepare(found.ordinary, here / "dataset", source.options(**found.options))
    windows = WindowSet.open(here / "dataset")
    split_plan("time", windows)[0].save(here / "split.json")
    plan = TrainingPlan(("next_ngram",), "next")
    train(here / "dataset", here / "split.json", here / "run", plan=plan, judge=JudgeOptions())
    return _triaged(found, here / "run" / "next_ngram", here / "explained")


def by_incident(found: Scenario, here: Path) -> tuple[Clusters, Clusters]:
    """`vestige triage --all` with what `vestige learn` made: incidents alone, and with the rest by kind and
    host."""
    api.learn(found.ordinary, here / "normal", "events", **found.options)
    whole = _triaged(found, here / "normal", here / "incidents")
    shown = pl.read_csv(here / "incidents" / TABLE)
    usual = set(shown.filter(pl.col("kind") != "incident")["cluster"])
    return [None if cluster in usual else cluster for cluster in whole], whole


def _triaged(found: Scenario, detector: Path, out: Path) -> Clusters:
    outcome = triage(detector, out, options=TriageOptions(), evidence=[found.file], every=True)
    members = pl.read_parquet(outcome.members)
    # The first line of CSV is its header.
    first = int(members["line"].min())  # type: ignore[arg-type]
    clusters: Clusters = [None] * len(found.alerts)
    for line, cluster in members.select("line", "cluster").iter_rows():
        clusters[line - first] = cluster
    return clusters


@dataclass(frozen=True)
class Measured:
    """A row of the table. Means of `DRAWS` draws, where anything is drawn."""

    clusters: int
    left_out: float
    spared: float
    taken_for_ordinary: float
    missed: float
    homogeneity: float
    in_ten: float
    in_fifty: float
    agree: float
    commonest: float


def measure(alerts: Sequence[Alert], clusters: Clusters) -> Measured:
    """What a clustering is worth."""
    members: dict[str, list[int]] = defaultdict(list)
    for row, cluster in enumerate(clusters):
        if cluster is not None:
            members[cluster].append(row)
    kept = [row for rows in members.values() for row in rows]
    truths = [alert.truth for alert in alerts]
    attacks = Counter(truth for truth in truths if truth)
    sizes = sorted(map(len, members.values()), reverse=True)
    draws = [_drawn(truths, list(members.values()), random.Random(seed)) for seed in range(DRAWS)]
    ordinary, missed, agree, commonest = np.mean(draws, axis=0).tolist()
    left = sum(truth != "" for truth, cluster in zip(truths, clusters, strict=True) if cluster is None)
    whole = len(alerts)
    return Measured(
        len(members),
        1 - len(kept) / whole,
        1 - sum(min(LOOKED_AT, size) for size in sizes) / whole,
        (ordinary + left) / max(1, sum(attacks.values())),
        missed,
        float(homogeneity_score([truths[row] for row in kept], [str(clusters[row]) for row in kept])),
        (sum(sizes[:10]) + whole - len(kept)) / whole,
        (sum(sizes[:50]) + whole - len(kept)) / whole,
        agree,
        commonest,
    )


def _drawn(truths: Sequence[str], members: Sequence[list[int]], rng: random.Random) -> tuple[float, ...]:
    """Attack alerts of clusters in which nobody saw one, steps of which nobody saw any, and the shares of
    spread labels and of the commonest label that are right, examples not counted."""
    unseen, agree, checked = 0, 0, 0
    seen: set[str] = set()
    rest: Counter[str] = Counter()
    for rows in members:
        looked = {truths[row] for row in rng.sample(rows, min(LOOKED_AT, len(rows)))}
        seen |= looked
        if looked == {""}:
            unseen += sum(truths[row] != "" for row in rows)
        shown = rng.sample(rows, min(EXAMPLES, len(rows)))
        label = Counter(truths[row] for row in shown).most_common(1)[0][0]
        others = [truths[row] for row in set(rows) - set(shown)]
        rest.update(others)
        checked += len(others)
        agree += sum(truth == label for truth in others)
    steps = {truth for truth in truths if truth}
    most = rest.most_common(1)[0][1] if rest else 0
    return unseen, len(steps - seen), agree / max(1, checked), most / max(1, checked)


def table(found: Scenario, here: Path) -> str:
    """What every way comes to, as Markdown."""
    rare, whole = by_incident(found, here)
    ways = {
        "time alone (gap of 2 min)": by_time(found),
        "kind and host": by_kind(found),
        "DBSCAN on counts of kinds": by_counts(found),
        "`vestige triage --all`, `next_ngram`: explanations": by_explanation(found, here),
        "kind and host that ordinary days had not": by_new_kind(found),
        "`vestige triage` after `vestige learn`: incidents": rare,
        "the same with `--all`: the rest by kind and host": whole,
    }
    steps = {alert.truth for alert in found.alerts if alert.truth}
    attacks = sum(alert.truth != "" for alert in found.alerts)
    return "\n".join(_lines(found.name, len(found.alerts), attacks, len(steps), ways, found.alerts))


def _lines(
    name: str, count: int, attacks: int, steps: int, ways: dict[str, Clusters], alerts: Sequence[Alert]
) -> Iterator[str]:
    yield f"{name}: {count:,} alerts, {attacks:,} of {steps} attack steps"
    yield ""
    yield (
        "| put together by | clusters | left out | spared | attack alerts taken for ordinary "
        "| steps nobody saw | homogeneity | covered by the 10 / 50 largest | spread labels agree "
        "| commonest label |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for way, clusters in ways.items():
        one = measure(alerts, clusters)
        yield (
            f"| {way} | {one.clusters:,} | {one.left_out:.1%} | {one.spared:.2%} "
            f"| {one.taken_for_ordinary:.2%} | {one.missed:.1f} | {one.homogeneity:.3f} "
            f"| {one.in_ten:.1%} / {one.in_fifty:.1%} | {one.agree:.2%} | {one.commonest:.2%} |"
        )
    yield ""


if __name__ == "__main__":
    main()
