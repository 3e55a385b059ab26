"""Corpora on their way to blocks of messages."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator

from vestige.errors import EvidenceError
from vestige.evidence.files import EvidenceFile, Skipped, total_size
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.corpora import Corpus
from vestige.sources.logs.feed import Feed
from vestige.sources.logs.reader import Block
from vestige.sources.logs.table import TableError, feeds

log = logging.getLogger(__name__)

Work = tuple[str, Block]
"""A block, and the rules (JSON) by which its file is read."""


class Reading:
    """What is read, what was skipped, how far it has come."""

    def __init__(self, parts: list[Corpus]) -> None:
        self.parts = parts
        self.skipped = [one for part in parts for one in part.skipped]
        self.sources: deque[tuple[Feed, int]] = deque()
        self.refused: EvidenceError | None = None
        self.total = total_size(file for part in parts for file in part.files)
        self._done = 0

    def blocks(self) -> Iterator[Work]:
        """Every block of every file; `sources` says, in the same order, which file each came from."""
        for part in self.parts:
            for file in part.files:
                yield from self._file(file, part.rules)

    def _file(self, file: EvidenceFile, rules: RuleSet) -> Iterator[Work]:
        feed: Feed | None = None
        for feed in feeds(file, rules):
            try:
                feed.open()
            except EvidenceError as error:
                if not feed.file.in_directory or isinstance(error, TableError):
                    raise
                self._leave_out(feed.file, error)
                continue
            for block in feed.blocks():
                self.sources.append((feed, self._done + feed.taken))
                yield feed.settings, block
        self._done += feed.taken if feed else 0

    def _leave_out(self, file: EvidenceFile, error: EvidenceError) -> None:
        self.refused = self.refused or error
        self.skipped.append(Skipped(file.id, error.what))
        log.warning("%s was left out: %s", file.id, error.what)
