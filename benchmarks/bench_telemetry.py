"""Telemetry: statistics of windows against the usual libraries, and all of extraction against reading alone.

    .venv/bin/python benchmarks/bench_telemetry.py            # 7 pairs of each

One ten-minute episode: a grid of 600 seconds and 46 channels, 119 windows of ten seconds every five. The
libraries are given the aligned grid as their own frame, made beforehand. pandas and polars give the same six
statistics (the slope as covariance with time by the variance of time); tsfresh its minimal set of ten, which
has no slope. They are no dependencies of this program: what is not installed is skipped (pandas, tsfresh).
Every figure is a ratio of times measured in turns in one run; median, lowest and highest of the pairs. The
ratio of processor time says more where the machine has other work to do.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from pairs import FOLDER, Asked, Pair, here, served, why_missing
from peers_windows import LENGTH, STRIDE, by_pandas, by_polars, by_tsfresh
from vestige.engine import HERE
from vestige.simulators.telemetry.options import SimulateOptions
from vestige.simulators.telemetry.write import simulate
from vestige.sources.telemetry.episode import Episode
from vestige.sources.telemetry.extract import episodes, extract
from vestige.sources.telemetry.fields import COLLECTORS
from vestige.sources.telemetry.summaries import summary

LOOPS = {"ours": 50, "pandas": 1, "polars": 3, "tsfresh": 1}
Grid = np.ndarray


def seconds(work: Callable[[], object], loops: int) -> tuple[float, float]:
    """Mean time of a call: of the wall, and of the processors."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(loops):
        work()
    return (time.perf_counter() - wall) / loops, (time.process_time() - processor) / loops


def ratio(
    ours: Callable[[], object], theirs: Callable[[], object], pairs: int, loops: tuple[int, int]
) -> str:
    """In turns: how many times as long the second takes, on both clocks, and both medians in milliseconds."""
    ours(), theirs()
    times = [(seconds(ours, loops[0]), seconds(theirs, loops[1])) for _ in range(pairs)]
    shown = ""
    for clock in (0, 1):
        found = sorted(b[clock] / a[clock] for a, b in times)
        shown += f"{statistics.median(found):9.2f}x  ({found[0]:.2f} to {found[-1]:.2f})".ljust(32)
    a, b = (statistics.median(wall for wall, _ in side) * 1e3 for side in zip(*times, strict=True))
    return f"{shown}{a:9.3f} ms {b:9.3f} ms"


def our_windows(grid: Grid) -> np.ndarray:
    """As a dataset is read: a gather of the windows' steps, then their statistics."""
    starts = np.arange(0, len(grid) - LENGTH + 1, STRIDE)
    return summary(np.take(grid, starts[:, None] + np.arange(LENGTH), axis=0))


def agree(grid: Grid) -> None:
    """The means of the libraries are ours: the same windows are compared."""
    means = our_windows(grid)[:, 0::6]
    theirs = by_polars(grid)()
    assert isinstance(theirs, pl.DataFrame)
    theirs = theirs.filter(pl.col("t") <= len(grid) - LENGTH).select(pl.selectors.ends_with(":mean"))
    assert np.allclose(means, theirs.fill_null(float("nan")).to_numpy(), rtol=1e-4, equal_nan=True)


def decode(folder: Path) -> None:
    """Reading and decoding alone, as plainly as it goes: no digest, no check."""
    for collector in COLLECTORS:
        pl.read_parquet(io.BytesIO((folder / f"{collector}.parquet").read_bytes()))
    pl.read_ndjson(folder / "labels.jsonl")


def decode_at_once(folder: Path) -> None:
    """The same with the tables in one query, as extraction has them: the fastest way that we know."""
    files = [(folder / f"{collector}.parquet").read_bytes() for collector in COLLECTORS]
    pl.collect_all(pl.scan_parquet(data) for data in files)
    pl.read_ndjson(folder / "labels.jsonl")


def decode_safely(store: Path, folder: str) -> None:
    """With what no reader of hostile files may leave out: digests, dtypes, row counts."""
    with Episode(store, folder) as episode:
        episode.tables(dict.fromkeys(COLLECTORS))
        episode.labels()


def whole(store: Path, folder: str) -> None:
    """Read, align, label, and every window's statistics."""
    one = extract(store, folder, ("clean", "armed", "infecting", "infected_running", "dormant"))
    our_windows(one.grid)


PEER = f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
import numpy as np
import peers_windows
work = getattr(peers_windows, "by_" + sys.argv[1])(np.load(sys.argv[2]))
"""


def rows(asked: Asked) -> Iterator[Pair]:
    """Statistics of windows beside the libraries', and extraction beside decoding alone."""
    with tempfile.TemporaryDirectory() as place:
        store, seconds_each = Path(place) / "store", asked.size(600, 60)
        options = SimulateOptions(hosts=3, episodes=3, seconds=seconds_each, plant=("none=0",))
        simulate(store, options, engine=HERE)
        folder = next(one for one in episodes(store).paths if _sealed(store / one))
        grid = extract(store, folder).grid[:seconds_each]
        np.save(Path(place) / "grid.npy", grid)
        copied = sliding_window_view(grid, LENGTH, axis=0)[::STRIDE].copy
        for name in ("polars", "pandas", "tsfresh"):
            what = f"statistics of {len(our_windows(grid))} windows of {grid.shape[1]} channels: {name}"
            if missing := why_missing(name):
                yield Pair(what, "summaries", name, missing=missing)
                continue
            with served(PEER, name, Path(place) / "grid.npy", loops=LOOPS[name]) as theirs:
                yield Pair(
                    what,
                    "summaries",
                    name,
                    here(lambda: our_windows(grid), LOOPS["ours"]),
                    theirs,
                    "the windows' values copied",
                    here(copied, 200),
                    burner=name == "polars",
                    note="tsfresh: its minimal set, which has no slope" if name == "tsfresh" else "",
                )
        yield Pair(
            f"all of extraction, an episode of {seconds_each} s",
            "extract and windows",
            "decoding alone (Polars)",
            here(lambda: whole(store, folder), 10),
            here(lambda: decode(store / folder), 10),
            "decoding at once",
            here(lambda: decode_at_once(store / folder), 10),
        )


def main(pairs: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as place:
        store = Path(place) / "store"
        simulate(store, SimulateOptions(hosts=3, episodes=3, seconds=600, plant=("none=0",)), engine=HERE)
        folder = next(one for one in episodes(store).paths if _sealed(store / one))
        grid = extract(store, folder).grid[:600]
        agree(grid)
        print(f"grid {grid.shape}, {len(our_windows(grid))} windows, {pairs} pairs\n")
        print(f"{'':35}{'ratio':>10}  (lowest to highest)  of processor time (lowest to highest)  a call")
        for name, made in (("pandas", by_pandas), ("polars", by_polars), ("tsfresh", by_tsfresh)):
            if find_spec(name) is None:
                print(f"windows: {name:26} skipped: not installed")
                continue
            loops = LOOPS["ours"], LOOPS[name]
            print(f"windows: {name:26}{ratio(lambda: our_windows(grid), made(grid), pairs, loops)}")
        views = sliding_window_view(grid, LENGTH, axis=0)[::STRIDE].copy
        print(f"{'grid to tensors, copied':35}{seconds(views, 200)[0] * 1e3:.3f} ms")
        for name, other in (
            ("plain decoding", lambda: decode(store / folder)),
            ("decoding at once", lambda: decode_at_once(store / folder)),
            ("checked decoding", lambda: decode_safely(store, folder)),
        ):
            found = ratio(other, lambda: whole(store, folder), pairs, (20, 20))
            print(f"all of extraction: {name:16}{found}")


def _sealed(folder: Path) -> bool:
    return (folder / "netflow.parquet").is_file()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
