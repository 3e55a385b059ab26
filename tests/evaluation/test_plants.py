"""Anomalies are planted into copies of evidence, where they can be seen; what is found of them is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from vestige.evaluation.foreign import foreign_texts
from vestige.evaluation.plant_kinds import KINDS
from vestige.evaluation.plants import (
    COLUMNS,
    FOLLOWED,
    Lowest,
    PlantedWindows,
    Plants,
    Score,
    detected,
    duration,
    judge,
    plant_all,
)
from vestige.evaluation.rates import exact_rate, stretches
from vestige.evaluation.sensitivity import tenths, verdict
from vestige.reading.dataset import DatasetWriter
from vestige.reading.digests import Streams
from vestige.reading.steps import NO_TIME, Steps
from vestige.reading.values import NOT_A_NUMBER
from vestige.reading.windows import WindowSet
from vestige.schema import Feature, Input, Schema, Stream, Target

SECOND = 10**9
CYCLE = 12
"""Event 1 is followed by event 2, and so on up to 12, which is followed by 1."""
FOREIGN = tuple(f"something that was never said {number}" for number in range(40))
FEATURES = (Feature("guest.cpu"), Feature("guest.io"), Feature("netflow.bytes"), Feature("proc.x", "", True))


def table() -> pl.DataFrame:
    """Twelve events behind the row of padding."""
    return pl.DataFrame({"text": ["", *(f"event {number}" for number in range(1, CYCLE + 1))]})


def made(
    path: Path,
    *,
    recordings: tuple[int, ...] = (400, 300),
    length: int = 6,
    stride: int = 1,
    target: Target = "last",
    gap_ns: int = 10 * SECOND,
    timed: bool = True,
) -> WindowSet:
    """Recordings that go round in a circle, an event every ten seconds, two of whose slots have values."""
    streams = (Stream("event", "uint32"), Stream("t_ns", "int64"), Stream("slots", "uint64", (8,)))
    schema = Schema("events", 1, ("normal",), length, stride, streams, (Input("tokens", "tokens"),), target)
    with DatasetWriter(path, schema) as writer:
        for number, n in enumerate(recordings):
            writer.begin(id=f"host-{number}", host=f"host-{number}")
            event = np.arange(n) % CYCLE + 1
            t_ns = SECOND + np.arange(n) * gap_ns
            if not timed:
                t_ns = np.full(n, NO_TIME)
            slots = np.zeros((n, 8), dtype=np.uint64)
            slots[:, 0] = NOT_A_NUMBER + event.astype(np.uint64)
            slots[::2, 1] = event[::2].astype(np.float64).view(np.uint64)
            writer.extend(
                {"event": event, "t_ns": t_ns, "slots": slots}, t_ns=t_ns, label=np.zeros(n, dtype=np.uint8)
            )
            writer.close_recording(f"digest {number}")
        writer.table("events", table())
    return WindowSet.open(path)


def channels(path: Path, n: int = 500) -> WindowSet:
    """A grid of four channels that wander about, the last of which only a host sees."""
    schema = Schema(
        "telemetry", 1, ("clean",), 10, 5, (Stream("grid", "float32", (4,), pad=None),),
        (Input("tensor", "tensor", features=FEATURES),), padded=False,
    )  # fmt: skip
    grid = np.random.default_rng(3).normal(loc=(0, 10, 100, 1000), size=(n, 4))
    with DatasetWriter(path, schema) as writer:
        writer.begin(id="episode", host="host")
        writer.extend({"grid": grid}, t_ns=np.arange(n) * SECOND, label=np.zeros(n, dtype=np.uint8))
        writer.table("episodes", pl.DataFrame({"id": ["episode"]}))
    return WindowSet.open(path)


def planted(windows: WindowSet, *, n: int = 30, seed: int = 1) -> Plants:
    return plant_all(windows, table(), FOREIGN, stream="event", n=n, seed=seed)


def unexpected(steps: Steps) -> NDArray[np.float64]:
    """Lowest where any event of the window does not follow the one before it in the circle."""
    event = steps["event"].astype(np.int64)
    real = (event[:, 1:] != 0) & (event[:, :-1] != 0)
    broken = (((event[:, 1:] - event[:, :-1] - 1) % CYCLE != 0) & real).any(axis=1)
    return np.where(broken, -1.0, 0.0)


def longest_gap(steps: Steps) -> NDArray[np.float64]:
    """The longer the last gap, the lower."""
    return -np.where(steps["t_ns"][:, -2] > 0, np.diff(steps["t_ns"][:, -2:])[:, 0], 0) / SECOND


def shares(plants: Plants, score: Score, threshold: float) -> dict[str, list[float]]:
    found = detected(plants, judge(plants, score), threshold)
    return {kind: found.filter(kind=kind)["share"].to_list() for kind in found["kind"].unique()}


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> WindowSet:
    return made(tmp_path_factory.mktemp("plants") / "d")


@pytest.fixture(scope="module")
def plants(windows: WindowSet) -> Plants:
    return planted(windows)


def test_every_kind_that_applies_is_planted_as_often_as_wanted(plants: Plants) -> None:
    found = detected(plants, Lowest(np.zeros(len(plants)), np.zeros(len(plants))), -1)
    assert found.schema == pl.Schema(COLUMNS)
    kinds = ["foreign", "dropped", "doubled", "swapped", "burst", "silence", "value", "frequent"]
    assert found["kind"].unique(maintain_order=True).to_list() == kinds
    assert found.height == 24
    assert found["of"].to_list() == [30] * 24
    assert found.filter(kind="silence")["what"].to_list() == [
        "silence of one minute", "silence of 10 minutes", "silence of one hour",
    ]  # fmt: skip
    assert plants.left_out["lost collectors"] == "it has no channels of numbers"
    assert len(plants.left_out) == 5


def test_equal_seeds_give_equal_plants(windows: WindowSet, plants: Plants) -> None:
    def steps(of: Plants) -> list[list[int]]:
        return [plant.step.tolist() for plant in of.plants]

    assert steps(planted(windows)) == steps(plants)
    assert steps(planted(windows, seed=2)) != steps(plants)
    assert planted(windows).table.equals(plants.table)


def test_foreign_symbols_are_new_rows_of_a_copy_of_the_table(plants: Plants) -> None:
    added = plants.table[CYCLE + 1 :]["text"].to_list()
    assert plants.table[: CYCLE + 1].equals(table())
    assert 20 <= len(added) <= len(FOREIGN)
    assert set(added) <= set(FOREIGN)
    assert len(set(added)) == len(added)


def test_what_a_plant_does_not_change_is_what_the_dataset_holds(windows: WindowSet, plants: Plants) -> None:
    own = {row.tobytes() for row in windows.gather(names=("t_ns",))["t_ns"]}
    n = 0
    for batch in plants.batches(("t_ns",)):
        usual = batch.steps["t_ns"][~batch.planted]
        n += len(usual)
        assert all(row.tobytes() in own for row in usual)
    assert n > len(plants)


def of_kind(plants: Plants, kind: str, strength: int) -> list[PlantedWindows]:
    """The planted windows of each plant."""
    wanted = [
        number
        for number, plant in enumerate(plants.plants)
        if KINDS[plant.kind].name == kind and plant.strength == strength
    ]
    found = [
        PlantedWindows(
            {name: values[rows] for name, values in batch.steps.items()},
            batch.plant[rows],
            batch.planted[rows],
        )
        for batch in plants.batches()
        for number in wanted
        if (rows := (batch.plant == number) & batch.planted).any()
    ]
    assert len(found) == len(wanted) > 0
    return found


def test_a_dropped_step_is_missing_and_the_others_are_not(plants: Plants) -> None:
    for amount, strength in ((1, 0), (3, 1), (10, 2)):
        for batch in of_kind(plants, "dropped", strength):
            first = batch.steps["event"][0].astype(int)
            assert (first[-1] - first[-2] - 1) % CYCLE == amount % CYCLE
            assert (first[-1] and first[-2]) or first[-2] == 0
            # All windows after it until the change has left them: five steps, as far as a window looks back.
            assert len(batch) <= 5
            t_ns = batch.steps["t_ns"][0]
            if t_ns[-2]:
                assert t_ns[-1] - t_ns[-2] == (amount + 1) * 10 * SECOND


def test_a_doubled_step_and_swapped_ones(plants: Plants) -> None:
    for batch in of_kind(plants, "doubled", 0):
        event = batch.steps["event"].astype(int)
        assert (event[1, -1], batch.steps["t_ns"][1, -1]) == (event[1, -2], batch.steps["t_ns"][1, -2])
    for batch in of_kind(plants, "swapped", 0):
        event, t_ns = batch.steps["event"].astype(int), batch.steps["t_ns"]
        assert (event[1, -2] - event[1, -1]) % CYCLE == 1
        assert (np.diff(t_ns[1][t_ns[1] > 0]) == 10 * SECOND).all()


def test_a_burst_says_the_same_in_the_same_time_more_often(plants: Plants) -> None:
    for amount, strength in ((3, 0), (30, 2)):
        for batch in of_kind(plants, "burst", strength):
            t_ns = batch.steps["t_ns"][: 10 * amount, -1]
            event = batch.steps["event"][: 10 * amount, -1]
            assert t_ns[-1] - t_ns[0] == 90 * SECOND
            assert (np.diff(t_ns) <= 90 * SECOND / (10 * amount - 1) + 1).all()
            assert np.array_equal(event[:10], event[10:20])


def test_a_value_is_one_that_was_never_seen_or_ten_times_the_largest(plants: Plants) -> None:
    known = set(range(NOT_A_NUMBER, NOT_A_NUMBER + CYCLE + 1))
    numbers = texts = 0
    for batch in of_kind(plants, "value", 0):
        slots = batch.steps["slots"][0, -1]
        if int(slots[0]) not in known:
            texts += 1
            assert np.isnan(slots[:1].view(np.float64)[0])
        else:
            numbers += 1
            assert slots[1:2].view(np.float64)[0] == 10 * 11.0
    assert numbers > 3
    assert texts > 3


def test_a_rare_sequence_comes_at_the_usual_pace(plants: Plants) -> None:
    for batch in of_kind(plants, "frequent", 0):
        event, t_ns = batch.steps["event"], batch.steps["t_ns"]
        assert np.array_equal(event[:3, -1], event[3:6, -1])
        gaps = np.diff(t_ns[-1][t_ns[-1] > 0])
        assert (gaps == 10 * SECOND).all()


def test_detectors_find_what_they_look_at_and_nothing_else(plants: Plants) -> None:
    by_order = shares(plants, unexpected, -1)
    assert {kind: by_order[kind] for kind in ("dropped", "doubled", "swapped", "foreign")} == {
        "dropped": [1.0, 1.0, 1.0], "doubled": [1.0, 1.0, 1.0], "swapped": [1.0, 1.0, 1.0],
        "foreign": [1.0, 1.0, 1.0],
    }  # fmt: skip
    assert by_order["value"] == [0.0, 0.0, 0.0]
    by_name = shares(plants, lambda steps: -(steps["event"][:, -1] > CYCLE).astype(float), -1)
    assert by_name["foreign"] == [1.0, 1.0, 1.0]
    assert sum(map(sum, by_name.values())) == 3.0
    by_gap = shares(plants, longest_gap, -600)
    assert by_gap["silence"] == [0.0, 1.0, 1.0]
    assert by_gap["burst"] == [0.0, 0.0, 0.0]


def test_what_alerts_anyway_is_not_found(plants: Plants) -> None:
    found = detected(plants, judge(plants, lambda steps: np.zeros(len(steps["event"])), ("event",)), 0.5)
    assert found["found"].sum() == 0
    assert found["anyway"].to_list() == [1.0] * 24
    nothing = detected(plants, judge(plants, lambda steps: np.full(len(steps["event"]), np.nan)), 0.5)
    assert nothing["found"].sum() == 0
    assert nothing["anyway"].to_list() == [0.0] * 24


def test_intervals_are_exact(plants: Plants) -> None:
    first = np.array([plant.kind == 0 and plant.strength == 0 for plant in plants.plants])
    lowest = np.ones(len(plants))
    lowest[np.flatnonzero(first)[:27]] = 0.0
    row = detected(plants, Lowest(lowest, np.ones(len(plants))), 0.5).row(0, named=True)
    assert (row["found"], row["of"], row["share"]) == (27, 30, 0.9)
    # Clopper and Pearson: with these shares, so many or more, or so few or less, come once in forty times.
    assert binom.sf(26, 30, row["low"]) == pytest.approx(0.025)
    assert binom.cdf(27, 30, row["high"]) == pytest.approx(0.025)


@pytest.mark.parametrize(("target", "stride"), [("last", 1), ("last", 4), ("centre", 1), ("centre", 3)])
def test_windows_of_a_plant_are_those_that_the_changed_recording_would_have(
    tmp_path: Path, target: Target, stride: int
) -> None:
    windows = made(tmp_path / "d", recordings=(90,), length=7, stride=stride, target=target)
    plants = plant_all(windows, table(), FOREIGN, stream="event", n=10)
    n = 0
    for number, plant in enumerate(plants.plants):
        kind = KINDS[plant.kind].name
        if kind != "dropped":
            continue
        # What is missing is the gap in the steps that the plant is made of.
        gap = int(np.diff(plant.step).argmax())
        missing = np.arange(plant.step[gap] + 1, plant.step[gap + 1])
        event = np.delete(windows.streams["event"], missing)
        before, ahead = windows.schema.before, windows.schema.ahead
        rows = np.arange(0, len(event) - windows.schema.length + 1, stride)
        expected = {event[row : row + before + ahead + 1].tobytes() for row in rows}
        for batch in plants.batches(("event",)):
            mine = batch.steps["event"][(batch.plant == number) & batch.planted]
            n += len(mine)
            assert {row.tobytes() for row in mine} <= expected
    assert n > 30


def test_a_change_is_looked_for_so_far_and_no_farther(tmp_path: Path) -> None:
    windows = made(tmp_path / "d", recordings=(800,), length=100)
    plants = planted(windows, n=20)
    dropped = [plant for plant in plants.plants if KINDS[plant.kind].name == "dropped"]
    assert len(dropped) == 60
    assert max(len(plant.judged) for plant in dropped) == FOLLOWED
    windows = made(tmp_path / "e", recordings=(800,), length=50, stride=50)
    plants = planted(windows, n=20)
    assert {len(plant.judged) for plant in plants.plants if KINDS[plant.kind].name == "dropped"} == {1}


def test_a_part_of_chosen_windows_is_not_left(tmp_path: Path) -> None:
    whole = made(tmp_path / "d", recordings=(400,))
    part = whole.select(slice(300, 400))
    plants = planted(part, n=20)
    assert len(plants) > 100
    assert min(int(plant.untouched.min()) for plant in plants.plants) >= 300
    visible = np.ones(len(whole.streams["event"]), dtype=bool)
    visible[200:260] = False
    beside = planted(whole.within(visible), n=20)
    assert not any(np.isin(plant.step, np.arange(200, 260)).any() for plant in beside.plants)


def test_what_does_not_apply_is_left_out_and_said(tmp_path: Path) -> None:
    untimed = planted(made(tmp_path / "d", timed=False))
    assert untimed.left_out["bursts"] == "no step has a time"
    assert untimed.left_out["silences"] == "no step has a time"
    numbered = plant_all(made(tmp_path / "n"), table(), FOREIGN, stream="event", timed=False, n=20)
    assert numbered.left_out["bursts"] == "no step has a time"
    without = made(tmp_path / "v").streams
    empty = replace(
        made(tmp_path / "w"), streams=Streams({**without, "slots": np.zeros_like(without["slots"])})
    )
    assert planted(empty).left_out["values never seen"] == "no step has a value"
    short = planted(made(tmp_path / "e", recordings=(14,)))
    assert short.left_out["10 pairs out of order"] == "0 places for it in this part, of 10 at least"
    assert short.left_out["silence of one hour"] == "0 places for it in this part, of 10 at least"
    alike = made(tmp_path / "f").select(slice(0, 0))
    assert planted(alike).left_out["missing events"] == "this part has no windows"
    assert detected(planted(alike), judge(planted(alike), unexpected), 0).is_empty()
    nothing = plant_all(made(tmp_path / "g"), table(), (), stream="event", n=20)
    assert nothing.left_out["events never seen"] == "nothing at hand is foreign to it"


def test_equal_steps_in_a_row_are_neither_dropped_nor_doubled(tmp_path: Path) -> None:
    windows = made(tmp_path / "d")
    alike = np.ones(CYCLE + 1, dtype=np.uint32)
    alike[0] = 0
    same = table().with_columns(group=pl.Series(alike, dtype=pl.UInt32))
    plants = plant_all(windows, same, FOREIGN, stream="event", n=20)
    assert plants.left_out["missing events"] == "0 places for it in this part, of 10 at least"
    assert plants.left_out["doubled events"] == "0 places for it in this part, of 10 at least"
    assert plants.left_out["events out of order"] == "0 places for it in this part, of 10 at least"
    assert plants.left_out["rare sequences that became frequent"] == (
        "it holds one sequence of three events only"
    )


def test_silences_are_as_long_as_steps_are_rare(tmp_path: Path) -> None:
    plants = planted(made(tmp_path / "d", recordings=(2000,), gap_ns=300 * SECOND), n=20)
    told = [plants.sentences[key] for key in plants.sentences if KINDS[key[0]].name == "silence"]
    assert told == ["silence of 15 minutes", "silence of 150 minutes", "silence of 15 hours"]
    assert duration(90 * SECOND) == "90 seconds"
    assert duration(SECOND // 2) == "0.5 seconds"


def test_channels_get_plants_of_their_own(tmp_path: Path) -> None:
    windows = channels(tmp_path / "d")
    plants = plant_all(windows, windows.table("episodes"), (), stream="", n=20)
    assert plants.left_out["steps never seen"] == "its steps are numbers, not events"
    assert plants.left_out["2 pairs of channels exchanged for a window"] == "it has no 4 channels that move"

    def highest(steps: Steps) -> NDArray[np.float64]:
        return np.asarray(-np.nan_to_num(steps["grid"][:, :, 0]).max(axis=1))

    by_spike = shares(plants, highest, -9.0)["spike"]
    # One of three channels is looked at, and the step of the spike is always in a window.
    assert all(0.1 < share < 0.6 for share in by_spike)
    missing = shares(plants, lambda steps: -np.isnan(steps["grid"]).any(axis=(1, 2)).astype(float), -1)
    assert missing["lost"] == [1.0, 1.0, 1.0]
    assert sum(map(sum, missing.values())) == 3.0
    standing = shares(plants, lambda steps: np.ptp(steps["grid"], axis=1).min(axis=1), 1e-6)
    assert standing["flat"] == [pytest.approx(standing["flat"][0]), 1.0, 1.0]
    moved = shares(
        plants, lambda steps: -(abs(steps["grid"][:, :, 1] - 10) > 50).any(axis=1).astype(float), -1
    )
    assert 0 < moved["exchanged"][0] < 1.0  # channel 1 with channel 2, which is at 100
    for batch in plants.batches():
        assert (batch.steps["grid"][:, :, 3] > 900).all()  # a channel that the detector does not see


def test_an_operator_reads_what_would_be_caught(plants: Plants) -> None:
    def row(kind: str, strength: int, what: str, found: int, low: float, high: float) -> dict[str, object]:
        return {
            "kind": kind, "strength": strength, "what": what, "found": found, "of": 100, "share": found / 100,
            "low": low, "high": high, "anyway": 0.0,
        }  # fmt: skip

    found = pl.DataFrame(
        [
            row("foreign", 1, "one event never seen", 97, 0.91, 0.99),
            row("swapped", 1, "two neighbours out of order", 41, 0.31, 0.52),
            row("swapped", 2, "3 pairs out of order", 80, 0.70, 0.87),
            row("silence", 1, "silence of one minute", 1, 0.0, 0.05),
            row("silence", 2, "silence of 10 minutes", 99, 0.945, 0.999),
            row("value", 1, "one event with a value never seen", 2, 0.0, 0.07),
            row("burst", 1, "10 events at 3 times their rate", 30, 0.21, 0.4),
            row("doubled", 1, "one event twice", 52, 0.42, 0.62),
        ],
        schema=COLUMNS,
    )
    assert verdict(found, plants.kinds) == (
        "would catch at least 9 of 10 events never seen, 3 pairs out of order at least 7 times in 10 and at "
        "least 9 of 10 silences of 10 minutes, none of those shorter; "
        "would miss nearly all values never seen; most bursts; many doubled events"
    )
    assert verdict(found.clear(), plants.kinds) == ""
    always = found[3:5].with_columns(low=pl.Series([0.3, 0.96]), high=pl.lit(1.0))
    assert verdict(always, plants.kinds) == "would catch nearly all silences of 10 minutes"
    always = found[1:3].with_columns(low=pl.Series([0.3, 0.96]))
    assert verdict(always, plants.kinds) == "would catch 3 pairs out of order nearly always"
    noisy = found[4:5].with_columns(anyway=pl.lit(0.44))
    assert verdict(noisy, plants.kinds) == (
        "would catch at least 9 of 10 silences of 10 minutes; "
        "44% of the stretches alert anyway, where no plant counts as found"
    )
    assert [tenths(low) for low in (0.5, 0.7, 0.899, 0.975)] == [
        "at least 5 of 10", "at least 7 of 10", "at least 8 of 10", "nearly all",
    ]  # fmt: skip


def test_foreign_messages_share_few_words_with_the_evidence() -> None:
    known = pl.DataFrame({"text": ["", "open file <path>", "closed file <path>", "link is up"]})
    found = foreign_texts("logs", known)
    assert 100 <= len(found) <= 400
    assert len(set(found)) == len(found)
    assert any("sshd" in text or "password" in text for text in found)
    # What the evidence says is not foreign to it, nor what differs from it in a few words.
    again = foreign_texts("logs", pl.DataFrame({"text": ["", *(f"{text} as well" for text in found)]}))
    assert not set(again) & set(found)
    assert foreign_texts("logs", known) == found
    assert foreign_texts("logs", known, seed=1) != found


def test_foreign_events_and_targets_are_in_no_table() -> None:
    known = pl.DataFrame({"text": ["", "auth.logon", "dns.rare_name", "file.read"]})
    events = foreign_texts("events", known)
    assert "net.large_upload" in events
    assert not set(events) & set(known["text"])
    module = ["", "/usr/lib/libc.so.6", "/usr/lib/libc.so.6"]
    targets = pl.DataFrame(
        {"text": ["", "/usr/lib/libc.so.6+0x10", "/usr/lib/libc.so.6 taken"], "module": module}
    )
    found = foreign_texts("traces", targets)
    assert len(found) > 100
    assert {text.rpartition("+0x")[0] for text in found} > {"/usr/lib/libc.so.6"}
    assert foreign_texts("telemetry", pl.DataFrame({"id": ["a"]})) == []


def test_rates_have_garwoods_bounds() -> None:
    assert exact_rate(0, 2.0) == pytest.approx((0.0, 0.0, 3.688879 / 2), abs=1e-6)
    assert exact_rate(5, 1.0) == pytest.approx((5.0, 1.623486, 11.668332), abs=1e-6)
    assert all(np.isnan(exact_rate(5, 0.0)))


def test_alerts_that_follow_within_a_window_count_once() -> None:
    recording = np.array([0, 0, 0, 0, 1, 1])
    step = np.array([10, 11, 15, 20, 21, 40])
    assert stretches(recording, step, 5).tolist() == [True, False, False, True, True, True]
    assert stretches(recording[:0], step[:0], 5).tolist() == []
