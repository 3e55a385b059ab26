"""Connections as Zeek and nfdump write them give the channels that a table of ours gives."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from vestige.escaping import visible
from vestige.simulators.telemetry import draft
from vestige.sources.telemetry import flow_texts
from vestige.sources.telemetry.channels import CHANNELS, columns
from vestige.sources.telemetry.episode import Episode
from vestige.sources.telemetry.extract import Extracted, extract
from vestige.sources.telemetry.faults import Fault, FaultError
from vestige.sources.telemetry.fields import SEQ, WALL, schema
from vestige.sources.telemetry.manifest import NAME
from vestige.validation.check import check
from vestige.validation.options import ValidateOptions

COLUMN = {one.name: number for number, one in enumerate(CHANNELS)}
ZEEK = (
    "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "duration",
    "orig_bytes", "resp_bytes", "conn_state", "local_orig", "missed_bytes", "history", "orig_pkts",
    "orig_ip_bytes", "resp_pkts", "tunnel_parents",
)  # fmt: skip
OLD = (
    "ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt,in,out,sas,das,smk,dmk,dtos,dir,nh,nhb,svln,"
    "dvln,ismc,odmc,idmc,osmc"
)
NEW = "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows"
FAST = (
    "cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,srcAS,dstAS,input,output,flags,srcTos,"
    "packets,bytes"
)
NUMBERS = {"tcp": "6", "udp": "17", "icmp": "1"}
UNKNOWN_TO_NFDUMP = ("conn_state_s0", "dns_queries")


@pytest.fixture(name="root")
def _root(store: Path, tmp_path: Path) -> Path:
    """A store of one episode whose connections begin at whole milliseconds, in Unix time."""
    folder = min(store.glob("host-1/*/*"))
    shutil.copytree(folder, tmp_path / folder.relative_to(store))
    ours = next(tmp_path.glob("*/*/*"))
    table = pl.read_parquet(ours / "netflow.parquet")
    table = table.with_columns(pl.col(WALL) // 10**6 * 10**6, pl.col("duration").round(3))
    put(ours, "netflow.parquet", draft.parquet(table), table.height)
    return tmp_path


def episode(root: Path) -> Path:
    return next(root.glob("*/*/*"))


def put(folder: Path, name: str, data: bytes, rows: int) -> None:
    """Give an episode other connections."""
    manifest = json.loads((folder / NAME).read_text())
    files = [file for file in manifest["files"] if file["source"] != "netflow"]
    entry = {**draft.entry(name, data, rows), "source": "netflow"}
    (folder / name).write_bytes(data)
    (folder / NAME).write_text(json.dumps({**manifest, "files": [*files, entry]}))


def flows(root: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(episode(root) / "netflow.parquet").to_dicts()


def by_end(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Connections are written when they end."""
    return sorted(rows, key=lambda row: row[WALL] + (row["duration"] or 0) * 1e9)


def zeek(rows: list[dict[str, Any]], end: str = "\n") -> str:
    """Zeek's log of these connections: TSV."""
    lines = [
        "#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", "#path\tconn",
        "#open\t2026-03-02-08-00-00", "#fields\t" + "\t".join(ZEEK), "#types\ttime\tstring\taddr",
    ]  # fmt: skip
    for row in by_end(rows):
        stamp = f"{row[WALL] // 10**9}.{row[WALL] % 10**9 // 1000:06}"
        cells = {**row, "ts": stamp, "tunnel_parents": "(empty)", "history": "ShAD"}
        lines.append("\t".join("-" if cells.get(name) is None else str(cells[name]) for name in ZEEK))
    return end.join([*lines, "#close\t2026-03-02-09-00-00", ""])


def zeek_json(rows: list[dict[str, Any]], *, ids: str = ".", times: str = "seconds") -> str:
    """The same as JSON, in the ways in which it is met with."""
    lines = []
    for row in by_end(rows):
        record = {key: value for key, value in row.items() if value is not None and key not in {WALL, SEQ}}
        record["ts"] = {
            "seconds": row[WALL] / 1e9,
            "milliseconds": row[WALL] // 10**6,
            "iso": f"{utc(row[WALL])[:10]}T{utc(row[WALL])[11:]}000Z",
        }[times]
        if ids == "_":
            record = {key.replace("id.", "id_"): value for key, value in record.items()}
        elif ids == "{":
            record["id"] = {key[3:]: record.pop(key) for key in [*record] if key.startswith("id.")}
        lines.append(json.dumps({"_path": "conn", **record}))
    return "\n".join([*lines, ""])


def utc(t_ns: int) -> str:
    time = dt.datetime.fromtimestamp(t_ns // 10**9, dt.UTC)
    return f"{time:%Y-%m-%d %H:%M:%S}.{t_ns % 10**9 // 10**6:03}"


def nfdump(rows: list[dict[str, Any]], header: str, end: str = "\n") -> str:
    """nfdump's CSV of these connections, both ways of each in one row where it has columns for that."""
    lines = [header]
    for number, row in enumerate(by_end(rows), 1):
        port, duration = str(row["id.resp_p"]), f"{row['duration'] or 0:.3f}"
        if row["proto"] == "icmp":
            port = f"{row['id.orig_p']}.{row['id.resp_p']}"
            if header == OLD:
                port = str(row["id.orig_p"] * 256 + row["id.resp_p"])
        cells = {
            "ts": utc(row[WALL]), "te": utc(row[WALL]), "td": duration, "sa": row["id.orig_h"],
            "da": row["id.resp_h"], "sp": row["id.orig_p"], "dp": port, "pr": row["proto"].upper(),
            "ipkt": row["orig_pkts"], "ibyt": row["orig_bytes"], "opkt": row["resp_pkts"],
            "obyt": row["resp_bytes"], "firstSeen": utc(row[WALL]), "duration": duration,
            "proto": NUMBERS[row["proto"]], "srcAddr": row["id.orig_h"], "srcPort": row["id.orig_p"],
            "dstAddr": row["id.resp_h"], "dstPort": port, "packets": row["orig_pkts"],
            "bytes": row["orig_bytes"], "flows": 1, "cnt": number,
        }  # fmt: skip
        if header == FAST:
            cells["firstSeen"] = row[WALL] // 10**6
        lines.append(",".join(str(cells.get(name, 0)) for name in header.split(",")))
    summary = ["Summary", "flows,bytes,packets,avg_bps,avg_pps,avg_bpp", "2,65200,18,0,0,0", ""]
    return end.join([*lines, *summary])


def read(root: Path, name: str, text: str | bytes, rows: int) -> Extracted:
    put(episode(root), name, text if isinstance(text, bytes) else text.encode(), rows)
    return extract(root, episode(root).relative_to(root).as_posix())


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("conn.log", zeek),
        ("netflow.log", lambda rows: zeek(rows, "\r\n")),
        ("conn.log.gz", lambda rows: gzip.compress(zeek(rows).encode())),
        ("conn.log.zst", lambda rows: zstandard.compress(zeek(rows).encode())),
        ("conn.log", lambda rows: b"\xef\xbb\xbf" + zeek(rows[:9]).encode() + zeek(rows[9:]).encode()),
        ("conn.log", zeek_json),
        ("netflow.json", lambda rows: zeek_json(rows, ids="_", times="iso")),
        ("netflow.json", lambda rows: zeek_json(rows, ids="{", times="milliseconds")),
    ],
)
def test_a_log_of_zeek_gives_the_numbers_of_the_table(root: Path, name: str, write: Any) -> None:
    rows = flows(root)
    sealed = extract(root, episode(root).relative_to(root).as_posix())
    found = read(root, name, write(rows), len(rows))
    assert found.faults == ()
    assert np.array_equal(found.grid, sealed.grid, equal_nan=True)
    finding = check(root, episode(root).relative_to(root).as_posix(), None, ValidateOptions(deep=True))
    assert finding is not None
    assert finding.faults == []
    with Episode(episode(root)) as opened:
        aligned = opened.aligned("netflow")
        assert aligned is not None
        assert aligned[0].schema == pl.Schema(
            dict[str, Any]({WALL: pl.Int64, SEQ: pl.Int64}) | schema("netflow")
        )


@pytest.mark.parametrize("header", [OLD, NEW, FAST])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_of_nfdump_gives_what_it_knows_and_nothing_is_zero_that_it_does_not(
    root: Path, header: str, end: str
) -> None:
    rows = flows(root)
    sealed = extract(root, episode(root).relative_to(root).as_posix())
    found = read(root, "netflow.csv", nfdump(rows, header, end), len(rows))
    missing = {*UNKNOWN_TO_NFDUMP, *(() if header == OLD else ("resp_bytes", "resp_pkts"))}
    for channel in CHANNELS[columns("netflow")]:
        ours, theirs = found.grid[:, COLUMN[channel.name]], sealed.grid[:, COLUMN[channel.name]]
        if channel.column in missing:
            assert np.isnan(ours).all(), channel.name
        else:
            assert np.array_equal(ours, theirs, equal_nan=True), channel.name
    (fault,) = found.faults
    assert (fault.code, found.verdict) == ("missing_fields", "degraded")
    assert fault.detail.startswith("nfdump's CSV does not say ")
    assert "service, conn_state" in fault.detail


def test_local_times_of_nfdump_are_never_guessed_but_said(root: Path) -> None:
    hour = 3600 * 10**9
    rows = [{**row, WALL: row[WALL] + 2 * hour} for row in flows(root)]
    found = read(root, "netflow.csv", nfdump(rows, NEW), len(rows))
    fault = found.faults[-1]
    assert fault.code == "clock_base"
    assert "as local times of UTC+02:00 they would lie in it" in fault.detail
    assert np.isnan(found.grid[:, columns("netflow")]).all()


def test_flows_of_one_way_do_not_say_that_nothing_came_back(root: Path) -> None:
    rows = [{**row, "resp_pkts": 0, "resp_bytes": 0} for row in flows(root)]
    found = read(root, "netflow.csv", nfdump(rows, OLD), len(rows))
    assert np.isnan(found.grid[:, COLUMN["netflow.resp_bytes"]]).all()
    assert "resp_bytes, resp_pkts" in found.faults[0].detail


@pytest.mark.parametrize("said", ["No matched flows", "No matching flows", "Summary\nflows,bytes\n0,0"])
def test_a_csv_without_flows_has_none(said: str) -> None:
    assert len(flow_texts.read(f"{OLD}\n{said}\n", "here").cells) == 0


def test_icmp_of_nfdump_has_its_type_where_zeek_has_it() -> None:
    rows = ["2026-03-03 10:00:00,ICMP,a,0,b,769", "2026-03-03 10:00:00,58,fe80::1,0,fe80::2,1.4"]
    for row, kind, code, proto in zip(rows, (3, 1), (1, 4), ("icmp", "icmp6"), strict=True):
        text = f"firstSeen,proto,srcAddr,srcPort,dstAddr,dstPort\n{row}\n"
        (found,) = flow_texts.typed(flow_texts.read(text, "here"), "here").to_dicts()
        assert (found["id.orig_p"], found["id.resp_p"], found["proto"]) == (kind, code, proto)


def test_a_log_of_other_columns_gives_what_it_has(root: Path) -> None:
    rows = flows(root)
    text = zeek(rows).replace("\tservice\t", "\tapplication\t")
    found = read(root, "conn.log", text, len(rows))
    assert [str(one) for one in found.faults] == [
        "missing_fields:netflow: Zeek's conn.log does not say service: what is made of them is missing"
    ]
    assert np.isnan(found.grid[:, COLUMN["netflow.dns_queries"]]).all()


def test_a_log_that_names_other_fields_in_the_middle_is_read_by_each() -> None:
    first = "#separator \\x09\n#unset_field\t-\n#fields\tts\tuid\tproto\n1772438400.5\tC1\ttcp\n"
    second = "#fields\tproto\tts\tservice\nudp\t1772438401\tdns\n"
    found = flow_texts.typed(flow_texts.read(first + second, "here"), "here")
    assert found[WALL].to_list() == [1772438400_500_000_000, 1772438401_000_000_000]
    assert found["proto"].to_list() == ["tcp", "udp"]
    assert found["uid"].to_list() == ["C1", None]
    assert found["service"].to_list() == [None, "dns"]


def test_a_text_that_is_cut_off_is_truncated(root: Path) -> None:
    rows = flows(root)
    cut: dict[str, str | bytes] = {
        "conn.log": zeek(rows).rpartition("#close")[0][:-30],
        "netflow.json": zeek_json(rows)[:-30],
        "netflow.csv": nfdump(rows, NEW).partition("Summary")[0][:-30],
        "conn.log.gz": gzip.compress(zeek(rows).encode())[:-60],
    }
    for name, text in cut.items():
        found = read(root, name, text, len(rows))
        assert "truncated" in {fault.code for fault in found.faults}, name
    with pytest.raises(FaultError, match="rows, not"):
        read(root, "conn.log", zeek(rows), len(rows) - 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "neither Zeek's conn.log nor nfdump's CSV"),
        ("time,bytes\n1,2\n", "neither Zeek's conn.log nor nfdump's CSV: it begins with 'time,bytes"),
        ("#fields\tuid\nC1\n", "no column says when a connection began"),
        ("#fields\tts\tuid\n1772438400\n", "row 2 has not 2 fields"),
        ("#fields\tts\torig_bytes\n1772438400\t1.5\n", "row 2: orig_bytes is '1.5', and no Int64"),
        ("#fields\tts\torig_bytes\n1772438400\t18446744073709551615\n", "row 2: orig_bytes is '18446744073"),
        ("#fields\tts\torig_bytes\nnoon\t1\n", "row 2: ts is 'noon', and no time"),
        ("#fields\tts\tts\n1\t1\n", "or two of one name"),
        ("firstSeen,srcAddr\n0000-00-00 00:00:00.000,a\n", "row 2: ts is '0000-00-00 00:00:00.000', and no"),
        ("ts,firstSeen,srcAddr\n1,1,a\n", "two columns for one thing"),
        ('{"ts": 1772438400, "uid": "C1"\n', "row 1"),
        ('{"ts": 1772438400, "uid": "C1"}\n{"ts"\n', "row 2"),
    ],
)
def test_what_is_no_log_of_connections_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(FaultError) as caught:
        flow_texts.typed(flow_texts.read(text, "here"), "here")
    assert said in caught.value.what
    assert caught.value.fault.code in {"columns", "decode"}


def test_only_a_clock_of_unix_time_stamps_a_text(root: Path) -> None:
    rows = flows(root)
    put(episode(root), "conn.log", zeek(rows).encode(), len(rows))
    manifest = json.loads((episode(root) / NAME).read_text())
    manifest["clock"]["sources"]["netflow"] = "monotonic"
    (episode(root) / NAME).write_text(json.dumps(manifest))
    with pytest.raises(FaultError, match=r"conn\.log is stamped in Unix time"):
        extract(root, episode(root).relative_to(root).as_posix())


PIECES = st.sampled_from(
    [
        "#separator \\x09\n", "#fields\tts\tuid\torig_bytes\n", "#fields\tts\n", "#unset_field\t-\n", "\t",
        "1772438400.25", "\n", "-", "(empty)", "C1", "{", '{"ts": 1772438400, "uid": "C1"}\n', '"id": {}',
        "ts,sa,dp,pr\n", "firstSeen,srcAddr,dstPort,proto\n", "2026-03-03 10:00:00", ",", "3.1", "ICMP",
        "Summary\n", "\r\n", "9" * 30, "\0", "é", "1e400", "NaN", "+99:99",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=25).map("".join)))
def test_any_text_is_connections_or_a_fault(text: str) -> None:
    try:
        found = flow_texts.typed(flow_texts.read(text, "here"), "here")
    except FaultError as error:
        said: Fault | None = error.fault
        found = pl.DataFrame(schema={WALL: pl.Int64, SEQ: pl.Int64})
    else:
        said = None
    assert said is None or said.code in {"columns", "decode", "bomb"}
    assert visible(str(said)) == str(said)
    assert found[WALL].null_count() == 0
    assert found[WALL].is_sorted()
    assert found[SEQ].to_list() == list(range(len(found)))
