"""A detector in scikit-learn's form: its conventions, as far as a sample that is a text allows."""

from __future__ import annotations

import pickle

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.utils import estimator_checks

from tests.surface.conftest import ODD, line
from vestige.errors import VestigeError
from vestige.sklearn import LogDetector

WITHOUT_TABLES = (
    "check_estimator_cloneable",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimator_repr",
    "check_mixin_order",
    "check_valid_tag_types",
)


@pytest.fixture(scope="module")
def fitted(lines: list[str]) -> LogDetector:
    return LogDetector(budget="1/300").fit(lines)


@pytest.mark.parametrize("check", WITHOUT_TABLES)
def test_checks_of_scikit_learn_that_need_no_table_pass(check: str) -> None:
    getattr(estimator_checks, check)("LogDetector", LogDetector())


def test_check_estimator_passes_and_says_what_it_cannot_test() -> None:
    with pytest.warns(SkipTestWarning, match="Can't test estimator LogDetector"):
        found = estimator_checks.check_estimator(LogDetector(), on_fail=None)
    assert {result["status"] for result in found} == {"passed"}


def test_what_was_never_there_is_an_outlier(fitted: LogDetector, lines: list[str]) -> None:
    new = [*lines[-200:], line(2000, ODD), "    at a frame of it"]
    said = fitted.predict(new)
    assert said.shape == (len(new),)
    assert set(said.tolist()) == {-1, 1}
    assert said[-2:].tolist() == [-1, -1]
    scores = fitted.score_samples(new)
    assert scores[-2] == scores[-1] < np.quantile(scores, 0.05)
    assert np.array_equal(scores, fitted.decision_function(new))


def test_fitting_sets_only_what_ends_in_an_underscore(fitted: LogDetector) -> None:
    own = set(vars(fitted)) - set(fitted.get_params())
    assert own == {"files_", "n_lines_in_"}
    assert "report.html" not in fitted.files_


def test_a_second_fit_and_a_pickle_say_the_same(fitted: LogDetector, lines: list[str]) -> None:
    said = fitted.predict(lines)
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict(lines), said)  # noqa: S301 - our own
    assert np.array_equal(clone(fitted).fit(lines).predict(lines), said)


def test_what_is_not_fitted_or_no_line_is_refused(fitted: LogDetector, lines: list[str]) -> None:
    with pytest.raises(NotFittedError):
        LogDetector().predict(lines)
    with pytest.raises(TypeError, match="one line"):
        fitted.predict(lines[0])
    with pytest.raises(TypeError, match="not float"):
        fitted.predict([1.0])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="not NoneType"):
        fitted.predict([*lines, None])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="None is not a list"):
        fitted.predict(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="give its column"):
        fitted.predict(pl.DataFrame({"text": lines}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no lines"):
        fitted.fit([])
    with pytest.raises(VestigeError, match="several lines"):
        fitted.predict(["a\nb"])
    with pytest.raises(VestigeError):
        LogDetector().fit(lines[:20])


def test_lines_before_the_first_message_are_no_outliers(
    fitted: LogDetector, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    said = fitted.predict(["    the end of a trace", *lines[:50]])
    assert len(said) == 51
    assert said[0] == 1
