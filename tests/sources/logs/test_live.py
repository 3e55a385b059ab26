"""Live windows: the numbers of `prepare`, in flat memory; and the probe."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.reading.raw import live, probe, refuse_to_open
from vestige.errors import EvidenceError
from vestige.evidence.files import STDIN, EvidenceFile
from vestige.evidence.stream import Mode
from vestige.reading.live import read_windows
from vestige.reading.steps import Evidence
from vestige.reading.windower import WindowBatch, Windower
from vestige.reading.windows import WindowSet
from vestige.schema import Schema
from vestige.sources.logs import stream as log_stream
from vestige.sources.logs.blocks import BLOCK_BYTES, FOLLOWED_BYTES
from vestige.sources.logs.corpora import rules_for
from vestige.sources.logs.format import shipped
from vestige.sources.logs.head import LogUnit
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.parsing import BlockParser
from vestige.sources.logs.reader import LogReader
from vestige.sources.logs.schema import schema_for
from vestige.sources.logs.source import LogSource
from vestige.sources.logs.stream import LogStream

TRACE = "java.io.IOException: x\n\tat a.B.c(B.java:7)\n"


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("live")
    for number, host in enumerate(("a", "b")):
        (root / "c" / host).mkdir(parents=True)
        lines = []
        for n in range(300):
            level = "ERROR" if n % 7 == number else "INFO"
            when = f"2015-10-18 18:{n // 60:02}:{n % 60:02},{n:03}"
            lines.append(f"{when} {level} [m] a.B: did {n} {'x' * (n % 5)}\n" + TRACE * (n % 11 == 0))
        (root / "c" / host / "app.log").write_text("".join(lines))
    return root


@pytest.fixture(scope="module")
def windows(evidence: Path) -> WindowSet:
    return LogSource().prepare(evidence / "c", evidence / "d", LogOptions(format="hadoop", window_size=5))


@pytest.fixture(scope="module")
def ahead(evidence: Path) -> WindowSet:
    options = LogOptions(format="hadoop", window_size=4, sequence_type="context")
    return LogSource().prepare(evidence / "c", evidence / "e", options)


def as_text(symbols: pl.DataFrame, steps: dict[str, np.ndarray]) -> np.ndarray:
    texts = np.array(symbols["text"].to_list(), dtype=object)
    return np.asarray(texts[steps["message"]])


@pytest.mark.parametrize("kind", ["windows", "ahead"])
@pytest.mark.parametrize("most", [1, 7, 100, 1 << 18])
def test_live_windows_equal_those_of_the_dataset_for_any_block_size(
    evidence: Path, kind: str, most: int, request: pytest.FixtureRequest
) -> None:
    windows: WindowSet = request.getfixturevalue(kind)
    prepared = windows.gather()
    table = windows.table("messages")
    at = 0
    for batch in live([evidence / "c"], windows.schema, most=most):
        rows = slice(at, at + len(batch.place))
        assert (as_text(batch.symbols, batch.steps) == as_text(table, prepared)[rows]).all()
        for name in ("t_ns", "line", "offset", "raw"):
            assert (batch.steps[name] == prepared[name][rows]).all()
        assert batch.place.columns == ["file", "line", "offset"]
        assert (batch.place["line"].to_numpy() == prepared["line"][rows, windows.schema.before]).all()
        at = rows.stop
    assert at == len(windows) == 600


def test_a_window_that_looks_ahead_waits_for_its_lines_and_no_longer(
    ahead: WindowSet, tmp_path: Path
) -> None:
    file = tmp_path / "app.log"
    file.write_text("".join(f"2015-10-18 18:00:00,00{n} ERROR [m] a.B: lost {n}\n" for n in range(1, 8)))
    reader = LogReader(ahead.schema)
    (unit,) = reader.units(Evidence((file,))).units
    stream, windower = reader.open(unit), Windower(reader)
    came = []
    while not stream.ended:
        block = stream.read(1)
        assert block is not None
        last = replace(block, ended=np.array([False]))
        came.append([line for batch in windower.push(last) for line in batch.place["line"]])
    assert came == [[], [], [], [], [1], [2], [3]]
    assert [line for batch in windower.flush() for line in batch.place["line"]] == [4, 5, 6, 7]


@pytest.mark.parametrize("n", [1, 2, 4, 5])
def test_a_file_shorter_than_the_look_ahead_is_scored_whole(ahead: WindowSet, tmp_path: Path, n: int) -> None:
    file = tmp_path / "short.log"
    file.write_text("".join(f"2015-10-18 18:00:00,00{k} ERROR [m] a.B: lost {k}\n" for k in range(n)))
    batches = list(live([file], ahead.schema))
    assert [line for one in batches for line in one.place["line"]] == list(range(1, n + 1))
    assert all(one.steps["message"].shape[1] == 9 for one in batches)


def test_live_needs_nothing_but_the_schema(evidence: Path, windows: WindowSet, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'header = "<D> <T> <Level> [<P>] <C>: <Content>"\ntime = {D = "%Y-%m-%d", T = "%H:%M:%S,%f"}\n'
        'masks = ["letters"]\nmask = {letters = "x+"}\nexample = ["2015-10-18 18:01:47,978 INFO [m] a: x"]\n'
    )
    schema = schema_for(rules_for(LogOptions(format=str(own), label="level:ERROR")), length=4, stride=3)
    own.unlink()
    back = Schema.from_dict(schema.to_dict())
    batches = list(live([evidence / "c" / "a" / "app.log"], back))
    assert sum(len(one.place) for one in batches) == 300
    assert "did 3 <letters>" in batches[0].symbols["text"].to_list()
    assert probe(back).steps["message"].shape == (1, 4)


@pytest.mark.parametrize("name", shipped())
def test_the_probe_exercises_every_shipped_format(name: str) -> None:
    rules = rules_for(LogOptions(format=name))
    schema = schema_for(rules, length=3, stride=1)
    first, second = (probe(schema) for _ in range(2))
    assert len(first)
    assert all((first.steps[one] == second.steps[one]).all() for one in first.steps)
    assert (first.steps["t_ns"][:, -1] > 0).all() == bool(rules.formats[0].time)
    assert any("<" in text for text in first.symbols["text"])


def test_a_changed_mask_changes_the_schema(tmp_path: Path) -> None:
    text = (
        'header = "<T> <Content>"\ntime = {T = "%s"}\nmasks = ["own"]\n'
        'mask = {own = "a+"}\nexample = ["1 x"]\n'
    )
    digests = set()
    for number, content in enumerate((text, text.replace("a+", "b+"), text.replace("1 x", "1 y"))):
        path = tmp_path / str(number) / "own.toml"
        path.parent.mkdir()
        path.write_text(content)
        digests.add(schema_for(rules_for(LogOptions(format=str(path))), length=3, stride=1).digest)
    assert len(digests) == 3


@pytest.mark.parametrize("most", [1, 2, 1 << 18])
def test_lines_before_the_first_header_are_not_scored(tmp_path: Path, most: int) -> None:
    schema = schema_for(rules_for(LogOptions(format="hadoop")), length=6, stride=1)
    file = tmp_path / "a.log"
    file.write_text("\tat a.B.c\n" * 100 + "2015-10-18 18:00:00,000 ERROR [m] a.B: lost\n" * 3)
    batches = list(live([file], schema, most=most))
    assert [line for one in batches for line in one.place["line"]] == [101, 102, 103]


def test_of_several_files_each_is_called_by_the_path_as_given(evidence: Path, windows: WindowSet) -> None:
    paths = [evidence / "c" / host / "app.log" for host in ("a", "b")]
    names = [one.place["file"][0] for one in live(paths, windows.schema)]
    assert list(dict.fromkeys(names)) == [str(one) for one in paths]
    assert {name for one in live([evidence / "c"], windows.schema) for name in one.place["file"]} == {
        "a/app.log",
        "b/app.log",
    }


def test_a_directory_of_misfits_is_an_error_and_a_single_one_is_left_out(
    windows: WindowSet, tmp_path: Path
) -> None:
    (tmp_path / "a.log").write_text("nothing\n" * 9)
    (tmp_path / "b.log").write_text("of the kind\n" * 9)
    with pytest.raises(EvidenceError, match="do not fit") as caught:
        list(live([tmp_path], windows.schema))
    assert caught.value.where == str(tmp_path / "a.log")
    (tmp_path / "c.log").write_text("2015-10-18 18:00:00,000 INFO [m] a.B: did 1\n")
    assert [one.place["file"][0] for one in live([tmp_path], windows.schema)] == ["c.log"]


def test_batches_say_how_many_bytes_were_read(evidence: Path, windows: WindowSet) -> None:
    taken = [one.taken for one in live([evidence / "c"], windows.schema)]
    assert taken == sorted(taken)
    assert taken[-1] == sum(one.stat().st_size for one in evidence.glob("c/*/app.log"))


@pytest.mark.parametrize(
    ("until", "day", "prepared", "scored"),
    [
        ("2009-01-08", "Jan  7", 2009, 2009),
        ("2009-01-08", "Jan  9", 2008, 2009),
        ("2009-01-08", "Dec 20", 2008, 2008),
        ("2008-12-20", "Jan  3", 2008, 2009),
        ("2008-02-29", "Feb 29", 2008, 2008),
    ],
)
def test_live_lines_have_the_year_nearest_to_the_last_day_of_training(
    tmp_path: Path, until: str, day: str, prepared: int, scored: int
) -> None:
    (tmp_path / "auth.log").write_text("".join(f"{day} 09:17:0{n} box sshd[{n}]: lost\n" for n in range(3)))
    rules = rules_for(LogOptions(format="rfc3164", year=until))
    file = EvidenceFile(tmp_path / "auth.log", "auth.log", None)
    stream = LogStream(LogUnit("auth.log", "auth.log", file=file, rules=rules), labelled=True, resume=None)
    block = stream.read(9)
    assert block is not None
    assert len(block) == 3
    assert str(np.datetime64(int(block.t_ns[0]), "ns"))[:4] == str(prepared)
    (batch,) = live([tmp_path / "auth.log"], schema_for(rules, length=2, stride=1))
    assert str(np.datetime64(int(batch.steps["t_ns"][0, -1]), "ns"))[:4] == str(scored)


def test_a_pipe_is_scored_as_it_fills(windows: WindowSet, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as reader, os.fdopen(theirs, "wb", buffering=0) as writer:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=reader))
        too_late = Timer(20, writer.close)
        too_late.start()
        scored = live([STDIN], windows.schema)
        seen = []
        for first in (1, 5, 9):
            for n in range(first, first + 4):
                writer.write(f"2015-10-18 18:00:00,0{n:02} ERROR [m] a.B: lost {n}\n{TRACE}".encode())
            seen.append(next(scored).place["line"].to_list())
        too_late.cancel()
        writer.close()
        seen += [batch.place["line"].to_list() for batch in scored]
    lines = [1 + 3 * n for n in range(12)]
    assert [one for batch in seen for one in batch] == lines
    assert seen[0][0] == 1
    assert seen[-1] == lines[-1:]
    assert len(seen) >= 4


def test_the_last_message_of_a_pipe_is_released_and_corrected(
    windows: WindowSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = "2015-10-18 18:00:00,0{:02} ERROR [m] a.B: lost {}\n"
    first, rest = "".join(head.format(n, n) for n in range(3)), TRACE + head.format(3, 3)
    ours, theirs = os.pipe()
    found: list[tuple[int, int, list[str], bytes]] = []
    corrected = []
    with os.fdopen(ours, "rb") as reader, os.fdopen(theirs, "wb", buffering=0) as writer:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=reader))
        too_late = Timer(20, writer.close)
        too_late.start()
        log_reader = LogReader(windows.schema)
        scored = read_windows(log_reader, Evidence((STDIN,), "live"), idle_s=0.2)
        writer.write(first.encode())
        for batch in scored:
            if batch.corrects:
                corrected.append(found.pop())
            found += _seen(batch)
            if len(found) == 3 and not corrected:
                assert too_late.is_alive(), "the pipe is open, and its last message is there already"
                writer.write(rest.encode())
            elif len(found) == 4:
                too_late.cancel()
                writer.close()
    assert [(line, window[-1]) for line, _, window, _ in corrected] == [(3, "lost <num>")]
    (tmp_path / "app.log").write_text(first + rest)
    whole = [row for batch in live([tmp_path / "app.log"], windows.schema) for row in _seen(batch)]
    assert found == whole
    assert found[2][3] != corrected[0][3], "it was corrected to something else"


def _seen(batch: WindowBatch) -> list[tuple[int, int, list[str], bytes]]:
    """Line, time, messages and hashes of the content of every window."""
    texts = as_text(batch.symbols, batch.steps).tolist()
    hashes = [row.tobytes() for row in batch.steps["raw"]]
    return list(zip(batch.place["line"].to_list(), batch.t_ns.tolist(), texts, hashes, strict=True))


@pytest.mark.parametrize("mode", ["whole", "live"])
def test_a_file_that_cannot_be_opened_is_left_out_and_named(
    evidence: Path, windows: WindowSet, tmp_path: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    refuse_to_open(monkeypatch, "a/app.log")
    batches = list(read_windows(LogReader(windows.schema), Evidence((evidence / "c",), mode)))
    assert {name for batch in batches for name in batch.place["file"]} == {"b/app.log"}
    assert sum(map(len, batches)) == 300
    assert "a/app.log was left out: cannot be read: Permission denied" in caplog.text
    options = LogOptions(format="hadoop", window_size=5)
    rest = LogSource().prepare(evidence / "c", tmp_path / "d", options)
    assert rest.recordings["id"].to_list() == ["b/app.log"]
    assert rest.notes["left_out_counts"] == {"the file": 1}
    assert rest.notes["left_out"][0]["file"] == "a/app.log"


def test_a_log_that_is_followed_is_read_in_small_blocks(tmp_path: Path) -> None:
    line = b"2026-01-02T03:04:05Z host app: " + b"word " * 200 + b"\n"
    log = tmp_path / "app.log"
    log.write_bytes(line * (2 * BLOCK_BYTES // len(line)))
    reader = LogReader(schema_for(rules_for(LogOptions()), length=2, stride=1))
    largest = {}
    for mode in ("whole", "follow"):
        (unit,) = reader.units(Evidence((log,), mode)).units
        with closing(reader.open(unit)) as stream:
            sizes = []
            while (block := stream.read(1 << 20)) is not None and len(block):
                sizes.append(len(block) * len(line))
        largest[mode] = max(sizes)
    assert largest["follow"] <= FOLLOWED_BYTES < largest["whole"] <= BLOCK_BYTES


@pytest.mark.parametrize(
    ("mode", "once", "waits", "at_once"),
    [
        ("whole", False, True, False),
        ("live", False, False, False),
        ("follow", False, False, True),
        ("follow", True, False, False),
    ],
)
def test_who_reads_what_is_all_there_waits_while_the_kernel_is_built_and_who_follows_wants_it_at_once(
    evidence: Path, mode: Mode, once: bool, waits: bool, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    class Told(BlockParser):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            told.append((options["waits"], options["worth_s"] == 0))
            super().__init__(*arguments, **options)

    monkeypatch.setattr(log_stream, "BlockParser", Told)
    reader = LogReader(schema_for(rules_for(LogOptions()), length=2, stride=1))
    (unit,) = reader.units(Evidence((evidence / "c" / "a" / "app.log",), mode)).units
    if once:
        # As `watch --once` has it: what is followed up to where it reaches now.
        unit = replace(unit, file=replace(unit.file, upto=unit.file.size))
    reader.open(unit).close()
    assert told == [(waits, at_once)]
