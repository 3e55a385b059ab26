"""Values that mappings name: of objects, tables and Zeek's logs, kept only where they are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.sources.events.exports import START, dataset, objects, write
from tests.sources.events.test_zeek import log
from vestige.errors import DefinitionError
from vestige.reading.values import NONE, KnownValues, number_value, text_value
from vestige.reading.windows import WindowSet
from vestige.sources.events.mapping import load, shipped
from vestige.sources.events.options import EventOptions
from vestige.sources.events.reader import EventReader
from vestige.sources.events.schema import rules_for, schema_for
from vestige.sources.logs.slots import N_SLOTS
from vestige.testing import check_source


def slots(windows: WindowSet) -> list[list[int]]:
    """The values of the step that each window judges."""
    found: list[list[int]] = windows.streams.at("slots", windows.target_step).tolist()
    return found


def row(*values: int) -> list[int]:
    return [*values, *[NONE] * (N_SLOTS - len(values))]


def alerts(n: int) -> str:
    return objects(
        [
            {
                "timestamp": f"2026-03-02T08:{at // 60:02}:{at % 60:02}.5Z",
                "flow_id": at,
                "event_type": "dns",
                "src_ip": f"10.0.0.{at % 2}",
                "dest_ip": "192.0.2.1",
                "dest_port": 53 + at % 2,
                "dns": {"rrname": f"n{at % 3}.example"},
            }
            for at in range(n)
        ]
    )


def test_the_values_of_objects(tmp_path: Path) -> None:
    windows = dataset(write(tmp_path / "eve.json", alerts(2)), tmp_path / "d", values=True)
    assert slots(windows) == [
        row(
            text_value(b"192.0.2.1"), number_value(53 + at), NONE, NONE, text_value(f"n{at}.example".encode())
        )
        for at in range(2)
    ]


def test_the_values_of_a_table_by_a_mapping_of_ones_own(tmp_path: Path) -> None:
    own = write(
        tmp_path / "my.toml",
        'kind = "csv"\ntimestamp = ["t"]\nmachine = ["m"]\nevent = ["e"]\n'
        'values = [["user", "u"], ["a+b"]]\n',
    )
    table = f't,m,e,u,a,b\n{START},x,on,ann,1,2\n{START + 1},x,on,,"7,5",\n{START + 2},x,on\n'
    windows = dataset(write(tmp_path / "a.csv", table), tmp_path / "d", mapping=str(own), values=True)
    assert slots(windows) == [row(text_value(b"ann"), text_value(b"1/2")), row(NONE, text_value(b"7,5"))]


def test_the_values_of_logs_of_zeek_by_their_own_columns(tmp_path: Path) -> None:
    conn = log("conn", "ts uid id.orig_h id.resp_h id.resp_p", [f"{START}.0 C1 10.0.0.1 192.0.2.1 443"])
    dns = log("dns", "ts uid id.orig_h id.resp_p query", [f"{START + 1}.0 C2 10.0.0.1 53 a.example"])
    windows = dataset(write(tmp_path / "all.log", conn + dns), tmp_path / "d", mapping="zeek", values=True)
    assert slots(windows) == [
        row(text_value(b"192.0.2.1"), number_value(443)),
        row(NONE, number_value(53), text_value(b"a.example")),
    ]


def test_nothing_is_kept_unasked_or_where_no_field_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "eve.json", alerts(2))
    assert "slots" not in dataset(path, tmp_path / "d").streams
    for asked, expected in ((False, False), (True, True)):
        options = EventOptions(values=asked)
        assert ("slots" in str(schema_for(rules_for(options), options).to_dict())) == expected
    options = EventOptions(mapping="csv", values=True)
    unasked = EventOptions(mapping="csv")
    assert schema_for(rules_for(options), options) == schema_for(rules_for(unasked), unasked)


def test_no_shipped_mapping_takes_a_label_for_a_value() -> None:
    named = 0
    for name in shipped():
        mapping = load(name)
        for path in (path for alternatives in mapping.values for path in alternatives):
            assert "label" not in path
            assert path not in mapping.timestamp + mapping.label
            named += 1
    assert named > 50


@pytest.mark.parametrize(
    "values", ["[[]]", '[["a+"]]', '["a"]', str([["a"]] * (N_SLOTS + 1)).replace("'", '"')]
)
def test_values_that_name_no_field_are_refused(tmp_path: Path, values: str) -> None:
    text = f'timestamp = ["t"]\nmachine = ["m"]\nevent = ["e"]\nvalues = {values}\n'
    with pytest.raises(DefinitionError, match="values"):
        load(str(write(tmp_path / "my.toml", text)))


def test_the_source_keeps_its_contract_with_values(tmp_path: Path) -> None:
    for machine in range(2):
        lines = [line for line in alerts(40).splitlines() if f'"10.0.0.{machine}"' in line]
        write(tmp_path / "c" / f"{machine}.json", "\n".join(lines) + "\n")
    options = EventOptions(context=3, values=True)
    check_source("events", tmp_path / "c", tmp_path / "work", options=options)


def test_a_new_value_of_a_known_event_is_strange(tmp_path: Path) -> None:
    windows = dataset(write(tmp_path / "eve.json", alerts(600)), tmp_path / "d", values=True)
    kind = np.array([-1, 0])
    known = KnownValues.fit(windows, kind, symbols="event")
    usual = windows.streams.at("slots", windows.target_step[:1])
    new = usual.copy()
    new[0, 4] = text_value(b"evil.example")
    assert not known.strangeness(kind[1:], usual).any()
    assert known.strangeness(kind[1:], new)[0, 0] > 5
    assert known.explain(kind[1:], new).tolist() == [[4, -1]]


def test_a_slot_is_called_by_its_field_where_there_is_one_mapping() -> None:
    reader = EventReader.of_corpus(EventOptions(mapping="suricata", values=True))
    fields = load("suricata").values
    assert [reader.slot(at, "", "dns") for at in (0, len(fields))] == [
        f"a value of `{fields[0][0]}`",
        "a value",
    ]
    assert EventReader.of_corpus(EventOptions(values=True)).slot(0, "", "dns") == "a value"
