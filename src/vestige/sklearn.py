"""Detectors in scikit-learn's form: `LogDetector().fit(lines).predict(lines)`.

They follow scikit-learn's conventions for outlier detectors: `predict` gives -1 for what alerts and 1 for all
else, and of `decision_function` and `score_samples` the higher is the more normal. A sample is a line of a
log, given as `str`, so of scikit-learn's `check_estimator` those checks apply that need no table of numbers
(docs/api.md names them).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from vestige import api, log
from vestige.errors import UsageError
from vestige.evaluation.learnt_page import PAGE_FILE

logger = log.get(__name__)


class LogDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """What is normal in a log, learnt without labels from its lines, in their order.

    Parameters
    ----------
    budget : alerts that you want to read: "5/day", "1/hour", or "1/1000" (of so many windows).
    model : "ngram", or a network of the task next, such as "gru" (needs the extra `neural`).
    format : how the lines are read, as `vestige prepare logs --format` has it; "auto" finds that out.
    random_state : seed of whatever is drawn by chance.

    Attributes
    ----------
    files_ : the detector as `vestige learn` writes it, the bytes of each file by its name. They are plain
        data (JSON, safetensors), so a pickle of this object holds nothing else.
    n_lines_in_ : how many lines it learnt from.

    Example
    -------
    >>> detector = LogDetector(budget="1/1000").fit(lines)            # doctest: +SKIP
    >>> suspicious = [line for line, said in zip(new, detector.predict(new)) if said == -1]  # doctest: +SKIP
    """

    files_: dict[str, bytes]
    n_lines_in_: int

    def __init__(
        self,
        *,
        budget: str = "5/day",
        model: str = "ngram",
        format: str = "auto",  # noqa: A002 - the name of the option
        random_state: int = 0,
    ) -> None:
        self.budget = budget
        self.model = model
        self.format = format
        self.random_state = random_state

    def fit(self, X: Sequence[str], y: object = None) -> Self:  # noqa: ARG002
        """Learn what is normal from lines, oldest first; `y` is not looked at.

        Raises TypeError for what are no lines, SplitError where there are too few (200 at the least),
        EvidenceError where nothing repeats.
        """
        lines = _lines(X)
        with tempfile.TemporaryDirectory(prefix="vestige-") as place:
            detector = api.learn(
                lines,
                Path(place) / "detector",
                budget=self.budget,
                model=self.model,
                seed=self.random_state,
                format=self.format,
                label="none",
            )
            self.files_ = {
                file.name: file.read_bytes()
                for file in sorted(detector.path.iterdir())
                if file.is_file() and file.name != PAGE_FILE
            }
        self.n_lines_in_ = len(lines)
        return self

    def predict(self, X: Sequence[str]) -> NDArray[np.int64]:
        """-1 for each line of a message that alerts, within the budget, else 1: `(N,)`. Lines that follow a
        message and belong to it (a stack trace) are said to be what it is."""
        return np.where(self._judged(X)[1], -1, 1)

    def score_samples(self, X: Sequence[str]) -> NDArray[np.float64]:
        """How normal each line is, `(N,)`: the logarithm, to base 10, of the share of normal windows that are
        as strange; 0 for lines that belong to no message."""
        return -self._judged(X)[0]

    def decision_function(self, X: Sequence[str]) -> NDArray[np.float64]:
        """As `score_samples`. Which lines alert also depends on how much of the budget is spent, so no value
        of it divides those of `predict`."""
        return self.score_samples(X)

    def __sklearn_tags__(self) -> Tags:
        """A sample is a text: no table of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags

    def _judged(self, X: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The score, and whether it alerts, of each line: those of the message that it belongs to."""
        check_is_fitted(self)
        lines = _lines(X)
        with tempfile.TemporaryDirectory(prefix="vestige-") as place:
            for name, content in self.files_.items():
                (Path(place) / name).write_bytes(content)
            found = api.load(place).score(lines)
        score, alert = np.zeros(len(lines)), np.zeros(len(lines), dtype=bool)
        rows = found["row"].to_numpy()
        owner = np.searchsorted(np.sort(rows), np.arange(len(lines)), side="right") - 1
        order = np.argsort(rows, kind="stable")
        known = owner >= 0
        score[known] = found["score"].to_numpy()[order][owner[known]]
        alert[known] = found["alert"].to_numpy()[order][owner[known]]
        if not known.all():
            logger.warning("%d lines before the first message belong to none", int((~known).sum()))
        return score, alert


def _lines(X: Any) -> list[str]:
    """Lines as a list. Raises TypeError for anything else, ValueError where there are none."""
    if isinstance(X, str):
        raise TypeError("a str is one line; give a list of lines")
    # Whoever goes through a table finds the names of its columns.
    if hasattr(X, "columns"):
        raise TypeError("a table is not a list of lines; give its column of lines")
    if not isinstance(X, Iterable):
        raise TypeError(f"{X!r} is not a list of lines")
    lines = list(X)
    wrong = [line for line in lines if not isinstance(line, str)]
    if wrong:
        raise TypeError(f"a sample is a line of a log, a str, not {type(wrong[0]).__name__}")
    if not lines:
        raise ValueError("there are no lines: 0 sample(s) while a minimum of 1 is required")
    if any("\n" in line for line in lines):
        raise UsageError("a sample holds several lines", remedy="give each line as a sample of its own")
    return lines
