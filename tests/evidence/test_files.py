"""Which files belong to a corpus, in which order, and under which names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vestige.errors import EvidenceError
from vestige.evidence.files import EvidenceFile, find


def touch(path: Path, text: str = "x\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_files_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b/a.log", "a-b/z.log", "a/z.log", "a/b/c.log", "Z.log", "é.log"):
        touch(tmp_path / name)
    files, skipped = find(tmp_path)
    assert [one.id for one in files] == ["Z.log", "a-b/z.log", "a/b/c.log", "a/z.log", "b/a.log", "é.log"]
    assert skipped == []
    assert sum(one.size or 0 for one in files) == 12


def test_hidden_files_links_pipes_and_empty_files_are_left_out_with_a_reason(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    touch(corpus / "good.log")
    touch(corpus / ".hidden")
    touch(corpus / ".git" / "config")
    touch(corpus / "empty.log", "")
    touch(tmp_path / "outside" / "secret.log")
    (corpus / "leaves").symlink_to(tmp_path / "outside" / "secret.log")
    (corpus / "folder").symlink_to(tmp_path / "outside")
    (corpus / "again").symlink_to(corpus / "good.log")
    (corpus / "circle").symlink_to(corpus)
    os.mkfifo(corpus / "pipe")
    files, skipped = find(corpus)
    assert [one.id for one in files] == ["good.log"]
    assert {defect.file: defect.why.split(":")[0] for defect in skipped} == {
        ".hidden": "hidden", ".git": "hidden", "empty.log": "empty", "leaves": "a link", "folder": "a link",
        "again": "a link", "circle": "a link", "pipe": "not a regular file",
    }  # fmt: skip


@pytest.mark.parametrize("name", [b"caf\xe9.log", b"new\nline.log", b"<script>.log", b"a b.log"])
def test_a_file_may_have_any_name(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_text("x\n")
    (only,), _ = find(tmp_path)
    assert only.id.encode() == name.decode(errors="backslashreplace").encode()
    with only.open() as file:
        assert file.read() == b"x\n"


@pytest.mark.parametrize(
    ("name", "host", "profile"),
    [
        ("web1/auth.log.2.gz", "web1", "auth"),
        ("a/b/BGL_2k.log", "a", "BGL"),
        ("syslog-2020.zst", None, "syslog"),
        ("2020.log", None, "2020"),
        ("kern2.log", None, "kern"),
    ],
)
def test_a_path_tells_host_and_profile(name: str, host: str | None, profile: str) -> None:
    file = EvidenceFile(Path(name), name, 1)
    assert (file.host, file.profile) == (host, profile)


def test_a_directory_without_files_and_a_missing_path_are_errors(tmp_path: Path) -> None:
    touch(tmp_path / ".hidden")
    with pytest.raises(EvidenceError, match="no log files"):
        find(tmp_path, "log files")
    with pytest.raises(EvidenceError, match="No such file"):
        find(tmp_path / "nowhere")


@pytest.mark.parametrize("instead", ["a pipe", "a link", "a directory", "nothing"])
def test_what_was_a_file_when_it_was_listed_is_not_waited_for_nor_followed(
    instead: str, tmp_path: Path
) -> None:
    """Whoever writes evidence may swap it between the listing and the reading."""
    path = tmp_path / "logs" / "a.log"
    path.parent.mkdir()
    path.write_text("a line\n")
    (file,), _ = find(path.parent)
    path.unlink()
    if instead == "a pipe":
        os.mkfifo(path)
    elif instead == "a link":
        path.symlink_to("/etc/passwd")
    elif instead == "a directory":
        path.mkdir()
    with pytest.raises(EvidenceError):
        file.open()
