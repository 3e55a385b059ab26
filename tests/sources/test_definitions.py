"""A definition is written as TOML that reads as the same definition."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vestige.sources.definitions import Definitions
from vestige.sources.events.mapping import MAPPINGS
from vestige.sources.logs.format import FORMATS, editable

FORMAT_NAMES, MAPPING_NAMES = FORMATS.shipped(), MAPPINGS.shipped()


def _again(definitions: Definitions[Any], name: str, tmp_path: Path) -> None:
    definition = definitions.load(name)
    file = tmp_path / f"{name}.toml"
    file.write_text(definitions.text(definition, about="of a test"), encoding="utf-8")
    assert definitions.load(str(file)) == definition


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_every_format_comes_back_from_its_text(name: str, tmp_path: Path) -> None:
    _again(FORMATS, name, tmp_path)


@pytest.mark.parametrize("name", MAPPING_NAMES)
def test_every_mapping_comes_back_from_its_text(name: str, tmp_path: Path) -> None:
    _again(MAPPINGS, name, tmp_path)


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_a_format_of_a_schema_is_edited_without_shared_masks_and_with_its_labels(name: str) -> None:
    shipped = FORMATS.load(name)
    assert editable(shipped.settings()) == shipped


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@given(example=st.lists(texts, max_size=4), mask=st.dictionaries(texts, texts, max_size=3), about=texts)
@settings(deadline=None, max_examples=60)
def test_whatever_a_definition_holds_comes_back(
    tmp_path_factory: pytest.TempPathFactory, example: list[str], mask: dict[str, str], about: str
) -> None:
    known = FORMATS.load("plain")
    held = known.model_copy(update={"example": example, "field": mask})
    file = tmp_path_factory.mktemp("written") / "f.toml"
    file.write_text(FORMATS.text(held, about=about), encoding="utf-8")
    read = tomllib.loads(file.read_text(encoding="utf-8"))
    assert read["example"] == example
    assert read.get("field", {}) == mask
