"""A simulated corpus is real on disk, equal for equal seeds, and too hard for a look-up of templates."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vestige.engine import HERE
from vestige.errors import OutputError
from vestige.evidence.files import MARKER
from vestige.reading.encoding import EncodedWindows
from vestige.reading.windows import WindowSet
from vestige.simulators.logs import SimulateOptions, simulate
from vestige.simulators.logs.stream import SERVICES, START, Rhythm, messages
from vestige.simulators.logs.values import Line, Values
from vestige.sources.logs.encoder import LogEncoder
from vestige.sources.logs.source import LogSource

SMALL = SimulateOptions(messages=6_000, seed=3)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("simulated") / "corpus"
    return out, simulate(out, SimulateOptions(seed=7), overwrite=False)


@pytest.fixture(scope="module")
def dataset(corpus: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> WindowSet:
    source = LogSource()
    out = tmp_path_factory.mktemp("dataset") / "dataset"
    return source.prepare(corpus[0], out, source.options(format="bgl"), engine=HERE)


def content(root: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()
    }


def lines(file: Path) -> list[str]:
    raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return raw.decode("utf-8", "replace").splitlines()


def written(n: int, service: str = "app", **options: Any) -> list[tuple[float, Line]]:
    settings = SimulateOptions(**options)
    return list(
        messages(SERVICES[service], Values("seed", "web-1", 0), n, Rhythm(settings.days, 0.3), settings)
    )


def test_equal_seeds_give_equal_bytes_and_others_do_not(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        simulate(tmp_path / name, SMALL.model_copy(update={"seed": seed}), overwrite=False)

    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a") != content(tmp_path / "c")


def test_the_layout_is_a_folder_for_each_host(corpus: tuple[Path, dict[str, Any]]) -> None:
    names = sorted(str(file.relative_to(corpus[0])) for file in corpus[0].rglob("*.log*"))

    assert len(names) == 18
    assert {"web-1/app.log", "web-1/auth.log", "db-1/database.log", "db-2/system.log.gz"} <= set(names)
    assert names == sorted(corpus[1]["files"])


def test_the_marker_says_that_it_is_synthetic_and_what_was_planted(
    corpus: tuple[Path, dict[str, Any]],
) -> None:
    report = json.loads((corpus[0] / MARKER).read_text(encoding="utf-8"))

    assert MARKER.startswith(".")
    assert report["about"].startswith("SYNTHETIC")
    assert report["planted"] == corpus[1]
    assert SimulateOptions(**report["options"]) == SimulateOptions(seed=7)


def test_the_counts_are_those_of_the_lines(corpus: tuple[Path, dict[str, Any]]) -> None:
    found: Counter[str] = Counter()
    for file in corpus[0].rglob("*.log*"):
        found.update(line.split(" ", 1)[0] for line in lines(file) if " RAS " in line)
    planted = corpus[1]

    assert found.total() == planted["messages"] == 20_000
    assert found.total() - found["-"] == planted["anomalies"]
    assert {kind: n for kind, n in found.items() if kind != "-"} == planted["by_kind"]
    assert sum(host["anomalies"] for host in planted["by_host"].values()) == planted["anomalies"]


def test_it_reads_back_with_the_labels_that_were_planted(
    corpus: tuple[Path, dict[str, Any]], dataset: WindowSet
) -> None:
    host = dataset.recordings["host"].to_numpy()[dataset.recording]

    assert len(dataset) == corpus[1]["messages"]
    assert len(corpus[1]["by_host"]) > 1
    for name, planted in corpus[1]["by_host"].items():
        assert int((host == name).sum()) == planted["messages"]
        assert int(dataset.label[host == name].sum()) == planted["anomalies"]


@pytest.mark.parametrize("format_name", ["bgl", "thunderbird"])
@pytest.mark.parametrize("compress", ["none", "all"])
def test_labelled_formats_read_back(tmp_path: Path, format_name: str, compress: str) -> None:
    options = SimulateOptions(messages=2_000, format=format_name, compress=compress)
    planted = simulate(tmp_path / "corpus", options, overwrite=False)
    source = LogSource()

    read = source.prepare(
        tmp_path / "corpus", tmp_path / "d", source.options(format=format_name), engine=HERE
    )

    assert len(read) == planted["messages"]
    assert int(read.label.sum()) == planted["anomalies"]


@pytest.mark.parametrize(
    ("format_name", "pattern"),
    [
        ("hadoop", r"^2026-03-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARN|ERROR|FATAL) \[main\] shop\.\w+\.\w+: ."),
        ("linux", r"^Mar [ \d]\d \d\d:\d\d:\d\d (web|db)-1 \w+\[\d+\]: ."),
    ],
)
def test_other_formats_carry_no_label(tmp_path: Path, format_name: str, pattern: str) -> None:
    options = SimulateOptions(messages=1_000, hosts=2, format=format_name, multiline=0, anomalies=0)
    simulate(tmp_path / "corpus", options, overwrite=False)

    found = [line for file in (tmp_path / "corpus").rglob("*.log") for line in lines(file)]
    assert len(found) >= 1_000
    for line in found:
        assert re.match(pattern, line)


def test_every_host_has_both_classes_and_so_has_the_last_fifth_of_time(dataset: WindowSet) -> None:
    host = dataset.recordings["host"].to_numpy()[dataset.recording]
    late = dataset.t_ns >= np.quantile(dataset.t_ns, 0.8)

    assert len(set(host)) > 1
    for name in set(host):
        share = dataset.label[host == name].mean()
        assert 0.01 < share < 0.1
        assert set(dataset.label[(host == name) & late]) == {0, 1}


def test_the_share_of_anomalies_is_about_what_was_asked_for(tmp_path: Path) -> None:
    for number, share in enumerate((0.0, 0.01, 0.1)):
        options = SimulateOptions(messages=40_000, anomalies=share)
        planted = simulate(tmp_path / str(number), options, overwrite=False)
        assert planted["anomalies"] / planted["messages"] == pytest.approx(share, rel=0.4)


def test_there_are_point_and_collective_anomalies(corpus: tuple[Path, dict[str, Any]]) -> None:
    kinds = corpus[1]["by_kind"]

    assert set(kinds) == {
        "FAULT", "QUIET", "BRUTE", "BURST", "BEACON", "LOOP", "STORM", "ORDER", "MISSING"
    }  # fmt: skip
    assert 0.1 < (kinds["FAULT"] + kinds["QUIET"]) / corpus[1]["anomalies"] < 0.5


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 3_000),
    service=st.sampled_from(sorted(SERVICES)),
    days=st.floats(0.01, 60),
    anomalies=st.floats(0, 0.3),
)
def test_a_file_has_exactly_its_messages_in_order_of_time(
    n: int, service: str, days: float, anomalies: float
) -> None:
    stream = written(n, service, days=days, anomalies=anomalies)
    times = [t for t, _ in stream]

    assert len(stream) == n
    assert times == sorted(times)
    assert times[0] >= START
    assert any(line.kind for _, line in stream) == (anomalies > 0)


def test_nights_are_calm() -> None:
    hours = Counter(int((t - START) // 3600) % 24 for t, _ in written(20_000))

    assert sum(hours[hour] for hour in range(9, 18)) > 1.5 * sum(hours[hour] for hour in range(9))


def test_stack_traces_and_undecodable_bytes_are_there(corpus: tuple[Path, dict[str, Any]]) -> None:
    raw = b"".join(file.read_bytes() for file in corpus[0].rglob("*.log"))

    assert raw.count(b"\n\tat shop.") > 50
    assert raw.count(b"\xff\xfe\x80") >= 4
    with pytest.raises(UnicodeDecodeError):
        raw.decode()


def test_normal_messages_use_alarming_words(corpus: tuple[Path, dict[str, Any]]) -> None:
    normal = [line.lower() for file in corpus[0].rglob("*.log") for line in lines(file) if line[:2] == "- "]
    wrong = [line for file in corpus[0].rglob("*.log") for line in lines(file) if line.startswith("QUIET ")]

    assert sum("error" in line or "fail" in line or "corrupt" in line for line in normal) > 500
    assert len(wrong) > 0
    assert all(" INFO " in line for line in wrong)


def test_a_host_and_a_later_week_bring_normal_messages_never_seen_before(dataset: WindowSet) -> None:
    host = dataset.recordings["host"].to_numpy()[dataset.recording]
    normal = dataset.label == 0
    early = dataset.t_ns < np.quantile(dataset.t_ns, 0.6)

    for train in (~np.isin(host, ["web-3", "db-3"]), early):
        test = dataset.select(~train & normal)
        tokens = EncodedWindows.of(test, LogEncoder.fit(dataset.select(train))).batch(names=("tokens",))[
            "tokens"
        ]
        assert 0.01 < (tokens[:, -1] == 1).mean() < 0.3


def test_a_look_up_of_templates_is_not_enough(dataset: WindowSet) -> None:
    """Even one fitted on the whole corpus, test part included, misses most anomalies."""
    encoder = LogEncoder.fit(dataset)
    last = EncodedWindows.of(dataset, encoder).batch(names=("tokens",))["tokens"][:, -1]
    seen = np.bincount(last)
    anomalous = np.bincount(last, weights=dataset.label)

    called = (anomalous / np.maximum(seen, 1))[last] > 0.5

    assert called[dataset.label == 1].mean() < 0.5


def test_an_existing_directory_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    simulate(out, SMALL, overwrite=False)
    before = content(out)

    with pytest.raises(OutputError, match="--overwrite"):
        simulate(out, SMALL.model_copy(update={"seed": 9}), overwrite=False)
    assert content(out) == before
    simulate(out, SMALL.model_copy(update={"seed": 9}), overwrite=True)
    assert content(out) != before
    (out / MARKER).unlink()
    with pytest.raises(OutputError, match="did not write"):
        simulate(out, SMALL, overwrite=True)
    assert [one.name for one in tmp_path.iterdir()] == ["corpus"]


@pytest.mark.parametrize(
    "bad", [{"hosts": 1}, {"hosts": 300}, {"messages": 10}, {"anomalies": 2}, {"format": "x"}, {"colour": 1}]
)
def test_options_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SimulateOptions(**bad)


def test_many_hosts_have_three_roles(tmp_path: Path) -> None:
    planted = simulate(tmp_path / "c", SimulateOptions(hosts=20, messages=20_000), overwrite=False)

    assert {host.split("-")[0] for host in planted["by_host"]} == {"web", "db", "app"}
    assert all(host["anomalies"] for host in planted["by_host"].values())


def test_writing_streams() -> None:
    options = SimulateOptions()
    rhythm = Rhythm(7, 0.3)

    def peak(n: int) -> int:
        tracemalloc.start()
        for _ in messages(SERVICES["app"], Values("s", "web-1", 0), n, rhythm, options):
            pass
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    assert peak(60_000) < peak(3_000) + 200_000
