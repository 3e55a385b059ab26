"""What a search found: every trial that ended, the best, and which parameters mattered."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vestige.models.space import Space, Value
from vestige.storage import write_text
from vestige.tuning import study as studies

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FOLDER = "tuning"
"""Of the run, for all that is the search's."""
TRIALS, SUMMARY = "trials.csv", "search.json"
FEWEST = 4
"""Trials that ended well, of which the importance of parameters is told."""


@dataclass(frozen=True)
class Row:
    """A trial. `state`: COMPLETE, PRUNED or FAIL; `value`: None where it failed; `epochs`: None for a
    detector that learns in one go; `reason`: why it was ended early, or failed; `defaults`: whether it has
    the defaults."""

    number: int
    state: str
    value: float | None
    settings: dict[str, Value]
    seconds: float | None
    epochs: int | None
    reason: str
    defaults: bool = False


@dataclass(frozen=True)
class Findings:
    """`rows`: by number. `importance`: the share of the figure's variance that each parameter explains
    (fANOVA; Hutter, Hoos and Leyton-Brown, ICML 2014); empty where `unimportant` says why."""

    model: str
    figure: str
    space: Space
    rows: list[Row]
    importance: dict[str, float] = field(default_factory=dict)
    unimportant: str = ""

    @property
    def best(self) -> Row | None:
        """The trial with the highest value, of equals the first."""
        ended = [row for row in self.rows if row.state == "COMPLETE" and row.value is not None]
        return max(ended, key=lambda row: (row.value, -row.number), default=None)

    @property
    def default(self) -> Row | None:
        """The trial of the defaults, where it ended well."""
        found = (row for row in self.rows if row.defaults and row.state == "COMPLETE")
        return next(found, None)

    @property
    def ranked(self) -> list[Row]:
        """The best first, then those that were ended early, those that failed last."""
        order = {"COMPLETE": 0, "PRUNED": 1, "FAIL": 2}
        return sorted(
            self.rows,
            key=lambda row: (order[row.state], -(row.value if row.value is not None else 0.0), row.number),
        )

    @property
    def counts(self) -> str:
        """How many trials ended how, in words."""
        states = [row.state for row in self.rows]
        told = [
            (states.count("COMPLETE"), "complete"),
            (states.count("PRUNED"), "ended early"),
            (states.count("FAIL"), "failed"),
        ]
        return ", ".join(f"{count} {what}" for count, what in told)

    @property
    def summary(self) -> str:
        """A sentence or two for whoever searched."""
        sentences = [f"{len(self.rows)} trials of {self.model}: {self.counts}."]
        best, default = self.best, self.default
        if best is not None and best.value is not None:
            sentences.append(f"The best is trial {best.number}: {self.figure} {best.value:.4f}.")
        if default is not None and default.value is not None:
            sentences.append(f"The defaults reach {default.value:.4f}.")
        elif best is not None:
            sentences.append("The defaults were not among the trials that ended well.")
        return " ".join(sentences)

    def save(self, folder: Path) -> None:
        """Write `trials.csv` and `search.json`, each atomically."""
        text = io.StringIO()
        columns = ["number", "state", "value", "seconds", "epochs", "defaults", *self.space, "reason"]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            told = {name: getattr(row, name) for name in (*columns[:6], "reason")}
            writer.writerow({**told, **row.settings})
        write_text(folder / TRIALS, text.getvalue())
        plain: dict[str, Any] = {
            "format": "vestige-search/1",
            "model": self.model,
            "figure": self.figure,
            "counts": self.counts,
            "best": None if self.best is None else vars(self.best),
            "default": None if self.default is None else vars(self.default),
            "importance": self.importance,
            "unimportant": self.unimportant,
        }
        write_text(folder / SUMMARY, json.dumps(plain, indent=1) + "\n")


def findings_of(study: optuna.Study, model: str, space: Space, figure: str) -> Findings:
    """All that the study tells of the trials that ended."""
    rows = [_row(study, trial) for trial in studies.counted(study)]
    importance, unimportant = _importance(study, rows)
    return Findings(model, figure, space, rows, importance, unimportant)


def _row(study: optuna.Study, trial: FrozenTrial) -> Row:
    epochs = max(trial.intermediate_values, default=None)
    return Row(
        trial.number,
        trial.state.name,
        trial.value,
        dict(trial.user_attrs.get(studies.SETTINGS, trial.params)),
        trial.user_attrs.get("seconds"),
        epochs,
        studies.reason_of(study, trial),
        bool(trial.user_attrs.get("defaults", False)),
    )


def _importance(study: optuna.Study, rows: list[Row]) -> tuple[dict[str, float], str]:
    """Importance by parameter, the highest first; and why there is none."""
    import optuna

    values = [row.value for row in rows if row.state == "COMPLETE"]
    if len(values) < FEWEST:
        return {}, f"fewer than {FEWEST} trials were complete: nobody can tell which parameters matter"
    if len(set(values)) == 1:
        return {}, "all complete trials reach the same: no parameter matters"
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: round(float(share), 6) for name, share in found.items()}, ""
