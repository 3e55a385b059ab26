"""A job: a dataset with its split, and the encoder fitted on the training part. What training is handed
is sealed; the test part opens only to be judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vestige import log
from vestige.encoding import EncodedWindows
from vestige.pipeline.options import SplitOptions
from vestige.sources import registry
from vestige.sources.base import Source
from vestige.splits import Parts, Split, make
from vestige.windows import WindowSet

logger = log.get(__name__)


@dataclass(frozen=True)
class Job:
    """Everything that models of one run share."""

    source: Source
    windows: WindowSet
    split: Split
    parts: Parts
    train: EncodedWindows
    validation: EncodedWindows

    @classmethod
    def of(cls, source: Source, windows: WindowSet, split: Split, parts: Parts) -> Self:
        """Fit the source's encoder on the training part, and bind it to train and validation."""
        sealed = parts.sealed()
        encoder = source.fit_encoder(sealed.train)
        train = EncodedWindows.of(sealed.train, encoder)
        return cls(source, windows, split, parts, train, train.over(sealed.validation))

    @classmethod
    def open(cls, dataset: Path, split_file: Path) -> Self:
        """From a prepared dataset and a saved split."""
        windows = WindowSet.open(dataset)
        source = registry.get(windows.schema.source)
        split = Split.load(split_file)
        groups = source.groups[split.recipe](windows) if split.unit == "group" else None
        return cls.of(source, windows, split, split.parts(windows, groups))

    @property
    def test(self) -> EncodedWindows:
        """The test part: for judging only."""
        return self.train.over(self.parts.test)


def split_dataset(windows: WindowSet, options: SplitOptions) -> tuple[Split, Parts]:
    """Make the split that `options` ask for and say in the log what it holds out."""
    source = registry.get(windows.schema.source)
    split, parts = make(
        options.split,
        windows,
        seed=options.split_seed,
        fractions=options.shares,
        hold_out=options.hold_out,
        groups=source.groups,
    )
    sizes = ", ".join(
        f"{name} {len(side)}"
        for name, side in (("train", parts.train), ("validation", parts.validation), ("test", parts.test))
    )
    mark = " (in-distribution)" if split.in_distribution else ""
    logger.info("split by %s%s: %s windows, %d purged", split.recipe, mark, sizes, parts.purged)
    if split.untested_profiles:
        logger.warning("profiles that the test part lacks: %s", ", ".join(split.untested_profiles))
    return split, parts
