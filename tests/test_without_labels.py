"""Corpora without labels: every source prepares one, and what needs labels refuses with that reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.pipeline.conftest import succeed, vestige
from tests.sources.events.exports import START
from vestige.errors import EvidenceError
from vestige.reading.windows import WindowSet

FAST: list[object] = ["-t", 1]
NEXT: list[object] = ["--task", "next", "-m", "gru", "--epochs", 1, *FAST]
SIMULATED: dict[str, list[object]] = {
    "telemetry": ["--hosts", 3, "--episodes", 12, "--seconds", 40, "--plant", "none=0"],
    "traces": ["--programs", 3, "--recordings", 3, "--kilobytes", 4],
}
OPTIONS: dict[str, list[object]] = {
    "logs": ["--format", "hadoop", "--label", "none"],
    "events": ["--mapping", "csv"],
    "telemetry": [],
    "traces": ["--sequence-len", 16, "--no-sliding-window"],
}


def make(source: str, corpus: Path) -> None:
    """A corpus of this source in which nothing says what is an anomaly."""
    if source in SIMULATED:
        succeed("simulate", source, corpus, *SIMULATED[source])
    if source == "logs":
        for host in "abcdef":
            (corpus / host).mkdir(parents=True)
            rows = (f"2015-10-18 18:00:{n:02},000 INFO [m] a.B: did {'x' * (n % 4)}\n" for n in range(60))
            (corpus / host / "app.log").write_text("".join(rows))
    elif source == "events":
        corpus.mkdir()
        rows = (f"{START + n},m{n % 7},e{n % 5}\n" for n in range(400))
        (corpus / "a.csv").write_text("timestamp,machine,event\n" + "".join(rows))
    elif source == "telemetry":
        for manifest in corpus.glob("*/*/*/manifest.json"):
            content = json.loads(manifest.read_text())
            content["files"] = [file for file in content["files"] if file["source"] != "labels"]
            manifest.write_text(json.dumps(content))
            (manifest.parent / "labels.jsonl").unlink()
    else:
        for info in corpus.glob("*/info.txt"):
            info.write_text(info.read_text().splitlines()[0] + "\n")


@pytest.mark.parametrize("source", OPTIONS)
def test_a_corpus_without_labels(source: str, tmp_path: Path) -> None:
    corpus, dataset, split = tmp_path / "corpus", tmp_path / "dataset", tmp_path / "split.json"
    make(source, corpus)
    succeed("prepare", source, corpus, *OPTIONS[source], "-o", dataset)
    windows = WindowSet.open(dataset)
    assert len(windows) > 50
    assert not windows.labelled
    succeed("split", dataset, "--split", "random", "-o", split)
    refused = [vestige("train", dataset, "--split", split, "-m", "gbt", *FAST, "-o", tmp_path / "refused")]
    if source not in SIMULATED:
        call: list[object] = [
            "run",
            source,
            corpus,
            *OPTIONS[source],
            "-m",
            "gbt",
            *FAST,
            "-o",
            tmp_path / "run",
        ]
        refused.append(vestige(*call))
    for done in refused:
        assert done.returncode == EvidenceError.exit_code == 3, done.stderr
        assert "the evidence has no labels" in done.stderr
        assert f"vestige learn {source}" in " ".join(done.stderr.split())
    if source == "telemetry":
        return  # it has no events, whose next one could be learnt
    succeed("train", dataset, "--split", split, *NEXT, "-o", tmp_path / "next")
    shutil.rmtree(dataset)
    rows = [json.loads(line) for line in succeed("score", tmp_path / "next", corpus).splitlines()]
    assert len(rows) == len(windows)
    assert all(row["surprise"] >= 0 for row in rows)
