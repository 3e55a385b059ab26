"""From a corpus to a dataset: what is written, what is noted, what is refused with nothing left behind."""

from __future__ import annotations

import gzip
import io
import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from blake3 import blake3

from vestige.engine import LocalEngine
from vestige.errors import EvidenceError, OutputError, UsageError, VestigeError
from vestige.reading.prepare import prepare as read
from vestige.reading.steps import Evidence
from vestige.reading.windows import WindowSet
from vestige.recipes import find
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.reader import LogReader
from vestige.sources.logs.source import LogSource
from vestige.splits import groups_of

DAY = "2015-10-18"


def line(second: int, text: str, level: str = "INFO") -> str:
    return f"{DAY} 18:{second // 60:02}:{second % 60:02},250 {level} [main] a.B: {text}\n"


NORMAL = "".join(line(n, f"step {n} of job_{n} at /a/b{n}") for n in range(30))
BAD = line(30, "lost 10.0.0.1:80", "ERROR") + "java.io.IOException: x\n\tat a.B.c(B.java:7)\n"


def corpus(root: Path, **files: str | bytes) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_log", ".log").replace("_gz", ".gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def digest_of(content: bytes) -> str:
    """The digest of a recording, made plainly."""
    blocks = [content[at : at + (1 << 20)] for at in range(0, len(content), 1 << 20)]
    return blake3(b"".join(blake3(block).digest() for block in blocks)).hexdigest()


def prepare(evidence: Path, out: Path, **options: Any) -> WindowSet:
    jobs = options.pop("jobs", 1)
    return LogSource().prepare(
        evidence, out, LogOptions(**{"format": "hadoop", **options}), engine=LocalEngine(jobs)
    )


def test_a_window_is_a_message_and_those_before_it(tmp_path: Path) -> None:
    windows = prepare(corpus(tmp_path / "c", web__app_log=NORMAL + BAD + line(40, "on")), tmp_path / "d")
    assert len(windows) == 32
    assert windows.label.tolist() == [0] * 30 + [1, 0]
    steps = windows.gather()
    text = windows.table("messages")["text"].to_list()
    assert [text[row] for row in steps["message"][2]] == [""] * 7 + ["step <num> of job<id> at <path>"] * 3
    assert text[steps["message"][30, -1]].startswith("lost <ip>\njava.io.IOException")
    assert steps["line"][-1].tolist() == [*range(23, 32), 34]
    assert windows.t_ns[1] - windows.t_ns[0] == 1_000_000_000
    data = (tmp_path / "c/web/app.log").read_bytes()
    for offset, row in zip(steps["offset"][:, -1], steps["line"][:, -1], strict=True):
        assert data[:offset].count(b"\n") + 1 == row


def test_a_recording_is_a_file(tmp_path: Path) -> None:
    made = corpus(tmp_path / "c", web__app_log=NORMAL, db__sql_2_log=BAD, top_log=NORMAL)
    recordings = prepare(made, tmp_path / "d").recordings
    assert recordings["id"].to_list() == ["db/sql_2.log", "top.log", "web/app.log"]
    assert recordings["host"].to_list() == ["db", "top", "web"]
    assert recordings["profile"].to_list() == ["sql", "top", "app"]
    assert recordings["digest"][1] == recordings["digest"][2] == digest_of(NORMAL.encode())
    assert recordings["sample"].to_list() == recordings["digest"].to_list()


def test_packed_files_and_standard_input_give_the_same_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (NORMAL + BAD).encode()
    plain = prepare(corpus(tmp_path / "c", app_log=data) / "app.log", tmp_path / "d").gather()
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(data))
    (tmp_path / "a.log.zst").write_bytes(zstandard.compress(data))
    others = [prepare(tmp_path / name, tmp_path / f"{name}.d") for name in ("a.log.gz", "a.log.zst")]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    others.append(prepare(Path("-"), tmp_path / "stdin"))
    for other in others:
        for name, values in other.gather().items():
            assert (values == plain[name]).all()


def test_notes_tell_what_was_found_and_left_out(tmp_path: Path) -> None:
    made = corpus(
        tmp_path / "c",
        a__app_log=NORMAL + BAD + line(50, "é").encode("latin-1").decode("latin-1"),
        a__cut_log_gz=gzip.compress((NORMAL * 500).encode())[:-100],
        a__readme_log="This is no log.\nIt has words in it.\n",
        empty_log="",
    )
    with (made / "a/app.log").open("ab") as file:
        file.write(line(51, "x").encode()[:-1] + b"\xff\n" + line(52, "y" * 70_000).encode())
        file.write(line(53, "z").replace(DAY, "2015-99-99").encode())
    notes = prepare(made, tmp_path / "d").notes
    assert notes["files"] == 2
    assert notes["undecodable_lines"] == 1
    assert notes["over_long"] == 1
    assert notes["bad_times"] == 1
    assert notes["multi_line_messages"] >= 1
    assert notes["labels"]["anomaly"] == 1
    assert notes["messages"] == sum(notes["labels"].values())
    left_out = {(one["file"], one["what"]): one["why"] for one in notes["left_out"]}
    rest = "the rest of the file"
    assert set(left_out) == {
        ("empty.log", "the file"),
        ("a/readme.log", "the file"),
        ("a/cut.log.gz", rest),
        ("a/cut.log.gz", "a record"),
        ("a/app.log", "a detail"),
    }
    assert "a time of its own" in left_out["a/cut.log.gz", "a record"]
    assert "cut off" in left_out["a/cut.log.gz", rest]
    assert notes["left_out_counts"] == {"the file": 2, rest: 1, "a record": 1, "a detail": 1}


def test_worker_processes_give_the_same_dataset(tmp_path: Path) -> None:
    made = corpus(tmp_path / "c", a__app_log=(NORMAL + BAD) * 300, b__app_log=NORMAL * 300)
    for jobs, part_bytes in ((1, 1 << 20), (2, 1 << 20), (2, 3000), (2, 700)):
        reader = LogReader.of_corpus(made, LogOptions(format="hadoop"))
        reader.small, reader.part_bytes = 0, part_bytes
        read(reader, made, tmp_path / f"{jobs}-{part_bytes}", engine=LocalEngine(jobs))
    files = sorted(path for path in (tmp_path / "1-1048576").rglob("*") if path.is_file())
    assert len(files) > 8
    for other in ("2-1048576", "2-3000", "2-700"):
        for file in files:
            twin = tmp_path / other / file.relative_to(tmp_path / "1-1048576")
            assert file.read_bytes() == twin.read_bytes(), (other, file.name)


def test_whoever_reads_which_part_the_digest_is_that_of_the_whole_file(tmp_path: Path) -> None:
    content = NORMAL * (3_000_000 // len(NORMAL))
    made = corpus(tmp_path / "c", a__app_log=content)
    for part_bytes in (1 << 20, 700_000, 300_001):
        reader = LogReader.of_corpus(made, LogOptions(format="hadoop"))
        reader.small, reader.part_bytes = 0, part_bytes
        unit = reader.units(Evidence((made,))).units[0]
        starts = [part.start for part in reader.divide(unit, 2)]
        assert len(starts) == -(-len(content) // part_bytes)
        read(reader, made, tmp_path / str(part_bytes), engine=LocalEngine(2))
        recordings = WindowSet.open(tmp_path / str(part_bytes)).recordings
        assert recordings["digest"].to_list() == [digest_of(content.encode())]


def test_workers_pay_later_for_what_the_kernel_reads(tmp_path: Path) -> None:
    def is_small(name: str, content: bytes, bound: int, **options: Any) -> bool:
        folder = tmp_path / f"{name}-{bound}"
        folder.mkdir()
        (folder / name).write_bytes(content)
        reader = LogReader.of_corpus(folder, LogOptions(**options))
        reader.small = bound
        return reader.is_small(reader.units(Evidence((folder,))))

    content = NORMAL.encode() * 100
    own = tmp_path / "own.toml"
    own.write_text(
        'header = "<Date> <Time> <Level> [<Process>] <Component>: <Content>"\n'
        'time = { Date = "%Y-%m-%d", Time = "%H:%M:%S,%f" }\nlabel = "level:ERROR"\nmasks = ["job"]\n'
        f"example = ['{line(1, 'on')[:-1]}']\nmask = {{ job = 'job_[0-9]+' }}\n"
    )
    size = len(content)
    assert is_small("a.log", content, size + 1, format="hadoop")
    assert is_small("b.log", content, size // 4, format="hadoop")
    assert not is_small("c.log", content, size // 8, format="hadoop")
    assert not is_small("d.log", content, 0, format="hadoop")
    assert not is_small("e.log", content, size // 4, format=str(own))
    packed = gzip.compress(content)
    assert not is_small("f.log.gz", packed, len(packed) // 4, format="hadoop")


def test_progress_counts_bytes_of_evidence(tmp_path: Path) -> None:
    made = corpus(tmp_path / "c", app_log=NORMAL + BAD)
    seen: list[tuple[int, int | None]] = []
    LogSource().prepare(
        made, tmp_path / "d", LogOptions(format="hadoop"), progress=lambda *now: seen.append(now)
    )
    size = (made / "app.log").stat().st_size
    assert seen[-1] == (size, size)


def test_template_groups_cover_every_message_and_leave_padding_out(tmp_path: Path) -> None:
    windows = prepare(corpus(tmp_path / "c", app_log=NORMAL + BAD), tmp_path / "d")
    groups = groups_of(windows, find("template", LogSource().recipes))
    assert len(groups) == 9 + 31
    assert (groups[:9] == -1).all()
    assert len(set(groups[9:39].tolist())) == 1
    assert groups[39] not in groups[:39]


REFUSED = [
    pytest.param({"app_log": ""}, {}, EvidenceError, "no log files|empty", id="an empty file"),
    pytest.param({}, {}, EvidenceError, "no log files", id="an empty directory"),
    pytest.param(
        {"app_log": NORMAL}, {"format": "bgl"}, EvidenceError, "would fit: hadoop", id="another format"
    ),
    pytest.param({"app_log": "once\nupon\n" * 9}, {}, EvidenceError, "describe your own", id="no log at all"),
    pytest.param({"app_log": NORMAL.encode("utf-16")}, {}, EvidenceError, "iconv -f UTF-16", id="UTF-16"),
    pytest.param(
        {"app_log": NORMAL.replace("\n", "\r")}, {}, EvidenceError, "carriage returns", id="old Mac ends"
    ),
    pytest.param({"app_log": bytes(10_000)}, {}, EvidenceError, "NUL", id="NULs"),
    pytest.param(
        {"app_log": random.Random(1).randbytes(9_000)}, {}, EvidenceError, "it is no text", id="no text"
    ),
    pytest.param({"app_log": b"BZh91AY" + NORMAL.encode()}, {}, EvidenceError, "bzip2", id="bzip2"),
    pytest.param(
        {"app_log": NORMAL}, {"format": "nope"}, UsageError, "unknown log format", id="an unknown format"
    ),
    pytest.param(
        {"app_log": NORMAL}, {"label": "column"}, UsageError, "needs a field <Label>", id="an unfit label"
    ),
]


@pytest.mark.parametrize(("files", "options", "kind", "message"), REFUSED)
def test_what_cannot_be_used_is_refused_and_nothing_is_left_behind(
    tmp_path: Path, files: dict[str, Any], options: dict[str, Any], kind: type[VestigeError], message: str
) -> None:
    made = corpus(tmp_path / "in", **files)
    evidence = made / "app.log" if files else made
    with pytest.raises(kind, match=f"(?s){message}"):
        prepare(evidence, tmp_path / "out" / "d", **options)
    out = tmp_path / "out"
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize(
    "begins",
    [b"\0" * 2_000, "p\u00e4\u00e4lle kytketty\n".encode("latin-1") * 9, b"\x1b[31mred\x1b[0m\n" * 9],
)
def test_a_power_cut_old_letters_and_colours_make_a_log_no_binary(begins: bytes, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(begins + (NORMAL * 3).encode())
    assert len(prepare(path, tmp_path / "d", format="plain"))


def test_one_class_is_told_and_no_labels_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = corpus(tmp_path / "c", app_log=NORMAL)
    windows = prepare(made, tmp_path / "d", label="level:ERROR")
    assert "one class only: all 30 messages are labelled normal" in caplog.text
    assert windows.labelled
    plain = corpus(tmp_path / "p", app_log="".join(f"1{n} x\n" for n in range(9)))
    assert not prepare(plain, tmp_path / "e", format="plain").labelled


def test_an_output_that_exists_is_refused_untouched(tmp_path: Path) -> None:
    made = corpus(tmp_path / "c", app_log=NORMAL + BAD)
    corpus(tmp_path / "d", mine_log="mine")
    with pytest.raises(OutputError, match="already exists"):
        prepare(made, tmp_path / "d")
    assert (tmp_path / "d/mine.log").read_text() == "mine"


def test_a_file_of_another_format_is_named_with_its_first_offending_row(tmp_path: Path) -> None:
    path = tmp_path / "mixed.log"
    path.write_text(line(1, "x") + "not\n" * 3)
    with pytest.raises(EvidenceError) as caught:
        prepare(path, tmp_path / "d")
    assert (caught.value.where, caught.value.row) == (str(path), 2)


def test_syslog_without_year_takes_the_one_given(tmp_path: Path) -> None:
    words = corpus(tmp_path / "w", bad_log="denied") / "bad.log"
    made = corpus(tmp_path / "c", a_log="Dec 31 23:59:59 box su: denied\nJan  1 00:00:01 box su: fine\n")
    windows = prepare(made, tmp_path / "d", format="linux", year=2019, label=f"words:{words}")
    assert windows.t_ns.tolist() == [1577836799_000000000, 1577836801_000000000]
    assert windows.recordings["host"].to_list() == ["box"]


def test_a_rotated_file_that_begins_within_a_stack_trace(tmp_path: Path) -> None:
    trace = "\tat a.B.c(B.java:7)\n" * 50
    made = prepare(corpus(tmp_path / "c", a_log=trace + NORMAL + BAD), tmp_path / "d", window_size=1)
    assert made.notes["lines_without_header"] == 50
    assert made.gather()["line"][0, -1] == 51


def test_a_year_that_nobody_gave_is_said_once_and_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = corpus(tmp_path / "w", bad_log="denied") / "bad.log"
    lines = "Feb 29 23:59:59 box su: denied\nMar  1 00:00:01 box su: fine\n"
    made = corpus(tmp_path / "c", a_log=lines, b_log=lines)
    written = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
    for log in made.iterdir():
        os.utime(log, (written, written))
    windows = prepare(made, tmp_path / "d", format="linux", label=f"words:{words}")
    assert windows.notes["assumed_year"] == 2024
    (said,) = [one.getMessage() for one in caplog.records if "name no year" in one.getMessage()]
    assert "2024 is assumed, by the day the file was last written (2026-11-28) and its 29 February" in said
    assert "--year" in said
    caplog.clear()
    windows = prepare(made, tmp_path / "e", format="linux", label=f"words:{words}", year=2021)
    assert "assumed_year" not in windows.notes
    assert "name no year" not in caplog.text
    assert windows.notes["left_out_counts"] == {"a detail": 2}
    assert "29 February in no leap year" in windows.notes["left_out"][0]["why"]


def test_fewer_than_one_process_is_refused_for_a_small_corpus_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--jobs 1 or more"):
        prepare(corpus(tmp_path / "c", a_log=NORMAL + BAD), tmp_path / "d", engine=LocalEngine(0))
    assert not (tmp_path / "d").exists()


def test_windows_may_be_labelled_by_what_is_around_their_message(tmp_path: Path) -> None:
    made = corpus(tmp_path / "c", app_log=NORMAL + BAD + BAD + line(50, "on"))
    four = prepare(made, tmp_path / "four", anomalies="four", window_size=2)
    assert four.schema.classes == ("normal", "point", "collective", "both")
    assert four.label.tolist() == [0] * 30 + [1, 3, 2]
    assert "split takes lines away" in four.notes["label_origin"]
    ahead = prepare(made, tmp_path / "ahead", anomalies="collective", window_size=1, sequence_type="context")
    assert ahead.label.tolist() == [0] * 29 + [1, 1, 1, 1]


def test_a_class_that_no_window_has_is_named(tmp_path: Path) -> None:
    made = corpus(tmp_path / "c", app_log=NORMAL + BAD + line(50, "on"))
    with pytest.raises(EvidenceError, match=r"(?s)no message is of the class 'both'.*--anomalies"):
        prepare(made, tmp_path / "d", anomalies="four", window_size=2)


def test_the_day_of_collection_dates_every_file(tmp_path: Path) -> None:
    words = corpus(tmp_path / "w", bad_log="denied") / "bad.log"
    made = corpus(
        tmp_path / "c",
        old_log="Dec 30 00:00:00 box su: denied\nJan  2 00:00:00 box su: fine\n",
        new_log="Jan  3 00:00:00 box su: fine\n",
    )
    windows = prepare(made, tmp_path / "d", format="linux", year="2009-01-03", label=f"words:{words}")
    moments = [str(one)[:10] for one in windows.t_ns.view("datetime64[ns]")]
    assert moments == ["2009-01-03", "2008-12-30", "2009-01-02"]
    assert "assumed_year" not in windows.notes


@pytest.mark.parametrize("year", ["08", "2009-02-30", "1969", "soon", "2009-"])
def test_what_is_no_year_is_refused(year: str) -> None:
    with pytest.raises(ValueError, match="expected a year from 1970 to 2200, or a day"):
        LogOptions(year=year)
