"""What the headers of a Parquet file claim, looked at before Polars believes it.

Polars takes room for as many values as a page says that it holds. A page that says it holds fewer than none,
which one changed bit can bring about, ends the interpreter: no error comes back. So the footer and the header
of every page are walked here first, in Thrift's compact protocol, and every count and size in them has a
range. See https://parquet.apache.org/docs/file-format/ and the specification of that protocol
(doc/specs/thrift-compact-protocol.md of Apache Thrift). Values of a struct are kept by the numbers of their
fields; what is no number, struct or list is skipped.
"""

from __future__ import annotations

import mmap
from typing import Any

MAGIC = b"PAR1"
DEEPEST = 16
"""Structs and lists within one another at most."""
MOST_VALUES = 5_000_000
"""Values in all headers of a file at most: each takes room here, and time."""
MOST_PAGES = 1_000_000
"""Pages of a file at most."""
LARGEST_FOOTER = 64 << 20
"""Bytes."""
LARGEST_PAGE = 1 << 31
"""Bytes of a page at most: the format has 32 bits for it."""
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


def check(
    data: bytes | mmap.mmap,
    most: int,
    *,
    most_values: int = MOST_VALUES,
    most_pages: int = MOST_PAGES,
    largest_footer: int = LARGEST_FOOTER,
) -> None:
    """Raise ValueError where a count or a size in the headers of a Parquet file cannot be, or where there is
    more of them than any honest file has; `most`: rows, and values of a column, at most."""
    if len(data) < 12 or data[-4:] != MAGIC or data[:4] != MAGIC:
        raise ValueError("no Parquet file: it does not begin and end as one")
    length = int.from_bytes(data[-8:-4], "little")
    start = len(data) - 8 - length
    if start < 4:
        raise ValueError("a footer that is longer than the file")
    if length > largest_footer:
        raise ValueError(f"a footer of {length:,} bytes, of {largest_footer:,} at most")
    try:
        reader = _Compact(data, start, len(data) - 8, most_values, most_pages)
        footer = reader.struct()
        _count(footer.get(3), "rows", most)
        total = 0
        for group in _listed(footer.get(4)):
            _count(group.get(3), "rows of a group", most)
            for chunk in _listed(group.get(1)):
                about = _struct(chunk.get(3))
                total += _count(about.get(7), "bytes of a column", start)
                if total > start:
                    # Columns that share bytes would have the same pages walked, and unpacked, without end.
                    raise ValueError(f"columns of more bytes than the {len(data):,} of the file")
                _check_chunk(reader, start, about, most)
    except (IndexError, RecursionError) as error:
        raise ValueError("headers that end too early, or nest too deeply") from error


def _check_chunk(reader: _Compact, end: int, about: dict[int, Any], most: int) -> None:
    """The pages of a column of a group of rows."""
    _count(about.get(5), "values of a column", most)
    size = _count(about.get(7), "bytes of a column", end)
    at = _count(about.get(9), "the place of a page", end)
    if about.get(11):
        at = min(at, _count(about.get(11), "the place of a dictionary", end))
    stop = at + size
    if stop > end:
        raise ValueError("a column that reaches beyond the file")
    while at < stop:
        reader.page(at, stop)
        header = reader.struct()
        packed = _count(header.get(3), "bytes of a page", stop - reader.at)
        _count(header.get(2), "bytes of a page, unpacked", LARGEST_PAGE)
        for field in (5, 7, 8):  # a page of values, a dictionary, a page of values of the second version
            inside = _struct(header.get(field, {}))
            for number in (1, 2, 3, 5, 6) if field == 8 else (1,):
                if number in inside:
                    _count(inside[number], "values of a page", most)
        at = reader.at + packed


def _count(value: Any, what: str, most: int) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{what}: {value!r:.40}, not 0 to {most:,}")
    return value


def _struct(value: Any) -> dict[int, Any]:
    if not isinstance(value, dict):
        raise ValueError("a header that is none")
    return value


def _listed(value: Any) -> list[dict[int, Any]]:
    if not isinstance(value, list):
        raise ValueError("a list in a header that is none")
    return [_struct(each) for each in value]


class _Compact:
    """Reads Thrift's compact protocol from `at` on; IndexError beyond `end`, ValueError beyond so many values
    of all that it reads, and beyond so many pages."""

    def __init__(self, data: bytes | mmap.mmap, at: int, end: int, most_values: int, most_pages: int) -> None:
        self.data, self.at, self.end, self.depth = data, at, end, 0
        self.values, self.most_values = 0, most_values
        self.pages, self.most_pages = 0, most_pages

    def page(self, at: int, end: int) -> None:
        """Go to a page, of a column that ends at `end`."""
        self.pages += 1
        if self.pages > self.most_pages:
            raise ValueError(f"more than {self.most_pages:,} pages")
        self.at, self.end = at, end

    def byte(self) -> int:
        if self.at >= self.end:
            raise IndexError
        self.at += 1
        return self.data[self.at - 1]

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            part = self.byte()
            value |= (part & 127) << shift
            if part < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits in a header")

    def signed(self) -> int:
        value = self.unsigned()
        return (value >> 1) ^ -(value & 1)

    def skip(self, n: int) -> None:
        if n > self.end - self.at:
            raise IndexError
        self.at += n

    def count(self, n: int) -> None:
        self.values += n
        if self.values > self.most_values:
            raise ValueError(f"more than {self.most_values:,} values in headers")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise RecursionError

    def struct(self) -> dict[int, Any]:
        """The fields of a struct by their numbers."""
        self.deeper()
        found: dict[int, Any] = {}
        number = 0
        while (head := self.byte()) != 0:
            step, kind = head >> 4, head & 15
            number = number + step if step else self.signed()
            self.count(1)
            found[number] = kind == _TRUE if kind in {_TRUE, _FALSE} else self.value(kind)
        self.depth -= 1
        return found

    def value(self, kind: int) -> Any:
        """A value of some kind; None of one that nobody looks at."""
        if kind in {_I16, _I32, _I64}:
            return self.signed()
        if kind in {_TRUE, _FALSE, _BYTE}:  # of a list: a byte each
            return self.byte()
        if kind == _DOUBLE:
            return self.skip(8)
        if kind == _BINARY:
            return self.skip(self.unsigned())
        if kind in {_LIST, _SET}:
            head = self.byte()
            n = head >> 4 if head >> 4 < 15 else self.unsigned()
            if n > self.end - self.at:
                raise IndexError
            self.count(n)
            self.deeper()
            found = [self.value(head & 15) for _ in range(n)]
            self.depth -= 1
            return found
        if kind == _STRUCT:
            return self.struct()
        raise ValueError(f"a value of no kind that there is ({kind}) in a header")
