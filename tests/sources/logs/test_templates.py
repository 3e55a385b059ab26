"""Templates are mined from what they are given, and matched by an index built from their list alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vestige.sources.logs import templates
from vestige.sources.logs.mining import WILDCARD, Miner
from vestige.sources.logs.templates import Matcher, fit_templates, tokens_of

WORDS = st.sampled_from(["open", "close", "user", "file", "<num>", "<ip>", "<*>", "a1", "b2", "x", "y"])
MESSAGES = st.lists(st.lists(WORDS, max_size=6).map(" ".join), max_size=40)


def fit(messages: list[str]) -> list[str]:
    return fit_templates(messages, [1] * len(messages))


def slow_match(known: list[str], message: str) -> int:
    """What the documentation of `Matcher` says, word by word."""
    tokens = tokens_of(message)
    best: tuple[int, tuple[int, ...]] | None = None
    answer = -1
    for index, template in enumerate(known):
        parts = template.split()
        constants = tuple(at for at, part in enumerate(parts) if part != WILDCARD)
        if len(parts) == len(tokens) and all(parts[at] == tokens[at] for at in constants):
            rank = (-len(constants), constants)
            if best is None or rank < best:
                best, answer = rank, index
    return answer


def test_what_differs_between_messages_of_one_shape_becomes_a_wildcard() -> None:
    mined = fit(["session opened for user alice by <num>", "session opened for user bob by <num>"])

    assert mined == ["session opened for user <*> by <num>"]


def test_different_events_of_equal_length_stay_apart() -> None:
    assert len(fit(["connection closed by <ip>", "password accepted for root"])) == 2


def test_messages_that_count_nothing_take_no_part() -> None:
    messages = ["session opened for user alice by <num>", "session opened for user bob by <num>", "disk full"]

    assert fit_templates(messages, [5, 0, 0]) == ["session opened for user alice by <num>"]


def test_only_the_first_line_is_mined() -> None:
    assert fit(["request failed\n  at Main.run\n  at Main.main"]) == ["request failed"]
    assert Matcher(["request failed"]).match(["request failed\nanything", "request\nfailed"]).tolist() == [
        0,
        -1,
    ]


def test_an_endless_line_is_cut() -> None:
    endless = "w " * 100_000

    (template,) = fit([endless])

    assert len(template.split()) == templates.MAX_TOKENS
    assert Matcher([template]).match([endless, endless + "more"]).tolist() == [0, 0]


def test_a_wildcard_written_by_the_message_itself_is_no_wildcard() -> None:
    mined = fit(["<*> <*> <*>", "alpha beta gamma"])
    matcher = Matcher(mined)

    assert mined[0].split().count(WILDCARD) == 0
    assert matcher.match(["<*> <*> <*>", "alpha beta gamma", "one two three"]).tolist() == [0, 1, -1]


def test_the_most_specific_template_wins() -> None:
    matcher = Matcher(["<*> <*>", "job <*>", "<*> done", "job done"])

    assert matcher.match(["job done", "job lost", "task done", "task lost", "job"]).tolist() == [
        3,
        1,
        2,
        0,
        -1,
    ]


def test_an_empty_message_matches_the_empty_template_only() -> None:
    assert fit(["", "  "]) == [""]
    assert Matcher(["x", ""]).match(["", "x", "y"]).tolist() == [1, 0, -1]
    assert Matcher([]).match(["", "x"]).tolist() == [-1, -1]
    assert Matcher(["x"]).match([]).shape == (0,)


@given(MESSAGES)
def test_every_mined_message_has_a_template(messages: list[str]) -> None:
    assert (Matcher(fit(messages)).match(messages) >= 0).all()


@given(MESSAGES, MESSAGES)
def test_the_index_agrees_with_its_definition(messages: list[str], others: list[str]) -> None:
    known = fit(messages)

    assert Matcher(known).match(messages + others).tolist() == [
        slow_match(known, one) for one in messages + others
    ]


@given(st.lists(st.text(max_size=30), max_size=20))
def test_no_text_breaks_the_miner_and_json_keeps_its_templates(messages: list[str]) -> None:
    known = fit(messages)
    reloaded = json.loads(json.dumps(known))

    assert reloaded == known
    assert len(set(known)) == len(known)
    np.testing.assert_array_equal(Matcher(reloaded).match(messages), Matcher(known).match(messages))
    assert (Matcher(known).match(messages) >= 0).all()


def test_free_text_does_not_grow_templates_without_end() -> None:
    messages = ["a b c d", "e f g h", "i j k l", "m n o p", "a b c z"]
    miner = Miner(most=3)
    for message in messages:
        miner.add(tokens_of(message))

    mined = miner.templates()

    assert mined == ["a b c <*>", "e f g h", "i j k l"]
    assert Matcher(mined).match(messages).tolist() == [0, 1, 2, -1, 0]


def test_mining_does_not_depend_on_the_hash_seed() -> None:
    script = (
        "from vestige.sources.logs.templates import fit_templates;"
        "m=[f'{w} {i % 7} from host{i} took <num>' for i in range(300) for w in ('open','shut','read')];"
        "print(fit_templates(m,[1]*len(m)))"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(runs) == 1


def test_every_message_that_was_fitted_is_matched() -> None:
    messages = [
        f"{verb} object {i} of kind k{i % 50} for <ip> in <num>"
        for i in range(5_000)
        for verb in ("get", "put")
    ]
    matcher = Matcher(fit(messages))

    assert (matcher.match(messages) >= 0).all()
