"""From an export to a dataset: what is written, what is noted, what is refused with nothing left behind."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.sources.events.exports import SECOND, START, Row, dataset, objects, table, texts, write
from vestige.engine import LocalEngine
from vestige.errors import EvidenceError, OutputError, UsageError, VestigeError
from vestige.reading.prepare import prepare
from vestige.reading.windows import WindowSet
from vestige.recipes import find
from vestige.sources.events.options import EventOptions
from vestige.sources.events.reader import EventReader
from vestige.sources.events.source import EventSource
from vestige.splits import groups_of

ROWS: list[Row] = [
    (0, "web", "logon", "-"),
    (1, "db", "query", ""),
    (2, "web", "scan", "attack"),
    (3, "db", "query", "0"),
    (4, "web", "logoff", "Normal"),
]


def test_a_window_is_an_event_with_the_context_of_its_own_machine(tmp_path: Path) -> None:
    windows = dataset(write(tmp_path / "c" / "a.csv", table(ROWS)), tmp_path / "d", context=2)
    assert windows.recordings["id"].to_list() == ["db", "web"]
    assert windows.recordings["host"].to_list() == ["db", "web"]
    assert texts(windows) == [
        ["", "", "query"], ["", "query", "query"],
        ["", "", "logon"], ["", "logon", "scan"], ["logon", "scan", "logoff"],
    ]  # fmt: skip
    assert windows.label.tolist() == [0, 0, 0, 1, 0]
    assert (windows.t_ns - START * SECOND).tolist() == [
        SECOND, 3 * SECOND, 0, 2 * SECOND, 4 * SECOND,
    ]  # fmt: skip
    place = EventSource().place(windows, windows.recording.astype(int) * 0 + 3)
    data = (tmp_path / "c" / "a.csv").read_bytes()
    assert place.row(0, named=True) == {
        "file": "a.csv", "line": 4, "offset": data.index(b"1772438402"), "machine": "web", "text": "scan",
    }  # fmt: skip


def test_a_machine_may_carry_the_label_of_any_of_its_events(tmp_path: Path) -> None:
    export = write(tmp_path / "a.csv", table(ROWS))
    windows = dataset(export, tmp_path / "d", label_of="machine")
    assert windows.schema.target == "recording"
    assert windows.label.tolist() == [0, 0, 1, 1, 1]
    assert "machine" in windows.notes["label_origin"]


def test_order_and_files_do_not_matter(tmp_path: Path) -> None:
    sorted_one = dataset(write(tmp_path / "a.csv", table(ROWS)), tmp_path / "d1", context=3)
    write(tmp_path / "c" / "1.csv", table(ROWS[3:]))
    write(tmp_path / "c" / "2.csv", table(ROWS[2::-1]))
    mixed = dataset(tmp_path / "c", tmp_path / "d2", context=3)
    assert texts(sorted_one) == texts(mixed)
    assert sorted_one.label.tolist() == mixed.label.tolist()
    assert sorted_one.notes["out_of_order"] == 0
    assert mixed.notes["out_of_order"] == 3
    assert mixed.recordings["digest"].to_list() == sorted_one.recordings["digest"].to_list()


def same(windows: WindowSet, other: WindowSet) -> bool:
    ours, theirs = windows.gather(), other.gather()
    names = [name for name in ours if name not in {"offset", "raw", "file"}]
    return all((ours[name] == theirs[name]).all() for name in names) and (
        windows.label.tolist() == other.label.tolist()
    )


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_and_marks_are_recognised(tmp_path: Path, delimiter: str) -> None:
    plain = dataset(write(tmp_path / "a.csv", table(ROWS)), tmp_path / "d1")
    text = "\ufeff" + table(ROWS, delimiter).replace("\n", "\r\n") + "\r\n\r\n"
    other = dataset(write(tmp_path / "b.csv", text), tmp_path / "d2")
    assert same(plain, other)
    assert other.notes["left_out_counts"] == {}


def test_packed_files_and_standard_input_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = table(ROWS).encode()
    plain = dataset(write(tmp_path / "a.csv", data), tmp_path / "d")
    for name, packed in (("a.csv.gz", gzip.compress(data)), ("a.csv.zst", zstandard.compress(data))):
        assert same(plain, dataset(write(tmp_path / name, packed), tmp_path / f"{name}.d"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert same(plain, dataset(Path("-"), tmp_path / "stdin"))


@pytest.mark.parametrize("where", ["", "sev == 1"])
@pytest.mark.parametrize("before", [1, 9, 700])
@pytest.mark.parametrize("header", ["event,sev,timestamp,machine", "id,sev,event,x,timestamp,machine"])
def test_tables_with_other_headers_may_stand_in_one_file(
    tmp_path: Path, before: int, header: str, where: str
) -> None:
    names = header.split(",")
    row = {"event": "two", "sev": "1", "timestamp": str(START + 1), "machine": "m", "id": "7", "x": '"a,b"'}
    text = "timestamp,machine,event,sev\n" + before * f"{START},m,one,1\n"
    text += f"\ufeff{header}\n" + before * (",".join(row[name] for name in names) + "\n")
    windows = dataset(write(tmp_path / "a.csv", text), tmp_path / "d", context=1, where=where or None)
    assert [each[-1] for each in texts(windows)] == before * ["one"] + before * ["two"]
    assert windows.recordings["id"].to_list() == ["m"]
    assert [(each["row"], each["why"][:14]) for each in windows.notes["left_out"]] == [
        (before + 2, "another header")
    ]


def test_a_row_that_names_columns_in_its_text_is_no_header(tmp_path: Path) -> None:
    odd = "x,machine,timestamp event\n,timestamp,event\n"
    text = f"timestamp,machine,event\n{START},m,one\n{odd}{START},m,two\n"
    windows = dataset(write(tmp_path / "a.csv", text), tmp_path / "d", context=1)
    assert [each[-1] for each in texts(windows)] == ["one", "two"]
    assert windows.notes["left_out_counts"] == {"a record": 2}


@pytest.mark.parametrize(
    ("when", "told"),
    [("1.71800E+12", True), ("1.718E+09", True), ("1.718004600123e+12", False), ("1718004600", False)],
)
def test_times_that_were_rounded_are_told(tmp_path: Path, when: str, told: bool) -> None:
    windows = dataset(write(tmp_path / "a.csv", f"timestamp,machine,event\n{when},m,e\n"), tmp_path / "d")
    assert ("tell no second (1 of all)" in str(windows.notes.get("warnings"))) is told


def test_columns_can_be_named(tmp_path: Path) -> None:
    text = "when;who;rule;does;bad\n1772438400000;a;7;deny;yes\n1772438401000;a;7;;no\n"
    windows = dataset(
        write(tmp_path / "a.csv", text), tmp_path / "d", timestamp="when", machine="who", event="rule+does",
        label="bad", negatives="no", time_unit="ms",
    )  # fmt: skip
    assert [one[-1] for one in texts(windows)] == ["7/deny", "7"]
    assert windows.label.tolist() == [1, 0]
    assert windows.t_ns[0] == START * SECOND


def test_an_own_mapping_is_a_file(tmp_path: Path) -> None:
    own = write(tmp_path / "own.toml", 'timestamp = ["t"]\nmachine = ["m.id"]\nevent = ["e"]\n')
    export = write(tmp_path / "a.jsonl", objects([{"t": START, "m": {"id": "x"}, "e": 5}] * 2))
    windows = dataset(export, tmp_path / "d", mapping=str(own))
    assert windows.schema.settings["format"]["name"] == "own"
    assert [one[-1] for one in texts(windows)] == ["5", "5"]


def test_an_export_without_labels_is_normal_and_says_so(tmp_path: Path) -> None:
    text = "".join(line.rpartition(",")[0] + "\n" for line in table(ROWS).splitlines())
    windows = dataset(write(tmp_path / "a.csv", text), tmp_path / "d")
    assert windows.label.tolist() == [0] * 5
    assert windows.notes["labelled"] is False
    assert windows.notes["label_origin"] == "The export has no labels."


def test_events_without_a_label_among_labelled_ones_are_told(tmp_path: Path) -> None:
    text = "timestamp,machine,event,label\n"
    text += "".join(f"{1772438400 + n},web,{n},{label}\n" for n, label in enumerate(["0", "1.0", "", "nan"]))
    windows = dataset(write(tmp_path / "a.csv", text), tmp_path / "d")
    assert windows.label.tolist() == [0, 1, 0, 0]
    told = "Events without a label among those that have one count as normal: 2."
    assert any(told in warning for warning in windows.notes["warnings"])


def test_notes_name_what_was_left_out(tmp_path: Path) -> None:
    text = table(ROWS) + 'yesterday,web,x,0\n1772438400,,x,0\n1772438400,web,,0\none,two\n"open,a\n'
    write(tmp_path / "c" / "a.csv", text.encode() + b"1772438409,web,caf\xe9,0\n")
    write(tmp_path / "c" / "b.csv", "no,such,columns\n1,2,3\n")
    write(tmp_path / "c" / "c.csv.gz", gzip.compress(table(ROWS * 5000).encode())[:-50])
    notes = dataset(tmp_path / "c", tmp_path / "d").notes
    assert notes["left_out_counts"]["a record"] >= 5
    left_out = [one for one in notes["left_out"] if one["what"] == "a record"]
    found = {one["row"]: one["why"] for one in left_out if one["file"] == "a.csv"}
    assert found == {
        7: "'yesterday' is no time", 8: "no machine", 9: "no event", 10: "2 cells, the header has 4",
        11: "a quote is not closed",
    }  # fmt: skip
    assert notes["undecodable_records"] == 1
    (whole,) = [one for one in notes["left_out"] if one["what"] == "the file"]
    assert whole["file"] == "b.csv"
    assert "header has: no, such, columns" in whole["why"]
    (rest,) = [one for one in notes["left_out"] if one["what"] == "the rest of the file"]
    assert "cut off" in rest["why"]


def test_worker_processes_give_the_same_dataset(tmp_path: Path) -> None:
    rows = [(float(at), f"m{at % 7}", f"e{at % 5}", "") for at in range(30_000)]
    for number in range(3):
        write(tmp_path / "c" / f"{number}.csv", table(rows[number::3]))
    for jobs in (1, 2):
        reader = EventReader.of_corpus(EventOptions())
        reader.small = 0
        prepare(reader, tmp_path / "c", tmp_path / str(jobs), engine=LocalEngine(jobs))
    files = sorted(path for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert len(files) > 8
    for file in files:
        assert file.read_bytes() == (tmp_path / "2" / file.relative_to(tmp_path / "1")).read_bytes()


def test_progress_counts_bytes_of_evidence(tmp_path: Path) -> None:
    export = write(tmp_path / "a.csv", table(ROWS))
    seen: list[tuple[int, int | None]] = []
    source = EventSource()
    source.prepare(export, tmp_path / "d", source.options(), progress=lambda *now: seen.append(now))
    assert seen[-1] == (export.stat().st_size, export.stat().st_size)


ECS = objects([{"@timestamp": "2026-03-02T08:00:00Z", "host": {"name": "a"}, "event": {"action": "x"}}] * 3)
REFUSED = [
    pytest.param("", {}, EvidenceError, "empty", id="nothing"),
    pytest.param("\n\n\n", {}, EvidenceError, "no header: the file holds", id="blank lines"),
    pytest.param("timestamp,machine,event\n", {}, EvidenceError, "holds no event", id="a header alone"),
    pytest.param(
        ECS, {"mapping": "csv"}, EvidenceError, "(?s)JSON lines.*--mapping ecs fits", id="another mapping"
    ),
    pytest.param(ECS, {"mapping": "jsonl"}, EvidenceError, "(?s)3 of the first 3.*would fit: ecs", id="ECS"),
    pytest.param(table(ROWS), {"mapping": "ocsf"}, EvidenceError, "--mapping csv fits", id="a table"),
    pytest.param("a,b\n1,2\n", {}, EvidenceError, "(?s)no column for.*--timestamp", id="other columns"),
    pytest.param(
        "[\n {},\n {}\n]", {"mapping": "jsonl"}, EvidenceError, "2 of the first 2.*no time", id="an array"
    ),
    pytest.param(
        '{\n"a":\n1\n}', {"mapping": "jsonl"}, EvidenceError, "(?s)no time.*have: a", id="pretty JSON"
    ),
    pytest.param(table(ROWS).encode("utf-16"), {}, EvidenceError, "iconv -f UTF-16", id="UTF-16"),
    pytest.param(bytes(9000), {}, EvidenceError, "NUL", id="NULs"),
    pytest.param(bytes(range(256)) * 40, {}, EvidenceError, "(?s)no text.*evtx", id="no text"),
    pytest.param(
        b"\x30\0\0\0LfLe" + bytes(90), {}, EvidenceError, r"(?s)\.evt\).*wevtutil", id="a log of Windows XP"
    ),
    pytest.param("<?xml version='1.0'?>\n<Events/>\n", {}, EvidenceError, r"(?s)XML.*\.evtx", id="XML"),
    pytest.param(
        "% time     seconds  usecs/call     calls    errors syscall\n",
        {},
        EvidenceError,
        "without -c",
        id="strace -c",
    ),
    pytest.param(b"BZh91AY" + bytes(20), {}, EvidenceError, "bzip2", id="bzip2"),
    pytest.param(table(ROWS), {"label": "nope"}, EvidenceError, "no record has a label", id="no label"),
    pytest.param(table(ROWS), {"mapping": "nope"}, UsageError, "one of: .*csv", id="an unknown mapping"),
    pytest.param(table(ROWS), {"mapping": "nope.toml"}, UsageError, "cannot read", id="a missing mapping"),
    pytest.param(table(ROWS), {"event": "+"}, UsageError, "--event.*names no field", id="no field's name"),
    pytest.param(table(ROWS), {"time_unit": "iso"}, EvidenceError, "is no time", id="another unit"),
]


@pytest.mark.parametrize(("content", "options", "kind", "message"), REFUSED)
def test_what_cannot_be_used_is_refused_and_nothing_is_left_behind(
    tmp_path: Path, content: str | bytes, options: dict[str, Any], kind: type[VestigeError], message: str
) -> None:
    export = write(tmp_path / "in" / "export", content)
    with pytest.raises(kind, match=message):
        dataset(export, tmp_path / "out" / "d", **options)
    assert not (tmp_path / "out").exists()


def test_a_file_that_turns_bad_after_its_beginning_is_refused_in_the_end(tmp_path: Path) -> None:
    export = write(tmp_path / "a.csv", table(ROWS * 60) + "junk\n" * 400)
    with pytest.raises(EvidenceError, match="400 of 700 records") as caught:
        dataset(export, tmp_path / "d")
    assert (caught.value.where, caught.value.row) == ("a.csv", 302)


def test_a_file_of_sessions_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="--mapping sessions fits"):
        dataset(write(tmp_path / "a", "s1,5 6 7\ns2,5 6\ns3,7 7\n"), tmp_path / "d")


def test_an_output_that_exists_is_refused_untouched(tmp_path: Path) -> None:
    export = write(tmp_path / "a.csv", table(ROWS))
    mine = write(tmp_path / "d" / "mine", "mine")
    with pytest.raises(OutputError, match="already exists"):
        dataset(export, tmp_path / "d")
    assert mine.read_text() == "mine"


def test_the_event_split_gives_every_step_its_event(tmp_path: Path) -> None:
    windows = dataset(write(tmp_path / "a.csv", table(ROWS)), tmp_path / "d", context=1)
    groups = groups_of(windows, find("event", EventSource().recipes))
    names = windows.table("events")["text"].to_list()
    assert [names[one + 1] for one in groups.tolist()] == [
        "", "query", "query", "", "logon", "scan", "logoff",
    ]  # fmt: skip
    assert json.loads((tmp_path / "d" / "schema.json").read_text())["notes"]["events"] == 5
