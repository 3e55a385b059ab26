"""`vestige dashboard`."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from vestige import extras
from vestige.cli.export import Runtime, in_form


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("dashboard")(dashboard)


def dashboard(
    run: Annotated[Path, typer.Argument(help="a run, one of its views, or one trained detector")],
    evidence: Annotated[
        list[Path] | None,
        typer.Argument(help="raw evidence to replay: files or directories; - is standard input"),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            help="the directory that vestige watch --state names: shows its incidents, also while it runs",
        ),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="speed of the replay: 1 is real time, 0 is as fast as possible")
    ] = 1.0,
    events: Annotated[
        bool, typer.Option("--events", help="no page: write the events to standard output, a JSON line each")
    ] = False,
    host: Annotated[
        str,
        typer.Option(help="address to listen on; whoever reaches it and has the token sees everything"),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to listen on; 0: any free one")] = 8765,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N")] = "cpu",
    runtime: Runtime = "own",
) -> None:
    """Show a run on a page, replay raw evidence through its best detector, and show what a watch has found.

    The best on validation replays; to have another, name its folder: RUN/gru. The address that is printed
    holds a token, without which nothing is shown. With --state, incidents can be dismissed and confirmed.
    Example: vestige dashboard runs/twelve store/host-1/2026-03-02/ep-0000000 --speed 10
    """
    from vestige.dashboard.feed import Feed
    from vestige.dashboard.pace import Pace
    from vestige.runs.directory import RunDirectory

    if not events:
        extras.require("dashboard", "the page", instead="use --events")
    player = None
    if runtime != "own":
        player = in_form(RunDirectory.open(run).best(), runtime)
    feed = Feed.open(run, evidence or (), device=device, state=state, player=player)
    if events:
        for event in chain(feed.standing(), feed.replayed(Pace(speed))):
            typer.echo(event.line)
        return
    from vestige.dashboard.server import serve

    def announce(url: str) -> None:
        typer.echo(f"{url}   (Ctrl-C ends it)")

    serve(feed, host=host, port=port, speed=speed, announce=announce)
