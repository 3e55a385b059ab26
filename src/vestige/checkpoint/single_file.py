"""A detector in one file: a model of ONNX, with the header of a checkpoint among its metadata.

    body       a graph, or a model that carries the detector's own weights as an array
    metadata   `vestige.header`, the header as `model.json` holds it
    metadata   `vestige.begins`, where the metadata begin: 20 digits, the last of the file

Both parts are messages of Protocol Buffers, and messages that follow one another are one message: any program
that reads ONNX reads the file. The header's digest of the weights is that of the body, or of the array.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from vestige.checkpoint.header import LARGEST, REMEDY, Header, Weights, parse_header
from vestige.errors import CheckpointError
from vestige.models.onnx.graph import IR_VERSIONS, read_model
from vestige.storage import atomic_file

SUFFIX = ".onnx"
HEADER, BEGINS = "vestige.header", "vestige.begins"
DIGITS = 20
CARRIED = "weights"
"""What the array is called that carries weights which are no graph."""


def is_single_file(path: Path) -> bool:
    """Whether a path is that of a detector in one file, by its name."""
    return path.suffix == SUFFIX and path.is_file()


def write(path: Path, header: Header, payload: bytes, *, is_graph: bool) -> None:
    """Write a detector of this header and these weights; the file appears whole.

    Raises OutputError where it cannot be written.
    """
    weights = Weights(file=path.name, bytes=len(payload), sha256=hashlib.sha256(payload).hexdigest())
    body = payload if is_graph else _carrier(payload)
    text = header.model_copy(update={"weights": weights}).to_json()
    with atomic_file(path) as working, working.open("wb") as file:
        file.write(body)
        file.write(_metadata({HEADER: text, BEGINS: f"{len(body):0{DIGITS}d}"}))


def read_header(path: Path) -> Header:
    """The header alone; the body is not looked at. Raises CheckpointError."""
    return _read(path)[0]


def read(path: Path) -> tuple[Header, bytes]:
    """The header, and the weights that belong to it. Raises CheckpointError: damaged, edited, no such
    file."""
    header, begins = _read(path)
    with path.open("rb") as file:
        body = file.read(begins)
    payload = body if "runtime" in header.model else _carried(body, path)
    if len(payload) != header.weights.bytes or hashlib.sha256(payload).hexdigest() != header.weights.sha256:
        raise CheckpointError(
            "does not hold the weights that its header was written with", where=path, remedy=REMEDY
        )
    return header, payload


def _read(path: Path) -> tuple[Header, int]:
    no = CheckpointError(
        "is no detector that vestige export wrote",
        where=path,
        remedy="write one with vestige export DETECTOR -o FILE.onnx",
    )
    if not path.is_file():
        raise CheckpointError("no such file", where=path, remedy=REMEDY)
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - DIGITS))
        digits = file.read()
        if len(digits) != DIGITS or not digits.isdigit():
            raise no
        begins = int(digits)
        if not 0 < begins < size or size - begins > LARGEST:
            raise no
        file.seek(begins)
        rest = file.read()
    try:
        found = read_model(rest)
    except ValueError as error:
        raise no from error
    metadata = {entry.key: entry.value for entry in found.metadata_props}
    if metadata.keys() != {HEADER, BEGINS} or len(found.metadata_props) != 2 or found.HasField("graph"):
        raise no
    text = metadata[HEADER]
    if not isinstance(text, str):  # the library hands over what is no UTF-8 as bytes
        raise no
    return parse_header(text.encode(), path), begins


def _carried(body: bytes, path: Path) -> bytes:
    try:
        tensors = read_model(body).graph.initializer
    except ValueError as error:
        raise CheckpointError(f"cannot be read ({error})", where=path, remedy=REMEDY) from error
    if len(tensors) != 1 or tensors[0].name != CARRIED or len(tensors[0].external_data):
        raise CheckpointError("carries no weights", where=path, remedy=REMEDY)
    return bytes(tensors[0].raw_data)


def _carrier(payload: bytes) -> bytes:
    """A model whose only output are the bytes of a detector's weights."""
    import onnx

    array = np.frombuffer(payload, dtype=np.uint8)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", [CARRIED], ["bytes"])],
        "carried",
        [],
        [onnx.helper.make_tensor_value_info("bytes", onnx.TensorProto.UINT8, [len(array)])],
        [onnx.numpy_helper.from_array(array, CARRIED)],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    return bytes(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSIONS[2]).SerializeToString()
    )


def _metadata(entries: dict[str, str]) -> bytes:
    """A message that holds metadata alone, in this order."""
    import onnx

    model: Any = onnx.ModelProto()
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString())
