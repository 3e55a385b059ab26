"""Detectors are found by name, and asking for one imports that one alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins import install
from vestige.errors import UsageError
from vestige.models import registry
from vestige.models.base import Task
from vestige.schema import Feature, Input, Schema


def schema_of(*inputs: Input) -> Schema:
    return Schema("made-up", 1, ("normal", "anomaly"), 4, 1, (), inputs)


def test_an_unknown_model_is_refused_with_the_list_of_those_there_are() -> None:
    with pytest.raises(UsageError, match="gbt") as refusal:
        registry.get("gtb")
    assert "gru" in refusal.value.remedy


def test_asking_for_trees_or_a_baseline_imports_no_torch() -> None:
    code = (
        "import sys; from vestige.models import registry\n"
        "for name in ('gbt', 'blend', 'logistic', 'lookup', 'next_frequency', 'next_ngram'):\n"
        "    registry.get(name)\n"
        "assert 'torch' not in sys.modules and 'pytorch_lightning' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_third_party_registers_a_model_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = install(tmp_path, registry.ENTRY_POINTS, mine="vestige.models.baselines.frequencies:Majority")
    monkeypatch.syspath_prepend(site)
    assert "mine" in registry.names()
    assert registry.get("mine").name == "majority"


def test_models_that_fit_a_dataset_are_those_whose_inputs_it_offers() -> None:
    tokens = schema_of(Input("tokens", "tokens"))
    cores = ["array_lstm", "attention_array_lstm", "gru", "lstm", "stochastic_array_lstm"]
    baselines = ["counts", "length", "lookup", "majority", "new_token"]
    assert registry.fitting(tokens, "classify") == sorted(
        [*cores, "blend", "ngram", "transformer", *baselines, *registry.CLASSICAL]
    )
    nexts = [f"next_{name}" for name in (*cores, "frequency", "ngram", "transformer")]
    assert registry.fitting(tokens, "next") == sorted(nexts)
    assert registry.fitting(tokens, "normal") == ["normal"]
    others = ["blend", "ngram", "normal", "transformer"]
    assert registry.fitting(tokens) == sorted([*cores, *others, *baselines, *nexts, *registry.CLASSICAL])
    tensor = schema_of(Input("signal", "tensor", features=(Feature("cpu"),)))
    assert registry.fitting(tensor) == sorted([*cores, "cnn", "majority", "normal", "transformer"])


def test_baselines_come_simplest_first_and_only_where_their_features_exist() -> None:
    numbers = schema_of(Input("summary", "summary", features=(Feature("mean_cpu"),)))
    assert registry.baselines(numbers) == ["majority"]
    words = schema_of(Input("summary", "summary", features=(Feature("word:failed"), Feature("length"))))
    means = schema_of(Input("summary", "summary", features=(Feature("cpu:mean"), Feature("cpu:max"))))
    assert registry.baselines(means) == ["majority", "means"]
    assert registry.baselines(words) == ["majority", "length", "logistic"]


def test_each_task_has_its_baselines() -> None:
    tokens = schema_of(Input("tokens", "tokens"))
    assert registry.baselines(tokens, "next") == ["next_frequency", "next_ngram"]
    assert registry.baselines(tokens) == ["majority", "new_token", "lookup", "length", "counts"]


def test_a_name_means_the_detector_of_the_task() -> None:
    assert registry.of_task("lstm", "next") == registry.of_task("next_lstm", "next") == "next_lstm"
    assert registry.of_task("lstm", "classify") == "lstm"
    assert registry.of_task("ngram", "next") == "next_ngram"


@pytest.mark.parametrize(("name", "task"), [("gbt", "next"), ("next_lstm", "classify"), ("gru2", "next")])
def test_a_model_that_a_task_has_not_is_refused_with_those_it_has(name: str, task: Task) -> None:
    with pytest.raises(UsageError, match=f"no model '{name}' for the task '{task}'") as refusal:
        registry.of_task(name, task)
    # As people type them, and as help has them: `frequency` is `next_frequency` for the task `next`.
    assert ("frequency" in refusal.value.remedy) == (task == "next")
    assert "next_" not in refusal.value.remedy
    assert ("gbt" in refusal.value.remedy) == (task == "classify")


def test_features_that_are_not_fitted_yet_rule_nothing_out() -> None:
    assert "logistic" in registry.fitting(schema_of(Input("summary", "summary")))


def test_every_model_says_in_a_line_what_it_is_and_takes() -> None:
    rows = registry.describe()
    assert [one.name for one in rows] == registry.names()
    assert all(one.about and "\n" not in one.about and one.takes for one in rows)
    assert {one.name for one in rows if one.baseline} == set(registry.BASELINES)
