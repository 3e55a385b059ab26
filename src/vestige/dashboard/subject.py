"""What a path means: a run of many detectors, one of its views, one detector, judged or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vestige.checkpoint import HEADER
from vestige.errors import UsageError
from vestige.evaluation.results import RunResults
from vestige.models.base import VIEWS
from vestige.pipeline.config import FILE as CONFIG
from vestige.pipeline.config import RunConfig
from vestige.scoring import detector_in

RESULTS = "metrics.json"
SEES_EVERYTHING = "oracle"


@dataclass(frozen=True)
class Subject:
    """`results`: of the detectors meant, None where they were not judged. `folders`: where those of them lie
    that are here as checkpoints, by name."""

    path: Path
    results: RunResults | None
    folders: dict[str, Path]

    @classmethod
    def open(cls, path: Path) -> Subject:
        """Raises UsageError where there is neither, DatasetError for results that cannot be read."""
        path = path.absolute()
        if (path / HEADER).is_file():
            return cls(path, _results(path), {path.name: path})
        home = path.parent if path.name in VIEWS and not (path / RESULTS).is_file() else path
        found = {
            one.parent.relative_to(home).as_posix(): one.parent
            for pattern in ("*", "*/*")
            for one in sorted(path.glob(f"{pattern}/{HEADER}"))
        }
        results = _results(home)
        if home != path and results is not None:
            results = _of_view(results, path.name)
        if not found and results is None:
            raise UsageError(
                "neither a run nor a detector", where=path, remedy="give a directory that vestige run wrote"
            )
        return cls(path, results, found)

    @property
    def view(self) -> str:
        """The view of all detectors, `both` where they have both; empty where nobody says."""
        named = set() if self.results is None else {one.view for one in self.results.models}
        if len(named) > 1:
            return "both"
        asked = RunConfig.load(self.path).view if (self.path / CONFIG).is_file() else ""
        return next(iter(named), "") or asked

    def player(self) -> Path:
        """The detector that replays: the one that was best on validation, of those that see what a deployed
        one could, where there are such. Raises UsageError where nobody knows which."""
        if (self.path / HEADER).is_file() or self.results is None:
            return detector_in(self.path)
        ranked = sorted(
            (one for one in self.results.models if one.name in self.folders),
            key=lambda one: (one.view == SEES_EVERYTHING, -(one.validation_macro_f1 or 0.0)),
        )
        return self.folders[ranked[0].name] if ranked else detector_in(self.path)


def _results(path: Path) -> RunResults | None:
    return RunResults.load(path / RESULTS) if (path / RESULTS).is_file() else None


def _of_view(results: RunResults, view: str) -> RunResults:
    """The results of one view, baselines included."""
    names = {one.name for one in results.detectors if one.view == view}
    return results.model_copy(
        update={
            "detectors": [one for one in results.detectors if one.name in names],
            "comparisons": [one for one in results.comparisons if one.model in names],
            "pairs": [one for one in results.pairs if {one.first, one.second} <= names],
        }
    )
