"""Programs that nobody wrote: basic blocks of modules. A library is the same in all programs of a corpus.

Letters: N blocks of a program, C choices of its indirect branches.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

COND, LOOP, JUMP, CALL, IMPORT, POINTER, SWITCH, RET, SYSCALL, DISPATCH = range(10)
"""How a block ends: a branch, a branch back a fixed number of times, a direct jump or call, a call of another
module, a call or a jump through a pointer, a return, a system call, the main loop's choice of a handler."""

LOADER, LIBC = "ld-2.31.so", "libc-2.31.so"
LIBRARIES = tuple(
    f"lib{name}.so.{number}"
    for number, name in enumerate(
        ("quill", "amber", "tarn", "cinder", "rowan", "slate", "merle", "fathom"), start=1
    )
)
FUNCTIONS = {LOADER: 24, LIBC: 220}
LEVELS = 5
"""A function calls those of deeper levels only: no recursion without end."""

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Module:
    """One module's blocks, `(n,)` each; numbers of blocks count within it. `entries`: each function's first
    block. Imports name a module by its place in `imports` and one of its functions."""

    name: str
    size: int
    offset: NDArray[np.uint64]
    kind: NDArray[np.uint8]
    follow: Ints
    target: Ints
    bias: NDArray[np.float32]
    callee: Ints
    entries: Ints
    imports: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """All modules' blocks, `(N,)`: `offset` in the module numbered `module`; `follow`, the block after;
    `target`, that of a taken branch or the called function; indirect branches choose among `many` of `choices
    (C,)` from `first`. `bias`: probability of taking, or how often a loop goes round."""

    name: str
    modules: tuple[Module, ...]
    offset: NDArray[np.uint64]
    module: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    follow: Ints
    target: Ints
    bias: NDArray[np.float32]
    first: Ints
    many: Ints
    choices: Ints
    start: int


def make_program(number: int, seed: int) -> Program:
    """Program `number` of a corpus: its own module, the loader, the C library, and some of the others."""
    rng = _rng(seed, f"program {number}")
    name = f"program-{number:03d}"
    chosen = rng.choice(len(LIBRARIES), size=int(rng.integers(1, 5)), replace=False)
    libraries = tuple(LIBRARIES[number] for number in sorted(chosen.tolist()))
    main = make_module(name, int(rng.integers(40, 120)), seed, (LIBC, *libraries))
    others = (make_library(library, seed) for library in (LOADER, LIBC, *libraries))
    return _link(name, (main, *others), rng)


@lru_cache(maxsize=64)
def make_library(name: str, seed: int) -> Module:
    """A library: whoever loads it, it is the same."""
    size = FUNCTIONS.get(name, 70)
    return make_module(name, size, seed, () if name in {LOADER, LIBC} else (LIBC,))


def make_module(name: str, functions: int, seed: int, imports: tuple[str, ...]) -> Module:
    """Functions of some ten blocks each; the deepest call nobody in their module."""
    rng = _rng(seed, f"module {name}")
    lengths = 3 + rng.geometric(0.14, functions).clip(max=40)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    n = int(lengths.sum())
    function = np.repeat(np.arange(functions), lengths)
    block, last = np.arange(n), np.repeat(first + lengths - 1, lengths)
    odds = np.array([0.56, 0.08, 0.06, 0.12, 0.1 if imports else 0.0, 0.03, 0.05, 0.0, 0.004])
    kind = rng.choice(len(odds), size=n, p=odds / odds.sum()).astype(np.uint8)
    deeper = ((function * LEVELS // functions) + 1) * functions // LEVELS + 1
    kind[np.isin(kind, (CALL, POINTER)) & (deeper >= functions)] = COND
    kind[block == last] = RET
    forward = np.minimum(block + rng.integers(2, 5, n), last)
    back = np.maximum(block - rng.integers(0, 2, n), first[function])
    called = first[np.minimum(rng.integers(deeper, np.maximum(functions, deeper + 1)), functions - 1)]
    target = np.select([kind == LOOP, np.isin(kind, (CALL, POINTER))], [back, called], forward)
    sure = rng.choice([0.02, 0.98, 0.1, 0.9, 0.5], size=n, p=[0.3, 0.25, 0.2, 0.15, 0.1])
    bias = np.where(kind == LOOP, 1 + rng.geometric(0.35, n).clip(max=12), sure)
    sizes = rng.integers(6, 60, n) + np.where(block == last, 16, 0)
    offset = 0x1000 + np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return Module(
        name,
        int(-(-(offset[-1] + sizes[-1]) // 4096) * 4096),
        offset.astype(np.uint64),
        kind,
        np.minimum(block + 1, last).astype(np.int32),
        target.astype(np.int32),
        bias.astype(np.float32),
        rng.integers(0, 1 << 30, n).astype(np.int32),
        first.astype(np.int32),
        imports,
    )


def _link(name: str, modules: tuple[Module, ...], rng: np.random.Generator) -> Program:
    """Modules as one program: imports found, choices drawn, the main loop added."""
    base = np.cumsum([0, *(len(part.kind) for part in modules)])
    number_of = {part.name: at for at, part in enumerate(modules)}
    main, loader = modules[0], modules[1]
    # Behind the blocks of all modules: the main loop. n calls the loader, n + 1 a handler, n + 2 goes back.
    n = int(base[-1])
    kind = np.concatenate([*(part.kind for part in modules), [CALL, DISPATCH, JUMP]]).astype(np.uint8)
    targets = [part.target + base[at] for at, part in enumerate(modules)]
    target = np.concatenate([*targets, [0, 0, n + 1]])
    follows = [part.follow + base[at] for at, part in enumerate(modules)]
    follow = np.concatenate([*follows, [n + 1, n + 2, 0]])
    for at, part in enumerate(modules):
        for row in np.flatnonzero(part.kind == IMPORT).tolist():
            callee = int(part.callee[row])
            where = number_of[part.imports[callee % len(part.imports)]]
            entries = modules[where].entries
            target[base[at] + row] = base[where] + entries[callee % len(entries)]
    target[n] = base[1] + loader.entries[0]
    many = np.where(kind == POINTER, 3, np.where(kind == SWITCH, 4, 0))
    handlers = main.entries[: max(4, len(main.entries) // LEVELS)]
    many[n + 1] = len(handlers)
    first = np.concatenate([[0], np.cumsum(many)[:-1]])
    choices = np.zeros(int(many.sum()), dtype=np.int64)
    module = np.repeat(np.arange(len(modules) + 1), [*np.diff(base), 3])
    module[n:] = 0
    for row in np.flatnonzero((kind == POINTER) | (kind == SWITCH)).tolist():
        within, low = modules[module[row]], base[module[row]]
        here = slice(first[row], first[row] + many[row])
        if kind[row] == SWITCH:
            choices[here] = target[row] + np.arange(-1, 3).clip(max=_left(within, target[row] - low))
        else:
            entry = int(np.searchsorted(within.entries, target[row] - low))
            choices[here] = low + within.entries[(entry + np.arange(3)).clip(max=len(within.entries) - 1)]
    choices[first[n + 1] : first[n + 1] + len(handlers)] = handlers
    offsets = np.array([0x400, 0x420, 0x440], dtype=np.uint64)
    plain = np.concatenate([*(part.bias for part in modules), np.zeros(3, dtype=np.float32)])
    rng.shuffle(choices[first[n + 1] : first[n + 1] + len(handlers)])
    return Program(
        name,
        modules,
        np.concatenate([*(part.offset for part in modules), offsets]),
        module.astype(np.uint8),
        kind,
        follow.astype(np.int32),
        target.astype(np.int32),
        plain.astype(np.float32),
        first.astype(np.int32),
        many.astype(np.int32),
        choices.astype(np.int32),
        n,
    )


def _left(module: Module, block: int) -> int:
    """How many blocks of its function lie after `block`."""
    ends = np.append(module.entries[1:], len(module.kind)) - 1
    return int(ends[np.searchsorted(module.entries, block, side="right") - 1] - block)


def _rng(seed: int, text: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed} {text}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
