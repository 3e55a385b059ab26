"""From a run's results: each detector by profile and by host."""

from __future__ import annotations

from collections.abc import Iterator

from vestige.dashboard.events import Profiles
from vestige.evaluation.results import RunResults


def profiles(found: RunResults) -> Iterator[Profiles]:
    """An event for each detector, models first; each names the profiles of which it says nothing."""
    for result in (*found.models, *found.baselines):
        yield Profiles(
            detector=result.name,
            kind=result.kind,
            synthetic=found.synthetic,
            by_profile=result.per_profile,
            by_host=result.per_host,
            untested=found.split.untested_profiles,
            unseen=found.split.unseen_profiles,
            unvalidated=found.split.unvalidated_profiles,
        )
