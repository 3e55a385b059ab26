"""Parquet from a file that may have been damaged or made to do harm.

Polars panics over some damaged files, prints where, and raises an error that is no `Exception`; others end
the interpreter; and a few kilobytes can claim a billion rows. Here whatever is wrong is a ValueError, and
what unpacks to far more than any table of ours is refused before it is read. For files whose digest nobody
has checked, and those whose digest anybody could have written.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from vestige import parquet_headers

FEWEST_ROWS, ROWS_A_BYTE = 100_000, 8
"""So many rows, and so many more for each byte of the file: every table of ours has a column of values that
are all different, which take a byte a row and more."""
FEWEST_BYTES, BYTES_A_BYTE = 64 << 20, 64
"""The same of the bytes of its texts: no text compresses so well."""
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def read(path: Path) -> pl.DataFrame:
    """The table in a regular file. Raises ValueError, in a line, for anything else, and for a bomb."""
    if not path.is_file():
        raise ValueError("there is no such file")
    size = path.stat().st_size
    with _quiet():
        try:
            rows = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
            if rows > FEWEST_ROWS + ROWS_A_BYTE * size:
                raise ValueError(f"{rows:,} rows in {size:,} bytes: refused as a decompression bomb")
            check(path)
            frame = pl.read_parquet(path, glob=False)
        except UNREADABLE as error:
            raise ValueError(str(error).partition("\n")[0] or "damaged") from error
    texts = sum(
        int(frame[name].str.len_bytes().sum())
        for name, kind in frame.schema.items()
        if kind == pl.String
    )  # fmt: skip
    if texts > FEWEST_BYTES + BYTES_A_BYTE * size:
        raise ValueError(f"{texts:,} bytes of text in {size:,} bytes: refused as a decompression bomb")
    return frame


def check(path: Path, *, most: int | None = None) -> None:
    """Raise ValueError where the headers of a Parquet file claim what cannot be: Polars believes them, and
    one changed bit of them ends the interpreter. `most`: rows, and values of a column; by default as many as
    a table of ours may have."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise ValueError("the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            parquet_headers.check(data, most or FEWEST_ROWS + BYTES_A_BYTE * size)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on standard error: where a panic was, its error says."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # it was closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
