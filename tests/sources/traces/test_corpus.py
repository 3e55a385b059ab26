"""The layout of recordings: what is incomplete is left out with its reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vestige.errors import EvidenceError
from vestige.sources.traces.corpus import LONGEST_LINE, find_recordings


def _sample(root: Path, name: str, *, info: str = "a.pdf\nbenign\n", trace: bytes = b"\x02\x82") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "info.txt").write_text(info)
    (folder / "mapping.txt").write_text("1000-2000 r-xp 00000000 00:00 1 /a\n")
    (folder / "trace_0").write_bytes(trace)
    return folder


def test_samples_come_sorted_with_title_and_label(tmp_path: Path) -> None:
    _sample(tmp_path, "b", info="evil.pdf\nMalicious\n")
    _sample(tmp_path, "a")
    recordings, skipped = find_recordings(tmp_path)
    assert [(one.id, one.title, one.label) for one in recordings] == [
        ("a", "a.pdf", "benign"),
        ("b", "evil.pdf", "malicious"),
    ]
    assert skipped == []
    assert recordings[0].trace.id == "a/trace_0"


def test_what_is_missing_is_said_and_never_fatal(tmp_path: Path) -> None:
    _sample(tmp_path, "whole")
    (_sample(tmp_path, "no-map") / "mapping.txt").unlink()
    (_sample(tmp_path, "no-trace") / "trace_0").unlink()
    _sample(tmp_path, "no-bytes", trace=b"")
    (_sample(tmp_path, "no-info") / "info.txt").unlink()
    (tmp_path / "link").symlink_to(tmp_path / "whole")
    linked = _sample(tmp_path, "linked-trace")
    (linked / "trace_0").unlink()
    (linked / "trace_0").symlink_to(tmp_path / "whole/trace_0")
    recordings, skipped = find_recordings(tmp_path)
    assert [(one.id, one.label) for one in recordings] == [("no-info", None), ("whole", "benign")]
    reasons = {one.file: one.why for one in skipped}
    assert reasons["no-map"] == "no mapping.txt"
    assert reasons["no-trace"] == "no trace_0"
    assert reasons["linked-trace"] == "no trace_0: trace_0 is a link, or no regular file"
    assert reasons["no-bytes"] == "trace_0 is empty"
    assert reasons["link"].startswith("a link")


@pytest.mark.parametrize(
    ("info", "label", "reason"),
    [
        (b"a.pdf\nBENIGN\n", "benign", ""),
        (b"a.pdf\r\nmalicious\r\nrop\r\n", "malicious", ""),
        (b"a.pdf\rmalicious\rrop", "malicious", ""),
        (b"\xef\xbb\xbfa.pdf\n malicious \n", "malicious", ""),
        ("a.pdf\r\nmalicious\r\n".encode("utf-16"), "malicious", ""),
        (b"\nbenign\n", "benign", ""),
        (b"\xc3(\xff\x00\x1b[31m\nbenign", "benign", ""),
        (b"", None, "no label in info.txt"),
        (b"benign\n", None, "no label in info.txt"),
        (b"x" * (1 << 20) + b"\nbenign\n", None, "no label in info.txt"),
        (b"a.pdf\ngoodware\n", None, "line 2 of info.txt is no label: 'goodware'"),
        (b"a.pdf\n\xff\x1b\n", None, "line 2 of info.txt is no label"),
        (None, None, "no info.txt"),
    ],
)
def test_a_label_is_read_however_it_was_written(
    tmp_path: Path, info: bytes | None, label: str | None, reason: str
) -> None:
    folder = _sample(tmp_path, "one")
    (folder / "info.txt").unlink()
    if info is not None:
        (folder / "info.txt").write_bytes(info)
    (found,), skipped = find_recordings(tmp_path)
    assert (found.label, skipped) == (label, [])
    assert found.unlabelled.startswith(reason)
    assert bool(reason) == bool(found.unlabelled)
    assert found.title in {"a.pdf", "", "benign"} or len(found.title) <= LONGEST_LINE


def test_info_that_is_a_link_or_a_folder_gives_no_label(tmp_path: Path) -> None:
    (_sample(tmp_path, "linked") / "info.txt").replace(tmp_path / "elsewhere.txt")
    (tmp_path / "linked/info.txt").symlink_to(tmp_path / "elsewhere.txt")
    (_sample(tmp_path, "folder") / "info.txt").unlink()
    (tmp_path / "folder/info.txt").mkdir()
    found = find_recordings(tmp_path)[0]
    assert len(found) == 2
    for one in found:
        assert (one.label, one.unlabelled) == (None, "info.txt is a link, or no regular file")


def test_of_several_traces_one_is_read_and_that_is_said(tmp_path: Path) -> None:
    _sample(tmp_path, "processors")
    (tmp_path / "processors/trace_1").write_bytes(b"\x02\x82")
    _sample(tmp_path, "packed")
    (tmp_path / "packed/trace_0.gz").write_bytes(b"\x1f\x8b")
    _sample(tmp_path, "first-empty", trace=b"")
    (tmp_path / "first-empty/trace_0.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    (_sample(tmp_path, "first-folder") / "trace_0").unlink()
    (tmp_path / "first-folder/trace_0").mkdir()
    (tmp_path / "first-folder/trace_0.gz").write_bytes(b"\x1f\x8b")
    assert {one.id: (one.trace.path.name, one.defects) for one in find_recordings(tmp_path)[0]} == {
        "processors": ("trace_0", ("only trace_0 is read, not trace_1",)),
        "packed": ("trace_0", ("only trace_0 is read, not trace_0.gz",)),
        "first-empty": ("trace_0.zst", ("only trace_0.zst is read, not trace_0",)),
        "first-folder": ("trace_0.gz", ("only trace_0.gz is read, not trace_0",)),
    }


def test_names_that_are_no_text_and_what_is_no_folder(tmp_path: Path) -> None:
    raw = tmp_path / os.fsdecode(b"\xff\xfe")
    _sample(tmp_path, "plain").replace(raw)
    (tmp_path / "file").write_text("no folder")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".hidden").mkdir()
    (found,), skipped = find_recordings(tmp_path)
    assert (found.id, found.trace.path, skipped) == (r"\xff\xfe", raw / "trace_0", [])


def test_one_sample_or_its_trace_is_a_corpus_of_one(tmp_path: Path) -> None:
    folder = _sample(tmp_path, "only")
    for path in (folder, folder / "trace_0"):
        assert [one.id for one in find_recordings(path)[0]] == ["only"]


def test_nothing_usable_is_an_error_that_shows_the_layout(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvidenceError, match=r"SAMPLE/trace_0.*no trace_0"):
        find_recordings(tmp_path)
    with pytest.raises(EvidenceError, match="not a stream"):
        find_recordings(Path("-"))
    with pytest.raises(EvidenceError, match="cannot be read"):
        find_recordings(tmp_path / "absent")
