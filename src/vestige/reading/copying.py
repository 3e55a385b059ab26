"""Windows of a stream, copied: what every batch begins with. Compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vestige.compiling import compiled


@compiled
def copy_windows(
    stream: NDArray[np.uint8], position: NDArray[np.int64], step: int, out: NDArray[np.uint8]
) -> bool:
    """Row `i` of `out (B, n)` becomes the `n` bytes of the stream that begin with its step `position[i]`.

    A step has `step` bytes. False where a row does not lie in the stream.
    """
    last, width = (len(stream) - out.shape[1]) // step, np.uint64(out.shape[1])
    for i in range(len(position)):
        at = position[i]
        if not 0 <= at <= last:
            return False
        start = np.uint64(at * step)
        for j in range(width):
            out[np.uint64(i), j] = stream[start + j]
    return True


@compiled
def mark_blocks(
    position: NDArray[np.int64],
    step: int,
    width: int,
    offset: int,
    block: int,
    checked: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
) -> int:
    """Mark in `wanted (blocks,)` the blocks of a file that windows touch and that are not yet `checked
    (blocks,)`; how many.

    A window begins at byte `offset + position[i] * step` and has `width` bytes, a block has `block`. Windows
    that do not lie in the file touch none of it.
    """
    found = 0
    most = (len(checked) * block - offset) // step
    for i in range(len(position)):
        at = position[i]
        if not 0 <= at <= most:
            continue
        start = offset + at * step
        last = min((start + width - 1) // block, len(checked) - 1)
        for number in range(start // block, last + 1):
            if not checked[number] and not wanted[number]:
                wanted[number] = True
                found += 1
    return found
