"""Skeletons of messages: what masks do to a message shows in its skeleton, so that each is masked once.

A skeleton is the message with a sign for each digit (and, where no mask tells them apart, for each letter of
hexadecimal numbers). Masks look at characters only through sets: where every set of every mask holds all
characters of a kind or none of them, messages of one skeleton are masked alike, character by character. A set
that parts a kind (the `0` of `0x`) matters only between characters that can stand beside it in a match; there
a character stays itself (see `Signs`).

What was learnt is kept in a table of bounded size that is forgotten when it is full. Skeletons are compared
byte by byte, and found by a hash whose key nobody knows: evidence can force none upon another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from re import _constants as sre  # type: ignore[attr-defined]
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vestige.native import native
from vestige.sources.logs.kernel import hashes, program
from vestige.sources.logs.kernel.hashes import siphash
from vestige.sources.logs.kernel.machine import Bytes, Numbers, Words
from vestige.sources.logs.kernel.program import (
    ALL,
    Characters,
    Item,
    bytes_of,
    inner_of,
    members_of,
    plain_items,
    referred,
    widest,
)

compiled = partial(native, after=(hashes.__file__, program.__file__), inline=True)

KINDS = (frozenset(b"0123456789"), frozenset(b"abcdef"), frozenset(b"ABCDEF"))
SIGN = 0xF5
"""The sign of the first kind: a byte that no UTF-8 has, nor the next ones."""
_DIGIT, _APART = SIGN, 255
LONGEST = 1 << 13
"""Bytes of a message that has a skeleton."""
MOST_KEPT = 64
"""Characters of a kind that masks leave in a message, of one that has a skeleton."""
SLOTS, ENTRIES, POOL = 1 << 16, 1 << 15, 1 << 22
"""Of the table."""
_PLACES = 8
"""Kinds of places in which characters stay themselves, at most."""
_BEFORE, _BEHIND = ord(">"), ord("<")
"""With these placeholders end and begin."""


class Signs(NamedTuple):
    """How a message becomes a skeleton: the sign of each character, itself for one that is of no kind
    `(256,)`; a character of a kind stays itself where `before (256,)` of the character before it and
    `behind (256,)` of the one after it share a bit (NUL: there is none), and among the first `head (1,)`."""

    sign: Bytes
    before: Bytes
    behind: Bytes
    head: Numbers


class Skeletons(NamedTuple):
    """What was learnt: `slots` hold rows of `entries (rows, 5)`: where in the `pool` a skeleton begins, its
    length, the number of its text, its label, and how many characters of a kind its text shows, whose places
    (two bytes each) stand behind it; `used (2,)`: entries, and bytes of the pool. The text of a message of
    which some are shown has an entry of its own, under the skeleton with these characters behind it."""

    key: Words
    slots: NDArray[np.int32]
    entries: NDArray[np.int32]
    pool: Bytes
    used: Numbers

    @classmethod
    def empty(cls, key: Words) -> Skeletons:
        """A table in which there is nothing."""
        slots, entries = np.full(SLOTS, -1, np.int32), np.zeros((ENTRIES, 5), np.int32)
        return cls(key, slots, entries, np.zeros(POOL, np.uint8), np.zeros(2, np.int64))


@dataclass(frozen=True)
class _Leaf:
    """A place in an expression that takes, or looks at, one character: of these; and which may stand before
    and behind it in whatever matches."""

    members: Characters
    before: Characters
    behind: Characters


def signs_of(patterns: Iterable[str], words: Sequence[str]) -> Signs:
    """The signs for messages in which these patterns are masked, and these words looked for.

    Raises UnsupportedError for a pattern of which no program can be made.
    """
    head, leaves, again = 0, list[_Leaf](), set[int]()
    for pattern in patterns:
        items = plain_items(pattern)
        anchored = _anchored(items)
        if anchored is not None:
            head = max(head, anchored)
            continue
        leaves += _leaves(items)
        again |= _captured(items, referred(items))
    for word in words:
        again.update((word + word.upper()).encode("ascii", "replace"))
    sign = np.arange(256, dtype=np.uint8)
    before, behind = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
    places: dict[tuple[Characters, Characters], int] = {}
    for number, kind in enumerate(KINDS):
        parting = [leaf for leaf in leaves if leaf.members & kind and not kind <= leaf.members]
        own = {(_around(leaf.before, _BEFORE), _around(leaf.behind, _BEHIND)) for leaf in parting}
        if again & kind or (ALL, ALL) in own or len(places.keys() | own) > _PLACES:
            continue
        for place in sorted(own, key=sorted):
            places.setdefault(place, len(places))
        sign[sorted(kind)] = SIGN + number
    for (left, right), number in places.items():
        before[bytes_of(left)] |= np.uint8(1 << number)
        behind[bytes_of(right)] |= np.uint8(1 << number)
    return Signs(sign, before, behind, np.array([head], np.int64))


def _around(members: Characters, placeholder: int) -> Characters:
    """What may stand beside a character in the message itself: anything, where it may be a placeholder's by
    then."""
    if placeholder in members:
        return ALL
    return members


def _anchored(items: Sequence[Item]) -> int | None:
    """How many characters of a text an expression looks at that can only match at its beginning, and cannot
    reach beyond a placeholder; None for another one."""
    if not items or items[0] not in [(sre.AT, sre.AT_BEGINNING), (sre.AT, sre.AT_BEGINNING_STRING)]:
        return None
    width = widest(items)
    if width > LONGEST or any(_BEHIND in leaf.members for leaf in _leaves(items, looks=False)):
        return None
    return width


def _leaves(
    items: Sequence[Item], around: tuple[Characters, Characters] = (ALL, ALL), *, looks: bool = True
) -> Iterator[_Leaf]:
    """The places of an expression, which stands between characters of these sets; `looks`: those of looks
    ahead and behind, too."""
    for at, item in enumerate(items):
        kind, given = item
        beside = _beside(items[:at][::-1], around[0]), _beside(items[at + 1 :], around[1])
        members = members_of(item)
        if members is not None:
            yield _Leaf(members, *beside)
        elif kind in {sre.ASSERT, sre.ASSERT_NOT}:
            if looks:
                yield from _leaves(_looked_at(items[:at], given))
        else:
            # What is not given back, and what comes again, stands beside anything.
            once = kind in {sre.SUBPATTERN, sre.BRANCH} or (kind is sre.MAX_REPEAT and given[1] == 1)
            for sequence in inner_of(item) or []:
                yield from _leaves(sequence, beside if once else (ALL, ALL), looks=looks)


def _looked_at(before: Sequence[Item], given: tuple[int, Sequence[Item]]) -> Sequence[Item]:
    """The pieces of a look that say anything: the last one of a look behind may be of what was just taken,
    and say nothing of it."""
    direction, items = given
    if direction > 0 or not items:
        return items
    taken = next((members_of(item) for item in before[::-1] if item[0] not in _NOTHING), None)
    last = members_of(items[-1])
    if taken is not None and last is not None and taken <= last:
        return items[:-1]
    return items


_NOTHING = {sre.ASSERT, sre.ASSERT_NOT, sre.AT}
"""Pieces that take nothing."""


def _beside(items: Sequence[Item], behind: Characters) -> Characters:
    """What the first of these pieces takes, if it is one character of a set; these stand `behind` them."""
    for item in items:
        if item[0] in _NOTHING:
            continue
        return members_of(item) or ALL
    return behind


def _captured(items: Sequence[Item], wanted: set[int]) -> set[int]:
    """Characters that the groups `wanted` may hold: of these a match may need the same again."""
    found: set[int] = set()
    for item in items:
        kind, given = item
        if kind is sre.SUBPATTERN and given[0] in wanted:
            found.update(*(leaf.members for leaf in _leaves(given[1])))
        inner = inner_of(item) or []
        if kind in {sre.ASSERT, sre.ASSERT_NOT}:
            inner = [given[1]]
        for sequence in inner:
            found |= _captured(sequence, wanted)
    return found


@compiled
def draw(text: Bytes, n: int, signs: Signs, out: Bytes) -> None:
    """Put the skeleton of `text[:n]` into `out`."""
    before, here = 0, 0
    if n > 0:
        here = text[0]
    for at in range(n):
        behind = 0
        if at + 1 < n:
            behind = text[at + 1]
        sign = signs.sign[here]
        if sign != here:
            if at < signs.head[0] or signs.before[before] & signs.behind[behind] != 0:
                sign = here
            elif sign > _DIGIT:
                # A letter is of a number where digits, or such letters, stand beside it.
                numeric = signs.sign[behind] == _DIGIT or (at > 0 and out[at - 1] >= _DIGIT)
                if not numeric:
                    sign = here
        out[at] = sign
        before, here = here, behind


@compiled
def find(skeleton: Bytes, n: int, known: Skeletons) -> tuple[int, int]:
    """Where the slot of `skeleton[:n]` is, and the entry in it, -1 for none."""
    last = len(known.slots) - 1
    slot: int = np.int64(siphash(skeleton, n, known.key) & np.uint64(last))  # type: ignore[assignment]
    while known.slots[slot] >= 0:
        entry = known.slots[slot]
        if known.entries[entry, 1] == n:
            begin, same = known.entries[entry, 0], True
            for at in range(n):
                if known.pool[begin + at] != skeleton[at]:
                    same = False
                    break
            if same:
                return slot, entry
        slot = (slot + 1) & last
    return slot, -1


@compiled
def forget(known: Skeletons) -> None:
    """Let nothing be known."""
    known.used[0], known.used[1] = 0, 0
    for slot in range(len(known.slots)):
        known.slots[slot] = -1


@compiled
def keep(skeleton: Bytes, n: int, slot: int, text: int, label: int, shown: Numbers, known: Skeletons) -> None:
    """Put `skeleton[:n]` into an empty slot; there must be room."""
    entry, begin = known.used[0], known.used[1]
    known.slots[slot] = entry
    known.entries[entry, 0], known.entries[entry, 1] = begin, n
    known.entries[entry, 2], known.entries[entry, 3] = text, label
    known.entries[entry, 4] = len(shown)
    for at in range(n):
        known.pool[begin + at] = skeleton[at]
    begin += n
    for place in shown:
        known.pool[begin], known.pool[begin + 1] = place & 255, place >> 8
        begin += 2
    known.used[0], known.used[1] = entry + 1, begin


@compiled
def with_shown(text: Bytes, skeleton: Bytes, n: int, entry: int, known: Skeletons) -> int:
    """Put the characters of `text` that an entry's text shows behind its skeleton; how long it is then."""
    places = known.entries[entry, 0] + n
    skeleton[n] = _APART
    n += 1
    for at in range(known.entries[entry, 4]):
        skeleton[n] = text[known.pool[places + 2 * at] + 256 * known.pool[places + 2 * at + 1]]
        n += 1
    return n


@compiled
def look_up(text: Bytes, n: int, signs: Signs, skeleton: Bytes, known: Skeletons) -> tuple[int, int]:
    """The entry of `text[:n]`, whose skeleton is put into `skeleton`, or -1; and how long the skeleton is,
    with the characters that are shown where it is known which these are."""
    draw(text, n, signs, skeleton)
    _, entry = find(skeleton, n, known)
    if entry >= 0 and known.entries[entry, 4] > 0:
        n = with_shown(text, skeleton, n, entry, known)
        _, entry = find(skeleton, n, known)
    return entry, n


@compiled
def learn(
    masked: Bytes,
    origin: NDArray[np.int32],
    size: int,
    n: int,
    length: int,
    text: int,
    label: int,
    skeleton: Bytes,
    shown: Numbers,
    known: Skeletons,
) -> None:
    """Remember the text of a message of `n` characters, `masked[:size]`, of which `origin` says where in the
    message they stood; `skeleton[:length]` is as `look_up` left it. `shown` is room to work in."""
    room = 4 * (n + 1 + 4 * len(shown))
    if known.used[0] + 2 > len(known.entries) or known.used[1] + room > len(known.pool):
        forget(known)
        length = n
    if length == n:
        count = 0
        for at in range(size):
            place = origin[at]
            if place >= 0 and skeleton[place] >= SIGN:
                if count == len(shown):
                    return
                shown[count] = place
                count += 1
        slot, _ = find(skeleton, n, known)
        keep(skeleton, n, slot, text, label, shown[:count], known)
        if count == 0:
            return
        skeleton[n] = _APART
        length = n + 1
        for at in range(size):
            place = origin[at]
            if place >= 0 and skeleton[place] >= SIGN:
                skeleton[length] = masked[at]
                length += 1
    slot, _ = find(skeleton, length, known)
    keep(skeleton, length, slot, text, label, shown[:0], known)
