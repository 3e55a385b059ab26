"""The real samples: contents as published, and messages grouped nearly as people grouped them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from vestige.sources.logs.blocks import Block
from vestige.sources.logs.format import load
from vestige.sources.logs.grouping import group_by_template, grouping_accuracy
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.masks import Masker
from vestige.sources.logs.parse import Parser, Rules

FLOORS = {
    "BGL": 0.87, "Thunderbird": 0.95, "HDFS": 0.99, "Hadoop": 0.96, "Zookeeper": 0.98, "Spark": 0.91,
    "Windows": 0.98, "Linux": 0.75, "OpenSSH": 0.91,
}  # fmt: skip


def rows(shared_data: Path, system: str) -> list[dict[str, str]]:
    path = shared_data / "loghub" / system / f"{system}_2k.log_structured.csv"
    if not path.is_file():
        pytest.skip(f"no loghub sample at {path}")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("system", FLOORS)
def test_contents_equal_those_published(shared_data: Path, system: str) -> None:
    published = [row["Content"].strip() for row in rows(shared_data, system)]
    data = (shared_data / "loghub" / system / f"{system}_2k.log").read_bytes()
    rules = Rules(load(system.lower()).model_copy(update={"masks": []}), LabelRule("none"))
    messages = Parser(rules).parse(Block(data, 0, 1, final=True))
    assert [messages.texts[row] for row in messages.text] == published


@pytest.mark.parametrize("system", FLOORS)
def test_grouping_accuracy_does_not_fall(shared_data: Path, system: str) -> None:
    sample = rows(shared_data, system)
    found = group_by_template([row["Content"] for row in sample], Masker(load(system.lower()).resolved_masks))
    assert grouping_accuracy(found, [row["EventId"] for row in sample]) >= FLOORS[system]


def test_grouping_accuracy_counts_messages_of_whole_groups_only() -> None:
    assert grouping_accuracy([1, 1, 2, 2, 3], ["a", "a", "b", "c", "d"]) == 3 / 5
    assert grouping_accuracy([1, 1, 1], ["a", "a", "b"]) == 0
    assert grouping_accuracy([], []) == 1
