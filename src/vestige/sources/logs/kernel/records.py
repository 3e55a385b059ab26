"""Messages that are flat JSON objects, from their bytes: as `sources.logs.records` has them. Compiled.

An object is read here where all that `records.told` would look at is plain: values are strings, numbers,
`true`, `false` and `null`, the message is a string, the level a name or a small number, the time RFC 3339 or
a number. Whatever is else (nested, damaged, with an error beside its message) is odd, and left to the plain
reader.
"""

# ruff: noqa: PLR0911, PLR0912, PLR1714, SIM109 - what is no object is told byte by byte, and compiled to jumps

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vestige.native import native
from vestige.reading import times
from vestige.reading.times import FIRST_TICKS, LAST_TICKS, TICKS_1970
from vestige.sources.logs.kernel import lines
from vestige.sources.logs.kernel.lines import BAD, HEADER, REST, is_blank, moment
from vestige.sources.logs.kernel.machine import Bytes, Numbers, Stack
from vestige.sources.logs.records import level_of

compiled = partial(native, after=(lines.__file__, times.__file__), inline=True)

TEMPLATE, MESSAGE, TIME, LEVEL, ERROR, STRANGE = range(6)
PARTS = ("template", "message", "time", "level", "error")
"""Parts of a record in this order; behind them are the keys of which a record must have none."""
STRANGE_KEYS = ("severityNumber", "resourceLogs")
N_KEYS = len(PARTS) + len(STRANGE_KEYS)
_ABSENT, _STRING, _ESCAPED, _NUMBER, _NULL, _OTHER = range(6)
"""What a value is: a string without or with escapes in it, a number of digits, null, or something else."""
MOST_LEVEL = 1000
LEVEL_ROOM = 32
"""Characters that the name of a level may be longer than what stands for it, and the blank behind it."""
_LEVEL_CHARACTERS, _LONGEST_NUMBER = 24, 64
_LARGEST = np.iinfo(np.int64).max
_QUOTE, _BACKSLASH, _OPEN, _CLOSE, _COMMA, _COLON = (ord(character) for character in '"\\{},:')
_ESCAPES = np.zeros(256, np.uint8)
"""What an escape stands for; NUL where there is no such escape."""
for _letter, _character in zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True):
    _ESCAPES[ord(_letter)] = ord(_character)
_SPELT = frozenset("&'<=>")
_WORDS, _WORD_BOUNDS = np.frombuffer(b"nulltruefalse", np.uint8), np.array([0, 4, 8, 13])
_TIME_WIDTHS, _TIME_SIGNS = np.array([4, 2, 2, 2, 2, 2]), np.frombuffer(b"--T::\0", np.uint8)
"""Digits of the parts of a time, and what stands behind each; NUL for nothing."""
_HEX = np.full(256, 255, np.uint8)
for _digit in "0123456789abcdefABCDEF":
    _HEX[ord(_digit)] = int(_digit, 16)
_PLAIN = np.zeros(256, np.bool_)
"""Characters that JSON encoders spell as `\\u` and four digits, lest HTML should take them for its own."""
_PLAIN[[ord(character) for character in _SPELT]] = True
_TIME_PARTS = np.full(lines.N_PARTS, -1, np.int64)
_TIME_PARTS[
    [lines.YEAR, lines.MONTH, lines.DAY, lines.HOUR, lines.MINUTE, lines.SECOND, lines.ZONE, lines.FRACTION]
] = np.arange(8)


class Keys(NamedTuple):
    """Where the parts of records lie: key `k` is `names[bounds[k]:bounds[k + 1]]`, empty for a part that they
    do not have; and what levels that are numbers are called, `levels[called[n]:called[n + 1]]`. `found
    (N_KEYS, 3)` and `groups (16,)` are room to work in."""

    names: Bytes
    bounds: Numbers
    levels: Bytes
    called: Numbers
    found: Numbers
    groups: Stack
    wide: int

    @classmethod
    def of(cls, keys: dict[str, str], *, wide: bool) -> Keys:
        """For records whose parts lie under these keys (see `Format.keys`)."""
        names = [keys.get(part, "").encode() for part in PARTS] + [key.encode() for key in STRANGE_KEYS]
        levels = [level_of(number).encode() for number in range(MOST_LEVEL + 1)]
        return cls(
            np.frombuffer(b"".join(names) + b"\0", np.uint8).copy(),
            np.cumsum([0, *map(len, names)]).astype(np.int64),
            np.frombuffer(b"".join(levels), np.uint8).copy(),
            np.cumsum([0, *map(len, levels)]).astype(np.int64),
            np.zeros((N_KEYS, 3), np.int64),
            np.zeros(16, np.int64),
            int(wide),
        )


@compiled
def read_records(
    data: Bytes,
    ends: Numbers,
    keys: Keys,
    kind: NDArray[np.uint8],
    content: Numbers,
    out: Bytes,
    begins: Numbers,
    stops: Numbers,
    t_ns: Numbers,
) -> int:
    """Fill in of each line that is a record alone where in `out` its text begins and stops, and its time.
    What is odd stops before it begins; how many are."""
    size, odd = 0, 0
    for i in range(len(ends)):
        begins[i], stops[i] = size, size
        if kind[i] != HEADER:
            continue
        alone = i + 1 == len(ends) or kind[i + 1] != REST
        at, until, time = 0, 0, BAD
        readable = alone and _read_members(data, content[i], ends[i], keys)
        if readable:
            at, until = _tell(data, keys, out, size)
            readable = at >= 0
        if readable and keys.found[TIME, 0] != _ABSENT:
            readable, time = _time(data, keys)
        if not readable:
            stops[i] = -1
            odd += 1
            continue
        begins[i], content[i], stops[i], t_ns[i] = at, at, until, time
        size = until
    return odd


@compiled
def _read_members(data: Bytes, at: int, end: int, keys: Keys) -> bool:
    """Note what `data[at:end]` has under the keys; False where it is no flat object of several members."""
    for k in range(N_KEYS):
        keys.found[k, 0] = _ABSENT
    at = _skip(data, at, end)
    if at >= end or data[at] != _OPEN:
        return False
    members = 0
    while True:
        at = _skip(data, at + 1, end)
        if at >= end or data[at] != _QUOTE:
            return False
        name = at + 1
        at, escaped = _string(data, name, end, keys.wide)
        if at < 0 or escaped:
            return False
        stop = at
        at = _skip(data, at + 1, end)
        if at >= end or data[at] != _COLON:
            return False
        begin = _skip(data, at + 1, end)
        if begin >= end:
            return False
        if data[begin] == _QUOTE:
            begin += 1
            at, escaped = _string(data, begin, end, keys.wide)
            what, after = _ESCAPED if escaped else _STRING, at + 1
        else:
            at, what = _plain_value(data, begin, end)
            after = at
        if at < 0:
            return False
        _note(data, name, stop, keys, what, begin, at)
        members += 1
        at = _skip(data, after, end)
        if at >= end:
            return False
        if data[at] == _CLOSE:
            return members > 1 and _skip(data, at + 1, end) == end
        if data[at] != _COMMA:
            return False


@compiled
def _skip(data: Bytes, at: int, end: int) -> int:
    """Behind the blanks of JSON (RFC 8259, 2)."""
    while at < end and (data[at] == 32 or data[at] == 9 or data[at] == 13 or data[at] == 10):
        at += 1
    return at


@compiled
def _string(data: Bytes, at: int, end: int, wide: int) -> tuple[int, bool]:
    """Where a string ends whose first character is at `at`, -1 where it does not, or holds what no string
    may, or escapes that are none of those here; and whether it holds any."""
    escaped = False
    while at < end:
        character = data[at]
        if character == _QUOTE:
            return at, escaped
        if character < 32:
            return -1, escaped
        if character == _BACKSLASH:
            escaped = True
            if at + 1 >= end:
                return -1, escaped
            if _ESCAPES[data[at + 1]] != 0:
                at += 1
            elif _spelt(data, at, end, wide) >= 0:
                at += 5
            else:
                return -1, escaped
        at += 1
    return -1, escaped


@compiled
def _spelt(data: Bytes, at: int, end: int, wide: int) -> int:
    """The character that is spelt `\\uxxxx` at `at`; -1 for one that is not read here, or none. Those beyond
    ASCII are read that `lines.find_lines` takes where they stand as themselves."""
    if at + 6 > end or data[at + 1] != 117:
        return -1
    code = 0
    for k in range(2, 6):
        digit = _HEX[data[at + k]]
        if digit == 255:
            return -1
        code = 16 * code + int(digit)
    if code < 256 and _PLAIN[code]:
        return code
    if wide and ((0xC0 <= code < 0x800 and code != 0x130) or 0x3040 <= code < 0xD000):
        return code
    return -1


@compiled
def _is_digit(code: int) -> bool:
    return 48 <= code <= 57


@compiled
def _plain_value(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Where a number, `true`, `false` or `null` ends, -1 where there is none, and what it is."""
    begin = at
    for k in range(len(_WORD_BOUNDS) - 1):
        first = _WORD_BOUNDS[k]
        length = _WORD_BOUNDS[k + 1] - first
        same = at + length <= end
        for j in range(length):
            same = same and data[at + j] == _WORDS[first + j]
        if same:
            return at + length, _NULL if k == 0 else _OTHER
    if data[at] == 45:
        at += 1
    digits = at
    while at < end and _is_digit(data[at]):
        at += 1
    if at == digits or (data[digits] == 48 and at > digits + 1):
        return -1, _OTHER
    what = _NUMBER if digits == begin else _OTHER
    if at < end and data[at] == 46:
        fraction = at + 1
        at = fraction
        while at < end and _is_digit(data[at]):
            at += 1
        if at == fraction:
            return -1, _OTHER
    if at < end and data[at] | 32 == 101:
        what = _OTHER
        at += 1
        if at < end and (data[at] == 43 or data[at] == 45):
            at += 1
        exponent = at
        while at < end and _is_digit(data[at]):
            at += 1
        if at == exponent:
            return -1, _OTHER
    if at - begin > _LONGEST_NUMBER:
        return -1, _OTHER
    return at, what


@compiled
def _note(data: Bytes, name: int, stop: int, keys: Keys, what: int, begin: int, end: int) -> None:
    """Remember a value under the keys that are `data[name:stop]`."""
    for k in range(N_KEYS):
        first = keys.bounds[k]
        if keys.bounds[k + 1] - first != stop - name or stop == name:
            continue
        same = True
        for j in range(stop - name):
            if keys.names[first + j] != data[name + j]:
                same = False
                break
        if same:
            keys.found[k, 0], keys.found[k, 1], keys.found[k, 2] = what, begin, end


@compiled
def _tell(data: Bytes, keys: Keys, out: Bytes, size: int) -> tuple[int, int]:
    """Put level and text behind `out[:size]`: where they begin and end; -1 where a part is odd."""
    for k in range(ERROR, N_KEYS):
        if keys.found[k, 0] != _ABSENT and (k >= STRANGE or keys.found[k, 0] != _NULL):
            return -1, 0
    begin = size + LEVEL_ROOM
    end = begin
    for k in (TEMPLATE, MESSAGE):
        if end > begin:
            break
        what = keys.found[k, 0]
        if what == _NUMBER or what == _OTHER:
            return -1, 0
        if what == _STRING or what == _ESCAPED:
            end = _decode(data, keys.found[k, 1], keys.found[k, 2], out, begin)
    if end > begin and out[begin] == _OPEN:
        return -1, 0  # a record within the record
    while end > begin and is_blank(out[end - 1]):
        end -= 1
    while begin < end and is_blank(out[begin]):
        begin += 1
    if begin == end:
        return -1, 0
    return _put_level(data, keys, out, begin), end


@compiled
def _decode(data: Bytes, at: int, end: int, out: Bytes, n: int) -> int:
    """Put a string behind `out[:n]`, without its escapes; how long that is then."""
    while at < end:
        character = int(data[at])
        if character == _BACKSLASH:
            character = int(_ESCAPES[data[at + 1]])
            at += 1
            if character == 0:
                character = _spelt(data, at - 1, end, 1)
                at += 4
                if character >= 128:
                    n = _put_wide(character, out, n)
                    at += 1
                    continue
        out[n] = np.uint8(character)
        n += 1
        at += 1
    return n


@compiled
def _put_wide(code: int, out: Bytes, n: int) -> int:
    """Put a character of two or three bytes of UTF-8 behind `out[:n]`; how long that is then."""
    if code < 0x800:
        out[n] = np.uint8(0xC0 | code >> 6)
    else:
        out[n] = np.uint8(0xE0 | code >> 12)
        n += 1
        out[n] = np.uint8(0x80 | code >> 6 & 0x3F)
    out[n + 1] = np.uint8(0x80 | code & 0x3F)
    return n + 2


@compiled
def _put_level(data: Bytes, keys: Keys, out: Bytes, begin: int) -> int:
    """Put the level, if there is one, and a blank before `out[begin]`: where that begins; -1: it is odd."""
    what, first, last = keys.found[LEVEL, 0], keys.found[LEVEL, 1], keys.found[LEVEL, 2]
    if what == _ABSENT or what == _NULL:
        return begin
    source = data
    if what == _STRING:
        if not 0 < last - first <= _LEVEL_CHARACTERS:
            return -1
        for at in range(first, last):
            character = data[at]
            if not (97 <= character | 32 <= 122 or character == 95):
                return -1
    elif what == _NUMBER:
        number = 0
        for at in range(first, last):
            if not _is_digit(data[at]) or number > MOST_LEVEL:
                return -1
            number = 10 * number + data[at] - 48
        if number > MOST_LEVEL:
            return -1
        source, first, last = keys.levels, keys.called[number], keys.called[number + 1]
    else:
        return -1
    if first == last:
        return begin
    begin -= last - first + 1
    for at in range(first, last):
        out[begin + at - first] = source[at]
    out[begin + last - first] = 32
    return begin


@compiled
def _time(data: Bytes, keys: Keys) -> tuple[bool, int]:
    """The time of a record; False where it is odd."""
    what, at, end = keys.found[TIME, 0], keys.found[TIME, 1], keys.found[TIME, 2]
    if what != _STRING and what != _NUMBER:
        return False, 0
    if what == _STRING and _divide_time(data, at, end, keys.groups):
        return True, moment(data, keys.groups, _TIME_PARTS)
    return _seconds(data, at, end)


@compiled
def _divide_time(data: Bytes, at: int, end: int, groups: Stack) -> bool:
    """Find the parts of a time (RFC 3339, a little wider, as `records.read_time` has it)."""
    for j in range(16):
        groups[j] = -1
    begin = at
    for part in range(len(_TIME_WIDTHS)):
        length, behind = _TIME_WIDTHS[part], _TIME_SIGNS[part]
        groups[2 * part], groups[2 * part + 1] = at, at + length
        if at + length > end:
            return False
        for j in range(at, at + length):
            if not _is_digit(data[j]):
                return False
        at += length
        if behind > 0:
            if at >= end or not (data[at] == behind or (behind == 84 and data[at] == 32)):
                return False
            at += 1
    if at < end and (data[at] == 46 or data[at] == 44):
        fraction = at + 1
        at = fraction
        while at < end and _is_digit(data[at]):
            at += 1
        if at == fraction:
            return False
        groups[14], groups[15] = fraction, min(at, fraction + 9)
    if at < end and data[at] == 32:
        at += 1
    groups[12], groups[13] = at, end
    if at == end:
        groups[12], groups[13] = -1, -1
        return at > begin
    if data[at] == 90:
        return at + 1 == end
    if data[at] != 43 and data[at] != 45:
        return False
    length = end - at
    colon = length == 6 and data[at + 3] == 58
    if not colon and length != 3 and length != 5:
        return False
    digits = True
    for j in range(at + 1, end):
        digits = digits and (_is_digit(data[j]) or (colon and j == at + 3))
    return digits


@compiled
def _seconds(data: Bytes, at: int, end: int) -> tuple[bool, int]:
    """Nanoseconds of a number of seconds, milli-, micro- or nanoseconds, or of ticks of .NET, whichever its
    size says; False where it is none, or none that 64 bits hold."""
    begin = at
    while at < end and data[at] == 48:
        at += 1
    first, value = at, 0
    while at < end and _is_digit(data[at]):
        if at - begin >= 18:
            return False, 0
        value = 10 * value + data[at] - 48
        at += 1
    if at == begin:
        return False, 0
    size, unit = at - first, 0
    if size <= 11:
        unit = 9
    elif size <= 14:
        unit = 6
    elif size <= 17:
        unit = 3
    rest = 0
    if at < end:
        if data[at] != 46 or end - at - 1 > 18:
            return False, 0
        at += 1
        if at == end:
            return False, 0
    for _ in range(unit):
        digit = 0
        if at < end:
            if not _is_digit(data[at]):
                return False, 0
            digit = data[at] - 48
            at += 1
        rest = 10 * rest + digit
    while at < end:
        if not _is_digit(data[at]):
            return False, 0
        at += 1
    if FIRST_TICKS <= value < LAST_TICKS:
        return True, (value - TICKS_1970) * 100
    for _ in range(unit):
        if value > _LARGEST // 10:
            return False, 0
        value *= 10
    if value > _LARGEST - rest:
        return False, 0
    return True, value + rest
