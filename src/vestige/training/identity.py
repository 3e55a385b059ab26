"""A digest of everything a detector learns from: tells whether a saved state belongs to this training."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from vestige.models.base import Detector
from vestige.reading.encoding import EncodedWindows


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
