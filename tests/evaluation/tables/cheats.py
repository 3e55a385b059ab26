"""Tables with a cheat planted in them, and their clean twins: equal but for the cheat.

Windows are like CoLog's: keys of log lines, the judged one in the middle or at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

LABEL = "label"


def stream(n: int = 3_000, seed: int = 0, keys: int = 40) -> np.ndarray:
    """Keys of a log, `(n,)`: a Markov chain over `keys` of them, as repetitive as logs are."""
    rng = np.random.default_rng(seed)
    follow = rng.integers(0, keys, size=(keys, 5))
    found = np.zeros(n, dtype=np.int64)
    for step in range(1, n):
        found[step] = (
            follow[found[step - 1], rng.integers(0, 5)] if rng.random() < 0.9 else rng.integers(0, keys)
        )
    found[rng.choice(n, min(n, keys), replace=False)] = np.arange(keys)[: min(n, keys)]
    return found


def windows(log: np.ndarray, *, before: int = 6, after: int = 0) -> pl.DataFrame:
    """A row a line: its window as text, its time and label (a function of its key, for some keys)."""
    lines = np.arange(before, len(log) - after)
    cells = [" ".join(f"k{key}" for key in log[line - before : line + after + 1]) for line in lines]
    rng = np.random.default_rng(9)
    label = np.where(log[lines] % 7 == 3, "anomaly", "normal")
    label = np.where(rng.random(len(lines)) < 0.01, "normal", label)
    return pl.DataFrame({"t": lines.astype(np.int64), "keys": cells, LABEL: label})


def parted(frame: pl.DataFrame, *, shuffled: bool = False, gap: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Three quarters and the rest: by order with a gap, or row by row."""
    cut = frame.height * 3 // 4
    if shuffled:
        order = np.random.default_rng(3).permutation(frame.height)
        return frame[np.sort(order[:cut])], frame[np.sort(order[cut:])]
    return frame[:cut], frame[cut + gap :]


def features(n: int = 1_200, seed: int = 1, columns: int = 6, hosts: int = 12) -> pl.DataFrame:
    """Rows of numbers that hardly repeat, with times, hosts, ids and a label that they tell in part."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, columns)) * rng.uniform(0.5, 20, columns) + rng.uniform(-5, 40, columns)
    score = (x[:, 0] - x[:, 0].mean()) / x[:, 0].std() + rng.normal(size=n)
    label = np.where(score > 1.2, "attack", "benign")
    frame = pl.DataFrame({f"value_{chr(97 + c)}": x[:, c] for c in range(columns)})
    return frame.with_columns(
        t=pl.Series(1_700_000_000 + 60 * np.arange(n)),
        host=pl.Series([f"host{h}" for h in rng.integers(0, hosts, n)]),
        id=pl.Series([f"row{seed}-{row}" for row in range(n)]),
        label=pl.Series(label),
    )


def standardised(
    train: pl.DataFrame, test: pl.DataFrame, *, on_all: bool
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both with columns scaled to mean 0 and deviation 1 of training, or of both."""
    names = [name for name in train.columns if name.startswith("value")]
    base = pl.concat([train, test]) if on_all else train
    scaled = [(pl.col(n) - base[n].mean()) / base[n].std(ddof=0) for n in names]
    return train.with_columns(scaled), test.with_columns(scaled)


def coded(train: pl.DataFrame, test: pl.DataFrame, *, on_all: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Windows as codes of a vocabulary of training, with 1 for what it never saw, or of both tables."""
    base = [*train["keys"], *(test["keys"] if on_all else [])]
    words = sorted({word for cell in base for word in cell.split()})
    codes = {word: number + 2 for number, word in enumerate(words)}

    def code(frame: pl.DataFrame) -> pl.DataFrame:
        cells = [" ".join(str(codes.get(word, 1)) for word in cell.split()) for cell in frame["keys"]]
        return frame.with_columns(keys=pl.Series(cells))

    return code(train), code(test)


def scores(test: pl.DataFrame, seed: int = 5) -> pl.DataFrame:
    """Predictions that are better than chance and far from perfect."""
    rng = np.random.default_rng(seed)
    positive = (test[LABEL] != test[LABEL].mode()[0]).to_numpy()
    raw = 1 / (1 + np.exp(-(rng.normal(size=test.height) + 1.5 * positive - 1)))
    return pl.DataFrame({"score": raw})


def write(folder: Path, frames: Sequence[tuple[str, pl.DataFrame]], kind: str = "csv") -> list[Path]:
    """The tables as files."""
    paths = []
    for name, frame in frames:
        path = folder / f"{name}.{kind}"
        if kind == "csv":
            frame.write_csv(path)
        else:
            frame.write_parquet(path)
        paths.append(path)
    return paths
