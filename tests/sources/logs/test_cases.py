"""Logs made after public bug reports, `../shared/cases/logs`, each with its right value."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sources.logs.rows import Row, rows
from vestige.errors import EvidenceError

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases" / "logs"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"the cases are not there: {CASES}")


def texts(found: list[Row]) -> list[str]:
    return [text for _, text in found]


def times(found: list[Row]) -> list[str]:
    return [moment for moment, _ in found]


def test_a_file_that_changes_its_format_is_read_on_l07() -> None:
    found = rows(CASES / "L07" / "syslog", year="2025")
    assert len(found) == 10
    assert times(found)[6:] == [
        "2025-06-10T07:30:00.262668",
        "2025-06-10T07:30:05.000001",
        "2025-06-10T07:30:09.5",
        "2025-06-10T07:31:00",
    ]
    assert [text.startswith("Failed") for text in texts(found)] == [False] * 6 + [True, True, False, False]


def test_lines_of_journalctl_are_no_part_of_messages_l08() -> None:
    found = texts(rows(CASES / "L08" / "journal.txt", year="2016"))
    assert len(found) == 6
    assert found[2] == found[4] == found[5] == "Shutting down."


def test_parts_of_a_container_s_line_are_joined_l10() -> None:
    hosts: list[str] = []
    found = rows(CASES / "L10" / "0.log", hosts=hosts)
    assert len(found) == 4
    assert texts(found)[1] == '{"a": "very long json field split in two lines", "level": "error"}'
    assert not any(text.startswith(("F ", "P ")) for text in texts(found))
    assert "stdout" not in hosts


def test_a_level_is_no_machine_and_stays_l12() -> None:
    hosts: list[str] = []
    found = texts(rows(CASES / "L12" / "app.log", hosts=hosts))
    assert found[1:] == ["info request finished", "error request finished", "info request finished"]
    assert hosts == ["app"]


def test_a_priority_and_a_time_of_iso_8601_l13() -> None:
    hosts: list[str] = []
    found = rows(CASES / "L13" / "esx.log", hosts=hosts)
    assert len(found) == 4
    assert times(found)[0] == "2026-01-15T09:34:11.26"
    assert hosts == ["esx1.example.org"]


def test_error_logs_of_apache_2_4_l16() -> None:
    found = rows(CASES / "L16" / "error.log", format="apache")
    assert times(found) == [
        "2019-01-02T06:25:31.604168",
        "2019-01-02T06:25:31.604188",
        "2019-01-02T06:26:00.000001",
        "2019-01-02T06:27:00.5",
    ]


def test_a_virtual_host_stands_first_l18() -> None:
    found = rows(CASES / "L18" / "other_vhosts_access.log")
    assert times(found) == [f"2015-03-05T20:33:5{n}" for n in (3, 4, 5)]
    assert texts(found)[0] == texts(found)[2] != texts(found)[1]


def test_german_months_l19() -> None:
    found = rows(CASES / "L19" / "journal_de.txt", year="2023")
    assert [moment[:10] for moment in times(found)] == [
        "2023-10-30",
        "2023-11-30",
        "2023-12-01",
        "2023-12-24",
    ]


def test_dmesg_with_dates_l28() -> None:
    found = rows(CASES / "L28" / "dmesg.txt")
    assert times(found) == [f"2017-07-01T07:33:3{n}" for n in (3, 4, 5)]


def test_escapes_of_terminals_are_no_text_l30() -> None:
    found = rows(CASES / "L30" / "app.log")
    assert times(found) == ["1970-01-01T00:00:00", "1970-01-01T00:00:00.5", "1970-01-01T00:00:01"]
    plain = texts(rows(CASES / "L30" / "plain.log"))
    assert plain[0] == plain[1] == "FATAL beep boop"


def test_names_of_files_that_tail_writes_l35() -> None:
    found = texts(rows(CASES / "L35" / "all.txt", year="2023"))
    assert len(found) == 4
    assert found[1] == found[3] == "session closed"


def test_mixed_containers_are_refused_with_a_line_l36() -> None:
    with pytest.raises(EvidenceError, match=r"(?s)mysql_1, web_1.*error: denied"):
        rows(CASES / "L36" / "compose.txt")
