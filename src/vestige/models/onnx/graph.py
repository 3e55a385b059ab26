"""A graph of ONNX: checked before the runtime sees it, then run.

The runtime is native code and trusts much of what it reads. So only operators that our own exports use are
let pass, nothing that names a file, no graph within a graph, and no tree whose nodes lead out of it.
Specification: https://onnx.ai/onnx/repo-docs/IR.html and Operators-ml.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige import extras
from vestige.errors import CheckpointError
from vestige.schema import Kind

REMEDY = "export the detector again"
TOLD = 200
"""Characters of what the runtime says that are told."""
LARGEST = 2**31 - 1
"""Bytes of a graph at most: the format holds no more in one piece."""
MOST_NODES = 1_000_000
IR_VERSIONS = range(8, 12)
OPSETS = range(17, 24)
OPERATORS = frozenset((
    "Add", "And", "ArgMax", "Cast", "Concat", "Constant", "ConstantOfShape", "Conv", "CumSum", "Div",
    "Einsum", "Equal", "Erf", "Exp", "Expand", "GRU", "Gather", "GatherElements", "Gelu", "Gemm",
    "GreaterOrEqual", "Identity", "InstanceNormalization", "IsNaN", "LSTM", "LayerNormalization", "Log",
    "MatMul", "Max", "Min", "Mul", "Neg", "Not", "PRelu", "Pow", "Range", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceSum", "Relu", "Reshape", "ScatterElements", "Shape", "Sigmoid", "Slice", "Softmax",
    "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze", "Where",
))  # fmt: skip
"""Of the standard domain, those that exported networks are made of."""
TREES, ML = "TreeEnsembleRegressor", "ai.onnx.ml"
SWAPPED = "TreeEnsembleClassifier"
"""What exported trees were once: ONNX Runtime gave each of two classes the other's probability."""
DTYPES: Mapping[Kind, str] = {"tokens": "tensor(int64)"}
"""Of an input's numbers, by its kind; all others are float32."""


class Graph:
    """A graph ready to run, on one thread."""

    def __init__(self, payload: bytes, inputs: Sequence[tuple[str, Kind]], outputs: int) -> None:
        """`payload` is checked: it takes `inputs` (name and kind, in this order), and gives `outputs` numbers
        a window. Raises ValueError where it is no such graph, CheckpointError for one of an earlier version
        that is to be exported again, UsageError where the extra is missing."""
        extras.require("onnx", "an exported detector")
        _check(payload)
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised, and told by us
        # Memory is handed back after each call: a service holds windows for a moment only.
        options.enable_cpu_mem_arena = False
        try:
            self._session = ort.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
        except _errors() as error:
            raise ValueError(f"the runtime refuses the graph ({str(error)[:TOLD]})") from error
        expected = [(name, DTYPES.get(kind, "tensor(float)")) for name, kind in inputs]
        found = [(spec.name, spec.type) for spec in self._session.get_inputs()]
        if found != expected:
            raise ValueError(f"the graph takes {found}, expected {expected}")
        last = self._session.get_outputs()[-1]
        if last.type != "tensor(float)" or len(last.shape) != 2 or last.shape[1] not in (outputs, None):
            raise ValueError(f"the graph gives {last.type} of shape {last.shape}, expected {outputs} columns")
        self._names, self._output, self._outputs = [name for name, _ in inputs], last.name, outputs

    @property
    def width(self) -> int | str | None:
        """Columns of its first input; a name or None where the graph leaves them open."""
        columns: int | str | None = self._session.get_inputs()[0].shape[-1]
        return columns

    def run(self, arrays: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """What the graph gives of a batch, `(B, outputs)`: float32. Raises CheckpointError where it cannot be
        run."""
        feed = dict(zip(self._names, arrays, strict=True))
        try:
            found: NDArray[np.float32] = self._session.run([self._output], feed)[0]
        except _errors() as error:
            raise CheckpointError(
                f"the graph of an exported detector cannot be run ({str(error)[:TOLD]})", remedy=REMEDY
            ) from error
        if found.shape != (len(arrays[0]), self._outputs):
            raise CheckpointError(
                f"the graph of an exported detector gave {found.shape}, expected {self._outputs} columns",
                remedy=REMEDY,
            )
        return found


def _errors() -> tuple[type[Exception], ...]:
    """What the runtime raises: its errors have no base class of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = (
        "Fail",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "NotImplemented",
        "RuntimeException",
    )
    return tuple(getattr(state, name) for name in names)


def read_model(payload: bytes) -> Any:
    """The bytes as a model of ONNX; its type is that of the library. Raises ValueError."""
    extras.require("onnx", "an exported detector")
    import onnx
    from google.protobuf.message import DecodeError

    if len(payload) > LARGEST:
        raise ValueError(f"a graph of {len(payload):,} bytes: {LARGEST:,} at most")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(payload)
    except DecodeError as error:
        raise ValueError("not a model of ONNX") from error
    return model


def _check(payload: bytes) -> None:
    """Raise ValueError for a graph that holds anything that our exports do not, CheckpointError for one of an
    earlier version whose probabilities were wrong."""
    model = read_model(payload)
    graph = model.graph
    if model.ir_version not in IR_VERSIONS or len(model.functions) or len(model.training_info):
        raise ValueError("of a version of the format that is not read, or with functions of its own")
    for used in model.opset_import:
        wanted = OPSETS if used.domain == "" else range(1, 6) if used.domain == ML else ()
        if used.version not in wanted:
            raise ValueError(f"operators of {used.domain or 'the standard'} {used.version} are not read")
    if len(graph.node) > MOST_NODES or len(graph.sparse_initializer):
        raise ValueError("more nodes than any exported detector has, or sparse weights")
    for tensor in graph.initializer:
        _check_tensor(tensor)
    for node in graph.node:
        if node.domain == ML and node.op_type == TREES:
            width = graph.input[0].type.tensor_type.shape.dim[-1].dim_value if len(graph.input) else 0
            _check_trees({attribute.name: attribute for attribute in node.attribute}, width)
        elif node.domain == ML and node.op_type == SWAPPED:
            raise CheckpointError(
                "exported by an earlier version of vestige, in whose trees two classes had each other's "
                "probability",
                remedy="export it again: vestige export DETECTOR -o FILE.onnx --overwrite",
            )
        elif node.domain or node.op_type not in OPERATORS:
            raise ValueError(f"the operator {node.op_type[:40]!r} is none that exported detectors have")
        for attribute in node.attribute:
            if attribute.HasField("g") or len(attribute.graphs) or attribute.HasField("sparse_tensor"):
                raise ValueError("a graph within the graph")
            if attribute.HasField("t"):
                _check_tensor(attribute.t)


def _check_tensor(tensor: Any) -> None:
    """Raise ValueError for weights that lie elsewhere, or that are no finite numbers."""
    import onnx

    if tensor.data_location != onnx.TensorProto.DEFAULT or len(tensor.external_data):
        raise ValueError("weights that lie in another file are not read")
    if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        try:
            values = onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise ValueError("weights of another size than their shape") from error
        # Masks lie infinitely low; nothing is undefined.
        if np.isnan(values).any():
            raise ValueError("a weight is no number")


def _check_trees(attributes: Mapping[str, Any], width: int) -> None:
    """Raise ValueError unless every node leads to later ones of its tree, by one of `width` features."""
    names = ("nodes_treeids", "nodes_nodeids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_featureids")
    missing = [name for name in (*names, "nodes_modes", "nodes_values") if name not in attributes]
    if missing:
        raise ValueError(f"trees without {missing[0]}")
    tree, number, true, false, feature = (np.array(attributes[name].ints, dtype=np.int64) for name in names)
    modes = np.array(list(attributes["nodes_modes"].strings))
    values = np.array(attributes["nodes_values"].floats)
    sizes = {len(column) for column in (tree, number, true, false, feature, modes, values)}
    if len(sizes) != 1 or not len(tree):
        raise ValueError("columns of trees of different lengths")
    if set(modes.tolist()) - {b"LEAF", b"BRANCH_LT"} or np.isnan(values).any() or _outside(feature, width):
        raise ValueError("a node of a tree is of an unknown kind")
    starts = np.flatnonzero(np.diff(tree, prepend=tree[0] - 1))
    if (np.diff(tree) < 0).any() or len(np.unique(tree)) != len(starts):
        raise ValueError("trees that are not in order")
    sizes_of = np.diff([*starts, len(tree)])
    if not np.array_equal(number, np.arange(len(tree)) - np.repeat(starts, sizes_of)):
        raise ValueError("nodes that are not in order")
    inner, size = modes != b"LEAF", np.repeat(sizes_of, sizes_of)
    for child in (true, false):
        if (child[inner] <= number[inner]).any() or (child[inner] >= size[inner]).any():
            raise ValueError("a node of a tree leads out of it, or back")
    _check_leaves(attributes, dict.fromkeys(zip(tree[~inner].tolist(), number[~inner].tolist(), strict=True)))


def _outside(feature: NDArray[np.int64], width: int) -> bool:
    return bool((feature < 0).any() or (feature >= width).any())


def _check_leaves(attributes: Mapping[str, Any], leaves: Mapping[tuple[int, int], None]) -> None:
    names = ("target_treeids", "target_nodeids", "target_ids")
    if any(name not in attributes for name in (*names, "target_weights", "n_targets", "base_values")):
        raise ValueError("trees without classes")
    columns = [list(attributes[name].ints) for name in names]
    weights, base = (np.array(attributes[name].floats) for name in ("target_weights", "base_values"))
    classes = attributes["n_targets"].i
    if {len(column) for column in columns} != {len(weights)} or not np.isfinite(weights).all():
        raise ValueError("leaves of trees of different lengths, or that are no finite numbers")
    if any(not 0 <= which < classes for which in columns[2]):
        raise ValueError("a leaf of a class that there is not")
    if any(leaf not in leaves for leaf in zip(columns[0], columns[1], strict=True)):
        raise ValueError("a leaf that no tree has")
    if len(base) != classes or not np.isfinite(base).all():
        raise ValueError("trees that start from other than a number for each class")
