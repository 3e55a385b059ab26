"""Real evidence beside the project: logs of Windows and sequences of system calls, counted independently."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tests.sources.events.evtx_files import CHUNK, HEADER
from tests.sources.events.exports import dataset

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data lie beside the project")


def records_of(content: bytes) -> list[tuple[int, int]]:
    """Byte and number of each record: what begins with the magic in the used part of a chunk."""
    found = []
    for begin in range(HEADER, len(content), CHUNK):
        end = begin + int.from_bytes(content[begin + 48 : begin + 52], "little")
        at = content.find(b"**\0\0", begin, end)
        while at >= 0:
            size = int.from_bytes(content[at + 4 : at + 8], "little")
            if content[at + size - 4 : at + size] == content[at + 4 : at + 8]:
                found.append((at, int.from_bytes(content[at + 8 : at + 16], "little")))
            at = content.find(b"**\0\0", at + 4, end)
    return found


def test_every_record_of_real_logs_of_windows_is_read_with_its_place(tmp_path: Path) -> None:
    windows = dataset(DATA / "evtx", tmp_path / "d")
    files = windows.table("files")["file"].to_list()
    assert len(files) == 24
    wanted = {(name, *place) for name in files for place in records_of((DATA / "evtx" / name).read_bytes())}
    step = windows.target_step
    columns = [windows.streams.at(name, step).tolist() for name in ("file", "offset", "line")]
    found = {(files[file], offset, line) for file, offset, line in zip(*columns, strict=True)}
    assert len(windows) == len(wanted) == 269
    assert found == wanted
    assert windows.notes["left_out"] == []
    digits = Counter(t_ns // 100 % 10 for t_ns in windows.t_ns.tolist())
    assert len(digits) == 10, "times are exact to 100 ns"


def test_every_call_of_adfa_is_read_and_attacks_are_anomalies(tmp_path: Path) -> None:
    archive = zipfile.ZipFile(DATA / "adfa-ld" / "ADFA-LD-part.zip")
    names = [name for name in archive.namelist() if name.endswith(".txt") and "Master" in name]
    kept = [name for name in names if "Adduser" in name or "Validation" not in name][::7]
    archive.extractall(tmp_path / "c", kept)
    calls = {name: len(archive.read(name).split()) for name in kept}
    windows = dataset(tmp_path / "c", tmp_path / "d")
    assert len(kept) > 100
    assert len(windows) == sum(calls.values())
    attacks = [name for name in kept if "Attack" in name]
    assert int(windows.label.sum()) == sum(calls[name] for name in attacks)
    assert set(windows.recordings["profile"]) >= {
        "normal",
        "Adduser",
        "Hydra_FTP",
        "Java_Meterpreter",
        "Web_Shell",
    }
