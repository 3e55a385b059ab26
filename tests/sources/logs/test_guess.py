"""Formats that nobody named: what is made of the lines of many programs, frozen to text.

`guessed.txt` holds, for each program, some lines as it writes them, and behind `=` the header that is
guessed, and of every message its time and what models see. Rewrite it with `python -m
tests.sources.logs.test_guess`, and read what changed.
"""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vestige.sources.logs.blocks import Block
from vestige.sources.logs.clock import BAD
from vestige.sources.logs.guess import begins_with_time, guess, guess_line
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.parse import Parser, Rules

FROZEN = Path(__file__).with_name("guessed.txt")


def programs() -> dict[str, tuple[list[str], list[str]]]:
    """Of each program, its lines, and what is frozen of them."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for part in FROZEN.read_text(encoding="utf-8").split("## ")[1:]:
        name, *lines = part.rstrip("\n").split("\n")
        at = next((row for row, line in enumerate(lines) if line.startswith("= ")), len(lines))
        found[name] = lines[:at], lines[at:]
    return found


def render(lines: list[str]) -> list[str]:
    """The guessed header, and of each message its time and its text before anything is masked."""
    found = guess(lines)
    if found is None:
        return ["= nothing"]
    raw = found.format.model_copy(update={"masks": []})
    data = "\n".join(lines).encode() + b"\n"
    messages = Parser(Rules(raw, LabelRule("none"))).parse(Block(data, 0, 1, final=True))
    out = [f"= {found.format.header}"]
    for moment, row in zip(messages.t_ns.tolist(), messages.text, strict=True):
        shown = "-" if moment == BAD else str(np.datetime64(moment, "ns"))
        out.append(f"{shown.rstrip('0').rstrip('.')} {messages.texts[row]!r}")
    return out


@pytest.mark.parametrize("name", programs())
def test_a_header_is_guessed_from_its_parts(name: str) -> None:
    lines, frozen = programs()[name]
    assert render(lines) == frozen


def test_a_guessed_format_reads_every_line_of_the_programs() -> None:
    for name, (lines, frozen) in programs().items():
        assert len(frozen) == 1 + len(lines), name


PROSE = [
    "once upon a time",
    "there was 1 king",
    "and his 3 daughters: a, b and c",
    "who lived (happily) - ever after",
]


@pytest.mark.parametrize(
    ("usual", "rare"),
    [
        ("http {time}Z app/lb 10.0.0.1 200", "https {time}Z app/lb 10.0.0.1 403"),
        ("Information,{time},Kernel,16", "Error,{time},Kernel,41"),
        ('"Information","{time}","Kernel","16"', '"Critical Error","{time}","Kernel","41"'),
        ("I, [{time}.000123 #77] starting", "F, [{time}.000123 #77] no database"),
        ("web_1 {time} INFO ready", "db_1 {time} ERROR gone"),
        ("79a59df900b9 logs [{time}] GET", "0f3e9c21aa01 backup [{time}] DELETE"),
    ],
)
def test_a_word_before_the_time_may_change_after_the_first_lines(usual: str, rare: str) -> None:
    """What all lines that the guess saw have in common is no promise: a line is not glued to the last one."""
    first = [usual.format(time=f"2025-11-12 08:01:{second:02d}") for second in range(40)]
    later = rare.format(time="2025-11-12 08:02:00")
    found = guess(first)
    assert found is not None
    match = found.format.compiled().match(later)
    assert match is not None
    shown = [match[name] for name in found.format.shown if match[name]]
    assert rare.replace('"', "").replace(",", " ").split()[0] in " ".join(shown).replace(",", " ")


def test_the_key_of_a_time_is_no_word_that_may_change() -> None:
    found = guess([f"ts=2025-11-12T08:01:{second:02d}Z level=info ready" for second in range(40)])
    assert found is not None
    assert found.format.header.startswith("ts=<Time>")
    assert found.format.compiled().match("begun=2025-11-12T08:01:00Z level=info ready") is None


def test_prose_has_no_format() -> None:
    assert guess(PROSE) is None
    assert guess([*PROSE, "2024-05-06 07:08:09 x"]) is not None
    assert guess([*PROSE, "2024-05-06 07:08:09 x"]).share == 1 / 5  # type: ignore[union-attr]


def test_day_and_month_are_told_apart_by_the_days_there_are() -> None:
    days = guess(["13/05/2024 07:08:09 x", "14/05/2024 07:08:09 x"])
    months = guess(["05/13/2024 07:08:09 x", "05/14/2024 07:08:09 x"])
    steady = guess(["05/06/2024 07:08:09 x", "05/07/2024 07:08:09 x", "05/08/2024 07:08:09 x"])
    assert days is not None
    assert months is not None
    assert steady is not None
    assert days.format.time["Time"] == "%d/%m/%Y %H:%M:%S"
    assert months.format.time["Time"] == "%m/%d/%Y %H:%M:%S"
    assert steady.format.time["Time"] == "%m/%d/%Y %H:%M:%S"
    assert not steady.doubts


def test_dates_that_could_be_either_are_doubted() -> None:
    found = guess(["05/06/2024 07:08:09 x", "05/06/2024 07:09:09 y"])
    assert found is not None
    assert "would fit %d/%m" in found.doubts[0]


def test_of_dates_with_short_years_the_latest_is_likelier_and_that_is_told() -> None:
    found = guess(["05/06/24 07:08:09 x", "05/06/24 07:09:09 y"])
    assert found is not None
    assert found.format.time["Time"] == "%m/%d/%y %H:%M:%S"
    assert "would fit %d/%m/%y and %y/%m/%d" in found.doubts[0]


@pytest.mark.parametrize(
    ("day", "layout"),
    [
        ("24/05/30", "%y/%m/%d"),
        ("24/05/28", "%y/%m/%d"),
        ("26/11/29", "%y/%m/%d"),
        ("25/12/26", "%y/%m/%d"),
        ("05/06/24", "%m/%d/%y"),
    ],
)
def test_dates_with_short_years_are_of_no_day_to_come_and_the_doubt_is_told(day: str, layout: str) -> None:
    found = guess([f"{day} 10:00:{n:02} main[1] got thing" for n in range(9)], until=date(2026, 12, 1))
    assert found is not None
    assert found.format.time["Time"] == f"{layout} %H:%M:%S"
    assert f"read as {layout}, would fit" in found.doubts[0]


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u202f", ""])
def test_halves_of_the_day_are_read_whatever_blank_is_in_them(blank: str) -> None:
    lines = [f"{day}/05/2024 07:08:09 {half}.{blank}m. x" for day, half in (("06", "p"), ("23", "a"))]
    assert [line[:19] for line in render(lines)[1:]] == ["2024-05-06T19:08:09", "2024-05-23T07:08:09"]


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("07:08:09 μ.μ.", "11:08:09 π.μ.", "μ.μ. and π.μ."),
        ("07:08:09 오후", "11:08:09 오전", "오전 and 오후"),
        ("07:08:09 CH", "11:08:09 SA", "CH and SA"),
        ("07:08:09 CH", "21:08:09 SA", None),
        ("07:08:09 CH", "11:08:09 x", None),
        ("07:08:09 du", "11:08:09 de", None),
    ],
)
def test_halves_of_the_day_that_are_not_read_are_told(first: str, second: str, told: str | None) -> None:
    found = guess([f"23/05/2024 {clock} got thing" for clock in (first, second)])
    assert found is not None
    assert [doubt.partition(" behind")[0] for doubt in found.doubts] == [told] * (told is not None)


def test_offsets_in_minutes_are_told() -> None:
    found = guess(["2024-05-06-07.08.09.123456+120 I1 LEVEL: Error", "2024-05-06-07.08.10.5+120 I2 LEVEL: x"])
    assert found is not None
    assert "in minutes (+120) are not read" in found.doubts[0]


@pytest.mark.parametrize(
    ("zone", "told"),
    [('tz="+0200"', True), ("timezone=CEST", True), ('tz="+0000"', False), ('timezone="UTC"', False)],
)
def test_a_zone_beside_the_time_is_told_unless_it_is_utc(zone: str, told: bool) -> None:
    found = guess([f"date=2024-05-06 time=07:08:{second} devname=a {zone} act=b" for second in ("09", "10")])
    assert found is not None
    assert [doubt[:18] for doubt in found.doubts] == ["zones under a key "] * told


@pytest.mark.parametrize(
    "lines",
    [
        [
            *["2024-05-06 07:08:09 INFO GET / 200"] * 29,
            "2024-05-06 07:08:09 INFO GET /f timezone=Asia/Tokyo 200",
        ],
        ["2024-05-06 07:08:09 INFO GET /f?city=5&tz=Asia/Tokyo 200"] * 2,
        ["2024-05-06 07:08:09 INFO GET /f?tz=Asia/Tokyo 200"] * 2,
        ["2024-05-06T07:08:09+02:00 INFO user 3 set timezone=Asia/Tokyo"] * 2,
        ["1714979289 INFO user 3 set timezone=Asia/Tokyo"] * 2,
    ],
)
def test_a_zone_of_which_a_message_speaks_is_none_of_its_time(lines: list[str]) -> None:
    found = guess(lines)
    assert found is not None
    assert found.doubts == ()


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ("2024-05-06 07:08:{} CST INFO a", "CST is what several zones are called, and is read as -6 hours"),
        ("Mon May  6 07:08:{} CST 2024 a", "CST is what several zones are called, and is read as -6 hours"),
        ("2024-05-06 07:08:{} IST INFO a", "IST behind the times is not read as a zone"),
        ("2024-05-06 07:08:{} IST: a", ""),
        ("2024-05-06 07:08:{} IST-Wert", ""),
        ("2024-05-06 07:08:{} UTC+8 INFO a", "offsets in hours of one digit (UTC+8) are not read"),
        ("2024-05-06 07:08:{}+8 INFO a", "offsets in hours of one digit (UTC+8) are not read"),
        ("2024-05-06 07:08:{} CEST INFO a", ""),
        ("2024-05-06 07:08:{} +3 orders", ""),
    ],
)
def test_zones_that_are_not_sure_are_told(times: str, told: str) -> None:
    found = guess([times.format(second) for second in ("09", "10")])
    assert found is not None
    assert [doubt[: len(told)] for doubt in found.doubts] == [told] * bool(told)


@pytest.mark.parametrize(
    ("line", "others"),
    [
        ("PKT received from gw", 29), ("ICT PASS board", 2), ("IST-Wert Kessel", 2), ("IST: Kessel", 0),
        ("SGT begun", 0),
    ],
)  # fmt: skip
def test_the_first_word_of_a_message_is_no_zone(line: str, others: int) -> None:
    day = "2024-05-06 07:08:"
    rows = [f"{day}{second} SOLL-Wert at {second}" for second in range(10, 10 + others)]
    header, *messages = render([*rows, f"{day}58 {line}", f"{day}59 {line}"])
    assert "Zone" not in header
    assert messages[-2:] == [f"2024-05-06T07:08:{second} {line!r}" for second in (58, 59)]


@pytest.mark.parametrize(
    "numbers",
    [
        [1000, 1001, 1002], [1000, 1015, 1000, 1030], [1000, 4711, 1000, 1000],
        [1000, 1000, 1130, 1200, 1145], [1201, 1201], [999, 1000], [20000, 1000],
    ],
)  # fmt: skip
def test_a_process_id_behind_a_zone_is_no_offset(numbers: list[int]) -> None:
    rows = list(enumerate(numbers, 11))
    header, *messages = render([f"2024-05-06 07:08:{second} UTC-{number} LOG:  x" for second, number in rows])
    assert header == "= <Time>{ <Zone>}{ }<Content>"
    assert messages == [f"2024-05-06T07:08:{second} '-{number} LOG:  x'" for second, number in rows]


@pytest.mark.parametrize(
    ("offset", "hour"),
    [
        ("UTC+02:00", 5), ("GMT+0200", 5), ("UTC-0300", 10), ("UTC+02", 5), ("GMT+1400", -7), ("UTC-12", 19),
        ("UTC+1415", None), ("UTC-12:30", None), ("GMT+0210", None), ("UTC-9", None),
    ],
)  # fmt: skip
def test_an_offset_behind_a_zone_is_one_that_a_zone_has(offset: str, hour: int | None) -> None:
    found = render([f"2024-05-06 07:08:{second} {offset} begun" for second in (18, 19)])
    first = np.datetime64("2024-05-06T07:08:18") if hour is None else (
        np.datetime64("2024-05-06T00:08:18") + np.timedelta64(hour, "h")
    )  # fmt: skip
    text = "begun" if hour is not None else f"{offset[3:]} begun"
    assert found[1] == f"{first} {text!r}"


@pytest.mark.parametrize("part", ["k8s/audit", "app/config", "db/log", "mail/notice"])
def test_a_part_of_a_program_behind_a_slash_is_no_level(part: str) -> None:
    found = render([f"2024-05-06 07:08:{second} [{part}] begun" for second in (18, 19)])
    assert found[1:] == [f"2024-05-06T07:08:{second} 'begun'" for second in (18, 19)]


def test_a_word_of_a_message_is_no_level_of_a_console() -> None:
    day = "2024-05-06 07:08:1"
    rows = [f"{day}{at} {text}" for at, text in enumerate(("Fail to open x", "open y", "Shut y"))]
    assert render(rows)[0] == "= <Time> <Content>"
    rows = [f"{day}8 fail: Example.Server[13] a", f"{day}9 dbug: Example.Routing[1] b"]
    assert "<Level>" in render(rows)[0]


def test_entries_of_a_verbose_journal_are_told() -> None:
    cursor = "[s=4b;i=1;b=8c;m=1;t=2;x=3]"
    found = guess([f"Mon 2024-05-06 07:08:{second} UTC {cursor}" for second in ("09.5", "10.5")])
    assert found is not None
    assert "-o export" in found.doubts[0]


def test_the_level_is_a_field_of_its_own_where_it_is_the_label() -> None:
    lines = ["2024-05-06 07:08:09 ERROR disk full", "2024-05-06 07:08:10 INFO disk emptied"]
    found = guess(lines, shows_level=False)
    assert found is not None
    parser = Parser(Rules(found.format, LabelRule("level", ("ERROR",))))
    messages = parser.parse(Block("\n".join(lines).encode() + b"\n", 0, 1, final=True))
    assert messages.label.tolist() == [1, 0]
    assert messages.texts == ["disk full", "disk emptied"]


@pytest.mark.parametrize(
    ("line", "begins"),
    [
        ("2024-05-06T07:08:09Z x", True),
        ("[Mon May  6 07:08:09 2024] x", True),
        ("<13>May  6 07:08:09 box x", True),
        ("000123: *May  6 07:08:09.123 UTC: %SYS-5-CONFIG_I: x", True),
        ("ERROR: 2024-05-06 07:08:09 x", True),
        ("[WARN] [2024-05-06 07:08:09] x", True),
        ("7 2024-05-06 07:08:09 a row of a table", False),
        ("Caused by: java.io.IOException: 12", False),
        ("at 2024-05-06 07:08:09 it rained", False),
        ("1700000000 rows", False),
        ("12:00:00 noon", False),
        ("May 6 was warm", False),
        ("10.0.0.1 - -", False),
    ],
)
def test_what_begins_with_a_time(line: str, begins: bool) -> None:
    assert begins_with_time(line) is begins
    assert (guess_line(line) is not None) is begins


PIECES = st.sampled_from(
    [
        *(
            "2024-05-06",
            "T",
            " ",
            "07:08:09",
            ",123",
            ".5",
            "Z",
            "+02:00",
            "UTC",
            "PM",
            "05/06/24",
            "1700000000",
        ),
        *(
            "[",
            "]",
            "(",
            ")",
            "<",
            ">",
            "{",
            "}",
            '"',
            ":",
            " - ",
            "|",
            "\t",
            "=",
            "\\",
            "*",
            "%",
            "/",
            "\x1b[0m",
        ),
        *(
            "INFO",
            "E",
            "main",
            "a.b.C",
            "May",
            "6",
            "Mär",
            "box",
            "sshd[1]:",
            "pid",
            "level=",
            "é",
            "#1",
            "0x1f",
        ),
        *("stdout", "F"),
    ]
)
LINES = st.lists(st.lists(PIECES, max_size=24).map("".join) | st.text(max_size=80), min_size=1, max_size=6)


@given(LINES)
@example(["1700000000.123456|box sshd[1]: closed", "1700000001.123456 box cron[2]: begun"])
def test_whatever_the_lines_are_a_guess_reads_those_that_it_says_it_reads(lines: list[str]) -> None:
    found = guess(lines)
    if found is None:
        return
    match = found.format.compiled().match
    assert sum(match(line) is not None for line in lines) == found.fits > 0
    data = "\n".join(lines).encode(errors="replace")
    Parser(Rules(found.format, LabelRule("none"))).parse(Block(data, 0, 1, final=True))


HOSTILE = [
    *(
        " ",
        "[",
        "[a",
        "- ",
        "2024-05-06 ",
        "2024-05-06 07:08:09",
        "a.",
        "a:",
        "a::",
        "(",
        "1",
        "1-",
        "12:",
        "é",
    ),
    *("May ", "key=", "INFO ", "a/", "thread", "<1>", "\\"),
]


@pytest.mark.parametrize("part", HOSTILE)
def test_no_line_takes_long_to_guess(part: str) -> None:
    long = part * (65_536 // len(part))
    lines = [long, f"2024-05-06 07:08:09 {long}", f"2024-05-06 07:08:09 [{long}", f"INFO {long}"] * 10
    start = time.process_time()
    guess(lines)
    for line in lines:
        guess_line(line)
    assert time.process_time() - start < 3


if __name__ == "__main__":
    blocks = (
        "\n".join([f"## {name}", *lines, *render(lines)]) + "\n\n" for name, (lines, _) in programs().items()
    )
    FROZEN.write_text("".join(blocks).rstrip("\n") + "\n", encoding="utf-8")
