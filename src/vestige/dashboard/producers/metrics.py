"""From a run's results: what is looked at, and the figures of each detector."""

from __future__ import annotations

from collections.abc import Iterator

from vestige.checkpoint import Loaded
from vestige.dashboard.events import Caveat, Figure, Metrics, Player, Run
from vestige.evaluation.caveats import audit_lines, outdone, saturated, untested
from vestige.evaluation.learnt import FILE as LEARNT
from vestige.evaluation.learnt_page import PAGE_FILE
from vestige.evaluation.results import RunResults
from vestige.models.normal.detector import Normal
from vestige.runs.directory import RunDirectory

NOT_JUDGED = "These detectors were not judged here: nothing is known of how far to believe them."
LEARNT_ALONE = (
    f"Learnt without labels: {PAGE_FILE} beside the detector says what its own check found, and vestige "
    "evaluate --on judges it on evidence that has labels."
)
LEAKAGE = "Leakage was allowed: no figure is a result."
IN_DISTRIBUTION = (
    "In-distribution: the test part looks like the training part. The figures say nothing about new hosts, "
    "later days or new programs."
)
SYNTHETIC = (
    "Synthetic corpus: written by this program. The figures show that the pipeline works, not that a "
    "detector does."
)


def run(directory: RunDirectory, loaded: Loaded | None) -> Run:
    """The run, as far as it is known. `loaded`: the detector that replays, if one does."""
    found = directory.results
    view, source, classes, player = directory.view, "", [], None
    if loaded is not None:
        view = view or loaded.header.view
        source, classes = loaded.schema.source, list(loaded.schema.classes)
        player = player_of(loaded)
    if found is None:
        return Run(
            title=directory.path.absolute().name,
            source=source,
            view=view,
            split="",
            classes=classes,
            models=list(directory.detectors),
            judged=False,
            synthetic=None,
            created="",
            caveats=[_not_judged(directory)],
            player=player,
        )
    return Run(
        title=found.title,
        source=found.source,
        view=view,
        split=found.split.recipe,
        classes=found.classes,
        models=[result.name for result in found.models],
        judged=True,
        synthetic=found.synthetic,
        created=found.created,
        caveats=caveats(found),
        verdict=found.verdict,
        player=player,
    )


def _not_judged(directory: RunDirectory) -> Caveat:
    """What is to be said of detectors that nobody judged by labels."""
    if (directory.path / LEARNT).is_file():
        return Caveat(kind="plain", text=LEARNT_ALONE)
    return Caveat(kind="grave", text=NOT_JUDGED)


def player_of(loaded: Loaded) -> Player:
    """What is said of the detector that replays."""
    header, detector = loaded.header, loaded.detector
    alpha, budget = None, ""
    if isinstance(detector, Normal):
        alpha, budget = detector.alpha, f"one window in {1 / detector.alpha:,.0f}"
    return Player(
        name=loaded.detector.name,
        view=header.view,
        task=loaded.detector.task,
        threshold=loaded.threshold,
        policy=header.policy,
        alpha=alpha,
        budget=budget,
    )


def caveats(found: RunResults) -> list[Caveat]:
    """Everything that weakens a run's figures, the worst first."""
    grave: list[str] = []
    if found.leakage_allowed:
        grave.append(LEAKAGE)
    if found.split.in_distribution:
        grave.append(IN_DISTRIBUTION)
    grave.append(outdone(found))
    plain: list[str] = []
    if found.synthetic:
        plain.append(SYNTHETIC)
    if not found.clusters.trusted:
        plain.append(f"The intervals cannot be trusted: {found.clusters.reason}.")
    plain += [untested(found), saturated(found)]
    # Of what has nothing to say the text is empty.
    told = [Caveat(kind="grave", text=text) for text in grave if text]
    told += [Caveat(kind="plain", text=text) for text in plain if text]
    told += [Caveat(kind="audit", text=line) for line in audit_lines(found)]
    return told


def metrics(found: RunResults) -> Iterator[Metrics]:
    """An event for each detector, models first."""
    against = {comparison.model: comparison.sentence for comparison in found.comparisons}
    for result in (*found.models, *found.baselines):
        delays = []
        if result.onset is not None:
            delays = result.onset.delays
        yield Metrics(
            detector=result.name,
            kind=result.kind,
            view=result.view,
            pooling=result.pooling,
            windows=result.windows,
            synthetic=found.synthetic,
            clusters=found.clusters.description,
            trusted=found.clusters.trusted,
            figures=[
                Figure(column=column, found=result.metrics[column.name]) for column in found.columns("page")
            ],
            policy=result.threshold.policy,
            threshold=result.threshold.value,
            per_class=result.per_class,
            confusion=result.confusion,
            delays=delays,
            against=against.get(result.name, ""),
        )
