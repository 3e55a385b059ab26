"""Logs in which a blank before a line does not mean that it goes on with the message above it: numbers and
levels are put under one another there (` INFO`, `  1234:20240506:...`), or all lines are indented."""

from __future__ import annotations

from collections.abc import Sequence

from vestige.sources.logs.foreign import goes_on, is_marker
from vestige.sources.logs.format import Format
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.parse import Parser, Rules

MOSTLY = 0.5
"""The share of indented lines that have the header of the others: fewer are excerpts within messages."""
EARLIER = 0.1
"""Where more of them are of a time before that of the line above them that is not indented, they are
excerpts, too: what is quoted was written before."""
_BEFORE = "{ }"
"""Blanks that may stand before a header."""
_BLANK = (" ", "\t")


def judged_lines(lines: Sequence[str]) -> tuple[list[tuple[int, str]], bool]:
    """The lines by which a format is chosen, with their numbers, and whether that are indented ones, without
    their blanks: only where there are no others, because an indented line goes on with the message above it
    and has no header to fit."""
    told = [(row, line) for row, line in enumerate(lines, 1) if line.strip() and not is_marker(line.lstrip())]
    outer = [(row, line) for row, line in told if not line.startswith(_BLANK)]
    if outer:
        return [(row, line) for row, line in outer if not goes_on(line)] or outer, False
    return [(row, line.lstrip(" \t")) for row, line in told], True


def with_indented(chosen: Format, lines: Sequence[str], *, alone: bool) -> tuple[Format, list[str]]:
    """The format, with room for blanks before its header where most of the indented lines have that header
    behind some; and what is doubtful about that. `alone`: all lines are indented."""
    if chosen.header.startswith(_BEFORE) or not (chosen.time or alone):
        return chosen, []
    match = chosen.compiled().match
    indented = [line for line in lines if line.startswith(_BLANK) and line.strip()]
    begin = [line for line in indented if match(line) is None and match(line.lstrip(" \t")) is not None]
    if not begin or len(begin) < MOSTLY * len(indented):
        return chosen, []
    made = chosen.model_copy(update={"header": f"{_BEFORE}{chosen.header}"})
    if alone:
        return made, []
    if _earlier(made, lines) > EARLIER * len(begin):
        return chosen, []
    n = sum(bool(line.strip()) for line in lines)
    doubt = (
        f"{len(begin)} of the first {n} lines are indented and have the header of the others: they "
        "are taken to begin messages, not to go on with those above them"
    )
    return made, [doubt]


def _earlier(made: Format, lines: Sequence[str]) -> int:
    """How many indented lines that begin a message are of a time before that of the last one that is not
    indented."""
    parser, match = Parser(Rules(made, LabelRule("none"))), made.compiled().match
    above, n = None, 0
    for line in lines:
        if match(line) is None:
            continue
        moment = parser.time(line)
        if not line.startswith(_BLANK):
            above = moment
        elif above is not None and moment < above:
            n += 1
    return n
