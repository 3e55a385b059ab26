"""A detector's results: honest about what has no value, and read by whoever reads metrics.json."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.evaluation.made_up import made_up, made_up_run
from vestige.errors import DatasetError, SplitError, UsageError
from vestige.evaluation.comparing import compare
from vestige.evaluation.judging import evaluate
from vestige.evaluation.metrics import at_threshold
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.results import Comparison, DetectorResults, RunResults
from vestige.evaluation.threshold import choose

THREE = ("benign", "dos", "scan")


def judge(name: str = "gru", skill: float = 2.0, **more: Any) -> DetectorResults:
    validation, test = made_up(seed=5, skill=skill), made_up(seed=9, skill=skill)
    return evaluate(name, validation, test, resamples=100, **more)


def test_the_results_are_scikit_learns() -> None:
    test = made_up(seed=9, classes=THREE)
    found = evaluate("gru", made_up(seed=5, classes=THREE), test, resamples=50)
    truth, said = test.label, test.predicted
    assert found.macro_f1.estimate == pytest.approx(sk.f1_score(truth, said, average="macro"), abs=1e-12)
    assert found.metrics["accuracy"].estimate == pytest.approx(sk.accuracy_score(truth, said), abs=1e-12)
    assert found.confusion.counts == sk.confusion_matrix(truth, said).tolist()
    assert [c.name for c in found.curves] == ["anomaly score", *THREE]
    for k, curve in enumerate(found.curves[1:]):
        assert curve.roc_auc == pytest.approx(sk.roc_auc_score(truth == k, test.proba[:, k]), abs=1e-12)


def test_the_threshold_never_sees_the_test_part() -> None:
    validation = made_up(seed=5)
    thresholds = {evaluate("x", validation, made_up(seed=s), resamples=20).threshold.value for s in range(3)}
    assert thresholds == {choose(validation).value}


def test_recall_at_a_fixed_rate_is_read_off_validation_and_the_bound_off_the_test() -> None:
    validation, test = made_up(2_000, seed=5, skill=1), made_up(2_000, seed=9, skill=1)
    rows = evaluate("x", validation, test, resamples=20).fixed_fpr
    assert len(rows) > 0
    for row in rows:
        assert row.from_validation is not None
        assert row.from_validation.threshold == choose(validation, f"fpr={row.fpr}").value
        reached = at_threshold(test.score, test.positive, row.from_validation.threshold)
        assert (row.from_validation.recall, row.from_validation.fpr) == (reached.recall, reached.fpr)
        assert row.upper_bound.fpr is not None
        assert row.upper_bound.fpr <= row.fpr


def test_an_interval_holds_its_estimate() -> None:
    found = judge()
    for one in (found.metrics[name] for name in ("macro_f1", "average_precision", "roc_auc", "recall")):
        assert one.low is not None
        assert one.estimate is not None
        assert one.high is not None
        assert one.low <= one.estimate <= one.high


def test_alerts_are_counted_by_day_and_by_host() -> None:
    test = made_up(240, recordings=3, seed=9)
    found = evaluate("x", made_up(seed=5), test, policy="f1", resamples=20)
    alerts = found.alerting.tp + found.alerting.fp
    assert found.alerting.alerts_per_day == pytest.approx(alerts / (239 / 24))
    assert found.alerting.alerts_per_host_day == pytest.approx(alerts / (3 * 79 / 24))
    timeless = dataclasses.replace(test, t_ns=np.zeros(240, dtype=np.int64))
    assert evaluate("x", made_up(seed=5), timeless, resamples=20).alerting.alerts_per_day is None


def test_a_group_without_a_class_has_no_macro_f1() -> None:
    test = made_up(400, recordings=4)
    label = np.where(test.recording == 0, 0, test.label)
    found = evaluate("x", made_up(seed=5), dataclasses.replace(test, label=label), resamples=20)
    rows = {row.name: row for row in found.per_recording.rows}
    assert rows["host0/app0.log"].macro_f1 is None
    assert rows["host0/app0.log"].recall is None
    assert rows["host0/app0.log"].per_class == {"normal": 100, "anomaly": 0}
    assert rows["host1/app1.log"].macro_f1 is not None


def test_a_class_that_never_occurs_is_null_and_not_in_the_confusion_matrix() -> None:
    test = made_up(classes=("benign", "dos"))
    proba = np.concatenate([test.proba, np.zeros((len(test), 1))], axis=1)
    test = dataclasses.replace(test, classes=THREE, proba=proba)
    found = evaluate("x", test, test, resamples=20)
    assert found.confusion.classes == ["benign", "dos"]
    assert (found.per_class[2].f1, found.per_class[2].recall, found.per_class[2].support) == (None, None, 0)


def test_seen_and_novel_windows_are_told_apart() -> None:
    found = judge()
    assert found.seen is not None
    assert found.novel is not None
    assert (found.seen.windows, found.novel.windows) == (450, 150)


def test_an_empty_part_is_refused() -> None:
    test = made_up()
    with pytest.raises(SplitError):
        evaluate("x", test, test.select(np.zeros(len(test), dtype=bool)))


def test_a_validation_part_without_normal_windows_has_no_honest_fixed_rate() -> None:
    validation = made_up(label=np.ones(600, dtype=np.int64))
    with pytest.raises(UsageError):
        evaluate("x", validation, made_up(seed=9), resamples=20)
    found = evaluate("x", validation, made_up(seed=9), policy="alerts=5", resamples=20)
    assert [row.from_validation for row in found.fixed_fpr] == [None, None, None]


def compared(model_skill: float, *baseline_skills: float) -> list[Comparison]:
    skills = {"gru": model_skill, **{f"base{n}": s for n, s in enumerate(baseline_skills)}}
    tests = {name: made_up(seed=9, skill=skill) for name, skill in skills.items()}
    results = [
        evaluate(
            name,
            made_up(seed=5, skill=skill),
            tests[name],
            kind="model" if name == "gru" else "baseline",
            resamples=200,
        )
        for name, skill in skills.items()
    ]
    return compare(results, tests, resamples=200)


def test_a_better_model_is_said_to_beat_the_best_baseline() -> None:
    (found,) = compared(3.0, 0.5, 1.0)
    assert (found.outcome, found.baseline) == ("better", "base1")
    assert found.sentence.startswith("gru beats the best baseline: macro F1 ")
    assert "of base1 (best on validation), a difference of +0." in found.sentence
    assert "On the test part" not in found.sentence
    assert (found.gain.low or 0) > 0
    assert found.share_not_better == 0


def test_a_worse_model_is_said_not_to() -> None:
    (found,) = compared(0.5, 4.0)
    assert found.outcome == "not better"
    assert found.sentence.startswith("gru does NOT beat the best baseline: macro F1 ")
    assert found.share_not_better == 1


def with_baselines_named(named: set[str]) -> RunResults:
    """A weak model beside a strong and a weak baseline, of which those `named` were trained as models."""
    skills = {"gru": 1.0, "strong": 3.0, "weak": 0.5}
    tests = {name: made_up(seed=9, skill=skill) for name, skill in skills.items()}
    results = []
    for name, skill in skills.items():
        kind: Literal["model", "baseline"] = "model" if name in named | {"gru"} else "baseline"
        found = evaluate(name, made_up(seed=5, skill=skill), tests[name], kind=kind, resamples=200)
        results.append(found.model_copy(update={"also_baseline": name in named}))
    run, _ = made_up_run()
    comparisons = compare(results, tests, resamples=200)
    return run.model_copy(update={"detectors": results, "comparisons": comparisons})


@pytest.mark.parametrize("named", [set(), {"strong"}, {"weak"}, {"strong", "weak"}])
def test_naming_a_baseline_as_a_model_changes_no_headline(named: set[str]) -> None:
    found = with_baselines_named(named)
    assert found.headline is not None
    assert found.headline.sentence.startswith("gru does NOT beat the best baseline: ")
    assert "of strong (best on validation)" in found.headline.sentence
    assert [one.model for one in found.comparisons] == [name for name in ("gru", "strong", "weak")
                                                        if name in named | {"gru"}]  # fmt: skip


def test_a_baseline_that_was_named_is_compared_with_all_baselines_itself_among_them() -> None:
    _, strong, weak = with_baselines_named({"strong", "weak"}).comparisons
    assert strong.sentence.startswith("strong is itself the best baseline on validation: macro F1 ")
    assert weak.sentence.startswith("weak does NOT beat the best baseline: ")
    assert [strong.outcome, weak.outcome] == ["not better", "not better"]


def test_a_baseline_that_was_named_is_a_baseline_in_the_report_of_another_model() -> None:
    found = with_baselines_named({"strong"})
    assert [one.role for one in found.detectors] == ["model", "model and baseline", "baseline"]
    assert [(one.name, one.role) for one in found.only("gru").detectors] == [
        ("gru", "model"), ("strong", "baseline"), ("weak", "baseline"),
    ]  # fmt: skip
    assert [one.name for one in found.only("strong").models] == ["strong"]


def test_an_equal_model_gains_exactly_nothing() -> None:
    (found,) = compared(2.0, 2.0)
    assert (found.gain.estimate, found.gain.low, found.gain.method) == (0, None, "none")
    assert found.outcome == "not better"


def ranked(
    model: Predictions, on_validation: Predictions, on_test: Predictions, worst: Predictions
) -> Comparison:
    """The model against two baselines: one best on validation, the other best on the test part."""
    tests = {"gru": model, "new_token": on_validation, "majority": on_test}
    good, bad = made_up(seed=5, skill=6), worst
    results = [
        evaluate("gru", good, model, resamples=200),
        evaluate("new_token", good, on_validation, kind="baseline", resamples=200),
        evaluate("majority", bad, on_test, kind="baseline", resamples=200),
    ]
    (found,) = compare(results, tests, resamples=200)
    assert (found.baseline, found.hindsight_baseline) == ("new_token", "majority")
    return found


@pytest.mark.parametrize(
    ("skill", "outcome", "says"),
    [
        (1.0, "not better", "gru does NOT beat the best baseline: "),
        (2.02, "unclear", "gru is NOT shown to beat the best baseline: "),
        (4.0, "better", "gru beats the best baseline: "),
    ],
)
def test_better_means_better_than_the_baseline_that_is_best_on_the_test_part_too(
    skill: float, outcome: str, says: str
) -> None:
    model, weak, strong = (made_up(seed=9, skill=s) for s in (skill, 0.1, 2.0))
    found = ranked(model, weak, strong, made_up(seed=5, skill=-3))
    assert found.gain.low is not None
    assert (found.gain.low or 0) > 0
    assert found.outcome == outcome
    assert found.sentence.startswith(says)
    gap = f"a difference of {found.hindsight_gain.estimate:+.3f} (95% interval "
    assert "of new_token (best on validation), a difference of +0." in found.sentence
    assert re.search(r"On the test part the best baseline is majority with 0\.\d{3}: ", found.sentence)
    assert gap in found.sentence


def test_the_best_baseline_is_chosen_on_validation_and_hindsight_is_shown_beside_it() -> None:
    tests = {"gru": made_up(seed=9), "a": made_up(seed=9, skill=0.2), "b": made_up(seed=9, skill=3)}
    results = [
        evaluate("gru", made_up(seed=5), tests["gru"], resamples=50),
        evaluate("a", made_up(seed=5, skill=4), tests["a"], kind="baseline", resamples=50),
        evaluate("b", made_up(seed=5, skill=0.1), tests["b"], kind="baseline", resamples=50),
    ]
    (found,) = compare(results, tests, resamples=50)
    assert (found.baseline, found.hindsight_baseline) == ("a", "b")


def test_detectors_on_different_windows_cannot_be_compared() -> None:
    tests = {"gru": made_up(seed=9), "a": made_up(500, seed=9)}
    results = [
        evaluate("gru", made_up(seed=5), tests["gru"], resamples=20),
        evaluate("a", made_up(seed=5), tests["a"], kind="baseline", resamples=20),
    ]
    with pytest.raises(ValueError, match="same test windows"):
        compare(results, tests)


def test_untrusted_intervals_are_said_so_in_the_headline() -> None:
    tests = {name: made_up(seed=9, recordings=3) for name in ("gru", "a")}
    results = [
        evaluate("gru", made_up(seed=5), tests["gru"], resamples=20),
        evaluate("a", made_up(seed=5), tests["a"], kind="baseline", resamples=20),
    ]
    (found,) = compare(results, tests, resamples=20)
    assert "The intervals cannot be trusted: only 3 recordings" in found.sentence


def test_metrics_json_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text('{"format": "vestige-metrics/99"}')
    with pytest.raises(DatasetError) as raised:
        RunResults.load(path)
    assert str(raised.value) == (
        f"{path}: is of format 'vestige-metrics/99'; this version reads 'vestige-metrics/3'\n"
        "  remedy: evaluate the run again: vestige evaluate RUN"
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("[]", "an object"),
        ("{}", "title: Field"),
    ],
)
def test_metrics_json_that_is_damaged_is_refused_in_a_sentence(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(DatasetError, match=what) as raised:
        RunResults.load(tmp_path / "metrics.json")
    assert len(raised.value.what.splitlines()) == 1
    with pytest.raises(DatasetError, match="No such file"):
        RunResults.load(tmp_path / "none.json")
