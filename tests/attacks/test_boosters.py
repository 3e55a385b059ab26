"""Trees from a file are checked before XGBoost, which trusts them, sees a byte (it would end the process)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from numpy.typing import NDArray

from tests.attacks.effort import EFFORT
from vestige.models import trees, ubjson

FEATURES = list("abcde")
OBJECTIVE = "multi:softprob"
MUTATIONS = 1500 * EFFORT
STEP = max(1, 7 // EFFORT)
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def payload() -> bytes:
    rng = np.random.default_rng(0)
    X = rng.random((200, len(FEATURES))).astype(np.float32)
    X[::7, 2] = np.nan
    data = xgb.DMatrix(X, label=rng.integers(0, 2, 200), feature_names=FEATURES, nthread=1)
    options = {"objective": OBJECTIVE, "num_class": 2, "max_depth": 3, "nthread": 1, "verbosity": 0}
    return bytes(xgb.train(options, data, 3).save_raw("ubj"))


def checked(payload: bytes) -> bytes:
    return trees.checked_model(payload, features=FEATURES, classes=2, objective=OBJECTIVE)


def predicted(payload: bytes) -> NDArray[np.float32]:
    booster = xgb.Booster({"nthread": 1})
    booster.load_model(bytearray(payload))
    X = np.random.default_rng(1).random((50, len(FEATURES))).astype(np.float32)
    return np.asarray(booster.inplace_predict(X))


def test_a_sound_model_predicts_what_it_did(payload: bytes) -> None:
    assert np.array_equal(predicted(checked(payload)), predicted(payload))
    # What is written anew is a fixed point: nothing is lost the second time.
    assert checked(checked(payload)) == checked(payload)


def first_tree(model: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = model["learner"]["gradient_booster"]["model"]["trees"][0]
    return tree


def with_value(name: str, at: int, value: float) -> Change:
    def change(model: dict[str, Any]) -> None:
        column = first_tree(model)[name].copy()
        column[at] = value
        first_tree(model)[name] = column

    return change


def shorter(model: dict[str, Any]) -> None:
    tree = first_tree(model)
    tree["right_children"] = tree["right_children"][:-1]


def by_categories(model: dict[str, Any]) -> None:
    first_tree(model)["categories"] = np.array([3], dtype=">i4")


def set_in(*path: str, to: Any) -> Change:
    def change(model: dict[str, Any]) -> None:
        inner: Any = model
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = to

    return change


FOREST = ("learner", "gradient_booster", "model")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (with_value("split_indices", 0, 2**31 - 1), "a feature that there is not"),
        (with_value("split_indices", 0, -1), "a feature that there is not"),
        (with_value("split_indices", 0, 5), "a feature that there is not"),
        (with_value("left_children", 0, 0), "no node below its parent"),
        (with_value("left_children", 1, 1), "no node below its parent"),
        (with_value("right_children", 0, 2**31 - 1), "no node below its parent"),
        (with_value("right_children", 0, -2), "no node below its parent"),
        (with_value("right_children", 0, -1), "no node below its parent"),
        (with_value("left_children", 0, 2), "a node is no child, or the child of two"),
        (with_value("parents", 1, 2), "another parent"),
        (with_value("split_type", 0, 1), "unknown kind"),
        (with_value("default_left", 0, 255), "unknown kind"),
        (with_value("split_conditions", -1, np.nan), "no finite number"),
        (with_value("split_conditions", -1, np.inf), "no finite number"),
        (with_value("sum_hessian", 0, np.nan), "no finite number"),
        (shorter, "different lengths"),
        (by_categories, "categories"),
        (set_in(*FOREST, "tree_info", to=[0, 1, 0, 1, 0, 7]), "other classes"),
        (set_in(*FOREST, "iteration_indptr", to=[0, 2, 4, 600]), "rounds of one a class"),
        (set_in(*FOREST, "gbtree_model_param", "num_trees", to="9" * 30), "num_trees"),
        (set_in("learner", "learner_model_param", "num_feature", to="4000000000"), "num_feature"),
        (set_in("learner", "learner_model_param", "num_target", to="2"), "num_target"),
        (set_in("learner", "learner_model_param", "base_score", to="[nan,0]"), "base_score"),
        (set_in("learner", "gradient_booster", "name", to="dart"), "another kind than trees"),
        (set_in("learner", "objective", "name", to="reg:squarederror"), "objective"),
        (set_in("learner", "feature_types", to=["c"] * 5), "another type than numbers"),
        (set_in("version", to=[10**9, 0, 0]), "version"),
        (set_in("learner", "gradient_booster", "model", "trees", to=[]), "num_trees"),
        (set_in("learner", "surprise", to="x"), "not the fields"),
    ],
)
def test_whatever_no_model_holds_is_refused_unseen(payload: bytes, change: Change, told: str) -> None:
    model = ubjson.loads(payload)
    change(model)
    with pytest.raises(ValueError, match=told):
        checked(ubjson.dumps(model))


@pytest.mark.parametrize(
    "hostile",
    [
        b"{" + (b"L" + b"\0" * 7 + b"\1a{") * 5_000,
        b"{L" + b"\x7f" * 8,
        b"{L\0\0\0\0\0\0\0\1a[$L#L" + b"\x7f" * 8 + b"}",
        b"{L\0\0\0\0\0\0\0\1a[#L" + b"\x7f" * 8 + b"}",
        b"{L\0\0\0\0\0\0\0\1aS" + b"L" + b"\xff" * 8 + b"}",
        b"{L\0\0\0\0\0\0\0\1aZL\0\0\0\0\0\0\0\1aZ}",
        b"{L\0\0\0\0\0\0\0\1\xffZ}",
        b"{}behind",
    ],
    ids=["deep", "long key", "long array", "long list", "negative", "twice", "no UTF-8", "behind"],
)
def test_lengths_and_depths_are_believed_by_nobody(hostile: bytes) -> None:
    with pytest.raises(ValueError, match="not an XGBoost model"):
        checked(hostile)


def test_a_chain_deeper_than_any_tree_is_refused(payload: bytes) -> None:
    """XGBoost walks explanations by recursion: depth has an end, too."""
    model, n = ubjson.loads(payload), 2 * 100 + 1
    tree = first_tree(model)
    left, right = np.full(n, -1), np.full(n, -1)
    left[0 : n - 2 : 2], right[0 : n - 2 : 2] = np.arange(1, n - 1, 2), np.arange(2, n, 2)
    left[1::2] = right[1::2] = -1
    parents = np.full(n, 2**31 - 1)
    for node in range(0, n - 2, 2):
        parents[[node + 1, node + 2]] = node
    for name, column in (("left_children", left), ("right_children", right), ("parents", parents)):
        tree[name] = column.astype(">i4")
    tree["split_indices"] = np.zeros(n, dtype=">i4")
    for name in ("base_weights", "loss_changes", "split_conditions", "sum_hessian"):
        tree[name] = np.zeros(n, dtype=">f4")
    for name in ("default_left", "split_type"):
        tree[name] = np.zeros(n, dtype=">u1")
    tree["tree_param"]["num_nodes"] = str(n)
    with pytest.raises(ValueError, match="deeper than 64"):
        checked(ubjson.dumps(model))


def test_every_cut_is_refused(payload: bytes) -> None:
    for length in range(0, len(payload), STEP):
        with pytest.raises(ValueError, match="not an XGBoost model"):
            checked(payload[:length])


def test_what_is_let_pass_predicts_probabilities(payload: bytes) -> None:
    """Bytes changed at random: refused, or handed on as trees that XGBoost walks to an end, here."""
    rng = random.Random(17)
    passed = refused = 0
    for _ in range(MUTATIONS):
        mutated = bytearray(payload)
        for _ in range(rng.choice((1, 1, 2, 4))):
            mutated[rng.randrange(len(mutated))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        try:
            sound = checked(bytes(mutated))
        except ValueError:
            refused += 1
            continue
        passed += 1
        if passed <= 300:
            assert np.isfinite(predicted(sound)).all()
    assert passed > 50  # thresholds and leaves are theirs to have
    assert refused > 50
