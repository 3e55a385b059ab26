"""What a detector that was learnt without labels found when it checked itself."""

from __future__ import annotations

from collections.abc import Iterator

from vestige.dashboard.events import LearntCheck, Planted
from vestige.evaluation.learnt import FILE, Learnt
from vestige.evaluation.learnt_page import sentences
from vestige.runs.directory import RunDirectory


def learnt(directory: RunDirectory) -> Iterator[LearntCheck]:
    """An event where a detector was learnt so. Raises DatasetError for a record that cannot be read."""
    path = directory.path / FILE
    if not path.is_file():
        return
    found = Learnt.load(path)
    planted, warning = [], ""
    if found.sensitivity is not None:
        warning = found.sensitivity.warning
        for row in found.sensitivity.rows:
            # The detector that was learnt stands first; the others are there to be compared with.
            own = next(iter(row.by.values()), None)
            if own is not None:
                planted.append(
                    Planted(
                        what=row.what, of=row.of, found=own.found, share=own.share, low=own.low, high=own.high
                    )
                )
    yield LearntCheck(
        detector=directory.path.absolute().name,
        evidence=found.evidence,
        budget=found.budget,
        sentences=sentences(found),
        planted=planted,
        warning=warning,
    )
