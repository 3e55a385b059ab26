"""Logs as a source: the public contract, the registry, and what the documentation shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from vestige.simulators.logs import SimulateOptions, simulate
from vestige.sources.logs.blocks import Block
from vestige.sources.logs.format import load, shipped
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.parse import Parser, Rules
from vestige.sources.logs.source import LogSource
from vestige.testing import check_source

DOCS = Path(__file__).resolve().parents[3] / "docs" / "logs.md"


@pytest.mark.parametrize(("name", "around"), [("bgl", "background"), ("hadoop", "context")])
def test_logs_keep_the_contract_of_a_source(
    tmp_path: Path, name: str, around: Literal["background", "context"]
) -> None:
    corpus = tmp_path / "corpus"
    simulate(corpus, SimulateOptions(messages=1500, hosts=2, format=name, anomalies=0.1))
    logs = sorted(file for file in corpus.rglob("*") if ".log" in file.name)
    options = LogOptions(format=name, window_size=4, sequence_type=around)
    check_source(LogSource(), corpus, tmp_path / "work", options=options, evidence=logs)


def test_the_documentation_names_every_format_and_its_own_works(tmp_path: Path) -> None:
    text = DOCS.read_text(encoding="utf-8")
    listed = re.search(r"Shipped: `([^`]*)`", text)
    assert listed is not None
    assert listed[1].split() == shipped()
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    (tmp_path / "shop.toml").write_text(example[1])
    shop = load(str(tmp_path / "shop.toml"))
    rules = Rules(shop, LabelRule.parse(shop.label, ["Level"]))
    messages = Parser(rules).parse(Block(shop.example[0].encode(), 0, 1))
    assert messages.texts == ["<order> of <ip> took <num> s"]
    assert messages.label.tolist() == [1]


def test_options_and_source_are_light_to_import() -> None:
    code = (
        "import sys, vestige.sources.logs.options, vestige.sources.logs.parse\n"
        "heavy = {'torch', 'polars', 'pytorch_lightning', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
