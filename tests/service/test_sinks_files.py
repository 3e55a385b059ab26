"""Sinks that write here: files that are turned over, found again after a kill, and cut; standard output."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.rows import DRIFT, STEP, alert, incident
from vestige.errors import OutputError, UsageError
from vestige.scoring.budgeting import AlertBudget, Spent
from vestige.service.daily import Daily, Day
from vestige.service.sinks import Standing, make
from vestige.service.sinks.files import FileSink
from vestige.service.sinks.lines import json_line
from vestige.service.sinks.terminal import Terminal


def sink(path: Path, *, largest: int = 1000, kept: int = 3) -> FileSink:
    return FileSink(f"jsonl:{path}", json_line, path, largest=largest, kept=kept)


def numbers(*paths: Path) -> list[int]:
    """The numbers of rows in files, in their order."""
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return [json.loads(line)["n"] for line in lines]


def written(path: Path, kept: int = 3) -> list[int]:
    """The numbers in a file and those that it was turned over to, the oldest first."""
    older = [path.with_name(f"{path.name}.{number}") for number in range(kept, 0, -1)]
    return numbers(*(each for each in [*older, path] if each.exists()))


def rows(first: int, last: int) -> list[dict[str, object]]:
    return [{"n": number, "text": "x" * 80} for number in range(first, last)]


def test_lines_are_appended_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "alerts.jsonl"
    made = make(f"jsonl:{path}", None)
    made.write([alert(), incident(), STEP])
    made.close()
    made = make(f"jsonl:{path}", None)
    made.write([DRIFT])
    assert len(path.read_text().splitlines()) == 4  # at once, not only at the end
    made.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [alert(), incident(), STEP, DRIFT]


def test_a_file_is_turned_over_by_size_and_the_oldest_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    made = sink(path)
    for number in range(60):
        made.write(rows(number, number + 1))
    made.close()
    sizes = [each.stat().st_size for each in tmp_path.iterdir()]
    assert len(sizes) == 4
    assert max(sizes) <= 1000
    found = written(path)
    assert found == list(range(found[0], 60))
    assert 20 <= found[0] <= 30


def test_many_rows_at_a_time_are_turned_over_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    made = sink(path, kept=20)
    made.write(rows(0, 100))
    made.close()
    assert written(path, 20) == list(range(100))
    assert max(each.stat().st_size for each in tmp_path.iterdir()) <= 1000


def test_after_a_kill_the_file_is_as_the_state_knows_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    made = sink(path)
    made.write(rows(0, 3))
    made.flush()
    position = json.loads(json.dumps(made.position()))
    made.write(rows(3, 5))
    with path.open("a") as file:  # killed within a line
        file.write('{"n": 5, "te')
    again = sink(path)
    again.restore(position)
    assert again.told() == []
    again.write(rows(3, 8))
    again.close()
    assert written(path) == list(range(8))


@settings(max_examples=8)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.data())
def test_every_line_is_there_once_wherever_it_is_killed(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("killed") / "a.jsonl"
    made = sink(path, kept=30)
    positions, done = [(made.position(), 0)], 0
    for size in batches:
        made.write(rows(done, done + size))
        done += size
        positions.append((made.position(), done))
    position, known = data.draw(st.sampled_from(positions))
    again = sink(path, kept=30)
    again.restore(position)
    assert written(path, 30) == list(range(known))
    again.write(rows(known, 80))
    again.close()
    assert again.told() == []
    assert written(path, 30) == list(range(80))


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path, moved = tmp_path / "a.jsonl", tmp_path / "moved"
    made = sink(path)
    made.write(rows(0, 2))
    path.rename(moved)
    made.write(rows(2, 4))
    position = made.position()
    made.close()
    assert (numbers(moved), numbers(path)) == ([0, 1], [2, 3])
    path.write_text('{"n": 9}\n' * 90)
    again = sink(path)
    again.restore(position)
    assert len(numbers(path)) == 90  # not ours: left alone
    assert [sentence.count("twice") for sentence in again.told()] == [1]
    again.close()


def test_what_ends_within_a_line_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 0}\n{"n": 1}')
    made = sink(path)
    made.write(rows(2, 3))
    made.close()
    assert numbers(path) == [0, 1, 2]


@pytest.mark.parametrize("position", [None, "nonsense", 7])
def test_without_a_position_nothing_is_taken_back(tmp_path: Path, position: object) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 0}\n')
    made = sink(path)
    made.restore(position)
    made.write(rows(1, 2))
    made.close()
    assert numbers(path) == [0, 1]


def test_a_device_is_only_written_to() -> None:
    made = make("jsonl:/dev/null", None)
    made.write([alert()])
    made.flush()
    assert made.position() is None
    made.close()


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    made = make("jsonl:/dev/full", None)
    with pytest.raises(OutputError, match="No space left") as caught:
        made.write([alert()])
    assert str(caught.value.where) == "/dev/full"
    made.close()


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="directory"):
        make(f"ecs:{tmp_path}", None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ours_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission"):
        make(f"ocsf:{tmp_path}/a", None)


def test_standard_output_has_a_line_at_once(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    made = make("jsonl:-", None)
    made.write([alert(), STEP])
    assert [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()] == [alert(), STEP]
    assert made.position() is None
    made.close()


def test_what_is_no_finding_is_counted_and_told(tmp_path: Path) -> None:
    made = make(f"ecs:{tmp_path / 'a'}", None)
    made.write([alert(), STEP, STEP])
    made.close()
    assert made.told() == [
        "2 steps without an alert were not written: this format has alerts and incidents only"
    ]


def test_a_terminal_gets_a_line_each_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    made = Terminal("terminal", counts_s=0)
    made.write([alert(text="\x1b[2Jlogin\nof user"), STEP, incident(), incident("closed"), incident(id="13")])
    made.flush()
    made.flush()
    made.close()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "2026-11-28T12:00:00.123456Z | Unusual on web-1 | \\x1b[2Jlogin\\x0aof user | "
        "`login` after `logout`: once in 4,100"
    )
    assert lines[1].startswith(
        "2026-11-28T12:05:00.500000Z | Incident 000012 opened on web-1: 3 alerts | rare"
    )
    assert lines[4:] == ["so far: alerts: 1; incidents: 2, open: 1"]
    again = Terminal("terminal")
    again.restore(made.position())
    again.close()
    assert capsys.readouterr().out == ""
    again.write([incident("closed", id="13")])
    again.close()
    assert capsys.readouterr().out.endswith("so far: alerts: 1; incidents: 2, open: 0\n")
    budget, daily = AlertBudget.start(0.01), Daily({"2026-01-30": Day(20_000), "2026-01-31": Day(500, 3)})
    budget.spent = Spent(windows=20_500, alerts=190, held_back=7)
    again.stand(Standing.of(189, budget, daily))
    again.write([incident(id="14")])
    again.close()
    assert capsys.readouterr().out.endswith(
        "so far: alerts: 189 of 205.0 promised, on 2026-01-31 3 of 5.0, held back: 7; incidents: 3, open: 1\n"
    )


@pytest.mark.parametrize(
    "spec",
    [
        "", "jsonl", "jsonl:", "nothing:here", "terminal:x", "syslog:127.0.0.1:514", "syslog://127.0.0.1",
        "syslog://:514", "syslog+quic://h:1", "syslog+tcp://h:99999", "syslog://h:1/path", "cef+udp://a b:1",
        "syslog://[::1:514", "syslog://a..b:514", "webhook:", "webhook:ftp://h/", "webhook:file:///etc/passwd",
        "webhook:https://", "syslog://user@h:1",
    ],
)  # fmt: skip
def test_a_spec_that_makes_no_sense_is_refused(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make(spec, tmp_path)
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_is_told_all_kinds() -> None:
    with pytest.raises(UsageError, match="no sink 'splunk:x'") as caught:
        make("splunk:x", None)
    for kind in (
        "jsonl:",
        "ecs:",
        "ocsf:",
        "syslog://",
        "syslog+tls://",
        "cef+tcp://",
        "webhook:",
        "terminal",
    ):
        assert kind in caught.value.remedy


def test_a_terminal_of_few_characters_gets_the_others_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Terminal("terminal").write([alert(text="größe")])
    assert b"gr\\xf6\\xdfe" in raw.getvalue()
