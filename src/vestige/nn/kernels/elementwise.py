"""Numba's options for every kernel, and the exponential, sigmoid and tanh that LLVM can vectorise.

Importing this package imports Numba: only ``vestige.nn.backends`` does so, when a layer first takes its
fast path.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from vestige import compiling

# No reassociation: the rounding trick in `exp` and reproducible sums both depend on the order written.
_FASTMATH = {"contract", "nsz", "arcp"}


compiled = partial(compiling.compiled, fastmath=_FASTMATH)


@intrinsic
def _two_to_the(_context: Any, _shifted: Any) -> Any:
    """2**n as float32, whose argument is n + 1.5 * 2**23: n moves into the exponent's bits."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], ir.IntType(32))
        exponent = builder.shl(bits, ir.Constant(ir.IntType(32), 23))
        return builder.bitcast(builder.add(exponent, ir.Constant(ir.IntType(32), 0x3F800000)), ir.FloatType())

    return numba.float32(numba.float32), generate


ONE = np.float32(1)
_TWO = np.float32(2)
_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440054690583e-4)
_ROUND = np.float32(12582912.0)  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits
_LOWEST = np.float32(-87.0)
_HIGHEST = np.float32(88.0)
# e**r = 1 + r E(r) on [-ln2/2, ln2/2], fitted for the least largest relative error: 1e-7.
_E1 = np.float32(0.9999997019767761)
_E2 = np.float32(0.49999114871025085)
_E3 = np.float32(0.16667675971984863)
_E4 = np.float32(0.041902557015419006)
_E5 = np.float32(0.0082894591614604)
# tanh(x) = x + x**3 q(x**2) below 1/2, where the exponential form would cancel: 2e-8.
_SMALL = np.float32(0.5)
_T0 = np.float32(-0.333331435918808)
_T1 = np.float32(0.13325878977775574)
_T2 = np.float32(-0.05304549261927605)
_T3 = np.float32(0.01724148541688919)


@compiled
def exp(x: np.float32) -> np.float32:
    """e**x to 2e-7, by 2**n times a polynomial; a NaN stays one."""
    # Written out: min and max would swallow a NaN.
    x = _LOWEST if x < _LOWEST else x  # noqa: FURB136
    x = _HIGHEST if x > _HIGHEST else x  # noqa: FURB136
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    series = ONE + r * (_E1 + r * (_E2 + r * (_E3 + r * (_E4 + r * _E5))))
    return series * _two_to_the(shifted)  # type: ignore[call-arg]


@compiled
def sigmoid(x: np.float32) -> np.float32:
    return ONE / (ONE + exp(-x))


@compiled
def tanh(x: np.float32) -> np.float32:
    z = x * x
    small = x + x * z * (_T0 + z * (_T1 + z * (_T2 + z * _T3)))
    large = ONE - _TWO / (ONE + exp(x + x))
    return small if abs(x) < _SMALL else large
