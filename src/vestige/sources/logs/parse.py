"""Blocks of lines to messages: times, places, hashes, labels and masked texts. Runs in worker processes.

`Rules` is everything that decides about a number; it is built from a schema's settings alone.
"""

from __future__ import annotations

import codecs
import json
import re
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
from vestige.sources.logs.format import Format
from vestige.sources.logs.header import CONTENT
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.masks import Masker

TEXT_CHARACTERS = 8192
RAW_BYTES = 1 << 16
"""A message's text and hash take no more than this of it."""

EMPTY = "<empty>"
"""The text of a message without content: the empty text is padding's."""


@dataclass(frozen=True)
class Rules:
    """How to read lines: a format, a label rule, an encoding, and where to stop in an over-long line."""

    format: Format
    label: LabelRule
    encoding: str = "utf-8"
    max_line: int = 1 << 16

    def settings(self) -> dict[str, Any]:
        """JSON-ready, for the schema."""
        return {
            "format": self.format.settings(),
            "label": self.label.to_dict(),
            "encoding": self.encoding,
            "caps": {"line_bytes": self.max_line, "text_characters": TEXT_CHARACTERS, "raw_bytes": RAW_BYTES},
        }

    @classmethod
    def from_settings(cls, plain: dict[str, Any]) -> Rules:
        """The rules that `settings` wrote down."""
        return cls(
            Format.model_validate(plain["format"]),
            LabelRule.from_dict(plain["label"]),
            plain["encoding"],
            plain["caps"]["line_bytes"],
        )

    @cached_property
    def header(self) -> re.Pattern[str]:
        """The compiled header."""
        return self.format.compiled()

    @property
    def year(self) -> int | None:
        """The year of a file's first line, where times name none."""
        if self.format.time_parser().has_year:
            return None
        return self.format.year

    def text(self, data: bytes) -> str:
        """Decoded whatever it holds, without NULs (crashed systems leave runs of them) and byte order marks
        (RFC 5424 has them within a line)."""
        return data.decode(self.encoding, errors="replace").replace("\0", "").replace("\ufeff", "")

    def is_start(self, line: bytes) -> bool:
        """Whether a line begins a message."""
        return self.header.match(self.text(line)) is not None


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
        self._by_field, self._by_text = rules.label.by_field(), rules.label.by_text()
        exact = "fraction" in rules.header.groupindex
        times = ["head" if clock.exact(layout) else name for name, layout in rules.format.time.items()]
        # One call takes all groups of a line; the content stands in for a group that the format lacks.
        fraction = "fraction" if exact else CONTENT
        self._groups = (CONTENT, rules.label.field or CONTENT, fraction, *times)
        self._exact, self._fields = exact, rules.label.field is not None

    def parse(self, block: Block) -> Messages:
        """The messages of `block`; lines before the first header belong to none and are left out."""
        text, undecodable = self._decode(block)
        lines = text.split("\n")
        if block.data.endswith(b"\n"):
            lines.pop()
        found = {number: match for number, line in enumerate(lines) if (match := self._match(line))}
        starts = list(found)
        headless = len(lines)
        if starts:
            headless = starts[0]
        label, text_rows, t_ns, texts = self._read(lines, found)
        first = np.array(starts, dtype=np.int64)
        begins, offsets, numbers = _places(block, len(lines))
        return Messages(
            t_ns=np.array(t_ns, dtype=np.int64),
            line=numbers[first],
            offset=offsets[first],
            raw=_hashes(block.data, begins[first].tolist()),
            label=np.array(label, dtype=np.uint8),
            text=np.array(text_rows, dtype=np.uint32),
            texts=texts,
            final=block.final,
            counts={
                "lines": len(lines) + sum(gap[2] for gap in block.gaps),
                "undecodable_lines": undecodable,
                "multi_line_messages": int((np.diff(first, append=len(lines)) > 1).sum()),
                "lines_without_header": headless,
            },
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

    def _read(
        self, lines: list[str], found: dict[int, re.Match[str]]
    ) -> tuple[list[int], list[int], list[int], list[str]]:
        """Labels, text rows and times of the messages whose headers were `found`, and the unique texts."""
        rows: dict[str, int] = {}
        seen: dict[str, tuple[int, int]] = {}
        label, text_rows, t_ns = [], [], []
        parse_time, groups = self._times.parse, self._groups
        ends = [*islice(found, 1, None), len(lines)]
        for (at, match), after in zip(found.items(), ends, strict=False):
            content, value, fraction, *times = match.group(*groups)
            moment = parse_time(tuple(times), fraction if self._exact else None)
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
        return label, text_rows, t_ns, list(rows)


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


def _hashes(data: bytes, begins: list[int]) -> NDArray[np.uint64]:
    """A hash of the raw bytes of every message, line ends at its end left out."""
    parts = [
        blake2b(data[a : min(b, a + RAW_BYTES)].rstrip(b"\r\n"), digest_size=8).digest()
        for a, b in zip(begins, [*begins[1:], len(data)], strict=False)
    ]
    return np.frombuffer(b"".join(parts), dtype="<u8").astype(np.uint64)
