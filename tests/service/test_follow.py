"""Following files line by line: what a file is known by, and when what it holds back is handed on."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.service.conftest import lines
from vestige.checkpoint import load
from vestige.errors import CheckpointError
from vestige.reading.steps import StepBlock
from vestige.service.follow import Follower
from vestige.service.identity import HEAD_BYTES
from vestige.sources import registry


def following(detector: Path, logs: Path) -> Follower:
    return Follower(registry.get("logs").reader(load(detector).schema), [logs])


def append(log: Path, *text: str) -> None:
    with log.open("a") as file:
        file.writelines(text)


def after_a_while(follower: Follower) -> list[StepBlock]:
    """What comes of a look, and of a quiet minute after it."""
    found = list(follower.read())
    for followed in follower.open.values():
        followed.heard -= 60.0
    return [*found, *follower.release(30.0)]


def test_a_file_that_was_small_when_it_was_found_is_known_when_it_was_packed(
    detector: Path, tmp_path: Path
) -> None:
    log, text = tmp_path / "app.log", list(lines(100, start=3_000))
    append(log, *text[:2])
    assert log.stat().st_size < HEAD_BYTES < sum(map(len, text))
    follower = following(detector, tmp_path)
    follower.scan()
    steps = sum(map(len, follower.read()))
    append(log, *text[2:])
    steps += sum(map(len, follower.read()))
    with gzip.open(tmp_path / "app.log.1.gz", "wt") as packed:
        packed.writelines(text)
    log.unlink()
    for followed in follower.open.values():
        followed.heard -= 60.0
    for _ in range(3):
        follower.scan()
        steps += sum(map(len, follower.read()))
    assert steps == len(text)
    assert set(follower.done) == {"app.log", "app.log.1.gz"}
    follower.close()


def test_each_line_of_a_sparse_log_is_handed_on_without_the_next(detector: Path, tmp_path: Path) -> None:
    log, text = tmp_path / "app.log", list(lines(34, start=3_000))
    append(log, *text[:30])
    follower = following(detector, tmp_path)
    follower.scan()
    assert sum(map(len, after_a_while(follower))) == 30
    for line in text[30:]:
        append(log, line)
        (block,) = after_a_while(follower)
        assert (len(block), block.corrects) == (1, False)
        assert not after_a_while(follower)
    # What goes on is handed on once more, whenever it does.
    for _ in range(2):
        append(log, "    at main.c:7\n")
        (block,) = after_a_while(follower)
        assert (len(block), block.corrects) == (1, True)
    follower.close()


def test_a_file_is_not_quiet_while_nobody_looked_at_it(detector: Path, tmp_path: Path) -> None:
    append(tmp_path / "app.log", *lines(30, start=3_000))
    follower = following(detector, tmp_path)
    follower.scan()
    assert sum(map(len, follower.read())) == 29
    (followed,) = follower.open.values()
    # Others were read for a minute since.
    followed.heard -= 60.0
    followed.looked -= 60.0
    assert not list(follower.release(30.0))
    follower.close()


def test_what_was_handed_on_before_its_time_is_not_told_to_be_waited_for(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    append(tmp_path / "app.log", *lines(1, start=3_000))
    follower = following(detector, tmp_path)
    follower.scan()
    (block,) = after_a_while(follower)
    assert len(block) == 1
    with caplog.at_level("INFO", logger="vestige"):
        follower.tell_waiting(0.0)
        follower.tell_unread()
    assert not caplog.records
    follower.close()


def test_a_new_file_by_an_old_name_is_told_to_be_waited_for(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "app.log"
    follower = following(detector, tmp_path)
    with caplog.at_level("INFO", logger="vestige"):
        for text in ("- what is this -\n", "- what is this, again -\n"):
            append(log, text)
            for _ in range(2):
                follower.scan()
                list(follower.read())
                follower.tell_waiting(0.0)
            log.unlink()
            follower.open["app.log"].heard -= 60.0
            follower.scan()
            list(follower.read())
            assert not follower.open
    told = [record.getMessage() for record in caplog.records]
    assert sum(text.startswith("app.log: nothing of it is read yet") for text in told) == 2
    follower.close()


@pytest.mark.parametrize(
    ("source", "part", "wrong"),
    [
        ("logs", "head", {"kind": "toy"}),
        ("logs", "clock", 3),
        ("logs", "offset", -1),
        ("logs", "line", 0),
        ("events", "offset", 10**30),
        ("events", "offset", 1.5),
        ("events", "layout", {"kind": "toy"}),
        ("events", "layout", {"kind": "jsonl", "places": []}),
    ],
)
def test_a_position_that_is_none_is_refused_and_named(
    source: str, part: str, wrong: object, tmp_path: Path
) -> None:
    text = {
        "logs": "".join(lines(50)),
        "events": 50 * '{"host": "a", "event": "x", "time": "2026-01-01T00:00:00Z"}\n',
    }[source]
    log = tmp_path / "app.log"
    log.write_text(text)
    chosen = registry.get(source)
    reader = chosen.corpus_reader(log, chosen.options())
    first = Follower(reader, [log])
    first.scan()
    assert sum(map(len, first.read()))
    state = first.state()
    first.close()
    again = Follower(reader, [log], state=state)
    again.scan()
    assert again.open
    again.close()
    state["open"][0]["position"]["chunk"][part] = wrong
    with pytest.raises(CheckpointError, match=r"app\.log what cannot be taken up"):
        Follower(reader, [log], state=state).scan()
