"""From alerts to a table of clusters, through the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.triage.conftest import invoke, read, refuse
from vestige.checkpoint import load
from vestige.errors import OutputError, UsageError, VestigeError
from vestige.storage import locked
from vestige.triage.evidence import Piece, of_evidence, of_test_part
from vestige.triage.spreadsheet import defused, restored
from vestige.triage.table import HEADER, MEMBERS, TABLE


def test_every_alert_of_the_test_part_is_in_one_cluster(trained: Path, tmp_path: Path) -> None:
    shown = invoke("triage", trained, "-o", tmp_path)
    members = pl.read_parquet(tmp_path / MEMBERS)
    judged = pl.read_parquet(trained / "predictions.parquet").filter("alert")
    assert 0 < judged.height == members.height
    assert members.select("file", "line").equals(judged.select("file", pl.col("line").cast(pl.Int64)))
    assert (members["truth"] == judged["label"].cast(pl.String())).all()
    assert members["cluster"].null_count() == 0
    rows = read(tmp_path / TABLE)
    assert tuple(rows[0]) == HEADER
    assert {row["cluster"]: int(row["size"]) for row in rows} == dict(
        members.group_by("cluster").len().iter_rows()
    )
    assert members.group_by("cluster").agg(pl.col("event").n_unique())["event"].max() == 1
    assert (
        f"{judged.height:,} to triage, {members['explanation'].n_unique():,} different explanations" in shown
    )
    assert "the rest stand by themselves" in shown


def test_alike_explanations_share_a_cluster_and_the_table_sums_them_up(triaged: Path) -> None:
    members = pl.read_parquet(triaged / MEMBERS)
    rows = read(triaged / TABLE)
    assert len(rows) < members["explanation"].n_unique() < members.height
    assert [int(row["size"]) for row in rows] == sorted((int(row["size"]) for row in rows), reverse=True)
    first = members.filter(cluster=rows[0]["cluster"])
    assert int(rows[0]["machines"]) == first["machine"].n_unique()
    assert float(rows[0]["mean_surprise"]) == pytest.approx(first["surprise"].mean(), abs=1e-3)
    places = {f"{file}:{line}" for file, line in first.select("file", "line").iter_rows()}
    assert {rows[0][f"example_{number}"] for number in (1, 2, 3)} <= places
    assert rows[0]["first"] < rows[0]["last"]
    assert all(row["label"] == "" for row in rows)


def test_the_same_triage_twice_is_the_same(trained: Path, triaged: Path, tmp_path: Path) -> None:
    invoke("triage", trained, "--all", "-o", tmp_path / "again")
    assert (tmp_path / "again" / TABLE).read_bytes() == (triaged / TABLE).read_bytes()
    again = pl.read_parquet(tmp_path / "again" / MEMBERS)
    assert again.equals(pl.read_parquet(triaged / MEMBERS))
    assert sorted(one.name for one in triaged.iterdir()) == sorted((TABLE, MEMBERS))


def test_raw_evidence_gives_the_alerts_that_score_gives(trained: Path, export: Path, tmp_path: Path) -> None:
    invoke("triage", trained, export, "-o", tmp_path)
    members = pl.read_parquet(tmp_path / MEMBERS)
    scored = [json.loads(line) for line in invoke("score", trained, export, "--alerts-only").splitlines()]
    assert [(row["file"], row["line"]) for row in scored] == members.select("file", "line").rows()
    assert members["truth"].null_count() == members.height


def test_a_full_table_sends_the_rest_to_the_nearest_or_keeps_it_apart(
    trained: Path, triaged: Path, tmp_path: Path
) -> None:
    invoke("triage", trained, "--all", "--most-distinct", 3, "-o", tmp_path)
    rows = read(tmp_path / TABLE)
    members = pl.read_parquet(tmp_path / MEMBERS)
    assert members.height == pl.read_parquet(triaged / MEMBERS).height
    assert "rest" in {row["kind"] for row in rows}
    explanations = members.group_by("event").agg(pl.col("explanation").n_unique())["explanation"]
    assert explanations.to_numpy().max() <= 4


def test_a_name_that_is_a_formula_or_holds_control_characters_does_no_harm(
    trained: Path, tmp_path: Path
) -> None:
    evidence = tmp_path / "hostile.csv"
    names = ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "a;=cmd|x", "\x1b[31mred", "\u202egnp", "\x1b]0;x\x07"]
    lines = [f'2026-03-0{day},m=1,"{name}"' for day in range(1, 5) for name in names]
    evidence.write_text("timestamp,machine,event\n" + "\n".join(lines) + "\n", encoding="utf-8")
    shown = invoke("triage", trained, evidence, "--all", "-o", tmp_path / "out")
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    rows = read(tmp_path / "out" / TABLE)
    assert {row["event"] for row in rows} == {
        "'=HYPERLINK(1)", "'+1", "'-1", "'@SUM(1)", "a;'=cmd|x", "\\x1b[31mred", "\\u202egnp",
        "\\x1b]0;x\\x07",
    }  # fmt: skip
    assert {row["new"] for row in rows} == {"new"}
    assert set(pl.read_parquet(tmp_path / "out" / MEMBERS)["event"]) == set(names)


def test_logs_are_triaged_too(tmp_path: Path) -> None:
    corpus, data, run = tmp_path / "corpus", tmp_path / "dataset", tmp_path / "run"
    invoke("simulate", "logs", corpus, "--messages", 1500, "--anomalies", "0.06", "--seed", 1)
    invoke("prepare", "logs", corpus, "--format", "bgl", "-j", 1, "-o", data)
    invoke("split", data, "--split", "host", "-o", tmp_path / "split.json")
    how = ["--task", "next", "-m", "gru", "--epochs", 1, "-t", 1]
    invoke("train", data, "--split", tmp_path / "split.json", *how, "-o", run)
    shown = invoke("triage", run, "--all")
    members = pl.read_parquet(run / "next_gru" / MEMBERS)
    assert f"{members.height:,} windows, {members.height:,} to triage" in shown
    invoke("triage", run, corpus, "--all", "-o", tmp_path / "live")
    live = pl.read_parquet(tmp_path / "live" / MEMBERS)
    assert live.height == 1500
    both = members.join(live, on=["file", "line"])
    assert both.height == members.height
    assert (both["surprise"] - both["surprise_right"]).abs().to_numpy().max() < 1e-3
    assert (both["event"] == both["event_right"]).all()


def by_place(pieces: Iterator[Piece]) -> dict[tuple[str, int], tuple[object, ...]]:
    """Time, name of the event and tokens of every window, by the file and line of what it judges."""
    found: dict[tuple[str, int], tuple[object, ...]] = {}
    for piece in pieces:
        about = piece.about.select("file", "line", "t_ns").iter_rows()
        rows = zip(about, piece.texts, piece.tokens.tolist(), strict=True)
        found |= {(file, line): (t_ns, text, tokens) for (file, line, t_ns), text, tokens in rows}
    return found


@pytest.mark.parametrize("around", ["background", "context"])
def test_evidence_says_of_a_window_what_the_test_part_says_of_it(tmp_path: Path, around: str) -> None:
    corpus, data, run = tmp_path / "corpus", tmp_path / "dataset", tmp_path / "run"
    invoke("simulate", "logs", corpus, "--messages", 1000, "--anomalies", "0.06", "--seed", 1)
    windows = ["--sequence-type", around, "--window-size", 4]
    invoke("prepare", "logs", corpus, "--format", "bgl", *windows, "-j", 1, "-o", data)
    invoke("split", data, "--split", "host", "-o", tmp_path / "split.json")
    how = ["--task", "next", "-m", "next_frequency"]
    invoke("train", data, "--split", tmp_path / "split.json", *how, "-o", run)
    folder = run / "next_frequency"
    loaded = load(folder)
    assert loaded.schema.ahead == (4 if around == "context" else 0)
    prepared, read_again = by_place(of_test_part(folder, loaded)), by_place(of_evidence([corpus], loaded))
    assert len(read_again) == 1000
    assert len(prepared) >= 60
    assert len({text for _, text, _ in prepared.values()}) > 5
    assert {place: read_again[place] for place in prepared} == prepared


def test_nothing_to_triage_is_said(trained: Path, tmp_path: Path) -> None:
    evidence = tmp_path / "one.csv"
    evidence.write_text("timestamp,machine,event\n2026-03-01,m,auth.logon\n")
    shown = invoke("triage", trained, evidence, "-o", tmp_path / "out")
    assert "1 windows, 0 to triage" in shown
    assert read(tmp_path / "out" / TABLE) == []


def test_a_table_with_labels_is_not_replaced(trained: Path, triaged: Path) -> None:
    (triaged / TABLE).write_text((triaged / TABLE).read_text() + "\n")
    refused = refuse("triage", trained, "-o", triaged)
    assert isinstance(refused, OutputError)
    assert "already exists" in refused.what
    invoke("triage", trained, "-o", triaged, "--overwrite")
    (triaged / TABLE).write_text("a,b\n1,2\n")
    refused = refuse("triage", trained, "-o", triaged, "--overwrite")
    assert isinstance(refused, OutputError)
    assert (triaged / TABLE).read_text() == "a,b\n1,2\n"


def test_of_two_triages_of_one_folder_the_second_is_refused(trained: Path, tmp_path: Path) -> None:
    with locked(tmp_path):
        assert "another process is writing it" in refuse("triage", trained, "-o", tmp_path).what
    assert list(tmp_path.iterdir()) == []


def test_wide_signs_begin_no_formula_either() -> None:
    """Some spreadsheets take them for the narrow ones."""
    for text in ("=1", "\uff1d1", "  \uff0b1", "\uff20SUM", "\ufe631", "a;\uff1dcmd", "x,\u3000=1"):
        cell = defused(text)
        assert cell.startswith("'") or "'" in cell, text
        if cell.startswith("'"):
            assert restored(cell) == text
    assert defused("plain \uff1d text") == "plain \uff1d text"


def test_a_classifier_is_refused_with_the_command_that_helps(trained: Path, tmp_path: Path) -> None:
    run = trained.parent
    learn = ["--epochs", 1, "-t", 1]
    invoke(
        "train", run / "dataset", "--split", run / "split.json", "-m", "gru", *learn, "-o", tmp_path / "run"
    )
    refused = refuse("triage", tmp_path / "run")
    assert isinstance(refused, UsageError)
    assert "--task next" in refused.remedy


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        (["no-such-run"], UsageError, "no-such-run"),
        (["x", "--eps", "0"], UsageError, "--eps"),
        (["x", "--metric", "l3"], UsageError, "--metric"),
        (["x", "--labels", "y", "--all"], UsageError, "--labels"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], kind: type[VestigeError], says: str) -> None:
    refused = refuse("triage", *arguments)
    assert isinstance(refused, kind)
    assert says in str(refused)
