"""JSON that is no line a record: arrays, objects over many lines, and records in an object's list.

    [{...}, {...}]                      what ConvertTo-Json and `jq -s` write
    {"Records": [{...}, {...}]}         a file of CloudTrail; {"hits": {"hits": [...]}}, a search's response
    {                                   objects over many lines, one after the other (`jq .`)
      ...

Records are cut from the bytes as they come, by brackets and quotes alone: memory holds one record, time is
linear, and a document need not end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vestige.sources.events.records import BLOCK_BYTES, MOST_FAULTS, Block, Cutter

MOST_NESTED = 8
"""No list of records lies deeper in a document."""

_MOST_OPEN = 1024

Place = tuple[str, ...]
"""The open brackets around a record, each with the key that it stands under: `("{", "Records[")`."""

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+([{}\[\]])", re.DOTALL)
_PLAIN = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+", re.DOTALL)
_OPEN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_KEY = re.compile(rb'"([^"\\\x00-\x1f]{1,64})"\s{0,64}:\s{0,64}[\[{]\Z')
_SEPARATORS = b" \t\r\n,\xef\xbb\xbf\x1e"
"""What may stand between records: also a byte order mark, and the mark of RFC 7464 (JSON text sequences)."""


def places(sample: bytes) -> list[Place]:
    """Where in a document lists of objects lie, that with the most objects first; `()`, objects one after the
    other, last."""
    found: Counter[Place] = Counter()
    around: list[str] = []
    at = 0
    while (match := _BRACKET.match(sample, at)) is not None:
        mark, at = match[1], match.end()
        if mark in b"{[":
            if mark == b"{" and 0 < len(around) <= MOST_NESTED and around[-1].endswith("["):
                found[tuple(around)] += 1
            around.append(_key(sample[match.start() : at]) + mark.decode())
        elif around:
            around.pop()
    # A list within records repeats itself under the same keys: the outermost of equal ones is the records'.
    ordered = sorted(found, key=lambda place: (len(place), -found[place]))
    return [*ordered, ()]


def _key(gap: bytes) -> str:
    """The key before the bracket that ends `gap`; empty where there is none."""
    found = _KEY.search(gap[-256:])
    return found[1].decode("utf-8", errors="replace") if found else ""


@dataclass
class DocumentReader(Cutter):
    """Cuts pieces of a file's decoded content into blocks of records that lie at `place`.

    Its buffer begins outside of records or with a record, unless one is passed over.
    """

    place: Place
    size: int = BLOCK_BYTES
    _around: list[str] = field(default_factory=list)
    """The brackets that are open where the buffer begins, outside of records."""
    _depth: int = 0
    """Of a record that is passed over: how many of its brackets are open."""
    _in_string: bool = False
    """Of a record that is passed over: whether the buffer begins within a string."""
    _wanted: int = 0
    """How much must have come before looking again is worth it: a record is looked at from its beginning."""
    _news: bool = False

    @property
    def state(self) -> dict[str, Any]:
        """See `Cutter.state`."""
        return {
            "offset": self._offset,
            "line": self._line,
            "around": list(self._around),
            "depth": self._depth,
            "in_string": self._in_string,
        }

    def state_at(self, block: Block) -> dict[str, Any]:
        """See `Cutter.state_at`."""
        inside = {"around": list(self.place), "depth": 0, "in_string": False}
        return {"offset": block.offset, "line": block.line, **inside}

    def resume(self, state: dict[str, Any]) -> None:
        """See `Cutter.resume`."""
        self._offset, self._line, self._around = state["offset"], state["line"], list(state["around"])
        self._depth, self._in_string = state["depth"], state["in_string"]

    def feed(self, piece: bytes) -> None:
        """See `Cutter.feed`."""
        super().feed(piece)
        self._news = True

    def take(self, *, now: bool = False) -> Iterator[Block]:
        """Blocks, where the buffer has grown to `size`; `now`: of whatever whole records there are."""
        if self._news and (now or len(self._buffer) >= max(self.size, self._wanted)):
            self._news = False
            yield from self._cut()

    def finish(self) -> Iterator[Block]:
        """The last blocks: the file is over. A record that has no end is a bad one."""
        yield from self._cut()
        rest = self._buffer.strip(_SEPARATORS)
        if rest.startswith(b"{"):
            self._fault(0, "the object has no end: the file is cut off, or a bracket is missing")
        elif rest and not self._depth:
            self._fault(0, "no JSON object")
        self._drop(len(self._buffer))

    def _cut(self) -> Iterator[Block]:
        """Blocks of all whole records in the buffer."""
        while True:
            if self._depth:
                self._drop(self._pass_over())
                if self._depth:
                    return
            starts, ends, kept, opened = self._records()
            if starts:
                first = starts[0]
                data = bytes(self._buffer[first : ends[-1]])
                line = self._line + self._buffer.count(b"\n", 0, first)
                begins = tuple(start - first for start in starts)
                yield Block(data, self._offset + first, line, begins, tuple(end - first for end in ends))
            self._drop(kept)
            self._wanted = 2 * len(self._buffer)
            if len(self._buffer) <= self.max_record:
                return
            self._fault(0, f"longer than {self.max_record} bytes")
            # Not a record but an endless text between them: what follows its end cannot be told.
            self._depth = 1
            if opened:
                self._drop(1)

    def _records(self) -> tuple[list[int], list[int], int, bool]:
        """Where whole records begin and end in the buffer; from where on it is kept; whether a record that
        has not ended begins there."""
        starts: list[int] = []
        ends: list[int] = []
        at = begin = depth = 0
        place = list(self.place)
        while (match := _BRACKET.match(self._buffer, at)) is not None:
            mark, after = match[1], match.end()
            if depth:
                depth += 1 if mark in b"{[" else -1
                if not depth and after - begin > self.max_record:
                    self._fault(begin, f"longer than {self.max_record} bytes")
                elif not depth:
                    starts.append(begin)
                    ends.append(after)
                elif after - begin > self.max_record:
                    break
            elif mark == b"{" and self._around == place:
                self._expect_comma(at, after - 1)
                begin, depth = after - 1, 1
            else:
                self._outside(bytes(self._buffer[max(at, after - 256) : after]), mark.decode())
            at = after
        if depth:
            return starts, ends, begin, True
        return starts, ends, at, False

    def _expect_comma(self, start: int, end: int) -> None:
        """What stands between two records is a comma alone, or the record is not all that is there."""
        if self._buffer[start:end].strip(_SEPARATORS):
            self._fault(start, "no JSON object")

    def _outside(self, gap: bytes, mark: str) -> None:
        """A bracket that is no part of a record."""
        if mark in "{[":
            # Deeper brackets need not be told apart: no record lies among them.
            self._around.append(_key(gap) + mark if len(self._around) < MOST_NESTED else mark)
            if len(self._around) > _MOST_OPEN:
                self._around.pop()
        elif self._around:
            self._around.pop()

    def _pass_over(self) -> int:
        """Pass over the rest of a record that is too long: how much of the buffer was looked at. `_depth` is
        0 once it has ended."""
        at = 0
        while at < len(self._buffer):
            if self._in_string:
                inside = _OPEN_STRING.match(self._buffer, at)
                at = at if inside is None else inside.end()
                if self._buffer[at : at + 1] != b'"':
                    # The end, or a backslash whose other half is still to come.
                    return at
                self._in_string = False
                at += 1
                continue
            plain = _PLAIN.match(self._buffer, at)
            at = at if plain is None else plain.end()
            mark = self._buffer[at : at + 1]
            at += len(mark)
            if mark == b'"':
                self._in_string = True
            elif mark:
                self._depth += 1 if mark in b"{[" else -1
                if not self._depth:
                    return at
        return at

    def _drop(self, end: int) -> None:
        self._offset += end
        self._line += self._buffer.count(b"\n", 0, end)
        del self._buffer[:end]

    def _fault(self, at: int, what: str) -> None:
        self.bad += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append((self._line + self._buffer.count(b"\n", 0, at), what))
