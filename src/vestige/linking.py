"""Object files laid out once, when they are built, so that later processes need no linker.

LLVM's own takes 30 ms and 40 MB to be imported, longer than many a kernel runs. What is left to do here is to
put an image at some place in memory, and to write that place into it where its code wants an address. The
formats are those of the System V ABI (ELF-64, and its supplement for x86-64).
"""

from __future__ import annotations

import ctypes
import mmap
from dataclasses import dataclass
from struct import iter_unpack, pack_into, unpack_from
from typing import NamedTuple

_X86_64 = 62
_SYMBOLS, _ADDENDS, _NOBITS, _NO_ADDENDS = 2, 4, 8, 9
_WRITABLE, _LOADED = 1, 2
_ABSOLUTE, _RELATIVE = 1, 24
"""Relocations of 64 bits: an address, and a distance."""
_WORD = "<q"


class Patch(NamedTuple):
    """Where in an image an address belongs: that of a function of the C library, or, without a name, that of
    the image, and `value` more."""

    at: int
    name: str
    value: int


@dataclass(frozen=True)
class Image:
    """The sections of an object file, one after the other; `entry`: where in it the function begins."""

    content: bytes
    entry: int
    patches: list[Patch]


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int


class _Symbol(NamedTuple):
    name: str
    section: int
    value: int


def laid_out(code: bytes, entry: str) -> Image | None:
    """The image of an object file whose function `entry` is called. None where this needs more than is known
    here: another processor, variables, other relocations."""
    if code[:6] != b"\x7fELF\2\1" or unpack_from("<H", code, 18) != (_X86_64,):
        return None
    (table,), (n,) = unpack_from("<Q", code, 40), unpack_from("<H", code, 60)
    sections = [_Section(*each) for each in iter_unpack("<IIQQQQIIQQ", code[table : table + 64 * n])]
    loaded = {at: each for at, each in enumerate(sections) if each.flags & _LOADED and each.size}
    if any(each.flags & _WRITABLE or each.kind == _NOBITS for each in loaded.values()):
        return None
    content, places = bytearray(), dict[int, int]()
    for at, each in loaded.items():
        content += bytes(-len(content) % max(each.align, 1))
        places[at] = len(content)
        content += code[each.offset : each.offset + each.size]
    (symbols,) = (_symbols(code, each, sections) for each in sections if each.kind == _SYMBOLS)
    patches = []
    for each in sections:
        if each.info not in places or each.kind not in {_ADDENDS, _NO_ADDENDS}:
            continue
        if each.kind == _NO_ADDENDS:
            return None
        for offset, info, addend in iter_unpack("<QQq", code[each.offset : each.offset + each.size]):
            symbol, kind = symbols[info >> 32], info & 0xFFFFFFFF
            at, inside = places[each.info] + offset, symbol.section in places
            value = places.get(symbol.section, 0) + symbol.value + addend
            if kind == _ABSOLUTE and (inside or symbol.name):
                patches.append(Patch(at, "" if inside else symbol.name, value))
            elif kind == _RELATIVE and inside:
                pack_into(_WORD, content, at, value - at)
            else:
                return None
    (begin,) = (places[each.section] + each.value for each in symbols if each.name == entry)
    return Image(bytes(content), begin, patches)


def _symbols(code: bytes, table: _Section, sections: list[_Section]) -> list[_Symbol]:
    names = sections[table.link].offset
    found = []
    entries = code[table.offset : table.offset + table.size]
    for name, _, _, section, value, _ in iter_unpack("<IBBHQQ", entries):
        start = names + name
        found.append(_Symbol(code[start : code.index(b"\0", start)].decode(), section, value))
    return found


_placed: list[mmap.mmap] = []
"""Images in memory, for as long as the process lives."""


def placed(image: Image, functions: dict[str, int]) -> int:
    """Put an image into memory; the address of its function. `functions`: addresses of those that it calls
    and the C library does not have. Raises OSError where no memory may hold code."""
    memory = mmap.mmap(-1, len(image.content), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    memory[:] = image.content
    libc = ctypes.CDLL(None, use_errno=True)
    for patch in image.patches:
        base = place
        if patch.name:
            base = functions.get(patch.name) or _address(libc, patch.name)
        pack_into("<Q", memory, patch.at, base + patch.value)
    # Never writable and executable at once: hardened systems allow no such memory.
    wanted = ctypes.c_int(mmap.PROT_READ | mmap.PROT_EXEC)
    if libc.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(len(image.content)), wanted):
        raise OSError(ctypes.get_errno(), "memory may not hold machine code here")
    _placed.append(memory)
    return place + image.entry


def _address(libc: ctypes.CDLL, name: str) -> int:
    found = 0
    if hasattr(libc, name):
        found = ctypes.cast(getattr(libc, name), ctypes.c_void_p).value or 0
    if not found:
        raise OSError(f"the C library has no {name}")
    return found
