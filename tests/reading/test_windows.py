"""Windows are views on streams, and a dataset is there whole or not at all."""

from __future__ import annotations

import errno
import json
import resource
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import MakeWindows, plain_schema
from tests.reading.resealing import edit_manifest, reseal
from vestige.errors import DatasetError, OutputError
from vestige.reading.dataset import DatasetWriter
from vestige.reading.digests import Streams
from vestige.reading.windows import FORMAT, WindowSet


def _slow_windows(lengths: list[int], length: int, stride: int) -> list[list[int]]:
    """What the windows hold, written the plain way: padding 0, then consecutive numbers."""
    windows, value = [], 1
    for n in lengths:
        steps = [0] * (length - 1) + list(range(value, value + n))
        windows += [steps[s : s + length] for s in range(0, n, stride)]
        value += n
    return windows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    length=st.integers(1, 6),
    stride=st.integers(1, 4),
)
def test_a_batch_is_what_slicing_by_hand_gives(
    make_windows: MakeWindows, lengths: list[int], length: int, stride: int
) -> None:
    windows = make_windows(
        [("h", "s", "p", np.zeros(n)) for n in lengths], length=length, stride=stride, gap_ns=10**12
    )
    expected = _slow_windows(lengths, length, stride)
    assert windows.gather()["value"].tolist() == expected
    shuffled = np.random.default_rng(0).permutation(len(expected))
    assert windows.gather(shuffled)["value"].tolist() == [expected[i] for i in shuffled]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32", "int64"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_streams_of_every_kind_are_copied_alike(
    make_windows: MakeWindows, dtype: str, shape: tuple[int, ...]
) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(9))], length=4)
    values = np.random.default_rng(0).integers(0, 9, (len(windows.streams["value"]), *shape)).astype(dtype)
    plain = replace(
        windows, streams=Streams({"a": values, "b": np.asfortranarray(values), "c": values[::-1]})
    )
    for name, stream in plain.streams.items():
        rows = np.array([5, 0, 0, 8])
        found = plain.gather(rows, (name,))[name]
        assert found.dtype == values.dtype
        assert np.array_equal(found, stream[plain.steps(rows)])


@pytest.mark.parametrize("by", [-1, 1])
def test_a_window_that_leaves_its_stream_is_refused(make_windows: MakeWindows, by: int) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(9))], length=4)
    with pytest.raises(DatasetError, match="beyond its stream"):
        replace(windows, position=windows.position + by).gather()


def test_steps_arrive_in_any_pieces_and_give_the_same_files(tmp_path: Path) -> None:
    def write(path: Path, pieces: list[int]) -> None:
        with DatasetWriter(path, plain_schema(length=3, stride=2)) as writer:
            writer.begin(id="r", host="h")
            for piece in np.split(np.arange(10), pieces):
                label = (piece % 2).astype(np.uint8)
                writer.extend({"value": piece, "t_ns": piece}, t_ns=piece, label=label)

    write(tmp_path / "one", [])
    write(tmp_path / "many", [1, 1, 4, 9])
    for file in (
        "streams/value.npy",
        "index/position.npy",
        "index/label.npy",
        "recordings.parquet",
        "schema.json",
    ):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "many" / file).read_bytes()


def test_writing_takes_the_same_memory_however_long_a_recording_is(tmp_path: Path) -> None:
    def peak(pieces: int) -> int:
        piece = np.arange(1 << 16)
        label = np.zeros(len(piece), dtype=np.uint8)
        tracemalloc.start()
        with DatasetWriter(tmp_path / f"{pieces}", plain_schema()) as writer:
            writer.begin(id="r", host="h")
            for _ in range(pieces):
                writer.extend({"value": piece, "t_ns": piece}, t_ns=piece, label=label)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)
    assert peak(40) <= 1.05 * peak(4)
    assert len(WindowSet.open(tmp_path / "40")) == 40 << 16


def test_the_index_stays_on_disk_and_windows_that_lie_together_are_not_copied(
    make_windows: MakeWindows,
) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(n)) for n in (5, 3, 4)])
    for one in (windows.recording, windows.position, windows.label, windows.t_ns):
        assert isinstance(one.base, np.memmap)
    middle = windows.select(windows.recording == 1)
    assert np.shares_memory(middle.position, windows.position)
    assert middle.position.tolist() == windows.position[5:8].tolist()
    outer = windows.select(windows.recording != 1)
    assert outer.position.tolist() == np.delete(windows.position, [5, 6, 7]).tolist()
    assert len(windows.select(windows.recording == 7)) == 0


def test_windows_are_counted_by_recording_and_class(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", np.array(one)) for one in ([0, 1, 1, 0, 1], [], [0, 0])])
    assert windows.counts.tolist() == [[2, 3], [0, 0], [2, 0]]
    assert windows.counts.tolist() == windows.recordings["n_windows"].to_list()
    assert windows.present.tolist() == [0, 2]
    assert windows.select(windows.label == 1).counts.tolist() == [[0, 3], [0, 0], [0, 0]]


def test_pieces_are_the_windows_in_their_order(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", np.arange(n) % 2) for n in (5, 0, 4)])
    pieces = list(windows.pieces(4))
    assert [len(one) for one in pieces] == [4, 4, 1]
    assert np.concatenate([one.target_step for one in pieces]).tolist() == windows.target_step.tolist()
    assert np.concatenate([one.label for one in pieces]).tolist() == windows.label.tolist()
    assert list(windows.select(windows.label == 7).pieces()) == []


def test_ten_times_more_windows_cost_index_rows_and_no_steps(make_windows: MakeWindows) -> None:
    recording = [("h", "s", "p", np.zeros(20_000))]
    few = make_windows(recording, length=100, stride=10)
    many = make_windows(recording, length=100, stride=1)
    assert len(many) == 10 * len(few)
    extra = len(many) - len(few)
    on_disk = sum(f.stat().st_size for f in many.path.rglob("*") if f.is_file())
    on_disk -= sum(f.stat().st_size for f in few.path.rglob("*") if f.is_file())
    assert on_disk <= 40 * extra
    assert 8 * extra <= many.nbytes - few.nbytes <= 40 * extra
    streams = [sum(f.stat().st_size for f in (w.path / "streams").iterdir()) for w in (few, many)]
    assert streams[0] == streams[1]
    assert len(many.streams) > 0
    assert all(isinstance(one, np.memmap) for one in many.streams.values())


def test_within_looks_back_over_visible_steps_only(make_windows: MakeWindows) -> None:
    windows = make_windows(
        [("h", "s", "p", np.zeros(8)), ("h", "s", "p", np.zeros(4))], length=3, gap_ns=10**12
    )
    values = windows.streams["value"]
    odd = windows.within((values % 2 == 1) | windows.padding)
    assert odd.gather()["value"].tolist() == [
        [0, 0, 1], [0, 1, 3], [1, 3, 5], [3, 5, 7], [0, 0, 9], [0, 9, 11],
    ]  # fmt: skip
    assert values[odd.last_step].tolist() == [1, 3, 5, 7, 9, 11]
    assert odd.select(np.array([2, 5])).gather()["value"].tolist() == [[1, 3, 5], [0, 9, 11]]


@pytest.mark.parametrize(("length", "ahead"), [(1, 0), (2, 0), (3, 1), (6, 2), (7, 3)])
def test_a_window_that_looks_ahead_is_that_of_its_middle_step(
    make_windows: MakeWindows, length: int, ahead: int
) -> None:
    marks = [np.arange(5) % 2, np.arange(4) % 3 == 0]
    windows = make_windows(
        [("h", "s", "p", one) for one in marks], length=length, gap_ns=10**12, target="centre"
    )
    assert (windows.schema.ahead, windows.schema.before) == (ahead, length - 1 - ahead)
    inside = [[0] * (length - 1 - ahead) + [*steps] + [0] * ahead for steps in (range(1, 6), range(6, 10))]
    expected = [one[at : at + length] for one in inside for at in range(len(one) - length + 1)]
    assert windows.gather()["value"].tolist() == expected
    assert windows.streams["value"][windows.target_step].tolist() == list(range(1, 10))
    assert windows.label.tolist() == [*marks[0], *marks[1]]
    assert (windows.streams["t_ns"][windows.target_step] == windows.t_ns).all()
    assert (windows.padding == (windows.streams["value"] == 0)).all()


def test_within_looks_ahead_over_visible_steps_only(make_windows: MakeWindows) -> None:
    windows = make_windows(
        [("h", "s", "p", np.zeros(8)), ("h", "s", "p", np.zeros(4))], length=3, target="centre"
    )
    values = windows.streams["value"]
    odd = windows.within((values % 2 == 1) | windows.padding)
    assert odd.gather()["value"].tolist() == [
        [0, 1, 3], [1, 3, 5], [3, 5, 7], [5, 7, 0], [0, 9, 11], [9, 11, 0],
    ]  # fmt: skip
    assert values[odd.target_step].tolist() == [1, 3, 5, 7, 9, 11]


def test_windows_that_look_ahead_need_padding(tmp_path: Path) -> None:
    schema = replace(plain_schema(target="centre"), padded=False)
    with pytest.raises(ValueError, match="need padding"):
        DatasetWriter(tmp_path / "d", schema)


def test_padding_marks_what_lies_before_each_recording(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(2)), ("h", "s", "p", np.zeros(1))], length=3)
    assert windows.padding.tolist() == [True, True, False, False, True, True, False]


def test_an_empty_dataset_opens(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(0))])
    assert len(windows) == 0
    assert windows.gather()["value"].shape == (0, 4)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: (p / "schema.json").unlink(), "not a prepared dataset"),
        (lambda p: (p / "schema.json").write_text("{"), "cannot be read"),
        (lambda p: (p / "streams/value.npy").write_bytes(b"x"), "expected"),
        (lambda p: (p / "index/label.npy").unlink(), "found nothing"),
    ],
)
def test_a_damaged_dataset_is_refused(
    make_windows: MakeWindows, damage: Callable[[Path], object], says: str
) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(5))])
    damage(windows.path)
    with pytest.raises(DatasetError, match=says) as caught:
        WindowSet.open(windows.path)
    assert "prepare the dataset again" in str(caught.value)


def test_a_dataset_that_is_not_there_is_not_to_be_prepared_again(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="it does not exist") as caught:
        WindowSet.open(tmp_path / "typo")
    assert "again" not in caught.value.remedy


def test_a_dataset_whose_schema_was_edited_is_refused(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(5))])
    file = windows.path / "schema.json"
    manifest = json.loads(file.read_text())
    manifest["schema"]["length"] = 5
    file.write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match="does not match its digest"):
        WindowSet.open(windows.path)


@pytest.mark.parametrize("length", [0, -3, 2.5, "4", None])
def test_windows_of_no_length_are_refused(make_windows: MakeWindows, length: Any) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(5))])
    schema = replace(windows.schema, length=length)
    edit_manifest(windows.path, lambda plain: plain.update(schema=schema.to_dict(), digest=schema.digest))
    with pytest.raises(DatasetError, match=r"length \(steps of a window\) is"):
        WindowSet.open(windows.path)


@pytest.mark.parametrize("name", ["../../elsewhere/value", "/elsewhere/value", "..", ""])
def test_no_stream_is_read_from_elsewhere(make_windows: MakeWindows, name: str) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(5))])
    elsewhere = windows.path.parent / "elsewhere"
    shutil.copytree(windows.path / "streams", elsewhere)
    named = name.replace("/elsewhere", str(elsewhere)) if name.startswith("/") else name
    schema = replace(
        windows.schema, streams=tuple(replace(one, name=named) for one in windows.schema.streams[:1])
    )
    file = windows.path / "schema.json"
    manifest = json.loads(file.read_text()) | {"schema": schema.to_dict(), "digest": schema.digest}
    file.write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match=r"no name of a stream|cannot be read"):
        WindowSet.open(windows.path)


@pytest.mark.parametrize("files", [["schema.json"], {"a\0b": 1}, {"schema.json": "x"}, None, 3])
def test_a_list_of_files_that_is_none_is_refused(make_windows: MakeWindows, files: object) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(5))])
    file = windows.path / "schema.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"files": files}))
    with pytest.raises(DatasetError, match=r"cannot be read|expected"):
        WindowSet.open(windows.path)


def test_a_dataset_of_another_version_is_refused(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(5))])
    file = windows.path / "schema.json"
    file.write_text(file.read_text().replace(FORMAT, "vestige-dataset/2"))
    with pytest.raises(DatasetError, match=r"(?s)version \('vestige-dataset/2.*prepare the dataset again"):
        WindowSet.open(windows.path)


def test_an_index_of_another_kind_is_refused(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(5))])
    file = windows.path / "index/label.npy"
    damaged = file.read_bytes()
    for wrong, says in (
        (damaged.replace(b"|u1", b"|i1"), "holds int8"),
        (b"x" * len(damaged), "cannot be read"),
    ):
        file.write_bytes(wrong)
        reseal(windows.path, "index/label.npy")
        with pytest.raises(DatasetError, match=says):
            WindowSet.open(windows.path)


@pytest.mark.parametrize(
    ("damaged", "by", "says"),
    [
        ("index/label.npy", lambda raw: raw.replace(b"(5,)", b"(4,)"), r"uint8 \(4,\), not uint8 \(5,\)"),
        ("index/label.npy", lambda raw: raw.replace(b"(5,)", b"(50,"), "cannot be read"),
        ("streams/value.npy", lambda raw: raw.replace(b"(8,)", b"(7,)"), r"int32 \(7,\), not int32 \(8,\)"),
        ("recordings.parquet", lambda raw: bytes(len(raw)), "cannot be read"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    make_windows: MakeWindows, damaged: str, by: Callable[[bytes], bytes], says: str
) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(5))])
    file = windows.path / damaged
    before = file.read_bytes()
    file.write_bytes(by(before))
    assert file.read_bytes() != before
    reseal(windows.path, damaged)
    with pytest.raises(DatasetError, match=says):
        WindowSet.open(windows.path)


@given(at=st.integers(8, 127), byte=st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_a_damaged_header_is_refused_or_says_the_same(make_windows: MakeWindows, at: int, byte: int) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(5))])
    file = windows.path / "index/position.npy"
    damaged = bytearray(file.read_bytes())
    damaged[at] = byte
    file.write_bytes(damaged)
    reseal(windows.path, "index/position.npy")
    try:
        found = WindowSet.open(windows.path).position
    except DatasetError:
        return
    assert found.tolist() == windows.position.tolist()


@pytest.mark.parametrize(("column", "value"), [("recording", 2), ("label", 2)])
def test_a_window_of_no_recording_or_class_is_never_counted(
    make_windows: MakeWindows, column: str, value: int
) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(n)) for n in (5, 3)])
    damaged = getattr(windows, column).copy()
    damaged[1] = value
    with pytest.raises(DatasetError, match="no recording or of no class"):
        assert replace(windows, **{column: damaged}).counts is None


@pytest.mark.parametrize("mask", [np.ones(4, bool), np.zeros(6, bool), np.ones((5, 1), bool)])
def test_a_mask_of_other_windows_is_refused(make_windows: MakeWindows, mask: np.ndarray) -> None:
    windows = make_windows([("h", "s", "p", np.zeros(5))])
    with pytest.raises(IndexError):
        windows.select(mask)


def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with DatasetWriter(tmp_path / "d", plain_schema()) as writer:
            writer.begin(id="r", host="h")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, values: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fail() -> None:
        with DatasetWriter(tmp_path / "d", plain_schema()) as writer:
            monkeypatch.setattr("vestige.reading.dataset.StreamWriter.append", full)
            writer.begin(id="r", host="h")

    with pytest.raises(OutputError, match="disk is full"):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("most", "steps"), [(200, 30), (1 << 12, 1 << 12)])
def test_a_limit_met_while_writing_or_finishing_leaves_nothing_and_says_so(
    tmp_path: Path, most: int, steps: int
) -> None:
    t_ns, before = np.arange(steps), resource.getrlimit(resource.RLIMIT_FSIZE)

    def write() -> None:
        with DatasetWriter(tmp_path / "d", plain_schema()) as writer:
            writer.begin(id="r", host="h")
            writer.extend({"value": t_ns, "t_ns": t_ns}, t_ns=t_ns, label=np.zeros(steps, dtype=np.uint8))

    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        with pytest.raises(OutputError, match="larger than it may be; nothing was left behind"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_more_classes_than_a_label_can_tell_apart_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="257 classes"):
        DatasetWriter(tmp_path / "d", plain_schema(classes=tuple(map(str, range(257)))))


def test_an_existing_output_is_kept_unless_overwritten(tmp_path: Path) -> None:
    def write(**options: bool) -> None:
        with DatasetWriter(tmp_path / "d", plain_schema(), **options) as writer:
            writer.begin(id="r", host="h")

    write()
    with pytest.raises(OutputError, match="already exists"):
        write()
    write(overwrite=True)
    assert len(WindowSet.open(tmp_path / "d")) == 0
    assert [one.name for one in tmp_path.iterdir()] == ["d"]


def test_overwrite_never_removes_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("years of work")
    with (
        pytest.raises(OutputError, match="did not write"),
        DatasetWriter(tmp_path / "d", plain_schema(), overwrite=True),
    ):
        pass
    assert (tmp_path / "d" / "thesis.txt").read_text() == "years of work"


def test_a_run_and_a_folder_of_other_things_are_no_datasets(tmp_path: Path) -> None:
    (tmp_path / "run" / "dataset").mkdir(parents=True)
    (tmp_path / "run" / "dataset" / "schema.json").write_text("{}")
    with pytest.raises(
        DatasetError, match=r"(?s)schema\.json is missing.*it lies in the run: name .*dataset"
    ):
        WindowSet.open(tmp_path / "run")
    (tmp_path / "other").mkdir()
    with pytest.raises(
        DatasetError, match=r"(?s)schema\.json is missing.*name a directory that vestige prepare"
    ):
        WindowSet.open(tmp_path / "other")
