"""Windows of a stream, copied: what every batch begins with. Compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vestige.compiling import compiled


@compiled
def copy_windows(
    stream: NDArray[np.uint8], position: NDArray[np.int64], step: int, out: NDArray[np.uint8]
) -> bool:
    """Row `i` of `out (B, n)` becomes the `n` bytes of the stream from `position[i]`, in steps of `step`.

    False where one of them does not lie in the stream.
    """
    last, width = (len(stream) - out.shape[1]) // step, np.uint64(out.shape[1])
    for i in range(len(position)):
        if not 0 <= position[i] <= last:
            return False
        start = np.uint64(position[i] * step)
        for j in range(width):
            out[np.uint64(i), j] = stream[start + j]
    return True
