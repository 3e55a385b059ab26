"""Rows, recordings and near-copies that both tables have.

Letters: N rows, T tokens, H hash functions, B bands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.tables.reading import Stats, Table
from vestige.evaluation.tables.record import Found, Status, not_applicable
from vestige.evaluation.tables.sides import Hashes, Side
from vestige.hashing import mix

MANY = 0.01
"""A larger share of test rows, or recordings, that are copies is a leak."""
MOSTLY = 0.5
FEWEST_ROWS = 5
"""Rows of a recording from which on two equal ones are no coincidence."""
HASHES, BANDS, NEAR = 64, 16, 0.7
"""Hash functions, bands of them, and the estimated share of tokens in common from which on rows are alike."""
MOST_ASKED, CONTROLS = 20_000, 5_000
"""Test rows that are compared at most, and rows of training that are for a control."""
TOKENS = 400
"""Tokens of a cell at most."""


def continuous(stats: dict[str, Stats]) -> list[str]:
    """Columns of numbers that hardly repeat: equal rows in them are copies."""
    return [
        name
        for name, found in stats.items()
        if not found.whole and found.count >= 20 and found.distinct > 0.5 * found.count
    ]


def duplicate_rows(train: Side, test: Side, *, timed: bool, telling: int) -> Found:
    """Test rows with a copy in training: of everything but id and label, times included where there are any.

    `telling`: columns that hardly repeat. Without times and such columns equal rows may be repetition: the
    rate at which rows of training equal one another is the control.
    """
    name = "duplicate_rows"
    order = np.argsort(train.timed, kind="stable")
    at = np.minimum(np.searchsorted(train.timed[order], test.timed), len(train) - 1)
    rows = train.timed[order][at] == test.timed
    if not rows.any():
        return Found(name, "pass", "no test row is a copy of one of training", 0.0, rows)
    partners = {int(row): int(order[at[row]]) for row in np.flatnonzero(rows)[:100]}
    share, usual = float(rows.mean()), _repeated(train.timed)
    said = f"{int(rows.sum()):,} test rows ({share:.1%}) are copies of rows of training"
    if timed or telling:
        why = "times included" if timed else f"{telling} columns that hardly repeat included"
        status: Status = "fail" if share > MANY else "warn"
        return Found(name, status, f"{said}, {why}", share, rows, partners)
    said += f"; within training {usual:.1%} of the rows repeat another"
    if share > MANY and share > 2 * usual + MANY:
        return Found(name, "fail", f"{said}: more than the rows repeat themselves", share, rows, partners)
    status = "warn" if share > MOSTLY else "pass"
    detail = f"{said}: that may be repetition or copies, and without times nobody can tell"
    return Found(name, status, detail, share, rows, partners)


def _repeated(hashes: Hashes) -> float:
    _, counts = np.unique(hashes, return_counts=True)
    return float(counts[counts > 1].sum() / max(len(hashes), 1))


def duplicate_ids(train: Side, test: Side, *, telling: int) -> Found:
    """Recordings (rows of one id) whose rows are those of a recording with another id in training."""
    name = "duplicates_under_two_ids"
    if train.ids is None or test.ids is None:
        return not_applicable(name, "no column of ids was named (--id)")
    known, mine = (_recordings(side.ids, side.content) for side in (train, test))
    if mine.sizes.mean() < 1.5 and not telling:
        return not_applicable(name, "ids are of single rows without numbers that hardly repeat")
    enough = mine.sizes >= (1 if telling else FEWEST_ROWS)
    order = np.argsort(known.digests, kind="stable")
    at = np.minimum(np.searchsorted(known.digests[order], mine.digests), len(known.digests) - 1)
    other = order[at]
    copied = enough & (known.digests[other] == mine.digests) & (known.ids[other] != mine.ids)
    share = float(copied.sum() / max(enough.sum(), 1))
    rows = copied[mine.code]
    if not copied.any():
        return Found(name, "pass", "no recording of the test stands in training under another id", 0.0, rows)
    partners = {
        int(mine.first[code]): int(known.first[other[code]]) for code in np.flatnonzero(copied)[:100].tolist()
    }
    detail = (
        f"{int(copied.sum()):,} of {int(enough.sum()):,} test ids ({share:.1%}) have the rows of another id "
        "in training"
    )
    return Found(name, "fail" if share > MANY else "warn", detail, share, rows, partners)


@dataclass(frozen=True)
class _Recordings:
    ids: Hashes
    digests: Hashes
    sizes: NDArray[np.int64]
    code: NDArray[np.int64]
    first: NDArray[np.int64]


def _recordings(ids: Hashes | None, content: Hashes) -> _Recordings:
    """A digest of each id's rows, whatever their order."""
    assert ids is not None  # noqa: S101 - both callers have looked
    values, first, code, sizes = np.unique(ids, return_index=True, return_inverse=True, return_counts=True)
    digests = np.zeros(len(values), dtype=np.uint64)
    with np.errstate(over="ignore"):
        np.add.at(digests, code, mix(content))
    digests = mix(digests) + mix(sizes.astype(np.uint64))
    return _Recordings(values, digests, sizes, code.astype(np.int64), first.astype(np.int64))


def shared(name: str, what: str, train: Hashes | None, test: Hashes | None, *, promised: bool) -> Found:
    """Ids or hosts that lie on both sides. Fails where they were promised to be held out, or where an id is
    of one row and still on both sides."""
    if train is None or test is None:
        return not_applicable(name, f"no column of {what}s was named (--{what})")
    both = np.intersect1d(train, test)
    rows = np.isin(test, both)
    if not len(both):
        return Found(name, "pass", f"no {what} is on both sides", 0.0, rows)
    all_test = len(np.unique(test))
    single = what == "id" and len(np.unique(train)) == len(train) and all_test == len(test)
    detail = f"{len(both):,} of {all_test:,} test {what}s are in training, too"
    if single:
        detail += ", and each is of one row: the row is on both sides"
    elif not promised:
        detail += f": the figures say nothing of new {what}s"
    return Found(name, "fail" if promised or single else "warn", detail, len(both) / all_test, rows)


def near_duplicates(
    train: Table, test: Side, features: Sequence[str], train_content: Hashes, *, telling: int, seed: int
) -> Found:
    """Test rows that are nearly a row of training: MinHash (Broder, 1997) of their cells' tokens.

    Tokens are words in threes, steps in threes, numbers to three digits, each with its column. Exact copies
    are left to `duplicate_rows`. The control is how often rows of training are nearly another one.
    """
    name = "near_duplicates"
    if not features:
        return not_applicable(name, "there is no column beside the named ones")
    rng = np.random.default_rng(seed)
    exact = np.isin(test.content, train_content)
    asked = _some(np.flatnonzero(~exact), MOST_ASKED, rng)
    controls = _some(np.arange(len(train_content)), CONTROLS, rng)
    if not len(asked):
        return Found(name, "pass", "all test rows are exact copies, or there are none", 0.0, exact & False)
    signed = _signatures_at(test.table, asked, features)
    own = _signatures_at(train, controls, features)
    near, partner = np.zeros(len(asked)), np.full(len(asked), -1)
    usual = np.zeros(len(controls))
    at = 0
    for signatures in _signatures(train, features):
        rows = np.arange(at, at + len(signatures))
        agreement, where = _nearest(signed, signatures, None)
        better = agreement > near
        near[better], partner[better] = agreement[better], rows[where[better]]
        agreement, _ = _nearest(own, signatures, (train_content[controls], train_content[rows]))
        usual = np.maximum(usual, agreement)
        at += len(signatures)
    alike = np.zeros(len(test), dtype=np.bool_)
    alike[asked[near >= NEAR]] = True
    share, control = float((near >= NEAR).mean()), float((usual >= NEAR).mean())
    partners = {int(asked[n]): int(partner[n]) for n in np.flatnonzero(near >= NEAR)[:100].tolist()}
    detail = (
        f"{int(alike.sum()):,} of {len(asked):,} test rows compared ({share:.1%}) are nearly a row of "
        f"training; within training {control:.1%} of the rows are nearly another"
    )
    if share <= MANY:
        return Found(name, "warn" if telling and alike.any() else "pass", detail, share, alike, partners)
    if telling or share > 2 * control + MANY:
        return Found(name, "fail", detail, share, alike, partners)
    detail += ": the evidence resembles itself, or copies were made before the split; nobody can tell which"
    return Found(name, "warn" if share > MOSTLY else "pass", detail, share, alike, partners)


def _some(rows: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _nearest(
    asked: Hashes, known: Hashes, differ: tuple[Hashes, Hashes] | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """For each asked signature `(N, H)` the best agreement with a known one of its bands, and its place.
    `differ`: contents of both; equal ones do not count."""
    best, where = np.zeros(len(asked)), np.zeros(len(asked), dtype=np.int64)
    for band in range(BANDS):
        columns = slice(band * HASHES // BANDS, (band + 1) * HASHES // BANDS)
        ours, theirs = (_fold(part[:, columns]) for part in (asked, known))
        order = np.argsort(theirs, kind="stable")
        first = np.searchsorted(theirs[order], ours)
        for step in range(2):  # of equal bands the first two: a row is in the band of its own copy, too
            at = order[np.minimum(first + step, len(order) - 1)]
            agreement = np.where(theirs[at] == ours, (asked == known[at]).mean(axis=1), 0.0)
            if differ is not None:
                agreement = np.where(differ[0] == differ[1][at], 0.0, agreement)
            better = agreement > best
            best[better], where[better] = agreement[better], at[better]
    return best, where


def _fold(part: Hashes) -> Hashes:
    total = np.zeros(len(part), dtype=np.uint64)
    for column in part.T:
        total = mix(total ^ column)
    return total


def _signatures_at(table: Table, rows: NDArray[np.int64], features: Sequence[str]) -> Hashes:
    """Signatures `(n, H)` of some rows, which are in order."""
    pieces, at = [], 0
    for batch in table.batches(features):
        mine = rows[(rows >= at) & (rows < at + batch.height)] - at
        if len(mine):
            pieces.append(_signature(batch[mine], table))
        at += batch.height
    return np.concatenate(pieces)


def _signatures(table: Table, features: Sequence[str]) -> Iterator[Hashes]:
    for batch in table.batches(features):
        yield _signature(batch, table)


def _signature(batch: pl.DataFrame, table: Table) -> Hashes:
    """MinHash of each row of a batch, `(n, H)`."""
    tokens, owners = [], []
    everyone = np.arange(batch.height)
    for number, name in enumerate(batch.columns):
        salt = np.uint64((number + 1) << 40)
        if table.kinds[name] == "number":
            found, owner = batch[name].round_sig_figs(3).hash(3).to_numpy(), everyone
        else:
            found, owner = _triples(batch[name])
        tokens.append(mix(found ^ salt))
        owners.append(owner)
    every, owner = np.concatenate(tokens), np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    every, owner = every[order], owner[order]
    starts = np.searchsorted(owner, everyone)
    signature = np.empty((batch.height, HASHES), dtype=np.uint64)
    for column in range(HASHES):
        signature[:, column] = np.minimum.reduceat(mix(every ^ np.uint64(0x51ED27 * (column + 1))), starts)
    return signature


def _triples(column: pl.Series) -> tuple[Hashes, NDArray[np.int64]]:
    """Hashes of every three words in a row, and whose they are; of shorter cells one of the whole."""
    cells = column.fill_null("").str.slice(0, 64 * TOKENS).str.to_lowercase()
    words = cells.str.extract_all(r"[^\s,;|\x1f]+").list.head(TOKENS)
    sizes = words.list.len().to_numpy().astype(np.int64)
    flat = words.filter(words.list.len() > 0).explode()
    hashes = flat.hash(3).to_numpy() if len(flat) else np.zeros(0, dtype=np.uint64)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    short = np.flatnonzero(sizes < 3)
    whole = column.fill_null("").gather(short).hash(4).to_numpy()
    if len(hashes) < 3:
        return whole, short
    three = mix(mix(hashes[:-2]) ^ hashes[1:-1]) ^ mix(hashes[2:])
    same = owner[:-2] == owner[2:]
    return np.concatenate([mix(three[same]), whole]), np.concatenate([owner[:-2][same], short])
