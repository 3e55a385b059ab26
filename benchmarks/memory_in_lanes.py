"""Does memory in lanes help? Recurrent detectors at equal parameter count, five seeds, on labelled sequences.

    python benchmarks/memory_in_lanes.py [--data DIR] [--seeds 5] [--sets hdfs adfa ...] [--lanes 2 4 8]
        [--jobs 2]

Sets: `hdfs` as published (train 6,352 blocks, test 1,588); `hadoop`, `openstack`, `adfa`: normal sessions
split 60/20/20 by the seed, all anomalous ones (at most 100, drawn by the seed) in the test part, since they
are published for testing; `simulated`: a SIEM export by `vestige simulate events`, cut in time;
`interleaved`: normal sessions of ADFA-LD's public part, four at a time in one stream, as processes of a
machine are: whose event comes next is drawn by chance, a window has 64 events. In an anomalous stream each of
the four has its own events out of order; who cannot tell the four apart hardly sees it.
Task `next`: trained on normal sequences only; a session's score is the mean surprise of its events. A
detector is judged by ROC AUC, average precision, and macro F1 at the threshold that leaves 5% of the normal
validation sessions above it. On `simulated`, single events are judged, for both tasks. At most 3,000
training windows a trial, drawn by the seed.

Every network has at most the parameters of an LSTM of 32 units. Printed: means over seeds with 95%
t-intervals, and the paired difference of each to `lstm`. Nothing is tuned here: defaults of the program.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy import stats

from vestige.engine import HERE
from vestige.evaluation.metrics import Sweep, at_threshold
from vestige.evaluation.threshold import choose
from vestige.models import registry
from vestige.models.base import choose_inputs
from vestige.models.recurrent import hidden_for
from vestige.pipeline import predicting
from vestige.reading.encoding import EncodedWindows
from vestige.reading.windows import WindowSet
from vestige.simulators import registry as simulators
from vestige.sources import registry as sources
from vestige.sources.events.options import EventOptions
from vestige.splits import Parts, make
from vestige.training import TrainingConfig, train

SESSIONS = {
    "hdfs": "hdfs_100k.jsonl.gz",
    "hadoop": "hadoop_loghub",
    "openstack": "openstack_loghub",
    "adfa": "adfa_verazuo",
}
LANES = (2, 4, 8)
ARRAYS = ("array_lstm", "attention_array_lstm", "stochastic_array_lstm")
MOST_ANOMALIES = 100
MOST_TRAINING, MOST_STOPPING = 3_000, 1_000
"""Windows a trial trains on, and stops early by, at most: these sequences repeat themselves."""
TOGETHER, LONGEST, CONTEXT = 4, 80, 63
"""Sessions of a stream of `interleaved`, events of each (its first), and events before the one judged."""
FPR = "fpr=0.05"
UNITS = 32


@dataclass(frozen=True)
class Trial:
    """One set, task, detector and seed."""

    data: str
    task: str
    model: str
    k: int
    seed: int

    @property
    def label(self) -> str:
        return self.model if self.k == 1 else f"{self.model} k={self.k}"


def prepare(name: str, data: Path, out: Path) -> Path:
    """Read one set into a dataset directory."""
    source = sources.get("events")
    if name == "simulated":
        corpus = out / "corpus"
        simulator = simulators.get("events")
        simulator.write(corpus, simulator.options(seed=11))
        source.prepare(corpus, out / name, EventOptions(mapping="csv"), engine=HERE)
    elif name == "interleaved":
        streams(data.parent / "adfa-ld" / "ADFA-LD-part.zip", out / "streams")
        options = EventOptions(mapping="sessions", context=CONTEXT)
        source.prepare(out / "streams", out / name, options, engine=HERE)
    else:
        source.prepare(data / SESSIONS[name], out / name, EventOptions(mapping="sessions"), engine=HERE)
    return out / name


def streams(archive: Path, out: Path) -> None:
    """Sessions in one stream, `TOGETHER` at a time, written as published sequences are. No session is in two
    streams, and none that equals another is taken."""
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".txt") and "Attack" not in name)
        texts = [file.read(name).decode().split()[:LONGEST] for name in names if "_Data_Master/" in name]
    rng = np.random.default_rng(0)
    normals = [events.split() for events in rng.permutation(sorted({" ".join(text) for text in texts}))]
    groups = [normals[at : at + TOGETHER] for at in range(0, len(normals) - TOGETHER + 1, TOGETHER)]
    anomalous, normal = groups[:MOST_ANOMALIES], groups[MOST_ANOMALIES:]
    anomalous = [[rng.permutation(one).tolist() for one in group] for group in anomalous]
    out.mkdir()
    for name, given in (("adfa_train", normal), ("adfa_test_abnormal", anomalous)):
        lines = [f"{name}{at},{' '.join(interleaved(group, rng))}" for at, group in enumerate(given)]
        (out / name).write_text("\n".join(lines) + "\n")


def interleaved(sessions: Sequence[Sequence[str]], rng: np.random.Generator) -> list[str]:
    """All events of some sessions, each session in its order, whose turn it is drawn by chance."""
    turn = rng.permutation(np.repeat(np.arange(len(sessions)), [len(one) for one in sessions]))
    left = [iter(one) for one in sessions]
    return [next(left[at]) for at in turn.tolist()]


def split(name: str, windows: WindowSet, seed: int) -> Parts:
    """Train, validation and test parts; anomalous sessions never train."""
    rng = np.random.default_rng(seed)
    if name == "simulated":
        parts = make("time", windows)[1]
        return replace(parts, train=parts.train.select(drawn(np.arange(len(parts.train)), rng)))
    recordings = windows.recordings
    anomalous = np.zeros(recordings.height, dtype=bool)
    anomalous[np.unique(windows.recording[windows.label != 0])] = True
    code = np.full(recordings.height, -1)
    if name == "hdfs":
        published_test = (recordings["host"] == "test").to_numpy()
        code[published_test] = 2
        rest = rng.permutation(np.flatnonzero(~published_test))
        code[rest] = 0
        code[rest[: len(rest) // 5]] = 1
    else:
        normal = rng.permutation(np.flatnonzero(~anomalous))
        cuts = (np.array([0.6, 0.8]) * len(normal)).astype(int)
        for part, rows in enumerate(np.split(normal, cuts)):
            code[rows] = part
        code[rng.permutation(np.flatnonzero(anomalous))[:MOST_ANOMALIES]] = 2
    rows = [np.flatnonzero(code[windows.recording] == part) for part in range(3)]
    rows[0] = drawn(rows[0], rng)
    return Parts(*(windows.select(one) for one in rows))


def drawn(rows: np.ndarray, rng: np.random.Generator, most: int = MOST_TRAINING) -> np.ndarray:
    """At most `most` of them, in order."""
    return np.sort(rng.permutation(rows)[:most])


def run(trial: Trial, dataset: Path) -> dict[str, float]:
    """Train and judge one detector."""
    windows = WindowSet.open(dataset)
    source = sources.get("events")
    parts = split(trial.data, windows, trial.seed)
    encoder = source.fit_encoder(parts.train)
    encoded = EncodedWindows.of(parts.train, encoder)
    validation, test = encoded.over(parts.validation), encoded.over(parts.test)
    name = registry.of_task(trial.model, trial.task) if trial.model != "next_ngram" else trial.model
    kind = registry.get(name)
    inputs = choose_inputs(kind, encoded.schema)
    hyper = {}
    if trial.model != "next_ngram":
        width = len(inputs[0].vocabulary)
        outputs = width if trial.task == "next" else 2
        budget = parameters(width, outputs)
        hyper["hidden"] = hidden_for(trial.model, trial.k, budget, width=width, outputs=outputs)
        if trial.k > 1:
            hyper["k"] = trial.k
    detector = kind.build(inputs, 2, seed=trial.seed, **hyper)
    start = time.perf_counter()
    rng = np.random.default_rng(trial.seed)
    rows = drawn(np.arange(len(validation)), rng, MOST_STOPPING)
    stopping = validation.over(validation.windows.select(rows))
    config = TrainingConfig(seed=trial.seed, threads=1)
    with tempfile.TemporaryDirectory() as scratch:
        train(detector, encoded, stopping, config, Path(scratch), progress=False)
    seconds = time.perf_counter() - start
    pooling = predicting.pooling_of(detector, validation) if trial.task == "next" else None
    predicting.calibrate(detector, validation, pooling, FPR)
    threshold = choose(predicting.of_part(detector, validation, pooling), FPR).value
    judged = predicting.of_part(detector, test, pooling)
    sweep = Sweep.of(judged.score, judged.positive)
    there = at_threshold(judged.score, judged.positive, threshold)
    return {
        "roc_auc": sweep.roc_auc,
        "ap": sweep.average_precision,
        "macro_f1": there.macro_f1,
        "seconds": seconds,
        "hidden": hyper.get("hidden", 0),
    }


def parameters(width: int, outputs: int) -> int:
    """Parameters of the LSTM of 32 units that sets the budget."""
    low = 0
    for budget in (1 << b for b in range(10, 24)):
        try:
            if hidden_for("lstm", 1, budget, width=width, outputs=outputs) < UNITS:
                low = budget
        except ValueError:
            low = budget
    high = low * 2
    while high - low > 1:
        middle = (low + high) // 2
        try:
            enough = hidden_for("lstm", 1, middle, width=width, outputs=outputs) >= UNITS
        except ValueError:
            enough = False
        low, high = (low, middle) if enough else (middle, high)
    return high


def interval(values: list[float]) -> str:
    """Mean with its 95% t-interval over seeds."""
    mean, n = float(np.mean(values)), len(values)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return f"{mean:.3f} ±{half:.3f}"


def table(found: dict[Trial, dict[str, float]], data: str, task: str) -> None:
    """One set and task, a row a detector."""
    mine = {trial: row for trial, row in found.items() if (trial.data, trial.task) == (data, task)}
    labels = list(dict.fromkeys(trial.label for trial in mine))
    rows = {label: sorted((t.seed, r) for t, r in mine.items() if t.label == label) for label in labels}
    base = [row["roc_auc"] for _, row in rows["lstm"]]
    print(f"\n{data}, task {task}\n")
    figures = ("roc_auc", "ap", "macro_f1")
    print("| detector | hidden | ROC AUC | AP | macro F1 at 5% FPR | ROC AUC against lstm | s |")
    print("|---|---|---|---|---|---|---|")
    for label in labels:
        values = {name: [row[name] for _, row in rows[label]] for name in (*figures, "seconds")}
        gain = interval([a - b for a, b in zip(values["roc_auc"], base, strict=False)])
        cells = [label, f"{rows[label][0][1]['hidden']:.0f}", *(interval(values[name]) for name in figures)]
        print("| " + " | ".join([*cells, gain, f"{np.mean(values['seconds']):.0f}"]) + " |")


def main() -> None:
    """Parse the command line, run every trial, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared/data/sessions"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="+", default=[*SESSIONS, "simulated", "interleaved"])
    parser.add_argument("--lanes", nargs="+", type=int, default=LANES)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, help="append every trial here, as JSON lines")
    given = parser.parse_args()
    models = [("gru", 1), ("lstm", 1), *((core, k) for core in ARRAYS for k in given.lanes)]
    with tempfile.TemporaryDirectory() as scratch:
        datasets = {name: prepare(name, given.data, Path(scratch)) for name in given.sets}
        tasks = {name: ("next", "classify") if name == "simulated" else ("next",) for name in given.sets}
        trials = [
            Trial(name, task, model, k, seed)
            for name in given.sets
            for task in tasks[name]
            for seed in range(given.seeds)
            for model, k in ([("next_ngram", 1)] if task == "next" else []) + models
        ]
        results = Parallel(n_jobs=given.jobs, return_as="generator")(
            delayed(run)(trial, datasets[trial.data]) for trial in trials
        )
        found = {}
        for trial, row in zip(trials, results, strict=True):
            found[trial] = row
            print(f"{trial.data} {trial.task} {trial.label} seed {trial.seed}: {row}", flush=True)
            if given.out:
                with given.out.open("a") as file:
                    file.write(json.dumps({**replace(trial).__dict__, **row}) + "\n")
        for name in given.sets:
            for task in tasks[name]:
                table(found, name, task)


if __name__ == "__main__":
    main()
