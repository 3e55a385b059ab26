"""Windows in tables: found by their form; whether neighbours lie on both sides; which step is judged.

Letters: N rows, L steps of a window.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.metrics import confusion, macro_f1
from vestige.evaluation.tables.reading import STEP, Table
from vestige.evaluation.tables.record import Found, Status, not_applicable
from vestige.evaluation.tables.sides import Hashes, Side
from vestige.hashing import mix

FEWEST_STEPS, LOOKED_AT, MOST_SHIFTS = 3, 1_000, 24
USUAL_SHIFTS = (*range(1, 13), 15, 16, 20, 24, 25, 30, 32, 40, 48, 50, 60, 64, 75, 80, 96, 100, 128, 200, 256)
"""Shifts at most that are all tried, and those that are tried of longer windows, beside tenths of them."""
KEPT = 32_000_000
"""Stretches kept at most for the search of neighbours: of longer tables those whose hash is a multiple."""
MANY, ACROSS = 0.01, 0.25
"""A larger share of test rows with a neighbour in training, where of all neighbours so many lie across."""
BEYOND, LEAST = 3, 10
"""How many times as many neighbours there must be as by chance, and how many more."""
FIXED = 0.99
"""Share of rows that must have the same number of steps, or the same step judged."""
WORDS = r"(?:\b(?:array|tensor|deque)\(|[\s,;|\[\]()'\"])+"
"""What parts the steps of a cell where these are words: blanks, commas, semicolons, bars and brackets, and
how numpy and torch write an array."""
TEXTS = (
    r"""^\s*\[\s*['"]|['"]\s*,\s*['"]|['"]\s*\]\s*$""",
    r"\s*(?:\[SEP\]|<sep>|</s>|\|\||##|=>|->)\s*",
    r"\n",
    r"\t",
    r"(?:^|\s+)\|(?:\s+|$)",
    r"\s*\|\s*",
    r"\s*;\s*",
    r"\s*>\s*",
    r"\s*/\s*",
    r"\s*-\s*",
)
"""What parts them where they are texts, such as messages: a list of them (JSON, Python), signs, ends of
lines."""
WANDERING = 0.2
"""Share of rows whose first step another row has at another place: steps of windows move on."""
ODD = 0x9E3779B97F4A7C15


def whole_words(words: str) -> re.Pattern[str]:
    """The words, where no letter stands before or after them: `lag` is none of `flag`, but of `x_lag3`."""
    return re.compile(rf"(?<![^\W\d_])(?:{words})(?![^\W\d_])", re.IGNORECASE)


BACKWARDS = whole_words("t-|lags?|lagged|prev|previous|ago|back")
"""Names of columns whose numbers count back in time: `t-3`, `var1(t-3)`, `lag_3`."""
_PARTED = STEP


@dataclass(frozen=True)
class Windows:
    """Where the windows lie: in one column's cells, whose steps `parting` parts, or, without it, in columns
    numbered in a row. `length`: steps. `hollow`: the first or last step of a cell may be an empty text."""

    columns: tuple[str, ...]
    length: int
    told: str
    parting: str = ""
    hollow: bool = False

    def cells(self, batch: pl.DataFrame) -> pl.Series:
        """The steps in each cell of the column, as texts."""
        return _parted(batch[self.columns[0]], self.parting, hollow=self.hollow)

    def steps(self, batch: pl.DataFrame) -> tuple[Hashes, NDArray[np.bool_]]:
        """A hash of each step `(N, L)`, and which rows have a whole window `(N,)`."""
        if not self.parting:
            per = len(self.columns) // self.length
            found = np.zeros((batch.height, self.length), dtype=np.uint64)
            for step in range(self.length):
                names = [self.columns[channel * self.length + step] for channel in range(per)]
                renamed = batch.select(pl.col(name).alias(str(n)) for n, name in enumerate(names))
                found[:, step] = renamed.hash_rows(5).to_numpy()
            return found, np.ones(batch.height, dtype=np.bool_)
        cells = self.cells(batch)
        whole = (cells.list.len() == self.length).to_numpy()
        flat = cells.filter(pl.Series(whole)).explode() if whole.any() else None
        found = np.zeros((batch.height, self.length), dtype=np.uint64)
        if flat is not None:
            found[whole] = flat.hash(5).to_numpy().reshape(-1, self.length)
        return found, whole

    def texts(self, batch: pl.DataFrame) -> list[list[str]]:
        """The steps themselves, where they lie in cells; rows without a whole window are empty."""
        return [cell if len(cell) == self.length else [] for cell in self.cells(batch).to_list()]


def find_windows(table: Table, features: Sequence[str]) -> Windows | None:
    """Windows by their form: a column whose cells have as many steps each, or numbered columns."""
    head = next(table.batches(list(features), LOOKED_AT)).head(LOOKED_AT)
    best: Windows | None = None
    for name in features:
        if table.kinds[name] == "number":
            continue
        found = _in_cells(head[name], name, (STEP,) if table.kinds[name] == "sequence" else (WORDS, *TEXTS))
        if found is not None and (best is None or found.length > best.length):
            best = found
    return best or _numbered(features)


def _in_cells(column: pl.Series, name: str, partings: Sequence[str]) -> Windows | None:
    """Words first: where cells have as many of these each, they are the steps."""
    for parting in partings:
        found = [(hollow, _parted(column, parting, hollow=hollow)) for hollow in (False, True)]
        # An empty message is one: a cell that has as many steps with it as the others is whole.
        hollow, steps = max(found, key=lambda each: _mode(each[1].list.len())[1])
        usual, share = _mode(steps.list.len())
        if usual < FEWEST_STEPS or share < FIXED:
            continue
        if parting in {WORDS, STEP} or _wander(steps.filter(steps.list.len() == usual)):
            return Windows((name,), usual, f"{usual} steps in each cell of column {name}", parting, hollow)
    return None


def _parted(column: pl.Series, parting: str, *, hollow: bool) -> pl.Series:
    # Blanks around a sign go with it, and so must those at the ends: a step is equal wherever it stands.
    cells = column.fill_null("").str.strip_chars().str.replace_all(parting, _PARTED)
    return (cells if hollow else cells.str.strip_chars(_PARTED)).str.split(_PARTED)


def _wander(steps: pl.Series) -> bool:
    """Whether first steps are found at other places, too: the parts of an address or a list of settings, as
    many in each cell, are not."""
    first, others = steps.list.first(), steps.list.slice(1).explode().unique()
    return float(first.is_in(others.implode()).mean() or 0.0) >= WANDERING  # type: ignore[arg-type]


def _mode(counts: pl.Series) -> tuple[int, float]:
    values, times = np.unique(counts.to_numpy(), return_counts=True)
    top = int(np.argmax(times))
    return int(values[top]), float(times[top] / times.sum())


def _numbered(features: Sequence[str]) -> Windows | None:
    """Columns such as `key_0 ... key_9` or `x(t-9) ... x(t-1)`; several names with as many numbers are
    channels of one window."""
    groups: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for name in features:
        # After `x(t-2)` and `x(t-1)` comes `x(t)`.
        found = re.fullmatch(r"(.*?)(\d{1,6})(\D*)", re.sub(r"(^|\()t(\)?)$", r"\1t-0\2", name))
        if found:
            groups.setdefault((found[1], found[3]), []).append((int(found[2]), name))
    whole: list[list[str]] = []
    for (stem, _), members in groups.items():
        members.sort()
        numbers = [number for number, _ in members]
        if len(members) >= FEWEST_STEPS and numbers == list(range(numbers[0], numbers[0] + len(members))):
            names = [name for _, name in members]
            whole.append(names[::-1] if BACKWARDS.search(stem) else names)
    if not whole:
        return None
    lengths = [len(names) for names in whole]
    length = max(set(lengths), key=lambda size: (lengths.count(size), size))
    chosen = [names for names in whole if len(names) == length]
    columns = tuple(name for names in chosen for name in names)
    told = f"{length} steps in columns {columns[0]} ... {columns[length - 1]}"
    if len(chosen) > 1:
        told += f", {len(chosen)} channels"
    return Windows(columns, length, told)


_Stretch = tuple[Hashes, Hashes, NDArray[np.int64]]


class _Stretches:
    """First and last stretches of all windows by shift: hashes of the stretch and of its whole window, and
    the row. Rows below `train` are of training."""

    def __init__(self, shifts: Sequence[int], every: int, train: int) -> None:
        self.every, self.train = np.uint64(every), train
        self.found: dict[tuple[int, str], list[_Stretch]] = {
            (shift, end): [] for shift in shifts for end in ("first", "last")
        }

    def add(self, steps: Hashes, rows: NDArray[np.int64]) -> None:
        length = steps.shape[1]
        # Sums of steps times powers of an odd number: all stretches come of one sum, since such a number can
        # be divided by modulo 2^64.
        powers, inverses = (np.array([pow(base, n, 1 << 64) for n in range(length)], dtype=np.uint64)
                            for base in (ODD, pow(ODD, -1, 1 << 64)))  # fmt: skip
        sums = np.cumsum(mix(steps) * powers, axis=1, dtype=np.uint64)
        for (shift, end), kept in self.found.items():
            first = sums[:, length - shift - 1]
            hashes = mix(first if end == "first" else (sums[:, -1] - sums[:, shift - 1]) * inverses[shift])
            chosen = hashes % self.every == 0
            kept.append((hashes[chosen], sums[chosen, -1], rows[chosen]))

    def links(self, shift: int) -> NDArray[np.int64]:
        """Pairs of rows, and the number of the link that each is of, `(M, 3)`: the last stretch of one window
        is the first of the other, and of no third. None, where there are hardly more than by chance.

        Where a log writes each message to two files, a window stands in two rows, as its neighbour does:
        they make two pairs of one link. A window on both sides is a copy, and no neighbour. Of stretches that
        two windows have by chance, as many are two first ones, or two last ones, as one of each. Where
        windows slide, each stretch is the end of one and the beginning of another.
        """
        firsts, lasts = (self._whole(shift, end) for end in ("first", "last"))
        stretch, window, row = (np.concatenate(pair) for pair in zip(firsts, lasts, strict=True))
        is_last = np.arange(len(stretch)) >= len(firsts[0])
        order = np.lexsort((window, is_last, stretch))
        stretch, window, row, is_last = stretch[order], window[order], row[order], is_last[order]
        new_stretch = np.diff(stretch, prepend=~stretch[:1]) != 0
        new = new_stretch | (np.diff(window, prepend=~window[:1]) != 0) | np.diff(is_last, prepend=False)
        starts = np.flatnonzero(new)
        counts = np.diff(starts, append=len(stretch))
        begins = np.flatnonzero(new_stretch[starts])
        former = begins[np.diff(begins, append=len(starts)) == 2]
        former = former[counts[former] == counts[former + 1]]
        latter = former + 1
        linked = is_last[starts[former]] != is_last[starts[latter]]
        chance = len(former) - int(linked.sum())
        # A stretch that is the same end of equal windows alone is chance, too; and a window that follows
        # itself is no neighbour.
        alone = begins[np.diff(begins, append=len(starts)) == 1]
        chance += int((counts[alone] > 1).sum())
        linked &= window[starts[former]] != window[starts[latter]]
        if linked.sum() <= BEYOND * chance + LEAST:
            return np.zeros((0, 3), dtype=np.int64)
        in_test = np.add.reduceat(row >= self.train, starts)
        one_sided = (in_test == 0) | (in_test == counts)
        linked &= one_sided[former] & one_sided[latter]
        former, latter = former[linked], latter[linked]
        times = counts[former]
        turn = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        beginning, end = (row[np.repeat(starts[entry], times) + turn] for entry in (former, latter))
        return np.stack([end, beginning, np.repeat(np.arange(len(times)), times)], axis=1)

    def _whole(self, shift: int, end: str) -> _Stretch:
        stretches, windows, rows = zip(*self.found[shift, end], strict=True)
        return np.concatenate(stretches), np.concatenate(windows), np.concatenate(rows)


def neighbours(train: Side, test: Side, windows: Windows) -> dict[int, NDArray[np.int64]]:
    """By shift what `_Stretches.links` finds `(M, 3)`; rows are counted over both tables."""
    longest = windows.length - max(2, min(4, windows.length // 2), windows.length // 5)
    shifts: Sequence[int] = range(1, longest + 1)
    if longest > MOST_SHIFTS:
        tenths = {windows.length * part // 10 for part in range(1, 10)}
        shifts = sorted(shift for shift in {*USUAL_SHIFTS, *tenths} if shift <= longest)
    total = 2 * len(shifts) * (len(train) + len(test))
    stretches = _Stretches(shifts, max(1, -(-total // KEPT)), len(train))
    at = 0
    for side in (train, test):
        for batch in side.table.batches(windows.columns):
            steps, whole = windows.steps(batch)
            stretches.add(steps[whole], at + np.flatnonzero(whole))
            at += batch.height
    return {shift: stretches.links(shift) for shift in shifts}


def slide(links: dict[int, NDArray[np.int64]], rows: int) -> bool:
    """Whether windows slide along something, as numbered columns of counts or of embeddings do not."""
    return max((len(pairs) for pairs in links.values()), default=0) > MANY * rows


def overlapping_windows(
    train: Side, test: Side, windows: Windows | None, links: dict[int, NDArray[np.int64]]
) -> Found:
    """Windows that share steps, one in training and one in the test: what shuffling windows before the split
    leaves behind.

    Two windows are neighbours where the end of one is the beginning of the other and of no third window, in
    either table: what a busy log repeats is no sign. Windows of a stretch that was split whole have their
    neighbours on their own side.
    """
    name = "overlapping_windows"
    if windows is None:
        return not_applicable(name, "no column holds windows of a fixed number of steps")
    return _judge(name, train, test, links)


def _judge(name: str, train: Side, test: Side, links: dict[int, NDArray[np.int64]]) -> Found:
    # Windows slide by the shift that links most of them.
    shift, pairs = max(links.items(), key=lambda item: item[1][:, 2].max(initial=-1))
    in_test = pairs[:, :2] >= len(train)
    across = in_test[:, 0] != in_test[:, 1]
    touched = in_test.any(axis=1)
    rows = np.zeros(len(test), dtype=np.bool_)
    partners: dict[int, int] = {}
    for found in links.values():
        there = found[:, :2] >= len(train)
        for a, b, _ in found[there[:, 0] != there[:, 1]].tolist():
            row, other = (b, a) if a < len(train) else (a, b)
            rows[row - len(train)] = True
            partners.setdefault(row - len(train), other)
    share = float(rows.mean())
    of_links = float(across.sum() / touched.sum()) if touched.any() else 0.0
    if not rows.any():
        return Found(
            name, "pass", "no window of the test shares its steps with one neighbour in training", 0.0
        )
    status: Status = "fail" if share > MANY and of_links > ACROSS else "warn"
    detail = (
        f"{int(rows.sum()):,} test windows ({share:.1%}) share steps with a window of training that is their "
        f"only neighbour; of the neighbours of test windows {of_links:.0%} lie in training (mostly "
        f"{shift} step{'s' if shift > 1 else ''} apart): overlapping windows were parted one by one"
    )
    if status == "warn":
        detail = f"{int(rows.sum()):,} test windows ({share:.2%}) share steps with a neighbour in training"
    return Found(name, status, detail, share, rows, partners)


def future_context(
    train_sample: pl.DataFrame,
    test_sample: pl.DataFrame,
    windows: Windows | None,
    label: str | None,
    others: Sequence[str],
) -> Found | None:
    """Which step of its window a row judges: any but the last means that a window looks at what comes after.

    Told by a column that repeats one step of every window, or by the label, where one step decides it and the
    last does not. None where neither tells.
    """
    if windows is None:
        return None
    train, test = (_sample_steps(part, windows) for part in (train_sample, test_sample))
    if not len(train[0]) or not len(test[0]):
        return None
    last = windows.length - 1
    told = _judged_by_column(train_sample, windows, others) if windows.parting else None
    if told is not None:
        column, step = told
        if step < last:
            said = f"column {column} repeats step {step + 1} of {last + 1} of every window"
            return _looks_ahead(said, last - step)
        return Found("future_context", "pass", f"column {column} repeats the last step of every window", 0.0)
    if label is None:
        return None
    return _judged_by_label(windows, (train, test), train_sample[label], test_sample[label])


def _judged_by_label(
    windows: Windows, steps: tuple[tuple[Hashes, NDArray[np.bool_]], tuple[Hashes, NDArray[np.bool_]]],
    ours: pl.Series, theirs: pl.Series,
) -> Found | None:  # fmt: skip
    """Which step decides the label, where one does."""
    scores = _by_step(*steps, ours.to_list(), theirs.to_list())
    best, last = int(np.argmax(scores)), len(scores) - 1
    if scores[best] < 0.9:
        return None
    if scores[last] >= scores[best] - 0.1:
        return Found(
            "future_context", "pass", "no earlier step tells the label better than the last one", 0.0
        )
    said = (
        f"step {best + 1} of {last + 1} alone gives macro F1 {scores[best]:.3f} of the label, the last one "
        f"{scores[last]:.3f}: step {best + 1} is what is judged"
    )
    if best == 0 and not windows.parting:
        doubt = f"{said}: all others come after it, or the columns go back in time"
        return Found("future_context", "warn", doubt, float(last))
    return _looks_ahead(said, last - best)


def _looks_ahead(said: str, steps: int) -> Found:
    come = "step comes" if steps == 1 else "steps come"
    return Found(
        "future_context",
        "fail",
        f"{said}, so {steps} {come} after it: no detector that judges events as they come can see them",
        float(steps),
    )


def _sample_steps(part: pl.DataFrame, windows: Windows) -> tuple[Hashes, NDArray[np.bool_]]:
    if not part.height:
        return np.zeros((0, windows.length), dtype=np.uint64), np.zeros(0, dtype=np.bool_)
    return windows.steps(part)


def _judged_by_column(
    sample: pl.DataFrame, windows: Windows, others: Sequence[str]
) -> tuple[str, int] | None:
    steps = windows.texts(sample)
    kept = [row for row, cell in enumerate(steps) if cell]
    if not kept:
        return None
    matrix = np.array([steps[row] for row in kept], dtype=object)
    for name in others:
        if name in windows.columns or sample[name].n_unique() < 2:
            continue
        values = np.array([_plain(value) for value in sample[name].to_list()], dtype=object)[kept]
        shares = (matrix == values[:, None]).mean(axis=0)
        best = int(np.argmax(shares))
        if shares[best] >= FIXED and np.sort(shares)[-2] < FIXED:
            return name, best
    return None


def _plain(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _by_step(
    train: tuple[Hashes, NDArray[np.bool_]],
    test: tuple[Hashes, NDArray[np.bool_]],
    train_labels: list[str],
    test_labels: list[str],
) -> list[float]:
    """Macro F1 on the test of a look-up table of each step alone."""
    names = sorted(set(train_labels) | set(test_labels))
    number = {name: code for code, name in enumerate(names)}
    y = np.array([number[name] for name in train_labels])[train[1]]
    truth = np.array([number[name] for name in test_labels])[test[1]]
    return [
        float(
            macro_f1(
                confusion(
                    truth,
                    look_up(train[0][train[1], step], y, test[0][test[1], step], len(names)),
                    len(names),
                )
            )
        )
        for step in range(train[0].shape[1])
    ]


def look_up(keys: Hashes, labels: NDArray[Any], asked: Hashes, k: int) -> NDArray[np.int64]:
    """The commonest label of each asked key `(N,)` in training, the commonest of all for an unknown one."""
    values, codes = np.unique(keys, return_inverse=True)
    counts = np.bincount(codes * k + labels, minlength=len(values) * k).reshape(-1, k)
    at = np.minimum(np.searchsorted(values, asked), len(values) - 1)
    known = values[at] == asked
    said = np.where(known, counts.argmax(axis=1)[at], counts.sum(axis=0).argmax())
    return np.asarray(said, dtype=np.int64)
