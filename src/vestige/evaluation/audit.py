"""The audit of a run: every way that is known by which the test part could have leaked into training."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from vestige.errors import LeakageError
from vestige.evaluation.entities import classes_present, disjoint, time_order
from vestige.evaluation.overlap import (
    duplicate_recordings,
    duplicate_windows,
    repeated_inputs,
    shared_raw_interval,
)
from vestige.evaluation.probes import label_shuffle, length_shortcut, metadata_shortcut
from vestige.evaluation.results import CheckResult, PartCounts, SplitResult, SymbolFinding
from vestige.evaluation.symbols import symbol_check
from vestige.reading.encoding import EncodedWindows
from vestige.reading.windows import WindowSet
from vestige.splits import Parts, Split


def audit(
    parts: Parts,
    split: Split,
    *,
    encoded: EncodedWindows | None = None,
    groups: NDArray[np.int64] | None = None,
    finding: SymbolFinding | None = None,
    fit_and_predict: Callable[[NDArray[np.uint8]], NDArray[np.int64]] | None = None,
    seed: int = 0,
) -> list[CheckResult]:
    """Run every check. What is not given makes the checks that need it "not applicable".

    `encoded`: windows with the fitted encoder (any part). `groups (n_steps,)`: the source's group of every
    step, such as a message's template, where the split is not by groups itself. `finding`: what
    `symbol_finding` said of these groups. `fit_and_predict`: see `probes.label_shuffle`.

    Raises ValueError when the split's recipe promises what no check looks at.
    """
    checks = [
        *time_order(parts, split),
        *disjoint(parts, split, groups),
        classes_present(parts),
        shared_raw_interval(parts),
        duplicate_recordings(parts, split),
        duplicate_windows(parts, split),
        repeated_inputs(parts, encoded),
        symbol_check(finding),
        metadata_shortcut(parts, seed),
        length_shortcut(parts),
        label_shuffle(parts, fit_and_predict, seed),
    ]
    unchecked = set(split.recipe.promises) - {check.name for check in checks}
    if unchecked:
        raise ValueError(f"the recipe {split.recipe} promises what no check looks at: {sorted(unchecked)}")
    return checks


def failed(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """The checks that failed."""
    return [check for check in checks if check.status == "fail"]


def enforce(checks: Iterable[CheckResult], *, allow_leakage: bool = False) -> bool:
    """Raise LeakageError when a check failed; with `allow_leakage` return True instead of raising."""
    found = failed(checks)
    if found and not allow_leakage:
        raise LeakageError(
            "the audit failed: " + "; ".join(f"{check.name}: {check.detail}" for check in found),
            remedy="mend the split or the corpus, or add --allow-leakage (the report will say so in red)",
        )
    return bool(found)


def describe_split(parts: Parts, split: Split) -> SplitResult:
    """What the split holds out, for the record."""
    return SplitResult(
        recipe=split.recipe.name,
        promises=list(split.recipe.promises),
        unit=split.unit,
        in_distribution=split.in_distribution,
        parts={name: _counts(side) for name, side in parts.sides.items()},
        purged=parts.purged,
        left_out=parts.left_out,
        untested_profiles=split.untested_profiles,
        unseen_profiles=split.unseen_profiles,
        unvalidated_profiles=split.unvalidated_profiles,
        notes=split.notes,
    )


def _counts(windows: WindowSet) -> PartCounts:
    classes = windows.schema.classes
    counts = windows.counts
    each = counts.sum(axis=1)
    mine = windows.recordings[np.flatnonzero(each)]
    profiles, profile = np.unique(windows.recordings["profile"].to_numpy(), return_inverse=True)
    by_profile = np.bincount(profile, each, minlength=len(profiles)).astype(int).tolist()
    return PartCounts(
        windows=len(windows),
        recordings=mine.height,
        hosts=mine["host"].n_unique(),
        per_class=dict(zip(classes, counts.sum(axis=0).tolist(), strict=True)),
        per_profile=dict(zip(profiles.tolist(), by_profile, strict=True)) if len(profiles) > 1 else {},
    )
