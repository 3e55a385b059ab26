"""What the audit of two tables found, as typed plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.record import IntervalResult, Number, Record

FORMAT: Literal["vestige-audit/1"] = "vestige-audit/1"

Status = Literal["pass", "warn", "fail", "not_applicable"]


class Metrics(Record):
    """Metrics of predictions on some test rows; null where there is no value."""

    rows: int
    macro_f1: Number = None
    average_precision: Number = None
    recall: Number = None
    fpr: Number = None


class Worth(Record):
    """What a finding may have been worth.

    `of`: whose metrics these are (the predictions that were given, or a probe of ours). `before`: on all test
    rows; `after`: without the rows concerned, or with the choice made honestly. `drop`: of macro F1, from
    before to after. `note`: what was done, in a sentence.
    """

    of: str
    before: Metrics | None = None
    after: Metrics | None = None
    drop: IntervalResult | None = None
    note: str


class Check(Record):
    """One check: `rows` counts the test rows concerned, `examples` names some of them, from 1."""

    name: str
    status: Status
    figure: Number = None
    detail: str
    rows: int = 0
    examples: tuple[str, ...] = ()
    worth: Worth | None = None
    allowed: bool = False


class NotChecked(Record):
    """What tables cannot tell, why, and what would let it be told."""

    what: str
    why: str
    remedy: str = ""


class TableShape(Record):
    """A table as it was read. `columns`: how each was taken."""

    path: str
    rows: int
    columns: dict[str, str]
    notes: tuple[str, ...] = ()


class TableAudit(Record):
    """The whole audit."""

    format: Literal["vestige-audit/1"] = FORMAT
    created: str
    command: str = ""
    train: TableShape
    test: TableShape
    roles: dict[str, str]
    classes: list[str]
    windows: str = ""
    probe: str = ""
    checks: list[Check]
    not_checked: list[NotChecked]

    @property
    def findings(self) -> list[Check]:
        """Checks that failed or warn and were not allowed, failures first."""
        found = [check for check in self.checks if check.status in {"fail", "warn"} and not check.allowed]
        return sorted(found, key=lambda check: check.status != "fail")


@dataclass(frozen=True)
class Found:
    """A check before its worth is reckoned: `rows` `(N,)` marks the test rows concerned.

    `told`: a worth that the check reckoned by itself.
    """

    name: str
    status: Status
    detail: str
    figure: float | None = None
    rows: NDArray[np.bool_] | None = None
    partners: Mapping[int, int] = field(default_factory=dict)
    told: Worth | None = None


def not_applicable(name: str, why: str) -> Found:
    """A check that these tables do not allow."""
    return Found(name, "not_applicable", why)
