"""Training data is what training is handed: train and validation windows with the encoder fitted on train.
An experiment is the training data with the test part that judges what was learnt."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from vestige import log
from vestige.errors import EvidenceError
from vestige.reading.encoding import EncodedWindows
from vestige.reading.windows import WindowSet
from vestige.runs.options import SplitOptions
from vestige.schema import Schema
from vestige.sources import registry
from vestige.sources.base import Source
from vestige.splits import Parts, SealedParts, SideCounts, Split, default_recipe, listed, plan

logger = log.get(__name__)


@dataclass(frozen=True)
class TrainingData:
    """What models are trained on, and nothing else: no test part is in here."""

    source: Source[Any]
    train: EncodedWindows
    validation: EncodedWindows

    @classmethod
    def of(cls, source: Source[Any], sealed: SealedParts) -> Self:
        """Fit the source's encoder on the training part, and bind it to train and validation."""
        train = EncodedWindows.of(sealed.train, source.fit_encoder(sealed.train))
        return cls(source, train, train.over(sealed.validation))

    @classmethod
    def again(cls, dataset: Path, split_file: Path, encoder: dict[str, Any]) -> Self:
        """The same in another process, with the encoder whose `to_dict` gave `encoder`."""
        windows = WindowSet.open(dataset)
        source = registry.get(windows.schema.source)
        sealed = Split.load(split_file).parts(windows).sealed()
        train = EncodedWindows.of(sealed.train, source.load_encoder(encoder, windows.schema))
        return cls(source, train, train.over(sealed.validation))

    @property
    def schema(self) -> Schema:
        """The dataset's schema with the fitted inputs."""
        return self.train.schema


@dataclass(frozen=True)
class Experiment:
    """The training data, and what a detector that learnt from it is judged by."""

    training_data: TrainingData
    windows: WindowSet
    split: Split
    parts: Parts

    @classmethod
    def open(cls, dataset: Path, split_file: Path) -> Self:
        """From a prepared dataset and a saved split."""
        windows = WindowSet.open(dataset)
        source = registry.get(windows.schema.source)
        split = Split.load(split_file)
        parts = split.parts(windows)
        return cls(TrainingData.of(source, parts.sealed()), windows, split, parts)

    @property
    def source(self) -> Source[Any]:
        """The kind of evidence."""
        return self.training_data.source

    @property
    def test(self) -> EncodedWindows:
        """The test part: for judging only."""
        return self.training_data.train.over(self.parts.test)


def require_labels(windows: WindowSet, where: Path, *, what: str, evidence: Path | None = None) -> None:
    """Raise EvidenceError where there is but one class, or nobody said which: `what` needs two.

    Without labels a dataset can still be prepared, split, learnt from (`train --task next`) and scored.
    `evidence` is what it was read from, where that is known: the remedy names the command that learns from it
    what is normal.
    """
    named = "EVIDENCE"
    if evidence is not None:
        named = shlex.quote(str(evidence))
    learn = f"vestige learn {windows.schema.source} {named} -o DETECTOR learns what is normal and needs none"
    without = f"{learn}; nor do vestige prepare, split, train --task next and score"
    if not windows.labelled:
        raise EvidenceError(
            f"the evidence has no labels: {what} needs them",
            where=where,
            remedy=f"say where the labels are (see vestige prepare --help); {without}",
        )
    of_class = windows.counts.sum(axis=0)
    present = np.flatnonzero(of_class)
    if len(present) == 1:
        name = windows.schema.classes[int(present[0])]
        raise EvidenceError(
            f"one class only: all {int(of_class.sum())} windows are {name}; {what} needs two",
            where=where,
            remedy=f"say which are anomalies (see --label in vestige prepare --help); {without}",
        )


def split_dataset(windows: WindowSet, options: SplitOptions) -> tuple[Split, SideCounts]:
    """Make the split that `options` ask for, count what is on each side, and say in the log what it holds
    out."""
    source = registry.get(windows.schema.source)
    split, sides = plan(
        options.split or default_recipe(windows),
        windows,
        seed=options.split_seed,
        fractions=options.shares,
        hold_out=options.hold_out,
        own=source.recipes,
        sets=options.input_sets,
        sizes=options.sizes,
    )
    sizes = ", ".join(f"{name} {n}" for name, n in sides.windows.items())
    mark = ""
    if split.in_distribution:
        mark = " (in-distribution)"
    rest = {"purged": sides.purged, "left out": sides.left_out}
    others = "".join(f", {count} {name}" for name, count in rest.items() if count)
    logger.info("split by %s%s: %s windows%s", split.recipe, mark, sizes, others)
    for lacking, part in (
        (split.untested_profiles, "the test part lacks"),
        (split.unvalidated_profiles, "validation lacks"),
        (split.unseen_profiles, "training never sees"),
    ):
        if lacking:
            logger.warning("profiles that %s: %s", part, listed(lacking))
    return split, sides
