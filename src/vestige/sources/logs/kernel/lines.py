"""From the bytes of a block to what its lines say: headers, times, labels, masked texts. Compiled."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from vestige.native import native
from vestige.sources.logs import clock
from vestige.sources.logs.kernel import hashes, machine, program, texts
from vestige.sources.logs.kernel import skeleton as skeletons_module
from vestige.sources.logs.kernel.hashes import word_at
from vestige.sources.logs.kernel.machine import (
    TOO_DEEP,
    Bytes,
    Code,
    Masking,
    Numbers,
    Sets,
    Stack,
    Words,
    holds,
    mask,
    match,
)
from vestige.sources.logs.kernel.skeleton import LONGEST, Signs, Skeletons, learn, look_up
from vestige.sources.logs.kernel.texts import keep_text

compiled = partial(
    native,
    after=(
        clock.__file__,
        hashes.__file__,
        machine.__file__,
        program.__file__,
        skeletons_module.__file__,
        texts.__file__,
    ),
    inline=True,
)

REST, HEADER, ODD = range(3)
"""What a line is: one without a header, one with, and one that the plain reader must look at."""
BAD, FRAME_YEAR = int(clock.BAD), clock.FRAME_YEAR
(
    YEAR, SHORT_YEAR, MONTH, MONTH_NAME, DAY, HOUR, HALF_HOUR, HALF, MINUTE, SECOND, EPOCH, LONG_EPOCH, ZONE,
    ZONE_NAME, FRACTION, MILLISECONDS, LABEL,
) = range(17)  # fmt: skip
"""Parts of a time, in the order of `parts`, and the field that decides about the label."""
N_PARTS = 17

_NS = 1_000_000_000
_ABSENT = 9_000_000_000
_FIRST_YEAR, _LAST_YEAR = 1678, 2261
_TURN = 69


def _table(numbers: dict[str, int]) -> tuple[Bytes, Numbers, Numbers]:
    """Names, in small letters, one after the other, where each begins, and the last one ends; and their
    numbers."""
    # Names of three letters are what nearly all logs have.
    known = sorted(
        ((name.lower(), number) for name, number in numbers.items()), key=lambda pair: len(pair[0])
    )
    names = {name: number for name, number in known if name.isascii()}
    bounds = np.cumsum([0, *(len(name) for name in names)])
    joined = "".join(names).encode()
    return np.frombuffer(joined, np.uint8), bounds.astype(np.int64), np.array([*names.values()], np.int64)


_MONTH_NAMES, _MONTH_BOUNDS, _MONTH_NUMBERS = _table(clock.MONTH_OF)
_ZONE_NAMES, _ZONE_BOUNDS, _ZONE_MINUTES = _table(clock.ZONES)
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_END, _BRACKET, _OTHER, _FOLLOWS, _TWO, _THREE, _FOUR = range(1, 8)
"""Kinds of bytes that are looked at more closely."""
_LOW_BITS, _HIGH_BITS = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x8080808080808080)
_ENDS, _BRACKETS, _ESCAPES = (np.uint64(0x0101010101010101 * code) for code in (10, 91, 27))


def byte_kinds(*, utf8: bool) -> Bytes:
    """What `find_lines` needs to know of each byte. `utf8`: characters beyond ASCII make no line odd, but for
    blanks, signs for a terminal, and those whose small letters are of ASCII."""
    kinds = np.zeros(256, np.uint8)
    kinds[10], kinds[91], kinds[0], kinds[27], kinds[128:] = _END, _BRACKET, _OTHER, _OTHER, _OTHER
    if utf8:
        kinds[0x80:0xC0], kinds[0xC3:0xE0], kinds[0xE3:0xED], kinds[0xF0:0xF4] = _FOLLOWS, _TWO, _THREE, _FOUR
    return kinds


@compiled
def _named(
    data: Bytes, groups: Stack, group: int, names: Bytes, bounds: Numbers, numbers: Numbers, none: int
) -> int:
    """The number of a name, in whatever case and with or without a dot at its end; `none` for no name."""
    begin, end = groups[2 * group], groups[2 * group + 1]
    while end > begin and data[end - 1] == 46:
        end -= 1
    for i in range(len(numbers)):
        if bounds[i + 1] - bounds[i] != end - begin:
            continue
        same = True
        for j in range(end - begin):
            if names[bounds[i] + j] != data[begin + j] | 32:
                same = False
                break
        if same:
            none = numbers[i]
            break
    return none


@compiled
def _number(data: Bytes, groups: Stack, group: int) -> int:
    """The digits of a group; 0 where it is missing."""
    value = 0
    if group >= 0 and groups[2 * group + 1] > 0:
        for at in range(groups[2 * group], groups[2 * group + 1]):
            value = 10 * value + data[at] - 48
    return value


@compiled
def _has(groups: Stack, group: int) -> bool:
    return group >= 0 and groups[2 * group + 1] > 0


@compiled
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970 of a day of the Gregorian calendar (Hinnant, "chrono-compatible low-level date
    algorithms")."""
    if month <= 2:
        year -= 1
        month += 12
    of_year = (153 * (month - 3) + 2) // 5 + day - 1
    return 365 * year + year // 4 - year // 100 + year // 400 + of_year - 719468


@compiled
def moment(data: Bytes, groups: Stack, parts: Numbers) -> int:  # noqa: PLR0911, PLR0912 - what is no time, bit by bit
    """Nanoseconds since 1970 of a header's parts of a time, as `clock.TimeParser` has them; BAD for none.

    `parts` holds the group of each part, -1 for one that the format does not have.
    """
    if parts[EPOCH] >= 0 or parts[LONG_EPOCH] >= 0:
        epoch = parts[EPOCH]
        if not _has(groups, epoch):
            epoch = parts[LONG_EPOCH]
        if not _has(groups, epoch):
            return BAD
        seconds = _number(data, groups, epoch)
        if seconds >= _ABSENT:
            return BAD
    else:
        year = FRAME_YEAR
        if _has(groups, parts[YEAR]):
            year = _number(data, groups, parts[YEAR])
        elif _has(groups, parts[SHORT_YEAR]):
            year = _number(data, groups, parts[SHORT_YEAR])
            year += 2000 if year < _TURN else 1900
        month = _number(data, groups, parts[MONTH])
        if _has(groups, parts[MONTH_NAME]):
            month = _named(data, groups, parts[MONTH_NAME], _MONTH_NAMES, _MONTH_BOUNDS, _MONTH_NUMBERS, 0)
        day = _number(data, groups, parts[DAY])
        hour = _number(data, groups, parts[HOUR])
        if not _has(groups, parts[HOUR]):
            hour = _number(data, groups, parts[HALF_HOUR])
        if _has(groups, parts[HALF]):
            if hour > 12:
                return BAD
            # 12 AM is midnight, 12 PM noon.
            hour %= 12
            if data[groups[2 * parts[HALF]]] | 32 == 112:
                hour += 12
        minute = _number(data, groups, parts[MINUTE])
        second = _number(data, groups, parts[SECOND])
        if year < _FIRST_YEAR or year > _LAST_YEAR or hour > 23 or minute > 59 or second > 60:
            return BAD
        if month < 1 or month > 12 or day < 1:
            return BAD
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        if day > _DAYS[month] + (month == 2 and leap):
            return BAD
        seconds = ((_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
        if _has(groups, parts[ZONE_NAME]):
            zone = _named(data, groups, parts[ZONE_NAME], _ZONE_NAMES, _ZONE_BOUNDS, _ZONE_MINUTES, 0)
            seconds -= 60 * zone
        else:
            seconds -= _east(data, groups, parts[ZONE])
    fraction = 0
    if _has(groups, parts[FRACTION]):
        fraction = _number(data, groups, parts[FRACTION])
        for _ in range(9 - (groups[2 * parts[FRACTION] + 1] - groups[2 * parts[FRACTION]])):
            fraction *= 10
    elif _has(groups, parts[MILLISECONDS]):
        fraction = 1_000_000 * _number(data, groups, parts[MILLISECONDS])
    return seconds * _NS + fraction


@compiled
def _east(data: Bytes, groups: Stack, group: int) -> int:
    """Seconds east of UTC that a zone (`Z`, `+hh`, `+hhmm`, `-hh:mm`) says."""
    if not _has(groups, group):
        return 0
    at, until = groups[2 * group], groups[2 * group + 1]
    if until - at < 3:
        return 0
    hours = 10 * (data[at + 1] - 48) + data[at + 2] - 48
    minutes = 0
    if until - at > 3:
        minutes = 10 * (data[until - 2] - 48) + data[until - 1] - 48
    seconds: int = 3600 * hours + 60 * minutes
    if data[at] == 45:
        return -seconds
    return seconds


@compiled
def _all_plain(word: np.uint64) -> bool:
    """Whether none of eight bytes is one that `byte_kinds` has a kind for: an end of a line, `[`, NUL, an
    escape, or a byte beyond ASCII. A byte plus 0x7F reaches its highest bit, unless it is 0."""
    low = word & _LOW_BITS
    differs = low + _LOW_BITS
    for sign in (_ENDS, _BRACKETS, _ESCAPES):
        differs &= (low ^ sign) + _LOW_BITS
    plain: bool = (differs & ~word & _HIGH_BITS) == _HIGH_BITS
    return plain


@compiled
def find_lines(data: Bytes, kinds: Bytes, ends: Numbers, kind: NDArray[np.uint8]) -> int:
    """Where each line of `data` ends, and which are odd, because they hold NUL, characters that `byte_kinds`
    has as other ones, or what may be for a terminal (`parse.ESCAPES`); how many lines there are."""
    n, odd, until, begin = 0, False, -1, 0
    while begin < len(data):
        stop = min(begin + 8, len(data))
        if stop == begin + 8 and _all_plain(word_at(data, begin)):
            begin = stop
            continue
        for at in range(begin, stop):
            what = kinds[data[at]]
            if what == 0:
                continue
            if what == _END:
                ends[n] = at
                kind[n] = ODD if odd else REST
                n += 1
                odd = False
            elif what == _BRACKET:
                odd |= _may_be_for_a_terminal(data, at)
            elif what == _FOLLOWS:
                odd |= at > until
            elif what == _OTHER:
                odd = True
            else:
                until = at + 1 + what - _TWO
                odd |= not _is_character(data, kinds, at, until)
        begin = stop
    if len(data) > 0 and data[-1] != 10:
        ends[n] = len(data)
        kind[n] = ODD if odd else REST
        n += 1
    return n


@compiled
def _may_be_for_a_terminal(data: Bytes, at: int) -> bool:
    """Whether the bracket at `at` is of `^[[`, `#033[`, `\\033[`, `\\x1b[` and `\\u001b[`, and a little
    more."""
    if at < 2:
        return False
    one, two = data[at - 2], data[at - 1]
    found: bool = (one == 94 and two == 91) or (one == 51 and two == 51) or (one == 49 and two == 98)
    return found


@compiled
def _is_character(data: Bytes, kinds: Bytes, at: int, last: int) -> bool:
    """Whether `data[at:last + 1]` is a character of UTF-8 (RFC 3629, 4) that is read here."""
    if last >= len(data):
        return False
    for i in range(at + 1, last + 1):
        if kinds[data[i]] != _FOLLOWS:
            return False
    first, second = data[at], data[at + 1]
    # U+0130, whose small letter is two, one of ASCII; U+3000, a blank, and its neighbours; what is too long.
    return not (
        (first == 0xC4 and second == 0xB0)
        or (first == 0xE3 and second == 0x80)
        or (first == 0xF0 and second < 0x90)
    )


@compiled
def read_lines(
    data: Bytes,
    ends: Numbers,
    code: Code,
    sets: Sets,
    entry: int,
    parts: Numbers,
    values: Bytes,
    bounds: Numbers,
    means: int,
    shown: Numbers,
    spots: Numbers,
    chances: Words,
    groups: Stack,
    stack: Stack,
    kind: NDArray[np.uint8],
    content: Numbers,
    spans: Numbers,
    t_ns: Numbers,
    label: NDArray[np.uint8],
) -> int:
    """Fill in what each line `data[:ends[0]]`, ... is, of those that are not odd already; how many are. Of
    headers: where their content begins, where the groups `shown (k,)` do and end (`spans (n, 2 k)`), their
    time, and, where a field decides, their label.

    `values[bounds[i]:bounds[i + 1]]` are values of the deciding field; one of them `means` an anomaly, or
    else each other one does.
    """
    begin, odd = 0, 0
    chances[0] = 1
    for i in range(len(ends)):
        end = ends[i]
        found = TOO_DEEP
        if kind[i] != ODD:
            for j in range(len(groups)):
                groups[j] = -1
            spots[0] = begin
            _, found = match(
                code, sets, entry, data, begin, end, spots, chances, np.uint64(1), 0, 1, groups, stack
            )
        if found == TOO_DEEP:
            kind[i] = ODD
            odd += 1
        elif found < 0:
            kind[i] = REST
        else:
            kind[i] = HEADER
            content[i] = found
            for j in range(len(shown)):
                spans[i, 2 * j], spans[i, 2 * j + 1] = groups[2 * shown[j]], groups[2 * shown[j] + 1]
            t_ns[i] = moment(data, groups, parts)
            group = parts[LABEL]
            if group >= 0 and groups[2 * group + 1] >= 0:
                label[i] = _among(data, groups[2 * group], groups[2 * group + 1], values, bounds) == means
        begin = end + 1
    return odd


@compiled
def _among(data: Bytes, begin: int, end: int, values: Bytes, bounds: Numbers) -> bool:
    for i in range(len(bounds) - 1):
        if bounds[i + 1] - bounds[i] == end - begin:
            same = True
            for j in range(end - begin):
                if data[begin + j] != values[bounds[i] + j]:
                    same = False
                    break
            if same:
                return True
    return False


@compiled
def is_blank(code: int) -> bool:
    """Whether `str.strip` takes an ASCII character away."""
    return code == 32 or 9 <= code <= 13 or 28 <= code <= 31


@compiled
def gather(  # noqa: PLR0912 - blanks at every end
    data: Bytes,
    begins: Numbers,
    ends: Numbers,
    first: int,
    last: int,
    content: int,
    spans: Numbers,
    out: Bytes,
    most: int,
) -> int:
    """Put the text of the message in the lines `first` to before `last` into `out`, as `parse.Parser` joins
    it, and no more than `most` characters of it; how many these are. TOO_DEEP: the first line has fields that
    are shown, and is too long."""
    n = 0
    if len(spans) > 0:
        if ends[first] - begins[first] + len(spans) > most:
            return TOO_DEEP
        for j in range(0, len(spans), 2):
            if spans[j + 1] > spans[j]:
                for at in range(spans[j], spans[j + 1]):
                    out[n] = data[at]
                    n += 1
                out[n] = 32
                n += 1
    n = _append(data, content, ends[first], out, n, most)
    if len(spans) > 0:
        while n > 0 and is_blank(out[n - 1]):
            n -= 1
        blanks = 0
        while blanks < n and is_blank(out[blanks]):
            blanks += 1
        n -= blanks
        for at in range(n):
            out[at] = out[at + blanks]
    lines = 1
    for i in range(first + 1, last):
        x, y = begins[i], ends[i]
        while y > x and is_blank(data[y - 1]):
            y -= 1
        if n == 0:
            while x < y and is_blank(data[x]):
                x += 1
        if x < y:
            while lines > 0 and 0 < n < most:
                out[n] = 10
                n += 1
                lines -= 1
            n = _append(data, x, y, out, n, most)
            if n >= most:
                return n
            lines = 0
        lines += 1
    return n


@compiled
def _append(data: Bytes, begin: int, end: int, out: Bytes, n: int, most: int) -> int:
    """Put `data[begin:end]` behind `out[:n]`, up to `most`, without blanks at its beginning where `n` is 0,
    and without those at its end; how long it is then."""
    while end > begin and is_blank(data[end - 1]):
        end -= 1
    if n == 0:
        while begin < end and is_blank(data[begin]):
            begin += 1
    for at in range(begin, min(end, begin + most - n)):
        out[n] = data[at]
        n += 1
    return n


@compiled
def read_messages(
    data: Bytes,
    begins: Numbers,
    ends: Numbers,
    first: Numbers,
    after: Numbers,
    start: int,
    kind: NDArray[np.uint8],
    content: Numbers,
    spans: Numbers,
    masking: Masking,
    words: Bytes,
    bounds: Numbers,
    by_first: Numbers,
    empty: Bytes,
    most: int,
    slots: NDArray[np.int32],
    pool: Bytes,
    starts: Numbers,
    known: Numbers,
    signs: Signs,
    skeletons: Skeletons,
    skeleton: Bytes,
    places: Numbers,
    label: NDArray[np.uint8],
    text: NDArray[np.int32],
) -> int:
    """Fill in `text (n,)`, the number of each message's masked text, from message `start` on; returns where
    there was no more room, or n. -1: the plain reader must read the message, because a line of it is odd.

    `first (n,)` and `after (n,)`: the lines that each message begins with, and before which it ends. A
    message that holds one of the words, if there are any (see `machine.holds`), is labelled. `skeleton` and
    `places` are room to work in.
    """
    work = masking.work
    n_messages, room = len(first), work.shape[1]
    for m in range(start, n_messages):
        if known[0] + 2 > len(starts) or 2 * known[0] + 2 > len(slots) or starts[known[0]] + room > len(pool):
            return m
        text[m] = -1
        at = first[m]
        odd = ends[at] < begins[at]
        for i in range(at, after[m]):
            odd |= kind[i] == ODD
        if odd:
            continue
        n = gather(data, begins, ends, at, after[m], content[at], spans[at], work[0], most)
        if n == TOO_DEEP or (n == most and _has_others(work[0], n)):
            continue
        length = 0
        if n <= LONGEST:
            entry, length = look_up(work[0], n, signs, skeleton, skeletons)
            if entry >= 0:
                text[m] = skeletons.entries[entry, 2]
                if len(bounds) > 1:
                    label[at] = skeletons.entries[entry, 3]
                continue
        if len(bounds) > 1:
            label[at] = holds(work[0], n, words, bounds, by_first)
        text[m] = _mask_and_learn(
            n, length, label[at], masking, empty, slots, pool, starts, known, skeletons, skeleton, places
        )
    return n_messages


@compiled
def _mask_and_learn(
    n: int,
    length: int,
    label: int,
    masking: Masking,
    empty: Bytes,
    slots: NDArray[np.int32],
    pool: Bytes,
    starts: Numbers,
    known: Numbers,
    skeletons: Skeletons,
    skeleton: Bytes,
    places: Numbers,
) -> int:
    """The number of the masked text of the message `masking.work[0, :n]`, whose skeleton is not known, and is
    remembered (see `skeleton.learn`); -1 where the plain reader must mask it."""
    here, size = mask(masking, n)
    if size == TOO_DEEP:
        return -1
    masked, origins = masking.work[here], masking.origins[here]
    if size == 0:
        size = len(empty)
        for at in range(size):
            masked[at], origins[at] = empty[at], -1
    number = keep_text(masked, size, skeletons.key, slots, pool, starts, known)
    if n <= LONGEST:
        learn(masked, origins, size, n, length, number, label, skeleton, places, skeletons)
    return number


@compiled
def _has_others(text: Bytes, n: int) -> bool:
    """Whether there are characters beyond ASCII, of which there are fewer than bytes."""
    at = 0
    while at < n and text[at] < 128:
        at += 1
    return at < n


@compiled
def mark(first: Numbers, after: Numbers, left: Sets) -> None:
    """Say of the lines of these messages that they are not `left`."""
    for m in range(len(first)):
        for i in range(first[m], after[m]):
            left[i] = False
