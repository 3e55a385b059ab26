"""Regular expressions as programs for the kernel's matcher (`machine.py`), which runs them over bytes.

What Python's own parser makes of an expression is laid out as rows of four numbers, so that the same headers
and masks decide as in the plain reader, without Python. An expression with something that no program has (a
test for a group, a loop over what may be empty) raises `UnsupportedError`; whoever asked then reads the plain
way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

# The parser of `re` has no public name. Whatever it may hand out one day, what is unknown here is refused.
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import numpy as np
from numpy.typing import NDArray

(
    CHAR, TEXT, SET, LOOP, GREEDY, FIELD, LAZY, GROUP, MATCH, SAVE, SPLIT, JUMP, MARK, CUT, LOOK_END,
    NOT_LOOK, NOT_LOOK_END, BACK, AHEAD, NOT_AHEAD, BEHIND, NOT_BEHIND, BEGIN, END, END_STRING, BOUNDARY,
    NOT_BOUNDARY,
) = range(27)  # fmt: skip
"""What a row does; its three numbers are explained where `_Writer` writes it. Those before `MATCH` take
characters, those from `AHEAD` on only look at what stands here."""

BEYOND = 128
"""Stands for every character beyond ASCII."""
CHARACTERS = 129
FOREVER = 1 << 30
"""A loop without an upper bound: no text is so long."""
MOST_ROWS = 1 << 12
"""Rows of a program at most: loops with counts are written out."""

_DIGIT = frozenset(b"0123456789")
_SPACE = frozenset(b" \t\n\r\f\v")
_WORD = frozenset(code for code in range(BEYOND) if chr(code).isalnum() or code == ord("_"))
ALL = frozenset(range(CHARACTERS))
"""Every character that there is."""
_CATEGORIES = {
    sre.CATEGORY_DIGIT: _DIGIT, sre.CATEGORY_NOT_DIGIT: ALL - _DIGIT,
    sre.CATEGORY_SPACE: _SPACE, sre.CATEGORY_NOT_SPACE: ALL - _SPACE,
    sre.CATEGORY_WORD: _WORD, sre.CATEGORY_NOT_WORD: ALL - _WORD,
}  # fmt: skip
_PLACES = {
    sre.AT_BEGINNING: BEGIN, sre.AT_BEGINNING_STRING: BEGIN, sre.AT_END: END, sre.AT_END_STRING: END_STRING,
    sre.AT_BOUNDARY: BOUNDARY, sre.AT_NON_BOUNDARY: NOT_BOUNDARY,
}  # fmt: skip

_SPELT = re.compile(r"\\(?:x[89a-fA-F]|[uUN]|[0-7]{3})")
"""Characters that may be beyond ASCII, by their numbers or names."""
_REPEATS = {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}
_CHARACTERS = "characters"

Characters = frozenset[int]
Item = tuple[Any, Any]
"""What the parser says of a piece of an expression: what it is, and its arguments."""


class UnsupportedError(ValueError):
    """An expression that no program can be made of."""


@dataclass(frozen=True)
class Expression:
    """Where in a program an expression begins, its groups by name, and what any match of it needs.

    `least`: how many characters it takes at least. `first`: those that it may begin with; `after`: those that
    may stand before it, NUL for none; `needs`: those that every match, and what it looks back at, holds.
    """

    entry: int
    least: int
    groups: dict[str, int]
    first: Characters
    after: Characters
    needs: Characters


@dataclass
class Program:
    """Expressions in one table of rows, over one table of sets of characters."""

    rows: list[list[int]] = field(default_factory=list)
    sets: dict[Characters, int] = field(default_factory=dict)
    n_groups: int = 1
    ascii_only: bool = False
    """Whether an expression names characters beyond ASCII, or may part one that is of several bytes."""

    def add(self, pattern: str, keep: frozenset[str] = frozenset()) -> Expression:
        """Add an expression, compiled as with `re.ASCII`. Where its groups begin and end is told of those
        named in `keep`, and of those that it refers to. Raises UnsupportedError."""
        tree, items = _parsed(pattern)
        self.ascii_only |= not pattern.isascii() or _SPELT.search(pattern) is not None
        entry = len(self.rows)
        named = dict(tree.state.groupdict)
        kept = referred(items) | {number for name, number in named.items() if name in keep}
        _Writer(self, kept).sequence(items)
        self._row(MATCH)
        self._settle(entry)
        self._join(entry)
        if len(self.rows) > MOST_ROWS:
            raise UnsupportedError("too long")
        self.n_groups = max(self.n_groups, tree.state.groups)
        return Expression(
            entry,
            _width(items),
            named,
            _first(items),
            _after(items),
            frozenset(_needs(items)),
        )

    def arrays(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """The rows `(n, 4)`, and which bytes each set has, `(sets, 256)`; beyond 127 all or none."""
        table = np.zeros((max(1, len(self.sets)), 256), dtype=np.bool_)
        for members, number in self.sets.items():
            table[number, bytes_of(members)] = True
        return np.array(self.rows, dtype=np.int32), table

    def set_of(self, members: Characters) -> int:
        """The number of a set."""
        return self.sets.setdefault(members, len(self.sets))

    def _settle(self, entry: int) -> None:
        """Loops that would give back in vain take what they take for good: they need no stack."""
        members = {number: characters for characters, number in self.sets.items()}
        for at in range(entry, len(self.rows)):
            kind, number, *_ = self.rows[at]
            if kind != GREEDY:
                continue
            behind = next(row for row in self.rows[at + 1 :] if row[0] != SAVE)
            if _never_begins_within(behind, members[number], members):
                self.rows[at][0] = LOOP
        self.ascii_only |= any(_may_part(self.rows, at, members) for at in range(entry, len(self.rows)))

    def _join(self, entry: int) -> None:
        """Say of a row that the rows behind it can be done with it: several characters (`TEXT`: the first,
        how many), and a loop between the ends of a group (`FIELD`: where it begins, the loop's set, how often
        at least). They stay as they are, for who comes to one of them from elsewhere."""
        for at in range(len(self.rows) - 3, entry - 1, -1):
            (kind, number, *_), (behind, of, least, _), (last, end, *_) = self.rows[at : at + 3]
            if kind == CHAR and behind in {CHAR, TEXT}:
                self.rows[at] = [TEXT, number, max(least, 1) + 1, 0]
            elif (kind, behind, last) == (SAVE, LOOP, SAVE) and end == number + 1:
                self.rows[at] = [FIELD, number, of, least]

    def _row(self, *numbers: int) -> int:
        self.rows.append([*numbers, *[0] * (4 - len(numbers))])
        if len(self.rows) > MOST_ROWS:
            raise UnsupportedError("too long")
        return len(self.rows) - 1


class _Writer:
    """Writes the rows of one expression."""

    def __init__(self, program: Program, kept: set[int]) -> None:
        self._program, self._kept = program, kept
        self._row = program._row

    def sequence(self, items: Iterable[Item]) -> None:
        for item in items:
            self._item(item)

    def _item(self, item: Item) -> None:
        kind, given = item
        members = members_of(item)
        if members is not None:
            if len(members) == 1:
                self._row(CHAR, next(iter(members)))
            else:
                self._row(SET, self._program.set_of(members))
        elif kind is sre.BRANCH:
            self._branch(given[1])
        elif kind is sre.SUBPATTERN:
            self._group(given)
        elif kind is sre.ATOMIC_GROUP:
            self._row(MARK)
            self.sequence(given)
            self._row(CUT)
        elif kind in _REPEATS:
            self._repeat(kind, *given)
        elif kind in {sre.ASSERT, sre.ASSERT_NOT}:
            self._look(kind is sre.ASSERT, *given)
        elif kind is sre.AT and given in _PLACES:
            self._row(_PLACES[given])
        elif kind is sre.GROUPREF:
            self._row(GROUP, given)
        else:
            raise UnsupportedError(str(kind))

    def _branch(self, branches: Sequence[Iterable[Item]]) -> None:
        """Each in turn: the next one where the rest does not match."""
        ends = []
        for branch in branches[:-1]:
            split = self._row(SPLIT)
            self.sequence(branch)
            ends.append(self._row(JUMP))
            self._here(split)
        self.sequence(branches[-1])
        for end in ends:
            self._here(end)

    def _group(self, given: tuple[Any, ...]) -> None:
        number, items = given
        if number not in self._kept:
            self.sequence(items)
            return
        # Twice the group's number: where it begins, and behind that where it ends.
        self._row(SAVE, 2 * number)
        self.sequence(items)
        self._row(SAVE, 2 * number + 1)

    def _repeat(self, kind: Any, least: int, most: Any, items: Sequence[Item]) -> None:
        most = FOREVER if most is sre.MAXREPEAT else int(most)
        members = _only(items)
        if members is not None and most == least == 1:
            self._item(items[0])
        elif members is not None:
            # A loop over one set: the set, how often at least, how often at most.
            single = {sre.MAX_REPEAT: GREEDY, sre.MIN_REPEAT: LAZY, sre.POSSESSIVE_REPEAT: LOOP}[kind]
            self._row(single, self._program.set_of(members), least, most)
        elif _width(items) == 0:
            raise UnsupportedError("a loop over what may be empty")
        elif kind is sre.POSSESSIVE_REPEAT:
            self._row(MARK)
            self._written_out(least, most, items, lazy=False)
            self._row(CUT)
        else:
            self._written_out(least, most, items, lazy=kind is sre.MIN_REPEAT)

    def _written_out(self, least: int, most: int, items: Sequence[Item], *, lazy: bool) -> None:
        for _ in range(least):
            self.sequence(items)
        if most == FOREVER:
            split = self._split(lazy=lazy)
            self.sequence(items)
            self._row(JUMP, split)
            self._leave(split, lazy=lazy)
            return
        splits = []
        for _ in range(most - least):
            splits.append(self._split(lazy=lazy))
            self.sequence(items)
        for split in splits:
            self._leave(split, lazy=lazy)

    def _split(self, *, lazy: bool) -> int:
        """Before a repetition. A lazy one is entered only where the rest does not match without it."""
        split = self._row(SPLIT)
        if lazy:
            self._row(JUMP)
            self._here(split)
        return split

    def _leave(self, split: int, *, lazy: bool) -> None:
        self._here(split + lazy)

    def _look(self, wanted: bool, direction: int, items: Sequence[Item]) -> None:
        sets = [members_of(item) for item in items]
        single = [members for members in sets if members is not None]
        if len(single) == len(sets) > 0 and (direction < 0 or len(single) == 1):
            numbers = [self._program.set_of(members) for members in single]
            if direction > 0:
                self._row(AHEAD if wanted else NOT_AHEAD, numbers[0])
                return
            # How many characters, and below a row for the set of each, from the left.
            self._row(BEHIND if wanted else NOT_BEHIND, len(numbers))
            for number in numbers:
                self._row(SET, number)
            return
        begin = self._row(MARK) if wanted else self._row(NOT_LOOK)
        if direction < 0:
            self._row(BACK, _width(items))
        self.sequence(items)
        self._row(LOOK_END if wanted else NOT_LOOK_END)
        if not wanted:
            self._here(begin)

    def _here(self, row: int) -> None:
        """The row goes to, or leaves for, what is written next."""
        self._program.rows[row][1] = len(self._program.rows)


def plain_items(pattern: str) -> list[Item]:
    """The pieces of an expression, compiled as with `re.ASCII`. Raises UnsupportedError."""
    return _parsed(pattern)[1]


def _parsed(pattern: str) -> tuple[Any, list[Item]]:
    """What Python's parser makes of an expression, and its pieces (see `_plain`)."""
    try:
        tree = parser.parse(pattern, re.ASCII)
    except re.error as error:
        raise UnsupportedError(str(error)) from error
    flags = tree.state.flags
    if flags & ~(re.ASCII | re.UNICODE | re.IGNORECASE):
        raise UnsupportedError("flags")
    return tree, _plain(tree, ignoring=bool(flags & re.IGNORECASE))


def bytes_of(members: Characters) -> list[int]:
    """The bytes of characters; of one beyond ASCII, all that those have."""
    return sorted(members - {BEYOND}) + [*range(BEYOND, 256)] * (BEYOND in members)


def _may_part(rows: list[list[int]], at: int, members: dict[int, Characters]) -> bool:
    """Whether a row may take, or count, some bytes of a character alone."""
    kind, number, least, most = rows[at]
    if kind in {SET, GREEDY, LAZY}:
        return BEYOND in members[number]
    if kind == LOOP:
        return BEYOND in members[number] and (least > 1 or most != FOREVER)
    return kind == BACK


def _never_begins_within(row: list[int], taken: Characters, members: dict[int, Characters]) -> bool:
    """Whether what `row` begins cannot match where a character of `taken` comes next; or matches always."""
    kind, number, least, _ = row
    if kind in {MATCH, CUT}:
        return True
    if kind == CHAR:
        return number not in taken
    if kind == SET or (kind in {LOOP, GREEDY, LAZY} and least):
        return not members[number] & taken
    if kind == NOT_AHEAD:
        return taken <= members[number]
    return False


def referred(items: Iterable[Item]) -> set[int]:
    """The groups that a sequence refers to."""
    found: set[int] = set()
    for item in items:
        kind, given = item
        if kind is sre.GROUPREF:
            found.add(given)
        elif kind in {sre.ASSERT, sre.ASSERT_NOT}:
            found |= referred(given[1])
        for sequence in inner_of(item) or []:
            found |= referred(sequence)
    return found


def _plain(items: Iterable[Item], *, ignoring: bool) -> list[Item]:
    """The pieces with what takes one character as `(_CHARACTERS, set)`, groups without their flags, and
    sequences as lists. `ignoring`: small and capital letters are the same."""
    return [_plain_item(item, ignoring=ignoring) for item in items]


def _plain_item(item: Item, *, ignoring: bool) -> Item:  # noqa: PLR0911 - one for each kind
    kind, given = item
    if kind in {sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN}:
        return _CHARACTERS, _characters(item, ignoring=ignoring)
    if kind is sre.BRANCH:
        return kind, (None, [_plain(branch, ignoring=ignoring) for branch in given[1]])
    if kind is sre.SUBPATTERN:
        number, added, removed, inner = given
        if (added | removed) & ~re.IGNORECASE:
            raise UnsupportedError("flags within an expression")
        ignoring = (ignoring or bool(added)) and not removed
        return kind, (number, _plain(inner, ignoring=ignoring))
    if kind is sre.ATOMIC_GROUP:
        return kind, _plain(given, ignoring=ignoring)
    if kind in _REPEATS:
        return kind, (given[0], given[1], _plain(given[2], ignoring=ignoring))
    if kind in {sre.ASSERT, sre.ASSERT_NOT}:
        return kind, (given[0], _plain(given[1], ignoring=ignoring))
    if kind is sre.GROUPREF and ignoring:
        raise UnsupportedError("a group again, whatever its case")
    return item


def _characters(item: Item, *, ignoring: bool) -> Characters:
    """The ASCII characters that a piece takes."""
    kind, given = item
    if kind is sre.ANY:
        return ALL - {ord("\n")}
    if kind in {sre.LITERAL, sre.NOT_LITERAL}:
        given = [(sre.NEGATE, None)] * (kind is sre.NOT_LITERAL) + [(sre.LITERAL, given)]
    members: set[int] = set()
    negated = False
    for part, value in given:
        if part is sre.NEGATE:
            negated = True
        elif part is sre.LITERAL:
            members.add(value)
        elif part is sre.RANGE:
            members.update(range(value[0], min(value[1], BEYOND - 1) + 1))
        elif part is sre.CATEGORY and value in _CATEGORIES:
            members |= _CATEGORIES[value]
        else:
            raise UnsupportedError(str(part))
    if ignoring:
        small = {ord(chr(code).lower()) for code in members if code < BEYOND}
        members = {code for code in ALL if code == BEYOND or ord(chr(code).lower()) in small} - (
            {BEYOND} - members
        )
    if negated:
        return ALL - members
    return frozenset(members) & ALL


def members_of(item: Item) -> Characters | None:
    """The characters of a piece that takes one of them; None for any other piece."""
    kind, given = item
    if kind is not _CHARACTERS:
        return None
    members: Characters = given
    return members


def _only(items: Sequence[Item]) -> Characters | None:
    """The set of a sequence that is one character."""
    if len(items) == 1:
        return members_of(items[0])
    return None


def _width(items: Iterable[Item]) -> int:
    """How many characters a sequence takes at least."""
    return sum(_least(item) for item in items)


def _least(item: Item) -> int:
    kind, given = item
    if kind is sre.BRANCH:
        return min(_width(branch) for branch in given[1])
    if kind is sre.SUBPATTERN:
        return _width(given[1])
    if kind is sre.ATOMIC_GROUP:
        return _width(given)
    if kind in _REPEATS:
        return int(given[0]) * _width(given[2])
    return int(members_of(item) is not None)


def widest(items: Iterable[Item]) -> int:
    """How many characters a sequence takes, and looks ahead at, at most; `FOREVER` or more without end."""
    width = 0
    for item in items:
        kind, given = item
        if kind in {sre.ASSERT, sre.ASSERT_NOT}:
            width += widest(given[1])
        elif kind is sre.GROUPREF:
            width += FOREVER
        elif kind in _REPEATS:
            times = FOREVER if given[1] is sre.MAXREPEAT else int(given[1])
            width += times * widest(given[2])
        else:
            width += max(map(widest, inner_of(item) or []), default=int(members_of(item) is not None))
    return width


def inner_of(item: Item) -> list[Sequence[Item]] | None:
    """The sequences, one of which a piece certainly matches; None for a piece of no such kind."""
    kind, given = item
    if kind is sre.BRANCH:
        return [*given[1]]
    if kind is sre.SUBPATTERN:
        return [given[1]]
    if kind is sre.ATOMIC_GROUP:
        return [given]
    if kind in _REPEATS:
        return [given[2]]
    return None


def _first(items: Iterable[Item]) -> Characters:
    """The characters that a sequence may begin with; all of them where it may be empty."""
    found: Characters = frozenset()
    for item in items:
        if item[0] in {sre.ASSERT, sre.ASSERT_NOT, sre.AT}:
            continue
        members = members_of(item)
        inner = inner_of(item)
        if members is not None:
            return found | members
        if inner is None:
            return ALL
        for sequence in inner:
            found |= _first(sequence)
        if _least(item):
            return found
    return ALL


def _after(items: Sequence[Item]) -> Characters:
    """The characters that may stand before a match, as far as its beginning says so; NUL: its text begins."""
    allowed = ALL
    taken: Characters | None = None
    for item in items:
        kind, given = item
        if kind in {sre.ASSERT, sre.ASSERT_NOT} and given[0] < 0:
            allowed &= _looked_back(kind is sre.ASSERT, given[1], taken)
        elif kind in {sre.ASSERT, sre.ASSERT_NOT}:
            continue
        elif taken is None and members_of(item) is not None:
            taken = members_of(item)
        else:
            break
    return allowed


def _looked_back(wanted: bool, items: Sequence[Item], taken: Characters | None) -> Characters:
    """What may stand before a match, as a look behind it says, before or after its first character."""
    sets = [members_of(item) for item in items]
    if taken is not None:
        # The last one that is looked at is the match's own first character.
        last = sets.pop() if sets else None
        if last is None or not (wanted or taken <= last):
            return ALL
    if not sets:
        return ALL
    before = sets.pop()
    if before is None:
        return ALL
    if wanted:
        return before
    if sets:
        return ALL  # it matters what stands further left
    return (ALL - before) | {0}


def _needs(items: Iterable[Item]) -> set[int]:
    """Characters without which a sequence does not match."""
    needed: set[int] = set()
    for item in items:
        kind, given = item
        members = members_of(item)
        inner = inner_of(item)
        if members is not None:
            if len(members) == 1:
                needed |= members
        elif kind is sre.ASSERT:
            needed |= _needs(given[1])
        elif inner is not None and _least(item):
            needed |= set.intersection(*(_needs(sequence) for sequence in inner))
    return needed
