"""Templates of several types of log beside one another."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vestige.sources.logs.templates import Matcher, fit_templates
from vestige.sources.logs.types import TypedMatcher, fit_by_type, names

WORDS = st.lists(st.sampled_from(["open", "closed", "by", "root", "7"]), min_size=1, max_size=4).map(" ".join)
TYPED = st.lists(st.tuples(WORDS, st.sampled_from(["auth", "kern", "web"])), max_size=40)


def test_templates_of_two_types_never_merge() -> None:
    texts = ["session opened for root today now", "session opened for alice today now"]
    alone, _ = fit_by_type(texts, ["auth", "auth"], [1, 1])
    apart, types = fit_by_type(texts, ["auth", "kern"], [1, 1])
    assert alone == ("session opened for <*> today now",)
    assert (apart, types) == (tuple(texts), ("auth", "kern"))
    assert names(apart, types) == (f"auth: {texts[0]}", f"kern: {texts[1]}")
    assert names(alone, ("auth",)) == alone


def test_a_message_is_matched_within_its_type_and_one_of_an_unknown_type_anywhere() -> None:
    matcher = TypedMatcher(("a b", "a b", "c d"), ("auth", "kern", "kern"))
    found = matcher.match(
        ["a b", "a b", "c d", "c d", "c d", "x"], ["kern", "auth", "auth", "kern", "web", "web"]
    )
    assert found.tolist() == [1, 0, -1, 2, 2, -1]


@given(TYPED)
def test_each_type_is_as_if_it_were_alone(typed: list[tuple[str, str]]) -> None:
    texts, kinds = [text for text, _ in typed], [kind for _, kind in typed]
    templates, of = fit_by_type(texts, kinds, [1] * len(texts))
    found = TypedMatcher(templates, of).match(texts, kinds)
    for kind in set(kinds):
        own = [text for text, one in typed if one == kind]
        alone = fit_templates(own, [1] * len(own))
        assert [t for t, one in zip(templates, of, strict=True) if one == kind] == alone
        rows = [row for row, one in enumerate(kinds) if one == kind]
        expected = [alone[at] if at >= 0 else None for at in Matcher(alone).match(own)]
        assert [templates[at] if at >= 0 else None for at in found[rows]] == expected
    assert found.dtype == np.int64
