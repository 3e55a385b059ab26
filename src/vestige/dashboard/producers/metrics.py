"""From a run's results: what is looked at, and the figures of each detector."""

from __future__ import annotations

from collections.abc import Iterator

from vestige.checkpoint import Loaded
from vestige.dashboard.events import Caveat, Figure, Metrics, Player, Run
from vestige.evaluation.caveats import audit_lines, outdone, saturated, untested
from vestige.evaluation.results import RunResults
from vestige.runs.directory import RunDirectory

NOT_JUDGED = "These detectors were not judged here: nothing is known of how far to believe them."
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
    view = directory.view or ("" if loaded is None else loaded.header.view)
    player = None if loaded is None else player_of(loaded)
    if found is None:
        return Run(
            title=directory.path.absolute().name,
            source="" if loaded is None else loaded.schema.source,
            view=view,
            split="",
            classes=[] if loaded is None else list(loaded.schema.classes),
            models=list(directory.detectors),
            judged=False,
            synthetic=None,
            created="",
            caveats=[Caveat(kind="grave", text=NOT_JUDGED)],
            player=player,
        )
    return Run(
        title=found.title,
        source=found.source,
        view=view,
        split=found.split.recipe,
        classes=found.classes,
        models=[one.name for one in found.models],
        judged=True,
        synthetic=found.synthetic,
        created=found.created,
        caveats=caveats(found),
        player=player,
    )


def player_of(loaded: Loaded) -> Player:
    """What is said of the detector that replays."""
    header = loaded.header
    return Player(
        name=loaded.detector.name,
        view=header.view,
        task=loaded.detector.task,
        threshold=loaded.threshold,
        policy=header.policy,
    )


def caveats(found: RunResults) -> list[Caveat]:
    """Everything that weakens a run's figures, the worst first."""
    untrusted = "" if found.clusters.trusted else f"The intervals cannot be trusted: {found.clusters.reason}."
    grave = [LEAKAGE if found.leakage_allowed else "", IN_DISTRIBUTION if found.split.in_distribution else ""]
    plain = [SYNTHETIC if found.synthetic else "", untrusted, untested(found), saturated(found)]
    return [
        *(Caveat(kind="grave", text=one) for one in (*grave, outdone(found)) if one),
        *(Caveat(kind="plain", text=one) for one in plain if one),
        *(Caveat(kind="audit", text=one) for one in audit_lines(found)),
    ]


def metrics(found: RunResults) -> Iterator[Metrics]:
    """An event for each detector, models first."""
    against = {one.model: one.sentence for one in found.comparisons}
    for one in (*found.models, *found.baselines):
        yield Metrics(
            detector=one.name,
            kind=one.kind,
            view=one.view,
            pooling=one.pooling,
            windows=one.windows,
            synthetic=found.synthetic,
            clusters=found.clusters.description,
            trusted=found.clusters.trusted,
            figures=[
                Figure(column=column, found=one.metrics[column.name]) for column in found.columns("page")
            ],
            policy=one.threshold.policy,
            threshold=one.threshold.value,
            per_class=one.per_class,
            confusion=one.confusion,
            delays=[] if one.onset is None else one.onset.delays,
            against=against.get(one.name, ""),
        )
