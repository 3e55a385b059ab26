"""`vestige preview`: how evidence would be read, before anything is learnt."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.warm import vestige
from vestige import errors

LINES = [
    "Jan  5 10:00:00 box sshd[42]: Accepted password for ada from 192.0.2.7 port 22",
    "Jan  5 10:00:02 box sshd[42]: session opened for user ada",
    "Jan  5 10:00:01 box sshd[43]: Connection closed by 192.0.2.9",
]


def shown(*arguments: str, **options: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The steps and the summary that `vestige preview ... --json` gives."""
    done = vestige("preview", *arguments, "--json", **options)
    assert done.returncode == 0, done.stderr
    *rows, last = map(json.loads, done.stdout.splitlines())
    return rows, last["summary"]


def test_a_step_says_when_where_what_and_of_which_label(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_text("\n".join(LINES) + "\n")
    rows, summary = shown("logs", str(log), "--format", "rfc3164", "--year", "2024", "--label", "none")
    assert rows[0] == {
        "recording": "auth.log",
        "host": "box",
        "time": "2024-01-05T10:00:00.000000000Z",
        "file": "auth.log",
        "line": 1,
        "offset": 0,
        "text": "Accepted password for ada from <ip> port <num>",
        "label": None,
    }
    assert [row["offset"] for row in rows] == [0, len(LINES[0]) + 1, len(LINES[0]) + len(LINES[1]) + 2]
    assert (summary["steps"], summary["recordings"], summary["hosts"]) == (3, 1, 1)
    assert summary["time_range"] == ["2024-01-05T10:00:00.000000000Z", "2024-01-05T10:00:02.000000000Z"]
    assert (summary["labels"], summary["unread"]) == (None, [])
    assert any(
        "run backwards at 1 step, by at most 1 s" in said and "auth.log:3" in said
        for said in summary["warnings"]
    )


def test_a_limit_shows_fewer_and_counts_all(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_text("\n".join(LINES * 10) + "\n")
    few, summary = shown("logs", str(log), "--format", "rfc3164", "--limit", "2")
    assert (len(few), summary["steps"]) == (2, 30)
    usual, _ = shown("logs", str(log), "--format", "rfc3164")
    every, _ = shown("logs", str(log), "--format", "rfc3164", "--limit", "0")
    assert (len(usual), len(every)) == (20, 30)


def test_standard_input_is_evidence_like_any_other() -> None:
    rows, _ = shown("logs", "-", "--format", "rfc3164", input="\n".join(LINES) + "\n")
    assert [row["file"] for row in rows] == ["stdin"] * 3


def test_of_several_pieces_of_evidence_files_are_called_by_their_paths(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "auth.log").write_text(LINES[0] + "\n")
    rows, summary = shown("logs", str(tmp_path / "a"), str(tmp_path / "b/auth.log"), "--format", "rfc3164")
    assert [row["file"] for row in rows] == [str(tmp_path / name / "auth.log") for name in ("a", "b")]
    assert (summary["steps"], summary["recordings"]) == (2, 2)


def test_what_is_not_read_of_a_directory_is_named_and_a_named_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "auth.log").write_text("\n".join(LINES) + "\n")
    (tmp_path / "empty.log").touch()
    (tmp_path / "zeros.log").write_bytes(bytes(5000))
    _, summary = shown("logs", str(tmp_path), "--format", "rfc3164")
    assert [(unread["file"], unread["what"]) for unread in summary["unread"]] == [
        ("empty.log", "empty"),
        ("zeros.log", "nothing but NUL bytes"),
    ]
    done = vestige("preview", "logs", str(tmp_path / "zeros.log"), "--format", "rfc3164")
    assert done.returncode == errors.EvidenceError.exit_code
    assert "nothing but NUL bytes" in done.stderr


def test_a_person_sees_lines_and_a_table_without_control_characters(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_text(LINES[0] + "\n" + LINES[1] + " \x1b[31mred\x1b[0m [bold]\n")
    arguments = ("preview", "logs", str(log), "--format", "rfc3164", "--year", "2024", "--label", "none")
    done = vestige(*arguments, env=os.environ | {"COLUMNS": "160"})
    assert done.returncode == 0
    assert "2 steps of 1 recording on 1 host" in done.stdout
    assert "from 2024-01-05T10:00:00Z to 2024-01-05T10:00:02Z" in done.stdout
    assert "all of it was read" in done.stdout
    assert "Accepted password for ada from <ip> port <num>" in done.stdout
    assert "[bold]" in done.stdout
    assert "\x1b" not in done.stdout


def test_the_format_that_was_found_is_written_and_reads_alike(tmp_path: Path) -> None:
    log, written = tmp_path / "auth.log", tmp_path / "my.toml"
    log.write_text("\n".join(LINES) + "\n")
    before, _ = shown("logs", str(log), "--year", "2024", "--label", "none", "--write-format", str(written))
    assert "# pattern of a message's first line" in written.read_text()
    after, summary = shown("logs", str(log), "--year", "2024", "--label", "none", "--format", str(written))
    assert before == after
    assert list(summary["formats"]) == ["my"]
    again = vestige("preview", "logs", str(log), "--write-format", str(written))
    assert again.returncode == errors.OutputError.exit_code
    assert "--overwrite" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            ["telemetry", "store", "--write-format", "my.toml"],
            2,
            "telemetry evidence is read in formats",
        ),
        (["logs", "auth.log", "--write-format", "my.txt"], 2, "does not end in .toml"),
        (["logs", "my.toml", "--write-format", "my.toml", "--overwrite"], 8, "is part of what is read"),
    ],
)
def test_a_format_that_cannot_be_written_is_refused_in_a_sentence(
    tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "auth.log").write_text(LINES[0] + "\n")
    (tmp_path / "my.toml").write_text("")
    done = vestige("preview", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert says in done.stderr


@pytest.mark.parametrize("verb", ["run", "prepare"])
def test_an_error_about_a_format_ends_with_the_preview_that_shows_the_matter(
    tmp_path: Path, verb: str
) -> None:
    log = tmp_path / "it's.log"
    log.write_text("\n".join(LINES) + "\n")
    arguments = [verb, "logs", str(log), "--format", "no-such", "--year", "2024", "--label", "none"]
    done = vestige(*arguments, "-o", str(tmp_path / "out"))
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    hint = "  see how it is read: "
    assert line.startswith(hint)
    assert shlex.split(line.removeprefix(hint)) == [
        "vestige", "preview", "logs", str(log), "--label", "none", "--year", "2024",
    ]  # fmt: skip
    assert vestige(*shlex.split(line.removeprefix(hint))[1:]).returncode == 0


def test_where_nothing_fits_the_lines_are_shown_as_they_are(tmp_path: Path) -> None:
    export = tmp_path / "export.jsonl"
    export.write_text('{"colour": "red", "size": 7}\n' * 30)
    done = vestige("prepare", "events", str(export), "-o", str(tmp_path / "d"))
    assert done.returncode == errors.EvidenceError.exit_code
    hint = done.stderr.splitlines()[-1].removeprefix("  see how it is read: ")
    assert shlex.split(hint) == ["vestige", "preview", "events", str(export)]
    shown_there = vestige(*shlex.split(hint)[1:], env=os.environ | {"COLUMNS": "160"})
    assert shown_there.returncode == errors.EvidenceError.exit_code
    assert "the first lines of export.jsonl" in shown_there.stdout
    assert shown_there.stdout.count('{"colour": "red", "size": 7}') == 20
    assert "colour" in shown_there.stderr


def test_the_mapping_that_was_found_is_written_and_reads_alike(tmp_path: Path) -> None:
    export, written = tmp_path / "export.csv", tmp_path / "my.toml"
    export.write_text(
        "timestamp,host,event,label\n" + "".join(f"2024-01-05T10:00:0{n}Z,pc,logon,0\n" for n in range(5))
    )
    before, _ = shown("events", str(export), "--write-format", str(written))
    after, summary = shown("events", str(export), "--mapping", str(written))
    assert len(before) == 5
    assert before == after
    assert (list(summary["formats"]), summary["labels"]) == (["my"], {"normal": 5, "anomaly": 0})


def test_labels_of_a_format_that_nobody_asked_for_are_doubtful(tmp_path: Path) -> None:
    log = tmp_path / "bgl.log"
    line = "{} 1120000000 2005.06.28 R01 2005-06-28-16.06.40.123456 R01 RAS KERNEL INFO parity error"
    log.write_text("\n".join(line.format(label) for label in ("-", "KERNDTLB", "-")) + "\n")
    said = "bgl has labels of its own (column), which nobody asked for: --format bgl reads them"
    _, summary = shown("logs", str(log))
    assert (summary["labels"], said in summary["warnings"]) == (None, True)
    _, summary = shown("logs", str(log), "--format", "bgl")
    assert (summary["labels"], said in summary["warnings"]) == ({"normal": 2, "anomaly": 1}, False)
    _, summary = shown("logs", str(log), "--label", "none")
    assert (summary["labels"], said in summary["warnings"]) == (None, False)
