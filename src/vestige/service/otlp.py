"""OTLP's requests to export logs, from protobuf into what their JSON is (opentelemetry-proto 1.x,
`collector/logs/v1/logs_service.proto`, `logs/v1/logs.proto`, `common/v1/common.proto`).

Fields that are not needed are passed over, unread.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vestige.sources.logs.received import TooManyError

DEPTH = 16
"""Messages within one another; a body may be nested as deep as its sender likes."""
MOST_FIELDS = 500_000
"""Fields of one request: two bytes may be a message, which takes some hundreds here."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_VARINT_BYTES = 10


@dataclass(frozen=True)
class Field:
    """A field of a message: what it is called in JSON, its type (`text`, `double`, `int`, `bool`, `bytes`, or
    the name of a message in `MESSAGES`), and whether there may be several."""

    name: str
    type: str
    repeated: bool = False


MESSAGES: dict[str, dict[int, Field]] = {
    "Request": {1: Field("resourceLogs", "ResourceLogs", repeated=True)},
    "ResourceLogs": {1: Field("resource", "Resource"), 2: Field("scopeLogs", "ScopeLogs", repeated=True)},
    "Resource": {1: Field("attributes", "KeyValue", repeated=True)},
    "ScopeLogs": {2: Field("logRecords", "LogRecord", repeated=True)},
    "LogRecord": {
        1: Field("timeUnixNano", "int"),
        2: Field("severityNumber", "int"),
        3: Field("severityText", "text"),
        5: Field("body", "AnyValue"),
        11: Field("observedTimeUnixNano", "int"),
    },
    "KeyValue": {1: Field("key", "text"), 2: Field("value", "AnyValue")},
    "AnyValue": {
        1: Field("stringValue", "text"),
        2: Field("boolValue", "bool"),
        3: Field("intValue", "int"),
        4: Field("doubleValue", "double"),
        5: Field("arrayValue", "ArrayValue"),
        6: Field("kvlistValue", "KeyValueList"),
        7: Field("bytesValue", "bytes"),
    },
    "ArrayValue": {1: Field("values", "AnyValue", repeated=True)},
    "KeyValueList": {1: Field("values", "KeyValue", repeated=True)},
}


def read(data: bytes, *, most_fields: int = MOST_FIELDS) -> dict[str, Any]:
    """The request. Raises ValueError for what is none, TooManyError for one of more than `most_fields`."""
    return _Decoder(most_fields).message(memoryview(data), "Request", 0)


class _Decoder:
    def __init__(self, most_fields: int) -> None:
        self._fields, self._most = 0, most_fields

    def message(self, data: memoryview, kind: str, depth: int) -> dict[str, Any]:
        if depth > DEPTH:
            raise ValueError(f"messages lie more than {DEPTH} deep in one another")
        found: dict[str, Any] = {}
        for number, value in self._values(data):
            field = MESSAGES[kind].get(number)
            if field is None:
                continue
            read = self._value(field.type, value, depth)
            if field.repeated:
                found.setdefault(field.name, []).append(read)
            else:
                found[field.name] = read
        return found

    def _value(self, kind: str, value: int | memoryview, depth: int) -> Any:
        if kind in {"int", "bool", "double"}:
            if not isinstance(value, int):
                raise ValueError("a text where a number is to be")
            if kind == "double":
                return str(struct.unpack("<d", struct.pack("<Q", value))[0])
            if kind == "bool":
                return bool(value)
            return value - (1 << 64) if value >= 1 << 63 else value
        if isinstance(value, int):
            raise ValueError("a number where a text is to be")
        if kind == "text":
            return bytes(value).decode("utf-8", errors="replace")
        if kind == "bytes":
            return b64encode(value).decode("ascii")
        return self.message(value, kind, depth + 1)

    def _values(self, data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """The numbers of fields, and what they hold: a number (64 bits), or bytes."""
        at = 0
        while at < len(data):
            self._fields += 1
            if self._fields > self._most:
                raise TooManyError(f"more than {self._most:,} fields")
            tag, at = _varint(data, at)
            number, wire = tag >> 3, tag & 7
            if wire == VARINT:
                value, at = _varint(data, at)
                yield number, value
                continue
            if wire == BYTES:
                size, at = _varint(data, at)
            elif wire in {FIXED64, FIXED32}:
                size = 8 if wire == FIXED64 else 4
            else:
                raise ValueError(f"no protobuf: wire type {wire}")
            if size > len(data) - at:
                raise ValueError("it ends within a field")
            content = data[at : at + size]
            at += size
            yield number, content if wire == BYTES else int.from_bytes(content, "little")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(_VARINT_BYTES):
        if at + shift >= len(data):
            raise ValueError("it ends within a number")
        byte = data[at + shift]
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value & ((1 << 64) - 1), at + shift + 1
    raise ValueError("a number of more than ten bytes")
