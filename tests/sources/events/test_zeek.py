"""Zeek's tab-separated logs: what their comments say, logs one after the other, and rows that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.events.exports import START, dataset, texts, write
from vestige.errors import EvidenceError
from vestige.sources.events.layout import Layout
from vestige.sources.events.mapping import load
from vestige.sources.events.parse import Parser, Rules
from vestige.sources.events.records import Block
from vestige.testing import check_source


def log(path: str, fields: str, rows: list[str], *, separator: str = "\t", unset: str = "-") -> str:
    """A log as Zeek's ASCII writer has it; rows with blanks between their cells."""
    written = "".join(f"\\x{ord(letter):02x}" for letter in separator)
    lines = [
        f"#separator {written}", f"#set_separator{separator},", f"#empty_field{separator}(empty)",
        f"#unset_field{separator}{unset}", f"#path{separator}{path}", f"#open{separator}2026-03-02-08-00-00",
        f"#fields{separator}{fields.replace(' ', separator)}",
        f"#types{separator}{separator.join(['string'] * len(fields.split()))}",
        *(row.replace(" ", separator) for row in rows), f"#close{separator}2026-03-02-09-00-00",
    ]  # fmt: skip
    return "".join(f"{line}\n" for line in lines)


CONN = "ts uid id.orig_h id.orig_p proto service conn_state"
ROWS = [
    f"{START}.000000 C1 10.0.0.1 5000 tcp ssl SF",
    f"{START + 1}.500000 C2 10.0.0.2 5001 udp - S0",
    f"{START + 2}.250000 C3 10.0.0.1 5002 tcp (empty) REJ",
]
EVENTS = {"10.0.0.1": ["conn/tcp/ssl/SF", "conn/tcp/REJ"], "10.0.0.2": ["conn/udp/S0"]}


def of_machines(path: Path, out: Path, **options: Any) -> dict[str, list[str]]:
    windows = dataset(path, out, **options)
    names: dict[str, list[str]] = {}
    for machine, window in zip(windows.recording.tolist(), texts(windows), strict=True):
        names.setdefault(windows.recordings["id"][machine], []).append(window[-1])
    return names


@pytest.mark.parametrize("mapping", ["auto", "zeek"])
@pytest.mark.parametrize(("separator", "unset"), [("\t", "-"), ("|", "?"), (",", "-")])
def test_comments_say_how_rows_lie(tmp_path: Path, mapping: str, separator: str, unset: str) -> None:
    rows = [row.replace(" - ", f" {unset} ") for row in ROWS]
    path = write(tmp_path / "conn.log", log("conn", CONN, rows, separator=separator, unset=unset))
    assert of_machines(path, tmp_path / "d", mapping=mapping) == EVENTS


def test_logs_one_after_the_other_are_each_read_by_their_own_columns(tmp_path: Path) -> None:
    dns = log(
        "dns",
        "ts id.orig_h query qtype_name rcode_name proto uid",
        [f'{START + 9} 10.0.0.2 "a A NOERROR udp C4'],
    )
    path = write(tmp_path / "all.log", log("conn", CONN, ROWS) + dns)
    assert of_machines(path, tmp_path / "d") == EVENTS | {"10.0.0.2": ["conn/udp/S0", "dns/udp/A/NOERROR"]}


def test_rows_that_do_not_fit_are_named(tmp_path: Path) -> None:
    text = log("conn", CONN, [*ROWS, f"{START + 3} C9 10.0.0.1"])
    notes = dataset(write(tmp_path / "conn.log", text), tmp_path / "d").notes
    (defect,) = notes["left_out"]
    assert (defect["row"], defect["why"]) == (12, "3 cells, the header (#fields) has 7")


def test_a_condition_asks_for_columns_and_the_log(tmp_path: Path) -> None:
    path = write(tmp_path / "conn.log", log("conn", CONN, ROWS))
    found = of_machines(
        path, tmp_path / "d", where="_path == 'conn' and proto == 'tcp' and not exists service"
    )
    assert found == {"10.0.0.1": ["conn/tcp/REJ"]}


def test_the_columns_that_are_lacking_are_named(tmp_path: Path) -> None:
    text = log("loaded_scripts", "name", ["a.zeek", "b.zeek"])
    with pytest.raises(EvidenceError, match=r"(?s)no time.*name"):
        dataset(write(tmp_path / "a.log", text), tmp_path / "d", mapping="zeek")


def test_a_log_keeps_the_contract_of_a_source(tmp_path: Path) -> None:
    rows = [f"{START + at} C{at} 10.0.0.1 5000 tcp {'ssl' if at % 3 else '-'} S{at % 4}" for at in range(150)]
    more = [f"{START + 200 + at} 10.0.0.1 A{at % 3} udp" for at in range(150)]
    text = log("conn", CONN, rows) + log("dns", "ts id.orig_h qtype_name proto", more)
    write(tmp_path / "c" / "a.log", text)
    write(tmp_path / "c" / "b.log", text.replace("10.0.0.1", "10.0.0.2"))
    check_source("events", tmp_path / "c", tmp_path / "work")


LINES = st.lists(
    st.sampled_from(
        ["#fields\tts\tid.orig_h\tnote", "#separator \\x09", "#separator \\x2c", "#separator ", "#path\tx",
         "#fields", "#unset_field\t", "#", "1\ta\tb", "1,a,b", "1772438400\t-\tb", "#fields,ts", "\t\t",
         "\ufeff#path\ty"]
    )
    | st.text(st.sampled_from("#\t\\x09tsfields-,a1 "), max_size=12)
    | st.text(max_size=8).filter(lambda text: "\n" not in text),
    min_size=1, max_size=12,
)  # fmt: skip


@given(LINES)
def test_any_lines_are_read(lines: list[str]) -> None:
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")
    mapping = load("zeek")
    events = Parser(Rules(mapping)).parse(Layout("zeek", mapping=mapping.name), Block(data, 0, 1))
    assert len(events) + events.bad <= data.count(b"\n")
    assert all(events.texts)
