"""Cells of a CSV that a spreadsheet will open: evidence is an attacker's, and must not become a formula."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from vestige.errors import EvidenceError

LARGEST = 64 * 2**20
"""Bytes of a table at most."""
_MARKS = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
"""What begins a formula; some spreadsheets take the wide and the small forms of the signs for the same."""
_BEGINS = re.compile(rf"\s*[{_MARKS}]|[\t\r\n']")
_LATER = re.compile(rf"([;,|\t]\s*)(?=[{_MARKS}])")
"""A formula that begins a cell only where a spreadsheet splits rows at other delimiters than we do."""


def defused(text: str) -> str:
    """`text` with an apostrophe before whatever a spreadsheet would run; `restored` takes off the first."""
    inner = _LATER.sub(r"\1'", text)
    if _BEGINS.match(inner):
        return f"'{inner}"
    return inner


def restored(cell: str) -> str:
    """What a cell said before `defused`, as far as its beginning goes."""
    if cell[:1] == "'" and _BEGINS.match(cell[1:]):
        return cell[1:]
    return cell


def rows_of(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number (from 1) and cells of every row, as a spreadsheet may have saved it: comma, semicolon or
    tab, with a byte order mark or without. Raises EvidenceError: not readable as a table with `needed`."""
    remedy = "save it as CSV (UTF-8), with the columns that vestige triage wrote"
    try:
        if path.stat().st_size > LARGEST:
            raise EvidenceError(f"is larger than {LARGEST >> 20} MiB", where=path, remedy=remedy)
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline(65_536)
            file.seek(0)
            rows = csv.reader(file, delimiter=max(",;\t", key=head.count))
            names = [restored(cell.strip()) for cell in next(rows, [])]
            lacking = [name for name in needed if names.count(name) != 1]
            if lacking:
                raise EvidenceError(
                    f"has no column {lacking[0]!r}, or several", where=path, row=1, remedy=remedy
                )
            for cells in rows:
                if not any(cells):
                    continue
                if len(cells) < len(names):
                    what = f"has {len(cells)} cells, expected {len(names)}"
                    raise EvidenceError(what, where=path, row=rows.line_num, remedy=remedy)
                yield rows.line_num, dict(zip(names, map(restored, cells), strict=False))
    except UnicodeDecodeError as error:
        raise EvidenceError("is not UTF-8", where=path, remedy=remedy) from error
    except csv.Error as error:
        raise EvidenceError(f"is no CSV ({error})", where=path, remedy=remedy) from error
    except FileNotFoundError as error:
        raise EvidenceError(
            "no such file", where=path, remedy="give the triage.csv that was filled in"
        ) from error
