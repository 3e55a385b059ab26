"""By what a file is known again, whatever it is called."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from vestige.errors import EvidenceError
from vestige.evidence.files import EvidenceFile
from vestige.evidence.stream import ByteStream

HEAD_BYTES = 1_024
"""By so many bytes of its beginning a file is known again."""


@dataclass(frozen=True)
class Identity:
    """What a file is: device and inode, and the digest of its first decoded bytes, `head_bytes` of them."""

    device: int
    inode: int
    head: str
    head_bytes: int

    @classmethod
    def from_plain(cls, plain: dict[str, Any] | None) -> Self | None:
        """What `vars` of one gave; None of what has none."""
        return None if plain is None else cls(**plain)

    @classmethod
    def of(cls, file: EvidenceFile, most: int = HEAD_BYTES) -> Self:
        """Of a file as it is now. Raises OSError or EvidenceError where it cannot be read."""
        found = file.path.stat()
        head = _head(file, most)
        return cls(found.st_dev, found.st_ino, hashlib.sha256(head).hexdigest(), len(head))

    @property
    def place(self) -> tuple[int, int]:
        """Its device and inode."""
        return self.device, self.inode

    def is_inode_of(self, found: os.stat_result) -> bool:
        """Whether this is the file that the system describes."""
        return self.place == (found.st_dev, found.st_ino)

    def is_of(self, file: EvidenceFile) -> bool:
        """Whether a file that is there now is this one, by its inode."""
        with suppress(OSError):
            return self.is_inode_of(file.path.stat())
        return False

    def begins_like(self, file: EvidenceFile) -> bool:
        """Whether a file begins with the bytes that this one begins with."""
        if not self.head_bytes:
            return False
        with suppress(OSError, EvidenceError):
            head = _head(file, self.head_bytes)
            return len(head) == self.head_bytes and hashlib.sha256(head).hexdigest() == self.head
        return False

    def is_alike(self, found: Identity) -> bool:
        """Whether a file that is `found`, another one, begins so much like this one that it may be its copy,
        packed or not."""
        # Nothing is read here: each of many files is compared with each other one.
        return self.head_bytes >= HEAD_BYTES and (self.head, self.head_bytes) == (
            found.head,
            found.head_bytes,
        )

    def is_copied(self, mine: EvidenceFile, copy: EvidenceFile) -> bool | None:
        """Whether all that `copy` holds stands in this one, too, which lies at `mine`, or lay there: None
        where that cannot be seen, as it lies there no more, was cut short, or cannot be read."""
        if not self.is_of(mine):
            return None
        try:
            copied = _is_within(copy, mine)
        except (OSError, EvidenceError):
            return None
        # Looked at only now, and once: a file that was cut short meanwhile is no other one.
        return copied if self.begins_like(mine) else None


def _is_within(file: EvidenceFile, other: EvidenceFile) -> bool:
    """Whether a file is, to its end, what another one begins with; both unpacked."""
    with ExitStack() as stack:
        ours, theirs = (
            stack.enter_context(closing(ByteStream(replace(each, size=None, upto=None))))
            for each in (file, other)
        )
        left, more = b"", _pieces(theirs)
        for piece in _pieces(ours):
            while len(left) < len(piece):
                if not (added := next(more, b"")):
                    return False
                left += added
            if not left.startswith(piece):
                return False
            left = left[len(piece) :]
    return True


def _pieces(content: ByteStream) -> Iterator[bytes]:
    while not content.ended:
        if piece := content.read():
            yield piece


def _head(file: EvidenceFile, most: int) -> bytes:
    # As it is now: what it held when it was listed may be less than what it is known by.
    with closing(ByteStream(replace(file, size=None))) as content:
        sample, _ = content.sample()
    return sample[:most]
