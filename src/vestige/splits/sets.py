"""Which recordings were picked, as a file of names: to be used again, or by others.

A saved `Split` belongs to one prepared dataset. The sets name recordings alone, so they fit every dataset
made of the same corpus, whatever its windows look like.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.errors import SplitError
from vestige.reading.windows import WindowSet
from vestige.recipes import Recipe, find, renamed
from vestige.splits.split import LARGEST, NOWHERE, PARTS, Split, part_codes
from vestige.storage import write_text

FORMAT = "vestige-sets/1"
NAMED = 3


def save_sets(split: Split, path: Path) -> None:
    """Write the recordings of each part. Raises SplitError for a split that divides recordings."""
    _whole_recordings(split, "its sets cannot be written", "use --split host, sample or random")
    plain = {
        "format": FORMAT, "recipe": split.recipe.name, "seed": split.seed,
        "in_distribution": split.in_distribution, **{part: split.assignment[part] for part in PARTS},
    }  # fmt: skip
    write_text(path, json.dumps(plain, indent=1) + "\n")


def load_sets(path: Path, windows: WindowSet, own: Iterable[Recipe] = ()) -> Split:
    """The split that `save_sets` wrote, over the recordings of `windows`. `own`: the source's recipes.

    A recipe that nobody knows any more promises no more than whole recordings.
    Raises SplitError: the file is missing or damaged, or it names recordings that the dataset lacks.
    """
    remedy = "write the sets again with --output-sets"
    try:
        plain = checked.load(checked.read(path))
        if plain["format"] != FORMAT:
            raise SplitError("not a file of sets of this version", where=path, remedy=remedy)
        assignment = {part: checked.texts(plain[part], part) for part in PARTS}
        seed = checked.whole(plain["seed"], "seed", 0, LARGEST)
        in_distribution = checked.flag(plain["in_distribution"], "in_distribution")
        recipe = _recipe(checked.text(plain["recipe"], "recipe"), in_distribution, own)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SplitError(
            f"cannot read the sets ({checked.reason(error)})", where=path, remedy=remedy
        ) from error
    known = set(windows.recordings["id"].to_list())
    lacking = [name for part in PARTS for name in assignment[part] if name not in known]
    if lacking:
        raise SplitError(
            f"{len(lacking)} of its recordings are not in the dataset: {', '.join(lacking[:NAMED])}",
            where=path,
            remedy="give the corpus that the sets were picked from",
        )
    sizes = ", ".join(f"{len(assignment[part])} in {part}" for part in PARTS)
    note = f"recordings as picked in {path.name} ({sizes})"
    return Split(recipe, "recording", "", seed, assignment, notes=[note])


def _recipe(name: str, in_distribution: bool, own: Iterable[Recipe]) -> Recipe:
    """The recipe that the recordings were picked by, as far as it is known here."""
    try:
        recipe = find(name, own)
    except SplitError:
        recipe = renamed(name) or Recipe(name, "recording", "id", cluster="recording")
    return replace(recipe, in_distribution=in_distribution)


def limit(
    split: Split,
    windows: WindowSet,
    *,
    train_size: int | None = None,
    test_size: int | None = None,
    ratio: float | None = None,
) -> Split:
    """The split with fewer recordings, drawn by its seed.

    `train_size`, `test_size`: recordings of the training and of the test part at most. `ratio`: normal
    recordings for each anomalous one at most, in every part; what is too many of either is left out. A
    recording is anomalous where any of its windows is. Raises SplitError for a split that divides recordings,
    and for a `ratio` where nobody has said what is anomalous.
    """
    if train_size is None and test_size is None and ratio is None:
        return split
    _whole_recordings(split, "it has no number of recordings to limit", "leave out --train-size and the like")
    if ratio is not None and not windows.labelled:
        raise SplitError(
            "the dataset has no labels: there is no ratio of normal recordings to anomalous ones",
            where=windows.path,
            remedy="leave out --ratio",
        )
    rng = np.random.default_rng(split.seed)
    ids = np.array(windows.recordings["id"].to_list())
    anomalous = windows.counts[:, 1:].sum(axis=1) > 0
    codes = np.full(len(ids), NOWHERE, dtype=np.int8)
    present = windows.present
    codes[present] = part_codes(split, windows)[present]
    assignment, notes = {}, []
    most_of = {"train": train_size, "validation": None, "test": test_size}
    for code, part in enumerate(PARTS):
        rows = kept = np.flatnonzero(codes == code)
        if ratio is not None:
            kept = _balanced(rows, anomalous, ratio, rng)
        most = most_of[part]
        if most is not None:
            kept = _proportional(kept, anomalous, most, rng)
        assignment[part] = ids[np.sort(kept)].tolist()
        if len(kept) < len(rows):
            notes.append(f"{part}: {len(kept)} of {len(rows)} recordings, drawn by the seed")
    return replace(split, assignment=assignment, notes=[*split.notes, *notes])


def _balanced(
    rows: NDArray[np.int64], anomalous: NDArray[np.bool_], ratio: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    bad, good = rng.permutation(rows[anomalous[rows]]), rng.permutation(rows[~anomalous[rows]])
    return np.concatenate([bad, good[: int(len(bad) * ratio)]])


def _proportional(
    rows: NDArray[np.int64], anomalous: NDArray[np.bool_], most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """At most `most` of them, each class in its proportion but with one recording at least."""
    if len(rows) <= most:
        return rows
    bad, good = rng.permutation(rows[anomalous[rows]]), rng.permutation(rows[~anomalous[rows]])
    fewest_bad, fewest_good = min(1, len(bad)), min(1, len(good))
    share = round(most * len(bad) / len(rows))
    # At least one of each where there is one, and more of either where there are too few of the other.
    least = max(share, fewest_bad, most - len(good))
    n_bad = min(len(bad), least, max(most - fewest_good, 0))
    return np.concatenate([bad[:n_bad], good[: most - n_bad]])


def _whole_recordings(split: Split, what: str, remedy: str) -> None:
    if split.unit != "recording":
        raise SplitError(f"the {split.recipe} split divides recordings: {what}", remedy=remedy)
