"""Cheats in tables as people export them: other ways to write windows, scalers, context and indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.evaluation.tables import cheats
from tests.evaluation.tables.test_audit import ROWS, WINDOWS, Pair, audited, check
from vestige.errors import EvidenceError
from vestige.evaluation.tables.reading import agree, open_table
from vestige.evaluation.tables.sides import Roles

MESSAGES = [" ".join(["unit", *["word"] * (key % 4), f"of {key}"]) for key in range(40)]


def sliding(steps: int, stride: int = 1, lines: int = 3_000) -> np.ndarray:
    """Windows of a log's keys `(rows, steps)`."""
    return np.lib.stride_tricks.sliding_window_view(cheats.stream(lines), steps)[::stride]


def labelled(frame: pl.DataFrame, windows: np.ndarray) -> pl.DataFrame:
    """With a label that the last step tells, for some keys."""
    return frame.with_columns(label=pl.Series(np.where(windows[:, -1] % 7 == 3, "1", "0")))


def in_cells(cheat: bool, write: Callable[[np.ndarray], object], steps: int = 10, stride: int = 1,
             lines: int = 3_000) -> Pair:  # fmt: skip
    windows = sliding(steps, stride, lines)
    frame = labelled(pl.DataFrame({"seq": pl.Series([write(row) for row in windows])}), windows)
    return cheats.parted(frame, shuffled=cheat, gap=-(-steps // stride))


def in_columns(cheat: bool, names: Sequence[str]) -> Pair:
    windows = sliding(len(names))
    frame = pl.DataFrame({name: windows[:, step] for step, name in enumerate(names)})
    return cheats.parted(labelled(frame, windows), shuffled=cheat, gap=len(names))


def joined(sign: str) -> Callable[[np.ndarray], str]:
    return lambda row: sign.join(f"E{key}" for key in row)


EMBEDDINGS = np.random.default_rng(0).normal(size=(40, 4)).round(4)
WRITTEN: dict[str, tuple[Callable[[bool], Pair], str]] = {
    "numpy's array": (lambda cheat: in_cells(cheat, repr), "csv"),
    "dashes": (lambda cheat: in_cells(cheat, joined("-")), "csv"),
    "slashes": (lambda cheat: in_cells(cheat, joined("/")), "csv"),
    "strides of 20": (lambda cheat: in_cells(cheat, joined(" "), 100, 20, 20_000), "csv"),
    "strides of 25": (lambda cheat: in_cells(cheat, joined(" "), 60, 25, 20_000), "csv"),
    "lists of messages": (lambda cheat: in_cells(cheat, lambda row: [MESSAGES[k] for k in row]), "parquet"),
    "lists of vectors": (lambda cheat: in_cells(cheat, lambda row: EMBEDDINGS[row].tolist(), 8), "parquet"),
    "a supervised series": (
        lambda cheat: in_columns(cheat, [f"var1(t-{step})" for step in range(9, 0, -1)]),
        "csv",
    ),
    "a suffix": (lambda cheat: in_columns(cheat, [f"step_{step}_key" for step in range(10)]), "csv"),
    "lags": (lambda cheat: in_columns(cheat, [f"lag_{step}" for step in range(9, -1, -1)]), "csv"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_shuffled_windows_are_found_however_they_are_written(tmp_path: Path, name: str) -> None:
    plant, kind = WRITTEN[name]
    cheat = check(audited(tmp_path / "cheat", plant(True), WINDOWS, kind=kind), "overlapping_windows")
    clean = audited(tmp_path / "clean", plant(False), WINDOWS, kind=kind)
    assert cheat.status == "fail", cheat.detail
    assert check(clean, "overlapping_windows").status == "pass"
    assert [found.name for found in clean.findings if found.status == "fail"] == []


def test_lists_of_a_fixed_length_are_windows(tmp_path: Path) -> None:
    windows = sliding(10)
    frame = labelled(pl.DataFrame({"x": pl.Series(windows.tolist(), dtype=pl.Array(pl.Int64, 10))}), windows)
    audit = audited(tmp_path, cheats.parted(frame, shuffled=True), WINDOWS, kind="parquet")
    assert check(audit, "overlapping_windows").status == "fail"


@pytest.mark.parametrize("steps", [3, 5, 8, 10, 20])
def test_windows_that_share_no_step_may_be_shuffled(tmp_path: Path, steps: int) -> None:
    windows = sliding(steps, steps, 20_000)
    frame = labelled(pl.DataFrame({"seq": [" ".join(map(str, row)) for row in windows]}), windows)
    audit = audited(tmp_path, cheats.parted(frame, shuffled=True), WINDOWS)
    assert check(audit, "overlapping_windows").status == "pass", check(audit, "overlapping_windows").detail


def test_numbered_columns_of_counts_are_no_windows(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    counts = rng.poisson(rng.gamma(0.6, 2, 29), (2_000, 29))
    frame = pl.DataFrame({f"E{column + 1}": counts[:, column] for column in range(29)})
    rare = counts[:, 11] > np.quantile(counts[:, 11], 0.9)
    audit = audited(
        tmp_path, cheats.parted(frame.with_columns(label=pl.Series(np.where(rare, "1", "0")))), WINDOWS
    )
    assert audit.windows == ""
    assert [found.name for found in audit.findings if found.status == "fail"] == []
    assert any("share steps" in row.what for row in audit.not_checked)


@pytest.mark.parametrize(
    "written",
    [
        "user {} logged in from lan {}",
        "{:02d}-{:02d}-2024",
        "{:02d}-{:02d}-24",
        "{:02d}/{:02d}/24",
        "a={};b={};c=1",
        "({}, {}, 6)",
    ],
)
def test_parts_of_a_cell_that_nothing_slides_over_are_no_steps_before_others(
    tmp_path: Path, written: str
) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(1, 7, 2_000), rng.integers(1, 29, 2_000)
    cells = [written.format(*pair) for pair in zip(first, second, strict=True)]
    label = np.where((first == 5) & (rng.random(2_000) > 0.02), "attack", "normal")
    frame = pl.DataFrame({"cell": cells, "x": rng.normal(size=2_000), "label": label})
    for shuffled in (False, True):
        audit = audited(tmp_path / str(shuffled), cheats.parted(frame, shuffled=shuffled), WINDOWS)
        assert check(audit, "future_context").status == "not_applicable"
        assert check(audit, "overlapping_windows").status in {"pass", "not_applicable"}
        failed = {found.name: found.detail for found in audit.findings if found.status == "fail"}
        assert failed == {}


@pytest.mark.parametrize("written", ["{:02d}-{:02d}-24", "{:02d}/{:02d}/24", "12/{}/{}/19"])
def test_days_that_only_the_test_has_are_no_codes_of_steps(tmp_path: Path, written: str) -> None:
    """A split by time: training has the days 1 to 25, the test 26 to 31."""
    rng = np.random.default_rng(0)
    parts = []
    for first, last in ((1, 25), (26, 31)):
        days, rows = rng.integers(first, last + 1, 1_000), rng.normal(size=1_000)
        cells = [written.format(rng.integers(1, 13), day) for day in days]
        label = np.where(rows + rng.normal(size=1_000) > 1, "attack", "normal")
        parts.append(pl.DataFrame({"day": cells, "x": rows, "label": label}))
    audit = audited(tmp_path, (parts[0], parts[1]), WINDOWS)
    assert check(audit, "vocabulary_fitted_on_all").status == "not_applicable"
    assert [found.name for found in audit.findings] == []


def scaled(cheat: bool, way: str, *, zeros: bool = False) -> Pair:
    """By a scaler of scikit-learn, fitted on training or on both."""
    from sklearn import preprocessing

    scalers = {
        "robust": preprocessing.RobustScaler(), "largest": preprocessing.MaxAbsScaler(),
        "range": preprocessing.MinMaxScaler(), "both signs": preprocessing.MinMaxScaler((-1, 1)),
        "two decimals": preprocessing.StandardScaler(),
    }  # fmt: skip
    frame = cheats.features(1_600)
    names = [name for name in frame.columns if name.startswith("value")]
    if zeros:
        rng = np.random.default_rng(3)
        made = {n: rng.lognormal(3, 1.5, 1_600).round(1) * (rng.random(1_600) > 0.4) for n in names}
        frame = frame.with_columns(pl.Series(name, values) for name, values in made.items())
    train, test = cheats.parted(frame)
    base = pl.concat([train, test]) if cheat else train
    scaler = scalers[way].fit(base[names].to_numpy())

    def apply(part: pl.DataFrame) -> pl.DataFrame:
        values = scaler.transform(part[names].to_numpy())
        values = values.round(2) if way == "two decimals" else values
        return part.with_columns(pl.Series(name, values[:, at]) for at, name in enumerate(names))

    return apply(train), apply(test)


@pytest.mark.parametrize(
    ("way", "zeros"),
    [("robust", False), ("largest", False), ("largest", True), ("range", True), ("both signs", False),
     ("two decimals", False)],
)  # fmt: skip
def test_other_scalers_that_were_fitted_on_all_are_caught(tmp_path: Path, way: str, zeros: bool) -> None:
    name = "scaler_fitted_on_all"
    cheat = check(audited(tmp_path / "cheat", scaled(True, way, zeros=zeros)), name)
    clean = check(audited(tmp_path / "clean", scaled(False, way, zeros=zeros)), name)
    assert (cheat.status, clean.status) == ("fail", "pass"), (cheat.detail, clean.detail)


def test_rates_by_nature_are_not_taken_for_scaled_columns(tmp_path: Path) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        of = rng.integers(1, 12, 1_200)
        frame = pl.DataFrame(
            {f"rate_{chr(97 + c)}": rng.binomial(of, rng.beta(0.5, 3, 1_200)) / of for c in range(12)}
        )
        audit = audited(tmp_path / str(seed), cheats.parted(frame), Roles())
        assert check(audit, "scaler_fitted_on_all").status == "pass"


def window_of(way: str, cheat: bool) -> pl.Expr:
    """A column of the rows around a row (the cheat), or before it."""
    value = pl.col("value_a")
    if way == "mean of 5, empty at the ends":
        return value.rolling_mean(5, center=cheat).over("host")
    if way == "mean of 21":
        return value.rolling_mean(21, center=cheat, min_samples=1).over("host")
    if way == "largest":
        return value.rolling_max(5, center=cheat, min_samples=1).over("host")
    if way == "middle":
        return value.rolling_median(5, center=cheat, min_samples=1).over("host")
    holes = pl.when(pl.int_range(pl.len()) % 3 > 0).then(value)
    return (holes.backward_fill() if cheat else holes.forward_fill()).over("host")


@pytest.mark.parametrize(
    "way", ["mean of 5, empty at the ends", "mean of 21", "largest", "middle", "filled holes"]
)
def test_context_from_the_future_is_caught_in_other_forms(tmp_path: Path, way: str) -> None:
    found = []
    for cheat in (True, False):
        frame = cheats.features(2_000, hosts=3).with_columns(made=window_of(way, cheat))
        found.append(check(audited(tmp_path / str(cheat), cheats.parted(frame)), "future_context"))
    assert [result.status for result in found] == ["fail", "pass"], [result.detail for result in found]


def test_columns_of_what_came_before_are_no_context_from_the_future(tmp_path: Path) -> None:
    value = pl.col("value_a")
    frame = cheats.features(2_000, hosts=3).with_columns(
        before=value.shift(1).over("host"),
        before_that=value.shift(2).over("host"),
        mean=value.rolling_mean(3).over("host"),
        largest=value.rolling_max(5).over("host"),
    )
    found = check(audited(tmp_path, cheats.parted(frame)), "future_context")
    assert found.status == "pass", found.detail


def indexed(pair: Pair, name: str) -> Pair:
    train, test = pair
    place = pl.int_range(pl.len()).alias(name)
    return train.select(place, pl.all()), test.select((place + train.height).alias(name), pl.all())


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__", "index", "number"])
def test_a_column_that_numbers_the_rows_hides_no_copies(tmp_path: Path, name: str) -> None:
    train, test = (part.drop("t", "host", "id") for part in cheats.parted(cheats.features()))
    audit = audited(tmp_path, indexed((train, pl.concat([test, train[:40]])), name), WINDOWS)
    assert check(audit, "duplicate_rows").rows == 40
    assert any("number the rows" in note for note in audit.train.notes)


def test_an_id_that_begins_with_the_class_gives_it_away(tmp_path: Path) -> None:
    train, test = cheats.parted(cheats.features())
    told = pl.format("{}_{}", pl.col("label").str.head(3), pl.int_range(pl.len()))
    audit = audited(tmp_path, (train.with_columns(id=told), test.with_columns(id=pl.format("{}0", told))))
    found = check(audit, "label_determined_by_column")
    assert found.status == "fail"
    assert "how column id begins" in found.detail


def test_one_class_is_one_class_however_it_is_written(tmp_path: Path) -> None:
    train, test = cheats.parted(cheats.features(200))
    attack = pl.col("label") == "attack"
    whole, decimal = attack.cast(pl.Int64), attack.cast(pl.Float64)
    pair = train.with_columns(label=whole), test.with_columns(label=decimal)
    assert audited(tmp_path / "numbers", pair).classes == ["0", "1"]
    spelt = pl.when(attack).then(pl.lit("True")).otherwise(pl.lit("False"))
    pair = train.with_columns(label=attack), test.with_columns(label=spelt)
    assert audited(tmp_path / "booleans", pair, kind="parquet").classes == ["false", "true"]
    apart = audited(tmp_path / "apart", (train, test.with_columns(label=whole)))
    assert any("no class in common" in note for note in apart.train.notes)


def test_times_of_two_units_are_one_time(tmp_path: Path) -> None:
    train, test = cheats.parted(cheats.features(200))
    late = test.with_columns(t=pl.col("t") * 1_000)
    assert check(audited(tmp_path / "numbers", (train, late)), "time_order").status == "pass"
    assert check(audited(tmp_path / "turned", (late, train)), "time_order").status == "warn"
    units = (
        train.with_columns(t=pl.from_epoch("t").cast(pl.Datetime("ns"))),
        test.with_columns(t=pl.from_epoch("t").cast(pl.Datetime("ms"))),
    )
    dates = audited(tmp_path / "dates", units, kind="parquet")
    assert check(dates, "time_order").status == "pass"


def test_decimal_commas_of_a_spreadsheet_are_numbers(tmp_path: Path) -> None:
    train, test = cheats.parted(cheats.features(200))
    paths = [tmp_path / "train.csv", tmp_path / "test.csv"]
    for part, path in zip((train, test), paths, strict=True):
        part.write_csv(path, separator=";", decimal_comma=True, include_bom=True)
    from vestige.evaluation.tables.audit import Asked, audit_tables

    kinds = audit_tables(Asked(paths[0], paths[1], ROWS)).train.columns
    assert {kinds[name] for name in train.columns if name.startswith("value")} == {"number"}
    paths[1].write_text("sep=;\na;b\n1;2\n")
    with pytest.raises(EvidenceError, match="Excel's line about separators"):
        audit_tables(Asked(paths[0], paths[1], ROWS))


@pytest.mark.parametrize("separator", ["\t", ";"])
def test_commas_of_english_exports_part_thousands(tmp_path: Path, separator: str) -> None:
    def written(name: str, cells: Sequence[Sequence[str]]) -> Path:
        path = tmp_path / f"{name}.csv"
        path.write_text(
            "\n".join(separator.join(row) for row in [("bytes", "share", "steps"), *cells]) + "\n"
        )
        return path

    train = open_table(written("train", [("999", "1,000", "101,102,103"), ("1,000", "2,001", "102,103,104")]))
    test = open_table(
        written(
            "test", [("1,234,567.5", "0,5", "103,104,105"), ("-2,001", "3", "101,102,103"), ("12", "", "")]
        )
    )
    train, test, notes = agree(train, test, [])
    # Where the other table shows that a column's commas are decimal, they are.
    assert [next(part.batches(["bytes", "share"])).rows() for part in (train, test)] == [
        [(999.0, 1.0), (1_000.0, 2.001)],
        [(1_234_567.5, 0.5), (-2_001.0, 3.0), (12.0, None)],
    ]
    assert train.kinds["steps"] == "text"
    assert train.stats(["bytes"])["bytes"].high == 1_000
    assert any("1 columns (bytes) part thousands" in note for note in notes)
    assert any("1 columns (share) are decimal" in note for note in notes)
