"""`vestige traces dump` and `vestige traces timeline`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from vestige.cli.help import App
from vestige.cli.renamed import OutWasRenamed, RenamedCommands
from vestige.errors import EvidenceError, UsageError


class TracesCommands(RenamedCommands):
    """The commands of `vestige traces`."""

    old_commands: ClassVar[Mapping[str, str]] = {"strips": "timeline"}


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    about = "Look into Intel PT traces.\n\nExample: vestige traces dump trace_0"
    group = App(cls=TracesCommands, no_args_is_help=True, help=about, rich_markup_mode=None)

    @group.callback()
    def _group() -> None:
        """Looked into by `about`."""

    group.command("dump")(dump)
    group.command("timeline", cls=OutWasRenamed)(timeline)
    app.add_typer(group, name="traces", help=about)


def dump(
    file: Annotated[Path, typer.Argument(help="raw Intel PT, plain, .gz or .zst; - for standard input")],
    start: Annotated[
        str, typer.Option("--from", metavar="OFFSET", help="begin at the first PSB from this byte on (0x...)")
    ] = "0",
    last_ip: Annotated[bool, typer.Option("--lastip", help="show addresses in full, too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line, with every field")] = False,
) -> None:
    """List the packets of a trace, errors and where decoding went on included.

    What was lost is told on standard error. Example: vestige traces dump trace_0.gz --lastip
    """
    from vestige.evidence.expand import Expander
    from vestige.evidence.files import EvidenceFile
    from vestige.sources.traces.packets import listing
    from vestige.sources.traces.packets.columns import packets
    from vestige.sources.traces.packets.quality import Quality
    from vestige.sources.traces.packets.stream import skipping

    base = _offset(start)
    evidence = EvidenceFile(file, file.name, None)
    quality = Quality()
    with evidence.open() as handle:
        content = Expander(handle, evidence.where)
        pieces = _packets_alone(content.pieces(), evidence.where)
        runs = packets(skipping(pieces, base), base=base, quality=quality)
        lines: Iterator[str]
        if as_json:
            lines = (json.dumps(fields, separators=(",", ":")) for fields in listing.objects(runs))
        else:
            lines = listing.lines(runs, last_ip=last_ip)
        sys.stdout.writelines(line + "\n" for line in lines)
        sys.stdout.flush()
    if base and not quality.n_bytes:
        raise EvidenceError(f"has {content.given} bytes, none from {base} on", where=evidence.where)
    for defect in content.defects:
        typer.echo(f"{evidence.where}: {defect}", err=True)
    typer.echo(f"{evidence.where}: {quality}", err=True)


def _packets_alone(pieces: Iterator[bytes], where: str) -> Iterator[bytes]:
    """The same pieces. Raises EvidenceError where the first of them is the header of another kind of file."""
    from vestige.sources.traces.containers import refuse_container

    for number, piece in enumerate(pieces):
        if number == 0:
            refuse_container(piece, where)
        yield piece


def timeline(
    run: Annotated[Path, typer.Argument(help="a detector trained on traces: a directory such as runs/a/gru")],
    evidence: Annotated[
        list[Path] | None,
        typer.Argument(help="recordings: a corpus, or the directory of one; default: the test part"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="folder for the page; default: the detector's")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="recordings drawn at most")] = 24,
    eps: Annotated[
        float, typer.Option(min=1e-6, max=1, help="alike are recordings no further apart (cosine)")
    ] = 0.5,
    min_samples: Annotated[
        int, typer.Option(min=1, help="recordings nearby that make a cluster (DBSCAN)")
    ] = 2,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier page")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N")] = "cpu",
) -> None:
    """Draw surprise along each recording: where it went strange or left all modules, and which are alike.

    Example: vestige traces timeline runs/first/next_gru
    """
    from vestige.cli import progress, tables
    from vestige.timeline.run import draw_timelines

    with progress.bar("judging", "bytes" if evidence else "events") as update:
        found = draw_timelines(
            run,
            evidence or (),
            output,
            most=most,
            eps=eps,
            min_samples=min_samples,
            overwrite=overwrite,
            device=device,
            progress=update,
        )
    tables.show(tables.timelines(found, tables.width()))
    typer.echo(f"page: {found.page}")
    typer.echo(f"places: {found.places}")


def _offset(text: str) -> int:
    """A byte offset, decimal or with a prefix such as 0x."""
    try:
        offset = int(text, 0)
    except ValueError as error:
        raise UsageError(f"--from: {text!r} is no number of bytes") from error
    if not 0 <= offset < 1 << 62:
        raise UsageError("--from: expected an offset from the start of the trace")
    return offset
