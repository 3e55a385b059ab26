"""`vestige export`, and which form of a detector is put to work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vestige.errors import OutputError, UsageError

FILE = "detector.onnx"
"""What an export is called beside the detector that it was made of."""
Runtime = Annotated[
    Literal["own", "onnx"],
    typer.Option(
        help="onnx: the detector's export, which needs neither torch, Lightning nor XGBoost (vestige export)"
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("export")(export)


def export(
    run: Annotated[Path, typer.Argument(help="a trained detector: a directory such as runs/bgl/gru")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help=f"the file to write, *.onnx (default: {FILE} beside the detector)"
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an existing file")] = False,
) -> None:
    """Write a detector as one file of ONNX: encoding, weights, calibration and threshold, with its schema.

    Networks and trees become graphs for ONNX Runtime; linear models, n-grams and what is normal need no graph
    and are carried as they are. vestige score and vestige watch take the file in place of the detector.
    Example: vestige export runs/bgl/gru -o gru.onnx && vestige score gru.onnx new.log
    """
    from vestige import checkpoint, extras, storage
    from vestige.models.onnx.writing import has_graph
    from vestige.runs.directory import RunDirectory

    extras.require("onnx", "vestige export")
    detector = RunDirectory.open(run).detector()
    path = detector / FILE if output is None else output
    if path.suffix != ".onnx":
        raise OutputError("is not called *.onnx", where=path, remedy=f"name it {path.stem}.onnx")
    storage.refuse_files(path, overwrite=overwrite)
    loaded = checkpoint.export(detector, path)
    form = "a graph" if has_graph(loaded.detector) else "its own weights, computed by NumPy"
    if loaded.detector.name == "blend":
        form += ", and its trees as graphs"
    typer.echo(f"{path}: {loaded.detector.name}, {path.stat().st_size:,} bytes, {form}")


def in_form(detector: Path, runtime: str) -> Path:
    """The form of a detector that is to be put to work. Raises UsageError where there is no export."""
    from vestige import checkpoint

    if runtime != "onnx" or checkpoint.is_single_file(detector):
        return detector
    path = detector / FILE
    if not path.is_file():
        raise UsageError("was not exported", where=detector, remedy=f"vestige export {detector}")
    return path
