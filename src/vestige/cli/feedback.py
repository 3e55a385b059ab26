"""`vestige incidents`, `dismiss` and `confirm`: what a watch has found, and what people say of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vestige.cli.options import parse_duration

if TYPE_CHECKING:
    from rich.table import Table

    from vestige.service.feedback import Kept

State = Annotated[Path, typer.Argument(help="the directory that vestige watch --state names")]
REASON, LINE = 200, 4_000
"""Characters of a reason in the list, and of a line about an incident that is shown alone."""


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("incidents")(incidents)
    app.command("dismiss")(dismiss)
    app.command("confirm")(confirm)


def incidents(
    state: State,
    incident: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="show this incident, with its reasons and evidence")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            help="only incidents with an alert in the last 12h, 7d or the like, by the times of the evidence"
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="only those of this host (or recording)")] = None,
) -> None:
    """List the incidents that a watch has kept, or show one; also while it runs.

    Example: vestige incidents watch-state --since 7d
    """
    from vestige.cli import tables
    from vestige.scoring.windows import json_line
    from vestige.service import feedback

    found = feedback.kept(state)
    if incident is not None:
        rows = [found.find(incident)]
    else:
        since_s = None if since is None else parse_duration("--since", since)
        rows = feedback.chosen(found, since_s=since_s, host=host)
    if as_json:
        for row in rows:
            typer.echo(json_line({**row, "said": found.said(row["id"])}))
        return
    if incident is not None:
        _show(rows[0], found)
        return
    if rows:
        # Why an incident is one says more than when it ended.
        tables.show(_table(rows, found), least=("last", "state", "alerts", "first", "host"))
    _tell(found, len(rows))


def dismiss(
    state: State,
    incident: Annotated[str, typer.Argument(metavar="ID", help="the incident to dismiss")],
    because: Annotated[str, typer.Option(help="why it is fine, for whoever reads it later")],
    expires: Annotated[
        str | None, typer.Option(help="the exception ends after so long: 30d [default: it holds for ever]")
    ] = None,
    scope: Annotated[
        Literal["entity", "template", "both"],
        typer.Option(
            help="what to hide from now on: findings of the same kind on this host (entity), the same "
            "events on any host (template), or the same events on this host (both)"
        ),
    ] = "both",
) -> None:
    """Say that an incident is fine: alerts like its own are counted from now on, and not told.

    Says what this would have hidden so far, and adds a readable exception to exceptions.toml in the
    directory. A watch that runs takes it up within a second or two.

    Example: vestige dismiss watch-state 000012 --because "the nightly backup" --expires 30d
    """
    from vestige.cli import tables
    from vestige.service import feedback

    expires_s = None if expires is None else parse_duration("--expires", expires)
    done = feedback.dismiss(state, incident, because, expires_s=expires_s, scope=scope)
    lines = [f"this exception {done.past}", "", *done.entry.toml().splitlines(), ""]
    if done.uncounted:
        lines.append(
            f"{done.uncounted:,} alerts of the incident were raised in ways that are not kept (more than 20 "
            "ways): the exception may not hide all of their kind"
        )
    if any(look.startswith("values.") for look in done.entry.looks or ()):
        lines.append("a look at values raised it: other new values of these events are hidden, too")
    lines.append(f"it stands in {done.path}: change or remove it there")
    for line in lines:
        tables.show(tables.plain(line, LINE))


def confirm(
    state: State,
    incident: Annotated[str, typer.Argument(metavar="ID", help="the incident that is real")],
    because: Annotated[str | None, typer.Option(help="what it was, for whoever reads it later")] = None,
) -> None:
    """Say that an incident is one: it is kept as an example of what is to be found, in confirmed.jsonl.

    Example: vestige confirm watch-state 000013 --because "a stolen key was used"
    """
    from vestige.cli import tables
    from vestige.service import feedback

    row = feedback.confirm(state, incident, because)
    tables.show(
        tables.plain(f"incident {row['id']} on {row['host']} is kept in {state / feedback.CONFIRMED}")
    )


def _table(rows: list[dict[str, Any]], found: Kept) -> Table:
    """Incidents, a row each, with their strongest reason."""
    from rich.table import Table

    from vestige.cli import tables

    table = Table()
    for name in ("id", "host", "first", "last", "alerts", "state", "strongest reason"):
        justify: Literal["left", "right"] = "right" if name == "alerts" else "left"
        # A time that is cut in two says nothing at a glance, nor does a reason with a word on each line.
        whole, wide = name in {"id", "first", "last", "state"}, 26 if name == "strongest reason" else None
        table.add_column(name, justify=justify, overflow="fold", no_wrap=whole, min_width=wide)
    for row in rows:
        said = found.said(row["id"])
        state = row["state"] if said is None else f"{row['state']}, {said}"
        reason = row["reasons"][0]["says"] if row["reasons"] else ""
        cells = (row["id"], row["host"], _time(row["first"]), _time(row["last"]), f"{row['alerts']:,}", state)
        table.add_row(*map(tables.plain, cells), tables.plain(reason, REASON))
    return table


def _show(row: dict[str, Any], found: Kept) -> None:
    """All that is kept of an incident."""
    from vestige.cli import tables
    from vestige.evidence.defects import counted

    said = found.said(row["id"])
    again = f", {counted(row['repeats'], 'repeat')}" if row.get("repeats") else ""
    lines = [
        f"incident {row['id']} on {row['host']}: {row['state']}" + (f", {said}" if said else ""),
        f"{counted(row['alerts'], 'alert')} from {_time(row['first'])} to {_time(row['last'])}{again}",
        *(f"  because {entry.because}" for entry in found.exceptions if entry.id == row["id"]),
        "reasons, the strongest first:",
        *(f"  {reason['says']}" for reason in row["reasons"]),
        "raised by:",
    ]
    for raised in row["raised"]:
        event = raised["template"] or raised["event"] or "(the detector does not tell events)"
        lines.append(f"  {counted(raised['alerts'], 'time')}: {event} ({', '.join(raised['looks'])})")
    some = f", the first {len(row['evidence'])}" if len(row["evidence"]) < row["alerts"] else ""
    lines.append(f"evidence{some}:")
    for place in row["evidence"]:
        names = (place.get("file", place.get("recording")), place.get("line"))
        where = ":".join(str(name) for name in names if name is not None)
        lines.append(f"  {_time(place.get('time'))} {where} {place.get('text') or ''}")
    for line in lines:
        tables.show(tables.plain(line, LINE))


def _time(time: Any) -> str:
    """A time to the second; what is no time as it is."""
    if time is None:
        return "an unknown time"
    text = str(time)
    return f"{text[:19]}Z" if text.endswith("Z") else text


def _tell(found: Kept, shown: int) -> None:
    if shown < len(found.rows):
        typer.echo(f"{len(found.rows) - shown:,} others are not shown")
    for sentence in found.told():
        typer.echo(sentence)
