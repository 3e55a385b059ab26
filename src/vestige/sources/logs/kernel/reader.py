"""Blocks to messages by the kernel: the same as `parse.Parser` gives, many times faster.

The kernel reads messages of ASCII, and, where no expression counts or names other characters, of most of
UTF-8. Those of which it cannot be sure (of yet others, or with lines that may be of another format) are cut
out, and read by `Parser` in a block of their own: every line is judged
by itself, and a message by its lines. So are whole blocks of which that is a large part.
"""

from __future__ import annotations

import codecs
import re
import secrets
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vestige.native import shown
from vestige.sources.logs import clock
from vestige.sources.logs.blocks import SHORT_BYTES, Block
from vestige.sources.logs.format import Format
from vestige.sources.logs.header import CONTENT, compile_header
from vestige.sources.logs.kernel import lines
from vestige.sources.logs.kernel.lanes import ROOM as LANES_ROOM
from vestige.sources.logs.kernel.lanes import hash_messages
from vestige.sources.logs.kernel.machine import DEPTH, Masking
from vestige.sources.logs.kernel.program import (
    BEYOND,
    Characters,
    Expression,
    Program,
    UnsupportedError,
    bytes_of,
)
from vestige.sources.logs.kernel.records import LEVEL_ROOM, Keys, read_records
from vestige.sources.logs.kernel.skeleton import LONGEST, MOST_KEPT, Skeletons, signs_of
from vestige.sources.logs.kernel.slots import HELD, HELD_BYTES, read_slots
from vestige.sources.logs.kernel.texts import keep_text, number_texts, place_texts
from vestige.sources.logs.masks import is_ours
from vestige.sources.logs.parse import (
    EMPTY,
    RAW_BYTES,
    TEXT_CHARACTERS,
    Messages,
    Parser,
    Rules,
    places,
)
from vestige.sources.logs.slots import N_SLOTS, NUMERIC, OTHER

ENCODINGS = ("utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252")
"""Those that are read line by line as they are as a whole, and in which ASCII is ASCII."""
KNOWN = {
    "name", "header", "time", "example", "masks", "mask", "label", "year", "host", "field", "types", "shown",
    "keys",
}  # fmt: skip
"""What the kernel knows of a format; whatever else there may be must be as it is by default."""
MOST_ODD = 0.25
"""The share of lines that the kernel cannot read from which on `Parser` reads the whole block."""
ROOM = 1 << 16
"""Characters of a text while it is masked: placeholders may be longer than what they stand for."""
MOST_TEXTS, MOST_BYTES = 1 << 17, 1 << 24
"""Texts that are kept, and their bytes in all: beyond, the kernel forgets them and begins anew."""
MOST_MASKS = 64
_DIRECTIVES = {
    "Y": lines.YEAR, "y": lines.SHORT_YEAR, "m": lines.MONTH, "b": lines.MONTH_NAME, "d": lines.DAY,
    "H": lines.HOUR, "I": lines.HALF_HOUR, "p": lines.HALF, "M": lines.MINUTE, "S": lines.SECOND,
    "s": lines.EPOCH, "E": lines.LONG_EPOCH, "z": lines.ZONE, "Z": lines.ZONE_NAME,
}  # fmt: skip
_FRACTIONS = {"f": lines.FRACTION, "L": lines.MILLISECONDS}
_KEPT = frozenset({"fraction", *(f"time_{letter}" for letter in _DIRECTIVES)})


class KernelParser:
    """Rules made ready for the kernel. Raises UnsupportedError for rules that it cannot run.

    Blocks of fewer than `smallest` bytes are read the plain way; where there are more than `most_texts`
    texts, or `most_bytes` of them, none is kept for the next block.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        smallest: int = SHORT_BYTES,
        most_texts: int = MOST_TEXTS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._smallest, self._most_texts, self._most_bytes = smallest, most_texts, most_bytes
        if codecs.lookup(rules.encoding).name not in ENCODINGS:
            raise UnsupportedError(rules.encoding)
        for name, about in Format.model_fields.items():
            if name not in KNOWN and getattr(rules.format, name) != about.get_default():
                raise UnsupportedError(name)
        self._rules, self._plain = rules, Parser(rules)
        program = Program()
        header = program.add(_header(rules), _KEPT | {rules.label.field or "", *rules.format.shown})
        self._header = header.entry
        self._parts = _parts(rules, header)
        self._shown = np.array([header.groups[name] for name in rules.format.shown], np.int64)
        self._values, self._bounds = _concatenated(rules.label.values)
        self._means = rules.label.kind != "column"
        masks = self._masks = _Masks(rules, program)
        words: list[str] = []
        if rules.label.kind == "words":
            # No other word is in a text that is read here; capital letters are in no text that is searched.
            words = sorted(word for word in set(rules.label.values) if word.isascii() and word)
        self._words, self._word_bounds = _concatenated(words)
        firsts = np.array([ord(word[0]) for word in words], np.int64)
        self._by_first = np.searchsorted(firsts, np.arange(257)).astype(np.int64)
        # Of other encodings, and where characters are counted, those of one byte alone are read.
        wide = codecs.lookup(rules.encoding).name == "utf-8" and not program.ascii_only and not rules.values
        wide = wide and all(map(str.isascii, rules.label.values))
        self._kinds = lines.byte_kinds(utf8=wide)
        self._keys = _keys(rules, wide=wide)
        code, self._sets = program.arrays()
        self._code = code.reshape(-1)
        self._groups = np.zeros(2 * program.n_groups, np.int64)
        self._held = np.zeros((HELD, HELD_BYTES), np.uint8), np.zeros((HELD, 2), np.uint64)
        self._hash = np.zeros(8, np.uint64), np.zeros(16, np.uint64)
        self._lanes = np.zeros(LANES_ROOM, np.uint64)
        self._stack = np.zeros(4 * DEPTH, np.int64)
        self._ends, self._kind = np.empty(0, np.int64), np.empty(0, np.uint8)
        self._spots, self._chances = np.zeros((2, ROOM + 1), np.int64), np.zeros((2, ROOM + 1), np.uint64)
        self._masking = Masking(
            self._code, self._sets, masks.entries, masks.masks, masks.needs, masks.placeholder, masks.placed,
            np.zeros((2, ROOM), np.uint8), np.zeros((2, ROOM), np.int32), self._spots, self._chances,
            self._groups, self._stack,
        )  # fmt: skip
        self._signs = signs_of([pattern for _, pattern in rules.format.resolved_masks], words)
        self._skeleton = np.zeros(2 * LONGEST + 1, np.uint8)
        self._places = np.zeros(MOST_KEPT, np.int64)
        self._empty = np.frombuffer(EMPTY.encode(), np.uint8).copy()
        self._texts = _Texts()

    def parse(self, block: Block) -> Messages:
        """See `Parser.parse`."""
        if len(block.data) < self._smallest:
            return self._plain.parse(block)
        data = shown(block.data)
        if len(data) >= len(self._ends):
            # Of memory that is asked for, what nobody writes to is not used.
            self._ends, self._kind = np.empty(2 * len(data), np.int64), np.empty(2 * len(data), np.uint8)
        n = lines.find_lines(data, self._kinds, self._ends, self._kind)
        ends, kind, label = self._ends[:n], self._kind[:n], np.zeros(n, np.uint8)
        content, t_ns = np.empty(n, np.int64), np.empty(n, np.int64)
        spans = np.empty((n, 2 * len(self._shown)), np.int64)
        n_odd = lines.read_lines(
            data, ends, self._code, self._sets, self._header, self._parts, self._values, self._bounds,
            self._means, self._shown, self._spots[0], self._chances[0], self._groups, self._stack, kind,
            content, spans, t_ns, label,
        )  # fmt: skip
        if n_odd > MOST_ODD * n:
            return self._plain.parse(block)
        begins, offsets, numbers = places(block, n, ends)
        self._ask(block, data, begins, ends, kind)
        written = data, begins, ends
        if self._keys is not None:
            written = (
                np.empty(len(data) + LEVEL_ROOM * n, np.uint8),
                np.empty(n, np.int64),
                np.empty(n, np.int64),
            )
            n_odd += read_records(data, ends, self._keys, kind, content, *written, t_ns)
            if n_odd > MOST_ODD * n:
                return self._plain.parse(block)
        first = np.flatnonzero(kind == lines.HEADER)
        after = np.append(first[1:], n)
        text = self._read_texts(*written, first, after, kind, content, spans, label)
        bytes_begin, bytes_end = begins[first], np.append(begins, len(data))[after]
        whole = text >= 0
        first, after, text = first[whole], after[whole], text[whole]
        slots = self._read_slots(*written, first, after, content, spans, text)
        raw = np.empty(len(first), np.uint64)
        hash_messages(data, bytes_begin[whole], bytes_end[whole], RAW_BYTES, self._lanes, raw)
        own = after - first
        counts = {
            "lines": int(own.sum()) + sum(gap[2] for gap in block.gaps),
            "undecodable_lines": 0,
            "multi_line_messages": int((own > 1).sum()),
            "lines_without_header": 0,
        }
        columns = Columns(first, t_ns[first], raw, label[first], text, slots)
        unread: tuple[tuple[int, str], ...] = ()
        left = np.ones(n, np.bool_)
        lines.mark(first, after, left)
        if left.any():
            more, read = self._read_plain(block, ends, np.flatnonzero(left))
            columns = columns.with_those_of(more)
            unread = tuple((int(numbers[at]), why) for at, why in read.unread)
            counts = {name: counts.get(name, 0) + count for name, count in read.counts.items()}
        rows, texts = self._texts.of_block(columns.text)
        return Messages(
            t_ns=columns.t_ns,
            line=numbers[columns.first],
            offset=offsets[columns.first],
            raw=columns.raw,
            label=columns.label,
            text=rows,
            texts=texts,
            final=block.final,
            counts=counts,
            unread=unread,
            slots=columns.slots if self._rules.values else None,
        )

    def _ask(
        self,
        block: Block,
        data: NDArray[np.uint8],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        kind: NDArray[np.uint8],
    ) -> None:
        """Call those lines odd that do not fit the header, and do not go on with the message above them."""
        foreign = self._rules.foreign
        if foreign is None:
            return
        asked = (kind == lines.REST) & (ends > begins)
        if not asked.any():
            return
        # What is indented goes on, whatever else it may be.
        characters = data[np.minimum(begins, len(data) - 1)]
        rows = np.flatnonzero(asked & (characters != 32) & (characters != 9))
        for number, begin, end in zip(rows.tolist(), begins[rows].tolist(), ends[rows].tolist(), strict=True):
            if foreign.begins(block.data[begin:end].decode()):
                kind[number] = lines.ODD

    def _read_plain(
        self, block: Block, ends: NDArray[np.int64], left: NDArray[np.int64]
    ) -> tuple[Columns, Messages]:
        """The messages in the lines `left`, whole messages as they stand, and what the plain reader said of
        them; there, lines are numbered as in the block."""
        cuts = np.flatnonzero(np.diff(left) > 1)
        begins = [0, *(cuts + 1).tolist()]
        stops = [*cuts.tolist(), len(left) - 1]
        pieces = []
        for begin, stop in zip(begins, stops, strict=True):
            at = 0
            if left[begin]:
                at = int(ends[left[begin] - 1]) + 1
            pieces.append(block.data[at : int(ends[left[stop]]) + 1])
        # What begins a file may have a mark that is no text.
        offset = block.offset + int(left[0])
        read = self._plain.parse(Block(b"".join(pieces), offset, 1))
        known = np.array([self._texts.keep(name.encode()) for name in read.texts], np.int32)
        first = left[read.line - 1]
        unread = tuple((int(left[number - 1]), why) for number, why in read.unread)
        slots = np.zeros((len(first), 0), np.uint64) if read.slots is None else read.slots
        more = Columns(first, read.t_ns, read.raw, read.label, known[read.text], slots)
        return more, replace(read, unread=unread)

    def _read_texts(
        self,
        data: NDArray[np.uint8],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        first: NDArray[np.int64],
        after: NDArray[np.int64],
        kind: NDArray[np.uint8],
        content: NDArray[np.int64],
        spans: NDArray[np.int64],
        label: NDArray[np.uint8],
    ) -> NDArray[np.int32]:
        """The number of each message's text, -1 for what is left to the plain reader."""
        text = np.empty(len(first), np.int32)
        if len(self._texts) > self._most_texts or self._texts.n_bytes > self._most_bytes:
            self._texts = _Texts()
        texts = self._texts
        done = 0
        while True:
            done = lines.read_messages(
                data, begins, ends, first, after, done, kind, content, spans, self._masking, self._words,
                self._word_bounds, self._by_first, self._empty, TEXT_CHARACTERS, texts.slots, texts.pool,
                texts.starts, texts.known, self._signs, texts.skeletons, self._skeleton, self._places, label,
                text,
            )  # fmt: skip
            if done == len(text):
                return text
            texts.grow()

    def _read_slots(
        self,
        data: NDArray[np.uint8],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        first: NDArray[np.int64],
        after: NDArray[np.int64],
        content: NDArray[np.int64],
        spans: NDArray[np.int64],
        text: NDArray[np.int32],
    ) -> NDArray[np.uint64]:
        """The values of each message, `(n, N_SLOTS)`, or `(n, 0)` where they are not kept."""
        if not self._rules.values:
            return np.zeros((len(first), 0), np.uint64)
        out = np.zeros((len(first), N_SLOTS), np.uint64)
        masks, texts = self._masks, self._texts
        read_slots(
            data, begins, ends, first, after, content, spans, text, texts.pool, texts.starts,
            masks.placeholder, masks.placed, masks.numeric, TEXT_CHARACTERS, self._masking.work[0], out,
            out.view(np.float64), *self._held, *self._hash,
        )  # fmt: skip
        return out


@dataclass(frozen=True)
class Columns:
    """Messages `(n,)`: the lines of the block that they begin with, and what `Messages` has of each; `text`
    are numbers of kept texts; `slots` are `(n, 0)` where they are not kept."""

    first: NDArray[np.int64]
    t_ns: NDArray[np.int64]
    raw: NDArray[np.uint64]
    label: NDArray[np.uint8]
    text: NDArray[np.int32]
    slots: NDArray[np.uint64]

    def with_those_of(self, other: Columns) -> Columns:
        """Both, in the order of their lines."""
        order = np.argsort(np.concatenate([self.first, other.first]), kind="stable")
        both = [(getattr(self, name), getattr(other, name)) for name in vars(self)]
        return Columns(*(np.concatenate(pair)[order] for pair in both))


class _Texts:
    """Texts that came, each kept once, with its number; and which skeletons have which."""

    def __init__(self) -> None:
        # Who writes evidence must not know which texts fall together.
        self.key = np.frombuffer(secrets.token_bytes(16), np.uint64).copy()
        self.slots = np.full(1 << 13, -1, np.int32)
        self.starts, self.pool = np.zeros(1 << 12, np.int64), np.zeros(1 << 20, np.uint8)
        self.known = np.zeros(1, np.int64)
        self.skeletons = Skeletons.empty(self.key)
        self._names: list[str | None] = []
        self._stamps, self._local = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._stamp = 0

    def __len__(self) -> int:
        return int(self.known[0])

    @property
    def n_bytes(self) -> int:
        """Bytes of all texts."""
        return int(self.starts[len(self)])

    def keep(self, text: bytes) -> int:
        """The number of a text."""
        self.grow(max(ROOM, len(text)))
        data = np.frombuffer(text, np.uint8).copy()
        return keep_text(data, len(data), self.key, self.slots, self.pool, self.starts, self.known)

    def of_block(self, text: NDArray[np.int32]) -> tuple[NDArray[np.uint32], list[str]]:
        """Rows of messages, whose texts have the numbers `text (n,)`, in a table of their own; the table."""
        if len(self._stamps) < len(self.starts):
            self._stamps, self._local = np.zeros_like(self.starts), np.zeros_like(self.starts)
            self._stamp = 0
        self._stamp += 1
        rows, kept = np.empty(len(text), np.uint32), np.empty(len(text), np.int64)
        n = number_texts(text, self._stamps, self._stamp, self._local, rows, kept)
        self._names += [None] * (len(self) - len(self._names))
        return rows, [self._name(number) for number in kept[:n].tolist()]

    def _name(self, number: int) -> str:
        name = self._names[number]
        if name is None:
            name = self.pool[self.starts[number] : self.starts[number + 1]].tobytes().decode()
            self._names[number] = name
        return name

    def grow(self, room: int = ROOM) -> None:
        """Make room for one more text, of so many bytes."""
        known = len(self)
        if self.starts[known] + room > len(self.pool):
            self.pool = np.concatenate([self.pool, np.zeros(max(room, len(self.pool)), np.uint8)])
        if known + 2 > len(self.starts):
            self.starts = np.concatenate([self.starts, np.zeros_like(self.starts)])
        if 2 * known + 2 > len(self.slots):
            # Where `place_texts` is not built yet, all stays as it is.
            slots = np.full(2 * len(self.slots), -1, np.int32)
            place_texts(known, self.key, slots, self.pool, self.starts)
            self.slots = slots


class _Masks:
    """The masks of a format as the kernel takes them; see `machine.mask`."""

    def __init__(self, rules: Rules, program: Program) -> None:
        masks = rules.format.resolved_masks
        if len(masks) > MOST_MASKS:
            raise UnsupportedError("too many masks")
        if not all(is_ours(pattern) for _, pattern in masks):
            raise UnsupportedError("a mask of somebody's own, which runs through RE2")
        added = [program.add(pattern) for _, pattern in masks]
        self.entries = np.array([mask.entry for mask in added], np.int64)
        self.masks = np.zeros((3, 256), np.uint64)
        self.needs = np.zeros(len(masks), np.uint64)
        wanted = sorted(frozenset[int]().union(*(mask.needs for mask in added)) - {BEYOND})[:64]
        bits = {character: np.uint64(1 << number) for number, character in enumerate(wanted)}
        for character, bit in bits.items():
            self.masks[2, character] = bit
        for number, mask in enumerate(added):
            if mask.least == 0:
                raise UnsupportedError("a mask that matches nothing")
            _set_bits(self.masks[0], mask.first, number)
            _set_bits(self.masks[1], mask.after, number)
            # No match begins within a character.
            self.masks[0, 0x80:0xC0] = 0
            for character in mask.needs & bits.keys():
                self.needs[number] |= bits[character]
        self.placeholder, self.placed = _concatenated([f"<{name}>" for name, _ in masks])
        self.numeric = np.array([NUMERIC.get(name, OTHER) for name, _ in masks], np.int64)


def _set_bits(table: NDArray[np.uint64], characters: Characters, number: int) -> None:
    table[bytes_of(characters)] |= np.uint64(1 << number)


def _concatenated(texts: tuple[str, ...] | list[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """UTF-8 of texts one after the other, and where each begins, and the last one ends."""
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    bounds = np.cumsum([0, *(len(part) for part in parts)])
    return np.frombuffer(b"".join(parts) or b"\0", np.uint8).copy(), bounds.astype(np.int64)


def _header(rules: Rules) -> str:
    """The expression of a format's header, with a group for every directive of its times."""
    chosen = rules.format
    shapes = {name: f"(?>{pattern})" for name, pattern in chosen.field.items()}
    times = {name: _time(layout) for name, layout in chosen.time.items()}
    pattern = compile_header(chosen.header, shapes | times).pattern
    # The content is what is left of the line, whatever it is.
    return pattern.removesuffix(f"(?P<{CONTENT}>.*+)")


def _keys(rules: Rules, *, wide: bool) -> Keys | None:
    """Where the parts of records lie, where messages are records."""
    keys = rules.format.keys
    if not keys:
        return None
    if rules.format.time or rules.format.shown or "Start" not in rules.format.field:
        raise UnsupportedError("records behind a header")
    if rules.label.kind not in {"none", "words", "table"}:
        raise UnsupportedError("a label that is in the record")
    if keys.get("level", "").lower().endswith("severitynumber"):
        raise UnsupportedError("levels by OpenTelemetry's numbers")
    return Keys.of(keys, wide=wide)


def _time(layout: str) -> str:
    pieces = re.split(r"%(.)", layout)
    out = [clock.shape(pieces[0])]
    for kind, text in zip(pieces[1::2], pieces[2::2], strict=True):
        shape = clock.shape(f"%{kind}")
        if kind in _DIRECTIVES:
            shape = f"(?P<time_{kind}>{shape})"
        elif kind not in "fLa%":
            raise UnsupportedError(f"%{kind}")
        out += [shape, clock.shape(text)]
    return "".join(out)


def _parts(rules: Rules, header: Expression) -> NDArray[np.int64]:
    """The group of each part of a time, of the content, and of the field that decides about the label."""
    parts = np.full(lines.N_PARTS, -1, np.int64)
    for letter, part in _DIRECTIVES.items():
        parts[part] = header.groups.get(f"time_{letter}", -1)
    for layout in filter(clock.exact, rules.format.time.values()):
        parts[_FRACTIONS[layout[-1]]] = header.groups["fraction"]
    if rules.label.field is not None:
        parts[lines.LABEL] = header.groups.get(rules.label.field, -1)
    return parts
