"""Logs in which a blank before a line does not mean that it goes on with the message above it: numbers and
levels are put under one another there (` INFO`, `  1234:20240506:...`), or all lines are indented."""

from __future__ import annotations

from collections.abc import Sequence

from vestige.sources.logs.foreign import is_marker
from vestige.sources.logs.format import Format

MOSTLY = 0.5
"""The share of indented lines that have the header of the others: fewer are excerpts within messages."""
_BEFORE = "{ }"
"""Blanks that may stand before a header."""


def unindented(lines: Sequence[str]) -> list[tuple[int, str]]:
    """Lines with their numbers, without the blanks that all of them begin with."""
    stripped = ((row, line.lstrip(" \t")) for row, line in enumerate(lines, 1))
    return [(row, line) for row, line in stripped if line.strip() and not is_marker(line)]


def with_indented(chosen: Format, lines: Sequence[str]) -> Format:
    """The format, with room for blanks before its header where most of the indented lines have that header
    behind some."""
    if not chosen.time or chosen.header.startswith(_BEFORE):
        return chosen
    match = chosen.compiled().match
    indented = [line for line in lines if line[:1] in {" ", "\t"} and line.strip()]
    begin = [line for line in indented if match(line) is None and match(line.lstrip(" \t")) is not None]
    if not begin or len(begin) < MOSTLY * len(indented):
        return chosen
    return chosen.model_copy(update={"header": f"{_BEFORE}{chosen.header}"})
