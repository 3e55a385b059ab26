"""Several watches share evidence: each file is followed by one of them, whatever it is rotated to."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.service.conftest import lines
from tests.service.test_watch import EVERY, judged, rows, watch
from vestige.errors import UsageError
from vestige.reading.steps import Unit
from vestige.service.incidents import Incidents
from vestige.service.sharding import Shard
from vestige.service.watch import Watch, WatchOptions
from vestige.sources import registry

PARTS = [Shard(number, 3) for number in (1, 2, 3)]


def part_of(name: str) -> list[int]:
    return [shard.number for shard in PARTS if shard.takes(Unit(name, name))]


def of(shard: Shard | None) -> WatchOptions:
    return WatchOptions(once=True, every=True, idle_s=0.05, shard=shard)


def test_names_are_spread_and_each_is_in_one_part() -> None:
    found = Counter(part for name in range(3_000) for part in part_of(f"hosts/host-{name}.log"))
    assert sorted(found) == [1, 2, 3]
    assert sum(found.values()) == 3_000
    assert all(900 < count < 1_100 for count in found.values())
    # Written down, because a state outlives the version that made it.
    assert [part_of(name) for name in ("a.log", "b.log", "c/d.log")] == [[2], [3], [2]]


@pytest.mark.parametrize(
    "name",
    [
        "app.log.1", "app.log.12.gz", "app.log-20260103", "app.log-2026-01-03", "app-20260103.log.gz",
        "app.log.old",
        "app.log-20260103-1200", "app.log.2026-01-03.zst", "app.log-20260103.1",
    ],
)  # fmt: skip
def test_a_rotated_log_stays_in_its_part(name: str) -> None:
    for folder in ("", "a/", "b/c/", "host-7/"):
        assert part_of(folder + name) == part_of(folder + "app.log")


def test_numbers_of_machines_are_no_rotation() -> None:
    assert len({tuple(part_of(f"host-{number}.log")) for number in range(30)}) == 3


def test_all_parts_together_judge_every_line_once(detector: Path, tmp_path: Path) -> None:
    evidence = tmp_path / "logs"
    evidence.mkdir()
    for number in range(6):
        (evidence / f"{number}.log").write_text("".join(lines(60, start=100 * number)))
    (tmp_path / "all").mkdir()
    here = judged(watch(detector, evidence, tmp_path / "all", EVERY))
    there: Counter[tuple[str, float]] = Counter()
    for shard in PARTS:
        home = tmp_path / str(shard.number)
        home.mkdir()
        watch(detector, evidence, home, of(shard))
        there += judged(rows(home))
    assert there == here
    assert sum(here.values()) == 360
    # Some are rotated, one grows: each part goes on from its own state.
    for number in range(3):
        (evidence / f"{number}.log").rename(evidence / f"{number}.log.1")
    with (evidence / "4.log").open("a") as file:
        file.write("".join(lines(20, start=2_000)))
    again = sum(
        (judged(watch(detector, evidence, tmp_path / str(s.number), of(s))) for s in PARTS), Counter()
    )
    assert sum(again.values()) == 380


def test_the_state_of_another_part_is_refused(detector: Path, tmp_path: Path) -> None:
    evidence = tmp_path / "logs"
    evidence.mkdir()
    (evidence / "a.log").write_text("".join(lines(20)))
    watch(detector, evidence, tmp_path, of(PARTS[0]))
    with pytest.raises(UsageError, match="is the state of shard 1/3") as caught:
        watch(detector, evidence, tmp_path, of(PARTS[1]))
    assert "--shard 1/3" in caught.value.remedy
    with pytest.raises(UsageError, match="is the state of shard 1/3"):
        watch(detector, evidence, tmp_path)


def test_standard_input_has_no_parts(detector: Path) -> None:
    with pytest.raises(UsageError, match="one stream"):
        Watch.start(detector, [Path("-")], [], options=of(PARTS[0]))


def test_mixed_events_have_no_parts(tmp_path: Path) -> None:
    from vestige.service.sharding import require_apart

    source = registry.get("events")
    file = tmp_path / "events.json"
    file.write_text('{"host": "a", "event": "x", "time": "2026-01-01T00:00:00Z"}\n')
    options = source.options(mapping="jsonl", machine="host", event="event", timestamp="time")
    reader = source.corpus_reader(file, options)
    with pytest.raises(UsageError, match="events of one machine"):
        require_apart(reader, (tmp_path,))


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "1/2000", "-1/4"])
def test_other_parts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(text)


def test_incidents_of_all_parts_are_one_stream(detector: Path, tmp_path: Path) -> None:
    evidence = tmp_path / "logs"
    evidence.mkdir()
    for number in range(6):
        begin = 100 * number
        (evidence / f"{number}.log").write_text("".join(lines(60, start=begin, odd=(begin + 40,))))
    opened = []
    for shard in PARTS:
        home = tmp_path / str(shard.number)
        home.mkdir()
        watch(detector, evidence, home, of(shard))
        found = [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()]
        opened += [row["id"] for row in found if row.get("kind") == "incident" and row["state"] == "opened"]
    assert len(opened) == len(set(opened)) > 1, opened


def test_no_id_is_given_twice_where_the_state_was_removed() -> None:
    for number, highest, count in ((2, 0, 0), (2, 2, 1), (2, 5, 2), (1, 1, 1), (3, 3, 1)):
        incidents = Incidents(number=number, of_watches=3)
        incidents.go_on_after(highest)
        assert incidents.count == count
