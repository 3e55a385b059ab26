"""Blocks of lines to messages: times, places, hashes, labels and masked texts. Runs in worker processes.

`Rules` is everything that decides about a number; it is built from a schema's settings alone.
"""

from __future__ import annotations

import codecs
import json
import re
from array import array
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.sources.logs import clock
from vestige.sources.logs.blocks import Block
from vestige.sources.logs.clock import BAD
from vestige.sources.logs.foreign import Foreign, is_marker
from vestige.sources.logs.format import Format
from vestige.sources.logs.header import CONTENT
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.masks import Masker

TEXT_CHARACTERS = 8192
RAW_BYTES = 1 << 16
"""A message's text and hash take no more than this of it."""

_CSI = r"\[[0-?]{0,32}[ -/]{0,4}[@-~]"
ESCAPES = re.compile(
    rf"(?:\x1b|#033|\\x1b|\\u001b|\\033|\^\[){_CSI}|\x9b{_CSI[2:]}"
    r"|\x1b\][^\x07\x1b\n]{0,1024}(?:\x07|\x1b\\)|\x1b[()][0-9A-B]|\x1b[=>78cDEHMNOZ]"
)
"""What tells a terminal about colours, cursors and titles (ECMA-48, 5.4 and 8.3.89), as it is or as rsyslog
(`#033[`), journald (`\\x1b[`) and `cat -v` (`^[[`) write it."""
_ESCAPE_SIGNS = ("\x1b", "\x9b", "#033[", "\\x1b[", "\\u001b[", "\\033[", "^[[")

BETWEEN = "a program put it between messages, and it is part of none"
UNREAD = "it begins with a time of its own, and fits no format"
MOST_OTHERS = 64
"""Formats of one file that are kept ready."""
MOST_UNREAD = 20
"""Lines of a block that are named because no message has them."""

EMPTY = "<empty>"
"""The text of a message without content: the empty text is padding's."""


@dataclass(frozen=True)
class Rules:
    """How to read lines: a format, a label rule, an encoding, and where to stop in an over-long line. Lines
    that do not fit the format may begin messages of the `others`, or of formats that are guessed."""

    format: Format
    label: LabelRule
    encoding: str = "utf-8"
    max_line: int = 1 << 16
    others: tuple[Format, ...] = ()
    guesses: bool = False

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
        return plain

    @classmethod
    def from_settings(cls, plain: dict[str, Any]) -> Rules:
        """The rules that `settings` wrote down."""
        return cls(
            Format.model_validate(plain["format"]),
            LabelRule.from_dict(plain["label"]),
            plain["encoding"],
            plain["caps"]["line_bytes"],
            tuple(Format.model_validate(other) for other in plain.get("others", [])),
            plain.get("guesses", False),
        )

    @cached_property
    def header(self) -> re.Pattern[str]:
        """The compiled header."""
        return self.format.compiled()

    @cached_property
    def foreign(self) -> Foreign | None:
        """What lines are that do not fit the header; None where every line fits (there are no times)."""
        if not self.format.time:
            return None
        return Foreign(self.others, guesses=self.guesses, shows_level=self.label.kind != "level")

    def text(self, data: bytes) -> str:
        """Decoded whatever it holds, without NULs (crashed systems leave runs of them), byte order marks
        (RFC 5424 has them within a line), and what terminals would understand."""
        text = data.decode(self.encoding, errors="replace").replace("\0", "").replace("\ufeff", "")
        if any(sign in text for sign in _ESCAPE_SIGNS):
            return ESCAPES.sub("", text)
        return text

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

    def __len__(self) -> int:
        return len(self.t_ns)

    def without_first(self) -> Messages:
        """The messages after the first one."""
        columns = {
            name: getattr(self, name)[1:] for name in ("t_ns", "line", "offset", "raw", "label", "text")
        }
        return replace(self, **columns)


def parse(settings: str, block: Block) -> Messages:
    """The messages of a block, by rules given as JSON: what a worker process is sent."""
    return _parser(settings).parse(block)


@lru_cache(maxsize=64)
def _parser(settings: str) -> Parser:
    return Parser(Rules.from_settings(json.loads(settings)))


class Parser:
    """Rules made ready to run."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._match = rules.header.match
        self._times = rules.format.time_parser()
        self._mask = Masker(rules.format.resolved_masks).mask
        self._shown = rules.format.shown
        self._others: dict[str, Parser] = {}
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
        others: dict[int, Format] = {}
        left: dict[int, str] = {}
        if len(found) < len(lines) and self._rules.foreign is not None:
            others, left = self._foreign(lines, found, self._rules.foreign)
        ends = _ends([*found], len(lines))
        runs: list[tuple[Parser, dict[int, re.Match[str]]]] = [(self, found)]
        if others or left:
            ends = _ends(sorted([*found, *others, *left]), len(lines))
            runs = self._runs(lines, found, others)
        label, text_rows, t_ns = array("B"), array("I"), array("q")
        rows: dict[str, int] = {}
        for parser, headers in runs:
            parser._read(lines, headers, ends, rows, (label, text_rows, t_ns))
        starts = [at for _, headers in runs for at in headers]
        first = np.array(starts, dtype=np.int64)
        after = np.array([ends[at] for at in starts], dtype=np.int64)
        begins, offsets, numbers = _places(block, len(lines))
        counts = {
            "lines": len(lines) + sum(gap[2] for gap in block.gaps),
            "undecodable_lines": undecodable,
            "multi_line_messages": int((after - first > 1).sum()),
            "lines_without_header": len(lines) - int((after - first).sum()) - len(left),
        }
        beside = {
            "lines_between_messages": sum(why == BETWEEN for why in left.values()),
            "lines_of_no_format": sum(why == UNREAD for why in left.values()),
            "messages_of_other_formats": len(others),
            "lines_with_escapes": _escaped(block.data),
        }
        return Messages(
            t_ns=np.array(t_ns, dtype=np.int64),
            line=numbers[first],
            offset=offsets[first],
            raw=_hashes(block.data, begins, starts, after.tolist()),
            label=np.array(label, dtype=np.uint8),
            text=np.array(text_rows, dtype=np.uint32),
            texts=list(rows),
            final=block.final,
            counts=counts | {name: count for name, count in beside.items() if count},
            unread=tuple((int(numbers[at]), why) for at, why in islice(left.items(), MOST_UNREAD)),
        )

    def time(self, line: str) -> int:
        """The time of a header line, or `clock.BAD`."""
        match = self._match(line)
        if match is None:
            return BAD
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
        self, lines: list[str], found: dict[int, re.Match[str]], foreign: Foreign
    ) -> tuple[dict[int, Format], dict[int, str]]:
        """Of the lines without the header: the formats of those that begin messages of another one, and why
        those are left out that belong to no message."""
        others: dict[int, Format] = {}
        left: dict[int, str] = {}
        for number, line in enumerate(lines):
            if number in found or line[:1] in {"", " ", "\t"}:
                continue
            if is_marker(line):
                left[number] = BETWEEN
            elif (other := foreign.format(line)) is not None:
                others[number] = other
            elif foreign.begins(line):
                left[number] = UNREAD
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
        key = other.model_dump_json(include={"name", "header", "time", "field", "shown"})
        parser = self._others.get(key)
        if parser is None:
            if len(self._others) >= MOST_OTHERS:
                self._others.clear()
            parser = self._others[key] = Parser(replace(self._rules, format=other, others=(), guesses=False))
        return parser

    def _read(
        self,
        lines: list[str],
        found: dict[int, re.Match[str]],
        ends: dict[int, int],
        rows: dict[str, int],
        into: tuple[array[int], array[int], array[int]],
    ) -> None:
        """Put labels, text rows and times of the messages whose headers were `found` behind those in `into`,
        and unique texts into `rows`."""
        seen: dict[str, tuple[int, int]] = {}
        label, text_rows, t_ns = into
        parse_time, groups, shown = self._times.parse, self._groups, self._shown
        for at, match in found.items():
            content, value, fraction, *times = match.group(*groups)
            moment = parse_time(tuple(times), fraction if self._exact else None)
            if shown:
                content = " ".join(filter(None, (match.group(*shown, CONTENT))))
            after = ends[at]
            if after == at + 1:
                content = content.strip()
            else:
                content = _joined(content, lines[at + 1 : after])
            # Most messages come again and again: each is masked and judged by its text once a block.
            known = seen.get(content)
            if known is None:
                short = content[:TEXT_CHARACTERS]
                row = rows.setdefault(self._mask(short) or EMPTY, len(rows))
                known = seen[content] = row, self._by_text(short)
            text_rows.append(known[0])
            label.append(self._by_field(value) if self._fields else known[1])
            t_ns.append(moment)
        self._times.forget()


def _escaped(data: bytes) -> int:
    """How many lines hold what only a terminal understands, as terminals get it."""
    if b"\x1b" not in data:
        return 0
    return sum(b"\x1b" in line for line in data.split(b"\n"))


def _ends(bounds: list[int], last: int) -> dict[int, int]:
    """Where each of the things that begin at `bounds` is over."""
    return dict(zip(bounds, [*bounds[1:], last], strict=False))


def _joined(content: str, more: list[str]) -> str:
    """A message of several lines, without blanks at its and the lines' ends."""
    return "\n".join([content.strip(), *(line.rstrip() for line in more)]).strip()


def _places(block: Block, n_lines: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of every line: where it begins in the block, where in the file, and its number."""
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
