"""`vestige preview SOURCE`: how evidence would be read, before anything is learnt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from vestige.cli.options import with_options
from vestige.cli.sources import add_verb
from vestige.sources import registry as sources

if TYPE_CHECKING:
    from vestige.reading.preview import Preview, Row
    from vestige.sources.base import Source


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
    ) -> None:
        from vestige.cli import tables
        from vestige.reading.overview import Overview
        from vestige.reading.preview import Preview

        readers = [source.corpus_reader(corpus, options) for corpus in evidence]
        overview = Overview(readers[0].schema.classes, readers[0].symbol_stream)
        several = len(evidence) > 1
        looks = [
            Preview(reader, corpus, overview, named=several)
            for reader, corpus in zip(readers, evidence, strict=True)
        ]
        rows: list[Row] = []
        for row in _first(looks, limit):
            if as_json:
                typer.echo(_json_line(row))
            else:
                rows.append(row)
        if as_json:
            typer.echo(_json_line({"summary": overview.summary()}))
        else:
            tables.show(tables.overview(overview))
            if rows:
                tables.show(tables.steps(rows))
        if not overview.steps:
            raise looks[0].nothing()

    preview.__doc__ = f"""Show how {source.name} evidence would be read, before anything is learnt from it.

    It is read as vestige prepare does it: what is shown is what a dataset would hold. Nothing is written.

    Example: vestige preview {source.name} EVIDENCE
    """
    return with_options(preview, options=source.options)


def _first(looks: list[Preview], limit: int) -> Iterator[Row]:
    """The first rows of all evidence, `limit` of them (0: all)."""
    shown = 0
    for look in looks:
        for row in look.rows(max(0, limit - shown) if limit else None):
            shown += 1
            yield row


def _json_line(row: dict[str, Any]) -> str:
    """One line of JSON: ASCII only, so whatever a message holds cannot disturb a terminal."""
    return json.dumps(row, separators=(",", ":"))
