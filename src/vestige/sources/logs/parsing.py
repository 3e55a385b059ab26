"""Which of the two readers parses a block: the plain one, or the kernel where there is much to read."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from vestige.sources.logs.blocks import Block
from vestige.sources.logs.parse import Messages, Parser, Rules

if TYPE_CHECKING:
    from vestige.sources.logs.kernel.reader import KernelParser

KERNEL_BYTES = 12 << 20
"""Bytes of a file from which on the kernel saves more time than it takes to load it."""


class BlockParser:
    """Blocks of one file to messages, by rules given as JSON. `expected`: how many bytes it may have."""

    def __init__(self, settings: str, expected: int | None = None) -> None:
        self._plain = plain_parser(settings)
        self._settings = settings
        self._bytes, self._expected = 0, expected or 0

    def parse(self, block: Block) -> Messages:
        """The messages of a block, see `Parser.parse`: whichever reads it, they are the same."""
        self._bytes += len(block.data)
        if max(self._bytes, self._expected) >= KERNEL_BYTES:
            kernel = _kernel_parser(self._settings)
            if kernel is not None:
                return kernel.parse(block)
        return self._plain.parse(block)


@lru_cache(maxsize=64)
def plain_parser(settings: str) -> Parser:
    """The plain reader by these rules."""
    return Parser(Rules.from_settings(json.loads(settings)))


@lru_cache(maxsize=8)
def _kernel_parser(settings: str) -> KernelParser | None:
    """The kernel by these rules; None where it cannot run them."""
    from vestige.sources.logs.kernel.program import UnsupportedError
    from vestige.sources.logs.kernel.reader import KernelParser  # Numba takes its time

    try:
        return KernelParser(Rules.from_settings(json.loads(settings)))
    except UnsupportedError:
        return None
