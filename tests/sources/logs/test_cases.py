"""Logs made after public bug reports, `../shared/cases/logs`, each with its right value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def test_a_29_february_makes_a_leap_year_l01() -> None:
    summary: dict[str, Any] = {}
    found = times(rows(CASES / "L01" / "auth.log", summary=summary))
    assert len(found) == 4
    assert [moment[4:10] for moment in found] == ["-02-28", "-02-29", "-02-29", "-03-01"]
    assert found == sorted(found)
    assert "29 February" in summary["warnings"][0]


def test_two_years_in_a_file_l02() -> None:
    found = [moment[:10] for moment in times(rows(CASES / "L02" / "messages", year="2021-12-12"))]
    assert len(found) == 12
    assert (found[0], found[1], found[5]) == ("2020-01-01", "2020-02-29", "2020-12-12")
    assert (found[6], found[-1]) == ("2021-01-01", "2021-12-12")


def test_lines_out_of_order_make_no_year_l04() -> None:
    found = times(rows(CASES / "L04" / "syslog", year="2015"))
    assert [moment[:4] for moment in found] == ["2015"] * 5


def test_a_reboot_is_no_new_year_l05() -> None:
    found = times(rows(CASES / "L05" / "messages", year="2021"))
    assert [moment[:16] for moment in found if "-08-" in moment] == [
        "2021-08-10T09:00", "2021-08-10T10:05", "2021-08-10T10:06", "2021-08-11T07:00", "2021-08-11T07:01",
    ]  # fmt: skip
    assert {moment[:4] for moment in found} == {"2021"}


def test_milliseconds_without_zeros_l21() -> None:
    found = times(rows(CASES / "L21" / "HealthApp.log", format="healthapp"))
    assert found == [
        "2017-12-23T22:15:29.606", "2017-12-23T22:15:35.009", "2017-12-23T22:15:35.011",
        "2017-12-23T22:15:35.096", "2017-12-23T22:15:35.1", "2017-12-24T00:07:20.444",
    ]  # fmt: skip


def test_bytes_that_are_no_utf_8_l22() -> None:
    summary: dict[str, Any] = {}
    found = texts(rows(CASES / "L22" / "tb.log", format="thunderbird", summary=summary))
    assert len(found) == 4
    assert "\ufffd\ufffd" in found[1]
    assert summary["counts"]["undecodable_lines"] == 1


def test_lines_without_text_are_messages_l23() -> None:
    found = texts(rows(CASES / "L23" / "BGL.log", format="bgl"))
    assert len(found) == 5
    assert found[1] == found[2] == "<empty>"


def test_a_window_too_large_is_no_damage_l25() -> None:
    with pytest.raises(EvidenceError, match=r"sound .*window of 2,048 MiB.*zstd -d --long=31"):
        rows(CASES / "L25" / "auth.log.zst", year="2015")
    assert len(rows(CASES / "L25" / "control27.log.zst", year="2015")) == 2


def test_members_of_gzip_and_noise_behind_them_l26() -> None:
    summary: dict[str, Any] = {}
    assert len(rows(CASES / "L26" / "auth.log.gz", year="2015")) == 3
    assert len(rows(CASES / "L26" / "noise.log.gz", year="2015", summary=summary)) == 2
    assert ["after the end" in defect.why for defect in summary["defects"]] == [True]


def test_an_archive_is_refused_l27() -> None:
    with pytest.raises(EvidenceError, match=r"(?s)tar archive.*tar -xf"):
        rows(CASES / "L27" / "Aug-2015.tar.gz", year="2015")


def test_links_are_not_followed_l33(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="links are not followed"):
        rows(CASES / "L33" / "containers" / "pod_a.log", year="2015")
    links = tmp_path / "containers"
    links.mkdir()
    (links / "pod_a.log").symlink_to(CASES / "L33" / "pods" / "0.log")
    with pytest.raises(EvidenceError, match="nothing but links"):
        rows(links, year="2015")
