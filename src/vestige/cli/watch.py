"""`vestige watch`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vestige.cli.export import Runtime, in_form
from vestige.cli.options import Precision, is_rounded, parse_duration

State = Annotated[
    Path | None,
    typer.Option(
        "--state", help="directory that remembers where everything stands, so that a later watch goes on"
    ),
]
After = Annotated[
    Path | None,
    typer.Option(
        "--after",
        help="the --state of the watch before this one, such as that of the detector that was learnt again: "
        "its exceptions and confirmed examples are taken over, once",
    ),
]
Sinks = Annotated[
    list[str],
    typer.Option(
        "--sink",
        help="where alerts go, KIND:WHERE (repeatable): jsonl:PATH, jsonl:- is standard output and the "
        "default; see docs/watch.md for the others",
    ),
]
Listen = Annotated[
    list[str],
    typer.Option(
        "--listen",
        help="take log messages that are sent, too (repeatable): syslog://127.0.0.1:5514 (UDP and TCP), "
        "otlp://127.0.0.1:4318 (OTLP over HTTP); needs --state",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        help="I/N: follow the Ith of N parts of the files, by their names; N watches, each with a "
        "--state of its own, follow everything once",
    ),
]
Idle = Annotated[
    str,
    typer.Option(
        help="how long to wait for more lines of a message before it is judged (500ms, 2s, 1m); if "
        "more come later, it is judged again"
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("watch")(watch)


def watch(
    detector: Annotated[
        Path, typer.Argument(help="a detector: a directory that vestige learn or vestige run wrote")
    ],
    evidence: Annotated[
        list[Path],
        typer.Argument(help="what grows: files, directories; - is standard input"),
    ] = [],
    state: State = None,
    after: After = None,
    sink: Sinks = [],
    listen: Listen = [],
    shard: ShardOption = None,
    once: Annotated[bool, typer.Option("--once", help="go to the end of what is there, and stop")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="write every step with its score, not alerts alone")
    ] = False,
    idle: Idle = "400ms",
    runtime: Runtime = "own",
    precision: Precision = "32",
) -> None:
    """Follow evidence as it grows, and send alerts, grouped into incidents, each with its reasons.

    Files that are rotated, cut short or new are followed; with --state nothing is lost or told twice after a
    kill. Nothing is sent over the network unless a sink asks for it.

    Example: vestige watch normal /var/log --state watch-state --sink jsonl:alerts.jsonl
    """
    from vestige.errors import EvidenceError, UsageError
    from vestige.evidence.files import STDIN
    from vestige.runs.directory import RunDirectory
    from vestige.service.sharding import Shard
    from vestige.service.sinks import make_all
    from vestige.service.watch import Watch, WatchOptions

    if not evidence and not listen:
        raise UsageError("there is nothing to watch", remedy="name files or directories, or add --listen")
    if once and listen:
        raise UsageError(
            "--listen waits for what comes, and --once ends at what is there", remedy="leave out one of them"
        )
    # Later a file may come where none is now, and while rotation moves it; --once would end in nothing.
    if once and not any(path == STDIN or os.access(path, os.F_OK) for path in evidence):
        raise EvidenceError(
            "it is not there, or may not be read",
            where=evidence[0],
            remedy="--once reads what is there already; check the path, and who may read it",
        )
    if after is not None and (state is None or after.resolve() == state.resolve()):
        raise UsageError(
            "--after hands what people said over to the --state of this watch, which must be another one",
            remedy="name a new directory with --state",
        )
    options = WatchOptions(
        once=once,
        every=every,
        idle_s=parse_duration("--idle", idle),
        shard=None if shard is None else Shard.parse(shard),
        after=after,
        rounded=is_rounded(precision, runtime=runtime),
    )
    folder = in_form(RunDirectory.open(detector).detector(), runtime)
    sinks = make_all(sink or ["jsonl:-"], state)
    Watch.start(folder, evidence, sinks, state=state, options=options, listen=listen).run()
