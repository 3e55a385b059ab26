"""A graph is checked before the runtime sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.models.onnx.trained import trained  # noqa: E402
from vestige.errors import CheckpointError  # noqa: E402
from vestige.models.onnx.graph import ML, TREES, Graph, read_model  # noqa: E402
from vestige.models.onnx.writing import exported  # noqa: E402

helper = onnx.helper


def model(nodes: list[Any], weights: list[Any] | None = None, **about: Any) -> Any:
    """A model of two numbers in, two out."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", onnx.TensorProto.FLOAT, ["n", 2])],
        [info("y", onnx.TensorProto.FLOAT, ["n", 2])],
        weights or [],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, **{"opset_imports": opsets, "ir_version": 10, **about})


def graph(made: Any, inputs: tuple[Any, ...] = (("x", "summary"),), outputs: int = 2) -> Graph:
    """The model, read as a detector's."""
    return Graph(made.SerializeToString(), inputs, outputs)


def test_a_plain_graph_runs() -> None:
    found = graph(model([helper.make_node("Relu", ["x"], ["y"])])).run([np.array([[1, -1]], np.float32)])
    assert found.tolist() == [[1, 0]]


def elsewhere() -> Any:
    """Weights that lie in a file."""
    tensor = onnx.numpy_helper.from_array(np.ones(2, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return model([helper.make_node("Add", ["x", "w"], ["y"])], [tensor])


def within() -> Any:
    """A graph within the graph."""
    inner = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "in", [], [])
    node = helper.make_node("Relu", ["x"], ["y"])
    node.attribute.append(helper.make_attribute("body", inner))
    return model([node])


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: model([helper.make_node("Loop", ["x"], ["y"])]), "operator 'Loop'"),
        (lambda: model([helper.make_node("Relu", ["x"], ["y"], domain="com.microsoft")]), "operator 'Relu'"),
        (elsewhere, "in another file"),
        (within, "a graph within"),
        (lambda: model([helper.make_node("Relu", ["x"], ["y"])], ir_version=3), "version of the format"),
        (
            lambda: model(
                [helper.make_node("Add", ["x", "w"], ["y"])],
                [onnx.numpy_helper.from_array(np.array([np.nan, 0], np.float32), "w")],
            ),
            "no number",
        ),
        (lambda: model([helper.make_node("Relu", ["nowhere"], ["y"])]), "runtime refuses"),
    ],
)
def test_what_no_export_holds_is_refused(made: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        graph(made())


def test_trees_of_an_earlier_version_are_to_be_exported_again() -> None:
    made = model([helper.make_node("TreeEnsembleClassifier", ["x"], ["class", "y"], domain=ML)])
    with pytest.raises(CheckpointError, match=r"two classes had each other's.*\n.*export it again"):
        graph(made)


def test_inputs_and_outputs_are_those_of_the_detector() -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"])])
    with pytest.raises(ValueError, match="takes"):
        graph(made, (("x", "tokens"),))
    with pytest.raises(ValueError, match="3 columns"):
        graph(made, outputs=3)


def test_no_node_of_a_tree_leads_out_of_it(tmp_path: Path) -> None:
    detector, parts = trained("gbt", tmp_path)
    made: Any = exported(detector, parts.train.schema.length)
    spec = detector.inputs[0]
    rng = np.random.default_rng(3)
    names = ["nodes_truenodeids", "nodes_falsenodeids", "nodes_nodeids", "nodes_treeids", "target_nodeids"]
    for name in names:
        for wrong in (-1, 0, 2**31 - 1, 2**40):
            whole = read_model(made.payload)
            (node,) = whole.graph.node
            assert node.op_type == TREES
            (column,) = [each for each in node.attribute if each.name == name]
            modes = next(each for each in node.attribute if each.name == "nodes_modes").strings
            inner = [at for at, mode in enumerate(modes) if mode != b"LEAF"]
            at = int(rng.choice(inner[1:])) if name.startswith("nodes_") else 0
            if column.ints[at] == wrong:
                continue
            column.ints[at] = wrong
            with pytest.raises(ValueError, match=r"tree|leaf|nodes"):
                Graph(whole.SerializeToString(), [(spec.name, spec.kind)], detector.n_classes)


def test_damaged_bytes_are_refused_or_run(tmp_path: Path) -> None:
    detector, parts = trained("gbt", tmp_path)
    made: Any = exported(detector, parts.train.schema.length)
    spec = detector.inputs[0]
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(400):
        payload = bytearray(made.payload)
        payload[int(rng.integers(len(payload)))] ^= 1 << int(rng.integers(8))
        try:
            changed = Graph(bytes(payload), [(spec.name, spec.kind)], detector.n_classes)
            changed.run([np.zeros((2, detector.width(spec)), np.float32)])
        except (ValueError, CheckpointError):
            refused += 1
    assert 0 < refused <= 400
