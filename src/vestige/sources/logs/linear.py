"""Expressions that people write, in time linear in the text, whatever it holds.

Masks run through RE2, which has no backtracking (and so no look-around); those that come with vestige stay
with `re`, because every one of them is linear there, and they look around. A field's shape is part of the
header, which runs through `re` once a line: it must be one that `re` never goes back in, more than a little.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial

# The parser of `re` has no public name. What it may hand out one day is refused here while it is unknown.
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MOST_WAYS = 4096
"""Ways in which a shape may match the same text at the most: so often is it tried before it is given up."""
LONGEST = 8192
"""Characters of an expression at most."""
MOST_MEMORY = 1 << 24
"""Bytes that RE2 may take for an expression."""
_OTHER = 128
"""Stands for every character beyond ASCII."""
_ALL = frozenset(range(_OTHER + 1))
_DIGITS = frozenset(b"0123456789")
_BLANKS = frozenset(b" \t\n\r\f\v")
_WORDS = frozenset(code for code in range(_OTHER) if chr(code).isalnum() or code == ord("_"))
_CATEGORIES = {
    sre.CATEGORY_DIGIT: _DIGITS, sre.CATEGORY_NOT_DIGIT: _ALL - _DIGITS,
    sre.CATEGORY_SPACE: _BLANKS, sre.CATEGORY_NOT_SPACE: _ALL - _BLANKS,
    sre.CATEGORY_WORD: _WORDS, sre.CATEGORY_NOT_WORD: _ALL - _WORDS,
}  # fmt: skip
_ENDLESS = MOST_WAYS + 1
_FAR = 1 << 12
"""Characters of one look from which on it is one without a bound."""
_ONCE = frozenset({sre.ATOMIC_GROUP, sre.POSSESSIVE_REPEAT, sre.ASSERT, sre.ASSERT_NOT})

Characters = frozenset[int]


def substitution(name: str, pattern: str, *, ours: bool) -> Callable[[str], str]:
    """Puts `<name>` in the place of whatever the pattern matches. Raises ValueError for one that is no
    regular expression, or that is not ours and that RE2 cannot run."""
    placeholder = f"<{name}>"
    try:
        compiled = _compiled(pattern)
    except re.error as error:
        raise ValueError(f"mask {name!r} is no regular expression: {error}") from error
    if ours:
        return partial(compiled.sub, placeholder)
    import re2

    options = re2.Options()
    options.log_errors, options.max_mem = False, MOST_MEMORY
    try:
        linear = re2.compile(pattern, options)
    except re2.error as error:
        told = error.args[0]
        if isinstance(told, bytes):
            told = told.decode("utf-8", "replace")
        raise ValueError(
            f"mask {name!r} cannot run in linear time ({told}): RE2 has no look-around, no references back "
            "to groups and no possessive repetitions; write what stands around it into the expression"
        ) from error

    def substitute(text: str) -> str:
        try:
            found: str = linear.sub(placeholder, text)
        except UnicodeEncodeError:
            # Half a surrogate pair, which JSON can spell and UTF-8 cannot.
            found = linear.sub(placeholder, text.encode("utf-8", "replace").decode("utf-8"))
        return found

    return substitute


def _compiled(pattern: str) -> re.Pattern[str]:
    """Raises re.error also for what the compiler of `re` has no error of its own for."""
    if len(pattern) > LONGEST:
        raise re.error(f"it has more than {LONGEST} characters")
    try:
        return re.compile(pattern, re.ASCII)
    except (RecursionError, OverflowError) as error:
        raise re.error("brackets within too many brackets, or a number beyond all numbers") from error


def check_shape(what: str, pattern: str) -> None:
    """Raise ValueError, saying `what` it is, for the shape of a field that is no regular expression, has
    names in it, or could take more than linear time: somewhere it would match the same text in many ways."""
    try:
        groups = _compiled(pattern).groupindex
        ways = _ways_of_pattern(pattern)
    except re.error as error:
        raise ValueError(f"{what} is no regular expression: {error}") from error
    if groups:
        raise ValueError(f"{what}: groups in it cannot have names")
    if ways > MOST_WAYS:
        raise ValueError(
            f"{what} cannot run in linear time: what a repetition takes could be taken by what follows it; "
            r"let it end at other characters ([^:]+:), bound it ({1,64}), or make it possessive (\w++)"
        )


@lru_cache(maxsize=1024)
def _ways_of_pattern(pattern: str) -> int:
    return _ways(list(parser.parse(pattern, re.ASCII)), frozenset())


def _ways(items: list[Any], after: Characters) -> int:
    """In how many ways at the most items may match the same text, `after` being what may come behind them
    (nothing: whatever they took, they never give back). More than `MOST_WAYS` may be without end."""
    ways = 1
    for at in range(len(items) - 1, -1, -1):
        op, argument = items[at]
        own = _ways_of(op, argument, after)
        # What is never given back is tried once, whatever comes after it.
        ways = max(ways, own) if op in _ONCE else min(_ENDLESS, ways * own)
        first, empty = _first(op, argument)
        after = first | after if empty else first
    return ways


def _ways_of(op: Any, argument: Any, after: Characters) -> int:
    ways = 1
    if op in {sre.MAX_REPEAT, sre.MIN_REPEAT}:
        ways = _ways_of_repeat(argument, after)
    elif op is sre.POSSESSIVE_REPEAT:
        ways = _ways(list(argument[2]), _first_of(argument[2])[0])
        if argument[1] is sre.MAXREPEAT and _looks_far(argument[2]):
            ways = _ENDLESS
    elif op is sre.ATOMIC_GROUP:
        ways = _ways(list(argument), frozenset())
    elif op in {sre.ASSERT, sre.ASSERT_NOT}:
        ways = _ways(list(argument[1]), frozenset())
    elif op is sre.SUBPATTERN:
        ways = _ways(list(argument[3]), after)
    elif op is sre.BRANCH:
        ways = _ways_of_branches(argument[1], after)
    elif op is sre.GROUPREF_EXISTS:
        ways = _ENDLESS
    return ways


def _ways_of_repeat(repeat: tuple[int, Any, Any], after: Characters) -> int:
    least, most, body = repeat
    first, empty = _first_of(body)
    inner = _ways(list(body), first | after)
    turns = min(int(most), MOST_WAYS)
    if most == least:
        return _power(inner, turns)
    # Where what follows cannot begin as another turn does, where the repetition ends is certain.
    certain = not empty and not (first & after) and not (most is sre.MAXREPEAT and _looks_far(body))
    if certain and inner == 1:
        return 1
    if most is sre.MAXREPEAT:
        return _ENDLESS
    return min(_ENDLESS, (turns - least + 1) * _power(inner, turns))


def _looks_far(items: Any) -> bool:
    """Whether items look around without a bound: at every turn of a repetition, that is too often."""
    for op, argument in items:
        inner: list[Any] = []
        if op in {sre.ASSERT, sre.ASSERT_NOT}:
            # Without a bound where even the shortest look may go on for ever.
            if parser.SubPattern(parser.State(), list(argument[1])).getwidth()[1] >= _FAR:
                return True
        elif op in {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}:
            inner = [argument[2]]
        elif op is sre.ATOMIC_GROUP:
            inner = [argument]
        elif op is sre.SUBPATTERN:
            inner = [argument[3]]
        elif op is sre.BRANCH:
            inner = argument[1]
        if any(_looks_far(each) for each in inner):
            return True
    return False


def _power(ways: int, turns: int) -> int:
    """The ways of so many turns, each of which has some."""
    # More than one way, a dozen times, is more than anybody waits for.
    return min(_ENDLESS, int(ways ** min(turns, 13)))


def _ways_of_branches(branches: list[Any], after: Characters) -> int:
    ways, taken = 1, frozenset[int]()
    for branch in branches:
        first, empty = _first_of(branch)
        own = _ways(list(branch), after)
        if empty:
            first = first | after
        ways = min(_ENDLESS, ways + own if taken & first else max(ways, own))
        taken |= first
    return ways


def _first_of(items: Any) -> tuple[Characters, bool]:
    """With which characters items may begin, and whether they may be empty."""
    first: Characters = frozenset()
    for op, argument in items:
        own, empty = _first(op, argument)
        first |= own
        if not empty:
            return first, False
    return first, True


def _first(op: Any, argument: Any) -> tuple[Characters, bool]:
    first, empty = _ALL, True
    if op in {sre.LITERAL, sre.NOT_LITERAL, sre.IN, sre.ANY}:
        first, empty = _characters(op, argument), False
    elif op in {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}:
        first, empty = _first_of(argument[2])
        empty = empty or argument[0] == 0
    elif op is sre.ATOMIC_GROUP:
        first, empty = _first_of(argument)
    elif op is sre.SUBPATTERN:
        first, empty = _first_of(argument[3])
    elif op is sre.BRANCH:
        each = [_first_of(branch) for branch in argument[1]]
        first = frozenset().union(*(begin for begin, _ in each))
        empty = any(nothing for _, nothing in each)
    elif op in {sre.AT, sre.ASSERT, sre.ASSERT_NOT}:
        first = frozenset()
    return first, empty


def _characters(op: Any, argument: Any) -> Characters:
    if op is sre.ANY:
        return _ALL
    if op is sre.LITERAL:
        return frozenset([min(argument, _OTHER)])
    if op is sre.NOT_LITERAL:
        return _ALL - ({argument} if argument < _OTHER else set())
    found: set[int] = set()
    negated = False
    for kind, value in argument:
        if kind is sre.NEGATE:
            negated = True
        elif kind is sre.LITERAL:
            found.add(min(value, _OTHER))
        elif kind is sre.RANGE:
            found.update(range(value[0], min(value[1], _OTHER) + 1))
        else:
            found.update(_CATEGORIES.get(value, _ALL))
    if negated:
        # Of characters beyond ASCII some are always left.
        return _ALL - (found - {_OTHER})
    return frozenset(found)
