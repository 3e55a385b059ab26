"""Trees of an XGBoost model, checked before XGBoost sees a byte of them.

XGBoost trusts the indices in a model: a split on a feature that does not exist, or a child that is none,
reads beyond its memory or never ends. Here a model is parsed, every number of it is held against what it may
be, and what is handed on is written anew from the checked values, so that no other reading of the bytes is
possible.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.models import ubjson

DEEPEST = 64
"""Splits between the root and a leaf at most: as many as `max_depth` may ask for."""
_ROOT = 2**31 - 1
"""What stands in the place of the root's parent."""
_INTEGERS = ("left_children", "right_children", "parents", "split_indices")
_FLOATS = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")
_BYTES = ("default_left", "split_type")
_CATEGORIES = ("categories", "categories_nodes", "categories_segments", "categories_sizes")
_KINDS = (
    dict.fromkeys(_INTEGERS, ("i", 4)) | dict.fromkeys(_FLOATS, ("f", 4)) | dict.fromkeys(_BYTES, ("u", 1))
)
"""Kind and bytes of what each column of a tree holds."""
_LEARNER = frozenset(
    ("attributes", "feature_names", "feature_types", "gradient_booster", "learner_model_param", "objective")
)
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")


def checked_model(payload: bytes, *, features: list[str], classes: int, objective: str) -> bytes:
    """The model in `payload`, in UBJSON, written anew.

    `features` are the names of its columns in their order, `classes` how many it tells apart by `objective`.
    Raises ValueError for one that was grown on others, and for anything that no such model holds.
    """
    try:
        model = ubjson.loads(payload)
    except ValueError as error:
        raise ValueError(f"not an XGBoost model ({error})") from error
    _keys(model, "the model", {"learner", "version"})
    version = [checked.whole(part, "version", 0, 10_000) for part in _list(model["version"], "version")]
    learner = _keys(model["learner"], "learner", _LEARNER)
    if _list(learner["feature_names"], "feature_names") != features:
        raise ValueError("the trees were grown on other features than the schema names")
    if not set(checked.texts(learner["feature_types"], "feature_types")) <= {"float", "int", "i", "q"}:
        raise ValueError("the trees were grown on features of another type than numbers")
    about = _about(learner["learner_model_param"], len(features), classes)
    told = _keys(learner["objective"], "objective", {"name", "softmax_multiclass_param"})
    softmax = _keys(told["softmax_multiclass_param"], "softmax_multiclass_param", {"num_class"})
    _count(softmax["num_class"], "num_class", classes)
    if told["name"] != objective:
        raise ValueError(f"the trees are of the objective {checked.shown(told['name'])}, not {objective}")
    booster = _keys(learner["gradient_booster"], "gradient_booster", {"model", "name"})
    if booster["name"] != "gbtree":
        raise ValueError(f"a model of another kind than trees: {checked.shown(booster['name'])}")
    made = {
        "attributes": {}, "feature_names": features, "feature_types": [],
        "gradient_booster": {"model": _forest(booster["model"], len(features), classes), "name": "gbtree"},
        "learner_model_param": about,
        "objective": {"name": objective, "softmax_multiclass_param": {"num_class": str(classes)}},
    }  # fmt: skip
    return ubjson.dumps({"learner": made, "version": version})


def _about(plain: Any, features: int, classes: int) -> dict[str, str]:
    """What is said of all trees together: the score that they start from is a finite number, one a class."""
    names = {"base_score", "boost_from_average", "num_class", "num_feature", "num_target"}
    about = _keys(plain, "learner_model_param", names)
    if about["num_class"] != str(classes):
        told = checked.text(about["num_class"], "num_class")[: checked.SHOWN]
        raise ValueError(f"the trees tell {told} classes apart, not {classes}")
    _count(about["num_feature"], "num_feature", features)
    _count(about["num_target"], "num_target", 1)
    if about["boost_from_average"] not in {"0", "1"}:
        raise ValueError(f"boost_from_average is {checked.shown(about['boost_from_average'])}")
    score = checked.text(about["base_score"], "base_score")
    scores = score.removeprefix("[").removesuffix("]").split(",") if score.startswith("[") else [score]
    if len(scores) not in {1, classes} or not all(map(_NUMBER.fullmatch, scores)):
        raise ValueError(f"base_score is {checked.shown(score)}, not a number for each class")
    if not np.isfinite(np.array(scores, dtype=np.float32)).all():
        raise ValueError("base_score is no finite number")
    return about


def _forest(plain: Any, features: int, classes: int) -> dict[str, Any]:
    model = _keys(plain, "model", {"gbtree_model_param", "iteration_indptr", "tree_info", "trees"}, {"cats"})
    for name, column in _keys(model.get("cats", {}), "cats", set(), set(_CATS)).items():
        if len(column):
            raise ValueError(f"the trees split by categories ({name}): there are none")
    trees = _list(model["trees"], "trees")
    about = _keys(model["gbtree_model_param"], "gbtree_model_param", {"num_parallel_tree", "num_trees"})
    _count(about["num_trees"], "num_trees", len(trees))
    _count(about["num_parallel_tree"], "num_parallel_tree", 1)
    if len(trees) % classes:
        raise ValueError(f"{len(trees)} trees do not make rounds of {classes}")
    rounds = list(range(0, len(trees) + 1, classes))
    if _list(model["iteration_indptr"], "iteration_indptr") != rounds:
        raise ValueError("iteration_indptr does not divide the trees into rounds of one a class")
    info = [number % classes for number in range(len(trees))]
    if _list(model["tree_info"], "tree_info") != info:
        raise ValueError("tree_info names other classes than a round has")
    made = [_tree(tree, number, features) for number, tree in enumerate(trees)]
    return {**model, "iteration_indptr": rounds, "tree_info": info, "trees": made}


_CATS = ("enc", "feature_segments", "sorted_idx")


def _tree(plain: Any, number: int, features: int) -> dict[str, Any]:
    called = f"tree {number}"
    tree = _keys(plain, called, {*_INTEGERS, *_FLOATS, *_BYTES, *_CATEGORIES, "id", "tree_param"})
    about = _keys(tree["tree_param"], called, {"num_deleted", "num_feature", "num_nodes", "size_leaf_vector"})
    _count(about["num_feature"], f"{called}: num_feature", features)
    _count(about["num_deleted"], f"{called}: num_deleted", 0)
    if about["size_leaf_vector"] not in {"0", "1"}:
        raise ValueError(f"{called}: size_leaf_vector is {checked.shown(about['size_leaf_vector'])}")
    if tree["id"] != number:
        raise ValueError(f"{called}: id is {checked.shown(tree['id'])}")
    if any(len(tree[name]) for name in _CATEGORIES):
        raise ValueError(f"{called} splits by categories: there are none")
    columns = {name: _column(tree[name], f"{called}: {name}", *kind) for name, kind in _KINDS.items()}
    n = len(columns["left_children"])
    if not n or {len(column) for column in columns.values()} != {n}:
        raise ValueError(f"{called}: arrays of different lengths")
    _count(about["num_nodes"], f"{called}: num_nodes", n)
    _structure(columns, called)
    _values(columns, called, features)
    return {**tree, "id": number}


def _structure(columns: dict[str, NDArray[Any]], called: str) -> None:
    """Raise ValueError unless the nodes are one tree: each but the root is a child once, below its parent."""
    left, right, parents = (columns[name].astype(np.int64) for name in _INTEGERS[:3])
    n = len(left)
    inner = np.flatnonzero((left != -1) | (right != -1))
    children = np.concatenate([left[inner], right[inner]])
    above = np.concatenate([inner, inner])
    # Children have higher numbers than their parents: then there is no way round.
    if (children <= above).any() or (children >= n).any():
        raise ValueError(f"{called}: a child is no node below its parent")
    if not np.array_equal(np.sort(children), np.arange(1, n)):
        raise ValueError(f"{called}: a node is no child, or the child of two")
    expected = np.full(n, _ROOT, dtype=np.int64)
    expected[children] = above
    if not np.array_equal(parents, expected):
        raise ValueError(f"{called}: a node names another parent than it has")
    level, depth = np.zeros(1, dtype=np.int64), 0
    while len(level := level[left[level] != -1]):
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"{called} is deeper than {DEEPEST} splits")
        level = np.concatenate([left[level], right[level]])


def _values(columns: dict[str, NDArray[Any]], called: str, features: int) -> None:
    """Raise ValueError where a split is by no feature, or a number is none."""
    indices = columns["split_indices"]
    if (indices < 0).any() or (indices >= features).any():
        raise ValueError(f"{called} splits by a feature that there is not: {features} are named")
    if columns["split_type"].any() or (columns["default_left"] > 1).any():
        raise ValueError(f"{called}: a split is of an unknown kind")
    condition, leaf = columns["split_conditions"], columns["left_children"] == -1
    # The highest bound of a feature may be infinite; what a leaf says may not.
    if np.isnan(condition).any() or not np.isfinite(condition[leaf]).all():
        raise ValueError(f"{called}: a value is no finite number")
    for name in ("base_weights", "sum_hessian", "loss_changes"):
        if not np.isfinite(columns[name]).all():
            raise ValueError(f"{called}: {name} holds a value that is no finite number")


def _keys(plain: Any, called: str, needed: Set[str], allowed: Set[str] = frozenset()) -> dict[str, Any]:
    fields = checked.mapping(plain, called)
    if not needed <= set(fields) <= needed | allowed:
        wrong = sorted(needed ^ set(fields) - allowed)
        raise ValueError(f"{called}: not the fields that a model of XGBoost has ({', '.join(wrong)[:200]})")
    return fields


def _list(value: Any, called: str) -> list[Any]:
    if isinstance(value, np.ndarray):
        return list(value.tolist())
    if not isinstance(value, list):
        raise ValueError(f"{called} is {checked.shown(value)}, not a list")
    return value


def _column(value: Any, called: str, kind: str, size: int) -> NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.dtype.kind != kind or value.dtype.itemsize != size:
        raise ValueError(f"{called} is no array of the type that XGBoost writes")
    return value


def _count(value: Any, called: str, expected: int) -> None:
    """Raise ValueError unless `value` is the text of that number."""
    if value != str(expected):
        raise ValueError(f"{called} is {checked.shown(value)}, not {expected}")
