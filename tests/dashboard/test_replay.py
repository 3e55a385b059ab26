"""The replay: what `vestige score` says, with what the evidence itself says of its recordings."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import pytest

from vestige.checkpoint import load
from vestige.dashboard import pace
from vestige.dashboard.events import Event, Perf, Recording, Run, Score
from vestige.dashboard.feed import Feed
from vestige.dashboard.pace import Pace
from vestige.dashboard.producers import replay
from vestige.dashboard.producers.perf import Meter
from vestige.errors import EvidenceError
from vestige.models.base import Judgement
from vestige.reading.windower import WindowBatch
from vestige.reading.windows import WindowSet
from vestige.scoring import score
from vestige.scoring.judged import JudgedBatch
from vestige.scoring.windows import judge_batches, read_windows
from vestige.sources import registry

HEAD = "- 1117838570 2005.06.03 R02 2005-06-03-15.42.50.675872 R02 RAS KERNEL INFO cache parity error {}\n"


Kind = TypeVar("Kind", bound=Event)


def played(run: Path, *evidence: Path, speed: float = 0) -> list[Event]:
    return list(Feed.open(run, evidence).replayed(Pace(speed)))


def of(kind: type[Kind], events: Sequence[Event]) -> list[Kind]:
    return [one for one in events if isinstance(one, kind)]


@pytest.mark.parametrize("model", ["gbt", "ngram"])
def test_scores_are_those_of_vestige_score(finished: Path, corpus: Path, model: str) -> None:
    evidence = [*sorted(corpus.rglob("*.log"))[:2]]
    events = played(finished / model, *evidence)
    names = {one.number: one.id for one in of(Recording, events)}
    expected = list(score(finished / model, evidence))
    found = of(Score, events)
    assert len(found) == len(expected) > 0
    for ours, theirs in zip(found, expected, strict=True):
        assert names[ours.recording] == theirs["file"]
        assert ours.place == {"line": theirs["line"], "offset": theirs["offset"]}
        assert (ours.score, ours.alert) == (theirs["score"], theirs["alert"])
        assert ours.most_probable_class == theirs["most_probable_class"]
        assert math.isclose(1 - ours.proba[0], ours.score, abs_tol=2e-6)


def test_the_last_alert_of_a_recording_in_a_batch_says_why(finished: Path, corpus: Path) -> None:
    evidence = [*sorted(corpus.rglob("*.log"))[:2]]
    found = of(Score, played(finished / "ngram", *evidence))
    rows = list(score(finished / "ngram", evidence, explain=True))
    told = [(one, row) for one, row in zip(found, rows, strict=True) if one.reasons]
    assert told
    for one, row in told:
        assert one.alert
        assert one.reasons == [reason["says"] for reason in row["reasons"]]
    last = {one.recording: one for one in found if one.alert}
    assert all(one.reasons for one in last.values())


def test_times_of_logs_are_those_of_the_dataset(finished: Path, corpus: Path) -> None:
    windows = WindowSet.open(finished / "dataset")
    ids = windows.recordings["id"].gather(windows.recording).to_list()
    lines = windows.streams["line"][windows.target_step].tolist()
    known = dict(zip(zip(ids, lines, strict=True), (windows.t_ns / 1e9).tolist(), strict=True))
    events = played(finished / "gbt", corpus)
    names = {one.number: one.id for one in of(Recording, events)}
    told = {(names[one.recording], one.place["line"]): one.time for one in of(Score, events)}
    assert told == known


def test_labels_times_and_profiles_are_those_of_the_dataset(both: Path, store: Path) -> None:
    windows = WindowSet.open(both / "dataset")
    recordings = windows.recordings
    known = {
        (recordings["id"][int(recording)], t_ns / 1e9): windows.schema.classes[label]
        for recording, t_ns, label in zip(windows.recording, windows.t_ns, windows.label, strict=True)
    }
    events = played(both / "realistic" / "gbt", store)
    begun = {one.number: one for one in of(Recording, events)}
    told = {(begun[one.recording].id, one.time): one.truth for one in of(Score, events)}
    assert len(begun) > 0
    assert {key: told[key] for key in known} == known
    for one in begun.values():
        row = recordings.row(by_predicate=pl.col("id") == one.id, named=True)
        assert (one.host, one.profile) == (row["host"], row["profile"])
        assert one.synthetic
        assert one.begin is not None
        attacked = [span.begin for span in one.spans if span.attack]
        assert one.attack == (attacked[0] if attacked else None)
    assert any(one.attack for one in begun.values())


def test_an_episode_by_itself_gives_the_numbers_that_it_has_in_its_store(both: Path, store: Path) -> None:
    events = played(both / "realistic" / "gbt", store)
    first = of(Recording, events)[0]
    alone = played(both / "realistic" / "gbt", store / first.id)
    assert of(Recording, alone)[0].host == first.host
    assert of(Recording, alone)[0].synthetic
    mine = [one for one in of(Score, events) if one.recording == first.number]
    assert of(Score, alone) == mine


def test_labels_that_cannot_be_read_are_unknown_and_stop_nothing(
    both: Path, store: Path, tmp_path: Path
) -> None:
    first = of(Recording, played(both / "realistic" / "gbt", store))[0]
    shutil.copytree(store / first.id, tmp_path / "episode")
    (tmp_path / "episode" / "labels.jsonl").write_text("{")
    events = played(both / "realistic" / "gbt", tmp_path / "episode")
    assert of(Recording, events)[0].spans == []
    assert not of(Recording, events)[0].synthetic
    assert {one.truth for one in of(Score, events)} == {None}


def test_of_countless_labels_the_first_are_told(both: Path, store: Path) -> None:
    loaded = load(both / "realistic" / "gbt")
    recordings = replay.Recordings(
        loaded, registry.get("telemetry"), (store,), Pace(0), Meter(), most_spans=2
    )
    batches = judge_batches(loaded, read_windows((store,), loaded))
    events = [event for judged in batches for event in recordings.over(judged)]
    assert max(len(one.spans) for one in of(Recording, events)) == 2
    assert any(one.attack for one in of(Recording, events))
    assert len({one.truth for one in of(Score, events)}) > 2


def test_two_stores_with_one_episode_say_nothing_of_it(both: Path, store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "again")
    begun = of(Recording, played(both / "realistic" / "gbt", store, tmp_path / "again"))
    assert len(begun) > 0
    for one in begun:
        assert (one.host, one.spans) == ("", [])


def test_many_machines_are_remembered_up_to_a_number(finished: Path) -> None:
    loaded = load(finished / "gbt")
    machines = ["a", "b", "a", "b", "a", "c", "a", "b"]
    place = pl.DataFrame({"machine": machines, "line": range(len(machines))})
    batch = WindowBatch({}, pl.DataFrame(), place, np.zeros(len(place), np.int64), list, unit="machine")
    recordings = replay.Recordings(loaded, registry.get("logs"), (), Pace(0), Meter(), most=2)
    events = list(recordings.over(JudgedBatch(batch, Judgement.of(np.full((len(machines), 2), 0.5)))))
    assert [(one.number, one.id) for one in of(Recording, events)] == [(1, "a"), (2, "b"), (3, "c"), (4, "b")]
    assert [(one.recording, one.window) for one in of(Score, events)] == [
        (1, 1), (2, 1), (1, 2), (2, 2), (1, 3), (3, 1), (1, 4), (4, 1),
    ]  # fmt: skip
    assert {(one.time, one.truth) for one in of(Score, events)} == {(None, None)}


def test_what_it_took_is_measured(finished: Path, corpus: Path) -> None:
    log = min(corpus.rglob("*.log"))
    *running, last = of(Perf, played(finished / "gbt", log))
    assert {one.state for one in running} <= {"running"}
    assert last.state == "done"
    assert last.windows == sum(1 for _ in score(finished / "gbt", [log]))
    assert last.recordings == 1
    assert last.bytes == last.total == log.stat().st_size
    assert (last.memory or 0) > 10 << 20
    figures = (last.extraction_ms, last.inference_ms, last.windows_per_s, last.batch)
    extraction_ms, inference_ms, windows_per_s, batch = (figure or 0 for figure in figures)
    assert min(extraction_ms, inference_ms, windows_per_s, batch) > 0
    busy = last.windows * (extraction_ms + inference_ms) / 1e3
    assert math.isclose(last.windows / busy, windows_per_s, rel_tol=0.01)
    assert busy <= last.seconds


def test_what_ends_it_is_its_last_event(finished: Path, tmp_path: Path) -> None:
    for name, text in (("a", HEAD * 30), ("b", "nothing of the kind\n" * 30)):
        (tmp_path / f"{name}.log").write_text(text)
    events: list[Event] = []
    feed = Feed.open(finished / "gbt", [tmp_path / "a.log", tmp_path / "b.log"])
    with pytest.raises(EvidenceError) as raised:
        events.extend(feed.replayed(Pace(0)))
    assert len(of(Score, events)) == 30
    last = events[-1]
    assert isinstance(last, Perf)
    assert last.state == "failed"
    assert last.note == str(raised.value)


def test_evidence_that_is_not_there_is_found_before_the_first_event(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError):
        Feed.open(finished / "gbt", [tmp_path / "none.log"])


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_a_window_is_held_back_until_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    twice = Pace(2.0)
    start = twice.begin(10**18)
    for seconds in (0, 4, 10, -5, 10, 12):
        twice.hold(start, 10**18 + seconds * 10**9)
    assert clock.slept == [0, 2, 3, 0, 0, 1]


def test_without_times_or_at_speed_0_nothing_is_held_back_and_nothing_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    Pace(1.0).hold(Pace(1.0).begin(0), 10**18)
    Pace(1.0).hold(Pace(1.0).begin(10**18), 0)
    Pace(0).hold(Pace(0).begin(1), 2**63 - 1)
    assert clock.slept == []
    Pace(1e-300).hold(Pace(1.0).begin(1), 2**63 - 1)
    assert clock.slept == [pace.LONGEST_S]


def test_at_speed_windows_come_at_the_times_at_which_they_were_recorded(
    finished: Path, tmp_path: Path
) -> None:
    times = [1117838570 + second for second in (0, 0, 100, 200)]
    lines = [HEAD.format("x").replace("1117838570", str(one)).replace("15.42.50", f"15.{42 + n}.50")
             for n, one in enumerate(times)]  # fmt: skip
    (tmp_path / "a.log").write_text("".join(lines))
    came: list[float] = []

    class Noted(Pace):
        def hold(self, start: pace.Start, t_ns: int) -> None:
            came.append((t_ns - start.t_ns) / 1e9)

    list(Feed.open(finished / "gbt", [tmp_path / "a.log"]).replayed(Noted(1.0)))
    assert came == [0, 60, 120, 180]


def test_a_detector_alone_is_enough_and_says_that_nobody_judged_it(
    finished: Path, corpus: Path, tmp_path: Path
) -> None:
    for name in ("model.json", "booster.ubj"):
        (tmp_path / "pi").mkdir(exist_ok=True)
        shutil.copy(finished / "gbt" / name, tmp_path / "pi" / name)
    log = min(corpus.rglob("*.log"))
    feed = Feed.open(tmp_path / "pi", [log])
    (run,) = feed.standing()
    assert isinstance(run, Run)
    assert run.player is not None
    assert not run.judged
    assert run.caveats
    assert run.player.threshold == load(tmp_path / "pi").threshold
    assert json.loads(run.line)["classes"] == ["normal", "anomaly"]
    assert of(Score, list(feed.replayed(Pace(0)))) == of(Score, played(finished / "gbt", log))
