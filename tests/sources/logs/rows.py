"""What is read of a log, as rows that one can write down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vestige.reading.steps import Evidence
from vestige.sources.logs.clock import BAD
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.reader import LogReader

Row = tuple[str, str]
"""A time in ISO 8601, without zeros at its end (`-`: none), and a text as models see it."""


def rows(
    path: Path, *, hosts: list[str] | None = None, summary: dict[str, Any] | None = None, **options: Any
) -> list[Row]:
    """The messages of a file; its machine goes into `hosts`, what its stream says into `summary`."""
    reader = LogReader.of_corpus(path, LogOptions(**options))
    (unit,) = reader.units(Evidence((path,))).units
    stream = reader.open(unit)
    out: list[Row] = []
    while not stream.ended:
        block = stream.read(7)
        if block is None:
            continue
        if hosts is not None and block.recordings[0].host not in hosts:
            hosts.append(block.recordings[0].host)
        for moment, text in zip(block.t_ns.tolist(), reader.text(block.values, block.symbols), strict=True):
            shown = "-" if moment == BAD else str(np.datetime64(moment, "ns")).rstrip("0").rstrip(".")
            out.append((_seconds(shown), text))
    if summary is not None:
        summary |= stream.summary | {"defects": stream.defects}
    return out


def _seconds(text: str) -> str:
    """`07:08:1` was `07:08:10.000000000` before zeros went."""
    whole, dot, fraction = text.partition(".")
    if dot or text == "-":
        return f"{whole}{dot}{fraction}"
    return whole.ljust(len("2024-05-06T07:08:09"), "0")
