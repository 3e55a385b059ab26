"""Templates apart, and every one tested once: more evidence than one split of a small log has.

    .venv/bin/python benchmarks/bench_template_folds.py ../shared/data/loghub/BGL/BGL_2k.log --format bgl

Templates are dealt into five folds, anomalous ones first, so that each fold has its share. Each fold is the
test part once, the next one validation, the rest training; each side is the log without the others' lines.
Predictions of all folds are put together and compared, paired, on resamples of templates (1,000). That is
done for several deals: one deal is one draw. "Without an error" is what a perfect detector would gain.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vestige.engine import HERE
from vestige.evaluation import bootstrap
from vestige.evaluation.metrics import confusion, grouped_confusion, macro_f1
from vestige.models import registry as models
from vestige.models.base import choose_inputs
from vestige.models.fitting import FittedDetector
from vestige.pipeline.experiment import TrainingData
from vestige.pipeline.predicting import predict
from vestige.reading.windows import WindowSet
from vestige.recipes import find
from vestige.sources import registry as sources
from vestige.splits import Split, dataset_digest, groups_of

FOLDS = 5
PERFECT = "without an error"
Ints = NDArray[np.int64]


def deal(group: Ints, label: Ints, seed: int) -> Ints:
    """A fold for each group present `(G,)`: in turn, the largest anomalous ones first, ties by chance."""
    size = np.bincount(group)
    anomalous = np.bincount(group, weights=label > 0) > 0
    chance = np.random.default_rng(seed).random(len(size))
    order = np.lexsort((-(size * np.exp(chance)), ~anomalous))
    fold = np.empty(len(size), dtype=np.int64)
    fold[order] = np.arange(len(size)) % FOLDS
    return fold


def judged(windows: WindowSet, names: list[str], seed: int) -> tuple[dict[str, Ints], Ints, Ints]:
    """Predicted class of every window by each detector, the windows' labels, and their groups."""
    source = sources.get("logs")
    recipe = find("template", source.recipes)
    present, group = np.unique(groups_of(windows, recipe, windows.last_step), return_inverse=True)
    label = windows.label.astype(np.int64)
    fold = deal(group, label, seed)
    found = {name: np.empty(len(windows), dtype=np.int64) for name in names}
    for test in range(FOLDS):
        part = np.where(fold == test, 2, np.where(fold == (test + 1) % FOLDS, 1, 0))
        sides = {
            name: present[part == at].tolist() for at, name in enumerate(("train", "validation", "test"))
        }
        split = Split(recipe, "group", dataset_digest(windows), seed, sides)
        parts = split.parts(windows)
        data = TrainingData.of(source, parts.sealed())
        rows = np.flatnonzero(part[group] == 2)
        for name in names:
            kind = models.get(name)
            detector = kind.build(choose_inputs(kind, data.schema), len(data.schema.classes), seed=0)
            assert isinstance(detector, FittedDetector), f"{name} does not fit itself"
            detector.fit(data.train, data.validation, seed=0)
            found[name][rows] = predict(detector, data.train.over(parts.test)).predicted
    return found | {PERFECT: label}, label, group


def compare(found: dict[str, Ints], label: Ints, group: Ints, against: str) -> list[str]:
    """A line a detector: macro F1, and its gain over `against` with a 95% interval."""
    k, n = int(label.max()) + 1, int(group.max()) + 1
    weights = bootstrap.draw(n)
    samples = {
        name: bootstrap.macro_f1_samples(grouped_confusion(label, one, group, k, n), weights)
        for name, one in found.items()
    }
    score = {name: float(macro_f1(confusion(label, one, k))) for name, one in found.items()}
    lines = []
    for name in found:
        gain = bootstrap.interval(
            score[name] - score[against], samples[name] - samples[against], weights=weights
        )
        lines.append(
            f"| {name} | {score[name]:.3f} | {gain.estimate:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--format", required=True)
    parser.add_argument("--model", nargs="*", default=["ngram", "gbt", "lookup", "logistic"])
    parser.add_argument("--against", default="logistic")
    parser.add_argument("--deals", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        source = sources.get("logs")
        windows = source.prepare(
            chosen.corpus, Path(place) / "dataset", source.options(format=chosen.format), engine=HERE
        )
        for seed in range(chosen.deals):
            found, label, group = judged(windows, chosen.model, seed)
            anomalous = len(np.unique(group[label > 0]))
            print(f"\ndeal {seed}: {len(label)} windows, {group.max() + 1} templates, {anomalous} anomalous")
            print(f"| detector | macro F1 | gain over {chosen.against} |\n|---|---|---|")
            print("\n".join(compare(found, label, group, chosen.against)), flush=True)


if __name__ == "__main__":
    main()
