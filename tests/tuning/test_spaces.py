"""What is searched: the forms that a person writes, what they override, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from vestige.errors import UsageError
from vestige.models import registry
from vestige.models.base import Detector
from vestige.models.space import Choice, Parameter, Range, Value, draw
from vestige.tuning.spaces import space_of, to_plain

COLLABORATIVE = registry.get("collaborative")


def space(*overrides: str, kind: type[Detector] = COLLABORATIVE, **settings: Any) -> dict[str, Parameter]:
    return dict(space_of(kind, list(overrides), settings))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("hidden=64..256:log", Range(64, 256, log=True, multiple_of="heads")),
        ("hidden=64,128", Choice((64, 128))),
        ("layers=2", Choice((2,))),
        ("dropout=0.1..0.5", Range(0.1, 0.5)),
        ("token_dropout=0..0.5", Range(0.0, 0.5)),
        ("weight_decay=0..1", Range(0.0, 1.0)),
        ("learning_rate=1e-4..1e-2:log", Range(1e-4, 1e-2, log=True)),
        ("as_published=false,true", Choice((False, True))),
        ("resample=none,smote", Choice(("none", "smote"))),
        ("batch_size=64..256", Range(64, 256)),
    ],
)
def test_what_is_written_is_what_is_searched(written: str, meant: Parameter) -> None:
    name = written.partition("=")[0]
    found = space(written)[name]
    assert found == meant
    assert type(getattr(found, "low", None)) is type(getattr(meant, "low", None))


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("width=1..2", "one of: embedding, hidden,"),
        ("cell=gru,lstm", "there is no such parameter"),
        ("hidden", "NAME=LOW..HIGH:log or NAME=VALUE,VALUE"),
        ("hidden=", "NAME=LOW..HIGH"),
        ("hidden=64..", "no range of numbers"),
        ("hidden=64..512:ln", "no range of numbers"),
        ("hidden=1,,2", "an empty choice"),
        ("hidden=512..64", "the range is empty"),
        ("dropout=0..0.5:log", "begins above 0"),
        ("hidden=0..64", "none that collaborative takes"),
        ("hidden=0.5..64", "none that collaborative takes"),
        ("dropout=0..1", "its own space: dropout=0..0.5"),
        ("as_published=maybe", "none that collaborative takes"),
    ],
)
def test_what_cannot_be_searched_is_told_with_the_choices(written: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        space(written)
    assert told in str(raised.value)


def test_what_is_fixed_is_not_searched() -> None:
    assert "hidden" not in space(hidden=128)
    with pytest.raises(UsageError, match="one of them searches what the other one fixes"):
        space("hidden=64,128", hidden=128)


def test_a_detector_without_a_space_needs_one() -> None:
    with pytest.raises(UsageError, match=r"logistic has no search space(?s:.*)of: C, iterations"):
        space(kind=registry.get("logistic"))
    with pytest.raises(UsageError, match=r"majority has no settings(?s:.*)vestige train -m majority"):
        space(kind=registry.get("majority"))
    assert list(space("C=0.1..10:log", kind=registry.get("logistic"))) == ["C"]


def test_trees_know_no_batches() -> None:
    with pytest.raises(UsageError, match="there is no such parameter"):
        space("batch_size=64,128", kind=registry.get("gbt"))


def _ask(wanted: dict[str, Value]) -> Any:
    def ask(name: str, parameter: Parameter) -> Value:
        if name in wanted:
            return wanted[name]
        return parameter.values[0] if isinstance(parameter, Choice) else parameter.low

    return ask


@pytest.mark.parametrize(
    ("hidden", "heads", "drawn"), [(101, 8, 104), (64, 8, 64), (512, 8, 512), (66, 8, 64), (510, 4, 512)]
)
def test_sizes_are_multiples_of_heads(hidden: int, heads: int, drawn: int) -> None:
    found = draw(space(), _ask({"hidden": hidden, "heads": heads}), {})
    assert found["hidden"] == drawn


def test_a_multiple_of_what_is_fixed() -> None:
    found = draw(space("hidden=10..60", heads=8), _ask({"hidden": 10}), {"heads": 8})
    assert found["hidden"] == 16
    assert "heads" not in found


def test_what_has_no_meaning_is_not_drawn() -> None:
    lanes = space(kind=registry.get("stochastic_array_lstm"))
    assert "evaluation" not in draw(lanes, _ask({"selection": "lane"}), {})
    assert "evaluation" in draw(lanes, _ask({"selection": "sample"}), {})


def test_a_condition_outlives_what_overrides_it() -> None:
    kind = registry.get("stochastic_array_lstm")
    lanes = space("evaluation=argmax", "selection=lane,argmax", kind=kind)
    assert list(lanes).index("selection") < list(lanes).index("evaluation")
    assert "evaluation" not in draw(lanes, _ask({"selection": "lane"}), {})


def test_the_space_is_kept_as_it_is_written() -> None:
    plain = to_plain(space("hidden=64..256:log", "layers=1,2"))
    assert plain["hidden"] == {"values": "64..256:log", "multiple_of": "heads"}
    assert plain["layers"] == {"values": "1,2"}
    lanes = to_plain(space(kind=registry.get("stochastic_array_lstm")))
    assert lanes["evaluation"]["when"] == {"selection": ["argmax", "sample"]}
