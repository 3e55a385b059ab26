"""What a worker brings home is what its stream gave, in memory or through files, whatever varies in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reading.toy import STREAMS, ToyReader
from vestige.reading.parts import PIECE_STEPS, Part, read_part
from vestige.reading.steps import (
    NO_TIME,
    ChunkStream,
    RecordingInfo,
    StepBlock,
    is_repeated,
    repeated,
)
from vestige.reading.symbol_encoder import INPUTS
from vestige.reading.symbols import RowMap, TextSymbols
from vestige.schema import Schema

SCHEMA = Schema("toy", 1, ("normal", "anomaly"), 6, 1, STREAMS, INPUTS)
SYMBOLS = TextSymbols(["code 1", "code 2"])


class Given(ChunkStream):
    """A stream of blocks that are there already."""

    taken = 0
    digests: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, blocks: list[StepBlock]) -> None:
        super().__init__()
        self._blocks = list(blocks)

    def _begin(self) -> dict[str, Any]:
        return {}

    def _next(self) -> StepBlock | None:
        block = self._blocks.pop(0)
        self._ended = not self._blocks
        return block


def block(n: int, start: int) -> StepBlock:
    """Steps of one recording that have neither a time nor a label."""
    code = np.arange(start, start + n, dtype=np.uint32) % 2 + 1
    offset = np.arange(start, start + n, dtype=np.int64)
    return StepBlock(
        (RecordingInfo("a"),), repeated(np.uint32(0), n), {"code": code, "offset": offset},
        repeated(np.int64(NO_TIME), n), None, SYMBOLS, "a", {"offset": offset}, np.array([False]),
    )  # fmt: skip


def brought(blocks: list[StepBlock], folder: Path, spill_bytes: int) -> tuple[Part, list[StepBlock]]:
    """What comes home of these blocks."""
    part = read_part(ToyReader(SCHEMA), Given(blocks), folder, most=1 << 20, spill_bytes=spill_bytes)
    files = 0 if part.folder is None else len(list(part.folder.iterdir()))
    assert files == (0 if part.folder is None else len(part.dtypes) - len(part.same))
    return part, list(part.blocks(SCHEMA))


def columns(blocks: list[StepBlock]) -> dict[str, list[Any]]:
    """Every column of the steps of blocks, one after the other."""
    found: dict[str, list[Any]] = {name: [] for name in ("code", "offset", "t_ns", "label", "recording")}
    for each in blocks:
        found["code"] += each.symbols.texts(each.values["code"])
        found["offset"] += each.values["offset"].tolist()
        found["t_ns"] += each.t_ns.tolist()
        found["label"] += [0] * len(each) if each.label is None else each.label.tolist()
        found["recording"] += [each.recordings[at].id for at in each.recording.tolist()]
    return found


def varying() -> list[StepBlock]:
    """The third block has times, the fourth two labels, the fifth is also of another recording."""
    blocks = [replace(block(50, 50 * number), label=repeated(np.uint8(1), 50)) for number in range(6)]
    blocks[2] = replace(blocks[2], t_ns=np.arange(50, dtype=np.int64))
    blocks[3] = replace(blocks[3], label=np.arange(50, dtype=np.uint8) % 2)
    both = (RecordingInfo("a"), RecordingInfo("b"))
    of = np.arange(50, dtype=np.uint32) % 2
    blocks[4] = replace(blocks[4], recordings=both, recording=of, ended=np.array([False, False]))
    return blocks


@pytest.mark.parametrize("spill_bytes", [0, 2_000, 1 << 20])
@pytest.mark.parametrize("plain", [True, False])
def test_a_part_is_what_its_stream_gave(tmp_path: Path, spill_bytes: int, plain: bool) -> None:
    blocks = [block(50, 50 * number) for number in range(6)] if plain else varying()
    part, home = brought(blocks, tmp_path / "part", spill_bytes)
    assert part.n == 300
    assert columns(home) == columns(blocks)
    assert (part.folder is None) == (spill_bytes == 1 << 20)
    assert list(tmp_path.iterdir()) == []


def test_a_column_that_is_one_number_has_no_file(tmp_path: Path) -> None:
    part, home = brought([block(50, 0), block(50, 50)], tmp_path / "part", 0)
    assert sorted(part.same) == ["\0label", "\0recording", "\0t_ns"]
    assert is_repeated(home[0].t_ns)
    part, home = brought(varying(), tmp_path / "part", 0)
    assert part.same == {}
    assert not is_repeated(home[0].t_ns)


def test_rows_of_a_table_that_begins_alike_are_taken_as_they_are() -> None:
    rows = RowMap(TextSymbols())
    column = np.array([2, 1, 0], dtype=np.uint32)
    assert rows.over(SYMBOLS, column) is column
    other = TextSymbols(["code 2", "code 3"])
    assert rows.over(other, column).tolist() == [3, 2, 0]
    assert rows.table.texts(np.array([3, 2, 0])) == ["code 3", "code 2", ""]
    assert rows.over(SYMBOLS, column).tolist() == [2, 1, 0]


def test_a_long_part_comes_home_in_pieces_and_ends_with_the_last(tmp_path: Path) -> None:
    n = PIECE_STEPS // 2 + 7
    blocks = [block(n, n * number) for number in range(3)]
    blocks[-1] = replace(blocks[-1], ended=np.array([True]))
    _, home = brought(blocks, tmp_path / "part", 0)
    assert [len(each) for each in home] == [PIECE_STEPS, 3 * n - PIECE_STEPS]
    assert columns(home) == columns(blocks)
    assert [each.ended.tolist() for each in home] == [[False], [True]]
