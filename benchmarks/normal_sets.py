"""Whole recordings judged without labels, on public sets whose labels nothing was learnt from.

    .venv/bin/python benchmarks/normal_sets.py ../shared/data              # the parts that were kept back
    .venv/bin/python benchmarks/normal_sets.py ../shared/data --part dev   # those that choices were made on
    .venv/bin/python benchmarks/normal_sets.py ../shared/data --sets adfa hdfs-raw

Rows are detectors: `vestige.models.normal.recordings` as a whole, each of its looks alone, and trivial ones.
A column gives ROC AUC and average precision with 95% intervals (1,000 resamples of recordings, or of clusters
of them where the set says so). A second table gives the paired gain of the whole over each trivial detector,
a third how many normal recordings alerted where 1% and 5% were promised, and how many anomalous ones did.

The sets; what is learnt from may hold anomalies, unless normals are said to stand alone:

hdfs-raw    11,501 sessions by their first message: learnt from the first 60% (3.4% anomalies), the rest
            is judged; drawn in blocks of 20 sessions that follow one another. dev: learnt from the first
            36%, judged on the next 24%.
hdfs-100k   7,940 sessions, split as published. dev: both from its training part, 60% to 40%.
adfa        normal training sessions alone; judged: validation sessions that do not stand in training
            verbatim, and attacks that equal no normal session; copies are drawn together, and so are the
            attacks of a directory. dev and kept back: normals, copies on one side, and the directories of
            each kind of attack, dealt in two by chance.
adfa-half   the same, learnt from the normals of the other half, too. dev: those of dev dealt in two again.
hadoop      containers of half of the normal applications alone (by chance); the others, and every second
            faulty application (dev: the other ones), are judged, and drawn by application.
openstack   a third of the normal sessions alone; dev and kept back: halves of the others.
traces      simulated runs of 90 programs, six of each, half of them hijacked: the others of 30 programs are
            learnt from alone, and all of 30 others judged and drawn by program. dev: all of the last 30.
bgl         blocks of ten lines, the first 60% of them; a block with an alert is an anomaly. Kept back only.
ait         alerts of a host in ten minutes: two ordinary days; two others and half of the attack steps are
            judged. dev: the first day against the second one and the other half of the steps.

What was chosen on the dev parts of adfa, adfa-half, hdfs-raw and hdfs-100k, before any other part was looked
at: the five looks, of 19; their equal weights; raw counts rather than logarithms; 3 neighbours of 1, 3, 5,
10, 20; that a tenth of learning, the strangest, is nobody's neighbour, of 0, 5, 10%; Fisher's sum rather than
that of squares. The parts that were kept back were then opened once; of adfa and adfa-half, however, some of
their sessions lay in an earlier deal on which looks and k were tried.

Later the lowest mean of 100 events in a row became the sixth look, and which looks count came to depend on
how long recordings are: chosen on the dev parts and on two other deals of ADFA-LD, with the figures of the
kept parts known. Those were opened a second time for it.

Then the neighbours came to be those of ten recordings that have the same events, pairs and threes of events
(before: of three, by counts of events and pairs), and the looks that count two or four: on the dev parts of
hdfs-raw and hdfs-100k, and on four folds of two thirds of ADFA-LD's normals against two thirds of its attack
directories. The kept parts were opened a third time for it, and a third of ADFA-LD once.

Last, of what is in the order of time the calibration came to be of three spans one after the other, and the
strangest tenth to be asked for up to three times: on the dev part of hdfs-raw, five other cuts of the same
first 60%, and the dev parts of ait, hdfs-100k and both of adfa. Scores came to have no ties. All kept parts
were opened a fourth time; of the sets without times only the ties changed.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import json
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors

from vestige.engine import HERE
from vestige.evaluation import bootstrap
from vestige.evaluation.metrics import Sweep
from vestige.models.baselines.next_ngram import count_levels, interpolated
from vestige.models.normal.recordings import LOOKS, RecordingModel
from vestige.models.normal.whole import NewSteps, allowed
from vestige.reading.encoding import EncodedWindows
from vestige.simulators import registry as simulators
from vestige.sources import registry as sources
from vestige.sources.logs.masks import SHARED, Masker

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FIRST = 2
"""Token of the first kind of event, as in the encoders: below it are padding and the unknown."""
WHOLE = "**whole recordings**"
MINUTES = 10
SIMULATED = {"programs": 90, "recordings": 6, "kilobytes": 4, "seed": 3}
BLOCK = 20
"""Sessions of HDFS, one after the other, that are drawn together."""
LINES = 10


@dataclass(frozen=True)
class LabelledSet:
    """Recordings to learn from, and those to judge, with their labels and the clusters they are drawn by.
    `in_time`: those to learn from are in the order of time."""

    learn: list[Ints]
    test: list[Ints]
    positive: NDArray[np.bool_]
    cluster: Ints
    in_time: bool = False

    @classmethod
    def of(
        cls, learn: Sequence[Ints], test: Sequence[tuple[Ints, bool, Hashable]], *, in_time: bool = False
    ) -> LabelledSet:
        """Of recordings with their labels and the names of their clusters; None is one of its own."""
        numbers: dict[Hashable, int] = {}
        cluster = [
            numbers.setdefault(("row", row) if name is None else name, len(numbers))
            for row, (_, _, name) in enumerate(test)
        ]
        positive = np.array([label for _, label, _ in test], dtype=np.bool_)
        return cls(list(learn), [tokens for tokens, _, _ in test], positive, np.array(cluster), in_time)

    @property
    def size(self) -> int:
        """One above the highest token."""
        return 1 + max(int(tokens.max()) for tokens in itertools.chain(self.learn, self.test))


class Numbers:
    """Events as tokens, in the order in which they first come."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}

    def tokens(self, events: Iterable[Hashable]) -> Ints:
        """A recording."""
        return np.array([self._known.setdefault(event, len(self._known) + FIRST) for event in events])


def halves(names: Iterable[Hashable], seed: int) -> dict[Hashable, bool]:
    """Which of the different names are in the first half, drawn by chance."""
    different = list(dict.fromkeys(names))
    drawn = np.random.default_rng(seed).permutation(len(different)) < len(different) // 2
    return dict(zip(different, drawn.tolist(), strict=True))


def hdfs_raw(data: Path, *, dev: bool) -> LabelledSet:
    """Sessions by the time of their first message."""
    masks = [("block", r"blk_-?\d+"), *((name, SHARED[name]) for name in ("ip", "path", "num"))]
    events = pl.read_parquet(data / "hdfs-raw" / "hdfs_events_2percent.parquet")
    labels = pl.read_parquet(data / "hdfs-raw" / "hdfs_seqs_2percent.parquet")
    mask = Masker(masks).mask
    token = Numbers().tokens([mask(message) for message in events["m_message"].to_list()])
    sessions = (
        events.with_columns(pl.Series("token", token))
        .group_by("seq_id", maintain_order=True)
        .agg(pl.col("token"), pl.col("m_timestamp").min())
        .join(labels, on="seq_id")
        .sort("m_timestamp", maintain_order=True)
    )
    tokens = [np.array(part) for part in sessions["token"].to_list()]
    edges = (0.36, 0.6) if dev else (0.6, 1.0)
    first, last = (int(edge * len(tokens)) for edge in edges)
    rows = range(first, last)
    anomaly = sessions["anomaly"].to_list()
    judged = [(tokens[row], anomaly[row], row // BLOCK) for row in rows]
    return LabelledSet.of(tokens[:first], judged, in_time=True)


def hdfs_100k(data: Path, *, dev: bool) -> LabelledSet:
    """Sessions, split as published."""
    with gzip.open(data / "sessions" / "hdfs_100k.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    sessions = [(np.array(row["events"]) + FIRST, row["label"] == 1, None) for row in rows]
    train = [session for session, row in zip(sessions, rows, strict=True) if row["split"] == "train"]
    test = [session for session, row in zip(sessions, rows, strict=True) if row["split"] == "test"]
    if dev:
        cut = int(0.6 * len(train))
        train, test = train[:cut], train[cut:]
    return LabelledSet.of([tokens for tokens, _, _ in train], test)


def adfa(data: Path, *, dev: bool, more: bool = False) -> LabelledSet:
    """Sessions of system calls; `more`: learnt from normals of the other half, too."""
    parts: dict[str, list[tuple[str, Ints]]] = {"Training": [], "Validation": [], "Attack": []}
    with zipfile.ZipFile(data / "adfa-ld" / "ADFA-LD-part.zip") as archive:
        for name in sorted(archive.namelist()):
            part = re.search(r"(\w+)_Data_Master/.*\.txt$", name)
            if part:
                tokens = np.array(archive.read(name).split(), dtype=np.int64) + FIRST
                parts[part[1]].append((name, tokens))
    training = [tokens for _, tokens in parts["Training"]]
    known = {tokens.tobytes() for tokens in training}
    normals = [tokens for _, tokens in parts["Validation"] if tokens.tobytes() not in known]
    known |= {tokens.tobytes() for tokens in normals}
    attacks = [(name.split("/")[-2], t) for name, t in parts["Attack"] if t.tobytes() not in known]
    in_dev = halves((tokens.tobytes() for tokens in normals), seed=0)
    directories = sorted({name for name, _ in attacks})
    kinds = itertools.groupby(directories, key=lambda name: re.sub(r"_\d+$", "", name))
    dev_directory = {
        name: first for _, names in kinds for name, first in halves(sorted(names), seed=0).items()
    }
    normal = [tokens for tokens in normals if in_dev[tokens.tobytes()] == dev]
    others = [tokens for tokens in normals if in_dev[tokens.tobytes()] != dev]
    learn = list(training)
    if more and dev:
        again = halves((tokens.tobytes() for tokens in normal), seed=1)
        others = [tokens for tokens in normal if again[tokens.tobytes()]]
        normal = [tokens for tokens in normal if not again[tokens.tobytes()]]
    if more:
        learn += others
    chosen = [(tokens, True, name) for name, tokens in attacks if dev_directory[name] == dev]
    return LabelledSet.of(learn, [(tokens, False, tokens.tobytes()) for tokens in normal] + chosen)


def published(path: Path, numbers: Numbers) -> list[tuple[str, Ints]]:
    """Sessions of a file with a line `id,event event event` each."""
    found = []
    for line in path.read_text().splitlines():
        name, _, events = line.partition(",")
        found.append((name, numbers.tokens(events.split())))
    return found


def normal_and_faulty(data: Path, system: str) -> tuple[list[tuple[str, Ints]], list[tuple[str, Ints]]]:
    """The published sessions of a system of loghub, under one numbering of events."""
    numbers, folder = Numbers(), data / "sessions" / f"{system}_loghub"
    normals = published(folder / f"{system}_train", numbers)
    normals += published(folder / f"{system}_test_normal", numbers)
    return normals, published(folder / f"{system}_test_abnormal", numbers)


def hadoop(data: Path, *, dev: bool) -> LabelledSet:
    """Containers of applications."""
    normals, faulty = normal_and_faulty(data, "hadoop")
    is_learnt = halves((name.split("/")[0] for name, _ in normals), seed=0)
    in_dev = halves((name.split("/")[0] for name, _ in faulty), seed=0)
    learn = [tokens for name, tokens in normals if is_learnt[name.split("/")[0]]]
    test = [(t, False, name.split("/")[0]) for name, t in normals if not is_learnt[name.split("/")[0]]]
    test += [(t, True, name.split("/")[0]) for name, t in faulty if in_dev[name.split("/")[0]] == dev]
    return LabelledSet.of(learn, test)


def openstack(data: Path, *, dev: bool) -> LabelledSet:
    """Sessions of virtual machines."""
    normals, faulty = normal_and_faulty(data, "openstack")
    third = np.random.default_rng(0).permutation(len(normals)) % 3
    learn = [tokens for part, (_, tokens) in zip(third, normals, strict=True) if part == 0]
    mine = 1 if dev else 2
    test = [(t, False, name) for part, (name, t) in zip(third, normals, strict=True) if part == mine]
    test += [(t, True, name) for number, (name, t) in enumerate(faulty) if number % 2 == mine - 1]
    return LabelledSet.of(learn, test)


def bgl(data: Path, *, dev: bool) -> LabelledSet:
    """Blocks of lines."""
    if dev:
        raise ValueError("bgl has no dev part: nothing was chosen on it")
    with (data / "loghub" / "BGL" / "BGL_2k.log_structured.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = Numbers()
    blocks = [rows[start : start + LINES] for start in range(0, len(rows), LINES)]
    tokens = [numbers.tokens(row["EventId"] for row in block) for block in blocks]
    label = [any(row["Label"] != "-" for row in block) for block in blocks]
    cut = int(0.6 * len(blocks))
    judged = [(tokens[row], label[row], row) for row in range(cut, len(blocks))]
    return LabelledSet.of(tokens[:cut], judged, in_time=True)


def ait(data: Path, *, dev: bool) -> LabelledSet:
    """Alerts of a host in so many minutes."""
    numbers, folder = Numbers(), data / "ait-alerts"

    def recordings(name: str) -> list[Ints]:
        with gzip.open(folder / f"russellmitchell-{name}.json.gz", "rt") as file:
            alerts = json.load(file)
        found: dict[tuple[str, int], list[str]] = {}
        for alert in sorted(alerts, key=lambda alert: float(alert["raw_time"])):
            bucket = int(float(alert["raw_time"]) // (60 * MINUTES))
            found.setdefault((alert["host"], bucket), []).append(alert["short"])
        return [numbers.tokens(events) for events in found.values()]

    days = [recordings(str(day)) for day in range(4)]
    steps = sorted(path.name.split("-", 1)[1].split(".")[0] for path in folder.glob("*-[a-z]*.gz"))
    in_dev = halves(steps, seed=0)
    learn, ordinary = (days[:1], days[1:2]) if dev else (days[:2], days[2:])
    test = [(tokens, False, None) for day in ordinary for tokens in day]
    for step in steps:
        if in_dev[step] == dev:
            test += [(tokens, True, None) for tokens in recordings(step)]
    return LabelledSet.of([tokens for day in learn for tokens in day], test, in_time=True)


def traces(data: Path, *, dev: bool) -> LabelledSet:  # noqa: ARG001 - they are simulated
    """Runs of programs, half of them hijacked."""
    source = sources.get("traces")
    with tempfile.TemporaryDirectory() as place:
        corpus = Path(place) / "corpus"
        simulator = simulators.get("traces")
        simulator.write(corpus, simulator.options(**SIMULATED))
        windows = source.prepare(corpus, Path(place) / "dataset", source.options(tip_only=True), engine=HERE)
        program = windows.recordings["sample"].to_list()
        hijacked = windows.counts[:, 1:].any(axis=1).tolist()
        thirds = np.random.default_rng(0).permutation(len(set(program))) % 3
        part = dict(zip(sorted(set(program)), thirds.tolist(), strict=True))
        is_learnt = np.array(
            [part[name] == 0 and not bad for name, bad in zip(program, hijacked, strict=True)]
        )
        encoder = source.fit_encoder(windows.select(np.flatnonzero(is_learnt[windows.recording])))
        (spec,) = (spec for spec in encoder.inputs if spec.kind == "tokens")
        encoded = EncodedWindows.of(windows, encoder)
        steps = NewSteps.of(encoded.schema, spec.name, len(spec.vocabulary or ()))
        new = np.concatenate([steps.take(X) for _, X in encoded.batches(8_192, (spec.name,))])
        runs = [new[windows.recording == row].reshape(-1) for row in range(len(program))]
    runs = [tokens[tokens >= FIRST - 1] for tokens in runs]
    mine = 1 if dev else 2
    test = [
        (tokens, bad, name)
        for tokens, bad, name in zip(runs, hijacked, program, strict=True)
        if part[name] == mine
    ]
    return LabelledSet.of([tokens for tokens, known in zip(runs, is_learnt, strict=True) if known], test)


SETS: dict[str, Callable[..., LabelledSet]] = {
    "hdfs-raw": hdfs_raw,
    "hdfs-100k": hdfs_100k,
    "adfa": adfa,
    "adfa-half": lambda data, dev: adfa(data, dev=dev, more=True),
    "hadoop": hadoop,
    "ait": ait,
    "traces": traces,
    "openstack": openstack,
    "bgl": bgl,
}


def order_surprise(found: LabelledSet, n: int = 5) -> tuple[Floats, Floats]:
    """Mean and highest surprise of each recording by interpolated n-grams."""

    def tails(recordings: Sequence[Ints]) -> Ints:
        start = np.zeros(n - 1, dtype=np.int64)
        padded = [np.concatenate([start, tokens]) for tokens in recordings]
        return np.concatenate([np.lib.stride_tricks.sliding_window_view(tokens, n) for tokens in padded])

    learnt = tails(found.learn)
    levels = count_levels(learnt, np.ones(len(learnt), dtype=np.int64), found.size)
    surprise = -np.log(interpolated(levels, tails(found.test), found.size))
    parts = np.split(surprise, np.cumsum([len(tokens) for tokens in found.test])[:-1])
    return np.array([part.mean() for part in parts]), np.array([part.max() for part in parts])


def stide(found: LabelledSet, n: int = 6) -> Floats:
    """The share of sequences of n events that were never seen (Forrest et al., 1996)."""

    def grams(tokens: Ints) -> list[bytes]:
        rows = np.lib.stride_tricks.sliding_window_view(tokens, min(n, len(tokens)))
        return [row.tobytes() for row in rows]

    known = {gram for tokens in found.learn for gram in grams(tokens)}
    return np.array([np.mean([gram not in known for gram in grams(tokens)]) for tokens in found.test])


def counts(recordings: Sequence[Ints], size: int) -> Floats:
    """ln(1 + how often) each event comes in each recording."""
    return np.log1p(np.stack([np.bincount(tokens, minlength=size) for tokens in recordings]))


def trivial(found: LabelledSet) -> dict[str, Floats]:
    """How strange trivial detectors find each recording."""
    learnt, judged = counts(found.learn, found.size), counts(found.test, found.size)
    forest = IsolationForest(n_estimators=200, random_state=0).fit(learnt)
    nearest = NearestNeighbors(n_neighbors=1).fit(np.unique(learnt, axis=0))
    mean, highest = order_surprise(found)
    known = np.bincount(np.concatenate(found.learn), minlength=found.size) > 0
    usual = np.median([np.log(len(tokens)) for tokens in found.learn])
    return {
        "order-5 surprise, mean": mean,
        "order-5 surprise, highest": highest,
        "STIDE": stide(found),
        "isolation forest on counts": -forest.score_samples(judged),
        "new template": np.array([float((~known[tokens]).sum()) for tokens in found.test]),
        "length": np.array([abs(np.log(len(tokens)) - usual) for tokens in found.test]),
        "nearest neighbour on counts": nearest.kneighbors(judged)[0][:, 0],
    }


@dataclass(frozen=True)
class Measured:
    """A detector on a set: ROC AUC and average precision, with their resamples."""

    roc_auc: float
    precision: float
    areas: Floats
    precisions: Floats

    def cell(self) -> str:
        """Both with their intervals."""
        area = bootstrap.interval(self.roc_auc, self.areas)
        precision = bootstrap.interval(self.precision, self.precisions)
        return " · ".join(
            f"{part.estimate:.3f} [{part.low:.3f}, {part.high:.3f}]" for part in (area, precision)
        )


def measured(found: LabelledSet, scores: dict[str, Floats]) -> dict[str, Measured]:
    """Each detector, on the same resamples."""
    weights = bootstrap.draw(int(found.cluster.max()) + 1)
    result = {}
    for name, score in scores.items():
        sweep = Sweep.of(score, found.positive)
        precisions, areas = bootstrap.ranking_samples(score, found.positive, found.cluster, weights)
        result[name] = Measured(sweep.roc_auc, sweep.average_precision, areas, precisions)
    return result


def gain(whole: Measured, other: Measured) -> str:
    """What the whole gains over another, paired."""
    area = bootstrap.interval(whole.roc_auc - other.roc_auc, whole.areas - other.areas)
    precision = bootstrap.interval(whole.precision - other.precision, whole.precisions - other.precisions)
    return " · ".join(
        f"{part.estimate:+.3f} [{part.low:+.3f}, {part.high:+.3f}]" for part in (area, precision)
    )


def within_budget(
    rareness: Floats, p_value: Floats, positive: NDArray[np.bool_], alpha: float = 0.01
) -> list[str]:
    """What alerts of normals and of others where all are scored together: no more than the promise allows."""
    strangest = np.argsort(-rareness, kind="stable")[: allowed(len(rareness), alpha)]
    alert = np.zeros(len(rareness), dtype=np.bool_)
    alert[strangest] = p_value[strangest] <= alpha
    share = float(alert[~positive].mean())
    low, high = bootstrap.exact_bounds(share, int((~positive).sum()))
    return [f"{share:.2%} [{low:.2%}, {high:.2%}]", f"{alert[positive].mean():.0%}"]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", choices=["dev", "held"], default="held")
    parser.add_argument("--sets", nargs="*", choices=sorted(SETS), default=None)
    chosen = parser.parse_args()
    dev = chosen.part == "dev"
    names = [name for name in chosen.sets or SETS if not (dev and name == "bgl")]
    results, promises, sizes = {}, [], []
    for name in names:
        begin = time.perf_counter()
        found = SETS[name](chosen.data, dev=dev)
        model = RecordingModel.fit(found.learn, found.size, in_time=found.in_time)
        judged = model.judge(found.test)
        seconds = time.perf_counter() - begin
        looks = {f"{look} alone": strange for look, strange in zip(LOOKS, judged.strangeness.T, strict=True)}
        results[name] = measured(found, {WHOLE: judged.rareness, **looks, **trivial(found)})
        normal = judged.p_value[~found.positive]
        attack = judged.p_value[found.positive]
        promise = [name]
        for alpha in (0.01, 0.05):
            share = float((normal <= alpha).mean())
            low, high = bootstrap.exact_bounds(share, len(normal))
            promise.append(f"{share:.2%} [{low:.2%}, {high:.2%}]")
            promise.append(f"{(attack <= alpha).mean():.0%}")
        promise += within_budget(judged.rareness, judged.p_value, found.positive)
        promises.append(promise)
        sizes.append(
            [name, f"{len(found.learn):,}", f"{len(normal):,}", f"{len(attack):,}", f"{seconds:.0f} s"]
        )
        print(f"{name}: done", flush=True)
    header = ["ROC AUC · average precision", *names]
    of_set = ["set", "learnt from", "normal", "anomalous", "learnt and judged in"]
    print("\n" + table(of_set, sizes))
    detectors = list(results[names[0]])
    print("\n" + table(header, [[row, *(results[name][row].cell() for name in names)] for row in detectors]))
    others = [row for row in detectors if row != WHOLE and not row.endswith(" alone")]
    against = [[row, *(gain(results[name][WHOLE], results[name][row]) for name in names)] for row in others]
    print("\n" + table([f"gain of {WHOLE} over", *names], against))
    of_promise = [
        "set", "normals as rare as 1%", "attacks", "normals as rare as 5%", "attacks",
        "normals alerted, 1% promised", "attacks",
    ]  # fmt: skip
    print("\n" + table(of_promise, promises))


if __name__ == "__main__":
    main()
