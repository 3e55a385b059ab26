"""The kinds of files that events lie in: a module knows how one is read, and its entry in `KINDS` makes it
known to whatever recognises, reads and shows files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.sources.events.audit import AuditReader, fields_of, is_audit
from vestige.sources.events.calls import WholeReader, read_calls
from vestige.sources.events.columns import Events, Gathering
from vestige.sources.events.documents import DocumentReader
from vestige.sources.events.evtx.reader import ENOUGH, EvtxReader, is_evtx
from vestige.sources.events.json_lines import decode
from vestige.sources.events.layout import Layout
from vestige.sources.events.records import Cutter, RecordReader
from vestige.sources.events.sessions import read_sessions
from vestige.sources.events.zeek import is_zeek

Read = Callable[
    [Sequence[bytes], NDArray[np.int64], NDArray[np.int64], Layout, Gathering], tuple[Events, Layout]
]
"""Makes events of a block's records, of the byte and the line of each, and says what it knows behind them."""


def _lines(_: Layout, longest: int) -> Cutter:
    """A record a line, whatever stands in it."""
    return RecordReader(max_record=longest)


def _read_calls(
    records: Sequence[bytes],
    offsets: NDArray[np.int64],
    lines: NDArray[np.int64],
    layout: Layout,
    _: Gathering,
) -> tuple[Events, Layout]:
    """Calls have names: nothing in them is masked."""
    return read_calls(records, offsets, lines, layout)


@dataclass(frozen=True)
class Kind:
    """What is particular to a kind of file.

    `called`: what a person calls it. `cutter`: what cuts a file of that layout into records, none of which
    is longer than so many bytes. `shows`: whether a file that begins like this is one; None where trying to
    read it tells (`trial`, `calls.kind_of`). `read_by`: the kinds of mappings that read one that shows it.
    `record_of`: a record's text as an object, of which a mapping names fields; or `read`: the events of
    records that are no objects. (Tables, `csv` and `zeek`, have neither: `Parser` reads their rows.)

    A packed kind is no text, and its cutter hands out lines of JSON. `packed`: so many bytes of a file show
    its first records; 0 for text. `advice`: the mapping that is named where one that does not read it was
    asked for.
    """

    called: str
    cutter: Callable[[Layout, int], Cutter] = _lines
    shows: Callable[[bytes], bool] | None = None
    read_by: tuple[str, ...] = ("auto",)
    record_of: Callable[[str], dict[str, Any]] = decode
    read: Read | None = None
    packed: int = 0
    advice: str = "jsonl"


KINDS = {
    "evtx": Kind(
        "a Windows event log",
        lambda _, longest: EvtxReader(max_record=longest),
        shows=is_evtx,
        read_by=("auto", "jsonl"),
        packed=ENOUGH,
        advice="windows",
    ),
    # In a log of Zeek no cell is quoted: a row is a line.
    "zeek": Kind("Zeek's tab-separated log", shows=is_zeek),
    "audit": Kind(
        "the text of audit",
        lambda _, longest: AuditReader(max_record=longest),
        shows=is_audit,
        read_by=("auto", "syscalls"),
        record_of=fields_of,
    ),
    "jsonl": Kind("JSON, a record a line"),
    "json": Kind("JSON documents", lambda layout, longest: DocumentReader(layout.inside, max_record=longest)),
    "csv": Kind("a table", lambda layout, longest: RecordReader(layout.delimiter, max_record=longest)),
    "sessions": Kind("sessions, one a line", read=read_sessions),
    "strace": Kind("the output of strace", read=_read_calls),
    "pairs": Kind("a process and its system call a line", read=_read_calls),
    "sequence": Kind(
        "the system calls of one session",
        lambda _, longest: WholeReader(max_record=longest),
        read=_read_calls,
    ),
}
"""By their names in layouts, which positions keep. Of several kinds that a file shows, the first counts."""


def shown_by(sample: bytes) -> str:
    """The name of the kind that a file which begins like this shows itself to be; empty where none does."""
    return next((name for name, kind in KINDS.items() if kind.shows is not None and kind.shows(sample)), "")


def cutter_of(layout: Layout, longest: int) -> Cutter:
    """What cuts a file of that layout into records of at most `longest` bytes."""
    return KINDS[layout.kind].cutter(layout, longest)
