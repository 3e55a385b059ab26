"""JSON that comes from a file: every number has a range before it has a type."""

from __future__ import annotations

import math
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vestige import checked


def test_an_object_with_plain_values_comes_back() -> None:
    found = checked.load(b'{"a": [1, -2, 0.5, null, true, "x"], "b": {"c": 18446744073709551615}}')
    assert found == {"a": [1, -2, 0.5, None, True, "x"], "b": {"c": 2**64 - 1}}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}', '{"a": 1e999}', '{"a": -1e999}',
     '{"a": 18446744073709551616}', '{"a": ' + "9" * 5000 + "}", '{"a": ' + "[" * 70 + "]" * 70 + "}",
     '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"],
)  # fmt: skip
def test_what_no_field_could_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each for its own reason
        checked.load(text.encode())


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match="decode"):
        checked.load(b'{"a": "\xff"}')


def test_what_python_writes_may_be_allowed() -> None:
    assert checked.load(b'{"a": -Infinity}', finite=False) == {"a": -math.inf}


@pytest.mark.parametrize("value", [True, None, 1.0, "1", -1, 11, [], math.nan])
def test_a_whole_number_has_a_range(value: object) -> None:
    assert checked.whole(10, "n", 0, 10) == 10
    with pytest.raises(ValueError, match=r"n is .*, not a whole number within 0\.\.10"):
        checked.whole(value, "n", 0, 10)


@pytest.mark.parametrize("value", [True, None, "1", -0.1, 1.1, math.nan, math.inf])
def test_a_number_has_a_range(value: object) -> None:
    assert checked.real(1, "x", 0, 1) == 1.0
    with pytest.raises(ValueError, match=r"x is .*, not a number within 0\.\.1"):
        checked.real(value, "x", 0, 1)


def test_other_values_have_a_type() -> None:
    for check, value in (
        (checked.flag, 1),
        (checked.text, 1),
        (checked.texts, "ab"),
        (checked.mapping, []),
    ):
        with pytest.raises(ValueError, match=r"n is .*"):
            check(value, "n")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.json"), "no such file or directory"),
        (KeyError("format"), "it has no 'format'"),
        (ValueError("a number of 90 digits"), "a number of 90 digits"),
    ],
)
def test_why_a_file_cannot_be_read_is_told_without_python(error: Exception, told: str) -> None:
    assert checked.reason(error) == told


def test_bytes_in_place_of_a_text_are_told_in_words() -> None:
    with pytest.raises(UnicodeDecodeError) as raised:
        checked.load(b"\xa0{}")
    assert checked.reason(raised.value) == "it is no text in UTF-8"


class Asked(BaseModel):
    """What a person may ask for."""

    model_config = ConfigDict(extra="forbid")

    times: int = Field(ge=1, le=9)
    share: float = Field(default=0.5, gt=0, lt=1, allow_inf_nan=False)
    which: Literal["one", "other"] = "one"
    name: str = "x"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "is missing"),
        ({"times": 0}, "must be at least 1, not 0"),
        ({"times": 10}, "must be at most 9, not 10"),
        ({"times": 10**5000}, "must be at most 9"),
        ({"times": "many"}, "must be a whole number, not 'many'"),
        ({"times": "m" * 99}, "must be a whole number"),
        ({"times": 1.5}, "must be a whole number, not 1.5"),
        ({"times": 1, "share": 0}, "must be more than 0, not 0"),
        ({"times": 1, "share": 1}, "must be less than 1, not 1"),
        ({"times": 1, "share": float("nan")}, "must be a number, not nan"),
        ({"times": 1, "which": "third"}, "must be 'one' or 'other', not 'third'"),
        ({"times": 1, "name": 3}, "must be a text, not 3"),
        ({"times": 1, "colour": 3}, "there is nothing of this name"),
    ],
)
def test_a_refusal_is_said_as_a_person_would(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Asked.model_validate(given)
    assert checked.in_words(refusal.value.errors()[0]) == says
