"""Log files that came as one CSV."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reading.raw import live
from vestige.engine import HERE
from vestige.errors import EvidenceError, UsageError
from vestige.evidence.files import EvidenceFile
from vestige.reading.windows import WindowSet
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.format import load
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.source import LogSource
from vestige.sources.logs.table import TableContent, contents

SHARED = Path(__file__).resolve().parents[4] / "shared/data/logs"
Row = tuple[str, str, int]
ROWS: list[Row] = [
    ("auth.log", "Mar  8 09:17:01 box su: opened, \"x\"", 1),
    ("auth.log", "Mar  8 09:17:02 box su: failed", 0),
    ("auth.log", "  and more", 1),
    ("old/dmesg.0", "[    0.500000] usb 1", 1),
    ("old/dmesg.0", "[    0.750000] oops 2", 0),
]  # fmt: skip


def table(
    rows: Sequence[Sequence[object]], columns: tuple[str, ...] = ("file", "raw", "label"), **format_: Any
) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=format_.get("end", "\n"))
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def prepare(evidence: Path, out: Path, **options: Any) -> WindowSet:
    return LogSource().prepare(evidence, out, LogOptions(**{"year": 2024, **options}), engine=HERE)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_is_read_like_the_files_that_it_holds(tmp_path: Path, end: str) -> None:
    path = tmp_path / "case.csv.gz"
    path.write_bytes(gzip.compress(table(ROWS, end=end)))
    windows = prepare(path, tmp_path / "d", label="table:1")
    assert windows.recordings["id"].to_list() == ["case/auth.log", "case/old/dmesg.0"]
    assert windows.recordings["profile"].to_list() == ["auth", "dmesg"]
    assert windows.recordings["host"].to_list() == ["case", "case"]
    assert windows.label.tolist() == [0, 1, 0, 1]
    steps = windows.gather()
    assert steps["line"][:, -1].tolist() == [1, 2, 1, 2]
    text = windows.table("messages")["text"].to_list()
    assert [text[row] for row in steps["message"][:, -1]] == [
        'opened, "x"', "failed\n  and more", "usb <num>", "oops <num>",
    ]  # fmt: skip
    assert "table's own column" in windows.notes["label_origin"]


def test_without_a_column_of_files_the_table_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "kern.csv"
    path.write_bytes(table([row[1:] for row in ROWS[3:]], ("raw", "label")))
    windows = prepare(path, tmp_path / "d", label="table:1")
    assert windows.recordings.select("id", "profile").rows() == [("kern.csv", "kern")]
    assert windows.label.tolist() == [0, 1]


def test_a_table_among_other_files(tmp_path: Path) -> None:
    root = tmp_path / "c/host"
    root.mkdir(parents=True)
    (root / "case.csv").write_bytes(table([*ROWS, ("../../etc/passwd", "what is this\n" * 4, 1)]))
    (root / "auth.log").write_text("Mar  8 09:17:01 box su: failed\n" * 3)
    words = tmp_path / "words"
    words.write_text("failed")
    windows = prepare(tmp_path / "c", tmp_path / "d", label=f"words:{words}")
    assert windows.recordings["id"].to_list() == [
        "host/auth.log", "host/case/auth.log", "host/case/old/dmesg.0",
    ]  # fmt: skip
    assert [one["file"] for one in windows.notes["left_out"]] == ["host/case/etc/passwd"]
    with pytest.raises(EvidenceError, match="no table with a column `label`"):
        prepare(root / "auth.log", tmp_path / "e", label="table:1")
    by_column = prepare(tmp_path / "c", tmp_path / "f", label="table:1")
    assert {one["file"] for one in by_column.notes["left_out"]} == {"host/auth.log", "host/case/etc/passwd"}


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.binary(max_size=30).map(lambda b: b.replace(b"\n", b""))),
        max_size=30,
    )
)
def test_the_bytes_of_lines_come_through_as_they_are(
    tmp_path_factory: Any, lines: list[tuple[str, bytes]]
) -> None:
    lines.sort(key=lambda line: line[0])
    path = tmp_path_factory.mktemp("t") / "t.csv"
    text = io.StringIO(newline="")
    rows = ((name, raw.decode("utf-8", "surrogateescape")) for name, raw in lines)
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("file", "raw"), *rows])
    path.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))
    rules = RuleSet((load("plain"),), LabelRule("none"))
    found: dict[str, bytes] = {}
    for content in contents(EvidenceFile(path, "t.csv", None), rules, "whole"):
        assert isinstance(content, TableContent)
        found[content.file.id] = b"".join(content._content())
    wanted = {f"t/{name}": b"".join(raw + b"\n" for one, raw in lines if one == name) for name, _ in lines}
    assert found == wanted


def is_open(path: Path) -> bool:
    return path.resolve() in {each.resolve() for each in Path("/proc/self/fd").iterdir()}


def test_a_table_is_closed_in_its_middle_and_where_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(table(100_000 * ROWS[:1]))
    rules = RuleSet((load("plain"),), LabelRule("none"))
    whole = contents(EvidenceFile(path, "t.csv", None), rules, "whole")
    next(whole)
    assert is_open(path)
    whole.close()
    assert not is_open(path)
    path.write_bytes(b"PK\3\4" + bytes(60))
    with pytest.raises(EvidenceError):
        list(contents(EvidenceFile(path, "t.csv", None), rules, "whole"))
    assert not is_open(path)


@pytest.mark.parametrize(
    ("content", "says", "row"),
    [
        (table([ROWS[0], ROWS[3], ROWS[1]]), "'auth.log' do not stand together", 4),
        (table(ROWS) + b"auth.log\n", "1 columns where 3 belong", 7),
        (table(ROWS) + b'x,"' + b"y" * 200_000, "field limit|field larger|unexpected end", None),
        (table(ROWS) + b'x,"never closed,1\n', "no row of a CSV", None),
        (b"file,raw,label\n", "nothing to read", None),
        (b"file,text\na,b\n", "too few fit any format", None),
    ],
)
def test_what_is_no_table_is_refused_with_its_row(
    tmp_path: Path, content: bytes, says: str, row: int | None
) -> None:
    path = tmp_path / "case.csv"
    path.write_bytes(content)
    with pytest.raises(EvidenceError, match=says) as caught:
        prepare(path, tmp_path / "d", label="table:1")
    if row is not None:
        assert (caught.value.where, caught.value.row) == (str(path), row)
    assert not (tmp_path / "d").exists()


def test_of_a_table_that_is_cut_off_what_can_be_read_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "case.csv.gz"
    rows = [
        ("auth.log", f'Mar  8 09:17:01 box su: {number * 7919} "opened"', number % 2)
        for number in range(3000)
    ]
    path.write_bytes(gzip.compress(table(rows))[:-3000])
    windows = prepare(path, tmp_path / "d", label="table:1")
    assert 100 < len(windows) < 3000
    assert [(one["file"], one["what"]) for one in windows.notes["left_out"]] == [
        ("case/auth.log", "the rest of the file")
    ]


def test_scoring_reads_a_table_as_preparing_did(tmp_path: Path) -> None:
    path = tmp_path / "case.csv"
    path.write_bytes(table(ROWS))
    windows = prepare(path, tmp_path / "d", label="table:1")
    batches = list(live([path], windows.schema))
    places = [row for batch in batches for row in batch.place.select("file", "line").rows()]
    assert places == [
        ("case/auth.log", 1),
        ("case/auth.log", 2),
        ("case/old/dmesg.0", 1),
        ("case/old/dmesg.0", 2),
    ]


def test_the_word_lists_give_the_labels_of_the_forensic_sets(tmp_path: Path) -> None:
    corpus = SHARED / "forensic/casper-rw.csv.gz"
    if not corpus.is_file():
        pytest.skip("the forensic sets do not lie beside the project")
    options = {"year": 2008, "format": "auto,plain"}
    by_rule = prepare(corpus, tmp_path / "rule", label=f"words:{SHARED / 'wordlists'}", **options)
    by_column = prepare(corpus, tmp_path / "column", label="table:1", **options)
    assert len(by_rule) == 11_086
    assert by_rule.notes["formats"] == {"dmesg": 5, "rfc3164": 10}
    assert int(by_rule.label.sum()) == 1_212
    assert (by_rule.label == by_column.label).all()


def test_an_unknown_rule_names_the_forms() -> None:
    with pytest.raises(UsageError, match="table:NORMAL"):
        LabelRule.parse("tables", [])
