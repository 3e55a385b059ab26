"""`labels.jsonl`: what was going on from when on. Few rows, made to be read and mended by people."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vestige.sources.telemetry.faults import FaultError
from vestige.sources.telemetry.manifest import UTF16, File, Manifest, Text, UnixNs

Phase = Literal["clean", "armed", "infecting", "infected_running", "dormant"]
MAX_BYTES, MAX_ROWS = 1 << 20, 10_000


class Label(BaseModel):
    """From `t_wall_ns` on, until the next one."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    t_wall_ns: UnixNs
    label: Text
    phase: Annotated[Phase, Field()]


def read(data: bytes, file: File, manifest: Manifest, where: str) -> pl.DataFrame:
    """`t_wall_ns` (int64, strictly rising, inside the episode), `label`, `phase`: at least one row.

    Raises FaultError: `labels`, or `rows` where the manifest says another number of them.
    """
    if (encoding := UTF16.get(data[:2])) is not None:
        raise _fault(f"written in {encoding}, by the byte order mark, and not in UTF-8", where)
    text = data[: MAX_BYTES + 1].removeprefix(codecs.BOM_UTF8)
    lines = [line for line in text.split(b"\n") if line.strip()]
    if len(data) > MAX_BYTES or not 0 < len(lines) <= MAX_ROWS:
        raise _fault(f"{len(lines):,} rows in {len(data):,} bytes", where)
    found: list[Label] = []
    for row, line in enumerate(lines, 1):
        try:
            label = Label.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = "".join(f"{part}: " for part in first["loc"])
            raise _fault(f"row {row}: {place}{first['msg']}", where) from error
        if found and label.t_wall_ns <= found[-1].t_wall_ns:
            raise _fault(f"row {row} is not later than the one before", where)
        if not manifest.t_start_ns <= label.t_wall_ns <= manifest.t_end_ns:
            raise _fault(f"row {row} is outside the episode", where)
        found.append(label)
    if len(found) != file.rows:
        raise FaultError(
            f"{len(found):,} rows, not {file.rows:,}", where=where, code="rows", subject="labels"
        )
    return pl.DataFrame(
        [(label.t_wall_ns, label.label, label.phase) for label in found],
        schema={"t_wall_ns": pl.Int64, "label": pl.String, "phase": pl.String},
        orient="row",
    )


def _fault(what: str, where: str) -> FaultError:
    return FaultError(what, where=where, code="labels", subject="labels")
