"""Values in the slots of known kinds of steps: which were seen, and how strange one is that was not.

A value is one number of 64 bits: the bits of a float64, which is itself for a number and not a number for
everything else, whose 53 free bits are then a hash.
"""

from __future__ import annotations

import struct
import sys
from hashlib import blake2b

NONE = 0
"""There is no value: no number has these bits, because 0.0 is written as -0.0."""
NOT_A_NUMBER = 0x7FF << 52
"""The bits that are set in every value that is not a number; one of the 52 lowest is set, too."""
_FRACTION = (1 << 52) - 1


def number_value(number: float) -> int:
    """The value of a number; what is beyond all finite ones counts as the largest of them."""
    finite = max(-sys.float_info.max, min(number, sys.float_info.max))
    bits: int = struct.unpack("<Q", struct.pack("<d", finite or -0.0))[0]
    return bits


def text_value(data: bytes) -> int:
    """The value of anything else: a hash of its bytes (BLAKE2b), nobody can make two that are alike."""
    bits = int.from_bytes(blake2b(data, digest_size=8).digest(), "little") | NOT_A_NUMBER
    if not bits & _FRACTION:
        bits |= 1
    return bits
