"""Cheats planted into tables are caught by name, and their clean twins pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.evaluation.tables import cheats
from vestige.errors import EvidenceError, UsageError
from vestige.evaluation.metrics import Sweep
from vestige.evaluation.tables.audit import NAMES, Asked, audit_tables
from vestige.evaluation.tables.page import render
from vestige.evaluation.tables.record import Check, TableAudit
from vestige.evaluation.tables.sides import Roles

Pair = tuple[pl.DataFrame, pl.DataFrame]
WINDOWS = Roles(label="label")
ROWS = Roles(time="t", host="host", label="label", id="id")


def audited(
    folder: Path, pair: Pair, roles: Roles = ROWS, *, kind: str = "csv",
    predictions: pl.DataFrame | None = None, history: pl.DataFrame | None = None, **asked: Any,
) -> TableAudit:  # fmt: skip
    folder.mkdir(exist_ok=True)
    paths = cheats.write(folder, [("train", pair[0]), ("test", pair[1])], kind)
    more: dict[str, Any] = {}
    for name, frame in (("predictions", predictions), ("history", history)):
        if frame is not None:
            more[name] = cheats.write(folder, [(name, frame)])[0]
    return audit_tables(Asked(paths[0], paths[1], roles, **more, **asked))


def check(audit: TableAudit, name: str) -> Check:
    assert [one.name for one in audit.checks] == list(NAMES)
    return next(one for one in audit.checks if one.name == name)


def shuffled_windows(cheat: bool) -> Pair:
    frame = cheats.windows(cheats.stream()).drop("t")
    return cheats.parted(frame, shuffled=cheat, gap=7)


def messages(cheat: bool, join: Callable[[list[str]], str]) -> Pair:
    """Windows of messages of several words each, put together in one cell."""
    frame = cheats.windows(cheats.stream()).drop("t")
    said = {f"k{key}": " ".join(["unit", *["word"] * (key % 4), f"of {key}"]) for key in range(40)}
    cells = [join([said[key] for key in cell.split()]) for cell in frame["keys"]]
    return cheats.parted(frame.with_columns(keys=pl.Series(cells)), shuffled=cheat, gap=7)


def barred_messages(cheat: bool) -> Pair:
    return messages(cheat, "|".join)


def listed_messages(cheat: bool) -> Pair:
    return messages(cheat, json.dumps)


def lines_of_messages(cheat: bool) -> Pair:
    return messages(cheat, "\n".join)


def separated_messages(cheat: bool) -> Pair:
    return messages(cheat, " [SEP] ".join)


def bars_in_messages(cheat: bool) -> Pair:
    """Messages that hold bars of their own, put together by bars between blanks."""
    return messages(cheat, lambda said: " | ".join(text.replace("unit word", "unit|word") for text in said))


def twice_written(cheat: bool) -> Pair:
    """Windows of three of a log that writes each message to two files. Some are left out, of both files."""
    frame = cheats.windows(cheats.stream(keys=60), before=2).drop("t")
    frame = frame.filter(np.random.default_rng(5).random(frame.height) < 0.9)
    if cheat:
        return cheats.parted(pl.concat([frame, frame]), shuffled=True)
    train, test = cheats.parted(frame, gap=3)
    return pl.concat([train, train]), pl.concat([test, test])


def numbered_windows(cheat: bool) -> Pair:
    walk = np.cumsum(np.random.default_rng(0).normal(size=1_500)).round(3)
    rows = np.lib.stride_tricks.sliding_window_view(walk, 8)
    frame = pl.DataFrame({f"x{step}": rows[:, step] for step in range(8)})
    return cheats.parted(frame.with_columns(label=pl.lit("normal")), shuffled=cheat, gap=8)


def scaled(cheat: bool) -> Pair:
    return cheats.standardised(*cheats.parted(cheats.features()), on_all=cheat)


def ranged(cheat: bool) -> Pair:
    train, test = cheats.parted(cheats.features())
    base = pl.concat([train, test]) if cheat else train
    names = [name for name in train.columns if name.startswith("value")]
    scale = [
        (pl.col(n) - base[n].min()) / (base[n].max() - base[n].min())  # type: ignore[operator]
        for n in names
    ]
    return train.with_columns(scale), test.with_columns(scale)


def vocabulary(cheat: bool) -> Pair:
    log = cheats.stream()
    log[-400::9] = 40 + np.arange(len(log[-400::9])) % 6
    return cheats.coded(*cheats.parted(cheats.windows(log).drop("t"), gap=7), on_all=cheat)


def words(cheat: bool) -> Pair:
    rng = np.random.default_rng(4)
    counts = (rng.random((800, 60)) < 0.15).astype(int)
    counts[:600, 50:] = 0
    frame = pl.DataFrame(
        {f"w{chr(97 + c // 26)}{chr(97 + c % 26)}": counts[:, c] for c in range(60 if cheat else 50)}
    )
    return frame[:600], frame[600:]


def of_host(cheat: bool) -> Pair:
    frame = cheats.features()
    if cheat:
        guilty = pl.col("host").is_in(["host0", "host1", "host2"])
        frame = frame.with_columns(label=pl.when(guilty).then(pl.lit("attack")).otherwise(pl.lit("benign")))
    return cheats.parted(frame)


def two_ids(cheat: bool) -> Pair:
    train, test = cheats.parted(cheats.features())
    ids = [
        pl.Series("id", [f"{side}{row // 10}" for row in range(part.height)])
        for side, part in (("a", train), ("b", test))
    ]
    train, test = train.with_columns(ids[0]), test.with_columns(ids[1])
    if cheat:
        copied = train[:60].with_columns(id=pl.format("c{}", pl.int_range(60) // 10), t=pl.col("t") + 10**6)
        test = pl.concat([test, copied])
    return train, test


def nearly(cheat: bool) -> Pair:
    rng = np.random.default_rng(6)
    dictionary = [f"word{n}" for n in range(800)]
    texts = [" ".join(rng.choice(dictionary, 30)) for _ in range(900)]
    if cheat:
        for row in range(700, 760):
            parts = texts[row - 700].split()
            parts[int(rng.integers(30))] = "other"
            texts[row] = " ".join(parts)
    frame = pl.DataFrame({"text": texts, "label": ["normal", "attack", "normal"] * 300})
    return frame[:700], frame[700:]


def centred(cheat: bool) -> Pair:
    log = cheats.stream(4_000)
    frame = cheats.windows(log, before=3 if cheat else 6, after=3 if cheat else 0).drop("t")
    return cheats.parted(frame, gap=7)


def smoothed(cheat: bool) -> Pair:
    frame = cheats.features(hosts=1)
    x = frame["value_a"].to_numpy()
    mean = np.convolve(x, np.ones(5) / 5, mode="same") if cheat else np.convolve(x, np.ones(5) / 5)[: len(x)]
    return cheats.parted(frame.with_columns(smooth=pl.Series(mean))[8:-8])


def copied_rows(cheat: bool) -> Pair:
    train, test = cheats.parted(cheats.features())
    if cheat:
        test = pl.concat([test, train[:40].with_columns(id=pl.format("again{}", pl.col("id")))])
    return train, test


PLANTED: list[tuple[str, Callable[[bool], Pair], Roles, str]] = [
    ("overlapping_windows", shuffled_windows, WINDOWS, "csv"),
    ("overlapping_windows", barred_messages, WINDOWS, "csv"),
    ("overlapping_windows", listed_messages, WINDOWS, "parquet"),
    ("overlapping_windows", lines_of_messages, WINDOWS, "csv"),
    ("overlapping_windows", bars_in_messages, WINDOWS, "csv"),
    ("overlapping_windows", twice_written, WINDOWS, "csv"),
    ("overlapping_windows", separated_messages, WINDOWS, "csv"),
    ("overlapping_windows", numbered_windows, WINDOWS, "parquet"),
    ("scaler_fitted_on_all", scaled, ROWS, "csv"),
    ("scaler_fitted_on_all", ranged, ROWS, "parquet"),
    ("vocabulary_fitted_on_all", vocabulary, WINDOWS, "csv"),
    ("vocabulary_fitted_on_all", words, Roles(), "csv"),
    ("label_determined_by_host", of_host, ROWS, "csv"),
    ("duplicates_under_two_ids", two_ids, ROWS, "csv"),
    ("duplicate_rows", copied_rows, ROWS, "csv"),
    ("near_duplicates", nearly, WINDOWS, "csv"),
    ("future_context", centred, WINDOWS, "csv"),
    ("future_context", smoothed, ROWS, "csv"),
]


@pytest.mark.parametrize(
    ("name", "plant", "roles", "kind"), PLANTED, ids=[f"{p[0]}-{p[1].__name__}" for p in PLANTED]
)
def test_a_planted_cheat_is_caught_by_name_and_its_clean_twin_passes(
    tmp_path: Path, name: str, plant: Callable[[bool], Pair], roles: Roles, kind: str
) -> None:
    cheat = audited(tmp_path / "cheat", plant(True), roles, kind=kind)
    clean = audited(tmp_path / "clean", plant(False), roles, kind=kind)
    assert check(cheat, name).status == "fail", check(cheat, name).detail
    assert name in [found.name for found in cheat.findings]
    assert check(clean, name).status == "pass", check(clean, name).detail
    assert [found.name for found in clean.findings if found.status == "fail"] == []


def test_a_list_with_as_many_parts_in_each_row_is_no_window(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [f"agent {'of us ' * a}; on system {b}; for {c}" for a, b, c in rng.integers(0, 9, size=(800, 3))]
    frame = pl.DataFrame({"who": rows, "label": np.where(rng.random(800) < 0.2, "bad", "good")})
    found = check(audited(tmp_path, cheats.parted(frame, shuffled=True), WINDOWS), "overlapping_windows")
    assert found.status == "not_applicable"


def predicted(test: pl.DataFrame, threshold: float) -> pl.DataFrame:
    return cheats.scores(test).with_columns(alert=pl.col("score") >= threshold)


def best_of(test: pl.DataFrame, seed: int = 5) -> float:
    """The threshold with the best F1 on these rows."""
    sweep = Sweep.of(cheats.scores(test, seed)["score"].to_numpy(), (test["label"] == "attack").to_numpy())
    return float(sweep.thresholds[int(np.argmax(2 * sweep.tp / (sweep.tp + sweep.fp + sweep.positives)))])


def test_a_threshold_chosen_on_the_test_is_caught_and_one_of_other_rows_is_not(tmp_path: Path) -> None:
    train, test = cheats.parted(cheats.features(8_000))
    best = best_of(test)
    name = "threshold_chosen_on_test"
    caught = check(audited(tmp_path / "a", (train, test), predictions=predicted(test, best)), name)
    assert caught.status == "fail"
    assert caught.worth is not None
    assert caught.worth.before is not None
    assert caught.worth.after is not None
    assert (caught.worth.after.macro_f1 or 0) < (caught.worth.before.macro_f1 or 0)
    honest = audited(tmp_path / "b", (train, test), predictions=predicted(test, best_of(train, 6)))
    assert check(honest, name).status == "pass"
    default = audited(tmp_path / "c", (train, test), predictions=predicted(test, 0.5))
    assert "nobody chose" in check(default, name).detail


def test_an_honest_threshold_is_seldom_accused() -> None:
    from vestige.evaluation.tables.chosen import threshold
    from vestige.evaluation.tables.given import Given

    accused = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        label = (rng.random(4_000) < 0.2).astype(np.int64)
        score = 1 / (1 + np.exp(-(rng.normal(size=4_000) + 1.5 * label - 1)))
        sweep = Sweep.of(score[:2_000], label[:2_000] == 1)
        chosen = sweep.thresholds[int(np.argmax(2 * sweep.tp / (sweep.tp + sweep.fp + sweep.positives)))]
        found = threshold(Given(score[2_000:], None, score[2_000:] >= chosen), label[2_000:], 0)
        accused += found.status == "fail"
    assert accused <= 1


def test_an_epoch_chosen_on_the_test_is_caught_and_one_of_validation_is_not(tmp_path: Path) -> None:
    pair = cheats.parted(cheats.features(400))
    figures = {"val_f1": [0.5, 0.7, 0.6, 0.65], "test_f1": [0.5, 0.55, 0.8, 0.6]}
    found = {}
    for kept in (1, 2):
        history = pl.DataFrame({**figures, "chosen": [row == kept for row in range(4)]})
        found[kept] = check(audited(tmp_path / str(kept), pair, history=history), "epoch_chosen_on_test")
    assert found[2].status == "fail"
    assert found[2].worth is not None
    assert "0.8" in found[2].worth.note
    assert found[1].status == "warn"
    without = pl.DataFrame({"val_f1": figures["val_f1"], "chosen": [False, True, False, False]})
    assert check(audited(tmp_path / "none", pair, history=without), "epoch_chosen_on_test").status == "pass"


def test_what_copies_were_worth_is_told_by_metrics_without_them(tmp_path: Path) -> None:
    train, test = copied_rows(True)
    truth = test["label"].to_list()
    known = set(train["value_a"])
    rng = np.random.default_rng(0)
    # Right about every copy, and guessing elsewhere.
    said = [
        label if value in known else str(rng.choice(["attack", "benign"]))
        for label, value in zip(truth, test["value_a"].to_list(), strict=True)
    ]
    found = check(
        audited(tmp_path, (train, test), predictions=pl.DataFrame({"predicted": said})), "duplicate_rows"
    )
    # The copies keep their times, and the time is what tells a copy: all forty are found.
    assert found.rows == 40
    assert found.worth is not None
    assert found.worth.before is not None
    assert found.worth.after is not None
    assert found.worth.after.rows == test.height - 40
    assert found.worth.drop is not None
    assert (found.worth.drop.estimate or 0) > 0.02
    assert found.examples[0].startswith("test row 301 and training row ")


@pytest.mark.parametrize("period", [7, 13, 30])
def test_windows_without_overlap_of_a_log_that_repeats_itself_are_honest(tmp_path: Path, period: int) -> None:
    """A program that asks the same in turn, and now and then something else; the test part lies later."""
    rng = np.random.default_rng(period)
    log = np.tile(rng.integers(0, 50, period), 20_000 // period + 1)[:20_000].copy()
    odd = rng.random(len(log)) < 0.02
    log[odd] = rng.integers(0, 60, odd.sum())
    cells = [" ".join(f"k{key}" for key in window) for window in log.reshape(-1, 10)]
    frame = pl.DataFrame({"keys": cells, "label": ["normal"] * len(cells)})
    assert check(audited(tmp_path, cheats.parted(frame), WINDOWS), "overlapping_windows").status == "pass"


def test_colog_windows_with_context_on_both_sides_shuffled(tmp_path: Path) -> None:
    """What CoLog's preparation gives: windows of log keys with as many before as after, dealt one by one."""
    frame = cheats.windows(cheats.stream(), before=3, after=3).drop("t")
    audit = audited(tmp_path, cheats.parted(frame, shuffled=True), WINDOWS)
    failed = {found.name for found in audit.findings if found.status == "fail"}
    assert {"overlapping_windows", "future_context"} <= failed
    overlap = check(audit, "overlapping_windows")
    assert overlap.worth is not None
    assert overlap.worth.of.startswith("a decision tree of ours")
    assert "3 steps come after it" in check(audit, "future_context").detail


@pytest.mark.parametrize(
    ("content", "row", "what"),
    [
        (b"a,label\n1,x\n2,y\n\xff\xfe,y\n", 4, "no UTF-8"),
        (b"a,label\n1,x\n2\n", 3, "1 cells, but 2 columns"),
        (b"a,label\n1,x\n\n2,y\n", 3, "an empty row"),
        (b'a,label\n1,x\n"2,y\n3,x\n', 3, "no CSV"),
        (b"a,a\n1,x\n", 1, "names a column twice"),
        (b"a,label\n1,\n2,y\n", 2, "is empty"),
        (b"a,label\n", None, "no rows"),
        (b"", 1, "no head"),
        (b"PAR1 and nothing else", None, "cannot be read as a table"),
        (b"b,label\n1,x\n", None, "no column 'a'"),
    ],
)
def test_hostile_tables_end_in_an_error_with_file_and_row(
    tmp_path: Path, content: bytes, row: int | None, what: str
) -> None:
    (tmp_path / "train.csv").write_bytes(b"a,label\n1,x\n2,y\n")
    (tmp_path / "test.csv").write_bytes(content)
    with pytest.raises(EvidenceError, match=what) as caught:
        audit_tables(Asked(tmp_path / "train.csv", tmp_path / "test.csv", Roles(label="label", id="a")))
    assert str(caught.value.where).endswith("test.csv")
    assert caught.value.row == row
    assert caught.value.remedy


def test_hostile_cells_are_read_as_what_they_are(tmp_path: Path) -> None:
    head = 'n,text,"<b>x</b>",label\n'
    rows = [
        '10000000000000000000,"=1+1 ""quoted""",<script>,x\n',
        "1e999,@SUM(A1),\u202e,y\n",
        "3,-,b,x\n",
    ] * 20
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text(head + "".join(rows), encoding="utf-8")
    audit = audit_tables(Asked(tmp_path / "train.csv", tmp_path / "test.csv", Roles(label="label")))
    assert audit.train.columns == {"n": "number", "text": "text", "<b>x</b>": "text", "label": "label"}
    assert any("not finite" in note for note in audit.train.notes)
    page = render(audit)
    assert "<script" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert TableAudit.model_validate_json(audit.model_dump_json()) == audit


def test_times_that_cannot_be_read_name_the_row(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,t\n1,2024-05-01T12:00:00Z\n2,2024-05-01 12:00:01\n")
    (tmp_path / "test.csv").write_text("a,t\n1,2024-05-02T12:00:00Z\n2,yesterday\n")
    with pytest.raises(EvidenceError, match="no time that can be read: 'yesterday'") as caught:
        audit_tables(Asked(tmp_path / "train.csv", tmp_path / "test.csv", Roles(time="t")))
    assert caught.value.row == 3


def test_promises_are_held_to_and_known_findings_may_be_allowed(tmp_path: Path) -> None:
    pair = cheats.parted(cheats.features(), shuffled=True)
    loose = audited(tmp_path / "a", pair)
    assert check(loose, "time_order").status == "warn"
    strict = audited(tmp_path / "b", pair, held_out=("time", "host"), allowed=("hosts_disjoint",))
    assert check(strict, "time_order").status == "fail"
    assert check(strict, "hosts_disjoint").status == "fail"
    assert "hosts_disjoint" not in [found.name for found in strict.findings]
    with pytest.raises(UsageError, match="no such check"):
        audited(tmp_path / "c", pair, allowed=("nothing",))
    with pytest.raises(UsageError, match="no column was named"):
        audited(tmp_path / "d", pair, Roles(label="label"), held_out=("time",))


def test_what_cannot_be_checked_is_said(tmp_path: Path) -> None:
    audit = audited(tmp_path, cheats.parted(cheats.features(200)), Roles())
    assert len(audit.not_checked) >= 6
    assert all(row.why and row.remedy for row in audit.not_checked)
    assert {one.name for one in audit.checks if one.status == "not_applicable"} >= {
        "overlapping_windows",
        "threshold_chosen_on_test",
        "label_determined_by_host",
        "time_order",
    }


def test_numbers_beyond_all_squares_are_survived(tmp_path: Path) -> None:
    train, test = cheats.parted(cheats.features(200))
    huge = pl.when(pl.int_range(pl.len()) == 3).then(1e300).otherwise(pl.col("value_a")).alias("value_a")
    audit = audited(tmp_path, (train.with_columns(huge), test.with_columns(huge)), kind="parquet")
    assert check(audit, "scaler_fitted_on_all").status == "pass"


def test_a_damaged_parquet_file_is_refused_or_read_and_never_a_crash(tmp_path: Path) -> None:
    train, test = cheats.parted(cheats.features(60))
    paths = cheats.write(tmp_path, [("train", train), ("test", test)], "parquet")
    raw = paths[1].read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(25):
        damaged = bytearray(raw)
        for at in rng.integers(0, len(raw), 3):
            damaged[at] = int(rng.integers(256))
        paths[1].write_bytes(damaged)
        try:
            audit_tables(Asked(paths[0], paths[1], ROWS))
        except EvidenceError:
            refused += 1
    assert refused > 5
