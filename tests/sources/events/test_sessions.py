"""Labelled sessions: the published formats, their labels, causes and splits; and real ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.sources.events.exports import SECOND, dataset, texts, write
from vestige.errors import EvidenceError
from vestige.sources.events.sessions import END

REAL = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "sessions"


def corpus(root: Path) -> Path:
    write(root / "x_train", "a,5 6\nb,5\n")
    write(root / "x_test_normal", "c,5 6\n\n")
    write(root / "x_test_abnormal", "d,9 9 9\ne,5 9\n")
    return root


def test_a_session_is_a_recording_labelled_by_its_file(tmp_path: Path) -> None:
    windows = dataset(corpus(tmp_path / "c"), tmp_path / "d", mapping="sessions", context=2)
    recordings = windows.recordings
    assert recordings["id"].to_list() == ["a", "b", "c", "d", "e"]
    assert recordings["host"].to_list() == ["train", "train", "test", "test", "test"]
    assert recordings["profile"].to_list() == ["normal", "normal", "normal", "anomaly", "anomaly"]
    assert windows.schema.target == "recording"
    assert windows.label.tolist() == [0] * 8 + [1] * 7
    assert texts(windows)[8:12] == [["", "", "9"], ["", "9", "9"], ["9", "9", "9"], ["9", "9", END]]
    assert texts(windows)[4] == ["", "5", END]
    assert windows.t_ns[8:12].tolist() == [0, SECOND, 2 * SECOND, 3 * SECOND]
    assert windows.streams["line"][2:4].tolist() == [1, 1]


def test_equal_sequences_are_one_sample_but_no_copies(tmp_path: Path) -> None:
    windows = dataset(corpus(tmp_path / "c"), tmp_path / "d", mapping="sessions")
    by_id = {row["id"]: row for row in windows.recordings.iter_rows(named=True)}
    assert by_id["a"]["sample"] == by_id["c"]["sample"] != by_id["b"]["sample"]
    assert by_id["a"]["digest"] != by_id["c"]["digest"]
    raw = windows.streams["raw"]
    assert len(set(raw.tolist())) == len(windows) + 1


def test_causes_replace_the_file_that_unites_them(tmp_path: Path) -> None:
    root = corpus(tmp_path / "c")
    write(root / "x_test_abnormal_disk_full", "d,9 9 9\n")
    write(root / "x_test_abnormal_loop", "e,5 9\n")
    windows = dataset(root, tmp_path / "d", mapping="sessions")
    assert windows.recordings["profile"].to_list()[3:] == ["disk_full", "loop"]
    assert [one["file"] for one in windows.notes["left_out"]] == ["x_test_abnormal"]


def test_other_names_can_mean_anomalies(tmp_path: Path) -> None:
    write(tmp_path / "c" / "good", "a,5 6\n")
    write(tmp_path / "c" / "attack-1", "b,5\n")
    windows = dataset(tmp_path / "c", tmp_path / "d", mapping="sessions", anomalous_files="attack*")
    assert windows.label.tolist() == [0, 0, 0, 1, 1]


def test_json_sessions_bring_label_and_split(tmp_path: Path) -> None:
    rows = [
        {"split": "train", "session": "s", "events": [0, 1], "label": 0},
        {"split": "test", "session": "s", "events": ["1"], "label": 1},
        {"session": "t", "events": []},
        {"events": [1]},
    ]
    export = write(tmp_path / "a.jsonl", "".join(json.dumps(one) + "\n" for one in rows))
    windows = dataset(export, tmp_path / "d", mapping="sessions")
    assert windows.recordings["id"].to_list() == ["s", "s#2"]
    assert windows.recordings["host"].to_list() == ["train", "test"]
    assert windows.label.tolist() == [0, 0, 0, 1, 1]
    assert windows.notes["sessions_of_equal_name"] == 1
    assert [one["why"] for one in windows.notes["left_out"]] == ["no events", "no session"]


def test_files_that_hold_no_sessions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="no comma after the session's name"):
        dataset(write(tmp_path / "a", "one two\nthree four\n"), tmp_path / "d", mapping="sessions")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real sessions lie beside the project")
@pytest.mark.parametrize(
    ("name", "sessions", "anomalous"),
    [
        ("hdfs_100k.jsonl.gz", 7940, 313),
        ("openstack_loghub", 2069, 198),
        ("adfa_verazuo", 53 + 746, 746),
        ("hadoop_loghub", 167 + 811, 811),
    ],
)
def test_real_sessions_are_read_completely(tmp_path: Path, name: str, sessions: int, anomalous: int) -> None:
    windows = dataset(REAL / name, tmp_path / "d", mapping="sessions")
    assert windows.recordings.height == sessions
    first = windows.select(windows.t_ns == 0)
    assert int(first.label.sum()) == anomalous
    assert "a record" not in windows.notes["left_out_counts"]
    assert set(windows.recordings["host"]) == {"train", "test"}
