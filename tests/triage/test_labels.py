"""An operator's labels: spread to the members of their clusters, and refused where they fit none."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.triage.conftest import fill_in, invoke, read, refuse
from vestige.errors import DatasetError, EvidenceError
from vestige.triage.labels import read_labels, spread
from vestige.triage.spreadsheet import defused, restored
from vestige.triage.table import LABELLED, MEMBERS, TABLE


def true_labels(folder: Path, rows: list[dict[str, str]]) -> dict[str, str]:
    """What an operator who looks at the first example of each row would say."""
    members = pl.read_parquet(folder / MEMBERS)
    truth = {f"{file}:{line}": name for file, line, name in members.select("file", "line", "truth").rows()}
    return {row["cluster"]: truth[row["example_1"]] for row in rows}


def test_one_label_a_cluster_reaches_all_its_members(trained: Path, triaged: Path) -> None:
    rows = read(triaged / TABLE)
    labels = true_labels(triaged, rows[:10])
    fill_in(triaged / TABLE, labels)
    shown = invoke("triage", trained, "--labels", triaged / TABLE, "-o", triaged)
    labelled = pl.read_parquet(triaged / LABELLED)
    members = pl.read_parquet(triaged / MEMBERS)
    assert labelled.height > 0
    assert labelled.drop("label").equals(members)
    assert all(labels.get(cluster) == label for cluster, label in labelled.select("cluster", "label").rows())
    covered = sum(int(row["size"]) for row in rows[:10])
    assert f"reach {covered:,} of {members.height:,} alerts" in shown
    assert "agree with the true label" in shown


def test_agreement_is_counted_on_what_the_operator_was_not_shown(trained: Path, triaged: Path) -> None:
    rows = read(triaged / TABLE)
    fill_in(triaged / TABLE, true_labels(triaged, rows))
    found = spread(trained, triaged / TABLE, triaged)
    labelled = pl.read_parquet(triaged / LABELLED).filter(~pl.col("example"))
    assert found.checked == labelled.height
    assert found.agree == (labelled["label"] == labelled["truth"]).sum()
    assert found.usual == labelled["truth"].value_counts()["count"].to_numpy().max() / labelled.height
    assert found.labelled == found.alerts


def test_labels_that_are_worth_no_more_than_the_commonest_are_told(trained: Path, triaged: Path) -> None:
    rows = read(triaged / TABLE)
    truth = true_labels(triaged, rows)
    members = pl.read_parquet(triaged / MEMBERS).filter(~pl.col("example"))
    commonest = members["truth"].value_counts().sort("count")["truth"][-1]
    fill_in(triaged / TABLE, dict.fromkeys(truth, commonest))
    shown = invoke("triage", trained, "--labels", triaged / TABLE, "-o", triaged)
    assert "worth no more than the commonest" in " ".join(shown.split())


def test_a_label_that_is_no_class_is_not_judged(trained: Path, triaged: Path) -> None:
    rows = read(triaged / TABLE)
    fill_in(triaged / TABLE, {rows[0]["cluster"]: "backup, harmless"})
    found = spread(trained, triaged / TABLE, triaged)
    assert [(one.label, one.clusters, one.agree) for one in found.by_label] == [("backup, harmless", 1, None)]


def test_the_commonest_class_is_that_of_the_alerts_compared(trained: Path, triaged: Path) -> None:
    """Labels that are no class take their alerts out of both sides of the comparison."""
    truth = true_labels(triaged, read(triaged / TABLE))
    members = pl.read_parquet(triaged / MEMBERS).filter(~pl.col("example"))
    commonest = members["truth"].value_counts().sort("count")["truth"][-1]
    given = {cluster: label if label == commonest else "malware" for cluster, label in truth.items()}
    fill_in(triaged / TABLE, given)
    found = spread(trained, triaged / TABLE, triaged)
    assert 0 < found.checked < members.height
    assert found.usual == found.agree / found.checked
    assert not found.worth


def test_labels_that_nothing_can_be_compared_with_are_told(trained: Path, triaged: Path) -> None:
    rows = read(triaged / TABLE)
    members = pl.read_parquet(triaged / MEMBERS)
    members.with_columns(truth=pl.lit(None, pl.String())).write_parquet(triaged / MEMBERS)
    fill_in(triaged / TABLE, {row["cluster"]: "normal" for row in rows})
    shown = " ".join(invoke("triage", trained, "--labels", triaged / TABLE, "-o", triaged).split())
    assert "No true label of these alerts is known" in shown
    assert "All have one label" in shown


def test_nothing_filled_in_labels_nothing(trained: Path, triaged: Path) -> None:
    shown = invoke("triage", trained, "--labels", triaged / TABLE, "-o", triaged)
    assert "(no label yet)" in shown
    assert (
        pl.read_parquet(triaged / LABELLED)["label"].null_count() == pl.read_parquet(triaged / MEMBERS).height
    )


def test_labels_of_another_triage_are_refused_with_file_and_row(
    trained: Path, triaged: Path, tmp_path: Path
) -> None:
    invoke("triage", trained, "--all", "--eps", "0.05", "-o", tmp_path / "other")
    refused = refuse("triage", trained, "--labels", tmp_path / "other" / TABLE, "-o", triaged)
    assert isinstance(refused, EvidenceError)
    assert str(refused).startswith(f"{tmp_path / 'other' / TABLE}:2: there is no cluster")
    assert not (triaged / LABELLED).exists()


def test_labels_without_a_triage_are_refused(trained: Path, tmp_path: Path) -> None:
    refused = refuse("triage", trained, "--labels", "x.csv", "-o", tmp_path)
    assert isinstance(refused, DatasetError)
    assert "there is no triage here" in refused.what


@pytest.mark.parametrize(
    ("text", "row", "says"),
    [
        ("cluster,label\nt1-1,a\nt1-1,b\n", 3, "comes twice"),
        ("cluster,label\nt1-9,a\n", 2, "no cluster 't1-9'"),
        ("cluster,label\nt1-1\n", 2, "1 cells, expected 2"),
        (f"cluster,label\nt1-1,{'x' * 201}\n", 2, "201 characters"),
        ("cluster,name\nt1-1,a\n", 1, "no column 'label'"),
        ("", 1, "no column 'cluster'"),
        ("cluster,label\nt1-1,\udcff\n", None, "not UTF-8"),
        (f"cluster,label\nt1-1,{'x' * 200_000}\n", None, "no CSV"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(text: str, row: int | None, says: str, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(EvidenceError, match=says) as caught:
        read_labels(table, {"t1-1", "t1-2"})
    assert (caught.value.where, caught.value.row) == (table, row)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_is_read_as_spreadsheets_save_it(mark: str, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    rows = [["cluster", "size", "label"], ["t1-1", "3", "schädlich"], ["t1-2", "1", "'-x"], ["", "", ""]]
    table.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(mark.join(row) for row in rows).encode())
    assert read_labels(table, {"t1-1", "t1-2"}) == {"t1-1": "schädlich", "t1-2": "-x"}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "'=x", "'", "plain", "", "''-"])
def test_a_cell_that_a_spreadsheet_would_run_is_defused_and_restored(text: str) -> None:
    assert restored(defused(text)) == text
    assert not defused(text).startswith(("=", "+", "-", "@", "\t"))
