"""Messages as they stand in a log, beside the texts in which values are replaced."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vestige.reading.live import read_windows
from vestige.reading.steps import Evidence
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.reader import LogReader

SYSLOG = "Jun  3 07:08:{:02} web1 sshd[{}]: "
OTLP = {
    "resourceLogs": [
        {
            "scopeLogs": [
                {
                    "logRecords": [
                        {"timeUnixNano": "1700000000000000000", "body": {"stringValue": f"user {n} came"}}
                        for n in range(3)
                    ]
                }
            ]
        }
    ]
}
LOGS = {
    "syslog": "".join(
        SYSLOG.format(n, n) + f"Accepted password for u{n} from 10.0.0.{n} port 22\n" for n in range(40)
    ),
    "lines": "".join(
        SYSLOG.format(n, n) + f"crashed at {n}\n  in line {n} of a.py\n  in line 7 of b.py\n"
        for n in range(9)
    ),
    "between": SYSLOG.format(1, 1) + "a 1\n-- Reboot --\n" + SYSLOG.format(2, 2) + "b 2\n",
    "otlp": (json.dumps(OTLP) + "\n") * 4,
}


def messages(
    log: Path, *, most: int = 1000, size: int = 1, sequence_type: str = "background"
) -> tuple[list[str], list[str]]:
    """Of every window the message that it judges, as it stands there and as it is called; all of a batch are
    asked for, and then each alone."""
    reader = LogReader.of_corpus(
        log, LogOptions.model_validate({"window_size": size, "sequence_type": sequence_type})
    )
    whole: list[str] = []
    called: list[str] = []
    for batch in read_windows(reader, Evidence((log,)), most=most):
        together = batch.messages(np.arange(len(batch)))
        assert [batch.messages(np.array([row]))[0] for row in range(len(batch))] == together
        whole += together
        called += batch.text.to_list()
    return whole, called


@pytest.mark.parametrize("kind", LOGS)
@pytest.mark.parametrize("most", [2, 1000])
def test_a_message_is_told_with_its_values(kind: str, most: int, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text(LOGS[kind])
    whole, called = messages(log, most=most)
    assert len(whole) == {"syslog": 40, "lines": 9, "between": 2, "otlp": 12}[kind]
    if kind == "syslog":
        assert whole[3] == "Accepted password for u3 from 10.0.0.3 port 22"
    if kind == "lines":
        assert whole[8] == "crashed at 8\n  in line 8 of a.py\n  in line 7 of b.py"
    if kind == "between":
        assert whole == ["a 1", "b 2"]
    if kind == "otlp":
        assert whole[:4] == ["user 0 came", "user 1 came", "user 2 came", "user 0 came"]
    # What the message is called has placeholders instead.
    assert "<num>" in called[1]
    assert "<" not in whole[1]


def test_what_was_left_out_of_a_line_does_not_shift_the_messages_behind_it(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    long = SYSLOG.format(1, 1) + "x" * 200_000 + "\n"
    log.write_text(long + SYSLOG.format(2, 2) + "second 2\n" + SYSLOG.format(3, 3) + "third 3\n")
    whole, _ = messages(log)
    assert whole[0].startswith("xxxx")
    assert whole[1:] == ["second 2", "third 3"]


def test_with_look_ahead_the_message_judged_is_told_though_its_block_is_over(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text(LOGS["syslog"])
    whole, _ = messages(log, most=3, size=4, sequence_type="context")
    told = [f"Accepted password for u{n} from 10.0.0.{n} port 22" for n in range(40)]
    assert whole == told


def test_what_stands_in_a_slot_is_told_where_it_can_be_found(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text(LOGS["syslog"])
    reader = LogReader.of_corpus(log, LogOptions(values=True))
    raw = "Accepted password for u3 from 10.0.0.3 port 22"
    called = "Accepted password for u3 from <ip> port <num>"
    assert [reader.slot(number, raw, called) for number in range(3)] == ["`10.0.0.3`", "`22`", "a value"]
    assert reader.slot(0, "another message", called) == "a value"
