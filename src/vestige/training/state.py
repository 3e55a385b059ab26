"""The state of an unfinished training: one safetensors file, its JSON in the header. Loading runs no code."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vestige import checked
from vestige.errors import CheckpointError
from vestige.models.base import Detector
from vestige.reading.encoding import EncodedWindows
from vestige.storage import atomic_file

FORMAT = "vestige-resume/2"
COUNTS = {"": ("step", "windows"), "loader": ("epoch", "batch"), "best": ("epoch", "risen")}
"""Counts that a state holds, by the group that they stand in."""
MOST = 2**53
MERSENNE_WORDS = 624
"""Words of the state of a Mersenne Twister: the position lies within."""
DAMAGED = "delete the file and train again without --resume"


@dataclass(frozen=True)
class State:
    """`plain`: JSON values; `tensors`: by dotted name (`module.*`, `optimizer.*`, `best.*`, `random.*`)."""

    plain: dict[str, Any]
    tensors: dict[str, Tensor]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors named `prefix.*`, without the prefix."""
        return {
            name.removeprefix(f"{prefix}."): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(f"{prefix}.")
        }


def data_digest(detector: Detector, train: EncodedWindows, validation: EncodedWindows) -> str:
    """SHA-256 (hex) of the fitted schema, the detector's view, and both parts' windows and labels."""
    header = {
        "schema": train.schema.digest,
        "inputs": list(detector.input_names),
        "keep_mask": {name: mask.tolist() for name, mask in detector.keep_mask.items()},
        "standardize": {name: stats.to_dict() for name, stats in detector.standardize.items()},
        "recordings": train.windows.recordings["digest"].to_list(),
    }
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for part in (train.windows, validation.windows):
        for array in (part.recording, part.position, part.label, part.order):
            if array is not None:
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, under `prefix.*`; the file format takes no two tensors that share memory."""
    return {
        f"{prefix}.{name}": tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in tensors.items()
    }


def write(path: Path, state: State) -> None:
    """Write `state` to `path` atomically."""
    text = json.dumps({"format": FORMAT, **state.plain})
    header = {"vestige": text, "digest": _digest(text, state.tensors)}
    with atomic_file(path) as working:
        working.write_bytes(save(state.tensors, metadata=header))


def read(path: Path) -> State:
    """The state that `write` left. Raises CheckpointError when the file is damaged or of another format."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        plain = checked.load(header["vestige"].encode(), finite=False)
        intact = header["digest"] == _digest(header["vestige"], tensors)
        known = plain.pop("format") == FORMAT
        if known and intact:
            _refuse_impossible(plain)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"cannot be read ({error})", where=path, remedy=DAMAGED) from error
    if not known:
        raise CheckpointError("was saved by another version of this program", where=path, remedy=DAMAGED)
    if not intact:
        raise CheckpointError("was changed after it was saved", where=path, remedy=DAMAGED)
    return State(plain, tensors)


def _refuse_impossible(plain: dict[str, Any]) -> None:
    """Raise ValueError, KeyError or TypeError where a state tells of a training that cannot have been."""
    for group, names in COUNTS.items():
        fields = plain if not group else checked.mapping(plain[group], group)
        for name in names:
            checked.whole(fields[name], f"{group}.{name}".lstrip("."), 0, MOST)
    checked.flag(plain["finished"], "finished")
    checked.real(plain["elapsed"], "elapsed", 0, MOST)
    for name in ("score", "loss"):
        value = plain["best"][name]
        if type(value) not in {int, float}:  # NaN and infinity may stand here
            raise ValueError(f"best.{name} is {checked.shown(value)}, not a number")
    random = checked.mapping(plain["random"], "random")
    version, gauss = random["python"]
    checked.whole(version, "random.python", 0, MOST)
    position, has_gauss, cached = random["numpy"]
    checked.whole(position, "random.numpy", 0, MERSENNE_WORDS)
    checked.whole(has_gauss, "random.numpy", 0, 1)
    for number in (cached, 0.0 if gauss is None else gauss):
        checked.real(number, "random", -MOST, MOST)


def refuse_other(path: Path, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Raise CheckpointError, naming what differs, when a state belongs to another training."""
    pairs = {name: (theirs.get(name), ours.get(name)) for name in [*ours, *theirs]}
    changed = [f"{name}: {was!r} -> {now!r}" for name, (was, now) in pairs.items() if was != now]
    if changed:
        raise CheckpointError(
            "belongs to a training with other settings or data\n  " + "\n  ".join(changed),
            where=path,
            remedy="repeat the settings of the first run, or train again without --resume",
        )


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
