"""A file that somebody writes to while it is read ends where it ended when it was found."""

from __future__ import annotations

import gzip
from contextlib import closing
from pathlib import Path

import pytest

from vestige.evidence.expand import PIECE
from vestige.evidence.files import EvidenceFile, find
from vestige.evidence.stream import ByteStream, Mode

LINE = b"one line of a log\n"


def written(path: Path, content: bytes) -> EvidenceFile:
    path.write_bytes(content)
    ((file,), _) = find(path)
    return file


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


@pytest.mark.parametrize("mode", ["whole", "live"])
def test_a_writer_as_fast_as_the_reader_does_not_hold_it_for_ever(mode: Mode, tmp_path: Path) -> None:
    path = tmp_path / "busy.log"
    file = written(path, LINE * (3 * PIECE // len(LINE)))
    pieces = []
    with closing(ByteStream(file, mode)) as stream:
        while (piece := stream.read()) is not None:
            pieces.append(piece)
            append(path, piece)
            assert len(pieces) < 10, "it reads what was appended while it read"
        assert stream.ended
    assert sum(map(len, pieces)) == file.size
    (told,) = stream.defects
    assert "it grew while it was read" in told.why


def test_of_a_packed_file_too(tmp_path: Path) -> None:
    path = tmp_path / "busy.log.gz"
    file = written(path, gzip.compress(LINE * 100))
    append(path, gzip.compress(LINE * 5))
    with closing(ByteStream(file)) as stream:
        content = b"".join(iter(stream.read, None))
        assert stream.ended
    assert content == LINE * 100
    assert ["it grew" in defect.why for defect in stream.defects] == [True]


def test_a_file_that_does_not_grow_has_nothing_to_be_told(tmp_path: Path) -> None:
    file = written(tmp_path / "quiet.log", LINE * 100)
    with closing(ByteStream(file)) as stream:
        assert b"".join(iter(stream.read, None)) == LINE * 100
    assert not stream.defects


def test_a_file_that_gives_more_than_its_size_says_is_read(tmp_path: Path) -> None:
    """As those of /proc, which have no size."""
    (tmp_path / "a").write_bytes(LINE)
    with closing(ByteStream(EvidenceFile(tmp_path / "a", "a", 0))) as stream:
        assert b"".join(iter(stream.read, None)) == LINE


def test_who_follows_reads_what_comes_until_it_is_told_to_stop(tmp_path: Path) -> None:
    path = tmp_path / "followed.log"
    file = written(path, LINE)
    with closing(ByteStream(file, "follow")) as stream:
        assert stream.read() == LINE
        append(path, LINE * 2)
        assert stream.read() == LINE * 2
        append(path, LINE)
        stream.stop()
        append(path, LINE * 7)
        assert (stream.read(), stream.read()) == (LINE, None)
        assert stream.ended
        stream.stop()  # once more, when it is over
    assert not stream.defects, "whoever goes on later reads the rest"


def test_a_file_that_is_cut_short_ends_there_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut.log"
    file = written(path, LINE * (3 * PIECE // len(LINE)))
    with closing(ByteStream(file)) as stream:
        first = stream.read()
        path.write_bytes(b"")
        assert first
        assert stream.read() is None
        assert stream.ended
    (told,) = stream.defects
    assert told.why == f"it was cut short while it was read: {(file.size or 0) - len(first)} bytes are gone"
