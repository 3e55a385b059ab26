"""Digests in blocks: of a dataset's files, taken while these are written, checked when they are read; and of
the content of recordings, of which workers may read parts.

A block is `BLOCK` bytes of a file, its header included; the last one of a file is shorter. A reader checks a
block when something first reads of it and remembers that it did, so an epoch pays for every block once, and
afterwards only for a look into a table of flags. BLAKE3 is cryptographic, because evidence, and what is made
of it, may be hostile, and four times as fast as SHA-256 (4.5 and 1.2 GB/s on one core of ours).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from vestige import checked
from vestige.errors import DatasetError

BLOCK = 1 << 20
REMEDY = "prepare the dataset again (vestige prepare)"
HEX = re.compile(r"[0-9a-f]{64}")
MOST_BYTES = 1 << 50
"""Bytes of a file at most."""


@dataclass(frozen=True)
class FileDigest:
    """How many bytes a file has, and the BLAKE3 digest (hex) of each block of them."""

    n_bytes: int
    blocks: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> Self:
        """Of a file that is there already: it is read once."""
        hasher = BlockHasher()
        with path.open("rb") as file:
            while data := file.read(BLOCK):
                hasher.update(data)
        return cls(hasher.n_bytes, hasher.blocks)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"bytes": self.n_bytes, "blake3": list(self.blocks)}

    @classmethod
    def from_dict(cls, plain: Any, name: str) -> Self:
        """What `to_dict` gave, of the file `name`. Raises ValueError or KeyError where it did not."""
        fields = checked.mapping(plain, name)
        n_bytes = checked.whole(fields["bytes"], f"{name}: bytes", 0, MOST_BYTES)
        blocks = checked.texts(fields["blake3"], f"{name}: blake3")
        if len(blocks) != -(-n_bytes // BLOCK):
            raise ValueError(f"{name}: {len(blocks)} digests for {n_bytes} bytes")
        for block in blocks:
            if not HEX.fullmatch(block):
                raise ValueError(f"{name}: {checked.shown(block)} is no BLAKE3 digest")
        return cls(n_bytes, tuple(blocks))


class BlockHasher:
    """Digests of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self.n_bytes = 0
        self._done: list[str] = []
        self._current = blake3()

    def update(self, data: bytes | memoryview) -> None:
        """Take in the next bytes."""
        view = memoryview(data)
        start = 0
        while start < len(view):
            room = BLOCK - self.n_bytes % BLOCK
            piece = view[start : start + room]
            self._current.update(piece)
            self.n_bytes += len(piece)
            start += len(piece)
            if self.n_bytes % BLOCK == 0:
                self._done.append(self._current.hexdigest())
                self._current = blake3()

    @property
    def blocks(self) -> tuple[str, ...]:
        """The digest of every block so far, the last of which may be shorter."""
        last = [self._current.hexdigest()] if self.n_bytes % BLOCK else []
        return (*self._done, *last)

    def hexdigest(self) -> str:
        """One digest (hex) of all bytes so far, see `content_digest`."""
        return content_digest(self.blocks)


def content_digest(blocks: Iterable[str]) -> str:
    """The digest (hex) of content whose blocks have these: the same, whoever read which of them."""
    return blake3(bytes.fromhex("".join(blocks))).hexdigest()


def rewritten(file: BinaryIO, digest: FileDigest) -> FileDigest:
    """The digest of a file whose first block has been written anew since it was taken."""
    file.seek(0)
    first = blake3(file.read(BLOCK)).hexdigest()
    return FileDigest(digest.n_bytes, (first, *digest.blocks[1:]))


class CheckedFile:
    """A file of a dataset with its digest, and which of its blocks have been checked."""

    def __init__(self, path: Path, digest: FileDigest) -> None:
        self.path = path
        self._digest = digest
        self.checked: NDArray[np.bool_] = np.zeros(len(digest.blocks), dtype=np.bool_)
        """Which blocks hold what was written, `(blocks,)`."""
        self.whole = not digest.blocks
        """Whether all of them do."""

    def check(self, wanted: NDArray[np.bool_] | None = None) -> None:
        """Check those of the blocks `wanted (blocks,)` that have not been checked; all of them for None.

        Raises DatasetError, which names the file and the block, where one does not hold what was written.
        """
        if self.whole:
            return
        missing = ~self.checked
        if wanted is not None:
            missing &= wanted
        numbers = np.flatnonzero(missing)
        if len(numbers):
            self._read(numbers)
        self.whole = bool(self.checked.all())

    def check_size(self) -> None:
        """Raise DatasetError where the file is missing or has another size."""
        size = self.path.stat().st_size if self.path.is_file() else None
        if size != self._digest.n_bytes:
            found = "nothing" if size is None else f"{size} bytes"
            what = f"expected {self._digest.n_bytes} bytes, found {found}"
            raise DatasetError(what, where=self.path, remedy=REMEDY)

    def check_first(self) -> None:
        """Check the first block: what is said of the file is said there."""
        wanted = np.zeros_like(self.checked)
        wanted[:1] = True
        self.check(wanted)

    def check_steps(self, position: NDArray[np.int64], step: int, width: int, offset: int) -> None:
        """Check the blocks in which `width` bytes from each of the steps `position (B,)` on lie.

        A step has `step` bytes, and the first lies at `offset` in the file. Positions outside the file are
        passed over: whoever copies from there refuses them. Raises DatasetError as `check` does.
        """
        if self.whole or not width:
            return
        from vestige.reading import copying  # Numba takes its time

        wanted = np.zeros_like(self.checked)
        position = np.ascontiguousarray(position, dtype=np.int64).reshape(-1)
        if copying.mark_blocks(position, step, width, offset, BLOCK, self.checked, wanted):
            self.check(wanted)

    def _read(self, numbers: NDArray[np.intp]) -> None:
        # Read, not looked at through the map: pages of the map would count as this process's memory.
        buffer = bytearray(BLOCK)
        view = memoryview(buffer)
        try:
            with self.path.open("rb", buffering=0) as file:
                at = -1
                for number in numbers.tolist():
                    if number != at:
                        file.seek(number * BLOCK)
                    n = _fill(file, view)
                    at = number + 1
                    if blake3(view[:n]).hexdigest() != self._digest.blocks[number]:
                        raise self._damaged(number)
                    self.checked[number] = True
        except OSError as error:
            raise DatasetError(f"cannot be read ({error})", where=self.path, remedy=REMEDY) from error

    def _damaged(self, number: int) -> DatasetError:
        first, last = number * BLOCK, min((number + 1) * BLOCK, self._digest.n_bytes) - 1
        return DatasetError(
            f"was damaged or edited: block {number} (bytes {first}..{last}) does not match its digest",
            where=self.path,
            remedy=REMEDY,
        )


def _fill(file: Any, view: memoryview) -> int:
    """Read until `view` is full or the file ends; how many bytes came."""
    n = 0
    while n < len(view) and (more := file.readinto(view[n:])):
        n += more
    return n


class Streams(Mapping[str, NDArray[Any]]):
    """Arrays by name, `(n_steps, *shape)`, each checked against the digests of its file before it is read.

    Asking for an array by name checks all of it, once. `at` and `under` check only what they read of it.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], files: Mapping[str, CheckedFile] | None = None
    ) -> None:
        self._arrays = dict(arrays)
        self._files = dict(files or {})

    def __getitem__(self, name: str) -> NDArray[Any]:
        array = self._arrays[name]
        if name in self._files:
            self._files[name].check()
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def arrays(self) -> list[NDArray[Any]]:
        """The arrays, unchecked: not to be read from."""
        return list(self._arrays.values())

    def at(self, name: str, steps: NDArray[np.int64]) -> NDArray[Any]:
        """The values of the steps `steps (B,)`, `(B, *shape)`."""
        return self.under(name, steps, 1)[steps]

    def under(self, name: str, position: NDArray[np.int64], length: int) -> NDArray[Any]:
        """The whole array, checked where `length` steps from each of `position` (of any shape) on lie."""
        array = self._arrays[name]
        file = self._files.get(name)
        if file is not None and not file.whole:
            step = array.itemsize * math.prod(array.shape[1:])
            file.check_steps(position, step, step * length, getattr(array, "offset", 0))
        return array
