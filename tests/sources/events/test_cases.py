"""Inputs after public bug reports: what each must come to is told in its `expected.md`, beside the
project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sources.events.exports import dataset
from vestige.errors import EvidenceError
from vestige.reading.windows import WindowSet

CASES = Path(__file__).resolve().parents[3].parent / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases lie beside the project")

Read = Callable[..., WindowSet]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a case's file into a dataset."""

    def of(path: str, **options: Any) -> WindowSet:
        return dataset(CASES / path, tmp_path / "d", **options)

    return of


def rows(windows: WindowSet) -> list[tuple[str, str, str, int]]:
    """Time, machine, event and label of every event, by machine and time."""
    names = windows.table("events")["text"].to_list()
    times = windows.t_ns.astype("datetime64[ns]")
    machines = windows.recordings["id"].to_list()
    events = windows.gather()["event"][:, -1]
    return [
        (str(times[at])[:26], machines[recording], names[events[at]], int(windows.label[at]))
        for at, recording in enumerate(windows.recording.tolist())
    ]


def test_e01_twelve_hour_clocks_of_sentinel(read: Read) -> None:
    windows = read(
        "events/E01/sentinel.csv", timestamp="TimeGenerated [UTC]", machine="Computer", event="ProcessName"
    )
    assert rows(windows) == [
        ("2023-07-28T20:07:14.552000", "zab1", "groupadd", 0),
        ("2023-07-28T20:07:14.562000", "zab1", "useradd", 0),
        ("2023-07-29T00:16:40.158000", "zab1", "usermod", 1),
        ("2023-11-23T12:07:06.000000", "zab2", "groupmod", 0),
    ]


def test_e03_dates_of_dotnet(read: Read) -> None:
    assert [row[0] for row in rows(read("events/E03/signin.jsonl", mapping="jsonl"))] == [
        "2023-11-14T22:13:20.000000", "2023-11-14T22:13:21.000000", "2023-11-14T22:13:22.500000",
    ]  # fmt: skip


def test_e04_the_delimiter_of_excel(read: Read) -> None:
    assert [row[2] for row in rows(read("events/E04/excel.csv"))] == ["login", "dump"]


def test_e05_years_of_1900_and_keys_that_come_twice(read: Read) -> None:
    windows = read("events/E05/eve.json", mapping="jsonl", machine="src_ip", event="alert.signature")
    assert [(row[0], row[2]) for row in rows(windows)] == [
        ("2022-12-11T15:00:00.123456", "ET POLICY DNS Update"),
        ("2022-12-11T15:00:01.000000", "SURICATA STREAM"),
        ("2022-12-11T15:00:02.000000", "SURICATA STREAM"),
    ]
    (left_out,) = windows.notes["left_out"]
    assert (left_out["row"], left_out["why"]) == (3, "'1900-01-00T00:00:14.199185+0000' is no time")


def test_e06_names_of_zones(read: Read) -> None:
    with pytest.raises(EvidenceError, match="Eastern Daylight Time' is no time") as why:
        read("events/E06/eve.json", mapping="jsonl")
    assert why.value.row == 1
    assert str(why.value.where).endswith("eve.json")


def test_e07_suricata_under_event(read: Read) -> None:
    windows = read(
        "events/E07/nfw.json", mapping="jsonl", timestamp="event.timestamp", machine="firewall_name",
        event="event.event_type",
    )  # fmt: skip
    assert rows(windows) == [
        ("2023-08-08T12:30:00.047170", "fw1", "netflow", 0),
        ("2023-08-08T12:30:01.000000", "fw1", "alert", 0),
    ]


def test_e08_numbers_that_are_times_and_that_are_none(read: Read) -> None:
    windows = read("events/E08/zeek.json", mapping="jsonl", timestamp="ts")
    assert sorted(row[0] for row in rows(windows)) == [
        "2024-09-24T23:03:00.597629", "2024-09-24T23:03:01.000001", "2045-08-06T14:20:00.000000",
    ]  # fmt: skip
    assert [defect["row"] for defect in windows.notes["left_out"]] == [3, 5]


def test_e10_lists_of_bytes(read: Read) -> None:
    windows = read(
        "events/E10/journal.json", mapping="jsonl", timestamp="__REALTIME_TIMESTAMP", machine="_HOSTNAME",
        event="MESSAGE",
    )  # fmt: skip
    assert [row[2] for row in rows(windows)] == [
        "plain text", "user login failed for bob", "user login failed for eve",
    ]  # fmt: skip
    assert windows.t_ns[0] == np.datetime64("2020-02-10T00:00:00.000001", "ns").astype(np.int64)
    assert windows.notes["left_out_counts"] == {"a record": 1}


def test_e12_lists_of_objects(read: Read) -> None:
    windows = read("events/E12/securityhub.json", mapping="ocsf")
    assert [row[1] for row in rows(windows)] == ["web-1", "web-2"]


def test_e13_no_machine_and_how_to_name_one(read: Read) -> None:
    with pytest.raises(EvidenceError, match=r"(?s)no machine.*--machine.*--machine-name.*src_endpoint.ip"):
        read("events/E13/route53.json", mapping="ocsf")
    windows = read("events/E13/route53.json", mapping="ocsf", machine="src_endpoint.ip")
    assert rows(windows) == [
        ("2022-10-13T21:02:36.000000", "192.0.2.100", "4003/2", 0),
        ("2022-10-13T21:02:37.000000", "192.0.2.101", "4003/2", 0),
    ]


def test_e14_lone_surrogates(read: Read) -> None:
    assert [row[1:3] for row in rows(read("events/E14/ev.jsonl", mapping="jsonl"))] == [
        ("pc1", "open \ufffd.txt"), ("pc1", "\U0001f525 fire"), ("pc\ufffd", "open b.txt"),
    ]  # fmt: skip


def test_e16_labels_are_compared_as_what_they_are(read: Read) -> None:
    windows = read("events/E16/labels.csv")
    assert windows.label.tolist() == [0, 0, 1, 0, 0, 1, 0]


def test_e17_a_column_of_nearly_the_name(read: Read) -> None:
    windows = read("events/E17/Label.csv")
    assert windows.label.tolist() == [0, 1, 0]
    assert any("'Label'" in text for text in map(str, windows.notes["warnings"]))


def test_e18_one_machine_that_nobody_names(read: Read) -> None:
    with pytest.raises(
        EvidenceError, match=r"(?s)no column for the machine.*timestamp, event.*--machine-name"
    ):
        read("events/E18/nomachine.csv")
    assert {row[1] for row in rows(read("events/E18/nomachine.csv", machine_name="bot"))} == {"bot"}


def test_e19_a_header_that_is_longer_than_its_rows(read: Read) -> None:
    with pytest.raises(EvidenceError, match="6 cells, the header has 7"):
        read("events/E19/events.csv", timestamp="Date and Time", machine="Name", event="Level")


def test_e21_an_index_without_a_name(read: Read) -> None:
    with pytest.raises(EvidenceError, match="no event"):
        read("events/E21/pandas.csv")
    assert rows(read("events/E21/pandas.csv", event="application")) == [
        ("2022-05-18T12:12:32.000000", "gw1", "nginx", 0),
        ("2022-05-18T12:12:33.500000", "gw1", "nginx", 1),
    ]


def test_l31_sessions_without_names(read: Read) -> None:
    windows = read("logs/L31/seq.txt", mapping="sessions")
    assert windows.recordings["id"].to_list() == ["1", "2", "3"]
    assert windows.recordings.height == 3
