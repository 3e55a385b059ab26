"""From a run's results: each detector by profile and by host."""

from __future__ import annotations

from collections.abc import Iterator

from vestige.dashboard.events import Profiles
from vestige.evaluation.results import RunResults


def profiles(found: RunResults) -> Iterator[Profiles]:
    """An event for each detector, models first; each names the profiles of which it says nothing."""
    for one in (*found.models, *found.baselines):
        yield Profiles(
            detector=one.name,
            kind=one.kind,
            synthetic=found.synthetic,
            by_profile=one.per_profile,
            by_host=one.per_host,
            untested=found.split.untested_profiles,
            unseen=found.split.unseen_profiles,
            unvalidated=found.split.unvalidated_profiles,
        )
