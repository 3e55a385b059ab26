"""From a file of evidence to blocks of whole messages, once its beginning shows that it fits the format."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from vestige.errors import EvidenceError
from vestige.sources.corpus import EvidenceFile
from vestige.sources.feed import SAMPLE_LINES, EvidenceFeed
from vestige.sources.logs.clock import BAD
from vestige.sources.logs.format import every
from vestige.sources.logs.parse import Parser, Rules
from vestige.sources.logs.reader import BLOCK_BYTES, Block, BlockReader

FIT = 0.5
"""A file whose first lines fit the header less often than this is of another format."""

WIDE = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


class Feed(EvidenceFeed):
    """One file being read. `open` looks at its beginning; `blocks` reads it all.

    Afterwards `digest`, `n_bytes`, `over_long` and `defects` say what it came to.
    """

    def __init__(self, file: EvidenceFile, rules: Rules, *, size: int = BLOCK_BYTES) -> None:
        super().__init__(file)
        self.rules = rules
        self.first_ns = 0
        self.host = file.host or file.stem
        self._reader = BlockReader(rules.is_start, size=size, max_line=rules.max_line)

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
        lines = check(sample, self.rules, self.file.where)
        matches = [match for match in map(self.rules.header.match, lines) if match]
        times = (Parser(self.rules).time(match.string) for match in matches)
        self.first_ns = next((one for one in times if one != BAD), 0)
        if self.file.host is None and self.rules.format.host and matches:
            self.host = matches[0][self.rules.format.host]

    def blocks(self) -> Iterator[Block]:
        """The file's blocks; its handle is closed at the end."""
        with self._stack:
            yield from self._reader.blocks(self._pieces)


def check(sample: bytes, rules: Rules, where: str) -> list[str]:
    """The first lines of a file that fits `rules`.

    Raises EvidenceError when it is UTF-16 or no text, or when too few lines fit the header: then the
    message names the first that does not, and the formats that would.
    """
    if not sample:
        raise EvidenceError("the file is empty", where=where)
    for mark, name in WIDE.items():
        if sample.startswith(mark):
            raise EvidenceError(
                f"the text is {name}", where=where, remedy=f"convert it: iconv -f {name} -t UTF-8 FILE"
            )
    if sample.count(b"\0", 0, 4096) > min(len(sample), 4096) // 4 and not sample.lstrip(b"\0")[:1]:
        raise EvidenceError("nothing but NUL bytes", where=where)
    if sample.count(b"\r") > 2 and b"\n" not in sample:
        raise EvidenceError(
            "lines end in carriage returns alone", where=where, remedy="convert it: tr '\\r' '\\n' < FILE"
        )
    lines = rules.text(sample.removeprefix(codecs.BOM_UTF8)).split("\n")[:SAMPLE_LINES]
    judged = [(row, line) for row, line in enumerate(lines, 1) if line.strip() and line[0] not in " \t"]
    misfits = [(row, line) for row, line in judged if rules.header.match(line) is None]
    if judged and len(misfits) <= (1 - FIT) * len(judged):
        return lines
    if not judged:
        raise EvidenceError("no line of text at its beginning", where=where)
    row, line = misfits[0]
    fitting = _fitting([text for _, text in judged])
    raise EvidenceError(
        f"{len(misfits)} of the first {len(judged)} lines do not fit the header "
        f"{rules.format.header!r}; the first of them: {line.strip()[:120]!r}",
        where=where,
        row=row,
        remedy=f"formats that would fit: {', '.join(fitting)}"
        if fitting
        else "none of the shipped formats fits either: describe your own (docs/logs.md)",
    )


def _fitting(lines: list[str]) -> list[str]:
    """The shipped formats that these lines fit, best first."""
    shares = {
        name: sum(header.match(line) is not None for line in lines) / len(lines)
        for name, header in ((name, one.compiled()) for name, one in every())
    }
    return [name for name in sorted(shares, key=lambda one: -shares[one]) if shares[name] >= FIT]
