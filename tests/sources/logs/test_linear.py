"""Expressions that people write run in linear time, or are refused with the reason."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vestige.engine import HERE
from vestige.errors import UsageError
from vestige.sources.logs.format import every, load
from vestige.sources.logs.guess import guess
from vestige.sources.logs.linear import check_shape, substitution
from vestige.sources.logs.masks import SHARED, Masker, is_ours
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.source import LogSource

OWN = """
header = "<When> <Tag> <Content>"
time = { When = "%Y-%m-%dT%H:%M:%S" }
field = { Tag = 'TAG' }
masks = ["own", "num"]
mask = { own = 'MASK' }
example = ["2024-05-06T07:08:09 a1: text"]
"""


def own(path: Path, *, tag: str = r"[^\s:]+:", mask: str = r"ORD-\d+") -> Path:
    path.write_text(OWN.replace("TAG", tag).replace("MASK", mask))
    return path


def test_ours_stay_as_they_are_and_look_around() -> None:
    assert all(map(is_ours, SHARED.values()))
    for _, chosen in every():
        assert all(map(is_ours, chosen.mask.values()))
        for name, pattern in chosen.resolved_masks:
            Masker([(name, pattern)])


def test_what_people_write_takes_time_linear_in_the_text() -> None:
    hide = substitution("own", r"(a+)+\$", ours=False)
    assert hide("x aaa$ y") == "x <own> y"
    begun = time.perf_counter()
    assert hide("a" * 8000 + "b") == "a" * 8000 + "b"
    assert time.perf_counter() - begun < 1


@settings(max_examples=200)
@given(
    st.sampled_from([r"ORD-\d+", r"[a-c]+", r"a|b\w", r"(?i)x[0-9]{1,3}", r"\ba+\b", r"u=(\w+)"]),
    st.text("abcORD-x019u= é\ud800", max_size=30),
)
def test_what_both_engines_know_they_do_alike(pattern: str, text: str) -> None:
    expected = re.sub(pattern, "<own>", text, flags=re.ASCII)
    found = substitution("own", pattern, ours=False)(text)
    assert found in {expected, expected.replace("\ud800", "?")}


@pytest.mark.parametrize("mask", [r"(?<=user=)\w+", r"(\w)\1", r"\w++x", r"a(?!b)"])
def test_a_mask_that_cannot_run_so_is_refused_with_the_reason(tmp_path: Path, mask: str) -> None:
    with pytest.raises(UsageError, match="mask 'own' cannot run in linear time") as caught:
        load(str(own(tmp_path / "my.toml", mask=mask)))
    assert "RE2 has no look-around" in str(caught.value)


@pytest.mark.parametrize(
    "shape",
    [
        r"(a+)+:",
        r"\w*\w*\w*:",
        r"(\w+\s?)*:",
        r".*?:.*:",
        r"(\w+)\1:",
        r"([a-z]+)*:",
        r"(?:(?=.*x)a)+:",
        r"(?:a(?!b*c))*+:",
    ],
)  # fmt: skip
def test_a_shape_that_may_take_its_time_is_refused_with_what_helps(tmp_path: Path, shape: str) -> None:
    with pytest.raises(UsageError, match="field 'Tag' cannot run in linear time") as caught:
        load(str(own(tmp_path / "my.toml", tag=shape)))
    assert "possessive" in str(caught.value)


@pytest.mark.parametrize(
    "shape",
    [r"[^\s:]+:", r"\w{1,64}:", r"\w++:", r"(?=a)\S+", r"(?:GET|POST) \S+", r"\d{1,3}(?:\.\d{1,3}){3}:",
     r"a|ab|abc", r"(?:[a-z]+\.)+[A-Z]\w*", r"(out|err) \w++ \1:", r"(?>a|b)*+:", r"-(?!\S)", r"é+:"],
)  # fmt: skip
def test_shapes_that_are_certain_where_they_end_are_taken(shape: str) -> None:
    check_shape("field 'Tag'", shape)


PIECES = st.sampled_from(["a", "[ab]", "b+", "a*", "(?:ab|b)", "(?:a|b)+", "a{1,3}", ":", "(?:a:)*", "b?"])


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=6).map("".join), st.sampled_from(["a", "ab", "b", "aab", "a:"]))
def test_what_is_taken_is_fast_on_what_repeats_and_then_fails(shape: str, unit: str) -> None:
    try:
        check_shape("it", shape)
    except ValueError:
        return
    match = re.compile(f"(?>{shape})!").match
    text = unit * 5000 + "x"
    begun = time.perf_counter()
    match(text)
    assert time.perf_counter() - begun < 1


def test_guessed_shapes_are_taken_when_they_are_written_down() -> None:
    found = guess(["[2024-05-06 07:08:09,123] WARN (main:17) shop.cart - took 3 s"] * 5)
    assert found is not None
    for name, shape in found.format.field.items():
        check_shape(name, shape)


def test_a_corpus_is_read_by_a_format_of_ones_own(tmp_path: Path) -> None:
    log = tmp_path / "shop.log"
    log.write_text("2024-05-06T07:08:09 a1: ORD-17 of ORD-18 \udcff took 3 s\n", errors="surrogateescape")
    options = LogOptions(format=str(own(tmp_path / "my.toml")), label="none")
    windows = LogSource().prepare(log, tmp_path / "d", options, engine=HERE)
    assert windows.table("messages")["text"].to_list()[1:] == ["<own> of <own> \ufffd took <num> s"]
