"""Formats that were met before: new files are read in them, where they fit, and it is told where not."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.sources.logs.test_choice import FILE
from vestige.errors import EvidenceError
from vestige.reading.steps import Evidence
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.corpora import rules_for
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.reader import LogReader
from vestige.sources.logs.schema import schema_for

LEARNT = [f"2024-03-08 09:17:{n:02d} INFO order {n} of shop {n % 3} paid" for n in range(60)]
WITH_THREAD = "2024-03-08 09:18:00 ERROR [main] order 7 failed"
"""A line that alone would be guessed to have a field more."""
RECORDS = [
    f'{{"ts": "2024-03-08T09:17:{n:02d}Z", "level": "info", "msg": "order {n} paid"}}' for n in range(60)
]
ODD_RECORD = '{"ts": "2024-03-08T09:18:00Z", "msg": "order 7 failed", "log": "main"}'
EXPORTED = ["__CURSOR=s=1;i=1", "__REALTIME_TIMESTAMP=1709889420000000", "MESSAGE=order 1 paid", ""] * 9


def rules(*files: list[str]) -> RuleSet:
    """Rules that guess, and have met the formats of these files."""
    own = rules_for(LogOptions())
    return own.remembering([{"form": format_of(own, lines)} for lines in files])


def format_of(own: RuleSet, lines: list[str]) -> dict[str, object]:
    return own.choose(text(lines), FILE).rules.format.settings()


def text(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


def test_a_file_of_one_line_is_read_in_the_format_that_was_met() -> None:
    fresh, own = rules_for(LogOptions()), rules(RECORDS, LEARNT)
    learnt = fresh.choose(text(LEARNT), FILE).rules.format
    assert fresh.choose(text([WITH_THREAD]), FILE).rules.format.header != learnt.header
    chosen = own.choose(text([WITH_THREAD]), FILE)
    assert chosen.rules.format.header == learnt.header
    assert chosen.known
    assert not chosen.doubts
    assert "met" in chosen.why


def test_records_are_read_by_the_keys_that_were_met() -> None:
    fresh, own = rules_for(LogOptions()), rules(LEARNT, RECORDS)
    keys = fresh.choose(text(RECORDS), FILE).rules.format.keys
    assert fresh.choose(text([ODD_RECORD]), FILE).rules.format.keys != keys
    assert own.choose(text([ODD_RECORD]), FILE).rules.format.keys == keys
    # Without the time that is looked for there, its messages would have none.
    untimed = own.choose(text([ODD_RECORD.replace('"ts"', '"@t"')]), FILE)
    assert untimed.rules.format.keys["time"] == "@t"
    assert not untimed.known


def test_records_of_journald_are_known_again() -> None:
    own = rules(EXPORTED, RECORDS)
    assert own.choose(text(EXPORTED[:4]), FILE).known
    assert not rules(RECORDS).choose(text(EXPORTED), FILE).known


def test_a_file_of_another_format_is_read_as_it_is_and_told() -> None:
    chosen = rules(LEARNT).choose(text(RECORDS), FILE)
    assert chosen.rules.format.keys["message"] == "msg"
    assert not chosen.known
    assert any("no format that was learnt from" in doubt for doubt in chosen.doubts)
    assert not rules_for(LogOptions()).choose(text(RECORDS), FILE).doubts


def test_a_format_that_was_given_is_not_guessed_beside_what_was_met() -> None:
    given = rules_for(LogOptions(format="rfc3164", label="none"))
    kept = given.remembering([{"form": format_of(rules_for(LogOptions()), LEARNT)}])
    with pytest.raises(EvidenceError):
        kept.choose(text(LEARNT), FILE)


def test_what_grows_waits_for_more_than_a_banner_of_another_format(tmp_path: Path) -> None:
    schema = schema_for(rules_for(LogOptions()), length=2, stride=1)
    fresh, own = LogReader(schema), LogReader(schema)
    own.remember([{"form": format_of(rules_for(LogOptions()), LEARNT)}])
    found = {}
    for name, reader in (("fresh", fresh), ("own", own)):
        log = tmp_path / f"{name}.log"
        log.write_bytes(text(["[2024/03/08 09:16:59 +0100] <boot> version 3 begins"]))
        (unit,) = reader.units(Evidence((log,), "follow")).units
        with closing(reader.open(unit)) as stream:
            assert stream.read(10) is None  # a message is whole when the next one begins
            with log.open("ab") as file:
                file.write(text(LEARNT))
            while (block := stream.read(100)) is not None:
                found[name] = block.symbols.texts(block.values["message"])
            assert (stream.summary["form"] == format_of(rules_for(LogOptions()), LEARNT)) == (name == "own")
    assert found["own"][-1].startswith("INFO order")
    assert len(found["own"]) >= len(LEARNT) - 1
