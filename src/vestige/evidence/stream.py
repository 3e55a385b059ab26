"""A file of evidence as a stream of decoded bytes, that may wait, grow, and be taken up again in its
middle."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import UnsupportedOperation
from typing import BinaryIO, Literal, Protocol, cast

from vestige.errors import EvidenceError
from vestige.evidence.defects import REST, Defect
from vestige.evidence.expand import Expander
from vestige.evidence.files import STDIN, EvidenceFile

Mode = Literal["whole", "live", "follow"]
"""How evidence is read. `whole`: a stream waits for whatever is still to come. `live`: it hands on what there
is, and says "nothing now" where a pipe has no more yet. `follow`: the ends of files are no ends either."""

SAMPLE_LINES, SAMPLE_BYTES = 200, 1 << 20
LONGEST_S = 3600.0
"""Of one wait: the system takes no endless one."""
POLL_S = 0.1
"""How often a file that may grow is looked at while it is waited for."""


@contextmanager
def closing_on_error(stream: SupportsClose) -> Iterator[None]:
    """Close the stream where the block ends with an error: nobody else will."""
    with ExitStack() as stack:
        stack.callback(stream.close)
        yield
        stack.pop_all()


class SupportsClose(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Let go of what it holds."""


class Sampled:
    """Decoded bytes in pieces, whose beginning can be looked at before they are read.

    An empty piece means that there is nothing now.
    """

    def __init__(self, file: EvidenceFile, pieces: Iterator[bytes]) -> None:
        self.file = file
        self._done = False
        self._pieces = pieces
        self._held: list[bytes] = []
        self._sample = bytearray()

    @property
    def ended(self) -> bool:
        """Whether there will never be another piece."""
        return self._done and not self._held

    def read(self) -> bytes | None:
        """The next piece; None where there is nothing now, or nothing more: then `ended`.

        Raises EvidenceError for a decompression bomb and for an unknown packing.
        """
        if self._held:
            return self._held.pop(0)
        if self._done:
            return None
        piece = next(self._pieces, None)
        if piece is None:
            self._done = True
            self.close()
            return None
        return piece or None

    def sample(self) -> tuple[bytes, bool]:
        """The first bytes, about `SAMPLE_LINES` lines; and whether that is all that is needed of them, or all
        there is. They are read again afterwards."""
        while not self._sampled_enough():
            held, self._held = self._held, []
            piece = self.read()
            self._held = held
            if piece is None:
                return bytes(self._sample), self._done
            self._held.append(piece)
            self._sample += piece[: SAMPLE_BYTES - len(self._sample)]
        return bytes(self._sample), True

    def skip(self, n: int | None) -> None:
        """Read over `n` bytes, or over everything."""
        while not self.ended and (n is None or n):
            piece = self.read() or b""
            if n is not None and len(piece) > n:
                self._held.insert(0, piece[n:])
            n = None if n is None else max(0, n - len(piece))

    def wait(self, seconds: float) -> bool:  # noqa: ARG002 - what is there already does not wait
        """Wait until something may have come, `seconds` at the most; False where nothing has."""
        return True

    def stop(self) -> None:
        """The end of the content is the end."""

    def close(self) -> None:
        """Let go of the file."""

    def _sampled_enough(self) -> bool:
        return self._sample.count(b"\n") > SAMPLE_LINES or len(self._sample) >= SAMPLE_BYTES


class ByteStream(Sampled):
    """The decoded content of a file, in pieces, from the decoded byte `offset` on.

    `mode` is that of the evidence: `whole` waits for whatever a pipe still brings; `live` says that there is
    nothing now; `follow` says so at the end of a file, too, until `stop`. Raises EvidenceError where the file
    cannot be opened.
    """

    def __init__(self, file: EvidenceFile, mode: Mode = "whole", *, offset: int = 0) -> None:
        self._stack = ExitStack()
        handle = file.open()
        if file.path != STDIN:
            self._stack.enter_context(handle)
        self._pipe = _is_pipe(handle)
        source = _Source(handle, waits=mode == "whole" or not self._pipe, grows=mode == "follow")
        if mode != "follow" and not self._pipe:
            # Somebody may write to it as fast as it is read: what it held when it was found is all there is.
            source.until = file.size or None
        elif not self._pipe:
            source.until = file.upto
        self._source = source
        self._expander = Expander(cast("BinaryIO", source), file.where)
        super().__init__(file, self._from(offset, handle))

    @property
    def taken(self) -> int:
        """Bytes of the file itself read so far."""
        return self._expander.taken

    @property
    def defects(self) -> list[Defect]:
        """What was wrong with the file's packing, and whether it was changed while it was read."""
        whys = list(self._expander.defects)
        if self._source.grew:
            whys.append("it grew while it was read: what came later was not read")
        if self._source.missing:
            whys.append(f"it was cut short while it was read: {self._source.missing} bytes are gone")
        return [Defect(self.file.id, None, REST, why) for why in whys]

    def sample(self) -> tuple[bytes, bool]:
        """See `Sampled.sample`. Raises EvidenceError where not a byte can be unpacked: that is no empty
        file."""
        found, enough = super().sample()
        if enough and not found and self.defects:
            raise EvidenceError(self.defects[0].why, where=self.file.where)
        return found, enough

    def wait(self, seconds: float) -> bool:
        """Wait until something may have come, `seconds` at the most; False where nothing has."""
        if self._held or self.ended:
            return True
        seconds = min(seconds, LONGEST_S)
        if self._pipe:
            return self._source.ready(seconds)
        until = time.monotonic() + seconds
        while not self._source.grown():
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(POLL_S, left))
        return True

    def stop(self) -> None:
        """The end of the file, as long as it is now, is the end."""
        self._source.grows = False
        self._source.waits = True
        if not self._pipe and not self._done:
            self._source.end_here()

    def close(self) -> None:
        """Let go of the file."""
        self._stack.close()

    def _from(self, offset: int, handle: BinaryIO) -> Iterator[bytes]:
        """The content from `offset` on. A plain file is entered there, a packed one unpacked up to there; of
        a pipe that was read before, only what is new comes."""
        left = 0 if self._pipe else offset
        if left and self._expander.seek(left, handle):
            if self._source.shrank():
                self._expander.defects.append(f"it is shorter than the {left} bytes that were read before")
            left = 0
        for piece in self._expander.pieces():
            if piece and left:
                rest = piece[left:]
                left -= len(piece) - len(rest)
                if rest:
                    yield rest
            else:
                yield piece


class _Source:
    """A file whose `read1` gives None where there is nothing now. `until`: the byte at which it ends, however
    long it becomes (where it `grows`: behind which there is nothing for now); `grew`: whether it had more by
    then; `missing`: how many bytes before it were gone."""

    def __init__(self, handle: BinaryIO, *, waits: bool, grows: bool) -> None:
        self._handle, self.waits, self.grows = handle, waits, grows
        self.until: int | None = None
        self.grew = self._stopped = False
        self.missing = 0
        # What a buffered reader holds back is not seen by `select`: the file below it is read directly.
        self._read = getattr(handle, "read1", None) or handle.read
        if not waits:
            self._read = getattr(getattr(handle, "raw", handle), "read", self._read)

    def read1(self, most: int) -> bytes | None:
        if not self.waits and not self.ready(0):
            return None
        if self.until is not None:
            most = min(most, max(0, self.until - self._handle.tell()))
            if not most and not self.grows:
                self.grew = self.grew or (not self._stopped and bool(self._read(1)))
                return b""
        piece: bytes | None = self._read(most)
        if piece == b"" and self.until is not None and not self.grows:
            self.missing = self.until - self._handle.tell()
        if not piece and self.grows:
            if self.shrank():
                # What is written to it now overwrites what was read: whoever follows must open it anew.
                raise OSError(errno.ESTALE, "it was cut short while it was followed")
            return None
        return piece or b""

    def ready(self, seconds: float) -> bool:
        # Unlike select, which takes no descriptor above 1,023: a watch may hold more files than that.
        handles = select.poll()
        handles.register(self._handle, select.POLLIN)
        return bool(handles.poll(1000 * max(0.0, seconds)))

    def end_here(self) -> None:
        """Read no further than the file reaches now."""
        self.until, self._stopped = max(self._size(), self._handle.tell()), True

    def grown(self) -> bool:
        """Whether the file has other bytes than were read: more of them, or, cut short, fewer."""
        return self._size() != self._handle.tell()

    def shrank(self) -> bool:
        """Whether the file is shorter than what was read of it."""
        return self._size() < self._handle.tell()

    def _size(self) -> int:
        return os.fstat(self._handle.fileno()).st_size


def _is_pipe(handle: BinaryIO) -> bool:
    """Whether it is something that one waits for: no regular file, and no buffer in memory."""
    try:
        return not stat.S_ISREG(os.fstat(handle.fileno()).st_mode)
    except (AttributeError, UnsupportedOperation, OSError):
        return False
