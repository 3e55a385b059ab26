"""The matcher that runs the programs of `program.py`, and masks by it. Compiled; texts are ASCII bytes."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vestige.native import native
from vestige.sources.logs.kernel import program
from vestige.sources.logs.kernel.program import (
    AHEAD,
    BEGIN,
    BEHIND,
    BOUNDARY,
    CHAR,
    CUT,
    END,
    END_STRING,
    FIELD,
    GREEDY,
    JUMP,
    LAZY,
    LOOK_END,
    LOOP,
    MARK,
    MATCH,
    NOT_AHEAD,
    NOT_BEHIND,
    NOT_LOOK,
    NOT_LOOK_END,
    SAVE,
    SET,
    SPLIT,
    TEXT,
)

compiled = partial(native, after=(program.__file__,), inline=True)

Bytes = NDArray[np.uint8]
Code = NDArray[np.int32]
"""Rows of a program, one after the other, four numbers each."""
Sets = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Words = NDArray[np.uint64]
Stack = NDArray[np.int64]
"""What is to be tried, or set right, when a text does not match: four numbers each."""

NO_MATCH = -1
TOO_DEEP = -2
"""There was no room on the stack, or for a text: it must be read the plain way."""
DEPTH = 1 << 10
"""Entries of a stack."""
_NEW_LINE = 10
_UNDERSCORE = 95
_SMALL = np.array([ord(chr(code).lower()) if code < 128 else code for code in range(256)], np.uint8)
"""Letters as small ones."""
_CHOICE, _FEWER, _MORE, _UNDO, _MARKED, _LOOKED = range(6)
"""Kinds of entries: another branch; a greedy loop that takes fewer, a lazy one that takes more; a group as it
was; where an atomic part or a look ahead began; where a look began that must not match."""


@compiled
def is_word(code: int) -> bool:
    """Whether a character is of `\\w`."""
    return 48 <= code <= 57 or 65 <= code <= 90 or 97 <= code <= 122 or code == _UNDERSCORE


@compiled
def match(
    code: Code,
    sets: Sets,
    entry: int,
    text: Bytes,
    begin: int,
    end: int,
    spots: Numbers,
    chances: Words,
    chance: np.uint64,
    spot: int,
    n_spots: int,
    groups: Stack,
    stack: Stack,
) -> tuple[int, int]:
    """The first match of an expression in `text[begin:end]` that begins at one of `spots[spot:n_spots]`: its
    number, and where it ends; NO_MATCH; TOO_DEEP. Spots whose `chances` lack the bit `chance` are
    passed over.

    `groups (2 n,)` are told where each group begins and ends. What looks behind sees no more than
    `text[begin:]`.
    """
    deepest = len(stack) - 8
    top, ok = 0, False
    row, p = entry, 0
    spot -= 1
    while True:
        while not ok:
            if top == 0:
                # Nothing is left to try: from the next spot on.
                spot += 1
                while spot < n_spots and chances[spot] & chance == 0:
                    spot += 1
                if spot >= n_spots:
                    return spot, NO_MATCH
                row, p, ok = entry, spots[spot], True
            else:
                row, p, top, ok = _try_else(code, sets, text, end, groups, stack, top)
        if top > deepest:
            return spot, TOO_DEEP
        kind = code[4 * row]
        if kind < MATCH:
            row, p, top, ok = _take(code, sets, text, end, groups, stack, row, p, top)
        elif kind == MATCH:
            return spot, p
        elif kind < AHEAD:
            row, p, top, ok = _turn(code, begin, groups, stack, row, p, top)
        else:
            row, ok = _look_here(code, sets, text, begin, end, row, p)


@compiled
def _try_else(
    code: Code, sets: Sets, text: Bytes, end: int, groups: Stack, stack: Stack, top: int
) -> tuple[int, int, int, bool]:
    """Go back to what is on top of the stack: the row and the place from which on to match, the stack's top
    then, and whether there is anything to try there."""
    i = top - 4
    what, row, p = stack[i], stack[i + 1], stack[i + 2]
    ok = True
    if what == _CHOICE or what == _LOOKED:  # noqa: PLR1714, SIM109 - compiled to a table of jumps
        top = i
    elif what == _FEWER:
        p -= 1
        stack[i + 2] = p
        if p == stack[i + 3]:
            top = i
    elif what == _MORE:
        if stack[i + 3] > 0 and p < end and sets[code[4 * (row - 1) + 1], text[p]]:
            p += 1
            stack[i + 2] = p
            stack[i + 3] -= 1
        else:
            top, ok = i, False
    else:
        if what == _UNDO:
            groups[row] = p
        top, ok = i, False
    return row, p, top, ok


@compiled
def _take(
    code: Code,
    sets: Sets,
    text: Bytes,
    end: int,
    groups: Stack,
    stack: Stack,
    row: int,
    p: int,
    top: int,
) -> tuple[int, int, int, bool]:
    """A row that takes characters: the next row, the place behind them, the stack's top, and whether they are
    what they should be."""
    i, began, ok = 4 * row, p, True
    kind = code[i]
    row += 1
    if kind == CHAR:
        ok = p < end and text[p] == code[i + 1]
        p += 1
    elif kind == TEXT:
        n = code[i + 2]
        row += n - 1
        ok = p + n <= end
        at = 0
        while ok and at < n:
            ok = text[p + at] == code[i + 4 * at + 1]
            at += 1
        p += n
    elif kind == SET:
        ok = p < end and sets[code[i + 1], text[p]]
        p += 1
    elif kind == LOOP or kind == GREEDY:  # noqa: PLR1714, SIM109
        p = _run_over(sets, code[i + 1], text, p, min(end, p + code[i + 3]))
        least = began + code[i + 2]
        ok = p >= least
        if kind == GREEDY and p > least:
            stack[top], stack[top + 1], stack[top + 2], stack[top + 3] = _FEWER, row, p, least
            top += 4
    elif kind == FIELD:
        p = _run_over(sets, code[i + 2], text, p, min(end, p + code[i + 7]))
        ok = p >= began + code[i + 3]
        top = _save(groups, stack, code[i + 1], began, top)
        top = _save(groups, stack, code[i + 1] + 1, p, top)
        row += 2
    elif kind == LAZY:
        which, least = code[i + 1], p + code[i + 2]
        while ok and p < least:
            ok = p < end and sets[which, text[p]]
            p += 1
        if ok:
            stack[top], stack[top + 1], stack[top + 2] = _MORE, row, p
            stack[top + 3] = code[i + 3] - code[i + 2]
            top += 4
    else:
        # A group again.
        at, until = groups[2 * code[i + 1]], groups[2 * code[i + 1] + 1]
        ok = 0 <= at <= until and p + until - at <= end
        while ok and at < until:
            ok = text[at] == text[p]
            at += 1
            p += 1
    return row, p, top, ok


@compiled
def _run_over(sets: Sets, which: int, text: Bytes, p: int, last: int) -> int:
    """Behind the characters of a set from `p` on, `last` at most."""
    while p < last and sets[which, text[p]]:
        p += 1
    return p


@compiled
def _save(groups: Stack, stack: Stack, slot: int, p: int, top: int) -> int:
    """Note where a group begins or ends; the stack's top then."""
    if top > 0:
        stack[top], stack[top + 1], stack[top + 2] = _UNDO, slot, groups[slot]
        top += 4
    groups[slot] = p
    return top


@compiled
def _turn(  # noqa: PLR0912 - a branch for each kind of row
    code: Code, begin: int, groups: Stack, stack: Stack, row: int, p: int, top: int
) -> tuple[int, int, int, bool]:
    """A row that says what is to be tried, kept, or forgotten: as `_take`."""
    i, ok = 4 * row, True
    kind = code[i]
    row += 1
    if kind == SAVE:
        top = _save(groups, stack, code[i + 1], p, top)
    elif kind == SPLIT or kind == MARK or kind == NOT_LOOK:  # noqa: PLR1714, SIM109
        what = _CHOICE
        if kind == MARK:
            what = _MARKED
        elif kind == NOT_LOOK:
            what = _LOOKED
        stack[top], stack[top + 1], stack[top + 2] = what, code[i + 1], p
        top += 4
    elif kind == JUMP:
        row = code[i + 1]
    elif kind == CUT or kind == LOOK_END:  # noqa: PLR1714, SIM109
        # What was to be tried within is forgotten; groups must be set right all the same, later.
        mark = top - 4
        while stack[mark] != _MARKED:
            mark -= 4
        if kind == LOOK_END:
            p = stack[mark + 2]
        kept = mark
        for j in range(mark + 4, top, 4):
            if stack[j] == _UNDO:
                stack[kept], stack[kept + 1], stack[kept + 2] = stack[j], stack[j + 1], stack[j + 2]
                kept += 4
        top = kept
    elif kind == NOT_LOOK_END:
        top -= 4
        while stack[top] != _LOOKED:
            if stack[top] == _UNDO:
                groups[stack[top + 1]] = stack[top + 2]
            top -= 4
        ok = False
    else:
        p -= code[i + 1]
        ok = p >= begin
    return row, p, top, ok


@compiled
def _look_here(
    code: Code, sets: Sets, text: Bytes, begin: int, end: int, row: int, p: int
) -> tuple[int, bool]:
    """A row that looks at what stands at `p`, before it or behind it: the next row, and whether it is so."""
    i = 4 * row
    kind = code[i]
    row += 1
    if kind == NOT_AHEAD:
        ok = not (p < end and sets[code[i + 1], text[p]])
    elif kind == AHEAD:
        ok = p < end and sets[code[i + 1], text[p]]
    elif kind == BEHIND or kind == NOT_BEHIND:  # noqa: PLR1714, SIM109
        n = code[i + 1]
        seen = p - n >= begin
        if seen:
            for j in range(n):
                if not sets[code[i + 4 * (j + 1) + 1], text[p - n + j]]:
                    seen = False
                    break
        row += n
        ok = seen == (kind == BEHIND)
    elif kind == BEGIN:
        ok = p == begin
    elif kind == END:
        ok = p == end or (p == end - 1 and text[p] == _NEW_LINE)
    elif kind == END_STRING:
        ok = p == end
    else:
        # In an empty text there is neither, as `re` of Python 3.11 has it.
        ok = end > begin
        if ok:
            before = p > begin and is_word(text[p - 1])
            behind = p < end and is_word(text[p])
            ok = (before != behind) == (kind == BOUNDARY)
    return row, ok


@compiled
def holds(text: Bytes, end: int, words: Bytes, bounds: Numbers, by_first: Numbers) -> bool:
    """Whether `text[:end]` in small letters holds one of the words `words[bounds[i]:bounds[i + 1]]`, in order
    of their first characters: those that begin with `c` are `by_first[c]` to before `by_first[c + 1]`.
    """
    for at in range(end):
        first = _SMALL[text[at]]
        for i in range(by_first[first], by_first[first + 1]):
            length = bounds[i + 1] - bounds[i]
            same = length <= end - at
            j = 1
            while same and j < length:
                same = _SMALL[text[at + j]] == words[bounds[i] + j]
                j += 1
            if same:
                return True
    return False


@compiled
def look(
    text: Bytes, begin: int, end: int, before: int, masks: Words, spots: Numbers, chances: Words, n: int
) -> int:
    """Append to `spots[:n]` where in `text[begin:end]` masks may begin, and to `chances` which; how many
    there are then. `before` is the character that stands before them.

    `masks (3, 256)`: bit `k` of row 0 says that mask `k` may begin with a character, of row 1 that it may
    stand behind one (NUL: at the text's beginning). Row 2 has a bit for characters that masks need.
    """
    for at in range(begin, end):
        character = text[at]
        may = masks[0, character] & masks[1, before]
        spots[n], chances[n] = at, may
        n += may != 0
        before = character
    return n


class Masking(NamedTuple):
    """Masks, and room to apply them in.

    Mask `k` begins at row `entries[k]` of `code`, and may only match a text that has the characters of the
    bits `needs[k]`; `masks` are those of `look`. `placeholder[placed[k]:placed[k + 1]]` stands for what it
    matches. `work (2, room)` holds a text, `origins (2, room)` where each of its characters stood before
    masks were applied, -1 for those of placeholders, `spots` and `chances (2, room + 1)` what `look` finds.
    """

    code: Code
    sets: Sets
    entries: Numbers
    masks: Words
    needs: Words
    placeholder: Bytes
    placed: Numbers
    work: Bytes
    origins: NDArray[np.int32]
    spots: Numbers
    chances: Words
    groups: Stack
    stack: Stack


@compiled
def mask(masking: Masking, n: int) -> tuple[int, int]:
    """Put placeholders for what masks match in `work[0, :n]`, one mask after the other, as `masks.Masker`
    does: which row of `work` holds the text then, and its length, or TOO_DEEP."""
    here = 0
    text, origin = masking.work[0], masking.origins[0]
    have = np.uint64(0)
    for at in range(n):
        origin[at] = at
        have |= masking.masks[2, text[at]]
    n_spots = look(text, 0, n, 0, masking.masks, masking.spots[0], masking.chances[0], 0)
    chance = _any(masking.chances[0], n_spots)
    for k in range(len(masking.entries)):
        if chance & (np.uint64(1) << np.uint64(k)) == 0 or masking.needs[k] & ~have != 0:
            continue
        size, n_new, added = _replace(masking, k, here, n, n_spots)
        if size == TOO_DEEP:
            return here, TOO_DEEP
        if added == 0:
            continue
        here, n, n_spots = 1 - here, size, n_new
        chance = _any(masking.chances[here], n_spots)
        for at in range(masking.placed[k], masking.placed[k + 1]):
            have |= masking.masks[2, masking.placeholder[at]]
    return here, n


@compiled
def _any(chances: Words, n: int) -> np.uint64:
    """Which masks have a chance anywhere."""
    found = np.uint64(0)
    for at in range(n):
        found |= chances[at]
    return found


@compiled
def _replace(masking: Masking, k: int, here: int, n: int, n_spots: int) -> tuple[int, int, int]:
    """Put placeholders for what mask `k` matches in row `here` of `work`, `n` characters with `n_spots`
    spots: the other row then holds so many characters (or TOO_DEEP), spots, and new placeholders. It holds
    nothing where there are none of these."""
    text, out, into = masking.work[here], masking.work[1 - here], masking.origins[1 - here]
    old, was = masking.spots[here], masking.chances[here]
    length = masking.placed[k + 1] - masking.placed[k]
    bit = np.uint64(1) << np.uint64(k)
    size, copied, spot, n_new, added = 0, 0, 0, 0, 0
    while True:
        while spot < n_spots and old[spot] < copied:
            spot += 1
        spot, end = match(
            masking.code, masking.sets, masking.entries[k], text, 0, n, old, was, bit, spot, n_spots,
            masking.groups, masking.stack,
        )  # fmt: skip
        if end == TOO_DEEP:
            return TOO_DEEP, 0, 0
        at = n
        if end >= 0:
            at = old[spot]
        elif added == 0:
            return n, n_spots, 0
        if size + at - copied + length > len(out):
            return TOO_DEEP, 0, 0
        size, n_new = _stay(masking, here, copied, at, n_spots, size, n_new)
        if end < 0:
            return size, n_new, added
        copied, added = end, added + 1
        before = 0
        if size > 0:
            before = out[size - 1]
        for i in range(masking.placed[k], masking.placed[k + 1]):
            out[size], into[size] = masking.placeholder[i], -1
            size += 1
        new, may = masking.spots[1 - here], masking.chances[1 - here]
        n_new = look(out, size - length, size, before, masking.masks, new, may, n_new)


@compiled
def _stay(
    masking: Masking, here: int, begin: int, end: int, n_spots: int, size: int, n_new: int
) -> tuple[int, int]:
    """Append characters `begin` to before `end` of row `here`, which no mask took, and their spots, to the
    other row, which holds `size` characters and `n_new` spots; how many it holds then."""
    text, out = masking.work[here], masking.work[1 - here]
    origin, into = masking.origins[here], masking.origins[1 - here]
    old, new = masking.spots[here], masking.spots[1 - here]
    was, may = masking.chances[here], masking.chances[1 - here]
    kept = begin
    # Where masks may begin in what stays is known, but for the character behind a placeholder.
    if 0 < begin < end:
        kept += 1
        looked = look(text, begin, kept, out[size - 1], masking.masks, new, may, n_new)
        if looked > n_new:
            new[n_new] = size
        n_new = looked
    spot, after = 0, n_spots
    while spot < after:
        middle = (spot + after) // 2
        if old[middle] < kept:
            spot = middle + 1
        else:
            after = middle
    while spot < n_spots and old[spot] < end:
        new[n_new], may[n_new] = old[spot] - begin + size, was[spot]
        n_new += 1
        spot += 1
    for i in range(begin, end):
        out[size], into[size] = text[i], origin[i]
        size += 1
    return size, n_new
