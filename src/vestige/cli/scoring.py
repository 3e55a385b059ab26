"""`vestige score`."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vestige import log, storage
from vestige.cli.export import Runtime, in_form
from vestige.cli.options import (
    Address,
    Precision,
    Quantize,
    ScoringEngine,
    is_rounded,
    parse_duration,
    scoring_engine,
)
from vestige.errors import EvidenceError, OutputError, UsageError
from vestige.evidence.files import STDIN, holds_bytes

if TYPE_CHECKING:
    from vestige.engine import Engine
    from vestige.reading.steps import Progress

Format = Annotated[
    str,
    typer.Option(
        "--format",
        "--mapping",
        help="format of the evidence (of events: its mapping); refused if the detector has learnt another",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="file to write to instead of standard output; it appears when it is whole, or grows with "
        "a stream",
    ),
]
ByRecording = Annotated[
    bool,
    typer.Option(
        "--by-recording", help="one line a recording (a file, a machine, a session), the worst first"
    ),
]
AlertsOnly = Annotated[bool, typer.Option("--alerts-only", help="only what alerts")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="replace an existing file (never one of the evidence)")
]
Idle = Annotated[
    str,
    typer.Option(
        help="of a pipe: how long to wait for more lines of a message before it is scored (500ms, 2s, "
        "1m); if more come later, it is scored again"
    ),
]
Unknown = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=0.5,
        help="with --by-recording: add a verdict, which is unknown for a recording that is like no "
        "class, or like several; of recordings like those of validation, at most this share loses "
        "its true class by that",
    ),
]
Explain = Annotated[
    bool,
    typer.Option(
        "--explain", help="add reasons to alerts: the step, what it is, and how much it added to the score"
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("score")(score)


def score(
    run: Annotated[Path, typer.Argument(help="a trained detector: a directory such as runs/bgl/gru")],
    evidence: Annotated[
        list[Path], typer.Argument(help="raw evidence: files or directories; - is standard input")
    ],
    format: Format = "",  # noqa: A002 - the name of the option
    output: Output = None,
    by_recording: ByRecording = False,
    unknown: Unknown = None,
    alerts_only: AlertsOnly = False,
    explain: Explain = False,
    overwrite: Overwrite = False,
    idle: Idle = "2s",
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N")] = "cpu",
    runtime: Runtime = "own",
    quantize: Annotated[
        Quantize, typer.Option(help="int8: transformers compute in 8-bit integers, on the CPU")
    ] = "none",
    precision: Precision = "32",
    engine: ScoringEngine = "local",
    address: Address = None,
) -> None:
    """Score raw evidence with a trained detector: JSON lines with the place, the score, and the alert.

    Its keys are where the window ends (such as file, line, offset), time, score, most_probable_class, alert.
    A detector of the task next adds surprise (nats) and rank (how many events were more probable). One that
    vestige learn made tells the message, its p_value, and of alerts reasons, expected and nearest, within its
    budget.
    Example: vestige score runs/bgl/gru new.log --format bgl --alerts-only
    """
    from vestige import scoring
    from vestige.cli import progress
    from vestige.evidence.simulated import is_simulated
    from vestige.runs.directory import RunDirectory

    scoring.check_device(device)
    if explain and (by_recording or engine != "local" or address is not None):
        raise UsageError(
            "--explain tells reasons of windows that this process scores",
            remedy="leave out --by-recording and --engine, or --explain",
        )
    rounded = is_rounded(precision, runtime=runtime, quantize=quantize)
    run = in_form(RunDirectory.open(run).detector(), runtime)
    if output is not None:
        _refuse_output(output, run, evidence, overwrite)
    _refuse_other_format(run, format)
    _refuse_unknown(run, unknown, by_recording=by_recording)
    if any(map(is_simulated, evidence)):
        log.get("vestige.cli").warning("the evidence is synthetic: its scores say that the program works")
    idle_s = parse_duration("--idle", idle)
    asked = _Asked(device, quantize == "int8", rounded, alerts_only, explain, idle_s)
    workers = scoring_engine(engine, address, device)
    bar = progress.bar("scoring", "bytes", beside_output=output is None)
    with _naming_the_source(run, evidence), bar as update:
        if by_recording:
            found = _recordings(run, evidence, workers, asked, update)
        else:
            found = _windows(run, evidence, workers, asked, update)
        if unknown is not None:
            found = scoring.with_verdicts(found, unknown)
        lines = (scoring.json_line(row) for row in found if _is_wanted(row, alerts_only))
        _write(lines, output, as_they_come=any(map(_is_stream, evidence)) and not by_recording)


@dataclass(frozen=True)
class _Asked:
    """How a person wants evidence to be scored."""

    device: str
    eight_bit: bool
    rounded: bool
    alerts_only: bool
    explain: bool
    idle_s: float


def _windows(
    run: Path, evidence: list[Path], workers: Engine | None, asked: _Asked, update: Progress
) -> Iterable[dict[str, Any]]:
    """A row a window, by this process or by an engine's workers."""
    from vestige import scoring
    from vestige.scoring import spread

    if workers is not None:
        return spread.score(
            run,
            evidence,
            workers,
            quantize=asked.eight_bit,
            rounded=asked.rounded,
            alerts_only=asked.alerts_only,
            progress=update,
        )
    return scoring.score(
        run,
        evidence,
        device=asked.device,
        quantize=asked.eight_bit,
        rounded=asked.rounded,
        alerts_only=asked.alerts_only,
        explain=asked.explain,
        idle_s=asked.idle_s,
        progress=update,
    )


def _recordings(
    run: Path, evidence: list[Path], workers: Engine | None, asked: _Asked, update: Progress
) -> Iterable[dict[str, Any]]:
    """A row a recording, by this process or by an engine's workers."""
    from vestige import scoring
    from vestige.scoring import spread

    if workers is not None:
        return spread.score_recordings(
            run, evidence, workers, quantize=asked.eight_bit, rounded=asked.rounded, progress=update
        )
    return scoring.score_recordings(
        run,
        evidence,
        device=asked.device,
        quantize=asked.eight_bit,
        rounded=asked.rounded,
        progress=update,
    )


@contextlib.contextmanager
def _naming_the_source(run: Path, evidence: list[Path]) -> Iterator[None]:
    """Errors about evidence that the block raises say what the detector reads, because it may be of another
    source; not where nothing stands in it."""
    from vestige.runs.directory import RunDirectory

    try:
        yield
    except EvidenceError as error:
        if all(_is_stream(path) or holds_bytes(path) for path in evidence):
            source = RunDirectory(run).header.dataset_schema["source"]
            error.advise(
                f"the detector reads {source}, as {shlex.join(['vestige', 'inspect', str(run)])} tells"
            )
        raise


def _refuse_other_format(run: Path, asked: str) -> None:
    """Raise UsageError for a format that is none of those that the detector was trained to read."""
    from vestige.runs.directory import RunDirectory

    settings = RunDirectory(run).header.dataset_schema.get("settings", {})
    read = settings.get("formats") or settings.get("auto") or [settings.get("format") or {}]
    known = [described["name"] for described in read if "name" in described]
    meant = {Path(part.strip()).stem for part in asked.split(",")} - {"", "auto"}
    if known and not meant <= set(known):
        names = ",".join(known)
        raise UsageError(
            f"the detector was trained to read {names!r}, not {asked!r}",
            where=run,
            remedy=f"give evidence in that format and --format {names}, or train a detector on {asked}",
        )


def _refuse_unknown(run: Path, level: float | None, *, by_recording: bool) -> None:
    """Raise UsageError for a verdict of which the detector's validation part says nothing."""
    from vestige.runs.directory import RunDirectory

    if level is None:
        return
    if not by_recording:
        raise UsageError("--unknown is of whole recordings", remedy="add --by-recording")
    notes = RunDirectory(run).header.notes
    if notes.pooling is None or notes.conformal is None:
        raise UsageError(
            "the detector keeps nothing to compare recordings with (--unknown)",
            where=run,
            remedy="train one where the label is the recording's, with this version",
        )
    _doubt(run, level)


def _doubt(run: Path, level: float) -> None:
    """Say of which classes a verdict at this level promises nothing."""
    from vestige.evaluation.probabilities import effective_units
    from vestige.runs.directory import RunDirectory

    header = RunDirectory(run).header
    conformal, classes = header.notes.conformal, header.dataset_schema["classes"]
    if conformal is None:
        return
    for name, units, count in zip(classes, effective_units(conformal), conformal.counts, strict=True):
        if count and units < 1 / level:
            log.get(__name__).warning(
                "--unknown %g promises nothing of the class %s: validation's %d recordings of it are as good "
                "as %.1f different ones, and %.0f at least are needed",
                level, name, count, units, 1 / level,
            )  # fmt: skip


def _write(lines: Iterator[str], output: Path | None, *, as_they_come: bool) -> None:
    """Write the lines to standard output, or to a file: whole at the end, or as they come."""
    if output is None:
        for line in lines:
            typer.echo(line)
    elif as_they_come:
        _append(lines, output)
    else:
        with storage.atomic_file(output) as working, working.open("w", encoding="ascii") as file:
            file.writelines(line + "\n" for line in lines)


def _is_wanted(row: dict[str, Any], alerts_only: bool) -> bool:
    """Whether a row is written: a correction always is, because it may take an alert back."""
    return bool(not alerts_only or row["alert"] or row.get("corrects"))


def _is_stream(evidence: Path) -> bool:
    """Whether evidence comes bit by bit, and may never end: standard input, or a pipe with a name."""
    return evidence == STDIN or evidence.is_fifo()


def _append(lines: Iterator[str], output: Path) -> None:
    """Write each line to `output` as it comes.

    A stream may never end: what was found of it is there for whoever follows the file, and stays there when
    the program is killed.
    """
    # An earlier file is given up for a first line only, not where the evidence turns out to be unreadable.
    first = list(islice(lines, 1))
    with storage.growing_file(output) as file:
        file.writelines(line + "\n" for line in chain(first, lines))


def _refuse_output(output: Path, run: Path, evidence: list[Path], overwrite: bool) -> None:
    """Raise OutputError for an output that would replace something, above all what is being read."""
    if not output.exists():
        return
    real = output.resolve()
    for path in [*evidence, *(part for part in run.glob("*") if part.suffix != ".jsonl")]:
        if real.is_relative_to(path.resolve()) or (path.is_file() and path.samefile(output)):
            raise OutputError(
                f"is part of what is read ({path}); it is left alone",
                where=output,
                remedy="choose another output",
            )
    storage.refuse_files(output, overwrite=overwrite)
