"""The extended log format of W3C (IIS, CloudFront): its columns are those that a line `#Fields:` names, up to
the next such line.

A format is made of each such line: that of `formats/w3c.toml`, with a header of these columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from vestige.sources.logs.blocks import COLUMNS
from vestige.sources.logs.format import W3C, Format, load

FIELDS = COLUMNS.decode()
FIT = 0.5
"""A file is in this format where so many of its first lines have all columns."""
MOST_COLUMNS = 128
"""Columns that are told apart; what stands behind them is shown as it stands."""
_COLUMN = r'"(?:[^"]|"")*+"(?!\S)|\S++'
"""A column: a text in quotation marks may have blanks."""
_LINE = r"(?!#(?:Software|Version|Date|Start-Date|End-Date|Remark|Fields):)(?=[ \t]*+\S)"
"""Every line is a message by itself that is not blank, and no directive."""
_SHAPES = {"Line": _LINE, "Nil": r"(?:-(?!\S))?", "Query": r"\S*+", "": _COLUMN}
_FIELD_OF = {
    "date": "Date", "time": "Time", "cs-method": "Method", "cs-uri-stem": "Path", "cs-uri-path": "Path",
    "cs-uri": "Path", "cs-uri-query": "Query", "sc-status": "Status", "cs(user-agent)": "Agent",
}  # fmt: skip
_NEEDED = {
    "Date": "date",
    "Time": "time",
    "Method": "cs-method",
    "Path": "cs-uri-stem",
    "Status": "sc-status",
}
_LAYOUTS = {"Date": "%Y-%m-%d", "Time": "%H:%M:%S", "Fraction": ".%f"}
_OF_CLIENTS = (
    "nobody", "bot", "scanner", "tool", "edge", "opera", "chrome", "firefox", "safari", "browser", "client",
)  # fmt: skip
"""The masks of the column of clients."""


@dataclass(frozen=True)
class Columns:
    """What a line `#Fields:` makes of the lines below it.

    `last`: the field of the last column; `lacking`: the columns by which a request is told that it does not
    name; `of_web`: it is of requests at all.
    """

    format: Format
    last: str
    lacking: tuple[str, ...]
    of_web: bool

    @property
    def told(self) -> str:
        """What is said of the columns that are lacking; empty where none is."""
        if not self.lacking:
            return ""
        untimed = {"date", "time"}.intersection(self.lacking)
        return (
            f"its {FIELDS[:-1]} names no {', '.join(self.lacking)}"
            + ", so that messages have no time" * bool(untimed)
        )


@lru_cache(maxsize=256)
def columns_of(line: str) -> Columns:
    """The columns that a line `#Fields:` names."""
    names = line.removeprefix(FIELDS).split()
    fields = _fields(tuple(names[:MOST_COLUMNS]))
    timed = {"Date", "Time"} <= set(fields)
    layouts = _LAYOUTS if timed else {}
    shapes = {name: _SHAPES.get(name, _COLUMN) for name in ("Line", "Nil", *fields)}
    if "Query" not in fields:
        del shapes["Nil"]
    own = load(W3C)
    # Clients are known by where they stand: behind the status.
    clients = {"Agent", "Status"} <= set(fields)
    masks = [name for name in own.masks if clients or name not in _OF_CLIENTS]
    made = Format(
        name=W3C,
        header=f"<Line>{_header(fields, timed=timed)}{{ }}<Content>",
        time=layouts,
        field={name: shape for name, shape in shapes.items() if name not in layouts},
        shown=[name for name in own.shown if name in fields and (clients or name != "Agent")],
        masks=masks,
        mask={name: own.mask[name] for name in masks if name in own.mask},
        example=[
            " ".join({"Date": "2024-05-06", "Time": "07:08:09"}.get(field, "-") for field in fields) or "-"
        ],
    )
    lacking = tuple(name for field, name in _NEEDED.items() if field not in fields)
    of_web = any(name.lower().startswith(("cs-", "sc-", "cs(")) for name in names)
    return Columns(made, fields[-1] if fields else "Line", lacking, of_web)


def _fields(names: tuple[str, ...]) -> list[str]:
    """What columns are called in the header: each name once."""
    fields: list[str] = []
    for number, name in enumerate(names, 1):
        field = _FIELD_OF.get(name.lower(), "")
        fields.append(field if field and field not in fields else f"Column{number}")
    return fields


def _header(fields: list[str], *, timed: bool) -> str:
    """The pattern of columns. A line may be cut off: what stands up to the time, up to the path and behind it
    is read by itself."""
    inner = [name for name in ("Date", "Time", "Path") if name in fields and (timed or name == "Path")]
    bounds = sorted({0, *(fields.index(name) + 1 for name in inner), len(fields)})
    out = ""
    for start, stop in pairwise(bounds):
        written = ("<Nil><Query>" if field == "Query" else f"<{field}>" for field in fields[start:stop])
        out += f"{{{' ' * bool(start)}{' '.join(written)}}}"
        if timed and fields[stop - 1] == "Time":
            out += "{<Fraction>}"
    return out


def find_columns(lines: Sequence[str]) -> tuple[Columns | None, str, str]:
    """The columns of these first lines of a file, why it is these, and what is doubtful about them.

    None where they are of no requests, or the lines below `#Fields:` do not have them.
    """
    section: list[str] = []
    named = ""
    for line in lines:
        if line.startswith(FIELDS):
            if section:
                break
            named = line.rstrip()
        elif named and line.strip() and not line.startswith("#"):
            section.append(line)
    if not section:
        return None, "", ""
    found = columns_of(named)
    if not found.of_web:
        return None, "", ""
    if "cs-uri-stem" in found.lacking or {"cs-method", "sc-status"} <= set(found.lacking):
        return (
            None,
            "",
            f"its {FIELDS[:-1]} names no {', '.join(found.lacking)}: requests cannot be told by it",
        )
    match = found.format.compiled().match
    whole = sum(each is not None and each[found.last] is not None for each in map(match, section))
    why = f"{whole} of the first {len(section)} lines below {named[:200]!r} have these columns"
    if whole < FIT * len(section):
        return None, "", f"only {why}"
    return found, why, found.told
