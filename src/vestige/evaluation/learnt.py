"""What learning without labels came to, as data: the terminal, the page and JSON are drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from vestige import checked
from vestige.errors import DatasetError
from vestige.evaluation.again import Again
from vestige.evaluation.bootstrap import exact_bounds
from vestige.evaluation.parts import AlertRate, PartOf, Share, Stretch
from vestige.evaluation.plant_kinds import KINDS
from vestige.evaluation.sensitivity import Sensitivity
from vestige.evidence.defects import Defect

FILE = "learnt.json"
FORMAT: Literal["vestige-learnt/1"] = "vestige-learnt/1"


class WholeRecordings(BaseModel):
    """Whole recordings: from how many was learnt, and what there was no room for; the share `alpha` of normal
    ones that is to alert; and how many of those in the check did, with exact 95% bounds of their share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learnt: int
    left_out: dict[str, int]
    alpha: float
    looks: list[str]
    checked: int
    alerts: int
    low: float | None = None
    high: float | None = None


class Silenced(BaseModel):
    """Silences: how many kinds of events, and logs, had a steady habit, of how many; the shortest silence of
    them that is told, that of the middle one and the longest, in seconds; those that `came` in the check; and
    of events and logs that were made to stop there (`stops`) how many were `found` before the check ended,
    with exact 95% bounds of their share, after how many seconds in the middle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: int
    of_kinds: int
    logs: int
    of_logs: int
    told_after_s: list[float]
    came: int
    stops: int
    found: int
    low: float | None = None
    high: float | None = None
    delay_s: float | None = None


class Contaminated(BaseModel):
    """The same check where the `share` of the windows learnt from showed a planted anomaly: the alerts that
    came, and by kind (in the plural) what was found of the plants in the check part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float
    came: AlertRate
    found: dict[str, Share]

    @classmethod
    def of(cls, share: float, came: AlertRate, table: pl.DataFrame, kinds: Sequence[str]) -> Self:
        """Of a table of `plants.detected`; `kinds` are those of the `Plants`."""
        plural = dict(zip((kind.name for kind in KINDS), kinds, strict=True))
        found: dict[str, Share] = {}
        for name in table["kind"].unique(maintain_order=True).to_list():
            rows = table.filter(pl.col("kind") == name)
            count, of = int(rows["found"].sum()), int(rows["of"].sum())
            low, high = exact_bounds(count / of, of)
            found[plural[name]] = Share(found=count, of=of, share=count / of, low=low, high=high)
        return cls(share=share, came=came, found=found)


class Learnt(BaseModel):
    """What was learnt from what, and what its own check says of it. `options`: how the evidence was read, as
    far as not by default. `stretches`: alerts of one recording that
    follow within a window's length as one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["vestige-learnt/1"] = FORMAT
    source: str
    evidence: str
    command: str
    options: dict[str, Any] = {}
    seed: int = 0
    budget: str
    alpha: float
    parted: str
    learn: PartOf
    calibrate: PartOf
    check: PartOf
    looks: list[str]
    promised: AlertRate
    expected: AlertRate
    """What the calibration leads to expect of a threshold that stays as it is."""
    beyond: AlertRate
    """Windows beyond that threshold."""
    came: AlertRate
    """Alerts, the threshold being moved as evidence comes."""
    stretches: AlertRate | None = None
    strangest: list[Stretch]
    warnings: list[str]
    left_out: dict[str, int]
    left_out_first: list[Defect] = []
    """What was left out first: the file, the row, what, and why."""
    sensitivity: Sensitivity | None = None
    contamination: list[Contaminated] = []
    """The check as it was, then of detectors that learnt from what was in part an attack."""
    whole: WholeRecordings | None = None
    silences: Silenced | None = None
    """What should have come and did not; None where nothing has a time, or is no event."""
    again: Again | None = None
    """What would change where it takes the place of an earlier detector."""

    def to_json(self) -> str:
        """Indented JSON."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `to_json` wrote. Raises DatasetError for anything else."""
        try:
            return cls.model_validate(checked.load(checked.read(path)))
        except (OSError, ValueError, ValidationError) as error:
            raise DatasetError(
                f"cannot be read ({checked.reason(error)})", where=path, remedy="learn again"
            ) from error

    @property
    def kept(self) -> bool:
        """Whether what came may be no more than what was promised."""
        return (self.came.low or 0.0) <= self.promised.rate

    @property
    def drift(self) -> float | None:
        """How many times as many windows as the calibration led to expect lie beyond the threshold; None
        where that may be chance."""
        if (self.beyond.low or 0.0) <= self.expected.rate:
            return None
        return self.beyond.rate / self.expected.rate
