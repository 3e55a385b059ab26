"""The six events: plain, finite, and harmless whatever evidence holds."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vestige.dashboard.events import VERSION, Recording, Score, Span, parse

INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


def score(**changed: Any) -> Score:
    plain: dict[str, Any] = {
        "recording": 1, "window": 1, "time": 1.5, "place": {"line": 3}, "proba": [0.25, 0.75], "score": 0.75,
        "most_probable_class": "anomaly", "alert": True, "truth": None,
    }  # fmt: skip
    return Score(**{**plain, **changed})


@given(st.text(), st.text())
def test_whatever_a_recording_is_called_its_line_is_one_harmless_line(name: str, label: str) -> None:
    spans = [Span(begin=1.0, label=label, attack=True)]
    line = Recording(number=1, id=name, host=label, profile=name, synthetic=False, spans=spans).line
    assert line.isascii()
    assert line.isprintable()
    texts = [json.loads(line)[key] for key in ("id", "host")]
    assert not {unicodedata.category(one) for text in texts for one in text} & INVISIBLE
    assert parse(line).line == line


def test_long_texts_are_cut_and_say_so() -> None:
    line = Recording(number=1, id="x" * 100_000, synthetic=False).line
    assert len(line) < 2_000
    assert "99,400 more characters" in line


def test_names_of_places_are_evidence_too() -> None:
    assert "\\u202e" not in score(place={"\u202eline": "\x1b[2J"}).line.replace("\\\\u202e", "")


def test_a_figure_without_a_value_is_null() -> None:
    for missing in (math.nan, math.inf):
        assert json.loads(score(time=missing, surprise=missing).line)["time"] is None


def test_a_probability_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        score(proba=[math.nan, 1.0])


def test_an_event_says_what_it_is_and_comes_back_as_it_was() -> None:
    one = score(surprise=2.5)
    plain = json.loads(one.line)
    assert (plain["event"], plain["v"]) == ("score", VERSION)
    assert parse(one.line) == one


@pytest.mark.parametrize("line", ['{"event": "scores"}', '{"v": 1, "event": "run"}', "[]", "{"])
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(ValidationError):
        parse(line)
