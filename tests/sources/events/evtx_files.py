"""Windows event logs of our own, written as the format says: chunks, templates of binary XML, checksums.

After the layout that libevtx documents ("Windows XML Event Log (EVTX) format").
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

CHUNK, HEADER = 1 << 16, 4096
STRING, UINT16, UINT32, UINT64, FILETIME, BINARY_XML = 0x01, 0x06, 0x08, 0x0A, 0x11, 0x21
EPOCH = 116_444_736_000_000_000
"""1970 in the 100 ns that Windows counts from 1601."""
SYSMON, SECURITY = "Microsoft-Windows-Sysmon", "Microsoft-Windows-Security-Auditing"

Value = tuple[int, bytes]
"""Its type, and its bytes."""


@dataclass(frozen=True)
class Event:
    """What a record is made of. `t_100ns`: since 1970."""

    t_100ns: int
    event_id: int = 1
    computer: str = "ws1.corp"
    provider: str = SYSMON
    channel: str = "Microsoft-Windows-Sysmon/Operational"
    data: tuple[tuple[str, str], ...] = (("Image", "C:\\Windows\\cmd.exe"),)


@dataclass
class Chunk:
    """A chunk as it is written."""

    first: int
    body: bytearray = field(default_factory=bytearray)
    names: dict[str, int] = field(default_factory=dict)
    templates: dict[tuple[str, ...], int] = field(default_factory=dict)
    last: int = 0
    """Where the last record begins."""
    n: int = 0

    @property
    def at(self) -> int:
        return 512 + len(self.body)

    def begin(self, t_100ns: int) -> int:
        self.last = self.at
        self.body += struct.pack("<4sIQQ", b"**\0\0", 0, self.first + self.n, t_100ns + EPOCH)
        return self.last

    def end(self) -> None:
        size = self.at - self.last + 4
        self.body += struct.pack("<I", size)
        struct.pack_into("<I", self.body, self.last - 512 + 4, size)
        self.n += 1

    def name(self, text: str) -> None:
        """A reference to a name, with the name itself where it comes for the first time."""
        known = self.names.get(text)
        if known is not None:
            self.body += struct.pack("<I", known)
            return
        self.names[text] = self.at + 4
        self.body += struct.pack("<IIHH", self.at + 4, 0, _hash(text), len(text))
        self.body += text.encode("utf-16-le") + b"\0\0"

    def value(self, text: str) -> None:
        self.body += struct.pack("<BBH", 0x05, STRING, len(text)) + text.encode("utf-16-le")

    def substitution(self, number: int, kind: int) -> None:
        self.body += struct.pack("<BHB", 0x0E, number, kind)

    def element(
        self,
        name: str,
        content: Callable[[], None] | None,
        attributes: Sequence[tuple[str, Callable[[], None]]] = (),
    ) -> None:
        self.body += struct.pack("<BH", 0x41 if attributes else 0x01, 0xFFFF)
        size_at = len(self.body)
        self.body += bytes(4)
        self.name(name)
        if attributes:
            list_at = len(self.body)
            self.body += bytes(4)
            for number, (key, write) in enumerate(attributes, 1):
                self.body.append(0x06 if number == len(attributes) else 0x46)
                self.name(key)
                write()
            struct.pack_into("<I", self.body, list_at, len(self.body) - list_at - 4)
        if content is None:
            self.body.append(0x03)
        else:
            self.body.append(0x02)
            content()
            self.body.append(0x04)
        struct.pack_into("<I", self.body, size_at, len(self.body) - size_at - 4)

    def template(self, key: tuple[str, ...], write: Callable[[], None], values: Sequence[Value]) -> None:
        """An instance of a template, with its definition where it comes for the first time."""
        self.body += b"\x0f\x01\x01\x00"
        known = self.templates.get(key)
        number = zlib.crc32("\0".join(key).encode())
        self.body += struct.pack("<BBI", 0x0C, 1, number)
        if known is not None:
            self.body += struct.pack("<I", known)
        else:
            self.templates[key] = self.at + 4
            self.body += struct.pack("<II", self.at + 4, 0) + struct.pack("<I12x", number)
            size_at = len(self.body)
            self.body += bytes(4) + b"\x0f\x01\x01\x00"
            write()
            self.body.append(0)
            struct.pack_into("<I", self.body, size_at, len(self.body) - size_at - 4)
        self.body += struct.pack("<I", len(values))
        for kind, content in values:
            self.body += struct.pack("<HBB", len(content), kind, 0)
        self.body += b"".join(content for _, content in values)

    def add(self, event: Event) -> None:
        self.begin(event.t_100ns)
        fields = [name for name, _ in event.data]

        def system() -> None:
            self.element("Provider", None, [("Name", lambda: self.substitution(0, STRING))])
            self.element("EventID", lambda: self.substitution(1, UINT16))
            self.element("TimeCreated", None, [("SystemTime", lambda: self.substitution(2, FILETIME))])
            self.element("EventRecordID", lambda: self.substitution(3, UINT64))
            self.element("Channel", lambda: self.substitution(4, STRING))
            self.element("Computer", lambda: self.substitution(5, STRING))

        def data() -> None:
            for number, name in enumerate(fields, 6):
                self.element(
                    "Data", partial(self.substitution, number, STRING), [("Name", partial(self.value, name))]
                )

        def whole() -> None:
            self.element("System", system)
            self.element("EventData", data)

        values = [
            (STRING, _utf16(event.provider)),
            (UINT16, struct.pack("<H", event.event_id)),
            (FILETIME, struct.pack("<Q", event.t_100ns + EPOCH)),
            (UINT64, struct.pack("<Q", self.first + self.n)),
            (STRING, _utf16(event.channel)),
            (STRING, _utf16(event.computer)),
            *((STRING, _utf16(text)) for _, text in event.data),
        ]
        self.template(("event", *fields), lambda: self.element("Event", whole), values)
        self.end()

    def written(self) -> bytes:
        free = self.at
        head = bytearray(512)
        last = self.first + self.n - 1
        struct.pack_into("<8s4Q", head, 0, b"ElfChnk\0", self.first, last, self.first, last)
        struct.pack_into("<IIII", head, 40, 128, self.last, free, zlib.crc32(self.body))
        struct.pack_into("<I", head, 124, zlib.crc32(head[128:], zlib.crc32(head[:120])))
        return bytes(head + self.body).ljust(CHUNK, b"\0")


def log(*chunks: bytes, dirty: bool = False, counted: int | None = None) -> bytes:
    """A file of chunks. `counted`: how many its header names, if not these."""
    n = len(chunks) if counted is None else counted
    head = bytearray(HEADER)
    struct.pack_into("<8s3QIHHHH", head, 0, b"ElfFile\0", 0, max(0, n - 1), 1, 128, 1, 3, HEADER, n)
    struct.pack_into("<I", head, 120, int(dirty))
    struct.pack_into("<I", head, 124, zlib.crc32(head[:120]))
    return bytes(head) + b"".join(chunks)


def chunk(events: Sequence[Event], first: int = 1) -> bytes:
    """A chunk of events, numbered from `first` on."""
    made = Chunk(first)
    for event in events:
        made.add(event)
    return made.written()


def evtx(events: Sequence[Event], a_chunk: int = 8) -> bytes:
    """A file of events, so many in a chunk."""
    return log(*(chunk(events[at : at + a_chunk], at + 1) for at in range(0, len(events), a_chunk)))


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le")


def _hash(text: str) -> int:
    value = 0
    for character in text:
        value = value * 65599 + ord(character)
    return value & 0xFFFF
