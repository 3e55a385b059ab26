"""Which of the two readers parses a block: the plain one, or the kernel where there is much to read.

To load the kernel takes as long as the plain reader takes for some thousand lines: worth it for a large file,
and for whoever follows one, as that goes on for days. Where its machine code is not kept yet, building it
takes many seconds. Who reads what is all there waits for it; who follows what grows does not: the plain
reader goes on until it is there.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from vestige.log import get
from vestige.native import NativeError, NotBuiltError, waiting
from vestige.sources.logs.blocks import SHORT_BYTES, Block
from vestige.sources.logs.parse import Messages, Parser, Rules
from vestige.sources.logs.raw import RawMessages

if TYPE_CHECKING:
    from vestige.sources.logs.kernel.reader import KernelParser

WORTH_S = 0.75
"""Seconds of the plain reader from which on the kernel saves more time than it takes to load it."""
SURE_BYTES = 1 << 25
"""Bytes that take the plain reader longer than that, unless their lines are too long to be read whole."""
SMALLEST = 1 << 15
"""Bytes of a block by which the plain reader's pace can be told."""
MOST_ODD = 0.25
"""The share of odd lines from which on the kernel would leave the block to the plain reader."""

_ODD = re.compile(rb"[\x00\x1b\xc0-\xc2\xe0-\xe2\xed-\xef\xf4-\xff]|(?<![\x80-\xff])[\x80-\xbf]")
"""Bytes of characters that it does not read, or of none of UTF-8."""
MOST_RULES = 16
"""Rules whose readers are kept."""

log = get(__name__)


class BlockParser:
    """Blocks of one file to messages, by rules given as JSON. `expected`: how many bytes it may have.

    Whichever reader is taken, the messages are the same: it is only a question of time. `worth_s`: how long
    the plain reader must take for the kernel to be loaded. `waits`: whether blocks wait while the kernel is
    built. `readers`: those of these settings, by default such as other files of this process have, too.
    """

    def __init__(
        self,
        settings: str,
        expected: int | None = None,
        *,
        worth_s: float = WORTH_S,
        waits: bool = True,
        readers: Readers | None = None,
    ) -> None:
        self._readers, self._worth_s = readers or _readers(settings), worth_s
        self._left, self._waits = expected or 0, waits

    def parse(self, block: Block) -> Messages:
        """The messages of a block, see `Parser.parse`."""
        readers = self._readers
        size = len(block.data) + sum(gap[1] for gap in block.gaps)
        if not readers.asked and self._is_worth_it(readers, block, size):
            readers.ask_for_kernel()
        self._left -= size
        if readers.kernel is not None:
            try:
                with waiting(self._waits):
                    return readers.kernel.parse(block)
            except NotBuiltError:
                pass  # it is tried again with the next block
            except NativeError as error:
                log.warning("logs are read the slow way: %s", error)
                readers.kernel = None
        begun = time.thread_time()
        messages = readers.plain.parse(block)
        readers.seconds += time.thread_time() - begun
        readers.n_bytes += size
        return messages

    def _is_worth_it(self, readers: Readers, block: Block, size: int) -> bool:
        """Whether the kernel saves more time than it takes to load it, as far as the plain reader's tells."""
        if len(block.data) < SMALLEST:
            # Blocks of what is followed are too small to tell a pace by; the kernel takes no shorter ones.
            worth_it = len(block.data) >= SHORT_BYTES and readers.seconds >= self._worth_s
        else:
            left = max(self._left, size)
            sure = left >= SURE_BYTES and not block.gaps
            worth_it = sure or readers.expected_s(left) >= self._worth_s
        return worth_it and _share_odd(block.data) <= MOST_ODD

    def raw(self, block: Block, messages: Messages) -> RawMessages:
        """Tells the texts of these messages of the block as they stand there."""
        return RawMessages(self._readers.unmasked, block, messages.offset)


@dataclass
class Readers:
    """The readers by some rules, and how long the plain one has taken for how many bytes, of all files.

    `asked`: whether the kernel has been asked for; it is None, too, where it cannot run the rules.
    """

    rules: Rules
    plain: Parser
    kernel: KernelParser | None = None
    asked: bool = False
    seconds: float = 0.0
    n_bytes: int = 0

    @cached_property
    def unmasked(self) -> Parser:
        """The plain reader, which replaces nothing."""
        return Parser(self.rules, raw=True)

    def expected_s(self, more: int) -> float:
        """How long the plain reader will have taken after so many more bytes; 0 where nobody knows."""
        if self.n_bytes < SMALLEST:
            return 0.0
        return self.seconds / self.n_bytes * (self.n_bytes + more)

    def ask_for_kernel(self) -> None:
        """Load it, if it can run the rules."""
        from vestige.sources.logs.kernel.program import UnsupportedError
        from vestige.sources.logs.kernel.reader import KernelParser  # many a file needs none of it

        self.asked = True
        with contextlib.suppress(UnsupportedError):
            self.kernel = KernelParser(self.rules)


def _share_odd(data: bytes) -> float:
    """The share of lines that hold what the kernel certainly leaves to the plain reader."""
    if data.isascii():
        return 0.0
    lines = data.split(b"\n")
    return sum(_ODD.search(line) is not None for line in lines) / len(lines)


def has_kernel(settings: str) -> bool:
    """Whether the kernel can run these rules."""
    readers = _readers(settings)
    if not readers.asked:
        readers.ask_for_kernel()
    return readers.kernel is not None


@lru_cache(maxsize=MOST_RULES)
def _readers(settings: str) -> Readers:
    rules = Rules.from_settings(json.loads(settings))
    return Readers(rules, Parser(rules))
