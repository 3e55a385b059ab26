"""One unit that is followed, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vestige.reading.steps import StepBlock, StepStream
from vestige.service.identity import Identity


@dataclass
class Followed:
    """A unit that is being read. `identity` is None of what is no file."""

    unit: Any
    stream: StepStream
    identity: Identity | None = None
    told: int = 0
    opened: float = 0.0
    """When it was opened, on the clock that never goes back, as are the next two."""
    heard: float = 0.0
    """When something of it came last: bytes, also those of a message that is held back, or a block."""
    looked: float = 0.0
    """When it was looked at last."""
    begun: bool = False
    """Whether anything of it was handed on."""
    gone: bool = False
    """Whether it lies nowhere any more: it was deleted, or its file system is away. Nobody knows whether that
    is its end."""
    released: bool = False
    """Whether what it holds back was handed on since something of it came."""
    taken: int = -1
    """The bytes that had been read of it when it was looked at last."""
    size: int | None = None
    """How long it was when it was told to end; None while it goes on."""
    last: Any = None
    """Of what is to end, where it stands before its end: only from there it can be taken up where it grew."""

    def stop(self, size: int) -> None:
        """It gets no more than it has, which is `size` bytes."""
        self.size = size
        self.stream.stop()

    def read(self, most: int) -> StepBlock | None:
        """Its next block, of `most` steps at the most."""
        before = None if self.size is None else self.stream.position
        block = self.stream.read(most)
        if before is not None and (block is not None or self.last is None):
            self.last = before | {"taken": before["taken"] + (0 if block is None else len(block))}
        return block

    def state(self) -> dict[str, Any]:
        """Where it stands, as JSON values."""
        identity = None if self.identity is None else vars(self.identity)
        return {
            "id": self.unit.id,
            "identity": identity,
            "position": self.stream.position,
            "begun": self.begun,
            "taken": self.stream.taken,
        }
