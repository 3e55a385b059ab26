"""Where hijacked control flow goes: gadgets, the middle of modules, shellcode in no module at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vestige.simulators.traces.program import LIBC, Program
from vestige.simulators.traces.walk import Chain

ATTACKS = ("rop", "middle", "shellcode")


NONE = Chain(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64))


def chain(
    attack: str, program: Program, bases: NDArray[np.uint64], free: int, rng: np.random.Generator
) -> Chain:
    """One attack on a program whose modules lie at `bases`; `free`: an address that no module has."""
    if attack == "rop":  # returns into the middle of instructions, a branch at most in each gadget
        ips = [_inside(program, bases, rng, library=rng.random() < 0.8) for _ in range(rng.integers(12, 60))]
        return _chain(ips, rng, longest=2)
    if attack == "middle":
        ips = [_inside(program, bases, rng, library=rng.random() < 0.3) for _ in range(rng.integers(3, 12))]
        return _chain(ips, rng, longest=24)
    body = free + rng.integers(0, 400, int(rng.integers(6, 30)))
    ips = [free, *sorted(body.tolist())]
    for at in sorted(rng.integers(1, len(ips), int(rng.integers(1, 5))).tolist(), reverse=True):
        ips.insert(at, _function(program, bases, rng))
    return _chain(ips, rng, longest=32)


def _chain(ips: list[int], rng: np.random.Generator, longest: int) -> Chain:
    counts = rng.integers(0, longest, len(ips))
    bits = rng.integers(0, 1 << 32, len(ips)) & ((1 << counts) - 1)
    return Chain(np.array(ips, np.uint64), bits.astype(np.uint64), counts.astype(np.int64))


def _inside(program: Program, bases: NDArray[np.uint64], rng: np.random.Generator, *, library: bool) -> int:
    """Two bytes into some block: no branch of the program ever goes there."""
    names = [module.name for module in program.modules]
    at = names.index(LIBC) if library else int(rng.integers(0, len(names)))
    return int(bases[at]) + int(rng.choice(program.modules[at].offset)) + 2


def _function(program: Program, bases: NDArray[np.uint64], rng: np.random.Generator) -> int:
    """The beginning of a function of the C library."""
    at = [module.name for module in program.modules].index(LIBC)
    module = program.modules[at]
    return int(bases[at]) + int(module.offset[rng.choice(module.entries)])
