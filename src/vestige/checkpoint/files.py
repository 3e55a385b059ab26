"""Saving and loading a checkpoint, and every reason to refuse one."""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vestige.checked import refused
from vestige.checkpoint import probe, single_file
from vestige.checkpoint.header import FORMAT, REMEDY, Header, Weights, library_versions, read_header
from vestige.checkpoint.notes import Notes
from vestige.errors import CheckpointError, UsageError, VestigeError
from vestige.models import registry as models
from vestige.models.base import Detector
from vestige.models.onnx.detectors import RUNTIME, kind_of
from vestige.reading.encoding import Encoder
from vestige.reading.looks import NormalEncoder
from vestige.reading.steps import Reader
from vestige.schema import Schema, diff
from vestige.sources import registry as sources
from vestige.sources.base import Source
from vestige.storage import atomic_file, write_text

HEADER = "model.json"
NOT_BELIEVED = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError, MemoryError,
    re.error,
)  # fmt: skip
"""What whoever reads a value of a header may raise where it is not what it should be: a header can be made to
hold anything, with digests that fit."""
LONGEST_TOLD = 400
"""Characters of what such a reader says: it may quote a value that has no end."""


@dataclass(frozen=True)
class Loaded:
    """A checkpoint ready to work. `schema` is the fitted one; alert where a score is >= `threshold`."""

    detector: Detector
    encoder: Encoder
    schema: Schema
    threshold: float | None
    header: Header

    def reader(self) -> Reader[Any]:
        """Reads evidence as this detector learnt to: by its schema, and in the formats it has met."""
        reader = sources.get(self.schema.source).reader(self.schema)
        reader.remember(self.header.notes.forms)
        return reader


def save(directory: Path, *, detector: Detector, **parts: Any) -> None:
    """Write `directory/model.json` and the weights beside it; see `save_files` for the other parts."""
    save_files(directory / HEADER, directory / detector.sidecar, detector=detector, **parts)


def save_files(
    header_path: Path,
    weights_path: Path,
    *,
    detector: Detector,
    encoder: Encoder,
    schema: Schema,
    source: Source[Any],
    view: str,
    threshold: float | None = None,
    policy: str | None = None,
    notes: Notes | None = None,
) -> None:
    """Write a trained detector with all that is needed to put it to work.

    `schema` is the dataset's own (`windows.schema`, before anything was fitted): a dataset with another one
    is refused later. Both files are whole on disk before the first appears; the header appears last. A
    kill in between leaves the old header with the new weights, which `load_files` refuses.
    Raises OutputError where they cannot be written.
    """
    fitted = schema.fitted(encoder.inputs)
    with atomic_file(header_path) as header_file, atomic_file(weights_path) as weights_file:
        detector.save_sidecar(weights_file)
        payload = weights_file.read_bytes()
        header = Header(
            format=FORMAT,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            model=detector.header(),
            classes=list(schema.classes),
            view=view,
            fitted_schema=fitted.to_dict(),
            schema_digest=fitted.digest,
            dataset_schema=schema.to_dict(),
            dataset_schema_digest=schema.digest,
            encoder=encoder.to_dict(),
            probe=probe.take(source, encoder, fitted, detector.input_names),
            threshold=threshold,
            policy=policy,
            weights=Weights(
                file=weights_path.name, bytes=len(payload), sha256=hashlib.sha256(payload).hexdigest()
            ),
            versions=library_versions(),
            notes=notes or Notes(),
        )  # fmt: skip
        header_file.write_text(header.to_json(), encoding="utf-8")


def copy_files(header_path: Path, weights_path: Path, to_header: Path, to_weights: Path) -> None:
    """Copy a checkpoint to other paths, replacing what is there; both files appear whole, the header last.

    Raises CheckpointError where the two do not belong together.
    """
    header = read_header(header_path)
    payload = _read_weights(header, weights_path)
    for path in (to_header, to_weights):
        path.parent.mkdir(parents=True, exist_ok=True)
    weights = header.weights.model_copy(update={"file": to_weights.name})
    with atomic_file(to_header) as header_file, atomic_file(to_weights) as weights_file:
        weights_file.write_bytes(payload)
        header_file.write_text(header.model_copy(update={"weights": weights}).to_json(), encoding="utf-8")


def retune(directory: Path, *, threshold: float, policy: str) -> None:
    """Give the detector in `directory` another alert threshold; its weights are left alone."""
    path = directory / HEADER
    header = read_header(path).model_copy(update={"threshold": threshold, "policy": policy})
    write_text(path, header.to_json())


def load(directory: Path, *, schema: Schema | None = None, device: str = "cpu") -> Loaded:
    """Load the checkpoint that `save` wrote into `directory`, or the single file that `export` wrote; see
    `load_files`."""
    if single_file.is_single_file(directory):
        header, payload = single_file.read(directory)
        kind = _model(header, directory)
        return _loaded(header, kind, payload, directory, schema=schema, device=device)
    return load_files(directory / HEADER, schema=schema, device=device)


def read_header_of(detector: Path) -> Header:
    """The header of a detector: of a directory, or a single file. Raises CheckpointError."""
    if single_file.is_single_file(detector):
        return single_file.read_header(detector)
    return read_header(detector / HEADER)


def export(detector: Path, path: Path) -> Loaded:
    """Write the detector in a directory as a single file (see `single_file`), and load it from there.

    Raises CheckpointError as `load` does, UsageError for one that has no such form.
    """
    from vestige.models.onnx.writing import exported, has_graph

    loaded = load(detector)
    made = exported(loaded.detector, loaded.schema.length)
    header = loaded.header.model_copy(update={"model": made.header()})
    with tempfile.TemporaryDirectory(prefix="vestige-") as place:
        weights = Path(place) / made.sidecar
        made.save_sidecar(weights)
        single_file.write(path, header, weights.read_bytes(), is_graph=has_graph(made))
    return load(path)


def load_files(
    header_path: Path,
    weights_path: Path | None = None,
    *,
    schema: Schema | None = None,
    device: str = "cpu",
) -> Loaded:
    """Load a checkpoint; the weights lie beside the header unless `weights_path` says where.

    `schema`: what the data at hand mean (a dataset's, or a fitted one). Raises CheckpointError when a
    file is missing, damaged or edited; when the two do not belong together; when model or source are not
    installed; when `schema` is not the one it learnt from; when the extractor's numbers have changed.
    """
    header = read_header(header_path)
    kind = _model(header, header_path)
    payload = _read_weights(header, weights_path or header_path.parent / kind.sidecar)
    return _loaded(header, kind, payload, header_path, schema=schema, device=device)


def _loaded(
    header: Header, kind: type[Detector], payload: bytes, where: Path, *, schema: Schema | None, device: str
) -> Loaded:
    fitted, dataset = _schemas(header, where)
    if schema is not None:
        _refuse_other(schema, fitted, dataset, where)
    encoder = _encoder(header, fitted, dataset, where)
    with _refusing("the settings of its source cannot be used", where):
        reader = _source(fitted.source, where).reader(fitted)
    with _refusing("the formats that it has met cannot be read", where):
        reader.remember(header.notes.forms)
    parts = {"model": header.model, "schema": header.fitted_schema}
    with _refusing("the weights do not fit the header", where):
        detector = kind.from_checkpoint(parts, payload, device=device)
    return Loaded(detector, encoder, fitted, header.threshold, header)


def _model(header: Header, where: Path) -> type[Detector]:
    name = header.model.get("name")
    if header.model.get("runtime") == RUNTIME:
        with _refusing("its model cannot be read", where):
            return kind_of(header.model)
    try:
        return models.get(str(name))
    except UsageError as error:
        raise CheckpointError(
            f"holds a model that is not installed: {name!r}",
            where=where,
            remedy=f"install the package that brings it; here are: {', '.join(models.names())}",
        ) from error


def _source(name: str, where: Path) -> Source[Any]:
    try:
        return sources.get(name)
    except UsageError as error:
        raise CheckpointError(
            f"learnt from a source that is not installed: {name!r}",
            where=where,
            remedy=f"install the package that brings it; here are: {', '.join(sources.names())}",
        ) from error


def _read_weights(header: Header, path: Path) -> bytes:
    """The very bytes that were checked: the file is not opened a second time."""
    expected = header.weights
    if not path.is_file():
        raise CheckpointError("the file of weights is missing", where=path, remedy=REMEDY)
    size = path.stat().st_size
    if size != expected.bytes:
        raise CheckpointError(f"has {size} bytes, expected {expected.bytes}", where=path, remedy=REMEDY)
    payload = path.read_bytes()
    if hashlib.sha256(payload).hexdigest() != expected.sha256:
        raise CheckpointError(
            "does not hold the weights that the header was written with (damaged, edited, of another "
            "checkpoint, or a save was interrupted)",
            where=path,
            remedy=REMEDY,
        )
    return payload


def _schemas(header: Header, where: Path) -> tuple[Schema, Schema]:
    with _refusing("its schema cannot be read", where):
        fitted = Schema.from_dict(header.fitted_schema)
        dataset = Schema.from_dict(header.dataset_schema)
    if (fitted.digest, dataset.digest) != (header.schema_digest, header.dataset_schema_digest):
        raise CheckpointError("its schema does not match its digest", where=where, remedy=REMEDY)
    return fitted, dataset


def _refuse_other(schema: Schema, fitted: Schema, dataset: Schema, where: Path) -> None:
    """Raise CheckpointError with the differences from whichever of the two `schema` is nearer to."""
    if schema.digest in (fitted.digest, dataset.digest):
        return
    lines = min(diff(dataset, schema), diff(fitted, schema), key=len)
    raise CheckpointError(
        "was trained on inputs that mean something else (checkpoint -> data):\n    " + "\n    ".join(lines),
        where=where,
        remedy="prepare the data with the same options, or train again on these",
    )


def _encoder(header: Header, fitted: Schema, dataset: Schema, where: Path) -> Encoder:
    """The encoder, once it has shown that it still makes the same numbers of the same evidence."""
    source = _source(fitted.source, where)
    with _refusing("its encoder cannot be read", where):
        encoder = _restored(source, header.encoder, dataset)
        inputs = encoder.inputs
    if dataset.fitted(inputs).digest != fitted.digest:
        lines = diff(fitted, dataset.fitted(inputs))
        raise _changed("the encoder now produces other inputs", lines, where)
    with _refusing("the settings of its source cannot be used", where):
        specs = [spec for spec in fitted.inputs if spec.name in header.model.get("inputs", ())]
        now = probe.take(source, encoder, fitted, tuple(spec.name for spec in specs))
    for spec in specs:
        was = header.probe.get(spec.name)
        if was is None:
            found: str | None = "not probed"
        else:
            with _refusing("its probe cannot be read", where):
                found = probe.first_difference(spec, was, now[spec.name])
        if found:
            raise _changed("the extractor's numbers have changed", [f"{spec.name}: {found}"], where)
    return encoder


@contextlib.contextmanager
def _refusing(what: str, where: Path) -> Iterator[None]:
    """Whatever is wrong with a header's values becomes a CheckpointError that names the file."""
    try:
        yield
    except CheckpointError as error:
        error.where = error.where or where
        raise
    except VestigeError as error:
        raise CheckpointError(f"{what} ({error.what})", where=where, remedy=error.remedy or REMEDY) from error
    except NOT_BELIEVED as error:
        told = str(error)
        if isinstance(error, ValidationError):
            told = ": ".join(refused(error))
        raise CheckpointError(f"{what} ({told[:LONGEST_TOLD]})", where=where, remedy=REMEDY) from error


def _restored(source: Source[Any], state: dict[str, Any], dataset: Schema) -> Encoder:
    """The source's own encoder, or that of a detector without labels around it."""
    if "normal" not in state:
        return source.load_encoder(state, dataset)
    return NormalEncoder.from_dict(state, source.load_encoder(state["normal"], dataset))


def _changed(what: str, lines: list[str], where: Path) -> CheckpointError:
    return CheckpointError(
        f"{what} since training (then -> now):\n    " + "\n    ".join(lines),
        where=where,
        remedy="use the version of vestige that trained it, or train again",
    )
