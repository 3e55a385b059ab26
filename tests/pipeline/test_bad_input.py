"""Bad input gets a clear error, and nothing is left half-written."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.conftest import FAST, vestige
from vestige import errors
from vestige.evaluation.results import RunResults
from vestige.reading.windows import WindowSet

BGL = "- 1117838570 2005.06.03 R02 2005-06-03-15.42.50.675872 R02 RAS KERNEL INFO cache parity error\n"


def run_on(corpus: Path, out: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return vestige("run", "logs", corpus, "--format", "bgl", *FAST, "-m", "gbt", "-o", out, *more)


def refused(done: subprocess.CompletedProcess[str], kind: type[errors.VestigeError], *says: str) -> None:
    assert done.returncode == kind.exit_code, done.stderr
    assert "Traceback" not in done.stderr
    text = " ".join(done.stderr.split())
    for one in says:
        assert one in text, text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", ["empty"]),
        (
            "2015-10-18 18:01:47,978 INFO [main] org.apache.Foo: started\n" * 50,
            ["bad.log:1", "would fit: hadoop"],
        ),
        (BGL * 50, ["one class only", "--label", "vestige learn logs", "bad.log -o DETECTOR"]),
        ("\x00\x01\x02" * 1000, ["bad.log"]),
    ],
    ids=["empty", "another-format", "one-class", "binary"],
)
def test_evidence_that_cannot_be_used(tmp_path: Path, content: str, says: list[str]) -> None:
    (tmp_path / "bad.log").write_text(content)
    refused(run_on(tmp_path / "bad.log", tmp_path / "deep" / "run"), errors.EvidenceError, *says)
    assert [one.name for one in tmp_path.iterdir()] == ["bad.log"]


def test_a_file_that_fits_no_format_is_named_by_results_report_and_inspect(
    tmp_path: Path, corpus: Path
) -> None:
    mixed, run = tmp_path / "mixed", tmp_path / "run"
    shutil.copytree(corpus, mixed)
    (mixed / "<b>else.log").write_text("nothing of the kind\n" * 20)
    done = run_on(mixed, run, "--split", "time")
    assert done.returncode == 0, done.stderr
    left_out = RunResults.load(run / "metrics.json").left_out
    assert left_out.counts["the file"] == left_out.total
    assert "<b>else.log" in [row.file for row in left_out.first]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "What was not read" in page
    assert "&lt;b&gt;else.log" in page
    assert "<b>else.log" not in page
    shown = vestige("inspect", run / "dataset").stdout
    assert "what was not read" in shown
    assert "<b>else.log" in shown


def test_an_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text(BGL)
    done = vestige("prepare", "logs", tmp_path / "x.log", "--format", "klingon", "-o", tmp_path / "d")
    refused(done, errors.UsageError, "klingon", "bgl", "hadoop")


def test_fewer_hosts_than_the_split_needs(tmp_path: Path, corpus: Path) -> None:
    done = run_on(corpus / "web-1" / "auth.log", tmp_path / "run", "--split", "host")
    refused(done, errors.SplitError, "at least 3", "--split time")


def test_a_model_that_does_not_exist(tmp_path: Path, corpus: Path) -> None:
    done = vestige(
        "run", "logs", corpus, "--format", "bgl", "-m", "oracle-of-delphi", *FAST, "-o", tmp_path / "r"
    )
    refused(done, errors.UsageError, "oracle-of-delphi", "gbt")


def test_a_setting_that_no_model_has(tmp_path: Path, corpus: Path) -> None:
    done = run_on(corpus, tmp_path / "run", "--set", "wings=2")
    refused(done, errors.UsageError, "wings", "gbt has:")


@pytest.mark.parametrize("damage", ["truncate", "edit", "delete"])
@pytest.mark.parametrize("file", ["model.json", "booster.ubj"])
def test_a_damaged_checkpoint(finished: Path, tmp_path: Path, corpus: Path, file: str, damage: str) -> None:
    copy = tmp_path / "gbt"
    copy.mkdir()
    for name in ("model.json", "booster.ubj", "config.json"):
        (copy / name).write_bytes((finished / "gbt" / name).read_bytes())
    content = (copy / file).read_bytes()
    if damage == "truncate":
        (copy / file).write_bytes(content[:-100])
    elif damage == "edit":
        middle = len(content) // 2
        (copy / file).write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        (copy / file).unlink()
    refused(vestige("score", copy, corpus / "web-1"), errors.CheckpointError, str(copy), "remedy")


def test_a_detector_meets_a_dataset_of_another_schema(finished: Path, tmp_path: Path, corpus: Path) -> None:
    other = tmp_path / "dataset"
    vestige("prepare", "logs", corpus, "--format", "bgl", "--window-size", 4, "-j", 1, "-o", other)
    vestige("split", other, "--split", "host", "-o", tmp_path / "split.json")
    config = json.loads((finished / "gbt" / "config.json").read_text())
    run = tmp_path / "run"
    run.mkdir()
    for name in ("model.json", "booster.ubj"):
        (run / name).write_bytes((finished / "gbt" / name).read_bytes())
    config |= {"dataset": "../dataset", "split": "../split.json"}
    (run / "config.json").write_text(json.dumps(config))
    refused(vestige("evaluate", run), errors.CheckpointError, "length: 10 -> 5")


def test_a_full_disk(tmp_path: Path, corpus: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    try:
        done = vestige("prepare", "logs", corpus, "--format", "bgl", "-j", 1, "-o", small / "dataset")
        refused(done, errors.OutputError, "disk is full", "nothing was left behind")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_an_output_that_may_not_be_written(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = vestige("prepare", "logs", corpus, "--format", "bgl", "-j", 1, "-o", tmp_path / "file" / "dataset")
    refused(done, errors.OutputError, "is a file, not a directory")


def test_names_in_a_corpus_cannot_lead_out_of_it(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "c" / "h").mkdir(parents=True)
    (tmp_path / "c" / "h" / "a.log").write_text(BGL)
    (tmp_path / "secret.log").write_text(BGL.replace("- ", "APPSEV ", 1))
    (tmp_path / "c" / "h" / "b.log").symlink_to(tmp_path / "secret.log")
    done = vestige("prepare", "logs", tmp_path / "c", "--format", "bgl", "-j", 1, "-o", tmp_path / "d")
    assert done.returncode == 0, done.stderr
    windows = WindowSet.open(tmp_path / "d")
    assert (windows.notes["messages"], windows.notes["labels"]["anomaly"]) == (1, 0)
    (left_out,) = windows.notes["left_out"]
    assert left_out["file"] == "h/b.log"
    assert left_out["why"].startswith("a link")


def test_a_dataset_with_half_of_its_labels_zeroed_is_refused_by_all_that_read_it(
    finished: Path, tmp_path: Path
) -> None:
    """The file keeps its size and its header: only the digests tell."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    file = run / "dataset" / "index" / "label.npy"
    label = np.load(file, mmap_mode="r+")
    assert label[::2].any()
    label[::2] = 0
    label.flush()
    assert file.stat().st_size == (finished / "dataset" / "index" / "label.npy").stat().st_size
    train = ["train", run / "dataset", "--split", run / "split.json", "--epochs", 1, "-m", "gbt"]
    for command in (
        [*train, "-o", tmp_path / "again"],
        ["evaluate", run],
        ["inspect", run / "dataset"],
        ["inspect", run],
    ):
        says = ["dataset/index/label.npy", "damaged or edited: block 0", "prepare the dataset again"]
        refused(vestige(*command), errors.DatasetError, *says)
    assert not (tmp_path / "again").exists()


def test_inspect_reads_every_byte_of_a_dataset_and_names_the_block(finished: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    shutil.copytree(finished / "dataset", dataset)
    assert vestige("inspect", dataset).returncode == 0
    file = dataset / "tables" / "messages.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    refused(vestige("inspect", dataset), errors.DatasetError, "messages.parquet", "block 0", "prepare")
