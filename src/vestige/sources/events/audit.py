"""The text of Linux audit: one event is several lines of one serial number, written one after the other or
mixed with those of other events (`auditd.conf(5)`, `audit.rules(7)`).

    type=SYSCALL msg=audit(1604994496.155:92733): arch=c000003e syscall=59 success=yes exe="/usr/sbin/arp"
    type=EXECVE msg=audit(1604994496.155:92733): argc=2 a0="arp" a1="-a"

An event is over with its `EOE`, two seconds later, or once 64 others have begun: as `auparse(3)` has it, and
whatever the pieces are in which the bytes come. `ausearch`'s output, `node=` in front, syslog's header before
the line and the kernel's own form (`audit: type=1400 audit(...)`) are understood.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vestige.sources.events.records import BLOCK_BYTES, MOST_FAULTS, Block, Cutter
from vestige.sources.events.syscall_names import name_of

MOST_OPEN, MOST_REMEMBERED = 64, 256
MOST_EVENT_BYTES = 1 << 16
"""What one event may hold; lines beyond are left out."""
_LATER = 2.0

_LINE = re.compile(
    rb"(?P<front>[^\n]{0,300}?)\btype=(?P<type>[A-Za-z0-9_\[\]]{1,40}) (?:msg=)?audit\("
    rb"(?P<time>[0-9/.:, APMapm-]{1,60}?):(?P<serial>\d{1,20})\)\s{0,2}:"
)
_ASIDE = re.compile(rb"\s*(?:----.*|time->.*|<no matches>|#.*)?\s*", re.DOTALL)
"""What `ausearch` writes between events."""
_NODE = re.compile(r"\bnode=(\S{1,255})")
_SYSLOG_HOST = re.compile(r"\d\d:\d\d:\d\d\S{0,20} (\S{1,255}) \S{1,64}: ")
_PAIR = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,40})=(\"[^\"]*\"|'[^']*'|[^\s\x1d,]*)")
_HEX = re.compile(r"(?:[0-9A-F]{2})+", re.ASCII)
_TEXTS = frozenset(["comm", "exe", "cwd", "name", "proctitle", "key", "acct", "cmd", "data"])
"""Fields whose unquoted values are hexadecimal, because they hold blanks or quotes (audit's "encoded
string")."""


def is_audit(sample: bytes) -> bool:
    """Whether the first lines are records of audit."""
    lines = [line for line in sample.split(b"\n")[:20] if not _ASIDE.fullmatch(line)]
    if lines and lines[0].lstrip().startswith(b"{"):
        return False  # JSON that holds such a line
    return bool(lines) and sum(_LINE.match(line) is not None for line in lines) > len(lines) / 2


@dataclass
class _Open:
    """An event of which more lines may come."""

    offset: int
    line: int
    time: float
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    over: bool = False
    """Whether all its lines were there; it waits for those that began before it, so that order is kept."""


@dataclass
class AuditReader(Cutter):
    """Joins a file's lines to records, one an event, whose lines may lie apart."""

    size: int = BLOCK_BYTES
    _open: dict[bytes, _Open] = field(default_factory=dict)
    _closed: deque[bytes] = field(default_factory=lambda: deque(maxlen=MOST_REMEMBERED))
    _skipping: bool = False

    @property
    def state(self) -> dict[str, Any]:
        """Where the next block begins, and the events that are open there, as JSON: `resume` takes it up."""
        opened = [
            [
                key.decode(),
                event.offset,
                event.line,
                event.time,
                event.over,
                b"".join(event.parts).decode("latin-1"),
            ]
            for key, event in self._open.items()
        ]
        return {
            "offset": self._offset,
            "line": self._line,
            "open": opened,
            "closed": [key.decode() for key in self._closed],
            "skipping": self._skipping,
        }

    def state_at(self, block: Block) -> dict[str, Any]:
        """See `Cutter.state_at`."""
        return block.before or self.state

    def resume(self, state: dict[str, Any]) -> None:
        """See `Cutter.resume`."""
        self._offset, self._line, self._skipping = state["offset"], state["line"], state["skipping"]
        for key, offset, line, time, over, text in state["open"]:
            data = text.encode("latin-1")
            self._open[key.encode()] = _Open(offset, line, time, [data], len(data), over)
        self._closed.extend(key.encode() for key in state["closed"])

    @property
    def is_open(self) -> bool:
        """Whether events wait for more of their lines."""
        return bool(self._open)

    def take(self, *, now: bool = False) -> Iterator[Block]:
        """Blocks, where the buffer has grown to `size`; `now`: of whatever events are over."""
        if now or len(self._buffer) >= self.size:
            yield from self._cut()

    def give_up(self) -> Iterator[Block]:
        """No further line of the open events will come."""
        before = self.state
        for key in self._open:
            self._end(key)
        events = list(self._open.values())
        self._open.clear()
        yield from self._block(before, events)

    def finish(self) -> Iterator[Block]:
        """The last blocks: the file is over."""
        if self._buffer and not self._buffer.endswith(b"\n"):
            self._buffer += b"\n"
        yield from self._cut()
        yield from self.give_up()

    def _cut(self) -> Iterator[Block]:
        before = self.state
        over: list[_Open] = []
        end = self._buffer.rfind(b"\n") + 1
        at = 0
        while at < end:
            after = self._buffer.find(b"\n", at) + 1
            if self._skipping:
                self._skipping = False
            else:
                over += self._add(bytes(self._buffer[at:after]), self._offset + at)
            self._line += 1
            at = after
        self._offset += end
        del self._buffer[:end]
        if len(self._buffer) > self.max_record:
            if not self._skipping:
                self._fault(f"longer than {self.max_record} bytes")
            self._skipping = True
            self._offset += len(self._buffer)
            self._buffer.clear()
        yield from self._block(before, over)

    def _block(self, before: dict[str, Any], events: list[_Open]) -> Iterator[Block]:
        if not events:
            return
        parts = [b"".join(event.parts) for event in events]
        starts = [0]
        for part in parts[:-1]:
            starts.append(starts[-1] + len(part))
        origins = tuple((event.offset, event.line) for event in events)
        yield Block(b"".join(parts), before["offset"], before["line"], tuple(starts), None, origins, before)

    def _add(self, line: bytes, offset: int) -> list[_Open]:
        """Take a line; the events that are over thereby."""
        if len(line) > self.max_record:
            self._fault(f"longer than {self.max_record} bytes")
            return []
        found = _LINE.match(line)
        if found is None:
            if not _ASIDE.fullmatch(line):
                self._fault("no record of audit (type=... msg=audit(...):)")
            return []
        key = found["time"] + b":" + found["serial"]
        known = self._open.get(key)
        if key in self._closed and (known is None or known.over):
            self._fault(f"a line of event {key.decode()[:90]} after that event was over")
            return []
        time = _seconds(found["time"])
        for old, event in self._open.items():
            if event.time + _LATER < time:
                self._end(old)
        event = self._open.setdefault(key, _Open(offset, self._line, time))
        if event.size + len(line) <= MOST_EVENT_BYTES or not event.parts:
            event.parts.append(line)
            event.size += len(line)
        if found["type"] in {b"EOE", b"1320"}:
            self._end(key)
        if len(self._open) > MOST_OPEN:
            self._end(next(iter(self._open)))
        over = []
        for old, event in list(self._open.items()):
            if not event.over:
                break
            over.append(self._open.pop(old))
        return over

    def _end(self, key: bytes) -> None:
        """No further line of that event is taken."""
        if not self._open[key].over:
            self._open[key].over = True
            self._closed.append(key)

    def _fault(self, what: str) -> None:
        self.bad += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append((self._line, what))


def _seconds(text: bytes) -> float:
    """Of a time in seconds; 0 of one that is written out (`ausearch -i`), whose events end otherwise."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def fields_of(text: str) -> dict[str, Any]:
    """The record of an event's lines: `time`, `serial`, `node`, `type` (of the first line), every field by
    its name, the first of that name where several lines have one; and under each line's type its own fields
    (a list where several lines are of one type): `exe`, `SYSCALL.exe`, `PATH[].name`. Empty for other text.
    """
    record: dict[str, Any] = {}
    for line in text.split("\n"):
        found = _LINE.match(line[:1000].encode("utf-8", "replace"))
        if found is None:
            continue
        kind = found["type"].decode()
        own = _fields_of_line(line)
        if not record:
            record = {"type": kind, "time": found["time"].decode(), "serial": found["serial"].decode()}
            host = _NODE.search(line) or _SYSLOG_HOST.search(found["front"].decode("utf-8", "replace"))
            if host is not None:
                record["node"] = host[1]
        for name, value in own.items():
            record.setdefault(name, value)
        if kind in {"SYSCALL", "1300"}:
            # Where audit enriches its log, it has the name itself; a number means what its architecture says.
            name = own.get("SYSCALL") or name_of(own.get("syscall", ""), own.get("arch", ""))
            record.setdefault("call", name)
        others = record.setdefault(kind, own)
        if others is not own:
            record[kind] = [*others, own] if isinstance(others, list) else [others, own]
    return record


def _fields_of_line(line: str) -> dict[str, str]:
    _, _, body = line.partition("):")
    if not body:
        _, _, body = line.partition(") :")
    fields: dict[str, str] = {}
    for name, value in _PAIR.findall(body):
        if name == "msg" and value[:1] == "'":
            for inner, text in _PAIR.findall(value[1:-1]):
                fields.setdefault(inner, _plain(inner, text))
        else:
            fields.setdefault(name, _plain(name, value))
    return fields


def _plain(name: str, value: str) -> str:
    """A value without its quotes, or what its hexadecimal digits spell."""
    if value[:1] in {'"', "'"}:
        return value[1:-1]
    if name in _TEXTS and len(value) > 1 and _HEX.fullmatch(value):
        return bytes.fromhex(value).replace(b"\0", b" ").decode("utf-8", errors="replace")
    return "" if value in {"(null)", "?", "(none)"} else value
