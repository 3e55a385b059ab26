"""What tells the label without a look at the evidence, and columns that look ahead.

Letters: N rows, C columns, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.metrics import Sweep, confusion, macro_f1
from vestige.evaluation.tables.given import Given
from vestige.evaluation.tables.reading import Table
from vestige.evaluation.tables.record import Found, Status, not_applicable
from vestige.evaluation.tables.sides import Hashes, Roles, Side, unit_of
from vestige.evaluation.tables.windows import look_up, whole_words

NEARLY, NOTICEABLE = 0.99, 0.15
MOST_VALUES = 1_000
BEGINNING = r"^(\D{1,64})"
"""How an id or the name of a file begins: all before the first digit."""
IN_A_ROW, MOST_COLUMNS, LAGS = 20_000, 24, 15
"""Rows that follow one another, columns, and rows before and after, that columns ahead are sought in."""
LARGEST = 1e100
"""Spread of a column beyond which nothing is reckoned with its squares."""
EARLY, LATE = (
    whole_words(words)
    for words in ("next|lead|ahead|future|after|t[+]", "lags?|lagged|prev|previous|before|past|ago|t-")
)
"""Names of columns that were shifted, to be ahead or to be late."""
FEWEST, MOSTLY, FEW = 50, 0.5, 0.97
"""Rows at least; share of a column's values that differ where it hardly repeats; share of rows that what came
before may explain, where later ones explain the rest."""
EXPLAINED, MUCH_BETTER = 1e-6, 1e-3
"""What is left unexplained at most, and how much less than by what came before alone."""


def by_host(train: Side, test: Side, k: int) -> Found:
    """Whether a host's usual label is the label of nearly all of its rows.

    Fails where hosts lie on both sides, so that who knows the host knows the label; warns where they do not:
    whatever tells the hosts apart then tells the labels apart.
    """
    name = "label_determined_by_host"
    if train.hosts is None or test.hosts is None or train.labels is None or test.labels is None:
        return not_applicable(name, "needs a host and a label (--host, --label)")
    hosts = np.concatenate([train.hosts, test.hosts])
    labels = np.concatenate([train.labels, test.labels])
    values, code = np.unique(hosts, return_inverse=True)
    counts = np.bincount(code * k + labels, minlength=len(values) * k).reshape(-1, k)
    agreement = float(counts.max(axis=1).sum() / len(labels))
    commonest = float(counts.sum(axis=0).max() / len(labels))
    said = look_up(train.hosts, train.labels, test.hosts, k)
    floor = np.full(len(said), np.bincount(train.labels).argmax())
    found, guess = (float(macro_f1(confusion(test.labels, predicted, k))) for predicted in (said, floor))
    known = np.isin(test.hosts, train.hosts)
    detail = (
        f"{agreement:.1%} of the rows have the usual label of their host ({len(values):,} hosts; the "
        f"commonest label is that of {commonest:.1%}); a look-up table of hosts alone has macro F1 "
        f"{found:.3f} on the test, the commonest label {guess:.3f}"
    )
    decided = agreement >= NEARLY and 1 - agreement < 0.25 * (1 - commonest)
    if decided and known.any() and found > guess + NOTICEABLE:
        return Found(name, "fail", detail, found, known)
    return Found(name, "warn" if decided or found > guess + NOTICEABLE else "pass", detail, found, known)


def by_column(train: pl.DataFrame, test: pl.DataFrame, roles: Roles, features: Sequence[str]) -> Found:
    """Single columns that give the label away: by a look-up table of their values, or by one threshold. Of
    ids and other texts also how they begin: `attack_17`, `logs/benign/3.log`."""
    name = "label_determined_by_column"
    label = roles.label
    if label is None:
        return not_applicable(name, "no column of labels was named (--label)")
    names = sorted(set(train[label]) | set(test[label]))
    if len(set(train[label])) < 2 or len(set(test[label])) < 2:
        return not_applicable(name, "a table has one class only")
    codes = {value: code for code, value in enumerate(names)}
    y, truth = (part[label].replace_strict(codes, return_dtype=pl.Int64).to_numpy() for part in (train, test))
    found: list[tuple[float, str, int]] = []
    columns = [(f"column {column}", train[column], test[column]) for column in features]
    for column in [*features, *([roles.id] if roles.id else [])]:
        if train[column].dtype == pl.String:
            begin = (part[column].str.extract(BEGINNING, 1) for part in (train, test))
            columns.append((f"how column {column} begins", next(begin), next(begin)))
    for told, ours, theirs in columns:
        distinct = ours.n_unique()
        if distinct <= MOST_VALUES:
            said = look_up(ours.hash(1).to_numpy(), y, theirs.hash(1).to_numpy(), len(names))
            found.append((float(macro_f1(confusion(truth, said, len(names)))), told, distinct))
        elif ours.dtype != pl.String and len(names) == 2:
            found.append((_one_threshold(ours.to_numpy(), y, theirs.to_numpy(), truth), told, distinct))
    if not found:
        return not_applicable(name, "there is no column beside the named ones")
    best, column, distinct = max(found)
    detail = f"{column} alone has macro F1 {best:.3f}, by a look-up table or one threshold from training"
    if best < NEARLY:
        return Found(name, "pass", f"the best single one, {detail}", best)
    status: Status = "fail" if distinct <= len(names) + 1 else "warn"
    return Found(name, status, f"{detail}: it gives the label away", best)


def _one_threshold(x: NDArray[Any], y: NDArray[Any], asked: NDArray[Any], truth: NDArray[Any]) -> float:
    good = np.isfinite(x)
    best, said = -1.0, np.zeros(len(truth), dtype=np.int64)
    for sign in (1.0, -1.0):
        sweep = Sweep.of(sign * x[good], y[good] == 1)
        if not sweep.positives or not sweep.negatives:
            return 0.0
        score = 2 * sweep.tp / (sweep.tp + sweep.fp + sweep.positives)
        if score.max() > best:
            best = float(score.max())
            said = (sign * np.nan_to_num(asked) >= sweep.thresholds[int(np.argmax(score))]).astype(np.int64)
    return float(macro_f1(confusion(truth, said, 2)))


def metadata(train: Side, test: Side, k: int, seed: int) -> Found:
    """A small tree that sees only the host, the hour, and the place of the row in its table."""
    from sklearn.tree import DecisionTreeClassifier

    name = "metadata_shortcut"
    if train.labels is None or test.labels is None or len(np.unique(train.labels)) < 2:
        return not_applicable(name, "needs labels of two classes in training (--label)")
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(train), min(len(train), 50_000), replace=False))
    known = np.unique(train.hosts) if train.hosts is not None else None
    hours = all(side.times is not None and unit_of(side.times) > 0 for side in (train, test))
    tree = DecisionTreeClassifier(max_depth=5, min_samples_leaf=5, class_weight="balanced", random_state=seed)
    tree.fit(_about(train, known, hours=hours)[rows], train.labels[rows])
    said = tree.predict(_about(test, known, hours=hours))
    floor = np.full(len(test), np.bincount(train.labels).argmax())
    found, guess = (float(macro_f1(confusion(test.labels, predicted, k))) for predicted in (said, floor))
    seen = ["the place of a row in its table"]
    seen += ["the host"] if train.hosts is not None else []
    seen += ["the hour"] if hours else []
    detail = f"{', '.join(seen)} alone: macro F1 {found:.3f}; the commonest class: {guess:.3f}"
    return Found(name, "warn" if found - guess > NOTICEABLE else "pass", detail, found)


def _about(side: Side, known: Hashes | None, *, hours: bool) -> NDArray[np.float64]:
    columns = [np.arange(len(side)) / max(len(side), 1)]
    if side.hosts is not None and known is not None:
        at = np.minimum(np.searchsorted(known, side.hosts), len(known) - 1)
        columns.append(np.where(known[at] == side.hosts, at, -1).astype(np.float64))
    if side.times is not None and hours:
        columns.append(side.times % 86_400 / 3_600)
    return np.stack(columns, axis=1)


def time_order(train: Side, test: Side, *, promised: bool) -> Found:
    """Whether training lies before the test: fails where that was promised, warns elsewhere."""
    name = "time_order"
    if train.times is None or test.times is None:
        return not_applicable(name, "no column of times was named (--time)")
    rows = test.times <= train.times.max()
    if not rows.any():
        return Found(name, "pass", "training lies before the test", 0.0, rows)
    detail = (
        f"{rows.mean():.1%} of the test rows are not after the last row of training, and "
        f"{(train.times >= test.times.min()).mean():.1%} of training not before the first of the test"
    )
    if not promised:
        detail += ": the figures are no forecast"
    return Found(name, "fail" if promised else "warn", detail, float(rows.mean()), rows)


def rows_at(table: Table, rows: NDArray[np.int64], columns: Sequence[str]) -> pl.DataFrame:
    """Some rows, given in order, of some columns."""
    pieces, at = [], 0
    for batch in table.batches(columns):
        low, high = np.searchsorted(rows, [at, at + batch.height])
        pieces.append(batch[rows[low:high] - at])
        at += batch.height
    return pl.concat(pieces)


def columns_ahead(side: Side, numbers: Sequence[str]) -> Found | None:
    """Columns that are made of other columns' later rows: of the same host, in the order of time.

    None without times or columns. A column that only repeats another, some rows apart, may be late or ahead:
    the one whose name holds the other's is taken for the one that was made, or the name says which.
    """
    name = "future_context"
    chosen = list(numbers)[:MOST_COLUMNS]
    if side.times is None or len(chosen) < 2:
        return None
    order = np.argsort(side.times, kind="stable")
    start = max(0, (len(order) - IN_A_ROW) // 2)
    rows = np.sort(order[start : start + IN_A_ROW])
    hosts = np.zeros(len(rows), dtype=np.uint64) if side.hosts is None else side.hosts[rows]
    sort = np.lexsort((side.times[rows], hosts))
    values = rows_at(side.table, rows, chosen).to_numpy()[sort]
    hosts = hosts[sort]
    kinds = {(a, b): _kind(values, hosts, a, b) for a, b in _pairs(values)}
    shifted = {(a, b): chosen[b] in chosen[a] or bool(EARLY.search(chosen[a]))
               for (a, b), kind in kinds.items() if kind == "shift"}  # fmt: skip
    late = {b for (_, b), early in shifted.items() if not early}
    # What a late copy holds in later rows is what its own column holds by then.
    made = [pair for pair, kind in kinds.items() if kind == "made" and pair[1] not in late]
    made += [pair for pair, early in shifted.items() if early]
    ahead = [f"{chosen[a]} is made of {chosen[b]} in later rows" for a, b in made]
    doubtful = [
        f"{chosen[a]} repeats a later row's {chosen[b]}"
        for (a, b), early in shifted.items()
        if not early and chosen[a] not in chosen[b] and not LATE.search(chosen[b])
    ]
    if ahead:
        more = f", and {len(ahead) - 3} more" if len(ahead) > 3 else ""
        detail = f"{'; '.join(ahead[:3])}{more}: no detector that judges events as they come has these"
        return Found(name, "fail", detail, float(len(ahead)))
    if doubtful:
        detail = f"{'; '.join(doubtful[:3])}: one of the two is a row early, or the other a row late"
        return Found(name, "warn", detail, float(len(doubtful)))
    return Found(name, "pass", f"none of {len(chosen)} columns of numbers is made of later rows", 0.0)


def _pairs(values: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    moving = [
        c
        for c in range(values.shape[1])
        if (good := values[np.isfinite(values[:, c]), c]).size >= FEWEST and 0 < np.ptp(good) < LARGEST
    ]
    for a in moving:
        for b in moving:
            if a != b:
                yield a, b


def _kind(values: NDArray[np.float64], hosts: Hashes, a: int, b: int) -> str:
    """`shift` where column a is column b some rows later, `made` where it is a sum of b's rows around, or one
    of them (a largest, a middle one, the next that is filled). Empty cells, such as a centred mean has at
    both ends, are passed over."""
    x, y = values[:, b], values[:, a]
    good = np.isfinite(x[1:]) & np.isfinite(x[:-1]) & (x[1:] != x[:-1])
    for lag in range(1, LAGS + 1):
        changes = (hosts[lag:] == hosts[:-lag]) & good[lag - 1 :] & np.isfinite(y[:-lag])
        if changes.sum() >= 20 and (y[:-lag] == x[lag:])[changes].mean() >= NEARLY:
            return "shift"
    inner = np.arange(LAGS, len(x) - LAGS)
    inner = inner[(hosts[inner - LAGS] == hosts[inner + LAGS]) & np.isfinite(y[inner])][:4_000]
    around = x[inner[:, None] + np.arange(-LAGS, LAGS + 1)]
    if _one_of(around, y[inner]):
        return "made"
    whole = np.isfinite(around).all(axis=1)
    inner, around = inner[whole], np.column_stack([around[whole], np.ones(whole.sum())])
    if len(inner) < FEWEST or len(np.unique(y[inner])) < 10 or not np.var(y[inner]):
        return ""
    before = around[:, [*range(LAGS + 1), -1]]
    if len(inner) > 400 and _unexplained(around[:200], y[inner[:200]]) > EXPLAINED:
        return ""
    left = [_unexplained(part, y[inner]) for part in (around, before)]
    return "made" if left[0] <= EXPLAINED and left[0] <= MUCH_BETTER * left[1] else ""


def _one_of(around: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    """Whether y `(n,)` is one of x's rows around `(n, 2 LAGS + 1)`, often a later one, not always the same.

    Only where x hardly repeats: of few values one is soon found.
    """
    middle = around[:, LAGS]
    filled = middle[np.isfinite(middle)]
    if len(y) < FEWEST or len(np.unique(filled)) < MOSTLY * len(filled):
        return False
    same = around == y[:, None]
    known, any_row = same[:, : LAGS + 1].any(axis=1).mean(), same.any(axis=1).mean()
    one_lag = same.mean(axis=0).max() >= NEARLY
    return bool(any_row >= NEARLY and known < FEW and not one_lag)


def _unexplained(part: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    weights = np.linalg.lstsq(part, y, rcond=None)[0]
    return float(np.mean((y - part @ weights) ** 2) / np.var(y))


def probe(
    train_sample: pl.DataFrame,
    test: Table,
    features: Sequence[str],
    label: str,
    classes: Sequence[str],
    seed: int,
) -> Given:
    """What a decision tree of ours says of the test rows, where nobody gave predictions: grown to its end, so
    that it remembers what it has seen."""
    from sklearn.tree import DecisionTreeClassifier

    codes = {name: code for code, name in enumerate(classes)}
    y = train_sample[label].replace_strict(codes, return_dtype=pl.Int64).to_numpy()
    tree = DecisionTreeClassifier(random_state=seed, min_samples_leaf=1).fit(
        _matrix(train_sample, features), y
    )
    normal = list(tree.classes_).index(0) if 0 in tree.classes_ else None
    said, scores = [], []
    for batch in test.batches(list(features)):
        proba = tree.predict_proba(_matrix(batch, features))
        said.append(tree.classes_[proba.argmax(axis=1)])
        scores.append(1.0 - proba[:, normal] if normal is not None else np.ones(len(proba)))
    predicted = np.concatenate(said).astype(np.int64)
    return Given(
        np.concatenate(scores), predicted, predicted != 0, "a decision tree of ours, grown on training"
    )


def _matrix(batch: pl.DataFrame, features: Sequence[str]) -> NDArray[np.float32]:
    columns = []
    for name in features:
        column = batch[name]
        if column.dtype == pl.Float64:
            values = np.nan_to_num(column.to_numpy().astype(np.float64), nan=-1e30, posinf=1e30, neginf=-1e30)
        else:
            values = (column.hash(2).to_numpy() % np.uint64(1 << 20)).astype(np.float64)
        columns.append(np.clip(values, -1e30, 1e30).astype(np.float32))
    return np.stack(columns, axis=1)
