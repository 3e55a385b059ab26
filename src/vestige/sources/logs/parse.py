"""Blocks of lines to messages: times, places, hashes, labels and masked texts. Runs in worker processes.

`Rules` is everything that decides about a number; it is built from a schema's settings alone.
"""

from __future__ import annotations

import codecs
import re
from array import array
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import blake2b
from itertools import islice, pairwise
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.sources.logs import clock
from vestige.sources.logs.blocks import MESSAGE_BYTES, Block
from vestige.sources.logs.clock import BAD
from vestige.sources.logs.escapes import without_escapes
from vestige.sources.logs.foreign import Foreign, is_archived, is_marker
from vestige.sources.logs.format import Format
from vestige.sources.logs.guess import NAME as GUESSED_NAME
from vestige.sources.logs.header import CONTENT
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.masks import Masker
from vestige.sources.logs.options import LONGEST_LINE, Encoding
from vestige.sources.logs.records import (
    EXPORT,
    Record,
    Told,
    load,
    load_export,
    records_of,
    text_of,
    told,
    value_at,
    within_values,
)
from vestige.sources.logs.slots import N_SLOTS, SlotReader

TEXT_CHARACTERS = 8192
RAW_BYTES = 1 << 16
"""A message's text and hash take no more than this of it."""

BETWEEN = "a program put it between messages, and it is part of none"
UNREAD = "it begins with a time of its own, and fits no format"
ARCHIVED = "the header of a file in a tar archive stands before it: read the archive unpacked"
NO_RECORD = "it is no JSON object, where the others are"
MOST_OTHERS = 64
"""Formats of one file that are kept ready."""
MOST_UNREAD = 20
"""Lines of a block that are named because no message has them."""

_BRACKETS = "[] \t\r"
"""What stands in lines of an array before its first record and behind its last one."""
EMPTY = "<empty>"
"""The text of a message without content: the empty text is padding's."""


def common_settings(plain: dict[str, Any]) -> tuple[str, int, bool]:
    """Of settings: the encoding, the bytes of a line that are read, whether values are kept. Raises
    ValueError or KeyError where they are none."""
    if plain["encoding"] not in get_args(Encoding):
        raise ValueError(f"no encoding of logs: {checked.shown(plain['encoding'])}")
    caps = checked.mapping(plain["caps"], "caps")
    longest = checked.whole(caps["line_bytes"], "line_bytes", 1, LONGEST_LINE)
    return plain["encoding"], longest, checked.flag(plain.get("values", False), "values")


@dataclass(frozen=True)
class Rules:
    """How to read lines: a format, a label rule, an encoding, and where to stop in an over-long line. Lines
    that do not fit the format may begin messages of the `others`, or of formats that are guessed. `values`:
    whether what the masks replace is kept."""

    format: Format
    label: LabelRule
    encoding: str = "utf-8"
    max_line: int = 1 << 16
    others: tuple[Format, ...] = ()
    guesses: bool = False
    values: bool = False

    def settings(self) -> dict[str, Any]:
        """JSON-ready, for the schema."""
        plain: dict[str, Any] = {
            "format": self.format.settings(),
            "label": self.label.to_dict(),
            "encoding": self.encoding,
            "caps": {"line_bytes": self.max_line, "text_characters": TEXT_CHARACTERS, "raw_bytes": RAW_BYTES},
        }
        if self.others or self.guesses:
            plain["others"] = [other.settings() for other in self.others]
            plain["guesses"] = self.guesses
        if self.values:
            plain["values"] = True
        return plain

    @classmethod
    def from_settings(cls, plain: dict[str, Any]) -> Rules:
        """The rules that `settings` wrote down. Raises ValueError or KeyError for anything else."""
        encoding, longest, values = common_settings(plain)
        return cls(
            Format.model_validate(plain["format"]),
            LabelRule.from_dict(plain["label"]),
            encoding,
            longest,
            tuple(Format.model_validate(other) for other in plain.get("others", [])),
            checked.flag(plain.get("guesses", False), "guesses"),
            values,
        )

    @cached_property
    def header(self) -> re.Pattern[str]:
        """The compiled header."""
        return self.format.compiled()

    @cached_property
    def foreign(self) -> Foreign | None:
        """What lines are that do not fit the header; None where nothing is asked of them: of a format without
        times that somebody chose."""
        chosen = self.format
        if not (chosen.time or chosen.keys or chosen.by_columns or chosen.name == GUESSED_NAME):
            return None
        return Foreign(
            self.others,
            guesses=self.guesses,
            shows_level=self.label.kind != "level",
            records=bool(self.format.keys) and not self.format.time and "Start" in self.format.field,
        )

    def text(self, data: bytes) -> str:
        """Decoded whatever it holds, without NULs (crashed systems leave runs of them), byte order marks
        (RFC 5424 has them within a line), and what terminals would understand."""
        text = data.decode(self.encoding, errors="replace").replace("\0", "").replace("\ufeff", "")
        return without_escapes(text)

    @cached_property
    def _partial(self) -> re.Pattern[str] | None:
        return re.compile(self.format.partial, re.ASCII) if self.format.partial else None

    def goes_on(self, line: str, following: str) -> bool:
        """Whether the message of a line goes on in the next line, although that looks like another's."""
        return self._partial is not None and self._partial.match(f"{line}\n{following}") is not None

    def goes_on_from(self, line: bytes, following: bytes) -> bool:
        """The same of a line's bytes."""
        return self.goes_on(self.text(line), self.text(following))

    @property
    def inside(self) -> Callable[[bytes], set[int]] | None:
        """Which lines lie within values, where values may have lines (journald's export form)."""
        return partial(within_values, most=MESSAGE_BYTES) if self.is_export else None

    @property
    def is_export(self) -> bool:
        """Whether it is journald's export form."""
        return bool(self.format.keys) and self.format.header.startswith(EXPORT)

    def is_start(self, line: bytes) -> bool:
        """Whether a line begins a message, or ends the one before it without beginning one."""
        text = self.text(line)
        if self.header.match(text) is not None:
            return True
        return self.foreign is not None and self.foreign.begins(text)


@dataclass(frozen=True)
class Messages:
    """The n messages of a block. `t_ns` may hold `clock.BAD`; `text (n,)` indexes `texts`."""

    t_ns: NDArray[np.int64]
    line: NDArray[np.int64]
    offset: NDArray[np.int64]
    raw: NDArray[np.uint64]
    label: NDArray[np.uint8]
    text: NDArray[np.uint32]
    texts: list[str]
    final: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    unread: tuple[tuple[int, str], ...] = ()
    """The first lines that are part of no message: their numbers, and why not."""
    slots: NDArray[np.uint64] | None = None
    """The values `(n, N_SLOTS)` that masks replaced, where the rules keep them."""

    def __len__(self) -> int:
        return len(self.t_ns)

    @property
    def n_first(self) -> int:
        """How many messages begin where the first one does."""
        return int((self.offset == self.offset[0]).sum())

    def without_first(self) -> Messages:
        """The messages after those that begin where the first one does."""
        columns = {
            name: getattr(self, name)[self.n_first :]
            for name in ("t_ns", "line", "offset", "raw", "label", "text")
        }
        slots = None if self.slots is None else self.slots[self.n_first :]
        return replace(self, slots=slots, **columns)


class _Into(NamedTuple):
    """What messages come to while a block is read."""

    label: array[int]
    text: array[int]
    t_ns: array[int]
    slots: array[int]
    counts: Counter[str]

    def values(self) -> NDArray[np.uint64]:
        """The values of the messages, `(n, N_SLOTS)`."""
        return np.array(self.slots, dtype=np.uint64).reshape(-1, N_SLOTS)


class Parser:
    """Rules made ready to run; `raw`: texts are read as they stand, and nobody asks for times and hashes."""

    def __init__(self, rules: Rules, *, raw: bool = False) -> None:
        self._rules, self._raw = rules, raw
        self._match = rules.header.match
        self._times = rules.format.time_parser()
        patterns = [] if raw else rules.format.resolved_masks
        self._mask = Masker(patterns).mask
        self._values = None
        if rules.values and not raw:
            self._values = SlotReader([name for name, _ in patterns]).values
        self._shown = rules.format.shown
        self._others: dict[int, tuple[Format, Parser]] = {}
        self._keys, self._export = rules.format.keys, rules.format.header.startswith(EXPORT)
        self._shows_level = rules.label.kind != "level"
        self._by_field, self._by_text = rules.label.by_field(), rules.label.by_text()
        groups = rules.header.groupindex
        exact = "fraction" in groups
        times = ["head" if clock.exact(layout) else name for name, layout in rules.format.time.items()]
        # One call takes all groups of a line; the content stands in for a group that the format lacks.
        fraction = "fraction" if exact else CONTENT
        label = rules.label.field
        if label not in groups:
            label = None
        self._groups = (CONTENT, label or CONTENT, fraction, *times)
        self._exact, self._fields = exact, label is not None

    def parse(self, block: Block) -> Messages:
        """The messages of `block`; lines before the first header belong to none and are left out."""
        text, undecodable = self._decode(block)
        lines = text.split("\n")
        if block.data.endswith(b"\n"):
            lines.pop()
        found = {number: match for number, line in enumerate(lines) if (match := self._match(line))}
        inside: set[int] = set()
        pieces: list[int] = []
        if self._export:
            inside = within_values(block.data)
            found = {at: match for at, match in found.items() if at not in inside}
        if self._rules.format.partial:
            pairs = enumerate(pairwise(lines), 1)
            inside = {at for at, (before, line) in pairs if self._rules.goes_on(before, line)}
            pieces = [
                at for at in found if at + 1 not in inside and self._rules.goes_on(lines[at], lines[at])
            ]
            found = {at: match for at, match in found.items() if at not in inside}
        others: dict[int, Format] = {}
        left: dict[int, str] = {}
        if len(found) < len(lines) and self._rules.foreign is not None:
            others, left = self._foreign(lines, inside.union(found), self._rules.foreign)
        ends = _ends([*found], len(lines))
        runs: list[tuple[Parser, dict[int, re.Match[str]]]] = [(self, found)]
        if others or left:
            ends = _ends(sorted([*found, *others, *left]), len(lines))
            runs = self._runs(lines, found, others)
        into = _Into(array("B"), array("I"), array("q"), array("Q"), Counter())
        rows: dict[str, int] = {}
        begins, offsets, numbers = places(block, len(lines))
        starts: list[int] = []
        for parser, headers in runs:
            if parser._export:
                lines = _undecoded(block.data, headers, ends, lines)
            starts += parser._read(lines, headers, ends, rows, into)
        first = np.array(starts, dtype=np.int64)
        after = np.array([ends[at] for at in starts], dtype=np.int64)
        once = np.unique(first, return_index=True)[1]
        blank = _BRACKETS if self._keys else ""
        counts = {
            "lines": len(lines) + sum(gap[2] for gap in block.gaps),
            "undecodable_lines": undecodable,
            "multi_line_messages": int((after - first > 1)[once].sum()),
            "lines_without_header": _of_none(lines, first[once], after[once], left, blank),
        }
        beside = {
            "lines_between_messages": sum(why == BETWEEN for why in left.values()),
            "lines_of_no_format": sum(why != BETWEEN for why in left.values()),
            "messages_of_other_formats": len(others),
            "pieces_alone": len(pieces),
            "lines_with_escapes": _escaped(block.data),
            "records_without_message": into.counts["records_without_message"],
        }
        return Messages(
            t_ns=np.array(into.t_ns, dtype=np.int64),
            line=numbers[first],
            offset=offsets[first],
            raw=self._hashes(block.data, begins, starts, after.tolist()),
            label=np.array(into.label, dtype=np.uint8),
            text=np.array(into.text, dtype=np.uint32),
            texts=list(rows),
            final=block.final,
            counts=counts | {name: count for name, count in beside.items() if count},
            unread=tuple((int(numbers[at]), why) for at, why in islice(left.items(), MOST_UNREAD)),
            slots=into.values() if self._values is not None else None,
        )

    def _hashes(
        self, data: bytes, begins: NDArray[np.int64], starts: list[int], after: list[int]
    ) -> NDArray[np.uint64]:
        if self._raw:
            return np.zeros(len(starts), dtype=np.uint64)
        return _hashes(data, begins, starts, after)

    def hosts(self, lines: list[str]) -> Iterator[str]:
        """The machines that these lines name, one for each that begins a message and names one."""
        found = [(at, match) for at, line in enumerate(lines) if (match := self._match(line))]
        named = self._rules.format.host
        for (at, match), after in zip(found, [*(at for at, _ in found[1:]), len(lines)], strict=False):
            if named:
                yield match[named] or ""
            elif self._keys:
                yield from (said.host for said in self._said(match, lines[at:after]))

    def time(self, line: str) -> int:
        """The time of a line that begins a message, be it of another format; else `clock.BAD`."""
        match = self._match(line)
        if match is None:
            other = None
            if line[:1] not in {"", " ", "\t"} and self._rules.foreign is not None:
                other = self._rules.foreign.format(line)
            return BAD if other is None else self._of(other).time(line)
        if self._keys:
            return next((said.t_ns for said in self._said(match, [line])), BAD)
        _, _, fraction, *times = match.group(*self._groups)
        return self._times.parse(tuple(times), fraction if self._exact else None)

    def _decode(self, block: Block) -> tuple[str, int]:
        """The text of a block, and in how many lines bytes had to be replaced."""
        data = block.data
        if block.offset == 0:
            data = data.removeprefix(codecs.BOM_UTF8)
        text = self._rules.text(data)
        if "\ufffd" not in text:
            return text, 0
        try:
            data.decode(self._rules.encoding)
        except UnicodeDecodeError:
            return text, sum("\ufffd" in line for line in text.split("\n"))
        return text, 0

    def _foreign(
        self, lines: list[str], known: set[int], foreign: Foreign
    ) -> tuple[dict[int, Format], dict[int, str]]:
        """Of the lines that are not `known` to begin or to be part of a message: the formats of those that
        begin messages of another one, and why those are left out that belong to no message."""
        others: dict[int, Format] = {}
        left: dict[int, str] = {}
        for number, line in enumerate(lines):
            if number in known or line[:1] in {"", " ", "\t"}:
                continue
            if is_marker(line):
                left[number] = BETWEEN
            elif is_archived(line):
                left[number] = ARCHIVED
            elif (other := foreign.format(line)) is not None:
                others[number] = other
            elif foreign.begins(line):
                left[number] = NO_RECORD if foreign.is_no_record(line) else UNREAD
        return others, left

    def _runs(
        self, lines: list[str], found: dict[int, re.Match[str]], others: dict[int, Format]
    ) -> list[tuple[Parser, dict[int, re.Match[str]]]]:
        """The messages in their order, those beside one another that are of one format together."""
        runs: list[tuple[Parser, dict[int, re.Match[str]]]] = []
        for at in sorted([*found, *others]):
            parser, match = self, found.get(at)
            if match is None:
                parser = self._of(others[at])
                match = parser._match(lines[at])
            if match is None:
                raise ValueError("a line was taken to be of a format that it does not have")
            if not runs or runs[-1][0] is not parser:
                runs.append((parser, {}))
            runs[-1][1][at] = match
        return runs

    def _of(self, other: Format) -> Parser:
        """The parser of another format of the file."""
        # By its identity, which is quick, and stays its own because the format is kept beside the parser.
        kept = self._others.get(id(other))
        if kept is None:
            if len(self._others) >= MOST_OTHERS:
                self._others.clear()
            rules = replace(self._rules, format=other, others=(), guesses=False)
            kept = self._others[id(other)] = other, Parser(rules, raw=self._raw)
        return kept[1]

    def _read(
        self,
        lines: list[str],
        found: dict[int, re.Match[str]],
        ends: dict[int, int],
        rows: dict[str, int],
        into: _Into,
    ) -> list[int]:
        """Put labels, text rows and times of the messages whose headers were `found` behind those in `into`,
        and unique texts into `rows`. Returns the line of each."""
        if self._keys:
            return self._read_records(lines, found, ends, rows, into)
        seen: dict[str, tuple[int, int, list[int]]] = {}
        label, text_rows, t_ns, slots, _ = into
        parse_time, groups, shown = self._times.parse, self._groups, self._shown
        for at, match in found.items():
            content, value, fraction, *times = match.group(*groups)
            moment = BAD
            if not self._raw:
                moment = parse_time(tuple(times), fraction if self._exact else None)
            if shown:
                content = " ".join(filter(None, (match.group(*shown, CONTENT))))
            after = ends[at]
            if after == at + 1:
                content = content.strip()
            else:
                content = self._whole(content, lines[at:after])
            # Most messages come again and again: each is masked and judged by its text once a block.
            known = seen.get(content)
            if known is None:
                short = content[:TEXT_CHARACTERS]
                masked = self._mask(short)
                row = rows.setdefault(masked or EMPTY, len(rows))
                known = seen[content] = row, self._by_text(short), self._slots(short, masked)
            text_rows.append(known[0])
            slots.extend(known[2])
            label.append(self._by_field(value) if self._fields else known[1])
            t_ns.append(moment)
        self._times.forget()
        return list(found)

    def _slots(self, text: str, masked: str) -> list[int]:
        """The values that masks replaced; nothing where they are not kept."""
        return [] if self._values is None else self._values(text, masked)

    def _whole(self, content: str, lines: list[str]) -> str:
        """A message of several lines, the first of which has this content."""
        if not self._rules.goes_on(*lines[:2]):
            return _joined(content, lines[1:])
        pieces = [content]
        for before, line in pairwise(lines):
            match = self._match(line)
            if match is not None and self._rules.goes_on(before, line):
                pieces.append(match[CONTENT])
            else:
                pieces.append(f"\n{line.rstrip()}")
        return "".join(pieces).strip()

    def _read_records(
        self,
        lines: list[str],
        found: dict[int, re.Match[str]],
        ends: dict[int, int],
        rows: dict[str, int],
        into: _Into,
    ) -> list[int]:
        """Like `_read`, where messages are records. A line may hold several (OTLP)."""
        label, text_rows, t_ns, slots, counts = into
        starts = []
        for at, match in found.items():
            for said in self._said(match, lines[at : ends[at]]):
                text = said.text.strip()
                if self._shows_level and said.level:
                    text = f"{said.level} {text}"
                short = text[:TEXT_CHARACTERS]
                masked = self._mask(short)
                text_rows.append(rows.setdefault(masked or EMPTY, len(rows)))
                slots.extend(self._slots(short, masked))
                label.append(self._by_text(short) if self._shows_level else self._by_field(said.level))
                t_ns.append(said.t_ns)
                starts.append(at)
                counts["records_without_message"] += said.silent
        return starts

    def _said(self, match: re.Match[str], lines: list[str]) -> list[Told]:
        """What the records of a message say; a message that is none says its text."""
        _, _, fraction, *times = match.group(*self._groups)
        moment = BAD
        if self._rules.format.time:
            moment = self._times.parse(tuple(times), fraction if self._exact else None)
        content, more = match[CONTENT], lines[1:]
        if self._export:
            record: Record | None = load_export("\n".join(lines).encode("latin-1", errors="replace"))
        elif more and self._rules.goes_on(*lines[:2]):
            record, more = self._joined_record(match, lines), []
        else:
            record = load(content)
            if record is None and more:
                record, more = load("\n".join([content, *more])), []
        if record is None:
            return [Told(_joined(content, lines[1:]), "", moment, "")]
        out = [told(each, self._keys) for each in records_of(record)]
        if moment != BAD:
            out = [replace(each, t_ns=moment) for each in out]
        if any(line.strip(_BRACKETS) for line in more) and not self._export and out:
            out[-1] = replace(out[-1], text=_joined(out[-1].text, more))
        return out

    def _joined_record(self, match: re.Match[str], lines: list[str]) -> Record | None:
        """The record whose message is that of several lines: of a header's contents together, or of objects
        each of which holds a piece (Docker)."""
        record = load(match[CONTENT])
        if record is None:
            return load(self._whole(match[CONTENT], lines))
        path = self._keys.get("message", "")
        pieces = [record, *filter(None, map(load, lines[1:]))]
        return record | {path: "".join(text_of(value_at(piece, path)) for piece in pieces)}


def _escaped(data: bytes) -> int:
    """How many lines hold what only a terminal understands, as terminals get it."""
    if b"\x1b" not in data:
        return 0
    return sum(b"\x1b" in line for line in data.split(b"\n"))


def _of_none(
    lines: Sequence[str], first: NDArray[np.int64], after: NDArray[np.int64], left: Container[int], blank: str
) -> int:
    """How many lines belong to no message: to none of those from `first` to before `after (M,)`, and they are
    not `left`, which are told by themselves. An empty line is nothing that a message should have had, nor is
    one that is `blank` (characters)."""
    change = np.zeros(len(lines) + 1, dtype=np.int64)
    change[first] += 1
    # One message may end where two begin.
    np.subtract.at(change, after, 1)
    alone = np.flatnonzero(np.cumsum(change[:-1]) == 0)
    return sum(at not in left and bool(lines[at].strip().strip(blank)) for at in alone.tolist())


def _ends(bounds: list[int], last: int) -> dict[int, int]:
    """Where each of the things that begin at `bounds` is over."""
    return dict(zip(bounds, [*bounds[1:], last], strict=False))


def _undecoded(
    data: bytes,
    found: dict[int, re.Match[str]],
    ends: dict[int, int],
    lines: list[str],
) -> list[str]:
    """The lines, those of the messages that were `found` byte by byte: their records hold lengths in
    bytes."""
    raw = data.split(b"\n")
    out = list(lines)
    for at in found:
        out[at : ends[at]] = [line.decode("latin-1") for line in raw[at : ends[at]]]
    return out


def _joined(content: str, more: list[str]) -> str:
    """A message of several lines, without blanks at its and the lines' ends."""
    return "\n".join([content.strip(), *(line.rstrip() for line in more)]).strip()


def places(
    block: Block, n_lines: int, ends: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of every line: where it begins in the block, where in the file, and its number. `ends (n_lines,)`:
    where each ends, where that is known."""
    if ends is None:
        ends = np.flatnonzero(np.frombuffer(block.data, np.uint8) == 10)
    begins = np.concatenate([[0], ends + 1])[:n_lines]
    offsets = begins + block.offset
    numbers = np.arange(block.line, block.line + n_lines)
    for at, n_bytes, n_more in block.gaps:
        offsets[begins >= at] += n_bytes
        numbers[begins >= at] += n_more
    return begins, offsets, numbers


def _hashes(
    data: bytes, begins: NDArray[np.int64], starts: list[int], after: list[int]
) -> NDArray[np.uint64]:
    """A hash of the raw bytes of every message, line ends at its end left out."""
    places = [*begins.tolist(), len(data)]
    parts = [
        blake2b(
            data[places[a] : min(places[b], places[a] + RAW_BYTES)].rstrip(b"\r\n"), digest_size=8
        ).digest()
        for a, b in zip(starts, after, strict=True)
    ]
    return np.frombuffer(b"".join(parts), dtype="<u8").astype(np.uint64)
