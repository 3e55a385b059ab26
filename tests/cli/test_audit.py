"""`vestige audit` as a person and a CI meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.evaluation.tables import cheats
from vestige.cli.main import app
from vestige.errors import EvidenceError, LeakageError, UsageError


def tables(folder: Path, *, shuffled: bool) -> list[str]:
    frame = cheats.windows(cheats.stream(1_500)).drop("t")
    pair = cheats.parted(frame, shuffled=shuffled, gap=7)
    train, test = cheats.write(folder, [("train", pair[0]), ("test", pair[1])])
    return ["audit", "--train", str(train), "--test", str(test), "--label", "label"]


def test_a_clean_pair_ends_well_and_a_leak_with_the_code_of_leakage(tmp_path: Path) -> None:
    runner = CliRunner(env={"COLUMNS": "100"})
    clean = runner.invoke(app, tables(tmp_path, shuffled=False))
    assert clean.exit_code == 0, clean.output
    assert "cannot be checked" in clean.output
    page = tmp_path / "audit.html"
    found = runner.invoke(app, [*tables(tmp_path, shuffled=True), "-o", str(page)])
    assert isinstance(found.exception, LeakageError)
    assert found.exception.exit_code == 7
    assert "overlapping_windows" in str(found.exception)
    text = page.read_text()
    assert "overlapping_windows" in text
    assert "http" not in text.replace("http-equiv", "")
    assert "<script" not in text


@pytest.mark.parametrize("extra", [["--fail-on", "never"], ["--allow", "overlapping_windows"]])
def test_known_findings_do_not_fail(tmp_path: Path, extra: list[str]) -> None:
    found = CliRunner().invoke(app, [*tables(tmp_path, shuffled=True), "--json", *extra])
    assert found.exit_code == 0, found.output
    told = json.loads(found.output)
    assert told["format"] == "vestige-audit/1"
    by_name = {check["name"]: check for check in told["checks"]}
    assert by_name["overlapping_windows"]["status"] == "fail"
    assert by_name["overlapping_windows"]["allowed"] == ("--allow" in extra)


def test_a_folder_in_place_of_a_table_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"(?s)is a directory.*CSV or Parquet"):
        app(["audit", "--train", str(tmp_path), "--test", str(tmp_path)], standalone_mode=False)


def test_a_seed_is_no_negative_number() -> None:
    with pytest.raises(UsageError, match="--seed"):
        app(["audit", "--train", "a.csv", "--test", "b.csv", "--seed", "-1"], standalone_mode=False)


def test_a_table_that_would_end_the_interpreter_is_refused() -> None:
    hostile = str(Path(__file__).parents[1] / "attacks" / "negative_page.parquet")
    with pytest.raises(EvidenceError, match=r"cannot be read as a table .*values of a page: -274"):
        app(["audit", "--train", hostile, "--test", hostile], standalone_mode=False)
