"""How much of the test part a model has met before, input for input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.hashing import Hashes, row_hashes
from vestige.evaluation.results import CheckResult
from vestige.reading.encoding import EncodedWindows
from vestige.splits import Parts

CHUNK = 4_096
NOTICEABLE = 0.5


def never_seen(
    train: EncodedWindows, test: EncodedWindows, names: tuple[str, ...] | None = None
) -> NDArray[np.bool_]:
    """Which test windows `(N,)` have inputs (all, or those called `names`) that no training window has."""
    return ~np.isin(input_hashes(test, names), input_hashes(train, names))


def input_hashes(part: EncodedWindows, names: tuple[str, ...] | None = None) -> Hashes:
    """A hash of each window's model inputs, `(N,)`; of vectors, which are many numbers, one of the symbols
    that they stand for."""
    specs = [spec for spec in part.encoder.inputs if names is None or spec.name in names]
    symbols = part.bound.streams(tuple(spec.name for spec in specs if spec.kind == "vectors"))
    others = tuple(spec.name for spec in specs if spec.kind != "vectors")
    looked_up = len(others) < len(specs)
    pieces = [np.empty(0, dtype=np.uint64)]
    for start in range(0, len(part), CHUNK):
        rows = slice(start, start + CHUNK)
        batch = part.batch(rows, others) if others else {}
        if looked_up:
            steps = part.windows.gather(rows, symbols)
            batch |= {f"step:{name}": values for name, values in steps.items()}
        pieces.append(row_hashes(batch))
    return np.concatenate(pieces)


def repeated_inputs(parts: Parts, encoded: EncodedWindows | None) -> CheckResult:
    """The share of test windows whose inputs occur identically in training: never a failure, since logs do
    repeat themselves, but a warning above one half. The figure is that of the most repetitive input."""
    name = "repeated_inputs"
    if encoded is None:
        return CheckResult(name=name, status="not_applicable", detail="no encoded windows were given")
    train, test = encoded.over(parts.train), encoded.over(parts.test)
    shares = {
        spec.name: 1 - float(never_seen(train, test, (spec.name,)).mean()) if len(test) else 0.0
        for spec in encoded.encoder.inputs
    }
    most = max(shares.values(), default=0.0)
    told = ", ".join(f"{share:.1%} by {model_input}" for model_input, share in shares.items())
    return CheckResult(
        name=name,
        status="warn" if most > NOTICEABLE else "pass",
        figure=most,
        detail=f"test windows whose inputs occur identically in training: {told}",
    )
