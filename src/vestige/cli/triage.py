"""`vestige triage`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vestige.cli.options import Address, ScoringEngine, scoring_engine, with_options
from vestige.cli.renamed import EvidenceWasRenamed
from vestige.errors import UsageError
from vestige.triage.options import TriageOptions

if TYPE_CHECKING:
    from rich.console import JustifyMethod

    from vestige.triage.clusters import Cluster, Kind
    from vestige.triage.labels import Spread
    from vestige.triage.run import Outcome

SHOWN = 20
"""Clusters that the terminal shows; the table has them all."""
HOLDERS: dict[Kind, str] = {
    "incident": "incidents",
    "usual": "clusters of what is usual, by machine and event,",
    "rest": "clusters of events of other machines",
}
"""What holds the windows that a detector of what is normal judged."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("triage", cls=EvidenceWasRenamed)(with_options(triage, options=TriageOptions))


def triage(
    run: Annotated[
        Path,
        typer.Argument(
            help="a detector of the task next, such as runs/siem/gru, or one that vestige learn made"
        ),
    ],
    options: TriageOptions,
    evidence: Annotated[
        list[Path] | None,
        typer.Argument(
            help="raw evidence: files or directories; - is standard input; default: the run's test part"
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="all windows, not only those above the threshold")
    ] = False,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="spread the labels of a filled-in triage.csv instead")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="folder of the triage (default: the detector's)")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace an earlier triage, and the labels in its table")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N")] = "cpu",
    engine: ScoringEngine = "local",
    address: Address = None,
) -> None:
    """Cluster alerts that were explained alike, so that tens are labelled, not thousands.

    Those of a detector that vestige learn made are put together as incidents.
    Writes triage.csv, a row a cluster. Fill in its column label, then give it with --labels.
    Example: vestige triage runs/siem/gru
    """
    from vestige.cli import progress

    if labels is not None:
        if evidence or every:
            raise UsageError(
                "--labels spreads labels over a triage that was made: it takes no evidence and no --all",
                remedy="make the triage first, then label it",
            )
        from vestige.triage.labels import spread

        _show_spread(spread(run, labels, output))
        return
    from vestige.triage.run import triage as cluster

    with progress.bar("explaining", "windows") as update:
        outcome = cluster(
            run,
            output,
            options=options,
            evidence=evidence or (),
            every=every,
            overwrite=overwrite,
            device=device,
            engine=scoring_engine(engine, address, device),
            progress=update,
        )
    _show_clusters(outcome)


def _show_clusters(outcome: Outcome) -> None:
    from rich.table import Table

    from vestige.cli import tables

    if outcome.alerts:
        table = Table()
        for column in ("cluster", "event", "alerts", "machines", "surprise", "context"):
            justify: JustifyMethod = "right" if column in {"alerts", "machines", "surprise"} else "left"
            table.add_column(column, justify=justify, no_wrap=column not in {"event", "context"})
        for row in outcome.summary.head(SHOWN).iter_rows(named=True):
            cells = (
                row["cluster"],
                row["event"],
                f"{row['size']:,}",
                f"{row['machines']:,}",
                f"{row['mean_surprise']:.2f}",
                "; ".join(row["context"].split("; ")[:2]),
            )
            table.add_row(*map(tables.plain, cells))
        hidden = len(outcome.clusters) - SHOWN
        if hidden > 0:
            table.caption = f"and {hidden:,} smaller ones"
        tables.show(table)
    told = [f"{outcome.looked_at:,} windows, {outcome.alerts:,} to triage"]
    if outcome.explanations is not None:
        told.append(f"{outcome.explanations:,} different explanations")
    typer.echo(", ".join([*told, f"{len(outcome.clusters):,} clusters"]))
    if outcome.alerts and outcome.explanations is not None:
        typer.echo(f"{_share(outcome, 'alike', 'clusters of alike alerts')}; the rest stand by themselves")
    elif outcome.alerts:
        shares = [_share(outcome, kind, what) for kind, what in HOLDERS.items() if _of(outcome, kind)]
        typer.echo("; ".join(shares))
    tables.show(tables.plain(f"table to fill in: {outcome.table}"))


def _of(outcome: Outcome, kind: Kind) -> list[Cluster]:
    return [cluster for cluster in outcome.clusters if cluster.kind == kind]


def _share(outcome: Outcome, kind: Kind, what: str) -> str:
    """How many clusters of a kind hold which share of the alerts; `what` they are."""
    found = _of(outcome, kind)
    return f"{len(found):,} {what} hold {sum(cluster.size for cluster in found) / outcome.alerts:.1%}"


def _unchecked(found: Spread) -> str:
    """What labels are worth that nothing was compared with."""
    told = "No true label of these alerts is known, so nothing says whether a label fits more than its "
    told += "examples: look at some other alerts of a cluster before you rely on its label."
    if len(found.by_label) == 1 and found.labelled == found.alerts:
        told += " All have one label, which the clusters were not needed for."
    return told


def _show_spread(found: Spread) -> None:
    from rich.table import Table

    from vestige.cli import tables

    table = Table()
    for column in ("label", "clusters", "alerts", "share", "agree with the true label"):
        table.add_column(column, justify="left" if column == "label" else "right")
    for row in found.by_label:
        agree = "-"
        if row.agree is not None and row.checked:
            agree = f"{row.agree / row.checked:.1%} of {row.checked:,}"
        cells = (row.label, f"{row.clusters:,}", f"{row.alerts:,}", f"{row.alerts / found.alerts:.1%}", agree)
        table.add_row(*map(tables.plain, cells))
    left = found.alerts - found.labelled
    share = left / max(1, found.alerts)
    table.add_row("(no label yet)", f"{found.clusters - found.given:,}", f"{left:,}", f"{share:.1%}", "")
    tables.show(table)
    if found.given:
        less = 1 - found.shown / found.labelled
        typer.echo(
            f"{found.given:,} labels for {found.shown:,} examples reach {found.labelled:,} of "
            f"{found.alerts:,} alerts: {less:.1%} fewer to look at"
        )
    if found.checked and found.usual is not None:
        typer.echo(
            f"{found.agree / found.checked:.1%} of {found.checked:,} agree with the true label (examples not "
            f"counted); always saying the commonest would be right in {found.usual:.1%}"
        )
        if not found.worth:
            tables.show(
                tables.plain(
                    "So these labels are worth no more than the commonest: alerts that were put together are "
                    "not of one class here. Do not rely on them.",
                    tables.SENTENCE,
                )
            )
    elif found.given:
        tables.show(tables.plain(_unchecked(found), tables.SENTENCE))
    tables.show(tables.plain(f"wrote {found.path}"))
