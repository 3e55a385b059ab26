"""The audit finds each leak that is planted, and passes what is clean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestige import splits
from vestige.errors import LeakageError
from vestige.evaluation import probes
from vestige.evaluation.audit import audit, describe_split, enforce, failed
from vestige.evaluation.overlap import never_seen
from vestige.evaluation.probes import label_shuffle
from vestige.evaluation.results import CheckResult
from vestige.evaluation.symbols import symbol_finding
from vestige.hashing import row_hashes
from vestige.reading.dataset import DatasetWriter
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.reading.steps import Steps
from vestige.reading.windows import WindowSet
from vestige.recipes import Recipe
from vestige.schema import Input, Schema, Stream
from vestige.splits import Parts, Split

SECOND = 1_000_000_000
Make = Callable[..., WindowSet]


@pytest.fixture
def corpus(tmp_path: Path) -> Make:
    """A dataset of nine recordings on three hosts; `raw` and `symbol` streams and labels as asked for."""

    def make(
        *,
        n: int = 60,
        raw: Callable[[int, np.ndarray], np.ndarray] | None = None,
        symbol: Callable[[int, np.ndarray], np.ndarray] | None = None,
        label: Callable[[int, np.ndarray], np.ndarray] | None = None,
        digest: Callable[[int], str] = lambda r: f"d{r}",
    ) -> WindowSet:
        schema = Schema(
            source="plain", version=1, classes=("normal", "anomaly"), length=4, stride=1,
            streams=(Stream("symbol", "int64"), Stream("raw", "uint64")),
            inputs=(Input("tokens", "tokens", vocabulary=("<pad>", "<unk>", "a")),),
        )  # fmt: skip
        path = tmp_path / f"dataset-{len(list(tmp_path.iterdir()))}"
        with DatasetWriter(path, schema) as writer:
            for r in range(9):
                i = np.arange(n)
                writer.begin(id=f"r{r}", host=f"h{r % 3}", sample=f"s{r}", profile="p")
                writer.extend(
                    {
                        "symbol": symbol(r, i) if symbol else r * n + i,
                        "raw": raw(r, i) if raw else r * n + i + 1,
                    },
                    t_ns=(i * 9 + r) * SECOND,
                    label=(label(r, i) if label else i % 5 == 0).astype(np.uint8),
                )
                writer.close_recording(digest(r))
            writer.table("symbols", pl.DataFrame({"symbol": [0]}))
        return WindowSet.open(path)

    return make


@pytest.fixture
def make_raw(tmp_path: Path) -> Make:
    """Two recordings of 400 lines, the second a copy of the first's first lines (share `copied`)."""

    def make(*, copied: float, same_digest: bool = True) -> WindowSet:
        schema = Schema(
            source="plain", version=1, classes=("normal", "anomaly"), length=4, stride=1,
            streams=(Stream("raw", "uint64"),), inputs=(Input("tokens", "tokens"),),
        )  # fmt: skip
        i, path = np.arange(400), tmp_path / f"raw-{len(list(tmp_path.iterdir()))}"
        with DatasetWriter(path, schema) as writer:
            for r in range(2):
                raw = np.where((i < copied * 400) | (r == 0), i, 400 + i) + 1
                writer.begin(id=f"r{r}", host=f"h{r}", sample=f"s{r}", profile="p")
                writer.extend({"raw": raw}, t_ns=i * SECOND, label=(i % 5 == 0).astype(np.uint8))
                writer.close_recording("same" if same_digest else f"d{r}")
        return WindowSet.open(path)

    return make


class Plain:
    """An encoder with nothing to learn: the symbols are the tokens."""

    inputs = (Input("tokens", "tokens", vocabulary=("<pad>", "<unk>", "a")),)
    symbols = "symbols"

    def bind(self, _: pl.DataFrame) -> Plain:
        return self

    def streams(self, _: tuple[str, ...]) -> tuple[str, ...]:
        return ("symbol",)

    def encode(self, steps: Steps, _: tuple[str, ...]) -> Batch:
        return {"tokens": steps["symbol"]}

    def unseen(self, _: WindowSet) -> dict[str, float]:
        return {}

    def to_dict(self) -> dict[str, Any]:
        return {}


def audited(windows: WindowSet, recipe: str, **more: Any) -> dict[str, CheckResult]:
    split, parts = splits.make(recipe, windows)
    return {one.name: one for one in audit(parts, split, **more)}


@pytest.mark.parametrize("recipe", ["time", "host", "sample", "random"])
def test_every_recipe_passes_its_own_audit(corpus: Make, recipe: str) -> None:
    windows = corpus()
    split, parts = splits.make(recipe, windows)
    groups = np.where(windows.padding, -1, windows.streams["symbol"])
    encoded = EncodedWindows.of(parts.train, Plain())
    assert failed(audit(parts, split, encoded=encoded, groups=groups)) == []


def test_a_split_by_group_is_checked_for_groups_on_two_sides(corpus: Make) -> None:
    windows = corpus(symbol=lambda r, i: (r * 60 + i) % 40 + 1, label=lambda r, i: (r * 60 + i) % 40 % 4 == 0)
    recipe = Recipe("template", "group", stream="symbol", promises=("groups_disjoint",), cluster="template")
    split, parts = splits.make("template", windows, own=[recipe])
    found = {one.name: one for one in audit(parts, split)}
    assert found["groups_disjoint"].status == "pass"
    assert failed(found.values()) == []
    mixed = {one.name: one for one in audit(replace(parts, test=parts.train), split)}
    assert mixed["groups_disjoint"].status == "fail"
    assert "templates on two sides of a split by template" in mixed["groups_disjoint"].detail


def test_a_split_by_time_has_time_order_everywhere(corpus: Make) -> None:
    found = audited(corpus(), "time")
    assert (found["time_order"].status, found["time_order_per_host"].status) == ("pass", "pass")
    assert found["recordings_disjoint"].status == "not_applicable"


def test_any_other_split_is_warned_of_as_no_forecast(corpus: Make) -> None:
    found = audited(corpus(), "host")
    assert found["time_order"].status == "warn"
    assert "no forecast" in found["time_order"].detail
    assert found["hosts_disjoint"].status == "pass"


def test_training_that_reaches_into_the_future_fails(corpus: Make) -> None:
    windows = corpus()
    split, parts = splits.make("time", windows)
    swapped = Parts(parts.test, parts.validation, parts.train)
    found = {one.name: one for one in audit(swapped, split)}
    assert found["time_order"].status == found["time_order_per_host"].status == "fail"
    one_host = replace(parts, train=windows.select(np.flatnonzero(windows.recording % 3 == 1)))
    assert {one.name: one for one in audit(one_host, split)}["time_order_per_host"].status == "fail"


def test_validation_that_reaches_into_the_test_part_fails(corpus: Make) -> None:
    split, parts = splits.make("time", corpus())
    found = audit(Parts(parts.train, parts.test, parts.validation), split)
    assert {one.name for one in failed(found)} == {"time_order", "time_order_per_host"}


def test_a_host_on_two_sides_fails_where_the_recipe_promises_otherwise(corpus: Make) -> None:
    windows = corpus()
    split, parts = splits.make("host", windows)
    leaky = replace(
        parts, train=windows.select(windows.recording > 1), test=windows.select(windows.recording <= 1)
    )
    found = {one.name: one for one in audit(leaky, split)}
    assert found["hosts_disjoint"].status == "fail"
    assert "h0" in found["hosts_disjoint"].detail


def test_one_shared_step_is_found_and_padding_is_not_taken_for_one(corpus: Make) -> None:
    windows = corpus()
    split, _ = splits.make("time", windows)
    first = windows.recording == 0
    rows = np.flatnonzero(first)

    def shared(train: slice, test: slice) -> CheckResult:
        parts = Parts(windows.select(rows[train]), windows.select(rows[:0]), windows.select(rows[test]))
        return {one.name: one for one in audit(parts, split)}["shared_raw_interval"]

    assert shared(slice(0, 20), slice(23, 40)).status == "pass"
    touching = shared(slice(0, 20), slice(22, 40))
    assert (touching.status, touching.figure) == ("fail", 1)
    assert "the first in r0" in touching.detail
    padded = np.flatnonzero(~first)
    both_padded = Parts(windows.select(np.array([0])), windows.select(rows[:0]), windows.select(padded[:1]))
    assert {one.name: one for one in audit(both_padded, split)}["shared_raw_interval"].status == "pass"


def test_a_copied_recording_fails_where_it_lies_across_the_cut(corpus: Make) -> None:
    windows = corpus(digest=lambda r: "same" if r in {0, 1, 2} else f"d{r}")
    found = audited(windows, "host")["duplicate_recordings"]
    assert found.status == "fail"
    assert "copies of earlier ones, such as r" in found.detail


@pytest.mark.parametrize("recipe", ["time", "host"])
def test_copies_on_one_side_are_warned_of(corpus: Make, recipe: str) -> None:
    windows = corpus(digest=lambda r: "same" if r in {0, 3} else f"d{r}")
    found = audited(windows, recipe)["duplicate_recordings"]
    assert (found.status, found.figure) == ("warn", 1)
    assert (
        found.detail == "1 recordings are copies of others, such as r3 of r0: the same evidence counts twice"
    )
    assert audited(corpus(), recipe)["duplicate_recordings"].status == "pass"


def test_two_identical_files_drawn_line_by_line_are_a_leak(make_raw: Make) -> None:
    """No whole window can match there: each side has other lines between the same two."""
    found = audited(make_raw(copied=1.0), "random")
    assert found["duplicate_windows"].status == found["duplicate_recordings"].status == "fail"
    assert found["duplicate_windows"].figure == pytest.approx(0.8, abs=0.1)
    assert "windows drawn singly put them on all sides" in found["duplicate_recordings"].detail


@pytest.mark.parametrize(("copied", "status"), [(0.0, "pass"), (0.1, "warn"), (0.6, "fail")])
def test_lines_repeated_with_their_times_on_both_sides_are_counted(
    make_raw: Make, copied: float, status: str
) -> None:
    found = audited(make_raw(copied=copied, same_digest=False), "random")
    assert found["duplicate_windows"].status == status
    assert found["duplicate_recordings"].status == "pass"


def test_lines_without_times_are_no_more_than_a_warning(make_raw: Make) -> None:
    split, parts = splits.make("random", make_raw(copied=1.0, same_digest=False))
    train, validation, test = (
        replace(part, t_ns=np.zeros_like(part.t_ns)) for part in (parts.train, parts.validation, parts.test)
    )
    timeless = Parts(train, validation, test)
    found = {one.name: one for one in audit(timeless, split)}["duplicate_windows"]
    assert (found.status, "nothing has a time" in found.detail) == ("warn", True)


@pytest.mark.parametrize(("copied", "status"), [(0, "pass"), (2, "warn"), (40, "fail")])
def test_raw_copies_across_the_cut_are_counted(corpus: Make, copied: int, status: str) -> None:
    windows = corpus(raw=lambda r, i: np.where(i < copied, i + 1, r * 300 + i + 1), n=300)
    found = audited(windows, "host")["duplicate_windows"]
    assert found.status == status
    assert found.figure == pytest.approx(copied / 300 if copied else 0)


def test_repeated_inputs_are_a_figure_never_a_failure(corpus: Make) -> None:
    windows = corpus(symbol=lambda _, i: i % 7)
    split, parts = splits.make("host", windows)
    encoded = EncodedWindows.of(parts.train, Plain())
    found = {one.name: one for one in audit(parts, split, encoded=encoded)}["repeated_inputs"]
    assert (found.status, found.figure) == ("warn", 1.0)
    assert not never_seen(encoded, encoded.over(parts.test)).any()
    unlike = corpus()
    _, parts = splits.make("host", unlike)
    encoded = EncodedWindows.of(parts.train, Plain())
    assert never_seen(encoded, encoded.over(parts.test)).all()


def test_a_label_that_follows_from_the_symbol_is_said_so_in_plain_words(corpus: Make) -> None:
    windows = corpus(symbol=lambda r, i: i % 4 + 4 * (r % 3), label=lambda _, i: i % 4 == 0)
    groups = np.where(windows.padding, -1, windows.streams["symbol"])
    _, parts = splits.make("time", windows)
    known = symbol_finding(parts, groups)
    assert (known.symbols, known.mixed, known.lookup_macro_f1) == (12, 0, 1.0)
    assert known.sentence == (
        "In this corpus the label is a function of the template: 0 of 12 templates carry more than "
        "one label. "
        "A look-up table of templates scores macro F1 1.000 on the test part; "
        "no test window has a template that training never saw."
    )
    _, parts = splits.make("host", windows)
    unknown = symbol_finding(parts, groups)
    assert unknown.windows_unknown == len(parts.test)
    assert unknown.lookup_macro_f1_unknown == pytest.approx(0.75 / 1.75)
    assert "training never saw it scores 0.429." in unknown.sentence


def test_a_label_that_does_not_follow_from_the_symbol_is_no_warning(corpus: Make) -> None:
    windows = corpus(symbol=lambda _, i: i % 3)
    groups = np.where(windows.padding, -1, windows.streams["symbol"])
    split, parts = splits.make("time", windows)
    finding = symbol_finding(parts, groups)
    assert finding.mixed == 3
    checks = {one.name: one for one in audit(parts, split, finding=finding)}
    assert checks["label_determined_by_symbol"].status == "pass"


def test_a_part_with_one_class_fails(corpus: Make) -> None:
    windows = corpus()
    split, parts = splits.make("time", windows)
    dull = replace(parts, test=parts.test.select(parts.test.label == 0))
    found = {one.name: one for one in audit(dull, split)}["classes_present"]
    assert (found.status, found.detail) == ("fail", "test lacks anomaly")
    dull = replace(parts, validation=parts.validation.select(parts.validation.label == 0))
    assert {one.name: one for one in audit(dull, split)}["classes_present"].status == "warn"


def test_labels_that_follow_from_the_recording_alone_are_warned_of(corpus: Make) -> None:
    shortcut = audited(corpus(label=lambda r, i: np.full(len(i), r >= 5)), "time")["metadata_shortcut"]
    assert (shortcut.status, shortcut.figure) == ("warn", 1.0)
    random = np.random.default_rng(0)
    honest = audited(corpus(label=lambda _, i: random.random(len(i)) < 0.3), "time")["metadata_shortcut"]
    assert honest.status == "pass"


def by_symbol(parts: Parts) -> Callable[[np.ndarray], np.ndarray]:
    """A model of two symbols: it says of a symbol whatever class it met there more often than overall."""

    def fit_and_predict(labels: np.ndarray) -> np.ndarray:
        stream = parts.train.streams["symbol"]
        seen, asked = stream[parts.train.last_step], stream[parts.test.last_step]
        above = {one: labels[seen == one].mean() > labels.mean() for one in np.unique(seen)}
        return np.array([int(above[one]) for one in asked])

    return fit_and_predict


def test_a_model_of_noise_that_parts_two_templates_by_luck_is_no_leak(corpus: Make) -> None:
    """Whatever it learns from noise parts the two perfectly: as often the wrong way round as the right."""
    windows = corpus(symbol=lambda _, i: 1 + (i % 4 == 0), label=lambda _, i: i % 4 == 0)
    _, parts = splits.make("time", windows)
    found = [label_shuffle(parts, by_symbol(parts), seed) for seed in range(60)]
    assert {one.status for one in found} == {"pass"}
    told = {one.detail.split(",")[1] for one in found}
    assert len(told) > 3  # the figure does wander between the two directions


@pytest.mark.parametrize("known", [1.0, 0.8])
def test_labels_that_leak_past_the_shuffling_are_caught(corpus: Make, known: float) -> None:
    """The model meets the true test labels (a share of them) whatever it is trained on."""
    windows = corpus(symbol=lambda _, i: 1 + (i % 4 == 0), label=lambda _, i: i % 4 == 0)
    _, parts = splits.make("time", windows)
    truth, guess = parts.test.label.astype(np.int64), by_symbol(parts)
    for seed in range(10):
        leaked = np.random.default_rng(seed).random(len(truth)) < known

        def learnt(labels: np.ndarray, leaked: np.ndarray = leaked) -> np.ndarray:
            return np.where(leaked, truth, guess(labels))

        found = label_shuffle(parts, learnt, seed)
        assert found.status == "warn"
        assert "10 times, 10 times better than chance" in found.detail


def test_a_model_that_says_one_class_does_no_better_than_chance(corpus: Make) -> None:
    _, parts = splits.make("time", corpus())
    found = label_shuffle(parts, lambda _: np.zeros(len(parts.test), dtype=np.int64))
    assert (found.status, found.figure) == ("pass", 0.0)


def test_large_parts_are_shuffled_fewer_times_however_fast_the_machine_is(
    corpus: Make,
) -> None:
    _, parts = splits.make("time", corpus())

    def times(**bound: int) -> str:
        return label_shuffle(parts, lambda _: parts.test.label.astype(np.int64), **bound).detail

    assert "labels 10 times" in times()
    assert "labels 8 times" in times(rows=8 * len(parts.train))
    assert "labels 6 times" in times(rows=0)


def test_a_failed_audit_stops_the_run_unless_leakage_is_allowed() -> None:
    checks = [CheckResult(name="time_order", status="fail", detail="a part reaches into a later one")]
    with pytest.raises(LeakageError, match="--allow-leakage"):
        enforce(checks)
    assert enforce(checks, allow_leakage=True)
    assert not enforce([])


def test_the_split_is_described_by_its_counts(corpus: Make) -> None:
    split, parts = splits.make("host", corpus())
    found = describe_split(parts, split)
    assert {name: part.hosts for name, part in found.parts.items()} == {
        "train": 1,
        "validation": 1,
        "test": 1,
    }
    assert found.parts["test"].per_class == {"normal": 144, "anomaly": 36}
    assert isinstance(split, Split)


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 1_000))
def test_rows_hash_alike_exactly_when_they_are_alike(columns: int, values: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, values, (40, columns)), rng.choice([0.0, -0.0, np.nan, 1.5], (40, 2))
    batch = {"a": a, "b": b}
    rows = [(*x, *(None if np.isnan(v) else v + 0.0 for v in y)) for x, y in zip(a, b, strict=True)]
    hashes = row_hashes(batch)
    for i in range(40):
        for j in range(i):
            assert (hashes[i] == hashes[j]) == (rows[i] == rows[j])


def test_hashes_tell_columns_and_arrays_apart() -> None:
    x = np.array([[1, 2], [2, 1]])
    assert len(set(row_hashes({"a": x}).tolist())) == 2
    swapped = row_hashes({"a": x[:, :1], "b": x[:, 1:]})
    assert swapped[0] != row_hashes({"a": x[:, 1:], "b": x[:, :1]})[0]
    with pytest.raises(ValueError, match="without arrays"):
        row_hashes({})


def test_a_label_that_nearly_follows_from_the_symbol_is_warned_of_too(corpus: Make) -> None:
    windows = corpus(symbol=lambda _, i: i % 3, label=lambda r, i: (i % 3 == 0) ^ ((r == 0) & (i == 7)))
    groups = np.where(windows.padding, -1, windows.streams["symbol"])
    split, parts = splits.make("random", windows)
    finding = symbol_finding(parts, groups)
    assert finding.mixed == 1
    assert finding.agreement == pytest.approx(539 / 540)
    assert "nearly a function of the template: 1 of 3 templates carry" in finding.sentence
    checks = {one.name: one for one in audit(parts, split, finding=finding)}
    assert checks["label_determined_by_symbol"].status == "warn"


def test_length_alone_is_a_warning_where_it_tells_recordings_apart(make_windows: Make) -> None:
    def length(steps: tuple[int, int], target: str = "recording") -> CheckResult:
        """Ten samples, a normal and an anomalous recording each; the larger the number, the longer both."""
        runs = [(f"h{i}", f"s{i // 2}", "p", np.full(i + steps[i % 2], i % 2)) for i in range(20)]
        return probes.length_shortcut(splits.make("sample", make_windows(runs, target=target))[1])

    found = length((60, 20))
    assert (found.status, found.figure) == ("warn", 1.0)
    assert "shorter than the normal recordings of their sample in 10 and longer in 0 of 10" in found.detail
    paired = length((30, 28))
    assert paired.status == "warn"
    assert paired.figure is not None
    assert paired.figure < 0.65
    assert length((30, 29)).status == "pass"
    assert length((60, 20), "last").status == "not_applicable"
