"""Kinds of files: what recognises, reads and shows them asks their entries alone."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import vestige
from tests.sources.events import toy_kind
from tests.sources.events.exports import START, dataset, objects, texts, write
from vestige.reading.windows import WindowSet
from vestige.sources.events.kinds import KINDS, shown_by

IMPORT = "from vestige.sources.events.toy import ToyReader, is_toy\n"
ENTRY = '"toy": Kind("a toy log", lambda _, longest: ToyReader(max_record=longest), is_toy, packed=64),\n'
CHECK = """
import sys
from pathlib import Path
from vestige.testing import check_source
check_source("events", *map(Path, sys.argv[1:]))
"""
ROWS = [(START + 60 * at, ("alpha", "beta")[at % 3 == 0], f"event {at % 4}") for at in range(60)]
AUDIT = f'type=SYSCALL msg=audit({START}.5:7): arch=c000003e syscall=59 success=yes exe="/bin/ls"\n'


def frame(seconds: int, machine: str, event: str) -> bytes:
    body = struct.pack("<I", seconds) + f"{machine}\0{event}".encode()
    return len(body).to_bytes(2, "little") + body


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with a module for one kind more, and its entry."""
    house = tmp_path_factory.mktemp("house")
    shutil.copytree(Path(vestige.__file__).parent, house / "vestige")
    events = house / "vestige" / "sources" / "events"
    shutil.copy(toy_kind.__file__, events / "toy.py")
    table = (events / "kinds.py").read_text(encoding="utf-8")
    begins, last = "KINDS = {\n", "from vestige.sources.events.zeek import is_zeek\n"
    assert (table.count(begins), table.count(last)) == (1, 1)
    table = table.replace(begins, begins + ENTRY).replace(last, IMPORT + last)
    (events / "kinds.py").write_text(table, encoding="utf-8")
    return house


def run(house: Path, *arguments: object) -> str:
    """What Python, with that package, says on standard output."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_kind_is_a_module_and_an_entry(house: Path, tmp_path: Path) -> None:
    corpus = write(tmp_path / "toy" / "a.bin", toy_kind.MAGIC + b"".join(frame(*row) for row in ROWS)).parent
    rows = [dict(zip(("timestamp", "machine", "event"), row, strict=True)) for row in ROWS]
    plain = dataset(write(tmp_path / "plain" / "a.jsonl", objects(rows)).parent, tmp_path / "expected")
    shown = run(house, "-m", "vestige", "preview", "events", corpus)
    assert "a toy log; 60 of its first 60 records fit" in shown
    run(house, "-m", "vestige", "prepare", "events", corpus, "-o", tmp_path / "found")
    found = WindowSet.open(tmp_path / "found")
    assert len(found) == len(ROWS)
    assert texts(found) == texts(plain)
    assert found.gather()["t_ns"].tolist() == plain.gather()["t_ns"].tolist()


def test_such_a_kind_is_prepared_scored_and_resumed_alike(house: Path, tmp_path: Path) -> None:
    content = toy_kind.MAGIC + b"".join(frame(*row) for row in ROWS)
    write(tmp_path / "toy" / "a.bin", content)
    corpus = write(tmp_path / "toy" / "b.bin", content.replace(b"a\0", b"b\0")).parent
    run(house, "-c", CHECK, corpus, tmp_path / "checked")


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        (b"ElfFile\0" + bytes(200), "evtx"),
        (b"#separator \\x09\n#fields\tts\tuid\n", "zeek"),
        (AUDIT.encode(), "audit"),
        (b'{"timestamp": 1}\n', ""),
        (b"timestamp,machine,event\n", ""),
    ],
)
def test_a_file_shows_of_which_kind_it_is(sample: bytes, kind: str) -> None:
    assert shown_by(sample) == kind


def test_every_kind_has_words_of_its_own() -> None:
    words = {kind.called for kind in KINDS.values()}
    assert len(words) == len(KINDS) >= 10
    assert all(words)
