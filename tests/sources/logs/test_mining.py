"""Drain's templates, at a cost for each message that no writer of log lines can raise."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestige.sources.logs import mining
from vestige.sources.logs.mining import WILDCARD, Miner
from vestige.sources.logs.templates import Matcher

WORDS = st.sampled_from(["open", "close", "user", "<num>", "<**>", "a1", "b2", "x", "y"])
MESSAGES = st.lists(st.lists(WORDS, max_size=9), max_size=60)


def free_text(n: int, vocabulary: int, words: int = 12) -> list[list[str]]:
    draw = random.Random(7)
    letters = "abcdefghijklmnop"
    known = ["".join(draw.choices(letters, k=6)) for _ in range(vocabulary)]
    return [draw.choices(known, k=words) for _ in range(n)]


def mined(messages: list[list[str]], **bounds: int) -> Miner:
    miner = Miner(**bounds)
    for one in messages:
        miner.add(one)
    return miner


def looked_up(templates: list[list[str]], tokens: list[str]) -> list[str] | None:
    """The template that a message joins, without a tree: of those of its length and two first tokens."""
    own = templates[:0]
    for template in templates:
        if len(template) == len(tokens) and template[: mining.PREFIX] == tokens[: mining.PREFIX]:
            own.append(template)
    same = [sum(a == b for a, b in zip(template, tokens, strict=True)) for template in own]
    if not same or max(same) < mining.SIMILARITY * len(tokens) - 1e-9:
        return None
    best = [(n, template.count(WILDCARD)) for n, template in zip(same, own, strict=True)]
    return own[best.index(max(best))]


@given(
    st.lists(st.lists(st.sampled_from(["x", "y", "z"]), min_size=3, max_size=6).map(lambda w: ["p", "q", *w]))
)
def test_a_message_joins_the_template_that_it_is_most_like(messages: list[list[str]]) -> None:
    known: list[list[str]] = []
    for tokens in messages:
        found = looked_up(known, tokens)
        if found is None:
            known.append(list(tokens))
        else:
            found[:] = [a if a == b else WILDCARD for a, b in zip(found, tokens, strict=True)]
    assert mined(messages).templates() == list(dict.fromkeys(map(" ".join, known)))


@given(MESSAGES, st.sampled_from([2, 3, 100]))
def test_what_was_learnt_is_matched_and_a_template_has_the_tokens_that_all_share(
    messages: list[list[str]], children: int
) -> None:
    templates = mined(messages, children=children).templates()
    assert templates == mined(messages, children=children).templates()
    if messages:
        assert (Matcher(templates).match([" ".join(tokens) for tokens in messages]) >= 0).all()


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (["receive it from node four", "receive it from node five"], ["receive it from node <*>"]),
        (["send block a", "send block b"], ["send block a", "send block b"]),
        (["job a1 is done now ok", "job b2 is done now ok"], ["job <*> is done now ok"]),
        (["one", "two", "one"], ["one", "two"]),
        (["", ""], [""]),
        (["put a b c d e f g h i", "put a x c d e f g h i", "put a x y d e f g h i"],
         ["put a <*> <*> d e f g h i"]),
    ],
)  # fmt: skip
def test_templates(messages: list[str], expected: list[str]) -> None:
    assert mined([message.split() for message in messages]).templates() == expected


def test_twice_the_free_text_costs_twice_the_comparisons() -> None:
    few, many = (mined(free_text(n, 20_000)).compared for n in (2000, 4000))
    assert many <= 2.5 * few


def test_no_message_is_compared_with_more_templates_than_a_leaf_may_have() -> None:
    assert mined(free_text(2000, 12), in_leaf=5).compared <= 5 * 2000


@given(MESSAGES, st.sampled_from([2, 3, 100]))
def test_no_leaf_outgrows_its_bound(messages: list[list[str]], children: int) -> None:
    miner = mined(messages, children=children, in_leaf=2)
    nodes = list(miner._by_length.values())
    while nodes:
        node = nodes.pop()
        assert len(node.templates) <= 2
        assert len(node.children) <= children
        nodes += node.children.values()


def test_a_message_without_room_stays_unknown_and_those_before_it_stay_known() -> None:
    messages = ["a b c d e", "a b f g h", "a b i j k", "a b c d x", "z b c d e"]
    miner = mined([message.split() for message in messages], in_leaf=2)
    assert miner.templates() == ["a b c d <*>", "a b f g h", "z b c d e"]
    assert Matcher(miner.templates()).match(messages).tolist() == [0, 1, -1, 0, 2]


def test_a_message_is_looked_up_as_often_however_many_templates_there_are() -> None:
    draw = random.Random(3)

    def templates(heads: int) -> list[str]:
        shapes = (["<*>" if draw.random() < 0.3 else f"w{at}" for at in range(12)] for _ in range(heads * 40))
        return [" ".join((f"head{n // 40}", f"next{n // 40}", *one)) for n, one in enumerate(shapes)]

    tried = []
    for heads in (10, 100):
        matcher = Matcher(templates(heads))
        matcher.match([f"head{n % 10} next{n % 10} " + "v " * 12 for n in range(200)])
        tried.append(matcher.tried)
    assert tried[1] <= 1.1 * tried[0]
    shared = [" ".join(("<*>" if n % 2 else f"a{n}", f"b{n}", *["c"] * 8)) for n in range(1000)]
    matcher = Matcher(shared)
    matcher.match(["x y " + "c " * 8] * 100)
    assert matcher.tried <= 100 * 4
