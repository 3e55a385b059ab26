"""Events as a source: the public contract, the registry, and what the documentation shows."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.sources.events.exports import START, dataset, write
from vestige.simulators.events.options import SimulateOptions
from vestige.simulators.events.write import simulate
from vestige.sources import registry
from vestige.sources.events.mapping import load, shipped
from vestige.sources.events.options import EventOptions
from vestige.testing import check_source

DOCS = Path(__file__).resolve().parents[3] / "docs" / "events.md"


def by_machine(export: Path, out: Path) -> Path:
    """The rows of an export in a file for each machine, sorted by time: live order is that of a dataset."""
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    for file in sorted(export.glob("*.csv")):
        with file.open(newline="") as handle:
            for row in csv.DictReader(handle):
                rows[row["machine"]].append(row)
    out.mkdir()
    for machine, mine in rows.items():
        with (out / f"{machine}.csv").open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(mine[0]))
            writer.writeheader()
            writer.writerows(sorted(mine, key=lambda row: row["timestamp"]))
    return out


def test_events_keep_the_contract_of_a_source(tmp_path: Path) -> None:
    simulate(tmp_path / "export", SimulateOptions(events=2000, machines=6, campaigns=5))
    check_source("events", by_machine(tmp_path / "export", tmp_path / "c"), tmp_path / "work")


def test_sessions_keep_the_contract_of_a_source(tmp_path: Path) -> None:
    write(tmp_path / "c" / "x_train", "a,1 2 3\nb,1 2\n")
    write(tmp_path / "c" / "x_test_abnormal", "c,1 9 3\nd,9\n")
    check_source("events", tmp_path / "c", tmp_path / "work", options=EventOptions(mapping="sessions"))


def test_the_documentation_names_every_mapping_and_its_own_works(tmp_path: Path) -> None:
    text = DOCS.read_text(encoding="utf-8")
    listed = re.search(r"Shipped: `([^`]*)`", text)
    assert listed is not None
    assert listed[1].split() == shipped()
    for name in shipped():
        assert f"| `{name}`" in text or f"`{name}` |" in text or f", `{name}`" in text, name
    for name in ("csv", "jsonl", "ecs", "ocsf", "sessions"):
        for field in load(name).event:
            assert f"`{field}`" in text, f"{name}: {field}"
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    own = write(tmp_path / "shop.toml", example[1])
    line = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert line is not None
    windows = dataset(write(tmp_path / "a.jsonl", line[1]), tmp_path / "d", mapping=str(own))
    assert windows.label.tolist() == [1]
    assert windows.t_ns.tolist() == [START * 10**9]


def test_options_and_source_are_light_to_import() -> None:
    code = (
        "import sys, vestige.sources.events.options, vestige.sources.events.parse\n"
        "heavy = {'torch', 'polars', 'pytorch_lightning', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_registry_knows_events() -> None:
    assert "events" in registry.names()
    assert registry.get("events").options is EventOptions


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_mapping_is_valid(name: str) -> None:
    mapping = load(name)
    assert mapping.name == name
    assert all(one == one.casefold() for one in mapping.negatives)
