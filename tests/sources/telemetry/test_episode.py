"""An episode's files: what may be read is read exactly, everything else is a fault with a name."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from vestige.escaping import visible
from vestige.simulators.telemetry import draft
from vestige.sources.telemetry import fields, tables
from vestige.sources.telemetry.episode import Episode
from vestige.sources.telemetry.extract import extract
from vestige.sources.telemetry.faults import Fault, FaultError, verdict
from vestige.sources.telemetry.fields import COLLECTORS, MONO, SEQ, WALL, CollectorName
from vestige.sources.telemetry.manifest import FILE_NAMES, LABELS, NAME, parse
from vestige.validation.check import check
from vestige.validation.options import ValidateOptions

DEEP = ValidateOptions(deep=True)


@pytest.fixture(name="root")
def _root(store: Path, tmp_path: Path) -> Path:
    """A store of one good episode, of the host that stamps connections in monotonic time."""
    one = min(store.glob("host-2/*/*"))
    shutil.copytree(one, tmp_path / one.relative_to(store))
    return tmp_path


def folder(root: Path) -> Path:
    return next(root.glob("*/*/*"))


def found(root: Path) -> list[str]:
    """What a deep check says, without the particulars."""
    finding = check(root, folder(root).relative_to(root).as_posix(), None, DEEP)
    assert finding is not None
    return [f"{one.code}:{one.subject}" for one in finding.faults]


def replace(root: Path, name: str, data: bytes, *, rows: int | None = None, was: str | None = None) -> None:
    """Put other bytes into an episode, and say so in its manifest."""
    manifest = json.loads((folder(root) / NAME).read_text())
    for at, one in enumerate(manifest["files"]):
        if one["path"] == (was or name):
            (folder(root) / one["path"]).unlink()
            manifest["files"][at] = draft.entry(name, data, one["rows"] if rows is None else rows)
    (folder(root) / name).write_bytes(data)
    (folder(root) / NAME).write_text(json.dumps(manifest))


def rewrite(root: Path, collector: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    table = change(pl.read_parquet(folder(root) / f"{collector}.parquet"))
    replace(root, f"{collector}.parquet", draft.parquet(table), rows=table.height)


def test_a_good_episode_has_no_fault(root: Path) -> None:
    assert found(root) == []
    assert check(root, folder(root).relative_to(root).as_posix(), None, ValidateOptions()) is not None


def test_tables_are_those_of_the_format(root: Path) -> None:
    with Episode(folder(root)) as episode:
        for collector in COLLECTORS:
            aligned = episode.aligned(collector)
            assert aligned is not None
            table, defects = aligned
            assert table.schema == pl.Schema(
                dict[str, type[pl.DataType]]({WALL: pl.Int64, SEQ: pl.Int64}) | fields.schema(collector)
            )
            assert table[WALL].is_sorted()
            assert defects == []
        labels = episode.labels()
        assert labels.columns == [WALL, "label", "phase"]
        assert labels["phase"][0] in {"clean", "armed"}  # an episode begins anywhere before its attack
        assert episode.digest == hashlib.sha256((folder(root) / NAME).read_bytes()).hexdigest()


def test_tables_read_together_are_those_read_alone(root: Path) -> None:
    with Episode(folder(root)) as episode:
        together = episode.tables({"netflow": ("proto", "id.resp_h"), "qmp": None, "proc": ()})
        assert list(together) == ["netflow", "qmp", "proc"]
        assert together["netflow"][0].columns == [MONO, SEQ, "proto", "id.resp_h"]
        assert together["proc"][0].columns == [WALL, SEQ]
        for collector, (table, defects) in together.items():
            alone = episode.table(collector, table.columns[2:])
            assert alone is not None
            assert table.equals(alone[0])
            assert defects == []


@pytest.mark.parametrize("collector", COLLECTORS)
def test_of_tables_read_together_the_spoilt_one_is_named(root: Path, collector: CollectorName) -> None:
    name = f"{collector}.parquet"
    data = bytearray((folder(root) / name).read_bytes())
    data[4:24] = bytes(20)  # the first page begins so; the footer is whole
    replace(root, name, bytes(data))
    with Episode(folder(root)) as episode, pytest.raises(FaultError) as caught:
        episode.tables(dict.fromkeys(COLLECTORS))
    assert caught.value.fault[:2] == ("decode", collector)


def test_headers_that_would_end_the_process_are_a_fault_of_an_episode_given_alone(
    make_store: Callable[..., Path],
) -> None:
    store = make_store(episodes=1, plant=("killer=1",))
    with pytest.raises(FaultError, match="values of a page: -") as caught:
        extract(folder(store), "")
    assert caught.value.fault[:2] == ("decode", "proc")


def test_columns_that_are_not_read_are_checked_too(root: Path) -> None:
    rewrite(root, "netflow", lambda one: one.with_columns(uid=pl.lit(1)))
    with Episode(folder(root)) as episode, pytest.raises(FaultError, match="uid is Int32, not String"):
        episode.tables({"proc": None, "netflow": ("proto",)})


def test_monotonic_stamps_are_mapped_and_without_anchors_lost(root: Path) -> None:
    assert pl.read_parquet_schema(folder(root) / "netflow.parquet").keys() >= {MONO}
    with Episode(folder(root)) as episode:
        aligned = episode.aligned("netflow")
        assert aligned is not None
        start, end = episode.manifest.t_start_ns, episode.manifest.t_end_ns
        assert aligned[0][WALL].is_between(start, end).all()
    text = json.loads((folder(root) / NAME).read_text())
    boot = [{**one, "t_boot_ns": one["t_mono_ns"] + 3600 * 10**9} for one in text["clock"]["sync"]]
    for base, sync, expected in (
        ("monotonic", text["clock"]["sync"][:1], ["clock_base:netflow"]),
        ("boottime", text["clock"]["sync"], ["clock_base:netflow"]),
        ("boottime", boot, ["clock_base:netflow"]),  # an hour of sleep: mapped an hour too early
        ("monotonic", boot, []),
    ):
        text["clock"] = {"sources": {**text["clock"]["sources"], "netflow": base}, "sync": sync}
        (folder(root) / NAME).write_text(json.dumps(text))
        assert found(root) == expected


def test_only_names_of_an_episode_are_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[Any, bool]] = []
    real = os.open

    def record(path: Any, *rest: Any, dir_fd: int | None = None, **more: Any) -> int:
        opened.append((path, dir_fd is not None))
        return real(path, *rest, dir_fd=dir_fd, **more)

    monkeypatch.setattr(os, "open", record)
    path = folder(root).relative_to(root).as_posix()
    text = (folder(root) / NAME).read_text()
    for name in (
        "../../../etc/passwd",
        "/etc/passwd",
        "proc.parquet/../x",
        "x.parquet",
        "proc.parquet\0",
        "",
    ):
        (folder(root) / NAME).write_text(text.replace("proc.parquet", name.replace("\0", "\\u0000")))
        assert found(root) == ["path:manifest"]
    (folder(root) / NAME).write_text(text)
    check(root, path, None, DEEP)
    inside = {name for name, relative in opened if relative}
    assert {name for name, relative in opened if not relative} == {root}
    assert inside <= {*path.split("/"), NAME, *FILE_NAMES}


def test_a_text_may_come_dictionary_encoded_and_more_columns_are_ignored(root: Path) -> None:
    coded = pl.col("proto", "conn_state").cast(pl.Categorical)
    rewrite(root, "netflow", lambda one: one.with_columns(coded, pl.lit(1.5).alias("more")))
    assert found(root) == []
    with Episode(folder(root)) as episode:
        aligned = episode.aligned("netflow")
        assert aligned is not None
        assert aligned[0].schema == pl.Schema(
            dict[str, type[pl.DataType]]({WALL: pl.Int64, SEQ: pl.Int64}) | fields.schema("netflow")
        )


@pytest.mark.parametrize(
    ("name", "value"), [("duration", float("inf")), ("id.resp_p", 70_000), ("orig_bytes", -1)]
)
def test_connections_with_impossible_values_are_rejected(root: Path, name: str, value: float) -> None:
    rewrite(root, "netflow", lambda one: one.with_columns(pl.lit(value).cast(one[name].dtype).alias(name)))
    assert found(root) == ["values:netflow"]


@pytest.mark.parametrize("name", ["service", "resp_bytes"])
def test_a_column_without_any_value_has_no_dtype_and_is_missing(root: Path, name: str) -> None:
    rewrite(root, "netflow", lambda one: one.with_columns(pl.lit(None).alias(name)))
    assert found(root) == []
    with Episode(folder(root)) as episode:
        aligned = episode.aligned("netflow")
        assert aligned is not None
        assert aligned[0].schema[name] == fields.schema("netflow")[name]
    rewrite(root, "netflow", lambda one: one.with_columns(pl.lit(None).alias(SEQ)))
    assert found(root) == ["columns:netflow"]


def test_columns_that_kvm_alone_knows_may_be_empty(root: Path) -> None:
    empty = pl.lit(None, dtype=pl.Int64)
    rewrite(root, "qmp", lambda one: one.with_columns(empty.alias("stats.vcpu.exits")))
    assert found(root) == []
    rewrite(root, "qmp", lambda one: one.with_columns(empty.alias("blockstats.rd_bytes")))
    assert found(root) == ["missing_values:qmp"]


def test_a_spool_is_read_and_only_whole_lines_count(root: Path) -> None:
    table = pl.read_parquet(folder(root) / "proc.parquet")
    whole = draft.spool(table)
    replace(root, "proc.jsonl.zst", whole, was="proc.parquet")
    with Episode(folder(root)) as episode:
        read = episode.table("proc")
        assert read is not None
        assert read[0].equals(table)
    half = zstandard.ZstdCompressor().compress(table.write_ndjson().encode()[:-40])
    replace(root, "proc.jsonl.zst", half)
    assert found(root) == ["truncated:proc"]
    replace(root, "proc.jsonl.zst", whole + draft.spool(table.head(1)))
    assert found(root) == ["rows:proc"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (2**64 - 1, "values:guest: row 2: interrupts is 18446744073709551615, beyond a signed integer"),
        (-(2**63) - 1, "values:guest: row 2: interrupts is -9223372036854775809, beyond"),
        (10**30, "values:guest: row 2: interrupts is 1000000000000000000000000000000, beyond"),
        (1.5, "columns:guest: row 2: interrupts is 1.5, and no Int64"),
        ("7", "columns:guest: row 2: interrupts is '7', and no Int64"),
        (float("nan"), "decode:guest: row 2: interrupts is nan, which is no JSON; write what could not be"),
        (True, "columns:guest: row 2: interrupts is True, and no Int64"),
    ],
)
@pytest.mark.parametrize("deep", [True, False])
def test_what_a_column_of_a_spool_cannot_hold_names_it(
    root: Path, value: object, reason: str, deep: bool
) -> None:
    rows = pl.read_parquet(folder(root) / "guest.parquet").to_dicts()
    rows[1]["interrupts"] = value
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    replace(root, "guest.jsonl.zst", zstandard.compress(lines), was="guest.parquet")
    finding = check(root, folder(root).relative_to(root).as_posix(), None, ValidateOptions(deep=deep))
    assert finding is not None
    assert finding.verdict in {"rejected", "errored"}
    assert str(finding.faults[0]).startswith(reason)


def test_frames_without_content_are_no_part_of_a_spool(root: Path) -> None:
    """RFC 8878, 3.1.2: pzstd and others put such frames anywhere."""
    table = pl.read_parquet(folder(root) / "proc.parquet")
    empty = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"abcd"
    other = b"\x5f\x2a\x4d\x18" + bytes(4)
    spool = empty + draft.spool(table[:20]) + other + empty + draft.spool(table[20:]) + empty
    replace(root, "proc.jsonl.zst", spool, was="proc.parquet")
    with Episode(folder(root)) as episode:
        read = episode.table("proc")
        assert read is not None
        assert read[0].equals(table)
        assert read[1] == []


def test_a_spool_of_another_packing_is_named_as_such(root: Path) -> None:
    table = pl.read_parquet(folder(root) / "proc.parquet")
    replace(root, "proc.jsonl.zst", lzma.compress(table.write_ndjson().encode()), was="proc.parquet")
    finding = check(root, folder(root).relative_to(root).as_posix(), None, DEEP)
    assert finding is not None
    assert [str(fault) for fault in finding.faults] == ["decode:proc: xz files are not read"]


def test_a_spool_may_have_a_byte_order_mark_and_windows_line_ends(root: Path) -> None:
    table = pl.read_parquet(folder(root) / "qmp.parquet")
    text = b"\xef\xbb\xbf" + table.write_ndjson().replace("\n", "\r\n").encode()
    replace(root, "qmp.jsonl.zst", zstandard.compress(text), was="qmp.parquet")
    with Episode(folder(root)) as episode:
        read = episode.table("qmp")
        assert read is not None
        assert read[0].equals(table)


def test_manifest_and_labels_may_have_a_byte_order_mark_and_windows_line_ends(root: Path) -> None:
    lines = (folder(root) / LABELS).read_bytes()
    replace(root, LABELS, b"\xef\xbb\xbf" + lines.replace(b"\n", b"\r\n"))
    text = (folder(root) / NAME).read_bytes()
    (folder(root) / NAME).write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    assert found(root) == []
    (folder(root) / NAME).write_text(text.decode(), encoding="utf-16")
    finding = check(root, folder(root).relative_to(root).as_posix(), None, DEEP)
    assert finding is not None
    assert "UTF-16LE, by its byte order mark" in finding.faults[0].detail


def test_digests_may_be_written_in_upper_case(root: Path) -> None:
    text = json.loads((folder(root) / NAME).read_text())
    plain = parse(json.dumps(text).encode(), "here")
    text["registry_sha256"] = text["registry_sha256"].upper()
    text["sample"]["sha256"] = text["sample"]["sha256"].upper()
    for one in text["files"]:
        one["sha256"] = one["sha256"].upper()
    (folder(root) / NAME).write_text(json.dumps(text))
    assert found(root) == []
    assert parse(json.dumps(text).encode(), "here") == plain, "equal samples stay one sample"


@pytest.mark.parametrize("outer", ["NFC", "NFD"])
@pytest.mark.parametrize("inner", ["NFC", "NFD"])
def test_a_host_is_the_same_however_its_letters_are_composed(
    root: Path, outer: Literal["NFC", "NFD"], inner: Literal["NFC", "NFD"]
) -> None:
    name = "h\u00f4te-1"
    folder(root).parents[1].rename(root / unicodedata.normalize(outer, name))
    text = json.loads((folder(root) / NAME).read_text())
    text["host"]["id"] = unicodedata.normalize(inner, name)
    (folder(root) / NAME).write_text(json.dumps(text, ensure_ascii=False))
    assert found(root) == []
    with Episode(folder(root)) as episode:
        assert episode.manifest.host.id == name


def test_a_host_of_another_name_is_shown_beside_the_folder_s(root: Path) -> None:
    folder(root).parents[1].rename(root / "h\u00f4te-1")
    finding = check(root, folder(root).relative_to(root).as_posix(), None, DEEP)
    assert finding is not None
    assert str(finding.faults[0]).endswith(f"of host-2, in the folder of {folder(root).name} of h\u00f4te-1")


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "a\u200db", "a\u202eb", "a b", "", "x" * 101])
def test_a_name_that_no_folder_should_have_is_no_host(root: Path, name: str) -> None:
    text = json.loads((folder(root) / NAME).read_text())
    text["host"]["id"] = name
    with pytest.raises(FaultError, match=r"host\.id"):
        parse(json.dumps(text).encode(), "here")


@pytest.mark.parametrize("value", [1.772562286e18, "1772562286000000000", 1772562286.5])
def test_times_that_are_no_whole_nanoseconds_name_their_field(root: Path, value: object) -> None:
    text = json.loads((folder(root) / NAME).read_text())
    text["t_start_ns"] = value
    with pytest.raises(FaultError, match=r"t_start_ns: .* is no whole number of nanoseconds"):
        parse(json.dumps(text).encode(), "here")


def test_connections_of_a_spool_come_in_any_order(root: Path) -> None:
    table = pl.read_parquet(folder(root) / "netflow.parquet")
    turned = table.reverse().with_columns(table[SEQ])
    replace(root, "netflow.parquet", draft.parquet(turned))
    assert found(root) == ["stamps:netflow"]
    replace(root, "netflow.jsonl.zst", draft.spool(turned), was="netflow.parquet")
    manifest = json.loads((folder(root) / NAME).read_text())
    (folder(root) / NAME).write_text(json.dumps(manifest | {"sealed": False}))
    assert found(root) == ["unsealed:episode"]
    with Episode(folder(root)) as episode:
        aligned = episode.aligned("netflow")
        assert aligned is not None
        assert aligned[0][WALL].is_sorted()


def test_row_numbers_are_compared_however_far_apart(root: Path) -> None:
    n = pl.read_parquet(folder(root) / "proc.parquet").height
    ends = {"seq_gap:proc": (-(2**63), 2**63 - 1), "seq:proc": (2**63 - 1, -(2**63) + n)}
    for fault, (first, last) in ends.items():
        number = [first, *range(last - n + 2, last + 1)]

        def renumber(frame: pl.DataFrame, number: list[int] = number) -> pl.DataFrame:
            return frame.with_columns(pl.Series(SEQ, number))

        rewrite(root, "proc", renumber)
        assert found(root) == [fault]


def test_a_bomb_is_refused_before_it_is_unpacked(root: Path) -> None:
    rows = pl.DataFrame({"t_wall_ns": pl.repeat(1, 3_000_000, eager=True, dtype=pl.Int64)})
    data = draft.parquet(rows)
    assert len(data) < 20_000
    replace(root, "guest.parquet", data, rows=rows.height)
    assert found(root) == ["bomb:guest"]


def test_few_rows_with_endless_texts_are_a_bomb(root: Path) -> None:
    rewrite(root, "netflow", lambda one: one.with_columns(uid=pl.lit("C" * 1_000_000)))
    assert found(root) == []
    assert (folder(root) / "netflow.parquet").stat().st_size < 100_000
    with Episode(folder(root)) as episode:
        file = episode.manifest.file("netflow")
        assert file is not None
        wanted = tables.dtypes("netflow", None, episode.manifest)
        raw = tables.Raw("netflow", file, episode.content(file), wanted)
        with pytest.raises(FaultError) as refusal:
            tables.read([raw], episode.manifest, "here", most_bytes=10_000_000)
    assert (refusal.value.fault.code, refusal.value.fault.subject) == ("bomb", "netflow")


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"\n\n",
        b"{}",
        b'{"t_wall_ns": 1.5e18, "label": "x", "phase": "clean"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_labels_that_are_none_are_rejected(root: Path, lines: bytes) -> None:
    replace(root, LABELS, lines, rows=1)
    assert found(root) == ["labels:labels"]


def test_labels_may_begin_with_the_episode_though_rows_do_earlier(root: Path) -> None:
    rewrite(root, "guest", lambda one: one.with_columns(pl.col(WALL) - 400_000_000))
    assert found(root) == []


@given(st.binary(max_size=400))
def test_any_bytes_are_a_manifest_or_a_fault(data: bytes) -> None:
    with pytest.raises(FaultError) as caught:
        parse(data, "here")
    assert caught.value.fault.code in {"json", "manifest"}


@given(data=st.data())
def test_a_manifest_with_anything_in_it_gets_a_verdict(store: Path, data: st.DataObject) -> None:
    """One value anywhere in a good manifest becomes something else."""
    manifest = json.loads((min(store.glob("*/*/*")) / NAME).read_text())
    places = list(_places(manifest))
    holder, key = data.draw(st.sampled_from(places))
    odd = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
        st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
        st.sampled_from([2**63, -1, 10**400, "../x", "/etc/passwd", "proc.parquet\n", "\ud800"]),
    )  # fmt: skip
    holder[key] = data.draw(odd)
    said: list[Fault] = []
    try:
        parse(json.dumps(manifest).encode("utf-8", "surrogatepass"), "here")
    except FaultError as error:
        said.append(error.fault)
    assert verdict(said) in {"accepted", "rejected", "errored"}
    assert all(visible(str(one)) == str(one) for one in said)


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        yield value, key
        yield from _places(one)


def test_any_bytes_as_a_table_are_a_fault(root: Path) -> None:
    good = (folder(root) / "qmp.parquet").read_bytes()
    for data in (b"", b"PAR1", b"PAR1PAR1", good[:-4], good[: len(good) // 2], b"\0" * 1000):
        replace(root, "qmp.parquet", data)
        assert found(root) == ["decode:qmp"]
    for data in (b"", zstandard.compress(b"")):
        replace(root, "qmp.jsonl.zst", data, was="qmp.parquet" if data == b"" else None)
        assert found(root) == ["truncated:qmp", "few_rows:qmp"]
    replace(root, "qmp.jsonl.zst", zstandard.compress(b'{"t_wall_ns": NaN}\n'))
    assert found(root) == ["decode:qmp"]


def test_the_worst_fault_decides() -> None:
    assert verdict([]) == "accepted"
    assert verdict([Fault("missing", "qmp"), Fault("unsealed", "episode")]) == "degraded"
    assert verdict([Fault("missing", "qmp"), Fault("decode", "proc"), Fault("rows", "guest")]) == "errored"


def test_particulars_cannot_steer_a_terminal() -> None:
    assert str(Fault("labels", "labels", "a\x1b[2Jb\n")) == "labels:labels: a\\x1b[2Jb\\x0a"


def test_what_a_process_may_take_is_given_back() -> None:
    import resource
    import signal

    from vestige.sources.telemetry import guard

    before = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGPROF)
    with guard.limits(), pytest.raises(MemoryError):
        bytearray(guard.MEMORY + (1 << 30))
    assert (resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGPROF)) == before
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert os.fstat(2)
    with pytest.raises(FaultError) as refused, guard.limits():
        bytearray(guard.MEMORY + (1 << 30))
    assert refused.value.fault.code == "died"
