"""Values in the slots of known kinds of steps: which were seen, and how strange one is that was not.

A value is one number of 64 bits: the bits of a float64, which is itself for a number and not a number for
everything else, whose 53 free bits are then a hash. Letters: N or B windows, S slots, R slots of a kind of
which something is known.
"""

from __future__ import annotations

import base64
import binascii
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.hashing import mix
from vestige.reading.slot_counts import TOGETHER, Slot, of_kinds, scaled

if TYPE_CHECKING:
    from vestige.reading.windows import WindowSet

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Values = NDArray[np.uint64]

NONE = 0
"""There is no value: no number has these bits, because 0.0 is written as -0.0."""
NOT_A_NUMBER = 0x7FF << 52
"""The bits that are set in every value that is not a number; one of the 52 lowest is set, too."""
_FRACTION = (1 << 52) - 1

MOST_KNOWN, MOST_OF_SLOT = 200_000, 1_000
"""Values that are kept, in all and of a slot of a kind: the most frequent ones."""
MOST_ROWS = 1 << 16
"""Slots of kinds of which something is kept: those that had the most values."""
MOST_KINDS, MOST_COLUMNS = 1 << 24, 1 << 8
MOST_BEYOND = 1e6
"""Spreads beyond a range that are told apart."""
PIECE = 1 << 18
"""Windows gathered at a time."""
FEATURES = ("values.new", "values.range")


def number_value(number: float) -> int:
    """The value of a number; what is beyond all finite ones counts as the largest of them."""
    finite = max(-sys.float_info.max, min(number, sys.float_info.max))
    bits: int = struct.unpack("<Q", struct.pack("<d", finite or -0.0))[0]
    return bits


def text_value(data: bytes) -> int:
    """The value of anything else: a hash of its bytes (BLAKE2b), nobody can make two that are alike."""
    bits = int.from_bytes(blake2b(data, digest_size=8).digest(), "little") | NOT_A_NUMBER
    if not bits & _FRACTION:
        bits |= 1
    return bits


@runtime_checkable
class VaryingWords(Protocol):
    """What a bound encoder has where words of a symbol may be others in another symbol of its kind."""

    def varying_words(self) -> Values:
        """Of each symbol of its table, the values `(symbols, W)` of such words; `NONE` where there is no
        further one."""


@dataclass(frozen=True)
class KnownValues:
    """What the windows of the learn part had in the slots of each kind of step.

    `kind (R,)` and `slot (R,)` int64: the slots that something is known of, of `n_kinds` kinds with `n_slots`
    slots each. `surprise (R,)`: -ln of the chance of a value there that is not known, 0 where new ones are
    usual. `known`: the values that are, each mixed with its row in R, sorted. `low`, `high` and `spread (R,)`
    of the numbers, of their logarithms where `log (R,)` says so; NaN where a slot has no range.
    """

    n_kinds: int
    n_slots: int
    kind: IntArray
    slot: IntArray
    surprise: FloatArray
    low: FloatArray
    high: FloatArray
    spread: FloatArray
    log: NDArray[np.bool_]
    known: Values

    @classmethod
    def fit(
        cls,
        windows: WindowSet,
        kind_of_symbol: IntArray,
        *,
        symbols: str,
        slots: str | None = "slots",
        words: Values | None = None,
    ) -> Self:
        """Learn from the steps that `windows` judge, in the order of time.

        `symbols` and `slots` are the streams of rows of the table of symbols, and of values (None: there is
        none); `kind_of_symbol (symbols,)` is of which kind a symbol is, negative for none; the `words
        (symbols, W)`, where they are given, are further slots.
        """
        rows, bounds = _by_kind(windows, kind_of_symbol, symbols)
        placed = windows.placed_ns

        def values(kinds: slice) -> tuple[IntArray, Iterator[Values]]:
            kind, own = _of(kinds, bounds), rows[bounds[kinds.start] : bounds[kinds.stop]]
            at = placed[own]
            # Compared, not subtracted: `NO_TIME` less a time is beyond 64 bits.
            if ((at[1:] < at[:-1]) & (kind[1:] == kind[:-1])).any():
                own = own[np.lexsort((at, kind))]
            steps = windows.select(own).target_step
            columns = _columns(windows, steps, windows.streams.at(symbols, steps), slots, words)
            windows.let_go()
            return kind, columns

        return cls._learn(bounds, values)

    @classmethod
    def of(
        cls,
        kind: IntArray,
        columns: Iterable[Values],
        *,
        most_known: int = MOST_KNOWN,
        together: int = TOGETHER,
    ) -> Self:
        """Learn from N windows in the order of time: the kind `(N,)` of each (negative: none), and, slot by
        slot, its value there. Raises ValueError where there are no slots. `together`: steps that are learnt
        from at a time, unless one kind has more."""
        held = list(columns)
        n = np.bincount(kind[kind >= 0])
        rows, bounds = np.argsort(kind, kind="stable")[(kind < 0).sum() :], np.r_[0, np.cumsum(n)]

        def values(kinds: slice) -> tuple[IntArray, Iterator[Values]]:
            own = rows[bounds[kinds.start] : bounds[kinds.stop]]
            return _of(kinds, bounds), (column[own] for column in held)

        return cls._learn(bounds, values, most_known, together)

    @classmethod
    def _learn(
        cls,
        bounds: IntArray,
        values: Callable[[slice], tuple[IntArray, Iterator[Values]]],
        most_known: int = MOST_KNOWN,
        together: int = TOGETHER,
    ) -> Self:
        """Learn from some kinds at a time: `values` gives the kind `(n,)` of each of their steps, the first
        kind being 0, and, slot by slot, the values `(n,)`."""
        n_kinds = len(bounds) - 1
        firsts: list[int] = []
        found: list[list[Slot]] = []
        for kinds in of_kinds(bounds, together):
            kind, columns = values(kinds)
            many, first = kinds.stop - kinds.start, kinds.start
            firsts.append(first)
            found.append([Slot.of(kind, column, many, MOST_OF_SLOT, first=first) for column in columns])
        slots = [Slot.joined(of_slot, firsts) for of_slot in zip(*found, strict=True)]
        if not slots:
            raise ValueError("there are no slots")
        kept = _most_frequent(slots, most_known)
        surprise = np.array([slot.surprise(mask) for slot, mask in zip(slots, kept, strict=True)])
        low, high, spread, log = (
            np.array(bounds) for bounds in zip(*(slot.ranges for slot in slots), strict=True)
        )
        slot_of, kind_of = np.nonzero(np.array([slot.few for slot in slots]) | ~np.isnan(spread))
        most = np.argsort(-np.array([slot.n for slot in slots])[slot_of, kind_of], kind="stable")[:MOST_ROWS]
        slot_of, kind_of = slot_of[np.sort(most)], kind_of[np.sort(most)]
        row = np.full((len(slots), n_kinds), -1)
        row[slot_of, kind_of] = np.arange(len(kind_of))
        known = []
        for slot, mask, of_kind in zip(slots, kept, row, strict=True):
            of_value = of_kind[slot.kind]
            known.append(_keys(of_value, slot.value)[mask & (of_value >= 0)])
        at = slot_of, kind_of
        return cls(
            n_kinds, len(slots), kind_of, slot_of, surprise[at], low[at], high[at], spread[at], log[at],
            np.sort(np.concatenate(known)),
        )  # fmt: skip

    def strangeness(self, kind: IntArray, slots: Values, words: Values | None = None) -> FloatArray:
        """How strange the values `slots (B, S)`, and `words (B, W)`, of steps of these kinds `(B,)` are, each
        by its strangest one: `(B, 2)`, see `FEATURES`.

        The first is -ln of the chance of a value that is not known, in nats, 0 where all are; the second is
        ln(1 + d) of a number that lies d spreads beyond the range of its slot, 0 within: how far says less
        and less, because what numbers do beyond their range was never seen.
        """
        return self._strangest(kind, slots, words)[0]

    def explain(self, kind: IntArray, slots: Values, words: Values | None = None) -> IntArray:
        """Which slot each strangeness is of, `(B, 2)`, -1 where there is none; words stand behind slots."""
        return self._strangest(kind, slots, words)[1]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready state."""
        arrays = {name: _packed(getattr(self, name)) for name in _ARRAYS}
        return {"n_kinds": self.n_kinds, "n_slots": self.n_slots, "n_known": len(self.known),
                "n_rows": len(self.kind), **arrays}  # fmt: skip

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """What `to_dict` gave as `state`. Raises KeyError where a part is missing, ValueError for one that
        cannot be."""
        n_kinds = checked.whole(state["n_kinds"], "n_kinds", 0, MOST_KINDS)
        n_slots = checked.whole(state["n_slots"], "n_slots", 0, MOST_COLUMNS)
        n_rows = checked.whole(state["n_rows"], "n_rows", 0, MOST_ROWS)
        n_known = checked.whole(state["n_known"], "n_known", 0, MOST_KNOWN)
        arrays = {
            name: _unpacked(state[name], name, dtype, n_known if name == "known" else n_rows)
            for name, dtype in _ARRAYS.items()
        }
        known = cls(n_kinds, n_slots, **arrays)
        known._refuse_what_cannot_be()
        return known

    def _refuse_what_cannot_be(self) -> None:
        for name, most in (("kind", self.n_kinds), ("slot", self.n_slots)):
            number = getattr(self, name)
            if ((number < 0) | (number >= most)).any():
                raise ValueError(f"{name} has numbers that cannot be")
        if not (np.isfinite(self.surprise) & (self.surprise >= 0)).all():
            raise ValueError("surprise has numbers that cannot be")
        has = ~np.isnan(self.spread)
        bounds = np.stack([self.low, self.high, self.spread])[:, has]
        if not np.isfinite(bounds).all() or (bounds[2] <= 0).any():
            raise ValueError("ranges have numbers that cannot be")
        if (self.known[1:] < self.known[:-1]).any():
            raise ValueError("the known values are not sorted")

    @cached_property
    def _row(self) -> IntArray:
        """The row of each slot of each kind, `(S, kinds)`, -1 for none."""
        row = np.full((self.n_slots, self.n_kinds + 1), -1)
        row[self.slot, self.kind] = np.arange(len(self.kind))
        return row

    def _strangest(self, kind: IntArray, slots: Values, words: Values | None) -> tuple[FloatArray, IntArray]:
        # A kind that nothing is known of stands behind all others.
        kind = np.where((kind >= 0) & (kind < self.n_kinds), kind, self.n_kinds)
        columns = [*slots.T]
        if words is not None:
            columns += [*words.T]
        if not columns or not len(kind):
            return np.zeros((len(kind), 2)), np.full((len(kind), 2), -1)
        # All slots at once: of the few steps that a watch reads, each call costs more than its work.
        value_SB, row_SB = np.stack(columns), self._row[:, kind]
        asked = (row_SB >= 0) & (value_SB != NONE)
        found = np.zeros((2, *row_SB.shape))
        found[:, asked] = self._of_slot(row_SB[asked], value_SB[asked])
        strangeness = found.max(axis=1)
        which = np.where(strangeness > 0, found.argmax(axis=1), -1)
        return strangeness.T.copy(), which.T.copy()

    def _of_slot(self, row: IntArray, value: Values) -> tuple[FloatArray, FloatArray]:
        """Both kinds of strangeness of values `(M,)` in these rows."""
        new = self.surprise[row].copy()
        asked = np.flatnonzero(new)
        key = _keys(row[asked], value[asked])
        if len(self.known):
            place = np.minimum(np.searchsorted(self.known, key), len(self.known) - 1)
            new[asked[self.known[place] == key]] = 0.0
        beyond = np.zeros(len(row))
        number = value.view(np.float64)
        asked = np.flatnonzero(np.isfinite(number) & ~np.isnan(self.spread[row]))
        row = row[asked]
        x = scaled(number[asked], self.log[row])
        with np.errstate(over="ignore"):
            distance = np.maximum(self.low[row] - x, x - self.high[row]) / self.spread[row]
        beyond[asked] = np.log1p(np.clip(distance, 0, MOST_BEYOND))
        return new, beyond


_ARRAYS = {
    "kind": "<i8", "slot": "<i8", "surprise": "<f8", "low": "<f8", "high": "<f8", "spread": "<f8",
    "log": "|b1", "known": "<u8",
}  # fmt: skip


def _by_kind(windows: WindowSet, kind_of_symbol: IntArray, symbols: str) -> tuple[IntArray, IntArray]:
    """The windows whose step judged is of a kind, kind after kind, and in their order within each: their rows
    `(n,)`, of which those of kind k lie from `bounds[k]` to `bounds[k + 1]`."""

    def kinds() -> Iterator[IntArray]:
        for piece in windows.pieces(PIECE):
            yield kind_of_symbol[windows.streams.at(symbols, piece.target_step)]

    n = np.zeros(max(int(kind_of_symbol.max(initial=-1)) + 1, 0), np.int64)
    for kind in kinds():
        n += np.bincount(kind[kind >= 0], minlength=len(n))
    bounds = np.r_[0, np.cumsum(n[: int(n.nonzero()[0].max(initial=-1)) + 1])]
    # Half the memory for all that fits into a number of 32 bits.
    rows: IntArray = np.empty(int(bounds[-1]), np.uint32 if len(windows) < 1 << 32 else np.int64)
    begun, start = bounds[:-1].copy(), 0
    for kind in kinds():
        own = np.argsort(kind, kind="stable")[(kind < 0).sum() :]
        many = np.bincount(kind[own], minlength=len(begun))
        before = np.cumsum(many) - many
        rows[np.arange(len(own)) + np.repeat(begun - before, many)] = own + start
        begun += many
        start += len(kind)
    return rows, bounds


def _of(kinds: slice, bounds: IntArray) -> IntArray:
    """The kind of each step of `kinds`, the first of them being 0."""
    return np.repeat(np.arange(kinds.stop - kinds.start), np.diff(bounds[kinds.start : kinds.stop + 1]))


def _columns(
    windows: WindowSet, steps: IntArray, symbol: NDArray[Any], slots: str | None, words: Values | None
) -> Iterator[Values]:
    """The values of steps, slot after slot."""
    if slots is not None:
        yield from windows.streams.at(slots, steps).T
    if words is not None:
        for of_symbol in words.T:
            yield of_symbol[symbol]


def _most_frequent(slots: list[Slot], most: int) -> list[NDArray[np.bool_]]:
    """Which of the values that slots keep are among the `most` frequent ones of all slots."""
    count = np.concatenate([slot.count for slot in slots])
    kept = np.zeros(len(count), np.bool_)
    kept[np.argsort(-count, kind="stable")[:most]] = True
    return np.split(kept, np.cumsum([len(slot.count) for slot in slots])[:-1])


def _keys(row: IntArray, value: Values) -> Values:
    """Values mixed with the rows that they are of: within a row, different values have different keys."""
    return mix(value ^ mix(row.astype(np.uint64)))


def _packed(array: NDArray[Any]) -> str:
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def _unpacked(packed: Any, name: str, dtype: str, n: int) -> NDArray[Any]:
    """The array of n numbers that was packed. Raises ValueError."""
    try:
        data = base64.b64decode(checked.text(packed, name), validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name} is not base64") from error
    if len(data) != n * np.dtype(dtype).itemsize:
        raise ValueError(f"{name} has {len(data)} bytes, not {n} numbers")
    return np.frombuffer(data, dtype).astype(np.dtype(dtype).newbyteorder("="))
