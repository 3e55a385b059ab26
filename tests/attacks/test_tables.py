"""Parquet that was damaged or made to do harm: a table, or an error in a line. No panic, no gigabytes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import polars as pl
import pytest

from tests.attacks.effort import EFFORT
from tests.attacks.opening import bytes_of
from vestige import parquet, parquet_headers
from vestige.errors import DatasetError, EvidenceError
from vestige.evaluation.predictions import Predictions
from vestige.sources.telemetry import index


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("table") / "a.parquet"
    n = range(300)
    lists = [[str(i)] * (i % 3) for i in n]
    pl.DataFrame({"n": n, "text": [f"t{i}" for i in n], "list": lists}).write_parquet(path)
    return path.read_bytes()


def test_whatever_is_wrong_with_a_table_is_told_in_a_line(
    table: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, rng = tmp_path / "a.parquet", random.Random(7)
    refused = 0
    for _ in range(400 * EFFORT):
        path.write_bytes(bytes_of(table, rng))
        try:
            parquet.read(path)
        except ValueError as error:
            refused += 1
            told = str(error)
            assert told
            assert "\n" not in told
    assert refused > 100 * EFFORT
    assert capfd.readouterr().err == ""  # Polars says on standard error where it panicked


def test_a_page_of_fewer_than_no_values_is_refused_before_polars_ends_the_interpreter() -> None:
    with pytest.raises(ValueError, match=r"values of a page: -274"):
        parquet.read(Path(__file__).with_name("negative_page.parquet"))


def number(value: int) -> bytes:
    """As Thrift's compact protocol writes one that is not negative."""
    value <<= 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


PAGE = b"\x25" + number(0) + b"\x15" + number(0) + b"\x2c\x15" + number(1) + b"\0\0"
"""Of one value, of no bytes."""


def parquet_of(*columns: tuple[int, int], pages: int = 1, more: bytes = b"") -> bytes:
    """A file of so many pages, with columns that begin at some byte and take some; `more` fields in its
    footer."""
    chunks = b"".join(
        b"\x3c\x56" + number(1) + b"\x26" + number(size) + b"\x26" + number(at) + b"\0\0"
        for at, size in columns
    )
    group = b"\x19" + bytes([len(columns) << 4 | 12]) + chunks + b"\x26" + number(1) + b"\0"
    footer = b"\x36" + number(1) + b"\x19\x1c" + group + more + b"\0"
    return b"PAR1" + PAGE * pages + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def test_columns_that_share_their_bytes_are_refused() -> None:
    size = len(PAGE) * 3
    parquet_headers.check(parquet_of((4, size), (4 + size, size), pages=6), 10)
    with pytest.raises(ValueError, match="columns of more bytes than the"):
        parquet_headers.check(parquet_of((4, size), (4, size), pages=3), 10)


def test_pages_are_counted_over_the_whole_file() -> None:
    size = len(PAGE) * 2
    data = parquet_of((4, size), (4 + size, size), pages=4)
    parquet_headers.check(data, 10, most_pages=4)
    with pytest.raises(ValueError, match="more than 3 pages"):
        parquet_headers.check(data, 10, most_pages=3)


@pytest.mark.parametrize("kind", [b"\x0c", b"\x05", b"\x01"])  # structs, numbers, truths
def test_headers_hold_so_many_values_at_most(kind: bytes) -> None:
    many = b"\x49" + bytes([0xF0 | kind[0], 100]) + bytes(100)  # a list of 100 of them
    data = parquet_of((4, len(PAGE)), more=many)
    parquet_headers.check(data, 10, most_values=130)
    with pytest.raises(ValueError, match="more than 100 values in headers"):
        parquet_headers.check(data, 10, most_values=100)
    with pytest.raises(ValueError, match=r"a footer of .* bytes, of 100 at most"):
        parquet_headers.check(data, 10, largest_footer=100)


def test_lists_in_lists_are_as_deep_as_structs_at_most() -> None:
    def nested(n: int) -> bytes:
        return parquet_of((4, len(PAGE)), more=b"\x49" + b"\x19" * (n - 1) + b"\x05")

    parquet_headers.check(nested(15), 10)
    with pytest.raises(ValueError, match="nest too deeply"):
        parquet_headers.check(nested(16), 10)


def test_few_bytes_are_not_a_million_rows(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    pl.DataFrame({"n": pl.zeros(3_000_000, pl.Int8, eager=True)}).write_parquet(path)
    with pytest.raises(ValueError, match=r"3,000,000 rows in .* decompression bomb"):
        parquet.read(path)


def test_few_bytes_are_no_gigabytes_of_text(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    pl.DataFrame({"text": pl.repeat("x" * 20_000, 4_000, eager=True)}).write_parquet(path)
    with pytest.raises(ValueError, match=r"bytes of text in .* decompression bomb"):
        parquet.read(path)


def test_no_pipe_is_waited_for_and_no_pattern_is_one(table: bytes, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "[ab].parquet").write_bytes(table)
    for name in ("pipe.parquet", "none.parquet", "."):
        with pytest.raises(ValueError, match="no such file"):
            parquet.read(tmp_path / name)
    assert parquet.read(tmp_path / "[ab].parquet").height == 300


@pytest.mark.parametrize("columns", [{}, {"proba_a": ["x"]}, {"proba_a": [0.5], "step": [1]}, {"n": [1]}])
def test_tables_of_other_columns_are_refused(columns: dict[str, list[object]], tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    common = {"recording": ["r"], "host": ["h"], "profile": ["p"], "label": ["b"], "t_ns": ["now"]}
    pl.DataFrame({**common, **columns}).write_parquet(path)
    with pytest.raises(DatasetError, match="no predictions that can be read"):
        Predictions.load(path)
    with pytest.raises(EvidenceError, match="index of another version"):
        index.read(path)
