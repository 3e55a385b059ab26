"""The layout of recorded runs: what is incomplete is left out with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestige.errors import EvidenceError
from vestige.sources.traces.corpus import find_samples


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
    samples, skipped = find_samples(tmp_path)
    assert [(one.id, one.title, one.label) for one in samples] == [
        ("a", "a.pdf", "benign"),
        ("b", "evil.pdf", "malicious"),
    ]
    assert skipped == []
    assert samples[0].trace.id == "a/trace_0"


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
    samples, skipped = find_samples(tmp_path)
    assert [(one.id, one.label) for one in samples] == [("no-info", None), ("whole", "benign")]
    reasons = {one.id: one.reason for one in skipped}
    assert reasons["no-map"] == "no mapping.txt"
    assert reasons["no-trace"] == "no trace_0"
    assert reasons["linked-trace"] == "no trace_0: trace_0 is a link, or no regular file"
    assert reasons["no-bytes"] == "trace_0 is empty"
    assert reasons["link"].startswith("a link")


def test_one_sample_or_its_trace_is_a_corpus_of_one(tmp_path: Path) -> None:
    folder = _sample(tmp_path, "only")
    for path in (folder, folder / "trace_0"):
        assert [one.id for one in find_samples(path)[0]] == ["only"]


def test_nothing_usable_is_an_error_that_shows_the_layout(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvidenceError, match=r"SAMPLE/trace_0.*no trace_0"):
        find_samples(tmp_path)
    with pytest.raises(EvidenceError, match="not a stream"):
        find_samples(Path("-"))
    with pytest.raises(EvidenceError, match="cannot be read"):
        find_samples(tmp_path / "absent")
