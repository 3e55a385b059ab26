"""`vestige audit`: leaks and shortcuts in anybody's tables."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vestige.errors import LeakageError

if TYPE_CHECKING:
    from rich.table import Table

    from vestige.evaluation.tables.record import TableAudit, Worth


Predictions = Annotated[
    Path | None,
    typer.Option(
        "--predictions",
        help="what a detector said of the test rows: columns score (or proba_CLASS), predicted, alert; "
        "in the order of the test table, or by --id",
    ),
]
History = Annotated[
    Path | None,
    typer.Option(
        "--history", help="a row an epoch: columns test..., val... and chosen (true for the epoch kept)"
    ),
]
Normal = Annotated[
    str | None,
    typer.Option(
        "--normal", help="class without anomalies (default: normal, benign, 0, ..., else the commonest)"
    ),
]
HeldOut = Annotated[
    list[str], typer.Option("--held-out", help="time, host or id: what the split promises (repeatable)")
]
Allow = Annotated[
    list[str],
    typer.Option("--allow", help="check whose finding is known and does not count (repeatable)"),
]
FailOn = Annotated[
    Literal["fail", "warn", "never"],
    typer.Option("--fail-on", help="the mildest finding that makes the exit status 7"),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("audit")(audit)


def audit(
    train: Annotated[Path, typer.Option("--train", help="table of training rows: CSV or Parquet")],
    test: Annotated[Path, typer.Option("--test", help="table of test rows")],
    predictions: Predictions = None,
    history: History = None,
    time: Annotated[str | None, typer.Option("--time", help="column of times")] = None,
    host: Annotated[str | None, typer.Option("--host", help="column of hosts")] = None,
    label: Annotated[str | None, typer.Option("--label", help="column of true classes")] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", help="column of ids: of rows, or of the recordings they are from")
    ] = None,
    normal: Normal = None,
    held_out: HeldOut = [],
    allow: Allow = [],
    fail_on: FailOn = "fail",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="page to write, such as audit.html")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print the audit as JSON")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="seed of samples and resamples")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier page")] = False,
) -> None:
    """Audit a training and a test table, of any tool: leaks, shortcuts, and what each may have been worth.

    The exit status is 0 where no check fails, 7 where one does. What tables cannot tell is listed, too.
    Example: vestige audit --train train.csv --test test.csv --label y --time t --host h -o audit.html
    """
    from vestige.evaluation.tables.audit import Asked, audit_tables
    from vestige.evaluation.tables.page import write_page
    from vestige.evaluation.tables.sides import Roles
    from vestige.storage import refuse_files

    refuse_files(output, overwrite=overwrite)
    found = audit_tables(
        Asked(
            train, test, Roles(time, host, label, id_column), predictions, history, tuple(held_out),
            tuple(allow), normal, seed, shlex.join(["vestige", *sys.argv[1:]]),
        )
    )  # fmt: skip
    if output is not None:
        write_page(output, found)
    if json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _show(found, output)
    counted = {"fail": {"fail"}, "warn": {"fail", "warn"}, "never": set()}[fail_on]
    named = [check.name for check in found.findings if check.status in counted]
    if named:
        raise LeakageError(
            f"the audit found: {', '.join(named)}",
            remedy="mend the split or the tables, or add --allow NAME for what is known",
        )


def _show(found: TableAudit, page: Path | None) -> None:
    from vestige.cli import tables
    from vestige.evaluation.tables.page import verdict

    tables.show(_checks(found))
    for row in found.not_checked:
        tables.show(tables.plain(f"cannot be checked: {row.what} ({row.why})", tables.SENTENCE))
    for note in [*found.train.notes, *found.test.notes]:
        tables.show(tables.plain(f"note: {note}", tables.SENTENCE))
    tables.show(tables.plain(verdict(found), tables.SENTENCE))
    if page is not None:
        tables.show(tables.plain(f"wrote {page}"))


def _checks(found: TableAudit) -> Table:
    from rich.table import Table

    from vestige.cli import tables

    table = Table(title=tables.plain(f"{found.train.path} against {found.test.path}"))
    for name in ("check", "status", "what was found"):
        table.add_column(name, overflow="fold", no_wrap=name == "status")
    for check in found.checks:
        status = check.status.replace("_", " ") + (" (allowed)" if check.allowed else "")
        said = check.detail
        if check.examples:
            said += f"; such as {'; '.join(check.examples[:2])}"
        if check.worth is not None and check.status in {"fail", "warn"}:
            said += f". {_worth(check.worth)}"
        table.add_row(*(tables.plain(cell, tables.SENTENCE) for cell in (check.name, status, said)))
    return table


def _worth(worth: Worth) -> str:
    if worth.before is None or worth.after is None:
        return worth.note.capitalize()
    told = []
    for name, title in (
        ("macro_f1", "macro F1"),
        ("average_precision", "AP"),
        ("recall", "recall"),
        ("fpr", "FPR"),
    ):
        before, after = getattr(worth.before, name), getattr(worth.after, name)
        if before is not None and after is not None:
            told.append(f"{title} {before:.3f} to {after:.3f}")
    text = f"{worth.of.capitalize()}, {worth.note}: {', '.join(told) or 'no figures'}"
    if worth.drop is not None and worth.drop.low is not None and worth.drop.high is not None:
        between = f"{worth.drop.low:+.3f} to {worth.drop.high:+.3f}"
        text += f" (macro F1 falls by {worth.drop.estimate or 0:+.3f}, 95% {between})"
    return text
