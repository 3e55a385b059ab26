"""`vestige validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vestige.cli.options import Address, EngineName, with_options
from vestige.errors import VerdictError
from vestige.validation.options import ValidateOptions

if TYPE_CHECKING:
    from rich.table import Table

    from vestige.validation.sweep import Sweep

SHOWN = 40
"""Rows of a table that the terminal shows; the index has them all."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("validate")(with_options(validate, options=ValidateOptions))


def validate(
    store: Annotated[Path, typer.Argument(help="folder that holds <host>/<day>/<episode>/")],
    options: ValidateOptions,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="the index (default: validation_v1.parquet in STORE)"),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="sweep episodes whose manifest has not changed, too")
    ] = False,
    fail_on: Annotated[
        Literal["degraded", "rejected", "errored", "never"],
        typer.Option("--fail-on", help="the mildest verdict that makes the exit status 10"),
    ] = "rejected",
    jobs: Annotated[int | None, typer.Option("-j", "--jobs", help="processes (default: one a core)")] = None,
    engine: EngineName = "local",
    address: Address = None,
) -> None:
    """Sweep a store of telemetry episodes: a verdict for each, with every reason, in one index.

    Safe to repeat: unchanged episodes keep their verdict, and a sweep that was stopped goes on.
    Example: vestige validate store --deep
    """
    from vestige.cli import progress, tables
    from vestige.engine import choose
    from vestige.evidence.simulated import is_simulated
    from vestige.sources.telemetry.faults import VERDICTS
    from vestige.validation.sweep import validate as sweep

    with progress.bar("sweeping", "episodes") as update:
        found = sweep(
            store,
            options,
            output=output,
            engine=choose(engine, jobs=jobs, address=address),
            again=again,
            progress=update,
        )
    tables.show(_by_host(found))
    if reasons := found.reasons():
        tables.show(_by_reason(reasons))
    kind = " synthetic" if is_simulated(store) else ""
    typer.echo(
        f"{found.rows.height:,}{kind} episodes, {found.known:,} of them unchanged; "
        f"{found.in_transit:,} still being shipped; {len(found.skipped):,} entries left out"
    )
    tables.show(tables.plain(f"index: {found.index}"))
    counts = found.counts()
    bad: list[str] = []
    if fail_on != "never":
        # Verdicts stand from the mildest on: those from this one to the last.
        bad = [verdict for verdict in VERDICTS[VERDICTS.index(fail_on) :] if counts.get(verdict)]
    if bad:
        what = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in bad)
        raise VerdictError(f"{what} episodes", where=store, remedy="the index says why, column reasons")
    if found.unreadable and fail_on != "never":
        what = (
            f"{len(found.unreadable):,} folders could not be listed: whatever is in them is not in the index"
        )
        raise VerdictError(what, where=store, remedy="read as somebody who may")


def _by_host(found: Sweep) -> Table:
    from rich.table import Table

    from vestige.cli import tables
    from vestige.sources.telemetry.faults import VERDICTS

    hosts: dict[str, dict[str, int]] = {}
    for host, verdict, count in found.rows.group_by("host_id", "verdict").len().sort("host_id").iter_rows():
        hosts.setdefault(host, {})[verdict] = count
    table = Table()
    for column in ("host", *VERDICTS, "all"):
        table.add_column(column, justify="left" if column == "host" else "right")
    for host, counts in list(hosts.items())[:SHOWN]:
        table.add_row(*map(tables.plain, _cells(host, counts)), end_section=False)
    if len(hosts) > 1:
        table.add_section()
        table.add_row(*map(tables.plain, _cells("all", found.counts())))
    if len(hosts) > SHOWN:
        table.caption = f"and {len(hosts) - SHOWN:,} more hosts"
    return table


def _cells(name: str, counts: dict[str, int]) -> list[str]:
    from vestige.sources.telemetry.faults import VERDICTS

    return [name, *(f"{counts.get(verdict, 0):,}" for verdict in VERDICTS), f"{sum(counts.values()):,}"]


def _by_reason(reasons: dict[str, int]) -> Table:
    from rich.table import Table

    from vestige.cli import tables
    from vestige.sources.telemetry.faults import FAULTS

    table = Table()
    for column in ("reason", "calls for", "episodes", "meaning"):
        table.add_column(column, justify="right" if column == "episodes" else "left")
    for reason, count in list(reasons.items())[:SHOWN]:
        verdict, meaning = FAULTS[reason.partition(":")[0]]
        table.add_row(*map(tables.plain, (reason, verdict, f"{count:,}", meaning)))
    if len(reasons) > SHOWN:
        table.caption = f"and {len(reasons) - SHOWN:,} more reasons"
    return table
