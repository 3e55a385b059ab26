"""How the records of one file lie: of which of the `kinds` it is, and what must be known of this one, such as
a table's delimiter and columns."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from vestige.errors import EvidenceError, FormatError
from vestige.sources.events import fields
from vestige.sources.events.mapping import FIELDS, Mapping
from vestige.sources.events.records import row_pattern

DELIMITERS = (",", ";", "\t", "|")
Places = tuple[tuple[int | str, ...], ...]
MOST_PREAMBLE = 64
"""Lines before a table's header that are no part of it."""
MOST_TITLES = 8
"""Of them, those that look like a row themselves."""

MOST_NEW = 1 << 16
"""Characters that a header in the middle of a file may have more than the first."""

_SEP = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=(.)"?\s*\Z', re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """What must be known about a file to read its records.

    `kind`: a name in `kinds.KINDS`. `mapping`: the name of the one that it is read by. Of a table:
    `delimiter`, how many `columns`, the `header` as it lies there, where each of `mapping.FIELDS` is, how
    many lines stand before the header (`preamble`), and cells that hold nothing (`unset`, of Zeek). Of JSON
    in documents: the brackets around a record (`inside`, see `documents.Place`). `renamed`: fields that are
    taken from a column or key of almost the mapping's name, as pairs of field and name. `day_first`: how
    dates of numbers alone begin; None where none need it. Of sessions, what the file's name says (see
    `sessions.about`), and whether lines are `unnamed` sequences; of Zeek, `split` is the log's name.
    Of system calls, what the path says of the file `name` (see `calls.about`), whether that says a label at
    all (`labelled`), and which processes of a trace are known (`main`, `alive`: see `calls.Trace`).
    """

    kind: str
    delimiter: str = ""
    columns: int = 0
    header: str = ""
    places: tuple[Places, ...] = ()
    split: str = ""
    profile: str = ""
    anomalous: bool = False
    mapping: str = ""
    preamble: int = 0
    unset: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    day_first: bool | None = None
    unnamed: bool = False
    name: str = ""
    labelled: bool = False
    main: str = ""
    alive: tuple[str, ...] = ()


def table(sample: bytes, mapping: Mapping, where: str) -> Layout:
    """The layout of a table. Raises EvidenceError where columns are missing that the mapping needs."""
    if sample.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"{":
        raise FormatError("these are JSON lines, not a table", where=where, row=1)
    tried = [
        layout
        for preamble, delimiters, begin in _beginnings(sample)
        for delimiter in delimiters
        if (layout := _with(delimiter, sample, begin, preamble, mapping)) is not None
    ]
    if not tried:
        raise FormatError("no header: the file holds comments and blank lines alone", where=where, row=1)
    # The first header that names all that is needed counts, whatever comes behind it. Of others, a title line
    # has fewer cells, a row fewer known names.
    whole = (each for each in tried if not each.renamed and not _missing(each, mapping))
    best = next(whole, None) or max(tried, key=_fit)
    missing = _missing(best, mapping)
    if missing:
        first = max((layout for layout in tried if layout.preamble == tried[0].preamble), key=_fit)
        raise _lacks(missing[0], first if _fit(first)[0] == _fit(best)[0] else best, mapping, where)
    return best


def _missing(layout: Layout, mapping: Mapping) -> list[str]:
    needed = [name for name in FIELDS[:3] if not (name == "machine" and mapping.machine_name)]
    return [name for name in needed if not layout.places[FIELDS.index(name)]]


def _lacks(name: str, layout: Layout, mapping: Mapping, where: str) -> EvidenceError:
    named = ", ".join(repr(alternative) for alternative in getattr(mapping, name))
    shown = ", ".join(header_of(layout)[:24])
    remedy = f"name it with --{name} NAME, or choose another --mapping"
    if name == "machine":
        remedy = (
            "name the column with --machine NAME; or, where all records are of one machine, say what it is "
            "called: --machine-name web1"
        )
    return FormatError(
        f"no column for the {name} ({named}); the header has: {shown[:400]}",
        where=where,
        row=layout.preamble + 1,
        remedy=remedy,
    )


def begun_anew(row: str, layout: Layout, mapping: Mapping) -> Layout | None:
    """The layout of the rows behind a row of a table that is another header, as where tables were put
    together: it has the columns that the mapping needs, in another order or beside others. None of any other
    row."""
    if layout.kind != "csv" or len(row) > len(layout.header) + MOST_NEW:
        return None
    time = next((place for places in layout.places[0] for place in places if isinstance(place, int)), None)
    if time is None or header_of(layout)[time] not in row:
        return None
    row = row.removeprefix("\ufeff").strip("\r\n")
    if row == layout.header.strip("\r\n"):
        return None
    anew = _with(layout.delimiter, row.encode("utf-8", "replace"), 0, layout.preamble, mapping)
    return None if anew is None or _missing(anew, mapping) else replace(anew, day_first=layout.day_first)


def header_of(layout: Layout) -> list[str]:
    """The names of a table's columns."""
    return [cell.strip() for cell in split_row(layout.header, layout.delimiter)]


def split_row(row: str, delimiter: str) -> list[str]:
    """The cells of a row, as the standard library's csv module reads them."""
    if '"' not in row:
        return row.split(delimiter)
    cells = []
    for cell in _cells(delimiter).finditer(row):
        quoted, rest, plain = cell.groups()
        if quoted is None:
            cells.append(plain)
        else:
            cells.append(quoted.replace('""', '"') + rest)
    return cells


@lru_cache(maxsize=8)
def _cells(delimiter: str) -> re.Pattern[str]:
    mark = re.escape(delimiter)
    return re.compile(rf'(?:\A|{mark})(?:"((?:[^"]++|"")*+)"([^{mark}]*+)|([^{mark}]*+))')


def _beginnings(sample: bytes) -> list[tuple[int, tuple[str, ...], int]]:
    """Where the header may be, most likely first: how many lines stand before it, which delimiters it may
    have, and the byte at which it begins.

    Passed over are blank lines, comments (`#TYPE ...` of Export-Csv), `sep=;` as Excel writes it, and titles
    of a report; a comment may itself be the header (`#time,host,...`, `#Fields: ...`).
    """
    delimiters: tuple[str, ...] = DELIMITERS
    found: list[tuple[int, tuple[str, ...], int]] = []
    comments: list[tuple[int, tuple[str, ...], int]] = []
    at = len(codecs.BOM_UTF8) if sample.startswith(codecs.BOM_UTF8) else 0
    for number in range(MOST_PREAMBLE):
        if at >= len(sample) or len(found) > MOST_TITLES:
            break
        end = sample.find(b"\n", at) + 1 or len(sample)
        line = sample[at:end]
        if (said := _SEP.match(line)) and not found:
            delimiters = (said[1].decode("latin-1").replace("\\", "\t"),)
        elif line.startswith(b"#"):
            comments.append((number, delimiters, at))
        elif line.strip():
            found.append((number, delimiters, at))
        at = end
    # Of comments only the last may be a header, and only where nothing else is.
    before = [place for place in comments if not found or place[0] < found[0][0]]
    return [*found[:1], *before[-1:], *found[1:]]


def _fit(layout: Layout) -> tuple[int, int, int]:
    """How well a layout reads the table: the needed fields that have a column, how many of them by their very
    name, then all columns."""
    exact = 3 - sum(name != "label" for name, _ in layout.renamed)
    return sum(bool(places) for places in layout.places[:3]), exact, layout.columns


def _with(delimiter: str, sample: bytes, begin: int, preamble: int, mapping: Mapping) -> Layout | None:
    ended = sample
    if b"\n" not in ended[begin:]:
        ended += b"\n"
    row = row_pattern(delimiter, len(sample)).match(ended, begin)
    if row:
        first = row[0]
    else:
        # A quote that is not closed: the header is then the first line as it stands.
        first = sample[begin:].partition(b"\n")[0]
    header = first.decode("utf-8", errors="replace").removesuffix("\n").removesuffix("\r")
    if header.startswith("#"):
        header = _FIELDS_COMMENT.sub("", header)
    names: Sequence[str] = [cell.strip() for cell in split_row(header, delimiter)]
    places = []
    renamed: list[tuple[str, str]] = []
    for field in FIELDS:
        alternatives = getattr(mapping, field)
        found = fields.columns(alternatives, names)
        if not found:
            found = fields.columns([folded(name) for name in alternatives], [folded(name) for name in names])
            renamed += (
                [(field, names[column]) for column in found[0][:1] if isinstance(column, int)]
                if found
                else []
            )
        places.append(found)
    return Layout(
        "csv", delimiter, len(names), header, tuple(places), mapping=mapping.name, preamble=preamble,
        renamed=tuple(renamed),
    )  # fmt: skip


_FIELDS_COMMENT = re.compile(r"#\s*(?:Fields:\s*)?", re.IGNORECASE)


def folded(name: str) -> str:
    """A name without what people get wrong: case, and blanks around it."""
    return name.strip().casefold()
