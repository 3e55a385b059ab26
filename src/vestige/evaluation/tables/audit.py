"""The audit of a training and a test table: every check that tables allow, and what they cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from vestige.errors import UsageError
from vestige.escaping import visible
from vestige.evaluation.tables import chosen, copies, fitted, given, shortcuts
from vestige.evaluation.tables.given import Given
from vestige.evaluation.tables.reading import Stats, Table, agree, class_name, numbers_rows, open_table
from vestige.evaluation.tables.record import (
    Check,
    Found,
    NotChecked,
    TableAudit,
    TableShape,
    Worth,
    not_applicable,
)
from vestige.evaluation.tables.sides import Roles, Side, classes_of, gather, in_one_unit
from vestige.evaluation.tables.windows import (
    TEXTS,
    Windows,
    find_windows,
    future_context,
    neighbours,
    overlapping_windows,
    slide,
)
from vestige.evaluation.tables.worth import without

SAMPLE, EXAMPLES, SHOWN_COLUMNS = 50_000, 5, 60
NAMES = (
    "overlapping_windows", "duplicate_rows", "duplicates_under_two_ids", "near_duplicates", "ids_disjoint",
    "hosts_disjoint", "time_order", "scaler_fitted_on_all", "vocabulary_fitted_on_all", "future_context",
    "threshold_chosen_on_test", "epoch_chosen_on_test", "label_determined_by_host",
    "label_determined_by_column", "metadata_shortcut",
)  # fmt: skip
"""Every check, in the order in which it is told."""


@dataclass(frozen=True)
class Asked:
    """What is audited. `held_out`: what the split promises (`time`, `host`, `id`); `allowed`: checks whose
    findings are known and do not count; `normal`: the class without anomalies."""

    train: Path
    test: Path
    roles: Roles
    predictions: Path | None = None
    history: Path | None = None
    held_out: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    normal: str | None = None
    seed: int = 0
    command: str = ""


def audit_tables(asked: Asked) -> TableAudit:
    """Read both tables and run every check. Raises EvidenceError, UsageError."""
    unknown = [name for name in asked.allowed if name not in NAMES]
    if unknown:
        raise UsageError(
            f"--allow {visible(unknown[0], 80)}: there is no such check",
            remedy=f"there are: {', '.join(NAMES)}",
        )
    for what in asked.held_out:
        if what not in asked.roles.named:
            raise UsageError(
                f"--held-out {what}, but no column was named for it", remedy=f"add --{what} COLUMN"
            )
    roles = asked.roles
    train, test, notes = agree(open_table(asked.train), open_table(asked.test), list(roles.named.values()))
    for name in (roles.label, roles.host, roles.id):
        if name:
            train.kinds[name] = "text"
    features = [name for name in train.kinds if name not in roles.named.values()]
    numbers = [name for name in features if train.kinds[name] == "number"]
    stats = train.stats(numbers), test.stats(numbers)
    places = [name for name in numbers if numbers_rows(name, stats[0].get(name), stats[1].get(name))]
    if places:
        listed = ", ".join(visible(name, 80) or "without a name" for name in places)
        notes.append(f"columns that number the rows are no features, and left out: {listed}")
    features = [name for name in features if name not in places]
    classes = classes_of((train, test), roles.label, asked.normal) if roles.label else []
    sides = in_one_unit(*(gather(table, roles, features, classes) for table in (train, test)))
    notes += _apart(sides, classes)
    told = _Tables(asked, sides, stats, features, places, classes)
    found = told.checks()
    return TableAudit(
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        command=asked.command,
        train=_shape(train, roles, notes),
        test=_shape(test, roles, []),
        roles=roles.named,
        classes=classes,
        windows=told.windows.told if told.windows else "",
        probe="" if told.said is None else told.said.of,
        checks=found,
        not_checked=_not_checked(asked, told),
    )


class _Tables:
    """Both tables with all that several checks need."""

    def __init__(
        self,
        asked: Asked,
        sides: tuple[Side, Side],
        stats: tuple[dict[str, Stats], dict[str, Stats]],
        features: Sequence[str],
        places: Sequence[str],
        classes: list[str],
    ) -> None:
        self.asked, self.features, self.places, self.classes = asked, features, places, classes
        self.train, self.test = train, test = sides
        self.numbers = [name for name in features if train.table.kinds[name] == "number"]
        ours, theirs = ({name: of[name] for name in self.numbers if name in of} for of in stats)
        self.stats = ours, theirs
        self.windows: Windows | None = find_windows(train.table, features) if features else None
        self.links = neighbours(train, test, self.windows) if self.windows else {}
        self.slides = slide(self.links, len(train) + len(test))
        if self.windows and not self.windows.parting and not self.slides:
            # Numbered columns are steps where windows slide over them, and counts elsewhere.
            self.windows = None
        self.telling = len(copies.continuous(self.stats[0]))
        self.given = (
            given.read(asked.predictions, test, classes, asked.roles.id) if asked.predictions else None
        )
        self.samples = self._sample(train), self._sample(test)
        self.said = self.given or self._probe()

    def checks(self) -> list[Check]:
        """All checks in the order of `NAMES`."""
        train, test, asked, k = self.train, self.test, self.asked, len(self.classes)
        telling = self.telling if self.telling >= 3 and 2 * self.telling >= len(self.features) else 0
        found = [
            overlapping_windows(train, test, self.windows, self.links),
            copies.duplicate_rows(train, test, timed=train.times is not None, telling=telling)
            if self.features
            else not_applicable("duplicate_rows", "there is no column beside the named ones"),
            copies.duplicate_ids(train, test, telling=telling),
            copies.near_duplicates(
                train.table, test, self.features, train.content, telling=telling, seed=asked.seed
            ),
            self._renamed(
                "ids_disjoint",
                copies.shared("id", "id", train.ids, test.ids, promised="id" in asked.held_out),
            ),
            self._renamed(
                "hosts_disjoint",
                copies.shared("host", "host", train.hosts, test.hosts, promised="host" in asked.held_out),
            ),
            shortcuts.time_order(train, test, promised="time" in asked.held_out),
            fitted.scaler(*self.stats, fitted.quartiled(train.table, test.table, self.samples, self.numbers)),
            fitted.vocabulary(train, test, self._coded(), self.stats),
            self._future(),
            chosen.threshold(self.given, test.labels, asked.seed),
            chosen.epoch(asked.history),
            shortcuts.by_host(train, test, k),
            shortcuts.by_column(*self.samples, asked.roles, [*self.features, *self.places]),
            shortcuts.metadata(train, test, k, asked.seed),
        ]
        return [self._check(finding) for finding in found]

    def _renamed(self, name: str, found: Found) -> Found:
        return Found(name, found.status, found.detail, found.figure, found.rows, found.partners)

    def _coded(self) -> Windows | None:
        """Windows whose steps may be codes: parts of a date or a path are none, unless windows slide."""
        return self.windows if self.windows and (self.slides or self.windows.parting not in TEXTS) else None

    def _future(self) -> Found:
        label = self.asked.roles.label
        # Parts of a date, or words of a message, come as many in each cell, too; nothing slides over them.
        sliding = self.windows if self.slides else None
        of_windows = future_context(*self.samples, sliding, label, self.features)
        inside = set(self.windows.columns) if self.windows else set()
        ahead = shortcuts.columns_ahead(self.train, [name for name in self.numbers if name not in inside])
        both = [found for found in (of_windows, ahead) if found is not None]
        if not both:
            why = "needs windows that overlap and show what is judged, or times and numbers (--time)"
            return not_applicable("future_context", why)
        order = {"fail": 0, "warn": 1, "pass": 2}
        return min(both, key=lambda found: order[found.status])

    def _sample(self, side: Side) -> pl.DataFrame:
        rows = np.arange(len(side))
        if len(rows) > SAMPLE:
            rows = np.sort(np.random.default_rng(self.asked.seed).choice(rows, SAMPLE, replace=False))
        label, named = self.asked.roles.label, self.asked.roles.id
        columns = list(dict.fromkeys([*self.features, *self.places, *(n for n in (label, named) if n)]))
        frame = shortcuts.rows_at(side.table, rows, columns or list(self.asked.roles.named.values()))
        return frame.with_columns(class_name(pl.col(label))) if label else frame

    def _probe(self) -> Given | None:
        label = self.asked.roles.label
        if label is None or not self.features or self.samples[0][label].n_unique() < 2:
            return None
        return shortcuts.probe(
            self.samples[0], self.test.table, self.features, label, self.classes, self.asked.seed
        )

    def _check(self, found: Found) -> Check:
        rows = int(found.rows.sum()) if found.rows is not None else 0
        worth: Worth | None = found.told
        if found.status in {"fail", "warn"} and worth is None:
            if found.rows is not None and rows and self.said is not None:
                worth = without(self.said, self.test, len(self.classes), found.rows, self.asked.seed)
            elif not rows:
                worth = Worth(of="", note=UNTOLD)
        return Check(
            name=found.name,
            status=found.status,
            figure=found.figure,
            detail=visible(found.detail, 1_000),
            rows=rows,
            examples=_examples(found),
            worth=worth,
            allowed=found.name in self.asked.allowed and found.status in {"fail", "warn"},
        )


UNTOLD = "what it was worth cannot be told from tables: mend it, train and judge again"


def _examples(found: Found) -> tuple[str, ...]:
    """Rows of the test, counted from 1 without a head, with their partner in training where there is one."""
    if found.rows is None or found.status not in {"fail", "warn"}:
        return ()
    told = []
    for row in np.flatnonzero(found.rows)[:EXAMPLES].tolist():
        partner = found.partners.get(row)
        beside = "" if partner is None else f" and training row {partner + 1}"
        told.append(f"test row {row + 1}{beside}")
    return tuple(told)


def _apart(sides: tuple[Side, Side], classes: list[str]) -> list[str]:
    """Said where the tables have no class in common: they may spell the same ones in two ways."""
    if not classes:
        return []
    codes = (np.zeros(0, dtype=np.int64) if side.labels is None else np.unique(side.labels) for side in sides)
    ours, theirs = ({classes[code] for code in part} for part in codes)
    if ours & theirs:
        return []
    spelt = (", ".join(visible(name, 40) for name in sorted(part)[:5]) for part in (ours, theirs))
    return ["the tables have no class in common: training has {}, the test {}".format(*spelt)]


def _shape(table: Table, roles: Roles, notes: list[str]) -> TableShape:
    by_column = {column: role for role, column in roles.named.items()}
    taken = {
        visible(name, 80): by_column.get(name, kind)
        for name, kind in list(table.kinds.items())[:SHOWN_COLUMNS]
    }
    more = len(table.kinds) - SHOWN_COLUMNS
    told = [*table.notes, *notes, *([f"{more} more columns are not listed"] if more > 0 else [])]
    return TableShape(path=visible(str(table.path)), rows=table.rows, columns=taken, notes=tuple(told))


def _not_checked(asked: Asked, told: _Tables) -> list[NotChecked]:
    """What nobody can tell from these tables."""
    found = []
    if asked.history is None:
        found.append(NotChecked(
            what="whether the epoch, the hyper-parameters or the columns were chosen on the test",
            why="a table shows what came out, not what was tried",
            remedy="give the history of the training (--history); else keep the test part sealed",
        ))  # fmt: skip
    if told.given is None:
        found.append(NotChecked(
            what="whether the threshold was chosen on the test, and what leaks were worth to your detector",
            why="no predictions were given; figures are those of a decision tree of ours",
            remedy="give them: --predictions P, with columns score, and predicted or alert",
        ))  # fmt: skip
    if asked.roles.time is None:
        found.append(NotChecked(
            what="whether the test lies after training, and whether columns look ahead",
            why="no column of times was named", remedy="add --time COLUMN",
        ))  # fmt: skip
    if told.windows is None:
        found.append(NotChecked(
            what="whether rows that were computed from windows share steps",
            why="the steps are not in the tables: sums and means of two windows do not show what they share",
            remedy="give the windows, or the first and last step of each as --id",
        ))  # fmt: skip
    found += [
        NotChecked(
            what="whether a scaler or a vocabulary was fitted on a validation part, too",
            why="that part is in neither table",
            remedy="audit training against validation",
        ),
        NotChecked(
            what="whether values were filled in, selected or encoded by label with a look at the test",
            why="such values look like any others",
            remedy="fit every step in one pipeline, on training alone",
        ),
        NotChecked(
            what="whether labels were made by the detector itself, or a pre-trained model has read the test",
            why="nothing in a table tells where it came from",
            remedy="write down how labels were made, and what was read before",
        ),
    ]
    return found
