"""What a search brings over the defaults, on evidence that neither has seen, with an interval.

    python benchmarks/tuned.py ../shared/data/loghub/BGL/BGL_2k.log --format bgl [--model gbt] [--trials 20]

Templates of a log are dealt into five folds as in `bench_template_folds.py`: each fold is the test part once,
the next one validation, the rest training. In each, the detector is trained with its defaults and with the
best of so many trials, which validation chose. Predictions of all folds are put together, and macro F1 is
compared, paired, on resamples of templates (1,000). One deal is one draw: `--deals` makes more of them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench_template_folds import FOLDS, Ints, compare, deal
from vestige.engine import HERE
from vestige.models import registry as models
from vestige.pipeline.experiment import TrainingData
from vestige.pipeline.fitting import TrainingPlan, build
from vestige.pipeline.predicting import predict
from vestige.reading.windows import WindowSet
from vestige.recipes import find
from vestige.sources import registry as sources
from vestige.splits import Split, dataset_digest, groups_of
from vestige.training import TrainingConfig, train
from vestige.tuning import study as studies
from vestige.tuning.findings import findings_of
from vestige.tuning.trial import FIGURES, Task, run_in, with_settings

DEFAULT, TUNED = "defaults", "tuned"


def searched(data: TrainingData, plan: TrainingPlan, trials: int) -> tuple[dict[str, Any], float, float]:
    """The best settings by validation, what they reach there, and what the defaults reach there."""
    kind = models.get(plan.models[0])
    defaults = {**plan.training.model_dump(), **kind.hyper_parameters().model_dump()}
    with tempfile.TemporaryDirectory() as folder, studies.quiet():
        place = Path(folder)
        studies.create(place)
        task = Task(place, Path(), Path(), {}, plan, kind.space, defaults, trials, place)
        studies.begin(studies.open_study(place), kind.space, defaults)
        for _ in range(trials):
            study = studies.open_study(place, seed=plan.training.seed)
            run_in(task, data, study)
        found = findings_of(studies.open_study(place), kind.name, kind.space, FIGURES[kind.task])
    best, default = found.best, found.default
    assert best is not None, "no trial ended well"
    assert default is not None, "the defaults did not end well"
    return best.settings, best.value or 0.0, default.value or 0.0


def judged(
    windows: WindowSet, plan: TrainingPlan, trials: int, seed: int
) -> tuple[dict[str, Ints], Ints, Ints]:
    """Predicted class of every window with the defaults and tuned; labels; groups."""
    source = sources.get("logs")
    recipe = find("template", source.recipes)
    present, group = np.unique(groups_of(windows, recipe, windows.last_step), return_inverse=True)
    label = windows.label.astype(np.int64)
    fold = deal(group, label, seed)
    found = {name: np.empty(len(windows), dtype=np.int64) for name in (DEFAULT, TUNED)}
    for test in range(FOLDS):
        part = np.where(fold == test, 2, np.where(fold == (test + 1) % FOLDS, 1, 0))
        sides = {
            name: present[part == at].tolist() for at, name in enumerate(("train", "validation", "test"))
        }
        parts = Split(recipe, "group", dataset_digest(windows), seed, sides).parts(windows)
        data = TrainingData.of(source, parts.sealed())
        settings, best, default = searched(data, plan, trials)
        print(f"deal {seed}, fold {test}: validation {default:.4f} -> {best:.4f} with {settings}", flush=True)
        rows = np.flatnonzero(part[group] == 2)
        for name, own in ((DEFAULT, plan), (TUNED, with_settings(plan, settings))):
            detector = build(data, plan.models[0], own)
            with tempfile.TemporaryDirectory() as folder:
                train(detector, data.train, data.validation, own.training, Path(folder), progress=False)
            found[name][rows] = predict(detector, data.train.over(parts.test)).predicted
    return found, label, group


def main() -> None:
    """Run the deals, and print what each of them says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--format", required=True)
    parser.add_argument("--model", default="gbt")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--deals", type=int, default=1)
    arguments = parser.parse_args()
    settings: dict[str, int | float | bool | str] = {}
    if arguments.model == "gbt":
        settings["threads"] = 1
    plan = TrainingPlan(
        (arguments.model,), settings=settings, training=TrainingConfig(device="cpu", threads=1)
    )
    source = sources.get("logs")
    with tempfile.TemporaryDirectory() as folder:
        options = source.options(format=arguments.format)
        windows = source.prepare(arguments.log, Path(folder) / "dataset", options, engine=HERE)
        for seed in range(arguments.deals):
            found, label, group = judged(windows, plan, arguments.trials, seed)
            print("\n".join(compare(found, label, group, DEFAULT)))


if __name__ == "__main__":
    main()
