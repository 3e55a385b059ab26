"""Evidence that several watches share: each follows the recordings whose names fall to it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from vestige.errors import UsageError
from vestige.evidence.files import STDIN
from vestige.evidence.rotation import family
from vestige.reading.steps import Reader

MOST = 1_024


@dataclass(frozen=True)
class Shard:
    """The `number`th of `of` parts, the first being 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`2/4`. Raises UsageError for anything else."""
        found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]) <= MOST:
            raise UsageError(
                f"--shard: {text!r} is no part", remedy=f"I/N, from 1/N to N/N, N at most {MOST}: 1/4"
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def takes(self, unit: Any) -> bool:
        """Whether a unit is of this part: by what it is called, so that every machine finds the same. The
        files of a log that was rotated are together."""
        digest = hashlib.sha256(family(unit.id).encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1


def require_same(shard: Shard | None, before: dict[str, Any] | None, state: Path | None) -> None:
    """Raise UsageError for the state of another part: what only that follows would be taken for lost."""
    if before is None:
        return
    # A state that was saved before there were shards has none.
    found = before.get("shard")
    if found != (None if shard is None else str(shard)):
        then = f"add --shard {found}" if found else "leave out --shard"
        raise UsageError(
            f"is the state of {'shard ' + str(found) if found else 'a watch of everything'}",
            where=state,
            remedy=f"{then}, or take another --state",
        )


def require_apart(reader: Reader[Any], paths: tuple[Path, ...]) -> None:
    """Raise UsageError for evidence that cannot be parted by its files."""
    if STDIN in paths:
        raise UsageError("standard input is one stream: no part of it is a shard", remedy="name files")
    if reader.interleaved:
        raise UsageError(
            "the events of one machine may lie in any of these files: --shard would part them",
            remedy="leave out --shard, or have a watch for the files of each group of machines",
        )
