"""The verdict of a run: validation chooses, the test part says whether to believe it, an operator is told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.made_up import made_up, made_up_run
from vestige.checkpoint import Pooling
from vestige.cli.tables import verdict as told
from vestige.evaluation.comparing import compare
from vestige.evaluation.judging import cluster_result, evaluate
from vestige.evaluation.metrics import confusion, macro_f1
from vestige.evaluation.report import Details, render
from vestige.evaluation.results import CheckResult, RunResults, Verdict
from vestige.evaluation.verdict import HOST_ONLY, ONE_SCORE, chance, verdict_of

RUN = Path("runs/first")
MODELS = {"gbt", "gru"}


def judged(
    skills: dict[str, tuple[float, float]], *, recordings: int = 12, unusable: Iterable[str] = ()
) -> RunResults:
    """Detectors with a skill on validation and one on the test part, judged."""
    tests = {name: made_up(seed=9, skill=test, recordings=recordings) for name, (_, test) in skills.items()}
    found = []
    for name, (validation, _) in skills.items():
        result = evaluate(name, made_up(seed=5, skill=validation), tests[name], resamples=100)
        update = {"view": name.rpartition("/")[0]}
        if name.rpartition("/")[2] not in MODELS:
            update["kind"] = "baseline"
        if name in unusable:
            update["unusable"] = HOST_ONLY
        found.append(result.model_copy(update=update))
    compared = compare(found, tests, resamples=100)
    clusters = cluster_result(next(iter(tests.values())))
    return made_up_run()[0].model_copy(
        update={"detectors": found, "comparisons": compared, "clusters": clusters, "audit": []}
    )


def verdict(results: RunResults, run: Path = RUN) -> Verdict:
    return verdict_of(results, {found.name: run / found.name for found in results.detectors}, run)


def test_the_best_on_validation_is_used_and_the_command_can_be_typed() -> None:
    results = judged({"logistic": (1.0, 1.5), "gru": (3.0, 2.5), "gbt": (2.0, 2.6)})
    found = verdict(results, Path("my runs"))
    assert (found.outcome, found.title, found.detector) == ("use", "Verdict: use gru.", "gru")
    assert found.commands == ["vestige score 'my runs/gru' NEW_EVIDENCE"] == [found.score]
    gru = next(result for result in results.models if result.name == "gru")
    assert f"on {gru.alerting.tp} of {gru.alerting.tp + gru.alerting.fn} anomalous windows" in found.why[2]
    assert f"{gru.alerting.alerts_per_day:.1f} alerts a day" in found.why[2]
    assert "the best of 3" in found.why[0]


def test_rare_alerts_are_not_told_as_none() -> None:
    results = judged({"logistic": (3.0, 2.5)})
    rare = results.detectors[0].alerting.model_copy(update={"alerts_per_day": 0.0234})
    seldom = results.detectors[0].model_copy(update={"alerting": rare})
    assert "that is 0.023 alerts a day" in verdict(results.model_copy(update={"detectors": [seldom]})).why[2]


def test_of_recordings_no_alerts_a_day_are_told() -> None:
    results = judged({"logistic": (3.0, 2.5)})
    pooled = results.detectors[0].model_copy(update={"pooling": Pooling(kind="mean")})
    found = verdict(results.model_copy(update={"detectors": [pooled]}))
    assert "anomalous recordings, and on" in found.why[2]
    assert "a day" not in found.why[2]
    assert found.score == "vestige score runs/first/logistic NEW_EVIDENCE --by-recording"


def test_a_baseline_that_validation_prefers_is_used() -> None:
    found = verdict(judged({"logistic": (3.0, 2.5), "gru": (1.0, 0.5), "gbt": (1.0, 0.5)}))
    assert (found.outcome, found.detector) == ("use", "logistic")
    assert found.score == "vestige score runs/first/logistic NEW_EVIDENCE"


def test_of_equals_the_simplest_is_used() -> None:
    assert (
        verdict(judged({"lookup": (2.0, 2.0), "logistic": (2.0, 2.0), "gru": (2.0, 2.0)})).detector
        == "lookup"
    )


def test_the_test_part_does_not_choose() -> None:
    found = verdict(judged({"counts": (1.0, 4.0), "logistic": (2.0, 2.0), "gru": (2.5, 2.2)}))
    assert (found.outcome, found.detector) == ("use", "gru")
    assert any(sentence.startswith("gru does NOT beat the best baseline") for sentence in found.why)
    assert (
        "logistic is simpler, and kept as well: vestige score runs/first/logistic NEW_EVIDENCE" in found.why
    )


def test_a_choice_that_the_test_part_contradicts_is_not_used() -> None:
    found = verdict(judged({"logistic": (2.0, 4.0), "gru": (2.5, 1.0)}))
    assert (found.outcome, found.detector) == ("none", "gru")
    assert found.why[0].startswith("Validation and test part contradict one another: gru was better than log")


def test_what_no_deployed_agent_can_see_is_neither_used_nor_the_headline() -> None:
    skills = {"realistic/gru": (2.0, 2.0), "realistic/majority": (0.0, 0.0)}
    oracle = {"oracle/gru": (4.0, 4.0), "oracle/majority": (0.0, 0.0)}
    results = judged(skills | oracle, unusable=oracle)
    found = verdict(results)
    assert (found.outcome, found.detector) == ("use", "realistic/gru")
    assert re.search(r"oracle/gru had macro F1 [01]\.\d+ on validation, but it reads what no", found.why[-1])
    assert results.headline is not None
    assert results.headline.model == "realistic/gru"
    older = [result.model_copy(update={"unusable": ""}) for result in results.detectors]
    assert results.model_copy(update={"detectors": older}).headline == results.headline


def test_where_all_see_what_no_deployed_agent_can_the_next_step_is_the_other_view() -> None:
    names = {"gru": (3.0, 3.0), "majority": (0.0, 0.0)}
    found = verdict(judged(names, unusable=names))
    assert (found.outcome, found.detector, found.score, found.all_the_same) == ("none", "", "", False)
    assert found.why == ["None of them can be put to work: each reads what no deployed agent can see."]
    assert found.commands == ["vestige run logs EVIDENCE --view realistic -o ANOTHER_RUN"]


def test_detectors_that_say_the_same_of_everything_are_not_used() -> None:
    results = judged({"majority": (1.0, 1.0)})
    same = [result.model_copy(update={"unusable": ONE_SCORE}) for result in results.detectors]
    found = verdict(results.model_copy(update={"detectors": same}))
    assert found.why == ["None of them can be put to work: each gives everything the same score."]
    assert found.commands[1] == "vestige learn logs EVIDENCE -o DETECTOR"


def test_what_does_no_better_than_one_answer_is_not_used() -> None:
    found = verdict(judged({"logistic": (0.1, 0.0), "gru": (0.5, 0.0)}))
    assert (found.outcome, found.detector) == ("none", "gru")
    assert found.why[0] == (
        "On the test part gru, best on validation, is not shown to do better than guessing."
    )
    assert "gru is not shown to alert on anomalous windows more than on normal ones." in found.why
    assert found.commands == [
        "vestige run logs MORE_EVIDENCE -o ANOTHER_RUN",
        "vestige learn logs EVIDENCE -o DETECTOR",
    ]


def test_a_test_part_that_is_too_small_is_named_and_the_detector_can_be_looked_at() -> None:
    found = verdict(judged({"logistic": (3.0, 3.0), "gru": (2.0, 2.0)}, recordings=6))
    assert (found.outcome, found.detector, found.all_the_same) == ("none", "logistic", True)
    assert "only 6 recordings (at least 10 are needed)" in found.why[0]
    assert "vestige score runs/first/logistic NEW_EVIDENCE" in told(found)


@pytest.mark.parametrize(
    ("update", "says", "command"),
    [
        ({"leakage_allowed": True}, "a way from the test part into training", "--split host"),
        ({"synthetic": True}, "written by vestige itself", "vestige run logs EVIDENCE -o ANOTHER_RUN"),
        ({"in_distribution": True}, "nothing of new hosts or later days", "--split host"),
        (
            {"validation": {"normal": 300, "anomaly": 0}},
            "All of the validation part is normal",
            "--split host",
        ),
        ({"probe": 0.99}, "Recording, hour and position alone", "MORE_EVIDENCE"),
    ],
)
def test_what_spoils_the_figures_spoils_the_verdict(
    update: dict[str, object], says: str, command: str
) -> None:
    results = judged({"logistic": (3.0, 2.5), "gru": (2.0, 2.0)})
    if "in_distribution" in update:
        update = {"split": results.split.model_copy(update=update)}
    elif "validation" in update:
        part = results.split.parts["validation"].model_copy(update={"per_class": update["validation"]})
        parts = {**results.split.parts, "validation": part}
        update = {"split": results.split.model_copy(update={"parts": parts})}
    elif "probe" in update:
        probe = CheckResult(name="metadata_shortcut", status="warn", figure=0.99, detail="")
        update = {"audit": [probe]}
    found = verdict(results.model_copy(update=update))
    assert (found.outcome, found.detector) == ("none", "logistic")
    assert says in found.why[0]
    assert command in found.commands[0]


def test_a_detector_that_was_not_kept_sends_to_whoever_keeps_it() -> None:
    results = judged({"logistic": (3.0, 2.5), "gru": (2.0, 2.0)})
    found = verdict_of(results, {"gru": RUN / "gru"}, RUN)
    assert (found.outcome, found.detector, found.score) == ("none", "logistic", "")
    assert found.commands == ["vestige evaluate runs/first"]


@pytest.mark.parametrize("share", [0.5, 0.2, 0.02])
def test_no_rate_of_guessing_beats_chance(share: float) -> None:
    label = (np.arange(100_000) < share * 100_000).astype(np.int64)
    rng = np.random.default_rng(1)
    reached = {
        rate: float(macro_f1(confusion(label, (rng.random(len(label)) < rate).astype(int), 2)))
        for rate in (0.0, share / 2, share, 2 * share, 0.5, 1.0)
    }
    found = evaluate("gru", made_up(seed=5), made_up(seed=9), resamples=100)
    assert chance(found) == 0.5
    assert reached[share] == pytest.approx(0.5, abs=0.01)
    assert max(reached.values()) < 0.51
    three = made_up(classes=("a", "b", "c"), seed=9)
    assert chance(evaluate("gru", three, three, resamples=100)) == pytest.approx(1 / 3)


def test_every_place_draws_the_same_verdict(tmp_path: Path) -> None:
    results = judged({"logistic": (3.0, 2.5), "gru": (2.0, 2.0)}, recordings=6)
    results = results.model_copy(update={"verdict": verdict(results)})
    found = results.verdict
    assert found is not None
    results.save(tmp_path / "metrics.json")
    assert RunResults.load(tmp_path / "metrics.json").verdict == found
    assert results.only("gru").verdict == found
    page, terminal = render(results, Details()), told(found)
    for text in (found.title, *found.why, *found.commands, found.score):
        assert text in terminal
        assert text.replace("'", "&#39;") in page
    assert page.index(found.title) < page.index("Models and baselines on the test part")
    assert "Verdict" not in render(made_up_run()[0], Details())
