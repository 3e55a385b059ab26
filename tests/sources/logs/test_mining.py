"""Drain's templates, at a cost for each message that no writer of log lines can raise."""

from __future__ import annotations

import random

import pytest
from drain3.drain import Drain
from hypothesis import given
from hypothesis import strategies as st

from vestige.sources.logs import mining
from vestige.sources.logs.mining import Miner
from vestige.sources.logs.templates import WILDCARD, Matcher

WORDS = st.sampled_from(["open", "close", "user", "<num>", "<**>", "a1", "b2", "x", "y"])
MESSAGES = st.lists(st.lists(WORDS, max_size=9), max_size=60)


def free_text(n: int, vocabulary: int, words: int = 12) -> list[list[str]]:
    draw = random.Random(7)
    letters = "abcdefghijklmnop"
    known = ["".join(draw.choices(letters, k=6)) for _ in range(vocabulary)]
    return [draw.choices(known, k=words) for _ in range(n)]


def mined(messages: list[list[str]]) -> Miner:
    miner = Miner()
    for one in messages:
        miner.add(one)
    return miner


@given(MESSAGES, st.sampled_from([2, 3, 100]))
def test_below_the_bound_templates_are_those_of_drain(messages: list[list[str]], children: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mining, "MAX_CHILDREN", children)
        drain = Drain(depth=mining.DEPTH, sim_th=mining.SIMILARITY, max_children=children, param_str="<*>")
        for one in messages:
            drain.add_log_message(" ".join(one))
        assert mined(messages).templates() == list(
            dict.fromkeys(cluster.get_template() for cluster in drain.clusters)
        )


def test_twice_the_free_text_costs_twice_the_comparisons() -> None:
    few, many = (mined(free_text(n, 20_000)).compared for n in (2000, 4000))
    assert many <= 2.5 * few


def test_no_message_is_compared_with_more_templates_than_a_leaf_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mining, "MAX_IN_LEAF", 5)
    assert mined(free_text(2000, 12)).compared <= 5 * 2000


@given(MESSAGES, st.sampled_from([2, 3, 100]))
def test_no_leaf_outgrows_its_bound(messages: list[list[str]], children: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mining, "MAX_CHILDREN", children)
        patch.setattr(mining, "MAX_IN_LEAF", 2)
        miner = mined(messages)
        nodes = [miner.root_node]
        while nodes:
            node = nodes.pop()
            assert len(node.cluster_ids) <= 2
            nodes += node.key_to_child_node.values()


def test_a_message_without_room_stays_unknown_and_those_before_it_stay_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mining, "MAX_IN_LEAF", 2)
    messages = ["a b c d e", "a b f g h", "a b i j k", "a b c d x", "z b c d e"]
    miner = mined([one.split() for one in messages])
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


def test_drain_and_the_matcher_mean_the_same_by_a_wildcard() -> None:
    assert Miner().param_str == WILDCARD
