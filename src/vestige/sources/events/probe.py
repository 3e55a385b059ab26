"""A few records made of a mapping's own field names: do they still give the same numbers?"""

from __future__ import annotations

import json
from collections.abc import Sequence

from vestige.sources.events import calls, sessions
from vestige.sources.events import layout as layouts
from vestige.sources.events.fields import literal_of, parts
from vestige.sources.events.layout import Layout
from vestige.sources.events.mapping import Mapping
from vestige.sources.events.records import Block

SECONDS = (1_772_438_400.25, 1_772_438_401.5, 1_772_438_460, 1_772_442_000, 1_772_600_000)
ISO = (
    "2026-03-02T08:00:00.25Z", "2026-03-02 09:00:01,5+01:00", "2026-03-02T08:01:00", "20260302T090000Z",
    "2026-03-04T04:53:20.000000Z",
)  # fmt: skip
STEPS = (("alpha", "logon", "0"), ("alpha", "logon", ""), ("beta", "scan, \"quick\"", "attack"),
         ("alpha", "logoff", "-"), ("alpha", "logon", "1"))  # fmt: skip
SESSIONS = b"one,5 7 5 9 5\ntwo,7\n"
TRACE = (
    b"12 1772438400.250001 close(3) = 0\n12 1772438401.5 read(3,  <unfinished ...>\n"
    b'13 1772438401.6 execve("/bin/true", ["true"]) = 0\n12 1772438402.0 <... read resumed> "", 9) = 0\n'
    b"12 1772438402.5 close(3) = 0\n[pid 13] exit_group(0) = ?\n[pid 13] +++ exited with 0 +++\n"
)
TRACES = {
    "strace": TRACE,
    "syscalls": TRACE,
    "pairs": b"12 5\n13 11\n12 3\n12 5\n13 1\n",
    "sequence": b"6 6 63 6 42\n",
}
POWERS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def layout_and_block(mapping: Mapping) -> tuple[Layout, Block]:
    """The records, and how they lie."""
    if mapping.kind == "sessions":
        return sessions.about("probe", ""), Block(SESSIONS, 0, 1)
    if (text := TRACES.get(mapping.kind)) is not None:
        kind = calls.kind_of(text) or "strace"
        return calls.about(kind, "probe", ""), Block(text, 0, 1, (0,) if kind == "sequence" else None)
    # The mapping decides how its own fields are read, and not what is left out of a person's evidence.
    mapping = mapping.model_copy(update={"time_format": (), "where": ""})
    rows = [(_time(mapping, number), *values) for number, values in enumerate(STEPS)]
    alternatives = (mapping.timestamp, mapping.machine, mapping.event, mapping.label)
    names = [_first(of_field) for of_field in alternatives]
    write = _table if mapping.kind == "csv" else _objects
    data = write(names, rows)
    layout = Layout("jsonl", mapping=mapping.name)
    if mapping.kind == "csv":
        layout = layouts.table(data, mapping, "probe")
    return layout, Block(data, 0, 1)


def _first(alternatives: tuple[str, ...]) -> str:
    """The field that a mapping looks for first; empty for one that it leaves out."""
    if not alternatives:
        return ""
    return next(part for part in parts(alternatives[0]) if not literal_of(part))


def _time(mapping: Mapping, number: int) -> str:
    unit = mapping.time_unit
    if unit in {"auto", "iso"}:
        return ISO[number]
    return str(int(SECONDS[number] * 10 ** POWERS[unit]))


def _objects(names: list[str], rows: Sequence[tuple[str, ...]]) -> bytes:
    lines = [
        json.dumps({name: value for name, value in zip(names, row, strict=True) if name}) for row in rows
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _table(names: list[str], rows: Sequence[tuple[str, ...]]) -> bytes:
    """Every cell in quotes; a row a line."""
    lines = []
    for row in (names, *rows):
        cells = [cell.replace('"', '""') for name, cell in zip(names, row, strict=True) if name]
        lines.append(",".join(f'"{cell}"' for cell in cells))
    return "".join(f"{line}\n" for line in lines).encode()
