"""Eight numbers written at once, which Numba does not do of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.extending import intrinsic
from numpy.typing import NDArray

from vestige.compiling import compiled

LANES = 8
_BYTE = np.uint64(0xFF)


def _by_one(out: NDArray[Any], at: np.uint64, base: np.uint64, steps: np.uint64) -> None:
    for i in range(LANES):
        out[at + np.uint64(i)] = base + ((steps >> np.uint64(8 * i)) & _BYTE)


@intrinsic
def _at_once(_context: Any, out: Any, at: Any, base: Any, steps: Any) -> tuple[Any, Callable[..., Any]]:
    wide = ir.VectorType(ir.IntType(64), LANES)

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place, number, packed = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        target = builder.bitcast(builder.gep(data, [place]), wide.as_pointer())
        unset, lanes = ir.Constant(wide, ir.Undefined), ir.VectorType(ir.IntType(32), LANES)
        # Inserted into the first lane and shuffled into all: how a vector is filled with one number.
        first = builder.insert_element(unset, number, ir.Constant(ir.IntType(32), 0))
        each = builder.shuffle_vector(first, unset, ir.Constant(lanes, [0] * LANES))
        added = builder.zext(builder.bitcast(packed, ir.VectorType(ir.IntType(8), LANES)), wide)
        builder.store(builder.add(each, added), target).align = 8
        return context.get_dummy_value()

    return numba.void(out, at, base, steps), build


_settings: Any = numba.config
put_eight: Any = compiled(_by_one) if _settings.BOUNDSCHECK or _settings.DISABLE_JIT else _at_once
"""`put_eight(out, at, base, steps)`: `out[at + i] = base + byte i of steps`, eight times, lowest byte first.

`out` has items of 8 bytes. One vector store without a check, as in all that is compiled here; where Numba
checks indices, or compiles nothing, a loop.
"""
