"""From a file of evidence to blocks of whole messages, once its beginning shows which format it has."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.evidence.files import STDIN, EvidenceFile
from vestige.sources.feed import EvidenceFeed
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.clock import BAD
from vestige.sources.logs.labels import FORMS
from vestige.sources.logs.parse import Parser, Rules
from vestige.sources.logs.reader import BLOCK_BYTES, Block, BlockReader


class Feed(EvidenceFeed):
    """One file being read. `open` looks at its beginning; `blocks` reads it all.

    Once open it has its `rules`, `kind` (its type of log) and `profile`; when it is read, `digest`,
    `n_bytes`, `over_long` and `defects` say what it came to.
    """

    rules: Rules
    settings: str
    """The rules as JSON: what a worker process is sent."""
    year: int | None
    """The year of the first line, where times name none."""

    def __init__(self, file: EvidenceFile, ruleset: RuleSet, *, size: int = BLOCK_BYTES) -> None:
        super().__init__(file)
        self.eager = ruleset.live and file.path == STDIN
        self._ruleset, self._size = ruleset, 1 if self.eager else size
        self.first_ns = 0
        self.host = file.host or file.stem

    @property
    def digest(self) -> str:
        """SHA-256 of the decompressed content read so far."""
        return self._reader.digest

    @property
    def n_bytes(self) -> int:
        """Decompressed bytes read so far."""
        return self._reader.n_bytes

    @property
    def over_long(self) -> int:
        """Lines and messages so far whose rest was left out."""
        return self._reader.over_long

    def _begin(self, sample: bytes) -> None:
        self.rules, lines = self._ruleset.choose(sample, self.file)
        chosen = self.rules.format
        self.settings = json.dumps(self.rules.settings())
        self.kind = self._ruleset.kind(self.file, chosen)
        self.profile = self._ruleset.profile(self.file, chosen)
        self._reader = BlockReader(self.rules.is_start, size=self._size, max_line=self.rules.max_line)
        matches = [match for match in map(self.rules.header.match, lines) if match]
        parser = Parser(self.rules)
        times = (parser.time(match.string) for match in matches)
        self.first_ns = next((one for one in times if one != BAD), 0)
        self.year = self._ruleset.year(self.rules, self.first_ns)
        if self.file.host is None and chosen.host:
            named = (match[chosen.host] for match in matches)
            self.host = next((one for one in named if one and one != "-"), self.host)

    def labels(self, line: NDArray[np.int64]) -> NDArray[np.uint8]:  # noqa: ARG002 - see `TableFeed`
        """Labels of messages that begin at these lines, where the file holds them beside its lines. Raises
        EvidenceError: a plain log does not."""
        raise EvidenceError(
            "no table with a column `label`", where=self.file.where, remedy=f"--label takes {FORMS}"
        )

    def blocks(self) -> Iterator[Block]:
        """The file's blocks; its handle is closed at the end."""
        with self._stack:
            yield from self._reader.blocks(self._pieces)
