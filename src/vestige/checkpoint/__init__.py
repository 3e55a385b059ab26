"""What was learnt, and from which inputs, in two plain files: `model.json` and a file of weights.

Loading runs no code that comes from the files: the header is JSON, weights are safetensors or XGBoost's
UBJSON. Digests tell damage and accidental edits; they are no signature, so load checkpoints only from
those whom you would believe anyway.
"""

from vestige.checkpoint.files import (
    HEADER,
    Loaded,
    copy_files,
    export,
    load,
    load_files,
    read_header_of,
    retune,
    save,
    save_files,
)
from vestige.checkpoint.header import FORMAT, Header
from vestige.checkpoint.notes import Calibration, Conformal, Notes, Pooling
from vestige.checkpoint.single_file import is_single_file

__all__ = [
    "FORMAT",
    "HEADER",
    "Calibration",
    "Conformal",
    "Header",
    "Loaded",
    "Notes",
    "Pooling",
    "copy_files",
    "export",
    "is_single_file",
    "load",
    "load_files",
    "read_header_of",
    "retune",
    "save",
    "save_files",
]
