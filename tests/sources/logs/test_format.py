"""Formats as files: the shipped ones, and what is said about a user's mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestige.errors import UsageError
from vestige.sources.logs.clock import BAD
from vestige.sources.logs.format import Format, load, shipped
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.parse import Parser, Rules

OWN = """
header = "<When> <Level> <Component>: <Content>"
time = { When = "%Y-%m-%dT%H:%M:%S.%f" }
label = "level:WARN,ERROR"
masks = ["order", "ip", "num"]
mask = { order = 'ORD-\\d+' }
example = ["2024-05-06T07:08:09.5 WARN shop.cart: ORD-17 of 10.0.0.1 took 3 s"]
"""


def test_the_promised_formats_are_shipped() -> None:
    promised = ["bgl", "thunderbird", "hdfs", "hadoop", "zookeeper", "spark", "windows", "linux", "openssh"]
    assert set(promised) <= set(shipped())


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_format_reads_its_own_examples(name: str) -> None:
    rules = Rules(load(name), LabelRule("none"))
    assert rules.format.name == name
    assert (Parser(rules).time(rules.format.example[0]) != BAD) == bool(rules.format.time)
    assert Format.model_validate(rules.format.settings()).settings() == rules.format.settings()


def test_a_format_of_ones_own_is_ten_lines(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(OWN)
    own = load(str(path))
    assert own.name == "shop"
    assert [name for name, _ in own.resolved_masks] == ["order", "ip", "num"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<Content>", "<Text>", "the last field must be <Content>"),
        ("When =", "Then =", "no field <Then>"),
        ('"ip"', '"ips"', "no mask 'ips'"),
        ("'ORD-\\d+'", "'ORD-('", "mask 'order' is no regular expression"),
        ('"order", ', '"Order!", ', "masks: 'Order!' is no name"),
        ("2024-05-06T", "May 6 ", "does not fit the header"),
        ("%Y-", "%Q-", "unknown directive %Q"),
        ("label =", "lable =", "lable: there is nothing of this name"),
        ("header =", "header", "not TOML"),
        ('header = "<When> <Level> <Component>: <Content>"', "", "header: is missing"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "shop.toml"
    assert old in OWN
    path.write_text(OWN.replace(old, new))
    with pytest.raises(UsageError) as caught:
        load(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="bgl, "):
        load("blg")


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load(str(tmp_path / "none.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        load(str(tmp_path / "binary.toml"))
