"""What rounding products to bfloat16 costs in accuracy, in training and in scoring, on labelled evidence.

    python benchmarks/bench_rounded_accuracy.py [--data DIR] [--sets bgl hdfs adfa telemetry] [--seeds 2]

Each detector is trained in float32 and with rounded products (`--precision bf16`), and each of the two scores
the same test part in float32 and with rounded products. Thresholds are of scores in float32 on validation, as
the program has them. Sets: `bgl`, the 2,000 lines of loghub, its templates dealt into five folds as in
`bench_template_folds.py`, so that each is tested once; `hdfs` and `adfa`, sessions split as in
`memory_in_lanes.py`, learnt from normal ones alone (task `next`); `telemetry`, simulated, which shows that it
works and no more. Settings are the program's defaults, but for few epochs (`SETS`).

Printed are means over the seeds of training: macro F1 and average precision, the difference to float32 in
both with a 95% interval (paired bootstrap over templates, sessions or episodes; it holds what the test part
leaves open, and not what another seed would change), and the share of windows or recordings with another
class or another alert than float32 in both. The row "another seed" is the yardstick: two trainings in
float32 beside one another, their mean absolute difference, and the decisions that change between them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench_template_folds import FOLDS, deal
from memory_in_lanes import FPR, MOST_STOPPING, drawn, prepare, split
from vestige.engine import HERE
from vestige.evaluation import bootstrap
from vestige.evaluation.clusters import clusters_of, held_out
from vestige.evaluation.metrics import Sweep, confusion, grouped_confusion, macro_f1
from vestige.models.base import Task
from vestige.nn.products import can_round
from vestige.pipeline.experiment import TrainingData
from vestige.pipeline.fitting import TrainingPlan, build
from vestige.pipeline.predicting import calibrate, of_part, pooling_of
from vestige.reading.encoding import EncodedWindows
from vestige.reading.windows import WindowSet
from vestige.recipes import find
from vestige.simulators import registry as simulators
from vestige.sources import registry as sources
from vestige.splits import Parts, Split, dataset_digest, groups_of, make
from vestige.training import TrainingConfig, train

Precision = Literal["32", "bf16"]


class Trained(NamedTuple):
    """What is trained on a set, and for how many epochs: few, because all of it is to end in minutes."""

    task: Task
    epochs: dict[str, int]


SETS = {
    "bgl": Trained("classify", {"array_lstm": 16, "collaborative": 8}),
    "hdfs": Trained("next", {"next_array_lstm": 6, "next_stochastic_array_lstm": 6}),
    "adfa": Trained("next", {"next_array_lstm": 6, "next_stochastic_array_lstm": 6}),
    "telemetry": Trained("classify", {"array_lstm": 12, "stochastic_array_lstm": 12}),
}
ONCE = {"collaborative"}
"""Trained with one seed whatever is asked for: it takes several times as long as the arrays."""
WAYS: tuple[tuple[Precision, Precision], ...] = (
    ("32", "32"), ("32", "bf16"), ("bf16", "32"), ("bf16", "bf16"),
)  # fmt: skip
"""Precision of training and of scoring; the first is what the others are compared with."""


@dataclass(frozen=True)
class Side:
    """What one training sees, and the windows that it is tested on. `deal`: the split by templates."""

    data: TrainingData
    test: EncodedWindows
    deal: Split | None = None


@dataclass(frozen=True)
class Said:
    """What is said of what was tested, and what is true, `(N,)` each."""

    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    score: NDArray[np.float64]
    alert: NDArray[np.bool_]
    cluster: NDArray[np.int64]

    @property
    def macro_f1(self) -> float:
        """Of the likeliest classes."""
        return float(macro_f1(confusion(self.label, self.predicted, int(self.label.max()) + 1)))

    @property
    def ap(self) -> float:
        """Average precision of the scores."""
        return Sweep.of(self.score, self.label > 0).average_precision

    def samples(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Macro F1 and average precision of each resample."""
        k, n = int(self.label.max()) + 1, weights.shape[1]
        counts = grouped_confusion(self.label, self.predicted, self.cluster, k, n)
        ranked, _ = bootstrap.ranking_samples(self.score, self.label > 0, self.cluster, weights)
        return bootstrap.macro_f1_samples(counts, weights), ranked


def sides_of(name: str, data: Path, place: Path) -> list[Side]:
    """A set, read and split: five sides of `bgl`, one of each other set."""
    if name == "bgl":
        source = sources.get("logs")
        log = data / "loghub" / "BGL" / "BGL_2k.log"
        return list(folds(source.prepare(log, place / name, source.options(format="bgl"), engine=HERE)))
    if name == "telemetry":
        source, simulator = sources.get(name), simulators.get(name)
        simulator.write(place / "store", simulator.options(episodes=400, seconds=60, plant=("none=0",)))
        windows = source.prepare(place / "store", place / name, source.options(), engine=HERE)
        return [side(name, make("random", windows)[1])]
    return [side("events", split(name, WindowSet.open(prepare(name, data / "sessions", place)), seed=0))]


def side(source: str, parts: Parts, dealt: Split | None = None) -> Side:
    """Training data and test part; training stops by few windows, where validation has many."""
    data = TrainingData.of(sources.get(source), parts.sealed())
    return Side(data, data.train.over(parts.test), dealt)


def folds(windows: WindowSet) -> Iterator[Side]:
    """The templates of a log, dealt into folds: each is the test part once, the next one validation."""
    recipe = find("template", sources.get("logs").recipes)
    present, group = np.unique(groups_of(windows, recipe, windows.last_step), return_inverse=True)
    fold = deal(group, windows.label.astype(np.int64), seed=0)
    for test in range(FOLDS):
        part = np.where(fold == test, 2, np.where(fold == (test + 1) % FOLDS, 1, 0))
        members = {
            name: present[part == at].tolist() for at, name in enumerate(("train", "validation", "test"))
        }
        dealt = Split(recipe, "group", dataset_digest(windows), 0, members)
        yield side("logs", dealt.parts(windows), dealt)


def judged(side: Side, plan: TrainingPlan) -> dict[Precision, Said]:
    """Train one detector, and hear it in both precisions. Its threshold is of scores in float32."""
    detector = build(side.data, plan.models[0], plan)
    stopping = side.data.validation
    if plan.task == "next":
        rows = drawn(np.arange(len(stopping)), np.random.default_rng(plan.training.seed), MOST_STOPPING)
        stopping = stopping.over(stopping.windows.select(rows))
    with tempfile.TemporaryDirectory() as scratch:
        train(detector, side.data.train, stopping, plan.training, Path(scratch), progress=False)
    pooling = pooling_of(detector, side.data.validation)
    threshold = calibrate(detector, side.data.validation, pooling, FPR).value
    found: dict[Precision, Said] = {}
    for precision in ("32", "bf16"):
        if precision == "bf16":
            detector.round_products()
        told = of_part(detector, side.test, pooling)
        if side.deal is not None:
            told = held_out(told, side.deal, side.test.windows)
        cluster = clusters_of(told).ids if told.unit is None else told.unit
        found[precision] = Said(told.label, told.predicted, told.score, told.score >= threshold, cluster)
    return found


def together(parts: Sequence[Said]) -> Said:
    """All that is said of the sides of a set, as if one had said it; clusters are numbered anew."""
    label, predicted, score, alert, cluster = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("label", "predicted", "score", "alert", "cluster")
    )
    return Said(label, predicted, score, alert, np.unique(cluster, return_inverse=True)[1])


def heard(
    sides: Sequence[Side], of: Trained, model: str, seeds: int
) -> dict[tuple[Precision, Precision], list[Said]]:
    """What one kind of detector says of a set, by the precisions of training and scoring, seed by seed."""
    found: dict[tuple[Precision, Precision], list[Said]] = {way: [] for way in WAYS}
    for seed in range(1 if model in ONCE else seeds):
        for trained in ("32", "bf16"):
            training = TrainingConfig(
                seed=seed, epochs=of.epochs[model], threads=1, device="cpu", precision=trained
            )
            plan = TrainingPlan((model,), of.task, training=training)
            parts = [judged(side, plan) for side in sides]
            for scored in ("32", "bf16"):
                found[trained, scored].append(together([part[scored] for part in parts]))
    return found


def table(name: str, model: str, found: dict[tuple[Precision, Precision], list[Said]]) -> Iterator[str]:
    """A row for each way, and one for another seed."""
    exact = found[WAYS[0]]
    weights = bootstrap.draw(int(exact[0].cluster.max()) + 1)
    base = [said.samples(weights) for said in exact]
    for way in WAYS:
        said = found[way]
        cells = [name, model, *way]
        for at, figures in enumerate(zip(*((one.macro_f1, one.ap) for one in said), strict=True)):
            figure = float(np.mean(figures))
            cells.append(f"{figure:.4f}")
            if said is exact:
                cells.append("")
                continue
            gaps = [one.samples(weights)[at] - two[at] for one, two in zip(said, base, strict=True)]
            known = float(np.mean([(one.macro_f1, one.ap)[at] for one in exact]))
            gap = bootstrap.interval(figure - known, np.mean(gaps, axis=0), weights=weights)
            cells.append(f"{gap.estimate:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]")
        cells += ["", ""] if said is exact else changed(zip(said, exact, strict=True))
        yield row(cells)
    if len(exact) > 1:
        apart = list(pairwise(exact))
        gaps = [
            np.mean([abs(getattr(one, what) - getattr(two, what)) for one, two in apart])
            for what in ("macro_f1", "ap")
        ]
        cells = [name, model, "32, another seed", "32", "", f"{gaps[0]:.4f}", "", f"{gaps[1]:.4f}"]
        yield row([*cells, *changed(apart)])


def changed(pairs: Iterator[tuple[Said, Said]] | Sequence[tuple[Said, Said]]) -> list[str]:
    """The shares of windows, or recordings, with another class, and with another alert."""
    shares = [
        ((one.predicted != two.predicted).mean(), (one.alert != two.alert).mean()) for one, two in pairs
    ]
    return [f"{share:.2%}" for share in np.mean(shares, axis=0)]


def row(cells: Sequence[str]) -> str:
    """A line of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Parse the command line, train and judge everything, print the table and what it was measured on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=beside)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    if not can_round():
        sys.exit("PyTorch does not multiply in bfloat16 on this processor: nothing would be rounded")
    columns = ("set", "detector", "trained", "scored", "macro F1", "difference", "AP", "difference")
    print(row([*columns, "another class", "another alert"]))
    print("|" + "---|" * 10, flush=True)
    tested = []
    for name in given.sets:
        with tempfile.TemporaryDirectory() as place:
            sides = sides_of(name, given.data, Path(place))
            for model in SETS[name].epochs:
                start = time.process_time()
                found = heard(sides, SETS[name], model, given.seeds)
                print("\n".join(table(name, model, found)), flush=True)
                said = found[WAYS[0]][0]
                tested.append(
                    f"{name}, {model}: {len(said.label)} judged, {(said.label > 0).sum()} anomalous, "
                    f"{said.cluster.max() + 1} clusters; {time.process_time() - start:.0f} s of a processor"
                )
    print("\n" + "\n".join(tested))


if __name__ == "__main__":
    main()
