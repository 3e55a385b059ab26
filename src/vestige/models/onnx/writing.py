"""A trained detector as one that needs neither torch nor XGBoost."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vestige import extras
from vestige.errors import UsageError
from vestige.models import ubjson
from vestige.models.base import Detector, HyperParameters
from vestige.models.onnx.detectors import (
    Exported,
    ExportedNetwork,
    ExportedNext,
    ExportedTrees,
    called,
)
from vestige.models.onnx.graph import ML, TREES
from vestige.schema import Input

if TYPE_CHECKING:
    import xgboost as xgb

    from vestige.models.blend.detector import Blend
    from vestige.models.gbt import GradientBoostedTrees
    from vestige.models.neural import NeuralDetector
    from vestige.models.normal.detector import Normal

OPSET, IR = 20, 10
WINDOWS_TRACED = 3
"""Windows of the example that is traced; the graph takes any number."""


def exported(detector: Detector, length: int) -> Detector:
    """The same detector without torch or XGBoost: a graph, or itself where it needs neither. `length`: steps
    of a window. Raises UsageError where an extra is missing, or for a detector that has no graph."""
    if isinstance(detector, Exported):
        raise _already()
    if detector.name == "gbt":
        return _trees(detector)  # type: ignore[arg-type]  # its class imports XGBoost
    if detector.name == "normal":
        return _normal(detector, length)  # type: ignore[arg-type]
    if detector.name == "blend":
        return _blend(detector)  # type: ignore[arg-type]
    if _is_network(detector):
        return _network(detector, length)  # type: ignore[arg-type]
    return detector


def _already() -> UsageError:
    return UsageError("an exported detector already", remedy="copy the file")


def has_graph(detector: Detector) -> bool:
    """Whether a detector's weights are a graph, and not arrays of its own."""
    return isinstance(detector, Exported)


def _is_network(detector: Detector) -> bool:
    return getattr(detector, "module", None) is not None


def _normal(detector: Normal, length: int) -> Normal:
    if detector.network is None:
        return detector
    without = copy.copy(detector)
    network: Any = exported(detector.network, length)
    without.network = network
    return without


def _taken_over(detector: Detector, kind: type[Exported], state: dict[str, Any], payload: bytes) -> Exported:
    """An exported detector with all that the other one has beside its weights."""
    made = called(detector.name, kind)(
        detector.inputs, detector.n_classes, hyper=HyperParameters(), keep_mask=detector.keep_mask
    )
    made.standardize = detector.standardize
    learnt_with = detector.hyper.model_dump(mode="json")
    made.load_sidecar(payload, {**state, "learnt_with": learnt_with})
    return made


def _network(detector: NeuralDetector, length: int) -> Exported:
    extras.require("onnx", "an export")
    payload = _traced(detector, length)
    if detector.task == "next":
        return _taken_over(detector, ExportedNext, detector.state_for_checkpoint(), payload)
    return _taken_over(detector, ExportedNetwork, {}, payload)


def _traced(detector: NeuralDetector, length: int) -> bytes:
    """The network's graph, the number of windows left open."""
    import onnx
    import torch
    from torch import Tensor, nn

    class OneInput(nn.Module):
        """Plain arguments, in place of any number of them."""

        def __init__(self) -> None:
            super().__init__()
            self.network = detector.module

        def forward(self, first: Tensor) -> Tensor:
            logits: Tensor = self.network(first)
            return logits

    class TwoInputs(OneInput):
        """The same with two."""

        def forward(self, first: Tensor, second: Tensor) -> Tensor:  # type: ignore[override]
            logits: Tensor = self.network(first, second)
            return logits

    example = {spec.name: _example(spec, length) for spec in detector.inputs}
    tensors = detector.to_tensors(example, "cpu")
    if len(tensors) > 2:
        raise UsageError(f"{detector.name} reads {len(tensors)} inputs; an export has two at most")
    was_training = detector.module.training
    module = (OneInput if len(tensors) == 1 else TwoInputs)().eval()
    with torch.no_grad(), warnings.catch_warnings(), _quiet("torch.onnx"):
        warnings.simplefilter("ignore")  # the exporter's own, of its own parts
        program = torch.onnx.export(
            module,
            tensors,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            external_data=False,
            input_names=[spec.name for spec in detector.inputs],
            output_names=["logits"],
            dynamic_shapes=tuple({0: torch.export.Dim.DYNAMIC} for _ in tensors),
        )
    detector.module.train(was_training)
    if program is None:
        raise UsageError(f"{detector.name} cannot be exported")
    model = program.model_proto
    bare = onnx.helper.make_model(_bare(model.graph), opset_imports=list(model.opset_import), ir_version=IR)
    return bytes(bare.SerializeToString())


def _bare(graph: Any) -> Any:
    """A graph without where its parts came from, which names paths of this machine."""
    del graph.value_info[:]
    graph.doc_string = ""
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    return graph


class _quiet:  # noqa: N801 - a context, like those of the standard library
    """Nothing below an error is logged under a name."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def __enter__(self) -> None:
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)


def _example(spec: Input, length: int) -> NDArray[Any]:
    rng = np.random.default_rng(0)
    steps = spec.length or length
    if spec.kind == "tokens":
        return rng.integers(1, len(spec.vocabulary or ()), (WINDOWS_TRACED, steps), dtype=np.int64)
    size = len(spec.features) or spec.size
    shape: Sequence[int] = (WINDOWS_TRACED, size)
    if spec.kind == "tensor":
        shape = (WINDOWS_TRACED, size, steps)
    if spec.kind == "vectors":
        shape = (WINDOWS_TRACED, steps, size)
    return rng.standard_normal(shape).astype(np.float32)


def _trees(detector: GradientBoostedTrees) -> Exported:
    spec = detector.inputs[0]
    payload = _ensemble(
        detector.booster, spec.name, detector.width(spec), detector.n_classes, "probabilities", "SOFTMAX"
    )
    return _taken_over(detector, ExportedTrees, {"zero_is_missing": detector.zero_is_missing}, payload)


def _blend(detector: Blend) -> Blend:
    """The same, the trees of each reservoir as a graph within its weights."""
    from vestige.models.blend.members import STATES, ExportedForest, GrownForest

    if not isinstance(detector.forest, GrownForest):
        raise _already()
    classes = detector.n_classes
    boosters = detector.forest.boosters
    widths = [booster.num_features() for booster in boosters]
    payloads = [
        _ensemble(booster, STATES, width, classes, "logits", "NONE")
        for booster, width in zip(boosters, widths, strict=True)
    ]
    without = copy.copy(detector)
    without.forest = ExportedForest.of(payloads, widths, classes)
    return without


def _ensemble(
    booster: xgb.Booster, takes: str, width: int, classes: int, gives: str, transform: str
) -> bytes:
    """`TreeEnsembleRegressor` of trees on `width` columns, a target for each class: a value below the
    condition goes left, a missing one where the tree has learnt to send it. `transform`: of the sums of
    leaves, as the operator calls it. Not `TreeEnsembleClassifier`: where there are two classes, ONNX Runtime
    gives each of them the other's probability."""
    extras.require("onnx", "an export")
    import onnx

    model = ubjson.loads(bytes(booster.save_raw("ubj")))["learner"]
    forest = model["gradient_booster"]["model"]
    columns = _Columns()
    for number, (tree, which) in enumerate(zip(forest["trees"], forest["tree_info"], strict=True)):
        columns.add(number, tree, int(which))
    start = str(model["learner_model_param"]["base_score"]).strip("[]").split(",")
    base = np.broadcast_to(np.array(start, dtype=np.float64), (classes,))
    node = onnx.helper.make_node(
        TREES, [takes], [gives], domain=ML, post_transform=transform, n_targets=classes,
        base_values=base.tolist(), **columns.attributes,
    )  # fmt: skip
    tensor = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "trees",
        [tensor(takes, onnx.TensorProto.FLOAT, ["windows", width])],
        [tensor(gives, onnx.TensorProto.FLOAT, ["windows", classes])],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(ML, 3)]
    whole = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR)
    return bytes(whole.SerializeToString())


class _Columns:
    """Nodes of all trees, as the attributes of the operator list them."""

    def __init__(self) -> None:
        nodes = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
        names = [f"nodes_{name}" for name in (*nodes, "missing_value_tracks_true")]
        names += [f"target_{name}" for name in ("treeids", "nodeids", "ids", "weights")]
        self.attributes: dict[str, Any] = {name: [] for name in names}

    def add(self, number: int, tree: dict[str, Any], which: int) -> None:
        """A tree of the class `which`."""
        left = np.asarray(tree["left_children"])
        leaf, n = left == -1, len(left)
        condition = np.asarray(tree["split_conditions"], dtype=np.float32)
        of_nodes = {
            "treeids": [number] * n,
            "nodeids": list(range(n)),
            "featureids": np.where(leaf, 0, np.asarray(tree["split_indices"])).tolist(),
            "values": np.where(leaf, np.float32(0), condition).tolist(),
            "modes": ["LEAF" if is_leaf else "BRANCH_LT" for is_leaf in leaf],
            "truenodeids": np.where(leaf, 0, left).tolist(),
            "falsenodeids": np.where(leaf, 0, np.asarray(tree["right_children"])).tolist(),
            "missing_value_tracks_true": np.where(leaf, 0, np.asarray(tree["default_left"])).tolist(),
        }
        for name, values in of_nodes.items():
            self.attributes[f"nodes_{name}"] += values
        leaves = np.flatnonzero(leaf)
        self.attributes["target_treeids"] += [number] * len(leaves)
        self.attributes["target_nodeids"] += leaves.tolist()
        self.attributes["target_ids"] += [which] * len(leaves)
        self.attributes["target_weights"] += condition[leaves].tolist()
