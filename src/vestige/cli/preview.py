"""`vestige preview SOURCE`: how evidence would be read, before anything is learnt."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from vestige.cli.options import arguments_of, with_options
from vestige.cli.sources import add_verb
from vestige.errors import DefinitionError, EvidenceError, FormatError, OutputError, UsageError
from vestige.sources import registry as sources

if TYPE_CHECKING:
    from vestige.reading.overview import Overview
    from vestige.reading.preview import Preview, Row
    from vestige.reading.steps import Progress
    from vestige.sources.base import Source

ENCODER = json.JSONEncoder(separators=(",", ":"))
MOST_LINES = 100
"""Lines of a file that fits no format, where all of its steps were asked for."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    add_verb(
        app,
        "preview",
        "Show how evidence of a source would be read, and what of it would not.",
        preview_command,
        sources,
    )


def preview_command(source: Source[Any]) -> Callable[..., None]:
    """`vestige preview` for one source."""

    def preview(
        evidence: Annotated[
            list[Path], typer.Argument(help="raw evidence: files or directories; - is standard input")
        ],
        options: BaseModel,
        limit: Annotated[
            int, typer.Option("--limit", min=0, help="steps that are shown; 0: all of them")
        ] = 20,
        as_json: Annotated[
            bool, typer.Option("--json", help="a JSON object for each step, and a last one for all of them")
        ] = False,
        write_format: Annotated[
            Path | None,
            typer.Option(
                "--write-format",
                help="write the format, or the mapping of fields, that the evidence is read by to this file "
                "(my.toml), to be edited",
            ),
        ] = None,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="replace an existing file (--write-format)")
        ] = False,
    ) -> None:
        from vestige.reading.overview import Overview
        from vestige.reading.preview import Preview

        if write_format is not None:
            _refuse_format_file(source, write_format, evidence, overwrite=overwrite)
        readers = [source.corpus_reader(corpus, options) for corpus in evidence]
        overview = Overview(readers[0])
        several = len(evidence) > 1
        looks = [
            Preview(reader, corpus, overview, named=several)
            for reader, corpus in zip(readers, evidence, strict=True)
        ]
        if as_json:
            _print(looks, overview, limit)
        else:
            _show(looks, overview, limit)
        if not overview.steps:
            raise looks[0].nothing()
        if write_format is not None:
            _write_format(source, overview, write_format)
            form = [f"--{source.form_option}", str(write_format)]
            command = preview_line(source, evidence, options, *form)
            typer.echo(f"written: {write_format}; read by it: {command}", err=as_json)

    preview.__doc__ = f"""Show how {source.name} evidence would be read, before anything is learnt from it.

    It is read as vestige prepare does it: what is shown is what a dataset would hold. Nothing is written.

    Example: vestige preview {source.name} EVIDENCE
    """
    return with_options(preview, options=source.options)


def _print(looks: list[Preview], overview: Overview, limit: int) -> None:
    """A JSON object for each of the first steps as it is read, and one for all of them."""
    from vestige.cli import progress

    with progress.bar("reading", "bytes", beside_output=True) as update:
        for row in _first(looks, limit, update):
            sys.stdout.write(_json_line(row))
    sys.stdout.write(_json_line({"summary": overview.summary()}))
    sys.stdout.flush()


def _show(looks: list[Preview], overview: Overview, limit: int) -> None:
    """Tables of all steps and of the first; of a file that fits no format, what stands in it."""
    from vestige.cli import progress, tables

    try:
        with progress.bar("reading", "bytes", beside_output=False) as update:
            rows = list(_first(looks, limit, update))
    except FormatError:
        _show_as_it_is(looks, limit)
        raise
    tables.show(tables.overview(overview))
    if rows:
        tables.show(tables.steps(rows))


def _show_as_it_is(looks: list[Preview], limit: int) -> None:
    """The first lines of the file that fits no format: why it does not is seen there."""
    from vestige.cli import tables
    from vestige.reading.files import FileUnit, first_lines

    for look in looks:
        if isinstance(look.stopped_at, FileUnit):
            lines = first_lines(look.stopped_at.file, limit or MOST_LINES)
            tables.show(tables.raw_lines(look.stopped_at.name, lines))


def preview_line(source: Source[Any], evidence: Sequence[Path], options: BaseModel, *more: str) -> str:
    """The command, to be pasted, that shows how evidence would be read by these options, but for the format
    or mapping that they name: by the one that is found, or as `more` says."""
    given = arguments_of(options, without=source.form_option)
    return shlex.join(["vestige", "preview", source.name, *map(str, evidence), *given, *more])


@contextlib.contextmanager
def pointing_to_preview(source: Source[Any], corpus: Path, options: BaseModel) -> Iterator[None]:
    """Errors about formats and mappings that the block raises end with the command that shows the matter."""
    try:
        yield
    except (FormatError, DefinitionError) as error:
        error.advise(f"see how it is read: {preview_line(source, [corpus], options)}")
        raise


def _first(looks: list[Preview], limit: int, progress: Progress) -> Iterator[Row]:
    """The first rows of all evidence, `limit` of them (0: all)."""
    shown = 0
    for look in looks:
        left = max(0, limit - shown) if limit else None
        for row in look.rows(left, progress):
            shown += 1
            yield row


def _refuse_format_file(source: Source[Any], file: Path, evidence: list[Path], *, overwrite: bool) -> None:
    """Raise UsageError where the source has no format that a person can edit, or it could not be read again;
    OutputError where writing it would replace something."""
    from vestige.storage import refuse_files

    if not source.form_option:
        raise UsageError(
            f"--write-format: {source.name} evidence is read in formats that are not described in a file",
            remedy="leave it out; --json has what was read as what",
        )
    if file.suffix != ".toml":
        raise UsageError(
            f"--write-format: {str(file)!r} does not end in .toml",
            remedy=f"--{source.form_option} takes a file that does, such as my.toml",
        )
    if any(file.resolve() == piece.resolve() for piece in evidence):
        raise OutputError("is part of what is read; it is left alone", where=file)
    refuse_files(file, overwrite=overwrite)


def _write_format(source: Source[Any], overview: Overview, file: Path) -> None:
    """Write the definition of the format that most files are read in. Raises EvidenceError where none has
    one."""
    from vestige.storage import write_text

    formats = [(name, read) for name, read in overview.told.formats.items() if read.form]
    if not formats:
        raise EvidenceError("nothing of the evidence is read in a format that can be written to a file")
    name, read = max(formats, key=lambda pair: pair[1].units)
    about = f"How {read.first} was read by vestige preview: as {name}."
    if len(formats) > 1:
        others = ", ".join(other for other, _ in formats if other != name)
        about += f" {read.units:,} files are; others are read as {others}."
    write_text(file, source.form_text(read.form or {}, about))


def _json_line(row: dict[str, Any]) -> str:
    """One line of JSON: ASCII only, so whatever a message holds cannot disturb a terminal."""
    return ENCODER.encode(row) + "\n"
