"""A kind of file outside the package: `TOY1`, then frames of a length (u2), seconds (u4), machine, event.

`test_kinds` lays it beside the kinds that there are and gives it an entry.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from vestige.sources.events.records import Block, Cutter

MAGIC = b"TOY1"


def is_toy(sample: bytes) -> bool:
    return sample.startswith(MAGIC)


class ToyReader(Cutter):
    @property
    def state(self) -> dict[str, Any]:
        return {"offset": self._offset, "line": self._line}

    def state_at(self, block: Block) -> dict[str, Any]:
        return {"offset": block.offset, "line": block.line}

    def resume(self, state: dict[str, Any]) -> None:
        self._offset, self._line = state["offset"], state["line"]

    def take(self, *, now: bool = False) -> Iterator[Block]:  # noqa: ARG002 - a frame is whole, or no frame
        if not self._offset and len(self._buffer) >= len(MAGIC):
            self._drop(len(MAGIC))
        while self._offset and len(self._buffer) >= 2:
            size = 2 + int.from_bytes(self._buffer[:2], "little")
            if len(self._buffer) < size:
                break
            (seconds,) = struct.unpack("<I", self._buffer[2:6])
            machine, _, event = bytes(self._buffer[6:size]).decode().partition("\0")
            record = json.dumps({"timestamp": seconds, "machine": machine, "event": event})
            yield Block(record.encode() + b"\n", self._offset, self._line)
            self._drop(size)
            self._line += 1

    def finish(self) -> Iterator[Block]:
        yield from self.take()

    def _drop(self, n: int) -> None:
        del self._buffer[:n]
        self._offset += n
