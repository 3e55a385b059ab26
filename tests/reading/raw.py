"""Raw evidence as windows, the way scoring reads it, for tests of every source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from vestige.errors import EvidenceError
from vestige.evidence.files import EvidenceFile
from vestige.reading.live import probe_windows, read_windows
from vestige.reading.parts import BLOCK_STEPS
from vestige.reading.steps import Evidence
from vestige.reading.windower import MOST_RECORDINGS, WindowBatch
from vestige.schema import Schema
from vestige.sources import registry


def live(
    paths: Iterable[Path],
    schema: Schema,
    *,
    most: int = BLOCK_STEPS,
    remembered: int = MOST_RECORDINGS,
) -> Iterator[WindowBatch]:
    """The windows of evidence, read in blocks of at most `most` steps, with so many recordings remembered."""
    reader = registry.get(schema.source).reader(schema)
    evidence = Evidence(tuple(paths), "live")
    return read_windows(reader, evidence, most=most, remembered=remembered)


def probe(schema: Schema) -> WindowBatch:
    """The probe of the schema's source."""
    return probe_windows(registry.get(schema.source).reader(schema))


def refuse_to_open(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the system refuse this file of a directory, as it does where it is another user's."""
    opened = EvidenceFile.open

    def refused(file: EvidenceFile) -> BinaryIO:
        if file.id == name:
            raise EvidenceError("cannot be read: Permission denied", where=file.where)
        return opened(file)

    monkeypatch.setattr(EvidenceFile, "open", refused)
