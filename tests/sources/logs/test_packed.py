"""Logs that cannot be unpacked, are archives or links: what is said is the cause, not that they are empty."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
import zstandard

from vestige.engine import HERE
from vestige.errors import EvidenceError
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.source import LogSource

LINES = b"Jan  3 09:04:30 tin sshd[1]: Accepted password\nJan  3 09:04:31 tin sshd[1]: Failed password\n"


def refusal(log: Path, out: Path) -> str:
    with pytest.raises(EvidenceError) as caught:
        LogSource().prepare(log, out, LogOptions(label="none", year="2015"), engine=HERE)
    return str(caught.value)


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("web1/auth.log")
        member.size = len(LINES)
        tar.addfile(member, io.BytesIO(LINES))
    return out.getvalue()


def long_frame() -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    packing = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packing.compress(LINES) + packing.flush()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.log.zst", long_frame(), "sound Zstandard data"),
        ("a.log.zst", zstandard.compress(LINES)[:6] + b"\xff" * 40, "damaged Zstandard data"),
        ("a.log.gz", gzip.compress(LINES, mtime=0)[:10] + b"\xff" * 40, "damaged gzip data"),
        ("a.log.gz", gzip.compress(LINES, mtime=0)[:11], "cut off"),
        ("a.tar.gz", gzip.compress(archive(), mtime=0), "tar -xf"),
        ("a.tar", archive(), "tar -xf"),
        ("a.log.xz", b"\xfd7zXZ\0" + bytes(40), "xz -d"),
        ("a.log", b"../pods/0.log", "a link that was copied as text, and links are not followed"),
    ],
    ids=range(8),
)
def test_the_cause_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    told = refusal(tmp_path / name, tmp_path / "d")
    assert says in told
    assert "empty" not in told


def test_a_directory_of_links_says_that_they_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "pods").mkdir()
    (tmp_path / "pods" / "0.log").write_bytes(LINES)
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers" / "pod.log").symlink_to(tmp_path / "pods" / "0.log")
    (tmp_path / "containers" / "loop").symlink_to(tmp_path / "containers")
    told = refusal(tmp_path / "containers", tmp_path / "d")
    assert "nothing but links in this directory (2)" in told
    assert "links are not followed: give the directory that they lead to" in told
