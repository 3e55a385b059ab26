"""What is read of a dataset is what was written: digests in blocks, ranges of numbers, no links."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import plain_schema
from tests.reading.resealing import edit_manifest, reseal
from vestige.errors import DatasetError
from vestige.reading.dataset import DatasetWriter
from vestige.reading.digests import BLOCK, BlockHasher, FileDigest
from vestige.reading.windows import RECORDINGS, WindowSet

STEPS = 400_000
"""Steps of eight bytes: a stream of four blocks, the last one short."""


def write(path: Path, steps: int = STEPS, pieces: int = 3, notes: dict[str, object] | None = None) -> Path:
    """A dataset of one recording; `t_ns` has several blocks."""
    with DatasetWriter(path, plain_schema()) as writer:
        writer.notes.update(notes or {})
        writer.begin(id="r", host="h")
        for piece in np.array_split(np.arange(steps), pieces):
            writer.extend({"value": piece, "t_ns": piece}, t_ns=piece, label=(piece % 2).astype(np.uint8))
        writer.table("words", pl.DataFrame({"text": ["a", "b"]}))
    return path


def alter(file: Path, at: int) -> None:
    """Change one byte in place; the size stays."""
    with file.open("r+b") as handle:
        handle.seek(at)
        byte = handle.read(1)[0]
        handle.seek(at)
        handle.write(bytes([byte ^ 1]))


def blocks_of(data: bytes) -> list[str]:
    return [blake3(data[at : at + BLOCK]).hexdigest() for at in range(0, len(data), BLOCK)]


@pytest.mark.parametrize("pieces", [1, 3, 7])
def test_the_manifest_has_the_digest_of_every_block_of_every_file(tmp_path: Path, pieces: int) -> None:
    path = write(tmp_path / "d", pieces=pieces)
    files = json.loads((path / "schema.json").read_text())["files"]
    found = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    assert set(files) == found - {"schema.json"}
    assert len(files["streams/t_ns.npy"]["blake3"]) == 4
    for name, entry in files.items():
        data = (path / name).read_bytes()
        assert entry == {"bytes": len(data), "blake3": blocks_of(data)}


@given(sizes=st.lists(st.sampled_from([0, 1, 77, BLOCK - 1, BLOCK, BLOCK + 1]), max_size=5))
@settings(max_examples=25, deadline=None)
def test_digests_do_not_depend_on_the_pieces_that_bytes_come_in(sizes: list[int]) -> None:
    data = np.random.default_rng(0).bytes(sum(sizes))
    hasher, at = BlockHasher(), 0
    for size in sizes:
        hasher.update(data[at : at + size])
        at += size
    assert hasher.n_bytes == len(data)
    assert list(hasher.blocks) == blocks_of(data)


def test_a_gather_checks_the_blocks_that_it_touches_and_no_others(tmp_path: Path) -> None:
    windows = WindowSet.open(write(tmp_path / "d"))
    seen = windows.files["streams/t_ns.npy"].checked
    assert seen.tolist() == [True, False, False, False]
    last = STEPS - 1
    windows.gather(np.array([last]), ("t_ns",))
    assert seen.tolist() == [True, False, False, True]
    # A window of four steps that begins in the second block and ends in the third.
    across = (2 * BLOCK - 128) // 8 - 2
    windows.gather(np.array([across]), ("t_ns",))
    assert seen.tolist() == [True, True, True, True]
    assert windows.files["streams/value.npy"].checked.tolist() == [True, False]


@given(rows=st.lists(st.integers(0, 299_999), min_size=1, max_size=4), length=st.integers(1, 150_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
def test_the_blocks_checked_are_those_that_the_bytes_of_the_windows_lie_in(
    tmp_path: Path, rows: list[int], length: int
) -> None:
    path = tmp_path / "d"
    if not path.exists():
        write(path)
    windows = WindowSet.open(path)
    position = np.array(rows)
    length = min(length, STEPS - int(position.max()))
    touched = np.zeros(4, dtype=bool)
    touched[0] = True
    for at in rows:
        first, end = 128 + 8 * at, 128 + 8 * (at + length)
        touched[first // BLOCK : (end - 1) // BLOCK + 1] = True
    windows.streams.under("t_ns", position, length)
    assert windows.files["streams/t_ns.npy"].checked.tolist() == touched.tolist()


@pytest.mark.parametrize("block", range(4))
def test_a_damaged_block_is_met_when_it_is_first_read_and_not_before(tmp_path: Path, block: int) -> None:
    path = write(tmp_path / "d")
    alter(path / "streams/t_ns.npy", block * BLOCK + 1000)
    says = rf"streams/t_ns.npy: was damaged or edited: block {block} .*\n.*prepare the dataset again"
    if block == 0:
        with pytest.raises(DatasetError, match=says):
            WindowSet.open(path)
        return
    windows = WindowSet.open(path)
    steps_before = (block * BLOCK - 128) // 8
    early = np.arange(0, steps_before - 4, 1000)
    assert windows.gather(early, ("t_ns",))["t_ns"][:, -1].tolist() == early.tolist()
    inside = np.array([steps_before + 10])
    for read in (
        lambda: windows.gather(inside, ("t_ns",)),
        lambda: windows.within(np.ones(STEPS + 3, dtype=bool)).gather(inside, ("t_ns",)),
        lambda: windows.streams["t_ns"],
        lambda: windows.streams.at("t_ns", inside),
        lambda: WindowSet.open(path).verify(),
    ):
        with pytest.raises(DatasetError, match=says):
            read()


def test_a_table_is_checked_when_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "d", steps=9)
    assert WindowSet.open(path).table("words")["text"].to_list() == ["a", "b"]
    alter(path / "tables/words.parquet", 6)
    with pytest.raises(DatasetError, match=r"tables/words.parquet: was damaged or edited: block 0"):
        WindowSet.open(path).table("words")


@pytest.mark.parametrize("name", ["recording", "position", "label", "t_ns"])
def test_an_index_that_was_altered_in_place_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "d", steps=9)
    alter(path / f"index/{name}.npy", 128 + 3)
    with pytest.raises(DatasetError, match=rf"index/{name}.npy: was damaged or edited"):
        WindowSet.open(path)


def _unlist(name: str, plain: dict[str, Any]) -> None:
    del plain["files"][name]


def test_what_the_manifest_does_not_list_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "d", steps=9)
    pl.DataFrame({"text": ["planted"]}).write_parquet(path / "tables/planted.parquet")
    windows = WindowSet.open(path)
    assert not windows.has_table("planted")
    with pytest.raises(DatasetError, match="no table 'planted'"):
        windows.table("planted")
    for name in ("streams/value.npy", "index/label.npy", "recordings.parquet"):
        edit_manifest(write(tmp_path / name[:5], 9), partial(_unlist, name))
        with pytest.raises(DatasetError, match="does not list it"):
            WindowSet.open(tmp_path / name[:5])


@pytest.mark.parametrize(
    "name", ["schema.json", "recordings.parquet", "streams/value.npy", "tables/words.parquet", "streams"]
)
def test_nothing_in_a_dataset_may_be_a_link(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "d", steps=9)
    (path / name).rename(tmp_path / "elsewhere")
    (path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=rf"{name}: is a symbolic link(?s:.)*put the file itself"):
        WindowSet.open(path)


def test_a_link_that_nobody_reads_is_refused_too_and_a_link_to_a_dataset_is_not(tmp_path: Path) -> None:
    path = write(tmp_path / "d", steps=9)
    (tmp_path / "named").symlink_to(path)
    assert len(WindowSet.open(tmp_path / "named")) == 9
    (path / "tables/more").symlink_to("/etc")
    with pytest.raises(DatasetError, match=r"tables/more: is a symbolic link"):
        WindowSet.open(path)


def test_a_pipe_in_place_of_a_file_is_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "d", steps=9)
    (path / "tables/words.parquet").unlink()
    os.mkfifo(path / "tables/words.parquet")
    with pytest.raises(DatasetError, match="found nothing"):
        WindowSet.open(path)


HOSTILE = ["-1", "1e400", "-1e400", "1.5", "true", "null", "NaN", "Infinity", "1" + "0" * 19, "9" * 5000,
           '"4"', "[]", "{}", "1" + "0" * 30, "[" * 2000 + "]" * 2000, "-9223372036854775808"]  # fmt: skip
NUMBERS = ["schema.version", "schema.length", "schema.stride", "schema.streams.0.shape",
           "schema.streams.0.shape.0", "schema.streams.0.pad", "schema.inputs.0.size",
           "schema.inputs.0.length", "schema.padded", "schema.target", "schema.streams.0.dtype",
           "schema.streams.0.name", "schema.classes", "schema.classes.0", "schema.settings",
           "block", "files.recordings\\.parquet.bytes", "files.recordings\\.parquet.blake3",
           "files.recordings\\.parquet.blake3.0", "files", "notes", "notes.labelled", "format", "digest",
           "schema", "schema.source", "schema.streams", "schema.inputs", "schema.inputs.0.kind",
           "schema.inputs.0.vocabulary"]  # fmt: skip
HARMLESS = {("schema.padded", "true"), ("notes.labelled", "true"),
            ("schema.streams.0.pad", "-1"), ("schema.streams.0.pad", "1.5"), ("schema.streams.0.pad", "null"),
            ("schema.streams.0.pad", "-9223372036854775808"),
            ("schema.streams.0.shape", "[]"), ("schema.settings", "{}"), ("schema.streams.0.name", '"4"'),
            ("schema.source", '"4"'), ("schema.inputs.0.vocabulary", "null"), ("notes", "{}"),
            ("schema.classes.0", '"4"'), ("schema.inputs.0.vocabulary", "[]"), ("schema.inputs", "[]"),
            ("schema.inputs", "{}"), ("schema.streams", "[]"), ("schema.streams", "{}")}  # fmt: skip
"""What may stand there as well: such a schema could have been written, or it fails for another reason."""


def put(plain: Any, where: str, mark: str) -> None:
    """Replace the value at the dotted `where`."""
    keys = [key.replace("\0", ".") for key in where.replace("\\.", "\0").split(".")]
    for key in keys[:-1]:
        plain = plain[int(key)] if isinstance(plain, list) else plain[key]
    if isinstance(plain, list):
        while len(plain) <= int(keys[-1]):
            plain.append(1)
        plain[int(keys[-1])] = mark
    else:
        plain[keys[-1]] = mark


@pytest.mark.parametrize("where", NUMBERS)
def test_no_number_of_a_manifest_is_believed(tmp_path: Path, where: str) -> None:
    path = write(tmp_path / "d", steps=9)
    whole = (path / "schema.json").read_text()
    refused = 0
    for value in HOSTILE:
        plain = json.loads(whole)
        put(plain, where, "HERE")
        text = json.dumps(plain).replace('"HERE"', value)
        (path / "schema.json").write_text(text)
        # Sealed again where that can be done, so that not only the digest stands in the way.
        if where.startswith("schema.") and len(value) < 100 and value not in {"1e400", "-1e400"}:
            canonical = json.dumps(json.loads(text)["schema"], sort_keys=True, separators=(",", ":"))
            digest = hashlib.sha256(canonical.encode()).hexdigest()
            (path / "schema.json").write_text(json.dumps(json.loads(text) | {"digest": digest}))
        if (where, value) in HARMLESS:
            continue
        with pytest.raises(DatasetError) as caught:
            WindowSet.open(path)
        assert "prepare the dataset again" in str(caught.value)
        refused += 1
    assert refused >= 10


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("first_step", -1), ("first_step", 2**62), ("first_step", None), ("n_steps", -5), ("n_steps", 2**62),
        ("n_steps", None), ("n_steps", 1), ("n_windows", [-1, 10]), ("n_windows", None), ("n_windows", [9]),
        ("n_windows", [2**62, 2**62]), ("n_windows", [5, None]), ("n_windows", []),
    ],
)  # fmt: skip
def test_no_number_of_a_recording_is_believed(tmp_path: Path, column: str, value: object) -> None:
    path = write(tmp_path / "d", steps=9)
    file = path / RECORDINGS
    frame = pl.read_parquet(file)
    frame.with_columns(pl.Series(column, [value], dtype=frame.schema[column])).write_parquet(file)
    reseal(path, RECORDINGS)
    with pytest.raises(DatasetError, match=r"recording 0 has steps or windows that cannot be|not int32"):
        WindowSet.open(path)


def test_recordings_that_tell_of_other_windows_are_found_by_verify(tmp_path: Path) -> None:
    path = write(tmp_path / "d", steps=9)
    WindowSet.open(path).verify()
    file = path / RECORDINGS
    frame = pl.read_parquet(file)
    frame.with_columns(pl.Series("n_windows", [[4, 5]])).write_parquet(file)
    reseal(path, RECORDINGS)
    with pytest.raises(DatasetError, match="other windows than they tell of"):
        WindowSet.open(path).verify()


@pytest.mark.parametrize(
    "name", ["../d/recordings.parquet", "/etc/passwd", "a//b", "./a", "a/../b", "..", "", "a\0b"]
)
def test_no_file_outside_is_listed(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "d", steps=9)
    entry = FileDigest.of(path / RECORDINGS).to_dict()
    edit_manifest(path, lambda plain: plain["files"].update({name: entry}))
    with pytest.raises(DatasetError, match="no name of a file within"):
        WindowSet.open(path)


def test_a_dataset_says_whether_its_evidence_had_labels(tmp_path: Path) -> None:
    assert WindowSet.open(write(tmp_path / "a", 9)).labelled
    assert WindowSet.open(write(tmp_path / "b", 9, notes={"labelled": True})).labelled
    unlabelled = WindowSet.open(write(tmp_path / "c", 9, notes={"labelled": False}))
    assert not unlabelled.labelled
    assert not replace(unlabelled, order=np.arange(12)).labelled
