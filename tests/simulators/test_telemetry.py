"""The simulated store: deterministic, whole or not at all, and as hard as it says."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from tests.sources.telemetry.conftest import MakeStore
from vestige.engine import HERE, LocalEngine
from vestige.errors import OutputError
from vestige.evidence.files import MARKER
from vestige.simulators.telemetry import hosts, programs, timeline
from vestige.simulators.telemetry.activity import MALICIOUS, PHASES, PROFILES
from vestige.simulators.telemetry.options import SimulateOptions
from vestige.simulators.telemetry.plants import COMMON, PLANTS, planned
from vestige.simulators.telemetry.write import START_NS, simulate
from vestige.sources.telemetry.episode import Episode
from vestige.sources.telemetry.fields import MONO, SAMPLED, SEQ, WALL

SMALL = SimulateOptions(hosts=2, episodes=6, seconds=40)


def digests(root: Path) -> dict[str, str]:
    files = (one for one in sorted(root.rglob("*")) if one.is_file())
    return {one.relative_to(root).as_posix(): hashlib.sha256(one.read_bytes()).hexdigest() for one in files}


def test_equal_options_give_equal_bytes_whatever_the_workers(tmp_path: Path) -> None:
    simulate(tmp_path / "a", SMALL, engine=HERE)
    simulate(tmp_path / "b", SMALL, engine=LocalEngine(2))
    simulate(tmp_path / "c", SMALL.model_copy(update={"seed": 1}), engine=HERE)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert not set(digests(tmp_path / "a").values()) & set(digests(tmp_path / "c").values())


def test_the_marker_says_that_it_is_synthetic_and_what_was_planted(make_store: MakeStore) -> None:
    store = make_store(episodes=12)
    report = json.loads((store / MARKER).read_text())
    assert report["about"].startswith("SYNTHETIC")
    assert report["planted"]["verdicts"] == {"accepted": 12}
    assert sum(report["planted"]["by_host"].values()) == 12


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(OutputError, match="did not write"):
        simulate(tmp_path, SMALL, overwrite=True, engine=HERE)


@pytest.mark.parametrize("wish", ["bomb", "bomb=x", "nonsense=1", "=1"])
def test_wishes_that_nobody_understands_are_refused(wish: str) -> None:
    with pytest.raises(ValidationError, match="is not FAULT=EPISODES"):
        SimulateOptions(plant=(wish,))


def test_faults_are_planted_in_the_numbers_asked_for() -> None:
    assert planned((), 250) == dict.fromkeys(COMMON, 2)
    assert planned(("none=0",), 250) == {}
    assert planned(("all=2", "bomb=0", "garbage=7"), 250)["garbage"] == 7
    assert "bomb" not in planned(("all=2", "bomb=0"), 250)
    with pytest.raises(ValidationError, match="more than 10 episodes"):
        SimulateOptions(episodes=10, plant=("bomb=11",))


def test_every_kind_of_verdict_can_be_planted() -> None:
    assert {one.verdict for one in PLANTS.values()} == {"degraded", "rejected", "errored", "in transit"}


def test_one_profile_was_never_run_on_the_last_host() -> None:
    site = hosts.make(4, 0, START_NS)
    assert [set(PROFILES) - set(one.profiles) for one in site] == [set(), set(), set(), {"scan-and-dial"}]
    assert len({one.boot_id for one in site}) == len(site)
    assert {one.accel for one in site} == {"kvm", "tcg"}
    assert {one.monotonic for one in site} == {(), ("netflow",)}


def timelines(n: int, seconds: int = 300) -> list[tuple[programs.Program, timeline.Timeline]]:
    """Episodes on four hosts, of all samples in turn."""
    site = hosts.make(4, 0, START_NS)
    rng = np.random.default_rng(7)
    made = [programs.make(list(PROFILES)[one % 6], one // 6 % programs.SAMPLES) for one in range(n)]
    return [(one, timeline.make(site[at % 4], one, seconds, rng)) for at, one in enumerate(made)]


def test_phases_follow_one_another_from_whichever_comes_first() -> None:
    clean, running, dormant = (PHASES.index(one) for one in ("clean", "infected_running", "dormant"))
    seen: Counter[frozenset[int]] = Counter()
    begins: Counter[int] = Counter()
    woken = 0
    for program, one in timelines(160):
        assert one.level.shape == (300, 15)
        assert (one.level >= 0).all()
        course = one.phase[one.changes].tolist()
        for before, after in itertools.pairwise(course):
            wakes = (before, after) == (dormant, running)
            assert after == before + 1 or (wakes and program.wakes)
            woken += wakes
        begins[course[0]] += 1
        seen[frozenset(course)] += 1
    assert begins.keys() == set(range(len(PHASES)))
    assert begins[clean] == max(begins.values())
    assert woken
    assert any(running not in phases for phases in seen), "the sample never ran"
    assert any(running in phases and dormant not in phases for phases in seen), "it never fell asleep"


def test_where_in_an_episode_one_is_tells_little_of_the_phase() -> None:
    phase = np.array([one.phase for _, one in timelines(400)])
    for at in (0, 100, 200, 299):
        share = np.bincount(phase[:, at], minlength=len(PHASES)) / len(phase)
        assert share.max() < 0.65, at
        assert (share > 0.02).all(), at


def test_a_sample_is_the_same_wherever_it_runs_and_none_is_like_another() -> None:
    first, again = programs.make("beacon", 3), programs.make("beacon", 3)
    assert first.sha256 == again.sha256
    assert np.array_equal(first.level, again.level)
    every = [programs.make(name, number) for name in PROFILES for number in range(programs.SAMPLES)]
    assert len({one.sha256 for one in every}) == len({one.ramp_s for one in every}) == len(every)
    assert 0 < sum(one.lag_s >= 10 for one in every) < len(every)


def test_behaviour_sets_in_later_than_its_label_and_not_at_once() -> None:
    """The mean share of a running sample's strength, by second since its label began."""
    rng = np.random.default_rng(0)
    every = [programs.make(name, number) for name in PROFILES for number in range(programs.SAMPLES)]
    runs = np.array([timeline._envelope(one, 90, rng, under_way=False) for one in every for _ in range(4)])
    mean = runs.mean(axis=0)
    assert mean[0] < 0.1
    assert mean[:10].mean() < 0.6 * mean[50:].mean()
    assert mean[60:].mean() > 0.5
    under_way = np.array([timeline._envelope(one, 90, rng, under_way=True) for one in every])
    assert under_way[:, 0].all()


def test_what_is_wanted_and_what_is_not_are_installed_alike() -> None:
    rng = np.random.default_rng(0)
    stages = timeline.installing(400, rng, idle=1.0)
    assert (stages == 0).all(axis=1).any(), "idle in between"
    assert (np.diff(stages, axis=0) != 0).any(axis=1).sum() <= 6
    assert timeline.installing(0, rng, idle=1.0).shape == (0, 15)


def test_episodes_are_what_the_format_says(store: Path) -> None:
    paths = sorted(store.glob("*/*/*"))
    assert len(paths) > 1
    for path in paths:
        with Episode(path) as episode:
            manifest = episode.manifest
            assert path.parent.name == str(
                np.datetime64(manifest.t_start_ns // 10**9, "s").astype("datetime64[D]")
            )
            for collector in SAMPLED:
                found = episode.table(collector)
                assert found is not None
                assert found[0].height >= 0.94 * manifest.seconds
                assert found[0][SEQ].diff().drop_nulls().min() == 1
            assert (episode.table("netflow") or [pl.DataFrame()])[0].columns[0] == (
                WALL if manifest.clock.sources["netflow"] == "wall" else MONO
            )
            labels = episode.labels()
            assert labels["t_wall_ns"][0] == manifest.t_start_ns
            assert set(labels["phase"]) <= set(PHASES)
            assert ((labels["label"] == "malicious") == labels["phase"].is_in(sorted(MALICIOUS))).all()


def test_counters_grow_but_where_the_guest_starts_again(make_store: MakeStore) -> None:
    falls = 0
    for path in sorted(make_store(episodes=120).glob("*/*/*")):
        with Episode(path) as episode:
            for collector, name in (("proc", "process.disk.io.write"), ("guest", "context_switches")):
                table = pl.read_parquet(path / f"{collector}.parquet")
                fell = int((table[name].diff() < 0).sum())
                assert fell <= (collector == "guest")
                falls += fell
            assert episode.manifest.host.id == path.parents[1].name
    assert falls > 0
