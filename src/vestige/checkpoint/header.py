"""The header of a checkpoint: a JSON object that holds a digest of itself and of the weights."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vestige import checked
from vestige.checkpoint.notes import Notes
from vestige.checkpoint.probe import Probe
from vestige.errors import CheckpointError

FORMAT = "vestige-checkpoint/3"
LARGEST = 256 * 2**20
"""Bytes of a header at most."""
LIBRARIES = (
    "vestige",
    "numpy",
    "polars",
    "safetensors",
    "scikit-learn",
    "torch",
    "pytorch-lightning",
    "xgboost-cpu",
    "xgboost",
)
REMEDY = "take an undamaged copy, or train again"


class Weights(BaseModel):
    """The file of weights that belongs to a header."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    bytes: int = Field(ge=0, lt=2**50)
    sha256: str


class Header(BaseModel):
    """Everything about a trained detector but its weights.

    `model`: see `Detector.header`. `fitted_schema` (`schema` in the file): the inputs it learnt from,
    vocabularies included; `dataset_schema`: the same before anything was fitted. `probe`: what the encoder
    made of the source's probe, by input that the model reads. `threshold`: alert at this score or above,
    chosen by `policy`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    format: str
    created: str
    model: dict[str, Any]
    classes: list[str]
    view: str
    fitted_schema: dict[str, Any] = Field(alias="schema")
    schema_digest: str
    dataset_schema: dict[str, Any]
    dataset_schema_digest: str
    encoder: dict[str, Any]
    probe: dict[str, Probe]
    threshold: float | None = Field(None, allow_inf_nan=False)
    policy: str | None = None
    weights: Weights
    versions: dict[str, str]
    notes: Notes = Notes()

    def to_json(self) -> str:
        """One top-level key a line, and the digest of them all last."""
        plain = self.model_dump(mode="json", by_alias=True)
        plain["digest"] = digest_of(plain)
        rows = (f"{json.dumps(key)}: {_canonical(value)}" for key, value in plain.items())
        return "{\n" + ",\n".join(rows) + "\n}"


def read_header(path: Path, *, largest: int = LARGEST) -> Header:
    """Read and check a header of at most `largest` bytes.

    Raises CheckpointError: missing, too large, damaged, edited, other format.
    """
    if not path.is_file():
        raise CheckpointError(
            "no such checkpoint header", where=path, remedy="point at a directory that holds a trained model"
        )
    if path.stat().st_size > largest:
        raise CheckpointError(f"is larger than any header ({largest >> 20} MiB)", where=path, remedy=REMEDY)
    return parse_header(path.read_bytes(), path)


def parse_header(content: bytes, path: Path) -> Header:
    """Check a header that was read from `path`. Raises CheckpointError as `read_header` does."""
    try:
        plain = checked.load(content)
    except ValueError as error:
        raise CheckpointError(f"is no whole JSON file ({error})", where=path, remedy=REMEDY) from error
    if plain.get("format") != FORMAT:
        raise CheckpointError(
            f"is of format {plain.get('format')!r}; this version reads {FORMAT!r}",
            where=path,
            remedy="use the version of vestige that wrote it, or train again",
        )
    if plain.pop("digest", None) != digest_of(plain):
        raise CheckpointError(
            "was damaged or edited: it does not match its own digest", where=path, remedy=REMEDY
        )
    try:
        return Header.model_validate(plain)
    except ValidationError as error:
        told = ": ".join(checked.refused(error))
        raise CheckpointError(f"is no checkpoint header ({told})", where=path, remedy=REMEDY) from error


def digest_of(plain: dict[str, Any]) -> str:
    """SHA-256 (hex) of canonical JSON."""
    return hashlib.sha256(_canonical(plain).encode()).hexdigest()


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a detector may depend on, as far as they are installed."""
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
